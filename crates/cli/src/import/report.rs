//! The report of a restore: on the terminal, and as a JSON file beside it (`spec/import.md`, "Results").

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_console::{Console, counted, duration};
use lifeboat_import::{Effect, Report};
use serde_json::Value;

use super::outline::finding_text;
use crate::failure::Failure;

/// Phases shorter than this are not worth a word.
const SHORT: f64 = 0.05;

/// A report file that is made before the first write, so that a run never ends without the report that was asked for.
pub(crate) struct ReportFile {
    path: PathBuf,
    part: tempfile::NamedTempFile,
}

impl ReportFile {
    /// Makes room for the report. The file appears whole, under its name, when it is written; only its owner may read it.
    pub(crate) fn open(path: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let part = tempfile::Builder::new()
            .prefix(".lifeboat-report-")
            .tempfile_in(folder)
            .map_err(|source| failure(path, source))?;
        Ok(Some(Self {
            path: path.to_owned(),
            part,
        }))
    }

    /// Writes the report and gives it its name; what stood there is replaced.
    pub(crate) fn write(mut self, report: &Value) -> Result<(), Failure> {
        let path = self.path;
        let mut text = format!("{report:#}");
        text.push('\n');
        self.part
            .write_all(text.as_bytes())
            .and_then(|()| self.part.as_file().sync_all())
            .map_err(|source| failure(&path, source))?;
        self.part
            .persist(&path)
            .map_err(|error| failure(&path, error.error))?;
        Ok(())
    }
}

fn failure(path: &Path, source: std::io::Error) -> Failure {
    Failure::File {
        path: path.to_owned(),
        source,
    }
}

/// What may fail later although nothing of the run did: it was known before.
pub(crate) fn risks(console: &Console, report: &Report) {
    let told = report
        .preflight
        .iter()
        .filter(|one| matches!(one.effect, Effect::Risk | Effect::Unchecked));
    let mut first = true;
    for finding in told {
        if std::mem::take(&mut first) {
            console.line("");
            console.heading("what may not work when it is needed:");
        }
        console.line(&format!("- {}", finding_text(finding)));
    }
}

/// Where the time went, and what was asked of the service.
pub(crate) fn figures(console: &Console, report: &Report) {
    let phases: Vec<String> = report
        .phases
        .iter()
        .filter(|(_, seconds)| *seconds >= SHORT || console.is_verbose())
        .map(|(name, seconds)| {
            let length = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
            format!("{name} {}", duration(length))
        })
        .collect();
    console.line("");
    if !phases.is_empty() {
        console.line(&format!(
            "time, phases beside each other: {}",
            phases.join(", ")
        ));
    }
    let mut line = format!(
        "workspace {} at {}: {}, {}",
        report.target,
        report.host,
        counted(report.writes, "write"),
        counted(report.calls, "call")
    );
    if report.retries > 0 {
        line.push_str(&format!(", {} of them repeated", report.retries));
    }
    if report.throttled > 0 {
        line.push_str(&format!(
            "; the service asked {} to slow down",
            counted(report.throttled, "time")
        ));
    }
    console.line(&line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_file_is_whole_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let file = ReportFile::open(Some(&path)).unwrap().unwrap();
        assert!(
            !path.exists(),
            "nothing stands under the name before the end"
        );
        file.write(&json!({"writes": 3})).unwrap();
        let read: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read["writes"], 3);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(ReportFile::open(Some(&folder.path().join("no/such/report.json"))).is_err());
        assert!(ReportFile::open(None).unwrap().is_none());
    }
}
