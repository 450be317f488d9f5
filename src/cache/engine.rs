//! The engine: answers what an object is, from memory, Redis or the origin.
//!
//! ```text
//!  open ─► memory ─ fresh ──────────────────────────► Object (hit)
//!            │  ├── stale, refresh allowed ─► Object (stale) + flight in the background
//!            │  └── marked, or nothing to be stored ─► pass: one stream from the origin
//!            └─ absent, expired, suspect, ─► flight (single) ─► fill: Redis ─► origin
//!               not what the client wants     │                  │ confirmed: the stored one
//!                                             │                  │ 200, 206: store while reading
//!                                             ▼                  │ uncacheable: one stream
//!                                    everyone who waits ◄────────┘ failure: stale, or error
//!                                             └─ purged meanwhile, another variant: open again
//! ```
//! Fills are detached tasks: no client's speed or departure touches them. What is found before a
//! request knows its variant is found again under that variant's key.

use std::sync::{Arc, Mutex};

use http::StatusCode;

use crate::cache::ask::Ask;
use crate::cache::beginning::Beginnings;
use crate::cache::fill::InFlight;
use crate::cache::flight::{Boarding, Flight, Flights, Landing, Stream};
use crate::cache::marks::{Mark, Marks};
use crate::cache::memory::Memory;
use crate::cache::object::{Object, RunError};
use crate::cache::opened::{Failure, How, Opened};
use crate::cache::reader::Reader;
use crate::cache::shared::Shared;
use crate::cache::stored::{Standing, Stored};
use crate::cache::variants::Variants;
use crate::clock;
use crate::http::cache_status::Forward;
use crate::http::range::Wanted;
use crate::key::Key;
use crate::limits::ATTEMPTS_MAX;
use crate::metrics::{METRICS, Outcome, Tier};
use crate::origin;
use crate::purge::log::Purges;
use crate::purge::{Stamp, Subject};

/// The engine.
pub struct Engine {
    memory: Arc<Memory>,
    shared: Option<Arc<Shared>>,
    purges: Arc<Purges>,
    flights: Flights,
    marks: Mutex<Marks>,
    variants: Variants,
    beginnings: Arc<Beginnings>,
}

