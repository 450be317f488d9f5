//! Leaving out representations and adaptation sets.
//!
//! What is kept can be played: a representation brings those that it depends on. A set that would
//! be empty goes when another can stand in for it, and stays whole otherwise. What refers to a set
//! that is gone goes with it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::choices::{Bound, Choice, Choices};
use super::edits::Edits;
use super::offer::{Kind, Offer, Set};
use super::tree::Tree;
use crate::manifest::plan::Kept;

/// A period, and the id of a set or representation in it.
type Id<'o> = (usize, &'o str);

/// What is left out of an offer.
#[derive(Debug)]
pub(super) struct Pruning<'o, 'a> {
    choices: &'o Choices<'a>,
    /// For each rung whether it stays.
    rungs: Cow<'o, [bool]>,
    /// Sets that lose some of their rungs.
    reduced: Vec<&'o Choice>,
    /// Sets that go.
    gone: Vec<&'o Set<'a>>,
}

impl<'o, 'a> Pruning<'o, 'a> {
    /// What is to be left out for what is `kept`.
    pub(super) fn new(offer: &'o Offer<'a>, kept: &'o Kept) -> Self {
        let rungs = playable(offer, kept);
        let mut emptied = Vec::new();
        let mut reduced = Vec::new();
        for choice in &offer.choices.sets {
            let own = rungs.get(choice.rungs.clone()).unwrap_or_default();
            match own.iter().filter(|stays| **stays).count() {
                0 => emptied.push(choice),
                left if left < own.len() => reduced.push(choice),
                _ => {}
            }
        }
        Self {
            choices: &offer.choices,
            gone: gone(offer, kept, &emptied),
            reduced,
            rungs,
        }
    }

