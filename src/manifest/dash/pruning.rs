//! Leaving out representations and adaptation sets.
//!
//! What is kept can be played: a representation brings those that it depends on. A set that would
//! be empty goes when another can stand in for it, and stays whole otherwise. What refers to a set
//! that is gone goes with it.

use std::collections::HashSet;

use super::edits::Edits;
use super::offer::{Kind, Offer, Set};
use super::picture::pictures;
use super::tree::{Element, Tree};
use crate::manifest::plan::Kept;

/// What becomes of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// All of it stays.
    Whole,
    /// The representations marked `true` stay.
    Part(Vec<bool>),
    /// It goes.
    Gone,
}

/// Removes what is not `kept`.
pub(super) fn prune(tree: &Tree<'_>, offer: &Offer<'_>, kept: &Kept, edits: &mut Edits) {
    let fates = fates(&offer.sets, kept);
    for (set, fate) in offer.sets.iter().zip(&fates) {
        let Some(element) = tree.element(set.element) else {
            continue;
        };
        match fate {
            Fate::Whole => {}
            Fate::Gone => edits.remove(tree, element),
            Fate::Part(stays) => {
                let mut left = Vec::new();
                for (representation, stays) in set.representations.iter().zip(stays) {
                    let Some(own) = tree.element(representation.element) else {
                        continue;
                    };
                    if *stays {
                        left.push(own);
                    } else {
                        edits.remove(tree, own);
                    }
                }
                bound(tree, element, &left, edits);
            }
        }
    }
    forget(tree, &offer.sets, &fates, edits);
}

/// Decides for each set.
fn fates(sets: &[Set<'_>], kept: &Kept) -> Vec<Fate> {
    let stays = |list: &[bool], place: Option<usize>| {
        place.is_none_or(|place| list.get(place).copied().unwrap_or(true))
    };
    let mut marks: Vec<Vec<bool>> = sets
        .iter()
        .map(|set| {
            let representations = set.representations.iter();
            representations
                .map(|one| stays(&kept.rungs, one.rung))
                .collect()
        })
        .collect();
    require(sets, &mut marks);
    let is_heard = |set: &Set<'_>| stays(&kept.renditions, set.rendition);
    let speaks = |of: &Set<'_>| {
        of.kind == Kind::Text
            || sets.iter().any(|set| {
                set.kind == of.kind
                    && set.period == of.period
                    && set.trick.is_none()
                    && is_heard(set)
            })
    };
    let is_empty = |marks: &[bool]| !marks.is_empty() && !marks.contains(&true);
    let mut fates: Vec<Fate> = Vec::with_capacity(sets.len());
    for (set, own) in sets.iter().zip(&marks) {
        let has_stand_in = || {
            let mut others = sets.iter().zip(&marks);
            others.any(|(other, marks)| {
                other.stands_in_for(set) && marks.contains(&true) && is_heard(other)
            })
        };
        let is_unheard = !is_heard(set) && speaks(set);
        fates.push(if is_unheard || (is_empty(own) && has_stand_in()) {
            Fate::Gone
        } else if is_empty(own) || !own.contains(&false) {
            Fate::Whole
        } else {
            Fate::Part(own.clone())
        });
    }
    for (place, set) in sets.iter().enumerate() {
        let Some(mains) = set
            .trick
            .as_deref()
            .filter(|mains| !mains.trim().is_empty())
        else {
            continue;
        };
        let is_gone = mains
            .split_ascii_whitespace()
            .all(|id| names_gone(sets, &fates, (set.period, id)));
        if let Some(fate) = fates.get_mut(place).filter(|_| is_gone) {
            *fate = Fate::Gone;
        }
    }
    fates
}

/// Marks what the marked representations depend on, in all sets of a period.
fn require(sets: &[Set<'_>], marks: &mut [Vec<bool>]) {
    if sets
        .iter()
        .flat_map(|set| &set.representations)
        .all(|one| one.depends.is_none())
    {
        return;
    }
    loop {
        let mut needed: HashSet<(usize, &str)> = HashSet::new();
        for (set, marks) in sets.iter().zip(marks.iter()) {
            for (one, _) in set
                .representations
                .iter()
                .zip(marks)
                .filter(|(_, mark)| **mark)
            {
                let depends = one.depends.as_deref().unwrap_or_default();
                needed.extend(depends.split_ascii_whitespace().map(|id| (set.period, id)));
            }
        }
        let mut has_grown = false;
        for (set, marks) in sets.iter().zip(marks.iter_mut()) {
            for (one, mark) in set.representations.iter().zip(marks) {
                if !*mark && needed.contains(&(set.period, one.id.as_ref())) {
                    *mark = true;
                    has_grown = true;
                }
            }
        }
        if !has_grown {
            return;
        }
    }
}

/// Whether the set of this id in this period goes.
fn names_gone(sets: &[Set<'_>], fates: &[Fate], (period, id): (usize, &str)) -> bool {
    let mut named = sets.iter().zip(fates);
    named.any(|(set, fate)| {
        set.period == period && set.id.as_deref() == Some(id) && *fate == Fate::Gone
    })
}

/// Removes the combinations that name sets which are gone.
fn forget(tree: &Tree<'_>, sets: &[Set<'_>], fates: &[Fate], edits: &mut Edits) {
    let Some(root) = tree.root().filter(|_| fates.contains(&Fate::Gone)) else {
        return;
    };
    for period in tree.named(root, "Period") {
        let is_gone = |id: &&str| names_gone(sets, fates, (period.index, id));
        for preselection in tree.named(period, "Preselection") {
            let components = tree.value(preselection, "preselectionComponents");
            let components = components.unwrap_or_default();
            if components.split_ascii_whitespace().any(|id| is_gone(&id)) {
                edits.remove(tree, preselection);
            }
        }
        for subset in tree.named(period, "Subset") {
            let Some(contains) = tree.attribute(subset, "contains") else {
                continue;
            };
            let all = contains.text();
            let left: Vec<&str> = all
                .split_ascii_whitespace()
                .filter(|id| !is_gone(id))
                .collect();
            if left.is_empty() {
                edits.remove(tree, subset);
            } else if left.len() < all.split_ascii_whitespace().count() {
                edits.write(contains.value, &left.join(" "));
            }
        }
    }
}

/// Makes the bounds that a set names of its representations true for those that are left.
fn bound<'a>(tree: &Tree<'a>, set: &Element<'a>, left: &[&Element<'a>], edits: &mut Edits) {
    for attribute in tree.attributes(set) {
        let (least, name) = match attribute.name.split_at_checked(3) {
            Some(("min", name)) => (true, name),
            Some(("max", name)) => (false, name),
            _ => continue,
        };
        let name = match name {
            "Bandwidth" => "bandwidth",
            "Width" => "width",
            "Height" => "height",
            "FrameRate" => "frameRate",
            _ => continue,
        };
        let values = left.iter().map(|one| tree.value(one, name));
        let Some(values) = values.collect::<Option<Vec<_>>>() else {
            continue;
        };
        let sized = values
            .iter()
            .filter_map(|value| Some((pictures(value)?, value)));
        let order = |one: &(f64, _), other: &(f64, _)| one.0.total_cmp(&other.0);
        let found = if least {
            sized.min_by(order)
        } else {
            sized.max_by(order)
        };
        if let Some((_, value)) = found
            && **value != attribute.text()
        {
            edits.write(attribute.value, value);
        }
    }
}
