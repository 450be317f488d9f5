//! The purges that a table remembers, by what they name. Pure.
//!
//! Hashes stand for names: a collision purges too much, never too little. Each kind has a map of
//! its own, so that a response is hashed for those kinds only of which there are purges: with a
//! purge a second every hit asks once.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::iter::once_with;

use xxhash_rust::xxh3::xxh3_128;

use crate::http::tags::Tag;
use crate::key::Key;
use crate::purge::order::{Mode, Order, Scope};
use crate::purge::{Position, Subject};

/// When a name was last purged, in each mode; the first position of all stands for never.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    hard: Position,
    soft: Position,
}

impl Last {
    fn later(self) -> Position {
        self.hard.max(self.soft)
    }
}

/// What a purge that names a response does to it; the worst compares greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finding {
    Unnamed,
    Soft,
    Hard,
}

/// Names of one kind.
#[derive(Debug)]
struct Map<K>(HashMap<K, Last, BuildHasherDefault<Folding>>);

impl<K> Default for Map<K> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Hash + Eq> Map<K> {
    fn note(&mut self, mark: K, position: Position, mode: Mode) {
        let last = self.0.entry(mark).or_default();
        let at = match mode {
            Mode::Hard => &mut last.hard,
            Mode::Soft => &mut last.soft,
        };
        *at = position.max(*at);
    }

    /// The worst that purges of these names since `since` do; no name is made where there is no
    /// purge.
    fn look(&self, marks: impl Iterator<Item = K>, since: Position) -> Finding {
        if self.0.is_empty() {
            return Finding::Unnamed;
        }
        let found = marks.map(|mark| match self.0.get(&mark) {
            Some(last) if last.hard > since => Finding::Hard,
            Some(last) if last.soft > since => Finding::Soft,
            _ => Finding::Unnamed,
        });
        found.max().unwrap_or(Finding::Unnamed)
    }

    fn forget(&mut self, floor: Position) {
        self.0.retain(|_, last| last.later() > floor);
    }
}

/// The purges remembered.
#[derive(Debug, Default)]
pub(super) struct Marks {
    urls: Map<u128>,
    sites: Map<u128>,
    tags: Map<Tag>,
    /// By length in bytes, site included, and hash.
    prefixes: Map<(usize, u128)>,
    /// The lengths among the keys of `prefixes`.
    prefix_lengths: BTreeSet<usize>,
}

impl Marks {
    /// Remembers an order. Of two for one name and mode the later stands.
    pub(super) fn enter(&mut self, position: Position, order: &Order) {
        let mode = order.mode;
        match &order.scope {
            Scope::Url(key) => self.urls.note(hash(key.primary()), position, mode),
            Scope::Site(site) => self.sites.note(hash(site), position, mode),
            Scope::Tag { site, name } => {
                let tag = Tag::of(site, name.as_bytes());
                self.tags.note(tag, position, mode);
            }
            Scope::Prefix { site, path } => {
                let text = Key::new(site, path, None);
                let length = text.as_str().len();
                self.prefix_lengths.insert(length);
                let mark = (length, hash(text.as_str()));
                self.prefixes.note(mark, position, mode);
            }
        }
    }

    /// What the purges since its stamp do to a response.
    pub(super) fn find(&self, subject: &Subject<'_>) -> Finding {
        let Subject { key, tags, stamp } = subject;
        let since = stamp.position;
        let urls = self.urls.look(once_with(|| hash(key.primary())), since);
        let sites = self.sites.look(once_with(|| hash(key.site())), since);
        let tags = self.tags.look(tags.iter().copied(), since);
        let text = key.primary();
        // A length that would split a character is that of no beginning of this text.
        let beginning = |length: &usize| Some((*length, hash(text.get(..*length)?)));
        let lengths = self.prefix_lengths.range(..=text.len());
        let prefixes = self.prefixes.look(lengths.filter_map(beginning), since);
        urls.max(sites).max(tags).max(prefixes)
    }

    /// Forgets what was purged up to `floor`.
    pub(super) fn forget(&mut self, floor: Position) {
        self.urls.forget(floor);
        self.sites.forget(floor);
        self.tags.forget(floor);
        self.prefixes.forget(floor);
        self.prefix_lengths = self.prefixes.0.keys().map(|(length, _)| *length).collect();
    }

    /// The position below which the older half lies; `None` where nothing is remembered.
    pub(super) fn middle(&self) -> Option<Position> {
        let keys = self.urls.0.values().chain(self.sites.0.values());
        let all = keys
            .chain(self.tags.0.values())
            .chain(self.prefixes.0.values());
        let mut positions: Vec<_> = all.map(|last| last.later()).collect();
        if positions.is_empty() {
            return None;
        }
        let middle = positions.len() / 2;
        let (_, position, _) = positions.select_nth_unstable(middle);
        Some(*position)
    }

    /// Names remembered.
    pub(super) fn len(&self) -> usize {
        self.urls.0.len() + self.sites.0.len() + self.tags.0.len() + self.prefixes.0.len()
    }
}

fn hash(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}

/// Hashes what is a hash already: folds it to 64 bits.
#[derive(Debug, Default)]
struct Folding(u64);

impl Hasher for Folding {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut()
                .zip(piece)
                .for_each(|(to, from)| *to = *from);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = self.0.rotate_left(32) ^ word;
    }
}
