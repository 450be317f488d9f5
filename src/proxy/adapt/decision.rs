//! What is done to a manifest for one client. Pure, but for what memory holds of first segments.

use std::time::Duration;

use crate::config::adapt::{Carrier, Filter, Mode, Steering};
use crate::manifest::filter;
use crate::manifest::ladder::{Ladder, Rung};
use crate::manifest::plan::{Kept, Plan, SteeringHint};
use crate::metrics::{Hinting, METRICS, ManifestKind};
use crate::proxy::adapt::Visit;
use crate::proxy::adapt::guest::Guest;
use crate::proxy::adapt::limit;
use crate::route::SERVICE;
use crate::route::choice::{Choice, SUSTAINED};
use crate::session::belief::Belief;
use crate::session::holdout::Arm;
use crate::session::start::{self, Candidate, Outlook, Player};

/// Bit/s of a rung that most lines carry: what `single` goes by while nothing is known.
const UNKNOWN_BITRATE: u64 = 1_000_000;

/// Bit/s that no rung exceeds: what a session goes by that began without a bound.
const UNBOUNDED: u64 = 1_000_000_000;

/// Everything that a decision rests on.
pub(super) struct Case<'a> {
    pub(super) visit: &'a Visit<'a>,
    pub(super) kind: ManifestKind,
    pub(super) ladder: &'a Ladder,
    /// Whether players ask for the manifest again and again.
    pub(super) is_dynamic: bool,
    pub(super) choice: &'a Choice,
    pub(super) filter: &'a Filter,
    pub(super) mode: Mode,
    pub(super) guest: &'a Guest,
    pub(super) belief: Option<Belief>,
}

/// What is done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// To the manifest.
    pub(super) plan: Plan,
    /// What goes out as `etp` of CMSD, in kbit/s, and with it as `mb`.
    pub(super) hint: Option<Hint>,
}

/// What Shaka is told to start with, in kbit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) struct Hint {
    /// `etp`.
    pub(in crate::proxy) throughput: u64,
    /// `mb`.
    pub(in crate::proxy) most: u64,
}

/// Rungs of one group that are left, by their index in the ladder, and what they take.
struct Candidates {
    indices: Vec<usize>,
    list: Vec<Candidate>,
}

impl Candidates {
    /// Index in the ladder of the best rung within `most` bit/s, or of the least where none is.
    fn fitting(&self, most: u64) -> Option<usize> {
        let rungs = || self.indices.iter().zip(&self.list);
        let fitting = rungs().filter(|(_, rung)| rung.rated <= most);
        let best = fitting.max_by_key(|(_, rung)| rung.rated);
        let chosen = best.or_else(|| rungs().min_by_key(|(_, rung)| rung.rated));
        chosen.map(|(index, _)| *index)
    }
}

