//! Which variants are the same but for quality, and which the same altogether.
//!
//! A group is what one device plays as one ladder: equal codec families, `VIDEO-RANGE`,
//! `HDCP-LEVEL`, `ALLOWED-CPC`, `REQ-VIDEO-LAYOUT`, `PATHWAY-ID`, `VIDEO` group, and `AUDIO` groups
//! that offer the same. An `AUDIO` group is judged by what it offers, not by its name: ladders
//! whose upper half has better sound of the same kind are one ladder.
//!
//! Frame rates divide a group only where it has two ladders, one of high rates beside one of low
//! ones. Where the rate merely rises with the bitrate, who plays the upper rungs plays the lower
//! ones too, and to divide would take the lower ones from them.

use std::collections::HashMap;

use crate::manifest::hls::variant::{Protection, Variant};

/// Rates above this many thousandths of a picture a second are high.
const RATE_HIGH_ABOVE: u64 = 30_500;

/// Where a variant belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of its group.
    pub group: usize,
    /// The first variant that is the same from another place, on whatever pathway.
    pub copy_of: Option<usize>,
}

/// What the variants of a group have in common, frame rates aside.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Common<'a> {
    families: String,
    range: &'a [u8],
    protection: Protection<'a>,
    layout: &'a [u8],
    audio: Audio<'a>,
    video: &'a [u8],
    has_video: bool,
}

/// The sound that goes with a variant.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Audio<'a> {
    Offer(usize),
    Unknown(&'a [u8]),
}

/// What redundant copies have in common beside that.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Quality<'a> {
    common: usize,
    bandwidth: Option<u64>,
    average: Option<u64>,
    resolution: Option<(u32, u32)>,
    frame_rate: Option<u64>,
    codecs: &'a str,
    score: Option<u64>,
}

/// Bitrates at which a ladder has low rates, and high ones.
#[derive(Debug, Clone, Copy)]
struct Rates {
    low_max: u64,
    high_min: u64,
}

/// Finds the place of each variant. `has_video` tells of each whether it has a picture, `offers` of
/// each `AUDIO` group what it offers: those of equal number offer the same.
pub(super) fn places(
    variants: &[Variant<'_>],
    has_video: &[bool],
    offers: &HashMap<&[u8], usize>,
) -> Vec<Place> {
    let mut commons = Numbers::default();
    let mut ladders = Numbers::default();
    let mut own = Vec::with_capacity(variants.len());
    for (variant, &has_video) in variants.iter().zip(has_video) {
        let common = commons.of(common(variant, has_video, offers));
        own.push((common, ladders.of((common, variant.pathway))));
    }
    let rates = rates(variants, &own, ladders.count());
    let mut groups = Numbers::default();
    let mut firsts = HashMap::new();
    let mut places = Vec::with_capacity(variants.len());
    for (index, (variant, &(common, ladder))) in variants.iter().zip(&own).enumerate() {
        let parallel = rates
            .get(ladder)
            .is_some_and(|rates| rates.high_min < rates.low_max);
        let first = *firsts.entry(quality(variant, common)).or_insert(index);
        places.push(Place {
            group: groups.of((ladder, parallel && is_high(variant))),
            copy_of: (first != index).then_some(first),
        });
    }
    places
}

fn common<'a>(
    variant: &Variant<'a>,
    has_video: bool,
    offers: &HashMap<&[u8], usize>,
) -> Common<'a> {
    let audio = variant.named.audio;
    Common {
        families: variant.families(),
        range: variant.range,
        protection: variant.protection,
        layout: variant.layout,
        audio: match offers.get(audio) {
            Some(&offer) => Audio::Offer(offer),
            None => Audio::Unknown(audio),
        },
        video: variant.named.video,
        has_video,
    }
}

fn quality<'a>(variant: &Variant<'a>, common: usize) -> Quality<'a> {
    Quality {
        common,
        bandwidth: variant.bandwidth,
        average: variant.average,
        resolution: variant.resolution,
        frame_rate: variant.frame_rate,
        codecs: variant.codecs,
        score: variant.score,
    }
}

fn rates(variants: &[Variant<'_>], own: &[(usize, usize)], ladders: usize) -> Vec<Rates> {
    let none = Rates {
        low_max: 0,
        high_min: u64::MAX,
    };
    let mut rates = vec![none; ladders];
    for (variant, &(_, ladder)) in variants.iter().zip(own) {
        let (Some(rates), Some(_)) = (rates.get_mut(ladder), variant.frame_rate) else {
            continue;
        };
        let bandwidth = variant.bandwidth.unwrap_or_default();
        match is_high(variant) {
            true => rates.high_min = rates.high_min.min(bandwidth),
            false => rates.low_max = rates.low_max.max(bandwidth),
        }
    }
    rates
}

fn is_high(variant: &Variant<'_>) -> bool {
    variant
        .frame_rate
        .is_some_and(|rate| rate > RATE_HIGH_ABOVE)
}

/// Numbers for values, in the order in which they come.
#[derive(Debug)]
pub(super) struct Numbers<T>(HashMap<T, usize>);

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: std::hash::Hash + Eq> Numbers<T> {
    /// The number of `value`.
    pub(super) fn of(&mut self, value: T) -> usize {
        let next = self.0.len();
        *self.0.entry(value).or_insert(next)
    }

    /// The number of `value`, if it has one.
    pub(super) fn known(&self, value: &T) -> Option<usize> {
        self.0.get(value).copied()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}
