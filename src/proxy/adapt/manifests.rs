//! The manifests that were read of late, kept for whoever asks for them next.
//!
//! Reading an MPD takes a hundred times what writing it for one more client takes, and all clients
//! of a title are given what was made from the same bytes. So these are the key: what was read of
//! them stays true whatever is purged, refreshed or asked for under another name, and nothing has
//! to be invalidated. A hash finds them, a comparison makes sure.
//!
//! Invariants: what they are taken to weigh, those included that are pushed out but still in use,
//! is within a budget of their own. Nothing is read, compared or freed under the lock.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use xxhash_rust::xxh3::xxh3_64;

use crate::cache::budget::{Budget, Permit};
use crate::limits::{PARSED_BYTES_PER_BYTE, PARSED_OVERHEAD_BYTES, PARSED_SHARE};
use crate::manifest::parsed::{Parsed, Unreadable};
use crate::metrics::{METRICS, ManifestKind, Parsing};

/// Manifests that were read.
pub(in crate::proxy) struct Manifests {
    budget: Arc<Budget>,
    /// Those that are kept, by when they were asked for.
    kept: Mutex<LruCache<Name, Arc<Shelved>>>,
}

/// What a manifest is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name {
    kind: ManifestKind,
    /// Of its bytes.
    hash: u64,
}

/// A manifest that was read, and its part of the budget where it was kept.
#[derive(Debug)]
pub(in crate::proxy) struct Shelved {
    parsed: Parsed,
    _room: Option<Room>,
}

/// A part of the budget, counted while it is taken.
#[derive(Debug)]
struct Room(Permit);

impl Room {
    fn new(permit: Permit) -> Self {
        let room = Self(permit);
        METRICS.manifests_parsed_bytes.add(room.bytes());
        room
    }

    fn bytes(&self) -> i64 {
        i64::try_from(self.0.bytes()).unwrap_or(i64::MAX)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        METRICS.manifests_parsed_bytes.sub(self.bytes());
    }
}

impl Deref for Shelved {
    type Target = Parsed;

    fn deref(&self) -> &Parsed {
        &self.parsed
    }
}

impl Manifests {
    /// Begins with none, beside a memory tier of so many bytes.
    pub(in crate::proxy) fn new(memory: usize) -> Self {
        Self {
            budget: Budget::new(memory / PARSED_SHARE),
            kept: Mutex::new(LruCache::unbounded()),
        }
    }

    /// Reads a manifest, unless one of the same bytes is kept.
    ///
    /// # Errors
    /// [`Unreadable`], of which nothing is kept.
    pub(in crate::proxy) fn read(
        &self,
        kind: ManifestKind,
        text: &[u8],
    ) -> Result<Arc<Shelved>, Unreadable> {
        let hash = xxh3_64(text);
        let name = Name { kind, hash };
        if let Some(known) = self.find(name, text) {
            METRICS.manifests_parsed.of(Parsing::Hit).inc();
            return Ok(known);
        }
        METRICS.manifests_parsed.of(Parsing::Miss).inc();
        let parsed = match kind {
            ManifestKind::Hls => Parsed::hls(text)?,
            ManifestKind::Dash => Parsed::dash(text)?,
        };
        // Others may have read it meanwhile, and what they have filtered is known there.
        let known = self.find(name, text);
        Ok(known.unwrap_or_else(|| self.keep(name, parsed)))
    }

    fn find(&self, name: Name, text: &[u8]) -> Option<Arc<Shelved>> {
        let known = self.lock().get(&name).cloned();
        known.filter(|known| known.text() == text)
    }

    /// Keeps a manifest, where there is room for it, in place of those that were not asked for
    /// longest.
    fn keep(&self, name: Name, parsed: Parsed) -> Arc<Shelved> {
        let room = self.room(weight(parsed.text()));
        let is_kept = room.is_some();
        let shelved = Arc::new(Shelved {
            parsed,
            _room: room,
        });
        let displaced = is_kept.then(|| self.lock().put(name, Arc::clone(&shelved)));
        drop(displaced);
        shelved
    }

