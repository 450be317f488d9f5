//! The start rung: the one rule by which a session begins above or below its player's own choice.
//!
//! # The rule
//!
//! What a client will get is a distribution: the logarithm of its throughput is normal, with the
//! mean and variance of its [`Belief`]. At nine quantiles of it, each as likely as the others, a
//! start at rung `r` is worth, in Mbit/s times seconds,
//!
//! ```text
//!   held * r                       the picture until the player has corrected the start
//! - stall * max(0, (held - plays) * (r / throughput - 1))
//!                                  its later segments, each fetched while the one before plays
//! - |r - place|                    the switch from there to its place, the rung that fits
//! - startup * (time to the first picture)
//! ```
//!
//! where `held` is [`Rule::held`] first segments long. Time to the first picture is a round trip,
//! TCP's slow start out of an initial window of ten segments (RFC 6928), and the rest of the first
//! bytes at the throughput.
//!
//! The start of the greatest mean wins. Among those asked are only starts that the player's lever
//! reaches, and whose mean time to the first picture is at most [`Rule::delay_max`] above that of
//! the player's own start. Nothing is hinted
//!
//! - when the belief is wide ([`Rule::variance_max`]), or is no distribution at all;
//! - when the player would start there by itself;
//! - when the gain is below [`Rule::gain_min`] of what the own start plays meanwhile.
//!
//! The rule lowers a start as readily as it raises one. Its parameters stand in [`RULE`], and were
//! found by `make simulate` on one half of the traces; what they are worth is told by the other.
//!
//! # What players start with
//!
//! Read in their sources; [`own`] and [`reached`] say it in code.
//!
//! - **hls.js 1.7.4**: the estimate is 500 kbit/s, or BANDWIDTH of the first variant listed where
//!   that is more, 5 Mbit/s at most. It takes the highest level whose BANDWIDTH fits, within the
//!   codec tier that it picks by itself; the lowest where none fits. A variant between 500 kbit/s
//!   and 5 Mbit/s is started with when it is listed first. Below that band, listing changes
//!   nothing but that the highest variant within 500 kbit/s is taken; above, the highest within
//!   5 Mbit/s is.
//! - **dash.js 5.2.1**: the highest representation within 1 Mbit/s, the lowest where none is;
//!   `OperatingBandwidth` replaces the 1 Mbit/s. (A bit rate that it has stored within the last six
//!   minutes counts instead, where no target is given.)
//! - **Shaka 5.2.12**: the highest variant within 0.95 of the estimate, which is 1 Mbit/s (where
//!   the browser tells `downlink`, that), the lowest where none is. `etp` of CMSD weighs half in
//!   that estimate, and `mb` takes away what is above it; [`etp_least`] says what moves it.

use std::time::Duration;

use crate::session::belief::Belief;
use crate::session::estimator::Estimate;

/// What a start at one rung takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Bit/s by which the player tells whether the rung fits: BANDWIDTH in HLS, the bandwidth of
    /// the picture's representation for dash.js, that of picture and sound together for Shaka.
    pub rated: u64,
    /// Average bit/s of the rung, audio included.
    pub bitrate: u64,
    /// Bytes before the first picture: initialisation and first segments of picture and sound.
    pub first_bytes: u64,
    /// How long the first segment plays.
    pub plays: Duration,
}

/// How a player chooses its first rung when nothing is hinted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Player {
    /// hls.js and its kin: the first variant listed.
    FirstListed,
    /// dash.js: an initial bit rate of 1 Mbit/s.
    Dash,
    /// Shaka: an estimate of 1 Mbit/s.
    Shaka,
}

/// A throughput as far as it is known: log-normal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Mean of the natural logarithm of bit/s.
    pub ln_mean: f64,
    /// Variance of that logarithm.
    pub variance: f64,
}

impl From<&Belief> for Outlook {
    fn from(belief: &Belief) -> Self {
        Self {
            ln_mean: belief.ln_mean,
            variance: belief.variance,
        }
    }
}

