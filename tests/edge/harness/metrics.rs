//! Reads the Prometheus text format.

use std::collections::BTreeSet;

/// One scrape.
#[derive(Debug, Clone)]
pub(crate) struct Scrape {
    text: String,
}

impl Scrape {
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }

    /// The scrape as it came.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Sum of the samples of a name that carry all of these labels.
    ///
    /// # Panics
    /// When there is no sample of that name: a misspelt metric would else always be zero.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples: Vec<Sample<'_>> = self.samples().filter(|s| s.name == name).collect();
        assert!(!samples.is_empty(), "no metric {name} in\n{}", self.text);
        let wanted = |s: &&Sample<'_>| {
            let has = |(k, v): &(&str, &str)| s.labels.contains(&format!("{k}=\"{v}\""));
            labels.iter().all(has)
        };
        samples.iter().filter(wanted).map(|s| s.value).sum()
    }

    /// Names of the metric families.
    pub(crate) fn families(&self) -> BTreeSet<String> {
        let types = self.text.lines().filter_map(|l| l.strip_prefix("# TYPE "));
        types
            .filter_map(|l| l.split(' ').next())
            .map(str::to_owned)
            .collect()
    }

    fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        self.text
            .lines()
            .filter(|l| !l.starts_with('#'))
            .filter_map(Sample::parse)
    }
}

struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some(Self {
            name,
            labels,
            value: value.parse().ok()?,
        })
    }
}
