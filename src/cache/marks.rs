//! Hit-for-pass marks: keys whose answers were found not to be shareable, for a short while.
//!
//! Without them, requests for an uncacheable object would queue one behind the other.

use std::collections::HashMap;

use crate::clock::UnixMillis;
use crate::key::Key;
use crate::limits::{MARKS_MAX, PASS_MARK_LIFE};

/// The marks, each with the moment it ends.
#[derive(Default)]
pub struct Marks {
    until: HashMap<Key, UnixMillis>,
}

impl Marks {
    /// Sets a mark. At the bound, marks that have ended go, then all: a lost mark costs a queue.
    pub fn set(&mut self, key: &Key, now: UnixMillis) {
        if self.until.len() >= MARKS_MAX {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= MARKS_MAX {
            self.until.clear();
        }
        self.until.insert(key.clone(), now.after(PASS_MARK_LIFE));
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
    use super::*;

    #[test]
    fn a_mark_ends_by_itself() {
        let (mut marks, key) = (Marks::default(), Key::new("s", "/a", None));
        let now = UnixMillis(1_000);
        marks.set(&key, now);
        assert!(marks.holds(&key, now));
        assert!(!marks.holds(&key, now.after(PASS_MARK_LIFE)));
        assert!(marks.until.is_empty());
    }

    #[test]
    fn marks_are_bounded() {
        let mut marks = Marks::default();
        for i in 0..=MARKS_MAX {
            marks.set(&Key::new("s", &format!("/{i}"), None), UnixMillis(0));
        }
        assert!(marks.until.len() <= MARKS_MAX);
    }
}
