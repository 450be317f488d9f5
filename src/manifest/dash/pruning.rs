//! Leaving out representations and adaptation sets.
//!
//! What is kept can be played: a representation brings those that it depends on. A set that would
//! be empty goes when another can stand in for it, and stays whole otherwise. What refers to a set
//! that is gone goes with it.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::edits::Edits;
use super::offer::{Kind, Offer, Representation, Set};
use super::tree::Tree;
use crate::manifest::plan::Kept;

/// What becomes of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// All of it stays.
    Whole,
    /// Those of its representations stay that are marked.
    Part,
    /// It goes.
    Gone,
}

/// A period, and the id of a set or representation in it.
type Id<'o> = (usize, &'o str);

/// Removes what is not `kept`.
pub(super) fn prune(tree: &Tree<'_>, offer: &Offer<'_>, kept: &Kept, edits: &mut Edits) {
    let marks = marks(offer, kept);
    let mut fates = fates(offer, kept, &marks);
    let gone = gone(&offer.sets, &mut fates);
    for (set, fate) in offer.sets.iter().zip(fates) {
        match fate {
            Fate::Whole => {}
            Fate::Part => reduce(tree, set, members(offer, &marks, set), edits),
            Fate::Gone => {
                if let Some(element) = tree.element(set.element) {
                    edits.remove(tree, element);
                }
            }
        }
    }
    if !gone.is_empty() {
        forget(tree, &gone, edits);
    }
}

/// The entry of a list that is as long as the ladder it was made for.
fn stays(list: &[bool], place: Option<usize>) -> bool {
    place.is_none_or(|place| list.get(place).copied().unwrap_or(true))
}

/// The representations of a set, and whether they are marked.
fn members<'o, 'a>(
    offer: &'o Offer<'a>,
    marks: &[bool],
    set: &Set<'a>,
) -> impl Iterator<Item = (&'o Representation<'a>, bool)> + Clone {
    let own = offer.representations.get(set.representations.clone());
    let marks = marks.get(set.representations.clone()).unwrap_or_default();
    own.unwrap_or_default().iter().zip(marks.iter().copied())
}

/// Marks the representations that are kept, and what they depend on.
fn marks(offer: &Offer<'_>, kept: &Kept) -> Vec<bool> {
    let all = offer.representations.iter();
    let mut marks: Vec<bool> = all.map(|one| stays(&kept.rungs, one.rung)).collect();
    if offer
        .representations
        .iter()
        .all(|one| one.depends.is_none())
    {
        return marks;
    }
    let mut named: HashMap<Id<'_>, Vec<usize>> = HashMap::new();
    let mut pending = Vec::new();
    for set in &offer.sets {
        let places = set.representations.clone();
        for (place, (one, is_marked)) in places.zip(members(offer, &marks, set)) {
            named
                .entry((set.period, one.id.as_ref()))
                .or_default()
                .push(place);
            pending.extend(is_marked.then_some((set.period, place)));
        }
    }
    while let Some((period, place)) = pending.pop() {
        let one = offer.representations.get(place);
        let depends = one
            .and_then(|one| one.depends.as_deref())
            .unwrap_or_default();
        for id in depends.split_ascii_whitespace() {
            for needed in named.remove(&(period, id)).unwrap_or_default() {
                if let Some(mark) = marks.get_mut(needed).filter(|mark| !**mark) {
                    *mark = true;
                    pending.push((period, needed));
                }
            }
        }
    }
    marks
}

