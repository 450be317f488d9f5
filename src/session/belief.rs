//! What is thought of a client's throughput between sessions: a normal distribution of its
//! logarithm.

use crate::clock::UnixMillis;

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
