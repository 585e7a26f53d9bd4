//! `lifeboat-export prune`.

use std::fmt::Display;
use std::io::ErrorKind::PermissionDenied;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use jiff::Timestamp;
use lifeboat_console::{Align, Console, Table, Verbosity, bytes, counted};
use lifeboat_storage::retention::{Judged, Policy, Verdict, judge, judge_growing, judge_litter};
use lifeboat_storage::{
    Error, Growing, Listed, Listing, Litter, Place, Removed, Remover, Settings,
};
use serde_json::{Value, json};

use crate::args::OutputArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame::in_thread;
use crate::metrics::{self, MetricsArgs, MetricsFile, Page};
use crate::place::named;
use crate::shelf;
use crate::show::chain;

/// Delete the archives that no rule keeps
///
/// Each workspace by itself, by descriptors alone. Only complete archives of a whole workspace are counted, and the
/// newest of them always stays; where objects failed in the newest of all or of a period, the newest in which none did
/// stays too. Incomplete, partial and selection archives stay for some days and displace nothing; what has no usable
/// descriptor is never deleted. What a killed run left of its archive in a local folder goes when it has not changed for
/// 7 days. Each keep and each delete comes with its reason. When the folder cannot be listed to its end, nothing is
/// deleted.
///
/// On a terminal nothing is deleted without `--apply`. Elsewhere one of `--apply` and `--dry-run` has to be given.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Examples:
  lifeboat-export prune backups/ --keep-last 7
  lifeboat-export prune abfss://vault@account.dfs.core.windows.net/nightly/ \\
      --keep-last 3 --keep-daily 7 --keep-weekly 5 --keep-monthly 12 \\
      --keep-yearly 3 --apply")]