    /// Room for so many bytes; `None` where there is not enough although none is kept any more.
    fn room(&self, weight: usize) -> Option<Room> {
        if weight > self.budget.limit() {
            return None;
        }
        loop {
            if let Some(permit) = self.budget.try_take(weight) {
                return Some(Room::new(permit));
            }
            let (_, oldest) = self.lock().pop_lru()?;
            METRICS.manifests_parsed_evictions.inc();
            drop(oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Name, Arc<Shelved>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a manifest is taken to need in memory: its text, its parts, and what filters leave of it.
fn weight(text: &[u8]) -> usize {
    let parts = text.len().saturating_mul(PARSED_BYTES_PER_BYTE);
    parts.saturating_add(PARSED_OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::dash;

    fn playlist(nth: usize) -> Vec<u8> {
        format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={}\n{nth}\n", nth + 1).into_bytes()
    }

    fn read(manifests: &Manifests, nth: usize) -> Arc<Shelved> {
        let read = manifests.read(ManifestKind::Hls, &playlist(nth)).unwrap();
        assert_eq!(read.ladder().rungs[0].bandwidth, nth as u64 + 1);
        read
    }

    /// Whether a playlist is found as it was read before.
    fn is_kept(manifests: &Manifests, nth: usize) -> bool {
        let text = playlist(nth);
        let hash = xxh3_64(&text);
        let kind = ManifestKind::Hls;
        let known = manifests.find(Name { kind, hash }, &text);
        known.is_some_and(|known| Arc::ptr_eq(&known, &read(manifests, nth)))
    }

    /// Room for so many of these playlists.
    fn of(count: usize) -> Manifests {
        Manifests::new(PARSED_SHARE * count * each())
    }

    fn each() -> usize {
        weight(&playlist(0))
    }

    #[test]
    fn those_asked_for_last_are_kept_within_the_budget() {
        let manifests = of(3);
        for nth in [0, 1, 2] {
            assert!(!is_kept(&manifests, nth));
            drop(read(&manifests, nth));
            assert!(is_kept(&manifests, nth));
        }
        assert_eq!(manifests.budget.used(), 3 * each());
        drop(read(&manifests, 3));
        assert_eq!(manifests.budget.used(), 3 * each(), "one went for it");
        assert!(is_kept(&manifests, 1), "its turn would be next");
        drop(read(&manifests, 0));
        assert!(is_kept(&manifests, 1) && !is_kept(&manifests, 2));
    }

    #[test]
    fn what_is_in_use_counts_although_it_is_pushed_out() {
        let manifests = of(1);
        let held = read(&manifests, 0);
        let other = read(&manifests, 1);
        assert!(!is_kept(&manifests, 0), "tried to make room");
        assert!(!is_kept(&manifests, 1), "there was none");
        assert_eq!(manifests.budget.used(), each());
        drop((held, other));
        assert_eq!(manifests.budget.used(), 0);
        drop(read(&manifests, 1));
        assert!(is_kept(&manifests, 1));
    }

    #[test]
    fn what_is_too_large_or_unreadable_is_not_kept_and_pushes_nothing_out() {
        let manifests = of(1);
        drop(read(&manifests, 0));
        let large = [playlist(1), vec![b'\n'; 100]].concat();
        assert!(manifests.read(ManifestKind::Hls, &large).is_ok());
        let unreadable = manifests.read(ManifestKind::Dash, &playlist(0));
        assert_eq!(unreadable.unwrap_err(), dash::Error::Malformed.into());
        let unreadable = manifests.read(ManifestKind::Hls, b"<MPD/>");
        assert_eq!(unreadable.unwrap_err(), Unreadable::Hls);
        assert!(is_kept(&manifests, 0));
        assert_eq!(manifests.lock().len(), 1);
    }

    #[test]
    fn bytes_are_compared_and_not_their_hash_only() {
        let manifests = of(2);
        let hash = xxh3_64(&playlist(2));
        let kind = ManifestKind::Hls;
        let other = Parsed::hls(&playlist(1)).unwrap();
        drop(manifests.keep(Name { kind, hash }, other));
        drop(read(&manifests, 2));
        assert!(is_kept(&manifests, 2));
        assert_eq!(manifests.budget.used(), each(), "in place of the other");
    }
}
