//! `[server]`, `[admin]`, `[log]` and `[purge]`: behaviour of the whole process.

use std::net::SocketAddr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::super::file;
use super::super::given::Given;
use super::super::{CutOff, Listen, Log, LogFormat, Purge, Secret, Server};
use super::url::is_endpoint;
use super::{Check, NAME, is_name, quoted};

/// Two descriptors a connection at most, well below the unit's limit of 65,536.
const CONNECTIONS_MAX: u32 = 20_000;

/// Room for a carrier's shared address, and yet a tenth of all at most.
const CONNECTIONS_PER_ADDRESS_MAX: u32 = 2_000;

/// A head fits into one packet or a few; ten seconds cover a mobile handover.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than the longest segments (10 s) many times over, so that a player keeps its connection.
const KEEPALIVE: Duration = Duration::from_secs(75);

/// Below the lowest audio rendition (32 kbit/s is 4 KiB/s): whoever reads slower does not play.
const MIN_SEND_RATE: u64 = 1024;

/// None: without a balancer in front, waiting only delays the restart.
const DRAIN_DELAY: Duration = Duration::ZERO;

/// Two segments of 10 s, so that a player finishes one and finds another node for the next.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Characters below which a token can be guessed over the network.
const TOKEN_CHARS_MIN: usize = 16;

/// Lifecycle and degradation, nothing of single requests.
const LEVEL: &str = "info";

/// As long as a Redis failover takes many times over, and short against a purge's urgency.
const LEASE: Duration = Duration::from_secs(30);

/// The log is read four times a second; a shorter lease would end between two reads.
const LEASE_MIN: Duration = Duration::from_secs(1);

impl Check<'_> {
    pub(super) fn server(
        &mut self,
        shape: file::Server,
        admin: file::Admin,
        listen: &Listen,
    ) -> Server {
        let node = self.node(shape.node, listen);
        let processors = u32::try_from(self.around.processors)
            .unwrap_or(1)
            .clamp(1, 1024);
        let threads = self.number("server.threads", shape.threads, 1..=1024, processors);
        let total = self.number(
            "server.max_connections",
            shape.max_connections,
            1..=10_000_000,
            CONNECTIONS_MAX,
        );
        let per_address = self.number(
            "server.max_connections_per_address",
            shape.max_connections_per_address,
            1..=10_000_000,
            CONNECTIONS_PER_ADDRESS_MAX,
        );
        let at_will = (0, "0B");
        Server {
            node,
            threads: usize::try_from(threads).unwrap_or(1),
            connections_max: usize::try_from(total).unwrap_or(usize::MAX),
            connections_per_address_max: usize::try_from(per_address).unwrap_or(usize::MAX),
            head_timeout: self.span("server.head_timeout", shape.head_timeout, HEAD_TIMEOUT),
            keepalive: self.span("server.keepalive", shape.keepalive, KEEPALIVE),
            min_send_rate: self.size(
                "server.min_send_rate",
                shape.min_send_rate,
                at_will,
                MIN_SEND_RATE,
            ),
            drain_delay: self.span_or_zero("server.drain_delay", shape.drain_delay, DRAIN_DELAY),
            drain_timeout: self.span("server.drain_timeout", shape.drain_timeout, DRAIN_TIMEOUT),
            admin_token: self.admin_token(admin, listen.admin),
        }
    }

    pub(super) fn log(&mut self, shape: file::Log) -> Log {
        let parses = |text: &str| EnvFilter::try_new(text).is_ok();
        let expected = "a filter such as \"info\" or \"warn,weir::origin=debug\"";
        Log {
            level: self
                .text("log.level", shape.level, parses, expected)
                .unwrap_or_else(|| LEVEL.to_owned()),
            format: self
                .value("log.format", shape.format)
                .unwrap_or(LogFormat::Text),
            // Off: thousands of lines a second are for those who have a place for them.
            access: self.value("log.access", shape.access).unwrap_or(false),
            // Off: a path may name a session, and beside an address it would say who watched what.
            addresses: self
                .value("log.addresses", shape.addresses)
                .unwrap_or(false),
        }
    }

    pub(super) fn purge(&mut self, shape: file::Purge) -> Purge {
        let lease = self.span("purge.lease", shape.lease, LEASE);
        if lease < LEASE_MIN {
            let written = quoted(&format!("{}ms", lease.as_millis()));
            self.refuse("purge.lease", &written, "a duration of at least \"1s\"");
        }
        // Serving: an edge that stops because its log is away is the larger harm for video.
        let cut_off = self
            .value("purge.cut_off", shape.cut_off)
            .unwrap_or(CutOff::Serve);
        let shields = shape.shields.unwrap_or_default().into_iter().enumerate();
        let shields = shields.filter_map(|(index, shield)| {
            let expected = "the admin listener of a shield such as \"http://10.0.0.1:9180\"";
            let key = format!("purge.shields[{index}]");
            self.text(&key, Some(shield), is_endpoint, expected)
        });
        Purge {
            lease,
            cut_off,
            shields: shields.collect(),
            shield_token: self.secret(
                "purge.shield_token",
                shape.shield_token_file,
                shape.shield_token_env,
            ),
        }
    }

    fn node(&mut self, given: Option<Given<String>>, listen: &Listen) -> String {
        self.text("server.node", given, is_name, NAME)
            .unwrap_or_else(|| default_node(self.around.hostname, listen))
    }

    fn admin_token(&mut self, shape: file::Admin, listener: SocketAddr) -> Option<Secret> {
        let wanted = shape.token_file.is_some() || shape.token_env.is_some();
        if !wanted && !listener.ip().is_loopback() {
            let expected = "a loopback address, or a token by admin.token_file or admin.token_env";
            self.refuse("listen.admin", &quoted(&listener.to_string()), expected);
        }
        let source = [&shape.token_file, &shape.token_env]
            .into_iter()
            .flatten()
            .map(|given| given.written.clone())
            .next();
        let key = if shape.token_file.is_some() {
            "admin.token_file"
        } else {
            "admin.token_env"
        };
        let token = self.secret("admin.token", shape.token_file, shape.token_env)?;
        let strong =
            token.0.len() >= TOKEN_CHARS_MIN && token.0.bytes().all(|byte| byte.is_ascii_graphic());
        if !strong {
            let expected = "a token of 16 or more printable ASCII characters without spaces";
            self.refuse(key, &source.unwrap_or_default(), expected);
        }
        strong.then_some(token)
    }
}

/// Several nodes of one machine differ by their port.
fn default_node(hostname: &str, listen: &Listen) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || ".-_".contains(c) {
            c
        } else {
            '-'
        }
    };
    let host: String = hostname.trim().chars().take(58).map(safe).collect();
    let host = if host.is_empty() {
        "weir".to_owned()
    } else {
        host
    };
    let port = listen
        .http
        .iter()
        .chain(&listen.https)
        .next()
        .map_or(0, SocketAddr::port);
    format!("{host}-{port}")
}
