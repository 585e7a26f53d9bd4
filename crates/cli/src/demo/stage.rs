//! The steps of the demonstration. Each one runs a command exactly as a user would type it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use lifeboat_console::{Console, duration};
use lifeboat_storage::{Identities, Place};
use serde_json::json;

use super::killed::{kill_import, written};
use super::workspaces::Workspaces;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::place::open_at;
use crate::show::to_json;
use crate::{export, import, inspect};

/// Writes after which the first import is killed: in the middle of the smallest fill.
const KILLED_AFTER: usize = 150;

/// Everything that the steps share.
pub(super) struct Stage<'c> {
    console: &'c Arc<Console>,
    workspaces: Workspaces,
    folder: PathBuf,
    begun: Instant,
    exit: Exit,
}

impl<'c> Stage<'c> {
    pub(super) fn new(console: &'c Arc<Console>, to: &Path, fill: &str) -> Result<Self, Failure> {
        let workspaces = Workspaces::start(fill)?;
        let folder = fresh_folder(to)?;
        workspaces.write_profiles(&folder.join("profiles"))?;
        Ok(Self {
            console,
            workspaces,
            folder,
            begun: Instant::now(),
            exit: Exit::Done,
        })
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    pub(super) fn introduce(&self) {
        let Workspaces { primary, secondary } = &self.workspaces;
        let console = self.console;
        console.line("Two simulated workspaces are running. Nothing leaves this machine.");
        console.line(&format!(
            "  primary    {}  workspace {}, filled",
            primary.url(),
            primary.workspace_id()
        ));
        console.line(&format!(
            "  secondary  {}  workspace {}, empty",
            secondary.url(),
            secondary.workspace_id()
        ));
    }

    pub(super) fn export(&mut self) -> Result<(), Failure> {
        self.title("1. The primary workspace goes into one archive");
        let archive = self.archive();
        self.lifeboat_export(&[
            "run",
            "--profile",
            "primary",
            "--to",
            &archive,
            "--dbfs",
            "/FileStore",
            "--limits",
            "off",
        ])
    }

    pub(super) fn look(&mut self) -> Result<(), Failure> {
        self.title("2. The archive is read without a workspace and without a network");
        let archive = self.archive();
        self.lifeboat_inspect(&["verify", &archive])?;
        self.lifeboat_inspect(&["ls", &archive, "/"])?;
        // Its content is no event.
        if self.console.is_json() {
            return Ok(());
        }
        if let Some(notebook) = self.smallest_notebook()? {
            self.lifeboat_inspect(&["cat", &archive, &notebook])?;
            // A notebook need not end in a line end.
            self.console.line("");
        }
        Ok(())
    }

    pub(super) fn restore(&mut self) -> Result<(), Failure> {
        self.title("3. The archive is replayed into the empty workspace");
        let (archive, journal) = (self.archive(), self.journal());
        let common = nightly(&archive, &journal);
        self.lifeboat_import("plan", &common)?;
        let target = self.workspaces.secondary.workspace_id().to_owned();
        let mut apply = common.to_vec();
        apply.extend(["--target", &target]);
        self.killed(&apply)?;
        self.lifeboat_import("apply", &apply)?;
        self.lifeboat_import("compare", &common)
    }

    /// The first apply dies in the middle; the same command goes on where it was.
    fn killed(&mut self, apply: &[&str]) -> Result<(), Failure> {
        let words: Vec<&str> = std::iter::once("apply")
            .chain(apply.iter().copied())
            .collect();
        self.show("lifeboat-import", &words);
        let profiles = self.profiles();
        let secondary = &self.workspaces.secondary;
        let (writes, killed) = kill_import(&words, &profiles, secondary, KILLED_AFTER)?;
        let said = if killed {
            format!("Killed after {writes} writes. The same command again:")
        } else {
            format!("It was done, with {writes} writes, before it could be killed.")
        };
        let facts = json!({"writes": writes, "killed": killed});
        self.console.event("apply-killed", facts, &said);
        Ok(())
    }

    /// The simulator has both states and compares them by itself: the importer does not mark its own work.
    pub(super) fn compare_workspaces(&mut self) {
        self.title("4. The simulator compares the two workspaces, object by object");
        let verdict = self.workspaces.compare();
        let differences = verdict.differences;
        self.console.table(&verdict.table);
        for line in &differences {
            self.console.line(&format!("- {line}"));
        }
        if !verdict.meant.is_empty() {
            self.console.line("");
            self.console.line("Not equal, and meant so:");
        }
        for (reason, count) in &verdict.meant {
            self.console.line(&format!("{count:>6} {reason}"));
        }
        self.console.event(
            "workspaces-compared",
            json!({"differences": differences, "meant": to_json(&verdict.meant)}),
            &match differences.len() {
                0 => "Everything else is equal.".to_owned(),
                many => format!("{many} differences that are not meant."),
            },
        );
        if !differences.is_empty() {
            self.exit = self.exit.and(Exit::Differences);
        }
    }

    pub(super) fn repeat(&mut self) -> Result<(), Failure> {
        self.title("5. The same archive once more: a second run finds nothing to write");
        self.quiet_night("second-apply")
    }

    /// The apply of every night, in a target that needs nothing.
    fn quiet_night(&mut self, event: &str) -> Result<(), Failure> {
        let (archive, journal) = (self.archive(), self.journal());
        self.workspaces.secondary.reset_calls();
        self.lifeboat_import("apply", &nightly(&archive, &journal))?;
        let calls = self.workspaces.secondary.calls().len();
        let writes = written(&self.workspaces.secondary);
        self.console.event(
            event,
            json!({"calls": calls, "writes": writes}),
            &format!("the secondary workspace saw {calls} calls, {writes} of them writes"),
        );
        none(writes, "the import into a target that needs nothing")
    }

    pub(super) fn activate(&mut self) -> Result<(), Failure> {
        self.title("6. The primary region is gone: the standby takes over");
        self.say_what_runs();
        let journal = self.journal();
        let switch = ["--profile", "secondary", "--journal", &journal];
        let mut activate = switch.to_vec();
        activate.push("--source-fenced");
        self.lifeboat_import("activate", &activate)?;
        self.say_what_runs();
        Ok(())
    }

    /// What the simulator counts in the secondary workspace that would run or cost.
    fn say_what_runs(&self) {
        let costs = self.workspaces.secondary.costs();
        self.console.line("");
        self.console.event(
            "secondary-runs",
            costs.to_json(),
            &format!(
                "the secondary workspace has {} jobs that their triggers will run, and {} instances kept idle",
                costs.jobs_armed.len(),
                costs.idle_instances
            ),
        );
    }

    pub(super) fn refuse(&mut self) -> Result<(), Failure> {
        self.title("7. The nightly import is refused from now on: it would pause production");
        let (archive, journal) = (self.archive(), self.journal());
        self.workspaces.secondary.reset_calls();
        match self.lifeboat_import("apply", &nightly(&archive, &journal)) {
            Err(refusal) if refusal.exit() == Exit::Safety => {
                self.console.line(&format!("error: {refusal}"));
                for hint in refusal.hints() {
                    self.console.line(&format!("hint: {hint}"));
                }
            }
            Err(failure) => return Err(failure),
            Ok(()) => {
                return Err(Failure::Demo {
                    what: "the import into a workspace that runs production was not refused"
                        .to_owned(),
                });
            }
        }
        let writes = written(&self.workspaces.secondary);
        self.console.event(
            "refused-apply",
            json!({"writes": writes}),
            &format!("the secondary workspace saw {writes} writes"),
        );
        none(writes, "the import that was refused")
    }

    pub(super) fn stand_down(&mut self) -> Result<(), Failure> {
        self.title("8. Back to standby; the next night finds nothing to write");
        let journal = self.journal();
        let switch = ["--profile", "secondary", "--journal", &journal];
        self.lifeboat_import("deactivate", &switch)?;
        self.say_what_runs();
        self.quiet_night("third-apply")
    }

    pub(super) fn farewell(&self) {
        let console = self.console;
        let archive = self.archive();
        let folder = self.folder.display();
        console.line("");
        console.heading(&format!(
            "Done in {}. The archive stays in {folder}/. Try next:",
            duration(self.begun.elapsed())
        ));
        let inspect = "cargo run -q --release --bin lifeboat-inspect --";
        for line in [
            format!("{inspect} ls {archive} /Users"),
            format!("{inspect} ls -l {archive} jobs"),
            format!("{inspect} verify {archive}"),
            format!("{inspect} extract {archive} --to {folder}/files"),
            format!("tar --zstd -tf {archive}"),
            format!(
                "mkdir {folder}/bag && tar --zstd -xf {archive} -C {folder}/bag --strip-components 1 && (cd {folder}/bag && sha256sum -c --quiet manifest-sha256.txt tagmanifest-sha256.txt)"
            ),
            "cargo run -q --release --bin lifeboat-sim -- serve --port 8080 --fill small"
                .to_owned(),
        ] {
            console.line(&format!("  {line}"));
        }
        console.summary(json!({
            "command": "lifeboat-demo",
            "exit_code": self.exit.code(),
            "archive": archive,
        }));
    }

    fn archive(&self) -> String {
        self.folder
            .join("primary.tar.zst")
            .to_string_lossy()
            .into_owned()
    }

    fn journal(&self) -> String {
        self.folder
            .join("journal.jsonl")
            .to_string_lossy()
            .into_owned()
    }

    fn profiles(&self) -> PathBuf {
        self.folder.join("profiles")
    }

    fn title(&self, text: &str) {
        self.console.line("");
        self.console.heading(text);
    }

    fn show(&self, tool: &str, arguments: &[&str]) -> Vec<String> {
        let words: Vec<String> = std::iter::once(tool)
            .chain(arguments.iter().copied())
            .map(str::to_owned)
            .collect();
        self.console.line("");
        self.console.line(&format!(
            "$ {}",
            words
                .iter()
                .map(|word| quoted(word))
                .collect::<Vec<_>>()
                .join(" ")
        ));
        words
    }

    fn lifeboat_export(&mut self, arguments: &[&str]) -> Result<(), Failure> {
        let mut cli = export::Cli::try_parse_from(self.show("lifeboat-export", arguments))
            .map_err(misspelt)?;
        cli.isolate(&self.profiles());
        self.exit = self.exit.and(cli.run(self.console)?);
        Ok(())
    }

    fn lifeboat_import(&mut self, command: &str, arguments: &[&str]) -> Result<(), Failure> {
        let words: Vec<&str> = std::iter::once(command)
            .chain(arguments.iter().copied())
            .collect();
        let mut cli =
            import::Cli::try_parse_from(self.show("lifeboat-import", &words)).map_err(misspelt)?;
        cli.connection().isolate(&self.profiles());
        self.exit = self.exit.and(cli.run(self.console)?);
        Ok(())
    }

    fn lifeboat_inspect(&mut self, arguments: &[&str]) -> Result<(), Failure> {
        let cli = inspect::Cli::try_parse_from(self.show("lifeboat-inspect", arguments))
            .map_err(misspelt)?;
        self.exit = self.exit.and(cli.run(self.console)?);
        Ok(())
    }

    /// A notebook that fits a screen.
    fn smallest_notebook(&self) -> Result<Option<String>, Failure> {
        let place = Place::Local(self.archive().into());
        let archive = open_at(&place, &Identities::none(), self.console)?;
        let mut smallest: Option<(u64, String)> = None;
        lifeboat_inspect::ls(&archive, "notebooks", false, &mut |entry| {
            if let Some(size) = entry.size
                && smallest.as_ref().is_none_or(|(least, _)| size < *least)
            {
                smallest = Some((size, entry.name.clone()));
            }
            ControlFlow::Continue(())
        })?;
        Ok(smallest.map(|(_, name)| name))
    }
}

/// The demonstration fails when something that must not write has written.
fn none(writes: usize, who: &str) -> Result<(), Failure> {
    if writes == 0 {
        return Ok(());
    }
    Err(Failure::Demo {
        what: format!("{who} made {writes} writes"),
    })
}

/// What every import of the demonstration is called with.
fn nightly<'a>(archive: &'a str, journal: &'a str) -> [&'a str; 8] {
    [
        archive,
        "--profile",
        "secondary",
        "--journal",
        journal,
        "--admins",
        "--limits",
        "off",
    ]
}

