//! Throughput of one session out of samples and reports. Pure.
//!
//! Samples lie on a time line of slots: bytes a slot, and which of its 64 ticks were busy. A rate
//! is bytes over busy time, so that several connections of one client over the same busy time add
//! up, and time counts once. What leaves the time line is folded into sums that fade; so does what
//! is on it, by age. Two rates come of that, one that forgets fast and one that forgets slowly: the
//! steady one counts until they differ by more than a path's jitter, then something has changed and
//! the other one does. Time without traffic fades nothing, but makes less certain.
//!
//! Invariants: of bounded size; no order of arrival, no clock and no bytes of another node make an
//! estimate that is not finite.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::session::sample::{Bound, Sample};

/// One busy tick: what the kernel's own time is counted in.
const TICK_MILLIS: u64 = 4;

/// Ticks of a slot, a bit each.
const SLOT_TICKS: u64 = 64;

/// Slots of the time line: 12 s, longer than a segment takes to arrive that still plays in time.
const SLOTS: usize = 48;

/// Most slots that one sample is spread over; what came before counts as much as its end.
const SPREAD_MAX: u64 = 256;

/// Half-lives in seconds, after which what was carried counts half.
const FAST_HALF_LIFE: f64 = 2.0;
const SLOW_HALF_LIFE: f64 = 8.0;

/// Difference of the logarithms of two rates that is no jitter.
const CHANGED: f64 = 0.2;

/// Share of all variance that a change of the path must explain to be one.
const EXPLAINED_MIN: f64 = 0.6;

/// Least busy seconds on either side of a change.
const SIDE_SECS_MIN: f64 = 0.4;

/// Variance of what is measured itself, and of how much a first sample may be wrong.
const SAMPLE_VARIANCE: f64 = 0.005;
const FIRST_VARIANCE: f64 = 0.06;

/// Variance of what a player says: rounded, and of its own making. Of how much a first report may be
/// wrong, as one before anything was measured is.
const REPORT_VARIANCE: f64 = 0.05;
const FIRST_REPORT_VARIANCE: f64 = 0.1;

/// Variance of what a player says beside what was measured: it times each transfer alone, so that
/// of two at once each is told less than the link carries.
const BESIDE_VARIANCE: f64 = 0.15;

/// Reports that are averaged.
const REPORTS: u32 = 4;

/// Variance gained by each second without news.
const IDLE_VARIANCE: f64 = 0.001;

/// After so long without news there is no estimate any more.
pub const ESTIMATE_AGE_MAX: Duration = Duration::from_secs(300);

/// What is known of a session's throughput.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Bit/s that a transfer would get now.
    pub bitrate: u64,
    /// Variance of the logarithm of what was seen; 0.04 is about 20 % either way.
    pub variance: f64,
    /// Good samples and reports that it stands on.
    pub samples: u32,
    /// Smoothed round trip, where it was measured.
    pub rtt: Option<Duration>,
    /// When it was last fed.
    pub at: UnixMillis,
}

/// What is remembered of one session's throughput.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimator {
    /// Number of the last slot of the time line.
    newest: u64,
    bytes: [u32; SLOTS],
    busy: [u64; SLOTS],
    past: Past,
    samples: u32,
    rtt: Option<Duration>,
    at: UnixMillis,
    reported: Option<Reported>,
}

/// What left the time line, as it counted in slot `slot`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Past {
    slot: u64,
    fast: Sums,
    slow: Sums,
}

/// Weighted sums over slots.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Sums {
    /// Weight times bits.
    bits: f64,
    /// Weight times busy seconds.
    secs: f64,
    /// Weight times busy seconds times the logarithm of the slot's rate, and times its square.
    logs: f64,
    squares: f64,
}

/// What the player has reported: mean of the logarithm of bit/s.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reported {
    ln: f64,
    count: u32,
    at: UnixMillis,
}

