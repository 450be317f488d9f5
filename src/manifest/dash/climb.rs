//! The ladder that the representations make.

use std::collections::HashMap;

use super::first;
use super::offer::{Kind, Offer, rungs};
use super::tree::Tree;
use crate::manifest::ladder::{Rendition, RenditionKind, Rung, Sound};

/// Numbers the rungs and renditions of an offer, and describes them.
pub(super) fn climb(tree: &Tree<'_>, offer: &mut Offer<'_>) {
    let has_video = offer.sets.iter().any(|set| set.is_of(Kind::Video));
    let kind = if has_video { Kind::Video } else { Kind::Audio };
    let sound = beside(offer, has_video);
    if has_video {
        offer.ladder.sound_least = sound_least(offer);
    }
    let outer = first::top(tree);
    let mut base = (0, String::new());
    let mut periods = 0_usize;
    let mut groups = HashMap::new();
    for (place, set) in offer
        .sets
        .iter()
        .enumerate()
        .filter(|(_, set)| set.is_of(kind))
    {
        if base.0 != set.period
            && let Some(period) = tree.element(set.period)
        {
            periods += 1;
            base = (set.period, first::base(tree, period, &outer));
        }
        let beside = sound.get(&set.period).map_or(0, |it| it.bitrate);
        let Some(own) = offer.representations.get_mut(set.representations.clone()) else {
            continue;
        };
        let described = rungs(tree, (set, own), &base.1);
        for (representation, (rung, class)) in own.iter_mut().zip(described) {
            let fresh = groups.len();
            let bandwidth = rung.bandwidth.saturating_add(beside);
            representation.rung = Some(offer.ladder.rungs.len());
            offer.ladder.rungs.push(Rung {
                bandwidth,
                average: bandwidth,
                picture: rung.bandwidth,
                sound: beside,
                group: *groups.entry((place, class)).or_insert(fresh),
                period: periods,
                has_video,
                ..rung
            });
        }
    }
    name_renditions(offer);
    let opening = offer.sets.iter().find(|set| has_video && set.is_of(kind));
    let beside = opening.and_then(|set| sound.get(&set.period));
    if let Some(sound) = beside.and_then(|beside| heard(tree, offer, beside, &outer)) {
        offer.ladder.sounds.push(sound);
        let rungs = offer.ladder.rungs.iter_mut();
        for rung in rungs.take_while(|rung| rung.period == 1) {
            rung.heard = Some(0);
        }
    }
}

/// The sound that plays beside the picture in a period.
struct Beside {
    /// Place of its set.
    set: usize,
    /// Place of its representation.
    representation: usize,
    /// Bit/s.
    bitrate: u64,
}

/// For each period the sound beside the picture: the best of its first audio set, since that is
/// what players take where nobody chooses.
fn beside(offer: &Offer<'_>, has_video: bool) -> HashMap<usize, Beside> {
    let mut sound = HashMap::new();
    let sets = offer.sets.iter().enumerate().filter(|_| has_video);
    for (place, set) in sets.filter(|(_, set)| set.kind == Kind::Audio) {
        let own = offer.representations.get(set.representations.clone());
        let places = set.representations.clone().zip(own.unwrap_or_default());
        let best = places.max_by_key(|(_, one)| one.bandwidth);
        sound.entry(set.period).or_insert(Beside {
            set: place,
            representation: best.map_or(set.representations.end, |(place, _)| place),
            bitrate: best.map_or(0, |(_, one)| one.bandwidth),
        });
    }
    sound
}

/// The largest of the least bit/s of the sets of sound.
fn sound_least(offer: &Offer<'_>) -> u64 {
    let sets = offer.sets.iter().filter(|set| set.is_of(Kind::Audio));
    let least = sets.filter_map(|set| {
        let own = offer.representations.get(set.representations.clone());
        own.unwrap_or_default()
            .iter()
            .map(|one| one.bandwidth)
            .min()
    });
    least.max().unwrap_or_default()
}

/// Where the sound begins that plays beside the pictures of a period. `outer` is what the URIs of
/// all periods resolve against.
fn heard(tree: &Tree<'_>, offer: &Offer<'_>, beside: &Beside, outer: &str) -> Option<Sound> {
    let set = offer.sets.get(beside.set)?;
    let base = first::base(tree, tree.element(set.period)?, outer);
    let place = beside.representation;
    let own = offer.representations.get(place..=place)?;
    let (rung, _) = rungs(tree, (set, own), &base).pop()?;
    Some(Sound {
        rendition: set.rendition?,
        first: rung.first,
    })
}

fn name_renditions(offer: &mut Offer<'_>) {
    let mut groups = HashMap::new();
    for set in &mut offer.sets {
        let kind = match set.kind {
            Kind::Audio => RenditionKind::Audio,
            Kind::Text => RenditionKind::Subtitles,
            Kind::Video | Kind::Other => continue,
        };
        let fresh = groups.len();
        set.rendition = Some(offer.ladder.renditions.len());
        offer.ladder.renditions.push(Rendition {
            kind,
            language: set.language.clone(),
            group: *groups.entry((set.period, set.kind)).or_insert(fresh),
        });
    }
}
