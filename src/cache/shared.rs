//! The shared tier: heads and chunks in Redis, read with a deadline and written behind.
//!
//! Redis may be slow, full, failing over, gone, or hold damaged bytes: to the caller each of these
//! is `None`, soon, and a counter. Connections are those of the client; the tasks that write
//! belong to [`Shared::start`].
//!
//! Small objects lie in one slot, chunks written first and metadata last; larger ones are spread,
//! metadata first. Either way a chunk proves by itself which fill and place it belongs to (see
//! [`record`]), so that the fills of two nodes never mix.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use redis::{RedisWrite, ToRedisArgs, ToSingleRedisArg};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cache::head::Head;
use crate::cache::record::{self, Expected};
use crate::cache::spill::{Admission, Queue, Spill};
use crate::config;
use crate::key::Key;
use crate::limits;
use crate::metrics::{METRICS, RedisCall, RedisResult as Outcome, SpillResult};
use crate::redis::connect::Link;
use crate::redis::pool::{Fault, Lane};
use crate::redis::{Ask, Redis};
use keys::Keys;

/// How long a record is kept at least, though it is stale: its validators may spare a body.
const KEPT_MIN: Duration = Duration::from_secs(300);

/// The shared tier.
pub struct Shared {
    redis: Arc<Redis>,
    config: config::Redis,
    keys: Keys,
    queue: Queue,
    admission: Admission,
}

impl Shared {
    /// A tier of the Redis that `redis` leads to.
    #[must_use]
    pub fn new(redis: Arc<Redis>, config: &config::Redis) -> Arc<Self> {
        Arc::new(Self {
            keys: Keys::new(redis.prefix()),
            redis,
            queue: Queue::new(config.queue_bytes),
            admission: Admission::new(config.admit_after),
            config: config.clone(),
        })
    }

