//! `lifeboat-inspect verify`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use lifeboat_archive::Damage;
use lifeboat_console::{Align, Console, Table, bytes};
use lifeboat_inspect::verify;
use serde_json::{Value, json};

use crate::args::OutputArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame::in_thread;
use crate::import::open;

/// Check every frame, digest and member of an archive, to the end
///
/// Exits with 11 when anything is damaged, and names the path, frame and offset of every damage.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Example:
  lifeboat-inspect verify backups/7405609123456789-20261122T010000Z.tar.zst")]
pub(crate) struct VerifyArgs {
    /// The archive
    #[arg(value_name = "ARCHIVE")]
    archive: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: VerifyArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let console = Arc::clone(console);
    in_thread(move || check(&args.archive, &console), || {})
}

fn check(path: &Path, console: &Console) -> Result<Exit, Failure> {
    const PHASE: &str = "verifying";
    let archive = open(path)?;
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
                path: path.to_owned(),
                source,
            })?
            .to_string();
        console.line(&format!(
            "intact: {} members, {}, archive id {id}",
            report.members,
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
    console.answer_table(&table(&damage));
    console.line(&format!("{} members are intact", report.intact));
    let first = damage.first().map_or_else(String::new, ToString::to_string);
    Err(Failure::Damaged {
        path: path.to_owned(),
        places: verification.places(),
        first,
    })
}

fn to_fields(damage: &Damage) -> Value {
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

fn table(damage: &[&Damage]) -> Table {
    let mut table = Table::new(&[
        ("path", Align::Left),
        ("frame", Align::Right),
        ("offset", Align::Right),
        ("what", Align::Left),
        ("expected", Align::Left),
        ("actual", Align::Left),
    ]);
    let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    for one in damage {
        table.row([
            one.path.clone().unwrap_or_default(),
            number(one.frame),
            number(one.offset),
            one.what.clone(),
            one.expected.clone().unwrap_or_default(),
            one.actual.clone().unwrap_or_default(),
        ]);
    }
    table
}
