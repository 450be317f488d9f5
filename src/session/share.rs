//! What nodes know of sessions, shared by Redis: a task that writes behind, and a look-up.
//!
//! Redis slow, full, damaged or gone costs what other nodes know, and nothing else: writes are
//! dropped, and a manifest waits for [`limits::SESSION_RECALL_MAX`] at most. What comes later than
//! that is taken in for the next request.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use redis::RedisResult;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::clock::{self, UnixMillis};
use crate::limits;
use crate::metrics::{METRICS, RecallResult, RedisCall, ShareResult};
use crate::redis::connect::Link;
use crate::redis::pool::{Fault, Lane};
use crate::redis::{Ask, Redis};
use crate::session::Sessions;
use crate::session::client::Client;
use crate::session::record::{self, Kind, Place, Record};
use crate::session::secret::SECRET_BYTES;
use crate::session::who::Who;

/// How often the secret is looked up: Redis may have lost it, and other nodes drawn another.
const SECRET_EVERY: Duration = Duration::from_secs(10);

/// How soon and how often a node that starts asks again for the secret: Redis is reached within
/// milliseconds, and after a second the usual turns take over.
const AGREE_AGAIN: Duration = Duration::from_millis(50);
const AGREE_TRIES: u32 = 20;

/// Sessions ended and forgotten in one turn: what a full table loses in a minute.
const TIDY_MAX: usize = limits::SESSIONS_MAX / 30;

/// How a record is looked up. The answer may be of use after the manifest has gone without it.
const RECALL: Ask = Ask {
    call: RedisCall::Session,
    lane: Lane::Control,
    within: Duration::from_millis(200),
};

/// Writes a record unless there is a newer one; a moment that lies ahead of every clock is damage.
///
/// `KEYS[1]` the record's name, `ARGV[1]` the record, `ARGV[2]` its life in milliseconds, `ARGV[3]`
/// the latest moment that can be. A record begins with a letter and 15 digits of its moment.
const WRITE: &str = "\
local old = redis.call('GET', KEYS[1])
if old and string.sub(old, 1, 1) == string.sub(ARGV[1], 1, 1) then
  local at = tonumber(string.sub(old, 2, 16))
  if at and at > tonumber(string.sub(ARGV[1], 2, 16)) and at <= tonumber(ARGV[3]) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

