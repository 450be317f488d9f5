//! The exponentially weighted averages that all three players estimate with.

/// An average in which a sample's weight halves every half-life, started without bias.
#[derive(Clone, Copy)]
pub(crate) struct Ewma {
    half_life: f64,
    value: f64,
    weight: f64,
}

impl Ewma {
    pub(crate) fn new(half_life: f64) -> Self {
        Self {
            half_life,
            value: 0.0,
            weight: 0.0,
        }
    }

    pub(crate) fn sample(&mut self, weight: f64, value: f64) {
        let kept = 0.5_f64.powf(weight / self.half_life);
        self.value = value * (1.0 - kept) + kept * self.value;
        self.weight += weight;
    }

    pub(crate) fn get(&self) -> Option<f64> {
        let seen = 1.0 - 0.5_f64.powf(self.weight / self.half_life);
        (seen > 0.0).then(|| self.value / seen)
    }
}

/// The lesser of a fast and a slow average.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    fast: Ewma,
    slow: Ewma,
}

impl Pair {
    pub(crate) fn new(fast: f64, slow: f64) -> Self {
        Self {
            fast: Ewma::new(fast),
            slow: Ewma::new(slow),
        }
    }

    pub(crate) fn sample(&mut self, weight: f64, value: f64) {
        self.fast.sample(weight, value);
        self.slow.sample(weight, value);
    }

    pub(crate) fn get(&self) -> Option<f64> {
        Some(self.fast.get()?.min(self.slow.get()?))
    }
}
