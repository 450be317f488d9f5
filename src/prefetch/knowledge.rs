//! What follows what: the segments of the media playlists that went through this node. Pure.
//!
//! A playlist is read once for each of its versions, when it is served; a segment is then found by
//! its name and first byte. Playlists that were served elsewhere, or are not HLS, are not known:
//! players that say by themselves what they ask for next need none.
//!
//! Invariant: the index names exactly the segments of the playlists that are kept. A segment that
//! two playlists name belongs to the one that was read last.

use std::collections::HashMap;
use std::sync::Arc;

use crate::asset::Kind;
use crate::config::Site;
use crate::key::Key;
use crate::limits::{PREFETCH_PLAYLISTS_MAX, PREFETCH_SEGMENTS_MAX};
use crate::manifest::hls::timeline::{Segment, Timeline};
use crate::prefetch::target;

/// An object, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The object.
    pub key: Key,
    /// First and last byte; `None` for all of it.
    pub span: Option<(u64, u64)>,
}

/// What a piece is known by: its object, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The object.
    pub key: Key,
    /// The first byte.
    pub first: u64,
}

/// A segment, with what must be there before it can be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The initialisation section.
    pub init: Option<Arc<Piece>>,
    /// The segment; `None` for a gap, or for what is not brought ahead.
    pub piece: Option<Piece>,
}

/// The steps of one playlist.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// In the order of the playlist.
    pub list: Vec<Step>,
    /// Whether nothing will be added.
    pub is_finished: bool,
}

/// The playlists.
#[derive(Default)]
pub struct Knowledge {
    playlists: HashMap<Key, Known>,
    /// Which segment of which playlist a piece is, by its beginning.
    index: HashMap<Place, (Key, usize)>,
    segments: usize,
    uses: u64,
}

struct Known {
    version: u128,
    steps: Steps,
    used: u64,
}

impl Piece {
    /// What it is known by.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            key: self.key.clone(),
            first: self.span.map_or(0, |(first, _)| first),
        }
    }
}

impl Steps {
    /// Reads the media playlist `key` of a site; `None` for what is none.
    #[must_use]
    pub fn read(site: &Arc<Site>, key: &Key, text: &[u8]) -> Option<Self> {
        let timeline = Timeline::parse(text).filter(|timeline| timeline.extra.is_none())?;
        let piece = |uri: &str, span| {
            let key: Key = target::resolve(site, key.path(), uri)?;
            (Kind::of(key.path()) != Kind::HlsManifest).then_some(Piece { key, span })
        };
        let inits = timeline.maps.iter();
        let inits: Vec<_> = inits
            .map(|map| piece(map.uri, map.span).map(Arc::new))
            .collect();
        let step = |segment: &Segment<'_>| Step {
            init: segment
                .map
                .and_then(|map| inits.get(map).cloned().flatten()),
            piece: piece(segment.uri, segment.span).filter(|_| segment.is_there),
        };
        Some(Self {
            list: timeline.segments.iter().map(step).collect(),
            is_finished: timeline.is_finished,
        })
    }

    /// Where a player begins: at the first segment, or three before the end of what grows (as
    /// draft-pantos-hls-rfc8216bis section 6.3.3 has it).
    #[must_use]
    pub fn start(&self) -> &[Step] {
        let skipped = match self.is_finished {
            true => 0,
            false => self.list.len().saturating_sub(3),
        };
        self.list.get(skipped..).unwrap_or_default()
    }
}

impl Knowledge {
    /// Whether this version of a playlist was read.
    #[must_use]
    pub fn has(&self, playlist: &Key, version: u128) -> bool {
        let known = self.playlists.get(playlist);
        known.is_some_and(|known| known.version == version)
    }

