//! Whether this node has more to do than it can do well: the one place that says so. Pure.
//!
//! Who asks: steering (which then sends players elsewhere), the hints to players, and prefetching,
//! which stops. A measure enters duress at [`ENTER_PERCENT`] of its bound and leaves it below
//! [`LEAVE_PERCENT`], for [`CALM`] at a stretch: what duress causes (less to do) must not end it at
//! once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// There is room for more.
    Well,
    /// Whoever can go elsewhere should.
    Duress,
}

/// What is held against its bound: used, and the most that may be used. A bound of zero is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measure {
    /// What is used.
    pub used: u64,
    /// The bound.
    pub most: u64,
}

/// Share of a bound at which a measure is in duress: above it a burst meets refusals.
pub const ENTER_PERCENT: u64 = 90;

/// Share of a bound below which a measure is well again.
pub const LEAVE_PERCENT: u64 = 75;

/// How long all measures are well before duress ends: longer than players keep an answer that was
/// given under duress, so that those sent away have gone before others come.
pub const CALM: Duration = Duration::from_secs(30);

/// The state that whoever measures feeds, and whoever asks reads.
#[derive(Debug, Default)]
pub struct Duress {
    load: AtomicBool,
    calm_since: Mutex<Option<Instant>>,
}

impl Duress {
    /// How the node stands.
    #[must_use]
    pub fn load(&self) -> Load {
        match self.load.load(Ordering::Relaxed) {
            true => Load::Duress,
            false => Load::Well,
        }
    }

    /// Takes in what was measured at `now`; true where the node's load has changed by it.
    pub fn measured(&self, measures: &[Measure], now: Instant) -> bool {
        let mut calm_since = self.calm_since();
        let next = match self.load() {
            Load::Well => measures.iter().any(|m| m.reaches(ENTER_PERCENT)),
            Load::Duress if measures.iter().any(|m| m.reaches(LEAVE_PERCENT)) => {
                *calm_since = None;
                true
            }
            Load::Duress => now.duration_since(*calm_since.get_or_insert(now)) < CALM,
        };
        if !next {
            *calm_since = None;
        }
        self.load.swap(next, Ordering::Relaxed) != next
    }

    fn calm_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.calm_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measure {
    fn reaches(self, percent: u64) -> bool {
        let [used, most] = [self.used, self.most].map(u128::from);
        most > 0 && used * 100 >= most * u128::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(used: u64) -> [Measure; 2] {
        let idle = Measure { used: 5, most: 0 };
        [idle, Measure { used, most: 100 }]
    }

    #[test]
    fn any_measure_near_its_bound_is_duress_and_no_bound_is_none() {
        let now = Instant::now();
        for (used, load) in [
            (0, Load::Well),
            (89, Load::Well),
            (90, Load::Duress),
            (200, Load::Duress),
        ] {
            let duress = Duress::default();
            assert_eq!(duress.measured(&of(used), now), load == Load::Duress);
            assert_eq!(duress.load(), load, "{used}");
        }
    }

    #[test]
    fn duress_ends_after_a_calm_without_a_break() {
        let (duress, began) = (Duress::default(), Instant::now());
        duress.measured(&of(95), began);
        let second = Duration::from_secs(1);
        assert!(!duress.measured(&of(10), began + second));
        assert!(!duress.measured(&of(80), began + second * 2));
        assert!(!duress.measured(&of(10), began + second * 3));
        assert!(!duress.measured(&of(10), began + second * 2 + CALM));
        assert_eq!(duress.load(), Load::Duress);
        assert!(duress.measured(&of(10), began + second * 3 + CALM));
        assert_eq!(duress.load(), Load::Well);
    }
}
