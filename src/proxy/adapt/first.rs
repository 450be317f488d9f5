//! What a player fetches before its first picture, as far as memory knows.
//!
//! The sound is left out: it is the same for every start, and starts are compared.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::object::{Object, Peek};
use crate::manifest::hls::timeline::Timeline;
use crate::manifest::ladder::{First, Rung};
use crate::prefetch::target;
use crate::proxy::adapt::Visit;
use crate::session::start::Candidate;

/// What a segment plays where nobody says.
const PLAYS: Duration = Duration::from_secs(4);

/// Of a media playlist as much as tells of its first segment.
const PLAYLIST_BYTES: usize = 8 * 1024;

/// What is known of a rung's beginning.
#[derive(Default)]
struct Beginning {
    /// How long the first segment plays.
    plays: Option<Duration>,
    /// Bytes of the first segment.
    segment: Option<u64>,
    /// Bytes of the initialisation section.
    init: Option<u64>,
}

impl Visit<'_> {
    /// What a start at `rung` takes. Sizes are those of the objects where memory holds them, and
    /// what the bit rate makes of the duration elsewhere.
    pub(super) fn candidate(&self, rung: &Rung) -> Candidate {
        let first = match &rung.first.playlist {
            Some(playlist) => self.by_playlist(playlist).unwrap_or_default(),
            None => self.by_manifest(&rung.first),
        };
        let plays = first.plays.unwrap_or(PLAYS);
        let millis = u64::try_from(plays.as_millis()).unwrap_or(u64::MAX);
        let guessed = rung.average.saturating_mul(millis) / 8000;
        let segment = first.segment.unwrap_or(guessed);
        Candidate {
            rated: rung.bandwidth,
            bitrate: rung.average,
            first_bytes: segment.saturating_add(first.init.unwrap_or(0)),
            plays,
        }
    }

    /// What a manifest says that names its segments.
    fn by_manifest(&self, first: &First) -> Beginning {
        let base = &self.route.origin_path;
        let length = |uri: &Option<String>, span| self.length_of(base, uri.as_deref()?, span);
        Beginning {
            plays: first.millis.map(Duration::from_millis),
            segment: length(&first.segment, first.segment_bytes),
            init: length(&first.init, first.init_bytes),
        }
    }

    /// What the media playlist says, where memory holds it.
    fn by_playlist(&self, uri: &str) -> Option<Beginning> {
        let key = target::resolve(&self.route.site, &self.route.origin_path, uri)?;
        let text = beginning(&*self.edge.engine.memory().look(&key)?)?;
        let text = text.get(..PLAYLIST_BYTES).unwrap_or(&text);
        let end = text.iter().rposition(|byte| *byte == b'\n')?;
        let timeline = Timeline::parse(text.get(..=end)?)?;
        let segment = timeline.segments.first()?;
        let map = segment.map.and_then(|map| timeline.maps.get(map));
        Some(Beginning {
            plays: Some(Duration::from_millis(segment.millis)),
            segment: self.length_of(key.path(), segment.uri, segment.span),
            init: map.and_then(|map| self.length_of(key.path(), map.uri, map.span)),
        })
    }

    /// Bytes of a span, or of the whole object where memory holds that.
    fn length_of(&self, base: &str, uri: &str, span: Option<(u64, u64)>) -> Option<u64> {
        if let Some((first, last)) = span {
            return Some(last.saturating_sub(first).saturating_add(1));
        }
        let key = target::resolve(&self.route.site, base, uri)?;
        let object: Arc<Object> = self.edge.engine.memory().look(&key)?;
        object.length()
    }
}

/// The beginning of an object, where it is here.
pub(super) fn beginning(object: &Object) -> Option<bytes::Bytes> {
    match object.peek(0) {
        Peek::Bytes(bytes) => Some(bytes),
        Peek::End | Peek::Wait(_) | Peek::Absent => None,
    }
}