impl From<&Estimate> for Outlook {
    fn from(estimate: &Estimate) -> Self {
        Self {
            ln_mean: float(estimate.bitrate.max(1)).ln(),
            variance: estimate.variance,
        }
    }
}

impl Outlook {
    /// Whether this is a distribution.
    fn is_sound(&self) -> bool {
        self.ln_mean.is_finite() && self.variance.is_finite() && self.variance >= 0.0
    }

    /// Bit/s that are exceeded but for `z` standard deviations below the mean; within bounds that
    /// keep all that is computed from it finite.
    fn at(&self, z: f64) -> f64 {
        (self.ln_mean + z * self.variance.sqrt())
            .exp()
            .clamp(1e3, 1e12)
    }

    /// A share of [`Outlook::at`]; nothing where this is no distribution.
    fn share(&self, share: f64, z: f64) -> f64 {
        if self.is_sound() {
            share * self.at(z)
        } else {
            0.0
        }
    }
}

/// The parameters of the rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// First segments' lengths until the player has corrected a start.
    pub held: f64,
    /// What a second of stall costs, in Mbit/s.
    pub stall: f64,
    /// What a second until the first picture costs, in Mbit/s.
    pub startup: f64,
    /// How much later the first picture may come than by the player's own choice, in the mean.
    pub delay_max: Duration,
    /// Widest variance of the logarithm that a hint may stand on.
    pub variance_max: f64,
    /// Least gain, as a share of what the player's own start plays until it is corrected.
    pub gain_min: f64,
    /// Share of the throughput that a rung may need to be a player's place, and to be
    /// [`sustained`].
    pub fits: f64,
    /// Standard deviations below the mean at which [`sustained`] looks.
    pub caution: f64,
    /// Share of the throughput that the next segments may need, where the edge picks them.
    pub served: f64,
}

/// The rule in use. The delay is bounded by promise; the others were tuned (`make simulate`), where
/// most of them hardly matter but `variance_max`: a steady link's belief has 0.04, and above a few
/// times that, what was seen before says little about what comes.
pub const RULE: Rule = Rule {
    held: 3.0,
    stall: 8.0,
    startup: 0.3,
    delay_max: Duration::from_millis(500),
    variance_max: 0.1,
    gain_min: 0.1,
    fits: 0.8,
    caution: 1.0,
    served: 0.9,
};

/// Chooses among the rungs of one group; `None` where the player is left alone.
///
/// The index is of the rung that the hint is to name: to be listed first, or to be the target. It
/// is the rung that the player then starts with, or for [`Player::FirstListed`] one that makes it
/// start where it should ([`reached`]).
#[must_use]
pub fn rung(
    belief: &Belief,
    rtt: Option<Duration>,
    rungs: &[Candidate],
    player: Player,
) -> Option<usize> {
    RULE.rung(belief, rtt, rungs, player)
}

/// The rung to play for as long as may be, where only one is given (`single`) or higher ones are
/// taken away: the highest whose average bit rate fits the throughput with caution, the lowest
/// where none does; 0 of none.
#[must_use]
pub fn sustained(outlook: Outlook, rungs: &[Candidate]) -> usize {
    RULE.sustained(outlook, rungs)
}

/// The rung of the next segments, where the edge picks them one by one (`server`): the highest
/// whose average bit rate fits what a transfer would get now, the lowest where none does; 0 of
/// none.
/// It needs no caution, since the next choice corrects it.
#[must_use]
pub fn next(outlook: Outlook, rungs: &[Candidate]) -> usize {
    sustaining(outlook.share(RULE.served, 0.0), rungs)
}

/// The index that `player` takes by itself among rungs in the order of the manifest; 0 of none.
#[must_use]
pub fn own(player: Player, rungs: &[Candidate]) -> usize {
    match player {
        Player::FirstListed => reached(player, rungs, 0),
        Player::Dash => fitting(rungs, DASH_INITIAL),
        Player::Shaka => fitting(rungs, shaka_fits(SHAKA_DEFAULT)),
    }
}

