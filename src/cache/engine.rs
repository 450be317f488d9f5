//! The engine: answers what an object is, from memory, Redis or the origin.
//!
//! ```text
//!  open ─► memory ─ fresh ──────────────────────────► Object (hit)
//!            │  └── stale, refresh allowed ─► Object (stale) + flight in the background
//!            └─ absent, expired, suspect ─► flight (single) ─► fill: Redis ─► origin
//!                                             │                  │ 304: confirm
//!                                             │                  │ 200, 206: store while reading
//!                                             ▼                  │ uncacheable: one stream
//!                                    everyone who waits ◄────────┘ failure: stale, or error
//! ```
//! Fills are detached tasks: no client's speed or departure touches them.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::mpsc;

use crate::asset;
use crate::cache::beginning::Beginnings;
use crate::cache::flight::{Boarding, Flight, Flights, Landing, Stream};
use crate::cache::marks::{Mark, Marks};
use crate::cache::memory::Memory;
use crate::cache::object::{Object, RunError, Target};
use crate::cache::reader::Reader;
use crate::cache::shared::Shared;
use crate::cache::stored::{Standing, Stored};
use crate::cache::variants::Variants;
use crate::clock;
use crate::config::{self, Profile};
use crate::http::cache_status::Forward;
use crate::http::forward::Fields;
use crate::http::range::Wanted;
use crate::http::wishes::Wishes;
use crate::key::Key;
use crate::limits::ATTEMPTS_MAX;
use crate::metrics::{METRICS, Outcome, Tier};
use crate::origin::{self, Body, Interim, Origin};
use crate::purge::log::Purges;
use crate::purge::{Stamp, Subject};
use crate::route::Route;

/// A site with its origin.
pub struct Source {
    /// The site's rules.
    pub site: Arc<config::Site>,
    /// Where its objects come from.
    pub origin: Arc<dyn Origin>,
}

/// What is asked of the engine.
#[derive(Clone)]
pub struct Ask {
    /// The site and its origin.
    pub source: Arc<Source>,
    /// Which object.
    pub key: Key,
    /// What the origin is asked for.
    pub target: Target,
    /// Kind of object.
    pub kind: asset::Kind,
    /// The first range that the client asks for, which decides what is fetched first.
    pub want: Option<Wanted>,
    /// Only the head is wanted.
    pub head_only: bool,
    /// What of the client's request the origin sees.
    pub fields: Arc<Fields>,
    /// What the client wishes of a cache, where its word counts.
    pub wishes: Wishes,
    /// Who is told of interim responses.
    pub interim: Option<mpsc::Sender<Interim>>,
    /// Which CDNs the request has passed (RFC 8586), as it was received.
    pub cdn_loop: Option<HeaderValue>,
}

impl Ask {
    /// Asks for the whole of what a route names.
    #[must_use]
    pub fn whole(source: &Arc<Source>, route: Route) -> Self {
        Self {
            source: Arc::clone(source),
            key: route.key,
            target: Target {
                path: route.origin_path,
                query: route.origin_query,
            },
            kind: route.kind,
            want: None,
            head_only: false,
            fields: Fields::none(),
            wishes: Wishes::default(),
            interim: None,
            cdn_loop: None,
        }
    }

    /// Where more bytes of what is opened come from.
    #[must_use]
    pub fn supply(&self) -> Supply {
        Supply {
            source: Arc::clone(&self.source),
            fields: Arc::clone(&self.fields),
        }
    }

    /// The origin request for the whole of it.
    pub(crate) fn fetch(&self) -> origin::Fetch {
        origin::Fetch {
            path: self.target.path.clone(),
            query: self.target.query.clone(),
            fields: Some(Arc::clone(&self.fields)),
            interim: self.interim.clone(),
            cdn_loop: self.cdn_loop.clone(),
            ..origin::Fetch::default()
        }
    }

    /// Whether an answer of the origin is a failure of it and no answer about the object. What a
    /// general site answers is for its client to see.
    pub(crate) fn is_failure(&self, status: StatusCode) -> bool {
        status.is_server_error() && self.source.site.profile == Profile::Video
    }
}

/// Where the bytes of an object come from, for one client.
#[derive(Clone)]
pub struct Supply {
    /// The site and its origin.
    pub source: Arc<Source>,
    /// What of the client's request the origin sees.
    pub fields: Arc<Fields>,
}

