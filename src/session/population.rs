//! What many clients show together: a network's aggregate, and a site's distribution. Pure.

use crate::clock::UnixMillis;
use crate::limits;
use crate::session::belief::Belief;

/// What sessions of one network have shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Network {
    /// Mean of the natural logarithm of bit/s, late sessions weighing more.
    pub ln_mean: f64,
    /// Variance among the sessions.
    pub spread: f64,
    /// Sessions so far.
    pub sessions: u32,
    /// The first clients that were met, as many as it takes to tell a network from a person.
    pub clients: Vec<[u8; 16]>,
    /// When a session ended last.
    pub at: UnixMillis,
}

/// Sessions that one aggregate stands on at most: an older one fades.
const SESSIONS_COUNTED: u32 = 64;

/// Least variance among the clients of a network.
const SPREAD_MIN: f64 = 0.25;

impl Network {
    /// Takes in what a session has shown by its end.
    pub fn ended(&mut self, client: [u8; 16], shown: &Belief) {
        self.meet(client);
        self.sessions = self.sessions.saturating_add(1);
        let share = 1.0 / f64::from(self.sessions.min(SESSIONS_COUNTED));
        let apart = shown.ln_mean - self.ln_mean;
        self.ln_mean += share * apart;
        self.spread = (1.0 - share) * (self.spread + share * apart * apart);
        self.at = self.at.max(shown.at);
    }

    /// Takes in what another node knows: the one that has seen more is believed.
    pub fn merge(&mut self, other: Self) {
        let clients = std::mem::take(&mut self.clients);
        if (other.sessions, other.at) > (self.sessions, self.at) {
            let known = self.at;
            *self = other;
            self.at = self.at.max(known);
        }
        for client in clients {
            self.meet(client);
        }
    }

    fn meet(&mut self, client: [u8; 16]) {
        if self.clients.len() < limits::NETWORK_CLIENTS_MIN && !self.clients.contains(&client) {
            self.clients.push(client);
        }
    }

    /// What is thought of a client in it; `None` while too few clients stand behind it.
    #[must_use]
    pub fn belief(&self, now: UnixMillis) -> Option<Belief> {
        let belief = Belief {
            ln_mean: self.ln_mean,
            variance: self.spread.max(SPREAD_MIN),
            rtt_millis: None,
            at: self.at,
        };
        (self.clients.len() >= limits::NETWORK_CLIENTS_MIN).then(|| belief.aged(now))?
    }
}

/// What the sessions of one site have shown: a histogram of the logarithm.
#[derive(Debug, Clone)]
pub struct Distribution {
    counts: [f64; BINS],
}

/// Bins from 22 kbit/s to 1.6 Gbit/s, each a factor of 1.28 wide: finer than clients differ.
const BINS: usize = 45;
const LN_FIRST: f64 = 10.0;
const LN_WIDTH: f64 = 0.25;

/// Sessions that a site's distribution must stand on.
const SESSIONS_MIN: f64 = 20.0;
/// Sessions at which all counts are halved, so that it follows its audience.
const SESSIONS_MAX: f64 = 4096.0;

impl Default for Distribution {
    fn default() -> Self {
        Self {
            counts: [0.0; BINS],
        }
    }
}

impl Distribution {
    /// Takes in what a session has shown by its end.
    pub fn ended(&mut self, shown: &Belief) {
        let mut upper = LN_FIRST;
        let last = BINS - 1;
        for (index, count) in self.counts.iter_mut().enumerate() {
            upper += LN_WIDTH;
            if shown.ln_mean < upper || index == last {
                *count += 1.0;
                break;
            }
        }
        if self.counts.iter().sum::<f64>() >= SESSIONS_MAX {
            for count in &mut self.counts {
                *count /= 2.0;
            }
        }
    }

    /// What is thought of a client that nothing else is known of.
    #[must_use]
    pub fn belief(&self, now: UnixMillis) -> Option<Belief> {
        let total: f64 = self.counts.iter().sum();
        let mut middle = LN_FIRST - LN_WIDTH / 2.0;
        let (mut sum, mut squares) = (0.0, 0.0);
        for count in &self.counts {
            middle += LN_WIDTH;
            sum += count * middle;
            squares += count * middle * middle;
        }
        let mean = sum / total.max(1.0);
        let belief = Belief {
            ln_mean: mean,
            variance: (squares / total.max(1.0) - mean * mean).max(SPREAD_MIN),
            rtt_millis: None,
            at: now,
        };
        (total >= SESSIONS_MIN).then_some(belief)
    }
}
