//! The sessions of a node: those with signed ids, and those that nothing vouches for. Pure.
//!
//! Both share one bound. A session that nothing vouches for takes what is free, and else the place
//! of one of its like; one with a signed id takes the place of such a one too, until none but the
//! reserve is left. Invariant: whoever makes names up pushes nobody out who has a signed id.
//!
//! This holds against names, which cost nothing, and no further. A signed id costs one GET of a
//! manifest: whoever fetches as many as there are places pushes everybody out. And where sessions
//! go by connection all are such that nothing vouches for, so made-up names push them out, too.

use crate::clock::UnixMillis;
use crate::session::table::Table;
use crate::session::who::Who;

/// A table of `most` sessions.
#[derive(Debug)]
pub struct Roster<V> {
    signed: Half<V>,
    claimed: Half<V>,
    most: usize,
    signed_most: usize,
}

#[derive(Debug)]
struct Half<V> {
    table: Table<V>,
    /// The last turn of those that were found silent.
    silent: u64,
}

impl<V> Half<V> {
    fn new(most: usize) -> Self {
        Self {
            table: Table::new(most),
            silent: 0,
        }
    }

    fn next_silent(&mut self, before: UnixMillis) -> Option<Who> {
        let (turn, name) = self.table.silent(self.silent, before)?;
        self.silent = turn;
        Some(Who(name))
    }
}

impl<V> Roster<V> {
    /// Makes an empty one of `most` sessions, `claimed_min` of which have no signed id when it is
    /// full. That is at least 1, and less than `most`.
    #[must_use]
    pub fn new(most: usize, claimed_min: usize) -> Self {
        let signed_most = most.saturating_sub(claimed_min);
        Self {
            signed: Half::new(signed_most),
            claimed: Half::new(most),
            most,
            signed_most,
        }
    }

    fn half(&self, who: Who) -> &Half<V> {
        match who.is_signed() {
            true => &self.signed,
            false => &self.claimed,
        }
    }

