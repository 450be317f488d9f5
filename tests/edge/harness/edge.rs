//! A node: the real program with a configuration of its own, and a client for it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::CertifiedKey;
use rustls::ClientConfig;
use tempfile::TempDir;
use toml::{Table, Value};

use super::client::{Answer, Client, Protocol, Request};
use super::metrics::Scrape;
use super::process::{self, Process, Signal};
use super::redis::Shared;
use super::turn::{self, Alone};
use super::{client, eventually, ports};

/// Host that clients name; the site of a node takes any.
pub(crate) const HOST: &str = "edge.test";

/// Binding ports, opening origins, reading the purge log.
const START: Duration = Duration::from_secs(30);

/// Where a site's objects come from.
pub(crate) trait Source {
    /// Writes its keys into the table of the site.
    fn describe(&self, site: &mut Table);

    /// Variables that the node's environment needs.
    fn environment(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

impl<T: Source + ?Sized> Source for &T {
    fn describe(&self, site: &mut Table) {
        (**self).describe(site);
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        (**self).environment()
    }
}

/// A node about to be started.
pub(crate) struct Builder<'a> {
    config: Table,
    site: Table,
    environment: Vec<(&'static str, String)>,
    alone: Option<&'a Alone>,
}

/// A running node, killed when dropped.
pub(crate) struct Edge {
    process: Process,
    config: PathBuf,
    http: SocketAddr,
    https: SocketAddr,
    admin: SocketAddr,
    trust: Arc<ClientConfig>,
    _dir: TempDir,
    _turn: Option<turn::Shared>,
}

/// A node with any host, 64 MiB of memory and no Redis.
pub(crate) fn new<'a>() -> Builder<'a> {
    let mut site = Table::new();
    site.insert("hosts".to_owned(), Value::Array(vec!["*".into()]));
    let builder = Builder {
        config: Table::new(),
        site,
        environment: Vec::new(),
        alone: None,
    };
    // Every client of a test has the same address.
    builder
        .memory("64MiB")
        .set("server.max_connections_per_address", 20_000)
}

/// Path of the program.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("WEIR_BIN").map_or_else(|| env!("CARGO_BIN_EXE_weir").into(), PathBuf::from)
}

impl<'a> Builder<'a> {
    pub(crate) fn origin(mut self, source: &impl Source) -> Self {
        source.describe(&mut self.site);
        self.environment.extend(source.environment());
        self
    }

    /// Shares a Redis; what is filled is written to it at once, not only what is asked for often.
    pub(crate) fn redis(self, redis: &impl Shared) -> Self {
        let urls = redis.urls().into_iter().map(Value::from).collect();
        let shared = self.set("cache.redis.urls", Value::Array(urls));
        shared.set("cache.redis.admit_after", 1)
    }

    pub(crate) fn memory(self, size: &str) -> Self {
        self.set("cache.memory.size", size)
    }

    /// Names the node.
    pub(crate) fn node(self, name: &str) -> Self {
        self.set("server.node", name)
    }

    /// Hosts that the site answers to.
    pub(crate) fn hosts(self, hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|h| Value::from(*h)).collect();
        self.set("site.hosts", Value::Array(hosts))
    }

    /// Deadlines short enough for a test to see them pass.
    pub(crate) fn impatient(self) -> Self {
        let connect = self.set("site.deadlines.connect", "1s");
        connect
            .set("site.deadlines.first_byte", "2s")
            .set("site.deadlines.stall", "1s")
    }

    /// Sets a key of the configuration; `site.` is the one site.
    pub(crate) fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        let mut names: Vec<&str> = path.split('.').collect();
        let mut table = &mut self.config;
        if names[0] == "site" {
            table = &mut self.site;
            names.remove(0);
        }
        let last = names.pop().expect("a key");
        for name in names {
            let inner = table.entry(name).or_insert_with(|| Table::new().into());
            table = inner.as_table_mut().expect("a table");
        }
        table.insert(last.to_owned(), value.into());
        self
    }

    /// Starts it within a turn of the test's own, for measurements.
    pub(crate) fn within(mut self, alone: &'a Alone) -> Self {
        self.alone = Some(alone);
        self
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn run(self) -> Edge {
        let edge = self.launch().await;
        let ready = || async {
            edge.admin("/readyz")
                .try_send()
                .await
                .is_ok_and(|a| a.status == 200)
        };
        eventually("the node is ready", START, ready).await;
        edge
    }

    /// Starts it and waits until its admin listener answers, ready or not.
    pub(crate) async fn launch(mut self) -> Edge {
        let turn = match self.alone {
            Some(_) => None,
            None => Some(turn::shared().await),
        };
        let dir = process::scratch("edge");
        let (http, https, admin) = (ports::address(), ports::address(), ports::address());
        let one = |address: SocketAddr| Value::Array(vec![address.to_string().into()]);
        self = self
            .set("listen.http", one(http))
            .set("listen.https", one(https));
        self = self.set("listen.admin", admin.to_string());
        let (certificates, trust) = certificate(dir.path());
        self = self.set("tls.certificates", certificates);
        let config = self.write(dir.path());
        let mut command = Command::new(program());
        command
            .args(["run", "--config"])
            .arg(&config)
            .current_dir(dir.path());
        command.envs(self.environment.iter().map(|(k, v)| (k, v)));
        let process = Process::start("weir", &command, dir.path());
        let mut edge = Edge {
            process,
            config,
            http,
            https,
            admin,
            trust,
            _dir: dir,
            _turn: turn,
        };
        edge.listening().await;
        edge
    }

    /// A site in front of any web server, rather than of a store of videos.
    pub(crate) fn general(self) -> Self {
        self.set("site.profile", "general")
    }

    /// Writes the configuration file and returns its path.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        let mut config = self.config.clone();
        config.insert(
            "site".to_owned(),
            Value::Array(vec![self.site.clone().into()]),
        );
        let path = dir.join("weir.toml");
        fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        path
    }
}

