//! The way from Redis into memory: while a client reads, chunk by chunk.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;

use crate::cache::engine::{Ask, Engine, How, Source, Standing};
use crate::cache::fill::{pump, run_result};
use crate::cache::filler::Filler;
use crate::cache::flight::{Flight, Landing};
use crate::cache::object::{Object, RunError, Stretch, chunk_of};
use crate::cache::shared::Shared;
use crate::clock;
use crate::http::range::Wanted;
use crate::limits::{CHUNK_BYTES, REDIS_WINDOW, SLOT_CHUNKS, WHOLE_FILL_BYTES_MAX};
use crate::metrics::{FillResult, METRICS, Outcome, Tier};
use crate::origin::{Body, Error, Fetch, Origin, Pin};

impl Engine {
    /// Asks Redis for a key; what it has may stand in any way but purged.
    pub(crate) async fn recall(&self, ask: &Ask) -> Option<(Arc<Object>, Standing)> {
        let head = self.shared()?.head(&ask.key).await?;
        let object = self.object(ask, head, Tier::Redis).await.ok()?;
        let standing = self.standing(&object, clock::now())?;
        Some((object, standing))
    }

    /// Lands a flight with an object of Redis and brings its bytes; `false` when Redis has lost
    /// them, and the origin must be asked. Redis has been asked since `asked`.
    pub(crate) async fn promote(
        self: &Arc<Self>,
        ask: &Ask,
        object: &Arc<Object>,
        flight: &Arc<Flight>,
        asked: Instant,
    ) -> bool {
        let how = How::held(Outcome::Hit, Tier::Redis);
        let length = object.length().unwrap_or(0);
        let is_small = length.div_ceil(CHUNK_BYTES as u64) <= SLOT_CHUNKS
            && length <= self.memory().whole_fill_max();
        if !is_small || length == 0 {
            self.keep(object, flight);
            flight.land(Landing::Object(Arc::clone(object), how));
            return true;
        }
        let Some(first) = self.first_chunk(object, asked).await else {
            return false;
        };
        let span = Stretch {
            first: 0,
            end: Some(length),
        };
        let Some(mut filler) = Filler::claim(self.memory(), object, span) else {
            return false;
        };
        if filler.reserve().await.is_err() || filler.push_chunk(first).await.is_err() {
            return false;
        }
        flight.land(Landing::Object(Arc::clone(object), how));
        let brought = self
            .bring_rest(ask.source.origin.as_ref(), object, filler)
            .await;
        match brought {
            Ok(_) => self.keep(object, flight),
            Err(error) => {
                tracing::warn!(key = %ask.key, error = %error, "promotion from redis broke");
                METRICS.fills.of(run_result(&error)).inc();
            }
        }
        true
    }

    /// Begins to bring the block at `offset`, unless it is here or on its way.
    ///
    /// # Errors
    /// [`RunError::Abandoned`] when nothing pins the object's version: its bytes cannot be had
    /// again.
    pub fn bring(
        self: &Arc<Self>,
        source: &Arc<Source>,
        object: &Arc<Object>,
        offset: u64,
    ) -> Result<(), RunError> {
        let head = object.head();
        let (Some(length), Some(_)) = (head.length, head.pin()) else {
            return Err(RunError::Abandoned);
        };
        let span = Stretch::block(offset, length);
        let Some(filler) = Filler::claim(self.memory(), object, span) else {
            return Ok(());
        };
        let (engine, source, object) = (Arc::clone(self), Arc::clone(source), Arc::clone(object));
        tokio::spawn(async move { engine.fill_block(&source, &object, filler, span).await });
        Ok(())
    }

