//! What a player fetches before its first picture, as far as memory knows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::object::{Object, Peek};
use crate::manifest::dash::sidx::{self, Subsegment};
use crate::manifest::hls::timeline::Timeline;
use crate::manifest::ladder::{First, Index, Rung, Sound};
use crate::prefetch::target;
use crate::proxy::adapt::Visit;
use crate::session::start::Candidate;

/// What a segment plays where nobody says.
const PLAYS: Duration = Duration::from_secs(4);

/// Of a media playlist as much as tells of its first segment.
const PLAYLIST_BYTES: usize = 8 * 1024;

/// What is known of a rung's beginning.
#[derive(Debug, Default, Clone, Copy)]
struct Beginning {
    /// How long the first segment plays.
    plays: Option<Duration>,
    /// Bytes of the first segment.
    segment: Option<u64>,
    /// Bytes of the initialisation section, and of the index where one is fetched with it.
    init: Option<u64>,
}

impl Visit<'_> {
    /// What starts at rungs of one ladder take. Sizes are those of the objects where memory holds
    /// them, and what the bit rate makes of the duration elsewhere; so are those of the `sounds`
    /// that are fetched apart.
    pub(super) fn candidates(&self, rungs: &[(usize, &Rung)], sounds: &[Sound]) -> Vec<Candidate> {
        let firsts = rungs.iter().map(|(_, rung)| self.beginning(&rung.first));
        let firsts: Vec<Beginning> = firsts.collect();
        // The rungs of a ladder are cut alike, so that players can go from one to another.
        let plays = firsts.iter().find_map(|first| first.plays);
        let mut heard = HashMap::new();
        let mut sound = |at: usize| {
            *heard
                .entry(at)
                .or_insert_with(|| self.sound(sounds.get(at)?))
        };
        let rungs = rungs.iter().zip(firsts);
        let candidate = |((_, rung), first): (&(usize, &Rung), Beginning)| {
            let plays = first.plays.or(plays);
            let sound = rung.heard.and_then(&mut sound);
            candidate(rung, Beginning { plays, ..first }, sound)
        };
        rungs.map(candidate).collect()
    }

    /// Bytes of a sound before the first picture is shown with it.
    fn sound(&self, sound: &Sound) -> Option<u64> {
        let first = self.beginning(&sound.first);
        Some(first.segment?.saturating_add(first.init.unwrap_or(0)))
    }

    fn beginning(&self, first: &First) -> Beginning {
        match &first.playlist {
            Some(playlist) => self.by_playlist(playlist).unwrap_or_default(),
            None => self.by_manifest(first),
        }
    }

    /// What a manifest says that names its segments, or the indexes of its files.
    fn by_manifest(&self, first: &First) -> Beginning {
        let base = &self.route.origin_path;
        let length = |uri: &Option<String>, span| self.length_of(base, uri.as_deref()?, span);
        let init = length(&first.init, first.init_bytes);
        let Some(index) = &first.index else {
            return Beginning {
                plays: first.millis.map(Duration::from_millis),
                segment: length(&first.segment, first.segment_bytes),
                init,
            };
        };
        let told = self.by_index(index);
        Beginning {
            plays: told.map(|first| Duration::from_millis(first.millis)),
            segment: told.map(|first| first.bytes),
            init: Some(init.unwrap_or(0).saturating_add(count(index.span))),
        }
    }

    /// What the index of a file says, where memory holds its beginning.
    fn by_index(&self, index: &Index) -> Option<Subsegment> {
        let key = target::resolve(&self.route.site, &self.route.origin_path, &index.uri)?;
        let object = self.edge.engine.memory().look(&key)?;
        let bytes = from(&object, index.span.0)?;
        let most = usize::try_from(count(index.span)).unwrap_or(usize::MAX);
        sidx::first(bytes.get(..most).unwrap_or(&bytes))
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
        if span.is_some() {
            return span.map(count);
        }
        let key = target::resolve(&self.route.site, base, uri)?;
        let object: Arc<Object> = self.edge.engine.memory().look(&key)?;
        object.length()
    }
}

/// What a start takes that begins like this, with a sound apart of so many bytes.
fn candidate(rung: &Rung, first: Beginning, sound: Option<u64>) -> Candidate {
    let plays = first.plays.unwrap_or(PLAYS);
    let millis = u64::try_from(plays.as_millis()).unwrap_or(u64::MAX);
    let bytes = |bitrate: u64| bitrate.saturating_mul(millis) / 8000;
    let sound_rate = rung.sound.min(rung.average);
    let picture_rate = rung.average.saturating_sub(sound_rate);
    let picture = first.segment.unwrap_or(bytes(picture_rate));
    let segment = picture.saturating_add(sound.unwrap_or(bytes(sound_rate)));
    Candidate {
        rated: rung.bandwidth,
        bitrate: rung.average,
        first_bytes: segment.saturating_add(first.init.unwrap_or(0)),
        plays,
    }
}

/// The beginning of an object, where it is here.
pub(super) fn beginning(object: &Object) -> Option<bytes::Bytes> {
    from(object, 0)
}

/// Bytes of an object from an offset on, where they are here.
fn from(object: &Object, offset: u64) -> Option<bytes::Bytes> {
    match object.peek(offset) {
        Peek::Bytes(bytes) => Some(bytes),
        Peek::End | Peek::Wait(_) | Peek::Absent => None,
    }
}

/// Bytes of a span, which is first and last.
fn count((first, last): (u64, u64)) -> u64 {
    last.saturating_sub(first).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::{Beginning, candidate};
    use crate::manifest::ladder::Rung;
    use std::time::Duration;

    #[test]
    fn what_is_known_of_a_beginning_goes_before_what_the_bit_rate_makes_of_it() {
        let rung = Rung {
            bandwidth: 2_000_000,
            average: 1_000_000,
            sound: 128_000,
            ..Rung::default()
        };
        let plays = Some(Duration::from_secs(2));
        // Seconds, bytes of segment, initialisation and sound; seconds and bytes in all.
        for (plays, segment, init, sound, expected) in [
            (None, None, None, None, (4, 500_000)),
            (plays, None, None, None, (2, 250_000)),
            (plays, None, Some(900), None, (2, 250_900)),
            (plays, Some(90_000), Some(900), None, (2, 122_900)),
            (None, Some(90_000), None, None, (4, 154_000)),
            (plays, None, None, Some(7_000), (2, 225_000)),
            (plays, Some(90_000), Some(900), Some(7_000), (2, 97_900)),
            (plays, Some(u64::MAX), Some(900), Some(1), (2, u64::MAX)),
        ] {
            let first = Beginning {
                plays,
                segment,
                init,
            };
            let found = candidate(&rung, first, sound);
            let (seconds, bytes) = expected;
            assert_eq!(found.plays, Duration::from_secs(seconds), "{first:?}");
            assert_eq!(found.first_bytes, bytes, "{first:?}");
            assert_eq!((found.rated, found.bitrate), (2_000_000, 1_000_000));
        }
    }
}
