//! The command `lifeboat-demo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lifeboat_cli::demo::main()
}
