//! One tag: its name and its attributes, as spans.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::escape::unescape;

use super::Error;

/// Whether XML takes a byte for white space.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Prefix with its colon, and local name, of a tag.
pub(super) fn name<'a>(text: &'a str, tag: &Range<usize>) -> (&'a str, &'a str) {
    let tag = text.get(tag.clone()).unwrap_or_default();
    let tag = tag.strip_prefix('<').unwrap_or(tag);
    let end = tag
        .bytes()
        .position(|byte| is_space(byte) || matches!(byte, b'/' | b'>'));
    let name = tag.get(..end.unwrap_or(tag.len())).unwrap_or_default();
    let colon = name.bytes().position(|byte| byte == b':');
    match colon.and_then(|colon| name.split_at_checked(colon + 1)) {
        Some((prefix, local)) => (prefix, local),
        None => ("", name),
    }
}

/// An attribute, as written.
#[derive(Debug, Clone)]
pub(super) struct Attribute<'a> {
    /// Name with prefix.
    pub(super) name: &'a str,
    /// Value with its references.
    pub(super) raw: &'a str,
    /// Where the value is, without its quotes.
    pub(super) value: Range<usize>,
}

impl<'a> Attribute<'a> {
    /// The value, its references resolved.
    pub(super) fn text(&self) -> Cow<'a, str> {
        unescape(self.raw).unwrap_or(Cow::Borrowed(self.raw))
    }
}

/// The attributes of one tag.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    rest: &'a str,
    /// Where `rest` begins in the text.
    at: usize,
}

impl<'a> Attributes<'a> {
    /// The attributes of the tag that is there in `text`.
    pub(super) fn of(text: &'a str, tag: &Range<usize>) -> Self {
        let whole = text.get(tag.clone()).unwrap_or_default();
        let rest = whole.strip_suffix('>').unwrap_or(whole);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let name = rest.bytes().position(is_space).unwrap_or(rest.len());
        Self {
            rest: rest.get(name..).unwrap_or_default(),
            at: tag.start.saturating_add(name),
        }
    }

    /// Takes bytes off the front.
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        self.at = self.at.saturating_add(bytes);
    }

    fn skip_space(&mut self) {
        let length = self.rest.bytes().position(|byte| !is_space(byte));
        self.skip(length.unwrap_or(self.rest.len()));
    }

    /// The next attribute; `None` behind the last.
    pub(super) fn step(&mut self) -> Result<Option<Attribute<'a>>, Error> {
        self.skip_space();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut bytes = self.rest.bytes();
        let length = bytes.position(|byte| byte == b'=' || is_space(byte));
        let name = self.rest.get(..length.ok_or(Error::Malformed)?);
        let name = name.ok_or(Error::Malformed)?;
        self.skip(name.len());
        self.skip_space();
        if !self.rest.starts_with('=') {
            return Err(Error::Malformed);
        }
        self.skip(1);
        self.skip_space();
        let quote = match self.rest.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => return Err(Error::Malformed),
        };
        self.skip(1);
        let length = memchr::memchr(quote, self.rest.as_bytes()).ok_or(Error::Malformed)?;
        let raw = self.rest.get(..length).unwrap_or_default();
        if memchr::memchr(b'&', raw.as_bytes()).is_some() {
            unescape(raw).map_err(|_| Error::Entity)?;
        }
        let value = self.at..self.at.saturating_add(length);
        self.skip(length.saturating_add(1));
        Ok(Some(Attribute { name, raw, value }))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        self.step().ok().flatten()
    }
}

/// Whether a URI resolves to the same whatever it is relative to, but for its host.
pub(super) fn is_led(uri: &str) -> bool {
    let uri = uri.trim();
    uri.starts_with('/') || uri.contains("://")
}
