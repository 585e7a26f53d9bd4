//! The command `lifeboat-import`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lifeboat_cli::import::main()
}
