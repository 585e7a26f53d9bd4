//! The exit codes, in one place (spec/exit-codes.md).

use std::process::ExitCode;

/// How a command ended. Scripts rely on these numbers; they are never given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Finished with gaps: something could not be captured or restored.
    Gaps = 3,
    /// Not an archive, or a version that this build cannot read.
    NotArchive = 10,
    /// Damaged or not authentic.
    Damaged = 11,
    /// Refused by the service: credentials or rights.
    Refused = 12,
    /// Differences.
    Differences = 13,
    /// Refused by a safety rule, nothing was written.
    Safety = 14,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// Every code with its meaning, in the order of the numbers.
pub const ALL: [(Exit, &str); 11] = [
    (Exit::Done, "done"),
    (Exit::Failed, "failed"),
    (Exit::Usage, "wrong usage"),
    (
        Exit::Gaps,
        "finished with gaps: something could not be captured or restored; the report names it",
    ),
    (
        Exit::NotArchive,
        "not an archive, or a version that this build cannot read",
    ),
    (Exit::Damaged, "damaged or not authentic"),
    (
        Exit::Refused,
        "refused by the service: host, credentials or rights; or an encrypted archive without a fitting identity",
    ),
    (
        Exit::Differences,
        "differences: `compare`, `plan --detailed-exitcode`, `status`, `verify --all`",
    ),
    (
        Exit::Safety,
        "refused by a safety rule, nothing was written",
    ),
    (Exit::Interrupted, "ended by SIGINT"),
    (Exit::Terminated, "ended by SIGTERM"),
];

/// Which code wins when several apply, the strongest first. A signal and wrong usage end a command before any other
/// code can apply.
pub const PRECEDENCE: [Exit; 7] = [
    Exit::Refused,
    Exit::Damaged,
    Exit::NotArchive,
    Exit::Safety,
    Exit::Failed,
    Exit::Gaps,
    Exit::Differences,
];

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The code of that number; an unknown number is a failure.
    pub fn of(code: u8) -> Self {
        ALL.iter()
            .map(|(exit, _)| *exit)
            .find(|exit| exit.code() == code)
            .unwrap_or(Self::Failed)
    }

    /// The stronger of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Interrupted | Self::Terminated | Self::Usage => 0,
            Self::Done => usize::MAX,
            other => {
                1 + PRECEDENCE
                    .iter()
                    .position(|one| *one == other)
                    .unwrap_or(PRECEDENCE.len())
            }
        };
        if rank(other) < rank(self) {
            other
        } else {
            self
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_code_wins() {
        assert_eq!(Exit::Done.and(Exit::Gaps), Exit::Gaps);
        assert_eq!(Exit::Differences.and(Exit::Gaps), Exit::Gaps);
        assert_eq!(Exit::Gaps.and(Exit::Refused), Exit::Refused);
        assert_eq!(Exit::Refused.and(Exit::Damaged), Exit::Refused);
        assert_eq!(Exit::Interrupted.and(Exit::Refused), Exit::Interrupted);
        assert_eq!(Exit::Done.and(Exit::Done), Exit::Done);
    }

    #[test]
    fn numbers_are_unique_and_known() {
        for (exit, _) in ALL {
            assert_eq!(Exit::of(exit.code()), exit);
        }
        assert_eq!(Exit::of(77), Exit::Failed);
    }

    /// The table of the spec is the table of the code.
    #[test]
    fn the_spec_lists_exactly_these_codes() {
        let spec = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../spec/exit-codes.md"
        ))
        .unwrap();
        let rows: Vec<(u8, &str)> = spec
            .lines()
            .filter_map(|line| {
                let mut cells = line.trim_matches('|').split('|').map(str::trim);
                Some((cells.next()?.parse().ok()?, cells.next()?))
            })
            .collect();
        let expected: Vec<(u8, &str)> = ALL
            .iter()
            .map(|(exit, meaning)| (exit.code(), *meaning))
            .collect();
        assert_eq!(rows, expected);
        let order: Vec<String> = PRECEDENCE
            .iter()
            .map(|exit| exit.code().to_string())
            .collect();
        assert!(
            spec.contains(&order.join(", ")),
            "the precedence {} is not in the spec",
            order.join(", ")
        );
    }
}
