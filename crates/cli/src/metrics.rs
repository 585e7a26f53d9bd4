//! The metrics file: Prometheus text that node_exporter's textfile collector picks up (spec/metrics.md).
//!
//! Owns the format, what is carried over from the file of the last run, and that a reader never sees half a file. What is
//! measured is the commands' business.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use lifeboat_console::Console;
use lifeboat_storage::Place;
use tempfile::NamedTempFile;

use crate::exit::Exit;
use crate::failure::Failure;

/// Where to leave metrics.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct MetricsArgs {
    /// Also write what came of it to this file as Prometheus text, whatever came of it: for the textfile collector of
    /// node_exporter. One file for each command and workspace
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    metrics: Option<PathBuf>,
}

/// The file of this run, and what the last one left in it.
#[derive(Debug)]
pub(crate) struct MetricsFile {
    path: PathBuf,
    previous: String,
}

impl MetricsArgs {
    /// Makes sure at the begin that the file can be written at the end; nothing when none is wanted.
    pub(crate) fn open(&self) -> Result<Option<MetricsFile>, Failure> {
        let Some(path) = &self.metrics else {
            return Ok(None);
        };
        let failed = |source| Failure::File {
            path: path.clone(),
            source,
        };
        let previous = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(Failure::NotMetrics { path: path.clone() });
            }
            Err(error) => return Err(failed(error)),
        };
        if !previous.is_empty() && !previous.starts_with(FIRST) {
            return Err(Failure::NotMetrics { path: path.clone() });
        }
        temporary(path).map_err(failed)?;
        Ok(Some(MetricsFile {
            path: path.clone(),
            previous,
        }))
    }
}

/// How a folder is called in a label: the same with and without a slash at its end.
pub(crate) fn place(folder: &Place) -> String {
    let name = folder.to_string();
    match name.trim_end_matches('/') {
        // The root of the disk.
        "" => name,
        plain => plain.to_owned(),
    }
}

/// Leaves the metrics of a command that ends with `result`, and hands that on. Only a command that went well fails when
/// they cannot be written.
pub(crate) fn finish(
    file: Option<MetricsFile>,
    result: Result<Exit, Failure>,
    console: &Console,
    page: impl FnOnce(&MetricsFile, Exit) -> Page,
) -> Result<Exit, Failure> {
    let Some(file) = file else {
        return result;
    };
    let exit = match &result {
        Ok(exit) => *exit,
        Err(failure) => failure.exit(),
    };
    match (file.write(&page(&file, exit)), result) {
        (Ok(()), result) => result,
        (Err(failure), Ok(_)) => Err(failure),
        (Err(failure), Err(first)) => {
            console.warning(&format!("the metrics were not written: {failure}"));
            Err(first)
        }
    }
}

/// How every file of ours begins.
const FIRST: &str = "# HELP lifeboat_";

impl MetricsFile {
    /// The value that this series had in the file of the last run.
    pub(crate) fn previous(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let series = series(name, labels);
        let line = self
            .previous
            .lines()
            .find_map(|line| line.strip_prefix(&series))?;
        // A number of ours is always followed by the end of the line; anything else is as good as absent.
        line.trim().parse().ok()
    }

    /// The value of the first label of this series in the file of the last run, when it has this name.
    pub(crate) fn label_of(&self, name: &str, label: &str) -> Option<String> {
        let begin = format!("{name}{{{label}=\"");
        let rest = self
            .previous
            .lines()
            .find_map(|line| line.strip_prefix(&begin))?;
        let mut value = String::new();
        let mut characters = rest.chars();
        loop {
            match characters.next()? {
                '"' => return Some(value),
                '\\' => match characters.next()? {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                other => value.push(other),
            }
        }
    }

    /// Puts `page` in the place of the file of the last run, readable for everybody.
    pub(crate) fn write(&self, page: &Page) -> Result<(), Failure> {
        let write = || {
            let mut file = temporary(&self.path)?;
            file.write_all(page.text.as_bytes())?;
            for_everybody(&file)?;
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| Failure::File {
            path: self.path.clone(),
            source,
        })
    }
}

/// The collector reads names that end in `.prom` alone.
fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    tempfile::Builder::new()
        .prefix(".lifeboat-")
        .suffix(".tmp")
        .tempfile_in(folder.unwrap_or(Path::new(".")))
}

#[cfg(unix)]
fn for_everybody(file: &NamedTempFile) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(mode)
}

#[cfg(not(unix))]
fn for_everybody(_file: &NamedTempFile) -> io::Result<()> {
    Ok(())
}

/// What a file is going to hold.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// Adds a gauge with its samples: labels and value. A gauge without samples is left out.
    pub(crate) fn gauge<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'s str, &'s str)>, f64)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        // Writing into a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let _ = writeln!(self.text, "{} {value}", series(name, &labels));
        }
    }
}

fn series(name: &str, labels: &[(&str, &str)]) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
        .collect();
    format!("{name}{{{}}}", labels.join(","))
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lifeboat.prom");
        let args = MetricsArgs {
            metrics: Some(path.clone()),
        };
        let labels = [("host", "a\"b\\c\nd")];
        let mut page = Page::default();
        page.gauge("lifeboat_x", "What it is.", [(labels.to_vec(), 1.5)]);
        page.gauge("lifeboat_y", "Nothing.", []);
        let file = args.open().unwrap().unwrap();
        assert_eq!(file.previous("lifeboat_x", &labels), None);
        file.write(&page).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "# HELP lifeboat_x What it is.\n# TYPE lifeboat_x gauge\nlifeboat_x{host=\"a\\\"b\\\\c\\nd\"} 1.5\n"
        );
        let file = args.open().unwrap().unwrap();
        assert_eq!(file.previous("lifeboat_x", &labels), Some(1.5));
        assert_eq!(file.previous("lifeboat_x", &[("host", "b")]), None);
        assert_eq!(
            file.label_of("lifeboat_x", "host").as_deref(),
            Some("a\"b\\c\nd")
        );
        assert_eq!(file.label_of("lifeboat_x", "place"), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_somebody_else_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "by hand").unwrap();
        let args = MetricsArgs {
            metrics: Some(path),
        };
        assert!(matches!(args.open(), Err(Failure::NotMetrics { .. })));
        let args = MetricsArgs {
            metrics: Some(folder.path().join("no/such/folder.prom")),
        };
        assert!(matches!(args.open(), Err(Failure::File { .. })));
    }
}
