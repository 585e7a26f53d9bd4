//! The command `lifeboat-export`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lifeboat_cli::export::main()
}
