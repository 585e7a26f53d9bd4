//! `lifeboat-export run`.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use lifeboat_archive::{Descriptor, Fate, Inventory, Scope};
use lifeboat_catalog::selection::Unmatched;
use lifeboat_console::{Console, Verbosity, bytes, counted, duration};
use lifeboat_export::{Begin, Cancel, NotebookFormat, Options, Outcome, Stop, run_into};
use lifeboat_storage::{Destination, Place, SigningKey, Sink};
use serde_json::json;

use crate::args::{ConnectionArgs, OutputArgs, ProtectionArgs, SelectionArgs, parse_size};
use crate::exit::Exit;
use crate::export::base::BaseArgs;
use crate::export::record::Record;
use crate::failure::Failure;
use crate::frame::{block_on, block_on_keeping};
use crate::metrics::{self, MetricsArgs};
use crate::observe::Observer;
use crate::place;
use crate::show::{captured, to_json};

/// Write the workspace into one archive
///
/// The archive appears under its name only when it is complete; nothing is ever overwritten. Files are readable by
/// their owner only: what users wrote into configurations and code is in the archive as it is, so encrypt it before it
/// leaves the machine.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Examples:
  lifeboat-export run --profile primary --to backups/
  lifeboat-export run --profile primary --to backups/ --base latest
  lifeboat-export run --profile primary \\
      --to abfss://vault@account.dfs.core.windows.net/nightly/
  lifeboat-export run --profile primary --to backups/ --encrypt-to age1... \\
      --sign minisign.key")]
pub(crate) struct RunArgs {
    /// Path or URL (az://, abfss://, https://, s3://) to write, or a folder ending in `/`: the archive is then named
    /// <workspace id>-<UTC start>.tar.zst, with .age added when it is encrypted
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
    #[command(flatten)]
    pub(crate) base: BaseArgs,
    /// Name of the top folder in the archive, instead of <workspace id>-<UTC start>
    #[arg(long, value_name = "NAME", value_parser = bag, help_heading = "Archive")]
    pub(crate) bag: Option<String>,
    /// Compression level of Zstandard
    #[arg(long, value_name = "1-19", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=19), help_heading = "Archive")]
    pub(crate) level: i32,
    /// Also exit with 3 when objects vanished during the run or are of unsupported types
    #[arg(long, help_heading = "Archive")]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) protection: ProtectionArgs,
    #[command(flatten)]
    pub(crate) metrics: MetricsArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The phase in which an archive in a store gets the name of one whose run ended early.
const RENAMING: &str = "renaming";

/// What is captured, and in which form.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Capture")]
pub(crate) struct CaptureArgs {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// Form of notebooks; on the service's size error the other one is tried
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Source, help_heading = "Capture")]
    pub(crate) notebook_format: Format,
    /// Largest workspace or DBFS file that is captured
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size, help_heading = "Capture")]
    pub(crate) max_file: u64,
    /// Also capture this DBFS file or folder; may be given several times
    #[arg(long, value_name = "PATH", help_heading = "Capture")]
    pub(crate) dbfs: Vec<String>,
    /// Also capture the files in git folders; otherwise uncommitted changes in them are not in the archive
    #[arg(long, help_heading = "Capture")]
    pub(crate) git_folder_files: bool,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Source text without outputs
    Source,
    /// Jupyter JSON
    Jupyter,
}

fn bag(text: &str) -> Result<String, String> {
    match lifeboat_archive::names::check(text) {
        Ok(()) if !text.contains('/') => Ok(text.to_owned()),
        _ => Err("the name of one folder, such as 7405609123456789-nightly".to_owned()),
    }
}

impl CaptureArgs {
    /// The options of a run that starts now, or at SOURCE_DATE_EPOCH for a reproducible archive.
    pub(crate) fn options(&self) -> Result<Options, Failure> {
        let epoch = std::env::var("SOURCE_DATE_EPOCH")
            .ok()
            .filter(|value| !value.is_empty());
        let started = match &epoch {
            None => Timestamp::now(),
            Some(value) => value
                .parse()
                .ok()
                .and_then(|seconds| Timestamp::from_second(seconds).ok())
                .ok_or_else(|| Failure::Epoch {
                    value: value.clone(),
                })?,
        };
        Ok(Options {
            selection: self.selection.selection(),
            notebook_format: match self.notebook_format {
                Format::Source => NotebookFormat::Source,
                Format::Jupyter => NotebookFormat::Jupyter,
            },
            max_file: self.max_file,
            dbfs: self.dbfs.clone(),
            git_folder_files: self.git_folder_files,
            reproducible: epoch.is_some(),
            ..Options::new(started)
        })
    }
}

