//! The sessions of a link's clients, and what each policy makes of them.

use weir::session::belief::Belief;
use weir::session::start::{Candidate, Outlook, Player as Kind, Rule, own, reached};

use crate::dashjs::DashJs;
use crate::hlsjs::HlsJs;
use crate::knowledge::{Knowledge, aged, offered};
use crate::link::Link;
use crate::movie::Movie;
use crate::player::Player;
use crate::session::{LIMIT, Outcome, Setting, play};
use crate::shaka::Shaka;
use crate::trace::Trace;

/// What is done for a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Off,
    Hint,
    Etp,
    Cap,
    Single,
    Server,
}

/// A session that is to be played under several policies.
pub(crate) struct Visit<'a> {
    trace: &'a Trace,
    movie: &'a Movie,
    kind: Kind,
    /// When it begins, in seconds of the trace.
    at: f64,
    /// The segment that it begins with: a title of its own, as it were.
    first: usize,
    prior: Option<Belief>,
    /// How it goes without us.
    pub(crate) off: Outcome,
}

/// Sessions of a link's clients, but for each one's first.
pub(crate) fn visits<'a>(trace: &'a Trace, movie: &'a Movie, kind: Kind) -> Vec<Visit<'a>> {
    let mut visits = Vec::new();
    for client in 0..CLIENTS {
        let mut at = EVERY / f64::from(CLIENTS) * f64::from(client);
        let mut prior = None;
        for number in 0..SESSIONS {
            if at + LIMIT > trace.length() {
                break;
            }
            let salt = u64::from(client) * 100 + number;
            let mut visit = Visit {
                trace,
                movie,
                kind,
                at,
                first: trace.chance(TITLES + salt) as usize % movie.segments(),
                prior,
                off: Outcome::default(),
            };
            let (off, seen) = visit.play(&visit.plain());
            visit.off = off;
            if number > 0 {
                visits.push(visit);
            }
            at += EVERY;
            prior = aged(seen, at);
        }
    }
    visits
}

/// Whether a trace has room for two sessions.
pub(crate) fn suffices(trace: &Trace) -> bool {
    trace.length() >= EVERY + LIMIT
}

impl Visit<'_> {
    /// How it goes under a policy, and whether that changes anything.
    pub(crate) fn under(&self, policy: Policy, rule: &Rule) -> (Outcome, bool) {
        match self.setting(policy, rule) {
            Some(setting) => (self.play(&setting).0, true),
            None => (self.off, false),
        }
    }

    fn play(&self, setting: &Setting<'_>) -> (Outcome, Option<Belief>) {
        let mut player: Box<dyn Player> = match self.kind {
            Kind::FirstListed => Box::new(HlsJs::new(setting.rungs.len())),
            Kind::Dash => Box::new(DashJs::new()),
            Kind::Shaka => Box::new(Shaka::new()),
        };
        play(setting, Link::new(self.trace, self.at), player.as_mut())
    }

    /// What the player is given without us.
    fn plain(&self) -> Setting<'_> {
        Setting {
            movie: self.movie,
            first: self.first,
            rungs: self.movie.rungs(),
            start: self.alone(&self.candidates()),
            served: None,
            tells: false,
            knowledge: Knowledge::new(self.prior),
        }
    }

    /// What the player is given; `None` where that is what it is given without us.
    fn setting(&self, policy: Policy, rule: &Rule) -> Option<Setting<'_>> {
        let plain = self.plain();
        let prior = self.prior?;
        let candidates = self.candidates();
        let top = rule.sustained(Outlook::from(&prior), &candidates);
        match policy {
            Policy::Off => None,
            Policy::Hint => Some(Setting {
                start: self.hinted(rule, &prior)?,
                ..plain
            }),
            Policy::Etp => Some(Setting {
                start: self.hinted(rule, &prior).unwrap_or(plain.start),
                tells: true,
                ..plain
            }),
            Policy::Cap => {
                let rungs = plain.rungs[..=top].to_vec();
                Some(Setting {
                    start: self.alone(&offered(&candidates, &rungs)),
                    rungs,
                    ..plain
                })
            }
            Policy::Single => Some(Setting {
                start: 0,
                rungs: vec![plain.rungs[top]],
                ..plain
            }),
            Policy::Server => Some(Setting {
                start: 0,
                rungs: vec![plain.rungs[0]],
                served: Some(plain.rungs),
                ..plain
            }),
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        self.movie.candidates(self.kind, self.first)
    }

    /// The level that the player starts with by itself. Of a playlist, the variant a third up the
    /// ladder is listed first, or the highest below it.
    fn alone(&self, candidates: &[Candidate]) -> usize {
        match self.kind {
            Kind::FirstListed => reached(self.kind, candidates, self.listed(candidates.len())),
            Kind::Dash | Kind::Shaka => own(self.kind, candidates),
        }
    }

    fn listed(&self, levels: usize) -> usize {
        (self.movie.rungs().len() / 3).min(levels - 1)
    }

    /// The level that the rule has the player start with.
    fn hinted(&self, rule: &Rule, prior: &Belief) -> Option<usize> {
        let candidates = self.candidates();
        // The rule takes rungs in the manifest's order; here they are lowest first.
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        if self.kind == Kind::FirstListed {
            order[..=self.listed(candidates.len())].rotate_right(1);
        }
        let manifest: Vec<Candidate> = order.iter().map(|index| candidates[*index]).collect();
        let named = rule.rung(prior, None, &manifest, self.kind)?;
        Some(order[reached(self.kind, &manifest, named)])
    }
}

/// Seconds from one session's beginning to the next one's.
const EVERY: f64 = 120.0;
/// Clients of one link, which begin spread over that time, and sessions of one at most.
const CLIENTS: u32 = 8;
const SESSIONS: u64 = 8;
/// Salt of titles.
const TITLES: u64 = 1000;
