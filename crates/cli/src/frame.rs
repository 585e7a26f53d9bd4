//! The frame around every command: parsing, signals, the console's last word, the exit code.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Parser;
use lifeboat_console::{Console, Form, Report, Settings, Verbosity};
use lifeboat_databricks::ConfigError;
use lifeboat_import::Stop;
use tokio::runtime::{Builder, Runtime};

use crate::exit::Exit;
use crate::failure::Failure;

/// How long a command may take to close its files after a signal; a second signal ends it at once.
const GRACE: Duration = Duration::from_secs(10);

/// Parses the arguments of this process. Wrong usage, `--help` and `--version` are answered here.
pub(crate) fn parse<C: Parser>() -> Result<C, ExitCode> {
    C::try_parse().map_err(|error| {
        if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
            let text = error.to_string();
            let text = text.trim();
            let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
            let mut report = Report {
                message: message
                    .strip_prefix("error: ")
                    .unwrap_or(message)
                    .to_owned(),
                causes: Vec::new(),
                hints: Vec::new(),
                exit_code: Exit::Usage.code(),
            };
            if !rest.is_empty() {
                report = report.hint(rest);
            }
            let console = Console::stdio(Settings::detect(Form::Json, Verbosity::Normal));
            console.error(&report);
            // Nobody is left to tell when the output is gone.
            let _ = console.finish();
            return Exit::Usage.into();
        }
        // Nobody is left to tell when the terminal is gone.
        let _ = error.print();
        if error.use_stderr() {
            Exit::Usage.into()
        } else {
            ExitCode::SUCCESS
        }
    })
}

/// Runs `command` with a console made from `settings` and turns its outcome into an exit code.
pub(crate) fn run(
    settings: Settings,
    command: impl FnOnce(&Arc<Console>) -> Result<Exit, Failure>,
) -> ExitCode {
    // The only other provider would be one that was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let console = Arc::new(Console::stdio(settings));
    let exit = command(&console).unwrap_or_else(|failure| tell(&console, &failure));
    let exit = match console.finish() {
        Ok(()) => exit,
        Err(source) => exit.and(tell(&console, &Failure::Output { source })),
    };
    exit.into()
}

fn tell(console: &Console, failure: &Failure) -> Exit {
    let exit = failure.exit();
    // The reader of the output has gone: it wants to hear nothing more, and that is no failure.
    if failure.is_closed_output() {
        return Exit::Done;
    }
    let mut report = Report::new(failure, exit.code());
    if let Failure::Import(
        lifeboat_import::Error::Stopped { cause, .. }
        | lifeboat_import::Error::Switch { cause, .. },
    ) = failure
    {
        report.causes.push(cause.clone());
    }
    if let Failure::Import(lifeboat_import::Error::Map { problems, .. }) = failure {
        report.causes.extend(problems.iter().skip(1).cloned());
    }
    if let Failure::Config(ConfigError::NoMethod { tried, found }) = failure {
        report.causes = vec!["no authorization method works".to_owned()];
        report.causes.extend(tried.iter().cloned());
        report.causes.push(format!("found: {}", found.join(", ")));
    }
    if let Failure::Fleet { problems, .. } = failure {
        report.causes.extend(problems.iter().cloned());
    }
    for hint in failure.hints() {
        report = report.hint(hint);
    }
    console.error(&report);
    exit
}

/// Runs asynchronous work to its end or to a signal. `on_signal` asks the work to end by itself; work that does not end
/// within a grace time, or until a second signal, is dropped.
pub(crate) fn block_on<T>(
    work: impl Future<Output = Result<T, Failure>>,
    on_signal: impl FnOnce(),
) -> Result<T, Failure> {
    block_on_alone(async {
        let mut signals = Signals::new()?;
        tokio::pin!(work);
        let signal = tokio::select! {
            result = &mut work => return result,
            signal = signals.next() => signal,
        };
        on_signal();
        tokio::select! {
            // What is finished is finished: an archive that is in place by now is reported as such.
            result = &mut work => result.map_err(|_| signal),
            _ = signals.next() => Err(signal),
            () = tokio::time::sleep(GRACE) => Err(signal),
        }
    })
}