impl Engine {
    /// Makes an engine with `memory_bytes` for everything in memory.
    #[must_use]
    pub fn new(memory_bytes: usize, shared: Option<Arc<Shared>>, purges: Arc<Purges>) -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(memory_bytes),
            shared,
            purges,
            flights: Flights::default(),
            marks: Mutex::default(),
            variants: Variants::default(),
            beginnings: Arc::default(),
        })
    }

    /// Opens an object for a request.
    ///
    /// What turns out to be another variant, or is purged while it is on its way, is asked for anew.
    pub async fn open(self: &Arc<Self>, mut ask: Ask) -> Opened {
        let primary = ask.key.clone();
        for _ in 0..ATTEMPTS_MAX {
            if let Some(opened) = self.attempt(&mut ask).await {
                return opened;
            }
            ask.key.clone_from(&primary);
        }
        METRICS.reopenings_exhausted.inc();
        self.pass(&ask).await
    }

    /// Tries to open an object; `None` when what came must not answer this request.
    async fn attempt(self: &Arc<Self>, ask: &mut Ask) -> Option<Opened> {
        let now = clock::now();
        // Before anything is looked up: what is found now must not pass for found after a purge.
        let stamp = self.purges.stamp();
        let stored = self.locate(ask, now);
        if let Some(it) = stored.as_ref().filter(|it| it.may_be_served()) {
            return match self.ready(ask, &it.object).await {
                Ok(tier) => Some(self.serve(ask, it, stamp, tier)),
                Err(error) => {
                    let failure = Failure::of(error);
                    if failure.is_none() {
                        self.memory.remove_object(&it.object);
                    }
                    failure.map(Opened::Failed)
                }
            };
        }
        if ask.wishes.only_if_cached {
            return Some(Opened::Failed(Failure::NotCached));
        }
        let reason = reason(ask, stored.as_ref());
        let mark = self.marked(&ask.key, now).filter(|_| stored.is_none());
        let is_probed = mark == Some(Mark::Doubtful) && self.flights.is_under_way(&ask.key);
        if ask.wishes.no_store || mark == Some(Mark::Passing) || is_probed {
            return Some(self.pass(ask).await);
        }
        let opened = match self.board(ask, stored.clone(), stamp) {
            Boarding::Full => {
                METRICS.flights_refused.inc();
                return Some(match stored.filter(|stored| stored.may_stand_in(now)) {
                    Some(it) => Opened::shared(it.object, How::held(Outcome::Stale, Tier::Memory)),
                    None => Opened::Failed(Failure::Overloaded),
                });
            }
            Boarding::Lead(flight) => self.lead(&flight, ask).await,
            Boarding::Join(flight) => {
                METRICS.collapsed.inc();
                self.join(&flight, ask).await
            }
        };
        opened.map(|opened| opened.because(reason))
    }

    /// Forgets what this node holds of a key; the purge log speaks for the others.
    pub fn forget(&self, key: &Key) -> bool {
        for variant in self.variants.forget(key) {
            self.memory.remove(&variant);
        }
        self.memory.remove(key)
    }

    /// The memory tier.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The shared tier, where there is one.
    #[must_use]
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    /// The purge log.
    #[must_use]
    pub fn purges(&self) -> &Arc<Purges> {
        &self.purges
    }

    /// The flights under way.
    #[must_use]
    pub fn flights(&self) -> &Flights {
        &self.flights
    }

    /// Keys whose answers may not be shared.
    pub(crate) fn marks(&self) -> &Mutex<Marks> {
        &self.marks
    }

    /// What is known of objects that vary.
    pub(crate) fn variants(&self) -> &Variants {
        &self.variants
    }

    /// Partial answers that may be completed.
    pub(crate) fn beginnings(&self) -> &Arc<Beginnings> {
        &self.beginnings
    }

    /// Serves what memory has, and has it refreshed where that is due.
    fn serve(self: &Arc<Self>, ask: &Ask, stored: &Stored, stamp: Stamp, tier: Tier) -> Opened {
        if stored.standing == Standing::Refresh {
            // The client is answered already: nobody is left to hear of interim responses.
            let ask = Ask {
                interim: None,
                ..ask.clone()
            };
            self.refresh(&ask, stored, stamp);
        }
        let how = match (stored.standing, tier) {
            (Standing::Fresh, Tier::Origin) => How {
                forward: Some(Forward::Partial),
                ..How::fetched(Outcome::Miss, StatusCode::PARTIAL_CONTENT)
            },
            (Standing::Fresh, tier) => How::held(Outcome::Hit, tier),
            (_, tier) => How::held(Outcome::Stale, tier),
        };
        Opened::shared(Arc::clone(&stored.object), how)
    }

    /// Has the first bytes that a request wants at hand before its head goes out, and says which
    /// tier they came from.
    async fn ready(self: &Arc<Self>, ask: &Ask, object: &Arc<Object>) -> Result<Tier, RunError> {
        let length = object.length().unwrap_or(0);
        let first = match ask.want {
            Some(Wanted::Span(first, _)) => first,
            Some(Wanted::Suffix(count)) => length.saturating_sub(count),
            None => 0,
        };
        if ask.head_only || first >= length {
            return Ok(Tier::Memory);
        }
        let reader = Reader::new(Arc::clone(self), ask.supply(), Arc::clone(object));
        let tier = reader.arrive(first).await?;
        let head = object.head();
        // A purge may have come while the bytes did; the answer has not begun yet.
        if tier != Tier::Memory && !self.holds(head.subject()) {
            return Err(RunError::Abandoned);
        }
        Ok(tier)
    }

    /// Joins the flight of a key or takes off with one. What is asked for with credentials or
    /// cookies is asked for alone, and so is what each request must have confirmed for itself.
    fn board(self: &Arc<Self>, ask: &Ask, stored: Option<Stored>, stamp: Stamp) -> Boarding {
        let is_lone = ask.fields.sees_client()
            && stored.is_some()
            && self.marked(&ask.key, clock::now()).is_some();
        let boarding = match ask.fields.is_personal() || is_lone {
            true => Boarding::Lead(Flight::new(stamp, self.purges.version())),
            false => self.queue(ask, stamp),
        };
        if let Boarding::Lead(flight) = &boarding {
            match stored.is_none() && self.has_come(ask) {
                true => {
                    flight.land(Landing::Elsewhere);
                    self.flights.end(&ask.key, flight);
                }
                false => self.take_off(ask, stored, flight),
            }
        }
        boarding
    }

    /// Whether memory has by now what it did not have when it was looked at: a flight that ended
    /// between the look and the boarding has brought it.
    fn has_come(&self, ask: &Ask) -> bool {
        let stored = self.locate(&mut ask.clone(), clock::now());
        stored.is_some_and(|it| it.may_be_served())
    }

    /// Has a copy refreshed, unless that is under way: nobody waits for it, so that whose request
    /// it is makes no difference.
    fn refresh(self: &Arc<Self>, ask: &Ask, stored: &Stored, stamp: Stamp) {
        if let Boarding::Lead(flight) = self.queue(ask, stamp) {
            self.take_off(ask, Some(stored.clone()), &flight);
        }
    }

    fn queue(&self, ask: &Ask, stamp: Stamp) -> Boarding {
        let holds = |stamp: &Stamp| self.holds(Subject::untagged(&ask.key, stamp));
        let version = self.purges.version();
        self.flights.board(&ask.key, stamp, version, holds)
    }

    fn take_off(self: &Arc<Self>, ask: &Ask, stored: Option<Stored>, flight: &Arc<Flight>) {
        let (engine, ask, flight) = (Arc::clone(self), ask.clone(), Arc::clone(flight));
        let counted = InFlight::new();
        tokio::spawn(async move {
            let _counted = counted;
            engine.fly(&ask, stored, &flight).await;
        });
    }

    /// Waits for a flight that this request began, and takes what it brought.
    async fn lead(self: &Arc<Self>, flight: &Arc<Flight>, ask: &Ask) -> Option<Opened> {
        let landing = flight.landing().await;
        match flight.take_stream() {
            Some(stream) if self.may_begin(Subject::untagged(&ask.key, &flight.stamp())) => {
                Some(stream.into())
            }
            Some(_) => None,
            None => {
                let mut opened = self.land(ask, flight, landing).await?;
                if let Opened::Object { own, .. } = &mut opened {
                    *own = flight.take_own();
                }
                Some(opened)
            }
        }
    }

    /// Waits for a flight that another request began. Its stream answers that one's question,
    /// which may have been HEAD: whoever joined asks for itself.
    async fn join(self: &Arc<Self>, flight: &Arc<Flight>, ask: &Ask) -> Option<Opened> {
        let was_landed = flight.landed().is_some();
        let landing = match flight.landing().await {
            Landing::Object(object, how) => {
                let is_usable = how.outcome == Outcome::Stale
                    || object.head().may_refresh(clock::now())
                    || match ask.fields.sees_client() {
                        // Who came before the answer was not kept waiting for something old.
                        true => !was_landed && object.head().freshness.is_some(),
                        // What the origin would answer each of them the same (live segments).
                        false => !was_landed || !object.is_complete(),
                    };
                if !is_usable {
                    self.flights.end(&ask.key, flight);
                    return None;
                }
                let collapsed = true;
                Landing::Object(object, How { collapsed, ..how })
            }
            Landing::Partial if ask.head_only => Landing::Pass,
            landing => landing,
        };
        self.land(ask, flight, landing).await
    }

    /// What a landing means to one request; `None` when it must ask anew.
    async fn land(&self, ask: &Ask, flight: &Arc<Flight>, landing: Landing) -> Option<Opened> {
        match landing {
            Landing::Object(object, how) => {
                let head = object.head();
                if !self.may_begin(head.subject()) {
                    // Nobody else shall board what is of no use any more.
                    self.flights.end(&ask.key, flight);
                    return None;
                }
                head.suits(&ask.fields).then(|| Opened::shared(object, how))
            }
            Landing::Failed(failure) => Some(Opened::Failed(failure)),
            Landing::Pass => Some(self.pass(ask).await),
            Landing::Elsewhere | Landing::Partial => {
                self.flights.end(&ask.key, flight);
                None
            }
        }
    }

    /// Asks the origin for this one request: its answers may not be shared.
    async fn pass(&self, ask: &Ask) -> Opened {
        for _ in 0..ATTEMPTS_MAX {
            let stamp = self.purges.stamp();
            let opened = self.fetch_alone(ask).await;
            if self.may_begin(Subject::untagged(&ask.key, &stamp)) {
                return opened;
            }
        }
        Opened::Failed(Failure::Overloaded)
    }

    async fn fetch_alone(&self, ask: &Ask) -> Opened {
        let fetch = origin::Fetch {
            head_only: ask.head_only,
            ..ask.fetch()
        };
        match ask.source.origin.fetch(&fetch).await {
            Ok(reply) if ask.is_failure(reply.status) => {
                Opened::Failed(Failure::Status(reply.status.as_u16()))
            }
            Ok(reply) => Opened::from(Stream::from(reply)).because(Forward::Bypass),
            Err(error) => Opened::Failed(error.into()),
        }
    }
}

/// Why a request goes to the origin, as Cache-Status puts it (RFC 9211 section 2.2).
fn reason(ask: &Ask, stored: Option<&Stored>) -> Forward {
    match stored {
        Some(it) if it.standing == Standing::Unwanted => Forward::Request,
        Some(_) => Forward::Stale,
        None if ask.key.is_variant() => Forward::VaryMiss,
        None => Forward::UriMiss,
    }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod odd_tests;
#[cfg(test)]
mod posted_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod witness;
