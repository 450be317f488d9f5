//! One version of an object in memory: its head, the chunks that are here, the runs that bring more.
//!
//! A *run* is a stretch of consecutive bytes on its way in from Redis or the origin: the whole
//! object, or one block of a big one. Readers see a run's bytes as they arrive (its tail); a full
//! chunk becomes one shared allocation that holds its part of the byte budget.
//!
//! Invariants: all bytes here belong to one version ([`Head::generation`]). A run that fails takes
//! its bytes with it and ends the readers that wait for it with an error; a reader that was busy
//! elsewhere finds the bytes absent and has them fetched again, of the same version or not at all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::watch;

use crate::cache::budget::Permit;
use crate::cache::head::Head;
use crate::cache::policy::Heat;
use crate::clock::UnixMillis;
use crate::limits::{BLOCK_BYTES, BLOCK_CHUNKS, CHUNK_BYTES, TAIL_PIECES_MAX};
use crate::metrics::Tier;
use crate::origin;

/// Where more of an object is fetched from, below its origin's base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Canonical path with its leading slash.
    pub path: String,
    /// Canonical query, where the site keeps it.
    pub query: Option<String>,
}

/// One version of an object.
pub struct Object {
    target: Target,
    tier: Tier,
    head: RwLock<Arc<Head>>,
    /// Version of the purge table that the stamp was last checked against; 0 is never.
    checked: AtomicU64,
    /// Whether Redis holds chunks of this generation.
    in_redis: AtomicBool,
    /// Until when the origin is not asked again after it failed, in milliseconds of the clock.
    asked_again_at: AtomicU64,
    body: Mutex<Body>,
    _overhead: Permit,
}

#[derive(Default)]
struct Body {
    chunks: BTreeMap<u64, Chunk>,
    runs: Vec<Run>,
    runs_begun: u64,
}

struct Chunk {
    bytes: Bytes,
    /// Heat of the block that the chunk belongs to, when the block is evicted by itself.
    heat: Option<Arc<Heat>>,
}

struct Run {
    id: RunId,
    span: Stretch,
    /// Offset behind the last byte received.
    reached: u64,
    /// Pieces since the last full chunk, with their offsets.
    tail: Vec<(u64, Bytes)>,
    progress: watch::Sender<Progress>,
}

/// Names a run of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId(u64);

/// Bytes that a run brings: from `first` up to `end`, which is unknown for a chunked answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Offset of the first byte; a chunk begins there.
    pub first: u64,
    /// Offset behind the last byte.
    pub end: Option<u64>,
}

/// What waiting readers are told of a run.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The tier that the bytes come from.
    pub tier: Tier,
    /// Set once, when the run is over.
    pub ended: Option<Result<(), RunError>>,
}

/// Why a run did not bring its bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The origin failed.
    #[error(transparent)]
    Origin(#[from] origin::Error),
    /// The byte budget had no room in time.
    #[error("no room in memory")]
    NoRoom,
    /// The origin sent more or fewer bytes than it announced.
    #[error("{got} bytes came where {announced} were announced")]
    Length {
        /// Bytes that came.
        got: u64,
        /// Bytes announced.
        announced: u64,
    },
    /// An answer of unknown length grew beyond what one object may fill.
    #[error("the object grew beyond what is stored")]
    TooLarge,
    /// The task that brought it was stopped.
    #[error("the fill was abandoned")]
    Abandoned,
}

/// What an object can give at an offset.
pub enum Peek {
    /// Bytes from that offset on, at least one.
    Bytes(Bytes),
    /// The offset is the object's end.
    End,
    /// A run will bring them; look again when it moves.
    Wait(watch::Receiver<Progress>),
    /// They are not here and nothing brings them.
    Absent,
}

impl Object {
    /// Makes an object without bytes. `overhead` stands for what it costs beside them.
    #[must_use]
    pub fn new(head: Head, target: Target, tier: Tier, overhead: Permit) -> Arc<Self> {
        Arc::new(Self {
            target,
            tier,
            head: RwLock::new(Arc::new(head)),
            checked: AtomicU64::new(0),
            in_redis: AtomicBool::new(tier == Tier::Redis),
            asked_again_at: AtomicU64::new(0),
            body: Mutex::default(),
            _overhead: overhead,
        })
    }

