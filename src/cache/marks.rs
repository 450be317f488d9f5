//! Hit-for-pass marks: keys whose answers were found not to be shareable, for a short while.
//!
//! Without them, requests for an uncacheable object would queue one behind the other.

use std::collections::HashMap;

use crate::clock::UnixMillis;
use crate::key::Key;
use crate::limits::MARKS_MAX;

/// The marks, each with the moment it ends.
#[derive(Default)]
pub struct Marks {
    until: HashMap<Key, UnixMillis>,
}

impl Marks {
    /// Sets a mark that holds until a moment. At the bound, marks that have ended go, then all: a lost mark costs a queue.
    pub fn set(&mut self, key: &Key, until: UnixMillis, now: UnixMillis) {
        if self.until.len() >= MARKS_MAX {
            self.until.retain(|_, end| *end > now);
        }
        if self.until.len() >= MARKS_MAX {
            self.until.clear();
        }
        self.until.insert(key.clone(), until);
    }

    /// Whether a mark holds; one that has ended goes.
    pub fn holds(&mut self, key: &Key, now: UnixMillis) -> bool {
        let Some(until) = self.until.get(key) else {
            return false;
        };
        let holds = *until > now;
        if !holds {
            self.until.remove(key);
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_mark_ends_by_itself() {
        let (mut marks, key) = (Marks::default(), Key::new("s", "/a", None));
        let now = UnixMillis(1_000);
        marks.set(&key, now.after(Duration::from_secs(2)), now);
        assert!(marks.holds(&key, now));
        assert!(!marks.holds(&key, now.after(Duration::from_secs(2))));
        assert!(marks.until.is_empty());
    }

    #[test]
    fn marks_are_bounded() {
        let mut marks = Marks::default();
        for i in 0..=MARKS_MAX {
            marks.set(
                &Key::new("s", &format!("/{i}"), None),
                UnixMillis(1),
                UnixMillis(0),
            );
        }
        assert!(marks.until.len() <= MARKS_MAX);
    }
}
