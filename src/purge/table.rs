//! What is purged since when: a bounded table that judges stored responses.
//!
//! Invariants: a response is [`Verdict::Valid`] only if the table knows every purge since its
//! stamp and none names it. What the table does not know (another log, a time before its floor, a
//! log not read to its end) makes responses suspect, never valid. Every change that can alter a
//! verdict raises the version after it took effect, so that who remembers a verdict with the
//! version loaded before it may reuse it while the version stands.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use crate::key::{Key, KeyHash};
use crate::limits;
use crate::metrics::METRICS;
use crate::purge::{Position, Stamp, Subject, Verdict};

/// What one purge concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One object.
    Url(Key),
    /// Every object of a site whose path and query begin so.
    Prefix {
        /// The site's name.
        site: String,
        /// Beginning of the path, with its leading slash.
        path: String,
    },
    /// Every object of a site.
    Site(String),
}

/// Kind of a scope, as the log spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Url,
    Prefix,
    Site,
}

impl Scope {
    /// The scope in words of the log: kind and name.
    #[must_use]
    pub fn to_words(&self) -> (&'static str, String) {
        match self {
            Self::Url(key) => ("url", key.as_str().to_owned()),
            Self::Prefix { site, path } => ("prefix", format!("{site} {path}")),
            Self::Site(site) => ("site", site.clone()),
        }
    }

    /// Reads the words of the log; `None` for what only a newer release understands.
    #[must_use]
    pub fn from_words(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "url" => Some(Self::Url(Key::from_text(name))),
            "prefix" => {
                let (site, path) = name.split_once(' ')?;
                Some(Self::Prefix {
                    site: site.to_owned(),
                    path: path.to_owned(),
                })
            }
            "site" => Some(Self::Site(name.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = self.to_words();
        write!(f, "{kind} {name}")
    }
}

/// A purge's name in the table; 128 bits of hash stand for the text, a collision purges too much.
type Mark = (Kind, KeyHash);

/// The table.
#[derive(Debug)]
pub struct Table {
    state: RwLock<State>,
    version: AtomicU64,
    entries_max: usize,
}

#[derive(Debug)]
struct State {
    incarnation: u64,
    /// The last purge known, and the stamp of what is asked for now.
    position: Position,
    /// What was asked for before this cannot be judged.
    floor: Position,
    /// Whether the log is still being read, so that nothing can be called valid.
    learning: bool,
    marks: HashMap<Mark, Position>,
    /// Lengths in bytes of the prefixes in `marks`, site included.
    prefix_lengths: BTreeSet<usize>,
}

impl State {
    fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            position: Position::default(),
            floor: Position::default(),
            learning: false,
            marks: HashMap::new(),
            prefix_lengths: BTreeSet::new(),
        }
    }
}

impl Table {
    /// An empty table of a log that begins now and is known whole.
    #[must_use]
    pub fn new(incarnation: u64) -> Self {
        Self::bounded(incarnation, limits::PURGES_MAX)
    }

    fn bounded(incarnation: u64, entries_max: usize) -> Self {
        let state = RwLock::new(State::new(incarnation));
        Self {
            state,
            version: AtomicU64::new(1),
            entries_max: entries_max.max(2),
        }
    }

    /// Enters a purge. Order does not matter; entering one twice changes nothing.
    pub fn apply(&self, position: Position, scope: &Scope) {
        let mark = mark(scope);
        self.change(|state| {
            state.position = state.position.max(position);
            if let Scope::Prefix { .. } = scope {
                state.prefix_lengths.insert(scope.to_words().1.len());
            }
            let entry = state.marks.entry(mark).or_default();
            *entry = position.max(*entry);
            if state.marks.len() > self.entries_max {
                forget_older_half(state);
            }
        });
    }

    /// Enters a purge at the next place of this node alone, for as long as there is no log to say.
    pub fn apply_here(&self, scope: &Scope) -> Position {
        let position = self.stamp().position.next();
        self.apply(position, scope);
        position
    }

    /// Moves the floor up: what was asked for before `floor` becomes suspect.
    pub fn raise_floor(&self, floor: Position) {
        self.change(|state| {
            if floor > state.floor {
                state.floor = floor;
                state.position = state.position.max(floor);
                state.marks.retain(|_, position| *position > floor);
                METRICS.purge_floor_raises.inc();
            }
        });
    }

    /// Begins to learn another log: everything is suspect until [`Table::known`].
    pub fn reset(&self, incarnation: u64) {
        self.change(|state| {
            *state = State::new(incarnation);
            state.learning = true;
        });
    }

