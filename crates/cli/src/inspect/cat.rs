//! `lifeboat-inspect cat`.

use std::io::{self, Write};
use std::sync::Arc;

use clap::Args;
use lifeboat_console::Console;
use lifeboat_inspect::cat;

use crate::args::{ArchiveArgs, Narration};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::frame::in_thread;
use crate::place::open;

/// Print the content of a notebook or file, or an object as JSON
///
/// The content comes out as it is in the archive and is proved by its digest; on a terminal control characters are
/// escaped. NAME is a workspace path, dbfs:/..., jobs/123, acls/jobs/123, a table (ledger, users, acls/jobs), or a member of
/// the archive.
#[derive(Args, Debug, Clone)]
#[command(after_help = "Examples:
  lifeboat-inspect cat backup.tar.zst /Users/anna@example.com/etl
  lifeboat-inspect cat backup.tar.zst jobs/123")]
pub(crate) struct CatArgs {
    #[command(flatten)]
    archive: ArchiveArgs,
    /// What to print
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    pub(crate) narration: Narration,
}

pub(crate) fn run(args: CatArgs, console: &Arc<Console>) -> Result<Exit, Failure> {
    let console = Arc::clone(console);
    in_thread(
        move || {
            let archive = open(&args.archive, &console)?;
            let mut out = Out {
                console: &console,
                line: Vec::new(),
            };
            cat(&archive, &args.name, &mut out)?;
            out.end();
            Ok(Exit::Done)
        },
        || {},
    )
}

/// Standard output as a stream. On a terminal whole lines are handed on, so that no character is cut.
struct Out<'c> {
    console: &'c Console,
    line: Vec<u8>,
}

impl Out<'_> {
    fn end(self) {
        self.console.raw(&self.line);
    }
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.console.settings().stdout_terminal {
            self.line.extend_from_slice(bytes);
            if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
                let rest = self.line.split_off(end + 1);
                self.console.raw(&self.line);
                self.line = rest;
            }
        } else {
            self.console.raw(bytes);
        }
        if self.console.is_closed() {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(bytes.len())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
