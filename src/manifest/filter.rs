//! Which rungs and renditions a filter leaves.
//!
//! A [`Filter`] is a promise of an operator or a wish of a client, and obeyed to the letter: what
//! it excludes is not shown, and where nothing to play would be left, that is an error. What a
//! manifest does not say (height, range, codecs, language) excludes nothing. Sound without picture
//! is what players fall back to: no condition on the picture excludes it.
//!
//! [`cap`] is neither promise nor wish but policy, and gives way: every group keeps rungs, so that
//! each device keeps a ladder.

use std::collections::{BTreeSet, HashMap};

use crate::config::adapt::{DynamicRange, Filter};
use crate::manifest::ladder::{Ladder, Rendition, RenditionKind, Rung};
use crate::manifest::plan::Kept;

mod query;

/// Why a filter cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing to play would be left.
    #[error("no rendition has {0}")]
    Emptied(&'static str),
    /// Nothing can fulfil both of two conditions.
    #[error("conditions on {0} exclude each other")]
    Contradiction(&'static str),
    /// A parameter comes twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A parameter's value cannot be read.
    #[error("{parameter} must be {expected}")]
    Malformed {
        /// Name in the query.
        parameter: &'static str,
        /// What would be understood.
        expected: &'static str,
    },
}

/// Reads the filter in a query without `?`: `min_kbps`, `max_kbps`, `max_height`, `codecs` and
/// `lang` (lists with commas), `range`. Other parameters are not its business.
///
/// # Errors
/// [`Error`] for a parameter that comes twice or cannot be read, and for a least bitrate above the
/// greatest.
pub fn of_query(query: &str) -> Result<Filter, Error> {
    query::read(query)
}

/// What fulfils both filters.
///
/// # Errors
/// [`Error::Contradiction`] where nothing can.
pub fn merge(one: &Filter, other: &Filter) -> Result<Filter, Error> {
    let filter = Filter {
        bitrate_min: one.bitrate_min.max(other.bitrate_min),
        bitrate_max: least(one.bitrate_max, other.bitrate_max),
        height_max: least(one.height_max, other.height_max),
        codecs: common(&one.codecs, &other.codecs, CODECS, |a, b| {
            (a == b).then_some(a)
        })?,
        range: match (one.range, other.range) {
            (Some(a), Some(b)) if a != b => return Err(Error::Contradiction(RANGE)),
            (a, b) => a.or(b),
        },
        languages: common(&one.languages, &other.languages, LANGUAGE, |a, b| {
            match (covers(a, b), covers(b, a)) {
                (true, _) => Some(b),
                (false, true) => Some(a),
                (false, false) => None,
            }
        })?,
    };
    check(filter)
}

/// Refuses a filter that contradicts itself.
fn check(filter: Filter) -> Result<Filter, Error> {
    match filter.bitrate_min.zip(filter.bitrate_max) {
        Some((least, most)) if least > most => Err(Error::Contradiction(BITRATE)),
        _ => Ok(filter),
    }
}

/// What an explicit `filter` leaves of `ladder`.
///
/// # Errors
/// [`Error::Emptied`] with the condition that, in the order of [`Filter`]'s, nothing is left by.
pub fn keep(ladder: &Ladder, filter: &Filter) -> Result<Kept, Error> {
    let mut rungs = vec![true; ladder.rungs.len()];
    let has_video = ladder.rungs.iter().any(|rung| rung.has_video);
    for condition in conditions(filter) {
        for (kept, rung) in rungs.iter_mut().zip(&ladder.rungs) {
            *kept &= condition.fulfils(rung);
        }
        let mut left = rungs.iter().zip(&ladder.rungs);
        let plays = left.any(|(kept, rung)| *kept && rung.has_video == has_video);
        if !plays && !rungs.is_empty() {
            return Err(Error::Emptied(condition.as_str()));
        }
    }
    let renditions = renditions(ladder, &filter.languages)?;
    Ok(Kept { rungs, renditions })
}

/// What is left of `kept` below `bitrate` (bit/s, audio included). Every group keeps at least the
/// `rungs_min` lowest qualities that it still has, however high they are; copies count as one.
#[must_use]
pub fn cap(ladder: &Ladder, kept: &Kept, bitrate: u64, rungs_min: usize) -> Kept {
    let mut qualities: HashMap<usize, BTreeSet<u64>> = HashMap::new();
    for (_, rung) in left(ladder, kept) {
        qualities
            .entry(rung.group)
            .or_default()
            .insert(rung.bandwidth);
    }
    let lower = |rung: &Rung| {
        let members = qualities.get(&rung.group);
        let lower = members.map(|members| members.range(..rung.bandwidth).take(rungs_min));
        lower.map_or(0, Iterator::count)
    };
    let fits = |rung: &Rung| rung.bandwidth <= bitrate || lower(rung) < rungs_min;
    let stays = |(index, rung): (usize, &Rung)| kept.has_rung(index) && fits(rung);
    Kept {
        rungs: ladder.rungs.iter().enumerate().map(stays).collect(),
        renditions: kept.renditions.clone(),
    }
}

/// The largest of the least bit/s of the groups that are `kept`, sound included: a bound below it
/// leaves some player nothing; 0 of none.
#[must_use]
pub fn floor(ladder: &Ladder, kept: &Kept) -> u64 {
    let mut least: HashMap<usize, u64> = HashMap::new();
    for (_, rung) in left(ladder, kept) {
        let heard = rung.picture.saturating_add(ladder.sound_least);
        let needed = rung.bandwidth.max(heard);
        let group = least.entry(rung.group).or_insert(needed);
        *group = needed.min(*group);
    }
    least.into_values().max().unwrap_or(0)
}

/// Of what is `kept`, the rung at index `rung` alone, with its redundant copies, and of every
/// other period, of the first group of its codec, the best within `bitrate` (bit/s, audio included),
/// or the least. Where all periods list their groups alike, what is left of one depends on no other,
/// so that it stays when those before it are gone.
#[must_use]
pub fn single(ladder: &Ladder, kept: &Kept, rung: usize, bitrate: u64) -> Kept {
    let original = |index: usize, rung: &Rung| rung.copy_of.unwrap_or(index);
    let mut chosen: HashMap<usize, (usize, &Rung)> = HashMap::new();
    if let Some((_, wanted)) = left(ladder, kept).find(|(index, _)| *index == rung) {
        let groups = groups_like(ladder, kept, wanted);
        let of_group = |(_, rung): &(usize, &Rung)| groups.get(&rung.period) == Some(&rung.group);
        for (index, rung) in left(ladder, kept).filter(of_group) {
            let best = chosen.entry(rung.period).or_insert((index, rung));
            if excess(rung, bitrate) < excess(best.1, bitrate) {
                *best = (index, rung);
            }
        }
        chosen.insert(wanted.period, (rung, wanted));
    }
    let stays = |(index, rung): (usize, &Rung)| {
        let best = chosen.get(&rung.period);
        let is_same = |best: &(usize, &Rung)| original(best.0, best.1) == original(index, rung);
        kept.has_rung(index) && best.is_some_and(is_same)
    };
    Kept {
        rungs: ladder.rungs.iter().enumerate().map(stays).collect(),
        renditions: kept.renditions.clone(),
    }
}

/// The rungs that are kept, each with its index.
fn left<'a>(ladder: &'a Ladder, kept: &Kept) -> impl Iterator<Item = (usize, &'a Rung)> {
    let rungs = ladder.rungs.iter().enumerate();
    rungs.filter(|(index, _)| kept.has_rung(*index))
}