    /// Writes behind, until the future is dropped. Run it once.
    pub async fn start(self: &Arc<Self>) {
        let mut tasks = JoinSet::new();
        for _ in 0..limits::REDIS_WRITERS {
            let shared = Arc::clone(self);
            tasks.spawn(async move { shared.write_behind().await });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the shared tier ended");
            }
        }
    }

    /// Reads the head of `key`; `None` when it is absent, damaged, or Redis does not say in time.
    pub async fn head(&self, key: &Key) -> Option<Head> {
        let ask = Ask {
            call: RedisCall::Head,
            lane: Lane::Control,
            within: self.config.read_timeout,
        };
        let value = self.redis.get(ask, &self.keys.metadata(key)).await?;
        judge(RedisCall::Head, record::decode(&value, key))
    }

    /// Reads chunk `index` of the object that `head` describes; `None` unless it is that chunk, of
    /// that fill, whole.
    pub async fn chunk(&self, head: &Head, index: u64) -> Option<Bytes> {
        self.chunk_within(head, index, self.config.read_timeout)
            .await
    }

    /// Reads chunk 0 for a request that has been asking Redis since `asked`. Head and chunk have
    /// one and a half times the deadline of a read between them, so that a Redis that fails after
    /// the head does not cost the request two deadlines.
    pub async fn first_chunk(&self, head: &Head, asked: Instant) -> Option<Bytes> {
        let within = self.config.read_timeout;
        let rest = (within + within / 2).saturating_sub(asked.elapsed());
        // A head takes no longer than a deadline; what is gone beyond that was a wait for memory,
        // which must not look like a failure of Redis.
        let rest = rest.clamp(within / 2, within);
        self.chunk_within(head, 0, rest).await
    }

    async fn chunk_within(&self, head: &Head, index: u64, within: Duration) -> Option<Bytes> {
        let expected = Expected::of(head, index)?;
        let ask = Ask {
            call: RedisCall::Chunk,
            lane: Lane::Chunks,
            within,
        };
        let value = self.redis.get(ask, &self.keys.chunk(head, index)).await?;
        judge(RedisCall::Chunk, record::unframe(&value, &expected))
    }

    /// Queues bytes to be written behind, or drops them; never waits. A spill without chunks is a
    /// head that was confirmed: what Redis holds of the object lives on with it.
    pub fn spill(&self, spill: Spill) {
        let hash = spill.head.key.hash();
        let part = spill.chunks.first().map_or(0, |(index, _)| *index);
        let result = if spill.head.length.is_none() || !self.redis.admits_writes() {
            SpillResult::Failed
        } else if !self.admission.offer(hash, part) {
            SpillResult::NotAdmitted
        } else if self.queue.push(spill).is_err() {
            SpillResult::Dropped
        } else {
            return;
        };
        METRICS.spills.of(result).inc();
    }

    /// Takes back the head of an object, when Redis still has that fill's. A newer one written
    /// between the look and the deletion is lost with it, which costs a miss.
    pub async fn forget(&self, head: &Head) {
        let recorded = self.head(&head.key).await;
        if recorded.is_none_or(|it| it.generation != head.generation) {
            return;
        }
        let mut cmd = redis::cmd("UNLINK");
        cmd.arg(self.keys.metadata(&head.key));
        let query = |mut link: Link| async move { cmd.query_async::<u64>(&mut link).await };
        if let Err(error) = self.redis.write(query).await {
            tracing::debug!(key = %head.key, %error, "record not forgotten");
        }
    }

    /// Waits until what was queued is written or given up, for at most `within`; says whether the
    /// queue is empty.
    pub async fn drain(&self, within: Duration) -> bool {
        self.queue.drain(within).await
    }

    /// Writes what is queued, for ever.
    async fn write_behind(&self) {
        loop {
            let taken = self.queue.pop().await;
            let result = match self.write_spill(&taken.spill).await {
                Ok(()) => SpillResult::Written,
                Err(fault) => {
                    tracing::debug!(key = %taken.spill.head.key, error = %fault, "spill failed");
                    SpillResult::Failed
                }
            };
            METRICS.spills.of(result).inc();
        }
    }

    /// Writes chunks and metadata in the order that fits the object's size.
    async fn write_spill(&self, spill: &Spill) -> Result<(), Fault> {
        if spill.chunks.is_empty() && !self.prolong(&spill.head).await? {
            return Ok(());
        }
        let last = spill.whole && !keys::is_spread(&spill.head);
        if !last {
            self.write_head(&spill.head).await?;
        }
        for (index, payload) in &spill.chunks {
            let expected = Expected::of(&spill.head, *index)
                .filter(|expected| usize::try_from(expected.length) == Ok(payload.len()))
                .ok_or_else(|| Fault::Refused(format!("chunk {index} is not of its length")))?;
            let frame = record::frame(&expected, payload);
            let framed = Framed {
                frame: &frame,
                payload,
            };
            let name = self.keys.chunk(&spill.head, *index);
            self.set(&name, framed, &spill.head).await?;
        }
        if last {
            self.write_head(&spill.head).await?;
        }
        Ok(())
    }

    /// Has the chunks of a confirmed object live as long as the head that is to be written; says
    /// whether that head is of use, since a head without chunks costs other nodes a read in vain.
    ///
    /// The blocks of a spread object come and go one by one: its head is of use without them.
    async fn prolong(&self, head: &Head) -> Result<bool, Fault> {
        let length = head.length.unwrap_or(0);
        if length == 0 || keys::is_spread(head) {
            return Ok(true);
        }
        let mut pipe = redis::pipe();
        for index in 0..length.div_ceil(limits::CHUNK_BYTES as u64) {
            let name = self.keys.chunk(head, index);
            pipe.cmd("PEXPIRE").arg(name).arg(self.kept_millis(head));
        }
        let query = |mut link: Link| async move { pipe.query_async::<Vec<bool>>(&mut link).await };
        let there = self.redis.write(query).await?;
        Ok(there.contains(&true))
    }

    async fn write_head(&self, head: &Head) -> Result<(), Fault> {
        let name = self.keys.metadata(&head.key);
        self.set(&name, record::encode(head), head).await
    }

    async fn set(
        &self,
        name: &str,
        value: impl ToSingleRedisArg,
        head: &Head,
    ) -> Result<(), Fault> {
        let mut cmd = redis::cmd("SET");
        cmd.arg(name)
            .arg(value)
            .arg("PX")
            .arg(self.kept_millis(head));
        let query = |mut link: Link| async move { cmd.query_async(&mut link).await };
        self.redis.write(query).await
    }

    fn kept_millis(&self, head: &Head) -> u64 {
        let kept = kept(head, self.config.ttl).as_millis();
        u64::try_from(kept).unwrap_or(u64::MAX)
    }
}

/// A chunk with its frame, written as one argument without joining the two first.
struct Framed<'a> {
    frame: &'a [u8],
    payload: &'a [u8],
}

impl ToRedisArgs for Framed<'_> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        let mut buffer = out.bufmut_for_next_arg(self.frame.len() + self.payload.len());
        buffer.put_slice(self.frame);
        buffer.put_slice(self.payload);
    }
}

impl ToSingleRedisArg for Framed<'_> {}

/// How long a record is kept: as long as it may be served at all, and as configured at most.
fn kept(head: &Head, ttl_max: Duration) -> Duration {
    let freshness = head.freshness;
    let stale = freshness
        .stale_while_revalidate
        .max(freshness.stale_if_error);
    let served = freshness.lifetime.saturating_add(stale);
    served
        .max(KEPT_MIN)
        .min(ttl_max)
        .max(Duration::from_millis(1))
}

/// Counts what a value that was there turned out to be.
fn judge<T>(call: RedisCall, value: Result<T, record::DecodeError>) -> Option<T> {
    let outcome = if value.is_ok() {
        Outcome::Ok
    } else {
        Outcome::Damaged
    };
    METRICS.redis_calls.of(call, outcome).inc();
    value.ok()
}

#[cfg(test)]
pub(crate) mod tests;