    fn half_mut(&mut self, who: Who) -> &mut Half<V> {
        match who.is_signed() {
            true => &mut self.signed,
            false => &mut self.claimed,
        }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.signed.table.len() + self.claimed.table.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks at a session without meeting it.
    #[must_use]
    pub fn peek(&self, who: Who) -> Option<&V> {
        self.half(who).table.peek(&who.0)
    }

    /// Changes a session without meeting it.
    pub fn peek_mut(&mut self, who: Who) -> Option<&mut V> {
        self.half_mut(who).table.peek_mut(&who.0)
    }

    /// When a session was met last.
    #[must_use]
    pub fn seen(&self, who: Who) -> Option<UnixMillis> {
        self.half(who).table.seen(&who.0)
    }

    /// Meets a session, which is made where there is none; the second value is what had to go.
    pub fn meet(
        &mut self,
        who: Who,
        now: UnixMillis,
        make: impl FnOnce() -> V,
    ) -> (&mut V, Option<V>) {
        let is_full = self.len() >= self.most && self.peek(who).is_none();
        // At its own bound the half of the signed makes room by itself.
        let yields = !who.is_signed() || self.signed.table.len() < self.signed_most;
        let yielded = match is_full && yields {
            true => self.claimed.table.pop_first(),
            false => None,
        };
        let (value, gone) = self.half_mut(who).table.meet(who.0, now, make);
        (value, yielded.or(gone))
    }

    /// Removes and returns a session.
    pub fn remove(&mut self, who: Who) -> Option<V> {
        self.half_mut(who).table.remove(&who.0)
    }

    /// Removes and returns a session that was not met since `before`.
    pub fn pop_before(&mut self, before: UnixMillis) -> Option<V> {
        let signed = self.signed.table.pop_before(before);
        signed.or_else(|| self.claimed.table.pop_before(before))
    }

    /// A session that was not met since `before`, each once for each time that it fell silent.
    pub fn next_silent(&mut self, before: UnixMillis) -> Option<Who> {
        let signed = self.signed.next_silent(before);
        signed.or_else(|| self.claimed.next_silent(before))
    }

    /// Sessions met since `since`, `most` at most, the latest first, and when they were met.
    #[must_use]
    pub fn latest(&self, since: UnixMillis, most: usize) -> Vec<(&V, UnixMillis)> {
        let halves = [&self.signed, &self.claimed].into_iter();
        let late = halves.flat_map(|half| {
            let late = half.table.latest().map(|(_, value, seen)| (value, seen));
            late.take_while(|(_, seen)| *seen >= since).take(most)
        });
        let mut both: Vec<_> = late.collect();
        both.sort_by_key(|(_, seen)| std::cmp::Reverse(*seen));
        both.truncate(most);
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::holdout::Arm;

    fn signed(index: u8) -> Who {
        Who::signed([index; 16], Arm::Hinted)
    }

    fn claimed(index: u8) -> Who {
        Who::claimed([index; 16], Arm::Hinted)
    }

    fn meet(roster: &mut Roster<Who>, who: Who, at: u64) -> Option<Who> {
        let (_, gone) = roster.meet(who, UnixMillis(at), || who);
        assert!(roster.len() <= roster.most);
        gone
    }

    fn latest(roster: &Roster<Who>, since: u64, most: usize) -> Vec<Who> {
        let latest = roster.latest(UnixMillis(since), most);
        latest.into_iter().map(|(who, _)| *who).collect()
    }

    #[test]
    fn names_that_are_made_up_push_out_none_that_is_signed() {
        let mut roster = Roster::new(8, 2);
        for index in 1..=4 {
            assert_eq!(meet(&mut roster, signed(index), 1), None);
        }
        for index in 1..=100 {
            let gone = meet(&mut roster, claimed(index), 2);
            let expected = index.checked_sub(4).filter(|index| *index > 0);
            assert_eq!(gone, expected.map(claimed), "what is free, then the first");
        }
        assert!((1..=4).all(|index| roster.peek(signed(index)).is_some()));
    }

    #[test]
    fn the_signed_take_the_place_of_others_but_for_the_reserve() {
        let mut roster = Roster::new(8, 2);
        for index in 1..=8 {
            meet(&mut roster, claimed(index), 1);
        }
        let gone: Vec<_> = (1..=8)
            .map(|index| meet(&mut roster, signed(index), 2))
            .collect();
        let first = (1..=6).map(claimed).chain([signed(1), signed(2)]);
        assert_eq!(gone, first.map(Some).collect::<Vec<_>>());
        assert_eq!(meet(&mut roster, signed(8), 3), None, "it is known");
        assert_eq!(meet(&mut roster, claimed(9), 3), Some(claimed(7)));
    }

    #[test]
    fn both_kinds_are_listed_found_silent_and_forgotten() {
        let mut roster = Roster::new(8, 2);
        assert!(roster.is_empty());
        let all = [signed(1), claimed(2), signed(3), claimed(4)];
        for (who, at) in all.into_iter().zip(1..) {
            meet(&mut roster, who, at);
        }
        assert_eq!(
            latest(&roster, 0, 9),
            [claimed(4), signed(3), claimed(2), signed(1)]
        );
        assert_eq!(latest(&roster, 2, 2), [claimed(4), signed(3)]);
        assert_eq!(latest(&roster, 4, 9), [claimed(4)]);
        let before = UnixMillis(4);
        let mut silent: Vec<_> = std::iter::from_fn(|| roster.next_silent(before)).collect();
        silent.sort_by_key(|who| who.0);
        assert_eq!(silent, [signed(1), claimed(2), signed(3)]);
        assert_eq!(roster.remove(claimed(2)), Some(claimed(2)));
        let gone: Vec<_> = std::iter::from_fn(|| roster.pop_before(before)).collect();
        assert_eq!((gone, roster.len()), (vec![signed(1), signed(3)], 1));
        assert_eq!(roster.seen(claimed(4)), Some(UnixMillis(4)));
        assert_eq!(roster.seen(signed(4)), None, "another name");
    }
}
