//! Who may call when. The clock of the runtime stands still and jumps to the next thing that waits, so these tests
//! measure exact times and need none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::mock::{Mock, ok, options, reply};
use crate::pace::Pace;
use crate::{ClientOptions, Family, LimitTable, Limits};

const MS: Duration = Duration::from_millis(1);

fn pace(text: &str, max_concurrent: usize) -> Arc<Pace> {
    Arc::new(Pace::new(&LimitTable::parse(text).unwrap(), max_concurrent))
}

/// Makes `calls` calls at once, each of the given length; gives the start of each in order, and the most at one time.
async fn run(
    pace: &Arc<Pace>,
    family: Family,
    calls: usize,
    length: Duration,
) -> (Vec<Duration>, usize) {
    let begun = Instant::now();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..calls {
        let (pace, now, most) = (Arc::clone(pace), Arc::clone(&now), Arc::clone(&most));
        tasks.spawn(async move {
            let turn = pace.turn(family).await;
            let start = begun.elapsed();
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(length).await;
            now.fetch_sub(1, Ordering::SeqCst);
            drop(turn);
            start
        });
    }
    let mut starts = tasks.join_all().await;
    starts.sort();
    (starts, most.load(Ordering::SeqCst))
}

/// Most calls in any stretch of this length.
fn fullest(starts: &[Duration], window: Duration) -> usize {
    let counts = (0..starts.len()).map(|i| {
        let rest = starts[i..].iter();
        rest.take_while(|start| **start < starts[i] + window)
            .count()
    });
    counts.max().unwrap_or(0)
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn calls_take_the_expected_time_and_no_window_of_the_service_is_exceeded() {
    for (family, limit, window) in [
        (Family::WorkspaceExport, 60, SECOND),
        (Family::PermissionsRead, 100, SECOND),
        (Family::Dbfs, 30, SECOND),
        (Family::PermissionAssignments, 5, SECOND),
        (Family::Mlflow, 120, SECOND),
        (Family::ScimRead, 255, MINUTE),
        (Family::Secrets, 1100, MINUTE),
        (Family::ScimGroupsPatch, 10, MINUTE),
    ] {
        let calls = limit * 5 + limit / 2;
        let (starts, _) = run(&pace("", 4096), family, calls, Duration::ZERO).await;
        assert_eq!(fullest(&starts, window), limit, "{family}");
        // Also when they travel for unequal times.
        assert_eq!(fullest(&starts, window + window / 50), limit, "{family}");
        for n in [1, limit / 2, limit, limit + 1, calls] {
            let floor = LimitTable::default().floor_of(family, n as u64);
            let start = starts[n - 1];
            // A timer wakes up to 1 ms late, once per window.
            let late = start.saturating_sub(floor);
            assert!(
                start + MS >= floor && late <= MS * 7,
                "{family}: call {n} at {start:?}, expected {floor:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_sustained_pace_is_close_to_the_limit() {
    for (family, limit, window) in [
        (Family::WorkspaceExport, 60, SECOND),
        (Family::PermissionsRead, 100, SECOND),
        (Family::ScimRead, 255, MINUTE),
        (Family::JobsCreate, 20, SECOND),
        (Family::Libraries, 30, SECOND),
    ] {
        let calls = limit * 20;
        // Calls of a length that fits no grid, as many at once as a client has.
        let length = Duration::from_micros(23_457);
        let (starts, _) = run(&pace("", 32), family, calls, length).await;
        let took = starts[calls - 1] - starts[limit - 1];
        let nominal = window * (calls - limit) as u32 / limit as u32;
        let share = nominal.as_secs_f64() / took.as_secs_f64();
        assert!(
            (0.97..1.0).contains(&share),
            "{family}: {share} of the limit"
        );
        assert!(fullest(&starts, window) <= limit, "{family}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_calls_of_a_minute_do_not_wait() {
    let (starts, _) = run(&pace("", 32), Family::ScimRead, 22, MS).await;
    assert!(starts[21] <= MS * 2, "{:?}", starts[21]);
    let (starts, _) = run(&pace("", 32), Family::ScimGroupsPatch, 11, MS).await;
    assert!(starts[9] <= MS * 2 && starts[10] >= MINUTE, "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_one_rate_is_not_yet_counted_by_the_other() {
    let pace = pace("jobs-create = 2/s, 3/min", 32);
    let (starts, _) = run(&pace, Family::JobsCreate, 8, Duration::ZERO).await;
    assert!(fullest(&starts, SECOND) <= 2, "{starts:?}");
    assert!(fullest(&starts, MINUTE) <= 3, "{starts:?}");
    assert!(starts[7] < MINUTE * 2 + SECOND * 4, "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn an_hourly_quota_does_not_slow_what_stays_below_it() {
    let (starts, _) = run(
        &pace("jobs-create = 20/s, 100/h", 4096),
        Family::JobsCreate,
        102,
        Duration::ZERO,
    )
    .await;
    assert!(starts[99] < Duration::from_secs(6), "{:?}", starts[99]);
    assert!(starts[101] > Duration::from_secs(36), "{:?}", starts[101]);
}

#[tokio::test(start_paused = true)]
async fn families_have_their_own_places_and_one_cap_over_all() {
    let pace = pace("workspace-list = 3 at once\nother = off", 8);
    assert_eq!(run(&pace, Family::WorkspaceList, 30, MS).await.1, 3);
    assert_eq!(run(&pace, Family::Other, 30, MS).await.1, 8);
    let (list, other) = tokio::join!(
        run(&pace, Family::WorkspaceList, 30, MS),
        run(&pace, Family::Other, 30, MS)
    );
    assert!(list.1 == 3 && other.1 <= 8, "{} {}", list.1, other.1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_family_does_not_hold_the_others_up() {
    let pace = pace("scim-read = 1/min\nother = off", 1);
    let scim = Arc::clone(&pace);
    let task = tokio::spawn(async move { run(&scim, Family::ScimRead, 5, MS).await });
    tokio::task::yield_now().await;
    let (starts, _) = run(&pace, Family::Other, 10, MS).await;
    assert!(starts[9] < Duration::from_secs(1), "{starts:?}");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_throttled_family_pauses_as_a_whole_and_the_others_go_on() {
    let pace = pace("other = off\nclusters = off", 8);
    pace.slow_down(Family::Other, Duration::from_secs(5));
    let (starts, _) = run(&pace, Family::Clusters, 3, MS).await;
    assert!(starts[2] < MS);
    let (starts, _) = run(&pace, Family::Other, 3, MS).await;
    assert!(starts[0] >= Duration::from_secs(5) - MS, "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn throttling_halves_the_places_and_good_replies_give_them_back() {
    let pace = pace("other = off", 8);
    let most = async |pace: &Arc<Pace>| run(pace, Family::Other, 20, MS).await.1;
    assert_eq!(most(&pace).await, 8);
    // Replies that come together are one sign; the next one, later, is another.
    for _ in 0..3 {
        pace.slow_down(Family::Other, MS);
    }
    assert_eq!(most(&pace).await, 4);
    pace.slow_down(Family::Other, MS);
    assert_eq!(most(&pace).await, 2);
    (0..2).for_each(|_| pace.good(Family::Other));
    assert_eq!(most(&pace).await, 3);
    (0..200).for_each(|_| pace.good(Family::Other));
    assert_eq!(most(&pace).await, 8);
}

#[tokio::test(start_paused = true)]
async fn places_go_away_from_under_running_calls_and_one_always_stays() {
    let pace = pace("other = off", 4);
    let held = [
        pace.turn(Family::Other).await,
        pace.turn(Family::Other).await,
        pace.turn(Family::Other).await,
    ];
    pace.slow_down(Family::Other, MS);
    sleep(MS * 2).await;
    pace.slow_down(Family::Other, MS);
    sleep(MS * 2).await;
    pace.slow_down(Family::Other, MS);
    drop(held);
    assert_eq!(run(&pace, Family::Other, 5, MS).await.1, 1);
}

#[tokio::test]
async fn calls_of_a_client_stay_within_its_cap() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let mock = Mock::with(move |_| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::yield_now();
        now.fetch_sub(1, Ordering::SeqCst);
        ok("{}")
    })
    .await;
    let client = mock.client_with(ClientOptions {
        max_concurrent: 2,
        ..options()
    });
    let calls = (0..20).map(|_| {
        let client = client.clone();
        async move { client.get("/api/2.0/x", &[]).await }
    });
    for outcome in calls.collect::<JoinSet<_>>().join_all().await {
        outcome.unwrap();
    }
    assert!(mock.connections() <= 2, "{}", mock.connections());
    assert!(seen.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_throttled_call_slows_its_family_down_whatever_the_limits() {
    let mock = Mock::new([reply(429, ""), ok("{}")]).await;
    let client = mock.client_with(ClientOptions {
        limits: Limits::Off,
        ..options()
    });
    client.get("/api/2.0/dbfs/list", &[]).await.unwrap();
    assert_eq!(client.places(Family::Dbfs), options().max_concurrent / 2);
    assert_eq!(client.places(Family::Clusters), options().max_concurrent);
    mock.done();
}
