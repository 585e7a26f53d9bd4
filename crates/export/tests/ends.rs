//! Runs that end early, and where archives appear.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{client, client_with, export, notebook, options, put, seed, sim, try_export};
use lifeboat_archive::{Archive, Descriptor, Fate, Inventory};
use lifeboat_export::{Error, Event, Observer, Silent};
use lifeboat_sim::{Fault, FaultKind};
use lifeboat_storage::{Destination, Place, Protection, Settings};

fn expired() -> Fault {
    let mut fault = Fault::status("GET", "/api/*", 403);
    fault.body = Some(r#"{"error_code":403,"message":"Invalid access token."}"#.to_owned());
    fault
}

#[tokio::test]
async fn a_token_that_expires_on_the_way_ends_the_asking_and_keeps_what_was_read() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.with(|world| {
        for index in 0..40 {
            put(
                world,
                &format!("/Shared/many/n{index:02}"),
                notebook(common::SOURCE),
            );
        }
    });
    let mut fault = expired();
    fault.skip = 60;
    sim.fault(fault);
    let mut options = options();
    options.concurrency = 2;
    let written = export(&client, &options).await;
    assert_eq!(written.outcome.exit_code(), 12);
    assert_eq!(written.outcome.summary.inventory, Inventory::Incomplete);
    assert_eq!(written.heard.stops.lock().unwrap().len(), 1);
    let failed = written.ledger(Fate::Failed);
    assert!(
        failed
            .iter()
            .any(|line| line.message.starts_with("not attempted: ")),
        "{failed:?}"
    );
    let calls = sim.calls().iter().filter(|call| call.status == 403).count();
    assert!(
        calls < 20,
        "nothing is asked after the refusal, {calls} calls were refused"
    );
}

#[tokio::test]
async fn a_token_that_is_wrong_from_the_beginning_is_an_error() {
    let sim = sim();
    let error = try_export(&client_with(&sim, "wrong"), &options())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::Identity { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 12);
    sim.set_login_page(true);
    let error = try_export(&client(&sim), &options()).await.err().unwrap();
    assert_eq!(error.exit_code(), 12);
}

#[tokio::test]
async fn credentials_that_are_lost_before_anything_was_read_leave_nothing() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let mut fault = expired();
    fault.skip = 1;
    sim.fault(fault);
    let error = try_export(&client, &options()).await.err().unwrap();
    assert!(matches!(error, Error::Stopped { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 12);
}

#[tokio::test]
async fn a_service_that_is_gone_ends_the_asking() {
    let sim = sim();
    let config = lifeboat_databricks::Config::with_token(
        &sim.url(),
        lifeboat_databricks::Secret::new(sim.token()),
    );
    let impatient = lifeboat_databricks::ClientOptions {
        limits: lifeboat_databricks::Limits::Off,
        retry_budget: std::time::Duration::ZERO,
        ..Default::default()
    };
    let client = lifeboat_databricks::Client::new(config.unwrap(), impatient).unwrap();
    seed(&sim, &client).await;
    sim.with(|world| {
        for index in 0..300 {
            put(
                world,
                &format!("/Shared/many/n{index:03}"),
                notebook(common::SOURCE),
            );
        }
    });
    let mut fault = Fault::status("GET", "/api/*", 0);
    fault.kind = FaultKind::Kill;
    fault.skip = 120;
    sim.fault(fault);
    let mut options = options();
    options.concurrency = 4;
    let written = export(&client, &options).await;
    assert_eq!(written.outcome.exit_code(), 1);
    assert!(
        written
            .outcome
            .stopped
            .as_ref()
            .unwrap()
            .to_string()
            .starts_with("50 calls in a row")
    );
    assert_eq!(written.outcome.summary.inventory, Inventory::Incomplete);
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// An export into a local file or folder, as the command makes it.
async fn to_file(
    client: &lifeboat_databricks::Client,
    options: &lifeboat_export::Options,
    to: &str,
    observer: &dyn Observer,
) -> Result<(PathBuf, lifeboat_export::Outcome), Box<dyn std::error::Error>> {
    let mut destination = None;
    let open = async |begin: &lifeboat_export::Begin<'_>| {
        let name = format!("{}.tar.zst", begin.name);
        let (opened, sink) = Destination::create(
            &Place::parse(to)?,
            &name,
            &Protection::default(),
            &Settings::new(),
        )?;
        destination = Some(opened);
        Ok::<_, Box<dyn std::error::Error>>((sink, None))
    };
    let (sink, outcome) = lifeboat_export::run_into(client, options, open, observer).await?;
    let destination = destination.unwrap();
    let place = match outcome.stopped {
        Some(_) => {
            destination
                .commit_partial(sink, &outcome.descriptor, &|_| {})?
                .0
        }
        None => destination.commit(sink, &outcome.descriptor)?.0,
    };
    match place {
        Place::Local(path) => Ok((path, outcome)),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_file_appears_complete_with_its_descriptor() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let folder = tempfile::tempdir().unwrap();
    let to = format!("{}/", folder.path().display());
    let (path, outcome) = to_file(&client, &options(), &to, &Silent).await.unwrap();
    let stem = format!("{}-20261122T010000Z", sim.workspace_id());
    assert_eq!(
        files(folder.path()),
        [format!("{stem}.json"), format!("{stem}.tar.zst")]
    );
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.content_id().unwrap(), outcome.sealed.content_id);
    let descriptor =
        Descriptor::parse(&std::fs::read(folder.path().join(format!("{stem}.json"))).unwrap())
            .unwrap();
    assert_eq!(descriptor, outcome.descriptor);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), descriptor.size);
    #[cfg(unix)]
    for name in files(folder.path()) {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let calls = sim.calls().len();
    let error = to_file(&client, &options(), &to, &Silent)
        .await
        .unwrap_err();
    let error: lifeboat_storage::Error = *error.downcast().unwrap();
    assert_eq!(error.exit_code(), 14, "an archive is never replaced");
    assert!(
        sim.calls().len() <= calls + 2,
        "refused before anything is read"
    );
}

