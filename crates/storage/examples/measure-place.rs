//! Measures a place: `measure-place put <place> <MiB> [recipient]` streams so much into it, `measure-place get <place> [identity file]` reads all
//! of it in pieces of 1 MiB; the last argument is for an encrypted archive. Credentials as in spec/storage.md. Prints seconds,
//! speed and the largest memory of the process.
#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use lifeboat_archive::{Descriptor, FileSource, ReadAt};
use lifeboat_storage::{
    Decrypted, Destination, Identities, Place, Protection, Recipients, Region, Settings, Source,
};

const PIECE: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let place = Place::parse(
        arguments
            .get(1)
            .ok_or("measure-place put|get <place> [MiB]")?,
    )?;
    let began = Instant::now();
    let bytes = match arguments[0].as_str() {
        "put" => {
            let pieces = arguments.get(2).ok_or("how many MiB?")?.parse()?;
            put(&place, pieces, arguments.get(3..).unwrap_or_default())?
        }
        _ => get(&place, arguments.get(2..).unwrap_or_default())?,
    };
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} {} bytes in {seconds:.2} s, {:.1} MB/s, peak memory {}",
        arguments[0],
        bytes,
        bytes as f64 / seconds / 1e6,
        peak()
    );
    Ok(())
}

fn put(place: &Place, pieces: u64, recipients: &[String]) -> Result<u64, Box<dyn Error>> {
    let protection = Protection {
        recipients: Recipients::load(recipients, &[""; 0])?,
        signing_key: None,
    };
    let (destination, mut sink) =
        Destination::create(place, "x", &protection, &Settings::from_env())?;
    let piece: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(PIECE)
        .collect();
    for _ in 0..pieces {
        sink.write_all(&piece)?;
    }
    destination.commit(sink, &descriptor(pieces * PIECE as u64)?)?;
    Ok(pieces * PIECE as u64)
}

fn get(place: &Place, identities: &[String]) -> Result<u64, Box<dyn Error>> {
    let mut source: Arc<dyn ReadAt> = match place {
        Place::Local(path) => Arc::new(FileSource::open(path)?),
        Place::Remote(address) => {
            let notice = Box::new(|_: &_| {});
            let settings = Settings::from_env();
            Arc::new(Source::open(address, &settings, Region::Primary, notice)?)
        }
    };
    if !identities.is_empty() {
        source = Arc::new(Decrypted::open(source, &Identities::load(identities)?)?);
    }
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < source.size()? {
        at += source.read_at(at, &mut piece)? as u64;
    }
    Ok(at)
}

/// One that can be parsed again; what it says does not matter here.
fn descriptor(size: u64) -> Result<Descriptor, Box<dyn Error>> {
    let nothing = "0".repeat(64);
    let counts = serde_json::json!({
        "members": 0, "payload-members": 0, "payload-bytes": 0, "listed": 0, "stored": 0, "reused": 0,
        "excluded": 0, "unsupported": 0, "vanished": 0, "failed": 0,
    });
    let time = "2026-11-22T01:00:00Z";
    let text = serde_json::json!({
        "format": "lifeboat", "version": "0.9", "tool": "measure", "workspace-id": "1", "started": time,
        "finished": time, "scope": "selection", "inventory": "incomplete", "counts": counts, "size": size,
        "archive-id": nothing, "content-id": nothing, "sha256": nothing, "encrypted": false,
    });
    Ok(Descriptor::parse(text.to_string().as_bytes())?)
}

/// Largest memory of this process so far, as Linux tells it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
