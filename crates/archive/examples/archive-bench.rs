//! Speed and size of the format beside stock tools, on the same data in the same run.
//!
//! `cargo run --release -p lifeboat-archive --example archive-bench [OBJECTS]`
//!
//! `cargo run --release -p lifeboat-archive --example archive-bench members [MEMBERS]`
//!
//! The first makes a folder of notebook-like files (100,000 unless told otherwise, 3 to 10 KB each) and some large ones, writes
//! an archive of it, verifies it and reads one object, and runs `tar`, `zstd` and `sha256sum` on the same bytes.
//! The second writes and verifies that many small members (1,000,000), arriving in no order, and shows the memory that it takes.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that is run by hand"
)]

use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use lifeboat_archive::*;

const ROUNDS: usize = 3;
const STARTED: &str = "2026-11-22T01:00:00Z";
const WORDS: &str = "spark read table display filter select join groupBy agg count withColumn lit col when otherwise \
    import def return for if else print path delta write mode overwrite append partitionBy saveAsTable sql from \
    pyspark functions types customer order amount region date product raw bronze silver gold temp view create replace";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("members") => {
            let members = arguments.get(1);
            many_members(members.map_or(1_000_000, |text| text.parse().unwrap()));
        }
        objects => beside_stock_tools(objects.map_or(100_000, |text| text.parse().unwrap())),
    }
}

fn many_members(count: u64) {
    let work = tempfile::tempdir().unwrap();
    let path = work.path().join("x.tar.zst");
    let start = Instant::now();
    let mut writer = create(&path);
    for i in 0..count {
        // A number without common factors walks over all members in leaps.
        let i = i * 7_919_993 % count;
        let member = format!(
            "data/workspace/content/Users/user{:03}@example.com/notebook {i:07}.py",
            i % 997
        );
        writer
            .add(&member, Content::Bytes(format!("# {i}\n").into_bytes()))
            .unwrap();
    }
    let sealed = finish(writer);
    println!(
        "{count} members written in {:.1} s, {} bytes",
        start.elapsed().as_secs_f64(),
        sealed.size
    );
    println!("peak memory {}", peak_memory().unwrap_or_default());
    let start = Instant::now();
    let report = Archive::open(&path)
        .unwrap()
        .verify(&mut |_, _| {})
        .unwrap();
    assert!(report.is_intact() && report.members == sealed.members);
    println!("verified in {:.1} s", start.elapsed().as_secs_f64());
    println!("peak memory {}", peak_memory().unwrap_or_default());
}

fn beside_stock_tools(objects: usize) {
    let work = tempfile::tempdir().unwrap();
    let files = generate(work.path(), objects);
    let bytes: u64 = files
        .iter()
        .map(|(_, path)| fs::metadata(path).unwrap().len())
        .sum();
    println!(
        "{} files, {:.1} MB; best of {ROUNDS} runs",
        files.len(),
        bytes as f64 / 1e6
    );

    let archive = work.path().join("x.tar.zst");
    let mut sealed = None;
    let write = best(|| sealed = Some(write_archive(&files, &archive)));
    let sealed = sealed.unwrap();
    if let Some(peak) = peak_memory() {
        println!("peak memory      {peak} after writing");
    }
    let unpack = work.path().join("unpacked");
    fs::create_dir(&unpack).unwrap();
    run(Command::new("tar")
        .arg("--zstd")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(&unpack));
    let piped = work.path().join("piped.tar.zst");
    let tar_zstd = best(|| pipe(&unpack, &piped));
    let piped_size = fs::metadata(&piped).unwrap().len();

    let verify = best(|| {
        let report = Archive::open(&archive)
            .unwrap()
            .verify(&mut |_, _| {})
            .unwrap();
        assert!(report.is_intact());
    });
    let plain = work.path().join("plain.tar");
    run(Command::new("zstd")
        .args(["-q", "-d", "-f"])
        .arg(&archive)
        .arg("-o")
        .arg(&plain));
    let zstd_d = best(|| {
        run(Command::new("zstd")
            .args(["-q", "-d", "-c"])
            .arg(&archive)
            .stdout(Stdio::null()))
    });
    let sha256sum = best(|| run(Command::new("sha256sum").arg(&plain).stdout(Stdio::null())));

    let times = Times {
        write,
        tar_zstd,
        verify,
        zstd_d,
        sha256sum,
    };
    report(bytes, &times);
    println!(
        "archive          {:9} bytes\ntar | zstd -3    {piped_size:9} bytes   archive is {:.3} x (at most 1.05)",
        sealed.size,
        sealed.size as f64 / piped_size as f64
    );
    println!(
        "manifest, index  {:9.1} bytes an object, stored (at most 100)",
        overhead(&archive) as f64 / sealed.payload_members as f64
    );
    one_object(&archive, &files);
}

