//! Listening sockets: bound before anything starts, so that a port in use is an error and no panic.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service as Background;
use pingora::services::listening::Service;
use socket2::SockRef;

use crate::proxy::pace::UNSENT_BYTES_MAX;

/// Bytes read from a socket at once: a request head; request bodies are rare.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// Bytes gathered before a write without TLS: the head and body of a playlist. A frame of HTTP/2
/// is larger and passes by, uncopied. It holds nothing back: `proxy::wire` flushes it.
pub(super) const PLAIN_WRITE_BYTES: usize = 8 * 1024;

/// Bytes gathered before a write with TLS: two full records, each with its frame of 22 bytes.
pub(super) const TLS_WRITE_BYTES: usize = 33 * 1024;

/// A socket cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {address}: {source}")]
pub struct Error {
    /// Key of the configuration.
    pub key: &'static str,
    /// Address that was to be bound.
    pub address: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

/// A bound socket that listens already.
#[derive(Debug)]
pub struct Socket {
    listener: TcpListener,
    address: SocketAddr,
}

impl Socket {
    /// Binds `address`; port 0 is given a free one.
    ///
    /// # Errors
    /// The address is in use, not this machine's, or not permitted.
    pub fn bind(key: &'static str, address: SocketAddr) -> Result<Self, Error> {
        let failed = |source| Error {
            key,
            address,
            source,
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        // Accepted connections inherit it.
        SockRef::from(&listener)
            .set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What Pingora is told about it; `write_bytes` are gathered before a write.
    #[must_use]
    pub fn config(&self, write_bytes: usize) -> ListenerConfig {
        ListenerConfig::tcp(self.address.to_string())
            .l4_buffer(L4BufferSettings::new(READ_BUFFER_BYTES, write_bytes))
    }
}

/// A Pingora service on sockets that are bound already, closed by our own signal.
///
/// Pingora would close every service at once at SIGTERM and then sleep; here the client listeners
/// close first and the admin listener last.
pub struct Listening<A> {
    service: Service<A>,
    sockets: Vec<Socket>,
    closing: ShutdownWatch,
}

impl<A> Listening<A> {
    /// Puts the parts together; each socket has been added to `service` by its config.
    pub fn new(service: Service<A>, sockets: Vec<Socket>, closing: ShutdownWatch) -> Self {
        Self {
            service,
            sockets,
            closing,
        }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Background for Listening<A> {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        _server: ShutdownWatch,
        tasks_per_fd: usize,
    ) {
        if let Some(fds) = &fds {
            let mut table = fds.lock();
            for socket in self.sockets.drain(..) {
                table.add(socket.address.to_string(), socket.listener.into_raw_fd());
            }
        }
        let closing = self.closing.clone();
        Background::start_service(&mut self.service, fds, closing, tasks_per_fd).await;
    }

    fn name(&self) -> &str {
        Background::name(&self.service)
    }

    fn threads(&self) -> Option<usize> {
        Background::threads(&self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_an_error_that_names_key_and_address() {
        let any = "127.0.0.1:0".parse().unwrap();
        let first = Socket::bind("listen.http", any).unwrap();
        let error = Socket::bind("listen.admin", first.address()).unwrap_err();
        let text = error.to_string();
        let expected = format!("listen.admin: {}: Address already in use", first.address());
        assert!(text.starts_with(&expected), "{text}");
    }
}
