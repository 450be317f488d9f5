//! How many of something clients may cause in a second.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A rate; a second's worth may come at once.
#[derive(Debug)]
pub(super) struct Allowance {
    per_second: u32,
    state: Mutex<Option<State>>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    left: f64,
    at: Instant,
}

impl Allowance {
    /// Allows so many in a second.
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            state: Mutex::default(),
        }
    }

    /// Takes one; `false` where none is left.
    pub(super) fn take(&self, now: Instant) -> bool {
        let most = f64::from(self.per_second);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.unwrap_or(State {
            left: most,
            at: now,
        });
        let gained = now.saturating_duration_since(known.at).as_secs_f64() * most;
        let left = (known.left + gained).min(most);
        let taken = left >= 1.0;
        *state = Some(State {
            left: if taken { left - 1.0 } else { left },
            at: now,
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_s_worth_is_allowed_at_once_and_then_the_rate() {
        let allowance = Allowance::new(100);
        let start = Instant::now();
        let burst = (0..1000).filter(|_| allowance.take(start)).count();
        assert_eq!(burst, 100);
        let later = start + Duration::from_millis(100);
        let more = (0..1000).filter(|_| allowance.take(later)).count();
        assert!((9..=10).contains(&more), "{more}");
    }
}
