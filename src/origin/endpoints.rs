//! The endpoints of one origin: whom to ask next, by what their last requests came to.
//!
//! ```text
//!        FAILURES_MAX in a row           pause over, or the check passes
//!   up ------------------------> down ---------------------------------> asked again
//!    ^                            ^  <- longer pause - failure -'            |
//!    `------------ success -------'------------------------------------------'
//! ```
//! Endpoints that are up take turns. An endpoint that takes no connection is not asked while it is
//! down: a dead origin costs its clients no time. Silence says less, since one object may be slow
//! where all others are quick: it counts only where nothing else succeeded meanwhile, it never
//! takes down a single endpoint, and an endpoint that is down by it is still asked when no other
//! is left.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::time::Instant;

use crate::metrics::METRICS;
use crate::origin::EndpointHealth;
use crate::origin::endpoint::Endpoint;

/// Failures in a row that take an endpoint down.
pub(super) const FAILURES_MAX: u32 = 3;
/// First pause of an endpoint that is down; doubled with each failure after it.
pub(super) const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Endpoints with their health.
pub struct Endpoints {
    list: Vec<Entry>,
    recovery: Recovery,
    turn: AtomicUsize,
}

/// What brings an endpoint back that takes no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The active check alone, so that no client's request is spent on it.
    Check,
    /// One request after each pause.
    Request,
}

/// How a try at an endpoint failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It took no connection, or its check failed.
    Unreachable,
    /// It took no connection in any of a request's tries: down at once.
    Confirmed,
    /// It took the request and sent no head.
    Silent,
}

/// Whom not to ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shunned<'a> {
    /// Only where there is no other.
    pub last: Option<usize>,
    /// Not at all.
    pub barred: &'a [usize],
}

struct Entry {
    endpoint: Endpoint,
    state: Mutex<State>,
    gauge: IntGauge,
}

#[derive(Default)]
struct State {
    failures: u32,
    down: Option<Down>,
    /// When the active check is next due.
    check_at: Option<Instant>,
    succeeded_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Down {
    /// When a try is next allowed.
    until: Instant,
    why: Cause,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Unreachable,
    Silent,
}

impl Endpoints {
    /// Starts with every endpoint up.
    #[must_use]
    pub fn new(site: &str, endpoints: Vec<Endpoint>, recovery: Recovery) -> Self {
        let list = endpoints.into_iter().map(|endpoint| {
            let name = endpoint.to_string();
            let gauge = METRICS.origin_endpoint_up.with_label_values(&[site, &name]);
            gauge.set(1);
            Entry {
                endpoint,
                state: Mutex::default(),
                gauge,
            }
        });
        Self {
            list: list.collect(),
            recovery,
            turn: AtomicUsize::new(0),
        }
    }

    /// Chooses whom to ask; `None` where nobody is left who may answer.
    #[must_use]
    pub fn choose(&self, now: Instant, shunned: Shunned<'_>) -> Option<usize> {
        let count = self.list.len();
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let order = (0..count).map(|step| start.wrapping_add(step) % count.max(1));
        let (mut second, mut silent) = (None, None);
        for index in order.filter(|index| !shunned.barred.contains(index)) {
            match self.readiness(index, now) {
                Some(Readiness::Ready) if Some(index) == shunned.last => second = Some(index),
                Some(Readiness::Ready) => return self.claim(index, now),
                Some(Readiness::Silent) => silent = silent.or(Some(index)),
                Some(Readiness::Down) | None => {}
            }
        }
        self.claim(second.or(silent)?, now)
    }

    /// Whether nobody may be asked now: nothing is to be waited for.
    #[must_use]
    pub fn are_down(&self, now: Instant) -> bool {
        self.others(now, &[]).next().is_none()
    }

    /// Whether somebody may be asked now but for those `barred`.
    #[must_use]
    pub fn has_other(&self, now: Instant, barred: &[usize]) -> bool {
        self.others(now, barred).next().is_some()
    }

    fn others(&self, now: Instant, barred: &[usize]) -> impl Iterator<Item = usize> {
        (0..self.list.len()).filter(move |index| {
            let readiness = self.readiness(*index, now);
            !barred.contains(index)
                && matches!(readiness, Some(Readiness::Ready | Readiness::Silent))
        })
    }

