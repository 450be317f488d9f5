//! The names that players make up, and which session each of them leads to. Pure.
//!
//! Most players make up a `sid` of their own beside the signed id that their paths carry. It is
//! sent in clear, and to others: it tells which session is meant and vouches for nothing. How much
//! of what comes by a `sid` is believed, whoever asks here decides.
//!
//! Invariants: a `sid` leads to one session, a session with a signed id is led to by
//! [`limits::SESSION_SIDS_MAX`] at most, and one that was forgotten by none.

use std::collections::HashMap;

use crate::limits;
use crate::session::who::Who;

/// What leads where. A `sid` is written as the session that it would name if it were all that there
/// is.
#[derive(Debug, Default)]
pub struct Aliases {
    sessions: HashMap<Who, Who>,
    /// What leads to each session, the first one first.
    sids: HashMap<Who, Vec<Who>>,
}

impl Aliases {
    /// Whether `sid` can lead to `who`: a signed id speaks for itself, and only to one.
    #[must_use]
    pub fn may_lead(sid: Who, who: Who) -> bool {
        who.is_signed() && !sid.is_signed()
    }

    /// The session that `sid` leads to.
    #[must_use]
    pub fn of(&self, sid: Who) -> Option<Who> {
        self.sessions.get(&sid).copied()
    }

    /// Lets `sid` lead to `who`, and to no other one. Where it is one too many, the first one that
    /// led there does no more. Nothing happens unless [`Aliases::may_lead`].
    pub fn lead(&mut self, sid: Who, who: Who) {
        if !Self::may_lead(sid, who) || self.of(sid) == Some(who) {
            return;
        }
        if let Some(before) = self.sessions.insert(sid, who) {
            self.loses(before, sid);
        }
        let sids = self.sids.entry(who).or_default();
        sids.push(sid);
        if sids.len() > limits::SESSION_SIDS_MAX {
            let first = sids.remove(0);
            self.sessions.remove(&first);
        }
    }

    fn loses(&mut self, who: Who, sid: Who) {
        if let Some(sids) = self.sids.get_mut(&who) {
            sids.retain(|known| *known != sid);
            if sids.is_empty() {
                self.sids.remove(&who);
            }
        }
    }

    /// Forgets what leads to a session that is gone.
    pub fn forget(&mut self, who: Who) {
        for sid in self.sids.remove(&who).unwrap_or_default() {
            self.sessions.remove(&sid);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::holdout::Arm;

    fn signed(index: u8) -> Who {
        Who::signed([index; 16], Arm::Hinted)
    }

    fn sid(index: u8) -> Who {
        Who::claimed([index; 16], Arm::Hinted)
    }

    /// What both maps say is the same.
    fn check(aliases: &Aliases) {
        let listed = aliases.sids.iter().flat_map(|(who, sids)| {
            assert!((1..=limits::SESSION_SIDS_MAX).contains(&sids.len()));
            sids.iter().map(|sid| (*sid, *who))
        });
        assert_eq!(listed.collect::<HashMap<_, _>>(), aliases.sessions);
        assert_eq!(aliases.is_empty(), aliases.sids.is_empty());
    }

    #[test]
    fn a_sid_leads_to_the_session_that_had_it_last() {
        let mut aliases = Aliases::default();
        for (who, expected) in [(4, 1), (4, 1), (8, 1), (4, 1)] {
            aliases.lead(sid(100), signed(who));
            assert_eq!(aliases.of(sid(100)), Some(signed(who)));
            assert_eq!(aliases.len(), expected);
            check(&aliases);
        }
        assert_eq!(aliases.sids.len(), 1, "nothing leads to the other one");
    }

    #[test]
    fn the_first_sid_of_a_session_makes_room_for_one_too_many() {
        let mut aliases = Aliases::default();
        // A name's two lowest bits are not its hash's.
        for index in 0..64 {
            aliases.lead(sid(4 * index), signed(1));
            check(&aliases);
        }
        let most = u8::try_from(limits::SESSION_SIDS_MAX).unwrap();
        let left = (0..64).filter(|index| aliases.of(sid(4 * index)).is_some());
        assert!(left.eq(64 - most..64), "the last ones");
    }

    #[test]
    fn nothing_leads_to_a_session_that_is_gone_or_unsigned_or_away_from_a_signed_id() {
        let mut aliases = Aliases::default();
        aliases.lead(sid(100), signed(4));
        aliases.lead(sid(104), signed(4));
        aliases.lead(sid(108), signed(8));
        aliases.lead(sid(112), sid(116));
        aliases.lead(signed(12), signed(8));
        assert_eq!(aliases.len(), 3);
        aliases.forget(signed(4));
        check(&aliases);
        let led = [100, 104, 108].map(|index| aliases.of(sid(index)));
        assert_eq!(led, [None, None, Some(signed(8))]);
        aliases.forget(signed(8));
        aliases.forget(signed(16));
        assert!(aliases.is_empty());
        check(&aliases);
    }
}
