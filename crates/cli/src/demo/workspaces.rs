//! The two simulated workspaces, and the comparison that the simulator makes by itself.

use std::io::Write as _;
use std::path::Path;

use lifeboat_sim::{Fill, Options, Sim};

use super::verdict::Verdict;
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
        // Both belong to one account, so its groups can be assigned to the second workspace as well.
        secondary.with(|world| fill.join_account(world));
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

    /// Compares the two states kind by kind, without any code of the importer.
    pub(super) fn compare(&self) -> Verdict {
        Verdict::new(&self.primary.dump(), &self.secondary.dump())
    }
}
