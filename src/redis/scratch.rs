//! A real `redis-server` of a test's own, on loopback, which may be stopped, killed and filled.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config;
use crate::redis::Redis;

/// A port that is free at this moment; nothing else here asks for it by number.
pub(crate) fn free_port() -> u16 {
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
    pub(crate) fn sentinel(lines: &str) -> Self {
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

    pub(crate) fn port(&self) -> u16 {
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

/// A connected client; its tasks end with it.
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
        // It calls itself down for a while after it was made, and refuses everything.
        eventually("the cluster up", || async {
            let mut client = server.client().await;
            let mut cmd = redis::cmd("CLUSTER");
            let info: String = cmd.arg("INFO").query_async(&mut client).await.unwrap();
            info.contains("cluster_state:ok")
        })
        .await;
    }
    servers
}
