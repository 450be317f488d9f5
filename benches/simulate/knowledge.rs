//! What the edge knows of a client: a belief of earlier sessions, and samples of this one.

use weir::clock::UnixMillis;
use weir::session::belief::Belief;
use weir::session::start::{Candidate, Outlook, Player, sustained};

use crate::ewma::{Ewma, Pair};
use crate::movie::{Movie, Rung};
use crate::player::Load;

/// Knowledge before and during a session.
#[derive(Clone)]
pub(crate) struct Knowledge {
    pub(crate) prior: Option<Belief>,
    throughput: Pair,
    ln: Ewma,
    ln_square: Ewma,
    samples: u32,
    at: f64,
}

impl Knowledge {
    pub(crate) fn new(prior: Option<Belief>) -> Self {
        Self {
            prior,
            throughput: Pair::new(3.0, 8.0),
            ln: Ewma::new(60.0),
            ln_square: Ewma::new(60.0),
            samples: 0,
            at: 0.0,
        }
    }

    /// Takes in what a segment's transfer has shown, as the kernel would tell.
    pub(crate) fn feed(&mut self, load: &Load, now: f64) {
        let busy = load.seconds - load.first_byte;
        if load.bits < 8.0 * 64e3 || busy < 0.04 {
            return;
        }
        let rate = load.bits / busy;
        self.throughput.sample(busy, rate);
        self.ln.sample(busy, rate.ln());
        self.ln_square.sample(busy, rate.ln().powi(2));
        self.samples += 1;
        self.at = now;
    }

    /// `etp` in bit/s, from three samples on.
    pub(crate) fn estimate(&self) -> Option<f64> {
        self.throughput.get().filter(|_| self.samples >= 3)
    }

    /// The level to serve where the edge chooses.
    pub(crate) fn serves(&self, rungs: &[Rung], segment: usize, movie: &Movie) -> usize {
        let candidates = movie.candidates(Player::Dash, segment);
        let outlook = match (self.throughput.get(), &self.prior) {
            (Some(rate), _) => Outlook {
                ln_mean: rate.ln(),
                variance: 0.0,
            },
            (None, Some(prior)) => Outlook::from(prior),
            (None, None) => return weir::session::start::own(Player::FirstListed, &candidates),
        };
        sustained(outlook, &offered(&candidates, rungs))
    }

    /// What is believed after this session.
    pub(crate) fn after(&self) -> Option<Belief> {
        let (Some(mean), Some(square)) = (self.ln.get(), self.ln_square.get()) else {
            return self.prior;
        };
        let variance = (square - mean * mean).max(0.01);
        let seen = Belief {
            ln_mean: mean,
            variance,
            rtt_millis: None,
            at: UnixMillis((self.at * 1000.0) as u64),
        };
        Some(self.prior.map_or(seen, |before| Belief {
            ln_mean: 0.7 * mean + 0.3 * before.ln_mean,
            variance: 0.7 * variance
                + 0.3 * before.variance
                + 0.21 * (mean - before.ln_mean).powi(2),
            ..seen
        }))
    }
}

/// The candidates of the rungs that are offered.
pub(crate) fn offered(candidates: &[Candidate], rungs: &[Rung]) -> Vec<Candidate> {
    rungs.iter().map(|rung| candidates[rung.index]).collect()
}
