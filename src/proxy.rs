//! The client side: everything that knows of Pingora's sessions.
//!
//! `connection` is the life of a connection, `hooks` the life of a request as a table of contents;
//! each step stands in a file of its own. What an object is, and where its bytes come from, is the
//! engine's business; `storage` hands its answers to Pingora.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderValue, Version};

use crate::cache::ask::Source;
use crate::cache::engine::Engine;
use crate::config::adapt::Carrier;
use crate::config::{Config, Site};
use crate::http::forward::Fields;
use crate::http::via;
use crate::life::duress::Duress;
use crate::limits::INVALIDATIONS_PER_SECOND;
use crate::metrics::METRICS;
use crate::prefetch::Prefetch;
use crate::proxy::adapt::manifests::Manifests;
use crate::proxy::allowance::{Allowance, Posts};
use crate::proxy::upstream::Uplink;
use crate::session::Sessions;
use crate::session::pathways::Pathways;

pub mod access;
mod adapt;
mod allowance;
pub mod answer;
mod attend;
pub mod connection;
mod dating;
pub mod exchange;
pub mod gate;
pub mod handshake;
pub mod headers;
pub mod hooks;
mod interim;
mod invalidate;
mod meter;
pub mod pace;
mod posted;
mod reference;
pub mod request;
pub mod respond;
mod service;
pub mod storage;
pub mod upstream;
mod viewing;
pub mod watch;
pub mod wire;

/// What every request needs: the engine, the sites, and the node's own name.
pub struct Edge {
    engine: Arc<Engine>,
    manifests: Manifests,
    sessions: Arc<Sessions>,
    /// Whether connections are clients' own, and not a balancer's: then the kernel is asked what
    /// they carry.
    metered: bool,
    /// Makes marks of what requests say of themselves: nobody can tell what they are of.
    marks: RandomState,
    prefetch: Arc<Prefetch>,
    pathways: Arc<Pathways>,
    duress: Arc<Duress>,
    sites: Vec<Arc<Site>>,
    sources: HashMap<String, Arc<Source>>,
    /// Sites that take unsafe methods.
    uplinks: HashMap<String, Uplink>,
    invalidations: Allowance,
    /// Posts of players that are taken in.
    reports: Posts,
    flights: Arc<Flights>,
    server: crate::config::Server,
    /// This node's entry of `Via`, the same on every answer.
    via: HeaderValue,
    /// What it says to players where it has nothing to say, the same on every answer.
    cmsd: HeaderValue,
    access_log: AccessLog,
    /// What the origin of a video site sees of every client, made once.
    nothing: Arc<Fields>,
}

/// The parts of a node that answers come from.
pub struct Parts {
    /// What objects are opened by.
    pub engine: Arc<Engine>,
    /// Who clients are, and how fast.
    pub sessions: Arc<Sessions>,
    /// What brings ahead what players will ask for.
    pub prefetch: Arc<Prefetch>,
    /// How other `PoP`s are.
    pub pathways: Arc<Pathways>,
    /// How this node is.
    pub duress: Arc<Duress>,
    /// What counts the requests being answered.
    pub flights: Arc<Flights>,
}

impl Edge {
    /// Puts the parts together; `sources` holds one source for each site of `config`.
    #[must_use]
    pub fn new(config: &Config, sources: &[Arc<Source>], parts: Parts) -> Self {
        Self {
            manifests: Manifests::new(parts.engine.memory().budget().limit()),
            engine: parts.engine,
            sessions: parts.sessions,
            metered: config.session.tcp_info,
            marks: RandomState::new(),
            prefetch: parts.prefetch,
            pathways: parts.pathways,
            duress: parts.duress,
            sites: config.sites.clone(),
            sources: sources
                .iter()
                .map(|source| (source.site.name.clone(), Arc::clone(source)))
                .collect(),
            uplinks: sources
                .iter()
                .filter_map(|source| Some((source.site.name.clone(), Uplink::of(source)?)))
                .collect(),
            invalidations: Allowance::new(INVALIDATIONS_PER_SECOND),
            reports: match config.session.tcp_info {
                true => Posts::by_sender(),
                false => Posts::of_all(),
            },
            flights: parts.flights,
            server: config.server.clone(),
            via: via::via(Version::HTTP_11, &config.server.node),
            cmsd: adapt::nothing_to_say(&config.server.node),
            access_log: AccessLog::from(config),
            nothing: Fields::none(),
        }
    }

    /// Whether what a connection was given tells whose its next request is: no id travels for that,
    /// and who asks by it is one client. Of forwarded addresses none is believed.
    fn goes_by_connection(&self, site: &Site) -> bool {
        self.metered && site.adapt.session == Carrier::Connection
    }
}

/// Counts the requests being answered, for draining.
#[derive(Debug, Default)]
pub struct Flights(AtomicUsize);

impl Flights {
    /// Requests being answered now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    fn begin(self: &Arc<Self>) -> InFlight {
        self.0.fetch_add(1, Ordering::AcqRel);
        METRICS.requests_in_flight.inc();
        InFlight(Arc::clone(self))
    }
}

/// A request being answered; dropping it ends it.
#[derive(Debug)]
struct InFlight(Arc<Flights>);

impl Drop for InFlight {
    fn drop(&mut self) {
        METRICS.requests_in_flight.dec();
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether each request leaves a line, and what of its client the line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AccessLog {
    /// It does, with the client's address.
    Addresses,
    /// It does, with the network that the client is in.
    Networks,
    /// It does not.
    Off,
}

impl From<&Config> for AccessLog {
    fn from(config: &Config) -> Self {
        match (config.log.access, config.log.addresses) {
            (true, true) => Self::Addresses,
            (true, false) => Self::Networks,
            (false, _) => Self::Off,
        }
    }
}
