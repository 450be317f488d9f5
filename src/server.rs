//! The composition root: from a checked configuration to a running node, and out again.
//!
//! Every part is made here and handed to those that need it. What can fail, fails before the first
//! connection is accepted: origins, certificates, ports.

use std::process::ExitCode;
use std::sync::Arc;

use pingora::listeners::ListenerConfig;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::background::GenBackgroundService;
use pingora::services::listening::Service;

use crate::admin::{Admin, Parts};
use crate::cache::ask::Source;
use crate::cache::engine::Engine;
use crate::cache::shared::Shared;
use crate::config::Config;
use crate::life::Life;
use crate::life::duress::Duress;
use crate::metrics::METRICS;
use crate::origin;
use crate::prefetch::Prefetch;
use crate::proxy::connection::{self, Front, Gatekeeper};
use crate::proxy::gate::Gate;
use crate::proxy::{self, Edge, Flights};
use crate::purge::log::Purges;
use crate::purge::log::heartbeat::NodeInfo;
use crate::redis::Redis;
use crate::session::Sessions;
use crate::session::pathways::Pathways;

pub mod background;
pub mod drain;
pub mod listen;
pub mod tls;

use background::Tasks;
use drain::Drain;
use listen::{Listening, Socket};

/// Version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listening socket cannot be had.
    #[error(transparent)]
    Listen(#[from] listen::Error),
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// An origin cannot be set up.
    #[error("site {site}: {source}")]
    Origin {
        /// Name of the site.
        site: String,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Redis cannot be set up (being unreachable is no error).
    #[error("cache.redis: {0}")]
    Redis(Box<dyn std::error::Error + Send + Sync>),
}

/// Runs a node until it is told to stop.
#[must_use]
pub fn run(config: Config) -> ExitCode {
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "not started");
            ExitCode::FAILURE
        }
    }
}

/// The parts of a node that several others hold.
struct Node {
    config: Config,
    sources: Vec<Arc<Source>>,
    redis: Option<Arc<Redis>>,
    purges: Arc<Purges>,
    engine: Arc<Engine>,
    sessions: Arc<Sessions>,
    prefetch: Arc<Prefetch>,
    gate: Arc<Gate>,
    flights: Arc<Flights>,
    life: Arc<Life>,
    duress: Arc<Duress>,
    pathways: Arc<Pathways>,
}

fn start(config: Config) -> Result<(), Error> {
    let node = Node::new(config)?;
    let mut server = Server::new_with_opt_and_conf(None, pingora_conf(&node.config));
    server.bootstrap();
    server.add_service(node.clients(&server.configuration)?);
    server.add_service(node.admin()?);
    server.add_service(node.background());
    METRICS.build_info.with_label_values(&[VERSION]).set(1);
    let drain = Drain {
        life: node.life,
        flights: node.flights,
        gate: node.gate,
        engine: node.engine,
        purges: node.purges,
        server: node.config.server,
    };
    server.run(RunArgs {
        shutdown_signal: Box::new(drain),
    });
    Ok(())
}

impl Node {
    fn new(config: Config) -> Result<Self, Error> {
        let sources = sources(&config)?;
        let of_redis = config.cache.redis.as_ref();
        let redis = of_redis.map(Redis::new).transpose();
        let redis = redis.map_err(|error| Error::Redis(Box::new(error)))?;
        let shared = redis.as_ref().zip(of_redis);
        let shared = shared.map(|(redis, config)| Shared::new(Arc::clone(redis), config));
        let purges = Purges::new(redis.clone(), &config.purge, info(&config));
        let sessions = Sessions::new(&config, redis.clone());
        let engine = Engine::new(config.cache.memory_bytes, shared, Arc::clone(&purges));
        let duress = Arc::<Duress>::default();
        let prefetch = Prefetch::new(Arc::clone(&engine), &sources, Arc::clone(&duress));
        Ok(Self {
            sources,
            redis,
            purges,
            engine,
            sessions,
            prefetch,
            gate: Gate::new(&config.server),
            flights: Arc::new(Flights::default()),
            life: Life::new(),
            duress,
            pathways: Pathways::new(&config.sites),
            config,
        })
    }

