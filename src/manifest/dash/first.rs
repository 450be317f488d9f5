//! Where the first bytes of a representation are (ISO/IEC 23009-1 sections 5.3.9 and 5.6).

use std::borrow::Cow;

use super::tree::{Element, Tree};
use crate::manifest::ladder::{First, Index};

/// Longest run of zeros that a template may ask for.
const WIDTH_MAX: usize = 20;

/// A representation, what it stands in, and what its URIs resolve against.
pub(super) struct Levels<'t, 'a> {
    /// The representation, its set and its period: what is nearer overrides.
    pub(super) chain: [&'t Element<'a>; 3],
    /// All `BaseURL`s on the way, resolved against each other; relative to the manifest.
    pub(super) base: String,
    /// Whether segments come into being while it plays.
    pub(super) is_live: bool,
}

/// The base of everything in an MPD.
pub(super) fn top(tree: &Tree<'_>) -> String {
    let base = tree.top("BaseURL").next();
    base.map_or_else(String::new, |base| tree.content(base).into_owned())
}

/// The base within an element whose own URIs resolve against `base`.
pub(super) fn base(tree: &Tree<'_>, element: &Element<'_>, base: &str) -> String {
    match tree.child(element, "BaseURL") {
        Some(found) => join(base, &tree.content(found)),
        None => base.to_owned(),
    }
}

impl<'t, 'a> Levels<'t, 'a> {
    /// The elements of this name, nearest first: what is nearer overrides, attribute by attribute.
    fn named(&self, tree: &'t Tree<'a>, name: &'t str) -> Vec<&'t Element<'a>> {
        let found = self
            .chain
            .iter()
            .filter_map(|level| tree.child(level, name));
        found.collect()
    }

    /// Which way of naming segments is nearest.
    fn way(&self, tree: &Tree<'a>) -> Option<&'a str> {
        self.chain.iter().find_map(|level| {
            let mut children = tree.children(level);
            let way = children.find(|child| {
                ["SegmentBase", "SegmentList", "SegmentTemplate"].contains(&child.name)
            })?;
            Some(way.name)
        })
    }
}

/// Whether an MPD's segments come into being while it plays.
pub(super) fn is_live(tree: &Tree<'_>) -> bool {
    tree.root()
        .and_then(|root| tree.value(root, "type"))
        .is_some_and(|kind| kind.trim() == "dynamic")
}

/// What is fetched of a representation before its first picture.
///
/// Of a live presentation that is the initialisation segment only: where it starts depends on the
/// time at which the player reads the manifest.
pub(super) fn find(tree: &Tree<'_>, levels: &Levels<'_, '_>) -> First {
    match levels.way(tree) {
        Some("SegmentTemplate") => by_template(tree, levels),
        Some("SegmentList") => by_list(tree, levels),
        Some("SegmentBase") => by_base(tree, levels),
        _ => First::default(),
    }
}

fn by_template(tree: &Tree<'_>, levels: &Levels<'_, '_>) -> First {
    let templates = levels.named(tree, "SegmentTemplate");
    let value = |name| templates.iter().find_map(|one| tree.value(one, name));
    let entry = first_entry(tree, &templates);
    let start = templates
        .iter()
        .find_map(|one| tree.number(one, "startNumber"));
    let [representation, ..] = levels.chain;
    let names = Names {
        id: tree.value(representation, "id").unwrap_or_default(),
        bandwidth: tree.number(representation, "bandwidth").unwrap_or_default(),
        number: start.unwrap_or(1),
        time: entry.map(|entry| tree.number(entry, "t").unwrap_or_default()),
    };
    let resolve = |template: Cow<'_, str>| Some(join(&levels.base, &names.fill(&template)?));
    First {
        init: value("initialization").and_then(resolve),
        segment: (!levels.is_live)
            .then(|| value("media").and_then(resolve))
            .flatten(),
        millis: millis(tree, &templates),
        ..First::default()
    }
}

fn by_list(tree: &Tree<'_>, levels: &Levels<'_, '_>) -> First {
    let lists = levels.named(tree, "SegmentList");
    let init = lists
        .iter()
        .find_map(|one| tree.child(one, "Initialization"));
    let segment = lists.iter().find_map(|one| tree.child(one, "SegmentURL"));
    let resolve = |element: &Element<'_>, name| {
        join(&levels.base, &tree.value(element, name).unwrap_or_default())
    };
    let segment = segment.filter(|_| !levels.is_live);
    First {
        init: init.map(|init| resolve(init, "sourceURL")),
        init_bytes: init.and_then(|init| range(tree, init, "range")),
        segment: segment.map(|segment| resolve(segment, "media")),
        segment_bytes: segment.and_then(|segment| range(tree, segment, "mediaRange")),
        millis: millis(tree, &lists),
        ..First::default()
    }
}

