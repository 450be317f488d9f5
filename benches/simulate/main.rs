//! Do hints help? Sessions of three players over measured links, with and without them.
//!
//! `cargo bench --bench simulate -- DIRECTORY` reads traces and a ladder in sabre's JSON form.
//! Without a directory it looks beside the project, and does nothing where there is none.
//!
//! A client plays sessions of 60 s of media along its trace, one every two minutes. What is known
//! before each of them comes from the sessions before it, as an edge would have measured them; the
//! first has no prior and is not counted. Every policy meets the same links, titles and priors.
//! Names of traces decide, by a hash, which half the rule is tuned on (`--tuning`) and which half
//! is reported. A trace counts once, however many sessions it has room for.
//!
//! Policies: `off`; `hint` (the start by the rule); `etp` (to Shaka, the same and what is measured in
//! media answers, from three samples on; the edge does not do that); `cap` (rungs above what is sustained taken
//! away); `single` (that one alone); `server` (one playlist whose segments the edge picks).
//!
//! What this cannot show: traces of one trip resemble each other more than evenings do; no player
//! here shares its link; pictures cost nothing to decode.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a bench prints its figures; its indices are levels of its own ladder"
)]

mod dashjs;
mod ewma;
mod figures;
mod hlsjs;
mod knowledge;
mod link;
mod movie;
mod player;
mod session;
mod shaka;
mod trace;

use std::path::PathBuf;
use std::process::ExitCode;

use weir::session::belief::Belief;
use weir::session::start::{Candidate, Outlook, Player as Kind, RULE, Rule, own, reached};

use crate::figures::bootstrap;
use crate::knowledge::{Knowledge, aged, offered};
use crate::link::Link;
use crate::movie::Movie;
use crate::player::Player;
use crate::session::{LIMIT, Outcome, Setting, play};
use crate::trace::Trace;

/// What is done to the ladder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Policy {
    Off,
    Hint,
    Etp,
    Cap,
    Single,
    Server,
}

const POLICIES: [Policy; 6] = [
    Policy::Off,
    Policy::Hint,
    Policy::Etp,
    Policy::Cap,
    Policy::Single,
    Policy::Server,
];

const PLAYERS: [(&str, Kind); 3] = [
    ("hls.js", Kind::FirstListed),
    ("dash.js", Kind::Dash),
    ("Shaka", Kind::Shaka),
];

/// Seconds from one session's beginning to the next one's.
const EVERY: f64 = 120.0;
/// Sessions of one trace at most.
const SESSIONS: u64 = 8;
/// Clients of one trace, that begin spread over that time.
const CLIENTS: u32 = 8;
/// Segments that a session may begin with.
const SEGMENTS: usize = 150;
/// Salts of the split and of titles.
const HALF: u64 = 2;
const TITLES: u64 = 1000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = arguments
        .iter()
        .find(|argument| !argument.starts_with('-'))
        .map(PathBuf::from)
        .or_else(beside);
    let Some(directory) = directory else {
        println!("no traces: name a directory");
        return ExitCode::SUCCESS;
    };
    let traces = match trace::read(&directory) {
        Ok(traces) => traces,
        Err(error) => {
            println!("{}: {error}", directory.display());
            return ExitCode::FAILURE;
        }
    };
    let movie = Movie::read(&directory);
    let tuning = arguments.iter().any(|argument| argument == "--tuning");
    let half: Vec<&Trace> = traces
        .iter()
        .filter(|trace| (trace.chance(HALF) % 2 == 0) == tuning)
        .filter(|trace| trace.length() >= EVERY + LIMIT)
        .collect();
    println!(
        "{} of {} traces: the {} half",
        half.len(),
        traces.len(),
        if tuning { "tuning" } else { "reporting" }
    );
    if arguments.iter().any(|argument| argument == "--grid") {
        grid(&half, &movie);
    } else {
        table(&half, &movie);
    }
    ExitCode::SUCCESS
}

/// The traces beside the project, where they are.
fn beside() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/traces");
    path.is_dir().then_some(path)
}

/// A session that is to be played under several policies.
struct Visit<'a> {
    trace: &'a Trace,
    movie: &'a Movie,
    kind: Kind,
    /// When it begins, in seconds of the trace, and with which segment.
    at: f64,
    first: usize,
    prior: Option<Belief>,
    /// How it goes by itself.
    off: Outcome,
}

