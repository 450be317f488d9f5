//! The elements of an MPD, as spans of its text.
//!
//! Of long lists only what matters is kept: the first `S` of a timeline, and of a segment list the
//! first `SegmentURL` and those whose URIs do not depend on a `BaseURL`. Elements of other
//! namespaces are left out with all that is in them.
//!
//! Invariant: spans lie within the text, at its character boundaries, and an element's lie within
//! its parent's.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;

use super::Error;
use crate::limits::{MPD_BYTES_MAX, MPD_DEPTH_MAX, MPD_ELEMENTS_MAX};

/// The XLink namespace.
const XLINK: &str = "http://www.w3.org/1999/xlink";

/// An element of the root's namespace.
#[derive(Debug, Clone)]
pub(super) struct Element<'a> {
    /// Name without prefix.
    pub(super) name: &'a str,
    /// Its start tag, or empty-element tag.
    pub(super) open: Range<usize>,
    /// Its end tag; nothing, just behind `open`, for an empty-element tag.
    pub(super) close: Range<usize>,
    /// Its place among all elements, in the order of their start tags.
    pub(super) index: usize,
    /// The place of the next element that is not within it.
    next: usize,
}

impl Element<'_> {
    /// What is between its tags.
    pub(super) fn inside(&self) -> Range<usize> {
        self.open.end..self.close.start
    }

    /// Whether it is one tag.
    pub(super) fn is_empty_tag(&self) -> bool {
        self.close.is_empty()
    }
}

/// An attribute, as written.
#[derive(Debug, Clone)]
pub(super) struct Attribute<'a> {
    /// Name with prefix.
    pub(super) name: &'a str,
    /// Value with its references.
    raw: &'a str,
    /// Where the value is, without its quotes.
    pub(super) value: Range<usize>,
}

impl<'a> Attribute<'a> {
    /// The value, its references resolved.
    pub(super) fn text(&self) -> Cow<'a, str> {
        unescape(self.raw).unwrap_or(Cow::Borrowed(self.raw))
    }
}

/// An MPD's elements in the order of their start tags; the first is the root.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// The whole text, a byte order mark included.
    pub(super) text: &'a str,
    /// Prefix of the elements' names with its colon, or nothing.
    pub(super) prefix: &'a str,
    elements: Vec<Element<'a>>,
}

impl<'a> Tree<'a> {
    /// Reads `text`.
    pub(super) fn parse(text: &'a str) -> Result<Self, Error> {
        if text.len() > MPD_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        let mut builder = Builder {
            text,
            prefix: "",
            namespace: None,
            elements: Vec::new(),
            open: Vec::new(),
            has_ended: false,
        };
        builder.read()?;
        Ok(Self {
            text,
            prefix: builder.prefix,
            elements: builder.elements,
        })
    }