fn by_base(tree: &Tree<'_>, levels: &Levels<'_, '_>) -> First {
    let bases = levels.named(tree, "SegmentBase");
    let init = bases
        .iter()
        .find_map(|one| tree.child(one, "Initialization"));
    let index = bases
        .iter()
        .find_map(|one| range(tree, one, "indexRange"))
        .filter(|_| !levels.is_live);
    First {
        index: index.map(|span| Index {
            uri: levels.base.clone(),
            span,
        }),
        init: init.map(|init| {
            join(
                &levels.base,
                &tree.value(init, "sourceURL").unwrap_or_default(),
            )
        }),
        init_bytes: init.and_then(|init| range(tree, init, "range")),
        ..First::default()
    }
}

/// The first entry of the nearest timeline.
fn first_entry<'t, 'a>(tree: &'t Tree<'a>, ways: &[&Element<'a>]) -> Option<&'t Element<'a>> {
    let timeline = ways
        .iter()
        .find_map(|one| tree.child(one, "SegmentTimeline"));
    tree.child(timeline?, "S")
}

fn millis(tree: &Tree<'_>, ways: &[&Element<'_>]) -> Option<u64> {
    let number = |name| ways.iter().find_map(|one| tree.number(one, name));
    let entry = first_entry(tree, ways).and_then(|entry| tree.number(entry, "d"));
    let duration = entry.or_else(|| number("duration"))?;
    let scale = u128::from(number("timescale").unwrap_or(1));
    let millis = u128::from(duration)
        .saturating_mul(1000)
        .checked_div(scale)?;
    u64::try_from(millis).ok()
}

/// A byte range as an attribute names it: first and last.
fn range(tree: &Tree<'_>, element: &Element<'_>, name: &str) -> Option<(u64, u64)> {
    let value = tree.value(element, name)?;
    let (first, last) = value.trim().split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// What the names in a template stand for.
struct Names<'a> {
    id: Cow<'a, str>,
    bandwidth: u64,
    number: u64,
    time: Option<u64>,
}

impl Names<'_> {
    /// The URI that a template makes; `None` for names that are unknown here (section 5.3.9.4.4).
    fn fill(&self, template: &str) -> Option<String> {
        let mut filled = String::with_capacity(template.len());
        let mut parts = template.split('$');
        filled.push_str(parts.next()?);
        while let Some(name) = parts.next() {
            let (name, format) = name.split_once('%').unwrap_or((name, "01d"));
            match name {
                "" => filled.push('$'),
                "RepresentationID" => filled.push_str(&self.id),
                "Bandwidth" => pad(&mut filled, self.bandwidth, format)?,
                "Number" => pad(&mut filled, self.number, format)?,
                "Time" => pad(&mut filled, self.time?, format)?,
                _ => return None,
            }
            filled.push_str(parts.next()?);
        }
        Some(filled)
    }
}