fn certificate(dir: &Path) -> (Value, Arc<ClientConfig>) {
    let names = vec![HOST.to_owned(), "localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let mut files = Table::new();
    for (name, pem) in [("cert", cert.pem()), ("key", signing_key.serialize_pem())] {
        let path = dir.join(format!("edge.{name}"));
        fs::write(&path, pem).unwrap();
        files.insert(name.to_owned(), path.display().to_string().into());
    }
    (
        Value::Array(vec![files.into()]),
        client::trust(cert.der().clone()),
    )
}

impl Source for Edge {
    fn describe(&self, site: &mut Table) {
        site.insert("origin".to_owned(), self.url("").into());
    }
}

impl Edge {
    async fn listening(&mut self) {
        let admin = Client::plain(self.admin, "localhost");
        let start = tokio::time::Instant::now();
        while admin.request("GET", "/healthz").try_send().await.is_err() {
            if let Some(status) = self.process.ended() {
                panic!("the node ended at start: {status}\n{}", self.process.tail());
            }
            assert!(
                start.elapsed() < START,
                "no admin listener:\n{}",
                self.process.tail()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// GET over HTTP/1.1 in clear.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.request("GET", target).send().await
    }

    /// A request over HTTP/1.1 in clear.
    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        self.over(Protocol::Http1).request(method, target)
    }

    /// A client that speaks a protocol.
    pub(crate) fn over(&self, protocol: Protocol) -> Client {
        match protocol {
            Protocol::Http1 => Client::plain(self.http, HOST),
            Protocol::Http1Tls | Protocol::Http2 => {
                Client::tls(self.https, HOST, (protocol, &self.trust))
            }
        }
    }

    /// URL of a target for programs of their own, over HTTP/1.1 in clear.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.http)
    }

    /// A GET to the admin listener.
    pub(crate) fn admin(&self, target: &str) -> Request {
        Client::plain(self.admin, "localhost").request("GET", target)
    }

    /// Path of its configuration.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// Address of the admin listener.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Purges a URL (path and query) of the site.
    pub(crate) async fn purge(&self, target: &str) -> Answer {
        let url = format!("http://{HOST}{target}");
        self.purge_by(&serde_json::json!({ "url": url })).await
    }

    /// Purges as a command says.
    pub(crate) async fn purge_by(&self, command: &serde_json::Value) -> Answer {
        let client = Client::plain(self.admin, "localhost");
        let request = client
            .request("POST", "/v1/purge")
            .body(command.to_string());
        request
            .header("content-type", "application/json")
            .send()
            .await
    }

    /// What the node knows about a URL of the site, as JSON.
    pub(crate) async fn explain(&self, target: &str) -> serde_json::Value {
        let url = format!("http://{HOST}{target}")
            .replace('&', "%26")
            .replace('?', "%3f");
        let answer = self
            .admin(&format!("/v1/explain?url={url}"))
            .send()
            .await
            .whole(200);
        serde_json::from_slice(&answer.body).expect("explain answers JSON")
    }

    /// All metrics now.
    pub(crate) async fn metrics(&self) -> Scrape {
        Scrape::new(self.admin("/metrics").send().await.whole(200).text())
    }

    /// Sum of a metric's samples that carry all of these labels.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().await.sum(name, labels)
    }

    /// Waits until a metric reaches a value.
    pub(crate) async fn metric_reaches(&self, series: (&str, &[(&str, &str)]), value: f64) {
        let (name, labels) = series;
        let what = format!("{name}{labels:?} reaches {value}");
        eventually(&what, Duration::from_secs(10), || async {
            self.metric(name, labels).await >= value
        })
        .await;
    }

    /// Waits until no fill is under way: the last byte reaches a client before the object is
    /// settled in memory, and who comes between the two joins the fill.
    pub(crate) async fn settled(&self) {
        eventually("fills have ended", Duration::from_secs(10), || async {
            self.metric("weir_fills_in_flight", &[]).await < 0.5
        })
        .await;
    }

    /// Freezes the process: its connections stay open and nothing answers.
    pub(crate) fn stop(&self) {
        self.process.signal(Signal::Stop);
    }

    /// Thaws it.
    pub(crate) fn cont(&self) {
        self.process.signal(Signal::Cont);
    }

    /// The process.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A field of the process's memory status, in bytes.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        self.process.memory(field)
    }

    /// Asks it to drain.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::Term);
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.output()
    }
}
