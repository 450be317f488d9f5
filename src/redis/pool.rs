//! The connections: who may use which, and the one owner of each that mends it.
//!
//! Heads and the log have a connection of their own, chunks several, writes another: a queue of
//! megabytes in front of one kind of call never delays another kind. Each connection belongs to a
//! keeper, the only one that connects; whoever finds it broken says so and goes on without.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::config;
use crate::limits;
use crate::metrics::METRICS;
use crate::redis::connect::{Connector, Link};

/// A connection that lived so long was a good one: the next wait is the shortest again.
const STEADY: Duration = Duration::from_secs(5);

/// How often a connection is tried though nobody uses it: a dead one is found before it is needed.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What is small and urgent.
    Control,
    /// Reading chunks.
    Chunks,
    /// Writing anything.
    Writes,
}

/// Why a call gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No answer within the deadline.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection or the server behind it is of no use any more.
    #[error("{0}")]
    Broken(String),
    /// The server answered with an error.
    #[error("{0}")]
    Refused(String),
    /// There is no connection now; nothing was tried.
    #[error("not connected")]
    NoLink,
    /// The breaker is open; nothing was tried.
    #[error("the breaker is open")]
    Rejected,
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        let broken = error.is_unrecoverable_error()
            || matches!(
                error.kind(),
                ErrorKind::Io
                    | ErrorKind::Server(
                        ServerErrorKind::ReadOnly
                            | ServerErrorKind::BusyLoading
                            | ServerErrorKind::MasterDown
                    )
            );
        match broken {
            true => Self::Broken(error.to_string()),
            false => Self::Refused(error.to_string()),
        }
    }
}

/// All connections.
pub(crate) struct Pool {
    connector: Connector,
    /// The control connection, the writing one, and then those for chunks.
    slots: Vec<Slot>,
    next: AtomicUsize,
    /// Failures in a row after which a connection is replaced, though it looks alive.
    failures_max: u32,
    control: Semaphore,
    chunks: Semaphore,
    writes: Semaphore,
    error: Mutex<Option<String>>,
}

/// Place of one connection.
#[derive(Default)]
struct Slot {
    link: Mutex<Option<(u64, Link)>>,
    failures: AtomicU32,
    broken: Notify,
}

/// A connection lent for one call.
struct Lease<'a> {
    slot: &'a Slot,
    epoch: u64,
    link: Link,
}

/// Slots before those for chunks.
const FIRST_CHUNK_SLOT: usize = 2;

impl Pool {
    pub(crate) fn new(connector: Connector, config: &config::Redis) -> Self {
        let connections = config.connections.max(1);
        let slots = (0..FIRST_CHUNK_SLOT + connections).map(|_| Slot::default());
        Self {
            connector,
            slots: slots.collect(),
            next: AtomicUsize::new(0),
            failures_max: config.breaker_failures.max(1),
            control: Semaphore::new(limits::REDIS_CALLS_MAX),
            chunks: Semaphore::new(connections * limits::REDIS_CHUNKS_MAX),
            writes: Semaphore::new(limits::REDIS_WRITES_MAX),
            error: Mutex::new(None),
        }
    }

    /// How many connections there are to keep.
    pub(crate) fn size(&self) -> usize {
        self.slots.len()
    }

    /// Whether the control connection stands.
    pub(crate) fn is_up(&self) -> bool {
        self.slots.first().is_some_and(|slot| slot.lock().is_some())
    }

    /// Whether every connection stands.
    #[cfg(test)]
    pub(crate) fn stands(&self) -> bool {
        self.slots.iter().all(|slot| slot.lock().is_some())
    }

    /// The last error of connecting or of a call, in words.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Runs `query` on a connection of `lane`, waiting for a place included in `within`.
    pub(crate) async fn run<T, Q, F>(
        &self,
        lane: Lane,
        within: Duration,
        query: Q,
    ) -> Result<T, Fault>
    where
        Q: FnOnce(Link) -> F,
        F: Future<Output = Result<T, RedisError>>,
    {
        let started = Instant::now();
        let places = match lane {
            Lane::Control => &self.control,
            Lane::Chunks => &self.chunks,
            Lane::Writes => &self.writes,
        };
        let place = timeout(within, places.acquire()).await;
        let _place = place
            .map_err(|_| Fault::Timeout(within))?
            .map_err(|_| Fault::NoLink)?;
        let lease = self.lend(lane).ok_or(Fault::NoLink)?;
        let rest = within.saturating_sub(started.elapsed());
        self.call(lease, rest, query).await
    }

