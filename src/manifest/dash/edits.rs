//! Replacements of spans, gathered in any order and made at once.

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
struct Edit {
    span: Range<usize>,
    /// What comes first of several insertions at one place.
    rank: usize,
    text: String,
}

/// Edits of one text.
#[derive(Debug, Default)]
pub(super) struct Edits {
    list: Vec<Edit>,
}

impl Edits {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Puts markup in place of a span; an empty span inserts.
    pub(super) fn replace(&mut self, span: Range<usize>, text: String) {
        self.push(span, 0, text);
    }

    fn push(&mut self, span: Range<usize>, rank: usize, text: String) {
        self.list.push(Edit { span, rank, text });
    }

    /// Puts text, escaped, in place of a span.
    pub(super) fn write(&mut self, span: Range<usize>, text: &str) {
        self.replace(span, escape(text).into_owned());
    }

    /// Removes an element, and the white space before it.
    pub(super) fn remove(&mut self, tree: &Tree<'_>, element: &Element<'_>) {
        let start = tree.space_before(element.open.start).start;
        self.replace(start..element.close.end, String::new());
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
        self.push(at..at, rank, format!("{space}{markup}"));
    }

    /// The text with all edits made. An edit within a span that another one replaces is void.
    pub(super) fn apply(mut self, text: &str) -> Vec<u8> {
        // What is inserted at a place comes before what is replaced from there on.
        self.list
            .sort_by_key(|edit| (edit.span.start, edit.span.end, edit.rank));
        let added: usize = self.list.iter().map(|edit| edit.text.len()).sum();
        let mut written = Vec::with_capacity(text.len().saturating_add(added));
        let text = text.as_bytes();
        let mut at = 0;
        for edit in self.list {
            if edit.span.start < at {
                continue;
            }
            written.extend_from_slice(text.get(at..edit.span.start).unwrap_or_default());
            written.extend_from_slice(edit.text.as_bytes());
            at = edit.span.end;
        }
        written.extend_from_slice(text.get(at..).unwrap_or_default());
        written
    }
}
