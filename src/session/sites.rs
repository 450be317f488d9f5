//! How the sessions of each site have played, by arm, and whether its hints help.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::HistogramVec;

use crate::clock::UnixMillis;
use crate::metrics::METRICS;
use crate::session::holdout::{Arm, Comparison};
use crate::session::knowledge::Ended;

/// Every site.
pub struct Sites {
    sites: HashMap<String, Site>,
}

struct Site {
    holdout_percent: u32,
    comparison: Comparison,
}

const ARMS: [Arm; 2] = [Arm::Hinted, Arm::Holdout];

/// The histograms: start-up, stalls, bit rate, buffer, score.
fn families() -> [&'static HistogramVec; 5] {
    [
        &METRICS.session_startup_seconds,
        &METRICS.session_stalled_ratio,
        &METRICS.session_bitrate,
        &METRICS.session_buffer_seconds,
        &METRICS.session_score,
    ]
}

impl Sites {
    /// Makes the comparisons of sites, each with its share of sessions that hold out, and lets
    /// their metrics be seen.
    pub fn new(sites: impl Iterator<Item = (String, u32)>) -> Self {
        let site = |(name, holdout_percent): (String, u32)| {
            METRICS.session_hints.with_label_values(&[&name]).set(1);
            for (arm, family) in ARMS
                .into_iter()
                .flat_map(|arm| families().map(|f| (arm, f)))
            {
                family.with_label_values(&[name.as_str(), arm.as_str()]);
            }
            let site = Site {
                holdout_percent,
                comparison: Comparison::default(),
            };
            (name, site)
        };
        Self {
            sites: sites.map(site).collect(),
        }
    }

    /// The share of a site's sessions that hold out, in a hundred.
    #[must_use]
    pub fn holdout_percent(&self, site: &str) -> u32 {
        self.sites.get(site).map_or(0, |site| site.holdout_percent)
    }

    /// Whether hints may be given to the sessions of a site.
    #[must_use]
    pub fn allows(&self, site: &str, now: UnixMillis) -> bool {
        let site = self.sites.get(site);
        site.is_none_or(|site| site.comparison.allows(now))
    }

    /// Counts a session, and says when it settles that a site's hints hurt.
    pub fn ended(&mut self, ended: &Ended, now: UnixMillis) {
        let quality = &ended.quality;
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
        let figures = [
            seconds(quality.startup),
            Some(quality.stalled_share),
            Some(quality.bitrate),
            seconds(quality.buffer),
            Some(quality.score),
        ];
        let Some(site) = self.sites.get_mut(&*ended.site) else {
            return;
        };
        for (family, figure) in families().into_iter().zip(figures) {
            if let Some(figure) = figure {
                let labels = [&*ended.site, ended.arm.as_str()];
                family.with_label_values(&labels).observe(figure);
            }
        }
        if let Some(verdict) = site.comparison.ended(ended.arm, quality.score, now) {
            tracing::warn!(site = %ended.site, ?verdict, "hints make playback worse; off for a day");
        }
    }

    /// Shows which sites are given hints.
    pub fn show(&self, now: UnixMillis) {
        for (name, site) in &self.sites {
            let gauge = METRICS.session_hints.with_label_values(&[name]);
            gauge.set(i64::from(site.comparison.allows(now)));
        }
    }
}
