//! Do hints help? Sessions of three players over measured links, with and without them.
//!
//! `make simulate`, or `cargo bench --bench simulate -- DIRECTORY`: traces and a ladder
//! (`bbb.json`) in sabre's JSON form. Without a directory it looks beside the project, and does
//! nothing where there is none.
//!
//! Clients play sessions of 60 s of media along each trace, one every two minutes, which must have
//! played within 90 s. What is known before a session comes of the sessions before it, by the
//! edge's own estimator and belief; a client's first session has no prior and is not counted.
//! Every policy meets the same links, titles and priors. A hash of a trace's name decides which
//! half it is in: the rule is tuned on one (`--tune`), and the other is reported. A trace counts
//! once, however many sessions it has room for; intervals are of resampled traces.
//!
//! Policies: `off`; `hint` (the start by the rule); `etp` (to Shaka, besides, what is measured with
//! every answer from three samples on; the edge does not do that, since segments are for all);
//! `cap` (rungs above what is sustained taken away); `single` (that one alone); `server` (one
//! playlist whose segments the edge picks one by one).
//!
//! `QoE` a second of media is Mbit/s - 4.3 x the stalled share - the Mbit/s switched; what has not
//! played is stalled, and the time to the first picture is told apart. `waits` is both in seconds.
//!
//! What this cannot show: no player here shares its link, pictures cost nothing to decode, and the
//! next evening at home may resemble the last one more than the next two minutes in a tram do.

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
mod tune;
mod visit;

use std::path::PathBuf;
use std::process::ExitCode;

use weir::session::start::{Player as Kind, RULE};

use crate::figures::{FIGURES, QOE, START, bootstrap, differences, mean};
use crate::movie::Movie;
use crate::session::Outcome;
use crate::trace::Trace;
use crate::visit::{Policy, Visit, visits};

const POLICIES: [(&str, Policy); 6] = [
    ("off", Policy::Off),
    ("hint", Policy::Hint),
    ("etp", Policy::Etp),
    ("cap", Policy::Cap),
    ("single", Policy::Single),
    ("server", Policy::Server),
];

const PLAYERS: [(&str, Kind); 3] = [
    ("hls.js", Kind::FirstListed),
    ("dash.js", Kind::Dash),
    ("Shaka", Kind::Shaka),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = arguments.iter().find(|argument| !argument.starts_with('-'));
    let Some(directory) = named.map(PathBuf::from).or_else(beside) else {
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
    let tunes = arguments.iter().any(|argument| argument == "--tune");
    let half: Vec<&Trace> = traces
        .iter()
        .filter(|trace| (trace.chance(HALF) % 2 == 0) == tunes && visit::suffices(trace))
        .collect();
    let of = |kind: Kind| {
        half.iter()
            .map(|trace| visits(trace, &movie, kind))
            .collect()
    };
    let players: Vec<Vec<Vec<Visit<'_>>>> = PLAYERS.map(|(_, kind)| of(kind)).into();
    println!("{} of {} traces", half.len(), traces.len());
    if tunes {
        tune::tune(&players);
    } else {
        table(&players);
        steady(&movie);
    }
    ExitCode::SUCCESS
}

/// The traces beside the project, where they are.
fn beside() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/traces");
    path.is_dir().then_some(path)
}

/// Prints each policy's means, and the mean differences that it makes.
fn table(players: &[Vec<Vec<Visit<'_>>>]) {
    let names: Vec<&str> = FIGURES.iter().map(|figure| figure.0).collect();
    println!("\n| | edited | {} |", names.join(" | "));
    println!("|---|---{}|", "|---".repeat(names.len()));
    for ((name, kind), traces) in PLAYERS.iter().zip(players) {
        for (policy_name, policy) in POLICIES {
            if policy != Policy::Etp || *kind == Kind::Shaka {
                println!("| {name}, {policy_name} |{}", row(traces, policy));
            }
        }
    }
    let gain = |(on, off): (Outcome, Outcome)| FIGURES[QOE].1(&on) - FIGURES[QOE].1(&off);
    let of_trace = |trace: usize| {
        let visits = players.iter().flat_map(|traces| &traces[trace]);
        mean(visits.map(|visit| gain((visit.under(Policy::Hint, &RULE).0, visit.off))))
    };
    let traces = players.first().map_or(0, Vec::len);
    let pooled = bootstrap(&(0..traces).map(of_trace).collect::<Vec<f64>>());
    println!(
        "\nhint, all players: QoE {:+.4} ({:+.4} to {:+.4})",
        pooled.mean, pooled.low, pooled.high
    );
}

fn row(traces: &[Vec<Visit<'_>>], policy: Policy) -> String {
    let play = |visits: &Vec<Visit<'_>>| {
        let under = |visit: &Visit<'_>| visit.under(policy, &RULE);
        visits.iter().map(under).collect::<Vec<_>>()
    };
    let played: Vec<_> = traces.iter().map(play).collect();
    let edited = played
        .iter()
        .flatten()
        .map(|(_, edited)| f64::from(u8::from(*edited)));
    let mut row = format!(" {:.0} % |", 100.0 * mean(edited));
    for (_, figure) in FIGURES {
        let of = |outcomes: &Vec<_>| mean(outcomes.iter().map(|(outcome, _)| figure(outcome)));
        row += &format!(" {:.2}", mean(played.iter().map(of)));
        if policy != Policy::Off {
            let pairs = played.iter().zip(traces).map(|(on, visits)| {
                differences(on.iter().map(|(outcome, _)| *outcome).zip(visits), figure)
            });
            let sure = bootstrap(&pairs.collect::<Vec<f64>>());
            row += &format!(
                " ({:+.3}, {:+.3} to {:+.3})",
                sure.mean, sure.low, sure.high
            );
        }
        row += " |";
    }
    row
}

/// Prints what hints do on links of one rate: there, priors are right.
fn steady(movie: &Movie) {
    println!("\nlinks of one rate, 0.5 to 10 Mbit/s, round trips of 20 to 200 ms:");
    let rates = (0..40).map(|step| 0.5e6 * 20_f64.powf(f64::from(step) / 39.0));
    let links: Vec<Trace> = rates
        .flat_map(|rate| [0.02, 0.06, 0.2].map(|rtt| Trace::constant(rate, rtt, 600.0)))
        .collect();
    for (name, kind) in PLAYERS {
        let mut gains = Vec::new();
        let mut delays = Vec::new();
        let mut edits = 0;
        for visit in links.iter().flat_map(|link| visits(link, movie, kind)) {
            let (outcome, edited) = visit.under(Policy::Hint, &RULE);
            edits += usize::from(edited);
            gains.push(FIGURES[QOE].1(&outcome) - FIGURES[QOE].1(&visit.off));
            delays.push(FIGURES[START].1(&outcome) - FIGURES[START].1(&visit.off));
        }
        let count = gains.len();
        let worse = gains.iter().filter(|gain| **gain < -0.001).count();
        let sure = bootstrap(&gains);
        println!(
            "{name}: {edits} of {count} edited, {worse} worse; QoE {:+.3} ({:+.3} to {:+.3}), \
             at least {:+.3}; start {:+.2} s, at most {:+.2} s",
            sure.mean,
            sure.low,
            sure.high,
            gains.iter().copied().fold(f64::INFINITY, f64::min),
            mean(delays.iter().copied()),
            delays.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        );
    }
}

/// Salt of the split.
const HALF: u64 = 2;