pub(crate) struct PruneArgs {
    /// The folder: a path or a URL (az://, abfss://, https://, s3://)
    #[arg(value_name = "PLACE")]
    place: PathBuf,
    #[command(flatten)]
    rules: RuleArgs,
    /// Only archives of this workspace
    #[arg(long, value_name = "ID")]
    workspace: Option<String>,
    /// Delete; without it, what would be deleted is shown
    #[arg(long, visible_alias = "yes", conflicts_with = "dry_run")]
    apply: bool,
    /// Delete nothing, only show
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Rules")]
struct RuleArgs {
    /// Keep the newest archives
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_last: u32,
    /// Keep the newest archive of each of the last days (UTC) that have one
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_daily: u32,
    /// The same for weeks, Monday to Sunday
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_weekly: u32,
    /// The same for months
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_monthly: u32,
    /// The same for years
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_yearly: u32,
    /// Keep incomplete, partial and selection archives, and descriptors without an archive, for so many days
    #[arg(long, value_name = "DAYS", default_value_t = 14)]
    keep_incomplete_days: u32,
}

impl RuleArgs {
    fn policy(&self) -> Result<Policy, Failure> {
        let policy = Policy {
            last: self.keep_last,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            others_days: self.keep_incomplete_days,
        };
        if policy.keeps_nothing() {
            return Err(Failure::KeepsNothing);
        }
        Ok(policy)
    }
}

pub(crate) fn run(args: &PruneArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let metrics = args.metrics.open()?;
    let place = named(&args.place)?;
    let mut outcome = None;
    let result = prune(args, &place, console, &mut outcome);
    metrics::finish(metrics, result, console, |file, exit| {
        page(&metrics::place(&place), outcome.as_ref(), exit, file)
    })
}

const LAST_SUCCESS: &str = "lifeboat_prune_last_success_timestamp_seconds";

fn page(place: &str, outcome: Option<&Outcome>, exit: Exit, file: &MetricsFile) -> Page {
    let mut page = Page::default();
    let own = || vec![("place", place)];
    let now = Timestamp::now().as_second() as f64;
    let success = match exit {
        Exit::Done => Some(now),
        _ => file.previous(LAST_SUCCESS, &own()),
    };
    let count = |value: fn(&Outcome) -> u64| outcome.map(|outcome| value(outcome) as f64);
    for (name, help, value) in [
        (
            "lifeboat_prune_last_run_timestamp_seconds",
            "End of the last run, since 1970.",
            Some(now),
        ),
        (
            "lifeboat_prune_last_run_exit_code",
            "How it ended (spec/exit-codes.md).",
            Some(f64::from(exit.code())),
        ),
        (
            LAST_SUCCESS,
            "End of the last run that ended with 0.",
            success,
        ),
        (
            "lifeboat_prune_kept",
            "Archives that stay by the rules.",
            count(|outcome| outcome.kept),
        ),
        (
            "lifeboat_prune_deleted",
            "Archives, descriptors alone and unfinished files that were deleted.",
            count(|outcome| outcome.deleted),
        ),
        (
            "lifeboat_prune_deleted_bytes",
            "Their size.",
            count(|outcome| outcome.bytes),
        ),
        (
            "lifeboat_prune_refused",
            "What the store did not delete.",
            count(|outcome| outcome.refused + outcome.not_tried),
        ),
    ] {
        page.gauge(name, help, value.map(|value| (own(), value)));
    }
    page
}

fn prune(
    args: &PruneArgs,
    place: &Place,
    console: &Arc<Console>,
    removed: &mut Option<Outcome>,
) -> Result<Exit, Failure> {
    let policy = args.rules.policy()?;
    if !args.apply && !args.dry_run && !console.settings().stdout_terminal {
        return Err(Failure::Unattended);
    }
    // Never the copy: what it lacks may be what the rules would keep.
    let listing = Arc::new(shelf::list_of_primary(place, console)?);
    let now = Timestamp::now();
    let workspace = args.workspace.as_deref();
    let nothing = shelf::warn_of_nothing(&listing, workspace, console);
    let judged = judge(&listing, workspace, &policy, now);
    let litter: Vec<(&Litter, Verdict)> = judge_litter(&listing, workspace, &policy, now).collect();
    // Whose it is cannot be told, so who prunes one workspace leaves it alone.
    let growing: Vec<(&Growing, Verdict)> = judge_growing(&listing, now)
        .filter(|_| workspace.is_none())
        .collect();
    show(console, &judged, &litter, &growing, now);
    let doomed: Vec<Doomed> = judged
        .iter()
        .filter(|judged| judged.verdict.is_delete())
        .map(|judged| Doomed::Archive(Box::new(judged.archive.clone())))
        .chain(going(litter).map(|litter| Doomed::Litter(Box::new(litter))))
        .chain(going(growing).map(|growing| Doomed::Growing(Box::new(growing))))
        .collect();
    let kept = judged
        .iter()
        .filter(|judged| !judged.verdict.is_delete())
        .count();
    // A nightly prune of the wrong folder would keep everything for years.
    let exit = match nothing {
        true => Exit::Differences,
        false => Exit::Done,
    };
    if !args.apply {
        return Ok(dry(console, place, kept, &doomed, exit));
    }
    let outcome = remove(&listing, kept as u64, doomed, console)?;
    let exit = exit.and(outcome.exit.unwrap_or(Exit::Done));
    outcome.tell(console, place, exit);
    *removed = Some(outcome);
    Ok(exit)
}

/// Those that are to be deleted.
fn going<T: Clone>(judged: Vec<(&T, Verdict)>) -> impl Iterator<Item = T> {
    judged
        .into_iter()
        .filter(|(_, verdict)| verdict.is_delete())
        .map(|(one, _)| one.clone())
}

fn action(verdict: &Verdict) -> &'static str {
    if verdict.is_delete() {
        "delete"
    } else {
        "keep"
    }
}

