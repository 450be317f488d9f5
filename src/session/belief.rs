//! What is thought of a client's throughput between sessions: a normal distribution of its
//! logarithm. Pure.
//!
//! Beliefs are weighed by their precision. They widen with age, since links change, and where what
//! they are made of disagrees, since one address and user agent may be two clients.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::limits;
use crate::session::estimator::Estimate;

/// A belief about throughput.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Belief {
    /// Mean of the natural logarithm of bit/s.
    pub ln_mean: f64,
    /// Variance of that logarithm: 0.04 is about 20 % either way.
    pub variance: f64,
    /// Round trip, in milliseconds, where it was measured.
    pub rtt_millis: Option<f64>,
    /// When it was last right.
    pub at: UnixMillis,
}

/// Least variance: even a steady link gives the next session something else by 20 %.
const VARIANCE_MIN: f64 = 0.04;

/// Variance that an hour adds: after a day a client is as likely off by a factor of two.
const VARIANCE_PER_HOUR: f64 = 0.02;

/// Variance between two sessions of one client, whatever the time between them: another room,
/// another network, others at home.
const VARIANCE_BETWEEN: f64 = 0.25;

/// Variance of a network that the operator names: a typical client is within a factor of two.
const VARIANCE_CONFIGURED: f64 = 0.5;

impl Belief {
    /// What one session's estimate says.
    #[must_use]
    pub fn of_estimate(estimate: &Estimate) -> Self {
        let millis = |rtt: Duration| rtt.as_secs_f64() * 1000.0;
        Self {
            ln_mean: ln(estimate.bitrate),
            variance: estimate.variance.max(VARIANCE_MIN),
            rtt_millis: estimate.rtt.map(millis),
            at: estimate.at,
        }
    }

    /// What the operator says of a network.
    #[must_use]
    pub fn configured(bitrate: u64, now: UnixMillis) -> Self {
        Self {
            ln_mean: ln(bitrate),
            variance: VARIANCE_CONFIGURED,
            rtt_millis: None,
            at: now,
        }
    }

    /// What is thought most likely, in bit/s.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a conversion that saturates, of what is not below zero"
    )]
    pub fn bitrate(&self) -> u64 {
        self.ln_mean.exp().round() as u64
    }

    /// The belief as it counts `now`; `None` once it is of no use.
    #[must_use]
    pub fn aged(self, now: UnixMillis) -> Option<Self> {
        let age = now.since(self.at);
        let hours = age.as_secs_f64() / 3600.0;
        (age <= limits::BELIEF_LIFE).then_some(Self {
            variance: self.variance + VARIANCE_PER_HOUR * hours,
            ..self
        })
    }

    /// What is thought after another session of the same client showed `new`.
    ///
    /// The two are pooled as a mixture: where they agree the belief tightens, where they do not it
    /// spans both.
    #[must_use]
    pub fn after(self, new: Self) -> Self {
        let Some(old) = self.aged(new.at) else {
            return new;
        };
        let old_variance = old.variance + VARIANCE_BETWEEN;
        let weight = old_variance / (old_variance + new.variance);
        let apart = new.ln_mean - old.ln_mean;
        let pooled = new.variance * weight;
        Self {
            ln_mean: old.ln_mean + weight * apart,
            variance: (pooled + weight * (1.0 - weight) * apart * apart).max(VARIANCE_MIN),
            rtt_millis: new.rtt_millis.or(old.rtt_millis),
            at: new.at,
        }
    }

    /// What is thought of a client that may be either of two.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        let apart = other.ln_mean - self.ln_mean;
        Self {
            ln_mean: self.ln_mean + apart / 2.0,
            variance: f64::midpoint(self.variance, other.variance) + apart * apart / 4.0,
            rtt_millis: other.rtt_millis.or(self.rtt_millis),
            at: self.at.max(other.at),
        }
    }

    /// What is thought of one of a population by who knows `self` of it alone.
    #[must_use]
    pub fn among(self, population: Option<Self>) -> Self {
        let Some(population) = population else {
            return self;
        };
        let weight = population.variance / (population.variance + self.variance);
        Self {
            ln_mean: population.ln_mean + weight * (self.ln_mean - population.ln_mean),
            variance: (self.variance * weight).max(VARIANCE_MIN),
            ..self
        }
    }

    /// Whether every figure is one that a link can have.
    #[must_use]
    pub fn is_sane(&self) -> bool {
        let rtt = self
            .rtt_millis
            .is_none_or(|rtt| (0.0..=60_000.0).contains(&rtt));
        // From 1 bit/s to 1 Tbit/s.
        (0.0..=27.7).contains(&self.ln_mean) && (0.0..=100.0).contains(&self.variance) && rtt
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a bit rate is not known to 16 digits"
)]
fn ln(bitrate: u64) -> f64 {
    (bitrate.max(1) as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn belief(ln_mean: f64, variance: f64) -> Belief {
        Belief {
            ln_mean,
            variance,
            rtt_millis: None,
            at: NOW,
        }
    }

    #[test]
    fn one_of_a_population_is_drawn_towards_it_by_how_little_is_known() {
        let population = belief(16.0, 0.5);
        let sure = belief(14.0, 0.05).among(Some(population));
        let unsure = belief(14.0, 0.5).among(Some(population));
        assert!(sure.ln_mean > 14.0 && sure.ln_mean < 14.3, "{sure:?}");
        assert!((unsure.ln_mean - 15.0).abs() < 1e-9 && (unsure.variance - 0.25).abs() < 1e-9);
        assert_eq!(belief(14.0, 0.5).among(None), belief(14.0, 0.5));
    }

    #[test]
    fn no_belief_is_surer_than_links_are() {
        let mut thought = belief(15.0, 0.04);
        for _ in 0..100 {
            thought = thought
                .after(belief(15.0, 0.0))
                .among(Some(belief(15.0, 0.01)));
            assert!(thought.variance >= VARIANCE_MIN);
        }
    }

    #[test]
    fn figures_that_no_link_has_are_told() {
        assert!(belief(15.0, 0.1).is_sane());
        let insane = [
            belief(f64::NAN, 0.1),
            belief(15.0, f64::NAN),
            belief(15.0, -0.1),
            belief(40.0, 0.1),
            belief(-1.0, 0.1),
            belief(15.0, f64::INFINITY),
            Belief {
                rtt_millis: Some(-5.0),
                ..belief(15.0, 0.1)
            },
        ];
        for belief in insane {
            assert!(!belief.is_sane(), "{belief:?}");
        }
    }
}
