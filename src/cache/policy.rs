//! Which entry leaves memory: S3-FIFO, by weight. Pure.
//!
//! ```text
//!               seen lately (ghost)
//!   new ──┬──────────────────────────► main ──┐ hit since: once more round
//!         │                              ▲ └──┘
//!         └► small (10 % of the bytes) ──┤ hit twice
//!                        └► evicted ─────┘ else: only its hash is kept (ghost)
//! ```
//! A one-pass crawl enters `small`, is never hit there and leaves it again, so it can displace at
//! most a tenth of the bytes. A hit is one relaxed atomic add on the entry; the queues are locked
//! by inserting and evicting only. Measured against other policies by `make bench`.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Share of the bytes that new entries may take before the oldest of them must leave.
const SMALL_SHARE_PERCENT: usize = 10;

/// Hits that an entry needs in `small` to move on to `main`.
const PROMOTE_HITS: u8 = 2;

/// Hits beyond this are not counted: three rounds in `main` are enough to see a next one.
const HITS_MAX: u8 = 3;

/// Fewer departed entries than this are not worth a sweep.
const SWEEP_MIN: usize = 64;

/// Ghosts kept for each entry in memory.
const GHOSTS_PER_ENTRY: usize = 1;

/// How warm an entry is, and whether it is still wanted.
#[derive(Debug, Default)]
pub struct Heat {
    hits: AtomicU8,
    gone: AtomicBool,
}

impl Heat {
    /// Makes the heat of an entry that was asked for `hits` times beside the first.
    #[must_use]
    pub fn with_hits(hits: usize) -> Self {
        let hits = u8::try_from(hits).unwrap_or(HITS_MAX).min(HITS_MAX);
        Self {
            hits: AtomicU8::new(hits),
            gone: AtomicBool::new(false),
        }
    }

