//! The manifests that were read of late, kept for whoever asks for them next.
//!
//! Reading an MPD takes a hundred times what writing it for one more client takes, and all clients
//! of a title are given what was made from the same bytes. So these are the key: what was read of
//! them stays true whatever is purged, refreshed or asked for under another name, and nothing has
//! to be invalidated. A hash finds them, a comparison makes sure.
//!
//! Invariants: what is kept weighs no more than a share of the memory tier's budget, of which it is
//! a part. Nothing is read, compared or dropped under the lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use xxhash_rust::xxh3::xxh3_64;

use crate::cache::budget::Permit;
use crate::cache::memory::Memory;
use crate::limits::{PARSED_BYTES_PER_BYTE, PARSED_SHARE};
use crate::manifest::parsed::{Parsed, Unreadable};
use crate::metrics::{METRICS, ManifestKind, Parsing};

/// What a manifest is found by: its kind, and the hash of its bytes.
type Name = (ManifestKind, u64);

/// Manifests that were read.
pub(in crate::proxy) struct Manifests {
    memory: Arc<Memory>,
    /// The most that they may weigh together.
    limit: usize,
    kept: Mutex<Kept>,
}

/// What is kept, the one asked for last in front.
struct Kept {
    list: LruCache<Name, Entry>,
    /// Sum of the weights.
    weight: usize,
}

struct Entry {
    manifest: Arc<Parsed>,
    permit: Permit,
}

impl Manifests {
    /// Begins with none.
    pub(in crate::proxy) fn new(memory: &Arc<Memory>) -> Self {
        Self {
            memory: Arc::clone(memory),
            limit: memory.budget().limit() / PARSED_SHARE,
            kept: Mutex::new(Kept {
                list: LruCache::unbounded(),
                weight: 0,
            }),
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
    ) -> Result<Arc<Parsed>, Unreadable> {
        let name = (kind, xxh3_64(text));
        if let Some(known) = self.find(name).filter(|known| known.text() == text) {
            METRICS.manifests_parsed.of(Parsing::Hit).inc();
            return Ok(known);
        }
        METRICS.manifests_parsed.of(Parsing::Miss).inc();
        let read = Arc::new(match kind {
            ManifestKind::Hls => Parsed::hls(text)?,
            ManifestKind::Dash => Parsed::dash(text)?,
        });
        self.keep(name, &read);
        Ok(read)
    }

    fn find(&self, name: Name) -> Option<Arc<Parsed>> {
        let mut kept = self.lock();
        kept.list
            .get(&name)
            .map(|entry| Arc::clone(&entry.manifest))
    }

    /// Keeps a manifest in place of those that were not asked for longest.
    fn keep(&self, name: Name, manifest: &Arc<Parsed>) {
        let weight = weight(manifest.text());
        if weight > self.limit {
            return;
        }
        let entry = Entry {
            manifest: Arc::clone(manifest),
            permit: self.memory.charge(weight),
        };
        let dropped = self.lock().push(name, entry, self.limit);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Adds an entry; returns those that go for it.
    fn push(&mut self, name: Name, entry: Entry, limit: usize) -> Vec<Entry> {
        let mut gone = Vec::new();
        self.weight = self.weight.saturating_add(entry.weight());
        let mut next = self.list.put(name, entry).or_else(|| self.excess(limit));
        while let Some(entry) = next {
            self.weight = self.weight.saturating_sub(entry.weight());
            gone.push(entry);
            next = self.excess(limit);
        }
        gone
    }

    /// Takes out what was not asked for longest, if there is more than `limit`.
    fn excess(&mut self, limit: usize) -> Option<Entry> {
        let is_more = self.weight > limit;
        is_more
            .then(|| self.list.pop_lru())?
            .map(|(_, entry)| entry)
    }
}

impl Entry {
    fn weight(&self) -> usize {
        self.permit.bytes()
    }
}

/// What a manifest is taken to need in memory when it was read: its text, its parts, and what a few
/// filters leave of it.
fn weight(text: &[u8]) -> usize {
    text.len().saturating_mul(PARSED_BYTES_PER_BYTE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::dash;

    fn playlist(nth: usize) -> Vec<u8> {
        format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={}\n{nth}\n", nth + 1).into_bytes()
    }

    /// Whether a playlist had to be parsed.
    fn parses(manifests: &Manifests, nth: usize) -> bool {
        let kept = |manifests: &Manifests| manifests.lock().list.len();
        let text = playlist(nth);
        let name = (ManifestKind::Hls, xxh3_64(&text));
        let known = manifests.lock().list.peek(&name).is_some();
        let read = manifests.read(ManifestKind::Hls, &text).unwrap();
        assert_eq!(read.ladder().rungs[0].bandwidth, nth as u64 + 1);
        let again = manifests.read(ManifestKind::Hls, &text).unwrap();
        assert_eq!(Arc::ptr_eq(&read, &again), kept(manifests) > 0);
        !known
    }

    #[test]
    fn what_was_asked_for_last_is_kept_within_the_share() {
        let each = weight(&playlist(0));
        let memory = Memory::new(3 * each * PARSED_SHARE);
        let manifests = Manifests::new(&memory);
        for nth in [0, 1, 2] {
            assert!(parses(&manifests, nth) && !parses(&manifests, nth), "{nth}");
        }
        assert_eq!(memory.budget().used(), 3 * each);
        assert!(parses(&manifests, 3));
        assert_eq!(memory.budget().used(), 3 * each, "one went for it");
        assert!(!parses(&manifests, 1));
        assert!(parses(&manifests, 0), "asked for longest ago");
        assert!(!parses(&manifests, 1), "asked for since");
        drop(manifests);
        assert_eq!(memory.budget().used(), 0);
    }

    #[test]
    fn what_is_too_large_or_unreadable_is_not_kept() {
        let memory = Memory::new(weight(&playlist(0)));
        let manifests = Manifests::new(&memory);
        assert!(parses(&manifests, 0) && parses(&manifests, 0));
        let unreadable = manifests.read(ManifestKind::Dash, &playlist(0));
        assert_eq!(unreadable.unwrap_err(), dash::Error::Malformed.into());
        let media = manifests.read(ManifestKind::Hls, b"<MPD/>");
        assert_eq!(media.unwrap_err(), Unreadable::Hls);
        assert_eq!(memory.budget().used(), 0);
    }

    #[test]
    fn bytes_are_compared_and_not_their_hash_only() {
        let memory = Memory::new(1 << 20);
        let manifests = Manifests::new(&memory);
        let [one, other] = [playlist(1), playlist(2)];
        let one = Arc::new(Parsed::hls(&one).unwrap());
        manifests.keep((ManifestKind::Hls, xxh3_64(&other)), &one);
        let read = manifests.read(ManifestKind::Hls, &other).unwrap();
        assert_eq!(read.ladder().rungs[0].bandwidth, 3);
        assert_eq!(
            memory.budget().used(),
            weight(&other),
            "in place of the other"
        );
    }
}
