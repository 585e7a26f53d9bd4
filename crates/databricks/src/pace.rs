//! Who may call when: rates and concurrency per endpoint family, one cap over all, and slowing down when the service
//! asks for it.
//!
//! Each family is a lane. A caller first takes a place in the lane (concurrency), then waits for its turn in order of
//! arrival, then needs the overall cap and the rate at the same moment. A throttled reply pauses the whole lane and
//! halves its places; every round of good replies gives one place back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::{Family, FamilyStats, LimitTable, Rate, Stats};

type Limiter = RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Duration>>;

/// The clock of the async runtime, so that tests can stop it.
#[derive(Clone)]
struct RuntimeClock {
    start: Instant,
}

impl Clock for RuntimeClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// All lanes of a client.
pub(crate) struct Pace {
    all: Arc<Semaphore>,
    lanes: BTreeMap<Family, Lane>,
    clock: RuntimeClock,
}

struct Lane {
    gate: Arc<Semaphore>,
    /// Held by the one caller of the lane that waits for the rate: the others queue here in order.
    turn: tokio::sync::Mutex<()>,
    limiters: Vec<Limiter>,
    state: Arc<Mutex<State>>,
}

struct State {
    paused_until: Option<Instant>,
    /// Places of the lane: now, and at best.
    places: usize,
    most: usize,
    /// Places that go away as soon as their callers leave.
    debt: usize,
    /// Good replies since the last change of `places`.
    good: usize,
    stats: FamilyStats,
}

/// The right to have one call under way; given back on drop.
pub(crate) struct Turn {
    place: Option<OwnedSemaphorePermit>,
    _one_of_all: OwnedSemaphorePermit,
    state: Arc<Mutex<State>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if let Some(place) = self.place.take()
            && state.debt > 0
        {
            state.debt -= 1;
            place.forget();
        }
    }
}

impl Pace {
    pub(crate) fn new(table: &LimitTable, max_concurrent: usize) -> Self {
        let clock = RuntimeClock {
            start: Instant::now(),
        };
        let most = max_concurrent.clamp(1, 4096);
        let lanes = Family::ALL
            .iter()
            .map(|family| (*family, Lane::new(table, *family, most, &clock)))
            .collect();
        Self {
            all: Arc::new(Semaphore::new(most)),
            lanes,
            clock,
        }
    }

    /// Waits until a call of this family may be made.
    pub(crate) async fn turn(&self, family: Family) -> Turn {
        let lane = self.lane(family);
        let begun = Instant::now();
        let place = permit(&lane.gate).await;
        let one_of_all = {
            let _turn = lane.turn.lock().await;
            self.rates(lane).await
        };
        lock(&lane.state).stats.waited += begun.elapsed();
        Turn {
            place: Some(place),
            _one_of_all: one_of_all,
            state: Arc::clone(&lane.state),
        }
    }

    /// The overall cap and the rates, together: a share of the rate taken while waiting for the cap would let calls
    /// gather and leave in a burst.
    async fn rates(&self, lane: &Lane) -> OwnedSemaphorePermit {
        let mut passed = 0;
        loop {
            if let Some(until) = lane.paused() {
                tokio::time::sleep_until(until).await;
                continue;
            }
            let one_of_all = permit(&self.all).await;
            if lane.paused().is_some() {
                continue;
            }
            let wait = loop {
                let Some(limiter) = lane.limiters.get(passed) else {
                    return one_of_all;
                };
                match limiter.check() {
                    Ok(()) => passed += 1,
                    Err(not_until) => break not_until.wait_time_from(self.clock.now()),
                }
            };
            drop(one_of_all);
            tokio::time::sleep(wait).await;
        }
    }

    /// The service throttles this family: all its callers pause, and fewer of them go at once. Replies to calls that
    /// were under way together count as one.
    pub(crate) fn slow_down(&self, family: Family, pause: Duration) {
        let lane = self.lane(family);
        let mut state = lock(&lane.state);
        let now = Instant::now();
        let paused = state.paused_until.is_some_and(|until| until > now);
        // Pauses are within the budget of a call; one that no clock can hold is none.
        let until = now.checked_add(pause).unwrap_or(now);
        state.paused_until = Some(state.paused_until.map_or(until, |before| before.max(until)));
        if paused {
            return;
        }
        let places = (state.places / 2).max(1);
        let cut = state.places - places;
        state.debt += cut - lane.gate.forget_permits(cut);
        state.places = places;
        state.good = 0;
    }

    /// A good reply: after as many as there are places, one place comes back.
    pub(crate) fn good(&self, family: Family) {
        let lane = self.lane(family);
        let mut state = lock(&lane.state);
        state.good += 1;
        if state.places >= state.most || state.good < state.places {
            return;
        }
        state.good = 0;
        state.places += 1;
        if state.debt > 0 {
            state.debt -= 1;
        } else {
            lane.gate.add_permits(1);
        }
    }

    pub(crate) fn count(&self, family: Family, change: impl FnOnce(&mut FamilyStats)) {
        change(&mut lock(&self.lane(family).state).stats);
    }

    /// Calls of this family that may now be under way together.
    #[cfg(test)]
    pub(crate) fn places(&self, family: Family) -> usize {
        lock(&self.lane(family).state).places
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for (family, lane) in &self.lanes {
            let stats = lock(&lane.state).stats.clone();
            if stats.calls > 0 {
                sum.add(*family, stats);
            }
        }
        sum
    }

    fn lane(&self, family: Family) -> &Lane {
        &self.lanes[&family]
    }
}

impl Lane {
    fn new(table: &LimitTable, family: Family, most: usize, clock: &RuntimeClock) -> Self {
        let limit = table.get(family).cloned().unwrap_or_default();
        let most = limit
            .concurrent
            .map_or(most, |concurrent| (concurrent.get() as usize).min(most));
        let limiters = limit
            .rates
            .iter()
            .filter_map(quota)
            .map(|quota| RateLimiter::direct_with_clock(quota, clock.clone()));
        let state = State {
            paused_until: None,
            places: most,
            most,
            debt: 0,
            good: 0,
            stats: FamilyStats::default(),
        };
        Self {
            gate: Arc::new(Semaphore::new(most)),
            turn: tokio::sync::Mutex::new(()),
            limiters: limiters.collect(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn paused(&self) -> Option<Instant> {
        lock(&self.state)
            .paused_until
            .filter(|until| *until > Instant::now())
    }
}

/// A rate as governor understands it: a small burst, then one call per period.
fn quota(rate: &Rate) -> Option<Quota> {
    Some(Quota::with_period(rate.period())?.allow_burst(rate.burst()))
}

async fn permit(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    #[expect(
        clippy::expect_used,
        reason = "no semaphore of this module is ever closed"
    )]
    Arc::clone(semaphore)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed")
}

/// A panic elsewhere leaves counters that are still good enough.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
