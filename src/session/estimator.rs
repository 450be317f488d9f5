//! Throughput of one session out of samples and reports. Pure.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::session::sample::Sample;

/// What is known of a session's throughput.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Bit/s that a transfer would get now.
    pub bitrate: u64,
    /// Variance of the logarithm of what was seen; 0.04 is about 20 % either way.
    pub variance: f64,
    /// Good samples that it stands on.
    pub samples: u32,
    /// Smoothed round trip, where it was measured.
    pub rtt: Option<Duration>,
    /// When it was last fed.
    pub at: UnixMillis,
}

/// What a session's samples and reports add up to.
#[derive(Debug, Clone, Default)]
pub struct Estimator {
    last: Option<Estimate>,
}

impl Estimator {
    /// Takes in what a connection has carried.
    pub fn sampled(&mut self, sample: &Sample) {
        let millis = u64::try_from(sample.busy.as_millis()).unwrap_or(u64::MAX);
        let rate = sample.bytes.saturating_mul(8000) / millis.max(1);
        let before = self.last.map_or(rate, |last| last.bitrate);
        self.last = Some(Estimate {
            bitrate: before / 2 + rate / 2,
            variance: 0.04,
            samples: self.last.map_or(0, |last| last.samples).saturating_add(1),
            rtt: Some(sample.rtt),
            at: sample.began.after(sample.busy),
        });
    }

    /// Takes in what a player thinks of its throughput, in bit/s.
    pub fn reported(&mut self, _bitrate: u64, _now: UnixMillis) {}

    /// Takes in what another node has estimated.
    pub fn resume(&mut self, estimate: Estimate) {
        if self.last.is_none_or(|last| last.at < estimate.at) {
            self.last = Some(estimate);
        }
    }

    /// What is known now.
    #[must_use]
    pub fn estimate(&self, _now: UnixMillis) -> Option<Estimate> {
        self.last
    }
}
