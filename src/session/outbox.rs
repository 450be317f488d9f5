//! Which records other nodes have not been told of. Pure.

use std::collections::{HashSet, VecDeque};

use crate::session::record::Place;

/// Places in the order in which they changed, each once.
#[derive(Debug)]
pub struct Outbox {
    queue: VecDeque<Place>,
    queued: HashSet<Place>,
    most: usize,
}

impl Outbox {
    /// Makes one with room for `most` places.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            queued: HashSet::new(),
            most,
        }
    }

    /// Notes that a record has changed; `false` when there is no room.
    pub fn push(&mut self, place: Place) -> bool {
        if self.queued.contains(&place) {
            return true;
        }
        if self.queue.len() >= self.most {
            return false;
        }
        self.queued.insert(place);
        self.queue.push_back(place);
        true
    }

    /// Takes out what has waited longest.
    pub fn pop(&mut self) -> Option<Place> {
        let place = self.queue.pop_front()?;
        self.queued.remove(&place);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::record::Kind;

    #[test]
    fn each_place_waits_once_and_within_bounds() {
        let place = |kind, name: u8| Place {
            kind,
            name: [name; 16],
        };
        let mut outbox = Outbox::new(2);
        assert!(outbox.push(place(Kind::Client, 1)));
        assert!(outbox.push(place(Kind::Client, 1)));
        assert!(outbox.push(place(Kind::Network, 1)));
        assert!(!outbox.push(place(Kind::Session, 1)), "no room");
        assert!(outbox.push(place(Kind::Network, 1)), "it waits already");
        assert_eq!(outbox.pop(), Some(place(Kind::Client, 1)));
        assert!(outbox.push(place(Kind::Client, 1)), "it changed again");
        assert_eq!(outbox.pop(), Some(place(Kind::Network, 1)));
        assert_eq!(outbox.pop(), Some(place(Kind::Client, 1)));
        assert_eq!(outbox.pop(), None);
    }
}
