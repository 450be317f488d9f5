//! What is purged since when: a bounded table that judges stored responses.
//!
//! Invariants: a response is [`Verdict::Valid`] only if the table knows every purge since its
//! stamp and none names it. What the table does not know (another log, a time before its floor, a
//! log not read to its end) makes responses suspect, never valid. Every change that can alter a
//! verdict raises the version after it took effect, so that who remembers a verdict with the
//! version loaded before it may reuse it while the version stands.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::limits;
use crate::metrics::METRICS;
use crate::purge::marks::{Finding, Marks};
use crate::purge::order::Order;
use crate::purge::{Position, Stamp, Subject, Verdict};

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
    marks: Marks,
    /// What was purged by logs that are lost, oldest first.
    former: VecDeque<(u64, Marks)>,
}

impl State {
    fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            position: Position::default(),
            floor: Position::default(),
            learning: false,
            marks: Marks::default(),
            former: VecDeque::new(),
        }
    }

    fn enter(&mut self, position: Position, order: &Order, entries_max: usize) {
        self.position = self.position.max(position);
        self.marks.enter(position, order);
        if self.marks.len() > entries_max {
            forget_older_half(self);
        }
    }

    fn enter_next(&mut self, order: &Order, entries_max: usize) -> Position {
        let position = self.position.next();
        self.enter(position, order, entries_max);
        position
    }

    fn verdict(&self, subject: Subject<'_>) -> Verdict {
        let stamp = subject.stamp;
        if stamp.incarnation != self.incarnation {
            return match self.is_purged_since(&subject) {
                true => Verdict::Purged,
                false => Verdict::Suspect,
            };
        }
        let is_told = !self.learning && stamp.position >= self.floor;
        match self.marks.find(&subject) {
            Finding::Hard => Verdict::Purged,
            _ if !is_told => Verdict::Suspect,
            Finding::Soft => Verdict::Softened,
            Finding::Unnamed => Verdict::Valid,
        }
    }

    /// Whether a hard purge names what was stamped by another log than this one: by that log since
    /// the stamp, or by any that came after it. A log that is unknown here came before all.
    fn is_purged_since(&self, subject: &Subject<'_>) -> bool {
        let whenever = Stamp::default();
        let named = Subject {
            stamp: &whenever,
            ..*subject
        };
        let stamped = subject.stamp.incarnation;
        let own = self.former.iter().position(|(it, _)| *it == stamped);
        let mut former = self.former.iter().skip(own.unwrap_or(0));
        self.marks.find(&named) == Finding::Hard
            || former.any(|(incarnation, marks)| {
                let is_own = *incarnation == stamped;
                marks.find(if is_own { subject } else { &named }) == Finding::Hard
            })
    }

    fn len(&self) -> usize {
        let former = self.former.iter().map(|(_, marks)| marks.len());
        self.marks.len() + former.sum::<usize>()
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

    /// Enters a purge. In which sequence does not matter; entering one twice changes nothing.
    pub fn apply(&self, position: Position, order: &Order) {
        self.change(|state| state.enter(position, order, self.entries_max));
    }

    /// Enters a purge at the next place of this node alone, for as long as there is no log to say.
    pub fn apply_here(&self, order: &Order) -> Position {
        self.change(|state| state.enter_next(order, self.entries_max))
    }

    /// Enters the purge of what a response replaces, as [`Table::apply_here`] does, and gives the
    /// stamp under which that response may be stored: that of the purge, where no other one has
    /// concerned it since its own stamp.
    pub fn supersede(&self, subject: Subject<'_>, order: &Order) -> Option<Stamp> {
        self.change(|state| {
            let is_current = state.verdict(subject) == Verdict::Valid;
            let position = state.enter_next(order, self.entries_max);
            is_current.then_some(Stamp {
                incarnation: state.incarnation,
                position,
            })
        })
    }

    /// Moves the floor up: what was asked for before `floor` becomes suspect.
    pub fn raise_floor(&self, floor: Position) {
        self.change(|state| {
            if floor > state.floor {
                state.floor = floor;
                state.position = state.position.max(floor);
                state.marks.forget(floor);
                METRICS.purge_floor_raises.inc();
            }
        });
    }

    /// Begins to learn another log: everything is suspect until [`Table::known`], but for what the
    /// log before it has purged, which no origin's 304 brings back.
    pub fn reset(&self, incarnation: u64) {
        self.change(|state| {
            let next = State::new(incarnation);
            let State {
                incarnation,
                marks,
                mut former,
                ..
            } = std::mem::replace(state, next);
            if marks.len() > 0 {
                former.push_back((incarnation, marks));
            }
            if former.len() > limits::PURGE_LOGS_MAX {
                former.pop_front();
            }
            state.former = former;
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
    ///
    /// What the log cannot tell of is suspect also where a soft purge names it: a hard one may be
    /// among those forgotten, and what is softened may be served before it is confirmed.
    #[must_use]
    pub fn verdict(&self, subject: Subject<'_>) -> Verdict {
        self.read().verdict(subject)
    }

    /// Number of purges remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether no purge is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.write();
        let result = change(&mut state);
        let entries = i64::try_from(state.len()).unwrap_or(i64::MAX);
        METRICS.purge_entries.set(entries);
        self.version.fetch_add(1, Ordering::Release);
        result
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room: what was asked for before the middle purge becomes suspect, and in return purges up
/// to there need not be remembered.
fn forget_older_half(state: &mut State) {
    let Some(floor) = state.marks.middle() else {
        return;
    };
    state.marks.forget(floor);
    state.floor = state.floor.max(floor);
    METRICS.purge_floor_raises.inc();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tags::Tag;
    use crate::http::vary::Variant;
    use crate::key::Key;
    use crate::purge::Verdict::{Purged, Softened, Suspect, Valid};
    use crate::purge::order::{Mode, Scope};
    use proptest::prelude::prop;
    use proptest::{prop_assert, prop_assert_eq, proptest};

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

    fn prefix(path: &str) -> Scope {
        let (site, path) = ("vod".to_owned(), path.to_owned());
        Scope::Prefix { site, path }
    }

    fn tag(site: &str, name: &str) -> Scope {
        let (site, name) = (site.to_owned(), name.to_owned());
        Scope::Tag { site, name }
    }

    fn site(name: &str) -> Scope {
        Scope::Site(name.to_owned())
    }

    #[test]
    fn what_replaces_a_response_outlives_its_own_purge_and_no_other() {
        let (table, key) = (Table::new(7), key("/a"));
        let order = Scope::Url(key.clone()).hard();
        let before = table.stamp();
        table.apply_here(&Scope::Url(Key::new("vod", "/b", None)).hard());
        let stamp = table.supersede(Subject::untagged(&key, &before), &order);
        let stamp = stamp.unwrap();
        assert_eq!(table.verdict(Subject::untagged(&key, &stamp)), Valid);
        assert_eq!(table.verdict(Subject::untagged(&key, &before)), Purged);
        let again = table.supersede(Subject::untagged(&key, &before), &order);
        assert_eq!(again, None, "another purge named it meanwhile");
    }

    #[test]
    fn a_purge_concerns_what_was_asked_for_before_it() {
        let tags = [Tag::of("vod", b"one"), Tag::of("vod", b"two")];
        let cases = [
            (Scope::Url(key("/a/b")), "/a/b", true),
            (Scope::Url(key("/a/b")), "/a", false),
            (Scope::Url(key("/a/b")), "/a/bc", false),
            (prefix("/a/"), "/a/b", true),
            (prefix("/a/"), "/a", false),
            (prefix("/a/"), "/b/a/", false),
            (prefix("/"), "/x", true),
            (site("vod"), "/x", true),
            (site("live"), "/x", false),
            (tag("vod", "two"), "/x", true),
            (tag("vod", "three"), "/x", false),
            (tag("live", "one"), "/x", false),
        ];
        for (scope, path, named) in cases {
            let (key, before) = (key(path), stamp(9));
            for (order, verdict) in [(scope.clone().hard(), Purged), (scope.soft(), Softened)] {
                let table = Table::new(7);
                table.apply(at(10), &order);
                for key in [&key, &key.variant(Variant(1))] {
                    let judge = |stamp| {
                        table.verdict(Subject {
                            key,
                            tags: &tags,
                            stamp,
                        })
                    };
                    let expected = if named { verdict } else { Valid };
                    assert_eq!(judge(&before), expected, "{order}: {key}");
                    assert_eq!(judge(&stamp(10)), Valid, "{order}: {key}");
                }
            }
        }
    }

    #[test]
    fn a_hard_purge_outdoes_a_soft_one_whichever_comes_first() {
        for (hard, soft) in [(10, 20), (20, 10)] {
            let table = Table::new(7);
            table.apply(at(hard), &Scope::Url(key("/a")).hard());
            table.apply(at(soft), &site("vod").soft());
            let verdict = |millis| table.verdict(Subject::untagged(&key("/a"), &stamp(millis)));
            assert_eq!(verdict(9), Purged);
            assert_eq!(verdict(15), if hard > soft { Purged } else { Softened });
            assert_eq!(verdict(20), Valid);
        }
    }

    #[test]
    fn what_is_older_than_the_floor_is_not_served_as_softened() {
        let table = Table::new(7);
        table.apply(at(5), &Scope::Url(key("/a")).hard());
        table.raise_floor(at(10));
        table.apply(at(20), &site("vod").soft());
        let verdict = |millis| table.verdict(Subject::untagged(&key("/a"), &stamp(millis)));
        assert_eq!((verdict(4), verdict(10)), (Suspect, Softened));
    }

    #[test]
    fn a_forgotten_prefix_is_forgotten_with_its_length() {
        let table = Table::new(7);
        table.apply(at(5), &prefix("/a/").hard());
        table.raise_floor(at(5));
        table.apply(at(6), &prefix("/a/b/").hard());
        let verdict = |path| table.verdict(Subject::untagged(&key(path), &stamp(5)));
        assert_eq!((verdict("/a/c"), verdict("/a/b/c")), (Valid, Purged));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_prefix_that_would_split_a_character_matches_nothing_and_does_not_panic() {
        let table = Table::new(7);
        table.apply(at(1), &prefix("/a").hard());
        assert_eq!(
            table.verdict(Subject::untagged(&Key::from_text("vod /\u{e9}"), &stamp(0))),
            Valid
        );
    }

    #[test]
    fn what_the_log_cannot_tell_is_suspect() {
        let table = Table::new(7);
        table.apply(at(5), &Scope::Url(key("/a")).hard());
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
        table.apply(at(10), &Scope::Url(key("/a")).hard());
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
            table.verdict(Subject::untagged(&key("/b"), &Stamp::default())),
            Suspect
        );
        assert_eq!(
            table.verdict(Subject::untagged(&key("/a"), &Stamp::default())),
            Purged,
            "no 304 brings it back"
        );
    }

    #[test]
    fn what_was_purged_stays_so_when_the_log_is_lost() {
        let table = Table::new(7);
        table.apply(at(10), &Scope::Url(key("/a")).hard());
        table.apply(at(10), &Scope::Url(key("/b")).soft());
        let judge = |path: &str, stamp| table.verdict(Subject::untagged(&key(path), &stamp));
        for incarnation in (8..).take(limits::PURGE_LOGS_MAX) {
            table.reset(incarnation);
            assert_eq!(judge("/a", stamp(9)), Purged, "{incarnation}");
            assert_eq!(judge("/a", stamp(10)), Suspect, "asked for after it");
            assert_eq!(judge("/b", stamp(9)), Suspect, "soft");
            table.known();
            let path = format!("/{incarnation}");
            assert_eq!(judge(&path, stamp(9)), Suspect);
            table.apply(at(20), &Scope::Url(key(&path)).hard());
            assert_eq!(judge(&path, stamp(9)), Purged, "by a later log");
        }
        assert_eq!(
            judge("/8", stamp(9)),
            Purged,
            "by a later log that is lost as well"
        );
        table.reset(99);
        assert_eq!(judge("/a", stamp(9)), Suspect, "lost too often");
        assert!(table.read().former.len() <= limits::PURGE_LOGS_MAX);
    }

    #[test]
    fn every_change_is_seen_by_the_version() {
        let table = Table::new(7);
        let mut last = table.version();
        let mut check = |what| {
            assert!(table.version() > last, "{what}");
            last = table.version();
        };
        table.apply(at(1), &Scope::Url(key("/a")).hard());
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
        let first = table.apply_here(&Scope::Url(key("/a")).hard());
        assert_eq!(
            table.verdict(Subject::untagged(&key("/a"), &before)),
            Purged
        );
        assert_eq!(
            table.verdict(Subject::untagged(&key("/a"), &table.stamp())),
            Valid
        );
        assert!(table.apply_here(&Scope::Url(key("/a")).hard()) > first);
    }

    /// Every order ever entered, looked through one by one.
    fn truth(orders: &[(u64, Order)], subject: Subject<'_>) -> Verdict {
        let names = |scope: &Scope| match scope {
            Scope::Url(key) => key == subject.key,
            Scope::Prefix { site, path } => {
                site == subject.key.site() && subject.key.path().starts_with(path)
            }
            Scope::Site(site) => site == subject.key.site(),
            Scope::Tag { site, name } => subject.tags.contains(&Tag::of(site, name.as_bytes())),
        };
        let since = subject.stamp.position;
        let newer = |mode: Mode| {
            let mut orders = orders.iter();
            orders.any(|(millis, order)| {
                order.mode == mode && at(*millis) > since && names(&order.scope)
            })
        };
        match (newer(Mode::Hard), newer(Mode::Soft)) {
            (true, _) => Purged,
            (false, true) => Softened,
            (false, false) => Valid,
        }
    }

    /// One of few orders, so that they meet.
    fn order(kind: u8, name: u8, mode: Mode) -> Order {
        let site_name = if name.is_multiple_of(2) {
            "vod"
        } else {
            "live"
        };
        let scope = match kind {
            0 => Scope::Url(key(&format!("/{}/{}", name / 3, name % 3))),
            1 => prefix(&format!("/{name}/")),
            2 => tag("vod", &name.to_string()),
            _ => site(site_name),
        };
        Order { scope, mode }
    }

    proptest! {
        #[test]
        fn a_full_table_never_calls_valid_what_was_purged(
            purges in prop::collection::vec((0u8..4, 0u8..12, prop::bool::ANY, 1u64..100), 0..80),
        ) {
            let mode = |soft| if soft { Mode::Soft } else { Mode::Hard };
            let orders: Vec<_> = purges
                .into_iter()
                .map(|(kind, name, soft, millis)| (millis, order(kind, name, mode(soft))))
                .collect();
            let (small, large) = (Table::bounded(7, 8), Table::new(7));
            for (millis, order) in &orders {
                small.apply(at(*millis), order);
                large.apply(at(*millis), order);
                prop_assert!(small.len() <= 8);
            }
            for name in 0..12u8 {
                let key = key(&format!("/{}/{}", name / 3, name % 3));
                let tags = [Tag::of("vod", name.to_string().as_bytes())];
                for millis in (0..100).step_by(7) {
                    let stamp = stamp(millis);
                    let subject = Subject { key: &key, tags: &tags, stamp: &stamp };
                    let expected = truth(&orders, subject);
                    let said = small.verdict(subject);
                    prop_assert!(said == expected || said == Suspect, "{said:?}, not {expected:?}");
                    prop_assert_eq!(large.verdict(subject), expected);
                }
            }
        }
    }
}
