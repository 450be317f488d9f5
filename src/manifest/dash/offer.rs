//! Periods, adaptation sets and representations, as far as they matter for a choice.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::choices::Choices;
use super::climb;
use super::first::{self, Levels};
use super::picture;
use super::tree::{Element, Tree};
use crate::manifest::ladder::{Ladder, Rung};

/// Descriptors that mark a set as a trick-mode one; their value names the sets it belongs to.
const TRICK_MODE: &str = "http://dashif.org/guidelines/trickmode";

/// What the representations of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Pictures in motion, with sound or without.
    Video,
    /// Sound.
    Audio,
    /// Subtitles and captions.
    Text,
    /// Pictures that stand still, such as thumbnails, and everything else.
    Other,
}

/// An adaptation set.
#[derive(Debug)]
pub(super) struct Set<'a> {
    /// Place of its element.
    pub(super) element: usize,
    /// Place of its period's element.
    pub(super) period: usize,
    /// What it holds.
    pub(super) kind: Kind,
    /// `@id`.
    pub(super) id: Option<Cow<'a, str>>,
    /// Language in lower case.
    pub(super) language: Option<String>,
    /// The sets that it is the trick mode of, separated by spaces.
    pub(super) trick: Option<Cow<'a, str>>,
    /// Sets of equal number can be played in place of each other: of a period, with the same kind,
    /// language and roles.
    pub(super) peers: usize,
    /// Its place among the ladder's renditions.
    pub(super) rendition: Option<usize>,
    /// Its representations, among all of them.
    pub(super) representations: Range<usize>,
}

impl Set<'_> {
    /// Whether a ladder of this kind has its representations.
    pub(super) fn is_of(&self, kind: Kind) -> bool {
        self.kind == kind && self.trick.is_none() && !self.representations.is_empty()
    }
}

/// A representation.
#[derive(Debug)]
pub(super) struct Representation<'a> {
    /// Place of its element.
    pub(super) element: usize,
    /// `@id`.
    pub(super) id: Cow<'a, str>,
    /// `@bandwidth` in bit/s: its own only.
    pub(super) bandwidth: u64,
    /// `@dependencyId`: representations that are needed to play it, separated by spaces.
    pub(super) depends: Option<Cow<'a, str>>,
    /// Its place among the ladder's rungs.
    pub(super) rung: Option<usize>,
}

/// What an MPD offers.
#[derive(Debug)]
pub(super) struct Offer<'a> {
    /// All sets of all periods.
    pub(super) sets: Vec<Set<'a>>,
    /// All their representations.
    pub(super) representations: Vec<Representation<'a>>,
    /// The rungs and renditions that they make.
    pub(super) ladder: Ladder,
    /// What can be left out of it.
    pub(super) choices: Choices<'a>,
}

impl<'a> Offer<'a> {
    /// Reads what an MPD offers.
    pub(super) fn read(tree: &Tree<'a>) -> Self {
        let mut offer = Self {
            sets: Vec::new(),
            representations: Vec::new(),
            ladder: Ladder::default(),
            choices: Choices::default(),
        };
        let mut peers = HashMap::new();
        for period in tree.periods() {
            for set in tree.named(period, "AdaptationSet") {
                let mut read = offer.read_set(tree, set);
                read.period = period.index;
                let key = (
                    (read.period, read.kind, read.trick.is_some()),
                    (read.language.clone(), roles(tree, set)),
                );
                let fresh = peers.len();
                read.peers = *peers.entry(key).or_insert(fresh);
                offer.sets.push(read);
            }
        }
        climb::climb(tree, &mut offer);
        offer.choices = Choices::find(tree, &offer);
        offer
    }

    /// Reads a set and its representations; where it belongs is not known yet.
    fn read_set(&mut self, tree: &Tree<'a>, set: &Element<'a>) -> Set<'a> {
        let start = self.representations.len();
        for element in tree.named(set, "Representation") {
            self.representations.push(Representation {
                element: element.index,
                id: tree.value(element, "id").unwrap_or_default(),
                bandwidth: tree.number(element, "bandwidth").unwrap_or_default(),
                depends: tree.value(element, "dependencyId"),
                rung: None,
            });
        }
        let trick = properties(tree, set)
            .find(|property| tree.value(property, "schemeIdUri").as_deref() == Some(TRICK_MODE))
            .map(|property| tree.value(property, "value").unwrap_or_default());
        let language = inherited(tree, set, "lang");
        Set {
            element: set.index,
            period: 0,
            kind: kind(tree, set),
            id: tree.value(set, "id"),
            language: language.map(|tag| tag.to_ascii_lowercase()),
            trick,
            peers: 0,
            rendition: None,
            representations: start..self.representations.len(),
        }
    }
}

