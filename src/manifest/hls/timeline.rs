//! The segments of a media playlist, in order, with all that stands to each.
//!
//! What a tag means for the segments behind it (`EXT-X-MAP`, `EXT-X-KEY`, a byte range that goes on
//! where the last one ended) is worked out here, so that a segment can be told by itself.

use std::ops::Range;

use crate::manifest::hls::decimal::thousandths;
use crate::manifest::hls::line::{Line, Lines};

/// A media playlist that was read.
#[derive(Debug, Clone, Default)]
pub struct Timeline<'a> {
    /// `EXT-X-VERSION`; 1 where it is not said.
    pub version: u64,
    /// `EXT-X-TARGETDURATION`, in seconds.
    pub target: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuities: u64,
    /// `EXT-X-PLAYLIST-TYPE`.
    pub kind: Option<&'a str>,
    /// Tags of the whole playlist that are not told otherwise here, as they are written.
    pub headers: Vec<&'a str>,
    /// Whether nothing will be added (`EXT-X-ENDLIST`).
    pub is_finished: bool,
    /// What makes it more than a list of whole segments, where something does.
    pub extra: Option<Extra>,
    /// Initialisation sections, in the order of the playlist.
    pub maps: Vec<Map<'a>>,
    /// The sets of keys that segments are encrypted with; the first is none.
    pub keys: Vec<Keys<'a>>,
    /// The segments, by media sequence number.
    pub segments: Vec<Segment<'a>>,
    /// Lines behind the last segment that tell of no single one.
    pub tail: Vec<&'a str>,
}

/// What a playlist has beside whole segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Parts of segments (low latency).
    Parts,
    /// Segments left out (a delta update).
    Skipped,
    /// Variables.
    Variables,
    /// Nothing but pictures (`EXT-X-I-FRAMES-ONLY`).
    Pictures,
}

/// An initialisation section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map<'a> {
    /// The whole line.
    pub line: &'a str,
    /// Its URI, as written.
    pub uri: &'a str,
    /// First and last byte; `None` for all.
    pub span: Option<(u64, u64)>,
    /// Index of the keys that it is encrypted with.
    pub keys: usize,
}

/// The `EXT-X-KEY` lines in force, one of each format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys<'a> {
    /// The lines.
    pub lines: Vec<&'a str>,
}

/// A media segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Media sequence number.
    pub sequence: u64,
    /// How long it plays, in milliseconds.
    pub millis: u64,
    /// Its URI, as written.
    pub uri: &'a str,
    /// First and last byte; `None` for all.
    pub span: Option<(u64, u64)>,
    /// Index of its initialisation section.
    pub map: Option<usize>,
    /// Index of its keys.
    pub keys: usize,
    /// Whether it continues what was before (no `EXT-X-DISCONTINUITY`).
    pub continues: bool,
    /// Whether it is there (no `EXT-X-GAP`).
    pub is_there: bool,
    /// The other lines that belong to it, comments too, as they are written.
    pub lines: Vec<&'a str>,
}

impl<'a> Timeline<'a> {
    /// Reads a media playlist; `None` for what is none, or names a segment without a duration.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut reading = Reading::default();
        reading.timeline.version = 1;
        reading.timeline.keys.push(Keys::default());
        for line in Lines::of_playlist(text)? {
            reading.take(&line)?;
        }
        let Reading {
            mut timeline,
            lines,
            sequence,
            ..
        } = reading;
        timeline.tail = lines;
        sequence.checked_add(timeline.segments.len() as u64)?;
        for (segment, sequence) in timeline.segments.iter_mut().zip(sequence..) {
            segment.sequence = sequence;
        }
        (timeline.target > 0).then_some(timeline)
    }

    /// Media sequence numbers of its segments.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        let first = self.segments.first().map_or(0, |segment| segment.sequence);
        first..first + self.segments.len() as u64
    }

    /// The segment of this media sequence number.
    #[must_use]
    pub fn at(&self, sequence: u64) -> Option<&Segment<'a>> {
        let index = sequence.checked_sub(self.range().start)?;
        self.segments.get(usize::try_from(index).ok()?)
    }

    /// The keys of this index.
    #[must_use]
    pub fn keys_at(&self, index: usize) -> &[&'a str] {
        self.keys.get(index).map_or(&[], |keys| &keys.lines)
    }
}

#[derive(Default)]
struct Reading<'a> {
    timeline: Timeline<'a>,
    sequence: u64,
    /// Lines of the segment to come.
    lines: Vec<&'a str>,
    millis: Option<u64>,
    range: Option<(u64, Option<u64>)>,
    map: Option<usize>,
    keys: usize,
    breaks: bool,
    is_gap: bool,
    /// Where the last byte range ended, and of what.
    reached: Option<(&'a str, u64)>,
}

impl<'a> Reading<'a> {
    /// Takes in a line; `None` where the playlist is no media playlist, or cannot be understood.
    fn take(&mut self, line: &Line<'a>) -> Option<()> {
        let text = std::str::from_utf8(line.text).ok()?.trim_ascii_end();
        if line.is_uri() {
            return self.segment(text.trim_ascii_start());
        }
        if let Some(value) = text.strip_prefix("#EXTINF:") {
            let seconds = value.split(',').next()?;
            self.millis = Some(thousandths(seconds.trim_ascii())?);
            self.lines.push(text);
            return Some(());
        }
        match line.tag() {
            Some((name, value)) => self.tag(line, (name, value), text),
            None => {
                if !text.is_empty() {
                    self.lines.push(text);
                }
                Some(())
            }
        }
    }

