//! Periods, adaptation sets and representations, and the ladder that they make.

use std::borrow::Cow;
use std::collections::HashMap;

use super::first::{self, Levels};
use super::picture;
use super::tree::{Element, Tree};
use crate::config::adapt::DynamicRange;
use crate::manifest::ladder::{Ladder, Rendition, RenditionKind, Rung};

/// Descriptors that mark a set as a trick-mode one; their value names the sets it belongs to.
const TRICK_MODE: &str = "http://dashif.org/guidelines/trickmode";

/// What the representations of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    language: Option<String>,
    /// What it is for, of all its roles.
    roles: String,
    /// The sets that it is the trick mode of, separated by spaces.
    pub(super) trick: Option<Cow<'a, str>>,
    /// Its place among the ladder's renditions.
    pub(super) rendition: Option<usize>,
    /// Its representations.
    pub(super) representations: Vec<Representation<'a>>,
}

impl Set<'_> {
    /// Whether each can be played in place of the other.
    pub(super) fn stands_in_for(&self, other: &Self) -> bool {
        self.period == other.period
            && self.kind == other.kind
            && self.language == other.language
            && self.roles == other.roles
            && self.trick.is_some() == other.trick.is_some()
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
    /// The rungs and renditions that they make.
    pub(super) ladder: Ladder,
}

impl<'a> Offer<'a> {
    /// Reads what an MPD offers.
    pub(super) fn read(tree: &Tree<'a>) -> Self {
        let mut sets = Vec::new();
        if let Some(root) = tree.root() {
            for period in tree.named(root, "Period") {
                let found = tree.named(period, "AdaptationSet");
                sets.extend(found.map(|set| read_set(tree, period, set)));
            }
        }
        let ladder = climb(tree, &mut sets);
        Self { sets, ladder }
    }
}

fn read_set<'a>(tree: &Tree<'a>, period: &Element<'a>, set: &Element<'a>) -> Set<'a> {
    let representations = tree
        .named(set, "Representation")
        .map(|element| Representation {
            element: element.index,
            id: tree.value(element, "id").unwrap_or_default(),
            bandwidth: tree.number(element, "bandwidth").unwrap_or_default(),
            depends: tree.value(element, "dependencyId"),
            rung: None,
        });
    let mut roles: Vec<Cow<'a, str>> = tree
        .named(set, "Role")
        .filter_map(|role| tree.value(role, "value"))
        .collect();
    roles.sort_unstable();
    let trick = ["EssentialProperty", "SupplementalProperty"]
        .into_iter()
        .flat_map(|name| tree.named(set, name))
        .find(|property| tree.value(property, "schemeIdUri").as_deref() == Some(TRICK_MODE))
        .map(|property| tree.value(property, "value").unwrap_or_default());
    let language = inherited(tree, set, "lang");
    Set {
        element: set.index,
        period: period.index,
        kind: kind(tree, set),
        id: tree.value(set, "id"),
        language: language.map(|tag| tag.to_ascii_lowercase()),
        roles: roles.join(" "),
        trick,
        rendition: None,
        representations: representations.collect(),
    }
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
    let is_tiled = ["EssentialProperty", "SupplementalProperty"]
        .into_iter()
        .flat_map(|name| tree.named(set, name))
        .filter_map(|property| tree.value(property, "schemeIdUri"))
        .any(|scheme| scheme.ends_with("/thumbnail_tile"));
    if is_tiled {
        return Kind::Other;
    }
    let mime = inherited(tree, set, "mimeType").unwrap_or_default();
    let declared = inherited(tree, set, "contentType").unwrap_or_default();
    let codecs = inherited(tree, set, "codecs").unwrap_or_default();
    let major = mime.split('/').next().unwrap_or_default();
    if ["stpp", "wvtt"].iter().any(|text| codecs.starts_with(text)) || mime.contains("ttml") {
        return Kind::Text;
    }
    match (declared.as_ref(), major) {
        (_, "image") => Kind::Other,
        ("video", _) => Kind::Video,
        ("audio", _) => Kind::Audio,
        ("text", _) => Kind::Text,
        ("", "video") => Kind::Video,
        ("", "audio") => Kind::Audio,
        ("", "text") => Kind::Text,
        ("", "") if inherited(tree, set, "height").is_some() => Kind::Video,
        ("", "") if inherited(tree, set, "audioSamplingRate").is_some() => Kind::Audio,
        _ => Kind::Other,
    }
}

