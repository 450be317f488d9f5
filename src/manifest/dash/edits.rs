//! Replacements of spans, gathered in any order and made at once.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::escape::escape;

use super::tree::{Element, Tree};

/// The first children of `MPD`, in the order of the schema.
const MPD_ORDER: &[&str] = &[
    "ProgramInformation",
    "BaseURL",
    "Location",
    "PatchLocation",
    "ContentSteering",
    "ServiceDescription",
];

/// What becomes of one span.
#[derive(Debug)]
struct Edit<'e> {
    span: Range<usize>,
    /// What comes first of several insertions at one place.
    rank: usize,
    text: Cow<'e, str>,
}

/// Edits of one text.
#[derive(Debug, Default)]
pub(super) struct Edits<'e> {
    list: Vec<Edit<'e>>,
    /// Bytes of all their texts.
    added: usize,
}

impl<'e> Edits<'e> {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Puts markup in place of a span; an empty span inserts.
    pub(super) fn replace(&mut self, span: Range<usize>, text: impl Into<Cow<'e, str>>) {
        self.push(span, 0, text.into());
    }

    fn push(&mut self, span: Range<usize>, rank: usize, text: Cow<'e, str>) {
        self.added = self.added.saturating_add(text.len());
        self.list.push(Edit { span, rank, text });
    }

    /// Puts text, escaped, in place of a span.
    pub(super) fn write(&mut self, span: Range<usize>, text: impl Into<Cow<'e, str>>) {
        self.replace(span, escape(text));
    }

    /// Removes an element, and the white space before it.
    pub(super) fn remove(&mut self, tree: &Tree<'_>, element: &Element<'_>) {
        self.cut(tree.with_space(element));
    }

    /// Removes a span.
    pub(super) fn cut(&mut self, span: Range<usize>) {
        self.replace(span, "");
    }

    /// Adds an attribute to a start tag.
    pub(super) fn add_attribute(&mut self, element: &Element<'_>, name: &str, value: &str) {
        let slash = usize::from(element.is_empty_tag());
        let end = element.open.end.saturating_sub(1 + slash);
        self.replace(end..end, format!(" {name}=\"{}\"", escape(value)));
    }

    /// Inserts markup that begins with the element `name` into `parent`, where `order` wants it:
    /// behind the last child that does not belong behind it.
    pub(super) fn insert(
        &mut self,
        tree: &Tree<'_>,
        parent: &Element<'_>,
        (order, name): (&[&str], &str),
        markup: &str,
    ) {
        self.place(tree, (parent, tree.children(parent)), (order, name), markup);
    }

    /// Inserts markup that begins with the element `name` into the MPD, before its periods.
    pub(super) fn insert_top(&mut self, tree: &Tree<'_>, name: &str, markup: &str) {
        if let Some(root) = tree.root() {
            self.place(tree, (root, tree.tops()), (MPD_ORDER, name), markup);
        }
    }

    fn place<'t, 'a: 't>(
        &mut self,
        tree: &Tree<'_>,
        (parent, children): (&Element<'_>, impl Iterator<Item = &'t Element<'a>>),
        (order, name): (&[&str], &str),
        markup: &str,
    ) {
        let rank = |name: &str| order.iter().position(|known| *known == name);
        let own = rank(name);
        let before = children
            .filter(|child| rank(child.name).is_some_and(|rank| Some(rank) <= own))
            .last();
        let (at, space) = match before {
            Some(child) => (child.close.end, tree.space_before(child.open.start)),
            None => (parent.open.end, tree.space_after(parent.open.end)),
        };
        let space = tree.text.get(space).unwrap_or_default();
        let rank = own.unwrap_or_default();
        self.push(at..at, rank, format!("{space}{markup}").into());
    }

    /// Begins to make all edits. One within a span that another one replaces is void.
    pub(super) fn begin<'c>(&'c mut self, text: &'c str) -> Rewrite<'c> {
        // What is inserted at a place comes before what is replaced from there on.
        self.list
            .sort_by_key(|edit| (edit.span.start, edit.span.end, edit.rank));
        Rewrite {
            text: text.as_bytes(),
            edits: &self.list,
            called: 0,
            at: 0,
            written: Vec::with_capacity(text.len().saturating_add(self.added)),
        }
    }
}

/// A text that is written anew, from its beginning to its end.
///
/// Replacements that are known in the order of the text are made at once, beside the edits that
/// have been gathered: of those there may be thousands.
pub(super) struct Rewrite<'c> {
    text: &'c [u8],
    /// Edits to be made yet, in the order of the text.
    edits: &'c [Edit<'c>],
    /// Where the span of the last call begins.
    called: usize,
    /// What is before is done.
    at: usize,
    written: Vec<u8>,
}

impl<'c> Rewrite<'c> {
    /// Puts text in place of a span that is not before that of the last call.
    pub(super) fn replace(&mut self, span: &Range<usize>, text: &str) {
        debug_assert!(self.called <= span.start, "out of order, and so void");
        self.called = span.start;
        while let Some((edit, rest)) = self.edits.split_first()
            && edit.span.start <= span.start
        {
            self.edits = rest;
            self.put(&edit.span, &edit.text);
        }
        self.put(span, text);
    }

    fn put(&mut self, span: &Range<usize>, text: &str) {
        if span.start < self.at {
            return;
        }
        let before = self.text.get(self.at..span.start).unwrap_or_default();
        self.written.extend_from_slice(before);
        if !text.is_empty() {
            self.written.extend_from_slice(text.as_bytes());
        }
        self.at = span.end;
    }

    /// Makes what edits there are yet; returns the text.
    pub(super) fn end(mut self) -> Vec<u8> {
        for edit in self.edits {
            self.put(&edit.span, &edit.text);
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.written.extend_from_slice(rest);
        self.written
    }
}
