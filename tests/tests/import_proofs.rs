//! Proofs at full width: an import that dies at any call, by the server or by itself, and an import on a bad day. Each
//! time the next runs make it good: the target ends equal, nothing is there twice, no cluster runs, and the run after
//! that writes nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "how wide a proof was is worth reading")]

mod import_support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use import_support::{Stage, client, client_with, old, troubles};
use lifeboat_import::{DeleteLimit, Error, Options, Report, Silent};
use lifeboat_sim::{Call, Fault, FaultKind, Fill, Storm, When};
use serde_json::json;

/// Workspaces in work at the same time.
const LANES: usize = 3;
/// Runs of an apply on a bad day after which it counts as never done.
const MOST_RUNS: u64 = 12;

/// Every kind, few objects of each.
fn tiny() -> Fill {
    Fill {
        notebooks: 3,
        folders: 2,
        files: 2,
        others: 1,
        users: 2,
        service_principals: 1,
        groups: 4,
        clusters: 2,
        jobs: 3,
        pools: 1,
        policies: 1,
        init_scripts: 2,
        scopes: 1,
        git_folders: 2,
        dbfs_files: 0,
        ..Fill::small()
    }
}

/// Runs `trial` for every number below `total` (or for the one in `LIFEBOAT_PROOF_ONLY`), several at a time; says what
/// went wrong and fails at the end.
fn all_of(
    what: &str,
    total: u64,
    trial: impl Fn(&tokio::runtime::Runtime, u64) -> Result<(), String> + Sync,
) {
    let only: Option<u64> = std::env::var("LIFEBOAT_PROOF_ONLY")
        .ok()
        .map(|text| text.parse().unwrap());
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return;
                    }
                    if only.is_some_and(|only| only != number) {
                        continue;
                    }
                    if let Err(fault) = trial(&runtime, number) {
                        println!("{what} {number}: {fault}");
                        faults.lock().unwrap().push(number);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    println!(
        "{what}: {total} tried, {} failed, {:.0} s",
        faults.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(faults.is_empty(), "{what}: {faults:?}");
}

/// What is wrong with a target after an import that finished, and after one more: nothing, if it was safe.
async fn wrongs(stage: &Stage, report: &Report) -> Vec<String> {
    let mut wrongs = troubles(report);
    if let Some(comparison) = &report.comparison {
        wrongs.extend(
            comparison
                .differences
                .iter()
                .map(|one| format!("compared: {one:?}")),
        );
    }
    // A second object of a name shows as one that the source does not have.
    wrongs.extend(stage.differences());
    let costs = stage.target.costs();
    if !costs.clusters_on.is_empty()
        || !costs.jobs_armed.is_empty()
        || costs.runs_started > 0
        || costs.idle_instances > 0
    {
        wrongs.push(format!("something runs: {costs:?}"));
    }
    stage.target.reset_calls();
    match stage.apply(&stage.options()).await {
        Ok(again) if again.writes == 0 && stage.writes().is_empty() => {}
        Ok(_) => wrongs.push(format!("the next run writes: {:?}", stage.writes())),
        Err(error) => wrongs.push(format!("the next run fails: {error}")),
    }
    let unhandled = stage.target.unhandled();
    wrongs.extend(
        unhandled
            .iter()
            .map(|call| format!("not simulated: {call:?}")),
    );
    wrongs
}

fn verdict(wrongs: &[String]) -> Result<(), String> {
    if wrongs.is_empty() {
        Ok(())
    } else {
        Err(wrongs.join("; "))
    }
}

/// A source with its archive, and how many calls a whole apply makes.
fn begin() -> (Stage, u64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stage = Stage::new(&tiny()).await;
        // One file of two blocks.
        let large: Vec<u8> = (0..1_050_000_u32).map(|at| (at % 251) as u8).collect();
        stage
            .source
            .with(|world| lifeboat_sim::dbfs::put(world, "/FileStore/large.bin", large.into()));
        stage.export().await;
        stage.target.reset_calls();
        let report = stage.apply(&stage.options()).await.unwrap();
        let calls = stage.target.calls().len() as u64;
        assert_eq!(wrongs(&stage, &report).await, Vec::<String>::new());
        (stage, calls)
    })
}

