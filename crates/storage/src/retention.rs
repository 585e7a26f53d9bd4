//! Which archives of a folder stay and which go: a pure function of their descriptors, the policy and the clock
//! (spec/retention.md).
//!
//! Owns the rules and the reason for each keep and each delete. Listing is left to `listing`, deleting to `removal`.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::listing::{Growing, Listed, Listing, Litter, Standing};

/// How many archives stay. Only those that count are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The newest so many.
    pub last: u32,
    /// The newest one of each of the last so many days (UTC) that have one, and the newest whole one where objects failed
    /// in that. The same for the other periods.
    pub daily: u32,
    /// The same for weeks from Monday to Sunday.
    pub weekly: u32,
    /// The same for months.
    pub monthly: u32,
    /// The same for years.
    pub yearly: u32,
    /// Days for which archives stay that do not count, and descriptors without an archive.
    pub others_days: u32,
}

impl Policy {
    /// It asks for no archive at all.
    #[must_use]
    pub fn keeps_nothing(&self) -> bool {
        let Self {
            last,
            daily,
            weekly,
            monthly,
            yearly,
            others_days: _,
        } = *self;
        [last, daily, weekly, monthly, yearly] == [0; 5]
    }
}

/// A descriptor without an archive stays so many days at least: the archive may be about to appear.
const LITTER_DAYS: u32 = 1;
/// Days after which a growing file is one of a run that was killed: no run goes on for so long without writing.
const GROWING_DAYS: u32 = 7;

/// What becomes of an archive.
#[derive(Debug, Clone)]
pub struct Judged<'l> {
    /// The archive.
    pub archive: &'l Listed,
    /// Keep or delete, and why.
    pub verdict: Verdict,
}

/// Keep or delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays, for at least one reason.
    Keep(Vec<Reason>),
    /// It goes.
    Delete(Why),
}

impl Verdict {
    /// It goes.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        matches!(self, Self::Delete(_))
    }

    /// The reasons in words.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Keep(reasons) => reasons.iter().map(ToString::to_string).collect(),
            Self::Delete(why) => vec![why.to_string()],
        }
    }
}

/// Why an archive stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The newest one that counts.
    Newest,
    /// The newest one that counts in which nothing failed: nights in which every content was refused displace it never.
    Whole,
    /// One of the newest: the first, the second, ...
    Last(u32),
    /// The newest of this period.
    Of(Period),
    /// The newest of this period in which nothing failed: the newest of all has failures.
    WholeOf(Period),
    /// It does not count and is not old enough to go.
    Young {
        /// From then on it goes.
        until: Timestamp,
    },
    /// It does not count, but no archive of the workspace does, and it is the newest of its sort.
    NothingBetter,
    /// Dated in the future: a clock is wrong, so its age is not known.
    Future,
    /// No usable descriptor: not known what it is.
    Unknown,
}

/// A day of UTC, a week by ISO 8601, a month or a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// This day.
    Day(Date),
    /// Year and number of the week.
    Week(i16, i8),
    /// Year and month.
    Month(i16, i8),
    /// This year.
    Year(i16),
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Day(date) => write!(f, "day {date}"),
            Self::Week(year, week) => write!(f, "week {year}-W{week:02}"),
            Self::Month(year, month) => write!(f, "month {year}-{month:02}"),
            Self::Year(year) => write!(f, "year {year}"),
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Whole => f.write_str("newest without a failure"),
            Self::Last(number) => write!(f, "last {number}"),
            Self::Of(period) => period.fmt(f),
            Self::WholeOf(period) => write!(f, "{period} without a failure"),
            Self::Young { until } => {
                write!(f, "until {}", until.to_zoned(TimeZone::UTC).date())
            }
            Self::NothingBetter => f.write_str("no archive of the workspace is complete"),
            Self::Future => f.write_str("dated in the future"),
            Self::Unknown => f.write_str("not known what it is"),
        }
    }
}