    /// The head as it stands now; a 304 or the end of a chunked fill replaces it.
    #[must_use]
    pub fn head(&self) -> Arc<Head> {
        Arc::clone(&self.head.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the head; its generation must be the same.
    pub fn set_head(&self, head: Head) {
        self.amend(|old| *old = head);
    }

    /// Changes the head; its generation must stay.
    pub fn amend(&self, change: impl FnOnce(&mut Head)) {
        let mut shared = self.head.write().unwrap_or_else(PoisonError::into_inner);
        let mut head = (**shared).clone();
        change(&mut head);
        *shared = Arc::new(head);
        self.checked.store(0, Ordering::Release);
    }

    /// Length of the whole object in bytes, once known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.head().length
    }

    /// Where more of it is fetched.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The tier that this copy came from.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Whether the stamp was checked against this version of the purge table.
    #[must_use]
    pub fn is_checked(&self, version: u64) -> bool {
        self.checked.load(Ordering::Acquire) == version
    }

    /// Remembers that the stamp held against this version of the purge table.
    pub fn set_checked(&self, version: u64) {
        self.checked.store(version, Ordering::Release);
    }

    /// Spares the origin questions about this object until `then`, since it failed.
    pub fn hold_off(&self, then: UnixMillis) {
        self.asked_again_at.store(then.0, Ordering::Relaxed);
    }

    /// Whether the origin failed so lately that it is not asked again.
    #[must_use]
    pub fn is_held_off(&self, now: UnixMillis) -> bool {
        now.0 < self.asked_again_at.load(Ordering::Relaxed)
    }

    /// Whether asking Redis for chunks makes sense.
    #[must_use]
    pub fn is_in_redis(&self) -> bool {
        self.in_redis.load(Ordering::Relaxed)
    }

    /// Notes that Redis has, or has not, chunks of this generation.
    pub fn set_in_redis(&self, there: bool) {
        self.in_redis.store(there, Ordering::Relaxed);
    }

    /// Whether every byte is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let Some(length) = self.length() else {
            return false;
        };
        let held: u64 = self
            .body()
            .chunks
            .values()
            .map(|chunk| chunk.bytes.len() as u64)
            .sum();
        held == length
    }

    /// Looks for bytes at `offset`.
    #[must_use]
    pub fn peek(&self, offset: u64) -> Peek {
        let body = self.body();
        if self.length().is_some_and(|length| offset >= length) {
            return Peek::End;
        }
        if let Some(chunk) = body.chunks.get(&chunk_of(offset)) {
            let skip = usize::try_from(offset % CHUNK_BYTES as u64).unwrap_or(CHUNK_BYTES);
            return Peek::Bytes(chunk.bytes.slice(skip.min(chunk.bytes.len())..));
        }
        body.peek_runs(offset)
    }

    /// Counts a hit on the block at `offset`, where blocks are evicted by themselves.
    pub fn touch(&self, offset: u64) {
        if let Some(heat) = self
            .body()
            .chunks
            .get(&chunk_of(offset))
            .and_then(|c| c.heat.as_ref())
        {
            heat.touch();
        }
    }

    /// The tier that is asked first for bytes that are not here.
    fn source(&self) -> Tier {
        if self.is_in_redis() {
            Tier::Redis
        } else {
            Tier::Origin
        }
    }

    /// Begins a run over `span`, unless bytes at its start are here or on their way.
    #[must_use]
    pub fn begin(&self, span: Stretch) -> Option<RunId> {
        let mut body = self.body();
        let known = body.chunks.contains_key(&chunk_of(span.first))
            || !matches!(body.peek_runs(span.first), Peek::Absent);
        if known {
            return None;
        }
        body.runs_begun += 1;
        let id = RunId(body.runs_begun);
        let run = Run {
            id,
            span,
            reached: span.first,
            tail: Vec::new(),
            progress: watch::Sender::new(Progress {
                tier: self.source(),
                ended: None,
            }),
        };
        body.runs.push(run);
        Some(id)
    }

    /// Notes that a run goes on with bytes of another tier.
    pub fn turn_to(&self, id: RunId, tier: Tier) {
        if let Some(run) = self.body().run(id) {
            run.progress.send_modify(|progress| progress.tier = tier);
        }
    }

    /// Shows readers the next bytes of a run.
    pub fn advance(&self, id: RunId, piece: Bytes) {
        let mut body = self.body();
        if let Some(run) = body.run(id) {
            let at = run.reached;
            run.reached += piece.len() as u64;
            run.tail.push((at, piece));
            run.bound_tail();
            run.progress.send_modify(|_| {});
        }
    }

    /// Puts a full chunk of a run in the place of the pieces it was made of.
    pub fn seal(&self, id: RunId, index: u64, bytes: Bytes) {
        let mut body = self.body();
        body.chunks.insert(index, Chunk { bytes, heat: None });
        if let Some(run) = body.run(id) {
            run.tail.clear();
        }
    }

    /// Ends a run that brought every byte.
    pub fn complete(&self, id: RunId) {
        if let Some(run) = self.body().take_run(id) {
            run.progress
                .send_modify(|progress| progress.ended = Some(Ok(())));
        }
    }

    /// Ends a run that broke, and takes back its bytes.
    pub fn fail(&self, id: RunId, error: &RunError) {
        let mut body = self.body();
        let Some(run) = body.take_run(id) else { return };
        let last = run
            .span
            .end
            .map_or(u64::MAX, |end| chunk_of(end.saturating_sub(1)));
        let first = chunk_of(run.span.first);
        let here: Vec<u64> = body
            .chunks
            .range(first..=last)
            .map(|(index, _)| *index)
            .collect();
        for index in here {
            body.chunks.remove(&index);
        }
        run.progress
            .send_modify(|progress| progress.ended = Some(Err(error.clone())));
    }

    /// The complete chunks of a stretch, in order.
    #[must_use]
    pub fn chunks_in(&self, span: Stretch) -> Vec<(u64, Bytes)> {
        let end = span
            .end
            .map_or(u64::MAX, |end| end.div_ceil(CHUNK_BYTES as u64));
        let body = self.body();
        let chunks = body.chunks.range(chunk_of(span.first)..end);
        chunks
            .map(|(index, chunk)| (*index, chunk.bytes.clone()))
            .collect()
    }

    /// Lets a block be evicted by itself: its chunks count hits on `heat` from now on.
    pub fn warm(&self, block: u64, heat: &Arc<Heat>) {
        for (_, chunk) in self.body().chunks.range_mut(chunks_of(block)) {
            chunk.heat = Some(Arc::clone(heat));
        }
    }

    /// Drops the bytes of a block; a reader that still wants them has them fetched again.
    pub fn drop_block(&self, block: u64) {
        let mut body = self.body();
        for index in chunks_of(block) {
            body.chunks.remove(&index);
        }
    }

    /// Marks the blocks as evicted by nobody any more; says how many were marked.
    pub fn retire_blocks(&self) -> usize {
        let body = self.body();
        let heats = body.chunks.values().filter_map(|chunk| chunk.heat.as_ref());
        heats.filter(|heat| heat.leave()).count()
    }

    /// Drops every byte, when they could be fetched again.
    ///
    /// Without a pin they could not: then the bytes stay until the last reader has gone.
    pub fn drop_bytes(&self) {
        if self.head().pin().is_some() {
            self.body().chunks.clear();
        }
    }

    fn body(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body {
    fn run(&mut self, id: RunId) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.id == id)
    }

    fn take_run(&mut self, id: RunId) -> Option<Run> {
        let at = self.runs.iter().position(|run| run.id == id)?;
        Some(self.runs.swap_remove(at))
    }

    fn peek_runs(&self, offset: u64) -> Peek {
        for run in self.runs.iter().filter(|run| run.span.covers(offset)) {
            if offset >= run.reached {
                return Peek::Wait(run.progress.subscribe());
            }
            if let Some(bytes) = run.tail_at(offset) {
                return Peek::Bytes(bytes);
            }
        }
        Peek::Absent
    }
}

