//! The way from Redis into memory: while a client reads, chunk by chunk.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use http::StatusCode;
use tokio::time::Instant;

use crate::cache::ask::{Ask, Supply};
use crate::cache::engine::Engine;
use crate::cache::fill::run_result;
use crate::cache::filler::Filler;
use crate::cache::flight::{Flight, Landing};
use crate::cache::head::Head;
use crate::cache::intake::pump;
use crate::cache::object::{Object, RunError, Stretch, chunk_of};
use crate::cache::opened::How;
use crate::cache::plan::content_length;
use crate::cache::shared::Shared;
use crate::cache::stored::Stored;
use crate::clock;
use crate::http::range::Wanted;
use crate::http::vary::Selection;
use crate::key::Key;
use crate::limits::{CHUNK_BYTES, REDIS_WINDOW, SLOT_CHUNKS, WHOLE_FILL_BYTES_MAX};
use crate::metrics::{FillResult, METRICS, Outcome, Tier};
use crate::origin::{Body, Error, Fetch};

/// What Redis has under a key.
pub(crate) enum Recalled {
    /// Nothing of use.
    Nothing,
    /// A copy that answers the request.
    Stored(Stored),
    /// A variant that does not; others differ from it by these fields.
    Other(Arc<Selection>),
}

impl Engine {
    /// Reads what Redis knows of a key.
    pub(crate) async fn recorded(&self, key: &Key) -> Option<Head> {
        self.shared()?.head(key).await
    }

    /// Reads what Redis knows of a key, or of the first variant where it knows nothing of another:
    /// which one was the first may be known to other nodes only.
    async fn recorded_for(&self, key: &Key) -> Option<Head> {
        // No room is made for what a purge has named.
        let holds = |head: &Head| self.standing(head, clock::now()).is_some();
        let recorded = self.recorded(key).await.filter(holds);
        let primary = key.primary_key();
        if recorded.is_some() || !key.is_variant() || self.memory().look(&primary).is_some() {
            return recorded;
        }
        self.recorded(&primary).await.filter(holds)
    }

    /// Asks Redis for a key; what it has may stand in any way but purged.
    pub(crate) async fn recall(&self, ask: &Ask) -> Recalled {
        let Some(head) = self.recorded_for(&ask.key).await else {
            return Recalled::Nothing;
        };
        match &head.selection {
            Some(selection) if !selection.suits(&ask.fields) => {
                return Recalled::Other(Arc::clone(selection));
            }
            _ => {}
        }
        let Ok(object) = self.object(ask, head, Tier::Redis).await else {
            return Recalled::Nothing;
        };
        let stored = self.stand(object, clock::now());
        stored.map_or(Recalled::Nothing, Recalled::Stored)
    }

    /// Lands a flight with an object of Redis and brings its bytes; `None` when Redis has lost
    /// them, and the origin must be asked. Redis has been asked since `asked`.
    pub(crate) async fn promote(
        self: &Arc<Self>,
        ask: &Ask,
        object: &Arc<Object>,
        flight: &Arc<Flight>,
        asked: Instant,
    ) -> Option<FillResult> {
        let landing = Landing::Object(Arc::clone(object), How::held(Outcome::Hit, Tier::Redis));
        let length = object.length()?;
        let is_small = length.div_ceil(CHUNK_BYTES as u64) <= SLOT_CHUNKS
            && length <= self.memory().whole_fill_max();
        let is_pinned = object.head().pin().is_some();
        if length == 0 || (!is_small && is_pinned) {
            self.keep(object, flight);
            flight.land(landing);
            return Some(FillResult::Complete);
        }
        let mut filler = Filler::first(
            self.memory(),
            object,
            Stretch {
                first: 0,
                end: Some(length),
            },
        );
        filler.reserve().await.ok()?;
        let first = self.shared()?.first_chunk(&object.head(), asked).await?;
        filler.push_chunk(first).await.ok()?;
        if is_pinned {
            flight.land(landing.clone());
        }
        match self.bring_rest(&ask.supply(), object, filler).await {
            Ok(_) => {
                self.keep(object, flight);
                flight.land(landing);
                Some(FillResult::Complete)
            }
            // Without a pin nobody was told of it yet: what Redis has lost, the origin has anew.
            Err(_) if !is_pinned => None,
            Err(error) => {
                tracing::warn!(key = %ask.key, error = %error, "promotion from redis broke");
                self.abandon(object, &error).await;
                Some(run_result(&error))
            }
        }
    }

