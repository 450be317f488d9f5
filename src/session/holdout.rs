//! Whether hints help: arms of sessions, and the comparison that switches hints off. Pure.

use std::time::Duration;

use crate::clock::UnixMillis;

/// How a session plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arm {
    /// With hints.
    Hinted,
    /// Without, to compare with.
    Holdout,
}

impl Arm {
    /// The name of this arm, as metrics and operators spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hinted => "hinted",
            Self::Holdout => "holdout",
        }
    }
}

/// Draws the arm of a session: of a hundred values of `chance`, `percent` hold out.
#[must_use]
pub fn draw(chance: u64, percent: u32) -> Arm {
    match chance % 100 < u64::from(percent) {
        true => Arm::Holdout,
        false => Arm::Hinted,
    }
}

/// Sessions that each arm must have before the first look.
const SESSIONS_MIN: u32 = 200;

/// Looks at one comparison: after 200 sessions of the smaller arm, 400, and so on to 3200. Then it
/// begins anew, so that what was true of last year's players does not outvote this year's.
const LOOKS: u32 = 5;

/// Standard errors that tell hints to be worse, with 99 % confidence over all looks together: of
/// each look one-sided with 99.8 %.
const ERRORS: f64 = 2.878;

/// How long hints stay off before they are tried again.
const PAUSE: Duration = Duration::from_secs(24 * 3600);

/// A score beyond these is a fault of reporting, and must not decide.
const SCORES: (f64, f64) = (-10.0, 50.0);

/// The comparison of one site's arms.
///
/// ```text
/// comparing ──(hinted arm worse, surely)──► off ──(a day)──► comparing, from nothing
/// ```
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    hinted: Scores,
    holdout: Scores,
    looks: u32,
    off_until: Option<UnixMillis>,
}

/// Count, mean, and sum of squared distances from it.
#[derive(Debug, Clone, Copy, Default)]
struct Scores {
    sessions: u32,
    mean: f64,
    squares: f64,
}

/// What a comparison has come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Sessions of the hinted arm.
    pub hinted: u32,
    /// Sessions of the holdout.
    pub holdout: u32,
    /// Mean score of the hinted arm less that of the holdout.
    pub difference: f64,
    /// Standard error of that difference.
    pub error: f64,
}

impl Comparison {
    /// Takes in the score of a session that has ended; says so when it settles that hints hurt.
    pub fn ended(&mut self, arm: Arm, score: f64, now: UnixMillis) -> Option<Verdict> {
        if !self.allows(now) || !score.is_finite() {
            return None;
        }
        self.off_until = None;
        let (least, most) = SCORES;
        let scores = match arm {
            Arm::Hinted => &mut self.hinted,
            Arm::Holdout => &mut self.holdout,
        };
        scores.take(score.clamp(least, most));
        let due = SESSIONS_MIN << self.looks;
        if self.hinted.sessions.min(self.holdout.sessions) < due {
            return None;
        }
        self.looks += 1;
        let verdict = self.verdict();
        let worse = verdict.difference < -ERRORS * verdict.error;
        if worse || self.looks == LOOKS {
            *self = Self::default();
        }
        self.off_until = worse.then(|| now.after(PAUSE));
        worse.then_some(verdict)
    }

    /// Whether hints may be given.
    #[must_use]
    pub fn allows(&self, now: UnixMillis) -> bool {
        self.off_until.is_none_or(|until| now >= until)
    }

    /// How the arms stand (Welch's standard error: the arms' variances differ).
    fn verdict(&self) -> Verdict {
        Verdict {
            hinted: self.hinted.sessions,
            holdout: self.holdout.sessions,
            difference: self.hinted.mean - self.holdout.mean,
            error: (self.hinted.error() + self.holdout.error()).sqrt(),
        }
    }
}

impl Scores {
    fn take(&mut self, score: f64) {
        self.sessions = self.sessions.saturating_add(1);
        let apart = score - self.mean;
        self.mean += apart / f64::from(self.sessions);
        self.squares += apart * (score - self.mean);
    }

    /// The square of the mean's standard error.
    fn error(&self) -> f64 {
        let sessions = f64::from(self.sessions.max(2));
        self.squares / (sessions - 1.0) / sessions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    #[test]
    fn a_holdout_is_its_share_of_chance() {
        for (percent, expected) in [(0, 0), (5, 50), (100, 1000), (150, 1000)] {
            let drawn = (0..1000).filter(|chance| draw(*chance, percent) == Arm::Holdout);
            assert_eq!(drawn.count(), expected, "{percent}");
        }
    }

    /// Feeds both arms with scores around their means, `rounds` to the holdout, twenty times as many
    /// to the hinted arm; says after how many rounds hints were switched off.
    fn switched_off(hinted: f64, holdout: f64, rounds: u32) -> Option<u32> {
        let mut chance = fastrand::Rng::with_seed(7);
        let mut comparison = Comparison::default();
        for round in 1..=rounds {
            let mut told = comparison.ended(Arm::Holdout, holdout + chance.f64() * 4.0, NOW);
            for _ in 0..20 {
                told = told.or(comparison.ended(Arm::Hinted, hinted + chance.f64() * 4.0, NOW));
            }
            if told.is_some() {
                assert!(!comparison.allows(NOW));
                return Some(round);
            }
        }
        assert!(comparison.allows(NOW));
        None
    }

    #[test]
    fn hints_go_off_when_they_surely_hurt_and_only_then() {
        assert_eq!(switched_off(1.0, 2.0, 400), Some(SESSIONS_MIN));
        assert_eq!(switched_off(2.0, 1.0, 4000), None);
        assert_eq!(switched_off(2.0, 2.0, 4000), None);
        assert_eq!(switched_off(0.0, 9.0, SESSIONS_MIN - 1), None, "too few");
        let slow = switched_off(1.9, 2.0, 4000).unwrap();
        assert!(slow > SESSIONS_MIN, "a small harm takes longer: {slow}");
    }

    #[test]
    fn equal_arms_are_seldom_told_apart() {
        let mut wrong = 0;
        let mut chance = fastrand::Rng::with_seed(3);
        for _ in 0..400 {
            let mut comparison = Comparison::default();
            // One whole comparison with all its looks.
            for _ in 0..SESSIONS_MIN << (LOOKS - 1) {
                let holdout = comparison.ended(Arm::Holdout, chance.f64(), NOW);
                let hinted = comparison.ended(Arm::Hinted, chance.f64(), NOW);
                wrong += u32::from(holdout.or(hinted).is_some());
            }
        }
        assert!(wrong <= 10, "{wrong} of 400, where 4 are allowed for");
    }

    #[test]
    fn hints_are_tried_again_from_nothing() {
        let mut comparison = Comparison {
            off_until: Some(NOW.after(PAUSE)),
            ..Comparison::default()
        };
        comparison.ended(Arm::Hinted, 1.0, NOW);
        assert_eq!(
            comparison.hinted.sessions, 0,
            "nothing is learnt of hints not given"
        );
        assert!(!comparison.allows(NOW));
        let later = NOW.after(PAUSE);
        assert!(comparison.allows(later));
        comparison.ended(Arm::Hinted, f64::NAN, later);
        comparison.ended(Arm::Hinted, 1.0, later);
        assert_eq!(comparison.hinted.sessions, 1);
    }
}
