//! One byte budget for every body byte in memory: cached, filling, or held by a slow reader.
//!
//! Invariant: [`Budget::used`] is the sum of all live [`Permit`]s. A permit travels with the bytes
//! it stands for ([`hold`]), so the budget gets them back when the last reference drops, wherever
//! that is: in the index, in a reader, or in the send buffer of an HTTP/2 connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The budget: a limit, and what is used of it.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    lent: AtomicUsize,
    freed: Notify,
}

/// Share of the limit that may be lent: what readers could hold back when all of it is evicted.
const LENT_PERCENT_MAX: usize = 25;

impl Budget {
    /// Makes a budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            lent: AtomicUsize::new(0),
            freed: Notify::new(),
        })
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that live permits stand for. Above the limit only by what [`Budget::charge`] took.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, when the limit allows it.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.limit)
            })
            .ok()?;
        Some(Permit {
            budget: Arc::clone(self),
            bytes,
        })
    }

    /// Takes `bytes` whatever the limit says.
    ///
    /// For short-lived copies whose number another bound keeps small: the tail of a fill, the
    /// pieces of slow readers.
    #[must_use]
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Permit {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Permit {
            budget: Arc::clone(self),
            bytes,
        }
    }

    /// Wakes whoever waits for room: something became evictable.
    pub fn stir(&self) {
        self.freed.notify_waiters();
    }

    /// Lends `bytes` that others own to a reader, unless too much is lent.
    ///
    /// What is lent cannot be freed by evicting it. Without this bound, patient readers of as many
    /// places as there are chunks would hold the whole budget, and nothing could be filled.
    #[must_use]
    pub fn lend(self: &Arc<Self>, bytes: usize) -> Option<Loan> {
        let most = self.limit / 100 * LENT_PERCENT_MAX;
        self.lent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lent| {
                lent.checked_add(bytes).filter(|sum| *sum <= most)
            })
            .ok()?;
        Some(Loan {
            budget: Arc::clone(self),
            bytes,
        })
    }

    /// Waits for the next permit to drop; create it before the try that may fail.
    pub fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }
}

/// Bytes that a reader holds of a chunk that others own; returned on drop.
#[derive(Debug)]
pub struct Loan {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.budget.lent.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A part of the budget, given back on drop.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Permit {
    /// Bytes that the permit stands for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Cuts `bytes` off (at most what is left) as a permit of its own.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            budget: Arc::clone(&self.budget),
            bytes,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.budget.freed.notify_waiters();
    }
}

/// Ties bytes to the permit that stands for them, without copying.
#[must_use]
pub fn hold<T: AsRef<[u8]> + Send + 'static>(data: T, permit: Permit) -> Bytes {
    Bytes::from_owner(Held {
        data,
        _permit: permit,
    })
}

struct Held<T> {
    data: T,
    _permit: Permit,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.data.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_a_dropped_permit_makes_room() {
        let budget = Budget::new(100);
        let first = budget.try_take(60);
        assert!(first.is_some());
        assert!(budget.try_take(41).is_none());
        drop(first);
        assert!(budget.try_take(100).is_some());
    }

    #[test]
    fn bytes_keep_their_permit_until_the_last_slice_drops() {
        let budget = Budget::new(100);
        let bytes = budget
            .try_take(10)
            .map(|permit| hold(vec![7; 10], permit))
            .unwrap();
        let slice = bytes.slice(3..4);
        drop(bytes);
        assert_eq!(budget.used(), 10);
        drop(slice);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_quarter_may_be_lent_and_what_is_returned_again() {
        let budget = Budget::new(400);
        let loans: Vec<_> = (0..10).map_while(|_| budget.lend(10)).collect();
        assert_eq!(loans.len(), 10);
        assert!(budget.lend(1).is_none());
        drop(loans);
        assert!(budget.lend(100).is_some());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_split_permit_gives_back_each_part_by_itself() {
        let budget = Budget::new(100);
        let mut whole = budget.try_take(30).unwrap();
        let part = whole.split(10);
        drop(whole);
        assert_eq!(budget.used(), 10);
        drop(part);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_sum_beyond_the_word_size_is_refused() {
        let budget = Budget::new(usize::MAX);
        let _most = budget.try_take(usize::MAX).unwrap();
        assert!(budget.try_take(1).is_none());
    }
}