/// The properties of a set or representation.
pub(super) fn properties<'t, 'a>(
    tree: &'t Tree<'a>,
    of: &Element<'a>,
) -> impl Iterator<Item = &'t Element<'a>> {
    tree.children(of)
        .filter(|child| ["EssentialProperty", "SupplementalProperty"].contains(&child.name))
}

/// What a set is for, of all its roles.
fn roles(tree: &Tree<'_>, set: &Element<'_>) -> String {
    let roles = tree.named(set, "Role");
    let mut roles: Vec<_> = roles.filter_map(|role| tree.value(role, "value")).collect();
    roles.sort_unstable();
    roles.join(" ")
}

/// An attribute of the set, of its first content component or of its first representation.
fn inherited<'a>(tree: &Tree<'a>, set: &Element<'a>, name: &str) -> Option<Cow<'a, str>> {
    let component = || tree.value(tree.child(set, "ContentComponent")?, name);
    let representation = || tree.value(tree.child(set, "Representation")?, name);
    tree.value(set, name)
        .or_else(component)
        .or_else(representation)
}

fn kind(tree: &Tree<'_>, set: &Element<'_>) -> Kind {
    let is_tiled = properties(tree, set)
        .filter_map(|property| tree.value(property, "schemeIdUri"))
        .any(|scheme| scheme.ends_with("/thumbnail_tile"));
    if is_tiled {
        return Kind::Other;
    }
    let mime = inherited(tree, set, "mimeType").unwrap_or_default();
    let declared = inherited(tree, set, "contentType").unwrap_or_default();
    let codecs = inherited(tree, set, "codecs").unwrap_or_default();
    let major = mime.split('/').next().unwrap_or_default();
    if mime.contains("ttml") || ["stpp", "wvtt"].iter().any(|text| codecs.starts_with(text)) {
        return Kind::Text;
    }
    match (declared.as_ref(), major) {
        (_, "image") => Kind::Other,
        ("video", _) | ("", "video") => Kind::Video,
        ("audio", _) | ("", "audio") => Kind::Audio,
        ("text", _) | ("", "text") => Kind::Text,
        ("", "") if inherited(tree, set, "height").is_some() => Kind::Video,
        ("", "") if inherited(tree, set, "audioSamplingRate").is_some() => Kind::Audio,
        _ => Kind::Other,
    }
}

/// The rungs of a set, their groups not yet numbered. `base` is what the URIs within the period
/// resolve against.
pub(super) fn rungs(
    tree: &Tree<'_>,
    (set, representations): (&Set<'_>, &[Representation<'_>]),
    base: &str,
) -> Vec<(Rung, picture::Class)> {
    let (Some(period), Some(element)) = (tree.element(set.period), tree.element(set.element))
    else {
        return Vec::new();
    };
    let base = first::base(tree, element, base);
    let is_live = first::is_live(tree);
    let read = |representation: &Representation<'_>| {
        let own = tree.element(representation.element)?;
        let inherited = |name| tree.value(own, name).or_else(|| tree.value(element, name));
        let codecs = inherited("codecs").unwrap_or_default().into_owned();
        let range = picture::range(tree, [own, element], &codecs);
        let class = picture::Class::new(&codecs, inherited("frameRate").as_deref(), range);
        let levels = Levels {
            chain: [own, element, period],
            base: first::base(tree, own, &base),
            is_live,
        };
        let rung = Rung {
            bandwidth: representation.bandwidth,
            height: inherited("height").and_then(|height| height.trim().parse().ok()),
            codecs,
            range,
            first: first::find(tree, &levels),
            ..Rung::default()
        };
        Some((rung, class))
    };
    representations.iter().filter_map(read).collect()
}