    async fn fill_block(
        self: &Arc<Self>,
        source: &Arc<Source>,
        object: &Arc<Object>,
        mut filler: Filler,
        span: Stretch,
    ) {
        let brought = match filler.reserve().await {
            Ok(()) => {
                self.bring_rest(source.origin.as_ref(), object, filler)
                    .await
            }
            Err(error) => Err(error),
        };
        match brought {
            Ok(from_origin) => {
                self.memory().insert_block(object, span);
                let head = object.head();
                if from_origin && self.holds(&head.key, &head.stamp) {
                    self.spill(object, span, false);
                }
                METRICS.fills.of(FillResult::Complete).inc();
            }
            Err(error) => {
                let key = object.head().key.clone();
                tracing::warn!(%key, first = span.first, error = %error, "block not brought");
                if error == RunError::Origin(Error::Changed) {
                    self.memory().remove_object(object);
                }
                METRICS.fills.of(run_result(&error)).inc();
            }
        }
    }

    /// Brings a run to its end: from Redis as far as it has the chunks, then from the origin.
    /// Says whether the origin was needed.
    async fn bring_rest(
        &self,
        origin: &dyn Origin,
        object: &Arc<Object>,
        mut filler: Filler,
    ) -> Result<bool, RunError> {
        let end = filler.end().or(object.length()).unwrap_or(0);
        if let Some(shared) = self.shared().filter(|_| object.is_in_redis()) {
            bring_from_redis(shared, object, &mut filler, end).await?;
        }
        let from_origin = filler.reached() < end;
        if from_origin && let Err(error) = bring_from_origin(origin, object, &mut filler, end).await
        {
            filler.fail(&error);
            return Err(error);
        }
        filler.finish()?;
        Ok(from_origin)
    }

    async fn first_chunk(&self, object: &Object, asked: Instant) -> Option<Bytes> {
        self.shared()?.first_chunk(&object.head(), asked).await
    }
}

async fn bring_from_redis(
    shared: &Arc<Shared>,
    object: &Object,
    filler: &mut Filler,
    end: u64,
) -> Result<(), RunError> {
    let head = object.head();
    let indexes = chunk_of(filler.reached())..=chunk_of(end.saturating_sub(1));
    if filler.reached() >= end {
        return Ok(());
    }
    let mut chunks = stream::iter(indexes)
        .map(|index| {
            let (shared, head) = (Arc::clone(shared), Arc::clone(&head));
            async move { shared.chunk(&head, index).await }
        })
        .buffered(REDIS_WINDOW);
    while let Some(Some(chunk)) = chunks.next().await {
        filler.push_chunk(chunk).await?;
    }
    Ok(())
}

/// Fetches what is missing of a run, of the pinned version only.
async fn bring_from_origin(
    origin: &dyn Origin,
    object: &Object,
    filler: &mut Filler,
    end: u64,
) -> Result<(), RunError> {
    let head = object.head();
    let fetch = Fetch {
        path: object.target().path.clone(),
        query: object.target().query.clone(),
        range: Some(Wanted::Span(filler.reached(), end - 1)),
        pin: head.pin(),
        ..Fetch::default()
    };
    let reply = origin.fetch(&fetch).await?;
    match (reply.status, reply.span) {
        (http::StatusCode::PARTIAL_CONTENT, Some(_)) => pump(reply.body, filler).await,
        (http::StatusCode::OK, _) if same_length(&head.pin(), head.length) => {
            skip_to(reply.body, filler, end).await
        }
        _ => Err(RunError::Origin(Error::Changed)),
    }
}

/// Whether a whole answer is small enough to be read for a part of it.
fn same_length(pin: &Option<Pin>, length: Option<u64>) -> bool {
    pin.is_some() && length.is_some_and(|length| length <= WHOLE_FILL_BYTES_MAX)
}

/// Takes a stretch out of a whole body, for an origin that knows no ranges.
async fn skip_to(mut body: Box<dyn Body>, filler: &mut Filler, end: u64) -> Result<(), RunError> {
    let mut at = 0;
    while let Some(piece) = body.piece().await? {
        let from = filler.reached().saturating_sub(at).min(piece.len() as u64);
        let to = end.saturating_sub(at).min(piece.len() as u64);
        at += piece.len() as u64;
        if from < to {
            let (from, to) = (usize::try_from(from), usize::try_from(to));
            if let (Ok(from), Ok(to)) = (from, to) {
                filler.push(piece.slice(from..to)).await?;
            }
        }
        if filler.reached() >= end {
            return Ok(());
        }
    }
    Ok(())
}