    /// The `MPD` element.
    pub(super) fn root(&self) -> Option<&Element<'a>> {
        self.elements.first()
    }

    /// All elements in the order of their start tags.
    pub(super) fn elements(&self) -> &[Element<'a>] {
        &self.elements
    }

    /// The element at a place.
    pub(super) fn element(&self, index: usize) -> Option<&Element<'a>> {
        self.elements.get(index)
    }

    /// The children of an element.
    pub(super) fn children(&self, of: &Element<'a>) -> impl Iterator<Item = &Element<'a>> {
        let within = of.index.saturating_add(1)..of.next;
        let mut rest = self.elements.get(within).unwrap_or_default();
        std::iter::from_fn(move || {
            let child = rest.first()?;
            rest = rest.get(child.next - child.index..).unwrap_or_default();
            Some(child)
        })
    }

    /// The children of an element that have this name.
    pub(super) fn named<'t>(
        &'t self,
        of: &Element<'a>,
        name: &'t str,
    ) -> impl Iterator<Item = &'t Element<'a>> {
        self.children(of).filter(move |child| child.name == name)
    }

    /// The first child of this name.
    pub(super) fn child<'t>(&'t self, of: &Element<'a>, name: &'t str) -> Option<&'t Element<'a>> {
        self.named(of, name).next()
    }

    /// The attributes of an element.
    pub(super) fn attributes(&self, of: &Element<'a>) -> Attributes<'a> {
        Attributes::of(self.text, &of.open)
    }

    /// The attribute of this name.
    pub(super) fn attribute(&self, of: &Element<'a>, name: &str) -> Option<Attribute<'a>> {
        self.attributes(of).find(|attribute| attribute.name == name)
    }

    /// The value of the attribute of this name.
    pub(super) fn value(&self, of: &Element<'a>, name: &str) -> Option<Cow<'a, str>> {
        Some(self.attribute(of, name)?.text())
    }

    /// The value of the attribute of this name, where it is a number.
    pub(super) fn number(&self, of: &Element<'a>, name: &str) -> Option<u64> {
        self.value(of, name)?.trim().parse().ok()
    }

    /// The text that an element holds, without white space around it.
    pub(super) fn content(&self, of: &Element<'a>) -> Cow<'a, str> {
        self.plain(of.inside())
    }

    /// What the markup in a span says, without white space around it.
    pub(super) fn plain(&self, span: Range<usize>) -> Cow<'a, str> {
        let raw = self.text.get(span).unwrap_or_default().trim();
        if !raw.contains(['<', '&']) {
            return Cow::Borrowed(raw);
        }
        let mut reader = Reader::from_str(raw);
        let mut content = String::new();
        loop {
            match reader.read_event() {
                Ok(Event::Text(text)) => content.push_str(&text.into_inner()),
                Ok(Event::CData(text)) => content.push_str(&text.into_inner()),
                Ok(Event::GeneralRef(name)) => {
                    let reference = format!("&{};", name.into_inner());
                    content.push_str(&unescape(&reference).unwrap_or_default());
                }
                Ok(Event::Eof) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Cow::Owned(content.trim().to_owned())
    }

    /// The white space before a place.
    pub(super) fn space_before(&self, place: usize) -> Range<usize> {
        let before = self.text.get(..place).unwrap_or_default();
        let kept = before.trim_end_matches([' ', '\t', '\r', '\n']).len();
        kept..place
    }

    /// The white space behind a place.
    pub(super) fn space_after(&self, place: usize) -> Range<usize> {
        let after = self.text.get(place..).unwrap_or_default();
        let kept = after.trim_start_matches([' ', '\t', '\r', '\n']).len();
        place..self.text.len().saturating_sub(kept)
    }

    /// The attribute of `XLink` by this local name, whichever prefix it has been given.
    pub(super) fn xlink(&self, of: &Element<'a>, local: &str) -> Option<Attribute<'a>> {
        self.attributes(of).find(|attribute| {
            attribute
                .name
                .split_once(':')
                .is_some_and(|(prefix, name)| name == local && self.is_xlink(of, prefix))
        })
    }

    fn is_xlink(&self, of: &Element<'a>, prefix: &str) -> bool {
        prefix == "xlink"
            || [Some(of), self.root()]
                .into_iter()
                .flatten()
                .any(|element| {
                    self.attributes(element).any(|attribute| {
                        attribute.name.strip_prefix("xmlns:") == Some(prefix)
                            && attribute.raw == XLINK
                    })
                })
    }
}

/// An element whose end tag has not come yet.
#[derive(Clone, Copy)]
struct Open {
    /// Its place; `None` where it is left out with all within it.
    index: Option<usize>,
    /// Whether the first member of a long list in it has come.
    is_listing: bool,
}

struct Builder<'a> {
    text: &'a str,
    prefix: &'a str,
    namespace: Option<&'a str>,
    elements: Vec<Element<'a>>,
    open: Vec<Open>,
    has_ended: bool,
}

impl<'a> Builder<'a> {
    fn read(&mut self) -> Result<(), Error> {
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(self.text);
        let mark = self.text.len() - text.len();
        let mut reader = Reader::from_str(text);
        let mut at = mark;
        loop {
            let event = reader.read_event().map_err(|_| Error::Malformed)?;
            let end = usize::try_from(reader.buffer_position()).map_err(|_| Error::TooLarge)?;
            let span = at..mark.saturating_add(end);
            at = span.end;
            match event {
                Event::Start(_) => self.start(span)?,
                Event::Empty(_) => {
                    self.start(span)?;
                    self.end(at..at)?;
                }
                Event::End(_) => self.end(span)?,
                Event::Text(text) => self.outside(text.trim().is_empty())?,
                Event::CData(_) => self.outside(false)?,
                Event::GeneralRef(name) => {
                    unescape(&format!("&{};", name.into_inner())).map_err(|_| Error::Entity)?;
                    self.outside(false)?;
                }
                Event::DocType(_) => return Err(Error::Doctype),
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
        if self.has_ended {
            Ok(())
        } else if self.elements.is_empty() {
            Err(Error::NotMpd)
        } else {
            Err(Error::Malformed)
        }
    }

    /// Refuses what may not stand outside the root.
    fn outside(&self, is_space: bool) -> Result<(), Error> {
        if !is_space && self.open.is_empty() {
            return Err(Error::Malformed);
        }
        Ok(())
    }

    fn start(&mut self, span: Range<usize>) -> Result<(), Error> {
        if self.has_ended {
            return Err(Error::Malformed);
        }
        if self.open.len() >= MPD_DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        let mut index = None;
        if self.is_kept(&span)? {
            if self.elements.len() >= MPD_ELEMENTS_MAX {
                return Err(Error::TooLarge);
            }
            index = Some(self.elements.len());
            let (_, name) = qualified(self.text, &span);
            self.elements.push(Element {
                name,
                close: span.end..span.end,
                open: span,
                index: self.elements.len(),
                next: self.elements.len().saturating_add(1),
            });
        }
        self.open.push(Open {
            index,
            is_listing: false,
        });
        Ok(())
    }

    fn end(&mut self, span: Range<usize>) -> Result<(), Error> {
        let ended = self.open.pop().ok_or(Error::Malformed)?;
        let next = self.elements.len();
        if let Some(element) = ended.index.and_then(|index| self.elements.get_mut(index)) {
            element.close = span;
            element.next = next;
        }
        self.has_ended = self.open.is_empty();
        Ok(())
    }

    fn is_kept(&mut self, span: &Range<usize>) -> Result<bool, Error> {
        let (prefix, name) = qualified(self.text, span);
        let Some(parent) = self.open.last_mut() else {
            return self.root(span);
        };
        if parent.index.is_none() || prefix != self.prefix {
            return Ok(false);
        }
        if name == "S" || name == "SegmentURL" {
            let is_first = !std::mem::replace(&mut parent.is_listing, true);
            let tag = self.text.get(span.clone()).unwrap_or_default();
            if !is_first && !(name == "SegmentURL" && is_led(tag)) {
                return Ok(false);
            }
        }
        let mut attributes = Attributes::of(self.text, span);
        let mut is_ours = true;
        while let Some(attribute) = attributes.step()? {
            if declares(attribute.name, prefix) {
                is_ours = Some(attribute.raw) == self.namespace;
            }
        }
        Ok(is_ours)
    }

    fn root(&mut self, span: &Range<usize>) -> Result<bool, Error> {
        let (prefix, name) = qualified(self.text, span);
        if name != "MPD" {
            return Err(Error::NotMpd);
        }
        self.prefix = prefix;
        let mut attributes = Attributes::of(self.text, span);
        while let Some(attribute) = attributes.step()? {
            if declares(attribute.name, prefix) {
                self.namespace = Some(attribute.raw);
            }
        }
        Ok(true)
    }
}

/// Prefix with its colon, and local name, of a tag.
fn qualified<'a>(text: &'a str, tag: &Range<usize>) -> (&'a str, &'a str) {
    let tag = text.get(tag.clone()).unwrap_or_default();
    let tag = tag.strip_prefix('<').unwrap_or(tag);
    let end = tag.find([' ', '\t', '\r', '\n', '/', '>']);
    let name = tag.get(..end.unwrap_or(tag.len())).unwrap_or_default();
    match name
        .find(':')
        .and_then(|colon| name.split_at_checked(colon + 1))
    {
        Some((prefix, local)) => (prefix, local),
        None => ("", name),
    }
}

/// Whether an attribute of this name declares the namespace of a prefix (with its colon).
fn declares(name: &str, prefix: &str) -> bool {
    match name.strip_prefix("xmlns") {
        Some("") => prefix.is_empty(),
        Some(declared) => {
            !prefix.is_empty() && declared.strip_prefix(':') == prefix.strip_suffix(':')
        }
        None => false,
    }
}

/// Whether a URI in the tag may begin with a slash or a scheme.
fn is_led(tag: &str) -> bool {
    tag.contains("=\"/") || tag.contains("='/") || tag.contains("://") || tag.contains("&#")
}

/// The attributes of one tag.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    rest: &'a str,
    /// Where `rest` begins in the text.
    at: usize,
}

impl<'a> Attributes<'a> {
    fn of(text: &'a str, tag: &Range<usize>) -> Self {
        let whole = text.get(tag.clone()).unwrap_or_default();
        let rest = whole.strip_suffix('>').unwrap_or(whole);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let name = rest.find([' ', '\t', '\r', '\n']).unwrap_or(rest.len());
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
        let kept = self.rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        self.skip(self.rest.len() - kept);
    }

    /// The next attribute; `None` behind the last.
    fn step(&mut self) -> Result<Option<Attribute<'a>>, Error> {
        self.skip_space();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let length = self.rest.find(['=', ' ', '\t', '\r', '\n']);
        let name = self.rest.get(..length.ok_or(Error::Malformed)?);
        let name = name.ok_or(Error::Malformed)?;
        self.skip(name.len());
        self.skip_space();
        if !self.rest.starts_with('=') {
            return Err(Error::Malformed);
        }
        self.skip(1);
        self.skip_space();
        let quote = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => quote,
            _ => return Err(Error::Malformed),
        };
        self.skip(1);
        let length = self.rest.find(quote).ok_or(Error::Malformed)?;
        let raw = self.rest.get(..length).unwrap_or_default();
        if raw.contains('&') {
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
