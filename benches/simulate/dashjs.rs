//! dash.js 5.2.1 with its dynamic strategy, after its first choice: `ThroughputRule` or `BolaRule`,
//! with `InsufficientBufferRule`, `AbandonRequestsRule` and replacement of lower quality. Its
//! memory of drops (`SwitchHistoryRule`) is left out.

use crate::ewma::Pair;
use crate::movie::Rung;
use crate::player::{Load, Player, View, highest};

/// Its estimate and the state of its rules.
pub(crate) struct DashJs {
    throughput: Pair,
    segments: usize,
    bola: Option<Bola>,
    finished: f64,
}

/// The state of `BolaRule` while it is in use.
#[derive(Clone, Copy)]
struct Bola {
    steady: bool,
    level: usize,
    /// Seconds of buffer that are pretended.
    placeholder: f64,
}

/// What BOLA derives of a ladder.
struct Weights {
    utilities: Vec<f64>,
    vp: f64,
    gp: f64,
}

impl Weights {
    fn of(rungs: &[Rung]) -> Self {
        let least = rungs.first().map_or(1.0, |rung| rung.average);
        let utility = |rung: &Rung| (rung.average / least).ln() + 1.0;
        let utilities: Vec<f64> = rungs.iter().map(utility).collect();
        let time = BUFFER_DEFAULT.max(BUFFER_LEAST + 2.0 * rungs.len() as f64);
        let top = utilities.last().copied().unwrap_or(1.0);
        let gp = ((top - 1.0) / (time / BUFFER_LEAST - 1.0)).max(1e-9);
        Self {
            utilities,
            vp: BUFFER_LEAST / gp,
            gp,
        }
    }

    fn level(&self, rungs: &[Rung], buffer: f64) -> usize {
        let score = |level: usize| {
            (self.vp * (self.utilities[level] - 1.0 + self.gp) - buffer) / rungs[level].average
        };
        let better = |best: usize, level: usize| {
            if score(level) >= score(best) {
                level
            } else {
                best
            }
        };
        (0..rungs.len()).fold(0, better)
    }

    /// The least buffer at which `level` is preferred to those below it.
    fn least(&self, rungs: &[Rung], level: usize) -> f64 {
        let (rate, utility) = (rungs[level].average, self.utilities[level]);
        let over = |lower: usize| {
            let (below, worth) = (rungs[lower].average, self.utilities[lower]);
            self.vp * (self.gp + (rate * worth - below * utility) / (rate - below))
        };
        (0..level).map(over).fold(0.0, f64::max)
    }

    fn most(&self, level: usize) -> f64 {
        self.vp * (self.utilities[level] + self.gp)
    }
}

impl DashJs {
    pub(crate) fn new() -> Self {
        Self {
            throughput: Pair::new(3.0, 8.0),
            segments: 0,
            bola: None,
            finished: 0.0,
        }
    }

    fn by_bola(&mut self, view: &View<'_>, safe: usize) -> usize {
        let weights = Weights::of(view.rungs);
        let mut bola = self.bola.unwrap_or(Bola {
            steady: false,
            level: view.level,
            placeholder: 0.0,
        });
        if bola.steady {
            bola.placeholder += (view.now - self.finished).max(0.0);
            let mut level = weights.level(view.rungs, view.buffer + bola.placeholder);
            if level > bola.level && level > safe {
                level = safe.max(bola.level);
            }
            let delay = (view.buffer + bola.placeholder - weights.most(level)).max(0.0);
            bola.placeholder = (bola.placeholder - delay).max(0.0);
            bola.level = level;
        } else {
            bola.placeholder = (weights.least(view.rungs, safe) - view.buffer).max(0.0);
            bola.level = safe;
            bola.steady = view.buffer >= view.plays;
        }
        self.bola = Some(bola);
        bola.level
    }
}

impl Player for DashJs {
    fn next(&mut self, view: &View<'_>) -> usize {
        let Some(throughput) = self.throughput.get() else {
            return view.level;
        };
        let within = |bound: f64| highest(view.rungs, |_, rung| rung.average <= bound).unwrap_or(0);
        let threshold = if self.bola.is_some() { 6.0 } else { 12.0 };
        if view.buffer < threshold {
            self.bola = None;
        }
        if view.stalls && self.segments >= 2 {
            return 0;
        }
        let safe = within(0.9 * throughput);
        let level = if view.buffer >= threshold {
            self.by_bola(view, safe)
        } else if view.stalls {
            view.level
        } else {
            safe
        };
        if self.segments < 2 {
            return level;
        }
        level.min(within(0.7 * throughput * view.buffer / view.plays))
    }

    fn loaded(&mut self, view: &View<'_>, load: &Load) {
        let seconds = (load.seconds - load.first_byte).max(0.001);
        self.throughput.sample(1.5 * seconds, load.bits / seconds);
        self.segments += 1;
        self.finished = view.now;
        if let Some(bola) = &mut self.bola {
            let most = Weights::of(view.rungs).most(view.level) - view.buffer - load.seconds;
            bola.placeholder = (0.99 * bola.placeholder).min(most.max(0.0));
        }
    }

    fn gives_up(&mut self, view: &View<'_>, load: &Load) -> Option<usize> {
        let seconds = load.seconds - load.first_byte;
        if view.buffer > BUFFER_DEFAULT || seconds < 0.5 || view.level == 0 {
            return None;
        }
        let rate = load.bits / seconds;
        if load.total / rate < 1.8 * view.plays {
            return None;
        }
        let level = highest(view.rungs, |_, rung| rung.average <= rate).unwrap_or(0);
        let instead = load.total * view.rungs[level].average / view.rungs[view.level].average;
        (load.total - load.bits > instead).then_some(level)
    }

    fn fills_to(&self, view: &View<'_>) -> f64 {
        if view.level + 1 == view.rungs.len() {
            30.0
        } else {
            BUFFER_DEFAULT
        }
    }

    fn replaces(&self) -> bool {
        true
    }
}

/// `bufferTimeDefault`, and `MINIMUM_BUFFER_S` of `BolaRule`.
const BUFFER_DEFAULT: f64 = 18.0;
const BUFFER_LEAST: f64 = 10.0;
