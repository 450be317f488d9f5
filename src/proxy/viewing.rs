//! Which live manifest a connection was given last, and the session that this told. Pure.
//!
//! Where no id travels by URLs, nothing else tells the refreshes of a live manifest from a session
//! that begins. Only for connections that are clients' own. Invariants: one manifest a connection,
//! so that it stays small: who plays two at once over one connection begins anew at each refresh.
//! Nothing is told where two user agents have asked: that connection is a balancer's whatever the
//! configuration says.
//!
//! Whatever is asked for keeps the session: where an MPD is to be refreshed once in a minute or
//! less often, players ask for nothing but segments meanwhile, and these name no session.

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
    /// When something was asked for last.
    at: UnixMillis,
}

impl Viewing {
    /// Notes that a request came, which ends a session that was silent; `agent` is the same for
    /// those of one user agent.
    pub(super) fn asked_by(&mut self, agent: u64, now: UnixMillis) {
        let is_same = match self.asker {
            Asker::Nobody => true,
            Asker::One(first) => first == agent,
            Asker::Many => false,
        };
        self.asker = match is_same {
            true => Asker::One(agent),
            false => Asker::Many,
        };
        let given = self.given.take().filter(|given| {
            let silence = now.since(given.at);
            is_same && silence <= limits::SESSION_SILENCE_MAX
        });
        self.given = given.map(|given| Given { at: now, ..given });
    }

    /// The session that goes on where its manifest is asked for again.
    pub(super) fn session(&self, mark: u64) -> Option<&str> {
        let given = self.given.as_ref().filter(|given| given.mark == mark)?;
        Some(&given.session)
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

    /// Longer than any session is silent.
    const SLOW: Duration = Duration::from_secs(90);

    /// A connection by which the user agent of mark 7 was told a session with manifest 1.
    fn told() -> Viewing {
        let mut viewing = Viewing::default();
        viewing.asked_by(7, BEGUN);
        assert_eq!(viewing.session(1), None);
        viewing.given(1, "a", BEGUN);
        viewing
    }

    #[test]
    fn a_session_goes_on_while_its_manifest_is_asked_for_again_and_again() {
        let mut viewing = told();
        let mut now = BEGUN;
        for _ in 0..100 {
            now = now.after(Duration::from_secs(2));
            viewing.asked_by(7, now);
            assert_eq!(viewing.session(1), Some("a"));
            assert_eq!(viewing.session(2), None, "another manifest");
            viewing.given(1, "a", now);
        }
        viewing.given(2, "b", now);
        assert_eq!(viewing.session(1), None);
        assert_eq!(viewing.session(2), Some("b"));
    }

    #[test]
    fn a_slow_manifests_session_goes_on_while_anything_is_asked_for() {
        let mut viewing = told();
        let mut now = BEGUN;
        for _ in 0..10 {
            let refresh = now.after(SLOW);
            while now < refresh {
                now = now.after(Duration::from_secs(6));
                viewing.asked_by(7, now);
            }
            assert_eq!(viewing.session(1), Some("a"));
        }
        viewing.asked_by(7, now.after(SLOW));
        assert_eq!(viewing.session(1), None, "it was silent for too long");
    }

    #[test]
    fn a_connection_that_two_user_agents_ask_by_tells_of_no_session_any_more() {
        let mut viewing = told();
        viewing.asked_by(8, BEGUN);
        assert_eq!(viewing.session(1), None);
        for agent in [7, 7, 8] {
            viewing.asked_by(agent, BEGUN);
            viewing.given(1, "a", BEGUN);
            assert_eq!(viewing.session(1), None);
        }
    }
}
