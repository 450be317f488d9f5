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

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::mpsc;

use crate::asset;
use crate::cache::flight::{Boarding, Flight, Flights, Landing, Stream};
use crate::cache::head::Head;
use crate::cache::marks::Marks;
use crate::cache::memory::Memory;
use crate::cache::object::{Object, RunError, Target};
use crate::cache::reader::Reader;
use crate::cache::shared::Shared;
use crate::cache::stored::{Standing, Stored};
use crate::clock::{self, UnixMillis};
use crate::config;
use crate::http::forward::Fields;
use crate::http::range::Wanted;
use crate::http::wishes::Wishes;
use crate::key::Key;
use crate::metrics::{METRICS, Outcome, Tier};
use crate::origin::{self, Body, Interim, Origin};
use crate::purge::log::Purges;
use crate::purge::{Stamp, Subject, Verdict};
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
        })
    }

    /// Opens an object for a request.
    pub async fn open(self: &Arc<Self>, ask: Ask) -> Opened {
        let now = clock::now();
        // Before anything is looked up: what is found now must not pass for found after a purge.
        let stamp = self.purges.stamp();
        let mut stored = self.find(&ask.key, now);
        if let Some(it) = stored.as_ref().filter(|it| it.may_be_served()) {
            match self.ready(&ask, &it.object).await {
                Ok(tier) => return self.serve(&ask, it, stamp, tier),
                Err(error) => match Failure::of(error) {
                    Some(failure) => return Opened::Failed(failure),
                    None => {
                        self.memory.remove_object(&it.object);
                        stored = None;
                    }
                },
            }
        }
        if stored.is_none() && self.is_marked(&ask.key, now) {
            return self.pass(&ask).await;
        }
        match self.board(&ask, stored.clone(), stamp) {
            Boarding::Full => {
                METRICS.flights_refused.inc();
                match stored.filter(|stored| stored.may_stand_in(now)) {
                    Some(it) => Opened::Object(it.object, How::held(Outcome::Stale, Tier::Memory)),
                    None => Opened::Failed(Failure::Overloaded),
                }
            }
            Boarding::Lead(flight) => self.lead(&flight, &ask).await,
            Boarding::Join(flight) => {
                METRICS.collapsed.inc();
                self.join(&flight, &ask).await
            }
        }
    }

    /// Forgets what this node holds of a key; the purge log speaks for the others.
    pub fn forget(&self, key: &Key) -> bool {
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

    /// Serves what memory has, and has it refreshed where that is due.
    fn serve(self: &Arc<Self>, ask: &Ask, stored: &Stored, stamp: Stamp, tier: Tier) -> Opened {
        if stored.standing == Standing::Refresh {
            self.board(ask, Some(stored.clone()), stamp);
        }
        let how = match (stored.standing, tier) {
            (Standing::Fresh, Tier::Origin) => {
                How::fetched(Outcome::Miss, StatusCode::PARTIAL_CONTENT)
            }
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
        let reader = Reader::new(
            Arc::clone(self),
            Arc::clone(&ask.source),
            Arc::clone(object),
        );
        let tier = reader.arrive(first).await?;
        let head = object.head();
        // A purge may have come while the bytes did; the answer has not begun yet.
        if tier != Tier::Memory && !self.holds(head.subject()) {
            return Err(RunError::Abandoned);
        }
        Ok(tier)
    }

    /// Finds what memory holds of `key`, and how it stands.
    fn find(&self, key: &Key, now: UnixMillis) -> Option<Stored> {
        let object = self.memory.get(key)?;
        let stored = self.stand(Arc::clone(&object), now);
        if stored.is_none() {
            self.memory.remove_object(&object);
        }
        stored
    }

    /// Says how an object stands; `None` when a purge named it.
    pub(crate) fn stand(&self, object: Arc<Object>, now: UnixMillis) -> Option<Stored> {
        let version = self.purges.version();
        let head = object.head();
        let standing = if object.is_checked(version) {
            self.age_standing(&head, now)
        } else {
            let standing = self.standing(&head, now)?;
            if standing != Standing::Suspect {
                object.set_checked(version);
            }
            standing
        };
        let is_outage = standing != Standing::Fresh
            && standing != Standing::Suspect
            && object.is_held_off(now)
            && head.may_stand_in(now);
        let standing = if is_outage {
            Standing::Outage
        } else {
            standing
        };
        Some(Stored { object, standing })
    }

    /// Says how a response with this head stands; `None` when a purge named it.
    #[must_use]
    pub fn standing(&self, head: &Head, now: UnixMillis) -> Option<Standing> {
        match self.purges.verdict(head.subject()) {
            Verdict::Purged => None,
            Verdict::Suspect => Some(Standing::Suspect),
            Verdict::Softened if head.may_refresh_softened() => Some(Standing::Refresh),
            Verdict::Softened => Some(Standing::Expired),
            Verdict::Valid => Some(self.age_standing(head, now)),
        }
    }

    fn age_standing(&self, head: &Head, now: UnixMillis) -> Standing {
        if self.purges.must_revalidate() {
            Standing::Suspect
        } else if head.is_fresh(now) {
            Standing::Fresh
        } else if head.may_refresh(now) {
            Standing::Refresh
        } else {
            Standing::Expired
        }
    }

    /// Whether no hard purge concerns what was asked for at a stamp.
    #[must_use]
    pub fn holds(&self, subject: Subject<'_>) -> bool {
        self.purges.verdict(subject) != Verdict::Purged
    }

    /// Remembers until a moment that answers for `key` may not be shared.
    pub(crate) fn mark(&self, key: &Key, until: UnixMillis) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.set(key, until, clock::now());
    }

    /// Whether answers for `key` were found not to be shareable a moment ago.
    #[must_use]
    pub fn is_marked(&self, key: &Key, now: UnixMillis) -> bool {
        self.marks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .holds(key, now)
    }

    /// Joins the flight of a key or takes off with one.
    fn board(self: &Arc<Self>, ask: &Ask, stored: Option<Stored>, stamp: Stamp) -> Boarding {
        let version = self.purges.version();
        let holds = |stamp: &Stamp| self.holds(Subject::untagged(&ask.key, stamp));
        let boarding = self.flights.board(&ask.key, stamp, version, holds);
        if let Boarding::Lead(flight) = &boarding {
            let (engine, ask, flight) = (Arc::clone(self), ask.clone(), Arc::clone(flight));
            tokio::spawn(async move { engine.fly(&ask, stored, &flight).await });
        }
        boarding
    }

    /// Waits for a flight that this request began, and takes what it brought.
    async fn lead(self: &Arc<Self>, flight: &Flight, ask: &Ask) -> Opened {
        match flight.landing().await {
            Landing::Object(object, how) => Opened::Object(object, how),
            Landing::Failed(failure) => Opened::Failed(failure),
            Landing::Pass => match flight.take_stream() {
                Some(stream) => stream.into(),
                None => self.pass(ask).await,
            },
        }
    }

    /// Waits for a flight that another request began. Its stream answers that one's question,
    /// which may have been HEAD: whoever joined asks for itself.
    async fn join(self: &Arc<Self>, flight: &Flight, ask: &Ask) -> Opened {
        match flight.landing().await {
            Landing::Object(object, how) => Opened::Object(
                object,
                How {
                    collapsed: true,
                    ..how
                },
            ),
            Landing::Failed(failure) => Opened::Failed(failure),
            Landing::Pass => self.pass(ask).await,
        }
    }

    /// Asks the origin for this one request: its answers may not be shared.
    async fn pass(&self, ask: &Ask) -> Opened {
        let fetch = origin::Fetch {
            head_only: ask.head_only,
            path: ask.target.path.clone(),
            query: ask.target.query.clone(),
            cdn_loop: ask.cdn_loop.clone(),
            ..origin::Fetch::default()
        };
        match ask.source.origin.fetch(&fetch).await {
            Ok(reply) if reply.status.is_server_error() => {
                Opened::Failed(Failure::Status(reply.status.as_u16()))
            }
            Ok(reply) => Stream::from(reply).into(),
            Err(error) => Opened::Failed(error.into()),
        }
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
mod odd_tests;
#[cfg(test)]
mod tests;
