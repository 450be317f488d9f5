//! Single flight: one opening of an object at a time, joined by everyone who asks meanwhile.
//!
//! ```text
//!   boarding ──► landed: Object ──► (the body still comes) ──► gone from the table
//!        │  ├──► landed: Pass       the first passenger takes the stream, the others ask alone
//!        │  ├──► landed: Partial    likewise, but the others take off together
//!        │  └──► landed: Elsewhere  everyone asks anew, each for its variant
//!        └─────► landed: Failed     everyone fails together, at once
//! ```
//! Whoever a landed object does not suit, since it is another variant or was purged meanwhile, asks
//! anew as well. A flight that a purge has overtaken is boarded by nobody any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, StatusCode};
use tokio::sync::watch;

use crate::cache::object::Object;
use crate::cache::opened::{Failure, How};
use crate::key::Key;
use crate::limits::{FLIGHTS_MAX, FLIGHTS_PER_SITE_MAX};
use crate::origin::{self, Body};
use crate::purge::Stamp;

/// An opening under way.
pub struct Flight {
    stamp: Stamp,
    /// Version of the purge table that the stamp was last checked against.
    checked: AtomicU64,
    joined: AtomicUsize,
    landed: watch::Sender<Option<Landing>>,
    stream: Mutex<Option<Stream>>,
    /// Fields of the origin's answer that are for the first passenger alone.
    own: Mutex<HeaderMap>,
}

/// What an opening came to.
#[derive(Clone)]
pub enum Landing {
    /// An object that everyone may read.
    Object(Arc<Object>, How),
    /// An answer that may not be shared.
    Pass,
    /// Nothing.
    Failed(Failure),
    /// The stored copy is another variant; by now it is known by which fields they differ.
    Elsewhere,
    /// An answer without the bytes that others want, to HEAD or to a part. One of them asks for all.
    Partial,
}

/// An answer for one reader.
pub struct Stream {
    /// Status as the origin sent it.
    pub status: StatusCode,
    /// End-to-end headers as the origin sent them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Box<dyn Body>,
}

impl From<origin::Reply> for Stream {
    fn from(mut reply: origin::Reply) -> Self {
        reply.body.pass();
        Self {
            status: reply.status,
            headers: reply.headers,
            body: reply.body,
        }
    }
}

impl Flight {
    /// A flight that is in no table: nobody joins it.
    #[must_use]
    pub fn new(stamp: Stamp, version: u64) -> Arc<Self> {
        Arc::new(Self {
            stamp,
            checked: AtomicU64::new(version),
            joined: AtomicUsize::new(0),
            landed: watch::Sender::new(None),
            stream: Mutex::default(),
            own: Mutex::default(),
        })
    }

    fn holds(&self, version: u64, holds: impl Fn(&Stamp) -> bool) -> bool {
        let is_known = self.checked.load(Ordering::Relaxed) == version;
        if !is_known && holds(&self.stamp) {
            self.checked.store(version, Ordering::Relaxed);
            return true;
        }
        is_known
    }

    /// Where the purge log stood before anyone was asked.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// How many joined.
    #[must_use]
    pub fn joined(&self) -> usize {
        self.joined.load(Ordering::Relaxed)
    }

    /// Tells everyone what it came to; the first word counts.
    pub fn land(&self, landing: Landing) {
        self.landed.send_if_modified(|landed| {
            let is_first = landed.is_none();
            if is_first {
                *landed = Some(landing);
            }
            is_first
        });
    }

    /// Lands with an answer that the first passenger takes; the others are told `landing`.
    pub fn land_stream(&self, stream: Stream, landing: Landing) {
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        self.land(landing);
    }

    /// Lays aside, before the landing, what the first passenger alone is given of the answer.
    pub fn set_own(&self, own: HeaderMap) {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = own;
    }

