//! hls.js 1.7.4 (`abr-controller.ts`), after its first choice.

use crate::ewma::{Ewma, Pair};
use crate::movie::Rung;
use crate::player::{Load, Player, View, highest};

/// Its estimates.
pub(crate) struct HlsJs {
    throughput: Pair,
    first_byte: Ewma,
    /// Levels whose playlist has been loaded.
    known: Vec<bool>,
    /// Seconds that a playlist takes after its first byte; they are small.
    playlist: f64,
    /// How long a segment that comes too slowly may take.
    deadline: Option<f64>,
}

/// Under what bounds a level is looked for.
struct Bounds {
    down: f64,
    up: f64,
    /// Seconds that loading may take.
    within: f64,
    /// Whether average bit rates count and not peaks.
    average: bool,
}

impl HlsJs {
    pub(crate) fn new(levels: usize) -> Self {
        Self {
            throughput: Pair::new(3.0, 9.0),
            first_byte: Ewma::new(9.0),
            known: vec![false; levels],
            playlist: 0.0,
            deadline: None,
        }
    }

    fn waits(&self) -> f64 {
        self.first_byte.get().unwrap_or(0.1)
    }

    fn takes(&self, level: usize, bits: f64, throughput: f64) -> f64 {
        let playlist = if self.known[level] {
            0.0
        } else {
            self.waits() + self.playlist
        };
        self.waits() + bits / throughput + playlist
    }

    /// `findBestLevel`
    fn best(&self, view: &View<'_>, throughput: f64, bounds: &Bounds) -> Option<usize> {
        highest(view.rungs, |level, rung| {
            let factor = if level > view.level {
                bounds.up
            } else {
                bounds.down
            };
            let adjusted = factor * throughput;
            let rate = if bounds.average {
                rung.average
            } else {
                rung.peak
            };
            adjusted >= rate && self.takes(level, rate * view.plays, adjusted) < bounds.within
        })
    }
}

impl Player for HlsJs {
    /// `getNextABRAutoLevel`
    fn next(&mut self, view: &View<'_>) -> usize {
        let Some(throughput) = self.throughput.get() else {
            return view.level;
        };
        let mut bounds = Bounds {
            down: 0.95,
            up: 0.7,
            within: view.buffer,
            average: view.buffer >= 2.0 * view.plays,
        };
        let calm = (view.buffer > 0.0)
            .then(|| self.best(view, throughput, &bounds))
            .flatten();
        if let Some(level) = calm {
            self.known[level] = true;
            return level;
        }
        bounds.within = view.buffer + view.plays.min(4.0);
        bounds.average = false;
        let level = self.best(view, throughput, &bounds).unwrap_or(0);
        self.known[level] = true;
        level
    }

    fn loaded(&mut self, view: &View<'_>, load: &Load) {
        self.known[view.level] = true;
        self.deadline = None;
        let seconds = load.seconds - load.first_byte.min(self.waits());
        self.first_byte.sample(
            2.0_f64.sqrt() * (-load.first_byte.powi(2) / 2.0).exp(),
            load.first_byte.max(0.005),
        );
        self.throughput
            .sample(seconds.max(0.05), load.bits / seconds.max(0.05));
    }

    /// `_abandonRulesCheck`: it never gives up for the lowest level, and starts over there where it
    /// does.
    fn gives_up(&mut self, view: &View<'_>, load: &Load) -> Option<usize> {
        let waits = self.waits();
        if !view.plays_now
            || view.level == 0
            || load.seconds <= waits.max(view.plays / 2.0)
            || load.bits <= 0.0
        {
            return None;
        }
        let rate = load.bits / (load.seconds - load.first_byte).max(0.05);
        let left = (load.total - load.bits) / rate;
        if left <= view.buffer {
            return None;
        }
        let takes = |level: usize| self.takes(level, view.plays * view.rungs[level].peak, rate);
        let fits = |level: &usize| takes(*level) < view.buffer.min(view.plays + waits);
        let level = (1..view.level).rev().find(fits).unwrap_or(0);
        if takes(level) >= left || takes(level) > 10.0 * view.plays || level == 0 {
            return None;
        }
        // At once where that is twice as fast; else when the lower level would have come.
        let wait = if left > 2.0 * takes(level) {
            0.0
        } else {
            takes(level)
        };
        let deadline = *self.deadline.get_or_insert(load.seconds + wait);
        if load.seconds < deadline {
            return None;
        }
        self.deadline = None;
        self.throughput = Pair::new(3.0, 9.0);
        self.known[0] = true;
        Some(0)
    }

    /// `maxBufferLength`, or as much as 60 MB hold, up to ten minutes.
    fn fills_to(&self, view: &View<'_>) -> f64 {
        let rate = view
            .rungs
            .get(view.level)
            .map_or(1e6, |rung: &Rung| rung.peak);
        (8.0 * 60e6 / rate).clamp(30.0, 600.0)
    }
}
