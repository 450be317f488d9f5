//! What a filter leaves of an MPD: made once, for all clients whom it is for.
//!
//! Leaving out one rung of each of many periods takes several times what it takes to copy what
//! stays. But few filters are in use at a time: the operator's, and one for each rung that bounds
//! what clients get.
//!
//! Invariant: changes are in the order of the text and do not overlap.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::edits::Edits;
use crate::limits::MPD_FILTERS_MAX;
use crate::manifest::plan::Kept;

/// What is left of a text.
#[derive(Debug)]
pub(super) struct Filtered {
    text: String,
    changes: Vec<Change>,
}

/// A span of the whole text in place of which there is another one, or none.
#[derive(Debug)]
struct Change {
    span: Range<usize>,
    /// Where what follows the span has come to be.
    end: usize,
}

impl Filtered {
    /// Makes the edits of a filter; `None` where there are none.
    pub(super) fn new(text: &str, mut edits: Edits<'_>) -> Option<Self> {
        let mut changes = Vec::new();
        let mut at = 0;
        let mut end = 0_usize;
        for (span, inserted) in edits.in_order() {
            end = end.saturating_add(span.start.saturating_sub(at));
            end = end.saturating_add(inserted.len());
            at = span.end;
            changes.push(Change { span, end });
        }
        if changes.is_empty() {
            return None;
        }
        let text = String::from_utf8(edits.make(text)).ok()?;
        Some(Self { text, changes })
    }

    /// What is left.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where the places of the whole text have come to be.
    pub(super) fn places(&self) -> Places<'_> {
        Places {
            changes: &self.changes,
            from: 0,
            to: 0,
        }
    }
}

/// Finds places of a whole text in what is left of it, one behind the other.
#[derive(Debug)]
pub(super) struct Places<'f> {
    /// Those that are not before the place of the last call.
    changes: &'f [Change],
    /// The end of the change before it.
    from: usize,
    /// Where that has come to be.
    to: usize,
}

impl Places<'_> {
    /// Where a place is that is not before that of the last call; `None` where it is gone.
    pub(super) fn find(&mut self, place: usize) -> Option<usize> {
        while let Some((change, rest)) = self.changes.split_first()
            && change.span.end <= place
        {
            self.from = change.span.end;
            self.to = change.end;
            self.changes = rest;
        }
        let is_gone = |change: &Change| change.span.start < place;
        if self.changes.first().is_some_and(is_gone) {
            return None;
        }
        Some(self.to.saturating_add(place.checked_sub(self.from)?))
    }
}

/// What the last few filters left, the one asked for last in front.
#[derive(Debug, Default)]
pub(super) struct Filters(Mutex<VecDeque<Filter>>);

/// What stays, and what that leaves where it is not all.
type Filter = (Kept, Option<Arc<Filtered>>);

impl Filters {
    /// What is left where this is `kept`: as remembered, or as it is made.
    pub(super) fn left(
        &self,
        kept: &Kept,
        make: impl FnOnce() -> Option<Filtered>,
    ) -> Option<Arc<Filtered>> {
        if let Some(left) = self.find(kept) {
            return left;
        }
        let left = make().map(Arc::new);
        let mut list = self.lock();
        list.truncate(MPD_FILTERS_MAX.saturating_sub(1));
        list.push_front((kept.clone(), left.clone()));
        left
    }

    fn find(&self, kept: &Kept) -> Option<Option<Arc<Filtered>>> {
        let mut list = self.lock();
        let at = list.iter().position(|(known, _)| known == kept)?;
        let found = list.remove(at)?;
        let left = found.1.clone();
        list.push_front(found);
        Some(left)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Filter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_where_they_have_come_to_be() {
        let mut edits = Edits::default();
        edits.cut(2..4);
        edits.replace(6..7, "xyz");
        edits.cut(3..4);
        let filtered = Filtered::new("0123456789", edits).unwrap();
        assert_eq!(filtered.text(), "0145xyz789");
        let mut places = filtered.places();
        let found: Vec<_> = (0..=10).map(|place| places.find(place)).collect();
        let expected = [
            Some(0),
            Some(1),
            Some(2),
            None,
            Some(2),
            Some(3),
            Some(4),
            Some(7),
            Some(8),
            Some(9),
            Some(10),
        ];
        assert_eq!(found, expected);
        assert!(Filtered::new("0", Edits::default()).is_none());
    }

    #[test]
    fn edits_are_made_in_what_is_left() {
        let mut filter = Edits::default();
        filter.cut(2..5);
        let filtered = Filtered::new("0123456789", filter).unwrap();
        let mut edits = Edits::default();
        edits.replace(8..9, "end");
        edits.put("~", [0, 2, 3, 5, 7, 9].into_iter());
        edits.replace(3..4, "gone");
        edits.replace(2..2, "before ");
        edits.replace(4..6, "half gone");
        edits.replace(5..5, " behind");
        edits.follow(&filtered);
        assert_eq!(edits.make(filtered.text()), b"~01before  behind~~56~7end~9");
    }

    #[test]
    fn a_few_filters_are_remembered() {
        let filters = Filters::default();
        let kept = |bits: usize| Kept {
            rungs: (0..8).map(|bit| bits >> bit & 1 == 1).collect(),
            renditions: Vec::new(),
        };
        let made = |bits: usize| {
            let mut is_made = false;
            let left = filters.left(&kept(bits), || {
                is_made = true;
                let mut edits = Edits::default();
                edits.cut(0..bits);
                Filtered::new("0123456789", edits)
            });
            let length = left.map_or(10, |left| left.text().len());
            assert_eq!(length, 10 - bits, "another filter's");
            is_made
        };
        for bits in 1..=MPD_FILTERS_MAX {
            assert!(made(bits) && !made(bits), "{bits}");
        }
        assert!(!made(1), "it is the oldest, and asked for again");
        assert!(made(MPD_FILTERS_MAX + 1));
        assert!(!made(1), "asked for after the second");
        assert!(made(2), "pushed out");
    }
}