/// For each period the first group listed that is most like that of `wanted`: it has a picture where
/// that one has, and is of its codec.
fn groups_like(ladder: &Ladder, kept: &Kept, wanted: &Rung) -> HashMap<usize, usize> {
    let family = |rung: &Rung| rung.codecs.split('.').next().map(str::to_ascii_lowercase);
    let unlikeness = |rung: &Rung| {
        let is_other = family(wanted) != family(rung) || wanted.range != rung.range;
        (rung.has_video != wanted.has_video, is_other)
    };
    let mut best: HashMap<usize, &Rung> = HashMap::new();
    for (_, rung) in left(ladder, kept) {
        let known = best.entry(rung.period).or_insert(rung);
        if unlikeness(rung) < unlikeness(known) {
            *known = rung;
        }
    }
    best.into_iter()
        .map(|(period, rung)| (period, rung.group))
        .collect()
}

/// How far a rung is from `bitrate`: above is worse than any distance below.
fn excess(rung: &Rung, bitrate: u64) -> (bool, u64) {
    (rung.bandwidth > bitrate, rung.bandwidth.abs_diff(bitrate))
}

/// What a filter demands of a rung.
#[derive(Debug, Clone, Copy)]
enum Condition<'a> {
    BitrateMin(u64),
    BitrateMax(u64),
    HeightMax(u32),
    Codecs(&'a [String]),
    Range(DynamicRange),
}

