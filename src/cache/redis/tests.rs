//! The tier against a real `redis-server` on loopback, which is stopped, killed and filled.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, sleep};

use super::*;
use crate::cache::head::Generation;
use crate::clock::UnixMillis;
use crate::http::freshness::Freshness;
use crate::limits;
use crate::purge::Stamp;

/// A head of `bytes` bytes with nothing special about it.
pub(crate) fn head(path: &str, bytes: u64) -> Head {
    Head {
        key: Key::new("s", path, None),
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        length: Some(bytes),
        generation: Generation::random(),
        fetched: UnixMillis(1_790_000_000_000),
        initial_age: Duration::ZERO,
        freshness: Freshness::default(),
        stamp: Stamp::default(),
    }
}

/// A port that is free at this moment; nothing else here asks for it by number.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A Redis of one test's own, killed with it.
pub(crate) struct Server {
    child: Child,
    port: u16,
    arguments: Vec<String>,
    directory: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        let port = free_port();
        let directory = tempfile::tempdir().unwrap();
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let child = Self::spawn(port, &arguments, directory.path());
        Self {
            child,
            port,
            arguments,
            directory,
        }
    }

    fn spawn(port: u16, arguments: &[String], directory: &std::path::Path) -> Child {
        let port = port.to_string();
        let fixed = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        Command::new("redis-server")
            .args(fixed)
            .args(arguments)
            .current_dir(directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed")
    }

    /// A sentinel, which wants a file that it can write to.
    fn sentinel(lines: &str) -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let file = directory.path().join("sentinel.conf");
        std::fs::write(&file, format!("port {port}\nbind 127.0.0.1\n{lines}")).unwrap();
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            port,
            arguments: Vec::new(),
            directory,
        }
    }

    fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, empty, on the same port.
    pub(crate) fn restart(&mut self) {
        self.child = Self::spawn(self.port, &self.arguments, self.directory.path());
    }

    /// A connection beside the tier.
    pub(crate) async fn client(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        for _ in 0..200 {
            if let Ok(connection) = client.get_multiplexed_async_connection().await {
                return connection;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("redis-server does not answer");
    }

    pub(crate) fn config(&self) -> config::Redis {
        config(config::Topology::Single(self.url()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by the test.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn config(topology: config::Topology) -> config::Redis {
    config::Redis {
        topology,
        username: None,
        password: None,
        sentinel_password: None,
        ca: None,
        identity: None,
        prefix: "weir".to_owned(),
        connections: 2,
        connect_timeout: Duration::from_millis(500),
        read_timeout: Duration::from_millis(100),
        write_timeout: Duration::from_millis(500),
        breaker_failures: 5,
        breaker_pause: Duration::from_millis(300),
        queue_bytes: 64 << 20,
        admit_after: 1,
        ttl: Duration::from_secs(600),
    }
}

/// A started tier; its tasks end with it.
pub(crate) struct Running {
    pub(crate) redis: Arc<Redis>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn run(config: &config::Redis) -> Running {
    let redis = Redis::new(config).unwrap();
    let running = Arc::clone(&redis);
    let task = tokio::spawn(async move { running.start().await });
    let pool = &redis.pool;
    eventually("connected", || async { pool.stands() }).await;
    Running { redis, task }
}

/// Waits for something that another process does.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    let started = Instant::now();
    while !is().await {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "not within 10 s: {what}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

fn body(bytes: usize, seed: u8) -> Bytes {
    (0..bytes)
        .map(|i| u8::try_from(i % 251).unwrap() ^ seed)
        .collect()
}

fn pieces(body: &Bytes) -> Vec<(u64, Bytes)> {
    let chunks = body.chunks(limits::CHUNK_BYTES);
    (0..)
        .zip(chunks.map(|chunk| body.slice_ref(chunk)))
        .collect()
}

/// Writes an object and waits until it is there.
async fn store(redis: &Redis, path: &str, body: &Bytes) -> Head {
    let head = head(path, body.len() as u64);
    redis.spill(Spill {
        head: Arc::new(head.clone()),
        chunks: pieces(body),
        whole: true,
    });
    assert!(redis.drain(Duration::from_secs(5)).await);
    head
}

async fn load(redis: &Redis, key: &Key) -> Option<Vec<u8>> {
    let head = redis.head(key).await?;
    let count = head.length?.div_ceil(limits::CHUNK_BYTES as u64);
    let mut body = Vec::new();
    for index in 0..count {
        body.extend_from_slice(&redis.chunk(&head, index).await?);
    }
    Some(body)
}

#[tokio::test]
async fn what_was_spilled_is_read_back_by_another_node() {
    let server = Server::start();
    let (a, b) = (run(&server.config()).await, run(&server.config()).await);
    for bytes in [0, 1, limits::CHUNK_BYTES, 3 * limits::CHUNK_BYTES + 17] {
        let body = body(bytes, 7);
        let head = store(&a.redis, "/a", &body).await;
        assert_eq!(load(&b.redis, &head.key).await.unwrap(), body, "{bytes}");
        let back = b.redis.head(&head.key).await.unwrap();
        assert_eq!(back.generation, head.generation);
        assert_eq!(b.redis.chunk(&back, 9).await, None);
    }
    let absent = Key::new("s", "/absent", None);
    assert!(b.redis.head(&absent).await.is_none());
    a.redis.forget(&Key::new("s", "/a", None)).await;
    assert!(b.redis.head(&Key::new("s", "/a", None)).await.is_none());
}

#[tokio::test]
async fn a_full_chunk_stays_in_its_allocator_class() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let head = store(&node.redis, "/a", &body(limits::CHUNK_BYTES, 1)).await;
    let mut client = server.client().await;
    let name = node.redis.keys.chunk(&head, 0);
    let mut memory = redis::cmd("MEMORY");
    memory.arg("USAGE").arg(&name);
    let usage: usize = memory.query_async(&mut client).await.unwrap();
    assert!(usage < limits::CHUNK_BYTES + 1024, "{usage}");
    let ttl = redis::cmd("PTTL")
        .arg(&name)
        .query_async::<i64>(&mut client)
        .await
        .unwrap();
    assert!((1..=300_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_block_of_a_large_object_is_found_without_the_others() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let chunk = limits::CHUNK_BYTES as u64;
    let head = Arc::new(head("/big.mp4", 200 * chunk));
    let part = body(limits::CHUNK_BYTES, 3);
    let chunks = vec![(100, part.clone()), (101, part.clone())];
    node.redis.spill(Spill {
        head: Arc::clone(&head),
        chunks,
        whole: false,
    });
    assert!(node.redis.drain(Duration::from_secs(5)).await);
    let back = node.redis.head(&head.key).await.unwrap();
    assert_eq!(node.redis.chunk(&back, 101).await, Some(part));
    assert_eq!(node.redis.chunk(&back, 102).await, None);
}

#[tokio::test]
async fn damaged_chunks_and_those_of_another_fill_are_misses() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let head = store(&node.redis, "/a", &body(1000, 1)).await;
    let damaged = || {
        METRICS
            .redis_calls
            .of(RedisCall::Chunk, Outcome::Damaged)
            .get()
    };
    let before = damaged();
    let other = Head {
        generation: Generation::random(),
        ..head.clone()
    };
    assert_eq!(node.redis.chunk(&other, 0).await, None);
    let mut client = server.client().await;
    let name = node.redis.keys.chunk(&head, 0);
    redis::cmd("SETRANGE")
        .arg(&name)
        .arg(500)
        .arg("x")
        .exec_async(&mut client)
        .await
        .unwrap();
    assert_eq!(node.redis.chunk(&head, 0).await, None);
    assert!(damaged() >= before + 2);
    let name = node.redis.keys.metadata(&head.key);
    redis::cmd("SETRANGE")
        .arg(&name)
        .arg(30)
        .arg("x")
        .exec_async(&mut client)
        .await
        .unwrap();
    assert!(node.redis.head(&head.key).await.is_none());
}

#[tokio::test]
async fn a_stopped_server_costs_a_deadline_then_nothing_and_is_found_again() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let head = store(&node.redis, "/a", &body(1000, 1)).await;
    server.signal("-STOP");
    for _ in 0..5 {
        let started = Instant::now();
        assert!(node.redis.head(&head.key).await.is_none());
        assert!(
            started.elapsed() < Duration::from_millis(150),
            "{:?}",
            started.elapsed()
        );
    }
    assert!(node.redis.state().reads_rejected);
    for _ in 0..200 {
        let started = Instant::now();
        assert!(node.redis.head(&head.key).await.is_none());
        assert!(
            started.elapsed() < Duration::from_millis(5),
            "{:?}",
            started.elapsed()
        );
        sleep(Duration::from_millis(5)).await;
    }
    server.signal("-CONT");
    eventually("hits again", || async {
        load(&node.redis, &head.key).await.is_some()
    })
    .await;
    eventually("closed", || async { !node.redis.state().reads_rejected }).await;
}

#[tokio::test]
async fn a_killed_server_is_used_again_when_it_is_back() {
    let mut server = Server::start();
    let node = run(&server.config()).await;
    let head = store(&node.redis, "/a", &body(1000, 1)).await;
    server.kill();
    let started = Instant::now();
    for _ in 0..20 {
        assert!(node.redis.head(&head.key).await.is_none());
    }
    assert!(
        started.elapsed() < Duration::from_millis(200),
        "{:?}",
        started.elapsed()
    );
    eventually("seen", || async { !node.redis.state().up }).await;
    assert!(node.redis.state().last_error.is_some());
    server.restart();
    let again = body(2000, 2);
    eventually("written and read again", || async {
        let head = store(&node.redis, "/b", &again).await;
        load(&node.redis, &head.key)
            .await
            .is_some_and(|body| body == again)
    })
    .await;
    assert!(node.redis.state().up);
}

#[tokio::test]
async fn a_full_server_is_still_read() {
    let server = Server::with(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    let node = run(&server.config()).await;
    let kept = body(100_000, 1);
    let head = store(&node.redis, "/kept", &kept).await;
    for n in 0..30 {
        store(&node.redis, &format!("/{n}"), &body(limits::CHUNK_BYTES, 1)).await;
    }
    assert!(node.redis.state().writes_rejected);
    assert!(!node.redis.state().reads_rejected);
    assert_eq!(load(&node.redis, &head.key).await.unwrap(), kept);
    let mut client = server.client().await;
    let set = ["SET", "maxmemory", "100mb"];
    redis::cmd("CONFIG")
        .arg(&set)
        .exec_async(&mut client)
        .await
        .unwrap();
    eventually("writes again", || async {
        !node.redis.state().writes_rejected
    })
    .await;
}

#[tokio::test]
async fn users_and_passwords_are_sent_and_wrong_ones_are_told() {
    let edge = ["--user", "edge", "on", ">secret", "~*", "+@all"];
    let server = Server::with(&[&edge[..], &["--user", "default", "off"]].concat());
    let mut config = server.config();
    config.username = Some("edge".to_owned());
    config.password = Some(config::Secret("secret".to_owned()));
    let node = run(&config).await;
    store(&node.redis, "/a", &body(10, 1)).await;
    config.password = Some(config::Secret("wrong".to_owned()));
    let wrong = Redis::new(&config).unwrap();
    let running = Arc::clone(&wrong);
    let task = tokio::spawn(async move { running.start().await });
    eventually("told", || async { wrong.state().last_error.is_some() }).await;
    assert!(!wrong.state().up);
    assert!(wrong.head(&Key::new("s", "/a", None)).await.is_none());
    task.abort();
}

#[tokio::test]
async fn the_future_of_start_takes_its_tasks_with_it() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let redis = Arc::clone(&node.redis);
    drop(node);
    eventually("released", || async { Arc::strong_count(&redis) == 1 }).await;
}

#[test]
fn a_setup_that_cannot_work_is_refused_at_once() {
    let check = |topology| {
        Redis::new(&config(topology))
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let error = check(config::Topology::Single("http://x".to_owned()));
    assert!(error.starts_with("redis:"), "{error}");
    assert_eq!(
        check(config::Topology::Cluster(Vec::new())),
        "redis: no url"
    );
    let mut missing = config(config::Topology::Single("rediss://127.0.0.1:1".to_owned()));
    missing.ca = Some("/nonexistent/ca.pem".into());
    let error = Redis::new(&missing).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/ca.pem: "), "{error}");
}

/// Three masters with a replica each.
pub(crate) async fn cluster() -> Vec<Server> {
    let mut servers = Vec::new();
    for _ in 0..6 {
        let bus = free_port().to_string();
        servers.push(Server::with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1500",
            "--repl-diskless-sync-delay",
            "0",
            "--cluster-port",
            &bus,
        ]));
    }
    for server in &servers {
        server.client().await;
    }
    let addresses = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port()));
    let made = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(addresses)
        .args(["--cluster-replicas", "1", "--cluster-yes"])
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    for server in &servers {
        eventually("replicas in step", || async {
            let mut client = server.client().await;
            let info: String = redis::cmd("INFO").query_async(&mut client).await.unwrap();
            info.contains("master_link_status:up") || info.contains("connected_slaves:1")
        })
        .await;
    }
    servers
}

#[tokio::test]
async fn a_cluster_that_loses_a_master_costs_deadlines_and_is_whole_again() {
    let mut servers = cluster().await;
    let urls = servers.iter().map(Server::url).collect();
    let mut config = config(config::Topology::Cluster(urls));
    config.connect_timeout = Duration::from_secs(2);
    let node = run(&config).await;
    let mut heads = Vec::new();
    for n in 0..12 {
        heads.push(store(&node.redis, &format!("/{n}"), &body(300_000, n)).await);
    }
    for head in &heads {
        assert!(load(&node.redis, &head.key).await.is_some());
    }
    // Metadata and two chunks of each object, on a master and on its replica.
    eventually("replicated", || async {
        let mut keys = 0;
        for server in &servers {
            let mut client = server.client().await;
            keys += redis::cmd("DBSIZE")
                .query_async::<usize>(&mut client)
                .await
                .unwrap();
        }
        keys == heads.len() * 3 * 2
    })
    .await;
    servers[0].kill();
    let killed = Instant::now();
    while killed.elapsed() < Duration::from_secs(1) {
        for head in &heads {
            let started = Instant::now();
            drop(node.redis.head(&head.key).await);
            assert!(
                started.elapsed() < Duration::from_millis(150),
                "{:?}",
                started.elapsed()
            );
        }
    }
    eventually("every object again", || async {
        for head in &heads {
            if load(&node.redis, &head.key).await.is_none() {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test]
async fn sentinels_lead_to_the_master_and_to_its_successor() {
    let mut master = Server::start();
    let port = master.port().to_string();
    let replica = Server::with(&[
        "--replicaof",
        "127.0.0.1",
        &port,
        "--repl-diskless-sync-delay",
        "0",
    ]);
    eventually("replica in step", || async {
        let mut client = replica.client().await;
        let info: String = redis::cmd("INFO").query_async(&mut client).await.unwrap();
        info.contains("master_link_status:up")
    })
    .await;
    let watch = format!(
        "sentinel monitor pop 127.0.0.1 {port} 1\n\
         sentinel down-after-milliseconds pop 500\n\
         sentinel failover-timeout pop 2000\n"
    );
    let sentinel = Server::sentinel(&watch);
    sentinel.client().await;
    let topology = config::Topology::Sentinel {
        sentinels: vec!["redis://127.0.0.1:1".to_owned(), sentinel.url()],
        master: "pop".to_owned(),
    };
    let node = run(&config(topology)).await;
    store(&node.redis, "/a", &body(10, 1)).await;
    // The sentinel learns of the replica from the master, every ten seconds.
    eventually("replica known", || async {
        let mut client = sentinel.client().await;
        let mut replicas = redis::cmd("SENTINEL");
        let known = replicas
            .arg("REPLICAS")
            .arg("pop")
            .query_async::<Vec<redis::Value>>(&mut client);
        !known.await.unwrap().is_empty()
    })
    .await;
    master.kill();
    eventually("the successor is written and read", || async {
        let head = store(&node.redis, "/b", &body(10, 2)).await;
        load(&node.redis, &head.key).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_server_with_tls_is_verified_and_shown_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let port = free_port();
    let _server = Server::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &text("cert.pem"),
        "--tls-key-file",
        &text("key.pem"),
        "--tls-ca-cert-file",
        &text("cert.pem"),
        "--tls-auth-clients",
        "yes",
    ]);
    let url = format!("rediss://127.0.0.1:{port}/0");
    let mut config = config(config::Topology::Single(url));
    config.ca = Some(path("cert.pem"));
    config.identity = Some(config::Certificate {
        cert: path("cert.pem"),
        key: path("key.pem"),
    });
    let node = run(&config).await;
    let head = store(&node.redis, "/a", &body(10, 1)).await;
    assert!(load(&node.redis, &head.key).await.is_some());
    config.ca = None;
    let doubting = Redis::new(&config).unwrap();
    let running = Arc::clone(&doubting);
    let task = tokio::spawn(async move { running.start().await });
    eventually("refused", || async {
        doubting.state().last_error.is_some()
    })
    .await;
    assert!(!doubting.state().up);
    task.abort();
}