    /// Says that the log was read to its end.
    pub fn known(&self) {
        if self.read().learning {
            self.change(|state| state.learning = false);
        }
    }

    /// The stamp of a response that is asked for now.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        let state = self.read();
        Stamp {
            incarnation: state.incarnation,
            position: state.position,
        }
    }

    /// Counts the changes; a verdict holds while this stands.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Judges a stored response.
    #[must_use]
    pub fn verdict(&self, subject: Subject<'_>) -> Verdict {
        let Subject { key, stamp, .. } = subject;
        let state = self.read();
        if stamp.incarnation != state.incarnation {
            return Verdict::Suspect;
        }
        let newer = |mark: Mark| {
            state
                .marks
                .get(&mark)
                .is_some_and(|at| *at > stamp.position)
        };
        if newer((Kind::Url, key.hash())) || newer(site_mark(key.site())) {
            return Verdict::Purged;
        }
        let beginnings = state
            .prefix_lengths
            .iter()
            .filter_map(|n| key.as_str().get(..*n));
        let mut prefixes = beginnings.map(|text| (Kind::Prefix, Key::from_text(text).hash()));
        if prefixes.any(newer) {
            return Verdict::Purged;
        }
        match state.learning || stamp.position < state.floor {
            true => Verdict::Suspect,
            false => Verdict::Valid,
        }
    }

    /// Number of purges remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().marks.len()
    }

    /// Whether no purge is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.write();
        change(&mut state);
        let entries = i64::try_from(state.marks.len()).unwrap_or(i64::MAX);
        METRICS.purge_entries.set(entries);
        self.version.fetch_add(1, Ordering::Release);
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mark(scope: &Scope) -> Mark {
    match scope {
        Scope::Url(key) => (Kind::Url, key.hash()),
        Scope::Prefix { .. } => (Kind::Prefix, Key::from_text(&scope.to_words().1).hash()),
        Scope::Site(site) => site_mark(site),
    }
}

fn site_mark(site: &str) -> Mark {
    (Kind::Site, Key::from_text(site).hash())
}