impl Run {
    /// Joins the pieces when they are many, so that a trickle of single bytes stays cheap to search.
    fn bound_tail(&mut self) {
        if self.tail.len() > TAIL_PIECES_MAX
            && let Some((at, _)) = self.tail.first()
        {
            let pieces: Vec<_> = self.tail.iter().map(|(_, piece)| piece.as_ref()).collect();
            self.tail = vec![(*at, pieces.concat().into())];
        }
    }

    fn tail_at(&self, offset: u64) -> Option<Bytes> {
        let (at, piece) = self.tail.iter().rev().find(|(at, _)| *at <= offset)?;
        let skip = usize::try_from(offset - at)
            .ok()
            .filter(|skip| *skip < piece.len())?;
        Some(piece.slice(skip..))
    }
}

impl Stretch {
    fn covers(&self, offset: u64) -> bool {
        self.first <= offset && self.end.is_none_or(|end| offset < end)
    }

    /// The block at `offset` of an object of `length` bytes.
    #[must_use]
    pub fn block(offset: u64, length: u64) -> Self {
        let first = offset - offset % BLOCK_BYTES;
        Self {
            first,
            end: Some((first + BLOCK_BYTES).min(length)),
        }
    }
}

/// Index of the chunk that holds `offset`.
#[must_use]
pub fn chunk_of(offset: u64) -> u64 {
    offset / CHUNK_BYTES as u64
}

fn chunks_of(block: u64) -> std::ops::Range<u64> {
    block * BLOCK_CHUNKS..(block + 1) * BLOCK_CHUNKS
}