pub(crate) fn run(args: &RunArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let metrics = args.metrics.open()?;
    let mut record = Record::begin();
    let result = export(args, console, &mut record);
    metrics::finish(metrics, result, console, |file, exit| {
        record.page(file, exit)
    })
}

fn export(args: &RunArgs, console: &Arc<Console>, record: &mut Record) -> Result<Exit, Failure> {
    let to = Place::parse(&args.to)?;
    let protection = args.protection.load(console)?;
    protection.check(&to)?;
    let signer = protection
        .signing_key
        .as_ref()
        .map(SigningKey::public)
        .transpose()?;
    let identities = args.base.identity.load()?;
    let client = args
        .connection
        .connect_by_night(console, |host| record.host(host))?;
    let options = Options {
        strict: args.strict,
        level: args.level,
        bag: args.bag.clone(),
        secret_values: args.protection.secret_values,
        ..args.base.apply(args.capture.options()?)
    };
    let cancel: Cancel = options.cancel.clone();
    let observer = Observer::new(console);
    let unnamed = Arc::new(OnceLock::new());
    let work = observer.watching(&client, async {
        let mut destination = None;
        let open = async |begin: &Begin<'_>| {
            let base = args
                .base
                .open(&to, begin, &options, &identities, signer.clone(), console)
                .await?;
            let (opened, sink) = place::create(&to, begin.name, &protection).await?;
            destination = Some(opened);
            Ok::<_, Failure>((sink, base))
        };
        let (sink, mut outcome) = run_into(&client, &options, open, &observer).await?;
        let destination = destination.ok_or_else(|| Failure::Panicked {
            what: "the archive has no destination".to_owned(),
        })?;
        let placed = commit(destination, sink, &mut outcome, &unnamed, console).await?;
        Ok((placed, outcome))
    });
    let begun = std::time::Instant::now();
    let on_signal = move || cancel.raise();
    let ended = match options.keep_partial {
        true => block_on_keeping(console, work, on_signal),
        false => block_on(work, on_signal).map(|done| (done, None)),
    };
    record.calls(client.stats());
    if let (Err(_), Some(first)) = (&ended, unnamed.get()) {
        console.warning(&format!(
            "what was read is at {first}, with an incomplete inventory: it counts for nothing, another run cannot have \
             that name, and `--base {first}` takes it over"
        ));
    }
    let (((place, remark), outcome), signal) = ended?;
    record.archive(&place, &outcome);
    observer.finish();
    console.end_phases();
    // The name of the archive was not known before, and a script wants nothing else.
    let name = place.to_string();
    if to.is_folder() && console.settings().verbosity == Verbosity::Quiet {
        console.answer(&name);
    }
    if let Some(remark) = remark {
        console.warning(&remark);
    }
    warn_of_unmatched(&outcome, console);
    Ok(report(
        console,
        &name,
        &outcome,
        begun.elapsed(),
        signal,
        protection.signing_key.is_some(),
    ))
}

fn warn_of_unmatched(outcome: &Outcome, console: &Console) {
    for what in &outcome.unmatched {
        let what = match what {
            Unmatched::Include(pattern) => format!("--include {pattern}"),
            Unmatched::User(user) => format!("--users {user}"),
        };
        console.warning(&format!(
            "{what} matches nothing: no object of it is in the archive"
        ));
    }
}