    /// Takes what was laid aside.
    #[must_use]
    pub fn take_own(&self) -> HeaderMap {
        std::mem::take(&mut *self.own.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the stream, when it is still there.
    #[must_use]
    pub fn take_stream(&self) -> Option<Stream> {
        self.stream
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The object that it has landed with.
    #[must_use]
    pub fn landed(&self) -> Option<Arc<Object>> {
        match &*self.landed.borrow() {
            Some(Landing::Object(object, _)) => Some(Arc::clone(object)),
            _ => None,
        }
    }

    /// Waits for the landing.
    pub async fn landing(&self) -> Landing {
        let mut landed = self.landed.subscribe();
        let landing = landed
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|l| l.clone());
        landing.unwrap_or(Landing::Failed(Failure::Origin(origin::Error::Down)))
    }
}

/// The flights under way.
#[derive(Default)]
pub struct Flights {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_key: HashMap<Key, Arc<Flight>>,
    /// How many each site has, so that one whose origin hangs leaves room for the others.
    by_site: HashMap<Box<str>, usize>,
}

impl Table {
    fn is_full(&self, site: &str) -> bool {
        let of_site = self.by_site.get(site).copied().unwrap_or(0);
        self.by_key.len() >= FLIGHTS_MAX || of_site >= FLIGHTS_PER_SITE_MAX
    }

    fn insert(&mut self, key: &Key, flight: &Arc<Flight>) {
        let old = self.by_key.insert(key.clone(), Arc::clone(flight));
        if old.is_none() {
            *self.by_site.entry(key.site().into()).or_default() += 1;
        }
    }

    fn remove(&mut self, key: &Key) {
        self.by_key.remove(key);
        if let Some(count) = self.by_site.get_mut(key.site()) {
            *count = count.saturating_sub(1);
        }
    }
}

/// How a request came to its flight.
pub enum Boarding {
    /// It is the first and must fly it.
    Lead(Arc<Flight>),
    /// The flight was under way.
    Join(Arc<Flight>),
    /// There are too many flights.
    Full,
}

impl Flights {
    /// Boards the flight of `key`. One whose stamp no longer `holds`, since a purge came, is
    /// replaced: who asks after a purge must not be given what was asked for before it.
    ///
    /// A stamp is looked at once for each `version` of the purge table.
    pub fn board(
        &self,
        key: &Key,
        stamp: Stamp,
        version: u64,
        holds: impl Fn(&Stamp) -> bool,
    ) -> Boarding {
        let mut table = self.lock();
        if let Some(flight) = table
            .by_key
            .get(key)
            .filter(|flight| flight.holds(version, holds))
        {
            flight.joined.fetch_add(1, Ordering::Relaxed);
            return Boarding::Join(Arc::clone(flight));
        }
        if table.is_full(key.site()) {
            return Boarding::Full;
        }
        let flight = Flight::new(stamp, version);
        table.insert(key, &flight);
        Boarding::Lead(flight)
    }

    /// Whether there is a flight of `key`.
    #[must_use]
    pub fn is_under_way(&self, key: &Key) -> bool {
        self.lock().by_key.contains_key(key)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().by_key.len()
    }

    /// The flight of `key`, where there is one.
    #[must_use]
    pub fn of(&self, key: &Key) -> Option<Arc<Flight>> {
        self.lock().by_key.get(key).map(Arc::clone)
    }

    /// Takes a flight from the table, unless another took its place.
    pub fn end(&self, key: &Key, flight: &Arc<Flight>) {
        let mut table = self.lock();
        let known = table.by_key.get(key);
        if known.is_some_and(|other| Arc::ptr_eq(other, flight)) {
            table.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_whose_origin_hangs_leaves_room_for_the_others() {
        let flights = Flights::default();
        let board = |site: &str, n: usize| {
            let key = Key::new(site, &format!("/{n}"), None);
            flights.board(&key, Stamp::default(), 1, |_| true)
        };
        let mut led = Vec::new();
        for n in 0..FLIGHTS_PER_SITE_MAX {
            match board("hangs", n) {
                Boarding::Lead(flight) => led.push(flight),
                Boarding::Join(_) | Boarding::Full => panic!("flight {n} not led"),
            }
        }
        assert!(matches!(board("hangs", usize::MAX), Boarding::Full));
        assert!(matches!(board("hangs", 0), Boarding::Join(_)));
        assert!(matches!(board("other", 0), Boarding::Lead(_)));
        flights.end(&Key::new("hangs", "/0", None), &led[0]);
        assert!(matches!(board("hangs", 0), Boarding::Lead(_)));
    }
}