    /// Takes the one try that a pause ends with, so that not every request waits for a dead host.
    fn claim(&self, index: usize, now: Instant) -> Option<usize> {
        let entry = self.list.get(index)?;
        if self.recovery == Recovery::Request {
            entry.state().postpone(now);
        }
        Some(index)
    }

    fn readiness(&self, index: usize, now: Instant) -> Option<Readiness> {
        let down = self.list.get(index)?.state().down;
        Some(match down {
            None => Readiness::Ready,
            Some(down) if down.until <= now && self.recovery == Recovery::Request => {
                Readiness::Ready
            }
            Some(down) if down.why == Cause::Silent => Readiness::Silent,
            Some(_) => Readiness::Down,
        })
    }

    /// The endpoint chosen.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Endpoint> {
        self.list.get(index).map(|entry| &entry.endpoint)
    }

    /// Notes that the endpoint answered a request.
    pub fn succeeded(&self, index: usize, now: Instant) {
        let Some(entry) = self.list.get(index) else {
            return;
        };
        let mut state = entry.state();
        state.succeeded_at = Some(now);
        let unreachable = state
            .down
            .is_some_and(|down| down.why == Cause::Unreachable);
        if !(unreachable && self.recovery == Recovery::Check) {
            entry.rise(&mut state);
        }
    }

    /// Notes that the endpoint answered "not now": it took the connection, so it is not what it was
    /// down for. Whether it is well is for a check to say, where there is one.
    pub fn answered(&self, index: usize) {
        let entry = self.list.get(index);
        if let Some(entry) = entry.filter(|_| self.recovery == Recovery::Request) {
            entry.rise(&mut entry.state());
        }
    }

    /// Notes that the endpoint passed its active check.
    pub fn passed(&self, index: usize, now: Instant) {
        if let Some(entry) = self.list.get(index) {
            let mut state = entry.state();
            state.succeeded_at = Some(now);
            entry.rise(&mut state);
        }
    }

    /// Notes that a try begun at `began` failed; call it at most once for a request, but for
    /// [`Trouble::Confirmed`].
    pub fn failed(&self, index: usize, trouble: Trouble, began: Instant, now: Instant) {
        let Some(entry) = self.list.get(index) else {
            return;
        };
        let mut state = entry.state();
        if state.succeeded_at.is_some_and(|at| at >= began) {
            return;
        }
        match trouble {
            Trouble::Silent if self.list.len() == 1 => {
                // It took a connection, so it is no longer what it was down for.
                if self.recovery == Recovery::Request {
                    entry.rise(&mut state);
                }
            }
            Trouble::Silent => entry.sink(&mut state, Cause::Silent, now),
            Trouble::Unreachable => entry.sink(&mut state, Cause::Unreachable, now),
            Trouble::Confirmed => {
                state.failures = state.failures.max(FAILURES_MAX - 1);
                entry.sink(&mut state, Cause::Unreachable, now);
            }
        }
    }

    /// Returns the endpoints whose active check is due, and plans their next one: each interval,
    /// and after each pause of an endpoint that is down.
    #[must_use]
    pub fn due_checks(&self, now: Instant, every: Duration) -> Vec<usize> {
        let due = self.list.iter().enumerate().filter(|(_, entry)| {
            let mut state = entry.state();
            let again = state.down.is_some_and(|down| down.until <= now);
            let due = again || state.check_at.is_none_or(|at| at <= now);
            if due {
                state.check_at = Some(now + every);
                state.postpone(now);
            }
            due
        });
        due.map(|(index, _)| index).collect()
    }

    /// How each endpoint is doing.
    #[must_use]
    pub fn health(&self) -> Vec<EndpointHealth> {
        let describe = |entry: &Entry| {
            let state = entry.state();
            EndpointHealth {
                endpoint: entry.endpoint.to_string(),
                up: state.down.is_none(),
                failures: state.failures,
            }
        };
        self.list.iter().map(describe).collect()
    }
}

enum Readiness {
    /// Up, or due for a try.
    Ready,
    /// Down by silence: better than nobody.
    Silent,
    Down,
}