/// Cancels after so many progress events.
struct Canceller {
    left: AtomicUsize,
    cancel: lifeboat_export::Cancel,
}

impl Observer for Canceller {
    fn event(&self, event: Event<'_>) {
        if matches!(event, Event::Progress { .. }) && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            self.cancel.raise();
        }
    }
}

#[tokio::test]
async fn a_cancelled_run_leaves_nothing() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let folder = tempfile::tempdir().unwrap();
    for left in [1, 5, 15] {
        let mut options = options();
        options.cancel = lifeboat_export::Cancel::new();
        let canceller = Canceller {
            left: AtomicUsize::new(left),
            cancel: options.cancel.clone(),
        };
        let to = folder.path().join("x.tar.zst");
        let error = to_file(&client, &options, to.to_str().unwrap(), &canceller)
            .await
            .unwrap_err();
        let error: Error = *error.downcast().unwrap();
        assert!(matches!(error, Error::Cancelled), "{error:?}");
        assert_eq!(error.exit_code(), 130);
        assert_eq!(files(folder.path()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_cancelled_run_keeps_what_it_has_when_it_is_asked_to() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    sim.with(|world| {
        for index in 0..60 {
            put(
                world,
                &format!("/Shared/many/n{index:02}"),
                notebook(common::SOURCE),
            );
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("x.tar.zst");
    let mut options = options();
    options.keep_partial = true;
    options.concurrency = 2;
    let canceller = Canceller {
        left: AtomicUsize::new(45),
        cancel: options.cancel.clone(),
    };
    let (path, outcome) = to_file(&client, &options, to.to_str().unwrap(), &canceller)
        .await
        .unwrap();
    assert_eq!(
        files(folder.path()),
        ["x.partial.json", "x.partial.tar.zst"]
    );
    assert_eq!(outcome.exit_code(), 130);
    assert_eq!(outcome.descriptor.inventory, Inventory::Incomplete);
    let archive = Archive::open(&path).unwrap();
    assert!(archive.verify(&mut |_, _| {}).unwrap().is_intact());
    assert!(outcome.count(Fate::Stored) > 0);
    let failed = archive.lines("ledger").unwrap();
    assert!(
        failed
            .map(Result::unwrap)
            .any(|line| line.contains("not attempted: the run was interrupted"))
    );
    // The name stays free for the run that goes on from here.
    let calls = sim.calls().len();
    options.cancel = lifeboat_export::Cancel::new();
    to_file(&client, &options, to.to_str().unwrap(), &Silent)
        .await
        .unwrap();
    assert!(sim.calls().len() > calls);
    assert_eq!(files(folder.path()).len(), 4);
}

#[tokio::test]
async fn a_second_cancel_ends_the_run_at_once() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("x.tar.zst");
    let mut options = options();
    options.keep_partial = true;
    options.cancel.raise();
    options.cancel.raise();
    let error = to_file(&client, &options, to.to_str().unwrap(), &Silent)
        .await
        .unwrap_err();
    let error: Error = *error.downcast().unwrap();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

/// A sink that is full after so many bytes.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::StorageFull,
                "no space left on device",
            ));
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_with_its_cause() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    for room in [0, 3000] {
        let error = lifeboat_export::run(&client, &options(), Full(room), &Silent)
            .await
            .err()
            .unwrap();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        assert!(text.contains("no space left on device"), "{text}");
        assert_eq!(error.exit_code(), 1);
    }
}

/// Bytes of contents that arrived so far, told by the run and waited for by the sink.
#[derive(Default)]
struct Arrived {
    bytes: std::sync::Mutex<u64>,
    more: std::sync::Condvar,
}

/// Tells how much arrived.
struct Arrivals(std::sync::Arc<Arrived>);

impl Observer for Arrivals {
    fn event(&self, event: Event<'_>) {
        if let Event::Progress {
            phase: "contents",
            bytes,
            ..
        } = event
        {
            *self.0.bytes.lock().unwrap() = bytes;
            self.0.more.notify_all();
        }
    }
}

/// A sink that takes nothing until nothing more arrives, and then everything.
struct Slow {
    arrived: std::sync::Arc<Arrived>,
    most: std::sync::Arc<std::sync::Mutex<u64>>,
    released: bool,
}

impl std::io::Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut arrived = self.arrived.bytes.lock().unwrap();
        while !self.released {
            let before = *arrived;
            let pause = std::time::Duration::from_millis(700);
            arrived = self.arrived.more.wait_timeout(arrived, pause).unwrap().0;
            self.released = *arrived == before && before > 0;
            *self.most.lock().unwrap() = *arrived;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_slow_sink_holds_the_reading_within_the_window() {
    let sim = sim();
    let client = client(&sim);
    sim.with(|world| {
        for index in 0..80_u32 {
            // Bytes that do not shrink, so that frames leave the writer as they come.
            let mut state = index + 1;
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .take(900_000)
            .collect();
            put(
                world,
                &format!("/Shared/f{index:02}.bin"),
                lifeboat_sim::tree::Object::File(bytes.into()),
            );
        }
    });
    let arrived = std::sync::Arc::new(Arrived::default());
    let most = std::sync::Arc::new(std::sync::Mutex::new(0));
    let sink = Slow {
        arrived: arrived.clone(),
        most: most.clone(),
        released: false,
    };
    let (_, outcome) = lifeboat_export::run(&client, &options(), sink, &Arrivals(arrived))
        .await
        .unwrap();
    assert_eq!(outcome.summary.kinds["files"].bytes, 80 * 900_000);
    let most = *most.lock().unwrap();
    assert!(most > 900_000, "{most} bytes were read ahead");
    assert!(
        most < 60_000_000,
        "{most} bytes of 72,000,000 were read while nothing was written"
    );
}

#[tokio::test]
async fn one_object_that_is_refused_like_a_lost_token_is_only_failed() {
    let sim = sim();
    let client = client(&sim);
    seed(&sim, &client).await;
    let mut fault = expired();
    fault.path = "/api/2.0/workspace/export".to_owned();
    fault.query = "path=/Shared/team/etl".to_owned();
    sim.fault(fault);
    let written = export(&client, &options()).await;
    assert_eq!(written.outcome.exit_code(), 3);
    assert!(written.heard.stops.lock().unwrap().is_empty());
    let failed = written.ledger(Fate::Failed);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].name, "/Shared/team/etl");
}
