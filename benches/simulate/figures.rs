//! Means over traces, and how sure they are.

use crate::session::Outcome;
use crate::visit::Visit;

/// A figure of an outcome.
pub(crate) type Figure = fn(&Outcome) -> f64;

/// What is told of sessions.
pub(crate) const FIGURES: [(&str, Figure); 7] = [
    ("Mbit/s", |outcome| outcome.bitrate),
    ("first 30 s", |outcome| outcome.early),
    ("stalled, %", |outcome| 100.0 * outcome.stalled),
    ("start, s", |outcome| outcome.startup),
    ("waits, s", |outcome| outcome.waits),
    ("switches", |outcome| outcome.switches),
    ("QoE", |outcome| outcome.qoe),
];

/// Where among them stand the time to the first picture and the quality of experience.
pub(crate) const START: usize = 3;
pub(crate) const QOE: usize = 6;

/// The mean difference that a policy makes to the sessions of one trace.
pub(crate) fn differences<'a>(
    pairs: impl Iterator<Item = (Outcome, &'a Visit<'a>)>,
    figure: Figure,
) -> f64 {
    mean(pairs.map(|(on, visit)| figure(&on) - figure(&visit.off)))
}

/// The mean of what may be nothing.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f64::max(count, 1.0)
}

/// A mean and its 95 % interval.
#[derive(Clone, Copy)]
pub(crate) struct Mean {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The mean of `values`, one a trace, and the middle 95 % of the means of resampled traces. The
/// chance is the same in each run.
pub(crate) fn bootstrap(values: &[f64]) -> Mean {
    let mut chance = fastrand::Rng::with_seed(4);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let draw = |_: &f64| chance.choice(values).copied().unwrap_or(0.0);
            mean(values.iter().map(draw))
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Mean {
        mean: mean(values.iter().copied()),
        low: means[RESAMPLES / 40],
        high: means[RESAMPLES - 1 - RESAMPLES / 40],
    }
}

const RESAMPLES: usize = 2000;
