//! Shaka 5.2.12 (`simple_abr_manager.js`), after its first choice.

use crate::ewma::Pair;
use crate::player::{Load, Player, View, highest};

/// Its estimate, and when it chose last.
pub(crate) struct Shaka {
    throughput: Pair,
    bytes: f64,
    told: Option<f64>,
    /// When it may choose again; `None` until the estimate is good.
    again: Option<f64>,
}

impl Shaka {
    pub(crate) fn new() -> Self {
        Self {
            throughput: Pair::new(2.0, 5.0),
            bytes: 0.0,
            told: None,
            again: None,
        }
    }
}

impl Player for Shaka {
    fn next(&mut self, view: &View<'_>) -> usize {
        let own = self.throughput.get().filter(|_| self.bytes >= 128e3);
        let (Some(own), true) = (own, self.again.is_none_or(|again| view.now >= again)) else {
            return view.level;
        };
        self.again = Some(view.now + 8.0);
        let estimate = self.told.map_or(own, |told| 0.5 * own + 0.5 * told);
        // Each rung suits from its own rate over 0.95 to the next one's over 0.85; the highest of
        // those that suit is taken.
        highest(view.rungs, |_, rung| rung.average / 0.95 <= estimate).unwrap_or(0)
    }

    fn loaded(&mut self, _view: &View<'_>, load: &Load) {
        if load.bits >= 8.0 * 16e3 {
            self.bytes += load.bits / 8.0;
            self.throughput
                .sample(load.seconds, load.bits / load.seconds);
        }
    }

    fn gives_up(&mut self, _view: &View<'_>, _load: &Load) -> Option<usize> {
        None
    }

    fn fills_to(&self, _view: &View<'_>) -> f64 {
        10.0
    }

    fn told(&mut self, throughput: Option<f64>) {
        self.told = throughput;
    }
}
