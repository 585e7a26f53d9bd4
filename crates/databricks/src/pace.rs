//! Who may call when: rates and concurrency per endpoint family, one cap over all, and slowing down when the service
//! asks for it.
//!
//! Each family is a lane. A caller first takes a place in the lane (concurrency), then waits for its turn in order of
//! arrival, then needs the overall cap and the rate at the same moment. A throttled reply pauses the whole lane and
//! halves its places; every round of good replies gives one place back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::window::Window;
use crate::{Family, FamilyStats, LimitTable, Stats};

/// All lanes of a client.
pub(crate) struct Pace {
    all: Arc<Semaphore>,
    lanes: BTreeMap<Family, Lane>,
}

struct Lane {
    gate: Arc<Semaphore>,
    /// The rates, held by the one caller of the lane that waits for them: the others queue here in order.
    turn: tokio::sync::Mutex<Vec<Window>>,
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
        let most = max_concurrent.clamp(1, 4096);
        let lanes = Family::ALL
            .iter()
            .map(|family| (*family, Lane::new(table, *family, most)))
            .collect();
        Self {
            all: Arc::new(Semaphore::new(most)),
            lanes,
        }
    }

    /// Waits until a call of this family may be made.
    pub(crate) async fn turn(&self, family: Family) -> Turn {
        let lane = self.lane(family);
        let begun = Instant::now();
        let place = permit(&lane.gate).await;
        let one_of_all = {
            let mut windows = lane.turn.lock().await;
            self.rates(lane, &mut windows).await
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
    async fn rates(&self, lane: &Lane, windows: &mut [Window]) -> OwnedSemaphorePermit {
        loop {
            let one_of_all = permit(&self.all).await;
            let now = Instant::now();
            let rates = windows.iter().filter_map(|window| window.not_before(now));
            let Some(until) = rates.chain(lane.paused()).max() else {
                windows.iter_mut().for_each(|window| window.count(now));
                return one_of_all;
            };
            drop(one_of_all);
            tokio::time::sleep_until(until).await;
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
    fn new(table: &LimitTable, family: Family, most: usize) -> Self {
        let limit = table.get(family).cloned().unwrap_or_default();
        let most = limit
            .concurrent
            .map_or(most, |concurrent| (concurrent.get() as usize).min(most));
        let windows = limit.rates.iter().copied().map(Window::new).collect();
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
            turn: tokio::sync::Mutex::new(windows),
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn paused(&self) -> Option<Instant> {
        lock(&self.state)
            .paused_until
            .filter(|until| *until > Instant::now())
    }
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
