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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::playback::Quality;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A session that scored about so much; `nth` makes it differ from others.
    fn ended(site: &str, arm: Arm, (score, nth): (f64, u32)) -> Ended {
        let score = score + f64::from(nth % 7) / 10.0;
        Ended {
            site: site.into(),
            arm,
            quality: Quality {
                startup: Some(Duration::from_secs(1)),
                stalled_share: 0.0,
                bitrate: score * 1e6,
                buffer: None,
                score,
            },
        }
    }

    /// Ends `count` sessions of each arm, whose scores are about so much.
    fn played(sites: &mut Sites, site: &str, [hinted, holdout]: [f64; 2], count: u32) {
        for nth in 0..count {
            sites.ended(&ended(site, Arm::Holdout, (holdout, nth)), NOW);
            sites.ended(&ended(site, Arm::Hinted, (hinted, nth)), NOW);
        }
    }

    fn shown(sites: &Sites, site: &str, now: UnixMillis) -> i64 {
        sites.show(now);
        METRICS.session_hints.with_label_values(&[site]).get()
    }

    #[test]
    fn hints_that_hurt_stop_for_a_day_at_their_site_alone() {
        let names = ["hurt", "well"].map(|name| (format!("sites-{name}"), 5));
        let mut sites = Sites::new(names.into_iter());
        assert_eq!(shown(&sites, "sites-hurt", NOW), 1);
        played(&mut sites, "sites-hurt", [1.0, 3.0], 400);
        played(&mut sites, "sites-well", [3.0, 1.0], 400);
        played(&mut sites, "sites-unknown", [1.0, 3.0], 400);
        let of_day = NOW.after(DAY.saturating_sub(Duration::from_millis(1)));
        for now in [NOW, of_day] {
            assert!(!sites.allows("sites-hurt", now), "{now:?}");
            assert_eq!(shown(&sites, "sites-hurt", now), 0);
            assert_eq!(shown(&sites, "sites-well", now), 1);
            assert!(sites.allows("sites-well", now) && sites.allows("sites-unknown", now));
        }
        let next_day = NOW.after(DAY);
        assert!(sites.allows("sites-hurt", next_day), "they are tried again");
        assert_eq!(shown(&sites, "sites-hurt", next_day), 1);
    }

    #[test]
    fn a_few_bad_sessions_stop_nothing() {
        let mut sites = Sites::new([("sites-few".to_owned(), 5)].into_iter());
        played(&mut sites, "sites-few", [0.0, 9.0], 100);
        assert!(sites.allows("sites-few", NOW));
    }

    #[test]
    fn every_session_shows_in_the_figures_of_its_arm() {
        let mut sites = Sites::new([("sites-shown".to_owned(), 7)].into_iter());
        assert_eq!(sites.holdout_percent("sites-shown"), 7);
        assert_eq!(sites.holdout_percent("sites-unknown"), 0);
        played(&mut sites, "sites-shown", [2.0, 2.0], 3);
        sites.ended(&ended("sites-shown", Arm::Hinted, (2.0, 0)), NOW);
        for (arm, count) in [(Arm::Hinted, 4), (Arm::Holdout, 3)] {
            let labels = ["sites-shown", arm.as_str()];
            let counts = families().map(|family| {
                let figures = family.with_label_values(&labels);
                figures.get_sample_count()
            });
            assert_eq!(
                counts,
                [count, count, count, 0, count],
                "no buffer was told"
            );
        }
    }
}
