//! Whether a client takes its answer fast enough. Pure but for the moments passed in.
//!
//! Pingora's own least rate exists for HTTP/1.1 only, and gives each piece a deadline of its
//! length over the rate, at least a second. A patient reader behind a full send buffer misses that:
//! the kernel reports room again only when half of what it holds unsent is gone. So pieces have one
//! generous deadline ([`write_deadline`]), and the rate is judged over the whole answer.

use std::time::{Duration, Instant};

use crate::limits::CHUNK_BYTES;

/// Bytes that the kernel may hold unsent for one connection (`TCP_NOTSENT_LOWAT`).
///
/// It bounds what a slow reader occupies in the kernel and makes the time of a write tell how fast
/// the client reads; what is on its way is not limited by it.
pub(crate) const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Time in which a client need not show any speed: start of a connection, a tunnel, a lift.
const GRACE: Duration = Duration::from_secs(15);

/// Least deadline of a write.
const WRITE_DEADLINE_MIN: Duration = Duration::from_secs(10);

/// The time by which one piece must have been taken by the kernel or by HTTP/2.
#[must_use]
pub(super) fn write_deadline(min_send_rate: u64) -> Duration {
    let bytes = u64::from(UNSENT_BYTES_MAX) + CHUNK_BYTES as u64;
    let needed = Duration::from_secs(bytes.div_ceil(min_send_rate.max(1)));
    needed.max(WRITE_DEADLINE_MIN)
}

/// The client is below the least rate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

/// Bytes handed to one client, and the time it took to get rid of them.
#[derive(Debug)]
pub(super) struct Pace {
    min_send_rate: u64,
    given: u64,
    writing: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// Starts with nothing given; `min_send_rate` is in bytes a second, 0 for no limit.
    pub(super) fn new(min_send_rate: u64) -> Self {
        Self {
            min_send_rate,
            given: 0,
            writing: Duration::ZERO,
            last: None,
        }
    }

    /// Notes that a piece was given to the connection.
    pub(super) fn given(&mut self, bytes: usize, now: Instant) {
        self.given = self
            .given
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.last = Some(now);
    }

    /// Notes that the connection took it, and judges. Waiting for the source does not count.
    ///
    /// # Errors
    /// The client is too slow to go on.
    pub(super) fn taken(&mut self, now: Instant) -> Result<(), TooSlow> {
        if let Some(last) = self.last.take() {
            self.writing += now.saturating_duration_since(last);
        }
        let judged = self.writing.saturating_sub(GRACE);
        let needed = u128::from(self.min_send_rate) * judged.as_millis() / 1000;
        if u128::from(self.given) < needed {
            Err(TooSlow)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(rate: u64, piece: usize, seconds_a_piece: u64, pieces: usize) -> bool {
        let mut pace = Pace::new(rate);
        let mut now = Instant::now();
        for _ in 0..pieces {
            pace.given(piece, now);
            now += Duration::from_secs(seconds_a_piece);
            if pace.taken(now).is_err() {
                return false;
            }
            // The source takes its time too; that is not the client's fault.
            now += Duration::from_secs(60);
        }
        true
    }

    #[test]
    fn a_client_is_cut_when_it_stays_below_the_least_rate() {
        let cases = [
            (8192, 32 * 1024, 2, 100, true),
            (8192, 32 * 1024, 4, 100, true),
            (8192, 32 * 1024, 8, 100, false),
            (8192, 1, 14, 1, true),
            (8192, 1, 14, 3, false),
            (0, 1, 1_000, 100, true),
        ];
        for (rate, piece, seconds, pieces, kept) in cases {
            assert_eq!(
                read_all(rate, piece, seconds, pieces),
                kept,
                "{piece} bytes in {seconds} s at {rate}"
            );
        }
    }

    #[test]
    fn a_write_deadline_leaves_time_for_what_the_kernel_holds() {
        assert_eq!(write_deadline(8192), Duration::from_secs(48));
        assert_eq!(write_deadline(10_000_000), WRITE_DEADLINE_MIN);
    }
}
