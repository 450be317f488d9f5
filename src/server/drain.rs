//! The way out: from SIGTERM to the end of the last transfer.
//!
//! ```text
//!  serving ──SIGTERM──► not ready, accepting ──drain_delay──► closed ──idle or drain_timeout──► out
//!     └──────────────────────── SIGINT, or any second signal ─────────────────────────────────► out
//! ```
//! Pingora's own grace period sleeps to its end even when idle, so all waiting happens here, before
//! Pingora is told to stop.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::cache::engine::Engine;
use crate::config;
use crate::life::Life;
use crate::proxy::Flights;
use crate::proxy::gate::Gate;
use crate::purge::log::Purges;

/// How often a draining node looks whether it is idle.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long connections without a request are waited for. Most close at once; the peer of an HTTP/2
/// connection may be gone without a word.
const IDLE_CONNECTIONS: Duration = Duration::from_secs(1);

/// How long the other nodes are told of the leaving; their own clocks tell them too.
const FAREWELL: Duration = Duration::from_secs(1);

/// Waits for signals, and drains before it passes them on.
pub struct Drain {
    /// The node's life, which readiness is told from.
    pub life: Arc<Life>,
    /// Requests being answered.
    pub flights: Arc<Flights>,
    /// Connections open.
    pub gate: Arc<Gate>,
    /// Whose writes to Redis are waited for.
    pub engine: Arc<Engine>,
    /// Which tells the other nodes that this one leaves.
    pub purges: Arc<Purges>,
    /// `drain_delay` and `drain_timeout`.
    pub server: config::Server,
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut term), Ok(mut int)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        ) else {
            tracing::error!("signals cannot be watched: stopping takes SIGKILL");
            return std::future::pending().await;
        };
        self.life.serve();
        tracing::info!(node = self.server.node, "ready");
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => return self.fast(),
        }
        tokio::select! {
            () = self.drain() => {}
            () = either(&mut term, &mut int) => return self.fast(),
        }
        self.life.end();
        tracing::info!("stopped");
        ShutdownSignal::GracefulTerminate
    }
}

impl Drain {
    fn fast(&self) -> ShutdownSignal {
        self.life.drain();
        self.life.close();
        tracing::info!(requests_cut = self.flights.count(), "stopped at once");
        ShutdownSignal::FastShutdown
    }

    async fn drain(&self) {
        let delay = self.server.drain_delay;
        self.life.drain();
        tracing::info!(?delay, "draining: not ready, still accepting");
        tokio::time::sleep(delay).await;
        self.life.close();
        let end = Instant::now() + self.server.drain_timeout;
        tracing::info!(
            requests = self.flights.count(),
            timeout = ?self.server.drain_timeout,
            "draining: listeners closed"
        );
        if tokio::time::timeout_at(end, self.idle()).await.is_err() {
            tracing::warn!(requests_cut = self.flights.count(), "drain timeout reached");
        }
        let left = end.saturating_duration_since(Instant::now());
        if let Some(shared) = self.engine.shared()
            && !shared.drain(left).await
        {
            tracing::warn!("objects were left unwritten to redis");
        }
        if tokio::time::timeout(FAREWELL, self.purges.leave())
            .await
            .is_err()
        {
            tracing::debug!("other nodes were not told");
        }
    }

    /// Returns when no request is being answered and the connections have closed, or had time to.
    async fn idle(&self) {
        let mut quiet_since = Instant::now();
        loop {
            if self.flights.count() > 0 {
                quiet_since = Instant::now();
            } else if self.gate.open() == 0 || quiet_since.elapsed() >= IDLE_CONNECTIONS {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
