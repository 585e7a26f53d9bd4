//! `lifeboat-inspect list`.

use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use lifeboat_console::{Align, Console, Table, bytes, counted};
use lifeboat_storage::{Listed, Listing, Standing};
use serde_json::json;

use crate::args::{FolderArgs, OutputArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::shelf;

/// List the archives of a folder, by their descriptors
///
/// No archive is opened, so encrypted ones are listed without their key. Only complete archives of a whole workspace count
/// for FOLDER/latest, for `status` and for `lifeboat-export prune`.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Example:
  lifeboat-inspect list abfss://vault@account.dfs.core.windows.net/nightly/")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

pub(crate) fn run(args: &ListArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let listing = args.folder.list(console)?;
    let now = Timestamp::now();
    let wanted = |archive: &&Listed| match (&args.folder.workspace, archive.descriptor()) {
        (Some(id), Some(descriptor)) => descriptor.workspace_id == *id,
        // What is unknown may be of any workspace.
        _ => true,
    };
    let mut archives: Vec<&Listed> = listing.archives.iter().filter(wanted).collect();
    archives.sort_by_key(|archive| {
        let descriptor = archive.descriptor();
        let place = descriptor.map(|descriptor| (&descriptor.workspace_id, descriptor.started));
        (place.is_none(), place)
    });
    for archive in &archives {
        console.record("archive", shelf::fields(archive, now));
    }
    if !archives.is_empty() {
        console.answer_table(&table(&archives, now));
        console.answer("");
    }
    shelf::warn_of_nothing(&listing, args.folder.workspace.as_deref(), console);
    finish(console, &listing, &archives);
    Ok(Exit::Done)
}

fn table(archives: &[&Listed], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        ("workspace", Align::Left),
        ("started", Align::Left),
        ("age", Align::Left),
        ("what", Align::Left),
        ("listed", Align::Right),
        ("in it", Align::Right),
        ("failed", Align::Right),
        ("size", Align::Right),
        ("sealed", Align::Left),
        ("archive", Align::Left),
    ]);
    for archive in archives {
        let counts = archive.descriptor().map(|descriptor| descriptor.counts);
        let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
        let mut row = shelf::begin_of_row(archive, now).to_vec();
        row.extend([
            archive.standing().word().to_owned(),
            number(counts.map(|counts| counts.listed)),
            number(counts.map(|counts| counts.stored + counts.reused)),
            number(counts.map(|counts| counts.failed)),
            bytes(archive.size),
            sealed(archive),
            archive.name.clone(),
        ]);
        table.row(row);
    }
    table
}

fn sealed(archive: &Listed) -> String {
    let encrypted = archive
        .descriptor()
        .is_some_and(|descriptor| descriptor.encrypted);
    let words = [
        encrypted.then_some("encrypted"),
        archive.signature.is_some().then_some("signed"),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn finish(console: &Console, listing: &Listing, archives: &[&Listed]) {
    let size: u64 = archives.iter().map(|archive| archive.size).sum();
    let of = |standing| {
        let of = archives
            .iter()
            .filter(|archive| archive.standing() == standing);
        of.count()
    };
    let (complete, unknown) = (of(Standing::Counting), of(Standing::Unknown));
    let mut text = format!(
        "{} ({complete} complete, {unknown} unknown), {}; {} without an archive, {}",
        counted(archives.len(), "archive"),
        bytes(size),
        counted(listing.litter.len(), "descriptor"),
        counted(listing.foreign, "other file"),
    );
    if !listing.growing.is_empty() {
        let size = listing.growing.iter().map(|growing| growing.size).sum();
        text.push_str(&format!(
            ", {} unfinished ({}): of runs under way, or killed",
            listing.growing.len(),
            bytes(size)
        ));
    }
    console.line(&text);
    for growing in &listing.growing {
        let fields = json!({
            "file": growing.place.to_string(),
            "size": growing.size,
            "changed": growing.modified.to_string(),
        });
        let text = format!(
            "{} is no whole archive ({}, changed {})",
            growing.name,
            bytes(growing.size),
            growing.modified
        );
        console.detail("growing", fields, &text);
    }
    for litter in &listing.litter {
        let fields =
            json!({"descriptor": litter.place.to_string(), "stored": litter.modified.to_string()});
        let text = format!(
            "{} has no archive (stored {})",
            litter.name, litter.modified
        );
        console.detail("litter", fields, &text);
    }
    console.summary(json!({
        "command": "lifeboat-inspect list",
        "exit_code": Exit::Done.code(),
        "place": listing.folder.to_string(),
        "archives": archives.len(),
        "complete": complete,
        "unknown": unknown,
        "bytes": size,
        "litter": listing.litter.len(),
        "growing": listing.growing.len(),
        "foreign": listing.foreign,
    }));
}
