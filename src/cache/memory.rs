//! The memory tier: an index of objects by key, one byte budget, and what is evicted for it.
//!
//! A hit takes a read lock on one shard of the index and counts itself on the entry; the policy's
//! queues are locked by inserting and evicting only. The index holds objects; the queues hold weak
//! references, so what leaves the index by a purge frees its bytes at once.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use tokio::time::Instant;

use crate::cache::budget::{Budget, Permit};
use crate::cache::object::{Object, RunError, Stretch};
use crate::cache::policy::{Heat, Policy};
use crate::key::Key;
use crate::limits::{BLOCK_BYTES, BUDGET_WAIT_MAX, OBJECT_OVERHEAD_BYTES, WHOLE_FILL_BYTES_MAX};
use crate::metrics::{Evicted, METRICS};

/// Shards of the index: many more than cores, so that two hits seldom meet.
const SHARDS: usize = 64;

/// The memory tier.
pub struct Memory {
    budget: Arc<Budget>,
    hasher: RandomState,
    shards: Vec<RwLock<HashMap<Key, Entry>>>,
    policy: Mutex<Policy<Unit>>,
}

struct Entry {
    object: Arc<Object>,
    heat: Arc<Heat>,
}

/// What is evicted in one piece.
enum Unit {
    Object(Weak<Object>),
    Block(Weak<Object>, u64),
}

