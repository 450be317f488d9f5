//! What was brought ahead of late, and whether it was of use. Pure.
//!
//! A piece is of use when the first request for it finds it, or joins it on its way; it was wasted
//! when nobody asked within [`PREFETCH_LIFE`], or when whoever asked found it gone.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::limits::{PREFETCH_LIFE, PREFETCHED_MAX};
use crate::prefetch::knowledge::Place;

/// The pieces brought ahead that nobody has asked for yet.
#[derive(Default)]
pub struct Recent {
    pieces: HashMap<Place, Brought>,
    /// Bytes of those that have come.
    unused_bytes: u64,
}

struct Brought {
    state: State,
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// On its way.
    Coming,
    /// On its way, and asked for.
    Awaited,
    /// Here, so many bytes.
    Here(u64),
}

/// Why a piece is not brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unneeded {
    /// It is on its way, or has come and was not asked for yet.
    Known,
    /// Too many are.
    Full,
}

/// How a request found what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It was here, or on its way.
    There,
    /// It had to be brought anew.
    Absent,
}

/// Bytes brought ahead that turned out to have been of use, or wasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Of use.
    Useful(u64),
    /// For nothing.
    Wasted(u64),
}

impl Recent {
    /// Notes that a piece is being brought.
    ///
    /// # Errors
    /// It is known already, or there is no room.
    pub fn begin(&mut self, place: &Place, now: Instant) -> Result<(), Unneeded> {
        if self.pieces.contains_key(place) {
            return Err(Unneeded::Known);
        }
        if self.pieces.len() >= PREFETCHED_MAX {
            return Err(Unneeded::Full);
        }
        let brought = Brought {
            state: State::Coming,
            since: now,
        };
        self.pieces.insert(place.clone(), brought);
        Ok(())
    }

    /// Notes that a piece has come, in so many bytes.
    #[must_use]
    pub fn come(&mut self, place: &Place, bytes: u64) -> Option<Verdict> {
        let brought = self.pieces.get_mut(place)?;
        if brought.state == State::Awaited {
            self.pieces.remove(place);
            return Some(Verdict::Useful(bytes));
        }
        if brought.state == State::Coming {
            brought.state = State::Here(bytes);
            self.unused_bytes += bytes;
        }
        None
    }

    /// Notes that a piece will not come.
    pub fn give_up(&mut self, place: &Place) {
        self.remove(place);
    }

    /// Notes that somebody asked for a piece.
    #[must_use]
    pub fn asked(&mut self, place: &Place, found: Found) -> Option<Verdict> {
        let brought = self.pieces.get_mut(place)?;
        let State::Here(bytes) = brought.state else {
            brought.state = State::Awaited;
            return None;
        };
        self.remove(place);
        Some(match found {
            Found::There => Verdict::Useful(bytes),
            Found::Absent => Verdict::Wasted(bytes),
        })
    }

    /// Forgets what nobody asked for in time, and says how many bytes that was.
    #[must_use]
    pub fn expire(&mut self, now: Instant) -> Verdict {
        let before = self.unused_bytes;
        let unused_bytes = &mut self.unused_bytes;
        self.pieces.retain(|_, brought| match brought.state {
            State::Here(bytes) if now.duration_since(brought.since) >= PREFETCH_LIFE => {
                *unused_bytes -= bytes;
                false
            }
            State::Here(_) | State::Coming | State::Awaited => true,
        });
        Verdict::Wasted(before - self.unused_bytes)
    }

    /// Bytes that have come and were not asked for yet.
    #[must_use]
    pub fn unused_bytes(&self) -> u64 {
        self.unused_bytes
    }

    fn remove(&mut self, place: &Place) {
        let removed = self.pieces.remove(place);
        if let Some(State::Here(bytes)) = removed.map(|brought| brought.state) {
            self.unused_bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::key::Key;

    fn piece(path: &str) -> Place {
        Place {
            key: Key::new("v", path, None),
            first: 0,
        }
    }

    #[test]
    fn the_first_request_decides_whether_it_was_of_use() {
        let (one, now) = (piece("/1.ts"), Instant::now());
        for (found, verdict) in [
            (Found::There, Verdict::Useful(9)),
            (Found::Absent, Verdict::Wasted(9)),
        ] {
            let mut recent = Recent::default();
            assert_eq!(recent.begin(&one, now), Ok(()));
            assert_eq!(recent.begin(&one, now), Err(Unneeded::Known));
            assert_eq!(recent.come(&one, 9), None);
            assert_eq!(recent.unused_bytes(), 9);
            assert_eq!(recent.asked(&one, found), Some(verdict));
            assert_eq!(
                recent.asked(&one, found),
                None,
                "the second one counts no more"
            );
            assert_eq!(recent.unused_bytes(), 0);
        }
    }

    #[test]
    fn who_asks_while_it_comes_makes_it_useful_when_it_has_come() {
        let (mut recent, one) = (Recent::default(), piece("/1.ts"));
        assert_eq!(recent.begin(&one, Instant::now()), Ok(()));
        assert_eq!(recent.asked(&one, Found::There), None);
        assert_eq!(recent.asked(&one, Found::There), None);
        assert_eq!(recent.come(&one, 9), Some(Verdict::Useful(9)));
        assert_eq!((recent.unused_bytes(), recent.pieces.len()), (0, 0));
    }

    #[test]
    fn what_nobody_asks_for_in_time_was_wasted_and_what_never_comes_was_not() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let [one, two, three] = ["/1.ts", "/2.ts", "/3.ts"].map(piece);
        for piece in [&one, &two, &three] {
            assert_eq!(recent.begin(piece, now), Ok(()));
        }
        assert_eq!(recent.come(&one, 9), None);
        recent.give_up(&two);
        assert_eq!(recent.come(&two, 9), None);
        let second = Duration::from_secs(1);
        assert_eq!(
            recent.expire(now + PREFETCH_LIFE - second),
            Verdict::Wasted(0)
        );
        assert_eq!(recent.expire(now + PREFETCH_LIFE), Verdict::Wasted(9));
        assert_eq!((recent.unused_bytes(), recent.pieces.len()), (0, 1));
        assert_eq!(recent.asked(&one, Found::There), None);
    }

    #[test]
    fn the_table_has_a_bound() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        for n in 0..PREFETCHED_MAX {
            assert_eq!(recent.begin(&piece(&format!("/{n}.ts")), now), Ok(()));
        }
        assert_eq!(recent.begin(&piece("/more.ts"), now), Err(Unneeded::Full));
    }
}