/// Sessions of a link's clients, but for each one's first.
fn visits<'a>(trace: &'a Trace, movie: &'a Movie, kind: Kind) -> Vec<Visit<'a>> {
    let mut visits = Vec::new();
    for client in 0..CLIENTS {
        let mut at = EVERY / f64::from(CLIENTS) * f64::from(client);
        let mut prior = None;
        for number in 0..SESSIONS {
            if at + LIMIT > trace.length() {
                break;
            }
            let salt = TITLES + u64::from(client) * 100 + number;
            let mut visit = Visit {
                trace,
                movie,
                kind,
                at,
                first: trace.chance(salt) as usize % SEGMENTS,
                prior,
                off: Outcome::default(),
            };
            let (off, seen) = visit.play(&visit.setting(Policy::Off, &RULE).0);
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

impl Visit<'_> {
    fn play(&self, setting: &Setting<'_>) -> (Outcome, Option<Belief>) {
        let mut player = player(self.kind, setting.rungs.len());
        play(setting, Link::new(self.trace, self.at), player.as_mut())
    }

    /// How it goes under a policy, and whether that edits anything.
    fn under(&self, policy: Policy, rule: &Rule) -> (Outcome, bool) {
        let (setting, edited) = self.setting(policy, rule);
        if edited {
            (self.play(&setting).0, true)
        } else {
            (self.off, false)
        }
    }

    fn setting(&self, policy: Policy, rule: &Rule) -> (Setting<'_>, bool) {
        setting(
            self.movie,
            self.kind,
            self.first,
            (policy, rule),
            self.prior,
        )
    }
}

fn player(kind: Kind, levels: usize) -> Box<dyn Player> {
    match kind {
        Kind::FirstListed => Box::new(hlsjs::HlsJs::new(levels)),
        Kind::Dash => Box::new(dashjs::DashJs::new()),
        Kind::Shaka => Box::new(shaka::Shaka::new()),
    }
}

/// What a session is given, and whether that differs from what it would be given without knowledge.
fn setting<'a>(
    movie: &'a Movie,
    kind: Kind,
    first: usize,
    (policy, rule): (Policy, &Rule),
    prior: Option<Belief>,
) -> (Setting<'a>, bool) {
    let mut rungs = movie.rungs();
    let mut candidates = movie.candidates(kind, first);
    // Authors list a middle rung first.
    let listed = reached(kind, &candidates, rungs.len() / 3);
    let alone = |candidates: &[_]| match kind {
        Kind::FirstListed => reached(kind, candidates, listed.min(candidates.len() - 1)),
        Kind::Dash | Kind::Shaka => own(kind, candidates),
    };
    let sustained = prior.map(|prior| rule.sustained(Outlook::from(&prior), &candidates));
    let mut start = alone(&candidates);
    let mut served = None;
    let mut edited = false;
    match (policy, sustained, prior) {
        (Policy::Hint | Policy::Etp, _, Some(prior)) => {
            let named = hinted(rule, &prior, &candidates, kind, listed);
            edited = named.is_some();
            start = named.unwrap_or(start);
        }
        (Policy::Cap, Some(top), _) => {
            edited = top + 1 < rungs.len();
            rungs.truncate(top + 1);
            candidates = offered(&candidates, &rungs);
            start = alone(&candidates);
        }
        (Policy::Single, Some(top), _) => {
            edited = true;
            rungs = vec![rungs[top]];
            start = 0;
        }
        (Policy::Server, _, _) => {
            edited = true;
            served = Some(std::mem::replace(&mut rungs, vec![movie.rungs()[0]]));
            start = 0;
        }
        _ => {}
    }
    let setting = Setting {
        movie,
        first,
        rungs,
        start,
        served,
        rule: *rule,
        tells: policy == Policy::Etp && kind == Kind::Shaka,
        knowledge: Knowledge::new(prior),
    };
    (setting, edited)
}

/// Where the rule has the player start. Candidates are in the manifest's order for it, and lowest
/// first here.
fn hinted(
    rule: &Rule,
    prior: &Belief,
    candidates: &[Candidate],
    kind: Kind,
    listed: usize,
) -> Option<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    if kind == Kind::FirstListed {
        order.remove(listed);
        order.insert(0, listed);
    }
    let manifest: Vec<_> = order.iter().map(|index| candidates[*index]).collect();
    let named = rule.rung(prior, None, &manifest, kind)?;
    Some(order[reached(kind, &manifest, named)])
}

/// A figure of an outcome.
type Figure = fn(&Outcome) -> f64;

const FIGURES: [(&str, Figure); 6] = [
    ("Mbit/s", |outcome| outcome.bitrate),
    ("first 30 s", |outcome| outcome.early),
    ("stalled %", |outcome| 100.0 * outcome.stalled),
    ("start s", |outcome| outcome.startup),
    ("switches", |outcome| outcome.switches),
    ("QoE", |outcome| outcome.qoe),
];

/// Means of a trace's sessions.
fn mean(outcomes: &[(Outcome, bool)], figure: Figure) -> f64 {
    let sum: f64 = outcomes.iter().map(|(outcome, _)| figure(outcome)).sum();
    sum / outcomes.len().max(1) as f64
}

