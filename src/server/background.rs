//! What runs beside requests: Redis, the purge log, housekeeping and health checks of origins.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::time::Instant;

use crate::cache::ask::Source;
use crate::cache::engine::Engine;
use crate::life::Life;
use crate::life::duress::{Duress, Load, Measure};
use crate::limits::FLIGHTS_MAX;
use crate::metrics::METRICS;
use crate::prefetch::Prefetch;
use crate::proxy::gate::Gate;
use crate::purge::log::Purges;
use crate::redis::Redis;
use crate::session::Sessions;
use crate::session::pathways::Pathways;

/// How often origins are offered a health check; each knows which of its own are due.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How often the node's load is measured: bursts shorter than this the queues take.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The background tasks of a node.
pub struct Tasks {
    /// The Redis client, where there is one.
    pub redis: Option<Arc<Redis>>,
    /// The purge log.
    pub purges: Arc<Purges>,
    /// The engine.
    pub engine: Arc<Engine>,
    /// Who clients are, and how fast.
    pub sessions: Arc<Sessions>,
    /// What brings ahead what players will ask for.
    pub prefetch: Arc<Prefetch>,
    /// Every site with its origin.
    pub sources: Vec<Arc<Source>>,
    /// Client connections.
    pub gate: Arc<Gate>,
    /// Whether the node drains.
    pub life: Arc<Life>,
    /// What is told of the node's load.
    pub duress: Arc<Duress>,
    /// The pathways of other `PoP`s.
    pub pathways: Arc<Pathways>,
}

#[async_trait]
impl BackgroundService for Tasks {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.run() => {}
            // An error means that the server is gone, which is the end as well.
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }
}

impl Tasks {
    async fn run(&self) {
        tokio::join!(
            Box::pin(self.redis()),
            Box::pin(self.write_behind()),
            Box::pin(self.purges.run()),
            Box::pin(self.sessions.run()),
            Box::pin(self.prefetch.run()),
            Box::pin(self.probe()),
            Box::pin(self.pathways.run()),
            Box::pin(self.measure()),
        );
    }

    async fn redis(&self) {
        if let Some(redis) = &self.redis {
            redis.start().await;
        }
    }

    async fn write_behind(&self) {
        if let Some(shared) = self.engine.shared() {
            shared.start().await;
        }
    }

    async fn probe(&self) {
        let mut every = tokio::time::interval(PROBE_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            join_all(self.sources.iter().map(|source| source.origin.probe())).await;
        }
    }

    /// Judges the node's load once in a while.
    async fn measure(&self) {
        let mut every = tokio::time::interval(MEASURE_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            if !self.duress.measured(&self.measures(), Instant::now()) {
                continue;
            }
            let load = self.duress.load();
            METRICS.duress.set(i64::from(load == Load::Duress));
            match load {
                Load::Duress => tracing::warn!("under duress"),
                Load::Well => tracing::info!("no longer under duress"),
            }
        }
    }

    fn measures(&self) -> [Measure; 4] {
        let memory = self.engine.memory();
        let of = |used: usize, most: usize| Measure {
            used: used as u64,
            most: most as u64,
        };
        [
            // Whoever drains wants nobody to come.
            of(usize::from(self.life.is_draining()), 1),
            of(self.gate.open(), self.gate.most()),
            of(memory.held(), memory.budget().limit()),
            of(self.engine.flights().count(), FLIGHTS_MAX),
        ]
    }
}
