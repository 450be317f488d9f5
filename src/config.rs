//! The validated configuration: types in which a bad state does not exist.
//!
//! `file` is the shape of the TOML file, all text and optional; `check` turns it into these types
//! and names key, value and expectation of whatever is wrong. Nothing below this file but those
//! and the forms of their values (`given`, `size`, `span`) knows TOML.

pub mod adapt;
mod check;
pub mod fault;
mod file;
mod given;
mod size;
mod span;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use adapt::{Adapt, Session};
use fault::{Fault, without_password};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The text is no TOML, or has a key or a section that means nothing.
    #[error("line {line}: {message}")]
    Syntax {
        /// Line of the text, the first one being 1.
        line: usize,
        /// What is wrong there, with the key's name.
        message: String,
    },
    /// Values are wrong or missing; one line for each.
    #[error("{}", lines(.0))]
    Values(Vec<Fault>),
}

/// Everything a node is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Certificates of the HTTPS listeners; the first one answers unknown names.
    pub certificates: Vec<Certificate>,
    /// Process-wide behaviour.
    pub server: Server,
    /// What is logged.
    pub log: Log,
    /// The tiers.
    pub cache: Cache,
    /// Purge behaviour.
    pub purge: Purge,
    /// How clients are told apart, and how their throughput is known.
    pub session: Session,
    /// What is served: the site that lists a host, else the one that lists `*`. No host is twice.
    pub sites: Vec<Arc<Site>>,
}

impl Config {
    /// Reads a configuration file. Relative paths in it start at its directory.
    ///
    /// # Errors
    /// When the file cannot be read, and whatever [`Config::parse`] says of its text.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads a configuration's text. Relative paths in it start at `base`.
    ///
    /// Opens the files that the text names, and reads the secrets among them.
    ///
    /// # Errors
    /// The first error of syntax or unknown key, else every wrong or missing value.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Error> {
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let around = check::Surroundings {
            base,
            variable: &|name| std::env::var(name).ok(),
            hostname: &hostname,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        };
        Self::parse_in(text, &around)
    }

    fn parse_in(text: &str, around: &check::Surroundings<'_>) -> Result<Self, Error> {
        let shape = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        check::config(shape, around).map_err(Error::Values)
    }
}

/// Keeps of a TOML error what is no excerpt of the file, which may hold a misplaced secret.
fn syntax(text: &str, error: &toml::de::Error) -> Error {
    let end = error.span().map_or(0, |span| span.start);
    let breaks = text.bytes().take(end).filter(|byte| *byte == b'\n').count();
    let message = error
        .message()
        .replace("unknown field", "unknown key")
        .replace('\n', ", ");
    let message = without_password(&message);
    let line = text.lines().nth(breaks).unwrap_or_default();
    let message = match line.split_once('=').map(|(key, _)| key.trim()) {
        Some(key) if is_bare(key) && !message.contains(&format!("`{key}`")) => {
            format!("{key}: {message}")
        }
        _ => message,
    };
    Error::Syntax {
        line: breaks + 1,
        message,
    }
}

fn is_bare(key: &str) -> bool {
    key.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

fn lines(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    lines.join("\n")
}

/// Listening addresses.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Plain HTTP/1.1 (and HTTP/2 by prior knowledge where `h2c` is on).
    pub http: Vec<SocketAddr>,
    /// TLS with HTTP/2 and HTTP/1.1 by ALPN.
    pub https: Vec<SocketAddr>,
    /// The admin listener.
    pub admin: SocketAddr,
    /// Whether plain listeners take HTTP/2 by prior knowledge (behind a balancer).
    pub h2c: bool,
}

/// One certificate chain with its key, in PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Process-wide behaviour.
#[derive(Debug, Clone)]
pub struct Server {
    /// Name of this node in logs, `Cache-Status`, `Via` and Redis; unique in the `PoP`.
    pub node: String,
    /// Worker threads of the proxy.
    pub threads: usize,
    /// Client connections at once; more are refused at accept.
    pub connections_max: usize,
    /// Client connections at once from one address.
    pub connections_per_address_max: usize,
    /// From accept or the end of the last answer to the end of the next request head.
    pub head_timeout: Duration,
    /// How long an idle connection is kept.
    pub keepalive: Duration,
    /// Clients that read slower than this, in bytes a second, are cut.
    pub min_send_rate: u64,
    /// After SIGTERM: not ready any more, yet accepting, so that balancers notice.
    pub drain_delay: Duration,
    /// After that: how long transfers may last before they are cut.
    pub drain_timeout: Duration,
    /// Bearer token of the admin listener, required when it is not on loopback.
    pub admin_token: Option<Secret>,
}