/// The index that `player` starts with when its hint names `named`; 0 of none.
#[must_use]
pub fn reached(player: Player, rungs: &[Candidate], named: usize) -> usize {
    match player {
        Player::FirstListed => {
            let first = rungs.get(named).map_or(0, |rung| rung.rated);
            fitting(rungs, first.clamp(HLS_ESTIMATE_MIN, HLS_ESTIMATE_MAX))
        }
        Player::Dash | Player::Shaka => {
            let target = rungs.get(named).map_or(0, |rung| rung.rated);
            fitting(rungs, target)
        }
    }
}

/// The least `etp`, in kbit/s, with which Shaka finds that a rung of `rated` bit/s fits: it thinks
/// of 1 Mbit/s before, and takes the mean. With `mb` at that rung it starts there.
#[must_use]
pub fn etp_least(rated: u64) -> u64 {
    let missing = rated.saturating_mul(100).div_ceil(95).saturating_mul(2);
    missing.saturating_sub(SHAKA_DEFAULT).div_ceil(1000)
}

impl Rule {
    /// [`rung`] with these parameters.
    #[must_use]
    pub fn rung(
        &self,
        belief: &Belief,
        rtt: Option<Duration>,
        rungs: &[Candidate],
        player: Player,
    ) -> Option<usize> {
        let outlook = Outlook::from(belief);
        if !outlook.is_sound() || outlook.variance > self.variance_max {
            return None;
        }
        let own = own(player, rungs);
        let sight = Sight {
            rule: self,
            throughputs: QUANTILES.map(|z| outlook.at(z)),
            round_trip: round_trip(belief, rtt),
            rungs,
        };
        let alone = rungs.get(own)?;
        let meanwhile = self.held * alone.plays.as_secs_f64() * mega(alone.bitrate);
        let latest = sight.delay(alone) + self.delay_max.as_secs_f64();
        let least = sight.worth(alone) + self.gain_min * meanwhile;
        let mut best: Option<(usize, f64)> = None;
        for ((start, candidate), named) in rungs.iter().enumerate().zip(named(player, rungs)) {
            let Some(named) = named.filter(|_| start != own) else {
                continue;
            };
            let worth = sight.worth(candidate);
            let is_better = worth > best.map_or(least, |(_, worth)| worth);
            if is_better && sight.delay(candidate) <= latest {
                best = Some((named, worth));
            }
        }
        best.map(|(named, _)| named)
    }

    /// [`sustained`] with these parameters.
    #[must_use]
    pub fn sustained(&self, outlook: Outlook, rungs: &[Candidate]) -> usize {
        sustaining(outlook.share(self.fits, -self.caution), rungs)
    }
}

/// For each rung the one to name so that `player` starts with it: that one itself where it can be,
/// else the first that makes it; `None` where nothing does.
fn named(player: Player, rungs: &[Candidate]) -> Vec<Option<usize>> {
    let mut named = vec![None; rungs.len()];
    for name in 0..rungs.len() {
        let start = reached(player, rungs, name);
        if let Some(known) = named.get_mut(start)
            && (known.is_none() || start == name)
        {
            *known = Some(name);
        }
    }
    named
}

/// What the rule sees of one session's beginning.
struct Sight<'a> {
    rule: &'a Rule,
    throughputs: [f64; QUANTILES.len()],
    round_trip: f64,
    rungs: &'a [Candidate],
}

impl Sight<'_> {
    /// Mean seconds until the first picture.
    fn delay(&self, start: &Candidate) -> f64 {
        self.mean(|throughput| transfer(start.first_bytes, self.round_trip, throughput))
    }

    /// What a start is worth in the mean, in Mbit/s times seconds.
    fn worth(&self, start: &Candidate) -> f64 {
        let plays = start.plays.as_secs_f64();
        let held = self.rule.held * plays;
        let quality = mega(start.bitrate);
        self.mean(|throughput| {
            let lacks = (float(start.bitrate) / throughput - 1.0).max(0.0);
            let stalled = (held - plays).max(0.0) * lacks;
            let place = sustaining(self.rule.fits * throughput, self.rungs);
            let place = self.rungs.get(place).map_or(0.0, |rung| mega(rung.bitrate));
            let delay = transfer(start.first_bytes, self.round_trip, throughput);
            held * quality
                - self.rule.stall * stalled
                - (quality - place).abs()
                - self.rule.startup * delay
        })
    }

    fn mean(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.throughputs.iter().copied().map(of).sum::<f64>() / float(QUANTILES.len() as u64)
    }
}

