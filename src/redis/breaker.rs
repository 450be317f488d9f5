//! When to stop asking a Redis that does not answer: a state machine without clock or IO.
//!
//! ```text
//!            n failures in a row             pause over: the one prober asks
//!   closed ──────────────────────► open ──────────────────────► probing
//!     ▲                             ▲                              │
//!     └── the probe was answered ───┼──────────────────────────────┤
//!                                   └── the probe failed ──────────┘
//! ```
//! Only a background task probes, so that no request waits for a Redis that is known to be ill and
//! recovery needs no traffic. Answers to calls that began before the breaker opened change nothing.

use std::time::Duration;

use tokio::time::Instant;

/// A breaker. The caller brings the time.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_max: u32,
    pause: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { probe_at: Instant },
    Probing,
}

impl Breaker {
    /// A closed breaker that opens after `failures_max` failures in a row (at least one).
    pub(crate) fn new(failures_max: u32, pause: Duration) -> Self {
        let failures_max = failures_max.max(1);
        Self {
            failures_max,
            pause,
            state: State::Closed { failures: 0 },
        }
    }

    /// Whether a call may be made.
    pub(crate) fn admits(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Notes that a call was answered.
    pub(crate) fn succeeded(&mut self) {
        if self.admits() {
            self.state = State::Closed { failures: 0 };
        }
    }

    /// Notes that a call failed; says whether this opened the breaker.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        let State::Closed { failures } = &mut self.state else {
            return false;
        };
        *failures = failures.saturating_add(1);
        let opens = *failures >= self.failures_max;
        if opens {
            self.open(now);
        }
        opens
    }

    /// Whether a probe is due; if so, the caller owes [`Breaker::probed`].
    pub(crate) fn probe(&mut self, now: Instant) -> bool {
        let due = matches!(self.state, State::Open { probe_at } if now >= probe_at);
        if due {
            self.state = State::Probing;
        }
        due
    }

    /// Notes what came of the probe.
    pub(crate) fn probed(&mut self, answered: Result<(), ()>, now: Instant) {
        match (self.state, answered) {
            (State::Probing, Ok(())) => self.state = State::Closed { failures: 0 },
            (State::Probing, Err(())) => self.open(now),
            (State::Closed { .. } | State::Open { .. }, _) => {}
        }
    }

    fn open(&mut self, now: Instant) {
        self.state = State::Open {
            probe_at: now + self.pause,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(2, PAUSE);
        assert!(!breaker.failed(now));
        assert!(breaker.failed(now));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new(2, PAUSE);
        assert!(!breaker.failed(now));
        breaker.succeeded();
        assert!(!breaker.failed(now) && breaker.admits());
        assert!(breaker.failed(now) && !breaker.admits());
    }

    #[test]
    fn one_probe_is_made_after_the_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(!breaker.probe(now + PAUSE / 2));
        assert!(breaker.probe(now + PAUSE));
        assert!(!breaker.probe(now + PAUSE), "one at a time");
        assert!(!breaker.admits(), "and no call beside it");
    }

    #[test]
    fn an_answered_probe_closes_it_and_a_failed_one_pauses_again() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.probe(now + PAUSE));
        breaker.probed(Err(()), now + PAUSE);
        assert!(!breaker.probe(now + PAUSE * 3 / 2));
        assert!(breaker.probe(now + PAUSE * 2));
        breaker.probed(Ok(()), now + PAUSE * 2);
        assert!(breaker.admits());
    }

    #[test]
    fn late_answers_do_not_move_an_open_breaker() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.succeeded();
        assert!(!breaker.admits());
        assert!(!breaker.failed(now + PAUSE / 2));
        assert!(breaker.probe(now + PAUSE), "the pause was not prolonged");
    }
}