impl Sessions {
    /// Shares, forgets and measures until the future is dropped. Run it once.
    pub async fn run(self: &Arc<Self>) {
        let mut tick = interval(limits::SESSION_SHARE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut agreed = self.agree_at_once().await;
        loop {
            tick.tick().await;
            let now = clock::now();
            self.tidy(now);
            let Some(redis) = &self.redis else {
                continue;
            };
            let due = agreed.is_none_or(|at| at.elapsed() >= SECRET_EVERY);
            if due && self.config.secret.is_none() && self.agree(redis).await.is_ok() {
                agreed = Some(Instant::now());
            }
            self.share(redis, now).await;
        }
    }

    /// Ends silent sessions and counts how they played.
    pub(super) fn tidy(&self, now: UnixMillis) {
        let (ended, known) = {
            let mut knowledge = self.knowledge();
            knowledge.tidy(TIDY_MAX, now);
            (knowledge.take_ended(), knowledge.sessions())
        };
        METRICS
            .sessions
            .set(i64::try_from(known).unwrap_or(i64::MAX));
        let mut sites = self.sites();
        for ended in &ended {
            sites.ended(ended, now);
        }
        sites.show(now);
    }

    /// Agrees as soon as Redis is reached, or not within [`AGREE_TRIES`] times [`AGREE_AGAIN`]: what
    /// is minted before is read on this node alone. When it did, where it had to and could.
    async fn agree_at_once(&self) -> Option<Instant> {
        let redis = self.redis.as_ref()?;
        if self.config.secret.is_some() {
            return None;
        }
        for _ in 0..AGREE_TRIES {
            if self.agree(redis).await.is_ok() {
                return Some(Instant::now());
            }
            tokio::time::sleep(AGREE_AGAIN).await;
        }
        None
    }

    /// Agrees with the other nodes on a secret: the one that was in Redis first.
    async fn agree(&self, redis: &Redis) -> Result<(), Fault> {
        let name = record::secret_key(redis.prefix());
        let own = self.ring().secret().to_vec();
        let query = |mut link: Link| async move {
            let mut set = redis::cmd("SET");
            set.arg(&name).arg(own).arg("NX");
            set.exec_async(&mut link).await?;
            redis::cmd("GET").arg(&name).query_async(&mut link).await
        };
        let shared: Vec<u8> = redis.write(query).await?;
        if shared.len() != SECRET_BYTES {
            METRICS.session_recalls.of(RecallResult::Damaged).inc();
            return Ok(());
        }
        let mut ring = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if ring.replace(&shared) {
            tracing::info!("session secret taken from redis");
        }
        Ok(())
    }

    /// Writes what has changed, until all that waited is written or Redis fails. What changes
    /// meanwhile waits for the next turn, so that a slow Redis keeps no session from ending.
    async fn share(&self, redis: &Redis, now: UnixMillis) {
        for _ in 0..limits::SESSION_SHARES_MAX.div_ceil(limits::SESSION_SHARES_BATCH) {
            let records = self.knowledge().to_share(limits::SESSION_SHARES_BATCH, now);
            if records.is_empty() {
                return;
            }
            let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
            let written = write(redis, records, now).await;
            let Ok(newer) = written else {
                METRICS.session_shares.of(ShareResult::Failed).inc_by(count);
                return;
            };
            let older = count.saturating_sub(newer);
            METRICS
                .session_shares
                .of(ShareResult::Written)
                .inc_by(newer);
            METRICS.session_shares.of(ShareResult::Older).inc_by(older);
        }
    }

    /// Fetches what other nodes know of `who` and `client`, unless it is known here; waits for
    /// [`limits::SESSION_RECALL_MAX`] at most.
    pub async fn recall(self: &Arc<Self>, who: Option<Who>, client: &Client, now: UnixMillis) {
        if self.redis.is_none() {
            return;
        }
        let places = self.knowledge().unknown(who, client, now);
        if !places.is_empty() {
            self.look_up(places, now).await;
        }
    }

    /// What a session was told of a title, by this node or another one; waits as
    /// [`Sessions::recall`] does.
    pub async fn last_told(self: &Arc<Self>, name: [u8; 16], now: UnixMillis) -> Option<String> {
        let kind = Kind::Told;
        self.look_up(vec![Place { kind, name }], now).await;
        self.knowledge().told(&name).map(str::to_owned)
    }

    /// Notes what a session was told, for this node and the others. It waits for them no longer
    /// than for a look-up, so that its next request finds it wherever it goes.
    pub async fn tell(self: &Arc<Self>, name: [u8; 16], text: String, now: UnixMillis) {
        if text.len() > limits::TOLD_BYTES_MAX {
            return;
        }
        self.knowledge().tell(name, text.clone(), now);
        let Some(redis) = self.redis.as_ref().map(Arc::clone) else {
            return;
        };
        let Ok(permit) = Arc::clone(&self.recalls).try_acquire_owned() else {
            METRICS.session_shares.of(ShareResult::Dropped).inc();
            return;
        };
        let kind = Kind::Told;
        let record = (Place { kind, name }, Record::Told(text, now));
        let writing = async move {
            let _permit = permit;
            let result = match write(&redis, vec![record], now).await {
                Ok(1..) => ShareResult::Written,
                Ok(0) => ShareResult::Older,
                Err(_) => ShareResult::Failed,
            };
            METRICS.session_shares.of(result).inc();
        };
        // What takes longer is written all the same.
        drop(timeout(limits::SESSION_RECALL_MAX, tokio::spawn(writing)).await);
    }

    async fn look_up(self: &Arc<Self>, places: Vec<Place>, now: UnixMillis) {
        let redis = self.redis.as_ref().filter(|redis| redis.admits_reads());
        let Some(redis) = redis.map(Arc::clone) else {
            return;
        };
        let Ok(permit) = Arc::clone(&self.recalls).try_acquire_owned() else {
            METRICS.session_recalls.of(RecallResult::Refused).inc();
            return;
        };
        let sessions = Arc::clone(self);
        let fetching = async move { sessions.fetch(&redis, places, now, permit).await };
        let fetched = timeout(limits::SESSION_RECALL_MAX, tokio::spawn(fetching)).await;
        if fetched.is_err() {
            METRICS.session_recalls_late.inc();
        }
    }

    async fn fetch(
        &self,
        redis: &Redis,
        places: Vec<Place>,
        now: UnixMillis,
        _permit: OwnedSemaphorePermit,
    ) {
        let names: Vec<String> = places.iter().map(|p| p.key(redis.prefix())).collect();
        // One by one and all at once: in a cluster they lie in different places.
        let query = |link: Link| async move {
            let get = |name: &String| {
                let (mut link, mut get) = (link.clone(), redis::cmd("GET"));
                get.arg(name);
                async move { get.query_async(&mut link).await }
            };
            let found = join_all(names.iter().map(get)).await;
            found.into_iter().collect()
        };
        let found: Result<Vec<Option<Bytes>>, Fault> = redis.ask(RECALL, query).await;
        let count = |result| METRICS.session_recalls.of(result).inc();
        let Ok(found) = found else {
            return count(RecallResult::Failed);
        };
        for (place, bytes) in places.into_iter().zip(found) {
            let Some(bytes) = bytes else {
                count(RecallResult::Absent);
                continue;
            };
            let Some(record) = Record::read(place.kind, &bytes, now) else {
                count(RecallResult::Damaged);
                continue;
            };
            count(RecallResult::Found);
            self.knowledge().recalled(place, record, now);
        }
    }
}

/// Writes records where Redis has none that is newer; says how many were written.
async fn write(
    redis: &Redis,
    records: Vec<(Place, Record)>,
    now: UnixMillis,
) -> Result<u64, Fault> {
    let latest = now.after(record::CLOCKS_APART).0;
    let write = |(place, record): (Place, Record)| {
        let mut eval = redis::cmd("EVAL");
        eval.arg(WRITE)
            .arg(1)
            .arg(place.key(redis.prefix()))
            .arg(record.to_bytes())
            .arg(u64::try_from(place.kind.life().as_millis()).unwrap_or(u64::MAX))
            .arg(latest);
        eval
    };
    let writes: Vec<redis::Cmd> = records.into_iter().map(write).collect();
    let query = |link: Link| async move {
        let run = |eval: &redis::Cmd| {
            let (mut link, eval) = (link.clone(), eval.clone());
            async move { eval.query_async::<u64>(&mut link).await }
        };
        let done: Vec<RedisResult<u64>> = join_all(writes.iter().map(run)).await;
        done.into_iter().sum()
    };
    redis.write(query).await
}