impl State {
    /// Lets the next try of an endpoint that is down wait for another pause.
    fn postpone(&mut self, now: Instant) {
        let until = now + pause(self.failures);
        if let Some(down) = &mut self.down {
            down.until = until;
        }
    }
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rise(&self, state: &mut State) {
        if state.down.is_some() {
            tracing::info!(endpoint = %self.endpoint, "origin endpoint is up");
        }
        state.failures = 0;
        state.down = None;
        self.gauge.set(1);
    }

    fn sink(&self, state: &mut State, why: Cause, now: Instant) {
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES_MAX {
            return;
        }
        if state.down.is_none() {
            tracing::warn!(
                endpoint = %self.endpoint,
                failures = state.failures,
                "origin endpoint is down"
            );
        }
        let until = now + pause(state.failures);
        state.down = Some(Down { until, why });
        self.gauge.set(0);
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(FAILURES_MAX).min(8);
    PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Shunned<'static> = Shunned {
        last: None,
        barred: &[],
    };

    fn endpoints(count: usize, recovery: Recovery) -> Endpoints {
        let uri = |n: usize| format!("http://10.0.0.{n}:80").parse().unwrap();
        let list = (0..count).map(|n| Endpoint::of(&uri(n)).unwrap()).collect();
        Endpoints::new("test", list, recovery)
    }

    fn fail(endpoints: &Endpoints, index: usize, trouble: Trouble, now: Instant) {
        for _ in 0..FAILURES_MAX {
            endpoints.failed(index, trouble, now, now);
        }
    }

    #[test]
    fn endpoints_that_are_up_take_turns() {
        let (endpoints, now) = (endpoints(2, Recovery::Request), Instant::now());
        let chosen: Vec<_> = (0..4).map(|_| endpoints.choose(now, NOBODY)).collect();
        assert_eq!(chosen, [Some(0), Some(1), Some(0), Some(1)]);
    }

    #[test]
    fn the_one_that_just_failed_is_asked_only_where_there_is_no_other() {
        let now = Instant::now();
        let last = Shunned {
            last: Some(0),
            barred: &[],
        };
        let two = endpoints(2, Recovery::Request);
        assert!((0..4).all(|_| two.choose(now, last) == Some(1)));
        let one = endpoints(1, Recovery::Request);
        assert_eq!(one.choose(now, last), Some(0));
        let barred = Shunned {
            last: None,
            barred: &[0],
        };
        assert!((0..4).all(|_| two.choose(now, barred) == Some(1)));
        assert_eq!(one.choose(now, barred), None);
    }

    #[test]
    fn while_all_are_down_nothing_is_asked_and_then_one_request_tries() {
        let (endpoints, now) = (endpoints(1, Recovery::Request), Instant::now());
        fail(&endpoints, 0, Trouble::Unreachable, now);
        assert_eq!(endpoints.choose(now, NOBODY), None);
        assert!(!endpoints.health()[0].up);
        let later = now + PAUSE_MIN;
        assert_eq!(endpoints.choose(later, NOBODY), Some(0));
        assert_eq!(endpoints.choose(later, NOBODY), None);
        endpoints.succeeded(0, later);
        assert_eq!(endpoints.choose(later, NOBODY), Some(0));
        assert!(endpoints.health()[0].up);
    }

    #[test]
    fn an_answer_of_not_now_closes_what_refused_connections_opened() {
        for (recovery, expected) in [(Recovery::Request, Some(0)), (Recovery::Check, None)] {
            let (endpoints, now) = (endpoints(1, recovery), Instant::now());
            fail(&endpoints, 0, Trouble::Unreachable, now);
            assert!(endpoints.are_down(now));
            endpoints.answered(0);
            assert_eq!(endpoints.choose(now, NOBODY), expected);
            assert_eq!(endpoints.are_down(now), expected.is_none());
        }
    }

    #[test]
    fn who_is_left_to_ask_is_neither_down_nor_barred() {
        let (endpoints, now) = (endpoints(2, Recovery::Request), Instant::now());
        assert!(endpoints.has_other(now, &[0]));
        assert!(!endpoints.has_other(now, &[0, 1]));
        fail(&endpoints, 1, Trouble::Unreachable, now);
        assert!(!endpoints.has_other(now, &[0]));
        assert!(!endpoints.are_down(now));
    }

