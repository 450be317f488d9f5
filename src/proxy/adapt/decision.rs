//! What is done to a manifest for one client. Pure, but for what memory holds of first segments.

use std::cell::OnceCell;

use crate::config::adapt::{Carrier, Filter, Mode, Steering};
use crate::life::duress::Load;
use crate::limits::CAPPED_RUNGS_MIN;
use crate::manifest::filter;
use crate::manifest::ladder::{Rung, Sound};
use crate::manifest::parsed::Parsed;
use crate::manifest::plan::{Kept, Plan, SteeringHint};
use crate::metrics::{Hinting, METRICS, ManifestKind};
use crate::proxy::adapt::Visit;
use crate::proxy::adapt::guest::Guest;
use crate::route::SERVICE;
use crate::route::choice::{Choice, SUSTAINED};
use crate::session::belief::Belief;
use crate::session::cmsd::Hints;
use crate::session::estimator::Estimate;
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
    pub(super) manifest: &'a Parsed,
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
    /// What goes out by CMSD, until the first segment withdraws it.
    pub(super) said: Hints,
}

/// Rungs of one group that are left, in the order of the ladder.
struct Candidates<'a> {
    /// Each with its index in the ladder.
    rungs: Vec<(usize, &'a Rung)>,
    /// The ladder's sounds.
    sounds: &'a [Sound],
    /// What they take, where anybody has asked: it is looked up in memory, rung by rung.
    sized: OnceCell<Vec<Candidate>>,
}

impl Candidates<'_> {
    /// Index in the ladder of the best rung within `most` bit/s, or of the least where none is.
    fn fitting(&self, most: u64) -> Option<usize> {
        let rungs = || self.rungs.iter();
        let fitting = rungs().filter(|(_, rung)| rung.bandwidth <= most);
        let best = fitting.max_by_key(|(_, rung)| rung.bandwidth);
        let chosen = best.or_else(|| rungs().min_by_key(|(_, rung)| rung.bandwidth));
        chosen.map(|(index, _)| *index)
    }

    /// What they take, as `visit` finds it; rated by picture and sound together.
    fn sized(&self, visit: &Visit<'_>) -> &[Candidate] {
        self.sized
            .get_or_init(|| visit.candidates(&self.rungs, self.sounds))
    }

    /// What they take, as dash.js rates them, which chooses the picture without its sound.
    fn by_picture(&self, visit: &Visit<'_>) -> Vec<Candidate> {
        let rungs = self.rungs.iter().zip(self.sized(visit));
        let rated = rungs.map(|((_, rung), candidate)| Candidate {
            rated: rung.picture,
            ..*candidate
        });
        rated.collect()
    }
}

