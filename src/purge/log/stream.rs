//! The log that the nodes share: a stream in Redis and the incarnation beside it, in one slot.
//!
//! Neither has a TTL. Where they are lost all the same (flushed, evicted, or a failover to a
//! replica that lagged), the incarnation is new or made new, and what nodes hold becomes suspect.

use std::sync::Arc;

use redis::{FromRedisValue, Value};
use xxhash_rust::xxh3::xxh3_64;

use crate::limits;
use crate::metrics::RedisCall;
use crate::purge::Position;
use crate::purge::log::keys;
use crate::purge::order::Order;
use crate::redis::connect::Link;
use crate::redis::pool::{Fault, Lane};
use crate::redis::{Ask, Redis};

/// How the log is read.
const READ: Ask = Ask {
    call: RedisCall::Log,
    lane: Lane::Control,
    within: limits::PURGE_CALL_MAX,
};
/// How it is appended to: on the connection that waits for the replica.
const APPEND: Ask = Ask {
    call: RedisCall::Log,
    lane: Lane::Writes,
    within: limits::PURGE_CALL_MAX,
};

/// Gives the log a new incarnation, unless somebody else did.
const ROTATE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
                      redis.call('SET', KEYS[1], ARGV[2]) end return 1";

/// A look at the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) incarnation: u64,
    pub(super) first: Position,
    pub(super) last: Position,
    /// Entries in the whole log.
    pub(super) length: usize,
    /// Entries after the cursor, at most a page; `None` is an order of a newer release.
    pub(super) entries: Vec<(Position, Option<Order>)>,
}

/// What appending gave.
#[derive(Debug, Clone)]
pub(super) struct Appended {
    pub(super) incarnation: u64,
    /// One for each order, in their sequence.
    pub(super) positions: Vec<Position>,
}

/// The shared log.
#[derive(Clone)]
pub(super) struct Stream {
    redis: Arc<Redis>,
}

type Entries = Vec<(String, Vec<(String, String)>)>;
type Row = (Option<Vec<u8>>, Entries, Entries, usize, Entries);

impl Stream {
    pub(super) fn new(redis: Arc<Redis>) -> Self {
        Self { redis }
    }

    /// Reads what comes after `cursor`, and how the log stands. Writes only where there is no log:
    /// a full Redis refuses writes, and its log must be read all the same.
    pub(super) async fn read(&self, cursor: Position) -> Result<Page, Fault> {
        let prefix = self.redis.prefix();
        let (log, incarnation) = (keys::log(prefix), keys::incarnation(prefix));
        let mut pipe = redis::pipe();
        pipe.cmd("GET").arg(&incarnation);
        pipe.cmd("XRANGE")
            .arg(&log)
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(1);
        pipe.cmd("XREVRANGE")
            .arg(&log)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(1);
        pipe.cmd("XLEN").arg(&log);
        let after = format!("({cursor}");
        pipe.cmd("XRANGE")
            .arg(&log)
            .arg(after)
            .arg("+")
            .arg("COUNT")
            .arg(limits::PURGE_PAGE);
        let query = |mut link: Link| async move { pipe.query_async::<Row>(&mut link).await };
        let (incarnation, first, last, length, entries) = self.redis.ask(READ, query).await?;
        let incarnation = match incarnation {
            Some(name) => named(&name),
            None => self.begin().await?,
        };
        let position = |entries: Entries| match entries.first() {
            Some((id, _)) => parse(id),
            None => Ok(Position::default()),
        };
        let entries = entries
            .iter()
            .map(|(id, fields)| Ok((parse(id)?, order(fields))));
        Ok(Page {
            incarnation,
            first: position(first)?,
            last: position(last)?,
            length,
            entries: entries.collect::<Result<_, Fault>>()?,
        })
    }

