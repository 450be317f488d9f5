//! What is thought of one client, by the sessions that it had. Pure.
//!
//! Two sessions that play at the same time under one address and user agent are two clients, or one
//! with two screens: the next one may be either. One after the other they are one client, of whom
//! the later session tells more.

use std::time::Duration;

use crate::session::belief::Belief;
use crate::session::who::Who;

/// Sessions heard of so shortly one after the other play at the same time. It is longer than a
/// segment takes, and shorter than it takes to choose the next title.
const TOGETHER: Duration = Duration::from_secs(10);

/// A client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// Before the last two sessions.
    before: Option<Belief>,
    /// The other session of the last two.
    other: Option<(Who, Belief)>,
    /// The session heard of last, and what it has shown.
    last: (Who, Belief),
}

impl Known {
    /// Begins with what a session has shown, after what was thought `before`.
    #[must_use]
    pub fn new(before: Option<Belief>, who: Who, shown: Belief) -> Self {
        Self {
            before,
            other: None,
            last: (who, shown),
        }
    }

    /// Takes in what a session has shown by now.
    pub fn shown(&mut self, who: Who, shown: Belief) {
        if self.last.0 != who {
            let last = std::mem::replace(&mut self.last, (who, shown));
            let other = self.other.replace(last).filter(|(known, _)| *known != who);
            if let Some((_, gone)) = other {
                self.before = Some(self.before.map_or(gone, |before| before.after(gone)));
            }
        }
        self.last.1 = shown;
    }

    /// The session heard of last.
    #[must_use]
    pub fn by(&self) -> Who {
        self.last.0
    }

    /// What is thought of the client.
    #[must_use]
    pub fn belief(&self) -> Belief {
        let (_, last) = self.last;
        let late = self.other.map_or(last, |(_, other)| {
            match last.at.since(other.at) <= TOGETHER {
                true => other.beside(last),
                false => other.after(last),
            }
        });
        self.before.map_or(late, |before| before.after(late))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;
    use crate::session::holdout::Arm;

    fn shown(mbps: f64, second: u64) -> Belief {
        Belief {
            ln_mean: (mbps * 1e6).ln(),
            variance: 0.04,
            rtt_millis: None,
            at: UnixMillis(1_000_000 + second * 1000),
        }
    }

    fn who(index: u8) -> Who {
        Who::signed([index; 16], Arm::Hinted)
    }

    /// What is thought after sessions have shown rates at certain seconds, in Mbit/s.
    fn thought(shows: &[(u8, f64, u64)]) -> (f64, f64) {
        let mut known: Option<Known> = None;
        for (index, mbps, second) in shows {
            let shown = shown(*mbps, *second);
            match &mut known {
                Some(known) => known.shown(who(*index), shown),
                None => known = Some(Known::new(None, who(*index), shown)),
            }
        }
        let belief = known.unwrap().belief();
        (belief.ln_mean.exp() / 1e6, belief.variance)
    }

    #[test]
    fn one_session_is_believed_as_it_stands() {
        let (mean, variance) = thought(&[(1, 9.0, 0), (1, 2.0, 30)]);
        assert!((mean - 2.0).abs() < 1e-6 && variance <= 0.04);
    }

    #[test]
    fn sessions_that_agree_make_a_tight_belief() {
        let (mean, variance) = thought(&[(1, 5.0, 0), (2, 5.0, 600), (3, 5.0, 1200)]);
        assert!(
            (mean - 5.0).abs() < 1e-6 && variance <= 0.05,
            "{mean} {variance}"
        );
    }

    #[test]
    fn of_sessions_in_turn_the_later_one_tells_more() {
        let (mean, variance) = thought(&[(1, 10.0, 0), (2, 2.0, 600)]);
        assert!(
            (2.0..3.5).contains(&mean) && variance > 0.1,
            "{mean} {variance}"
        );
        let (mean, _) = thought(&[(1, 10.0, 0), (2, 2.0, 600), (3, 2.0, 1200)]);
        assert!((2.0..2.6).contains(&mean), "{mean}");
    }

    #[test]
    fn sessions_at_the_same_time_may_be_either() {
        let mut shows = Vec::new();
        for second in 0..30 {
            shows.push((1, 2.0, second));
            shows.push((2, 10.0, second));
        }
        let (mean, variance) = thought(&shows);
        assert!(
            (4.0..5.0).contains(&mean) && variance > 0.6,
            "{mean} {variance}"
        );
        shows.push((2, 10.0, 100));
        let (mean, _) = thought(&shows);
        assert!(mean > 6.0, "the first has left: {mean}");
    }
}
