//! The adapter that lets Pingora serve what the engine opened.
//!
//! To Pingora every answer is a cache hit: `hooks` opens the object before Pingora's cache runs and
//! puts it into the key; [`Adapter`] takes it out again. Pingora adds ranges, HTTP/1.1, HTTP/2
//! and keep-alive. Nothing is ever filled, purged or looked up here.
//!
//! Invariant: a body that breaks ends in an error, upon which Pingora closes an HTTP/1.1 connection
//! short of its length or last chunk, and resets an HTTP/2 stream: never an `END_STREAM`.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::Extensions;
use pingora::cache::storage::{
    HandleHit, HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage,
};
use pingora::cache::trace::SpanHandle;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, OrErr};

use crate::cache::reader::Reader;
use crate::clock;
use crate::limits::CHUNK_BYTES;
use crate::metrics::{Closed, METRICS};
use crate::origin;
use crate::proxy::pace::Pace;

/// The storage that Pingora's cache is enabled with.
pub(super) static ADAPTER: Adapter = Adapter;

/// How long Pingora is told that an answer is fresh: freshness was decided by the engine.
const FRESH: Duration = Duration::from_secs(86_400);

/// Where an answer's bytes come from.
pub(super) enum Bytestream {
    /// A stored object: any part of it, any number of times.
    Object(Reader),
    /// An answer that may not be stored: once, from the start.
    Once(Box<dyn origin::Body>),
    /// As `Once`, behind the pieces that were taken from it already.
    Begun(VecDeque<Bytes>, Box<dyn origin::Body>),
    /// Bytes made for this one request.
    Made(Bytes),
    /// Nothing, whatever was announced: the answer has no body by its status.
    Nothing,
}

/// An opened answer on its way through Pingora's cache key.
pub(super) struct Handoff {
    /// Status and headers as stored, with Content-Length where the length is known.
    pub(super) header: ResponseHeader,
    /// Age of the answer.
    pub(super) age: Duration,
    /// Its body.
    pub(super) body: Bytestream,
    /// Least speed of the client, in bytes a second.
    pub(super) min_send_rate: u64,
}

/// `Extensions` wants what is in them to be cloned, a handoff is taken once.
#[derive(Clone)]
struct Slot(Arc<Mutex<Option<Handoff>>>);

/// Makes the key under which [`Adapter`] finds `handoff`.
pub(super) fn key(handoff: Handoff) -> CacheKey {
    let mut key = CacheKey::new(Vec::new(), String::new());
    // Pingora hashes the key for its lock, predictor and eviction, all of which are off.
    key.set_primary_bin_override([0; 16]);
    key.extensions
        .insert(Slot(Arc::new(Mutex::new(Some(handoff)))));
    key
}

fn take(extensions: &Extensions) -> Option<Handoff> {
    let slot = extensions.get::<Slot>()?;
    let mut slot = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
    slot.take()
}

/// See the module.
pub(super) struct Adapter;

#[async_trait]
impl Storage for Adapter {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _trace: &SpanHandle,
    ) -> pingora::Result<Option<(CacheMeta, HitHandler)>> {
        let Some(handoff) = take(&key.extensions) else {
            return Ok(None);
        };
        let now = clock::now();
        let created = now.before(handoff.age).to_system_time();
        let fresh_until = now.after(FRESH).to_system_time();
        let meta = CacheMeta::new(fresh_until, created, 0, 0, handoff.header);
        let hit = Hit {
            body: handoff.body,
            rest: Bytes::new(),
            pace: Pace::new(handoff.min_send_rate),
        };
        Ok(Some((meta, Box::new(hit))))
    }

    async fn get_miss_handler(
        &'static self,
        _key: &CacheKey,
        _meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> pingora::Result<MissHandler> {
        Error::e_explain(ErrorType::InternalError, "the engine fills, not Pingora")
    }

    async fn purge(
        &'static self,
        _target: PurgeTarget<'_>,
        _kind: PurgeType,
        _trace: &SpanHandle,
    ) -> pingora::Result<PurgeOutcome> {
        Ok(PurgeOutcome::NotFound)
    }

    async fn update_meta(
        &'static self,
        _key: &CacheKey,
        _meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> pingora::Result<bool> {
        Ok(false)
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// One answer being sent.
struct Hit {
    body: Bytestream,
    /// What is left of a piece that was too large to be written under one deadline.
    rest: Bytes,
    pace: Pace,
}

impl Hit {
    async fn next(&mut self) -> pingora::Result<Option<Bytes>> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        match &mut self.body {
            Bytestream::Object(reader) => reader.next().await.or_err(BROKEN, "reading an object"),
            Bytestream::Once(body) => body.piece().await.or_err(BROKEN, "reading an answer"),
            Bytestream::Begun(taken, body) => match taken.pop_front() {
                Some(piece) => Ok(Some(piece)),
                None => body.piece().await.or_err(BROKEN, "reading an answer"),
            },
            Bytestream::Made(bytes) => Ok(Some(std::mem::take(bytes)).filter(|it| !it.is_empty())),
            Bytestream::Nothing => Ok(None),
        }
    }
}

/// The body ended early; the client must see that.
pub(super) const BROKEN: ErrorType = ErrorType::Custom("BodyBroken");

/// The client takes less than it must.
pub(super) const LAGGARD: ErrorType = ErrorType::Custom("ClientTooSlow");

#[async_trait]
impl HandleHit for Hit {
    async fn read_body(&mut self) -> pingora::Result<Option<Bytes>> {
        if self.pace.taken(Instant::now()).is_err() {
            METRICS.connections_closed.of(Closed::Slow).inc();
            return Error::e_explain(LAGGARD, "below the least rate");
        }
        let mut piece = self.next().await?;
        if let Some(piece) = piece.as_mut() {
            if piece.len() > CHUNK_BYTES {
                self.rest = piece.split_off(CHUNK_BYTES);
            }
            self.pace.given(piece.len(), Instant::now());
        }
        Ok(piece)
    }

    async fn finish(
        self: Box<Self>,
        _storage: &'static (dyn Storage + Sync),
        _key: &CacheKey,
        _trace: &SpanHandle,
    ) -> pingora::Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        matches!(self.body, Bytestream::Object(_))
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> pingora::Result<()> {
        let Bytestream::Object(reader) = &mut self.body else {
            return Error::e_explain(ErrorType::InternalError, "seek in a one-shot body");
        };
        let offset = |at: usize| u64::try_from(at).unwrap_or(u64::MAX);
        self.rest = Bytes::new();
        reader.seek(offset(start), end.map(offset));
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}
