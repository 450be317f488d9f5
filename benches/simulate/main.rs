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
//! Policies: `off`; `hint` (the start by the rule; to Shaka also `etp` in media answers, from three
//! samples on); `start` (the same without that `etp`); `cap` (rungs above what is sustained taken
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

use weir::session::start::{Outlook, Player as Kind, RULE, Rule, own, reached};

use crate::figures::bootstrap;
use crate::knowledge::{Knowledge, offered};
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
    Start,
    Cap,
    Single,
    Server,
}

const POLICIES: [Policy; 6] = [
    Policy::Off,
    Policy::Hint,
    Policy::Start,
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
const SESSIONS: usize = 8;
/// Salt of the split.
const HALF: u64 = 2;

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

/// One client's sessions under a policy, but for the first.
fn sessions(
    trace: &Trace,
    movie: &Movie,
    kind: Kind,
    how: (Policy, &Rule),
) -> Vec<(Outcome, bool)> {
    let room = ((trace.length() - LIMIT) / EVERY) as usize + 1;
    let mut prior = None;
    let mut outcomes = Vec::new();
    for number in 0..room.min(SESSIONS) {
        let first = (trace.chance(3) as usize % 199 + 37 * number) % 199;
        let link = || Link::new(trace, EVERY * number as f64);
        let (plain, _) = setting(movie, kind, first, (Policy::Off, how.1), prior);
        let (_, seen) = play(&plain, link(), player(kind, plain.rungs.len()).as_mut());
        if number > 0 {
            let (given, edited) = setting(movie, kind, first, how, prior);
            let mut player = player(kind, given.rungs.len());
            outcomes.push((play(&given, link(), player.as_mut()).0, edited));
        }
        prior = seen.after();
    }
    outcomes
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
    prior: Option<weir::session::belief::Belief>,
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
        (Policy::Hint | Policy::Start, _, Some(prior)) => {
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
        tells: policy == Policy::Hint && kind == Kind::Shaka,
        knowledge: Knowledge::new(prior),
    };
    (setting, edited)
}

/// Where the rule has the player start. Candidates are in the manifest's order for it, and lowest
/// first here.
fn hinted(
    rule: &Rule,
    prior: &weir::session::belief::Belief,
    candidates: &[weir::session::start::Candidate],
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
        let all = |policy| -> Vec<Vec<(Outcome, bool)>> {
            let one = |trace: &&Trace| sessions(trace, movie, kind, (policy, &RULE));
            half.iter().map(one).collect()
        };
        let off = all(Policy::Off);
        for policy in POLICIES {
            if policy == Policy::Start && kind != Kind::Shaka {
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
    let all = |kind, how: (Policy, &Rule)| -> Vec<Vec<(Outcome, bool)>> {
        half.iter()
            .map(|trace| sessions(trace, movie, kind, how))
            .collect()
    };
    let off: Vec<_> = PLAYERS
        .map(|(_, kind)| all(kind, (Policy::Off, &RULE)))
        .into();
    let mut chance = fastrand::Rng::with_seed(1);
    let mut tried: Vec<(f64, String)> = Vec::new();
    for round in 0..300 {
        let mut pick = |values: &[f64]| *chance.choice(values).unwrap();
        let mut rule = Rule {
            held: pick(&[1.0, 1.5, 2.0, 3.0, 4.0]),
            stall: pick(&[2.0, 4.3, 8.0, 16.0]),
            startup: pick(&[0.0, 0.25, 0.5, 1.0, 2.0]),
            variance_max: pick(&[0.1, 0.2, 0.3, 0.5, 1.0, 2.0]),
            gain_min: pick(&[0.0, 0.05, 0.1, 0.2, 0.3, 0.5]),
            fits: pick(&[0.5, 0.6, 0.7, 0.8, 0.9]),
            ..RULE
        };
        if round == 0 {
            rule = RULE;
        }
        let mut line = String::new();
        let mut pooled = vec![0.0; half.len()];
        for ((_, kind), off) in PLAYERS.iter().zip(&off) {
            let on = all(*kind, (Policy::Start, &rule));
            let differ = |figure: Figure| -> Vec<f64> {
                let pairs = on.iter().zip(off);
                pairs
                    .map(|(on, off)| mean(on, figure) - mean(off, figure))
                    .collect()
            };
            let qoe = differ(|outcome| outcome.qoe);
            for (sum, one) in pooled.iter_mut().zip(&qoe) {
                *sum += one / 3.0;
            }
            let q = bootstrap(&qoe);
            let s = bootstrap(&differ(|outcome| outcome.startup));
            line += &format!(" | {:+.4} {:+.4} {:+.2}s", q.mean, q.low, s.mean);
        }
        let sure = bootstrap(&pooled);
        tried.push((
            sure.low,
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
