//! What a player fetches before its first picture, as far as memory knows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::cache::object::{Object, Peek};
use crate::key::Key;
use crate::manifest::hls::segments::Playlist;
use crate::manifest::ladder::Rung;
use crate::proxy::adapt::Visit;
use crate::route::path;
use crate::session::start::Candidate;

/// What a segment plays where nobody says.
const PLAYS: Duration = Duration::from_secs(4);

/// So much of a playlist is looked at: its first segment stands there.
const BEGINNING_BYTES: usize = 8 * 1024;

/// What comes first of a rung.
#[derive(Debug, Default)]
struct First {
    init: Option<u64>,
    segment: Option<u64>,
    plays: Option<Duration>,
}

impl Visit<'_> {
    /// What a start at `rung` takes. Sizes are those of the objects where memory holds them, and
    /// what the bit rate makes of the duration elsewhere.
    pub(super) fn candidate(&self, rung: &Rung) -> Candidate {
        let first = match &rung.first.playlist {
            Some(playlist) => self.of_playlist(playlist).unwrap_or_default(),
            None => First {
                init: rung
                    .first
                    .init
                    .as_deref()
                    .and_then(|uri| self.length_of(uri)),
                segment: rung
                    .first
                    .segment
                    .as_deref()
                    .and_then(|uri| self.length_of(uri)),
                plays: None,
            },
        };
        let told = rung.first.millis.map(Duration::from_millis);
        let plays = first.plays.or(told).unwrap_or(PLAYS);
        let millis = u64::try_from(plays.as_millis()).unwrap_or(u64::MAX);
        let guessed = rung.average.saturating_mul(millis) / 8000;
        Candidate {
            rated: rung.bandwidth,
            bitrate: rung.average,
            first_bytes: first
                .segment
                .unwrap_or(guessed)
                .saturating_add(first.init.unwrap_or(0)),
            plays,
        }
    }

    /// What the media playlist at `uri` names first, where memory holds it.
    fn of_playlist(&self, uri: &str) -> Option<First> {
        let place = beside(&self.route.origin_path, uri)?;
        let object = self.object_at(&place)?;
        let mut text = beginning(&object)?;
        text.truncate(BEGINNING_BYTES);
        let playlist = Playlist::parse(&text)?;
        let segment = playlist.segments().next()?;
        let length = |uri: &str| self.length_of(&beside(&place, uri)?);
        let part = |part: &crate::manifest::hls::segments::Bytes| {
            part.last.saturating_sub(part.first).saturating_add(1)
        };
        let of_init = segment.init.and_then(|init| match &init.bytes {
            Some(bytes) => Some(part(bytes)),
            None => length(init.uri),
        });
        let of_segment = match &segment.bytes {
            Some(bytes) => Some(part(bytes)),
            None => length(segment.uri),
        };
        Some(First {
            init: of_init,
            segment: of_segment,
            plays: Some(segment.duration),
        })
    }

    /// Length of the object at a path of this site, where memory holds it.
    fn length_of(&self, path: &str) -> Option<u64> {
        self.object_at(path)?.length()
    }

    fn object_at(&self, path: &str) -> Option<Arc<Object>> {
        let path = path.split(['?', '#']).next();
        let path = path.filter(|path| path.starts_with('/'))?;
        let path = path::canonical(path).ok()?;
        let key = Key::new(&self.route.site.name, &path, None);
        self.edge.engine.memory().look(&key)
    }
}

/// The path that a URI of the object at `base` names; `None` for one of another host.
fn beside(base: &str, uri: &str) -> Option<String> {
    if uri.starts_with("//") || uri.contains("://") {
        return None;
    }
    if uri.starts_with('/') {
        return Some(uri.to_owned());
    }
    let (folder, _) = base.rsplit_once('/')?;
    Some(format!("{folder}/{uri}"))
}

/// The beginning of an object, where it is here.
pub(super) fn beginning(object: &Object) -> Option<Bytes> {
    match object.peek(0) {
        Peek::Bytes(bytes) => Some(bytes),
        Peek::End | Peek::Wait(_) | Peek::Absent => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_a_manifest_name_paths_beside_it_or_nothing_here() {
        for (uri, expected) in [
            ("a/b.m3u8", Some("/t/a/b.m3u8")),
            ("/a", Some("/a")),
            ("../a", Some("/t/../a")),
            ("https://cdn.example/a", None),
            ("//cdn.example/a", None),
        ] {
            assert_eq!(beside("/t/master.m3u8", uri).as_deref(), expected, "{uri}");
        }
    }
}
