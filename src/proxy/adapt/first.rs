//! What a player fetches before its first picture, as far as memory knows.

use std::time::Duration;

use crate::cache::object::{Object, Peek};
use crate::key::Key;
use crate::manifest::ladder::Rung;
use crate::proxy::adapt::Visit;
use crate::route::path;
use crate::session::start::Candidate;

/// What a segment plays where nobody says.
const PLAYS: Duration = Duration::from_secs(4);

impl Visit<'_> {
    /// What a start at `rung` takes. Sizes are those of the objects where memory holds them, and
    /// what the bit rate makes of the duration elsewhere.
    pub(super) fn candidate(&self, rung: &Rung) -> Candidate {
        let plays = rung.first.millis.map_or(PLAYS, Duration::from_millis);
        let millis = u64::try_from(plays.as_millis()).unwrap_or(u64::MAX);
        let guessed = rung.average.saturating_mul(millis) / 8000;
        let segment = rung
            .first
            .segment
            .as_deref()
            .and_then(|uri| self.length_of(uri));
        let init = rung
            .first
            .init
            .as_deref()
            .and_then(|uri| self.length_of(uri));
        Candidate {
            rated: rung.bandwidth,
            bitrate: rung.average,
            first_bytes: segment.unwrap_or(guessed).saturating_add(init.unwrap_or(0)),
            plays,
        }
    }

    /// Length of the object at a path of this site, where memory holds it.
    fn length_of(&self, path: &str) -> Option<u64> {
        self.object_at(path)?.length()
    }

    fn object_at(&self, path: &str) -> Option<std::sync::Arc<Object>> {
        let path = path
            .split(['?', '#'])
            .next()
            .filter(|path| path.starts_with('/'))?;
        let path = path::canonical(path).ok()?;
        let key = Key::new(&self.route.site.name, &path, None);
        self.edge.engine.memory().look(&key)
    }
}

/// The beginning of an object, where it is here.
pub(super) fn beginning(object: &Object) -> Option<bytes::Bytes> {
    match object.peek(0) {
        Peek::Bytes(bytes) => Some(bytes),
        Peek::End | Peek::Wait(_) | Peek::Absent => None,
    }
}
