//! A Redis server of the test's own, that can be stopped, killed and filled up.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{self, Process, Signal};
use super::{eventually, ports};

/// What nodes share: something with URLs of Redis servers.
pub(crate) trait Shared {
    /// As `cache.redis.urls` wants them.
    fn urls(&self) -> Vec<String>;
}

/// One server.
pub(crate) struct Redis {
    process: Option<Process>,
    port: u16,
    dir: TempDir,
}

/// Starts a server with 256 MB and the eviction that the program wants.
pub(crate) async fn start() -> Redis {
    let dir = process::scratch("redis");
    let mut redis = Redis {
        process: None,
        port: ports::free(),
        dir,
    };
    redis.restart().await;
    redis
}

/// The command of a server that keeps nothing on disk.
pub(crate) fn server(port: u16, dir: &Path) -> Command {
    let mut command = Command::new(process::find("redis-server", "redis-server"));
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ]);
    command.args([
        "--appendonly",
        "no",
        "--daemonize",
        "no",
        "--maxmemory",
        "256mb",
    ]);
    command.args([
        "--maxmemory-policy",
        "volatile-lfu",
        "--lazyfree-lazy-eviction",
        "yes",
    ]);
    command.arg("--dir").arg(dir).current_dir(dir);
    command
}

/// Sends one command to a server and returns its answer as text.
pub(crate) async fn ask(port: u16, words: &[&str]) -> Option<String> {
    let mut command = Command::new(process::find("redis-cli", "redis-tools"));
    command
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(words);
    let output = process::run(command, Duration::from_secs(5)).await;
    output
        .status
        .success()
        .then(|| output.stdout.trim().to_owned())
}

/// Waits until a server answers.
pub(crate) async fn answers(port: u16) {
    eventually("redis answers", Duration::from_secs(15), || async move {
        ask(port, &["PING"]).await.as_deref() == Some("PONG")
    })
    .await;
}

impl Redis {
    /// Freezes the server: connections stay open and nothing answers.
    pub(crate) fn stop(&self) {
        self.signal(Signal::Stop);
    }

    /// Thaws it.
    pub(crate) fn cont(&self) {
        self.signal(Signal::Cont);
    }

    /// Kills the server: connections are reset, then refused.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, empty, on the same port.
    pub(crate) async fn restart(&mut self) {
        let command = server(self.port, self.dir.path());
        self.process = Some(Process::start("redis", &command, self.dir.path()));
        answers(self.port).await;
    }

    /// Sends a command.
    pub(crate) async fn ask(&self, words: &[&str]) -> String {
        ask(self.port, words).await.expect("redis answers the test")
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("redis runs").signal(signal);
    }
}

impl Shared for Redis {
    fn urls(&self) -> Vec<String> {
        vec![format!("redis://127.0.0.1:{}/0", self.port)]
    }
}
