//! The rules, and what must hold for every folder, policy and clock.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use lifeboat_archive::{Inventory, Scope};
use proptest::prelude::*;

use super::*;
use crate::address::Place;
use crate::destination::tests::descriptor;
use crate::listing::{Identity, State};

const NONE: Policy = Policy {
    last: 0,
    daily: 0,
    weekly: 0,
    monthly: 0,
    yearly: 0,
    others_days: 14,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Made once: it takes a whole archive to make one.
fn base() -> &'static lifeboat_archive::Descriptor {
    static BASE: OnceLock<lifeboat_archive::Descriptor> = OnceLock::new();
    BASE.get_or_init(descriptor)
}

pub(crate) fn archive(workspace: &str, started: Timestamp, standing: Standing) -> Listed {
    let stamp = started.as_second();
    let partial = if standing == Standing::Partial {
        ".partial"
    } else {
        ""
    };
    let described = lifeboat_archive::Descriptor {
        workspace_id: workspace.to_owned(),
        started,
        finished: started + SignedDuration::from_mins(10),
        scope: if standing == Standing::Selection {
            Scope::Selection
        } else {
            Scope::Workspace
        },
        inventory: if standing == Standing::Counting {
            Inventory::Complete
        } else {
            Inventory::Incomplete
        },
        ..base().clone()
    };
    let name = format!("{workspace}-{stamp}{partial}.tar.zst");
    Listed {
        place: Place::Local(name.clone().into()),
        size: described.size,
        modified: started,
        signature: None,
        state: match standing {
            Standing::Unknown => State::Undescribed,
            _ => State::Described(Box::new(described)),
        },
        identity: Identity {
            size: 0,
            e_tag: None,
            modified: None,
        },
        document: None,
        name,
    }
}

pub(crate) fn folder(archives: Vec<Listed>) -> Listing {
    Listing {
        folder: Place::Local("b".into()),
        archives,
        litter: Vec::new(),
        growing: Vec::new(),
        foreign: 0,
        region: crate::region::Region::Primary,
    }
}

