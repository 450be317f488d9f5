//! Which live manifest a connection was given last, and the session that this told. Pure.
//!
//! Where no id travels by URLs, nothing else tells the refreshes of a live manifest from a session
//! that begins. Only for connections that are clients' own. Invariants: one manifest a connection,
//! so that it stays small: who plays two at once over one connection begins anew at each refresh.
//! Nothing is told where two user agents have asked: that connection is a balancer's whatever the
//! configuration says.

use crate::clock::UnixMillis;
use crate::limits;

/// What one connection was given last, and who asked.
#[derive(Debug, Default)]
pub(super) struct Viewing {
    asker: Asker,
    given: Option<Given>,
}

/// Who has asked by a connection.
#[derive(Debug, Default)]
enum Asker {
    #[default]
    Nobody,
    /// The user agent of this mark.
    One(u64),
    /// Several user agents.
    Many,
}

#[derive(Debug)]
struct Given {
    mark: u64,
    session: String,
    at: UnixMillis,
}

impl Viewing {
    /// Notes that a request came; `agent` is the same for those of one user agent.
    pub(super) fn asked_by(&mut self, agent: u64) {
        match self.asker {
            Asker::Nobody => self.asker = Asker::One(agent),
            Asker::One(first) if first == agent => {}
            Asker::One(_) | Asker::Many => {
                self.asker = Asker::Many;
                self.given = None;
            }
        }
    }

    /// The session that goes on where its manifest is asked for again; `None` once it has ended
    /// meanwhile.
    pub(super) fn session(&self, mark: u64, now: UnixMillis) -> Option<&str> {
        let given = self.given.as_ref().filter(|given| given.mark == mark)?;
        (now.since(given.at) <= limits::SESSION_SILENCE_MAX).then_some(&given.session)
    }

    /// Notes the session that is told now; `mark` is the same for requests for one manifest.
    pub(super) fn given(&mut self, mark: u64, session: &str, now: UnixMillis) {
        if let Asker::One(_) = self.asker {
            self.given = Some(Given {
                mark,
                session: session.to_owned(),
                at: now,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BEGUN: UnixMillis = UnixMillis(1_800_000_000_000);

    /// A connection of one user agent, whose mark is 7.
    fn own() -> Viewing {
        let mut viewing = Viewing::default();
        viewing.asked_by(7);
        viewing
    }

    #[test]
    fn a_session_goes_on_while_its_manifest_is_asked_for_again_and_again() {
        let mut viewing = own();
        assert_eq!(viewing.session(1, BEGUN), None);
        let mut now = BEGUN;
        for _ in 0..100 {
            viewing.given(1, "a", now);
            now = now.after(Duration::from_secs(2));
            viewing.asked_by(7);
            assert_eq!(viewing.session(1, now), Some("a"));
            assert_eq!(viewing.session(2, now), None, "another manifest");
        }
        let silent = now.after(limits::SESSION_SILENCE_MAX);
        assert_eq!(viewing.session(1, silent), None);
        viewing.given(2, "b", now);
        assert_eq!(viewing.session(1, now), None);
        assert_eq!(viewing.session(2, now), Some("b"));
    }

    #[test]
    fn a_connection_that_two_user_agents_ask_by_tells_of_no_session_any_more() {
        let mut viewing = own();
        viewing.given(1, "a", BEGUN);
        viewing.asked_by(8);
        assert_eq!(viewing.session(1, BEGUN), None);
        for agent in [7, 7, 8] {
            viewing.asked_by(agent);
            assert_eq!(viewing.session(1, BEGUN), None);
            viewing.given(1, "a", BEGUN);
            assert_eq!(viewing.session(1, BEGUN), None);
        }
    }
}
