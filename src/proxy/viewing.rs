//! Which live manifest a connection was given last, and the session that this told. Pure.
//!
//! Where no id travels by URLs, nothing else tells the refreshes of a live manifest from a session
//! that begins. Invariant: one manifest a connection, so that it stays small; who plays two at once
//! over one connection begins anew at each refresh.

use crate::clock::UnixMillis;
use crate::limits;

/// What one connection was given last.
#[derive(Debug, Default)]
pub(super) struct Viewing(Option<Given>);

#[derive(Debug)]
struct Given {
    mark: u64,
    session: String,
    at: UnixMillis,
}

impl Viewing {
    /// The session that goes on where who asked so asks again; `None` once it has ended meanwhile.
    pub(super) fn session(&self, mark: u64, now: UnixMillis) -> Option<&str> {
        let given = self.0.as_ref().filter(|given| given.mark == mark)?;
        (now.since(given.at) <= limits::SESSION_SILENCE_MAX).then_some(&given.session)
    }

    /// Notes the session that is told now; `mark` is the same for requests of one client for one
    /// manifest.
    pub(super) fn given(&mut self, mark: u64, session: &str, now: UnixMillis) {
        self.0 = Some(Given {
            mark,
            session: session.to_owned(),
            at: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BEGUN: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn a_session_goes_on_while_its_manifest_is_asked_for_again_and_again() {
        let mut viewing = Viewing::default();
        assert_eq!(viewing.session(1, BEGUN), None);
        let mut now = BEGUN;
        for _ in 0..100 {
            viewing.given(1, "a", now);
            now = now.after(Duration::from_secs(2));
            assert_eq!(viewing.session(1, now), Some("a"));
            assert_eq!(viewing.session(2, now), None, "another manifest");
        }
        let silent = now.after(limits::SESSION_SILENCE_MAX);
        assert_eq!(viewing.session(1, silent), None);
        viewing.given(2, "b", now);
        assert_eq!(viewing.session(1, now), None);
        assert_eq!(viewing.session(2, now), Some("b"));
    }
}
