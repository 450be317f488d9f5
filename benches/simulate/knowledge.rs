//! What the edge knows of a client, by its own code: a belief of earlier sessions, and an estimate
//! of this one.

use std::time::Duration;

use weir::clock::UnixMillis;
use weir::session::belief::Belief;
use weir::session::estimator::{Estimate, Estimator};
use weir::session::sample::{Bound, SAMPLE_BUSY_MIN, SAMPLE_BYTES_MIN, Sample};
use weir::session::start::{Candidate, Outlook, Player, next, own};

use crate::link::Link;
use crate::movie::{Movie, Rung};
use crate::player::Load;

/// Knowledge before and during a session.
#[derive(Clone)]
pub(crate) struct Knowledge {
    prior: Option<Belief>,
    estimator: Estimator,
}

impl Knowledge {
    pub(crate) fn new(prior: Option<Belief>) -> Self {
        Self {
            prior,
            estimator: Estimator::default(),
        }
    }

    /// Takes in a segment's transfer, as the kernel would tell of it.
    pub(crate) fn feed(&mut self, load: &Load, link: &Link<'_>) {
        let seconds = load.seconds - load.first_byte;
        let (bytes, busy) = ((load.bits / 8.0) as u64, Duration::from_secs_f64(seconds));
        if bytes < SAMPLE_BYTES_MIN || busy < SAMPLE_BUSY_MIN {
            return;
        }
        let rtt = Duration::from_secs_f64(link.round_trip());
        self.estimator.sampled(&Sample {
            bytes,
            busy,
            began: moment(link.now() - seconds),
            bound: Bound::Path,
            rtt,
            rtt_min: rtt,
        });
    }

    /// What is known of this session.
    pub(crate) fn estimate(&self, now: f64) -> Option<Estimate> {
        self.estimator.estimate(moment(now))
    }

    /// The level to serve where the edge chooses.
    pub(crate) fn serves(&self, rungs: &[Rung], segment: usize, movie: &Movie, now: f64) -> usize {
        let candidates = movie.candidates(Player::Dash, segment);
        let known = self.estimate(now).as_ref().map(Outlook::from);
        match known.or(self.prior.as_ref().map(Outlook::from)) {
            Some(outlook) => next(outlook, &offered(&candidates, rungs)),
            None => own(Player::Dash, &candidates),
        }
    }

    /// What is believed after this session.
    pub(crate) fn after(&self, now: f64) -> Option<Belief> {
        let Some(estimate) = self.estimate(now) else {
            return self.prior;
        };
        let shown = Belief::of_estimate(&estimate);
        Some(self.prior.map_or(shown, |before| before.after(shown)))
    }
}

/// The belief as it counts at a second of the trace.
pub(crate) fn aged(belief: Option<Belief>, now: f64) -> Option<Belief> {
    belief?.aged(moment(now))
}

/// The candidates of the rungs that are offered.
pub(crate) fn offered(candidates: &[Candidate], rungs: &[Rung]) -> Vec<Candidate> {
    rungs.iter().map(|rung| candidates[rung.index]).collect()
}

/// A second of a trace as a moment; traces begin when nothing is old.
fn moment(second: f64) -> UnixMillis {
    UnixMillis(1_000_000_000 + (second * 1000.0) as u64)
}
