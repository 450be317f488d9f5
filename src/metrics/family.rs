//! Families of metrics whose labels are closed sets: one handle for each value, made at the start.

use std::marker::PhantomData;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::metrics::Label;

/// Counters of one family, one for each value of a label.
pub struct Counters<L> {
    handles: Vec<IntCounter>,
    label: PhantomData<L>,
}

impl<L: Label> Counters<L> {
    pub(super) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let family = register(
            registry,
            IntCounterVec::new(Opts::new(name, help), &[L::NAME]),
        );
        let handles = L::ALL
            .iter()
            .map(|l| family.with_label_values(&[l.as_str()]))
            .collect();
        Self {
            handles,
            label: PhantomData,
        }
    }

    /// The counter of one label value.
    #[must_use]
    pub fn of(&self, label: L) -> &IntCounter {
        at(&self.handles, label.index())
    }
}

/// Counters of one family, one for each pair of two labels' values.
pub struct Counters2<A, B> {
    handles: Vec<IntCounter>,
    labels: PhantomData<(A, B)>,
}

impl<A: Label, B: Label> Counters2<A, B> {
    pub(super) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let opts = Opts::new(name, help);
        let family = register(registry, IntCounterVec::new(opts, &[A::NAME, B::NAME]));
        let pairs = A::ALL
            .iter()
            .flat_map(|a| B::ALL.iter().map(move |b| (a, b)));
        let handles = pairs
            .map(|(a, b)| family.with_label_values(&[a.as_str(), b.as_str()]))
            .collect();
        Self {
            handles,
            labels: PhantomData,
        }
    }

    /// The counter of one pair of label values.
    #[must_use]
    pub fn of(&self, a: A, b: B) -> &IntCounter {
        at(&self.handles, a.index() * B::ALL.len() + b.index())
    }
}

/// Histograms of one family, one for each value of a label.
pub struct Histograms<L> {
    handles: Vec<Histogram>,
    label: PhantomData<L>,
}

impl<L: Label> Histograms<L> {
    pub(super) fn new(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Self {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let family = register(registry, HistogramVec::new(opts, &[L::NAME]));
        let handles = L::ALL
            .iter()
            .map(|l| family.with_label_values(&[l.as_str()]))
            .collect();
        Self {
            handles,
            label: PhantomData,
        }
    }

    /// The histogram of one label value.
    #[must_use]
    pub fn of(&self, label: L) -> &Histogram {
        at(&self.handles, label.index())
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "one handle was made for each value of the label"
)]
fn at<T>(handles: &[T], index: usize) -> &T {
    &handles[index]
}

pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(name, help))
}

pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help))
}

/// Histograms of each site's sessions, by arm.
pub(super) fn by_arm(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(registry, HistogramVec::new(opts, &["site", "arm"]))
}

/// Registers a collector of the fixed table above.
#[expect(
    clippy::expect_used,
    reason = "names are constants of this file; a test builds them all"
)]
pub(super) fn register<C>(registry: &Registry, collector: prometheus::Result<C>) -> C
where
    C: prometheus::core::Collector + Clone + 'static,
{
    let collector = collector.expect("a metric of the table has a valid name");
    registry
        .register(Box::new(collector.clone()))
        .expect("no metric of the table is named twice");
    collector
}