impl Sums {
    fn add(&mut self, weight: f64, bits: f64, secs: f64) {
        if bits <= 0.0 || secs <= 0.0 {
            return;
        }
        let ln = (bits / secs).ln();
        self.bits += weight * bits;
        self.secs += weight * secs;
        self.logs += weight * secs * ln;
        self.squares += weight * secs * ln * ln;
    }

    fn add_slot(&mut self, weight: f64, (bytes, ticks): (f64, u32)) {
        let secs = f64::from(ticks) * number(TICK_MILLIS) / 1000.0;
        self.add(weight, bytes * 8.0, secs);
    }

    /// Which share of the variance of `all` a difference between this part of it and the rest
    /// explains; none where the difference is small or one of them short.
    fn explained(&self, all: &Self) -> f64 {
        let rest = (all.secs - self.secs, all.logs - self.logs);
        if self.secs < SIDE_SECS_MIN || rest.0 < SIDE_SECS_MIN {
            return 0.0;
        }
        let apart = self.logs / self.secs - rest.1 / rest.0;
        if apart.abs() < CHANGED {
            return 0.0;
        }
        let between = apart * apart * self.secs * rest.0 / all.secs;
        between / (all.squares - all.logs * all.logs / all.secs)
    }

    fn faded(self, weight: f64) -> Self {
        Self {
            bits: weight * self.bits,
            secs: weight * self.secs,
            logs: weight * self.logs,
            squares: weight * self.squares,
        }
    }

    /// Logarithm of the rate in bit/s; `None` where there is nothing, or as good as nothing.
    fn ln_rate(&self) -> Option<f64> {
        let ln = (self.bits / self.secs).ln();
        ln.is_finite().then_some(ln)
    }

    /// Variance of the logarithm of the slots' rates.
    fn spread(&self) -> f64 {
        let mean = self.logs / self.secs;
        let variance = self.squares / self.secs - mean * mean;
        if variance.is_finite() {
            variance.max(0.0)
        } else {
            0.0
        }
    }
}

impl Default for Estimator {
    fn default() -> Self {
        Self {
            newest: 0,
            bytes: [0; SLOTS],
            busy: [0; SLOTS],
            past: Past::default(),
            samples: 0,
            rtt: None,
            at: UnixMillis(0),
            reported: None,
        }
    }
}

impl Estimator {
    /// Takes in what a connection has carried.
    pub fn sampled(&mut self, sample: &Sample) {
        let end = sample.began.after(sample.busy);
        if self.is_ahead_of(end) {
            *self = Self::default();
        }
        self.rtt = Some(sample.rtt);
        let is_no_news = |(ln, _)| rate(ln) >= sample.bitrate();
        if sample.bound == Bound::Lower && self.rate().is_some_and(is_no_news) {
            return;
        }
        self.at = self.at.max(end);
        if sample.bound == Bound::Path {
            self.samples = self.samples.saturating_add(1);
        }
        self.spread(sample);
    }

    /// Takes in what the player says of its throughput, in bit/s.
    pub fn reported(&mut self, bitrate: u64, now: UnixMillis) {
        if bitrate == 0 {
            return;
        }
        let said = number(bitrate).ln();
        let before = self
            .reported
            .filter(|before| now.since(before.at) < ESTIMATE_AGE_MAX);
        let (ln, count) = before.map_or((said, 1), |before| {
            let count = before.count.saturating_add(1).min(REPORTS);
            (before.ln + (said - before.ln) / f64::from(count), count)
        });
        let at = before.map_or(now, |before| before.at.max(now));
        self.reported = Some(Reported { ln, count, at });
    }

    /// What is known at `now`; `None` where nothing is, or nothing of late.
    #[must_use]
    pub fn estimate(&self, now: UnixMillis) -> Option<Estimate> {
        let own = self.own(now);
        let reported = self.reported.filter(|reported| is_late(reported.at, now));
        let beside = own.map_or(0.0, |_| BESIDE_VARIANCE);
        let said = reported.map(|said| {
            let first = FIRST_REPORT_VARIANCE / f64::from(said.count.max(1));
            (
                said.ln,
                aged(REPORT_VARIANCE + first + beside, said.at, now),
            )
        });
        let (ln, variance) = [own, said].into_iter().flatten().reduce(blended)?;
        let said = reported.map_or(0, |reported| reported.count);
        Some(Estimate {
            bitrate: rate(ln),
            variance,
            samples: own.map_or(0, |_| self.samples).saturating_add(said),
            rtt: self.rtt,
            at: reported.map_or(self.at, |reported| reported.at.max(self.at)),
        })
    }