/// The folder itself when it is free, else the first free one with a number.
fn fresh_folder(wanted: &Path) -> Result<PathBuf, Failure> {
    let numbered = |number: u32| match number {
        1 => wanted.to_owned(),
        number => {
            let mut name = wanted.as_os_str().to_owned();
            name.push(format!("-{number}"));
            PathBuf::from(name)
        }
    };
    for number in 1..10_000 {
        let folder = numbered(number);
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(Failure::File {
                    path: folder,
                    source,
                });
            }
        }
    }
    Err(Failure::Demo {
        what: format!(
            "{} and every numbered folder beside it exist",
            wanted.display()
        ),
    })
}

fn misspelt(error: clap::Error) -> Failure {
    Failure::Demo {
        what: error.to_string(),
    }
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./:@=,+".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(
            quoted("/Users/anna@example.com/etl"),
            "/Users/anna@example.com/etl"
        );
        assert_eq!(quoted("/Shared/it's 5"), r"'/Shared/it'\''s 5'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_write_where_there_must_be_none_is_a_failure() {
        assert!(none(0, "a second run").is_ok());
        let failure = none(2, "a second run").unwrap_err();
        assert!(failure.to_string().contains("a second run made 2 writes"));
    }

    #[test]
    fn an_existing_folder_is_never_used() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("demo");
        assert_eq!(fresh_folder(&wanted).unwrap(), wanted);
        assert_eq!(fresh_folder(&wanted).unwrap(), dir.path().join("demo-2"));
        assert!(fresh_folder(&dir.path().join("no/such")).is_err());
    }
}