impl Condition<'_> {
    /// What a rung is said to lack that does not fulfil it.
    fn as_str(self) -> &'static str {
        match self {
            Self::BitrateMin(_) => "so high a bitrate",
            Self::BitrateMax(_) => "so low a bitrate",
            Self::HeightMax(_) => "so few lines",
            Self::Codecs(_) => "one of these codecs",
            Self::Range(_) => "this dynamic range",
        }
    }

    fn fulfils(self, rung: &Rung) -> bool {
        match self {
            Self::BitrateMin(least) => rung.bandwidth >= least,
            Self::BitrateMax(most) => rung.bandwidth <= most,
            Self::HeightMax(most) => rung.height.is_none_or(|height| height <= most),
            Self::Codecs(families) => !rung.has_video || has_codec(&rung.codecs, families),
            Self::Range(range) => rung.range.is_none_or(|own| own == range),
        }
    }
}

fn conditions(filter: &Filter) -> impl Iterator<Item = Condition<'_>> {
    let codecs = Some(filter.codecs.as_slice()).filter(|codecs| !codecs.is_empty());
    [
        filter.bitrate_min.map(Condition::BitrateMin),
        filter.bitrate_max.map(Condition::BitrateMax),
        filter.height_max.map(Condition::HeightMax),
        codecs.map(Condition::Codecs),
        filter.range.map(Condition::Range),
    ]
    .into_iter()
    .flatten()
}

/// Whether one of `codecs` is of one of `families`, or nothing is known of them.
fn has_codec(codecs: &str, families: &[String]) -> bool {
    let family = |codec: &str| {
        let codec = codec.trim();
        let (family, _) = codec.split_once('.').unwrap_or((codec, ""));
        family.to_ascii_lowercase()
    };
    let is_known = !codecs.trim().is_empty() && !codecs.contains("{$");
    !is_known || codecs.split(',').any(|c| families.contains(&family(c)))
}

/// Which renditions are of one of `languages`, or of none that is known.
fn renditions(ladder: &Ladder, languages: &[String]) -> Result<Vec<bool>, Error> {
    let stays = |rendition: &Rendition| match &rendition.language {
        Some(language) if !languages.is_empty() => languages.iter().any(|l| covers(l, language)),
        Some(_) | None => true,
    };
    let audio = || {
        let all = ladder.renditions.iter();
        all.filter(|rendition| rendition.kind == RenditionKind::Audio)
    };
    if audio().next().is_some() && !audio().any(stays) {
        return Err(Error::Emptied("one of these languages"));
    }
    Ok(ladder.renditions.iter().map(stays).collect())
}

/// Whether the language range `wide` takes in `tag` (RFC 4647 section 3.3.1).
fn covers(wide: &str, tag: &str) -> bool {
    let rest = tag.strip_prefix(wide);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The smaller one of two bounds, of which either may be missing.
fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What two lists agree on, pair by pair; an empty one agrees to everything.
fn common<'a>(
    one: &'a [String],
    other: &'a [String],
    what: &'static str,
    agree: impl Fn(&'a str, &'a str) -> Option<&'a str>,
) -> Result<Vec<String>, Error> {
    if one.is_empty() || other.is_empty() {
        let either = if one.is_empty() { other } else { one };
        return Ok(either.to_vec());
    }
    let pairs = one
        .iter()
        .flat_map(|a| other.iter().map(move |b| (a.as_str(), b.as_str())));
    let mut agreed: Vec<String> = Vec::new();
    for text in pairs.filter_map(|(a, b)| agree(a, b)) {
        if !agreed.iter().any(|known| known == text) {
            agreed.push(text.to_owned());
        }
    }
    match agreed.is_empty() {
        true => Err(Error::Contradiction(what)),
        false => Ok(agreed),
    }
}

const BITRATE: &str = "bitrate";
const CODECS: &str = "codecs";
const RANGE: &str = "dynamic range";
const LANGUAGE: &str = "language";

#[cfg(test)]
mod tests;
