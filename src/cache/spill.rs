//! The write-behind queue: what verified fills leave for Redis, bounded in bytes.
//!
//! What waits here holds its permits of the memory budget, so the bound is small and a full queue
//! drops: a spill is a favour to other nodes, never owed. Bytes count from the moment they are
//! queued until their write has ended, however it ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::cache::head::Head;
use crate::key::KeyHash;
use crate::limits;
use crate::metrics::METRICS;

/// Verified bytes of one fill, to be written to Redis.
#[derive(Debug, Clone)]
pub struct Spill {
    /// The object; its length must be known.
    pub head: Arc<Head>,
    /// Chunks with their numbers.
    pub chunks: Vec<(u64, Bytes)>,
    /// Whether these are all chunks of the object.
    pub whole: bool,
}

impl Spill {
    fn cost(&self) -> usize {
        let bodies: usize = self.chunks.iter().map(|(_, bytes)| bytes.len()).sum();
        bodies.saturating_add(limits::OBJECT_OVERHEAD_BYTES)
    }
}

/// The queue.
pub(crate) struct Queue {
    bytes_max: usize,
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Spill>,
    /// Of what waits and of what is being written.
    bytes: usize,
}

/// A spill being written; its bytes count until this is dropped.
pub(crate) struct Taken<'a> {
    pub(crate) spill: Spill,
    cost: usize,
    queue: &'a Queue,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let state = Mutex::default();
        Self {
            bytes_max,
            state,
            filled: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// Queues a spill, or gives it back when the queue is full.
    pub(crate) fn push(&self, spill: Spill) -> Result<(), Spill> {
        let cost = spill.cost();
        let mut state = self.lock();
        if state.bytes.saturating_add(cost) > self.bytes_max {
            return Err(spill);
        }
        state.bytes += cost;
        state.waiting.push_back(spill);
        show(&state);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for the next spill.
    pub(crate) async fn pop(&self) -> Taken<'_> {
        loop {
            let next = self.lock().waiting.pop_front();
            if let Some(spill) = next {
                let cost = spill.cost();
                return Taken {
                    spill,
                    cost,
                    queue: self,
                };
            }
            self.filled.notified().await;
        }
    }

    /// Bytes waiting or being written.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Waits until everything queued was dealt with, for at most `within`; says whether it was.
    pub(crate) async fn drain(&self, within: Duration) -> bool {
        let empty = async {
            loop {
                // Registered before the look, so that no change falls between the two.
                let change = self.emptied.notified();
                if self.bytes() == 0 {
                    return;
                }
                change.await;
            }
        };
        timeout(within, empty).await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.bytes = state.bytes.saturating_sub(self.cost);
        show(&state);
        if state.bytes == 0 {
            self.queue.emptied.notify_waiters();
        }
    }
}

fn show(state: &State) {
    let bytes = i64::try_from(state.bytes).unwrap_or(i64::MAX);
    METRICS.spill_queue_bytes.set(bytes);
}

/// Who may be written: what was offered often enough lately.
///
/// A count-min sketch of two rows that halves itself after as many offers as a row has cells, so it
/// stays small and forgets. A collision admits too early, never too late.
pub(crate) struct Admission {
    after: u32,
    sketch: Mutex<Sketch>,
}

struct Sketch {
    rows: [Vec<u8>; 2],
    offers: usize,
}

impl Admission {
    /// Admits from the `after`th offer on; 0 and 1 admit everything.
    pub(crate) fn new(after: u32) -> Self {
        let cells = if after > 1 {
            limits::ADMISSION_CELLS
        } else {
            0
        };
        let rows = [vec![0; cells], vec![0; cells]];
        Self {
            after,
            sketch: Mutex::new(Sketch { rows, offers: 0 }),
        }
    }

    /// Counts an offer of part `part` of an object and says whether it is admitted.
    pub(crate) fn offer(&self, hash: KeyHash, part: u64) -> bool {
        if self.after <= 1 {
            return true;
        }
        let mut sketch = self.sketch.lock().unwrap_or_else(PoisonError::into_inner);
        u32::from(sketch.count(hash, part)) >= self.after.min(u32::from(u8::MAX))
    }
}

impl Sketch {
    fn count(&mut self, KeyHash(hash): KeyHash, part: u64) -> u8 {
        self.offers += 1;
        if self.offers > limits::ADMISSION_CELLS {
            self.offers = 0;
            self.rows.iter_mut().flatten().for_each(|cell| *cell /= 2);
        }
        let mixed =
            u128::from_le_bytes(hash) ^ u128::from(part.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let places = [mixed, mixed >> 64];
        let cells = self.rows.iter_mut().zip(places).filter_map(|(row, place)| {
            let place = usize::try_from(place % limits::ADMISSION_CELLS as u128).ok()?;
            let cell = row.get_mut(place)?;
            *cell = cell.saturating_add(1);
            Some(*cell)
        });
        cells.min().unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::shared::tests::head;
    use crate::key::Key;

    fn spill(bytes: usize) -> Spill {
        let head = Arc::new(head("/a", bytes as u64));
        Spill {
            head,
            chunks: vec![(0, Bytes::from(vec![0; bytes]))],
            whole: true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_count_until_their_write_has_ended() {
        let one = spill(1000).cost();
        let queue = Queue::new(2 * one);
        assert!(queue.push(spill(1000)).is_ok() && queue.push(spill(1000)).is_ok());
        assert!(queue.push(spill(1)).is_err(), "full");
        let taken = queue.pop().await;
        assert!(queue.push(spill(1000)).is_err(), "still held by the writer");
        drop(taken);
        assert!(queue.push(spill(1000)).is_ok());
        assert!(!queue.drain(Duration::from_secs(1)).await);
        drop((queue.pop().await, queue.pop().await));
        assert!(queue.drain(Duration::from_secs(1)).await);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn the_nth_offer_of_a_part_is_admitted() {
        let hash = Key::new("s", "/a", None).hash();
        let admission = Admission::new(3);
        let offers: Vec<_> = (0..4).map(|_| admission.offer(hash, 0)).collect();
        assert_eq!(offers, [false, false, true, true]);
        assert!(!admission.offer(hash, 4), "another part");
        assert!(Admission::new(1).offer(hash, 0));
        assert!(Admission::new(0).offer(hash, 0));
    }

    #[test]
    fn the_sketch_forgets() {
        let admission = Admission::new(3);
        let hash = |n: u64| Key::new("s", &format!("/{n}"), None).hash();
        assert!(!admission.offer(hash(0), 0) && !admission.offer(hash(0), 0));
        let filler = hash(1);
        assert!((0..3 * limits::ADMISSION_CELLS).any(|_| admission.offer(filler, 0)));
        (0..3 * limits::ADMISSION_CELLS).for_each(|_| assert!(admission.offer(filler, 0)));
        assert!(!admission.offer(hash(0), 0));
    }
}
