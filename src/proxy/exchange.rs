//! One request and its answer: what the hooks know of it, from the first to the last.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::cache::opened::How;
use crate::metrics::{Outcome, Tier};
use crate::proxy::InFlight;
use crate::proxy::answer::Part;
use crate::proxy::meter::Bearer;
use crate::proxy::pace::Pace;
use crate::proxy::posted::{Collected, Sent};
use crate::proxy::storage::Handoff;
use crate::proxy::upstream::Destination;
use crate::proxy::watch::{Active, Protocol};
use crate::route::Route;
use crate::session::cmcd::Report;

/// What is known of one request. Made before its head is looked at, dropped after its last byte.
pub struct Exchange {
    /// Made here; clients cannot choose it.
    pub(super) id: String,
    pub(super) began: Instant,
    pub(super) protocol: Protocol,
    pub(super) client: Option<IpAddr>,
    /// Time from the complete head to the response head.
    pub(super) first_byte: Option<Duration>,
    pub(super) outcome: Outcome,
    pub(super) tier: Tier,
    /// How the engine came to the answer.
    pub(super) how: Option<How>,
    pub(super) route: Option<Route>,
    /// Age of the answer, where it has one.
    pub(super) age: Option<Duration>,
    /// Seconds that the answer stays fresh; below zero when it is stale.
    pub(super) ttl: Option<i64>,
    /// The opened answer, until Pingora's cache key takes it.
    pub(super) opened: Option<Handoff>,
    pub(super) part: Part,
    /// Whether the answer is made for this client alone: it has no parts and no age.
    pub(super) is_personal: bool,
    /// Whether the first bytes of the body can be read without waiting.
    pub(super) body_is_here: bool,
    /// Whether the request goes to the origin by Pingora's own way (unsafe methods).
    pub(super) passes: bool,
    /// Where it goes then, once that is known.
    pub(super) destination: Option<Destination>,
    /// That it was sent, where its answer may be kept, and what of that is here.
    pub(super) sent: Option<Sent>,
    pub(super) collected: Option<Collected>,
    /// How fast its body comes.
    pub(super) upload: Option<Pace>,
    /// Whether the answer is one that has a body at all.
    pub(super) bodiless: bool,
    /// Why no usable answer was given, in the words of the log.
    pub(super) reason: Option<&'static str>,
    /// Whose it is, where anybody wants to know.
    pub(super) bearer: Option<Bearer>,
    /// What the player says of itself.
    pub(super) report: Option<Report>,
    pub(super) active: Option<Active>,
    pub(super) in_flight: Option<InFlight>,
}

impl Exchange {
    /// Begins an exchange; nothing of the request is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            id: format!("{:016x}", fastrand::u64(..)),
            began: Instant::now(),
            protocol: Protocol::Http11,
            client: None,
            first_byte: None,
            outcome: Outcome::Refused,
            tier: Tier::None,
            how: None,
            route: None,
            age: None,
            ttl: None,
            opened: None,
            part: Part::Whole,
            is_personal: false,
            body_is_here: false,
            passes: false,
            destination: None,
            sent: None,
            collected: None,
            upload: None,
            bodiless: false,
            reason: None,
            bearer: None,
            report: None,
            active: None,
            in_flight: None,
        }
    }

    /// Notes what the engine answered.
    pub(super) fn answered(&mut self, how: How) {
        self.outcome = how.outcome;
        self.tier = how.tier;
        self.how = Some(how);
    }

    /// Notes that an answer is given without the engine.
    pub(super) fn answered_here(&mut self, outcome: Outcome, reason: Option<&'static str>) {
        self.outcome = outcome;
        self.tier = Tier::None;
        self.reason = reason;
    }

    /// Notes that the response head is about to go out; only the final one counts.
    pub(super) fn head_goes_out(&mut self, status: StatusCode) {
        if !status.is_informational() && self.first_byte.is_none() {
            self.first_byte = Some(self.began.elapsed());
        }
        if let Some(active) = self.active.as_ref().filter(|_| self.body_is_here) {
            active.body_follows();
        }
    }

    /// The site asked, where the request was routed.
    pub(super) fn site(&self) -> Option<&Arc<crate::config::Site>> {
        self.route.as_ref().map(|route| &route.site)
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}