/// The next run after one that died.
async fn resumed(stage: &Stage) -> Result<(), String> {
    match stage.apply(&stage.options()).await {
        Ok(report) => verdict(&wrongs(stage, &report).await),
        Err(error) => Err(format!("the resumed run fails: {error}")),
    }
}

fn dies_with_the_server(when: When) {
    let (first, calls) = begin();
    all_of(
        &format!("server dies, {when:?} call"),
        calls,
        |runtime, call| {
            runtime.block_on(async {
                let stage = first.sibling(&tiny());
                stage.target.fault(Fault {
                    kind: FaultKind::Kill,
                    skip: call,
                    times: 1,
                    when,
                    ..Fault::default()
                });
                let impatient = client_with(&stage.target, Duration::from_millis(5));
                let died =
                    lifeboat_import::apply(&stage.open(), &impatient, &stage.options(), &Silent)
                        .await;
                stage.target.clear_faults();
                // How often a cluster is looked at depends on time: the last calls are not made every time.
                if died.is_ok() && call + 10 < calls {
                    return Err("the call was never made".to_owned());
                }
                resumed(&stage).await
            })
        },
    );
}

/// A source after a night and a day: archives of both nights, in the second of which something of every kind is gone and
/// something has changed.
struct TwoNights {
    stage: Stage,
    first: std::path::PathBuf,
}

impl TwoNights {
    async fn begin() -> Self {
        let stage = Stage::new(&tiny()).await;
        let source = &stage.source;
        let notebook = |content: &str| json!({ "path": "/Stays", "format": "SOURCE", "language": "PYTHON", "overwrite": true, "content": content });
        let import = "/api/2.0/workspace/import";
        old::post(source, import, notebook("cHJpbnQoMSkK")).await;
        let policy = json!({ "name": "stays", "definition": "{}" });
        let policy = old::post(source, "/api/2.0/policies/clusters/create", policy).await;
        let job = json!({ "name": "stays", "tasks": [{ "task_key": "t", "notebook_task": { "notebook_path": "/Stays" } }] });
        let job = old::post(source, "/api/2.2/jobs/create", job).await;
        let ids = old::add(&stage).await;
        stage.export().await;
        let first = stage.folder.path().join("first.tar.zst");
        fs_err::copy(&stage.archive, &first).unwrap();
        source.advance(Duration::from_secs(5));
        old::remove(&stage, &ids).await;
        old::post(source, import, notebook("cHJpbnQoMikK")).await;
        let body = json!({ "policy_id": policy["policy_id"], "name": "stays", "definition": "{\"spark_version\":{\"type\":\"unlimited\"}}" });
        old::post(source, "/api/2.0/policies/clusters/edit", body).await;
        let body = json!({ "job_id": job["job_id"], "new_settings": { "max_concurrent_runs": 3 } });
        old::post(source, "/api/2.2/jobs/update", body).await;
        let grant = json!({ "access_control_list": [{ "group_name": "users", "permission_level": "CAN_VIEW" }] });
        let path = format!("/api/2.0/permissions/jobs/{}", job["job_id"]);
        let patch = client(source);
        patch
            .send(
                "PATCH",
                &path,
                &[],
                lifeboat_databricks::Body::Json(&grant),
                lifeboat_databricks::Safety::Idempotent,
            )
            .await
            .unwrap();
        stage.export().await;
        Self { stage, first }
    }

    /// A target that holds the first night.
    async fn standby(&self) -> Stage {
        let mut standby = self.stage.sibling(&tiny());
        let second = std::mem::replace(&mut standby.archive, self.first.clone());
        let report = standby.apply(&standby.options()).await.unwrap();
        assert_eq!(troubles(&report), Vec::<String>::new());
        standby.archive = second;
        standby.target.reset_calls();
        standby
    }
}

fn deleting(stage: &Stage) -> Options {
    Options {
        delete_removed: true,
        delete_limit: DeleteLimit::Count(9),
        ..stage.options()
    }
}

/// [`wrongs`] but for the home of a user who is gone: homes are never deleted.
async fn second_wrongs(stage: &Stage, report: &Report) -> Vec<String> {
    let mut wrongs = wrongs(stage, report).await;
    wrongs.retain(|one| one != "directories /Users/old@example.com: only here");
    wrongs
}

