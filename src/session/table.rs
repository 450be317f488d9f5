//! A bounded table: who was not met for longest goes first. Pure.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::clock::UnixMillis;

/// A key: a keyed hash, so that nobody outside can choose where it falls.
type Name = [u8; 16];

/// A table of `most` entries.
#[derive(Debug)]
pub struct Table<V> {
    entries: HashMap<Name, Entry<V>>,
    /// Keys by the turn in which they were met last.
    order: BTreeMap<u64, Name>,
    turn: u64,
    most: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    seen: UnixMillis,
    turn: u64,
}

impl<V> Table<V> {
    /// Makes an empty table.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            turn: 0,
            most,
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks at an entry without meeting it.
    #[must_use]
    pub fn peek(&self, name: &Name) -> Option<&V> {
        self.entries.get(name).map(|entry| &entry.value)
    }

    /// When an entry was met last.
    #[must_use]
    pub fn seen(&self, name: &Name) -> Option<UnixMillis> {
        self.entries.get(name).map(|entry| entry.seen)
    }

    /// Changes an entry without meeting it.
    pub fn peek_mut(&mut self, name: &Name) -> Option<&mut V> {
        self.entries.get_mut(name).map(|entry| &mut entry.value)
    }

    /// Meets an entry, which is made where there is none; the second value is what had to go.
    pub fn meet(
        &mut self,
        name: Name,
        now: UnixMillis,
        make: impl FnOnce() -> V,
    ) -> (&mut V, Option<V>) {
        let gone = match self.entries.contains_key(&name) || self.entries.len() < self.most {
            true => None,
            false => self.pop_first(),
        };
        self.turn += 1;
        let turn = self.turn;
        let entry = self.entries.entry(name).or_insert_with(|| Entry {
            value: make(),
            seen: now,
            turn,
        });
        self.order.remove(&entry.turn);
        self.order.insert(turn, name);
        entry.turn = turn;
        entry.seen = entry.seen.max(now);
        (&mut entry.value, gone)
    }

    /// Removes and returns the entry met longest ago, if that was before `before`.
    pub fn pop_before(&mut self, before: UnixMillis) -> Option<V> {
        let (_, name) = self.order.first_key_value()?;
        let entry = self.entries.get(name)?;
        (entry.seen < before).then(|| self.pop_first())?
    }

    /// Removes and returns the entry met longest ago.
    pub fn pop_first(&mut self) -> Option<V> {
        let (_, name) = self.order.pop_first()?;
        self.entries.remove(&name).map(|entry| entry.value)
    }

    /// Removes and returns an entry.
    pub fn remove(&mut self, name: &Name) -> Option<V> {
        let entry = self.entries.remove(name)?;
        self.order.remove(&entry.turn);
        Some(entry.value)
    }

    /// The first entry after turn `after` that was met before `before`: its turn and its name.
    #[must_use]
    pub fn silent(&self, after: u64, before: UnixMillis) -> Option<(u64, Name)> {
        let later = (Bound::Excluded(after), Bound::Unbounded);
        let (turn, name) = self.order.range(later).next()?;
        let entry = self.entries.get(name)?;
        (entry.seen < before).then_some((*turn, *name))
    }

    /// Entries, the one met last first, with their names and when they were met.
    pub fn latest(&self) -> impl Iterator<Item = (&Name, &V, UnixMillis)> {
        self.order.values().rev().filter_map(|name| {
            let entry = self.entries.get(name)?;
            Some((name, &entry.value, entry.seen))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(index: u8) -> Name {
        [index; 16]
    }

    fn names<V>(table: &Table<V>) -> Vec<u8> {
        table.latest().map(|(name, _, _)| name[0]).collect()
    }

    #[test]
    fn a_full_table_loses_who_was_met_longest_ago() {
        let mut table = Table::new(3);
        for index in 1..=3 {
            let (_, gone) = table.meet(name(index), UnixMillis(u64::from(index)), || index);
            assert_eq!(gone, None);
        }
        table.meet(name(1), UnixMillis(4), || 9);
        let (value, gone) = table.meet(name(4), UnixMillis(5), || 4);
        assert_eq!((*value, gone), (4, Some(2)));
        assert_eq!(names(&table), [4, 1, 3]);
        assert_eq!(table.peek(&name(1)), Some(&1), "it was not made anew");
        for index in 0..200 {
            table.meet(name(index), UnixMillis(6), || index);
            assert!(table.len() <= 3 && table.order.len() == table.len());
        }
    }

    #[test]
    fn the_silent_are_found_in_turn_and_go() {
        let mut table = Table::new(8);
        for index in 1..=4_u8 {
            table.meet(name(index), UnixMillis(u64::from(index)), || index);
        }
        let (turn, first) = table.silent(0, UnixMillis(3)).unwrap();
        assert_eq!(first, name(1));
        let (turn, second) = table.silent(turn, UnixMillis(3)).unwrap();
        assert_eq!(second, name(2));
        assert_eq!(table.silent(turn, UnixMillis(3)), None);
        assert_eq!(table.pop_before(UnixMillis(2)), Some(1));
        assert_eq!(table.pop_before(UnixMillis(2)), None);
        assert_eq!(names(&table), [4, 3, 2]);
        *table.peek_mut(&name(2)).unwrap() = 7;
        assert_eq!(table.seen(&name(2)), Some(UnixMillis(2)));
        assert_eq!(names(&table), [4, 3, 2], "looking is not meeting");
        assert_eq!(
            (table.remove(&name(3)), table.remove(&name(3))),
            (Some(3), None)
        );
        assert_eq!(names(&table), [4, 2]);
        assert_eq!((table.pop_first(), table.pop_first()), (Some(7), Some(4)));
        assert!(table.is_empty() && table.order.is_empty());
    }
}