    /// Runs `query` on a lent connection and notes how that went.
    async fn call<T, Q, F>(&self, lease: Lease<'_>, within: Duration, query: Q) -> Result<T, Fault>
    where
        Q: FnOnce(Link) -> F,
        F: Future<Output = Result<T, RedisError>>,
    {
        let Lease { slot, epoch, link } = lease;
        let result = match timeout(within, query(link)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if !error.is_timeout() => Err(Fault::from(error)),
            Ok(Err(_)) | Err(_) => Err(Fault::Timeout(within)),
        };
        self.note(slot, epoch, result.as_ref().err());
        result
    }

    /// Keeps connection number `index` for ever.
    pub(crate) async fn keep(&self, index: usize) {
        let Some(slot) = self.slots.get(index) else {
            return;
        };
        let (mut epoch, mut wait, mut told) = (0, limits::REDIS_BACKOFF_MIN, false);
        loop {
            let connecting = timeout(self.connector.deadline(), self.connector.connect());
            let error = match connecting.await {
                Ok(Ok(link)) => {
                    let born = Instant::now();
                    epoch += 1;
                    slot.install(epoch, link);
                    self.show_up(index);
                    tracing::info!(connection = index, "redis connected");
                    self.watch(slot).await;
                    if born.elapsed() >= STEADY {
                        wait = limits::REDIS_BACKOFF_MIN;
                    }
                    told = false;
                    self.last_error().unwrap_or_default()
                }
                Ok(Err(error)) => self.remember(error.to_string()),
                Err(_) => self.remember(Fault::Timeout(self.connector.deadline()).to_string()),
            };
            self.show_up(index);
            if !told {
                tracing::warn!(connection = index, %error, "redis not connected");
                told = true;
            }
            sleep(wait.mul_f32(0.5 + fastrand::f32() / 2.0)).await;
            wait = (wait * 2).min(limits::REDIS_BACKOFF_MAX);
        }
    }

    /// Returns when the slot's connection was given up; looks after it while nobody uses it.
    async fn watch(&self, slot: &Slot) {
        while timeout(CHECK_EVERY, slot.broken.notified()).await.is_err() {
            let Some(lease) = slot.lend() else {
                continue;
            };
            if !self.connector.heals_itself() {
                let within = self.connector.deadline();
                let ping =
                    |mut link: Link| async move { redis::cmd("PING").exec_async(&mut link).await };
                // What came of it was noted, which is all that it is for.
                drop(self.call(lease, within, ping).await);
            }
        }
    }

    /// Lends a standing connection of the lane: the next one in turn that stands.
    fn lend(&self, lane: Lane) -> Option<Lease<'_>> {
        let chunks = self.slots.get(FIRST_CHUNK_SLOT..)?;
        match lane {
            Lane::Control => self.slots.first()?.lend(),
            Lane::Writes => self.slots.get(1)?.lend(),
            Lane::Chunks => {
                let turn = self.next.fetch_add(1, Ordering::Relaxed) % chunks.len().max(1);
                let (before, from) = chunks.split_at_checked(turn)?;
                from.iter().chain(before).find_map(Slot::lend)
            }
        }
    }

    /// Notes how a call went; a connection that is of no use is given back to its keeper.
    fn note(&self, slot: &Slot, epoch: u64, fault: Option<&Fault>) {
        let failures = match fault {
            None | Some(Fault::Refused(_)) => {
                slot.failures.store(0, Ordering::Relaxed);
                0
            }
            Some(_) => slot
                .failures
                .fetch_add(1, Ordering::Relaxed)
                .saturating_add(1),
        };
        if let Some(fault) = fault {
            self.remember(fault.to_string());
        }
        let dead = matches!(fault, Some(Fault::Broken(_))) && !self.connector.heals_itself();
        if dead || failures >= self.failures_max {
            slot.give_up(epoch);
        }
    }

    fn remember(&self, error: String) -> String {
        let mut last = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(error.clone());
        error
    }

    fn show_up(&self, index: usize) {
        if index == 0 {
            METRICS.redis_up.set(i64::from(self.is_up()));
        }
    }
}

impl Slot {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(u64, Link)>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lend(&self) -> Option<Lease<'_>> {
        let (epoch, link) = self.lock().clone()?;
        Some(Lease {
            slot: self,
            epoch,
            link,
        })
    }

    fn install(&self, epoch: u64, link: Link) {
        self.failures.store(0, Ordering::Relaxed);
        *self.lock() = Some((epoch, link));
    }

    /// Takes the connection away, unless it was replaced already.
    fn give_up(&self, epoch: u64) {
        let taken = self.lock().take_if(|(current, _)| *current == epoch);
        if taken.is_some() {
            self.broken.notify_one();
        }
    }
}
