//! What a connection has carried between two requests, out of two readings of the kernel. Pure.

use std::time::Duration;

use crate::clock::UnixMillis;

/// What one connection carried in a busy time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Bytes that the client acknowledged.
    pub bytes: u64,
    /// How long there was something to send or to be acknowledged.
    pub busy: Duration,
    /// When the busy time began.
    pub began: UnixMillis,
    /// What the rate means.
    pub bound: Bound,
    /// Round trip, smoothed by the kernel.
    pub rtt: Duration,
    /// Least round trip.
    pub rtt_min: Duration,
}

/// What a sample's rate means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The path's throughput.
    Path,
    /// At least that: the client or this node held back.
    Lower,
}
