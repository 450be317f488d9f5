//! Hit-for-pass marks: keys whose answers were found not to be shareable, for a while.
//!
//! ```text
//!   set ──► Passing: everyone asks the origin alone ──► Doubtful: one finds out whether that is
//!                                                       still so, nobody waits for it ──► gone
//! ```
//! Without them, requests for an uncacheable object would queue one behind the other.

use std::collections::HashMap;

use crate::clock::UnixMillis;
use crate::key::Key;
use crate::limits::{DOUBT_LIVES, MARKS_MAX};

/// The marks, each with the moments at which it is doubtful and at which it is gone.
#[derive(Default)]
pub struct Marks {
    by_key: HashMap<Key, Ends>,
}

#[derive(Clone, Copy)]
struct Ends {
    passing: UnixMillis,
    doubt: UnixMillis,
}

/// What a mark says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Answers were not shareable a moment ago.
    Passing,
    /// They were not, some time ago.
    Doubtful,
}

impl Marks {
    /// Sets a mark that holds until a moment. At the bound, marks that have ended go, then all: a
    /// lost mark costs a wait for one response head.
    pub fn set(&mut self, key: &Key, until: UnixMillis, now: UnixMillis) {
        if self.by_key.len() >= MARKS_MAX {
            self.by_key.retain(|_, ends| ends.passing > now);
        }
        if self.by_key.len() >= MARKS_MAX {
            self.by_key.clear();
        }
        let life = until.since(now);
        let ends = Ends {
            passing: until,
            doubt: until.after(life.saturating_mul(DOUBT_LIVES)),
        };
        self.by_key.insert(key.clone(), ends);
    }

    /// What is known of a key; a mark that is gone goes.
    pub fn of(&mut self, key: &Key, now: UnixMillis) -> Option<Mark> {
        let ends = *self.by_key.get(key)?;
        if ends.passing > now {
            return Some(Mark::Passing);
        }
        if ends.doubt > now {
            return Some(Mark::Doubtful);
        }
        self.by_key.remove(key);
        None
    }

    /// Takes a mark away, since an answer was shareable.
    pub fn clear(&mut self, key: &Key) {
        self.by_key.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_mark_is_doubted_and_ends_by_itself() {
        let (mut marks, key) = (Marks::default(), Key::new("s", "/a", None));
        let now = UnixMillis(1_000);
        let life = Duration::from_secs(2);
        marks.set(&key, now.after(life), now);
        assert_eq!(marks.of(&key, now), Some(Mark::Passing));
        assert_eq!(marks.of(&key, now.after(life)), Some(Mark::Doubtful));
        let gone = now.after(life * (1 + DOUBT_LIVES));
        assert_eq!(marks.of(&key, gone), None);
        assert!(marks.by_key.is_empty());
    }

    #[test]
    fn marks_are_bounded() {
        let mut marks = Marks::default();
        for i in 0..=MARKS_MAX {
            let key = Key::new("s", &format!("/{i}"), None);
            marks.set(&key, UnixMillis(1), UnixMillis(0));
        }
        assert!(marks.by_key.len() <= MARKS_MAX);
    }
}
