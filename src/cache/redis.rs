//! The shared tier: heads and chunks in Redis, read with a deadline and written behind.
//!
//! Redis may be slow, full, failing over, gone, or hold damaged bytes: to the caller each of these
//! is `None`, soon, and a counter. No call outlasts its own deadline, whatever the client library
//! does; reads and writes have a breaker each, so that a full Redis is still read. Connections and
//! probes belong to background tasks ([`Redis::start`]); until those run every call is a miss.
//!
//! Small objects lie in one slot, chunks written first and metadata last; larger ones are spread,
//! metadata first. Either way a chunk proves by itself which fill and place it belongs to (see
//! [`record`]), so that the fills of two nodes never mix.

pub(crate) mod breaker;
pub mod connect;
pub(crate) mod keys;
pub(crate) mod pool;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use redis::{RedisResult, RedisWrite, ToRedisArgs, ToSingleRedisArg};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cache::head::Head;
use crate::cache::record::{self, Expected};
use crate::cache::redis::breaker::Breaker;
use crate::cache::redis::connect::{Connector, Link, SetupError};
use crate::cache::redis::keys::Keys;
use crate::cache::redis::pool::{Fault, Lane, Pool};
use crate::cache::spill::{Admission, Queue, Spill};
use crate::config;
use crate::key::Key;
use crate::metrics::{METRICS, RedisCall, RedisResult as Outcome, SpillResult};

/// Tasks that write behind.
const WRITERS: usize = 4;
/// How often it is looked whether a probe is due.
const PROBE_TICK: Duration = Duration::from_millis(50);
/// How long a record is kept at least, though it is stale: its validators may spare a body.
const KEPT_MIN: Duration = Duration::from_secs(300);

/// The shared tier.
pub struct Redis {
    config: config::Redis,
    keys: Keys,
    pool: Pool,
    reads: Mutex<Breaker>,
    writes: Mutex<Breaker>,
    queue: Queue,
    admission: Admission,
}

/// How the shared tier is doing, for `/readyz` and `/v1/explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RedisState {
    /// Whether there is a connection that answered when it was made.
    pub up: bool,
    /// Whether reads are not even tried.
    pub reads_rejected: bool,
    /// Whether writes are not even tried (Redis is full, read-only or ill).
    pub writes_rejected: bool,
    /// Bytes waiting to be written.
    pub queue_bytes: usize,
    /// The last error, of whatever age.
    pub last_error: Option<String>,
}

impl Redis {
    /// Sets the tier up; connects to nothing yet and needs no runtime.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when a URL, a certificate or a file is not usable.
    pub fn new(config: &config::Redis) -> Result<Arc<Self>, SetupError> {
        let connector = Connector::new(config)?;
        let breaker = || Mutex::new(Breaker::new(config.breaker_failures, config.breaker_pause));
        Ok(Arc::new(Self {
            keys: Keys::new(&config.prefix),
            pool: Pool::new(connector, config),
            reads: breaker(),
            writes: breaker(),
            queue: Queue::new(config.queue_bytes),
            admission: Admission::new(config.admit_after),
            config: config.clone(),
        }))
    }