/// Seconds from a request to the last of `bytes` at a throughput of bit/s.
fn transfer(bytes: u64, round_trip: f64, throughput: f64) -> f64 {
    let mut left = 8.0 * float(bytes);
    let mut window = INITIAL_WINDOW_BITS;
    let mut spent = round_trip;
    // The window doubles, so that it passes every throughput within few rounds.
    while left > window && window < throughput * round_trip {
        left -= window;
        spent += round_trip;
        window *= 2.0;
    }
    spent + left / throughput
}

/// Seconds of a round trip: as measured on this connection, as known before, or as is usual.
fn round_trip(belief: &Belief, measured: Option<Duration>) -> f64 {
    let known = || belief.rtt_millis.map(|millis| millis / 1000.0);
    measured
        .map(|rtt| rtt.as_secs_f64())
        .or_else(known)
        .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
        .unwrap_or(ROUND_TRIP_USUAL)
        .min(ROUND_TRIP_MAX)
}

/// The highest rung whose average is `bound` at most, the lowest where none is; 0 of none.
fn sustaining(bound: f64, rungs: &[Candidate]) -> usize {
    highest(rungs, |rung| rung.bitrate, bound)
}

/// The highest rung that is rated `bound` at most, the lowest where none is; 0 of none.
fn fitting(rungs: &[Candidate], bound: u64) -> usize {
    highest(rungs, |rung| rung.rated, float(bound))
}

/// The highest rung `by` a rate of `bound` at most, the lowest where none is, the first of equals;
/// 0 of none.
fn highest(rungs: &[Candidate], by: impl Fn(&Candidate) -> u64, bound: f64) -> usize {
    let rates = || rungs.iter().map(&by).enumerate();
    rates()
        .filter(|(_, rate)| float(*rate) <= bound)
        .max_by_key(|(index, rate)| (*rate, std::cmp::Reverse(*index)))
        .or_else(|| rates().min_by_key(|(_, rate)| *rate))
        .map_or(0, |(index, _)| index)
}

/// What Shaka finds to fit an estimate.
fn shaka_fits(estimate: u64) -> u64 {
    estimate.saturating_mul(95) / 100
}

fn mega(bitrate: u64) -> f64 {
    float(bitrate) / 1e6
}

/// Bit rates and sizes are far below 2^53.
fn float(number: u64) -> f64 {
    number as f64
}

/// Standard deviations from the mean to the middles of nine equal shares of a normal distribution.
const QUANTILES: [f64; 9] = [
    -1.593, -0.967, -0.589, -0.282, 0.0, 0.282, 0.589, 0.967, 1.593,
];

/// `abrEwmaDefaultEstimate` and `abrEwmaDefaultEstimateMax` of hls.js.
const HLS_ESTIMATE_MIN: u64 = 500_000;
const HLS_ESTIMATE_MAX: u64 = 5_000_000;
/// `DEFAULT_VIDEO_BITRATE` of dash.js.
const DASH_INITIAL: u64 = 1_000_000;
/// `defaultBandwidthEstimate` of Shaka.
const SHAKA_DEFAULT: u64 = 1_000_000;

/// Ten segments of 1448 bytes.
const INITIAL_WINDOW_BITS: f64 = 8.0 * 14_480.0;
/// Round trip where none is known: between fixed lines and mobile ones.
const ROUND_TRIP_USUAL: f64 = 0.06;
/// Longer ones are a measurement's fault.
const ROUND_TRIP_MAX: f64 = 5.0;

#[cfg(test)]
mod tests;