/// Why an archive goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No rule keeps it.
    Outlived,
    /// It does not count and is older than so many days.
    Aged(u32),
    /// A descriptor without an archive, for so many days.
    Alone(u32),
    /// An archive that has not grown for so many days: its run was killed.
    Killed(u32),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Outlived => f.write_str("no rule keeps it"),
            Self::Aged(days) => write!(f, "does not count and is older than {days} days"),
            Self::Alone(days) => write!(f, "a descriptor without an archive for {days} days"),
            Self::Killed(days) => {
                write!(
                    f,
                    "left by a run that was killed, not changed for {days} days"
                )
            }
        }
    }
}

/// What becomes of every archive of the folder: by workspace, newest first, unknown ones last. Of `workspace_id` alone when
/// it is given; what is unknown belongs to nobody and is told in either case.
#[must_use]
pub fn judge<'l>(
    listing: &'l Listing,
    workspace_id: Option<&str>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Judged<'l>> {
    let mut judged = Vec::with_capacity(listing.archives.len());
    for id in listing.workspaces() {
        if workspace_id.is_none_or(|wanted| wanted == id) {
            let archives = listing.of_workspace(id).collect();
            judged.extend(judge_workspace(archives, policy, now));
        }
    }
    let unknown = listing
        .archives
        .iter()
        .filter(|archive| archive.standing() == Standing::Unknown);
    judged.extend(unknown.map(|archive| Judged {
        archive,
        verdict: Verdict::Keep(vec![Reason::Unknown]),
    }));
    judged
}

/// What becomes of each descriptor without an archive.
pub fn judge_litter<'l>(
    listing: &'l Listing,
    workspace_id: Option<&str>,
    policy: &Policy,
    now: Timestamp,
) -> impl Iterator<Item = (&'l Litter, Verdict)> {
    let (wanted, days) = (workspace_id.map(str::to_owned), policy.others_days);
    let of_wanted = move |litter: &&Litter| {
        wanted
            .as_ref()
            .is_none_or(|wanted| *wanted == litter.descriptor.workspace_id)
    };
    listing.litter.iter().filter(of_wanted).map(move |litter| {
        // A copy of an old descriptor is new: its archive may be on its way.
        let written = litter.modified.max(litter.descriptor.finished);
        let days = days.max(LITTER_DAYS);
        (litter, for_days(written, days, now, Why::Alone(days)))
    })
}

/// What becomes of each file in which an archive grows or grew. None of them is known to be of a certain workspace.
pub fn judge_growing(
    listing: &Listing,
    now: Timestamp,
) -> impl Iterator<Item = (&Growing, Verdict)> {
    listing.growing.iter().map(move |growing| {
        let why = Why::Killed(GROWING_DAYS);
        (growing, for_days(growing.modified, GROWING_DAYS, now, why))
    })
}

/// It stays for so many days from `begin`, then goes.
fn for_days(begin: Timestamp, count: u32, now: Timestamp, why: Why) -> Verdict {
    let until = begin.checked_add(days(count)).unwrap_or(Timestamp::MAX);
    if until < now {
        Verdict::Delete(why)
    } else {
        Verdict::Keep(vec![Reason::Young { until }])
    }
}

/// The age of an archive: from the begin of its run, because it shows the workspace as of then.
#[must_use]
pub fn age(archive: &Listed, now: Timestamp) -> Option<SignedDuration> {
    let descriptor = archive.descriptor()?;
    Some(now.duration_since(descriptor.started))
}

fn days(count: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(count))
}