impl Memory {
    /// Makes an empty tier of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        METRICS
            .memory_limit_bytes
            .set(i64::try_from(limit).unwrap_or(i64::MAX));
        Arc::new(Self {
            budget: Budget::new(limit),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            policy: Mutex::default(),
        })
    }

    /// The byte budget.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Largest object that is filled by one answer: a quarter of the budget at the most, so that
    /// no object displaces everything.
    #[must_use]
    pub fn whole_fill_max(&self) -> u64 {
        WHOLE_FILL_BYTES_MAX.min(self.budget.limit() as u64 / 4)
    }

    /// Finds an object and counts the hit.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        let shard = self
            .shard(key)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let entry = shard.get(key)?;
        entry.heat.touch();
        Some(Arc::clone(&entry.object))
    }

    /// Finds an object without counting, for explanations.
    #[must_use]
    pub fn look(&self, key: &Key) -> Option<Arc<Object>> {
        let shard = self
            .shard(key)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        shard.get(key).map(|entry| Arc::clone(&entry.object))
    }

    /// Puts an object in the place of whatever its key named; `asked` others waited for it.
    ///
    /// An object that is complete is evicted whole; of one that is filled by block, this is the
    /// head, and [`Memory::insert_block`] brings the rest.
    pub fn insert(&self, object: &Arc<Object>, asked: usize) {
        let head = object.head();
        let body = if object.is_complete() {
            head.length.unwrap_or(0)
        } else {
            0
        };
        let weight = usize::try_from(body).unwrap_or(usize::MAX / 2) + OBJECT_OVERHEAD_BYTES;
        let heat = Arc::new(Heat::with_hits(asked));
        let entry = Entry {
            object: Arc::clone(object),
            heat: Arc::clone(&heat),
        };
        let name = self.hasher.hash_one(&head.key);
        let old = {
            let mut shard = self
                .shard(&head.key)
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            shard.insert(head.key.clone(), entry)
        };
        self.departs(old);
        self.admit(Unit::Object(Arc::downgrade(object)), name, weight, heat);
    }

    /// Lets a complete block of an object be evicted by itself.
    pub fn insert_block(&self, object: &Arc<Object>, span: Stretch) {
        let block = span.first / BLOCK_BYTES;
        let heat = Arc::new(Heat::default());
        object.warm(block, &heat);
        let name = self.hasher.hash_one((&object.head().key, block));
        let bytes = span.end.map_or(0, |end| end - span.first);
        let weight = usize::try_from(bytes).unwrap_or(usize::MAX / 2);
        self.admit(
            Unit::Block(Arc::downgrade(object), block),
            name,
            weight,
            heat,
        );
    }

    /// Forgets what a key names.
    pub fn remove(&self, key: &Key) -> bool {
        let entry = self
            .shard(key)
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        let is_removed = entry.is_some();
        self.departs(entry);
        is_removed
    }

    /// Forgets this object, unless its key names another by now.
    pub fn remove_object(&self, object: &Arc<Object>) -> bool {
        let head = object.head();
        let entry = {
            let shard = self.shard(&head.key);
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let is_it = shard
                .get(&head.key)
                .is_some_and(|e| Arc::ptr_eq(&e.object, object));
            if is_it { shard.remove(&head.key) } else { None }
        };
        let is_removed = entry.is_some();
        self.departs(entry);
        is_removed
    }

    /// Reserves room, evicting for it.
    ///
    /// # Errors
    /// [`RunError::NoRoom`] when all there is to evict is gone and readers held the rest for
    /// longer than [`BUDGET_WAIT_MAX`].
    pub async fn reserve(&self, bytes: usize) -> Result<Permit, RunError> {
        if bytes > self.budget.limit() {
            return Err(RunError::NoRoom);
        }
        let deadline = Instant::now() + BUDGET_WAIT_MAX;
        let mut has_waited = false;
        loop {
            let mut freed = pin!(self.budget.freed());
            freed.as_mut().enable();
            if let Some(permit) = self.make_room(bytes) {
                return Ok(permit);
            }
            if !has_waited {
                METRICS.memory_waits.inc();
                has_waited = true;
            }
            if tokio::time::timeout_at(deadline, freed).await.is_err() {
                METRICS.memory_wait_timeouts.inc();
                return Err(RunError::NoRoom);
            }
        }
    }

    /// Reserves room without waiting, for who holds room already: two that wait for each other
    /// would both fail.
    ///
    /// # Errors
    /// [`RunError::NoRoom`] when there is none after evicting.
    pub fn reserve_now(&self, bytes: usize) -> Result<Permit, RunError> {
        self.make_room(bytes).ok_or(RunError::NoRoom)
    }

    /// Takes room for a copy that cannot wait, evicting for it; beyond the limit when there is
    /// nothing to evict.
    #[must_use]
    pub fn charge(&self, bytes: usize) -> Permit {
        self.make_room(bytes)
            .unwrap_or_else(|| self.budget.charge(bytes))
    }

    /// Bytes that no eviction frees: of fills under way, and held by readers.
    #[must_use]
    pub fn held(&self) -> usize {
        let cached = self.policy().bytes();
        self.budget.used().saturating_sub(cached)
    }

    /// Writes the gauges; called at each scrape.
    pub fn report(&self) {
        METRICS
            .memory_used_bytes
            .set(i64::try_from(self.budget.used()).unwrap_or(i64::MAX));
        let policy = self.policy();
        METRICS
            .memory_cached_bytes
            .set(i64::try_from(policy.bytes()).unwrap_or(i64::MAX));
        METRICS
            .memory_objects
            .set(i64::try_from(policy.len()).unwrap_or(i64::MAX));
    }

    fn make_room(&self, bytes: usize) -> Option<Permit> {
        loop {
            if let Some(permit) = self.budget.try_take(bytes) {
                return Some(permit);
            }
            if !self.evict() {
                return None;
            }
        }
    }

    fn admit(&self, unit: Unit, name: u64, weight: usize, heat: Arc<Heat>) {
        self.policy().insert(unit, name, weight, heat);
        // Who waits for room waits for permits to drop; what can be evicted now is room as well.
        self.budget.stir();
    }

    /// Tells the policy that an entry left the index, and the blocks of its object with it.
    fn departs(&self, entry: Option<Entry>) {
        let Some(entry) = entry else { return };
        let count = usize::from(entry.heat.leave()) + entry.object.retire_blocks();
        let mut policy = self.policy();
        (0..count).for_each(|_| policy.departed());
    }

    fn policy(&self) -> MutexGuard<'_, Policy<Unit>> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Evicts one entry; `false` when there is none.
    fn evict(&self) -> bool {
        let unit = self.policy().evict();
        match unit {
            None => return false,
            Some(Unit::Object(object)) => {
                if let Some(object) = object.upgrade()
                    && self.remove_object(&object)
                {
                    object.drop_bytes();
                    METRICS.memory_evictions.of(Evicted::Object).inc();
                }
            }
            Some(Unit::Block(object, block)) => {
                if let Some(object) = object.upgrade() {
                    object.drop_block(block);
                    METRICS.memory_evictions.of(Evicted::Block).inc();
                }
            }
        }
        true
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the remainder is below the number of shards"
    )]
    fn shard(&self, key: &Key) -> &RwLock<HashMap<Key, Entry>> {
        let hash = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or(0);
        &self.shards[hash % SHARDS]
    }
}