    /// Gathers the edits that it takes.
    pub(super) fn edits(&self, tree: &Tree<'_>) -> Edits<'o> {
        let mut edits = Edits::default();
        self.remove(tree, &mut edits);
        self.reduce(&mut edits);
        edits
    }

    /// Removes sets, and what refers to them.
    fn remove(&self, tree: &Tree<'_>, edits: &mut Edits<'_>) {
        for set in &self.gone {
            if let Some(element) = tree.element(set.element) {
                edits.remove(tree, element);
            }
        }
        let gone: HashSet<Id<'_>> = self.gone.iter().copied().filter_map(id).collect();
        if !gone.is_empty() {
            forget(tree, &gone, edits);
        }
    }

    /// Leaves out the rungs of sets that lose some, and makes the bounds true for what is left.
    /// In sets that go that is void.
    fn reduce(&self, edits: &mut Edits<'o>) {
        for choice in &self.reduced {
            let bounds = self.choices.bounds.get(choice.bounds.clone());
            for bound in bounds.unwrap_or_default() {
                if let Some(text) = self.bound(bound) {
                    edits.replace(bound.span.clone(), text);
                }
            }
            let cuts = self.choices.cuts.get(choice.rungs.clone());
            let own = self.rungs.get(choice.rungs.clone());
            let rungs = cuts.unwrap_or_default().iter().zip(own.unwrap_or_default());
            for (cut, _) in rungs.filter(|(_, stays)| !**stays) {
                edits.cut(cut.clone());
            }
        }
    }

    /// What a bound becomes; `None` where it stays.
    fn bound(&self, bound: &Bound<'a>) -> Option<&'o str> {
        let sizes = self.choices.sizes.get(bound.sizes.clone())?;
        let mut left = sizes.iter().filter(|it| stays(&self.rungs, Some(it.rung)));
        Some(left.next()?.text).filter(|text| *text != bound.text)
    }
}

/// The entry of a list that is as long as the ladder it was made for.
fn stays(list: &[bool], place: Option<usize>) -> bool {
    place.is_none_or(|place| list.get(place).copied().unwrap_or(true))
}

/// For each rung whether it stays: those that are kept, and what they depend on.
fn playable<'k>(offer: &Offer<'_>, kept: &'k Kept) -> Cow<'k, [bool]> {
    let mut rungs = Cow::Borrowed(kept.rungs.as_slice());
    if rungs.len() != offer.ladder.rungs.len() {
        rungs.to_mut().resize(offer.ladder.rungs.len(), true);
    }
    if offer.choices.has_dependent {
        require(offer, rungs.to_mut());
    }
    rungs
}

/// Marks the rungs that representations which stay depend on.
fn require(offer: &Offer<'_>, rungs: &mut [bool]) {
    let mut named: HashMap<Id<'_>, Vec<usize>> = HashMap::new();
    let mut pending = Vec::new();
    for set in &offer.sets {
        let own = offer.representations.get(set.representations.clone());
        for (place, one) in set.representations.clone().zip(own.unwrap_or_default()) {
            let id = (set.period, one.id.as_ref());
            named.entry(id).or_default().push(place);
            pending.extend(stays(rungs, one.rung).then_some((set.period, one)));
        }
    }
    while let Some((period, one)) = pending.pop() {
        let depends = one.depends.as_deref().unwrap_or_default();
        for id in depends.split_ascii_whitespace() {
            for place in named.remove(&(period, id)).unwrap_or_default() {
                let needed = offer.representations.get(place);
                let rung = needed.and_then(|needed| rungs.get_mut(needed.rung?));
                if let Some((rung, needed)) = rung.filter(|rung| !**rung).zip(needed) {
                    *rung = true;
                    pending.push((period, needed));
                }
            }
        }
    }
}

/// The sets that go, where those that have been `emptied` have none of their rungs left.
fn gone<'o, 'a>(offer: &'o Offer<'a>, kept: &Kept, emptied: &[&Choice]) -> Vec<&'o Set<'a>> {
    let mut gone = silenced(offer, kept);
    if !emptied.is_empty() {
        gone.extend(replaceable(offer, kept, emptied));
    }
    let mains: HashSet<Id<'_>> = gone.iter().copied().filter_map(id).collect();
    if !mains.is_empty() {
        gone.extend(offer.sets.iter().filter(|set| {
            let all = set.trick.as_deref().unwrap_or_default();
            let mut ids = all.split_ascii_whitespace().peekable();
            ids.peek().is_some() && ids.all(|id| mains.contains(&(set.period, id)))
        }));
    }
    gone
}

fn id<'o>(set: &'o Set<'_>) -> Option<Id<'o>> {
    Some((set.period, set.id.as_deref()?))
}

/// The sets that are renditions which are not kept, where something else can be heard instead, or
/// for texts played at all.
fn silenced<'o, 'a>(offer: &'o Offer<'a>, kept: &Kept) -> Vec<&'o Set<'a>> {
    if !kept.renditions.contains(&false) {
        return Vec::new();
    }
    let group = |set: &Set<'_>| Some(offer.ladder.renditions.get(set.rendition?)?.group);
    let (left, mut silent): (Vec<_>, Vec<_>) = offer
        .sets
        .iter()
        .partition(|set| stays(&kept.renditions, set.rendition));
    let speaking = left.iter().filter(|set| set.is_of(Kind::Audio));
    let speaking: HashSet<usize> = speaking.filter_map(|set| group(set)).collect();
    let plays = |set: &&Set<'_>| set.is_of(Kind::Video) || set.is_of(Kind::Audio);
    let playing = offer.sets.iter().filter(plays).map(|set| set.period);
    let playing: HashSet<usize> = playing.collect();
    silent.retain(|set| match set.kind {
        Kind::Text => playing.contains(&set.period),
        _ => group(set).is_some_and(|group| speaking.contains(&group)),
    });
    silent
}

/// Of the sets that have been emptied, those for which others stand in.
fn replaceable<'o, 'a>(offer: &'o Offer<'a>, kept: &Kept, emptied: &[&Choice]) -> Vec<&'o Set<'a>> {
    let empty: HashSet<usize> = emptied.iter().map(|choice| choice.set).collect();
    let left = offer.sets.iter().enumerate().filter(|(place, set)| {
        let is_playable = !set.representations.is_empty() && !empty.contains(place);
        is_playable && stays(&kept.renditions, set.rendition)
    });
    let alive: HashSet<usize> = left.map(|(_, set)| set.peers).collect();
    let emptied = emptied
        .iter()
        .filter_map(|choice| offer.sets.get(choice.set));
    emptied.filter(|set| alive.contains(&set.peers)).collect()
}

/// Removes the combinations that name sets which are gone.
fn forget(tree: &Tree<'_>, gone: &HashSet<Id<'_>>, edits: &mut Edits<'_>) {
    for period in tree.periods() {
        let is_gone = |id: &str| gone.contains(&(period.index, id));
        for preselection in tree.named(period, "Preselection") {
            let components = tree.value(preselection, "preselectionComponents");
            let components = components.unwrap_or_default();
            if components.split_ascii_whitespace().any(is_gone) {
                edits.remove(tree, preselection);
            }
        }
        for subset in tree.named(period, "Subset") {
            let Some(contains) = tree.attribute(subset, "contains") else {
                continue;
            };
            let all = contains.text();
            let ids = all.split_ascii_whitespace();
            let left: Vec<&str> = ids.clone().filter(|id| !is_gone(id)).collect();
            if left.is_empty() {
                edits.remove(tree, subset);
            } else if left.len() < ids.count() {
                edits.write(contains.value, left.join(" "));
            }
        }
    }
}
