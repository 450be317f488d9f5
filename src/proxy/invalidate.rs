//! What a successful unsafe method makes the cache forget (RFC 9111 section 4.4).
//!
//! Memory forgets at once. Where there is Redis the change goes to the purge log as well, since
//! the shared copy and other nodes' would come back otherwise. Any client of the site can cause
//! this, so the log takes only so many in a second.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::cache::engine::Engine;
use crate::key::Key;
use crate::limits::INVALIDATIONS_PER_SECOND;
use crate::metrics::METRICS;

/// How many changes the log may be told of; a second's worth may come at once.
#[derive(Debug, Default)]
pub(super) struct Allowance(Mutex<Option<State>>);

#[derive(Debug, Clone, Copy)]
struct State {
    left: f64,
    at: Instant,
}

impl Allowance {
    /// Takes one; `false` where none is left.
    fn take(&self, now: Instant) -> bool {
        let most = f64::from(INVALIDATIONS_PER_SECOND);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Forgets `key` here and, as far as the log can be told, everywhere.
pub(super) async fn forget(engine: &Engine, allowance: &Allowance, key: &Key) {
    engine.forget(key);
    if allowance.take(Instant::now()) {
        // Logged where it failed; this node has forgotten all the same.
        engine.purges().invalidate(key).await;
    } else {
        METRICS.invalidations_skipped.inc();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_log_is_told_of_a_second_s_worth_at_once_and_then_at_the_rate() {
        let allowance = Allowance::default();
        let start = Instant::now();
        let burst = (0..1000).filter(|_| allowance.take(start)).count();
        assert_eq!(burst, INVALIDATIONS_PER_SECOND as usize);
        let later = start + Duration::from_millis(100);
        let more = (0..1000).filter(|_| allowance.take(later)).count();
        assert!((9..=10).contains(&more), "{more}");
    }
}