    /// Counts a hit.
    pub fn touch(&self) {
        if self.hits.load(Ordering::Relaxed) < HITS_MAX {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Marks the entry as removed elsewhere; says whether it was not marked before. Whoever marks
    /// tells the policy by [`Policy::departed`].
    pub fn leave(&self) -> bool {
        !self.gone.swap(true, Ordering::Relaxed)
    }

    fn hits(&self) -> u8 {
        self.hits.load(Ordering::Relaxed)
    }

    fn cool(&self) {
        self.hits
            .store(self.hits().saturating_sub(1), Ordering::Relaxed);
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// An entry's place in the queues.
#[derive(Debug)]
struct Slot<T> {
    item: T,
    name: u64,
    weight: usize,
    heat: Arc<Heat>,
}

/// The queues. `T` is what an eviction gives back.
#[derive(Debug)]
pub struct Policy<T> {
    small: Queue<T>,
    main: Queue<T>,
    ghosts: Ghosts,
    /// Entries that left elsewhere and still have their place.
    departed: usize,
}

#[derive(Debug)]
struct Queue<T> {
    slots: VecDeque<Slot<T>>,
    bytes: usize,
}

impl<T> Queue<T> {
    fn push(&mut self, slot: Slot<T>) {
        self.bytes += slot.weight;
        self.slots.push_back(slot);
    }

    fn pop(&mut self) -> Option<Slot<T>> {
        let slot = self.slots.pop_front()?;
        self.bytes -= slot.weight;
        Some(slot)
    }

    fn sweep(&mut self) {
        self.slots.retain(|slot| !slot.heat.is_gone());
        self.bytes = self.slots.iter().map(|slot| slot.weight).sum();
    }
}

impl<T> Default for Policy<T> {
    fn default() -> Self {
        Self {
            small: Queue::default(),
            main: Queue::default(),
            ghosts: Ghosts::default(),
            departed: 0,
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            slots: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T> Policy<T> {
    /// Takes in an entry. `name` is a hash of what it is, stable over evictions.
    pub fn insert(&mut self, item: T, name: u64, weight: usize, heat: Arc<Heat>) {
        let slot = Slot {
            item,
            name,
            weight,
            heat,
        };
        if self.ghosts.remove(name) {
            self.main.push(slot);
        } else {
            self.small.push(slot);
        }
    }

    /// Counts an entry that left elsewhere. When they are half of all, their places are swept: a
    /// constant cost for each, and no more than twice the places that are needed.
    pub fn departed(&mut self) {
        self.departed += 1;
        if self.departed > SWEEP_MIN && self.departed * 2 > self.len() {
            self.small.sweep();
            self.main.sweep();
            self.departed = 0;
        }
    }

    /// Bytes of all entries, those not yet dropped after [`Heat::leave`] included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.small.bytes + self.main.bytes
    }

    /// Number of entries, likewise.
    #[must_use]
    pub fn len(&self) -> usize {
        self.small.slots.len() + self.main.slots.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Evicts one entry; `None` when there is none. Entries that left elsewhere are given back
    /// too, so that nothing they hold outlives its place in the queue.
    pub fn evict(&mut self) -> Option<T> {
        loop {
            let small_is_over =
                self.small.bytes.saturating_mul(100) > self.bytes() * SMALL_SHARE_PERCENT;
            let slot = if small_is_over || self.main.slots.is_empty() {
                self.evict_small()
            } else {
                self.evict_main()
            };
            match slot {
                Some(slot) => {
                    self.departed -= usize::from(slot.heat.is_gone()).min(self.departed);
                    return Some(slot.item);
                }
                None if self.is_empty() => return None,
                None => {}
            }
        }
    }

    fn evict_small(&mut self) -> Option<Slot<T>> {
        let slot = self.small.pop()?;
        if !slot.heat.is_gone() {
            if slot.heat.hits() >= PROMOTE_HITS {
                self.main.push(slot);
                return None;
            }
            self.ghosts
                .insert(slot.name, self.main.slots.len() + self.small.slots.len());
        }
        Some(slot)
    }

    fn evict_main(&mut self) -> Option<Slot<T>> {
        let slot = self.main.pop()?;
        if !slot.heat.is_gone() && slot.heat.hits() > 0 {
            slot.heat.cool();
            self.main.push(slot);
            return None;
        }
        Some(slot)
    }
}

/// Names of entries that were evicted without having been hit.
#[derive(Debug, Default)]
struct Ghosts {
    order: VecDeque<u64>,
    names: HashSet<u64>,
}

impl Ghosts {
    fn insert(&mut self, name: u64, entries: usize) {
        if self.names.insert(name) {
            self.order.push_back(name);
        }
        let most = (entries * GHOSTS_PER_ENTRY).max(16);
        while self.order.len() > most {
            if let Some(oldest) = self.order.pop_front() {
                self.names.remove(&oldest);
            }
        }
    }

    /// Its place in `order` stays until it is reached: a name more for a shorter memory.
    fn remove(&mut self, name: u64) -> bool {
        self.names.remove(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(policy: &mut Policy<u64>, name: u64) -> Arc<Heat> {
        let heat = Arc::new(Heat::default());
        policy.insert(name, name, 10, Arc::clone(&heat));
        heat
    }

    #[test]
    fn entries_without_hits_leave_in_order() {
        let mut policy = Policy::default();
        for name in 0..3 {
            insert(&mut policy, name);
        }
        let out: Vec<_> = std::iter::from_fn(|| policy.evict()).collect();
        assert_eq!(out, [0, 1, 2]);
        assert_eq!((policy.bytes(), policy.is_empty()), (0, true));
    }

    #[test]
    fn a_crawl_does_not_flush_what_was_hit() {
        let mut policy = Policy::default();
        let hot: Vec<_> = (0..50).map(|name| insert(&mut policy, name)).collect();
        for name in 1_000..6_000 {
            hot.iter().for_each(|heat| heat.touch());
            insert(&mut policy, name);
            if policy.len() > 100 {
                let out = policy.evict().unwrap();
                assert!(out >= 1_000, "{out} was hot");
            }
        }
    }

    #[test]
    fn an_entry_that_comes_back_soon_is_kept_longer() {
        let mut policy = Policy::default();
        for name in 0..20 {
            insert(&mut policy, name);
        }
        assert_eq!(policy.evict(), Some(0));
        insert(&mut policy, 0);
        let rest: Vec<_> = std::iter::from_fn(|| policy.evict()).collect();
        assert_eq!(rest.last(), Some(&0));
    }

    #[test]
    fn an_entry_that_left_is_given_back_without_a_ghost() {
        let mut policy = Policy::default();
        assert!(insert(&mut policy, 1).leave());
        policy.departed();
        assert_eq!(policy.evict(), Some(1));
        assert!(policy.ghosts.names.is_empty());
    }

    #[test]
    fn ghosts_are_bounded_by_the_entries() {
        let mut policy = Policy::default();
        for name in 0..10_000 {
            insert(&mut policy, name);
            if policy.len() > 100 {
                policy.evict();
            }
        }
        assert!(
            policy.ghosts.order.len() <= 101,
            "{}",
            policy.ghosts.order.len()
        );
    }

    #[test]
    fn places_of_entries_that_left_are_swept() {
        let mut policy = Policy::default();
        for name in 0..100_000 {
            let heat = insert(&mut policy, name);
            assert!(heat.leave() && !heat.leave());
            policy.departed();
        }
        assert!(policy.len() <= 2 * SWEEP_MIN, "{}", policy.len());
        assert_eq!(policy.bytes(), policy.len() * 10);
    }
}