    /// Connects, reconnects, probes and writes behind, until the future is dropped. Run it once.
    pub async fn start(self: &Arc<Self>) {
        let mut tasks = JoinSet::new();
        for index in 0..self.pool.size() {
            let redis = Arc::clone(self);
            tasks.spawn(async move { redis.pool.keep(index).await });
        }
        for _ in 0..WRITERS {
            let redis = Arc::clone(self);
            tasks.spawn(async move { redis.write_behind().await });
        }
        let redis = Arc::clone(self);
        tasks.spawn(async move { redis.probe().await });
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the redis tier ended");
            }
        }
    }

    /// Reads the head of `key`; `None` when it is absent, damaged, or Redis does not say in time.
    pub async fn head(&self, key: &Key) -> Option<Head> {
        let name = self.keys.metadata(key);
        let value = self.get(RedisCall::Head, &name).await?;
        self.judge(RedisCall::Head, record::decode(&value, key))
    }

    /// Reads chunk `index` of the object that `head` describes; `None` unless it is that chunk, of
    /// that fill, whole.
    pub async fn chunk(&self, head: &Head, index: u64) -> Option<Bytes> {
        let expected = Expected::of(head, index)?;
        let name = self.keys.chunk(head, index);
        let value = self.get(RedisCall::Chunk, &name).await?;
        self.judge(RedisCall::Chunk, record::unframe(&value, &expected))
    }

    /// Queues bytes to be written behind, or drops them; never waits.
    pub fn spill(&self, spill: Spill) {
        let hash = spill.head.key.hash();
        let part = spill.chunks.first().map_or(0, |(index, _)| *index);
        let result = if spill.head.length.is_none() || !lock(&self.writes).admits() {
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

    /// Waits until what was queued is written or given up, for at most `within`; says whether the
    /// queue is empty.
    pub async fn drain(&self, within: Duration) -> bool {
        self.queue.drain(within).await
    }

    /// Removes the metadata of `key`, if Redis can be reached; its chunks die by their TTL.
    pub async fn forget(&self, key: &Key) {
        let mut cmd = redis::cmd("UNLINK");
        cmd.arg(self.keys.metadata(key));
        // Nothing hangs on it: the counter tells, and purges do not rely on removal.
        drop(self.write(&cmd).await);
    }

    /// Says how the tier is doing.
    #[must_use]
    pub fn state(&self) -> RedisState {
        RedisState {
            up: self.pool.is_up(),
            reads_rejected: !lock(&self.reads).admits(),
            writes_rejected: !lock(&self.writes).admits(),
            queue_bytes: self.queue.bytes(),
            last_error: self.pool.last_error(),
        }
    }

    /// Names of keys, for the purge log.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Runs a query of the log or the heartbeat: past the breakers, with its own deadline.
    pub(crate) async fn ask<T, Q, F>(&self, ask: Ask, query: Q) -> Result<T, Fault>
    where
        Q: FnOnce(Link) -> F,
        F: Future<Output = RedisResult<T>>,
    {
        let started = Instant::now();
        let result = self.pool.run(ask.lane, ask.within, query).await;
        count(ask.call, started, &result);
        result
    }

    /// Gets a value; counts everything but what becomes of a value that is there.
    async fn get(&self, call: RedisCall, name: &str) -> Option<Bytes> {
        if !lock(&self.reads).admits() {
            METRICS.redis_calls.of(call, Outcome::Rejected).inc();
            return None;
        }
        let lane = if call == RedisCall::Chunk {
            Lane::Chunks
        } else {
            Lane::Control
        };
        let started = Instant::now();
        let mut cmd = redis::cmd("GET");
        cmd.arg(name);
        let query = |mut link: Link| async move { cmd.query_async(&mut link).await };
        let result: Result<Option<Bytes>, Fault> =
            self.pool.run(lane, self.config.read_timeout, query).await;
        self.note(&self.reads, result.as_ref().err());
        match result {
            Ok(Some(value)) => {
                METRICS
                    .redis_seconds
                    .of(call)
                    .observe(started.elapsed().as_secs_f64());
                Some(value)
            }
            Ok(None) => {
                METRICS.redis_calls.of(call, Outcome::Absent).inc();
                METRICS
                    .redis_seconds
                    .of(call)
                    .observe(started.elapsed().as_secs_f64());
                None
            }
            Err(fault) => {
                METRICS.redis_calls.of(call, outcome(&fault)).inc();
                None
            }
        }
    }

    /// Counts what a value that was there turned out to be.
    fn judge<T>(&self, call: RedisCall, value: Result<T, record::DecodeError>) -> Option<T> {
        let outcome = if value.is_ok() {
            Outcome::Ok
        } else {
            Outcome::Damaged
        };
        METRICS.redis_calls.of(call, outcome).inc();
        value.ok()
    }

    /// Runs a writing command under the breaker of writes.
    async fn write(&self, cmd: &redis::Cmd) -> Result<(), Fault> {
        if !lock(&self.writes).admits() {
            METRICS
                .redis_calls
                .of(RedisCall::Write, Outcome::Rejected)
                .inc();
            return Err(Fault::Rejected);
        }
        let started = Instant::now();
        let query = |mut link: Link| async move { cmd.query_async(&mut link).await };
        let result = self
            .pool
            .run(Lane::Writes, self.config.write_timeout, query)
            .await;
        self.note(&self.writes, result.as_ref().err());
        count(RedisCall::Write, started, &result);
        result
    }

    /// Tells a breaker how a call went. A call that was not tried tells nothing.
    fn note(&self, breaker: &Mutex<Breaker>, fault: Option<&Fault>) {
        let opened = match fault {
            None => {
                lock(breaker).succeeded();
                false
            }
            Some(Fault::NoLink | Fault::Rejected) => false,
            Some(_) => lock(breaker).failed(Instant::now()),
        };
        if opened {
            self.show_breakers();
            let error = fault.map(ToString::to_string);
            tracing::warn!(error, state = ?self.state(), "redis breaker opened");
        }
    }

    fn show_breakers(&self) {
        let open = !(lock(&self.reads).admits() && lock(&self.writes).admits());
        METRICS.redis_breaker_open.set(i64::from(open));
    }

    /// Tries an open breaker's Redis again and again, for ever.
    async fn probe(&self) {
        let mut tick = interval(PROBE_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for (breaker, lane) in [(&self.reads, Lane::Chunks), (&self.writes, Lane::Writes)] {
                if lock(breaker).probe(Instant::now()) {
                    let answered = self.try_again(lane).await.map_err(drop);
                    lock(breaker).probed(answered, Instant::now());
                    if answered.is_ok() {
                        tracing::info!(?lane, "redis breaker closed");
                    }
                    self.show_breakers();
                }
            }
        }
    }

    /// Makes the small call that stands for all calls of a lane.
    async fn try_again(&self, lane: Lane) -> Result<(), Fault> {
        let name = self.keys.probe(fastrand::u8(..));
        let (cmd, within) = match lane {
            Lane::Writes => {
                let mut cmd = redis::cmd("SET");
                cmd.arg(name).arg(1).arg("PX").arg(1000);
                (cmd, self.config.write_timeout)
            }
            Lane::Chunks | Lane::Control => {
                let mut cmd = redis::cmd("EXISTS");
                cmd.arg(name);
                (cmd, self.config.read_timeout)
            }
        };
        let query = |mut link: Link| async move { cmd.exec_async(&mut link).await };
        self.pool.run(lane, within, query).await
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
            self.write(&self.set(&name, framed, &spill.head)).await?;
        }
        if last {
            self.write_head(&spill.head).await?;
        }
        Ok(())
    }

    async fn write_head(&self, head: &Head) -> Result<(), Fault> {
        let name = self.keys.metadata(&head.key);
        self.write(&self.set(&name, record::encode(head), head))
            .await
    }

    fn set(&self, name: &str, value: impl ToSingleRedisArg, head: &Head) -> redis::Cmd {
        let kept = kept(head, self.config.ttl).as_millis();
        let mut cmd = redis::cmd("SET");
        cmd.arg(name)
            .arg(value)
            .arg("PX")
            .arg(u64::try_from(kept).unwrap_or(u64::MAX));
        cmd
    }
}

/// A query past the breakers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    /// What it is counted as.
    pub(crate) call: RedisCall,
    /// The connection it takes.
    pub(crate) lane: Lane,
    /// Its deadline.
    pub(crate) within: Duration,
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

fn lock(breaker: &Mutex<Breaker>) -> MutexGuard<'_, Breaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}

fn outcome(fault: &Fault) -> Outcome {
    match fault {
        Fault::Timeout(_) => Outcome::Timeout,
        Fault::Broken(_) | Fault::Refused(_) => Outcome::Error,
        Fault::NoLink | Fault::Rejected => Outcome::Rejected,
    }
}

fn count<T>(call: RedisCall, started: Instant, result: &Result<T, Fault>) {
    let outcome = result.as_ref().map_or_else(outcome, |_| Outcome::Ok);
    METRICS.redis_calls.of(call, outcome).inc();
    if result.is_ok() {
        METRICS
            .redis_seconds
            .of(call)
            .observe(started.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
pub(crate) mod tests;
