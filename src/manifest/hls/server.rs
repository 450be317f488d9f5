//! One media playlist of several rungs' segments: the rung is picked here, segment by segment.
//!
//! A player that is given one rendition plays it whatever its throughput is; of a live title each
//! reload tells it of new segments, and those come from the rung that suits it then. What was told
//! before stays as it was: which rung each segment of the window is from is kept as [`Choices`],
//! and carried from request to request, and from node to node, by whoever calls.
//!
//! Where [`Choices`] are lost, all of the window is told from the rung of now. Media sequence
//! numbers are the origin's, and segments of one number are the same stretch of the title in each
//! rung ([`Misfit::Unaligned`] where not), so that a player goes on without gap or repetition; what
//! it has not fetched yet it takes from the other rung. The count of discontinuities begins again
//! above any that it can have been told before, so that it never goes back.
//!
//! A title that is complete is told at once and never asked for again: all of it is from one rung.
//!
//! The URIs of the playlists must be resolved ([`crate::manifest::uri::Relative::Resolve`]) before:
//! each rung has a directory of its own.

use std::ops::Range;

use crate::manifest::hls::timeline::{Segment, Timeline};

/// How much the same segment's durations may differ between rungs: a frame at 24 a second.
const FRAME_MILLIS: u64 = 42;

/// Most stretches that are carried: players are not switched more than a window has segments.
const STRETCHES_MAX: usize = 256;

/// A rung: its media playlist, and what it is encoded with.
#[derive(Debug, Clone, Copy)]
pub struct Rung<'a> {
    /// Its number in the ladder.
    pub number: usize,
    /// Its media playlist.
    pub timeline: &'a Timeline<'a>,
    /// `CODECS`, as the multivariant playlist has it.
    pub codecs: &'a str,
}

/// From which rungs the segments were told so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// Media sequence number of the first segment of the window.
    first: u64,
    /// Discontinuities between rungs told before the window, the origin's own not counted.
    inserted: u64,
    /// The segments from `first` on.
    stretches: Vec<Stretch>,
}

/// Segments in a row that are of one rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    rung: usize,
    count: u64,
    joint: Joint,
}

/// How a stretch follows the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    /// As the origin has it.
    Origin,
    /// By a discontinuity that the origin has not.
    Inserted,
}

/// Why there is no one playlist of several rungs. The caller answers with one rung's own then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A rung has no segments, or is more than a list of segments (parts, delta updates,
    /// variables, nothing but pictures).
    #[error("a rung is more, or less, than a list of segments")]
    Unlisted,
    /// Segments of one number are not the same stretch of the title.
    #[error("the rungs are not cut at the same places")]
    Unaligned,
    /// The playlist of a rung that the window needs was not given.
    #[error("the playlist of rung {0} is missing")]
    Missing(usize),
    /// A rung's playlist is older than what was told already; it is to be fetched anew.
    #[error("the playlist of rung {0} is older than what was told")]
    Behind(usize),
}

/// A playlist, and the choices to carry on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The playlist.
    pub text: String,
    /// From which rungs its segments are.
    pub choices: Choices,
}

impl Choices {
    /// The rungs that the window is told from: their playlists are needed, and that of the rung of
    /// now.
    #[must_use]
    pub fn rungs(&self) -> Vec<usize> {
        let mut rungs: Vec<_> = self.stretches.iter().map(|stretch| stretch.rung).collect();
        rungs.sort_unstable();
        rungs.dedup();
        rungs
    }

    /// Reads what [`Choices::to_text`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let first = parts.next()?.parse().ok()?;
        let inserted = parts.next()?.parse().ok()?;
        let mut stretches = Vec::new();
        let mut end: u64 = first;
        for part in parts {
            let joint = match part.contains('d') {
                true => Joint::Inserted,
                false => Joint::Origin,
            };
            let (rung, count) = part.split_once(joint.sign())?;
            let (rung, count) = (rung.parse().ok()?, count.parse().ok()?);
            end = end.checked_add(count).filter(|_| count > 0)?;
            stretches.push(Stretch { rung, count, joint });
        }
        (stretches.len() <= STRETCHES_MAX).then_some(Self {
            first,
            inserted,
            stretches,
        })
    }

    /// Spells it, to be carried: a few bytes for each change of rung.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{} {}", self.first, self.inserted);
        for Stretch { rung, count, joint } in &self.stretches {
            text.push_str(&format!(" {rung}{}{count}", joint.sign()));
        }
        text
    }

    /// Media sequence numbers that were told.
    fn range(&self) -> Range<u64> {
        let count: u64 = self.stretches.iter().map(|stretch| stretch.count).sum();
        self.first..self.first.saturating_add(count)
    }

    /// The rung of each segment, from the first on, and how it follows the one before.
    fn each(&self) -> impl Iterator<Item = (u64, (usize, Joint))> {
        let each = self.stretches.iter().flat_map(|stretch| {
            let joint = |at| match at {
                0 => stretch.joint,
                _ => Joint::Origin,
            };
            (0..stretch.count).map(move |at| (stretch.rung, joint(at)))
        });
        (self.first..).zip(each)
    }

    fn push(&mut self, rung: usize, joint: Joint) {
        match self.stretches.last_mut() {
            Some(last) if last.rung == rung => last.count += 1,
            _ => self.stretches.push(Stretch {
                rung,
                count: 1,
                joint,
            }),
        }
    }

    /// Lets the first segment leave the window.
    fn drop_first(&mut self) {
        self.first += 1;
        if let Some(stretch) = self.stretches.first_mut() {
            stretch.count -= 1;
        }
        if self
            .stretches
            .first()
            .is_some_and(|stretch| stretch.count == 0)
        {
            self.stretches.remove(0);
            // It is the first segment's now, and not said before it any more.
            if let Some(next) = self.stretches.first_mut() {
                let joint = std::mem::replace(&mut next.joint, Joint::Origin);
                self.inserted += u64::from(joint == Joint::Inserted);
            }
        }
    }
}