    /// What was measured of late, whatever the player says.
    #[must_use]
    pub fn measured(&self, now: UnixMillis) -> Option<Estimate> {
        let (ln, variance) = self.own(now)?;
        Some(Estimate {
            bitrate: rate(ln),
            variance,
            samples: self.samples,
            rtt: self.rtt,
            at: self.at,
        })
    }

    /// Logarithm of what was measured of late, and its variance by now.
    fn own(&self, now: UnixMillis) -> Option<(f64, f64)> {
        let (ln, spread) = self.rate().filter(|_| is_late(self.at, now))?;
        let first = FIRST_VARIANCE / f64::from(self.samples.max(1));
        Some((ln, aged(SAMPLE_VARIANCE + first + spread, self.at, now)))
    }

    /// Whether a moment lies so far before what is known that a clock was set back.
    fn is_ahead_of(&self, moment: UnixMillis) -> bool {
        self.at.since(moment) > ESTIMATE_AGE_MAX
    }

    /// Lays a sample on the time line, evenly over its busy time.
    fn spread(&mut self, sample: &Sample) {
        let first = sample.began.0 / TICK_MILLIS;
        let busy = u64::try_from(sample.busy.as_millis()).unwrap_or(u64::MAX);
        let ticks = (busy / TICK_MILLIS).max(1);
        let last = first.saturating_add(ticks - 1);
        self.advance(last / SLOT_TICKS);
        let kept = (last / SLOT_TICKS).saturating_sub(SPREAD_MAX) * SLOT_TICKS;
        let mut tick = first.max(kept);
        let a_tick = number(sample.bytes) / number(ticks);
        while tick <= last {
            let slot = tick / SLOT_TICKS;
            let end = last.min(slot * SLOT_TICKS + SLOT_TICKS - 1);
            let covered = end - tick + 1;
            let mask = (u64::MAX >> (SLOT_TICKS - covered)) << (tick % SLOT_TICKS);
            self.put(slot, a_tick * number(covered), mask);
            tick = end + 1;
        }
    }

    fn put(&mut self, slot: u64, bytes: f64, mask: u64) {
        let (at, is_on_line) = (index(slot), slot + SLOTS as u64 > self.newest);
        match (self.bytes.get_mut(at), self.busy.get_mut(at)) {
            (Some(total), Some(busy)) if is_on_line => {
                *total = total.saturating_add(whole(bytes));
                *busy |= mask;
            }
            _ => self.past.take(slot, bytes, mask.count_ones()),
        }
    }

    /// Moves the time line on until `slot` is on it.
    fn advance(&mut self, slot: u64) {
        if slot <= self.newest {
            return;
        }
        let forgotten = self.change().unwrap_or(0);
        if forgotten > 0 {
            self.past = Past::default();
        }
        let steps = (slot - self.newest).min(SLOTS as u64);
        for leaving in self.oldest()..self.oldest() + steps {
            let (bytes, ticks) = self.slot(leaving);
            if leaving >= forgotten {
                self.past.take(leaving, bytes, ticks);
            }
            let at = index(leaving);
            if let (Some(bytes), Some(busy)) = (self.bytes.get_mut(at), self.busy.get_mut(at)) {
                (*bytes, *busy) = (0, 0);
            }
        }
        self.newest = slot;
    }

    /// Bytes and busy ticks of a slot of the time line.
    fn slot(&self, slot: u64) -> (f64, u32) {
        let at = index(slot);
        let bytes = self.bytes.get(at).map_or(0.0, |&bytes| f64::from(bytes));
        (bytes, self.busy.get(at).map_or(0, |busy| busy.count_ones()))
    }

