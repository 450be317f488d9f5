//! Replacements of spans, gathered in any order and made at once.

use std::borrow::Cow;
use std::iter;
use std::ops::Range;

use quick_xml::escape::escape;

use super::filtered::Filtered;
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
    /// Where the prefix is put, in the order of the text: there may be thousands of such places.
    prefixed: Vec<usize>,
    prefix: &'e str,
}

impl<'e> Edits<'e> {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.prefixed.is_empty()
    }

    /// Has a prefix inserted at places, which are in the order of the text. Call it once.
    pub(super) fn prefix(&mut self, prefix: &'e str, places: Vec<usize>) {
        debug_assert!(self.prefixed.is_empty(), "there is one prefix");
        debug_assert!(places.is_sorted(), "out of order, and so void");
        self.prefix = prefix;
        self.prefixed = places;
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

    /// Has the edits made in what a filter left: what is gone needs none. Edits and what the filter
    /// changed lie within each other, or apart.
    pub(super) fn follow(&mut self, filtered: &Filtered) {
        self.sort();
        let mut cursor = filtered.cursor();
        let mut at = 0;
        self.list.retain_mut(|edit| {
            if edit.span.start < at {
                return false;
            }
            let start = cursor.find(edit.span.start);
            let Some(span) = start.and_then(|start| Some(start..cursor.find(edit.span.end)?))
            else {
                return false;
            };
            at = edit.span.end;
            edit.span = span;
            true
        });
        let mut cursor = filtered.cursor();
        self.prefixed.retain_mut(|place| {
            let found = cursor.find(*place);
            *place = found.unwrap_or_default();
            found.is_some()
        });
    }

    /// Makes all edits. One within a span that another one replaces is void.
    pub(super) fn make(&mut self, text: &str) -> String {
        let prefixes = self.prefixed.len().saturating_mul(self.prefix.len());
        let added = self.added.saturating_add(prefixes);
        let mut written = String::with_capacity(text.len().saturating_add(added));
        let mut at = 0;
        for (span, inserted) in self.in_order() {
            written.push_str(text.get(at..span.start).unwrap_or_default());
            written.push_str(inserted);
            at = span.end;
        }
        written.push_str(text.get(at..).unwrap_or_default());
        written
    }

    /// What is replaced, and by what, in the order of the text.
    pub(super) fn in_order(&mut self) -> impl Iterator<Item = (Range<usize>, &str)> {
        self.sort();
        let edits = self.list.iter();
        let mut edits = edits
            .map(|edit| (edit.span.clone(), edit.text.as_ref()))
            .peekable();
        let prefixed = self.prefixed.iter();
        let mut prefixed = prefixed.map(|at| (*at..*at, self.prefix)).peekable();
        let all = iter::from_fn(move || {
            let before = edits.peek().map_or(usize::MAX, |(span, _)| span.start);
            let prefix = prefixed.next_if(|(span, _)| span.start < before);
            prefix.or_else(|| edits.next())
        });
        let mut at = 0;
        all.filter(move |(span, _)| {
            let is_made = at <= span.start;
            at = if is_made { span.end } else { at };
            is_made
        })
    }

    /// What is inserted at a place comes before what is replaced from there on.
    fn sort(&mut self) {
        self.list
            .sort_by_key(|edit| (edit.span.start, edit.span.end, edit.rank));
    }
}