#[test]
fn the_server_dies_after_every_call_of_a_night_that_updates_and_deletes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (nights, quiet, calls) = runtime.block_on(async {
        let nights = TwoNights::begin().await;
        let stage = nights.standby().await;
        let report = stage.apply(&deleting(&stage)).await.unwrap();
        let made = stage.target.calls();
        let is_write = |call: &Call| call.method != "GET";
        let quiet = made.iter().position(is_write).unwrap() as u64;
        assert_eq!(second_wrongs(&stage, &report).await, Vec::<String>::new());
        (nights, quiet, made.len() as u64)
    });
    // Before its first write a run is one that never began.
    all_of(
        "server dies, second night, call",
        calls - quiet,
        |runtime, call| {
            runtime.block_on(async {
                let stage = nights.standby().await;
                stage.target.fault(Fault {
                    kind: FaultKind::Kill,
                    skip: quiet + call,
                    times: 1,
                    when: When::After,
                    ..Fault::default()
                });
                let impatient = client_with(&stage.target, Duration::from_millis(5));
                let options = deleting(&stage);
                let died =
                    lifeboat_import::apply(&stage.open(), &impatient, &options, &Silent).await;
                stage.target.clear_faults();
                if died.is_ok() && quiet + call + 10 < calls {
                    return Err("the call was never made".to_owned());
                }
                match stage.apply(&options).await {
                    Ok(report) => verdict(&second_wrongs(&stage, &report).await),
                    Err(error) => Err(format!("the resumed run fails: {error}")),
                }
            })
        },
    );
}

#[test]
fn the_server_dies_after_every_call() {
    dies_with_the_server(When::After);
}

#[test]
#[ignore = "as long again: run it with --run-ignored all after changes of the journal"]
fn the_server_dies_before_every_call() {
    dies_with_the_server(When::Before);
}

/// The importer is gone at the moment at which a call has taken effect and its answer is on its way: its intent stands in
/// the journal, its result does not.
#[test]
fn the_importer_dies_at_every_call() {
    let (first, calls) = begin();
    all_of("importer dies at call", calls, |runtime, call| {
        runtime.block_on(async {
            let stage = first.sibling(&tiny());
            let died = dropped_at(
                &stage,
                Fault {
                    skip: call,
                    ..Fault::default()
                },
            )
            .await;
            if !died && call + 10 < calls {
                return Err("the call was never made".to_owned());
            }
            if call % 3 == 0 {
                tear(&stage);
            }
            resumed(&stage).await
        })
    });
}

