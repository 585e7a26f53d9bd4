//! Whether a folder of archives is what a nightly run should have left: a pure function of descriptors and the clock
//! (spec/retention.md, "Watching").

use jiff::{SignedDuration, Timestamp};

use crate::listing::{Listed, Listing, Standing};
use crate::retention::age;

/// What is expected of each workspace.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// The newest archive that counts is at most so old.
    pub max_age: SignedDuration,
    /// At least so many archives count.
    pub min_count: u64,
    /// At most so many objects failed in the newest one; any number when absent.
    pub max_failed: Option<u64>,
}

/// How one workspace does.
#[derive(Debug, Clone)]
pub struct Health<'l> {
    /// Its id.
    pub workspace_id: String,
    /// The newest archive that counts.
    pub newest: Option<&'l Listed>,
    /// Its age, from the begin of its run; never negative.
    pub age: Option<SignedDuration>,
    /// Archives that count.
    pub count: u64,
    /// Archives that would count and are dated in the future.
    pub future: u64,
    /// Archives that do not count.
    pub others: u64,
    /// What is not as expected; empty when all is well.
    pub troubles: Vec<Trouble>,
}

/// What is not as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No archive counts.
    Nothing,
    /// The newest one is too old.
    TooOld,
    /// There are too few.
    TooFew,
    /// Too many objects failed in the newest one.
    TooManyFailed,
}

impl Trouble {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Nothing => "no complete archive",
            Self::TooOld => "too old",
            Self::TooFew => "too few",
            Self::TooManyFailed => "too many objects failed",
        }
    }
}

/// How every workspace does that has archives in the folder, or `workspace_id` alone, whether it has any or not.
#[must_use]
pub fn check<'l>(
    listing: &'l Listing,
    workspace_id: Option<&str>,
    expected: &Expected,
    now: Timestamp,
) -> Vec<Health<'l>> {
    let ids: Vec<&str> = match workspace_id {
        Some(id) => vec![id],
        None => listing.workspaces().into_iter().collect(),
    };
    ids.into_iter()
        .map(|id| health(listing, id, expected, now))
        .collect()
}

fn health<'l>(
    listing: &'l Listing,
    workspace_id: &str,
    expected: &Expected,
    now: Timestamp,
) -> Health<'l> {
    let all = || listing.of_workspace(workspace_id);
    let complete = || all().filter(|archive| archive.standing() == Standing::Counting);
    let future = complete().filter(|archive| archive.is_of_the_future(now));
    let future = future.count() as u64;
    let count = complete().count() as u64 - future;
    let newest = listing.newest_counting(workspace_id, now);
    // Within the tolerance of clocks an archive may be younger than now.
    let age = newest
        .and_then(|archive| age(archive, now))
        .map(|age| age.max(SignedDuration::ZERO));
    let mut troubles = Vec::new();
    match age {
        None => troubles.push(Trouble::Nothing),
        Some(age) if age > expected.max_age => troubles.push(Trouble::TooOld),
        Some(_) => {}
    }
    if age.is_some() && count < expected.min_count {
        troubles.push(Trouble::TooFew);
    }
    let failed = newest
        .and_then(|archive| archive.descriptor())
        .map_or(0, |descriptor| descriptor.counts.failed);
    if expected.max_failed.is_some_and(|most| failed > most) {
        troubles.push(Trouble::TooManyFailed);
    }
    Health {
        workspace_id: workspace_id.to_owned(),
        newest,
        age,
        count,
        future,
        others: all().count() as u64 - count - future,
        troubles,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::tests::{archive, folder};

    const HOURS: SignedDuration = SignedDuration::from_hours(1);

    fn troubles(archives: Vec<Listed>, workspace: Option<&str>) -> Vec<(String, Vec<Trouble>)> {
        let expected = Expected {
            max_age: HOURS * 26,
            min_count: 2,
            max_failed: None,
        };
        let listing = folder(archives);
        check(&listing, workspace, &expected, now())
            .into_iter()
            .map(|health| (health.workspace_id, health.troubles))
            .collect()
    }

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn aged(workspace: &str, hours: i32, standing: Standing) -> Listed {
        archive(workspace, now() - HOURS * hours, standing)
    }

    #[test]
    fn only_what_counts_is_fresh() {
        let old = || {
            vec![
                aged("1", 27, Standing::Counting),
                aged("1", 51, Standing::Counting),
            ]
        };
        assert_eq!(
            troubles(old(), None),
            [("1".to_owned(), vec![Trouble::TooOld])]
        );
        for standing in [Standing::Incomplete, Standing::Partial, Standing::Selection] {
            let mut archives = old();
            archives.push(aged("1", 1, standing));
            assert_eq!(troubles(archives, None)[0].1, [Trouble::TooOld]);
        }
        let mut archives = old();
        archives.push(aged("1", 26, Standing::Counting));
        assert_eq!(troubles(archives, None)[0].1, []);
    }

    #[test]
    fn an_archive_of_tomorrow_is_not_fresh_and_one_of_just_now_is() {
        let archives = vec![
            aged("1", -24, Standing::Counting),
            aged("1", 27, Standing::Counting),
        ];
        assert_eq!(
            troubles(archives, None)[0].1,
            [Trouble::TooOld, Trouble::TooFew]
        );
        let ahead = archive("1", now() + HOURS / 2, Standing::Counting);
        let archives = vec![ahead, aged("1", 27, Standing::Counting)];
        assert_eq!(troubles(archives, None)[0].1, []);
    }

    #[test]
    fn a_workspace_without_archives_is_noticed_when_it_is_named() {
        assert!(troubles(Vec::new(), None).is_empty());
        assert_eq!(
            troubles(Vec::new(), Some("7")),
            [("7".to_owned(), vec![Trouble::Nothing])]
        );
        let archives = vec![
            aged("1", 1, Standing::Counting),
            aged("2", 1, Standing::Partial),
        ];
        assert_eq!(
            troubles(archives, None),
            [
                ("1".to_owned(), vec![Trouble::TooFew]),
                ("2".to_owned(), vec![Trouble::Nothing])
            ]
        );
    }
}
