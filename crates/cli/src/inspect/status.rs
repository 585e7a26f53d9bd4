//! `lifeboat-inspect status`.

use std::sync::Arc;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use lifeboat_console::{Console, counted};
use lifeboat_storage::watch::{Expected, Health, Trouble, check};
use serde_json::{Value, json};

use crate::args::{FolderArgs, OutputArgs, parse_age};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::metrics::{self, MetricsArgs, Page};
use crate::place::named;
use crate::shelf::age_text;

/// Tell whether the newest archive is fresh and whether there are enough: for a monitor to run
///
/// Exits with 0 when every workspace that has archives in the folder does well, with 13 when one does not or none has any,
/// and with 1 or 12 when the folder cannot be listed. Only complete archives of a whole workspace count. A workspace of
/// which no archive is left at all is noticed only when it is named.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Examples:
  lifeboat-inspect status abfss://vault@account.dfs.core.windows.net/nightly/ \\
      --max-age 26h --min-count 7
  lifeboat-inspect status backups/ --workspace 7405609123456789 --max-age 2d")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// The newest archive of each workspace is at most so old, counted from the begin of its run
    #[arg(long, value_name = "AGE", default_value = "26h", value_parser = parse_age)]
    max_age: SignedDuration,
    /// Each workspace has at least so many archives
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    min_count: u64,
    /// At most so many objects failed in the newest archive: one in which everything was refused counts too, because
    /// everything was listed
    #[arg(long, value_name = "COUNT")]
    max_failed: Option<u64>,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: &StatusArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let metrics = args.metrics.open()?;
    let mut seen = Vec::new();
    let result = watch(args, console, &mut seen);
    let place = metrics::place(&named(&args.folder.place)?);
    metrics::finish(metrics, result, console, |_, exit| {
        page(&place, &seen, exit)
    })
}

/// What the metrics tell of a workspace.
struct Seen {
    workspace_id: String,
    count: u64,
    started: Option<Timestamp>,
    failed: Option<u64>,
    well: bool,
}

fn page(place: &str, seen: &[Seen], exit: Exit) -> Page {
    let mut page = Page::default();
    let own = || vec![("place", place)];
    let now = Timestamp::now().as_second() as f64;
    page.gauge(
        "lifeboat_status_timestamp_seconds",
        "When the folder was looked at, since 1970.",
        [(own(), now)],
    );
    page.gauge(
        "lifeboat_status_exit_code",
        "How that ended (spec/exit-codes.md).",
        [(own(), f64::from(exit.code()))],
    );
    let each = |value: fn(&Seen) -> Option<f64>| {
        seen.iter().filter_map(move |seen| {
            let labels = vec![
                ("place", place),
                ("workspace_id", seen.workspace_id.as_str()),
            ];
            Some((labels, value(seen)?))
        })
    };
    page.gauge(
        "lifeboat_status_ok",
        "1 when the workspace does well, else 0.",
        each(|seen| Some(f64::from(u8::from(seen.well)))),
    );
    page.gauge(
        "lifeboat_status_archives",
        "Archives that count.",
        each(|seen| Some(seen.count as f64)),
    );
    page.gauge(
        "lifeboat_status_newest_started_timestamp_seconds",
        "Begin of the run that left the newest archive which counts: its age.",
        each(|seen| seen.started.map(|started| started.as_second() as f64)),
    );
    page.gauge(
        "lifeboat_status_newest_failed",
        "Objects that failed in the newest archive which counts.",
        each(|seen| seen.failed.map(|failed| failed as f64)),
    );
    page
}

fn watch(args: &StatusArgs, console: &Arc<Console>, seen: &mut Vec<Seen>) -> Result<Exit, Failure> {
    let listing = args.folder.list(console)?;
    let expected = Expected {
        max_age: args.max_age,
        min_count: args.min_count,
        max_failed: args.max_failed,
    };
    let workspace = args.folder.workspace.as_deref();
    let healths = check(&listing, workspace, &expected, Timestamp::now());
    for health in &healths {
        console.result("status", fields(health), &verdict(health, &expected));
    }
    seen.extend(healths.iter().map(|health| {
        let newest = health.newest.and_then(|archive| archive.descriptor());
        Seen {
            workspace_id: health.workspace_id.clone(),
            count: health.count,
            started: newest.map(|descriptor| descriptor.started),
            failed: failed(health),
            well: health.troubles.is_empty(),
        }
    }));
    if healths.is_empty() {
        console.answer(&format!("{}: no archive of any workspace", listing.folder));
    }
    let well = !healths.is_empty() && healths.iter().all(|health| health.troubles.is_empty());
    let exit = if well { Exit::Done } else { Exit::Differences };
    console.summary(json!({
        "command": "lifeboat-inspect status",
        "exit_code": exit.code(),
        "place": listing.folder.to_string(),
        "workspaces": healths.len(),
        "in_trouble": healths.iter().filter(|health| !health.troubles.is_empty()).count(),
        "max_age_seconds": expected.max_age.as_secs(),
        "min_count": expected.min_count,
        "max_failed": expected.max_failed,
    }));
    Ok(exit)
}

/// Objects that failed in the newest archive: it counts, because all was listed, and may yet hold no content at all.
fn failed(health: &Health<'_>) -> Option<u64> {
    let descriptor = health.newest?.descriptor()?;
    Some(descriptor.counts.failed)
}

fn fields(health: &Health<'_>) -> Value {
    json!({
        "workspace_id": health.workspace_id,
        "verdict": if health.troubles.is_empty() { "ok" } else { "trouble" },
        "troubles": health.troubles.iter().map(|trouble| trouble.words()).collect::<Vec<_>>(),
        "newest": health.newest.map(|archive| archive.place.to_string()),
        "started": health.newest.and_then(|archive| archive.descriptor()).map(|one| one.started.to_string()),
        "age_seconds": health.age.map(|age| age.as_secs()),
        "failed": failed(health),
        "count": health.count,
        "future": health.future,
        "others": health.others,
    })
}

/// `7405609123456789: ok, newest 3 h 20 min old (7405...tar.zst), 12 archives`
fn verdict(health: &Health<'_>, expected: &Expected) -> String {
    let word = |trouble: &Trouble| match trouble {
        Trouble::TooOld => format!("too old, at most {} allowed", age_text(expected.max_age)),
        Trouble::TooFew => format!("too few, at least {} wanted", expected.min_count),
        Trouble::TooManyFailed => format!(
            "too many objects failed, at most {} allowed",
            expected.max_failed.unwrap_or_default()
        ),
        other => other.words().to_owned(),
    };
    let troubles: Vec<String> = health.troubles.iter().map(word).collect();
    let mut text = match troubles.is_empty() {
        true => format!("{}: ok", health.workspace_id),
        false => format!("{}: TROUBLE: {}", health.workspace_id, troubles.join("; ")),
    };
    if let (Some(newest), Some(age)) = (health.newest, health.age) {
        text.push_str(&format!(", newest {} old ({})", age_text(age), newest.name));
    }
    if let Some(failed) = failed(health).filter(|failed| *failed > 0) {
        text.push_str(&format!(", {} failed in it", counted(failed, "object")));
    }
    if health.count > 0 {
        text.push_str(&format!(", {}", counted(health.count, "complete archive")));
    }
    for (count, what) in [
        (health.others, "that do not count"),
        (health.future, "dated in the future"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}
