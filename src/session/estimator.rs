//! Throughput of one session out of samples and reports. Pure.

use std::time::Duration;

use crate::clock::UnixMillis;

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
