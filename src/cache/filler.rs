//! The writing end of a run: cuts what arrives into chunks that hold their part of the budget.

use std::sync::Arc;

use bytes::Bytes;

use crate::cache::budget::{Permit, hold};
use crate::cache::memory::Memory;
use crate::cache::object::{Object, RunError, RunId, Stretch, chunk_of};
use crate::limits::CHUNK_BYTES;
use crate::metrics::Tier;

/// Brings the bytes of one run. Dropped without [`Filler::finish`] it fails the run.
pub struct Filler {
    object: Arc<Object>,
    memory: Arc<Memory>,
    run: Option<RunId>,
    span: Stretch,
    reached: u64,
    chunk: Vec<u8>,
    /// Stands for the pieces that readers see until their chunk is sealed.
    tail: Option<Permit>,
    room: Room,
}

/// Where the permits of the chunks come from.
enum Room {
    /// Reserved before the first byte, since the length is known: fills never wait for each other
    /// while they hold something.
    Reserved(Permit),
    /// Reserved chunk by chunk.
    AsItComes(Option<Permit>),
}

impl Filler {
    /// Claims a run over `span` of `object`; `None` when its bytes are here or on their way.
    #[must_use]
    pub fn claim(memory: &Arc<Memory>, object: &Arc<Object>, span: Stretch) -> Option<Self> {
        let filler = Self::first(memory, object, span);
        filler.run.is_some().then_some(filler)
    }

    /// Begins the first run of a new object.
    #[must_use]
    pub fn first(memory: &Arc<Memory>, object: &Arc<Object>, span: Stretch) -> Self {
        Self {
            object: Arc::clone(object),
            memory: Arc::clone(memory),
            run: object.begin(span),
            span,
            reached: span.first,
            chunk: Vec::new(),
            tail: None,
            room: Room::AsItComes(None),
        }
    }

    /// Notes that the bytes come from another tier now.
    pub fn turn_to(&self, tier: Tier) {
        if let Some(run) = self.run {
            self.object.turn_to(run, tier);
        }
    }

    /// Reserves room for the whole span, when its length is known; else room is reserved chunk by
    /// chunk as the bytes come.
    ///
    /// # Errors
    /// [`RunError::NoRoom`], when the budget has no room in time; the run then fails.
    pub async fn reserve(&mut self) -> Result<(), RunError> {
        let Some(end) = self.span.end else {
            return Ok(());
        };
        let bytes = usize::try_from(end - self.span.first).unwrap_or(usize::MAX);
        match self.memory.reserve(bytes).await {
            Ok(permit) => self.room = Room::Reserved(permit),
            Err(error) => {
                self.fail(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Offset behind the last byte that was brought.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.reached
    }

    /// Offset behind the last byte of the span, where it is known.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.span.end
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`RunError::Length`] when more come than the span holds, [`RunError::NoRoom`] when the
    /// length is unknown and the budget has no room in time.
    pub async fn push(&mut self, mut piece: Bytes) -> Result<(), RunError> {
        let after = self.reached + piece.len() as u64;
        if let Some(end) = self.span.end.filter(|end| after > *end) {
            let (got, announced) = (after - self.span.first, end - self.span.first);
            return Err(RunError::Length { got, announced });
        }
        if self.span.end.is_none() && after > self.memory.whole_fill_max() {
            return Err(RunError::TooLarge);
        }
        while !piece.is_empty() {
            if self.chunk.is_empty() {
                self.open_chunk().await?;
            }
            let part = piece.split_to(piece.len().min(CHUNK_BYTES - self.chunk.len()));
            self.chunk.extend_from_slice(&part);
            self.reached += part.len() as u64;
            self.show(part);
            if self.chunk.len() == CHUNK_BYTES || Some(self.reached) == self.span.end {
                self.seal_chunk();
            }
        }
        Ok(())
    }

    /// Takes a whole chunk that already is one allocation, at a chunk's start.
    ///
    /// # Errors
    /// As [`Filler::push`].
    pub async fn push_chunk(&mut self, bytes: Bytes) -> Result<(), RunError> {
        let whole =
            bytes.len() == CHUNK_BYTES || Some(self.reached + bytes.len() as u64) == self.span.end;
        let Room::Reserved(room) = &mut self.room else {
            return self.push(bytes).await;
        };
        if !self.chunk.is_empty() || !whole {
            return self.push(bytes).await;
        }
        let permit = room.split(bytes.len());
        let index = chunk_of(self.reached);
        self.reached += bytes.len() as u64;
        let held = hold(bytes, permit);
        self.show(held.clone());
        if let Some(run) = self.run {
            self.object.seal(run, index, held);
        }
        Ok(())
    }

    /// Ends the run: every byte is here.
    ///
    /// # Errors
    /// [`RunError::Length`] when bytes are missing; the run then fails.
    pub fn finish(mut self) -> Result<u64, RunError> {
        if let Some(end) = self.span.end.filter(|end| *end != self.reached) {
            let got = self.reached - self.span.first;
            let error = RunError::Length {
                got,
                announced: end - self.span.first,
            };
            self.fail(&error);
            return Err(error);
        }
        if !self.chunk.is_empty() {
            self.seal_chunk();
        }
        if self.span.end.is_none() {
            self.object.amend(|head| head.length = Some(self.reached));
        }
        if let Some(run) = self.run.take() {
            self.object.complete(run);
        }
        Ok(self.reached)
    }

    /// Ends the run with an error.
    pub fn fail(&mut self, error: &RunError) {
        if let Some(run) = self.run.take() {
            self.object.fail(run, error);
        }
    }

    async fn open_chunk(&mut self) -> Result<(), RunError> {
        let left = self.span.end.map_or(u64::MAX, |end| end - self.reached);
        let bytes = usize::try_from(left)
            .unwrap_or(CHUNK_BYTES)
            .min(CHUNK_BYTES);
        let holds_nothing = self.reached == self.span.first;
        if let Room::AsItComes(permit) = &mut self.room {
            *permit = Some(match holds_nothing {
                true => self.memory.reserve(bytes).await?,
                false => self.memory.reserve_now(bytes)?,
            });
        }
        self.tail = Some(self.memory.budget().charge(bytes));
        self.chunk = Vec::with_capacity(bytes);
        Ok(())
    }

    fn show(&self, part: Bytes) {
        if let Some(run) = self.run {
            self.object.advance(run, part);
        }
    }

    fn seal_chunk(&mut self) {
        let mut data = std::mem::take(&mut self.chunk);
        let room = match &mut self.room {
            Room::Reserved(room) => Some(room),
            Room::AsItComes(permit) => {
                // The answer ended before its chunk was full.
                data.shrink_to_fit();
                permit.as_mut()
            }
        };
        let index = chunk_of(self.reached - 1);
        if let (Some(run), Some(room)) = (self.run, room) {
            let permit = room.split(data.len());
            self.object.seal(run, index, hold(data, permit));
        }
        if let Room::AsItComes(rest) = &mut self.room {
            *rest = None;
        }
        self.tail = None;
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.fail(&RunError::Abandoned);
    }
}