    #[test]
    fn a_request_without_any_connection_takes_an_endpoint_down_at_once() {
        let (endpoints, now) = (endpoints(1, Recovery::Request), Instant::now());
        endpoints.failed(0, Trouble::Unreachable, now, now);
        assert_eq!(endpoints.choose(now, NOBODY), Some(0));
        endpoints.failed(0, Trouble::Confirmed, now, now);
        assert_eq!(endpoints.choose(now, NOBODY), None);
    }

    #[test]
    fn where_there_is_a_check_it_alone_brings_an_endpoint_back() {
        let (endpoints, now) = (endpoints(1, Recovery::Check), Instant::now());
        fail(&endpoints, 0, Trouble::Unreachable, now);
        let later = now + PAUSE_MAX;
        assert_eq!(endpoints.choose(later, NOBODY), None);
        endpoints.succeeded(0, later);
        assert_eq!(endpoints.choose(later, NOBODY), None);
        endpoints.passed(0, later);
        assert_eq!(endpoints.choose(later, NOBODY), Some(0));
    }

    #[test]
    fn a_single_endpoint_is_asked_however_silent() {
        for recovery in [Recovery::Check, Recovery::Request] {
            let (endpoints, now) = (endpoints(1, recovery), Instant::now());
            for _ in 0..10 {
                fail(&endpoints, 0, Trouble::Silent, now);
            }
            assert_eq!(endpoints.choose(now, NOBODY), Some(0));
            assert!(endpoints.health()[0].up);
        }
    }

    #[test]
    fn a_silent_endpoint_that_was_refusing_is_asked_again() {
        let (endpoints, now) = (endpoints(1, Recovery::Request), Instant::now());
        fail(&endpoints, 0, Trouble::Unreachable, now);
        endpoints.failed(0, Trouble::Silent, now + PAUSE_MIN, now + PAUSE_MIN);
        assert_eq!(endpoints.choose(now + PAUSE_MIN, NOBODY), Some(0));
    }

    #[test]
    fn silence_does_not_count_where_another_request_succeeded_meanwhile() {
        let (endpoints, began) = (endpoints(2, Recovery::Request), Instant::now());
        let answered = began + Duration::from_millis(1);
        endpoints.succeeded(0, answered);
        for _ in 0..10 {
            endpoints.failed(0, Trouble::Silent, began, answered);
        }
        assert_eq!(endpoints.health()[0].failures, 0);
        let after = answered + Duration::from_millis(1);
        fail(&endpoints, 0, Trouble::Silent, after);
        assert!(!endpoints.health()[0].up);
    }

    #[test]
    fn silent_endpoints_are_asked_when_no_other_is_left() {
        for recovery in [Recovery::Check, Recovery::Request] {
            let (endpoints, now) = (endpoints(2, recovery), Instant::now());
            fail(&endpoints, 0, Trouble::Silent, now);
            assert!((0..4).all(|_| endpoints.choose(now, NOBODY) == Some(1)));
            fail(&endpoints, 1, Trouble::Unreachable, now);
            assert!((0..4).all(|_| endpoints.choose(now, NOBODY) == Some(0)));
            endpoints.succeeded(0, now);
            assert!(endpoints.health()[0].up);
        }
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        assert_eq!(pause(FAILURES_MAX), PAUSE_MIN);
        assert_eq!(pause(FAILURES_MAX + 1), PAUSE_MIN * 2);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn a_check_is_due_once_an_interval_and_after_each_pause() {
        let (endpoints, now) = (endpoints(1, Recovery::Check), Instant::now());
        let every = Duration::from_secs(5);
        assert_eq!(endpoints.due_checks(now, every), [0]);
        assert!(endpoints.due_checks(now, every).is_empty());
        assert_eq!(endpoints.due_checks(now + every, every), [0]);
        fail(&endpoints, 0, Trouble::Unreachable, now + every);
        let later = now + every + PAUSE_MIN;
        assert_eq!(endpoints.due_checks(later, every), [0]);
        assert!(endpoints.due_checks(later, every).is_empty());
    }
}
