//! Log lines of one kind, at most one in a while; those left out are counted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Shortest time between two lines.
const PAUSE: Duration = Duration::from_secs(10);

/// Says whose turn it is to be logged.
#[derive(Debug, Default)]
pub struct Seldom {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: Option<Instant>,
    unlogged: u64,
}

impl Seldom {
    /// Returns how many were left out since the last line where this one may be logged.
    pub fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next.is_some_and(|next| now < next) {
            state.unlogged = state.unlogged.saturating_add(1);
            return None;
        }
        state.next = Some(now + PAUSE);
        Some(std::mem::take(&mut state.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_stands_for_all_of_a_pause() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.turn(now), Some(0));
        assert_eq!(seldom.turn(now), None);
        assert_eq!(seldom.turn(now + PAUSE / 2), None);
        assert_eq!(seldom.turn(now + PAUSE), Some(2));
        assert_eq!(seldom.turn(now + PAUSE * 2), Some(0));
    }
}
