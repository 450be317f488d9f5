//! The Redis client: connections, deadlines, breakers, and the prefix of every name.
//!
//! Redis may be slow, full, failing over or gone: whoever asks is told so within the call's own
//! deadline, whatever the client library does. Reads and writes have a breaker each, so that a full
//! Redis is still read. Connections and probes belong to background tasks ([`Redis::start`]); until
//! those run every call fails at once.
//!
//! What lies in Redis is the business of those above: objects of the cache's shared tier, the log
//! and the heartbeats of purges. Every name of theirs begins with [`Redis::prefix`].

mod breaker;
pub mod connect;
pub mod pool;
#[cfg(test)]
pub(crate) mod scratch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::RedisResult;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config;
use crate::metrics::{METRICS, RedisCall, RedisResult as Outcome};
use breaker::Breaker;
use connect::{Connector, Link, SetupError};
use pool::{Fault, Lane, Pool};

/// How often it is looked whether a probe is due.
const PROBE_TICK: Duration = Duration::from_millis(50);

/// Probes are spread over so many slots, so that one dead shard of a cluster is not all of it.
const PROBES: u8 = 32;

/// The client.
pub struct Redis {
    config: config::Redis,
    pool: Pool,
    reads: Mutex<Breaker>,
    writes: Mutex<Breaker>,
}

/// How Redis is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Whether there is a connection that answered when it was made.
    pub up: bool,
    /// Whether reads are not even tried.
    pub reads_rejected: bool,
    /// Whether writes are not even tried (Redis is full, read-only or ill).
    pub writes_rejected: bool,
    /// The last error, of whatever age.
    pub last_error: Option<String>,
}

/// How a call is made.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// What it is counted as.
    pub call: RedisCall,
    /// The connection it takes.
    pub lane: Lane,
    /// Its deadline.
    pub within: Duration,
}

impl Redis {
    /// Sets the client up; connects to nothing yet and needs no runtime.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when a URL, a certificate or a file is not usable.
    pub fn new(config: &config::Redis) -> Result<Arc<Self>, SetupError> {
        let connector = Connector::new(config)?;
        let breaker = || Mutex::new(Breaker::new(config.breaker_failures, config.breaker_pause));
        Ok(Arc::new(Self {
            pool: Pool::new(connector, config),
            reads: breaker(),
            writes: breaker(),
            config: config.clone(),
        }))
    }

    /// Connects, reconnects and probes, until the future is dropped. Run it once.
    pub async fn start(self: &Arc<Self>) {
        let mut tasks = JoinSet::new();
        for index in 0..self.pool.size() {
            let redis = Arc::clone(self);
            tasks.spawn(async move { redis.pool.keep(index).await });
        }
        let redis = Arc::clone(self);
        tasks.spawn(async move { redis.probe().await });
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the redis client ended");
            }
        }
    }

    /// What every name in this Redis begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.config.prefix
    }

    /// Says how Redis is doing.
    #[must_use]
    pub fn state(&self) -> State {
        State {
            up: self.pool.is_up(),
            reads_rejected: !lock(&self.reads).admits(),
            writes_rejected: !self.admits_writes(),
            last_error: self.pool.last_error(),
        }
    }

    /// Whether a write would be tried now.
    #[must_use]
    pub fn admits_writes(&self) -> bool {
        lock(&self.writes).admits()
    }

    /// Whether a read would be tried now.
    #[must_use]
    pub fn admits_reads(&self) -> bool {
        lock(&self.reads).admits()
    }

    /// Runs a query past the breakers, with its own deadline.
    ///
    /// # Errors
    ///
    /// [`Fault`] when there was no answer, or an error.
    pub async fn ask<T, Q, F>(&self, ask: Ask, query: Q) -> Result<T, Fault>
    where
        Q: FnOnce(Link) -> F,
        F: Future<Output = RedisResult<T>>,
    {
        let started = Instant::now();
        let result = self.pool.run(ask.lane, ask.within, query).await;
        count(ask.call, started, &result);
        result
    }

    /// Gets a value under the breaker of reads; `None` when it is absent or does not come in time.
    ///
    /// A value that is there is not counted: the caller does, once it knows what it turned out to be.
    pub async fn get(&self, ask: Ask, name: &str) -> Option<Bytes> {
        if !lock(&self.reads).admits() {
            METRICS.redis_calls.of(ask.call, Outcome::Rejected).inc();
            return None;
        }
        let started = Instant::now();
        let mut cmd = redis::cmd("GET");
        cmd.arg(name);
        let query = |mut link: Link| async move { cmd.query_async(&mut link).await };
        let result: Result<Option<Bytes>, Fault> = self.pool.run(ask.lane, ask.within, query).await;
        self.note(&self.reads, result.as_ref().err());
        match result {
            Ok(value) => {
                if value.is_none() {
                    METRICS.redis_calls.of(ask.call, Outcome::Absent).inc();
                }
                observe(ask.call, started);
                value
            }
            Err(fault) => {
                METRICS.redis_calls.of(ask.call, outcome(&fault)).inc();
                None
            }
        }
    }

    /// Runs a writing query under the breaker of writes.
    ///
    /// # Errors
    ///
    /// [`Fault`] when it was not tried, not answered, or answered with an error.
    pub async fn write<T, Q, F>(&self, query: Q) -> Result<T, Fault>
    where
        Q: FnOnce(Link) -> F,
        F: Future<Output = RedisResult<T>>,
    {
        if !self.admits_writes() {
            METRICS
                .redis_calls
                .of(RedisCall::Write, Outcome::Rejected)
                .inc();
            return Err(Fault::Rejected);
        }
        let started = Instant::now();
        let within = self.config.write_timeout;
        let result = self.pool.run(Lane::Writes, within, query).await;
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
        let name = format!("{}:1:{{probe{}}}", self.prefix(), fastrand::u8(..PROBES));
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
        observe(call, started);
    }
}

fn observe(call: RedisCall, started: Instant) {
    let seconds = METRICS.redis_seconds.of(call);
    seconds.observe(started.elapsed().as_secs_f64());
}

#[cfg(test)]
mod tests;
