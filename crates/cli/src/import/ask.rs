//! Questions that only a person can answer, before the first write.

use std::io::{self, IsTerminal, Write};

use lifeboat_console::{Console, escape};

use crate::failure::Failure;
use crate::frame::block_on_reading;

/// Whether somebody sits there who can be asked.
pub(super) fn can_ask(console: &Console) -> bool {
    !console.is_json() && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Runs work that may ask with [`typed`]. A signal ends it at once, also while nobody answers.
pub(super) fn asking<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let result = block_on_reading(work);
    if let Err(Failure::Interrupted | Failure::Terminated) = &result {
        // What is said next begins behind the question; a terminal that is gone needs no new line.
        let _ = writeln!(io::stderr());
    }
    result
}

/// Prints the lines of a question, and waits for the line that is typed behind the last of them.
pub(super) async fn typed(lines: &[String]) -> Result<String, Failure> {
    let no_answer = |source| Failure::Answer { source };
    let question: Vec<_> = lines.iter().map(|line| escape(line)).collect();
    let mut terminal = io::stderr();
    write!(terminal, "{}", question.join("\n"))
        .and_then(|()| terminal.flush())
        .map_err(no_answer)?;
    // Nothing takes a reader off a terminal: a thread reads, which a signal leaves behind and the process takes with it.
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    match read.await {
        Ok(line) => Ok(line.map_err(no_answer)?.trim().to_owned()),
        Err(error) => Err(Failure::Panicked {
            what: error.to_string(),
        }),
    }
}