fn table(half: &[&Trace], movie: &Movie) {
    for (name, kind) in PLAYERS {
        let visits: Vec<_> = half
            .iter()
            .map(|trace| visits(trace, movie, kind))
            .collect();
        let all = |policy| -> Vec<Vec<(Outcome, bool)>> {
            let of = |visits: &Vec<Visit<'_>>| {
                visits
                    .iter()
                    .map(|visit| visit.under(policy, &RULE))
                    .collect()
            };
            visits.iter().map(of).collect()
        };
        let off = all(Policy::Off);
        for policy in POLICIES {
            if policy == Policy::Etp && kind != Kind::Shaka {
                continue;
            }
            let on = all(policy);
            let played: usize = on.iter().map(Vec::len).sum();
            let edited = on.iter().flatten().filter(|(_, edited)| *edited).count();
            print!(
                "| {name} {} | {:.0} % |",
                format!("{policy:?}").to_lowercase(),
                100.0 * edited as f64 / played.max(1) as f64
            );
            for (_, figure) in FIGURES {
                let values: Vec<f64> = on.iter().map(|one| mean(one, figure)).collect();
                print!(" {:.2}", bootstrap(&values).mean);
                if policy != Policy::Off {
                    let pairs = on.iter().zip(&off);
                    let differ: Vec<f64> = pairs
                        .map(|(on, off)| mean(on, figure) - mean(off, figure))
                        .collect();
                    let sure = bootstrap(&differ);
                    print!(
                        " ({:+.3}, {:+.3} to {:+.3})",
                        sure.mean, sure.low, sure.high
                    );
                }
                print!(" |");
            }
            println!();
        }
    }
}

/// Prints what sets of parameters are worth, best first: the pooled gain in QoE of hints over none.
fn grid(half: &[&Trace], movie: &Movie) {
    let visits: Vec<Vec<Vec<Visit<'_>>>> = PLAYERS
        .iter()
        .map(|(_, kind)| {
            half.iter()
                .map(|trace| visits(trace, movie, *kind))
                .collect()
        })
        .collect();
    for of in &visits {
        let mut z = Vec::new();
        for visit in of.iter().flatten() {
            let Some(prior) = visit.prior else { continue };
            let got = (visit.trace.carries(visit.at, visit.at + 6.0) / 6.0)
                .max(1e4)
                .ln();
            z.push((got - prior.ln_mean, prior.variance));
        }
        for (low, high) in [(0.0, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 9.0)] {
            let mut e: Vec<f64> = z
                .iter()
                .filter(|(_, v)| *v >= low && *v < high)
                .map(|(e, _)| *e)
                .collect();
            e.sort_by(f64::total_cmp);
            let n = e.len();
            if n < 20 {
                continue;
            }
            println!(
                "variance {low}-{high}: n {n} error quantiles 5 % {:+.2} 16 % {:+.2} 50 % {:+.2} 84 % {:+.2} 95 % {:+.2}",
                e[n / 20],
                e[n * 16 / 100],
                e[n / 2],
                e[n * 84 / 100],
                e[n * 95 / 100]
            );
        }
    }
    let mut chance = fastrand::Rng::with_seed(1);
    let mut tried: Vec<(f64, String)> = Vec::new();
    for round in 0..160 {
        let mut pick = |values: &[f64]| *chance.choice(values).unwrap();
        let mut rule = Rule {
            held: pick(&[1.0, 1.5, 2.0, 3.0]),
            stall: pick(&[4.3, 8.0, 16.0]),
            startup: pick(&[0.05, 0.1, 0.2, 0.3, 0.5]),
            drift: 0.0,
            variance_max: pick(&[0.07, 0.1, 0.15, 0.2, 0.3]),
            gain_min: pick(&[0.0, 0.1, 0.2]),
            fits: pick(&[0.7, 0.8, 0.9]),
            ..RULE
        };
        if round == 0 {
            rule = RULE;
        }
        let mut line = String::new();
        let mut late = false;
        let mut pooled = vec![0.0; half.len()];
        for of in &visits {
            let played: Vec<Vec<(Outcome, Outcome)>> = of
                .iter()
                .map(|of| {
                    of.iter()
                        .map(|visit| (visit.under(Policy::Hint, &rule).0, visit.off))
                        .collect()
                })
                .collect();
            let differ = |figure: Figure| -> Vec<f64> {
                played
                    .iter()
                    .map(|pairs| {
                        pairs
                            .iter()
                            .map(|(on, off)| figure(on) - figure(off))
                            .sum::<f64>()
                            / pairs.len().max(1) as f64
                    })
                    .collect()
            };
            let qoe = differ(|outcome| outcome.qoe);
            for (sum, one) in pooled.iter_mut().zip(&qoe) {
                *sum += one / 3.0;
            }
            let q = bootstrap(&qoe);
            let s = bootstrap(&differ(|outcome| outcome.startup));
            late |= s.mean > 0.0;
            let w = bootstrap(&differ(|outcome| outcome.stalled * 60.0 + outcome.startup));
            line += &format!(
                " | {:+.4} {:+.4} {:+.2}s {:+.2}w",
                q.mean, q.low, s.mean, w.mean
            );
        }
        let sure = bootstrap(&pooled);
        tried.push((
            if late { sure.low - 1.0 } else { sure.low },
            format!(
                "{:+.4} {:+.4} {:+.4}{line} {rule:?}",
                sure.mean, sure.low, sure.high
            ),
        ));
    }
    tried.sort_by(|one, other| other.0.total_cmp(&one.0));
    for (_, line) in tried.iter().take(15).chain(
        tried
            .iter()
            .filter(|(_, line)| line.contains("held: 2.0, stall: 4.3, startup: 0.5,")),
    ) {
        println!("{line}");
    }
}