/// Appends a number in the `format` `0<width>d`.
fn pad(to: &mut String, number: u64, format: &str) -> Option<()> {
    let width = format.strip_prefix('0')?.strip_suffix('d')?;
    let width: usize = if width.is_empty() {
        1
    } else {
        width.parse().ok()?
    };
    let digits = number.to_string();
    for _ in digits.len()..width.min(WIDTH_MAX) {
        to.push('0');
    }
    to.push_str(&digits);
    Some(())
}

/// The reference in place of `reference` where `base` was found (RFC 3986 section 5.2, but that dot
/// segments stay, since what is relative is resolved again against the manifest).
fn join(base: &str, reference: &str) -> String {
    if reference.is_empty() {
        return base.to_owned();
    }
    if has_scheme(reference) || reference.starts_with("//") {
        return reference.to_owned();
    }
    let base = base.split(['?', '#']).next().unwrap_or_default();
    let authority = match base.find("//") {
        Some(start) if start == 0 || has_scheme(base) => {
            let from = start.saturating_add(2);
            let path = base.get(from..).and_then(|rest| rest.find('/'));
            path.map_or(base.len(), |path| from.saturating_add(path))
        }
        _ => 0,
    };
    let (authority, path) = base.split_at_checked(authority).unwrap_or(("", base));
    let directory = if reference.starts_with('/') {
        ""
    } else {
        let last = path.rfind('/').map_or(0, |slash| slash.saturating_add(1));
        path.get(..last).unwrap_or_default()
    };
    let between = if directory.is_empty() && !authority.is_empty() && !reference.starts_with('/') {
        "/"
    } else {
        ""
    };
    format!("{authority}{directory}{between}{reference}")
}

/// Whether a reference begins with a scheme (RFC 3986 section 3.1).
fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|one| one.is_ascii_alphanumeric() || ['+', '-', '.'].contains(&one))
    })
}

#[cfg(test)]
mod tests {
    use super::{Names, join};
    use std::borrow::Cow;

    #[test]
    fn references_resolve_against_bases() {
        for (base, reference, expected) in [
            ("", "a.mp4", "a.mp4"),
            ("v/", "a.mp4", "v/a.mp4"),
            ("v/x.mp4", "a.mp4", "v/a.mp4"),
            ("v/x.mp4", "", "v/x.mp4"),
            ("v/", "/a.mp4", "/a.mp4"),
            ("https://h/v/", "a.mp4", "https://h/v/a.mp4"),
            ("https://h", "a.mp4", "https://h/a.mp4"),
            ("https://h/v/?q#f", "/a.mp4", "https://h/a.mp4"),
            ("//h/v/", "a.mp4", "//h/v/a.mp4"),
            ("v/", "https://h/a.mp4", "https://h/a.mp4"),
            ("https://h/v/", "//i/a.mp4", "//i/a.mp4"),
            ("v//w/", "a.mp4", "v//w/a.mp4"),
            ("v/", "../a.mp4", "v/../a.mp4"),
        ] {
            assert_eq!(join(base, reference), expected, "{base} {reference}");
        }
    }

    #[test]
    fn templates_are_filled_as_far_as_their_names_are_known() {
        let names = Names {
            id: Cow::Borrowed("v1"),
            bandwidth: 800,
            number: 7,
            time: None,
        };
        for (template, expected) in [
            (
                "a-$RepresentationID$-$Number%05d$.m4s",
                Some("a-v1-00007.m4s"),
            ),
            ("$Bandwidth$/$Number$.m4s", Some("800/7.m4s")),
            ("$$-$Bandwidth%02d$", Some("$-800")),
            ("plain.m4s", Some("plain.m4s")),
            ("$Time$.m4s", None),
            ("$SubNumber$.m4s", None),
            ("$Number%5d$.m4s", None),
            ("$Number.m4s", None),
        ] {
            assert_eq!(names.fill(template).as_deref(), expected, "{template}");
        }
    }
}
