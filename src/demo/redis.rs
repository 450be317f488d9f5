//! A Redis of the demonstration's own: on a free loopback port, without persistence, and gone when
//! the node is gone.
//!
//! Invariant: the server never outlives the node, however the node ends. A shell stands between
//! them and waits on a pipe whose other end only the node holds; a node that is killed drops the
//! pipe like one that returns.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running server.
pub(super) struct Redis {
    port: u16,
    keeper: Child,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The program is not installed.
    #[error("redis-server is not installed")]
    Absent,
    /// No port, or no process.
    #[error("redis-server did not start")]
    Start(#[from] io::Error),
    /// It was started and takes no connection.
    #[error("redis-server took no connection within {} s", START_TIMEOUT.as_secs())]
    Silent,
}

impl Redis {
    /// Starts a server with `directory` as its working directory, and waits until it answers.
    ///
    /// # Errors
    /// When the program is absent, does not start or does not answer.
    pub(super) fn start(directory: &Path) -> Result<Self, Error> {
        if !installed() {
            return Err(Error::Absent);
        }
        let port = free_port()?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh", "--port", &port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--maxmemory", "256mb", "--maxmemory-policy", "volatile-lfu"])
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: Ctrl-C is for the node, which drains before Redis may go.
            .process_group(0)
            .spawn()?;
        let redis = Self { port, keeper };
        if redis.answers() {
            Ok(redis)
        } else {
            Err(Error::Silent)
        }
    }

    /// Where a node reaches it.
    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    fn answers(&self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if TcpStream::connect_timeout(&address, START_TIMEOUT).is_ok() {
                return true;
            }
            thread::sleep(START_POLL);
        }
        false
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // The closed pipe is what ends the server; waiting only lets its port be free afterwards.
        drop(self.keeper.stdin.take());
        if let Err(error) = self.keeper.wait() {
            tracing::warn!(error = %error, "redis-server may still run");
        }
    }
}

fn installed() -> bool {
    Command::new("redis-server")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A port that was free a moment ago; whoever takes it meanwhile makes the start fail, not hang.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Runs the server until standard input ends. Killed rather than asked: nothing in it is to be kept.
const KEEPER: &str = r#"redis-server "$@" & read -r _; kill -9 "$!"; wait"#;

/// A server without data starts in milliseconds; a busy machine gets more.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// Short beside the start of a process.
const START_POLL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};

    use super::{Error, Redis};

    #[test]
    fn the_server_answers_and_is_gone_when_dropped() {
        let scratch = tempfile::tempdir().unwrap();
        let redis = match Redis::start(scratch.path()) {
            Ok(redis) => redis,
            Err(Error::Absent) => return,
            Err(error) => panic!("{error}"),
        };
        let port = redis.port;
        assert_eq!(redis.url(), format!("redis://127.0.0.1:{port}/0"));
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        connection
            .write_all(b"CONFIG GET maxmemory-policy\r\n")
            .unwrap();
        let mut answer = [0; 128];
        let length = connection.read(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer[..length]).contains("volatile-lfu"));
        drop(redis);
        assert_eq!(connection.read(&mut answer).unwrap_or(0), 0);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    }
}