/// What the engine answers.
pub enum Opened {
    /// A shared object; its bytes come by a [`crate::cache::reader::Reader`].
    Object(Arc<Object>, How),
    /// An answer for this one request.
    Stream {
        /// Status as the origin sent it.
        status: StatusCode,
        /// End-to-end headers as the origin sent them.
        headers: HeaderMap,
        /// The body.
        body: Box<dyn Body>,
        /// How it came about.
        how: How,
    },
    /// No copy, and no usable answer.
    Failed(Failure),
}

/// How an answer came about, for Cache-Status, log and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// What became of the request.
    pub outcome: Outcome,
    /// Where the first byte comes from.
    pub tier: Tier,
    /// Whether another request's fill was joined.
    pub collapsed: bool,
    /// Whether the origin's answer is stored.
    pub stored: bool,
    /// Status of the origin's answer, where it was asked.
    pub fwd_status: Option<u16>,
    /// Why it was asked.
    pub forward: Option<Forward>,
}

impl How {
    /// A copy that was there.
    #[must_use]
    pub fn held(outcome: Outcome, tier: Tier) -> Self {
        Self {
            outcome,
            tier,
            collapsed: false,
            stored: false,
            fwd_status: None,
            forward: None,
        }
    }

    /// An answer of the origin.
    #[must_use]
    pub fn fetched(outcome: Outcome, status: StatusCode) -> Self {
        Self {
            outcome,
            tier: Tier::Origin,
            collapsed: false,
            stored: outcome != Outcome::Pass,
            fwd_status: Some(status.as_u16()),
            forward: None,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The origin gave no usable answer.
    #[error(transparent)]
    Origin(#[from] origin::Error),
    /// The origin answered with a failure of its own, after all retries.
    #[error("origin answered {0}")]
    Status(u16),
    /// Too many objects are being opened.
    #[error("too many flights")]
    Overloaded,
    /// The byte budget has no room.
    #[error("no room in memory")]
    NoRoom,
    /// The client wants nothing but what is stored, and that is nothing (RFC 9111 section
    /// 5.2.1.7).
    #[error("not stored")]
    NotCached,
}

impl Failure {
    /// What the failure of a run means to a request to which nothing was answered yet; `None` when
    /// the object is as good as absent and may be asked for anew.
    fn of(error: RunError) -> Option<Self> {
        match error {
            RunError::Origin(origin::Error::Changed) => None,
            RunError::Origin(error) => Some(Self::Origin(error)),
            RunError::NoRoom => Some(Self::NoRoom),
            RunError::Length { .. } | RunError::TooLarge | RunError::Abandoned => None,
        }
    }
}

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
                    Some(it) => Opened::Object(it.object, How::held(Outcome::Stale, Tier::Memory)),
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
        Opened::Object(Arc::clone(&stored.object), how)
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
            self.take_off(ask, stored, flight);
        }
        boarding
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
        tokio::spawn(async move { engine.fly(&ask, stored, &flight).await });
    }

    /// Waits for a flight that this request began, and takes what it brought.
    async fn lead(self: &Arc<Self>, flight: &Arc<Flight>, ask: &Ask) -> Option<Opened> {
        let landing = flight.landing().await;
        match flight.take_stream() {
            Some(stream) if self.may_begin(Subject::untagged(&ask.key, &flight.stamp())) => {
                Some(stream.into())
            }
            Some(_) => None,
            None => self.land(ask, flight, landing).await,
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
                head.suits(&ask.fields).then(|| Opened::Object(object, how))
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

impl Opened {
    /// Says why the origin was asked, where it was and nothing else says so.
    fn because(mut self, reason: Forward) -> Self {
        if let Self::Object(_, how) | Self::Stream { how, .. } = &mut self
            && how.tier == Tier::Origin
            && how.forward.is_none()
        {
            how.forward = Some(reason);
        }
        self
    }
}

impl From<origin::Reply> for Stream {
    fn from(reply: origin::Reply) -> Self {
        Self {
            status: reply.status,
            headers: reply.headers,
            body: reply.body,
        }
    }
}

impl From<Stream> for Opened {
    fn from(stream: Stream) -> Self {
        let how = How::fetched(Outcome::Pass, stream.status);
        let Stream {
            status,
            headers,
            body,
        } = stream;
        Self::Stream {
            status,
            headers,
            body,
            how,
        }
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
