//! The endpoints of one origin: whom to ask next, by what their last requests came to.
//!
//! ```text
//!        FAILURES_MAX in a row              pause over
//!   up ------------------------> down ------------------------> due: one try
//!    ^                            ^  <- longer pause - failure -'   |
//!    `------------ success -------'---------------------------------'
//! ```
//! Endpoints that are up take turns. While none is up or due, nothing is sent: a dead origin
//! costs its clients no time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::time::Instant;

use crate::metrics::METRICS;
use crate::origin::EndpointHealth;
use crate::origin::endpoint::Endpoint;

/// Failures in a row that take an endpoint down.
const FAILURES_MAX: u32 = 3;
/// First pause of an endpoint that is down; doubled with each failure after it.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Endpoints with their health.
pub struct Endpoints {
    list: Vec<Entry>,
    turn: AtomicUsize,
}

struct Entry {
    endpoint: Endpoint,
    state: Mutex<State>,
    gauge: IntGauge,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// When a try is next allowed, while the endpoint is down.
    down_until: Option<Instant>,
    /// When the active check is next due.
    check_at: Option<Instant>,
}

impl Endpoints {
    /// Starts with every endpoint up.
    #[must_use]
    pub fn new(site: &str, endpoints: Vec<Endpoint>) -> Self {
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
            turn: AtomicUsize::new(0),
        }
    }

    /// Chooses whom to ask, not `avoid` where there is another; `None` while all are down.
    #[must_use]
    pub fn choose(&self, now: Instant, avoid: Option<usize>) -> Option<usize> {
        let count = self.list.len();
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let order = (0..count).map(|step| start.wrapping_add(step) % count.max(1));
        let mut second = None;
        for index in order {
            match self.list.get(index).map(|entry| entry.readiness(now)) {
                Some(Readiness::Down) | None => {}
                Some(Readiness::Up | Readiness::Due) if Some(index) == avoid => {
                    second = Some(index);
                }
                Some(Readiness::Up | Readiness::Due) => return self.claim(index, now),
            }
        }
        self.claim(second?, now)
    }

    /// Takes the one try that a pause ends with, so that not every request waits for a dead host.
    fn claim(&self, index: usize, now: Instant) -> Option<usize> {
        let mut state = self.list.get(index)?.state();
        if state.down_until.is_some() {
            state.down_until = Some(now + pause(state.failures));
        }
        Some(index)
    }

    /// The endpoint chosen.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Endpoint> {
        self.list.get(index).map(|entry| &entry.endpoint)
    }

    /// Notes that the endpoint answered.
    pub fn succeeded(&self, index: usize) {
        let Some(entry) = self.list.get(index) else {
            return;
        };
        let mut state = entry.state();
        if state.down_until.is_some() {
            tracing::info!(endpoint = %entry.endpoint, "origin endpoint is up");
        }
        state.failures = 0;
        state.down_until = None;
        entry.gauge.set(1);
    }

    /// Notes that the endpoint did not answer.
    pub fn failed(&self, index: usize, now: Instant) {
        let Some(entry) = self.list.get(index) else {
            return;
        };
        let mut state = entry.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES_MAX {
            return;
        }
        if state.down_until.is_none() {
            tracing::warn!(
                endpoint = %entry.endpoint,
                failures = state.failures,
                "origin endpoint is down"
            );
        }
        state.down_until = Some(now + pause(state.failures));
        entry.gauge.set(0);
    }

    /// Returns the endpoints whose active check is due, and plans their next one.
    #[must_use]
    pub fn due_checks(&self, now: Instant, every: Duration) -> Vec<usize> {
        let due = self.list.iter().enumerate().filter(|(_, entry)| {
            let mut state = entry.state();
            let due = state.check_at.is_none_or(|at| at <= now);
            if due {
                state.check_at = Some(now + every);
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
                up: state.down_until.is_none(),
                failures: state.failures,
            }
        };
        self.list.iter().map(describe).collect()
    }
}

enum Readiness {
    Up,
    Due,
    Down,
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readiness(&self, now: Instant) -> Readiness {
        match self.state().down_until {
            None => Readiness::Up,
            Some(until) if until <= now => Readiness::Due,
            Some(_) => Readiness::Down,
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(FAILURES_MAX).min(8);
    PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(count: usize) -> Endpoints {
        let uri = |n: usize| format!("http://10.0.0.{n}:80").parse().unwrap();
        let list = (0..count).map(|n| Endpoint::of(&uri(n)).unwrap()).collect();
        Endpoints::new("test", list)
    }

    fn fail(endpoints: &Endpoints, index: usize, now: Instant) {
        for _ in 0..FAILURES_MAX {
            endpoints.failed(index, now);
        }
    }

    #[test]
    fn endpoints_that_are_up_take_turns() {
        let (endpoints, now) = (endpoints(2), Instant::now());
        let chosen: Vec<_> = (0..4).map(|_| endpoints.choose(now, None)).collect();
        assert_eq!(chosen, [Some(0), Some(1), Some(0), Some(1)]);
    }

    #[test]
    fn the_one_that_just_failed_is_asked_only_where_there_is_no_other() {
        let now = Instant::now();
        let two = endpoints(2);
        assert!((0..4).all(|_| two.choose(now, Some(0)) == Some(1)));
        assert_eq!(endpoints(1).choose(now, Some(0)), Some(0));
    }

    #[test]
    fn while_all_are_down_nothing_is_asked_and_then_one_request_tries() {
        let (endpoints, now) = (endpoints(1), Instant::now());
        fail(&endpoints, 0, now);
        assert_eq!(endpoints.choose(now, None), None);
        assert!(!endpoints.health()[0].up);
        let later = now + PAUSE_MIN;
        assert_eq!(endpoints.choose(later, None), Some(0));
        assert_eq!(endpoints.choose(later, None), None);
        endpoints.succeeded(0);
        assert_eq!(endpoints.choose(later, None), Some(0));
        assert!(endpoints.health()[0].up);
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        assert_eq!(pause(FAILURES_MAX), PAUSE_MIN);
        assert_eq!(pause(FAILURES_MAX + 1), PAUSE_MIN * 2);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn a_down_endpoint_leaves_the_others_their_turns() {
        let (endpoints, now) = (endpoints(2), Instant::now());
        fail(&endpoints, 0, now);
        assert!((0..4).all(|_| endpoints.choose(now, None) == Some(1)));
    }

    #[test]
    fn a_check_is_due_once_an_interval() {
        let (endpoints, now) = (endpoints(1), Instant::now());
        let every = Duration::from_secs(5);
        assert_eq!(endpoints.due_checks(now, every), [0]);
        assert!(endpoints.due_checks(now, every).is_empty());
        assert_eq!(endpoints.due_checks(now + every, every), [0]);
    }
}
