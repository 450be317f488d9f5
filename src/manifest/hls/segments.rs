//! What a media playlist names: its segments, with what is needed to fetch them. Pure.
//!
//! Partial segments and preload hints are no segments: they are gone before anybody needs them
//! twice. Keys are named, so that who fetches ahead can keep away from them.

use std::time::Duration;

use crate::manifest::hls::decimal::thousandths;
use crate::manifest::hls::line::{Line, Lines};

/// A media playlist that was read.
#[derive(Debug, Clone)]
pub struct Playlist<'a> {
    /// No segment is longer, rounded; `None` where the playlist does not say.
    pub target: Option<Duration>,
    /// Media sequence number of the first segment.
    pub sequence: u64,
    /// Whether nothing will be added.
    pub is_ended: bool,
    text: &'a [u8],
}

/// A media segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// As written.
    pub uri: &'a str,
    /// The part of the resource that it is; `None` for all of it.
    pub bytes: Option<Bytes>,
    /// How long it plays.
    pub duration: Duration,
    /// Media sequence number.
    pub sequence: u64,
    /// How many discontinuities of this playlist are before it.
    pub discontinuities: u64,
    /// What its decoder needs first; `None` for self-contained formats.
    pub init: Option<Init<'a>>,
    /// What it is encrypted with; `None` in the clear.
    pub key: Option<Key<'a>>,
    /// Whether there is something to fetch.
    pub presence: Presence,
    /// Its lines as written, with the tags since the segment before, the last line's end included.
    pub lines: &'a [u8],
}

/// Whether the author has the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It can be fetched.
    There,
    /// It is missing (`EXT-X-GAP`), and must not be asked for.
    Gap,
}

/// An initialisation section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Init<'a> {
    /// As written.
    pub uri: &'a str,
    /// The part of the resource that it is; `None` for all of it.
    pub bytes: Option<Bytes>,
}

/// A range of bytes, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// A key, or the licence for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// `AES-128`, `SAMPLE-AES` and others; never `NONE`.
    pub method: &'a str,
    /// As written; never to be fetched ahead.
    pub uri: &'a str,
}

/// The segments of a playlist, in its order.
#[derive(Debug, Clone)]
pub struct Segments<'a> {
    text: &'a [u8],
    lines: Lines<'a>,
    sequence: u64,
    /// What holds until it is replaced.
    init: Option<Init<'a>>,
    key: Option<Key<'a>>,
    discontinuities: u64,
    /// The resource of the segment before, and the byte after it.
    previous: Option<(&'a str, u64)>,
}

/// What the tags before a URI say of one segment.
#[derive(Default)]
struct Told {
    duration: Duration,
    /// Length, and offset where it is given.
    range: Option<(u64, Option<u64>)>,
    is_gap: bool,
}

impl<'a> Playlist<'a> {
    /// Reads a media playlist; `None` for what is none.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut playlist = Self {
            target: None,
            sequence: 0,
            is_ended: false,
            text,
        };
        let mut is_media = false;
        for line in Lines::of_playlist(text)? {
            is_media |= line.text.starts_with(b"#EXTINF");
            let Some((name, value)) = line.tag() else {
                continue;
            };
            match name {
                b"TARGETDURATION" => {
                    is_media = true;
                    playlist.target = millis(value);
                }
                b"MEDIA-SEQUENCE" => playlist.sequence = integer(value).unwrap_or(0),
                b"ENDLIST" => playlist.is_ended = true,
                b"STREAM-INF" => return None,
                _ => {}
            }
        }
        is_media.then_some(playlist)
    }

    /// The segments from the first one on.
    #[must_use]
    pub fn segments(&self) -> Segments<'a> {
        let mut lines = Lines::whole(self.text);
        lines.next();
        Segments {
            text: self.text,
            lines,
            sequence: self.sequence,
            init: None,
            key: None,
            discontinuities: 0,
            previous: None,
        }
    }

    /// The segments behind the one that `is_current` recognises; none where it is not there.
    ///
    /// Where several are recognised, those behind the last of them that follow the first without
    /// a break.
    pub fn following(
        &self,
        is_current: impl Fn(&Segment<'a>) -> bool,
    ) -> impl Iterator<Item = Segment<'a>> {
        let mut segments = self.segments().peekable();
        while segments.next_if(|segment| !is_current(segment)).is_some() {}
        while segments.next_if(|segment| is_current(segment)).is_some() {}
        segments
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let start = self.lines.at();
        let mut told = Told::default();
        loop {
            let line = self.lines.next()?;
            if !line.is_uri() {
                self.tag(&line, &mut told);
                continue;
            }
            // What is no text is nothing to fetch; it counts all the same.
            let uri = self.text.get(line.uri()).unwrap_or_default();
            let uri = std::str::from_utf8(uri).unwrap_or_default();
            let lines = self.text.get(start..line.next).unwrap_or_default();
            return Some(self.segment(uri, &told, lines));
        }
    }
}