fn show(
    console: &Console,
    judged: &[Judged<'_>],
    litter: &[(&Litter, Verdict)],
    growing: &[(&Growing, Verdict)],
    now: Timestamp,
) {
    let mut table = Table::new(&[
        ("workspace", Align::Left),
        ("started", Align::Left),
        ("age", Align::Left),
        ("what", Align::Left),
        ("size", Align::Right),
        ("", Align::Left),
        ("because", Align::Left),
        ("archive", Align::Left),
    ]);
    // A job that is to be quiet says what it deletes, and why.
    let all = console.settings().verbosity != Verbosity::Quiet;
    let mut shown = |verdict: &Verdict, row: Vec<String>| {
        if all || verdict.is_delete() {
            table.row(row);
        }
    };
    for Judged { archive, verdict } in judged {
        let action = action(verdict);
        let mut fields = shelf::fields(archive, now);
        if let Value::Object(map) = &mut fields {
            map.insert("action".to_owned(), action.into());
            map.insert("reasons".to_owned(), verdict.reasons().into());
        }
        console.record("archive", fields);
        let mut row = shelf::begin_of_row(archive, now).to_vec();
        row.extend([
            archive.standing().word().to_owned(),
            bytes(archive.size),
            action.to_owned(),
            verdict.reasons().join(", "),
            archive.name.clone(),
        ]);
        shown(verdict, row);
    }
    for (litter, verdict) in litter {
        let fields = json!({
            "descriptor": litter.place.to_string(),
            "action": action(verdict),
            "reasons": verdict.reasons(),
        });
        console.record("litter", fields);
        let because = verdict.reasons().join(", ");
        let row = [
            &litter.descriptor.workspace_id,
            "",
            "",
            "descriptor alone",
            "",
            action(verdict),
            &because,
            &litter.name,
        ];
        shown(verdict, row.map(str::to_owned).to_vec());
    }
    for (growing, verdict) in growing {
        let fields = json!({
            "file": growing.place.to_string(),
            "size": growing.size,
            "action": action(verdict),
            "reasons": verdict.reasons(),
        });
        console.record("growing", fields);
        let (size, because) = (bytes(growing.size), verdict.reasons().join(", "));
        let action = action(verdict);
        let row = [
            "",
            "",
            "",
            "unfinished",
            &size,
            action,
            &because,
            &growing.name,
        ];
        shown(verdict, row.map(str::to_owned).to_vec());
    }
    if !table.is_empty() {
        console.answer_table(&table);
        console.answer("");
    }
}

/// What is to be deleted.
enum Doomed {
    Archive(Box<Listed>),
    Litter(Box<Litter>),
    Growing(Box<Growing>),
}

impl Doomed {
    fn is_archive(&self) -> bool {
        matches!(self, Self::Archive(_))
    }

    fn place(&self) -> &Place {
        match self {
            Self::Archive(archive) => &archive.place,
            Self::Litter(litter) => &litter.place,
            Self::Growing(growing) => &growing.place,
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Archive(archive) => archive.size,
            Self::Litter(_) => 0,
            Self::Growing(growing) => growing.size,
        }
    }

    fn remove(&self, remover: &Remover) -> Result<Removed, Error> {
        match self {
            Self::Archive(archive) => remover.archive(archive),
            Self::Litter(litter) => remover.litter(litter).map(|()| Removed { left: None }),
            Self::Growing(growing) => remover.growing(growing).map(|()| Removed { left: None }),
        }
    }
}

/// `1 archive stays`, `2 archives stay`
fn stay<N: Copy + Display + PartialEq + From<u8>>(count: N) -> String {
    let stay = if count == N::from(1) { "stays" } else { "stay" };
    format!("{} {stay}", counted(count, "archive"))
}

fn dry(console: &Console, place: &Place, kept: usize, doomed: &[Doomed], exit: Exit) -> Exit {
    let size: u64 = doomed.iter().map(Doomed::size).sum();
    console.line(&format!(
        "dry run: {} would be deleted ({}), {}; `--apply` deletes",
        doomed.len(),
        bytes(size),
        stay(kept)
    ));
    console.summary(json!({
        "command": "lifeboat-export prune",
        "exit_code": exit.code(),
        "place": place.to_string(),
        "applied": false,
        "kept": kept,
        "would_delete": doomed.len(),
        "bytes": size,
    }));
    exit
}

#[derive(Default)]
struct Outcome {
    /// Archives that stay by the rules.
    kept: u64,
    /// Archives that stay although no rule keeps them.
    held: u64,
    deleted: u64,
    bytes: u64,
    /// What stays although it was to go.
    refused: u64,
    /// Not tried, because the store was lost.
    not_tried: u64,
    exit: Option<Exit>,
}

/// Deletes one after the other. A signal is heard before the next one.
fn remove(
    listing: &Arc<Listing>,
    kept: u64,
    doomed: Vec<Doomed>,
    console: &Arc<Console>,
) -> Result<Outcome, Failure> {
    let (listing, console) = (Arc::clone(listing), Arc::clone(console));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let work = move || {
        let remover = Remover::open(&listing, &Settings::from_env())?;
        let mut outcome = Outcome {
            kept,
            ..Outcome::default()
        };
        console.phase(PHASE, Some(doomed.len() as u64));
        let mut rest = doomed.iter();
        for (done, one) in rest.by_ref().enumerate() {
            let lost = outcome.add(one, one.remove(&remover), &console);
            console.progress(PHASE, done as u64 + 1, None, 0);
            if lost || stopped.load(Ordering::Relaxed) {
                break;
            }
        }
        outcome.held += rest.clone().filter(|one| one.is_archive()).count() as u64;
        outcome.not_tried = rest.count() as u64;
        console.end_phases();
        if outcome.not_tried > 0 && stopped.load(Ordering::Relaxed) {
            console.warning(&outcome.words());
            return Err(Failure::Interrupted);
        }
        Ok(outcome)
    };
    in_thread(work, move || stop.store(true, Ordering::Relaxed))
}

const PHASE: &str = "deleting";

impl Outcome {
    /// Counts and tells how one went. The store is lost when it does not answer any more.
    fn add(&mut self, one: &Doomed, removed: Result<Removed, Error>, console: &Console) -> bool {
        let place = one.place().to_string();
        let error = match removed {
            Ok(removed) => {
                self.deleted += 1;
                self.bytes += one.size();
                let fields = json!({"place": place});
                console.detail("deleted", fields, &format!("deleted {place}"));
                self.refused += u64::from(removed.left.is_some());
                removed.left
            }
            Err(error) => {
                self.refused += 1;
                self.held += u64::from(one.is_archive());
                Some(error)
            }
        };
        let Some(error) = error else {
            return false;
        };
        let exit = match (&error, Exit::of(error.exit_code())) {
            (_, Exit::Refused) => Exit::Refused,
            (Error::Io { source, .. }, _) if source.kind() == PermissionDenied => Exit::Refused,
            _ if error.is_outage() => Exit::Failed,
            _ => Exit::Gaps,
        };
        self.exit = Some(self.exit.map_or(exit, |before| before.and(exit)));
        let reason = chain(&error);
        let fields = json!({"place": place, "reason": reason});
        console.warning_with("refused", fields, &format!("not deleted: {reason}"));
        error.is_outage()
    }

    fn words(&self) -> String {
        let mut text = format!(
            "deleted {} ({}), {}",
            self.deleted,
            bytes(self.bytes),
            stay(self.kept + self.held)
        );
        for (count, what) in [
            (self.refused, "could not be deleted"),
            (self.not_tried, "were not tried"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text
    }

    fn tell(&self, console: &Console, place: &Place, exit: Exit) {
        if exit == Exit::Refused {
            console.warning(
                "a prune needs the right to delete: spec/least-privilege.md has the list for each command",
            );
        }
        console.line(&self.words());
        console.summary(json!({
            "command": "lifeboat-export prune",
            "exit_code": exit.code(),
            "place": place.to_string(),
            "applied": true,
            "kept": self.kept,
            "deleted": self.deleted,
            "bytes": self.bytes,
            "refused": self.refused,
            "not_tried": self.not_tried,
        }));
    }
}