impl Case<'_> {
    /// Decides.
    ///
    /// # Errors
    /// [`filter::Error`] where what is asked for would leave nothing.
    pub(super) fn decide(&self) -> Result<Decision, filter::Error> {
        let kept = match *self.filter == Filter::default() {
            true => None,
            false => Some(filter::keep(self.ladder, self.filter)?),
        };
        let candidates = self.candidates(kept.as_ref());
        let most = self.bound(&candidates);
        let kept = self.limited(kept, &candidates, most);
        let given = self.start(&candidates);
        METRICS
            .hints
            .of(given.err().unwrap_or(Hinting::Given))
            .inc();
        let start = given.ok();
        let kept = kept.filter(|it| it.rungs.contains(&false) || it.renditions.contains(&false));
        let start =
            start.filter(|index| kept.as_ref().is_none_or(|kept| is_set(&kept.rungs, *index)));
        let mut plan = Plan {
            rebase: self.visit.rebase(self.guest),
            start,
            steering: self.steering(),
            cmcd: self.cmcd(),
            refresh: None,
            kept,
        };
        // What is off and the same for all is asked for again as it was.
        if self.is_dynamic && !(self.mode == Mode::Off && plan.is_empty()) {
            plan.refresh = self.refresh(most);
        }
        let hint = self.hint(&candidates);
        Ok(Decision { plan, hint })
    }

    /// The rungs that a player chooses its start from: those of the first group listed that has
    /// a picture, where any has.
    fn candidates(&self, kept: Option<&Kept>) -> Candidates {
        let rungs = self.ladder.rungs.iter().enumerate();
        let left = rungs.filter(|(index, _)| kept.is_none_or(|kept| is_set(&kept.rungs, *index)));
        let left: Vec<(usize, &Rung)> = left.collect();
        let seen = left.iter().find(|(_, rung)| rung.has_video);
        let group = seen.or(left.first()).map(|(_, rung)| rung.group);
        let of_group = left
            .into_iter()
            .filter(|(_, rung)| Some(rung.group) == group);
        let (indices, list) = of_group
            .map(|(index, rung)| (index, self.visit.candidate(rung)))
            .unzip();
        Candidates { indices, list }
    }

    /// What the mode leaves of what the filter has left; `most` is [`Case::bound`].
    fn limited(
        &self,
        kept: Option<Kept>,
        candidates: &Candidates,
        most: Option<u64>,
    ) -> Option<Kept> {
        match (self.mode, most) {
            (Mode::Cap, Some(most)) => Some(limit::cap(self.ladder, kept, most)),
            (Mode::Single | Mode::Server, Some(most)) => {
                let index = candidates.fitting(most)?;
                Some(limit::single(self.ladder, kept, index))
            }
            _ => kept,
        }
    }

    /// Bit/s that no rung exceeds where the mode leaves some out: what an earlier answer of the
    /// same session went by, since refreshes must stay with it, or what is sustained by caution.
    fn bound(&self, candidates: &Candidates) -> Option<u64> {
        if self.choice.sustained.is_some() {
            return self.choice.sustained;
        }
        let sustained = self.belief.as_ref().and_then(|belief| {
            let index = start::sustained(Outlook::from(belief), &candidates.list);
            Some(candidates.list.get(index)?.rated)
        });
        match self.mode {
            Mode::Cap if self.guest.arm() == Some(Arm::Holdout) || !self.is_allowed() => None,
            Mode::Cap => sustained,
            Mode::Single | Mode::Server => Some(sustained.unwrap_or(UNKNOWN_BITRATE)),
            Mode::Hint | Mode::Off => None,
        }
    }

    /// The rung to start with, or why none is named.
    fn start(&self, candidates: &Candidates) -> Result<usize, Hinting> {
        let belief = self.founded()?;
        let player = match self.kind {
            ManifestKind::Hls => Player::FirstListed,
            ManifestKind::Dash => Player::Dash,
        };
        let index = start::rung(belief, rtt(belief), &candidates.list, player);
        let index = index.and_then(|index| candidates.indices.get(index).copied());
        index.ok_or(Hinting::Kept)
    }

    /// What Shaka is told with the same reasons; it looks at neither order nor target.
    fn hint(&self, candidates: &Candidates) -> Option<Hint> {
        let belief = self.founded().ok()?;
        let index = start::rung(belief, rtt(belief), &candidates.list, Player::Shaka)?;
        let rated = candidates.list.get(index)?.rated;
        Some(Hint {
            throughput: start::etp(rated),
            most: limit::floor(self.ladder).max(rated).div_ceil(1000),
        })
    }

    /// The belief that a hint may rest on.
    fn founded(&self) -> Result<&Belief, Hinting> {
        if !matches!(self.mode, Mode::Hint | Mode::Cap) {
            return Err(Hinting::Off);
        }
        if self.guest.arm() == Some(Arm::Holdout) {
            return Err(Hinting::Holdout);
        }
        if self.is_dynamic && matches!(self.guest, Guest::Known { .. }) {
            return Err(Hinting::Refresh);
        }
        if !self.is_allowed() {
            return Err(Hinting::Stopped);
        }
        self.belief.as_ref().ok_or(Hinting::Unknown)
    }

    /// Whether the holdout has not shown that what is done here makes playback worse.
    fn is_allowed(&self) -> bool {
        let Visit {
            edge, route, now, ..
        } = self.visit;
        edge.sessions.hints_allowed(&route.site.name, *now)
    }

    fn steering(&self) -> Option<SteeringHint> {
        if self.mode == Mode::Off {
            return None;
        }
        let Steering { url, pathway, .. } = self.visit.route.site.adapt.steering.as_ref()?;
        let session = match (self.visit.carrier(), self.guest.text()) {
            (Carrier::Path, Some(text)) => format!("/~{text}"),
            _ => String::new(),
        };
        let document = match self.kind {
            ManifestKind::Hls => "hls",
            ManifestKind::Dash => "dash",
        };
        Some(SteeringHint {
            url: format!("{url}{session}{SERVICE}steering/{document}"),
            pathway: pathway.clone(),
        })
    }

    fn cmcd(&self) -> Option<String> {
        let wanted = self.visit.route.site.adapt.cmcd && self.kind == ManifestKind::Dash;
        self.guest.text().filter(|_| wanted).map(str::to_owned)
    }

    /// Where a live MPD is asked for again: below its session, with what was chosen.
    fn refresh(&self, most: Option<u64>) -> Option<String> {
        let route = &self.visit.route;
        let rebase = self.visit.rebase(self.guest);
        let mut chosen = self.choice.spelled.clone();
        if matches!(self.mode, Mode::Cap | Mode::Single | Mode::Server)
            && self.choice.sustained.is_none()
        {
            let most = most.unwrap_or(UNBOUNDED).div_ceil(1000);
            let mark = if chosen.is_empty() { "" } else { "&" };
            chosen = format!("{chosen}{mark}{SUSTAINED}={most}");
        }
        if rebase.is_none() && chosen.is_empty() {
            return None;
        }
        let prefix = rebase.map(|rebase| rebase.prefix).unwrap_or_default();
        let mut target = format!("{prefix}{}", route.origin_path);
        let mut mark = '?';
        let kept = [route.origin_query.as_deref(), Some(chosen.as_str())];
        for query in kept.into_iter().flatten().filter(|query| !query.is_empty()) {
            target.push(mark);
            target.push_str(query);
            mark = '&';
        }
        Some(target)
    }
}

fn rtt(belief: &Belief) -> Option<Duration> {
    let millis = belief.rtt_millis?;
    Duration::try_from_secs_f64(millis / 1000.0).ok()
}

fn is_set(list: &[bool], index: usize) -> bool {
    list.get(index).copied().unwrap_or(false)
}
