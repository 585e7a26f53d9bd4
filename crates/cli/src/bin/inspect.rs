//! The command `lifeboat-inspect`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lifeboat_cli::inspect::main()
}
