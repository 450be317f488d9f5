//! From events to elements.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;

use super::Error;
use super::tag::{self, Attributes, is_led, is_space};
use super::tree::Element;
use crate::limits::{MPD_ATTRIBUTES_MAX, MPD_DEPTH_MAX, MPD_ELEMENTS_MAX};

/// An element whose end tag has not come yet.
struct Open {
    /// Its place; `None` where it is left out with all within it.
    index: Option<usize>,
    /// Whether the first member of a long list in it has come.
    is_listing: bool,
}

/// What has been read so far.
pub(super) struct Elements<'a> {
    text: &'a str,
    /// The root's prefix, with its colon.
    pub(super) prefix: &'a str,
    /// What the root's prefix stands for.
    namespace: Option<&'a str>,
    /// The elements in the order of their start tags.
    pub(super) list: Vec<Element<'a>>,
    open: Vec<Open>,
    /// Names of the attributes of the tag that was read last: one allocation for all tags.
    names: Vec<&'a str>,
    has_ended: bool,
}

impl<'a> Elements<'a> {
    /// Reads all elements of a text.
    pub(super) fn read(text: &'a str) -> Result<Self, Error> {
        let mut elements = Self {
            text,
            prefix: "",
            namespace: None,
            list: Vec::new(),
            open: Vec::new(),
            names: Vec::new(),
            has_ended: false,
        };
        let marked = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mark = text.len() - marked.len();
        let mut reader = Reader::from_str(marked);
        let mut at = mark;
        loop {
            let event = reader.read_event().map_err(|_| Error::Malformed)?;
            let end = usize::try_from(reader.buffer_position()).map_err(|_| Error::TooLarge)?;
            let span = at..mark.saturating_add(end);
            at = span.end;
            if !elements.take(&event, span)? {
                break;
            }
        }
        if elements.has_ended {
            Ok(elements)
        } else if elements.list.is_empty() {
            Err(Error::NotMpd)
        } else {
            Err(Error::Malformed)
        }
    }

    /// Takes the event at a span; returns whether there may be more.
    fn take(&mut self, event: &Event<'_>, span: Range<usize>) -> Result<bool, Error> {
        match event {
            Event::Start(_) => {
                let index = self.start(span)?;
                self.open.push(Open {
                    index,
                    is_listing: false,
                });
            }
            // An MPD has periods.
            Event::Empty(_) if self.open.is_empty() => return Err(Error::NotMpd),
            Event::Empty(_) => {
                self.start(span)?;
            }
            Event::End(_) => {
                let ended = self.open.pop().ok_or(Error::Malformed)?;
                let next = self.list.len();
                if let Some(element) = ended.index.and_then(|index| self.list.get_mut(index)) {
                    element.close = span;
                    element.next = next;
                }
                self.has_ended = self.open.is_empty();
            }
            Event::Text(text) if text.bytes().all(is_space) => {}
            Event::Text(_) | Event::CData(_) if self.open.is_empty() => {
                return Err(Error::Malformed);
            }
            Event::GeneralRef(name) => {
                let reference = format!("&{};", name.borrow().into_inner());
                unescape(&reference).map_err(|_| Error::Entity)?;
                if self.open.is_empty() {
                    return Err(Error::Malformed);
                }
            }
            Event::DocType(_) => return Err(Error::Doctype),
            Event::Eof => return Ok(false),
            Event::Text(_) | Event::CData(_) => {}
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
        Ok(true)
    }

    /// Takes a start tag; returns its element's place, where it is kept.
    fn start(&mut self, tag: Range<usize>) -> Result<Option<usize>, Error> {
        if self.has_ended {
            return Err(Error::Malformed);
        }
        if self.open.len() >= MPD_DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        let (prefix, name) = tag::name(self.text, &tag);
        if !self.is_kept(prefix, name, &tag)? {
            return Ok(None);
        }
        let index = self.list.len();
        if index >= MPD_ELEMENTS_MAX {
            return Err(Error::TooLarge);
        }
        self.list.push(Element {
            name,
            close: tag.end..tag.end,
            open: tag,
            index,
            next: index.saturating_add(1),
        });
        Ok(Some(index))
    }

    fn is_kept(&mut self, prefix: &'a str, name: &str, tag: &Range<usize>) -> Result<bool, Error> {
        let Some(parent) = self.open.last_mut() else {
            if name != "MPD" {
                return Err(Error::NotMpd);
            }
            self.prefix = prefix;
            self.namespace = self.declared(tag)?;
            return Ok(true);
        };
        if parent.index.is_none() || prefix != self.prefix {
            return Ok(false);
        }
        if name == "S" || name == "SegmentURL" {
            let is_first = !std::mem::replace(&mut parent.is_listing, true);
            let matters = is_first
                || (name == "SegmentURL"
                    && Attributes::of(self.text, tag).any(|one| is_led(&one.text())));
            if !matters {
                return Ok(false);
            }
        }
        let declared = self.declared(tag)?;
        Ok(declared.is_none() || declared == self.namespace)
    }

    /// What a tag declares the root's prefix to stand for. All its attributes are well-formed, and
    /// no two have one name (XML 1.0 section 3.1): for each that bounds the rungs of a set something
    /// is kept of each rung.
    fn declared(&mut self, tag: &Range<usize>) -> Result<Option<&'a str>, Error> {
        let mut declared = None;
        self.names.clear();
        let mut attributes = Attributes::of(self.text, tag);
        while let Some(attribute) = attributes.step()? {
            if self.names.contains(&attribute.name) {
                return Err(Error::Malformed);
            }
            if self.names.len() >= MPD_ATTRIBUTES_MAX {
                return Err(Error::TooLarge);
            }
            self.names.push(attribute.name);
            let is_ours = match attribute.name.strip_prefix("xmlns") {
                Some("") => self.prefix.is_empty(),
                Some(name) => name.strip_prefix(':') == self.prefix.strip_suffix(':'),
                None => false,
            };
            if is_ours {
                declared = Some(attribute.raw);
            }
        }
        Ok(declared)
    }
}
