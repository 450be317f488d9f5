//! Lines of a playlist, with the places they stand at, and the attribute lists in them.
//!
//! Lossless: the lines follow each other without a gap from the first byte to the last one. Lines
//! end in LF or CR LF (draft-pantos-hls-rfc8216bis section 4.1), the last one perhaps in nothing.

use std::ops::Range;

/// What UTF-8 files may begin with; playlists must not, but some do.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Where it begins.
    pub start: usize,
    /// Without its end.
    pub text: &'a [u8],
    /// Where the next one begins.
    pub next: usize,
}

/// The lines of a text.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The lines of a playlist behind its first one; `None` where that is not `#EXTM3U`.
    pub(super) fn of_playlist(text: &'a [u8]) -> Option<Self> {
        let mut lines = Self { text, at: 0 };
        let first = lines.next()?.text;
        let first = first.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first);
        (first.trim_ascii_end() == b"#EXTM3U").then_some(lines)
    }

    /// Where the next line begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let start = self.at;
        let rest = self.text.get(start..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest);
        let text = length.map_or(rest, |length| rest.get(..length).unwrap_or(rest));
        self.at = start + length.map_or(rest.len(), |length| length + 1);
        Some(Line {
            start,
            text: text.strip_suffix(b"\r").unwrap_or(text),
            next: self.at,
        })
    }
}

impl<'a> Line<'a> {
    /// The name of a tag without `#EXT-X-`, and what follows its colon; `None` for other lines.
    pub(super) fn tag(&self) -> Option<(&'a [u8], &'a [u8])> {
        let tag = self.text.strip_prefix(b"#EXT-X-")?;
        let end = tag.iter().position(|&byte| byte == b':');
        let (name, value) = tag.split_at_checked(end.unwrap_or(tag.len()))?;
        Some((name, value.strip_prefix(b":").unwrap_or(value)))
    }

    /// Whether it is a URI: neither blank, nor a comment or tag.
    pub(super) fn is_uri(&self) -> bool {
        let first = self.text.iter().find(|byte| !byte.is_ascii_whitespace());
        first.is_some_and(|&byte| byte != b'#')
    }

    /// Where in the playlist the URI of this line stands, without the blanks around it.
    pub(super) fn uri(&self) -> Range<usize> {
        let text = self.text.trim_ascii_start();
        let start = self.start + self.text.len() - text.len();
        start..start + text.trim_ascii_end().len()
    }

    /// The attributes of this line, of which `list` is the end. CRs at its end belong to the end of
    /// the line.
    pub(super) fn attributes(&self, list: &'a [u8]) -> Attributes<'a> {
        let rest = list.trim_ascii_end();
        Attributes {
            rest,
            end: self.start + self.text.len() - (list.len() - rest.len()),
            state: State::Sound,
        }
    }
}

/// An attribute of a tag (section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub name: &'a [u8],
    /// Without its quotes.
    pub value: &'a [u8],
    /// Where in the playlist the value begins.
    pub start: usize,
    pub form: Form,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Quoted,
    Bare,
}

/// The attributes of a list, up to the first thing that is none.
#[derive(Debug, Clone)]
pub(super) struct Attributes<'a> {
    rest: &'a [u8],
    end: usize,
    state: State,
}

/// Whether a list is one so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    Broken,
}

impl<'a> Attributes<'a> {
    /// Whether all that was read so far are attributes.
    pub(super) fn is_sound(&self) -> bool {
        self.state == State::Sound
    }

    /// Splits `length` bytes off, and drops the byte behind them.
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Some(taken)
    }

    fn read(&mut self) -> Option<Attribute<'a>> {
        let equals = self.rest.iter().position(|&byte| byte == b'=')?;
        let name = without_leading_blanks(without_trailing_blanks(self.take(equals)?));
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.iter().all(is_name) {
            return None;
        }
        let form = match self.rest.strip_prefix(b"\"") {
            Some(rest) => {
                self.rest = rest;
                Form::Quoted
            }
            None => Form::Bare,
        };
        let start = self.end - self.rest.len();
        let quoted = match form {
            Form::Quoted => self.take(memchr::memchr(b'"', self.rest)?)?,
            Form::Bare => b"",
        };
        let comma = self.rest.iter().position(|&byte| byte == b',');
        let bare = self.take(comma.unwrap_or(self.rest.len()))?;
        let bare = without_trailing_blanks(bare);
        let value = match form {
            Form::Quoted if bare.is_empty() => quoted,
            Form::Bare if !bare.contains(&b'"') => bare,
            Form::Quoted | Form::Bare => return None,
        };
        // Some players end their lines there.
        if memchr::memchr(b'\r', value).is_some() {
            return None;
        }
        Some(Attribute {
            name,
            value,
            start,
            form,
        })
    }
}

/// Whether a byte may stand around names and values.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Without the blanks at its beginning.
fn without_leading_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_blank(*byte));
    text.get(start.unwrap_or(text.len())..).unwrap_or_default()
}

/// Without the blanks at its end.
fn without_trailing_blanks(text: &[u8]) -> &[u8] {
    let last = text.iter().rposition(|byte| !is_blank(*byte));
    text.get(..last.map_or(0, |last| last + 1))
        .unwrap_or_default()
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let attribute = self.read();
        if attribute.is_none() {
            self.rest = b"";
            self.state = State::Broken;
        }
        attribute
    }
}

impl<'a> Attribute<'a> {
    /// The value as text.
    pub(super) fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value).ok()
    }

    /// The value as a decimal integer.
    pub(super) fn integer(&self) -> Option<u64> {
        self.text()?.parse().ok()
    }

    /// Where in the playlist the value stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.start + self.value.len()
    }
}