fn names(judged: &[Judged<'_>], deleted: bool) -> BTreeSet<String> {
    let chosen = judged
        .iter()
        .filter(|judged| judged.verdict.is_delete() == deleted);
    chosen.map(|judged| judged.archive.name.clone()).collect()
}

/// A complete archive at one o'clock of each of these days.
fn nights(days: &[&str]) -> Listing {
    let night = |day: &&str| archive("1", at(&format!("{day}T01:00:00Z")), Standing::Counting);
    folder(days.iter().map(night).collect())
}

fn kept_days(listing: &Listing, policy: &Policy, now: Timestamp) -> Vec<String> {
    let judged = judge(listing, None, policy, now);
    let kept = judged.iter().filter(|judged| !judged.verdict.is_delete());
    let day = |judged: &Judged<'_>| judged.archive.descriptor().unwrap().started;
    kept.map(|judged| day(judged).to_zoned(TimeZone::UTC).date().to_string())
        .collect()
}

const DAYS: [&str; 8] = [
    "2025-12-28", // a Sunday
    "2025-12-31",
    "2026-01-01", // the same week, of 2026 by ISO 8601
    "2026-01-04",
    "2026-01-05",
    "2026-11-20",
    "2026-11-21",
    "2026-11-22", // a Sunday
];

#[test]
fn nights_in_which_something_failed_do_not_displace_the_last_whole_one() {
    let mut listing = nights(&DAYS);
    hollow(&mut listing, &DAYS[6..]);
    let policy = Policy { last: 1, ..NONE };
    assert_eq!(
        kept_days(&listing, &policy, at("2026-11-22T12:00:00Z")),
        ["2026-11-22", "2026-11-20"]
    );
}

/// Nights in which every content was refused list all there is, so they count.
fn hollow(listing: &mut Listing, days: &[&str]) {
    for archive in &mut listing.archives {
        if let State::Described(descriptor) = &mut archive.state {
            let date = descriptor.started.to_zoned(TimeZone::UTC).date();
            if days.contains(&date.to_string().as_str()) {
                descriptor.counts.failed = 360;
            }
        }
    }
}

#[test]
fn a_hollow_night_displaces_no_whole_one_of_its_period() {
    let days = [
        "2026-09-28",
        "2026-09-29",
        "2026-10-29",
        "2026-10-30",
        "2026-10-31",
        "2026-11-29",
    ];
    let mut listing = nights(&days);
    hollow(&mut listing, &["2026-09-29", "2026-10-31"]);
    let now = at("2026-11-29T12:00:00Z");
    for (policy, kept) in [
        (
            Policy {
                daily: 1,
                monthly: 2,
                ..NONE
            },
            vec!["2026-11-29", "2026-10-31", "2026-10-30"],
        ),
        (
            Policy { weekly: 2, ..NONE },
            vec!["2026-11-29", "2026-10-31", "2026-10-30"],
        ),
        (
            Policy {
                monthly: 12,
                ..NONE
            },
            vec![
                "2026-11-29",
                "2026-10-31",
                "2026-10-30",
                "2026-09-29",
                "2026-09-28",
            ],
        ),
        // The day has no other, and the year has a whole one that is newer.
        (
            Policy { daily: 2, ..NONE },
            vec!["2026-11-29", "2026-10-31"],
        ),
        (Policy { yearly: 1, ..NONE }, vec!["2026-11-29"]),
    ] {
        assert_eq!(kept_days(&listing, &policy, now), kept, "{policy:?}");
    }
    let policy = Policy {
        monthly: 12,
        ..NONE
    };
    let judged = judge(&listing, None, &policy, now);
    assert_eq!(
        judged[2].verdict.reasons(),
        ["month 2026-10 without a failure"]
    );
}

#[test]
fn each_rule_keeps_the_newest_of_its_periods() {
    let (listing, now) = (nights(&DAYS), at("2026-11-22T12:00:00Z"));
    for (policy, kept) in [
        (Policy { last: 2, ..NONE }, vec!["2026-11-22", "2026-11-21"]),
        (
            Policy { daily: 4, ..NONE },
            vec!["2026-11-22", "2026-11-21", "2026-11-20", "2026-01-05"],
        ),
        (
            Policy { weekly: 4, ..NONE },
            vec!["2026-11-22", "2026-01-05", "2026-01-04", "2025-12-28"],
        ),
        (
            Policy { monthly: 3, ..NONE },
            vec!["2026-11-22", "2026-01-05", "2025-12-31"],
        ),
        (
            Policy { yearly: 9, ..NONE },
            vec!["2026-11-22", "2025-12-31"],
        ),
        (NONE, vec!["2026-11-22"]),
    ] {
        assert_eq!(kept_days(&listing, &policy, now), kept, "{policy:?}");
    }
}

#[test]
fn a_keep_names_all_its_reasons() {
    let policy = Policy {
        last: 1,
        daily: 1,
        weekly: 1,
        monthly: 1,
        yearly: 1,
        ..NONE
    };
    let listing = nights(&DAYS);
    let judged = judge(&listing, None, &policy, at("2026-11-22T12:00:00Z"));
    assert_eq!(
        judged[0].verdict.reasons().join(", "),
        "newest, last 1, day 2026-11-22, week 2026-W47, month 2026-11, year 2026"
    );
    assert_eq!(judged[1].verdict.reasons(), ["no rule keeps it"]);
}

#[test]
fn days_are_those_of_utc() {
    let listing = folder(vec![
        archive("1", at("2026-11-21T23:59:59Z"), Standing::Counting),
        archive("1", at("2026-11-22T00:00:01Z"), Standing::Counting),
    ]);
    let policy = Policy { daily: 2, ..NONE };
    let judged = judge(&listing, None, &policy, at("2026-11-22T12:00:00Z"));
    assert_eq!(names(&judged, false).len(), 2);
}

#[test]
fn what_does_not_count_stays_for_its_days_and_displaces_nothing() {
    let now = at("2026-11-22T12:00:00Z");
    for standing in [Standing::Incomplete, Standing::Partial, Standing::Selection] {
        let listing = folder(vec![
            archive("1", at("2026-11-01T01:00:00Z"), Standing::Counting),
            archive("1", at("2026-11-07T01:00:00Z"), standing),
            archive("1", at("2026-11-21T01:00:00Z"), standing),
            archive("1", at("2026-11-22T01:00:00Z"), standing),
        ]);
        let policy = Policy { last: 1, ..NONE };
        let judged = judge(&listing, None, &policy, now);
        let gone = names(&judged, true);
        assert_eq!(gone.len(), 1, "{standing:?}: {gone:?}");
        assert_eq!(judged[2].verdict, Verdict::Delete(Why::Aged(14)));
        assert_eq!(judged[1].verdict.reasons(), ["until 2026-12-05"]);
        assert_eq!(judged[3].verdict.reasons()[0], "newest");
    }
}

#[test]
fn where_nothing_counts_the_newest_of_each_sort_stays() {
    let old = at("2026-01-01T01:00:00Z");
    let listing = folder(vec![
        archive("1", old, Standing::Selection),
        archive(
            "1",
            old + SignedDuration::from_hours(1),
            Standing::Selection,
        ),
        archive("1", old, Standing::Incomplete),
    ]);
    let judged = judge(&listing, None, &NONE, at("2026-11-22T12:00:00Z"));
    let gone = names(&judged, true);
    assert_eq!(gone.len(), 1);
    assert!(gone.contains(&listing.archives[0].name), "{gone:?}");
}

/// Where no night is complete, one that ended early at once does not displace the one that holds the most.
#[test]
fn the_fullest_of_those_that_do_not_count_stays_where_none_counts() {
    for standing in [Standing::Incomplete, Standing::Partial, Standing::Selection] {
        let mut short = archive("1", at("2026-11-25T01:00:00Z"), standing);
        let full = archive("1", at("2026-11-01T01:00:00Z"), standing);
        let older = archive("1", at("2026-10-01T01:00:00Z"), standing);
        if let State::Described(descriptor) = &mut short.state {
            descriptor.counts.payload_members = 0;
        }
        let listing = folder(vec![short.clone(), full.clone(), older.clone()]);
        let judged = judge(&listing, None, &NONE, at("2026-11-25T02:00:00Z"));
        assert_eq!(
            names(&judged, false),
            BTreeSet::from([short.name, full.name])
        );
        assert_eq!(names(&judged, true), BTreeSet::from([older.name]));
    }
}

#[test]
fn an_archive_of_tomorrow_stays_and_displaces_nothing() {
    let listing = nights(&["2026-11-20", "2026-11-21", "2031-01-01"]);
    let policy = Policy { last: 1, ..NONE };
    let now = at("2026-11-22T12:00:00Z");
    assert_eq!(
        kept_days(&listing, &policy, now),
        ["2031-01-01", "2026-11-21"]
    );
}

#[test]
fn old_descriptors_without_an_archive_go_and_each_is_explained() {
    let now = at("2026-11-22T12:00:00Z");
    let litter = |name: &str, modified: &str, finished: &str| Litter {
        name: name.to_owned(),
        place: Place::Local(name.into()),
        modified: at(modified),
        descriptor: Box::new(lifeboat_archive::Descriptor {
            finished: at(finished),
            ..base().clone()
        }),
        identity: Identity {
            size: 0,
            e_tag: None,
            modified: None,
        },
        signature: None,
        archives: Vec::new(),
    };
    let (old, new) = ("2026-11-01T01:00:00Z", "2026-11-21T01:00:00Z");
    let mut listing = folder(Vec::new());
    listing.litter = vec![
        litter("old", old, old),
        litter("new", new, new),
        litter("copied", new, old),
        litter("wrong-clock", old, new),
    ];
    let found = |workspace| -> Vec<(&str, String)> {
        let found = judge_litter(&listing, workspace, &NONE, now);
        found
            .map(|(litter, verdict)| (litter.name.as_str(), verdict.reasons().join(", ")))
            .collect()
    };
    let until = || "until 2026-12-05".to_owned();
    let judged = [
        (
            "old",
            "a descriptor without an archive for 14 days".to_owned(),
        ),
        ("new", until()),
        ("copied", until()),
        ("wrong-clock", until()),
    ];
    assert_eq!(found(None), judged);
    assert_eq!(found(Some("1")), judged);
    assert!(found(Some("2")).is_empty());
}

#[test]
fn what_grew_goes_when_nothing_was_written_for_a_week() {
    let growing = |modified: &str| Growing {
        name: ".lifeboat-abcdef.part".to_owned(),
        place: Place::Local(".lifeboat-abcdef.part".into()),
        size: 1,
        modified: at(modified),
        identity: Identity {
            size: 1,
            e_tag: None,
            modified: None,
        },
    };
    let mut listing = folder(Vec::new());
    listing.growing = vec![
        growing("2026-11-15T11:59:59Z"),
        growing("2026-11-15T12:00:00Z"),
        growing("2031-01-01T00:00:00Z"),
    ];
    let verdicts: Vec<Verdict> = judge_growing(&listing, now()).map(|(_, one)| one).collect();
    assert_eq!(
        verdicts[0].reasons(),
        ["left by a run that was killed, not changed for 7 days"]
    );
    assert_eq!(verdicts[1].reasons(), ["until 2026-11-22"]);
    assert!(!verdicts[2].is_delete());
}

/// Four years of nights, pruned every night: what is left is what the policy promises, with no gap and nothing more.
#[test]
fn years_of_nights_leave_what_the_policy_promises() {
    let policy = Policy {
        last: 3,
        daily: 7,
        weekly: 5,
        monthly: 12,
        yearly: 3,
        ..NONE
    };
    let mut archives: Vec<Listed> = Vec::new();
    let first = at("2022-12-01T01:00:00Z");
    for night in 0..4 * 365 {
        let started = first + SignedDuration::from_hours(24 * night);
        archives.push(archive("1", started, Standing::Counting));
        let listing = folder(archives);
        let judged = judge(
            &listing,
            None,
            &policy,
            started + SignedDuration::from_hours(1),
        );
        let gone = names(&judged, true);
        archives = listing.archives;
        archives.retain(|archive| !gone.contains(&archive.name));
    }
    let last = first + SignedDuration::from_hours(24 * (4 * 365 - 1));
    let days: BTreeSet<Date> = archives
        .iter()
        .map(|archive| archive.descriptor().unwrap().started)
        .map(|started| started.to_zoned(TimeZone::UTC).date())
        .collect();
    let today = last.to_zoned(TimeZone::UTC).date();
    for back in 0..7 {
        assert!(days.contains(&(today - SignedDuration::from_hours(24 * back))));
    }
    let months: BTreeSet<(i16, i8)> = days.iter().map(|day| (day.year(), day.month())).collect();
    assert!(months.len() >= 12, "{days:?}");
    // The last day of each month that is over.
    let month_ends = days.iter().filter(|day| **day == day.last_of_month());
    assert!(month_ends.count() >= 11, "{days:?}");
    let years: BTreeSet<i16> = days.iter().map(|day| day.year()).collect();
    assert_eq!(years.len(), 3, "{days:?}");
    assert!(days.len() <= 7 + 5 + 12 + 3, "{days:?}");
}

fn policies() -> impl Strategy<Value = Policy> {
    (0_u32..4, 0_u32..9, 0_u32..6, 0_u32..14, 0_u32..4, 0_u32..20).prop_map(
        |(last, daily, weekly, monthly, yearly, others_days)| Policy {
            last,
            daily,
            weekly,
            monthly,
            yearly,
            others_days,
        },
    )
}

fn standings() -> impl Strategy<Value = Standing> {
    prop_oneof![
        6 => Just(Standing::Counting),
        1 => Just(Standing::Incomplete),
        1 => Just(Standing::Partial),
        1 => Just(Standing::Selection),
        1 => Just(Standing::Unknown),
    ]
}

/// Archives of two workspaces within three years around `now`, some at the same second, two of three with failures.
fn folders() -> impl Strategy<Value = Vec<Listed>> {
    let one = (0_u8..2, -1000_i64..30, 0_i64..30, standings(), 0_u64..3);
    proptest::collection::vec(one, 0..40).prop_map(|archives| {
        let mut made: Vec<Listed> = archives
            .into_iter()
            .map(|(workspace, day, hour, standing, failed)| {
                let away = SignedDuration::from_hours(24 * day + hour);
                let mut made = archive(&workspace.to_string(), now() + away, standing);
                if let State::Described(descriptor) = &mut made.state {
                    descriptor.counts.failed = failed;
                }
                made
            })
            .collect();
        // Names are unique in a folder.
        let mut seen = BTreeSet::new();
        made.retain(|archive| seen.insert(archive.name.clone()));
        made
    })
}

fn now() -> Timestamp {
    at("2026-11-22T12:00:00Z")
}

fn deleted(archives: &[Listed], policy: &Policy) -> BTreeSet<String> {
    names(
        &judge(&folder(archives.to_vec()), None, policy, now()),
        true,
    )
}

proptest! {
    #[test]
    fn the_newest_that_counts_stays_and_what_is_unknown_too(archives in folders(), policy in policies()) {
        let gone = deleted(&archives, &policy);
        let listing = folder(archives);
        for workspace in listing.workspaces() {
            if let Ok(latest) = listing.latest(Some(workspace), now()) {
                prop_assert!(!gone.contains(&latest.name));
            }
            // No workspace is left without an archive.
            prop_assert!(listing.of_workspace(workspace).any(|archive| !gone.contains(&archive.name)));
        }
        for archive in &listing.archives {
            if archive.standing() == Standing::Unknown || archive.is_of_the_future(now()) {
                prop_assert!(!gone.contains(&archive.name));
            }
        }
    }

    #[test]
    fn a_second_time_nothing_goes(archives in folders(), policy in policies()) {
        let gone = deleted(&archives, &policy);
        let left: Vec<Listed> =
            archives.into_iter().filter(|archive| !gone.contains(&archive.name)).collect();
        prop_assert_eq!(deleted(&left, &policy), BTreeSet::new());
    }

    #[test]
    fn a_larger_number_deletes_nothing_more(
        archives in folders(), policy in policies(), rule in 0_usize..6, more in 1_u32..5,
    ) {
        let mut larger = policy;
        let numbers = [
            &mut larger.last, &mut larger.daily, &mut larger.weekly,
            &mut larger.monthly, &mut larger.yearly, &mut larger.others_days,
        ];
        if let Some(number) = numbers.into_iter().nth(rule) {
            *number += more;
        }
        prop_assert!(deleted(&archives, &larger).is_subset(&deleted(&archives, &policy)));
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter(
        archives in folders().prop_shuffle(), policy in policies(),
    ) {
        let mut sorted = archives.clone();
        sorted.sort_by(|one, other| one.name.cmp(&other.name));
        prop_assert_eq!(deleted(&archives, &policy), deleted(&sorted, &policy));
    }

    #[test]
    fn workspaces_and_what_does_not_count_do_not_touch_each_other(
        archives in folders(), policy in policies(),
    ) {
        let gone = deleted(&archives, &policy);
        let alone: Vec<Listed> = archives
            .iter()
            .filter(|archive| archive.standing() == Standing::Counting)
            .cloned()
            .collect();
        for workspace in ["0", "1"] {
            let own: Vec<Listed> = alone
                .iter()
                .filter(|archive| archive.descriptor().unwrap().workspace_id == workspace)
                .cloned()
                .collect();
            let of_own: BTreeSet<String> = own
                .iter()
                .filter(|archive| gone.contains(&archive.name))
                .map(|archive| archive.name.clone())
                .collect();
            prop_assert_eq!(deleted(&own, &policy), of_own);
        }
        let listing = folder(archives);
        let judged = judge(&listing, Some("0"), &policy, now());
        prop_assert!(judged.iter().all(|judged| judged
            .archive
            .descriptor()
            .is_none_or(|descriptor| descriptor.workspace_id == "0")));
    }
}