impl Case<'_> {
    /// Decides.
    ///
    /// # Errors
    /// [`filter::Error`] where what is asked for would leave nothing.
    pub(super) fn decide(&self) -> Result<Decision, filter::Error> {
        let kept = filter::keep(self.manifest.ladder(), self.filter)?;
        let candidates = self.candidates(&kept);
        let most = self.bound(&candidates);
        let kept = self.limited(kept, &candidates, most);
        let start = self.start(&candidates, &kept);
        METRICS
            .hints
            .of(start.err().unwrap_or(Hinting::Given))
            .inc();
        let said = self.said(&candidates, &kept);
        let mut plan = Plan {
            rebase: self.visit.rebase(self.guest),
            start: start.ok(),
            steering: self.steering(),
            cmcd: self.cmcd(),
            refresh: None,
            kept: (!kept.is_whole()).then_some(kept),
        };
        // What is off and the same for all is asked for again as it was.
        if self.manifest.is_dynamic() && !(self.mode == Mode::Off && plan.is_empty()) {
            plan.refresh = self.refresh(most);
        }
        Ok(Decision { plan, said })
    }

    /// The rungs that stand in for one another, by their index in the ladder, and that of the one
    /// that the next segments are from (`server`).
    pub(super) fn next(&self, estimate: Option<&Estimate>) -> Option<(Vec<usize>, usize)> {
        let ladder = self.manifest.ladder();
        let kept = filter::keep(ladder, self.filter).ok()?;
        let candidates = self.candidates(&kept);
        let now = match (self.choice.sustained, estimate) {
            (None, Some(estimate)) => {
                let rungs = candidates.sized(self.visit);
                let next = start::next(Outlook::from(estimate), rungs);
                candidates.rungs.get(next).map(|(index, _)| *index)
            }
            _ => candidates.fitting(self.bound(&candidates)?),
        }?;
        let original = ladder.rungs.get(now).and_then(|rung| rung.copy_of);
        let indices = candidates.rungs.iter().map(|(index, _)| *index);
        Some((indices.collect(), original.unwrap_or(now)))
    }

    /// The rungs that a player chooses its start from: those of the first group listed that has
    /// a picture, where any has.
    fn candidates(&self, kept: &Kept) -> Candidates<'_> {
        let rungs = self.manifest.ladder().rungs.iter().enumerate();
        let left = rungs.filter(|(index, _)| kept.has_rung(*index));
        let left: Vec<(usize, &Rung)> = left.collect();
        let seen = left.iter().find(|(_, rung)| rung.has_video);
        let group = seen.or(left.first()).map(|(_, rung)| rung.group);
        let of_group = left
            .into_iter()
            .filter(|(_, rung)| Some(rung.group) == group);
        Candidates {
            rungs: of_group.collect(),
            sounds: &self.manifest.ladder().sounds,
            sized: OnceCell::new(),
        }
    }

    /// What the mode leaves of what the filter has left; `most` is [`Case::bound`].
    fn limited(&self, kept: Kept, candidates: &Candidates<'_>, most: Option<u64>) -> Kept {
        match (self.mode, most) {
            (Mode::Cap, Some(most)) => {
                filter::cap(self.manifest.ladder(), &kept, most, CAPPED_RUNGS_MIN)
            }
            (Mode::Single | Mode::Server, Some(most)) => match candidates.fitting(most) {
                Some(index) => filter::single(self.manifest.ladder(), &kept, index, most),
                None => kept,
            },
            _ => kept,
        }
    }

    /// Bit/s that no rung exceeds where the mode leaves some out: what an earlier answer of the
    /// same session went by, since refreshes must stay with it, or what is sustained by caution, up
    /// to whole kbit/s, which is what refreshes say.
    fn bound(&self, candidates: &Candidates<'_>) -> Option<u64> {
        if self.choice.sustained.is_some() {
            return self.choice.sustained;
        }
        let most = match self.mode {
            Mode::Cap if self.guest.arm() == Some(Arm::Holdout) || !self.is_allowed() => None,
            Mode::Cap => self.sustained(candidates),
            Mode::Single | Mode::Server => {
                Some(self.sustained(candidates).unwrap_or(UNKNOWN_BITRATE))
            }
            Mode::Hint | Mode::Off => None,
        };
        most.map(|most| most.div_ceil(1000).saturating_mul(1000))
    }

    /// Bit/s of the rung that the client sustains, where anything is known of it.
    fn sustained(&self, candidates: &Candidates<'_>) -> Option<u64> {
        let belief = self.belief.as_ref()?;
        let index = start::sustained(Outlook::from(belief), candidates.sized(self.visit));
        let (_, rung) = candidates.rungs.get(index)?;
        Some(rung.bandwidth)
    }

    /// The rung to start with, which is `kept` and can be named; or why there is none.
    fn start(&self, candidates: &Candidates<'_>, kept: &Kept) -> Result<usize, Hinting> {
        let belief = self.founded()?;
        let rtt = self.visit.round_trip();
        let index = match self.kind {
            ManifestKind::Hls => {
                let rungs = candidates.sized(self.visit);
                start::rung(belief, rtt, rungs, Player::FirstListed)
            }
            ManifestKind::Dash => {
                let rungs = candidates.by_picture(self.visit);
                start::rung(belief, rtt, &rungs, Player::Dash)
            }
        };
        let chosen = index.and_then(|index| candidates.rungs.get(index));
        let (index, _) = *chosen.ok_or(Hinting::Kept)?;
        match kept.has_rung(index) && self.manifest.can_start(index) {
            true => Ok(index),
            false => Err(Hinting::Kept),
        }
    }

    /// What players are told that look at neither order nor target (Shaka): for the same reasons
    /// where to start; under duress, whatever is known of them, to start with the least.
    fn said(&self, candidates: &Candidates<'_>, kept: &Kept) -> Hints {
        let floor = || filter::floor(self.manifest.ladder(), kept);
        let is_hard = self.visit.edge.duress.load() == Load::Duress;
        let may_start = self.mode != Mode::Off && !self.is_refreshed();
        if is_hard && may_start {
            return Hints {
                bitrate_max_kbps: Some(floor().div_ceil(1000).max(1)),
                duress: true,
                ..Hints::default()
            };
        }
        let hint = self.hint(candidates);
        Hints {
            throughput_kbps: hint.map(|(throughput, _)| throughput),
            bitrate_max_kbps: hint.map(|(_, rated)| floor().max(rated).div_ceil(1000)),
            duress: false,
        }
    }

    /// What is believed, in kbit/s, and bit/s of the rung that Shaka should start with by that.
    fn hint(&self, candidates: &Candidates<'_>) -> Option<(u64, u64)> {
        let belief = self.founded().ok()?;
        let rungs = candidates.sized(self.visit);
        let index = start::rung(belief, self.visit.round_trip(), rungs, Player::Shaka)?;
        let rated = rungs.get(index)?.rated;
        let believed = belief.bitrate() / 1000;
        // Where the truth would not move it, nothing does.
        (start::etp_least(rated) <= believed).then_some((believed, rated))
    }

    /// Whether a live manifest is asked for again by who plays it.
    fn is_refreshed(&self) -> bool {
        self.manifest.is_dynamic() && matches!(self.guest, Guest::Known { .. })
    }

    /// The belief that a hint may rest on.
    fn founded(&self) -> Result<&Belief, Hinting> {
        if !matches!(self.mode, Mode::Hint | Mode::Cap) {
            return Err(Hinting::Off);
        }
        if self.guest.arm() == Some(Arm::Holdout) {
            return Err(Hinting::Holdout);
        }
        if self.is_refreshed() {
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
        let percent = self.visit.route.site.adapt.cmcd_percent;
        let is_asked = self.kind == ManifestKind::Dash && self.guest.is_asked(percent);
        self.guest.text().filter(|_| is_asked).map(str::to_owned)
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use http::{HeaderMap, Method, Version};

    use super::*;
    use crate::cache::ask::Source;
    use crate::cache::engine::Engine;
    use crate::clock;
    use crate::config::Config;
    use crate::life::duress::Duress;
    use crate::limits::SESSION_SILENCE_MAX;
    use crate::origin::build;
    use crate::prefetch::Prefetch;
    use crate::proxy::{Edge, Parts};
    use crate::purge::log::Purges;
    use crate::purge::log::heartbeat::NodeInfo;
    use crate::route::{self, Head};
    use crate::session::Sessions;
    use crate::session::client::Client;
    use crate::session::cmcd::Report;
    use crate::session::pathways::Pathways;

    const CONFIG: &str = "[[site]]\nname = \"films\"\nhosts = [\"*\"]\norigin = \"file:///tmp\"\n\
        adapt.holdout_percent = 0\n";

    const LADDER: &[u8] = b"#EXTM3U\n\
        #EXT-X-STREAM-INF:BANDWIDTH=800000,CODECS=\"avc1.4d401e\"\nlow.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1600000,CODECS=\"avc1.4d401e\"\nmiddle.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3000000,CODECS=\"avc1.4d401e\"\nhigh.m3u8\n";

    fn edge() -> Edge {
        let config = Config::parse(CONFIG, Path::new("/")).unwrap();
        let source = |site| Source {
            site: Arc::clone(site),
            origin: build::build(site).unwrap(),
        };
        let sources: Vec<_> = config.sites.iter().map(source).map(Arc::new).collect();
        let node = NodeInfo {
            node: "edge".to_owned(),
            version: String::new(),
            addresses: Vec::new(),
        };
        let purges = Purges::new(None, &config.purge, node);
        let engine = Engine::new(64 << 20, None, purges);
        let duress = Arc::<Duress>::default();
        let parts = Parts {
            prefetch: Prefetch::new(Arc::clone(&engine), &sources, Arc::clone(&duress)),
            engine,
            sessions: Sessions::new(&config, None),
            pathways: Pathways::new(&config.sites),
            duress,
            flights: Arc::default(),
        };
        Edge::new(&config, &sources, parts)
    }

    /// What is decided for a client that is known to be fast: the hinted start, or why there is
    /// none.
    fn start(edge: &Edge) -> Result<usize, Hinting> {
        let head = Head {
            method: &Method::GET,
            version: Version::HTTP_11,
            target: "/t/master.m3u8",
            authority: Some("edge.test"),
            accept: None,
        };
        let headers = HeaderMap::new();
        let now = clock::now();
        let visit = Visit {
            edge,
            route: route::route(&edge.sites, &head).unwrap(),
            headers: &headers,
            host: head.authority,
            address: None,
            active: None,
            bearer: None,
            now,
        };
        let manifest = Parsed::hls(LADDER).unwrap();
        let guest = visit.guest(Mode::Hint, &manifest);
        let case = Case {
            visit: &visit,
            kind: ManifestKind::Hls,
            manifest: &manifest,
            choice: &Choice::default(),
            filter: &Filter::default(),
            mode: Mode::Hint,
            guest: &guest,
            belief: Some(Belief {
                ln_mean: 3e7_f64.ln(),
                variance: 0.01,
                rtt_millis: Some(20.0),
                at: now,
            }),
        };
        let decision = case.decide().unwrap();
        case.founded()?;
        decision.plan.start.ok_or(Hinting::Unknown)
    }

    /// Ends so many sessions of each arm, those with hints at a third of the bit rate.
    async fn ended(sessions: &Arc<Sessions>, count: u64) {
        let past = clock::now().before(2 * SESSION_SILENCE_MAX);
        for nth in 0..count {
            for (arm, bitrate) in [(Arm::Hinted, 1_000_000), (Arm::Holdout, 3_000_000)] {
                let who = sessions.mint("films", arm, past).who;
                let report = Report {
                    bitrate: Some(bitrate + nth * 1000),
                    duration: Some(Duration::from_secs(20)),
                    ..Report::default()
                };
                sessions.reported("films", who, &Client::default(), &report, past);
            }
        }
        // The first turn is taken at once.
        let turn = tokio::time::timeout(Duration::from_millis(1), sessions.run());
        assert!(turn.await.is_err(), "it goes on until it is dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn hints_that_made_playback_worse_are_given_no_more() {
        let edge = edge();
        assert!(start(&edge).is_ok(), "{:?}", start(&edge));
        ended(&edge.sessions, 100).await;
        assert!(start(&edge).is_ok(), "too few to say");
        ended(&edge.sessions, 200).await;
        assert_eq!(start(&edge), Err(Hinting::Stopped));
    }
}
