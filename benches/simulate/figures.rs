//! Means over traces, and how sure they are.

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
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let mut chance = fastrand::Rng::with_seed(4);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let draw = |_: &f64| chance.choice(values).copied().unwrap_or(0.0);
            values.iter().map(draw).sum::<f64>() / count
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Mean {
        mean,
        low: means[RESAMPLES / 40],
        high: means[RESAMPLES - 1 - RESAMPLES / 40],
    }
}

const RESAMPLES: usize = 2000;
