//! `lifeboat-inspect verify`.

use std::sync::Arc;

use clap::Args;
use lifeboat_archive::Damage;
use lifeboat_console::{Align, Console, Table, bytes, counted};
use lifeboat_inspect::verify;
use serde_json::{Value, json};

use crate::args::{ArchiveArgs, OutputArgs, parse_sample};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame::in_thread;
use crate::inspect::scrub;
use crate::place::open;

/// Check every frame, digest and member of an archive, to the end
///
/// Exits with 11 when anything is damaged, and names the path, frame and offset of every damage.
/// With `--all`, exits with 13 when the folder has no archive.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Examples:
  lifeboat-inspect verify backups/7405609123456789-20261122T010000Z.tar.zst
  lifeboat-inspect verify --all --sample 5% \\
      abfss://vault@account.dfs.core.windows.net/nightly/")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// ARCHIVE is a folder: check every archive in it, the stored files against their descriptors too. Goes on behind
    /// damaged ones
    #[arg(long)]
    all: bool,
    /// Of each archive read about this share, another one each day, until all of it had its turn: for a job that runs
    /// every day or every week
    #[arg(long, value_name = "PERCENT", default_value = "100%", value_parser = parse_sample, requires = "all")]
    sample: f64,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: VerifyArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let console = Arc::clone(console);
    in_thread(
        move || match args.all {
            true => scrub::run(&args.archive, args.sample, &console),
            false => check(&args.archive, &console),
        },
        || {},
    )
}

fn check(archive: &ArchiveArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    const PHASE: &str = "verifying";
    let archive = open(archive, console)?;
    console.phase(PHASE, None);
    let verification = verify(&archive, &mut |done, total| {
        console.progress(PHASE, done, Some(total), 0)
    })?;
    console.end_phases();
    let report = &verification.report;
    if verification.is_intact() {
        let id = archive
            .archive_id()
            .map_err(|source| Failure::Open {
                archive: archive.name(),
                source,
            })?
            .to_string();
        console.line(&format!(
            "intact: {}, {}, archive id {id}",
            counted(report.members, "member"),
            bytes(report.bytes)
        ));
        console.summary(json!({
            "command": "lifeboat-inspect verify",
            "exit_code": Exit::Done.code(),
            "members": report.members,
            "bytes": report.bytes,
            "archive_id": id,
        }));
        return Ok(Exit::Done);
    }
    let damage: Vec<&Damage> = verification.damage().collect();
    for one in damage.iter().filter(|_| console.is_json()) {
        console.result("damage", to_fields(one), "");
    }
    console.answer_table(&table(&damage, console.is_verbose()));
    console.line(&format!("intact: {}", counted(report.intact, "member")));
    let first = damage.first().map_or_else(String::new, ToString::to_string);
    Err(Failure::Damaged {
        archive: archive.name(),
        places: verification.places(),
        first,
    })
}

pub(super) fn to_fields(damage: &Damage) -> Value {
    let Damage {
        path,
        frame,
        offset,
        what,
        expected,
        actual,
    } = damage;
    json!({"path": path, "frame": frame, "offset": offset, "what": what, "expected": expected, "actual": actual})
}

/// One row per damage; without `all` one row for what is wrong in the same way in one frame, and the begin of digests.
pub(super) fn table(damage: &[&Damage], all: bool) -> Table {
    let mut table = Table::new(&[
        ("path", Align::Left),
        ("frame", Align::Right),
        ("offset", Align::Right),
        ("what", Align::Left),
        ("expected", Align::Left),
        ("actual", Align::Left),
    ]);
    let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let mut rest = damage;
    while let Some(first) = rest.first() {
        let same = |one: &&&Damage| {
            first.frame.is_some() && one.frame == first.frame && one.what == first.what
        };
        let count = if all {
            1
        } else {
            rest.iter().take_while(same).count().max(1)
        };
        let path = first.path.clone().unwrap_or_default();
        table.row([
            if count > 1 {
                format!("{path} and {} more", counted(count - 1, "place"))
            } else {
                path
            },
            number(first.frame),
            number(first.offset),
            first.what.clone(),
            short(first.expected.as_deref(), all),
            short(first.actual.as_deref(), all),
        ]);
        rest = &rest[count..];
    }
    table
}

/// The begin of a digest; everything else, and with `all` a digest too, as it is.
fn short(value: Option<&str>, all: bool) -> String {
    let value = value.unwrap_or_default();
    if !all && value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        format!("{}...", &value[..12])
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_shortened_unless_all_is_wanted() {
        let digest = "ab".repeat(32);
        assert_eq!(short(Some(&digest), false), "abababababab...");
        assert_eq!(short(Some(&digest), true), digest);
        assert_eq!(short(Some("12 bytes"), false), "12 bytes");
    }
}