/// A secret that Debug does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// What is logged.
#[derive(Debug, Clone)]
pub struct Log {
    /// Filter in the syntax of `RUST_LOG`.
    pub level: String,
    /// One JSON object a line, or text.
    pub format: LogFormat,
    /// Whether each request leaves a line (target `access`).
    pub access: bool,
    /// Whether such a line names the client's address, rather than its network.
    pub addresses: bool,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The tiers.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Bytes of the memory tier: cached, filling, and held by readers.
    pub memory_bytes: usize,
    /// The shared tier; `None` for memory only.
    pub redis: Option<Redis>,
}

/// The shared tier.
#[derive(Debug, Clone)]
pub struct Redis {
    /// How to reach it.
    pub topology: Topology,
    /// ACL user.
    pub username: Option<String>,
    /// Password of that user, or of the default one.
    pub password: Option<Secret>,
    /// Password and user of the sentinels, where they want one.
    pub sentinel_password: Option<Secret>,
    /// PEM file of the authorities to trust in place of the system's, for `rediss://`.
    pub ca: Option<PathBuf>,
    /// PEM files of certificate and key that this node shows.
    pub identity: Option<Certificate>,
    /// Prefix of every key, so that a `PoP` may share a server.
    pub prefix: String,
    /// Connections that carry chunks, each at most one window of chunks at once.
    pub connections: usize,
    /// Deadline of connecting.
    pub connect_timeout: Duration,
    /// Deadline of each read.
    pub read_timeout: Duration,
    /// Deadline of each write.
    pub write_timeout: Duration,
    /// Failures in a row that open the breaker.
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets one call through.
    pub breaker_pause: Duration,
    /// Bytes that may wait to be written; at most an eighth of `memory_bytes`.
    pub queue_bytes: usize,
    /// How many requests for an object there must have been before it is written.
    pub admit_after: u32,
    /// Longest life of a record; stale copies are worth keeping for outages.
    pub ttl: Duration,
}

/// How Redis is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Single(String),
    /// A Redis Cluster, by any of its nodes.
    Cluster(Vec<String>),
    /// A master that sentinels name.
    Sentinel {
        /// URLs of the sentinels.
        sentinels: Vec<String>,
        /// Name of the master.
        master: String,
    },
}

/// Purge behaviour.
#[derive(Debug, Clone)]
pub struct Purge {
    /// How long a node trusts what it knows while it cannot read the log.
    pub lease: Duration,
    /// What it does after that.
    pub cut_off: CutOff,
    /// Admin listeners of the shields that this node's origins are, as `http://host:port`: they are
    /// purged first.
    pub shields: Vec<String>,
    /// Bearer token of those.
    pub shield_token: Option<Secret>,
}

/// What a node does that cannot read the purge log for longer than its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOff {
    /// Go on serving (counted, and named by a purge's answer).
    Serve,
    /// Ask the origin before each reuse.
    Revalidate,
}

/// One site: hosts, their origin, and rules.
#[derive(Debug, Clone)]
pub struct Site {
    /// Name in keys, logs and metrics: the first host, or `default` for `*`.
    pub name: String,
    /// Hosts served, lower case, without port; `*` is any host.
    pub hosts: Vec<String>,
    /// Where its objects come from.
    pub origin: Origin,
    /// Deadlines towards the origin.
    pub deadlines: Deadlines,
    /// Templates of the founding URLs.
    pub paths: Paths,
    /// Methods accepted. GET, HEAD and OPTIONS are answered here; others pass to http origins.
    pub methods: Vec<Method>,
    /// Whether the query is part of key and origin request.
    pub query: QueryPolicy,
    /// Origins of pages that may read answers (`*` for any).
    pub cors: Vec<String>,
    /// Lifetimes where the origin is silent.
    pub lifetimes: Lifetimes,
    /// What of a client's request the origin sees.
    pub profile: Profile,
    /// What is stored, and whose word counts.
    pub caching: Caching,
    /// Requests to the origin at once; more wait, for as long as a response head may take.
    pub origin_requests_max: usize,
    /// How manifests are made for a client.
    pub adapt: Adapt,
}

/// What of a client's request the origin sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Nothing but path and kept query: an answer is the same for everyone.
    Video,
    /// Every end-to-end field, so that answers may vary or be personal.
    General,
}

/// What is stored, and whose word counts.
#[derive(Debug, Clone)]
pub struct Caching {
    /// Whether the `Cache-Control` of a request is obeyed (RFC 9111 section 5.2.1).
    pub client_directives: bool,
    /// What becomes of an answer that sets a cookie.
    pub set_cookie: SetCookie,
    /// Fields that stand in for `Cache-Control`, the first that is there and valid (RFC 9213).
    pub targeted: Vec<HeaderName>,
    /// Lifetime of an answer without one, in percent of the time since its Last-Modified
    /// (RFC 9111 section 4.2.2); 0 leaves it to the lifetimes by kind.
    pub heuristic_percent: u32,
    /// Longest such lifetime.
    pub heuristic_max: Duration,
    /// Variants of one object that are kept.
    pub variants_max: usize,
}