impl Joint {
    fn sign(self) -> char {
        match self {
            Self::Origin => 'x',
            Self::Inserted => 'd',
        }
    }
}

/// Composes the playlist that tells of new segments from the rung `now`.
///
/// `rungs` holds that of `now`, and those that `told` names ([`Choices::rungs`]).
///
/// # Errors
/// [`Misfit`] where the rungs cannot be composed, or not with these playlists.
pub fn compose(rungs: &[Rung<'_>], now: usize, told: Option<Choices>) -> Result<Composed, Misfit> {
    let ladder = Ladder { rungs };
    let current = ladder.rung(now)?;
    ladder.check(current)?;
    let window = ladder.window();
    let told = told.filter(|told| told.range().end > window.start);
    let mut choices = match told {
        Some(told) => told,
        None => anew(current, window.start),
    };
    while choices.first < window.start {
        choices.drop_first();
    }
    for sequence in choices.range().end..current.timeline.range().end {
        ladder.tell(&mut choices, current, sequence)?;
    }
    let text = ladder.write(current, &choices)?;
    Ok(Composed { text, choices })
}

/// The choices of a player that was told nothing, or of whom that is forgotten.
fn anew(rung: &Rung<'_>, first: u64) -> Choices {
    Choices {
        first,
        // At most one a segment since number 0; none where rungs join without.
        inserted: if has_map(rung) { 0 } else { first },
        stretches: Vec::new(),
    }
}

struct Ladder<'a> {
    rungs: &'a [Rung<'a>],
}

impl<'a> Ladder<'a> {
    fn rung(&self, number: usize) -> Result<&'a Rung<'a>, Misfit> {
        let mut rungs = self.rungs.iter();
        let rung = rungs.find(|rung| rung.number == number);
        rung.ok_or(Misfit::Missing(number))
    }

    /// Whether all rungs are lists of segments that are cut where those of `current` are.
    fn check(&self, current: &Rung<'_>) -> Result<(), Misfit> {
        for rung in self.rungs {
            let timeline = rung.timeline;
            if timeline.extra.is_some() || timeline.segments.is_empty() {
                return Err(Misfit::Unlisted);
            }
            let both = timeline.segments.iter().filter_map(|segment| {
                let other = current.timeline.at(segment.sequence)?;
                Some((segment, other))
            });
            let mut both = both.peekable();
            if both.peek().is_none() || !both.all(|(one, other)| are_aligned(one, other)) {
                return Err(Misfit::Unaligned);
            }
        }
        Ok(())
    }

    /// Segments that every rung has or had: a window that slid in one has slid.
    fn window(&self) -> Range<u64> {
        let ranges = self.rungs.iter().map(|rung| rung.timeline.range());
        let first = ranges.clone().map(|range| range.start).max();
        let end = ranges.map(|range| range.end).max();
        first.unwrap_or(0)..end.unwrap_or(0)
    }

    /// Adds a new segment, of the rung of now, unless there are too many stretches.
    fn tell(&self, choices: &mut Choices, current: &Rung<'_>, sequence: u64) -> Result<(), Misfit> {
        let last = choices.stretches.last().map(|stretch| stretch.rung);
        let Some(last) = last.map(|last| self.rung(last)).transpose()? else {
            choices.push(current.number, Joint::Origin);
            return Ok(());
        };
        let is_full = choices.stretches.len() >= STRETCHES_MAX;
        let rung = if is_full { last } else { current };
        let segment = rung.timeline.at(sequence);
        let segment = segment.ok_or(Misfit::Behind(rung.number))?;
        let joint = match segment.continues && are_unlike(last, rung) {
            true => Joint::Inserted,
            false => Joint::Origin,
        };
        choices.push(rung.number, joint);
        Ok(())
    }

    /// Discontinuities of the origin up to the first segment of the window.
    fn own(&self, choices: &Choices) -> Result<u64, Misfit> {
        let first = choices.stretches.first().map_or(0, |stretch| stretch.rung);
        let timeline = self.rung(first)?.timeline;
        let segments = timeline.segments.iter();
        let before = segments.take_while(|segment| segment.sequence <= choices.first);
        let breaks = before.filter(|segment| !segment.continues).count();
        Ok(timeline.discontinuities.saturating_add(breaks as u64))
    }

