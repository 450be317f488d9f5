//! The shape of the TOML file: every key an operator can write, all optional, nothing checked.
//!
//! Unknown keys are refused by the reading itself. What a value may be is the business of `check`;
//! what it defaults to stands beside its check. `conf/weir.toml` explains each key.

use std::net::SocketAddr;

use serde::Deserialize;

use super::adapt::{Carrier, DynamicRange, Mode};
use super::given::{Given, Meaning};
use super::size::Size;
use super::span::Span;
use super::{CutOff, LogFormat, Profile, QueryPolicy, SetCookie};

/// The whole file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listen: Listen,
    pub(super) tls: Tls,
    pub(super) server: Server,
    pub(super) admin: Admin,
    pub(super) log: Log,
    pub(super) cache: Cache,
    pub(super) purge: Purge,
    pub(super) session: Session,
    pub(super) site: Vec<Site>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listen {
    pub(super) http: Option<Vec<Given<SocketAddr>>>,
    pub(super) https: Option<Vec<Given<SocketAddr>>>,
    pub(super) admin: Option<Given<SocketAddr>>,
    pub(super) h2c: Option<Given<bool>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    pub(super) certificates: Vec<Pair>,
}

/// A certificate chain and its key.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pair {
    pub(super) cert: Option<Given<String>>,
    pub(super) key: Option<Given<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) node: Option<Given<String>>,
    pub(super) threads: Option<Given<u32>>,
    pub(super) max_connections: Option<Given<u32>>,
    pub(super) max_connections_per_address: Option<Given<u32>>,
    pub(super) head_timeout: Option<Given<Span>>,
    pub(super) keepalive: Option<Given<Span>>,
    pub(super) min_send_rate: Option<Given<Size>>,
    pub(super) drain_delay: Option<Given<Span>>,
    pub(super) drain_timeout: Option<Given<Span>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) token_file: Option<Given<String>>,
    pub(super) token_env: Option<Given<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Option<Given<String>>,
    pub(super) format: Option<Given<LogFormat>>,
    pub(super) access: Option<Given<bool>>,
    pub(super) addresses: Option<Given<bool>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cache {
    pub(super) memory: Memory,
    /// Absent: memory only.
    pub(super) redis: Option<Redis>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Memory {
    pub(super) size: Option<Given<Size>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Redis {
    pub(super) urls: Vec<Given<String>>,
    pub(super) sentinel_master: Option<Given<String>>,
    pub(super) username: Option<Given<String>>,
    pub(super) password_file: Option<Given<String>>,
    pub(super) password_env: Option<Given<String>>,
    pub(super) sentinel_password_file: Option<Given<String>>,
    pub(super) sentinel_password_env: Option<Given<String>>,
    pub(super) ca: Option<Given<String>>,
    pub(super) cert: Option<Given<String>>,
    pub(super) key: Option<Given<String>>,
    pub(super) prefix: Option<Given<String>>,
    pub(super) connections: Option<Given<u32>>,
    pub(super) connect_timeout: Option<Given<Span>>,
    pub(super) read_timeout: Option<Given<Span>>,
    pub(super) write_timeout: Option<Given<Span>>,
    pub(super) breaker_failures: Option<Given<u32>>,
    pub(super) breaker_pause: Option<Given<Span>>,
    pub(super) queue: Option<Given<Size>>,
    pub(super) admit_after: Option<Given<u32>>,
    pub(super) ttl: Option<Given<Span>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Purge {
    pub(super) lease: Option<Given<Span>>,
    pub(super) cut_off: Option<Given<CutOff>>,
    pub(super) shields: Option<Vec<Given<String>>>,
    pub(super) shield_token_file: Option<Given<String>>,
    pub(super) shield_token_env: Option<Given<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Session {
    pub(super) secret_file: Option<Given<String>>,
    pub(super) secret_env: Option<Given<String>>,
    pub(super) tcp_info: Option<Given<bool>>,
    pub(super) priors: Option<Given<bool>>,
    pub(super) networks: Vec<Network>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Network {
    pub(super) prefix: Option<Given<String>>,
    pub(super) kbps: Option<Given<u32>>,
}

/// One `[[site]]`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Site {
    pub(super) name: Option<Given<String>>,
    pub(super) hosts: Vec<Given<String>>,
    pub(super) origin: Option<Given<String>>,
    pub(super) profile: Option<Given<Profile>>,
    pub(super) methods: Option<Vec<Given<String>>>,
    pub(super) query: Option<Given<QueryPolicy>>,
    pub(super) cors: Option<Vec<Given<String>>>,
    pub(super) origin_requests: Option<Given<u32>>,
    pub(super) s3: Option<S3>,
    pub(super) gcs: Option<Gcs>,
    pub(super) azure: Option<Azure>,
    pub(super) http: Option<Web>,
    pub(super) health: Health,
    pub(super) deadlines: Deadlines,
    pub(super) paths: Paths,
    pub(super) lifetimes: Lifetimes,
    pub(super) caching: Caching,
    pub(super) adapt: Adapt,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Adapt {
    pub(super) mode: Option<Given<Mode>>,
    pub(super) client_mode: Option<Given<bool>>,
    pub(super) session: Option<Given<Carrier>>,
    pub(super) holdout_percent: Option<Given<u32>>,
    pub(super) cmcd_percent: Option<Given<u32>>,
    pub(super) prefetch_segments: Option<Given<u32>>,
    pub(super) filter: Filter,
    pub(super) steering: Option<Steering>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    pub(super) min_kbps: Option<Given<u32>>,
    pub(super) max_kbps: Option<Given<u32>>,
    pub(super) max_height: Option<Given<u32>>,
    pub(super) codecs: Option<Vec<Given<String>>>,
    pub(super) range: Option<Given<DynamicRange>>,
    pub(super) languages: Option<Vec<Given<String>>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Steering {
    pub(super) url: Option<Given<String>>,
    pub(super) pathway: Option<Given<String>>,
    pub(super) ttl: Option<Given<Span>>,
    pub(super) pathways: Vec<Pathway>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pathway {
    pub(super) name: Option<Given<String>>,
    pub(super) url: Option<Given<String>>,
    pub(super) health: Option<Given<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct S3 {
    pub(super) endpoint: Option<Given<String>>,
    pub(super) endpoints: Option<Vec<Given<String>>>,
    pub(super) region: Option<Given<String>>,
    pub(super) addressing: Option<Given<Addressing>>,
    pub(super) access_key_file: Option<Given<String>>,
    pub(super) access_key_env: Option<Given<String>>,
    pub(super) secret_key_file: Option<Given<String>>,
    pub(super) secret_key_env: Option<Given<String>>,
    pub(super) profile: Option<Given<String>>,
    pub(super) anonymous: Option<Given<bool>>,
    pub(super) http2: Option<Given<bool>>,
    pub(super) ca: Option<Given<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gcs {
    pub(super) endpoint: Option<Given<String>>,
    pub(super) endpoints: Option<Vec<Given<String>>>,
    pub(super) credentials_file: Option<Given<String>>,
    pub(super) anonymous: Option<Given<bool>>,
    pub(super) http2: Option<Given<bool>>,
    pub(super) ca: Option<Given<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Azure {
    pub(super) account: Option<Given<String>>,
    pub(super) endpoint: Option<Given<String>>,
    pub(super) endpoints: Option<Vec<Given<String>>>,
    pub(super) key_file: Option<Given<String>>,
    pub(super) key_env: Option<Given<String>>,
    pub(super) anonymous: Option<Given<bool>>,
    pub(super) http2: Option<Given<bool>>,
    pub(super) ca: Option<Given<String>>,
}

/// `[site.http]`, for origins of `http://` and `https://`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Web {
    pub(super) endpoints: Option<Vec<Given<String>>>,
    pub(super) host: Option<Given<String>>,
    pub(super) http2: Option<Given<bool>>,
    pub(super) ca: Option<Given<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Health {
    pub(super) path: Option<Given<String>>,
    pub(super) interval: Option<Given<Span>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Deadlines {
    pub(super) connect: Option<Given<Span>>,
    pub(super) first_byte: Option<Given<Span>>,
    pub(super) stall: Option<Given<Span>>,
    pub(super) tries: Option<Given<u32>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Paths {
    pub(super) stream: Option<Given<String>>,
    pub(super) hls: Option<Given<String>>,
    pub(super) dash: Option<Given<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lifetimes {
    pub(super) segment: Option<Given<Span>>,
    pub(super) vod_manifest: Option<Given<Span>>,
    pub(super) live_manifest: Option<Given<Span>>,
    pub(super) other: Option<Given<Span>>,
    pub(super) stale_while_revalidate: Option<Given<Span>>,
    pub(super) stale_if_error: Option<Given<Span>>,
    pub(super) negative: Negative,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Negative {
    pub(super) segment: Option<Given<Span>>,
    pub(super) manifest: Option<Given<Span>>,
    pub(super) other: Option<Given<Span>>,
    pub(super) forbidden: Option<Given<Span>>,
    pub(super) failure: Option<Given<Span>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Caching {
    pub(super) client_directives: Option<Given<bool>>,
    pub(super) set_cookie: Option<Given<SetCookie>>,
    pub(super) targeted: Option<Vec<Given<String>>>,
    pub(super) heuristic_percent: Option<Given<u32>>,
    pub(super) heuristic_max: Option<Given<Span>>,
    pub(super) variants: Option<Given<u32>>,
}

/// Where an S3 request names its bucket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressing {
    /// As the first segment of the path.
    Path,
    /// As the first label of the host.
    Virtual,
}

impl Meaning for Addressing {
    const EXPECTED: &'static str = "\"path\" or \"virtual\"";

    fn of(value: &toml::Value) -> Option<Self> {
        match value.as_str()? {
            "path" => Some(Self::Path),
            "virtual" => Some(Self::Virtual),
            _ => None,
        }
    }
}

impl Meaning for LogFormat {
    const EXPECTED: &'static str = "\"text\" or \"json\"";

    fn of(value: &toml::Value) -> Option<Self> {
        match value.as_str()? {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl Meaning for Profile {
    const EXPECTED: &'static str = "\"video\" or \"general\"";

    fn of(value: &toml::Value) -> Option<Self> {
        match value.as_str()? {
            "video" => Some(Self::Video),
            "general" => Some(Self::General),
            _ => None,
        }
    }
}

impl Meaning for SetCookie {
    const EXPECTED: &'static str = "\"refuse\", \"strip\" or \"store\"";

    fn of(value: &toml::Value) -> Option<Self> {
        match value.as_str()? {
            "refuse" => Some(Self::Refuse),
            "strip" => Some(Self::Strip),
            "store" => Some(Self::Store),
            _ => None,
        }
    }
}

impl Meaning for CutOff {
    const EXPECTED: &'static str = "\"serve\" or \"revalidate\"";

    fn of(value: &toml::Value) -> Option<Self> {
        match value.as_str()? {
            "serve" => Some(Self::Serve),
            "revalidate" => Some(Self::Revalidate),
            _ => None,
        }
    }
}

impl Meaning for Mode {
    const EXPECTED: &'static str = "\"hint\", \"cap\", \"single\", \"server\" or \"off\"";

    fn of(value: &toml::Value) -> Option<Self> {
        Self::named(value.as_str()?)
    }
}

impl Meaning for Carrier {
    const EXPECTED: &'static str = "\"path\", \"connection\" or \"off\"";

    fn of(value: &toml::Value) -> Option<Self> {
        match value.as_str()? {
            "path" => Some(Self::Path),
            "connection" => Some(Self::Connection),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

impl Meaning for DynamicRange {
    const EXPECTED: &'static str = "\"sdr\" or \"hdr\"";

    fn of(value: &toml::Value) -> Option<Self> {
        Self::named(value.as_str()?)
    }
}

impl Meaning for QueryPolicy {
    const EXPECTED: &'static str = "\"drop\", \"all\" or a list of parameters such as [\"v\"]";

    fn of(value: &toml::Value) -> Option<Self> {
        if let Some(word) = value.as_str() {
            return match word {
                "drop" => Some(Self::Drop),
                "all" => Some(Self::KeepAll),
                _ => None,
            };
        }
        let names = value
            .as_array()?
            .iter()
            .map(String::of)
            .collect::<Option<Vec<_>>>()?;
        Some(if names.is_empty() {
            Self::Drop
        } else {
            Self::Keep(names)
        })
    }
}
