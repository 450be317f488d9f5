//! Who a client is, and how fast: what requests have shown, kept where the next one finds it.
//!
//! The pure parts: [`id`] (signed session ids), [`client`] (keyed hashes of addresses), [`cmcd`] and
//! [`cmsd`] (what players and edges tell each other), [`sample`] and [`estimator`] (throughput),
//! [`belief`] (what is thought of a client between sessions), [`start`] (the start rung),
//! [`holdout`] (whether hints help), [`steering`] (which `PoP`
//! players should go to). [`tcp_info`] reads the kernel,
//! [`pathways`] asks other `PoP`s how they are. [`Sessions`] holds the tables
//! and shares them by Redis.
//!
//! Invariants: no address is stored, only keyed hashes of one. Losing or forging an id costs
//! knowledge, never playback. Every table is bounded, and so is every wait for Redis.

pub mod belief;
pub mod client;
pub mod cmcd;
pub mod cmsd;
pub mod estimator;
pub mod holdout;
pub mod id;
pub mod pathways;
pub mod sample;
pub mod start;
pub mod steering;
pub mod tcp_info;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixMillis;
use crate::config;
use crate::redis::Redis;
use belief::Belief;
use client::Client;
use cmcd::Report;
use estimator::Estimate;
use holdout::Arm;
use id::SessionId;
use sample::Sample;

/// Who a request belongs to, by the best name there is: session id, CMCD `sid`, or client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Who(pub [u8; 16]);

/// The tables of sessions and clients.
pub struct Sessions {
    _redis: Option<Arc<Redis>>,
}

/// A session as operators see it.
#[derive(Debug, Clone)]
pub struct Live {
    /// A short name: the beginning of the hash of its id.
    pub name: String,
    /// Site.
    pub site: String,
    /// What is known of its throughput.
    pub estimate: Option<Estimate>,
    /// The rung that plays, in bit/s (CMCD `br`).
    pub bitrate: Option<u64>,
    /// The buffer (CMCD `bl`).
    pub buffer: Option<Duration>,
    /// Its arm.
    pub arm: Arm,
    /// When it was seen last.
    pub seen: UnixMillis,
}

impl Sessions {
    /// Sets the tables up; shares nothing until [`Sessions::run`] runs.
    #[must_use]
    pub fn new(_config: &config::adapt::Session, redis: Option<Arc<Redis>>) -> Arc<Self> {
        Arc::new(Self { _redis: redis })
    }

    /// Shares, forgets and measures until the future is dropped. Run it once.
    pub async fn run(self: &Arc<Self>) {
        std::future::pending().await
    }

    /// Makes the id of a new session of `site`.
    #[must_use]
    pub fn mint(&self, _site: &str, arm: Arm, now: UnixMillis) -> SessionId {
        SessionId {
            nonce: fastrand::u64(..),
            minted: now,
            arm,
        }
    }

    /// The id as it stands in paths, without `~`.
    #[must_use]
    pub fn spell(&self, _site: &str, _id: &SessionId) -> String {
        String::new()
    }

    /// Reads an id back; `None` when it is forged, foreign or too old.
    #[must_use]
    pub fn read(&self, _site: &str, _text: &str, _now: UnixMillis) -> Option<SessionId> {
        None
    }

    /// The keyed hashes of a client's address and user agent.
    #[must_use]
    pub fn client(
        &self,
        _address: Option<std::net::IpAddr>,
        _user_agent: &[u8],
        _now: UnixMillis,
    ) -> Client {
        Client::default()
    }

    /// Takes in what a connection of `who` has carried.
    pub fn sampled(&self, _site: &str, _who: Who, _client: &Client, _sample: &Sample) {}

    /// Takes in what a player reports.
    pub fn reported(&self, _site: &str, _who: Who, _report: &Report, _now: UnixMillis) {}

    /// What is known here of the throughput of `who`.
    #[must_use]
    pub fn estimate(&self, _who: Who, _now: UnixMillis) -> Option<Estimate> {
        None
    }

    /// Fetches what other nodes know of `who` and `client`, unless it is known here; waits for
    /// [`crate::limits::SESSION_RECALL_MAX`] at most.
    pub async fn recall(&self, _who: Option<Who>, _client: &Client, _now: UnixMillis) {}

    /// What is thought of the throughput of a client that begins a session at `site`. `address` is
    /// looked up in the configured networks and dropped.
    #[must_use]
    pub fn prior(
        &self,
        _site: &str,
        _client: &Client,
        _address: Option<std::net::IpAddr>,
        _now: UnixMillis,
    ) -> Option<Belief> {
        None
    }

    /// Sessions seen of late, `most` at most, latest first.
    #[must_use]
    pub fn live(&self, _most: usize, _now: UnixMillis) -> Vec<Live> {
        Vec::new()
    }
}
