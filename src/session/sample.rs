//! What a connection has carried between two requests, out of two readings of the kernel. Pure.
//!
//! Time counts while there was something to send or to be acknowledged, so that neither a client's
//! pauses nor a slow origin look like a slow path. Two things are taken out: the round trip for
//! which the first byte of each answer is under way while nothing is acknowledged, since it is no
//! part of the rate; and readings too close together, since the kernel counts time in jiffies.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::session::tcp_info::TcpInfo;

/// Least bytes of a sample: below, what a shaper lets through at once outweighs its rate.
pub const SAMPLE_BYTES_MIN: u64 = 64_000;

/// Least busy time of a sample: ten jiffies of 4 ms.
pub const SAMPLE_BUSY_MIN: Duration = Duration::from_millis(40);

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

/// The kernel's figures at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// When it was taken.
    pub at: UnixMillis,
    /// The figures.
    pub info: TcpInfo,
}

impl Sample {
    /// What was carried between two readings of one connection, in which `bursts` times sending
    /// began with nothing under way. `None` where it is too little to tell a rate: then the earlier
    /// reading is worth keeping.
    #[must_use]
    pub fn between(earlier: &Reading, later: &Reading, bursts: u32) -> Option<Self> {
        let (from, to) = (&earlier.info, &later.info);
        let bytes = to.bytes_acked.saturating_sub(from.bytes_acked);
        let counted = Duration::from_micros(to.busy.saturating_sub(from.busy));
        if bytes < SAMPLE_BYTES_MIN || counted < SAMPLE_BUSY_MIN {
            return None;
        }
        let rtt_min = Duration::from_micros(u64::from(to.rtt_min));
        // Bursts that overlapped in the kernel are counted as several: half is the most that
        // waiting can have been where there was so much to carry.
        let waited = rtt_min.saturating_mul(bursts).min(counted / 2);
        Some(Self {
            bytes,
            busy: counted.saturating_sub(waited),
            began: earlier.at,
            bound: bound(from, to, bytes),
            rtt: Duration::from_micros(u64::from(to.rtt)),
            rtt_min,
        })
    }

    /// Its rate in bit/s.
    #[must_use]
    pub fn bitrate(&self) -> u64 {
        let micros = self.busy.as_micros().max(1);
        let rate = u128::from(self.bytes) * 8_000_000 / micros;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

fn bound(from: &TcpInfo, to: &TcpInfo, bytes: u64) -> Bound {
    let busy = to.busy.saturating_sub(from.busy);
    let receiver = to.receiver_limited.saturating_sub(from.receiver_limited);
    let sender = to.sender_limited.saturating_sub(from.sender_limited);
    // Above nine tenths of what the socket may send, the limit is ours.
    let allowed = u128::from(to.pacing_max) * u128::from(busy) / 1_000_000;
    let paced = u128::from(bytes) * 10 > allowed * 9;
    if receiver > busy / 2 || sender > busy / 2 || paced {
        Bound::Lower
    } else {
        Bound::Path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(at: u64, bytes_acked: u64, busy_millis: u64) -> Reading {
        Reading {
            at: UnixMillis(at),
            info: TcpInfo {
                bytes_acked,
                busy: busy_millis * 1000,
                rtt: 45_000,
                rtt_min: 40_000,
                pacing_max: u64::MAX,
                ..TcpInfo::default()
            },
        }
    }

    #[test]
    fn a_rate_is_bytes_over_busy_time_without_the_wait_for_the_first_acknowledgement() {
        let earlier = reading(10_000, 1_000_000, 5_000);
        let later = reading(14_000, 1_250_000, 5_440);
        let cases = [
            (0, 440, 4_545_454),
            (1, 400, 5_000_000),
            (9, 220, 9_090_909),
        ];
        for (bursts, busy, bitrate) in cases {
            let sample = Sample::between(&earlier, &later, bursts).unwrap();
            assert_eq!(sample.busy, Duration::from_millis(busy), "{bursts}");
            assert_eq!(sample.bitrate(), bitrate, "{bursts}");
            assert_eq!(sample.began, UnixMillis(10_000));
            assert_eq!(sample.bound, Bound::Path);
        }
    }

    #[test]
    fn too_few_bytes_or_too_short_a_time_are_no_sample() {
        let earlier = reading(0, 0, 0);
        let cases = [
            (63_999, 100, false),
            (64_000, 100, true),
            (1_000_000, 39, false),
            (1_000_000, 40, true),
            (0, 0, false),
        ];
        for (bytes, busy, expected) in cases {
            let sample = Sample::between(&earlier, &reading(500, bytes, busy), 0);
            assert_eq!(sample.is_some(), expected, "{bytes} in {busy}");
        }
        // Counters that run backwards belong to two connections.
        assert_eq!(
            Sample::between(&reading(0, 900_000, 900), &earlier, 0),
            None
        );
    }

    #[test]
    fn a_client_or_node_that_holds_back_leaves_a_lower_bound() {
        let earlier = reading(0, 0, 0);
        let later = reading(2_000, 500_000, 1_000);
        let with = |change: fn(&mut TcpInfo)| {
            let mut later = later;
            change(&mut later.info);
            Sample::between(&earlier, &later, 0).unwrap().bound
        };
        assert_eq!(with(|info| info.receiver_limited = 500_000), Bound::Path);
        assert_eq!(with(|info| info.receiver_limited = 500_001), Bound::Lower);
        assert_eq!(with(|info| info.sender_limited = 500_001), Bound::Lower);
        assert_eq!(with(|info| info.pacing_max = 520_000), Bound::Lower);
        assert_eq!(with(|info| info.pacing_max = 600_000), Bound::Path);
    }

    proptest! {
        #[test]
        fn no_two_readings_make_an_impossible_rate(
            from in any::<[u64; 4]>(), to in any::<[u64; 4]>(),
            rtt_min in any::<u32>(), bursts in any::<u32>(), pacing_max in any::<u64>(),
        ) {
            let reading = |[bytes_acked, busy, receiver_limited, sender_limited]: [u64; 4]| Reading {
                at: UnixMillis(0),
                info: TcpInfo {
                    bytes_acked, busy, receiver_limited, sender_limited, rtt_min, pacing_max,
                    ..TcpInfo::default()
                },
            };
            if let Some(sample) = Sample::between(&reading(from), &reading(to), bursts) {
                prop_assert!(sample.bytes >= SAMPLE_BYTES_MIN);
                prop_assert!(sample.busy >= SAMPLE_BUSY_MIN / 2);
            }
        }
    }
}
