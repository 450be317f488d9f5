//! Links as they were measured: throughput over time, and what it carries.

use std::fs;
use std::path::Path;

use serde::Deserialize;

/// One line of a trace file.
#[derive(Deserialize)]
struct Step {
    duration_ms: f64,
    bandwidth_kbps: f64,
    latency_ms: f64,
}

/// A measured link.
pub(crate) struct Trace {
    /// File name.
    pub(crate) name: String,
    /// Seconds of a round trip.
    pub(crate) round_trip: f64,
    /// Beginnings of the steps in seconds, and bits carried until then; the end too.
    carried: Vec<(f64, f64)>,
}

impl Trace {
    /// A link of one throughput, in bit/s.
    pub(crate) fn constant(throughput: f64, round_trip: f64, seconds: f64) -> Self {
        Self {
            name: format!("{throughput}"),
            round_trip,
            carried: vec![(0.0, 0.0), (seconds, throughput * seconds)],
        }
    }

    /// How long it was measured, in seconds.
    pub(crate) fn length(&self) -> f64 {
        self.carried.last().map_or(0.0, |end| end.0)
    }

    /// Bits that the link carries from second `from` to second `to`; it begins anew at its end.
    pub(crate) fn carries(&self, from: f64, to: f64) -> f64 {
        self.until(to) - self.until(from)
    }

    fn until(&self, at: f64) -> f64 {
        let Some(end) = self.carried.last() else {
            return 0.0;
        };
        let rounds = (at / end.0).floor();
        let at = at - rounds * end.0;
        let after = self.carried.partition_point(|step| step.0 <= at);
        let (Some(one), Some(other)) = (
            self.carried.get(after.saturating_sub(1)),
            self.carried.get(after).or(Some(end)),
        ) else {
            return 0.0;
        };
        let share = (at - one.0) / (other.0 - one.0).max(1e-9);
        rounds * end.1 + one.1 + share * (other.1 - one.1)
    }

    /// A number that only the name decides, for splits and scales.
    pub(crate) fn chance(&self, salt: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(self.name.as_bytes(), salt)
    }

    /// Scales the link so that its mean is `mean` bit/s.
    fn scaled(mut self, mean: f64) -> Self {
        let factor = mean * self.length() / self.carried.last().map_or(1.0, |end| end.1).max(1.0);
        for step in &mut self.carried {
            step.1 *= factor;
        }
        self
    }
}

/// The traces of a directory, by name: `3Glogs` as they are, `4Glogs` each scaled to a mean between
/// 0.5 and 8 Mbit/s that its name decides, since no ladder of today reaches what they carry;
/// without those two, all files of the directory as they are.
pub(crate) fn read(directory: &Path) -> std::io::Result<Vec<Trace>> {
    let (slow, fast) = (directory.join("3Glogs"), directory.join("4Glogs"));
    if !slow.is_dir() && !fast.is_dir() {
        return all_of(directory);
    }
    let mut traces = Vec::new();
    if slow.is_dir() {
        traces.extend(all_of(&slow)?);
    }
    if fast.is_dir() {
        traces.extend(all_of(&fast)?.into_iter().map(|trace| {
            let share = (trace.chance(SCALE) % 1000) as f64 / 1000.0;
            trace.scaled(FAST_LEAST * FAST_SPAN.powf(share))
        }));
    }
    Ok(traces)
}

fn all_of(directory: &Path) -> std::io::Result<Vec<Trace>> {
    let mut paths = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    paths
        .iter()
        .filter(|path| path.extension().is_some_and(|name| name == "json"))
        .map(|path| one(path))
        .filter(|trace| trace.as_ref().map_or(true, |trace| trace.length() > 0.0))
        .collect()
}

fn one(path: &Path) -> std::io::Result<Trace> {
    let steps: Vec<Step> = serde_json::from_slice(&fs::read(path)?).unwrap_or_default();
    let mut carried = vec![(0.0, 0.0)];
    let (mut at, mut bits) = (0.0, 0.0);
    for step in &steps {
        at += step.duration_ms / 1000.0;
        bits += step.duration_ms * step.bandwidth_kbps;
        carried.push((at, bits));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Trace {
        name: name.into_owned(),
        round_trip: steps.first().map_or(0.0, |step| step.latency_ms / 1000.0),
        carried,
    })
}

const SCALE: u64 = 1;
const FAST_LEAST: f64 = 0.5e6;
const FAST_SPAN: f64 = 16.0;