impl<'a> Segments<'a> {
    fn segment(&mut self, uri: &'a str, told: &Told, lines: &'a [u8]) -> Segment<'a> {
        let bytes = told.range.and_then(|(length, offset)| {
            let follows = self.previous.filter(|(previous, _)| *previous == uri);
            let first = offset.or(follows.map(|(_, next)| next)).unwrap_or(0);
            Bytes::of(first, length)
        });
        self.previous = bytes.map(|bytes| (uri, bytes.last.saturating_add(1)));
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        Segment {
            uri,
            bytes,
            duration: told.duration,
            sequence,
            discontinuities: self.discontinuities,
            init: self.init,
            key: self.key,
            presence: match told.is_gap {
                true => Presence::Gap,
                false => Presence::There,
            },
            lines,
        }
    }

    fn tag(&mut self, line: &Line<'a>, told: &mut Told) {
        if let Some(value) = line.text.strip_prefix(b"#EXTINF:") {
            told.duration = millis(value).unwrap_or_default();
            return;
        }
        let Some((name, value)) = line.tag() else {
            return;
        };
        match name {
            b"BYTERANGE" => told.range = text(value).and_then(range),
            b"GAP" => told.is_gap = true,
            b"DISCONTINUITY" => self.discontinuities = self.discontinuities.saturating_add(1),
            b"MAP" => self.init = init(line, value),
            b"KEY" => self.key = key(line, value),
            // Segments that were left out of an update count (section 4.4.5.2).
            b"SKIP" => {
                let mut attributes = line.attributes(value);
                let skipped = attributes.find(|a| a.name == b"SKIPPED-SEGMENTS");
                let skipped = skipped.and_then(|skipped| skipped.integer());
                self.sequence = self.sequence.saturating_add(skipped.unwrap_or(0));
            }
            _ => {}
        }
    }
}

impl Bytes {
    /// So many bytes from `first` on; `None` for none, and for what no file has.
    #[must_use]
    pub fn of(first: u64, length: u64) -> Option<Self> {
        let last = first.checked_add(length)?.checked_sub(1)?;
        (length > 0).then_some(Self { first, last })
    }
}

fn init<'a>(line: &Line<'a>, list: &'a [u8]) -> Option<Init<'a>> {
    let mut uri = None;
    let mut bytes = None;
    for attribute in line.attributes(list) {
        match attribute.name {
            b"URI" => uri = attribute.text(),
            b"BYTERANGE" => {
                let range = attribute.text().and_then(range);
                bytes = range.and_then(|(length, first)| Bytes::of(first.unwrap_or(0), length));
            }
            _ => {}
        }
    }
    uri.map(|uri| Init { uri, bytes })
}

fn key<'a>(line: &Line<'a>, list: &'a [u8]) -> Option<Key<'a>> {
    let mut method = "";
    let mut uri = "";
    for attribute in line.attributes(list) {
        match attribute.name {
            b"METHOD" => method = attribute.text().unwrap_or_default(),
            b"URI" => uri = attribute.text().unwrap_or_default(),
            _ => {}
        }
    }
    (method != "NONE").then_some(Key { method, uri })
}

/// `length[@offset]`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (length, offset) = text.trim().split_once('@').unwrap_or((text.trim(), ""));
    let offset = match offset {
        "" => None,
        digits => Some(digits.parse().ok()?),
    };
    Some((length.parse().ok()?, offset))
}

/// Seconds up to a comma, or the end.
fn millis(value: &[u8]) -> Option<Duration> {
    let seconds = text(value)?.split(',').next()?.trim();
    thousandths(seconds).map(Duration::from_millis)
}

fn integer(value: &[u8]) -> Option<u64> {
    text(value)?.trim().parse().ok()
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}
