//! How a connection to Redis is made, for each way of running it.
//!
//! A `Connector` is built and checked without IO; it connects as often as it is asked, and asks
//! the sentinels anew each time, so that a connection always leads to the present master. The
//! caller owns deadlines and retries.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, Slot, SlotAddr};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult, TlsCertificates, TlsMode,
    Value,
};

use crate::config;
use crate::limits;

/// Why Redis cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A PEM file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A URL or certificate is not usable.
    #[error("redis: {0}")]
    Client(#[from] RedisError),
    /// Neither a server nor a sentinel is named.
    #[error("redis: no url")]
    NoUrl,
}

/// Makes connections.
pub(crate) struct Connector {
    kind: Kind,
    options: AsyncConnectionConfig,
    deadline: Duration,
}

enum Kind {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
    Sentinel(Box<Sentinels>),
}

/// What is needed to ask the sentinels.
struct Sentinels {
    nodes: Vec<ConnectionInfo>,
    master: String,
    config: config::Redis,
    certificates: Option<TlsCertificates>,
}

impl Connector {
    /// Checks the configuration and reads the PEM files; does no other IO.
    pub(crate) fn new(config: &config::Redis) -> Result<Self, SetupError> {
        install_cryptography();
        let certificates = certificates(config)?;
        let slowest = config.read_timeout.max(config.write_timeout);
        let (kind, hosts) = match &config.topology {
            config::Topology::Single(url) => {
                let info = with_credentials(url.as_str().into_connection_info()?, config);
                let client = match (is_tls(&info), certificates) {
                    (true, Some(certificates)) => Client::build_with_tls(info, certificates)?,
                    _ => Client::open(info)?,
                };
                (Kind::Single(Box::new(client)), 1)
            }
            config::Topology::Cluster(urls) => {
                let nodes = connection_infos(urls)?;
                let hosts = nodes.len();
                let nodes = nodes.into_iter().map(|node| with_credentials(node, config));
                let mut builder = ClusterClient::builder(nodes)
                    .retries(limits::REDIS_CLUSTER_TRIES)
                    .min_retry_wait(10)
                    .max_retry_wait(100)
                    .tcp_settings(tcp_settings())
                    .connection_timeout(config.connect_timeout)
                    .response_timeout(slowest);
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                (Kind::Cluster(Box::new(builder.build()?)), hosts)
            }
            config::Topology::Sentinel { sentinels, master } => {
                let sentinels = Sentinels {
                    nodes: connection_infos(sentinels)?,
                    master: master.clone(),
                    config: config.clone(),
                    certificates,
                };
                sentinels.client()?;
                let hosts = sentinels.nodes.len();
                (Kind::Sentinel(Box::new(sentinels)), hosts)
            }
        };
        let options = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(slowest));
        // Nodes are tried one after another, and a dead one must not use up the time of the next.
        let steps = u32::try_from(hosts).unwrap_or(u32::MAX).saturating_add(1);
        let deadline = config.connect_timeout.saturating_mul(steps);
        Ok(Self {
            kind,
            options,
            deadline,
        })
    }

    /// How long connecting may take in all.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Connects, and waits for the first answer: a stopped server accepts connections too.
    pub(crate) async fn connect(&self) -> RedisResult<Link> {
        let mut link = match &self.kind {
            Kind::Single(client) => Link::Single(
                client
                    .get_multiplexed_async_connection_with_config(&self.options)
                    .await?,
            ),
            Kind::Cluster(client) => Link::Cluster(client.get_async_connection().await?),
            Kind::Sentinel(sentinels) => {
                let mut client = sentinels.client()?;
                Link::Single(
                    client
                        .get_async_connection_with_config(&self.options)
                        .await?,
                )
            }
        };
        if let Link::Single(_) = link {
            redis::cmd("PING").query_async::<()>(&mut link).await?;
        }
        Ok(link)
    }

    /// Whether connections mend themselves and find a new master by themselves.
    pub(crate) fn heals_itself(&self) -> bool {
        matches!(self.kind, Kind::Cluster(_))
    }
}

impl Sentinels {
    fn client(&self) -> RedisResult<SentinelClient> {
        let addresses = self.nodes.iter().map(|node| node.addr().clone());
        let mut builder =
            SentinelClientBuilder::new(addresses, &self.master, SentinelServerType::Master)?;
        if let Some(password) = &self.config.password {
            builder = builder.set_client_to_redis_password(&password.0);
        }
        if let Some(username) = &self.config.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.config.sentinel_password {
            builder = builder.set_client_to_sentinel_password(&password.0);
        }
        if let Some(node) = self.nodes.first() {
            builder = builder
                .set_client_to_redis_db(node.redis_settings().db())
                .set_client_to_redis_tcp_settings(tcp_settings());
        }
        if self.nodes.iter().any(is_tls) {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            if let Some(certificates) = &self.certificates {
                builder = builder
                    .set_client_to_redis_certificates(certificates.clone())
                    .set_client_to_sentinel_certificates(certificates.clone());
            }
        }
        builder.build()
    }
}

/// A connection that many calls share; a clone costs no connection.
#[derive(Clone)]
pub enum Link {
    /// To one server.
    Single(MultiplexedConnection),
    /// To every master of a cluster.
    Cluster(ClusterConnection),
}

impl Link {
    /// Sends `cmd`, which names no key itself, to the master on which `key` lies.
    ///
    /// # Errors
    ///
    /// What the server or the way to it said.
    pub async fn send_beside(&mut self, key: &str, cmd: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd).await,
            Self::Cluster(connection) => {
                let route = Route::with_slot(Slot::for_key(key), SlotAddr::Master);
                let node = SingleNodeRoutingInfo::SpecificNode(route);
                connection
                    .route_command(cmd.clone(), RoutingInfo::SingleNode(node))
                    .await
            }
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Gives rustls its cryptography, once, unless the program chose one already.
fn install_cryptography() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that a provider is there, which is all that is wanted.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
}

fn connection_infos(urls: &[String]) -> Result<Vec<ConnectionInfo>, SetupError> {
    if urls.is_empty() {
        return Err(SetupError::NoUrl);
    }
    let infos = urls.iter().map(|url| url.as_str().into_connection_info());
    Ok(infos.collect::<RedisResult<_>>()?)
}

/// Puts the configured user and password in place of what the URL says.
fn with_credentials(info: ConnectionInfo, config: &config::Redis) -> ConnectionInfo {
    let mut settings = info.redis_settings().clone();
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &config.password {
        settings = settings.set_password(&password.0);
    }
    info.set_redis_settings(settings)
        .set_tcp_settings(tcp_settings())
}

/// Small calls must not wait for the acknowledgement of earlier ones.
fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

fn certificates(config: &config::Redis) -> Result<Option<TlsCertificates>, SetupError> {
    if config.ca.is_none() && config.identity.is_none() {
        return Ok(None);
    }
    let root_cert = config.ca.as_deref().map(read).transpose()?;
    let identity = config.identity.as_ref();
    let client_tls = identity
        .map(|pair| -> Result<_, SetupError> {
            let (client_cert, client_key) = (read(&pair.cert)?, read(&pair.key)?);
            Ok(ClientTlsConfig {
                client_cert,
                client_key,
            })
        })
        .transpose()?;
    Ok(Some(TlsCertificates {
        client_tls,
        root_cert,
    }))
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    std::fs::read(path).map_err(|source| SetupError::File {
        path: path.to_owned(),
        source,
    })
}