/// Makes the archive visible. Gives its place, and what is to be said of its name. `unnamed` hears where it is while it gets
/// the name of one whose run ended early: whatever ends the command then, that is where it stays.
async fn commit(
    destination: Destination,
    sink: Sink,
    outcome: &mut Outcome,
    unnamed: &Arc<OnceLock<String>>,
    console: &Arc<Console>,
) -> Result<(Place, Option<String>), Failure> {
    let descriptor = outcome.descriptor.clone();
    if outcome.stopped.is_none() {
        let committed = place::apart(move || destination.commit(sink, &descriptor)).await?;
        outcome.descriptor = committed.1;
        return Ok((committed.0, None));
    }
    let first = destination.place().to_string();
    let shown = Arc::clone(console);
    shown.phase(RENAMING, None);
    let (name, unnamed) = (first.clone(), Arc::clone(unnamed));
    let committed = place::apart(move || {
        let told = |copied| {
            unnamed.get_or_init(|| name.clone());
            shown.progress(RENAMING, 0, None, copied);
        };
        destination.commit_partial(sink, &descriptor, &told)
    });
    let (place, descriptor, taken) = committed.await?;
    console.end_phase(RENAMING);
    outcome.descriptor = descriptor;
    let remark = taken.map(|reason| {
        let stays = if place.to_string() == first {
            format!("the archive keeps the name {first}")
        } else {
            format!("{first} stays as well")
        };
        format!("{stays}, which another run cannot have: {reason}")
    });
    Ok((place, remark))
}

fn report(
    console: &Console,
    name: &str,
    outcome: &Outcome,
    took: Duration,
    signal: Option<Exit>,
    signed: bool,
) -> Exit {
    let mut exit = match (&outcome.stopped, signal) {
        (Some(Stop::Interrupted), Some(signal)) => signal,
        _ => Exit::of(outcome.exit_code()),
    };
    console.table(&captured(&outcome.summary.kinds));
    console.line("");
    let (stored, reused) = (outcome.count(Fate::Stored), outcome.count(Fate::Reused));
    let taken_over = match reused {
        0 => String::new(),
        _ => format!(", {reused} of them taken over from the base"),
    };
    let pace = format!(
        "{}{taken_over}, {}, {}",
        counted(stored + reused, "object"),
        counted(outcome.calls, "call"),
        duration(took)
    );
    let encrypted = if outcome.descriptor.encrypted {
        ", encrypted"
    } else {
        ""
    };
    console.line(&format!(
        "archive    {name} ({}{encrypted})",
        bytes(outcome.descriptor.size)
    ));
    let beside = Path::new(name);
    let descriptor = Descriptor::path_for(beside);
    console.line(&format!("descriptor {}", descriptor.display()));
    let signature = Descriptor::signature_path_for(beside);
    if signed {
        console.line(&format!("signature  {}", signature.display()));
    }
    console.line(&format!("archive id {}", outcome.sealed.archive_id));
    console.line(&format!("content id {}", outcome.sealed.content_id));
    console.line(&format!(
        "inventory  {}; {pace}",
        inventory(outcome.summary.inventory)
    ));
    if let Some(stop) = &outcome.stopped {
        console.warning(&format!(
            "the run ended early ({stop}): the archive holds what was read until then; `--base {name}` takes it over into the next one"
        ));
        if matches!(stop, Stop::CredentialsLost { .. }) {
            console.warning("before that, renew the credentials: a token that was given expires, those of the other methods are renewed (spec/credentials.md)");
        }
    }
    if exit == Exit::Gaps && outcome.gaps_total > 0 {
        console.warning(&format!(
            "finished with gaps: {} not in the archive; `lifeboat-inspect ls {name} ledger` names each",
            counted(outcome.gaps_total, "object")
        ));
    }
    if !outcome.unmatched.is_empty() {
        exit = exit.and(Exit::Gaps);
    }
    if outcome.descriptor.scope == Scope::Selection {
        console.line(
            "scope      selection: no archive of the whole workspace, so `latest`, `status` and `prune` do not count it",
        );
    }
    console.summary(json!({
        "command": "lifeboat-export run",
        "exit_code": exit.code(),
        "archive": name,
        "descriptor": to_json(&outcome.descriptor),
        "signature": signed.then(|| signature.to_string_lossy()),
        "kinds": to_json(&outcome.summary.kinds),
        "gaps": outcome.gaps_total,
        "caller_is_admin": outcome.caller_is_admin,
        "calls": outcome.calls,
        "stopped": outcome.stopped.as_ref().map(ToString::to_string),
        "reread_changed": outcome.reread_changed,
    }));
    exit
}

fn inventory(inventory: Inventory) -> &'static str {
    match inventory {
        Inventory::Complete => "complete",
        Inventory::Incomplete => "incomplete",
    }
}
