//! Purging: appends to the log, reads it into the table, and tells who has seen what.
//!
//! With Redis the log is shared: every node polls it, enters what it finds into its table and
//! reports in its heartbeat how far it has read. Without Redis a node's log is its own, and a purge
//! says that it reached this node only.
//!
//! Until the shared log was read once a node stamps what it fetches with an incarnation that no
//! other node knows: to others, and to itself once it has read the log, that is suspect and is
//! revalidated. For the same reason it suspects every record that others stamped.

pub mod heartbeat;
mod keys;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::config;
use crate::limits;
use crate::metrics::{METRICS, PurgeResult};
use crate::purge::log::heartbeat::{Beat, Heartbeats, NodeInfo, NodeState};
use crate::purge::log::stream::{Page, Stream};
use crate::purge::order::{Order, Scope};
use crate::purge::table::Table;
use crate::purge::{Position, Stamp, Subject, Verdict};
use crate::redis::Redis;

/// How often the answer to a purge looks who has confirmed.
const CONFIRM_POLL: Duration = Duration::from_millis(50);
/// A node silent for longer is not waited for, only named.
const CONFIRM_HEARD: Duration = Duration::from_secs(3);

/// Name of all other nodes together.
const ANYBODY: &str = "*";

/// Purges as this node knows them.
pub struct Purges {
    table: Table,
    shared: Option<(Stream, Heartbeats)>,
    config: config::Purge,
    node: NodeInfo,
    born: Instant,
    /// When the log was last read to its end, in milliseconds since `born`.
    read_at: AtomicU64,
    /// Wakes the reader of the log.
    appended: Notify,
}

/// The answer to a purge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Place in the log; that of the last of several orders.
    pub position: Position,
    /// Nodes that answer accordingly from now on, this one first.
    pub confirmed: Vec<Confirmed>,
    /// Nodes that did not say so in time: behind, silent, or cut off (`*` where Redis did not say
    /// which there are). They follow as soon as they read the log again.
    pub unconfirmed: Vec<String>,
    /// Whether it reached this node only: there is no Redis, or none that took it.
    pub local_only: bool,
    /// Replicas of Redis that have the purge; with 0 a failover at this moment may lose it.
    pub replicas: u64,
}

/// A node that has a purge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Its name.
    pub node: String,
    /// How far it has read the log.
    pub position: Position,
}

/// Why a purge is not in the shared log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// Redis did not take it. This node purged what it holds, others did not.
    #[error("redis did not take the purge, so that this node alone has purged: {reason}")]
    Unreachable {
        /// What Redis or the way to it said.
        reason: String,
        /// What was done all the same: this node is confirmed, and nobody else.
        receipt: Box<Receipt>,
    },
}

/// How far the log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cursor {
    incarnation: u64,
    position: Position,
}

/// What to do after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There is more to read.
    Again,
    /// The log was read to its end.
    End,
    /// The log ends before what was read of it: it lost purges.
    Lost,
}

/// An order that is not in the log, and where it stands in this node's table.
struct Unlogged {
    reason: String,
    position: Position,
}

/// How another node stood to a purge.
enum Seen {
    Confirmed(Confirmed),
    Unconfirmed(String),
}

impl Seen {
    fn of(state: NodeState, target: Cursor) -> Self {
        match has_read(&state, target) {
            true => Self::Confirmed(Confirmed {
                position: state.position,
                node: state.node,
            }),
            false => Self::Unconfirmed(state.node),
        }
    }

    /// Stands for all other nodes where Redis did not say who they are.
    fn nobody() -> Self {
        Self::Unconfirmed(ANYBODY.to_owned())
    }
}

impl Purges {
    /// Purges shared through `redis`, or of this node alone. Does no IO.
    #[must_use]
    pub fn new(redis: Option<Arc<Redis>>, config: &config::Purge, node: NodeInfo) -> Arc<Self> {
        let incarnation = if redis.is_some() { stream::fresh() } else { 0 };
        Arc::new(Self {
            table: Table::new(incarnation),
            shared: redis.map(|r| (Stream::new(Arc::clone(&r)), Heartbeats::new(r))),
            config: config.clone(),
            node,
            born: Instant::now(),
            read_at: AtomicU64::new(0),
            appended: Notify::new(),
        })
    }

    /// Reads the log and writes heartbeats until the future is dropped. Run it once.
    pub async fn run(self: &Arc<Self>) {
        let Some((shared, heartbeats)) = &self.shared else {
            return std::future::pending().await;
        };
        let mut cursor = Cursor::default();
        let (mut told, mut beaten) = (cursor, None::<Instant>);
        loop {
            if let Err(error) = self.catch_up(shared, &mut cursor).await {
                tracing::debug!(%error, "purge log not read");
            }
            self.show_age();
            let due = beaten.is_none_or(|at| at.elapsed() >= limits::HEARTBEAT_EVERY);
            if due || told != cursor {
                let beat = Beat::now(&self.node, cursor.incarnation, cursor.position);
                match heartbeats.beat(&beat).await {
                    Ok(()) => (told, beaten) = (cursor, Some(Instant::now())),
                    Err(error) => tracing::debug!(%error, "heartbeat not written"),
                }
            }
            // What is filled before the log was read once is suspect to everyone: read it soon.
            let pause = match cursor == Cursor::default() {
                true => limits::PURGE_FIRST_POLL,
                false => limits::PURGE_POLL,
            };
            // Either end of the wait is a reason to read.
            drop(timeout(pause, self.appended.notified()).await);
        }
    }

