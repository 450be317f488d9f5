//! Reads an object's bytes in order, from wherever they are or come from.
//!
//! A reader follows a fill in progress and never reads past what was verified to belong to its
//! version. It ends with `None` only behind the last byte it was asked for; everything else is an
//! error, which ends the response abnormally.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cache::ask::Supply;
use crate::cache::budget::{Loan, hold};
use crate::cache::engine::Engine;
use crate::cache::object::{Object, Peek, Progress, RunError};
use crate::limits::{BLOCK_BYTES, CHUNK_BYTES, READ_AHEAD_BLOCKS, RUN_WAIT_MAX, SLOW_PIECE_BYTES};
use crate::metrics::Tier;

/// A client that took longer than this for its last piece may be slow.
const SLOW_AFTER: Duration = Duration::from_millis(250);

/// Below this many bytes a second it is: a chunk would be held for longer than half a second.
const SLOW_RATE: u64 = 512 * 1024;

/// Reads one object for one client.
pub struct Reader {
    engine: Arc<Engine>,
    supply: Supply,
    object: Arc<Object>,
    at: u64,
    end: Option<u64>,
    /// The block that was entered last.
    block: Option<u64>,
    given: Option<(Instant, u64)>,
    /// What the piece given last holds of the cache's own bytes.
    loan: Option<Loan>,
}

impl Reader {
    /// Makes a reader of the whole object.
    #[must_use]
    pub fn new(engine: Arc<Engine>, supply: Supply, object: Arc<Object>) -> Self {
        Self {
            engine,
            supply,
            object,
            at: 0,
            end: None,
            block: None,
            given: None,
            loan: None,
        }
    }

    /// Moves to `first`; reading ends before `end`, or at the object's end.
    pub fn seek(&mut self, first: u64, end: Option<u64>) {
        self.at = first;
        self.end = end;
        self.block = None;
    }

    /// Waits until there are bytes at `offset`, and says which tier they came from.
    ///
    /// # Errors
    /// [`RunError`] when they cannot be had.
    pub async fn arrive(&self, offset: u64) -> Result<Tier, RunError> {
        let mut tier = Tier::Memory;
        loop {
            match self.object.peek(offset) {
                Peek::Bytes(_) | Peek::End => return Ok(tier),
                Peek::Wait(progress) => tier = wait(progress).await?,
                Peek::Absent => self.engine.bring(&self.supply, &self.object, offset)?,
            }
        }
    }

    /// Returns the next bytes, or `None` behind the last one.
    ///
    /// # Errors
    /// [`RunError`] when the bytes cannot be had; the response must then end abnormally.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RunError> {
        self.loan = match self.is_slow() {
            true => None,
            false => self.engine.memory().budget().lend(CHUNK_BYTES),
        };
        loop {
            if self.end.is_some_and(|end| self.at >= end) {
                return Ok(None);
            }
            match self.object.peek(self.at) {
                Peek::Bytes(bytes) if self.loan.is_some() => return Ok(Some(self.give(bytes))),
                Peek::Bytes(bytes) => return Ok(Some(self.give_piece(bytes))),
                Peek::End => return Ok(None),
                Peek::Wait(progress) => {
                    wait(progress).await?;
                }
                Peek::Absent => self.engine.bring(&self.supply, &self.object, self.at)?,
            }
        }
    }

    fn give(&mut self, mut bytes: Bytes) -> Bytes {
        self.enter(self.at / BLOCK_BYTES);
        if let Some(left) = self.end.and_then(|end| usize::try_from(end - self.at).ok()) {
            bytes.truncate(left);
        }
        self.at += bytes.len() as u64;
        self.given = Some((Instant::now(), bytes.len() as u64));
        bytes
    }

    /// Copies a piece for a client that is slow, or one of too many: it would else hold a whole
    /// chunk of an object that may be evicted meanwhile.
    fn give_piece(&mut self, mut bytes: Bytes) -> Bytes {
        bytes.truncate(SLOW_PIECE_BYTES);
        let piece = self.give(bytes);
        let permit = self.engine.memory().charge(piece.len());
        hold(piece.to_vec(), permit)
    }

    /// Whether the client took long for its last piece; asked when it wants the next one.
    fn is_slow(&self) -> bool {
        self.given.is_some_and(|(at, bytes)| {
            let took = at.elapsed();
            let rate = u128::from(bytes) * 1000 / took.as_millis().max(1);
            took > SLOW_AFTER && rate < u128::from(SLOW_RATE)
        })
    }

    /// Counts a hit on a block and has the next one brought, once per block.
    fn enter(&mut self, block: u64) {
        if self.block == Some(block) {
            return;
        }
        self.block = Some(block);
        self.object.touch(self.at);
        let next = (block + READ_AHEAD_BLOCKS) * BLOCK_BYTES;
        let end = self.end.or_else(|| self.object.length());
        if end.is_some_and(|end| next < end) {
            // A failure shows when the reader arrives there and tries again.
            self.engine.bring(&self.supply, &self.object, next).ok();
        }
    }
}

/// Waits until a run moves, and says where its bytes come from. The run's own deadlines end it;
/// this bound is a second line.
async fn wait(mut progress: watch::Receiver<Progress>) -> Result<Tier, RunError> {
    match tokio::time::timeout(RUN_WAIT_MAX, progress.changed()).await {
        Ok(Ok(())) => match &*progress.borrow() {
            Progress {
                ended: Some(Err(error)),
                ..
            } => Err(error.clone()),
            Progress { tier, .. } => Ok(*tier),
        },
        Ok(Err(_)) | Err(_) => Err(RunError::Abandoned),
    }
}
