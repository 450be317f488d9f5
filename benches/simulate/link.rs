//! A link in use: a trace from some second on, with TCP's slow start once a session.

use crate::trace::Trace;

/// A link and the time on it.
#[derive(Clone)]
pub(crate) struct Link<'a> {
    trace: &'a Trace,
    began: f64,
    spent: f64,
    /// Congestion window in bits, until it has reached the link's rate.
    window: Option<f64>,
}

impl<'a> Link<'a> {
    pub(crate) fn new(trace: &'a Trace, began: f64) -> Self {
        Self {
            trace,
            began,
            spent: 0.0,
            window: Some(8.0 * 14_480.0),
        }
    }

    pub(crate) fn round_trip(&self) -> f64 {
        self.trace.round_trip
    }

    /// Seconds since the session began.
    pub(crate) fn spent(&self) -> f64 {
        self.spent
    }

    /// Seconds since the trace began.
    pub(crate) fn now(&self) -> f64 {
        self.began + self.spent
    }

    pub(crate) fn pass(&mut self, seconds: f64) {
        self.spent += seconds;
    }

    /// Carries `wanted` bits or what a step has room for; bits and seconds.
    pub(crate) fn carry(&mut self, wanted: f64) -> (f64, f64) {
        let step = self
            .window
            .map_or(STEP, |_| STEP.min(self.round_trip().max(0.005) / 4.0));
        let mut room = self.trace.carries(self.now(), self.now() + step);
        if let Some(window) = self.window {
            let most = window * step / self.round_trip().max(0.005);
            self.window = (room <= 0.0 || most < room).then(|| window + room.min(most));
            room = room.min(most);
        }
        let (bits, seconds) = if wanted < room {
            (wanted, step * wanted / room)
        } else {
            (room, step)
        };
        self.spent += seconds;
        (bits, seconds)
    }
}

/// Seconds between two looks at a download.
const STEP: f64 = 0.1;