/// Decides for each set, but for trick modes whose main sets go.
fn fates(offer: &Offer<'_>, kept: &Kept, marks: &[bool]) -> Vec<Fate> {
    let is_heard = |set: &Set<'_>| stays(&kept.renditions, set.rendition);
    let group = |set: &Set<'_>| Some(offer.ladder.renditions.get(set.rendition?)?.group);
    let is_marked = |set: &Set<'_>| members(offer, marks, set).any(|(_, is_marked)| is_marked);
    let left = || offer.sets.iter().filter(|set| is_heard(set));
    let (mut speaking, mut playing) = (HashSet::new(), HashSet::new());
    if kept.renditions.contains(&false) {
        speaking.extend(
            left()
                .filter(|set| set.is_of(Kind::Audio))
                .filter_map(group),
        );
        let plays = |set: &&Set<'_>| set.is_of(Kind::Video) || set.is_of(Kind::Audio);
        playing.extend(offer.sets.iter().filter(plays).map(|set| set.period));
    }
    let is_spare = |set: &Set<'_>| match set.kind {
        Kind::Text => playing.contains(&set.period),
        _ => group(set).is_some_and(|group| speaking.contains(&group)),
    };
    let mut alive: Option<HashSet<usize>> = None;
    let mut fates = Vec::with_capacity(offer.sets.len());
    for set in &offer.sets {
        let has_all = members(offer, marks, set).all(|(_, is_marked)| is_marked);
        fates.push(if !is_heard(set) && is_spare(set) {
            Fate::Gone
        } else if has_all {
            Fate::Whole
        } else if is_marked(set) {
            Fate::Part
        } else {
            let alive = alive.get_or_insert_with(|| {
                left()
                    .filter(|set| is_marked(set))
                    .map(|set| set.peers)
                    .collect()
            });
            match alive.contains(&set.peers) {
                true => Fate::Gone,
                false => Fate::Whole,
            }
        });
    }
    fates
}

/// The sets that go, by their ids, and with them the trick modes of nothing else.
fn gone<'o>(sets: &'o [Set<'_>], fates: &mut [Fate]) -> HashSet<Id<'o>> {
    let mut gone = HashSet::new();
    for (set, _) in sets
        .iter()
        .zip(&*fates)
        .filter(|(_, fate)| **fate == Fate::Gone)
    {
        gone.extend(set.id.as_deref().map(|id| (set.period, id)));
    }
    if gone.is_empty() {
        return gone;
    }
    let mut tricks = Vec::new();
    for (set, fate) in sets.iter().zip(fates) {
        let mains = set.trick.as_deref().unwrap_or_default();
        let mut ids = mains.split_ascii_whitespace().peekable();
        if ids.peek().is_some() && ids.all(|id| gone.contains(&(set.period, id))) {
            *fate = Fate::Gone;
            tricks.extend(set.id.as_deref().map(|id| (set.period, id)));
        }
    }
    gone.extend(tricks);
    gone
}

/// Removes what is not marked of a set, and makes its bounds true for what is left.
fn reduce<'o, 'a: 'o>(
    tree: &Tree<'_>,
    set: &Set<'_>,
    members: impl Iterator<Item = (&'o Representation<'a>, bool)> + Clone,
    edits: &mut Edits,
) {
    for (one, _) in members.clone().filter(|(_, is_marked)| !is_marked) {
        if let Some(element) = tree.element(one.element) {
            edits.remove(tree, element);
        }
    }
    for (place, bound) in set.bounds.iter().enumerate() {
        let mut best: Option<&(f64, _)> = None;
        let left = members.clone().filter(|(_, is_marked)| *is_marked);
        let sizes = left.map(|(one, _)| one.sizes.get(place).and_then(Option::as_ref));
        let mut is_known = true;
        for size in sizes {
            let Some(size) = size else {
                is_known = false;
                break;
            };
            let wanted = if bound.is_least {
                Ordering::Less
            } else {
                Ordering::Greater
            };
            if best.is_none_or(|best| size.0.total_cmp(&best.0) == wanted) {
                best = Some(size);
            }
        }
        if let Some((_, text)) = best.filter(|(_, text)| is_known && *text != bound.text) {
            edits.write(bound.span.clone(), text);
        }
    }
}

/// Removes the combinations that name sets which are gone.
fn forget(tree: &Tree<'_>, gone: &HashSet<Id<'_>>, edits: &mut Edits) {
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
                edits.write(contains.value, &left.join(" "));
            }
        }
    }
}
