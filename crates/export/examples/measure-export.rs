//! Measures one export: `measure-export <fill or http://127.0.0.1:port of a simulator> <latency in ms> <limits on|off>`.
#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::error::Error;
use std::time::{Duration, Instant};

use lifeboat_databricks::{Client, ClientOptions, Config, Limits, Secret};
use lifeboat_export::{Event, Observer, Options, run};
use lifeboat_sim::{Fill, Sim};

/// Prints when phases begin and end.
struct Phases(Instant);

impl Observer for Phases {
    fn event(&self, event: Event<'_>) {
        let at = self.0.elapsed().as_secs_f64();
        match event {
            Event::Phase { name, .. } => println!("{at:8.2} s  {name} begins"),
            Event::PhaseDone { name, done } => println!("{at:8.2} s  {name} ends, {done} steps"),
            _ => {}
        }
    }
}

/// A simulator of our own, or the address of one that runs elsewhere, so that its memory is not counted.
fn workspace(
    what: &str,
    latency: Duration,
    limited: bool,
) -> Result<(Option<Sim>, String, String), Box<dyn Error>> {
    if what.starts_with("http://") {
        return Ok((
            None,
            what.to_owned(),
            lifeboat_sim::Options::default().token,
        ));
    }
    let sim = Sim::start(lifeboat_sim::Options::default())?;
    sim.fill(&Fill::named(what).ok_or("unknown fill")?);
    sim.set_latency(latency);
    sim.set_limits(limited);
    let (url, token) = (sim.url(), sim.token().to_owned());
    Ok((Some(sim), url, token))
}

/// Largest memory of this process so far, as Linux tells it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| {
        arguments
            .get(index)
            .cloned()
            .unwrap_or_else(|| default.to_owned())
    };
    let latency = Duration::from_millis(argument(1, "100").parse()?);
    let limited = argument(2, "off") == "on";
    let (_sim, url, token) = workspace(&argument(0, "baseline"), latency, limited)?;
    let limits = if limited {
        Limits::Default
    } else {
        Limits::Off
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let config = Config::with_token(&url, Secret::new(token))?;
    let client = Client::new(
        config,
        ClientOptions {
            limits,
            max_concurrent: 128,
            ..ClientOptions::default()
        },
    )?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x.tar.zst");
    let sink = std::fs::File::create(&path)?;
    let began = Instant::now();
    let options = Options::new("2026-11-22T01:00:00Z".parse()?);
    let (_, outcome) = runtime.block_on(run(&client, &options, sink, &Phases(began)))?;
    let elapsed = began.elapsed();
    let stats = client.stats();
    println!("seconds      {:.2}", elapsed.as_secs_f64());
    println!("peak memory  {}", peak());
    println!("archive      {} bytes", std::fs::metadata(path)?.len());
    println!(
        "payload      {} members, {} bytes",
        outcome.sealed.payload_members, outcome.sealed.payload_bytes
    );
    println!("exit code    {}", outcome.exit_code());
    println!(
        "calls        {}, {} retries, {} throttled",
        stats.calls, stats.retries, stats.throttled
    );
    for (family, counts) in &stats.families {
        let rate = counts.calls as f64 / elapsed.as_secs_f64();
        println!(
            "  {family:<20} {:>7} calls {rate:>8.1}/s {:>5} throttled",
            counts.calls, counts.throttled
        );
    }
    Ok(())
}