/// What becomes of an answer that sets a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetCookie {
    /// It is not stored.
    Refuse,
    /// It is stored without the cookie.
    Strip,
    /// It is stored as it is, if it names its lifetime.
    Store,
}

/// Where a site's objects come from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Kind of store, with what it needs.
    pub store: Store,
    /// Endpoints as `http://host:port` or `https://host:port`, tried in order of health.
    /// Empty for `file:///`.
    pub endpoints: Vec<String>,
    /// Path put before every key, without trailing slash: `""` or `/prefix`.
    pub prefix: String,
    /// PEM file of the authorities to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// Whether HTTP/2 is offered to TLS endpoints.
    pub http2: bool,
    /// Path that a health check asks for (HEAD); any answer below 500 is health.
    pub health_path: Option<String>,
    /// How often a health check runs.
    pub health_interval: Duration,
}

/// Kind of store.
#[derive(Debug, Clone)]
pub enum Store {
    /// A local directory.
    File(PathBuf),
    /// A plain web server. `host` is the Host header and SNI name, the endpoint's where `None`.
    Web {
        /// Host header and SNI name in place of the endpoint's.
        host: Option<String>,
    },
    /// An S3-type bucket.
    S3 {
        /// Bucket.
        bucket: String,
        /// Region to sign for.
        region: String,
        /// Whether the bucket is the host's first label (else the path's first segment).
        virtual_host: bool,
        /// Who signs.
        credentials: S3Credentials,
    },
    /// A Google Cloud Storage bucket.
    Google {
        /// Bucket.
        bucket: String,
        /// Credential file; `None` for the default chain, and `anonymous` for none.
        credentials: Option<PathBuf>,
        /// Do not sign.
        anonymous: bool,
    },
    /// An Azure container.
    Azure {
        /// Storage account.
        account: String,
        /// Container.
        container: String,
        /// Shared key; `None` for the default chain.
        key: Option<Secret>,
        /// Do not sign.
        anonymous: bool,
    },
}

/// Who signs S3 requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum S3Credentials {
    /// Environment, profile, web identity, container and instance metadata, in that order.
    Chain {
        /// Profile of the shared credentials file.
        profile: Option<String>,
    },
    /// Keys read from files or environment by the configuration.
    Static {
        /// Access key id.
        access_key: Secret,
        /// Secret access key.
        secret_key: Secret,
    },
    /// Do not sign.
    Anonymous,
}

/// Deadlines towards an origin.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// TCP and TLS handshake.
    pub connect: Duration,
    /// From the request to the response head.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub stall: Duration,
    /// Tries in all, the first included.
    pub tries: u32,
}

/// Templates of the founding URLs; `{id}` is the video id.
#[derive(Debug, Clone)]
pub struct Paths {
    /// `/stream/<id>`.
    pub stream: String,
    /// `/adaptive_stream/<id>`.
    pub hls: String,
    /// `/adaptive_stream/<id>.mpd`, or with `Accept: application/dash+xml`.
    pub dash: String,
}

/// What becomes of a request's query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryPolicy {
    /// No part of the key, not sent to the origin.
    Drop,
    /// These parameters are kept, sorted; `CMCD` never is.
    Keep(Vec<String>),
    /// All are kept, sorted; `CMCD` never is.
    KeepAll,
}

/// Lifetimes where the origin says nothing, by kind of object.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Segments, init segments, progressive files.
    pub segment: Duration,
    /// Manifests of finished titles.
    pub vod_manifest: Duration,
    /// Manifests that still grow.
    pub live_manifest: Duration,
    /// Everything else.
    pub other: Duration,
    /// Answers that there is no such thing.
    pub negative: Negative,
    /// How long past its life a copy is served while it is refreshed.
    pub stale_while_revalidate: Duration,
    /// How long past its life a copy is served while the origin fails.
    pub stale_if_error: Duration,
}

/// Lifetimes of negative answers, by kind of object and of answer.
#[derive(Debug, Clone, Copy)]
pub struct Negative {
    /// 404 and 410 for a segment, which may be about to exist.
    pub segment: Duration,
    /// 404 and 410 for a manifest.
    pub manifest: Duration,
    /// 404, 410 and the like for anything else.
    pub other: Duration,
    /// 403.
    pub forbidden: Duration,
    /// A 5xx of the origin, where no copy can stand in.
    pub failure: Duration,
}

#[cfg(test)]
impl Site {
    /// A site with every default, for tests that change what they are about.
    pub(crate) fn sample() -> Self {
        let text = "[[site]]\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:1\"\n";
        let config = Config::parse(text, Path::new("/")).unwrap();
        config.sites.first().map(|site| (**site).clone()).unwrap()
    }
}