/// Runs work that hears signals itself.
pub(crate) fn block_on_alone<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// Like [`block_on`], for an export that keeps what it has: after the first signal it has as long as it takes to put that
/// into its archive, and a second one ends it at once. Gives the code of the signal with the outcome.
pub(crate) fn block_on_keeping<T>(
    console: &Console,
    work: impl Future<Output = Result<T, Failure>>,
    on_signal: impl FnOnce(),
) -> Result<(T, Option<Exit>), Failure> {
    block_on_alone(async {
        let mut signals = Signals::new()?;
        tokio::pin!(work);
        let signal = tokio::select! {
            result = &mut work => return Ok((result?, None)),
            signal = signals.next() => signal,
        };
        on_signal();
        console.warning(KEEPING);
        tokio::select! {
            result = &mut work => match result {
                Err(Failure::Export(lifeboat_export::Error::Stopped { .. } | lifeboat_export::Error::Cancelled)) => {
                    console.warning("nothing had been read yet, so there is no archive");
                    Err(signal)
                }
                result => Ok((result?, Some(signal.exit()))),
            },
            _ = signals.next() => Err(signal),
        }
    })
}

/// What the first signal is answered with by a run that keeps what it has.
const KEEPING: &str = "stopping: nothing more is asked for, what was read is put into the archive; a second signal ends at once and keeps only what is there by then";

/// Runs work that writes nothing, so that nothing is lost when a signal drops it at once.
pub(crate) fn block_on_reading<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    block_on_alone(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            result = work => result,
            signal = signals.next() => Err(signal),
        }
    })
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Runtime { source })
}

/// What the first signal is answered with.
const STOPPING: &str = "stopping: no further call is begun, those that write are finished; a second signal ends at once";

/// How long work that is computing may take to reach its next call after a signal, and an import to tell what it did.
const PATIENCE: Duration = Duration::from_secs(2);

/// Like [`block_on`], for an import: the first signal asks it to stop. It has the grace time to finish the
/// calls that write and to tell what was done; a second signal ends the process at once. Work that is computing and has
/// not come to its writes ends with the process, within a moment. Gives the outcome, and the code of the signal.
pub(crate) fn block_on_until_stopped<T>(
    console: &Arc<Console>,
    stop: &Stop,
    work: impl Future<Output = Result<T, Failure>>,
) -> (Result<T, Failure>, Option<Exit>) {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(failure) => return (Err(failure), None),
    };
    let signalled: Arc<OnceLock<Exit>> = Arc::default();
    let (watching, stop, told) = (Arc::clone(console), stop.clone(), Arc::clone(&signalled));
    let result = runtime.block_on(async {
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            let exit = signals.next().await.exit();
            let exit = *told.get_or_init(|| exit);
            stop.request(GRACE);
            watching.warning(STOPPING);
            let patience = match stop.has_begun() {
                true => GRACE + PATIENCE,
                false => PATIENCE,
            };
            tokio::select! {
                _ = signals.next() => {}
                () = tokio::time::sleep(patience) => {}
            }
            tell(&watching, &Failure::Stopped { exit });
            // The code of the signal says more than a failure to write the last lines.
            let _ = watching.finish();
            std::process::exit(i32::from(exit.code()));
        });
        work.await
    });
    runtime.shutdown_background();
    (result, signalled.get().copied())
}

/// Runs work that cannot wait for a signal by itself in a thread of its own.
pub(crate) fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    on_signal: impl FnOnce(),
) -> Result<T, Failure> {
    block_on(
        async {
            match tokio::task::spawn_blocking(work).await {
                Ok(result) => result,
                Err(error) => Err(Failure::Panicked {
                    what: error.to_string(),
                }),
            }
        },
        on_signal,
    )
}

/// The signals that end a command.
#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(|source| Failure::Runtime { source });
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for one; gives what the command then ends with.
    pub(crate) async fn next(&mut self) -> Failure {
        tokio::select! {
            _ = self.interrupt.recv() => Failure::Interrupted,
            _ = self.terminate.recv() => Failure::Terminated,
        }
    }
}

#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(crate) async fn next(&mut self) -> Failure {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Failure::Interrupted,
            Err(source) => Failure::Runtime { source },
        }
    }
}
