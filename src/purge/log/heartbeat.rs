//! Who lives in this `PoP`, and how far each has read the purge log.
//!
//! A heartbeat dies by its TTL, and its age is told by Redis from that TTL, so that clocks of nodes
//! need not agree. Names stay listed for an hour longer: a purge's answer names who was silent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::clock::{self, UnixMillis};
use crate::limits;
use crate::metrics::RedisCall;
use crate::purge::Position;
use crate::purge::log::keys;
use crate::redis::connect::Link;
use crate::redis::pool::{Fault, Lane};
use crate::redis::{Ask, Redis};

/// How long a name stays listed after its last heartbeat.
const LISTED: Duration = Duration::from_secs(3600);
const BEAT: Ask = Ask {
    call: RedisCall::Heartbeat,
    lane: Lane::Control,
    within: limits::HEARTBEAT_CALL_MAX,
};

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its name, unique in the `PoP`.
    pub node: String,
    /// Its release.
    pub version: String,
    /// Where it listens.
    pub addresses: Vec<String>,
}

/// A heartbeat as Redis holds it. Unknown fields of newer releases are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    pub(super) node: String,
    pub(super) version: String,
    pub(super) addresses: Vec<String>,
    pub(super) incarnation: u64,
    pub(super) position: Position,
    /// The node's own clock, in milliseconds since 1970; for people.
    pub(super) time: u64,
}

/// What is known of a node of this `PoP`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeState {
    /// Its name.
    pub node: String,
    /// Its release; empty when its heartbeat is gone.
    pub version: String,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Which purge log it reads; another number than ours means that it does not know ours.
    pub incarnation: u64,
    /// How far it has read the purge log.
    pub position: Position,
    /// Milliseconds since its last heartbeat; `None` when that is gone.
    pub age_ms: Option<u64>,
}

impl NodeState {
    /// A node of which nothing but the name is known.
    pub(super) fn silent(node: String) -> Self {
        Self {
            node,
            version: String::new(),
            addresses: Vec::new(),
            incarnation: 0,
            position: Position::default(),
            age_ms: None,
        }
    }

    /// Whether its last heartbeat is younger than `span`.
    #[must_use]
    pub fn is_heard_within(&self, span: Duration) -> bool {
        self.age_ms
            .is_some_and(|age| Duration::from_millis(age) < span)
    }
}

/// The heartbeats in Redis.
#[derive(Clone)]
pub(super) struct Heartbeats {
    redis: Arc<Redis>,
}

impl Heartbeats {
    pub(super) fn new(redis: Arc<Redis>) -> Self {
        Self { redis }
    }

    /// Writes a heartbeat.
    pub(super) async fn beat(&self, beat: &Beat) -> Result<(), Fault> {
        let prefix = self.redis.prefix();
        let text =
            serde_json::to_string(beat).map_err(|error| Fault::Refused(error.to_string()))?;
        let mut set = redis::cmd("SET");
        set.arg(keys::node(prefix, &beat.node))
            .arg(text)
            .arg("PX")
            .arg(life_millis());
        self.redis
            .ask(BEAT, |mut link: Link| async move {
                set.exec_async(&mut link).await
            })
            .await?;
        let nodes = keys::nodes(prefix);
        let forgotten = UnixMillis(beat.time).before(LISTED).0;
        let mut list = redis::pipe();
        list.cmd("ZADD")
            .arg(&nodes)
            .arg(beat.time)
            .arg(&beat.node)
            .ignore();
        list.cmd("ZREMRANGEBYSCORE")
            .arg(&nodes)
            .arg("-inf")
            .arg(forgotten)
            .ignore();
        self.redis
            .ask(BEAT, |mut link: Link| async move {
                list.exec_async(&mut link).await
            })
            .await
    }

    /// Takes a node off the list, since it ends.
    pub(super) async fn leave(&self, node: &str) -> Result<(), Fault> {
        let prefix = self.redis.prefix();
        let mut remove = redis::cmd("ZREM");
        remove.arg(keys::nodes(prefix)).arg(node);
        let query = |mut link: Link| async move { remove.exec_async(&mut link).await };
        self.redis.ask(BEAT, query).await?;
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(keys::node(prefix, node));
        self.redis
            .ask(BEAT, |mut link: Link| async move {
                unlink.exec_async(&mut link).await
            })
            .await
    }

    /// Lists the nodes, living and lately silent.
    pub(super) async fn list(&self) -> Result<Vec<NodeState>, Fault> {
        let mut range = redis::cmd("ZREVRANGE");
        range
            .arg(keys::nodes(self.redis.prefix()))
            .arg(0)
            .arg(limits::NODES_MAX - 1);
        let query = |mut link: Link| async move { range.query_async(&mut link).await };
        let names: Vec<String> = self.redis.ask(BEAT, query).await?;
        let mut nodes = join_all(names.into_iter().map(|name| self.state(name))).await;
        nodes.sort_by(|a, b| a.node.cmp(&b.node));
        Ok(nodes)
    }

    async fn state(&self, node: String) -> NodeState {
        let key = keys::node(self.redis.prefix(), &node);
        let mut pipe = redis::pipe();
        pipe.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
        let query = |mut link: Link| async move {
            pipe.query_async::<(Option<String>, i64)>(&mut link).await
        };
        let heard = self.redis.ask(BEAT, query).await;
        let Ok((Some(text), left)) = heard else {
            return NodeState::silent(node);
        };
        let Ok(beat) = serde_json::from_str::<Beat>(&text) else {
            return NodeState::silent(node);
        };
        let left = u64::try_from(left).unwrap_or_default();
        NodeState {
            node,
            version: beat.version,
            addresses: beat.addresses,
            incarnation: beat.incarnation,
            position: beat.position,
            age_ms: Some(life_millis().saturating_sub(left)),
        }
    }
}

impl Beat {
    /// The heartbeat of a node that has read so far.
    pub(super) fn now(info: &NodeInfo, incarnation: u64, position: Position) -> Self {
        Self {
            node: info.node.clone(),
            version: info.version.clone(),
            addresses: info.addresses.clone(),
            incarnation,
            position,
            time: clock::now().0,
        }
    }
}

fn life_millis() -> u64 {
    u64::try_from(limits::HEARTBEAT_LIFE.as_millis()).unwrap_or(u64::MAX)
}
