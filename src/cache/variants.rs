//! Which fields select among the variants of an object (RFC 9111 section 4.1).
//!
//! The first variant lies under the object's own key, the others under keys that name them. Any of
//! them tells by which fields they differ; what is learnt here spares the look at the first one,
//! which may have been evicted. Lost knowledge costs a look into Redis or a fetch, never a wrong
//! answer: each stored response says itself which requests it answers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::forward::Fields;
use crate::http::vary::Selection;
use crate::key::Key;
use crate::limits::VARIED_MAX;

/// What is known of objects that vary.
#[derive(Default)]
pub struct Variants {
    by_primary: Mutex<HashMap<Key, Varied>>,
}

struct Varied {
    selection: Arc<Selection>,
    /// Variants beside the first one, oldest first.
    kept: VecDeque<Key>,
}

impl Variants {
    /// Names the variant that a request for `primary` selects; `None` when the object is not known
    /// to vary.
    #[must_use]
    pub fn slot(&self, primary: &Key, fields: &Fields) -> Option<Key> {
        let table = self.table();
        let varied = table.get(primary)?;
        Some(primary.variant(varied.selection.variant(fields)))
    }

    /// Whether the object is known to vary by the fields of `selection`.
    #[must_use]
    pub fn is_known(&self, primary: &Key, selection: &Selection) -> bool {
        let table = self.table();
        let varied = table.get(primary);
        varied.is_some_and(|varied| varied.selection.has_names_of(selection))
    }

    /// Remembers by which fields an object varies. At the bound everything is forgotten.
    pub fn learn(&self, primary: &Key, selection: &Arc<Selection>) {
        let mut table = self.table();
        if let Some(varied) = table.get_mut(primary) {
            if !varied.selection.has_names_of(selection) {
                varied.selection = Arc::clone(selection);
            }
            return;
        }
        if table.len() >= VARIED_MAX {
            table.clear();
        }
        let varied = Varied {
            selection: Arc::clone(selection),
            kept: VecDeque::new(),
        };
        table.insert(primary.clone(), varied);
    }

    /// Notes that a variant is kept, and names the oldest one when there are more than `most`.
    #[must_use]
    pub fn keep(&self, primary: &Key, variant: &Key, most: usize) -> Option<Key> {
        let mut table = self.table();
        let kept = &mut table.get_mut(primary)?.kept;
        kept.retain(|other| other != variant);
        kept.push_back(variant.clone());
        // The first variant lies under the object's own key.
        if kept.len() + 1 > most {
            return kept.pop_front();
        }
        None
    }

    /// Forgets an object, and names its variants.
    #[must_use]
    pub fn forget(&self, primary: &Key) -> Vec<Key> {
        let varied = self.table().remove(primary);
        varied.map_or(Vec::new(), |varied| varied.kept.into())
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Key, Varied>> {
        self.by_primary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::vary::Variant;

    #[test]
    fn the_oldest_variant_goes_when_there_are_too_many() {
        let (table, primary) = (Variants::default(), Key::new("s", "/a", None));
        table.learn(&primary, &Arc::default());
        let variant = |n| primary.variant(Variant(n));
        assert_eq!(table.keep(&primary, &variant(1), 3), None);
        assert_eq!(table.keep(&primary, &variant(2), 3), None);
        assert_eq!(table.keep(&primary, &variant(1), 3), None, "kept anew");
        assert_eq!(table.keep(&primary, &variant(3), 3), Some(variant(2)));
        assert_eq!(table.forget(&primary), [variant(1), variant(3)]);
        assert_eq!(table.keep(&primary, &variant(1), 3), None, "not known");
    }

    #[test]
    fn objects_that_vary_are_bounded() {
        let table = Variants::default();
        for i in 0..=VARIED_MAX {
            table.learn(&Key::new("s", &format!("/{i}"), None), &Arc::default());
        }
        assert!(table.table().len() <= VARIED_MAX);
    }
}
