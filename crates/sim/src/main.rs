//! `lifeboat-sim serve`: a simulated workspace on a local port, until interrupted.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use lifeboat_sim::{Fill, Options, Sim, oauth};

/// A simulated Databricks workspace over HTTP, on 127.0.0.1 only.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a workspace until interrupted.
    Serve(Serve),
}

#[derive(clap::Args)]
struct Serve {
    /// Port on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// What the workspace holds at first: small, demo, awkward, sized:<notebooks>. Empty without.
    #[arg(long, value_name = "NAME")]
    fill: Option<String>,
    /// Make it a second workspace of the account that a fill of this name belongs to: its account groups can be assigned.
    #[arg(long, value_name = "NAME")]
    same_account_as: Option<String>,
    /// Seed of the content and of the ids.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bearer token of the administrator.
    #[arg(long, default_value = "dapi-simulated")]
    token: String,
    /// Application id of a service principal, an administrator that signs in with `--client-secret`.
    #[arg(long, value_name = "ID", requires = "client_secret")]
    client_id: Option<String>,
    /// Secret of `--client-id`.
    #[arg(long, value_name = "SECRET", requires = "client_id")]
    client_secret: Option<String>,
    /// Life of the tokens that a sign-in gives, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    token_life: u64,
    /// Workspace id.
    #[arg(long, default_value = "7405609123456789")]
    workspace_id: String,
    /// Keep the service's request limits.
    #[arg(long)]
    limits: bool,
    /// Delay of every answer.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    latency: u64,
    /// Pace of the workspace's clock against real time.
    #[arg(long, default_value_t = 1)]
    clock_rate: u32,
}

#[expect(
    clippy::print_stderr,
    reason = "the program's own report of its failure"
)]
fn main() -> ExitCode {
    let Command::Serve(serve) = Arguments::parse().command;
    match run(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("lifeboat-sim: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(serve: Serve) -> Result<(), String> {
    let named = |name: &String| Fill::named(name).ok_or_else(|| format!("unknown fill {name}"));
    let fill = serve.fill.as_ref().map(named).transpose()?;
    let account = serve.same_account_as.as_ref().map(named).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot wait for signals: {error}"))?;
    let sim = Sim::start(Options {
        port: serve.port,
        workspace_id: serve.workspace_id,
        token: serve.token,
        seed: serve.seed,
        clock_rate: serve.clock_rate,
    })
    .map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })?;
    if let Some(mut fill) = fill {
        fill.seed = serve.seed;
        sim.fill(&fill);
    }
    if let Some(account) = account {
        sim.with(|world| account.join_account(world));
    }
    sim.with(|world| {
        world.oauth.life = Duration::from_secs(serve.token_life);
        if let (Some(id), Some(secret)) = (&serve.client_id, &serve.client_secret) {
            oauth::add_client(world, id, secret);
        }
    });
    sim.set_limits(serve.limits);
    sim.set_latency(Duration::from_millis(serve.latency));
    announce(&sim);
    runtime
        .block_on(tokio::signal::ctrl_c())
        .map_err(|error| format!("cannot wait for an interrupt: {error}"))
}

#[expect(clippy::print_stdout, reason = "the program's only output")]
fn announce(sim: &Sim) {
    println!("Serving workspace {} at {}", sim.workspace_id(), sim.url());
    println!();
    println!("A profile for it in ~/.databrickscfg:");
    println!();
    println!("[simulated]");
    println!("host = {}", sim.url());
    println!("token = {}", sim.token());
    println!();
    println!(
        "Control panel: {}/__sim/ (dump, calls, faults, ...). Ctrl-C ends.",
        sim.url()
    );
}