/// What each part took.
struct Times {
    write: Time,
    tar_zstd: Time,
    verify: Time,
    zstd_d: Time,
    sha256sum: Time,
}

fn report(bytes: u64, times: &Times) {
    let line = |name: &str, time: Time, note: String| {
        let rate = bytes as f64 / 1e6 / time.wall;
        println!(
            "{name:16} {:7.2} s {rate:7.0} MB/s, {:6.2} s of processor   {note}",
            time.wall, time.processor
        );
    };
    line("write", times.write, String::new());
    line(
        "tar | zstd -3",
        times.tar_zstd,
        format!(
            "write is {:.2} x as fast (at least 0.80)",
            times.tar_zstd.wall / times.write.wall
        ),
    );
    line("verify", times.verify, String::new());
    line("zstd -d", times.zstd_d, String::new());
    let slower = times.zstd_d.wall.max(times.sha256sum.wall);
    line(
        "sha256sum",
        times.sha256sum,
        format!(
            "verify is {:.2} x as fast as the slower (at least 0.70)",
            slower / times.verify.wall
        ),
    );
}

/// The quickest of several runs: seconds, and seconds of processor time (of all threads and child processes).
#[derive(Clone, Copy)]
struct Time {
    wall: f64,
    processor: f64,
}

fn best(mut run: impl FnMut()) -> Time {
    let runs = (0..ROUNDS).map(|_| {
        let (start, before) = (Instant::now(), processor_seconds());
        run();
        Time {
            wall: start.elapsed().as_secs_f64(),
            processor: processor_seconds() - before,
        }
    });
    runs.reduce(|a, b| Time {
        wall: a.wall.min(b.wall),
        processor: a.processor.min(b.processor),
    })
    .unwrap()
}

/// User and system time of this process and of the children that it waited for; 0 where /proc is missing.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Member paths and the files behind them.
fn generate(work: &Path, objects: usize) -> Vec<(String, PathBuf)> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut files = Vec::new();
    let mut add = |path: String, text: &[u8]| {
        let on_disk = work.join("source").join(&path);
        fs::create_dir_all(on_disk.parent().unwrap()).unwrap();
        fs::write(&on_disk, text).unwrap();
        files.push((path, on_disk));
    };
    for i in 0..objects {
        let mut text = String::from("# Databricks notebook source\n");
        let length = 3_000 + next(7_000) as usize;
        while text.len() < length {
            for _ in 0..3 + next(8) {
                text.push_str(words[next(words.len() as u64) as usize]);
                text.push([' ', '.', '(', ')', ',', '_'][next(6) as usize]);
            }
            if next(3) == 0 {
                text.push_str(&format!("\"{:x}\"", next(1 << 40)));
            }
            text.push_str(if next(12) == 0 {
                "\n\n# COMMAND ----------\n\n"
            } else {
                "\n"
            });
        }
        let path = format!(
            "data/workspace/content/Users/user{:03}@example.com/{} {}/{}_{i:06}.py",
            i % 400,
            words[(i / 400) % words.len()],
            i % 7,
            words[next(words.len() as u64) as usize]
        );
        add(path, text.as_bytes());
    }
    for i in 0..4 {
        let mut large = Vec::new();
        while large.len() < 16 << 20 {
            large.extend_from_slice(
                format!(
                    "{},{},{}\n",
                    next(1 << 20),
                    next(1 << 30),
                    words[next(60) as usize % words.len()]
                )
                .as_bytes(),
            );
        }
        add(format!("data/dbfs/content/FileStore/large-{i}.csv"), &large);
    }
    files
}

