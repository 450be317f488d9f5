//! What a filter leaves of an MPD: made once, for all clients whom it is for.
//!
//! Leaving out one rung of each of many periods takes several times what it takes to copy what
//! stays. But few filters are in use at a time: the operator's, and one for each rung that bounds
//! what clients get.
//!
//! Invariant: changes are in the order of the text and do not overlap.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::edits::Edits;
use crate::limits::MPD_FILTERS_MAX;
use crate::manifest::plan::Kept;

/// What is left of a text.
#[derive(Debug)]
pub(super) struct Filtered {
    /// `None` where that is all.
    text: Option<Box<str>>,
    changes: Box<[Change]>,
}

/// A span of the whole text in place of which there is another one, or none.
#[derive(Debug)]
struct Change {
    span: Range<usize>,
    /// Where what follows the span has come to be.
    end: usize,
}

impl Filtered {
    /// Makes the edits of a filter.
    pub(super) fn new(text: &str, mut edits: Edits<'_>) -> Self {
        let mut at = 0;
        let mut end = 0_usize;
        let change = |(span, inserted): (Range<usize>, &str)| {
            end = end.saturating_add(span.start.saturating_sub(at));
            end = end.saturating_add(inserted.len());
            at = span.end;
            Change { span, end }
        };
        let changes: Box<[Change]> = edits.in_order().map(change).collect();
        let left = (!changes.is_empty()).then(|| edits.make(text).into_boxed_str());
        Self {
            text: left,
            changes,
        }
    }

    /// What is left; `None` where that is all.
    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Finds where places of the whole text have come to be.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor {
            changes: &self.changes,
            from: 0,
            to: 0,
        }
    }
}

/// Finds places of a whole text in what is left of it, one behind the other.
#[derive(Debug)]
pub(super) struct Cursor<'f> {
    /// Those that are not before the place of the last call.
    changes: &'f [Change],
    /// The end of the change before it.
    from: usize,
    /// Where that has come to be.
    to: usize,
}

impl Cursor<'_> {
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

/// What the last few filters left, the one asked for last at the end.
#[derive(Debug, Default)]
pub(super) struct Filters(Mutex<Vec<Arc<Known>>>);

/// What a filter left.
#[derive(Debug)]
pub(super) struct Known {
    kept: Kept,
    /// What is left where that is kept.
    pub(super) left: Filtered,
}

impl Filters {
    /// What is left where this is `kept`: as remembered, or as it is made.
    pub(super) fn left(&self, kept: &Kept, make: impl FnOnce() -> Filtered) -> Arc<Known> {
        if let Some(known) = find(&mut self.lock(), kept) {
            return known;
        }
        let made = Arc::new(Known {
            kept: kept.clone(),
            left: make(),
        });
        let mut list = self.lock();
        // Others may have made it meanwhile.
        if let Some(known) = find(&mut list, kept) {
            return known;
        }
        list.push(Arc::clone(&made));
        let is_full = list.len() > MPD_FILTERS_MAX;
        let oldest = is_full.then(|| list.remove(0));
        drop(list);
        drop(oldest);
        made
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds what is known of a filter, and puts it last.
fn find(list: &mut [Arc<Known>], kept: &Kept) -> Option<Arc<Known>> {
    let at = list.iter().position(|known| known.kept == *kept)?;
    list.get_mut(at..)?.rotate_left(1);
    list.last().cloned()
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
        let filtered = Filtered::new("0123456789", edits);
        assert_eq!(filtered.text(), Some("0145xyz789"));
        let mut cursor = filtered.cursor();
        let found: Vec<_> = (0..=10).map(|place| cursor.find(place)).collect();
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
        let whole = Filtered::new("0", Edits::default());
        assert_eq!(whole.text(), None);
    }

    #[test]
    fn edits_are_made_in_what_is_left() {
        let mut filter = Edits::default();
        filter.cut(2..5);
        let filtered = Filtered::new("0123456789", filter);
        let mut edits = Edits::default();
        edits.replace(8..9, "end");
        edits.prefix("~", vec![0, 2, 3, 5, 7, 9]);
        edits.replace(3..4, "gone");
        edits.replace(2..2, "before ");
        edits.replace(4..6, "half gone");
        edits.replace(5..5, " behind");
        edits.follow(&filtered);
        let written = edits.make(filtered.text().unwrap());
        assert_eq!(written, "~01before  behind~~56~7end~9");
    }

    /// What stays by the filter of this number.
    fn kept(number: usize) -> Kept {
        Kept {
            rungs: (0..8).map(|bit| number >> bit & 1 == 1).collect(),
            renditions: Vec::new(),
        }
    }

    fn filtered(number: usize) -> Filtered {
        let mut edits = Edits::default();
        edits.cut(0..number);
        Filtered::new("0123456789", edits)
    }

    /// Whether what is left by a filter had to be made.
    fn makes(filters: &Filters, number: usize) -> bool {
        let mut is_made = false;
        let known = filters.left(&kept(number), || {
            is_made = true;
            filtered(number)
        });
        let length = known.left.text().map(str::len);
        assert_eq!(length, Some(10 - number), "another filter's");
        is_made
    }

    #[test]
    fn a_few_filters_are_remembered() {
        let filters = Filters::default();
        for number in 1..=MPD_FILTERS_MAX {
            assert!(
                makes(&filters, number) && !makes(&filters, number),
                "{number}"
            );
        }
        assert!(!makes(&filters, 1), "it is the oldest, and asked for again");
        assert!(makes(&filters, MPD_FILTERS_MAX + 1));
        assert!(!makes(&filters, 1), "asked for after the second");
        assert!(makes(&filters, 2), "pushed out");
    }

    #[test]
    fn who_makes_the_same_at_once_takes_one_place() {
        let filters = Filters::default();
        for number in 2..=MPD_FILTERS_MAX {
            makes(&filters, number);
        }
        let known = filters.left(&kept(1), || {
            assert!(makes(&filters, 1), "by another one meanwhile");
            filtered(1)
        });
        assert_eq!(known.left.text(), Some("123456789"));
        assert!((1..=MPD_FILTERS_MAX).all(|number| !makes(&filters, number)));
    }
}