    fn write(&self, current: &Rung<'_>, choices: &Choices) -> Result<String, Misfit> {
        let mut out = self.head(current, choices)?;
        let mut last: Option<(&Rung<'_>, &Segment<'_>)> = None;
        for (sequence, (number, joint)) in choices.each() {
            let rung = self.rung(number)?;
            let segment = rung.timeline.at(sequence).ok_or(Misfit::Behind(number))?;
            let breaks = joint == Joint::Inserted || !segment.continues;
            if breaks && last.is_some() {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            open(&mut out, last, (rung, segment));
            for line in &segment.lines {
                out.push_str(line);
                out.push('\n');
            }
            if !segment.is_there {
                out.push_str("#EXT-X-GAP\n");
            }
            if let Some((first, end)) = segment.span {
                out.push_str(&format!("#EXT-X-BYTERANGE:{}@{first}\n", end - first + 1));
            }
            out.push_str(segment.uri);
            out.push('\n');
            last = Some((rung, segment));
        }
        if current.timeline.is_finished {
            out.push_str("#EXT-X-ENDLIST\n");
        }
        Ok(out)
    }

    fn head(&self, current: &Rung<'_>, choices: &Choices) -> Result<String, Misfit> {
        let most = |of: fn(&Timeline<'_>) -> u64| {
            let all = self.rungs.iter().map(|rung| of(rung.timeline));
            all.max().unwrap_or(1)
        };
        // Maps in a playlist of whole segments need version 6 (section 8).
        let has_maps = self.rungs.iter().any(|rung| !rung.timeline.maps.is_empty());
        let version = most(|timeline| timeline.version).max(if has_maps { 6 } else { 1 });
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n\
             #EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
            most(|timeline| timeline.target),
            choices.first,
            self.own(choices)?.saturating_add(choices.inserted),
        );
        if let Some(kind) = current.timeline.kind {
            out.push_str(&format!("#EXT-X-PLAYLIST-TYPE:{kind}\n"));
        }
        // Delta updates and blocking reloads are the rung's, not of what is composed.
        let headers = current.timeline.headers.iter();
        for header in headers.filter(|line| !line.starts_with("#EXT-X-SERVER-CONTROL")) {
            let in_all = self
                .rungs
                .iter()
                .all(|rung| rung.timeline.headers.contains(header));
            if in_all {
                out.push_str(header);
                out.push('\n');
            }
        }
        Ok(out)
    }
}

/// Writes the keys and the initialisation section of a segment, where they are not in force.
fn open(
    out: &mut String,
    last: Option<(&Rung<'_>, &Segment<'_>)>,
    (rung, segment): (&Rung<'_>, &Segment<'_>),
) {
    let mut in_force = last.map_or(&[][..], |(rung, segment)| {
        rung.timeline.keys_at(segment.keys)
    });
    let before = last.and_then(|(rung, segment)| map_of(rung, segment));
    let mut turn = |out: &mut String, wanted| {
        if wanted == in_force {
            return;
        }
        // Replacing format by format would leave those that the other rung has not.
        if !in_force.is_empty() {
            out.push_str("#EXT-X-KEY:METHOD=NONE\n");
        }
        for line in wanted {
            out.push_str(&format!("{line}\n"));
        }
        in_force = wanted;
    };
    if let Some((line, keys)) = map_of(rung, segment).filter(|map| before != Some(*map)) {
        turn(out, keys);
        out.push_str(&format!("{line}\n"));
    }
    turn(out, rung.timeline.keys_at(segment.keys));
}

/// The initialisation section of a segment, and the keys that it is encrypted with.
fn map_of<'a>(rung: &Rung<'a>, segment: &Segment<'_>) -> Option<(&'a str, &'a [&'a str])> {
    let map = rung.timeline.maps.get(segment.map?)?;
    Some((map.line, rung.timeline.keys_at(map.keys)))
}

fn are_aligned(one: &Segment<'_>, other: &Segment<'_>) -> bool {
    one.millis.abs_diff(other.millis) <= FRAME_MILLIS && one.continues == other.continues
}

/// Whether a player must be told that it begins anew between the two: where nothing says how to
/// decode what follows (no initialisation section), or another codec does it.
fn are_unlike(one: &Rung<'_>, other: &Rung<'_>) -> bool {
    one.number != other.number
        && (!has_map(one) || !has_map(other) || families(one.codecs) != families(other.codecs))
}

fn has_map(rung: &Rung<'_>) -> bool {
    !rung.timeline.maps.is_empty()
}

/// The sample entries of `CODECS`, sorted.
fn families(codecs: &str) -> Vec<&str> {
    let codecs = codecs.split(',').map(str::trim);
    let mut families: Vec<_> = codecs
        .map(|codec| codec.split('.').next().unwrap_or(""))
        .collect();
    families.sort_unstable();
    families
}

#[cfg(test)]
mod tests;