    /// First slot of the time line.
    fn oldest(&self) -> u64 {
        (self.newest + 1).saturating_sub(SLOTS as u64)
    }

    /// The first slot after the path has changed, where it has: the split into two rates that
    /// explains most, if that is enough.
    fn change(&self) -> Option<u64> {
        let mut all = self.past.slow;
        for slot in self.oldest()..=self.newest {
            all.add_slot(1.0, self.slot(slot));
        }
        let mut later = Sums::default();
        let mut best = None;
        for slot in (self.oldest()..=self.newest).rev() {
            let here = self.slot(slot);
            if here.1 > 0 {
                later.add_slot(1.0, here);
                let explained = later.explained(&all);
                if explained > best.map_or(EXPLAINED_MIN, |(most, _)| most) {
                    best = Some((explained, slot));
                }
            }
        }
        best.map(|(_, slot)| slot)
    }

    /// What counts in the newest slot.
    fn sums(&self) -> Past {
        let change = self.change();
        let mut sums = match change {
            None => self.past,
            Some(_) => Past::default(),
        };
        sums.fade_to(self.newest);
        for slot in change.unwrap_or(self.oldest())..=self.newest {
            let (bytes, ticks) = self.slot(slot);
            sums.take(slot, bytes, ticks);
        }
        sums
    }

    /// Logarithm of the rate that counts, and its spread.
    fn rate(&self) -> Option<(f64, f64)> {
        let sums = self.sums();
        let slow = (sums.slow.ln_rate()?, sums.slow.spread());
        let fast = sums.fast.ln_rate().map(|ln| (ln, sums.fast.spread()));
        let fast = fast.filter(|fast| (fast.0 - slow.0).abs() > CHANGED && fast.1 < slow.1 / 2.0);
        Some(fast.unwrap_or(slow))
    }
}

/// Whether what was known at a moment still counts.
fn is_late(at: UnixMillis, now: UnixMillis) -> bool {
    now.since(at) < ESTIMATE_AGE_MAX
}

/// A variance, by now, of what was known at a moment.
fn aged(variance: f64, at: UnixMillis, now: UnixMillis) -> f64 {
    variance + IDLE_VARIANCE * now.since(at).as_secs_f64()
}

impl Past {
    fn fade_to(&mut self, slot: u64) {
        if slot > self.slot {
            let age = slot - self.slot;
            self.fast = self.fast.faded(weight(age, FAST_HALF_LIFE));
            self.slow = self.slow.faded(weight(age, SLOW_HALF_LIFE));
            self.slot = slot;
        }
    }

    fn take(&mut self, slot: u64, bytes: f64, ticks: u32) {
        if ticks == 0 {
            return;
        }
        self.fade_to(slot);
        let age = self.slot - slot;
        self.fast
            .add_slot(weight(age, FAST_HALF_LIFE), (bytes, ticks));
        self.slow
            .add_slot(weight(age, SLOW_HALF_LIFE), (bytes, ticks));
    }
}

/// What counts of a slot that is `age` slots old.
fn weight(age: u64, half_life: f64) -> f64 {
    let secs = number(age) * number(SLOT_TICKS * TICK_MILLIS) / 1000.0;
    (-secs / half_life).exp2()
}

/// Two estimates of a logarithm, each by its certainty.
fn blended(one: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    let (a, b) = (1.0 / one.1, 1.0 / other.1);
    ((one.0 * a + other.0 * b) / (a + b), 1.0 / (a + b))
}

fn index(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or_default()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "15 digits are more than is measured"
)]
fn number(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a conversion that saturates, of what is not below zero"
)]
fn whole(bytes: f64) -> u32 {
    bytes.round() as u32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a conversion that saturates, of what is not below zero"
)]
fn rate(ln: f64) -> u64 {
    ln.exp().round() as u64
}

#[cfg(test)]
mod tests;