    /// The stamp of a response; taken before the origin is asked for it.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.table.stamp()
    }

    /// Counts what may alter verdicts; a verdict given after this was read holds while it stands.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.table.version()
    }

    /// Judges a stored response.
    #[must_use]
    pub fn verdict(&self, subject: Subject<'_>) -> Verdict {
        self.table.verdict(subject)
    }

    /// Whether the shared log was not read for longer than the lease, so that purges of other nodes
    /// may be unknown here. Never without Redis.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.shared.is_some() && self.silence() > self.config.lease
    }

    /// Whether the shared log was not read yet and may still be read soon: what lies in Redis is
    /// suspect until then, so it is early to serve. Ends by itself where Redis does not answer.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        let is_unread = self.read_at.load(Ordering::Relaxed) == 0;
        self.shared.is_some() && is_unread && self.born.elapsed() < limits::PURGE_FIRST_WAIT_MAX
    }

    /// Whether stored responses must be revalidated before each use, since the node is cut off and
    /// was told to ask then.
    #[must_use]
    pub fn must_revalidate(&self) -> bool {
        self.config.cut_off == config::CutOff::Revalidate && self.is_cut_off()
    }

    /// Purges: appends to the log, applies it here, and waits up to a second for the other nodes.
    ///
    /// Several orders are several entries of the log with one receipt.
    ///
    /// # Errors
    ///
    /// [`PurgeError`] when Redis is configured and did not take it; this node purged all the same.
    pub async fn purge(&self, orders: &[Order]) -> Result<Receipt, PurgeError> {
        let Some((shared, heartbeats)) = &self.shared else {
            let position = self.apply_here(orders);
            METRICS.purges.of(PurgeResult::Local).inc();
            tracing::info!(orders = words(orders), %position, "purged on this node");
            return Ok(self.receipt(position, Vec::new(), 0));
        };
        let target = match self.append(shared, orders).await {
            Ok(target) => target,
            Err(Unlogged { reason, position }) => {
                METRICS.purges.of(PurgeResult::Failed).inc();
                tracing::error!(orders = words(orders), reason, "purged on this node only");
                let others = vec![Seen::nobody()];
                let mut receipt = self.receipt(position, others, 0);
                receipt.local_only = true;
                let receipt = Box::new(receipt);
                return Err(PurgeError::Unreachable { reason, receipt });
            }
        };
        METRICS.purges.of(PurgeResult::Logged).inc();
        let replicas = shared.replicate().await;
        let nodes = self.confirm(heartbeats, target).await;
        let receipt = self.receipt(target.position, nodes, replicas);
        let unconfirmed = &receipt.unconfirmed;
        let position = target.position;
        tracing::info!(orders = words(orders), %position, ?unconfirmed, "purged");
        Ok(receipt)
    }

    /// Like [`Purges::purge`], hard, for what a client's own request changed: nobody asked for a
    /// receipt, so the other nodes are not waited for. How much a client may cause is for the caller
    /// to bound.
    pub async fn invalidate(&self, scopes: Vec<Scope>) {
        let orders: Vec<_> = scopes.into_iter().map(Scope::hard).collect();
        let Some((shared, _)) = &self.shared else {
            self.apply_here(&orders);
            return;
        };
        if let Err(Unlogged { reason, .. }) = self.append(shared, &orders).await {
            tracing::warn!(
                orders = words(&orders),
                reason,
                "change not told to other nodes"
            );
        }
    }

    /// Like [`Purges::invalidate`] for what a response replaces, on a node without Redis: gives the
    /// stamp under which the response may be stored ([`Table::supersede`]). In a shared log purges
    /// of other nodes show late, so with one there is none.
    #[must_use]
    pub fn supersede(&self, subject: Subject<'_>) -> Option<Stamp> {
        let order = Scope::Url(subject.key.clone()).hard();
        let stamp = self.table.supersede(subject, &order);
        stamp.filter(|_| self.shared.is_none())
    }

    /// Appends to the log and applies here, which is done whatever becomes of the log.
    async fn append(&self, shared: &Stream, orders: &[Order]) -> Result<Cursor, Unlogged> {
        let appended = match shared.append(orders).await {
            Ok(appended) => appended,
            Err(error) => {
                let (reason, position) = (error.to_string(), self.apply_here(orders));
                return Err(Unlogged { reason, position });
            }
        };
        let mut last = self.stamp().position;
        for (position, order) in appended.positions.iter().zip(orders) {
            self.table.apply(*position, order);
            last = *position;
        }
        self.appended.notify_one();
        Ok(Cursor {
            incarnation: appended.incarnation,
            position: last,
        })
    }

    fn apply_here(&self, orders: &[Order]) -> Position {
        let positions = orders.iter().map(|order| self.table.apply_here(order));
        positions.last().unwrap_or(self.stamp().position)
    }

    /// The nodes of this `PoP`, this one included; only this one when Redis does not say.
    pub async fn nodes(&self) -> Vec<NodeState> {
        let listed = match &self.shared {
            Some((_, heartbeats)) => heartbeats.list().await.unwrap_or_default(),
            None => Vec::new(),
        };
        if listed.iter().any(|state| state.node == self.node.node) {
            return listed;
        }
        let Stamp {
            incarnation,
            position,
        } = self.stamp();
        let this = NodeState {
            node: self.node.node.clone(),
            version: self.node.version.clone(),
            addresses: self.node.addresses.clone(),
            incarnation,
            position,
            age_ms: None,
        };
        listed.into_iter().chain([this]).collect()
    }

    /// Takes this node off the list of nodes, since it ends.
    pub async fn leave(&self) {
        if let Some((_, heartbeats)) = &self.shared
            && let Err(error) = heartbeats.leave(&self.node.node).await
        {
            tracing::debug!(%error, "heartbeat not removed");
        }
    }

    /// Reads the log to its end.
    async fn catch_up(
        &self,
        shared: &Stream,
        cursor: &mut Cursor,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        loop {
            // Before the answer, which may have been on its way for a while: the lease counts from
            // what is known.
            let asked = self.born.elapsed().as_millis();
            let page = shared.read(cursor.position).await?;
            match self.digest(cursor, &page) {
                Step::Again => {}
                Step::End => {
                    let asked = u64::try_from(asked).unwrap_or(u64::MAX);
                    self.read_at.store(asked.max(1), Ordering::Relaxed);
                    return Ok(());
                }
                Step::Lost => {
                    tracing::warn!(read = %cursor.position, "the purge log lost entries");
                    shared.rotate(cursor.incarnation).await?;
                }
            }
        }
    }

    /// Enters a page into the table.
    fn digest(&self, cursor: &mut Cursor, page: &Page) -> Step {
        if page.incarnation != cursor.incarnation {
            tracing::info!(
                incarnation = page.incarnation,
                "reading a purge log new to this node"
            );
            self.table.reset(page.incarnation);
            *cursor = Cursor {
                incarnation: page.incarnation,
                position: Position::default(),
            };
            return Step::Again;
        }
        if cursor.position > page.last {
            return Step::Lost;
        }
        // Only a log at its bound was ever trimmed; what lay before its first entry is unknown.
        if page.length >= limits::PURGE_LOG_MAX && page.first > cursor.position {
            self.table.raise_floor(page.first);
        }
        for (position, order) in &page.entries {
            match order {
                Some(order) => self.table.apply(*position, order),
                // A newer release purged something that this one cannot name: suspect everything.
                None => self.table.raise_floor(*position),
            }
            cursor.position = cursor.position.max(*position);
        }
        if page.entries.len() >= limits::PURGE_PAGE {
            return Step::Again;
        }
        self.table.known();
        Step::End
    }

    /// Waits for the other living nodes to have read up to `target`; gives how all of them stood.
    async fn confirm(&self, heartbeats: &Heartbeats, target: Cursor) -> Vec<Seen> {
        let started = Instant::now();
        let mut nodes = vec![Seen::nobody()];
        loop {
            let mut waiting = true;
            if let Ok(mut listed) = heartbeats.list().await {
                listed.retain(|state| state.node != self.node.node);
                waiting = listed
                    .iter()
                    .any(|state| !has_read(state, target) && state.is_heard_within(CONFIRM_HEARD));
                nodes = listed.into_iter().map(|s| Seen::of(s, target)).collect();
            }
            if !waiting || started.elapsed() >= limits::PURGE_CONFIRM_WAIT {
                return nodes;
            }
            sleep(CONFIRM_POLL).await;
        }
    }

    fn receipt(&self, position: Position, others: Vec<Seen>, replicas: u64) -> Receipt {
        let mut confirmed = vec![Confirmed {
            node: self.node.node.clone(),
            position,
        }];
        let mut unconfirmed = Vec::new();
        for other in others {
            match other {
                Seen::Confirmed(node) => confirmed.push(node),
                Seen::Unconfirmed(node) => unconfirmed.push(node),
            }
        }
        Receipt {
            position,
            confirmed,
            unconfirmed,
            local_only: self.shared.is_none(),
            replicas,
        }
    }

    /// How long the log was not read.
    fn silence(&self) -> Duration {
        let read_at = Duration::from_millis(self.read_at.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(read_at)
    }

    fn show_age(&self) {
        let age = i64::try_from(self.silence().as_secs()).unwrap_or(i64::MAX);
        METRICS.purge_log_age_seconds.set(age);
    }
}

fn words(orders: &[Order]) -> String {
    let words: Vec<_> = orders.iter().map(ToString::to_string).collect();
    words.join(", ")
}

fn has_read(state: &NodeState, target: Cursor) -> bool {
    state.incarnation == target.incarnation && state.position >= target.position
}

#[cfg(test)]
mod tests;