    fn tag(&mut self, line: &Line<'a>, tag: (&[u8], &'a [u8]), text: &'a str) -> Option<()> {
        let (name, value) = tag;
        let number = || std::str::from_utf8(value).ok()?.trim_ascii().parse().ok();
        let timeline = &mut self.timeline;
        match name {
            b"STREAM-INF" | b"MEDIA" => return None,
            b"VERSION" => timeline.version = number()?,
            b"TARGETDURATION" => timeline.target = number()?,
            b"MEDIA-SEQUENCE" => self.sequence = number()?,
            b"DISCONTINUITY-SEQUENCE" => timeline.discontinuities = number()?,
            b"PLAYLIST-TYPE" => timeline.kind = Some(std::str::from_utf8(value).ok()?.trim_ascii()),
            b"ENDLIST" => timeline.is_finished = true,
            b"PART-INF" | b"PART" | b"PRELOAD-HINT" | b"RENDITION-REPORT" => {
                timeline.extra = Some(Extra::Parts);
            }
            b"SKIP" => timeline.extra = Some(Extra::Skipped),
            b"DEFINE" => timeline.extra = Some(Extra::Variables),
            b"I-FRAMES-ONLY" => timeline.extra = Some(Extra::Pictures),
            b"INDEPENDENT-SEGMENTS"
            | b"START"
            | b"SERVER-CONTROL"
            | b"ALLOW-CACHE"
            | b"IMAGES-ONLY" => timeline.headers.push(text),
            b"MAP" => self.map(line, value, text)?,
            b"KEY" => self.key(line, value, text),
            b"BYTERANGE" => self.range = Some(range(std::str::from_utf8(value).ok()?)?),
            b"DISCONTINUITY" => self.breaks = true,
            b"GAP" => self.is_gap = true,
            // It tells of the segments up to the next of its kind, which another rung has not.
            b"BITRATE" => {}
            _ => self.lines.push(text),
        }
        Some(())
    }

    fn map(&mut self, line: &Line<'a>, list: &'a [u8], text: &'a str) -> Option<()> {
        let mut map = Map {
            line: text,
            uri: "",
            span: None,
            keys: self.keys,
        };
        for attribute in line.attributes(list) {
            match attribute.name {
                b"URI" => map.uri = attribute.text()?,
                b"BYTERANGE" => {
                    let (length, first) = range(attribute.text()?)?;
                    map.span = Some(span(first.unwrap_or(0), length)?);
                }
                _ => {}
            }
        }
        self.map = Some(self.timeline.maps.len());
        self.timeline.maps.push(map);
        (!map.uri.is_empty()).then_some(())
    }

    fn key(&mut self, line: &Line<'a>, list: &'a [u8], text: &'a str) {
        let value = |line: &Line<'a>, list, wanted: &[u8]| {
            let found = line.attributes(list).find(|a| a.name == wanted);
            found.map(|attribute| attribute.value)
        };
        let format = |text: &'a str| {
            let list = text.strip_prefix("#EXT-X-KEY:").unwrap_or_default();
            let line = Line {
                start: 0,
                text: text.as_bytes(),
                next: 0,
            };
            value(&line, list.as_bytes(), b"KEYFORMAT").unwrap_or(b"identity")
        };
        let mut lines = match value(line, list, b"METHOD") {
            Some(b"NONE") => Vec::new(),
            _ => {
                let lines = self.timeline.keys_at(self.keys);
                let others = lines.iter().filter(|other| format(other) != format(text));
                others.copied().chain([text]).collect()
            }
        };
        lines.sort_unstable();
        let keys = Keys { lines };
        let known = self.timeline.keys.iter().position(|known| *known == keys);
        self.keys = known.unwrap_or(self.timeline.keys.len());
        if known.is_none() {
            self.timeline.keys.push(keys);
        }
    }

    fn segment(&mut self, uri: &'a str) -> Option<()> {
        let span = match self.range.take() {
            None => None,
            Some((length, first)) => {
                let reached = self.reached.filter(|(of, _)| *of == uri);
                let first = first.or(reached.map(|(_, end)| end))?;
                Some(span(first, length)?)
            }
        };
        self.reached = span.map(|(_, last)| (uri, last.saturating_add(1)));
        self.timeline.segments.push(Segment {
            sequence: 0,
            millis: self.millis.take()?,
            uri,
            span,
            map: self.map,
            keys: self.keys,
            continues: !std::mem::take(&mut self.breaks),
            is_there: !std::mem::take(&mut self.is_gap),
            lines: std::mem::take(&mut self.lines),
        });
        Some(())
    }
}

/// Reads `length[@first]`.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let text = text.trim_ascii();
    match text.split_once('@') {
        None => Some((text.parse().ok()?, None)),
        Some((length, first)) => Some((length.parse().ok()?, Some(first.parse().ok()?))),
    }
}

/// First and last byte of `length` bytes from `first` on; `None` for none, or too many.
fn span(first: u64, length: u64) -> Option<(u64, u64)> {
    Some((first, first.checked_add(length.checked_sub(1)?)?))
}

#[cfg(test)]
mod tests;