fn create(to: &Path) -> Writer<BufWriter<fs::File>> {
    let source = Source {
        host: "adb-1.0.azuredatabricks.net".to_owned(),
        workspace_id: "1".to_owned(),
        cloud: "azure".to_owned(),
    };
    let started = STARTED.parse().unwrap();
    let options = serde_json::json!({});
    let header = Header::new(
        "archive-bench".to_owned(),
        source,
        started,
        Scope::Workspace,
        options,
    );
    let options = WriterOptions {
        bag: "bag".to_owned(),
        level: 3,
        threads: 2,
        spill_dir: None,
    };
    let sink = BufWriter::new(fs::File::create(to).unwrap());
    Writer::create(sink, options, &header).unwrap()
}

fn finish(writer: Writer<BufWriter<fs::File>>) -> Sealed {
    let summary = Summary {
        scope: Scope::Workspace,
        inventory: Inventory::Complete,
        kinds: Default::default(),
    };
    let (_, sealed) = writer.finish(&summary, STARTED.parse().unwrap()).unwrap();
    sealed
}

fn write_archive(files: &[(String, PathBuf)], to: &Path) -> Sealed {
    let mut writer = create(to);
    for (path, file) in files {
        let size = fs::metadata(file).unwrap().len();
        let content = if size > 1 << 20 {
            Content::File {
                file: fs::File::open(file).unwrap(),
                size,
            }
        } else {
            Content::Bytes(fs::read(file).unwrap())
        };
        writer.add(path, content).unwrap();
    }
    finish(writer)
}

fn pipe(folder: &Path, to: &Path) {
    let mut tar = Command::new("tar")
        .args(["-cf", "-", "bag"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let from = tar.stdout.take().unwrap();
    run(Command::new("zstd")
        .args(["-q", "-3", "-f", "-o"])
        .arg(to)
        .stdin(from));
    assert!(tar.wait().unwrap().success());
}

/// Stored bytes of the manifest, the index and the seek table: what no tar of the same files has.
fn overhead(archive: &Path) -> u64 {
    let bytes = fs::read(archive).unwrap();
    let opened = Archive::open(archive).unwrap();
    let manifest = opened.find("manifest-sha256.txt").unwrap().unwrap();
    let first_page = opened.find("index/000000.jsonl").unwrap().unwrap();
    let (mut stored, mut start, mut total) = (0, 0, 0);
    while bytes[stored..].starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let frame = &bytes[stored..];
        let len = zstd::zstd_safe::find_frame_compressed_size(frame).unwrap();
        let size = zstd::zstd_safe::get_frame_content_size(frame)
            .unwrap()
            .unwrap();
        let of_manifest = start + size > manifest.offset && start < manifest.offset + manifest.size;
        if of_manifest || start + size > first_page.offset {
            total += len as u64;
        }
        stored += len;
        start += size;
    }
    total + (bytes.len() - stored) as u64
}

struct Counting {
    file: FileSource,
    reads: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl ReadAt for Counting {
    fn size(&self) -> std::io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(offset, buf)?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn name(&self) -> String {
        self.file.name()
    }
}

fn one_object(archive: &Path, files: &[(String, PathBuf)]) {
    let (reads, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let source = Counting {
        file: FileSource::open(archive).unwrap(),
        reads: Arc::clone(&reads),
        bytes: Arc::clone(&bytes),
    };
    let start = Instant::now();
    let opened = Archive::from_source(Box::new(source)).unwrap();
    let (path, file) = &files[files.len() / 2];
    let member = opened.find(path).unwrap().unwrap();
    assert_eq!(opened.read(&member).unwrap(), fs::read(file).unwrap());
    println!(
        "one object       {:7.1} ms, {} reads (at most 4), {:.2} MiB (at most 4)",
        start.elapsed().as_secs_f64() * 1e3,
        reads.load(Ordering::Relaxed),
        bytes.load(Ordering::Relaxed) as f64 / f64::from(1 << 20)
    );
}

fn peak_memory() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.trim_start_matches("VmHWM:").trim().to_owned())
}