/// Makes room: what was asked for before the middle purge becomes suspect, and in return purges up
/// to there need not be remembered.
fn forget_older_half(state: &mut State) {
    let mut positions: Vec<_> = state.marks.values().copied().collect();
    let middle = positions.len() / 2;
    let (_, floor, _) = positions.select_nth_unstable(middle);
    let floor = *floor;
    state.marks.retain(|_, position| *position > floor);
    state.floor = state.floor.max(floor);
    METRICS.purge_floor_raises.inc();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purge::Verdict::{Purged, Suspect, Valid};
    use proptest::prelude::prop;
    use proptest::{prop_assert, proptest};

    fn at(millis: u64) -> Position {
        Position {
            millis,
            sequence: 0,
        }
    }

    fn stamp(millis: u64) -> Stamp {
        Stamp {
            incarnation: 7,
            position: at(millis),
        }
    }

    fn key(path: &str) -> Key {
        Key::new("vod", path, None)
    }

    #[test]
    fn a_purge_concerns_what_was_asked_for_before_it() {
        let prefix = |path: &str| Scope::Prefix {
            site: "vod".to_owned(),
            path: path.to_owned(),
        };
        let check = |scope: Scope, path: &str, expected| {
            let table = Table::new(7);
            table.apply(at(10), &scope);
            assert_eq!(
                table.verdict(Subject::untagged(&key(path), &stamp(9))),
                expected,
                "{scope} {path}"
            );
            assert_eq!(
                table.verdict(Subject::untagged(&key(path), &stamp(10))),
                Valid,
                "{scope} {path}"
            );
        };
        check(Scope::Url(key("/a/b")), "/a/b", Purged);
        check(Scope::Url(key("/a/b")), "/a", Valid);
        check(Scope::Url(key("/a/b")), "/a/bc", Valid);
        check(prefix("/a/"), "/a/b", Purged);
        check(prefix("/a/"), "/a", Valid);
        check(prefix("/a/"), "/b/a/", Valid);
        check(prefix("/"), "/x", Purged);
        check(Scope::Site("vod".to_owned()), "/x", Purged);
        check(Scope::Site("live".to_owned()), "/x", Valid);
    }

    #[test]
    fn a_prefix_that_would_split_a_character_matches_nothing_and_does_not_panic() {
        let table = Table::new(7);
        table.apply(
            at(1),
            &Scope::Prefix {
                site: "vod".to_owned(),
                path: "/a".to_owned(),
            },
        );
        assert_eq!(
            table.verdict(Subject::untagged(&Key::from_text("vod /\u{e9}"), &stamp(0))),
            Valid
        );
    }

    #[test]
    fn what_the_log_cannot_tell_is_suspect() {
        let table = Table::new(7);
        table.apply(at(5), &Scope::Url(key("/a")));
        table.raise_floor(at(10));
        assert_eq!(
            table.verdict(Subject::untagged(&key("/b"), &stamp(9))),
            Suspect
        );
        assert_eq!(
            table.verdict(Subject::untagged(&key("/b"), &stamp(10))),
            Valid
        );
        let other = Stamp {
            incarnation: 8,
            ..stamp(10)
        };
        assert_eq!(
            table.verdict(Subject::untagged(&key("/b"), &other)),
            Suspect
        );
        assert_eq!(
            table.stamp().position,
            at(10),
            "what is asked for now is above the floor"
        );
    }

    #[test]
    fn nothing_is_valid_while_a_log_is_being_read() {
        let table = Table::new(0);
        table.reset(7);
        table.apply(at(10), &Scope::Url(key("/a")));
        assert_eq!(
            table.verdict(Subject::untagged(&key("/b"), &stamp(10))),
            Suspect
        );
        assert_eq!(
            table.verdict(Subject::untagged(&key("/a"), &stamp(9))),
            Purged
        );
        table.raise_floor(at(5));
        table.known();
        assert_eq!(
            table.verdict(Subject::untagged(&key("/b"), &stamp(5))),
            Valid
        );
        assert_eq!(
            table.verdict(Subject::untagged(&key("/b"), &stamp(4))),
            Suspect,
            "the floor stands"
        );
        assert_eq!(
            table.verdict(Subject::untagged(&key("/a"), &stamp(9))),
            Purged
        );
        assert_eq!(
            table.verdict(Subject::untagged(&key("/a"), &Stamp::default())),
            Suspect
        );
    }

    #[test]
    fn every_change_is_seen_by_the_version() {
        let table = Table::new(7);
        let mut last = table.version();
        let mut check = |what| {
            assert!(table.version() > last, "{what}");
            last = table.version();
        };
        table.apply(at(1), &Scope::Url(key("/a")));
        check("apply");
        table.raise_floor(at(2));
        check("floor");
        table.reset(8);
        check("reset");
        table.known();
        check("known");
    }

    #[test]
    fn a_purge_here_comes_after_every_stamp_given_and_before_every_later_one() {
        let table = Table::new(0);
        let before = table.stamp();
        let first = table.apply_here(&Scope::Url(key("/a")));
        assert_eq!(
            table.verdict(Subject::untagged(&key("/a"), &before)),
            Purged
        );
        assert_eq!(
            table.verdict(Subject::untagged(&key("/a"), &table.stamp())),
            Valid
        );
        assert!(table.apply_here(&Scope::Url(key("/a"))) > first);
    }

    #[test]
    fn words_of_the_log_name_the_scope() {
        let scopes = [
            Scope::Url(Key::new("vod", "/a b", Some("x=1"))),
            Scope::Prefix {
                site: "vod".to_owned(),
                path: "/a b/".to_owned(),
            },
            Scope::Site("vod".to_owned()),
        ];
        for scope in scopes {
            let (kind, name) = scope.to_words();
            assert_eq!(Scope::from_words(kind, &name), Some(scope));
        }
        assert_eq!(Scope::from_words("moon", "x"), None);
    }

    proptest! {
        #[test]
        fn a_full_table_never_calls_valid_what_was_purged(
            purges in prop::collection::vec((0u64..40, 1u64..100), 0..60),
        ) {
            let (small, large) = (Table::bounded(7, 8), Table::new(7));
            for (name, millis) in &purges {
                let scope = Scope::Url(key(&format!("/{name}")));
                small.apply(at(*millis), &scope);
                large.apply(at(*millis), &scope);
                prop_assert!(small.len() <= 8);
            }
            for name in 0..40 {
                for millis in (0..100).step_by(7) {
                    let key = key(&format!("/{name}"));
                    let truth = large.verdict(Subject::untagged(&key, &stamp(millis)));
                    let said = small.verdict(Subject::untagged(&key, &stamp(millis)));
                    prop_assert!(said == truth || said == Suspect, "{said:?} for {truth:?}");
                }
            }
        }
    }
}