    /// Keeps the steps of a playlist, and forgets those of others where there are too many.
    pub fn learn(&mut self, playlist: &Key, version: u128, steps: Steps) {
        self.forget(playlist);
        if steps.list.len() > PREFETCH_SEGMENTS_MAX {
            return;
        }
        while self.playlists.len() >= PREFETCH_PLAYLISTS_MAX
            || self.segments + steps.list.len() > PREFETCH_SEGMENTS_MAX
        {
            let oldest = self.playlists.iter().min_by_key(|(_, known)| known.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.forget(&oldest);
        }
        for (at, step) in steps.list.iter().enumerate() {
            if let Some(piece) = &step.piece {
                self.index.insert(piece.place(), (playlist.clone(), at));
            }
        }
        self.segments += steps.list.len();
        self.uses += 1;
        let used = self.uses;
        let known = Known {
            version,
            steps,
            used,
        };
        self.playlists.insert(playlist.clone(), known);
    }

    /// The segment at `place`, and those behind it; nothing where no playlist names it.
    pub fn from(&mut self, place: &Place) -> &[Step] {
        let Some((playlist, at)) = self.index.get(place) else {
            return &[];
        };
        let Some(known) = self.playlists.get_mut(playlist) else {
            return &[];
        };
        self.uses += 1;
        known.used = self.uses;
        known.steps.list.get(*at..).unwrap_or_default()
    }

    /// Whether a playlist names the segment at `place`.
    #[must_use]
    pub fn names(&self, place: &Place) -> bool {
        self.index.contains_key(place)
    }

    fn forget(&mut self, playlist: &Key) {
        let Some(known) = self.playlists.remove(playlist) else {
            return;
        };
        self.segments -= known.steps.list.len();
        for piece in known.steps.list.into_iter().filter_map(|step| step.piece) {
            let place = piece.place();
            if self.index.get(&place).is_some_and(|(of, _)| of == playlist) {
                self.index.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn site() -> Arc<Site> {
        let text = "[[site]]\nname = \"v\"\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:1\"\n";
        let config = config::Config::parse(text, std::path::Path::new("/")).unwrap();
        Arc::clone(&config.sites[0])
    }

    fn key(path: &str) -> Key {
        Key::new("v", path, None)
    }

    fn at(path: &str, first: u64) -> Place {
        let key = key(path);
        Place { key, first }
    }

    fn steps(playlist: &str, segments: &[&str], rest: &str) -> Steps {
        let lines = segments.iter().map(|uri| format!("#EXTINF:4,\n{uri}\n"));
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n{}{rest}",
            lines.collect::<String>()
        );
        Steps::read(&site(), &key(playlist), text.as_bytes()).unwrap()
    }

    fn paths(steps: &[Step]) -> Vec<&str> {
        let pieces = steps.iter().filter_map(|step| step.piece.as_ref());
        pieces.map(|piece| piece.key.path()).collect()
    }

    #[test]
    fn a_segment_is_found_in_the_playlist_that_names_it_and_those_behind_it_follow() {
        let mut knowledge = Knowledge::default();
        let names = [
            "1.ts",
            "../a/2.ts?x=1",
            "http://other.example/3.ts",
            "k.key",
            "/5.ts",
        ];
        knowledge.learn(&key("/v/l.m3u8"), 1, steps("/v/l.m3u8", &names, ""));
        let found = knowledge.from(&at("/v/1.ts", 0));
        assert_eq!(paths(found), ["/v/1.ts", "/a/2.ts", "/5.ts"]);
        assert_eq!(paths(knowledge.from(&at("/5.ts", 0))), ["/5.ts"]);
        assert_eq!(knowledge.from(&at("/v/1.ts", 7)), []);
        assert_eq!(knowledge.from(&at("/v/9.ts", 0)), []);
        assert!(knowledge.names(&at("/5.ts", 0)) && !knowledge.names(&at("/v/k.key", 0)));
    }

    #[test]
    fn byte_ranges_of_one_file_follow_each_other_with_their_initialisation() {
        let text = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n\
            #EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"100@0\"\n\
            #EXTINF:4,\n#EXT-X-BYTERANGE:50@100\nall.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:60\nall.mp4\n\
            #EXT-X-GAP\n#EXTINF:4,\ngone.mp4\n#EXT-X-ENDLIST\n";
        let steps = Steps::read(&site(), &key("/v/l.m3u8"), text).unwrap();
        assert!(steps.is_finished);
        assert_eq!(steps.start().len(), 3);
        let piece = |span| Piece {
            key: key("/v/all.mp4"),
            span: Some(span),
        };
        assert_eq!(steps.list[0].init.as_deref(), Some(&piece((0, 99))));
        assert_eq!(steps.list[2].piece, None, "a gap");
        let mut knowledge = Knowledge::default();
        knowledge.learn(&key("/v/l.m3u8"), 1, steps);
        let found = knowledge.from(&at("/v/all.mp4", 100));
        assert_eq!(found[1].piece, Some(piece((150, 209))));
    }

    #[test]
    fn what_grows_is_begun_three_segments_before_its_end() {
        let names = ["1.ts", "2.ts", "3.ts", "4.ts"];
        let live = steps("/l.m3u8", &names, "");
        assert_eq!(paths(live.start()), ["/2.ts", "/3.ts", "/4.ts"]);
        let vod = steps("/l.m3u8", &names, "#EXT-X-ENDLIST\n");
        assert_eq!(paths(vod.start()).len(), 4);
        assert_eq!(Steps::default().start(), []);
    }

    #[test]
    fn a_new_version_takes_the_place_of_the_old_one() {
        let mut knowledge = Knowledge::default();
        let live = key("/l.m3u8");
        knowledge.learn(&live, 1, steps("/l.m3u8", &["1.ts", "2.ts"], ""));
        assert!(knowledge.has(&live, 1) && !knowledge.has(&live, 2));
        knowledge.learn(&live, 2, steps("/l.m3u8", &["2.ts", "3.ts"], ""));
        assert!(knowledge.has(&live, 2));
        assert_eq!(knowledge.from(&at("/1.ts", 0)), []);
        assert_eq!(paths(knowledge.from(&at("/2.ts", 0))), ["/2.ts", "/3.ts"]);
        assert_eq!((knowledge.segments, knowledge.index.len()), (2, 2));
    }

    #[test]
    fn a_segment_of_two_playlists_outlives_the_first() {
        let mut knowledge = Knowledge::default();
        knowledge.learn(&key("/a.m3u8"), 1, steps("/a.m3u8", &["1.ts", "2.ts"], ""));
        knowledge.learn(&key("/b.m3u8"), 1, steps("/b.m3u8", &["1.ts", "3.ts"], ""));
        knowledge.learn(&key("/a.m3u8"), 2, Steps::default());
        assert_eq!(paths(knowledge.from(&at("/1.ts", 0))), ["/1.ts", "/3.ts"]);
        assert_eq!(knowledge.index.len(), 2);
    }

    #[test]
    fn the_playlists_used_last_are_kept() {
        let mut knowledge = Knowledge::default();
        let names = |n: usize| [format!("{n}-1.ts"), format!("{n}-2.ts")];
        for n in 0..PREFETCH_PLAYLISTS_MAX {
            let [one, two] = names(n);
            let playlist = format!("/{n}.m3u8");
            knowledge.learn(&key(&playlist), 1, steps(&playlist, &[&one, &two], ""));
        }
        assert_eq!(knowledge.from(&at("/0-1.ts", 0)).len(), 2);
        knowledge.learn(&key("/new.m3u8"), 1, steps("/new.m3u8", &["n.ts"], ""));
        assert!(knowledge.names(&at("/0-1.ts", 0)) && knowledge.names(&at("/n.ts", 0)));
        assert!(!knowledge.names(&at("/1-1.ts", 0)));
        assert_eq!(knowledge.playlists.len(), PREFETCH_PLAYLISTS_MAX);
        let many = Steps {
            list: vec![
                Step {
                    init: None,
                    piece: None
                };
                PREFETCH_SEGMENTS_MAX
            ],
            is_finished: true,
        };
        knowledge.learn(&key("/long.m3u8"), 1, many);
        assert_eq!(knowledge.playlists.len(), 1);
        assert_eq!(
            (knowledge.segments, knowledge.index.len()),
            (PREFETCH_SEGMENTS_MAX, 0)
        );
    }
}
