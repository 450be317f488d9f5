//! What is played: a ladder, and the size of each of its segments.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use weir::session::start::{Candidate, Player};

/// A title with segments of equal duration.
#[derive(Deserialize)]
pub(crate) struct Movie {
    segment_duration_ms: f64,
    bitrates_kbps: Vec<f64>,
    segment_sizes_bits: Vec<Vec<f64>>,
}

/// A rung as players see it, in bit/s.
#[derive(Clone, Copy)]
pub(crate) struct Rung {
    /// Its index in the movie.
    pub(crate) index: usize,
    /// Average.
    pub(crate) average: f64,
    /// The rate of its biggest segment: BANDWIDTH of RFC 8216.
    pub(crate) peak: f64,
}

impl Movie {
    /// Reads `bbb.json` of a directory; a ladder made up where there is none.
    pub(crate) fn read(directory: &Path) -> Self {
        fs::read(directory.join("bbb.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_else(Self::made_up)
    }

    /// Eight rungs of segments that vary by a half around their rate.
    fn made_up() -> Self {
        let bitrates_kbps = vec![250.0, 400.0, 700.0, 1200.0, 2000.0, 3200.0, 4800.0, 6500.0];
        let wave = |at: f64| 1.0 + 0.35 * (at * 0.9).sin() + 0.15 * (at * 2.3).cos();
        let sizes = |at: u32| {
            let of = |rate: &f64| rate * 3000.0 * wave(f64::from(at));
            bitrates_kbps.iter().map(of).collect()
        };
        Self {
            segment_duration_ms: 3000.0,
            segment_sizes_bits: (0..200).map(sizes).collect(),
            bitrates_kbps,
        }
    }

    /// Seconds that a segment plays.
    pub(crate) fn plays(&self) -> f64 {
        self.segment_duration_ms / 1000.0
    }

    /// How many there are.
    pub(crate) fn segments(&self) -> usize {
        self.segment_sizes_bits.len()
    }

    /// Bits of a segment; it begins anew at its end.
    pub(crate) fn bits(&self, segment: usize, rung: usize) -> f64 {
        self.segment_sizes_bits[segment % self.segment_sizes_bits.len()][rung]
    }

    /// Its rungs, lowest first.
    pub(crate) fn rungs(&self) -> Vec<Rung> {
        let most = |index: usize| {
            let sizes = self.segment_sizes_bits.iter().map(|sizes| sizes[index]);
            sizes.fold(0.0, f64::max) / self.plays()
        };
        let rung = |(index, kbps): (usize, &f64)| Rung {
            index,
            average: kbps * 1000.0,
            peak: most(index),
        };
        self.bitrates_kbps.iter().enumerate().map(rung).collect()
    }

    /// What a start with `segment` takes, for the rule.
    pub(crate) fn candidates(&self, player: Player, segment: usize) -> Vec<Candidate> {
        let candidate = |rung: Rung| Candidate {
            rated: match player {
                Player::FirstListed => rung.peak as u64,
                Player::Dash | Player::Shaka => rung.average as u64,
            },
            bitrate: rung.average as u64,
            first_bytes: (self.bits(segment, rung.index) / 8.0) as u64,
            plays: Duration::from_secs_f64(self.plays()),
        };
        self.rungs().into_iter().map(candidate).collect()
    }
}