/// Numbers the rungs and renditions of the sets, and describes them.
fn climb(tree: &Tree<'_>, sets: &mut [Set<'_>]) -> Ladder {
    let is_rung = |set: &Set<'_>, kind| {
        set.kind == kind && set.trick.is_none() && !set.representations.is_empty()
    };
    let has_video = sets.iter().any(|set| is_rung(set, Kind::Video));
    let kind = if has_video { Kind::Video } else { Kind::Audio };
    let sound = beside(sets, has_video);
    let mut ladder = Ladder::default();
    let mut groups: HashMap<(usize, picture::Class), usize> = HashMap::new();
    let mut rendition_groups: HashMap<(usize, bool), usize> = HashMap::new();
    for (place, set) in sets.iter_mut().enumerate() {
        if is_rung(set, kind) {
            let beside = sound.get(&set.period).copied().unwrap_or_default();
            for (rung, class) in rungs(tree, set, beside) {
                let fresh = groups.len();
                let group = *groups.entry((place, class)).or_insert(fresh);
                if let Some(representation) = set
                    .representations
                    .iter_mut()
                    .find(|representation| representation.rung.is_none())
                {
                    representation.rung = Some(ladder.rungs.len());
                }
                ladder.rungs.push(Rung {
                    group,
                    has_video,
                    ..rung
                });
            }
        }
        let kind = match set.kind {
            Kind::Audio => RenditionKind::Audio,
            Kind::Text => RenditionKind::Subtitles,
            Kind::Video | Kind::Other => continue,
        };
        let fresh = rendition_groups.len();
        let medium = (set.period, kind == RenditionKind::Audio);
        set.rendition = Some(ladder.renditions.len());
        ladder.renditions.push(Rendition {
            kind,
            language: set.language.clone(),
            group: *rendition_groups.entry(medium).or_insert(fresh),
        });
    }
    ladder
}

/// For each period the bit/s of the sound that plays beside the picture: the best of its first
/// audio set, since that is what players take where nobody chooses.
fn beside(sets: &[Set<'_>], has_video: bool) -> HashMap<usize, u64> {
    let mut sound = HashMap::new();
    for set in sets
        .iter()
        .filter(|set| has_video && set.kind == Kind::Audio)
    {
        let rates = set.representations.iter().map(|one| one.bandwidth);
        sound
            .entry(set.period)
            .or_insert(rates.max().unwrap_or_default());
    }
    sound
}

/// The rungs of a set, their groups not yet numbered.
fn rungs(tree: &Tree<'_>, set: &Set<'_>, beside: u64) -> Vec<(Rung, picture::Class)> {
    let (Some(period), Some(element)) = (tree.element(set.period), tree.element(set.element))
    else {
        return Vec::new();
    };
    let read = |representation: &Representation<'_>| {
        let own = tree.element(representation.element)?;
        let inherited = |name| tree.value(own, name).or_else(|| tree.value(element, name));
        let bandwidth = representation.bandwidth.saturating_add(beside);
        let codecs = inherited("codecs").unwrap_or_default().into_owned();
        let range: Option<DynamicRange> = picture::range(tree, [own, element], &codecs);
        let class = picture::Class::new(&codecs, inherited("frameRate").as_deref(), range);
        let rung = Rung {
            bandwidth,
            average: bandwidth,
            height: inherited("height").and_then(|height| height.trim().parse().ok()),
            codecs,
            range,
            first: first::find(tree, &Levels::new(tree, period, element, own)),
            ..Rung::default()
        };
        Some((rung, class))
    };
    set.representations.iter().filter_map(read).collect()
}
