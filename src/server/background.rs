//! What runs beside requests: Redis, the purge log, housekeeping and health checks of origins.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::cache::ask::Source;
use crate::cache::engine::Engine;
use crate::purge::log::Purges;
use crate::redis::Redis;

/// How often origins are offered a health check; each knows which of its own are due.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The background tasks of a node.
pub struct Tasks {
    /// The Redis client, where there is one.
    pub redis: Option<Arc<Redis>>,
    /// The purge log.
    pub purges: Arc<Purges>,
    /// The engine.
    pub engine: Arc<Engine>,
    /// Every site with its origin.
    pub sources: Vec<Arc<Source>>,
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
            Box::pin(self.probe()),
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
}
