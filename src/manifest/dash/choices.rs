//! What of an MPD can be left out, found when it is read.
//!
//! Finding it takes many times what leaving rungs out takes, and an MPD that was read is written for
//! many clients, by more filters than are remembered.
//!
//! Invariants: entries are in the order of the text; `cuts` has one for each rung of the ladder.

use std::ops::Range;

use super::offer::{Offer, Set};
use super::picture;
use super::tag::Attribute;
use super::tree::{Element, Tree};

/// Everything that a ladder lets choose from.
#[derive(Debug, Default)]
pub(super) struct Choices<'a> {
    /// Sets with rungs.
    pub(super) sets: Vec<Choice>,
    /// For each rung the span that goes with it: its element and the white space before.
    pub(super) cuts: Vec<Range<usize>>,
    /// What sets say of all their representations.
    pub(super) bounds: Vec<Bound<'a>>,
    /// What the bounds can become.
    pub(super) sizes: Vec<Size<'a>>,
    /// Whether any representation needs another one.
    pub(super) has_dependent: bool,
}

/// A set whose representations are rungs.
#[derive(Debug)]
pub(super) struct Choice {
    /// Its place among all sets.
    pub(super) set: usize,
    /// Its rungs, among all of the ladder.
    pub(super) rungs: Range<usize>,
    /// Its bounds, among all of them.
    pub(super) bounds: Range<usize>,
}

/// The least or the most of something that a set says its representations have.
#[derive(Debug)]
pub(super) struct Bound<'a> {
    /// Where the set says it.
    pub(super) span: Range<usize>,
    /// What it says, as written.
    pub(super) text: &'a str,
    /// What each representation has, among all sizes: the first that stays is the bound.
    pub(super) sizes: Range<usize>,
}

/// What a representation has of something that is bound.
#[derive(Debug)]
pub(super) struct Size<'a> {
    /// Its rung.
    pub(super) rung: usize,
    /// How it is written; as the bound is, where it is not known, since that is then to stay.
    pub(super) text: &'a str,
    /// Before others of the same bound goes what is less.
    rank: f64,
}

impl<'a> Choices<'a> {
    /// Finds them, when the rungs are numbered.
    pub(super) fn find(tree: &Tree<'a>, offer: &Offer<'a>) -> Self {
        let mut choices = Self {
            has_dependent: offer.representations.iter().any(|it| it.depends.is_some()),
            ..Self::default()
        };
        for (place, set) in offer.sets.iter().enumerate() {
            choices.add(tree, offer, (place, set));
        }
        choices
    }

    /// Adds a set, where it has rungs.
    fn add(&mut self, tree: &Tree<'a>, offer: &Offer<'_>, (place, set): (usize, &Set<'_>)) {
        let own = offer.representations.get(set.representations.clone());
        let rungs = own.unwrap_or_default().iter().filter_map(|one| {
            let element = tree.element(one.element)?;
            Some((one.rung?, element))
        });
        let Some(element) = tree.element(set.element) else {
            return;
        };
        let start = self.cuts.len();
        let cuts = rungs.clone().map(|(_, rung)| tree.with_space(rung));
        self.cuts.extend(cuts);
        if self.cuts.len() == start {
            return;
        }
        let first = self.bounds.len();
        for attribute in tree.attributes(element) {
            if let Some((end, of)) = bound(attribute.name) {
                self.bind(tree, (&attribute, end, of), rungs.clone());
            }
        }
        self.sets.push(Choice {
            set: place,
            rungs: start..self.cuts.len(),
            bounds: first..self.bounds.len(),
        });
    }

    /// Adds a bound of some rungs.
    fn bind<'t>(
        &mut self,
        tree: &'t Tree<'a>,
        (bound, end, of): (&Attribute<'a>, End, &str),
        rungs: impl Iterator<Item = (usize, &'t Element<'a>)>,
    ) where
        'a: 't,
    {
        let start = self.sizes.len();
        self.sizes.extend(rungs.map(|(rung, element)| {
            let found = tree.attribute(element, of).and_then(|own| {
                let size = picture::pictures(&own.text())?;
                let rank = match end {
                    End::Least => size,
                    End::Most => -size,
                };
                Some((own.raw, rank))
            });
            let (text, rank) = found.unwrap_or((bound.raw, f64::NEG_INFINITY));
            Size { rung, text, rank }
        }));
        let sizes = self.sizes.get_mut(start..).unwrap_or_default();
        sizes.sort_by(|one, other| one.rank.total_cmp(&other.rank));
        self.bounds.push(Bound {
            span: bound.value.clone(),
            text: bound.raw,
            sizes: start..self.sizes.len(),
        });
    }
}

/// From which end something is bound.
#[derive(Debug, Clone, Copy)]
enum End {
    /// None has less.
    Least,
    /// None has more.
    Most,
}

/// What an attribute of a set bounds: from which end, and which attribute of its representations.
fn bound(name: &str) -> Option<(End, &'static str)> {
    let (end, name) = match name.split_at_checked(3)? {
        ("min", name) => (End::Least, name),
        ("max", name) => (End::Most, name),
        _ => return None,
    };
    let of = match name {
        "Bandwidth" => "bandwidth",
        "Width" => "width",
        "Height" => "height",
        "FrameRate" => "frameRate",
        _ => return None,
    };
    Some((end, of))
}
