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

use http::{HeaderMap, StatusCode};

use crate::asset;
use crate::cache::flight::{Boarding, Flight, Flights, Landing, Stream};
use crate::cache::marks::Marks;
use crate::cache::memory::Memory;
use crate::cache::object::{Object, Target};
use crate::cache::shared::Shared;
use crate::clock::{self, UnixMillis};
use crate::config;
use crate::http::range::Wanted;
use crate::key::Key;
use crate::metrics::{METRICS, Outcome, Tier};
use crate::origin::{self, Body, Origin};
use crate::purge::log::Purges;
use crate::purge::{Stamp, Verdict};

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

/// How a stored object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be served.
    Fresh,
    /// It may be served while it is refreshed.
    Refresh,
    /// It must be confirmed first, and may be served when the origin fails.
    Expired,
    /// It may be served, since the origin failed to confirm it a moment ago.
    Outage,
    /// It must be confirmed first; a purge may have named it.
    Suspect,
}

impl Standing {
    /// The standing as explanations spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Refresh => "refresh",
            Self::Expired => "expired",
            Self::Outage => "outage",
            Self::Suspect => "suspect",
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
        let stored = self.find(&ask.key, now);
        match &stored {
            Some((object, Standing::Fresh)) => {
                let how = How::held(Outcome::Hit, Tier::Memory);
                return Opened::Object(Arc::clone(object), how);
            }
            Some((object, Standing::Refresh)) => {
                let how = How::held(Outcome::Stale, Tier::Memory);
                let opened = Opened::Object(Arc::clone(object), how);
                self.board(&ask, stored);
                return opened;
            }
            Some((object, Standing::Outage)) => {
                let how = How::held(Outcome::Stale, Tier::Memory);
                return Opened::Object(Arc::clone(object), how);
            }
            Some((_, Standing::Expired | Standing::Suspect)) | None => {}
        }
        if stored.is_none() && self.is_marked(&ask.key, now) {
            return self.pass(&ask).await;
        }
        match self.board(&ask, stored) {
            Boarding::Full => {
                METRICS.flights_refused.inc();
                Opened::Failed(Failure::Overloaded)
            }
            Boarding::Lead(flight) => self.disembark(&flight, &ask, false).await,
            Boarding::Join(flight) => {
                METRICS.collapsed.inc();
                self.disembark(&flight, &ask, true).await
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

    /// Finds what memory holds of `key`, and how it stands.
    fn find(&self, key: &Key, now: UnixMillis) -> Option<(Arc<Object>, Standing)> {
        let object = self.memory.get(key)?;
        let Some(standing) = self.standing(&object, now) else {
            self.memory.remove_object(&object);
            return None;
        };
        Some((object, standing))
    }

    /// Says how an object stands; `None` when a purge named it.
    #[must_use]
    pub fn standing(&self, object: &Object, now: UnixMillis) -> Option<Standing> {
        let version = self.purges.version();
        let head = object.head();
        if !object.is_checked(version) {
            match self.purges.verdict(&head.key, &head.stamp) {
                Verdict::Purged => return None,
                Verdict::Suspect => return Some(Standing::Suspect),
                Verdict::Valid => object.set_checked(version),
            }
        }
        if self.purges.must_revalidate() {
            return Some(Standing::Suspect);
        }
        Some(if head.is_fresh(now) {
            Standing::Fresh
        } else if object.is_held_off(now) && head.may_stand_in(now) {
            Standing::Outage
        } else if head.may_refresh(now) {
            Standing::Refresh
        } else {
            Standing::Expired
        })
    }

    /// Whether a stamp still holds.
    #[must_use]
    pub fn holds(&self, key: &Key, stamp: &Stamp) -> bool {
        self.purges.verdict(key, stamp) != Verdict::Purged
    }

    /// Remembers that answers for `key` may not be shared.
    pub(crate) fn mark(&self, key: &Key, now: UnixMillis) {
        self.marks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .set(key, now);
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
    fn board(self: &Arc<Self>, ask: &Ask, stored: Option<(Arc<Object>, Standing)>) -> Boarding {
        let stamp = self.purges.stamp();
        let boarding = self
            .flights
            .board(&ask.key, stamp, |stamp| self.holds(&ask.key, stamp));
        if let Boarding::Lead(flight) = &boarding {
            let (engine, ask, flight) = (Arc::clone(self), ask.clone(), Arc::clone(flight));
            tokio::spawn(async move { engine.fly(&ask, stored, &flight).await });
        }
        boarding
    }

    /// Waits for a flight and takes what it brought.
    async fn disembark(self: &Arc<Self>, flight: &Flight, ask: &Ask, joined: bool) -> Opened {
        match flight.landing().await {
            Landing::Object(object, how) => Opened::Object(
                object,
                How {
                    collapsed: joined,
                    ..how
                },
            ),
            Landing::Failed(failure) => Opened::Failed(failure),
            Landing::Pass => match flight.take_stream() {
                Some(stream) => stream.into(),
                None => self.pass(ask).await,
            },
        }
    }

    /// Asks the origin for this one request: its answers may not be shared.
    async fn pass(&self, ask: &Ask) -> Opened {
        let fetch = origin::Fetch {
            head_only: ask.head_only,
            path: ask.target.path.clone(),
            query: ask.target.query.clone(),
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
mod tests;
