//! The life of a client connection around Pingora's protocol loops.
//!
//! [`Front`] is what the listeners run, around Pingora's proxy or the admin application. It counts
//! connections ([`Gate`]), cuts those whose request head does not come in time ([`Watch`]), and
//! hands everything else to Pingora. Pingora calls it
//! once a connection: its own loop takes the later requests of HTTP/1.1. Requests find the watch
//! of their connection through the digest that Pingora keeps beside each session, in the slot
//! meant for a `CONNECT` proxy's answer, which a listener's connections do not have.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerOptions, ServerApp};
use pingora::http::ResponseHeader;
use pingora::listeners::PreTlsProcess;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{Digest, GetProxyDigest, GetSocketDigest, Stream};
use pingora::proxy::{HttpProxy, Session};
use pingora::server::ShutdownWatch;
use pingora::{Error, ErrorType};

use crate::config;
use crate::metrics::{Closed, METRICS};
use crate::proxy::Edge;
use crate::proxy::gate::Gate;
use crate::proxy::handshake;
use crate::proxy::watch::{Active, Protocol, Watch};
use crate::proxy::wire::Wire;

/// Streams of one HTTP/2 connection at once: more than a player opens, few enough that one
/// connection cannot claim the node.
const H2_STREAMS_MAX: u32 = 100;

/// Decoded request head of an HTTP/2 stream: [`crate::limits::REQUEST_HEAD_BYTES_MAX`].
const H2_HEAD_BYTES_MAX: u32 = 32 * 1024;

/// Body bytes that HTTP/2 may hold for one stream beyond what the client has taken.
///
/// They hold their chunk in the byte budget, so a slow reader's share stays below half a chunk;
/// at 100 ms round trip it still allows 8 Mbit/s a stream for each window it refills.
const H2_SEND_BUFFER_BYTES: usize = 128 * 1024;

/// The application of a listener: what bounds connections, around what answers on them.
pub struct Front<A> {
    app: Arc<A>,
    gate: Arc<Gate>,
    head_timeout: Duration,
    /// Whether the kernel is asked how far each client is.
    sounds: bool,
}

impl<A> Front<A> {
    /// Puts `gate` and a deadline for request heads before `app`.
    #[must_use]
    pub fn new(app: A, gate: &Arc<Gate>, head_timeout: Duration) -> Self {
        Self {
            app: Arc::new(app),
            gate: Arc::clone(gate),
            head_timeout,
            sounds: false,
        }
    }

    /// Has the kernel asked how far each client is, once for a connection.
    #[must_use]
    pub fn sounding(self) -> Self {
        Self {
            sounds: true,
            ..self
        }
    }
}

/// Sets what Pingora's proxy may do on one connection.
pub fn bound(proxy: &mut HttpProxy<Edge>, config: &config::Config) {
    let mut options = HttpServerOptions::default();
    options.h2c = config.listen.h2c;
    options.h2_idle_timeout = Some(config.server.keepalive);
    proxy.server_options = Some(options);
    proxy.h2_options = Some(h2_options());
}

fn h2_options() -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(H2_HEAD_BYTES_MAX)
        .max_send_buffer_size(H2_SEND_BUFFER_BYTES);
    options
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Front<A> {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let watch = match stream.get_proxy_digest().and_then(|d| watch_in(&d)) {
            Some(watch) => watch,
            None => {
                let (watch, digest) = admit(&self.gate, address(stream.as_ref())).ok()?;
                stream.set_proxy_digest(digest);
                watch
            }
        };
        watch.establish();
        if self.sounds {
            watch.sound();
        }
        let wire: Stream = Box::new(Wire::new(stream, Arc::clone(&watch)));
        tokio::select! {
            biased;
            reusable = self.app.process_new(wire, shutdown) => reusable,
            () = watch.head_overdue(self.head_timeout) => {
                METRICS.connections_closed.of(Closed::Head).inc();
                None
            }
        }
    }

    async fn cleanup(&self) {
        self.app.cleanup().await;
    }
}

/// Counts TLS connections before their handshake and gives the handshake the deadline of a request
/// head: Pingora's own is a minute.
#[async_trait]
impl PreTlsProcess for Gatekeeper {
    async fn process(&self, stream: &mut L4Stream) -> pingora::Result<()> {
        let (watch, digest) = admit(&self.gate, address(stream)).map_err(|reason| {
            Error::explain(
                ErrorType::AcceptError,
                crate::metrics::Label::as_str(reason),
            )
        })?;
        handshake::bound(stream, watch, self.head_timeout);
        stream.set_proxy_digest(digest);
        Ok(())
    }
}

/// Lets connections in before TLS.
pub struct Gatekeeper {
    /// What counts them.
    pub gate: Arc<Gate>,
    /// By when the handshake must be through.
    pub head_timeout: Duration,
}

fn admit(gate: &Arc<Gate>, address: Option<IpAddr>) -> Result<(Arc<Watch>, ProxyDigest), Closed> {
    let ticket = gate
        .enter(address)
        .inspect_err(|&reason| METRICS.connections_closed.of(reason).inc())?;
    let watch = Watch::new(ticket);
    let nothing = ResponseHeader::build_no_case(http::StatusCode::OK, None)
        .map_err(|_| Closed::Connections)?;
    let digest = ProxyDigest::new(Box::new(nothing), Some(Box::new(Arc::clone(&watch))));
    Ok((watch, digest))
}

fn address<S: GetSocketDigest + ?Sized>(stream: &S) -> Option<IpAddr> {
    let digest = stream.get_socket_digest()?;
    Some(digest.peer_addr()?.as_inet()?.ip())
}

fn watch_in(digest: &ProxyDigest) -> Option<Arc<Watch>> {
    let data = digest.user_data.as_deref()?;
    data.downcast_ref::<Arc<Watch>>().map(Arc::clone)
}

/// Tells the connection that a request begins; it lasts until the guard drops.
pub(crate) fn begin(digest: Option<&Digest>, protocol: Protocol) -> Option<Active> {
    let digest = digest?.proxy_digest.as_ref()?;
    Some(watch_in(digest)?.begin(protocol))
}

/// Which protocol the request came by.
pub(super) fn protocol(session: &Session) -> Protocol {
    if session.is_http2() {
        Protocol::Http2
    } else if session.req_header().version == http::Version::HTTP_10 {
        Protocol::Http10
    } else {
        Protocol::Http11
    }
}