fn judge_workspace<'l>(
    mut archives: Vec<&'l Listed>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Judged<'l>> {
    archives.sort_by(|one, other| other.rank().cmp(&one.rank()));
    let certain = |archive: &&Listed| !archive.is_of_the_future(now);
    let counting: Vec<&Listed> = archives
        .iter()
        .copied()
        .filter(|archive| archive.standing() == Standing::Counting)
        .filter(certain)
        .collect();
    let mut kept = kept(&counting, policy).into_iter();
    let mut seen = Vec::new();
    // A run that ended early at once must not displace the one that holds the most.
    let fullest = |standing: Standing| {
        let of_standing = archives
            .iter()
            .rev()
            .filter(|archive| archive.standing() == standing)
            .filter(|archive| certain(archive));
        let fullest = of_standing.max_by_key(|archive| archive.payload_members());
        fullest.map(|archive| &archive.name)
    };
    let verdict = |archive: &'l Listed| match archive.standing() {
        _ if archive.is_of_the_future(now) => Verdict::Keep(vec![Reason::Future]),
        Standing::Unknown => Verdict::Keep(vec![Reason::Unknown]),
        // In the order of `counting`.
        Standing::Counting => match kept.next() {
            Some(reasons) if !reasons.is_empty() => Verdict::Keep(reasons),
            _ => Verdict::Delete(Why::Outlived),
        },
        standing => {
            let newest = !seen.contains(&standing);
            let best = counting.is_empty() && (newest || fullest(standing) == Some(&archive.name));
            seen.push(standing);
            other(archive, best, policy, now)
        }
    };
    let verdicts: Vec<Verdict> = archives.iter().copied().map(verdict).collect();
    archives
        .into_iter()
        .zip(verdicts)
        .map(|(archive, verdict)| Judged { archive, verdict })
        .collect()
}

/// An archive that does not count.
fn other(archive: &Listed, best: bool, policy: &Policy, now: Timestamp) -> Verdict {
    let days = policy.others_days;
    let finished = archive.descriptor().map(|descriptor| descriptor.finished);
    match finished.map(|finished| for_days(finished, days, now, Why::Aged(days))) {
        Some(verdict) if !best || !verdict.is_delete() => verdict,
        _ => Verdict::Keep(vec![Reason::NothingBetter]),
    }
}

/// The reasons to keep each of the archives that count, newest first.
fn kept(counting: &[&Listed], policy: &Policy) -> Vec<Vec<Reason>> {
    let nights: Vec<(Date, bool)> = counting
        .iter()
        .filter_map(|archive| archive.descriptor())
        .map(|descriptor| {
            let date = descriptor.started.to_zoned(TimeZone::UTC).date();
            (date, descriptor.counts.failed == 0)
        })
        .collect();
    let mut reasons = vec![Vec::new(); nights.len()];
    if let Some(newest) = reasons.first_mut() {
        newest.push(Reason::Newest);
    }
    let whole = nights.iter().position(|(_, whole)| *whole);
    // Of the newest one nothing more need be said.
    if let Some(reasons) = whole
        .filter(|at| *at > 0)
        .and_then(|at| reasons.get_mut(at))
    {
        reasons.push(Reason::Whole);
    }
    for (number, reasons) in (1..=policy.last).zip(&mut reasons) {
        reasons.push(Reason::Last(number));
    }
    type Rule = (u32, fn(Date) -> Period);
    let rules: [Rule; 4] = [
        (policy.daily, Period::Day),
        (policy.weekly, |date| {
            let week = date.iso_week_date();
            Period::Week(week.year(), week.week())
        }),
        (policy.monthly, |date| {
            Period::Month(date.year(), date.month())
        }),
        (policy.yearly, |date| Period::Year(date.year())),
    ];
    for (mut left, period_of) in rules {
        let mut last = None;
        let mut lacks_whole = false;
        for ((date, whole), reasons) in nights.iter().zip(&mut reasons) {
            let period = period_of(*date);
            if last == Some(period) {
                if lacks_whole && *whole {
                    lacks_whole = false;
                    reasons.push(Reason::WholeOf(period));
                }
                continue;
            }
            if left == 0 {
                break;
            }
            left -= 1;
            last = Some(period);
            lacks_whole = !whole;
            reasons.push(Reason::Of(period));
        }
    }
    reasons
}

#[cfg(test)]
pub(crate) mod tests;
