//! A Redis Cluster of three masters with a replica each, that fails over within seconds.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{self, Process};
use super::redis::{self, Shared};
use super::{eventually, ports};

/// Three masters, three replicas.
const SERVERS: usize = 6;

/// Waiting for the cluster to agree with itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster.
pub(crate) struct Cluster {
    servers: Vec<Server>,
}

struct Server {
    process: Option<Process>,
    port: u16,
    _dir: TempDir,
}

/// Starts a cluster and waits until every replica has synchronised: else none is promoted.
pub(crate) async fn start() -> Cluster {
    let servers: Vec<Server> = (0..SERVERS).map(|_| Server::start()).collect();
    for server in &servers {
        redis::answers(server.port).await;
    }
    let cluster = Cluster { servers };
    let mut create = Command::new(process::find("redis-cli", "redis-tools"));
    create.args(["--cluster", "create"]);
    create.args(
        cluster
            .servers
            .iter()
            .map(|s| format!("127.0.0.1:{}", s.port)),
    );
    create.args(["--cluster-replicas", "1", "--cluster-yes"]);
    process::run(create, PATIENCE).await.succeeded();
    cluster.settled().await;
    cluster
}

impl Cluster {
    /// Kills a master and returns once a replica has taken its slots.
    pub(crate) async fn fail_over(&mut self) {
        let master = self.master().await;
        self.servers[master].process = None;
        let killed = self.servers[master].port;
        let port = self.servers[(master + 1) % SERVERS].port;
        eventually("a replica is promoted", PATIENCE, || async move {
            let nodes = redis::ask(port, &["CLUSTER", "NODES"])
                .await
                .unwrap_or_default();
            let (failed, sound): (Vec<&str>, Vec<&str>) =
                nodes.lines().partition(|l| l.contains("fail"));
            let noticed = failed.iter().any(|l| l.contains(&format!(":{killed}@")));
            let masters = sound.iter().filter(|l| l.contains("master")).count();
            let info = redis::ask(port, &["CLUSTER", "INFO"])
                .await
                .unwrap_or_default();
            noticed && masters == 3 && info.contains("cluster_state:ok")
        })
        .await;
    }

    async fn settled(&self) {
        eventually("the cluster is settled", PATIENCE, || async {
            for server in &self.servers {
                let info = redis::ask(server.port, &["CLUSTER", "INFO"])
                    .await
                    .unwrap_or_default();
                let role = redis::ask(server.port, &["INFO", "replication"]).await;
                let role = role.unwrap_or_default();
                let synced = role.contains("role:master") || role.contains("link_status:up");
                if !info.contains("cluster_state:ok") || !synced {
                    return false;
                }
            }
            true
        })
        .await;
    }

    async fn master(&self) -> usize {
        for (index, server) in self.servers.iter().enumerate() {
            let role = redis::ask(server.port, &["INFO", "replication"]).await;
            if role.is_some_and(|r| r.contains("role:master")) {
                return index;
            }
        }
        panic!("the cluster has no master");
    }
}

impl Shared for Cluster {
    fn urls(&self) -> Vec<String> {
        self.servers
            .iter()
            .map(|s| format!("redis://127.0.0.1:{}", s.port))
            .collect()
    }
}

impl Server {
    fn start() -> Self {
        let dir = process::scratch("cluster");
        let port = ports::free();
        let mut command = redis::server(port, dir.path());
        command.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "1500"]);
        command.args(["--repl-diskless-sync-delay", "0"]);
        let process = Some(Process::start("redis", &command, dir.path()));
        Self {
            process,
            port,
            _dir: dir,
        }
    }
}
