//! The two simulated workspaces, and the comparison that the simulator makes by itself.

use std::io::Write as _;
use std::path::Path;

use lifeboat_console::{Align, Table};
use lifeboat_sim::{Fill, Options, Sim};
use serde_json::Value;

use crate::failure::Failure;

/// Clusters start and stop this much faster than real ones.
const CLOCK_RATE: u32 = 120;

/// A filled workspace and an empty one.
pub(super) struct Workspaces {
    pub(super) primary: Sim,
    pub(super) secondary: Sim,
}

impl Workspaces {
    pub(super) fn start(fill: &str) -> Result<Self, Failure> {
        let fill = Fill::named(fill).ok_or_else(|| Failure::Demo {
            what: format!("there is no fill named {fill}"),
        })?;
        let start = |workspace_id: &str, token: &str, seed| {
            let options = Options {
                workspace_id: workspace_id.to_owned(),
                token: token.to_owned(),
                seed,
                clock_rate: CLOCK_RATE,
                ..Options::default()
            };
            Sim::start(options).map_err(Failure::Simulator)
        };
        let primary = start("7405609123456789", "dapi-simulated-primary", 1)?;
        let secondary = start("1184467440737095", "dapi-simulated-secondary", 2)?;
        primary.fill(&fill);
        primary.set_limits(false);
        secondary.set_limits(false);
        Ok(Self { primary, secondary })
    }

    /// A configuration file with the profiles `primary` and `secondary`.
    pub(super) fn write_profiles(&self, path: &Path) -> Result<(), Failure> {
        let write = || -> std::io::Result<()> {
            let mut file = fs_err::File::create_new(path)?;
            for (profile, sim) in [("primary", &self.primary), ("secondary", &self.secondary)] {
                writeln!(
                    file,
                    "[{profile}]\nhost = {}\ntoken = {}\n",
                    sim.url(),
                    sim.token()
                )?;
            }
            file.flush()
        };
        write().map_err(|source| Failure::File {
            path: path.to_owned(),
            source,
        })
    }

    /// Compares the two states kind by kind, without any code of the importer. Returns the table and the number of
    /// differences.
    pub(super) fn compare(&self) -> (Table, Vec<String>) {
        let (first, second) = (self.primary.dump(), self.secondary.dump());
        let differences = lifeboat_sim::compare(&first, &second);
        let mut table = Table::new(&[
            ("kind", Align::Left),
            ("primary", Align::Right),
            ("secondary", Align::Right),
            ("differences", Align::Right),
        ]);
        for (kind, objects) in first.as_object().into_iter().flatten() {
            let different = differences
                .iter()
                .filter(|difference| difference.kind == *kind)
                .count();
            let there = second.get(kind).map_or(0, count);
            table.row([
                kind.clone(),
                count(objects).to_string(),
                there.to_string(),
                different.to_string(),
            ]);
        }
        let lines = differences
            .iter()
            .map(|one| format!("{} {}: {}", one.kind, one.key, one.what))
            .collect();
        (table, lines)
    }
}

fn count(objects: &Value) -> usize {
    match objects {
        Value::Array(array) => array.len(),
        Value::Object(map) => map.len(),
        _ => 1,
    }
}
