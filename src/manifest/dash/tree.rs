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
use super::reader::Elements;
use super::tag::{Attribute, Attributes, is_space};
use crate::limits::MPD_BYTES_MAX;

/// The `XLink` namespace.
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
    pub(super) next: usize,
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

/// An MPD's elements in the order of their start tags; the first is the root.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// The whole text, a byte order mark included.
    pub(super) text: &'a str,
    /// Prefix of the elements' names with its colon, or nothing.
    pub(super) prefix: &'a str,
    elements: Vec<Element<'a>>,
    /// Places of the root's children that are no periods: of those there may be many.
    tops: Vec<usize>,
}

impl<'a> Tree<'a> {
    /// Reads `text`.
    pub(super) fn parse(text: &'a str) -> Result<Self, Error> {
        if text.len() > MPD_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        let elements = Elements::read(text)?;
        let mut tree = Self {
            text,
            prefix: elements.prefix,
            elements: elements.list,
            tops: Vec::new(),
        };
        let root = tree.root().into_iter();
        let tops = root.flat_map(|root| tree.children(root));
        let tops = tops.filter(|child| child.name != "Period");
        tree.tops = tops.map(|child| child.index).collect();
        Ok(tree)
    }

    /// The `MPD` element.
    pub(super) fn root(&self) -> Option<&Element<'a>> {
        self.elements.first()
    }

    /// The root's children but for its periods.
    pub(super) fn tops(&self) -> impl Iterator<Item = &Element<'a>> {
        self.tops.iter().filter_map(|place| self.element(*place))
    }

    /// The root's children of this name, which is not `Period`.
    pub(super) fn top<'t>(&'t self, name: &'t str) -> impl Iterator<Item = &'t Element<'a>> {
        self.tops().filter(move |child| child.name == name)
    }

    /// The periods.
    pub(super) fn periods(&self) -> impl Iterator<Item = &Element<'a>> {
        let root = self.root().into_iter();
        root.flat_map(|root| self.named(root, "Period"))
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

    /// The attribute of `XLink` by this local name, whichever prefix it has been given.
    pub(super) fn xlink(&self, of: &Element<'a>, local: &str) -> Option<Attribute<'a>> {
        self.attributes(of).find(|attribute| {
            let name = attribute.name.split_once(':');
            name.is_some_and(|(prefix, name)| name == local && self.is_xlink(of, prefix))
        })
    }

    fn is_xlink(&self, of: &Element<'a>, prefix: &str) -> bool {
        let declares = |attribute: Attribute<'_>| {
            attribute.name.strip_prefix("xmlns:") == Some(prefix) && attribute.raw == XLINK
        };
        let mut levels = [Some(of), self.root()].into_iter().flatten();
        prefix == "xlink" || levels.any(|level| self.attributes(level).any(declares))
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

    /// An element, and the white space before it.
    pub(super) fn with_space(&self, element: &Element<'_>) -> Range<usize> {
        self.space_before(element.open.start).start..element.close.end
    }

    /// The white space before a place.
    pub(super) fn space_before(&self, place: usize) -> Range<usize> {
        let before = self.text.get(..place).unwrap_or_default();
        let space = before.bytes().rev().take_while(|byte| is_space(*byte));
        place.saturating_sub(space.count())..place
    }

    /// The white space behind a place.
    pub(super) fn space_after(&self, place: usize) -> Range<usize> {
        let after = self.text.get(place..).unwrap_or_default();
        let space = after.bytes().take_while(|byte| is_space(*byte));
        place..place.saturating_add(space.count())
    }
}