    /// Gives a log that has none an incarnation; somebody else's may come first.
    async fn begin(&self) -> Result<u64, Fault> {
        let key = keys::incarnation(self.redis.prefix());
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg(&key).arg(fresh()).arg("NX").ignore();
        pipe.cmd("GET").arg(&key);
        let query = |mut link: Link| async move { pipe.query_async::<(Vec<u8>,)>(&mut link).await };
        self.redis
            .ask(READ, query)
            .await
            .map(|(name,)| named(&name))
    }

    /// Appends orders, all on one trip.
    pub(super) async fn append(&self, orders: &[Order]) -> Result<Appended, Fault> {
        let prefix = self.redis.prefix();
        let mut pipe = redis::pipe();
        pipe.cmd("SET")
            .arg(keys::incarnation(prefix))
            .arg(fresh())
            .arg("NX")
            .ignore();
        pipe.cmd("GET").arg(keys::incarnation(prefix));
        for order in orders {
            let (kind, name) = order.to_words();
            pipe.cmd("XADD")
                .arg(keys::log(prefix))
                .arg("MAXLEN")
                .arg("~")
                .arg(limits::PURGE_LOG_MAX);
            pipe.arg("*").arg("kind").arg(kind).arg("name").arg(name);
        }
        let query =
            |mut link: Link| async move { pipe.query_async::<Vec<Vec<u8>>>(&mut link).await };
        let answer = self.redis.ask(APPEND, query).await?;
        let mut answer = answer.iter().map(Vec::as_slice);
        let name = answer.next().unwrap_or_default();
        let positions = answer.map(|id| parse(&String::from_utf8_lossy(id)));
        Ok(Appended {
            incarnation: named(name),
            positions: positions.collect::<Result<_, Fault>>()?,
        })
    }

    /// Waits a moment for one replica to have what was appended, where there is one; says how many
    /// have it.
    pub(super) async fn replicate(&self) -> u64 {
        let log = keys::log(self.redis.prefix());
        let query = |mut link: Link| async move {
            let role = link.send_beside(&log, &redis::cmd("ROLE")).await?;
            if !has_replica(&role) {
                return Ok(0);
            }
            let mut wait = redis::cmd("WAIT");
            wait.arg(1)
                .arg(u64::try_from(limits::PURGE_REPLICA_WAIT.as_millis()).unwrap_or_default());
            let replicas = link.send_beside(&log, &wait).await?;
            Ok(u64::from_redis_value(replicas)?)
        };
        self.redis.ask(APPEND, query).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "no replica confirmed a purge");
            0
        })
    }

    /// Makes the log a new one for everybody, since it went back behind what was read of it.
    pub(super) async fn rotate(&self, old: u64) -> Result<(), Fault> {
        let mut eval = redis::cmd("EVAL");
        eval.arg(ROTATE)
            .arg(1)
            .arg(keys::incarnation(self.redis.prefix()))
            .arg(old)
            .arg(fresh());
        let query = |mut link: Link| async move { eval.exec_async(&mut link).await };
        self.redis.ask(READ, query).await
    }
}

/// Reads an incarnation. A damaged one is another incarnation, the same for every node: what they
/// hold becomes suspect once, and the log goes on.
fn named(name: &[u8]) -> u64 {
    let number = std::str::from_utf8(name)
        .ok()
        .and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| xxh3_64(name).max(1))
}

/// Draws an incarnation; 0 is that of a node without Redis.
pub(super) fn fresh() -> u64 {
    fastrand::u64(1..)
}

fn parse(id: &str) -> Result<Position, Fault> {
    id.parse()
        .map_err(|_| Fault::Refused(format!("stream id {id:?}")))
}

fn order(fields: &[(String, String)]) -> Option<Order> {
    let field = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    };
    Order::from_words(field("kind")?, field("name")?)
}

/// Whether an answer to ROLE is that of a master with replicas.
fn has_replica(role: &Value) -> bool {
    let Value::Array(role) = role else {
        return false;
    };
    matches!(role.get(2), Some(Value::Array(replicas)) if !replicas.is_empty())
}