    fn clients(&self, conf: &Arc<ServerConf>) -> Result<Listening<Front<HttpProxy<Edge>>>, Error> {
        let edge = Edge::new(
            &self.config,
            &self.sources,
            proxy::Parts {
                engine: Arc::clone(&self.engine),
                sessions: Arc::clone(&self.sessions),
                prefetch: Arc::clone(&self.prefetch),
                pathways: Arc::clone(&self.pathways),
                duress: Arc::clone(&self.duress),
                flights: Arc::clone(&self.flights),
            },
        );
        let mut proxy = http_proxy(conf, edge);
        connection::bound(&mut proxy, &self.config);
        let head_timeout = self.config.server.head_timeout;
        let mut front = Front::new(proxy, &self.gate, head_timeout);
        if self.config.session.tcp_info {
            front = front.sounding();
        }
        let mut service = Service::new("edge".to_owned(), front);
        service.threads = Some(self.config.server.threads);
        let mut sockets = Vec::new();
        for &address in &self.config.listen.http {
            let socket = Socket::bind("listen.http", address)?;
            let config = socket.config(listen::PLAIN_WRITE_BYTES);
            add(&mut service, &socket, config, "http");
            sockets.push(socket);
        }
        let identities = tls::load(&self.config.certificates)?;
        for &address in &self.config.listen.https {
            let socket = Socket::bind("listen.https", address)?;
            let config = socket
                .config(listen::TLS_WRITE_BYTES)
                .tls(tls::settings(&identities)?);
            add(&mut service, &socket, config, "https");
            sockets.push(socket);
        }
        service.set_connection_filter(Arc::<Gate>::clone(&self.gate));
        let keeper = Gatekeeper {
            gate: Arc::clone(&self.gate),
            head_timeout,
        };
        service.endpoints().set_pre_tls_callback(Arc::new(keeper));
        Ok(Listening::new(service, sockets, self.life.closing()))
    }

    fn admin(&self) -> Result<Listening<Front<Admin>>, Error> {
        let admin = Admin::new(
            &self.config,
            Parts {
                sources: self.sources.clone(),
                redis: self.redis.clone(),
                purges: Arc::clone(&self.purges),
                engine: Arc::clone(&self.engine),
                life: Arc::clone(&self.life),
                sessions: Arc::clone(&self.sessions),
            },
        );
        let gate = Gate::of_admin();
        let front = Front::new(admin, &gate, self.config.server.head_timeout);
        let mut service = Service::new("admin".to_owned(), front);
        service.set_connection_filter(gate);
        service.threads = Some(1);
        let socket = Socket::bind("listen.admin", self.config.listen.admin)?;
        let config = socket.config(listen::PLAIN_WRITE_BYTES);
        add(&mut service, &socket, config, "admin");
        // It stays open while clients are drained, so that this can be watched.
        Ok(Listening::new(service, vec![socket], self.life.ending()))
    }

    fn background(&self) -> GenBackgroundService<Tasks> {
        let tasks = Tasks {
            redis: self.redis.clone(),
            purges: Arc::clone(&self.purges),
            engine: Arc::clone(&self.engine),
            sessions: Arc::clone(&self.sessions),
            prefetch: Arc::clone(&self.prefetch),
            sources: self.sources.clone(),
            gate: Arc::clone(&self.gate),
            life: Arc::clone(&self.life),
            duress: Arc::clone(&self.duress),
            pathways: Arc::clone(&self.pathways),
        };
        GenBackgroundService::new("background".to_owned(), Arc::new(tasks))
    }
}

fn add<A>(service: &mut Service<A>, socket: &Socket, config: ListenerConfig, kind: &'static str) {
    service.add_listener(config);
    tracing::info!(address = %socket.address(), kind, "listening");
}

/// What other nodes are told of this one.
fn info(config: &Config) -> NodeInfo {
    let http = config.listen.http.iter();
    let https = config.listen.https.iter();
    NodeInfo {
        node: config.server.node.clone(),
        version: VERSION.to_owned(),
        addresses: http
            .map(|address| format!("http://{address}"))
            .chain(https.map(|address| format!("https://{address}")))
            .collect(),
    }
}

fn sources(config: &Config) -> Result<Vec<Arc<Source>>, Error> {
    let make = |site: &Arc<crate::config::Site>| {
        let origin = origin::build::build(site).map_err(|error| Error::Origin {
            site: site.name.clone(),
            source: Box::new(error),
        })?;
        let site = Arc::clone(site);
        Ok(Arc::new(Source { site, origin }))
    };
    config.sites.iter().map(make).collect()
}

/// Pingora's settings. Waiting for transfers is `drain`'s business, so its own grace is nothing;
/// what passes to an origin is tried once; no file lies outside our own directory.
fn pingora_conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.server.threads,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        max_retries: 1,
        pid_file: "/run/weir/weir.pid".to_owned(),
        upgrade_sock: "/run/weir/upgrade.sock".to_owned(),
        ..ServerConf::default()
    }
}