    /// Takes back an object of which the origin has another version by now. Redis would bring the
    /// old head back with each request.
    async fn abandon(&self, object: &Arc<Object>, error: &RunError) {
        if *error == RunError::Origin(Error::Changed) {
            self.withdraw(object).await;
        }
    }

    /// Begins to bring the block at `offset`, unless it is here or on its way.
    ///
    /// # Errors
    /// [`RunError::Abandoned`] when nothing pins the object's version: its bytes cannot be had
    /// again.
    pub fn bring(
        self: &Arc<Self>,
        supply: &Supply,
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
        let (engine, supply, object) = (Arc::clone(self), supply.clone(), Arc::clone(object));
        tokio::spawn(async move { engine.fill_block(&supply, &object, filler, span).await });
        Ok(())
    }

    async fn fill_block(
        self: &Arc<Self>,
        supply: &Supply,
        object: &Arc<Object>,
        mut filler: Filler,
        span: Stretch,
    ) {
        let brought = match filler.reserve().await {
            Ok(()) => self.bring_rest(supply, object, filler).await,
            Err(error) => Err(error),
        };
        let result = match brought {
            Ok(Tier::Origin) => self.settle(object, span, false),
            Ok(Tier::Memory | Tier::Redis | Tier::None) => {
                self.memory().insert_block(object, span);
                FillResult::Complete
            }
            Err(error) => {
                let key = object.head().key.clone();
                tracing::warn!(%key, first = span.first, error = %error, "block not brought");
                self.abandon(object, &error).await;
                run_result(&error)
            }
        };
        METRICS.fills.of(result).inc();
    }

    /// Brings a run to its end: from Redis as far as it has the chunks, then from the origin.
    /// Says which of them was needed last.
    async fn bring_rest(
        &self,
        supply: &Supply,
        object: &Arc<Object>,
        mut filler: Filler,
    ) -> Result<Tier, RunError> {
        let brought = self.bring_bytes(supply, object, &mut filler).await;
        match brought {
            Ok(tier) => filler.finish().map(|_| tier),
            Err(error) => {
                filler.fail(&error);
                Err(error)
            }
        }
    }

    async fn bring_bytes(
        &self,
        supply: &Supply,
        object: &Arc<Object>,
        filler: &mut Filler,
    ) -> Result<Tier, RunError> {
        let end = filler.end().or(object.length()).unwrap_or(0);
        if let Some(shared) = self.shared().filter(|_| object.is_in_redis()) {
            bring_from_redis(shared, object, filler, end).await?;
        }
        if filler.reached() >= end {
            return Ok(Tier::Redis);
        }
        filler.turn_to(Tier::Origin);
        bring_from_origin(supply, object, filler, end).await?;
        Ok(Tier::Origin)
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
    supply: &Supply,
    object: &Object,
    filler: &mut Filler,
    end: u64,
) -> Result<(), RunError> {
    let head = object.head();
    let Some(pin) = head.pin() else {
        return Err(RunError::Origin(Error::Changed));
    };
    let fetch = Fetch {
        path: object.target().path.clone(),
        query: object.target().query.clone(),
        range: Some(Wanted::Span(filler.reached(), end - 1)),
        pin: Some(pin),
        fields: Some(Arc::clone(&supply.fields)),
        ..Fetch::default()
    };
    let reply = supply.source.origin.fetch(&fetch).await?;
    // A tag that is the same over another length would be a lie; the length is compared as well.
    match (reply.status, reply.span) {
        (StatusCode::PARTIAL_CONTENT, Some(span)) if Some(span.total) == head.length => {
            pump(reply.body, filler).await
        }
        (StatusCode::OK, None)
            if content_length(&reply.headers) == head.length
                && head
                    .length
                    .is_some_and(|length| length <= WHOLE_FILL_BYTES_MAX) =>
        {
            skip_to(reply.body, filler, end).await
        }
        _ => Err(RunError::Origin(Error::Changed)),
    }
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