/// Drops an import at the call that `at` strikes, after its effect; false when it was never made.
async fn dropped_at(stage: &Stage, at: Fault) -> bool {
    let (died, dies) = tokio::sync::oneshot::channel();
    let mut died = Some(died);
    stage.target.on_call(move |call| {
        if call.status == 0
            && let Some(died) = died.take()
        {
            // Nobody waits any more when the import has ended.
            let _ = died.send(());
        }
    });
    stage.target.fault(Fault {
        kind: FaultKind::Hang,
        when: When::After,
        times: 1,
        ..at
    });
    let archive = stage.open();
    let options = stage.options();
    let dropped = tokio::select! {
        _ = lifeboat_import::apply(&archive, &stage.client, &options, &Silent) => false,
        _ = dies => true,
    };
    stage.target.clear_faults();
    stage.target.on_call(|_| {});
    // What was on its way still arrives.
    let mut before = usize::MAX;
    while before != stage.target.calls().len() {
        before = stage.target.calls().len();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    dropped
}

/// The last line of the journal loses its end.
fn tear(stage: &Stage) {
    if let Ok(mut journal) = fs_err::read(stage.journal()) {
        journal.extend_from_slice(br#"{"v":1,"at":"2026-11-22T01:0"#);
        fs_err::write(stage.journal(), journal).unwrap();
    }
}

/// For every operation that the journal knows, of every kind that has it: dead between intent and result.
#[test]
fn every_operation_may_stay_without_a_result() {
    let (first, _) = begin();
    let lines = fs_err::read_to_string(first.journal()).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["line"] == "intent" {
            seen.insert((
                line["op"].as_str().unwrap().to_owned(),
                line["kind"].as_str().unwrap().to_owned(),
            ));
        }
    }
    let seen: Vec<(String, String)> = seen.into_iter().collect();
    for op in [
        "create",
        "update",
        "terminate",
        "configure",
        "pin",
        "access",
    ] {
        assert!(
            seen.iter().any(|(known, _)| known == op),
            "{op} never happens"
        );
    }
    all_of("without a result", seen.len() as u64, |runtime, number| {
        let (op, kind) = &seen[usize::try_from(number).unwrap()];
        runtime.block_on(async {
            let stage = first.sibling(&tiny());
            let report = stage
                .apply(&stage.options())
                .await
                .map_err(|error| error.to_string())?;
            verdict(&troubles(&report))?;
            // As if the process had died there: everything after the intent is gone.
            let text = fs_err::read_to_string(stage.journal()).unwrap();
            let is_it = |line: &&str| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                line["line"] == "intent"
                    && line["op"] == op.as_str()
                    && line["kind"] == kind.as_str()
            };
            let lines: Vec<&str> = text.lines().collect();
            let at = lines.iter().position(is_it).unwrap();
            let id = serde_json::from_str::<serde_json::Value>(lines[at]).unwrap()["id"].clone();
            // Later lines of other objects stay, so that the target holds nothing that the journal does not know.
            let kept: Vec<&str> = lines
                .iter()
                .enumerate()
                .filter(|(index, line)| {
                    let value: serde_json::Value = serde_json::from_str(line).unwrap();
                    *index <= at || value["kind"] != kind.as_str() || value["id"] != id
                })
                .map(|(_, line)| *line)
                .collect();
            fs_err::write(stage.journal(), format!("{}\n", kept.join("\n"))).unwrap();
            resumed(&stage)
                .await
                .map_err(|fault| format!("{op} of {kind}: {fault}"))
        })
    });
}

fn stormy(seeds: std::ops::Range<u64>) {
    let (first, _) = begin();
    let runs = AtomicU64::new(0);
    let struck = AtomicU64::new(0);
    let most = AtomicU64::new(0);
    let offset = seeds.start;
    let total = seeds.end - seeds.start;
    all_of("storm", total, |runtime, number| {
        runtime.block_on(async {
            let stage = first.sibling(&tiny());
            stage.target.storm(Storm {
                seed: offset + number,
                failing: 5,
                stale: 2,
            });
            let mut last = String::new();
            for run in 1..=MOST_RUNS {
                match stage.apply(&stage.options()).await {
                    Ok(report)
                        if troubles(&report).is_empty()
                            && report
                                .comparison
                                .iter()
                                .all(|one| one.differences.is_empty()) =>
                    {
                        runs.fetch_add(run, Ordering::Relaxed);
                        most.fetch_max(run, Ordering::Relaxed);
                        let calls = stage.target.calls();
                        let failed = calls
                            .iter()
                            .filter(|call| matches!(call.status, 429 | 500 | 503 | 504));
                        struck.fetch_add(failed.count() as u64, Ordering::Relaxed);
                        stage.target.clear_faults();
                        return verdict(&wrongs(&stage, &report).await);
                    }
                    Ok(report) => {
                        last = format!(
                            "{:?}, {:?}",
                            troubles(&report),
                            report.comparison.map(|one| one.differences)
                        )
                    }
                    Err(Error::Service { doing, source }) => last = format!("{doing}: {source}"),
                    Err(Error::Stopped { doing, cause, .. }) => last = format!("{doing}: {cause}"),
                    Err(error) => return Err(format!("run {run}: {error}")),
                }
            }
            Err(format!("not done after {MOST_RUNS} runs: {last}"))
        })
    });
    println!(
        "storm: {total} seeds, {} runs, at most {} for one seed, {} calls failed",
        runs.load(Ordering::Relaxed),
        most.load(Ordering::Relaxed),
        struck.load(Ordering::Relaxed)
    );
    assert!(struck.into_inner() > total * 5, "it was no storm");
}

/// `LIFEBOAT_STORM_SEEDS` says how many seeds (200).
#[test]
fn whatever_fails_on_a_bad_day_the_target_ends_equal() {
    let seeds = std::env::var("LIFEBOAT_STORM_SEEDS").map_or(200, |text| text.parse().unwrap());
    stormy(0..seeds);
}
