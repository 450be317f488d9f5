//! The search for the rule's parameters, on the tuning half.

use weir::session::start::{RULE, Rule};

use crate::figures::{FIGURES, Figure, QOE, START, bootstrap, differences};
use crate::visit::{Policy, Visit};

/// Tries sets of parameters at random, the same in each run, and prints the best: by what they
/// gain in quality with confidence over all players, among those that delay no player's first picture in the
/// mean. The rule in use stands last.
pub(crate) fn tune(players: &[Vec<Vec<Visit<'_>>>]) {
    let mut chance = fastrand::Rng::with_seed(1);
    let mut pick = |values: &[f64]| chance.choice(values).copied().unwrap_or(0.0);
    let mut rules = vec![RULE];
    for _ in 0..ROUNDS {
        rules.push(Rule {
            held: pick(&[1.0, 1.5, 2.0, 3.0]),
            stall: pick(&[4.3, 8.0, 16.0]),
            startup: pick(&[0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]),
            variance_max: pick(&[0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5]),
            gain_min: pick(&[0.0, 0.1, 0.2, 0.3, 0.5]),
            fits: pick(&[0.5, 0.6, 0.7, 0.8, 0.9]),
            ..RULE
        });
    }
    let mut tried: Vec<(f64, String)> = rules.iter().map(|rule| tell(players, rule)).collect();
    let ours = tried.remove(0);
    tried.sort_by(|one, other| other.0.total_cmp(&one.0));
    tried.truncate(SHOWN);
    tried.push(ours);
    for (_, line) in tried {
        println!("{line}");
    }
}

/// What a rule is worth, to sort by and to read.
fn tell(players: &[Vec<Vec<Visit<'_>>>], rule: &Rule) -> (f64, String) {
    let gains = |figure: Figure, traces: &[Vec<Visit<'_>>]| {
        let of = |visits: &Vec<Visit<'_>>| {
            let on = visits.iter().map(|visit| visit.under(Policy::Hint, rule).0);
            differences(on.zip(visits), figure)
        };
        traces.iter().map(of).collect::<Vec<f64>>()
    };
    let mut pooled = Vec::new();
    let mut line = String::new();
    let mut late = false;
    for traces in players {
        let qoe = gains(FIGURES[QOE].1, traces);
        let delay = bootstrap(&gains(FIGURES[START].1, traces)).mean;
        line += &format!(" {:+.4} ({delay:+.2} s)", bootstrap(&qoe).mean);
        late |= delay > 0.0;
        pooled.resize(qoe.len(), 0.0);
        for (sum, gain) in pooled.iter_mut().zip(&qoe) {
            *sum += gain / players.len() as f64;
        }
    }
    let sure = bootstrap(&pooled);
    let worth = if late { f64::NEG_INFINITY } else { sure.low };
    let line = format!(
        "{:+.4} ({:+.4} to {:+.4}):{line} {rule:?}",
        sure.mean, sure.low, sure.high
    );
    (worth, line)
}

const ROUNDS: usize = 200;
const SHOWN: usize = 10;
