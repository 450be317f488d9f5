//! The byte stream of a client connection, watched.
//!
//! Pingora reads a request head with a deadline for each read and none for the whole, and tells
//! nobody when the first byte of a head came; it counts no frames that carry no request either.
//! [`Wire`] stands between stream and protocol and tells the connection's [`Watch`] of what passes.
//!
//! It also decides when the buffer below it is flushed. Of an HTTP/1.1 answer of known length
//! Pingora flushes the end only, which would hold back the head and the first bytes of a fill that
//! trickles. Invariant: what an HTTP/1.1 session wrote is flushed before the write returns, but for
//! a head whose body follows at once ([`Watch::body_follows`]). HTTP/2 flushes by itself.
//!
//! And it owns the socket whose figures the connection's meter reads: when bytes come, which is
//! when a request does, and before bytes go, which is when there is room for more of a long answer.
//! The first bytes that come tell how far the client is, by the handshakes before them.

use std::fmt;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::metrics::{Closed, METRICS};
use crate::proxy::dating::Dating;
use crate::proxy::watch::Watch;
use crate::session::tcp_info;

/// What no request of HTTP/1.1 begins with, and every connection of HTTP/2 does.
const PREFACE_START: &[u8] = b"PRI ";

/// A client's stream that reports to the connection's watch.
pub(super) struct Wire {
    stream: Stream,
    /// That of the stream, and so open while the stream lives.
    socket: RawFd,
    watch: Arc<Watch>,
    /// Bytes that the buffer took of a write that returns once they are flushed.
    taken: Option<usize>,
    /// A head under way that keeps the date of its origin.
    dating: Option<Dating>,
}

impl Wire {
    pub(super) fn new(stream: Stream, watch: Arc<Watch>) -> Self {
        Self {
            socket: watch.socket().unwrap_or_else(|| stream.id()),
            stream,
            watch,
            taken: None,
            dating: None,
        }
    }

    /// Writes to the buffer below, with the date of the origin where one is kept.
    fn poll_put(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        if let Some(date) = self.watch.take_date() {
            self.dating = Dating::of(bytes, date);
        }
        let Some(dating) = &mut self.dating else {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        };
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, dating.piece(bytes)))?;
        if dating.went(count) {
            self.dating = None;
        }
        Poll::Ready(Ok(count))
    }

    /// Asks the kernel how the connection does, where somebody wants to know.
    fn meter(&self) {
        if self.watch.wants_reading()
            && let Some(info) = tcp_info::read(self.socket)
        {
            self.watch.read(info);
        }
    }

    fn went(&self, result: &Poll<std::io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = result {
            self.watch.bytes_went(*count);
        }
    }
}

/// Pingora logs streams, and what lies below knows addresses: this one's, and the gate's of all.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        if came > 0 {
            self.meter();
        }
        if came > 0 && self.watch.bytes_came(came).is_err() {
            METRICS.connections_closed.of(Closed::Flood).inc();
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionAborted.into()));
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.taken.is_none() {
            self.meter();
            let result = self.poll_put(cx, buf);
            self.went(&result);
            let count = ready!(result)?;
            if count < buf.len() || !self.watch.wants_flush() {
                return Poll::Ready(Ok(count));
            }
            self.taken = Some(count);
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Poll::Ready(Ok(self.taken.take().unwrap_or_default()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.meter();
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.went(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Wire {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.stream.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

#[async_trait]
impl Peek for Wire {
    async fn try_peek(&mut self, buf: &mut [u8]) -> std::io::Result<bool> {
        // Pingora asks for a whole HTTP/2 preface, which a shorter request never sends.
        if let Some((start, _)) = buf.split_at_mut_checked(PREFACE_START.len()) {
            let peeked = self.stream.try_peek(start).await?;
            if !peeked || start != PREFACE_START {
                return Ok(peeked);
            }
        }
        self.stream.try_peek(buf).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::gate::tests::ticket;
    use crate::proxy::meter::tests::{bearer, site};
    use crate::proxy::watch::Protocol;
    use crate::session::sample::SAMPLE_BUSY_MIN;
    use pingora::protocols::l4::stream::Stream as L4Stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (TcpStream, L4Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        (client, listener.accept().await.unwrap().0.into())
    }

    async fn read(client: &mut TcpStream) -> String {
        let mut buffer = vec![0; 100];
        let read = tokio::time::timeout(Duration::from_secs(10), client.read(&mut buffer));
        let count = read.await.expect("nothing came").unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[tokio::test]
    async fn only_a_head_whose_body_follows_is_held_and_goes_out_with_it() {
        let (mut client, stream) = pair().await;
        let watch = Watch::new(ticket());
        let request = watch.begin(Protocol::Http11);
        let mut wire = Wire::new(Box::new(stream), Arc::clone(&watch));
        wire.write_all(b"head").await.unwrap();
        assert_eq!(read(&mut client).await, "head");
        wire.write_all(b"body").await.unwrap();
        assert_eq!(read(&mut client).await, "body");
        request.body_follows();
        wire.write_all(b"head").await.unwrap();
        wire.write_all(b"body").await.unwrap();
        assert_eq!(read(&mut client).await, "headbody");
        wire.write_all(b"more").await.unwrap();
        assert_eq!(read(&mut client).await, "more");
    }

    #[tokio::test]
    async fn a_metered_connection_tells_what_it_carried_when_the_next_request_comes() {
        const BODY: usize = 2_000_000;
        let (mut client, stream) = pair().await;
        let watch = Watch::new(ticket());
        let mut wire = Wire::new(Box::new(stream), Arc::clone(&watch));
        let request = watch.begin(Protocol::Http11);
        request.carries_for(0, bearer(&site(), 7));
        request.meter();
        let takes = tokio::spawn(async move {
            // Far more than the kernel holds, and a wait: there is busy time to see.
            tokio::time::sleep(4 * SAMPLE_BUSY_MIN).await;
            let mut body = vec![0; BODY];
            client.read_exact(&mut body).await.unwrap();
            client.write_all(b"GET ").await.unwrap();
            client
        });
        wire.write_all(&vec![0; BODY]).await.unwrap();
        drop(request);
        let mut client = takes.await.unwrap();
        tokio::time::sleep(SAMPLE_BUSY_MIN).await;
        wire.read_exact(&mut [0; 4]).await.unwrap();
        let next = watch.begin(Protocol::Http11);
        let measured = next.measured().expect("a sample");
        assert_eq!(measured.bearer.who, bearer(&site(), 7).who);
        let carried = usize::try_from(measured.sample.bytes).unwrap();
        assert!((BODY / 2..=BODY).contains(&carried), "{carried}");
        assert!(next.measured().is_none());
        client.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_first_request_finds_the_round_trip_of_the_handshake_and_nobody_reads_on() {
        for (sounded, expected) in [(true, true), (false, false)] {
            let (mut client, stream) = pair().await;
            let watch = Watch::new(ticket());
            if sounded {
                watch.sound();
            }
            let mut wire = Wire::new(Box::new(stream), Arc::clone(&watch));
            client.write_all(b"GET ").await.unwrap();
            wire.read_exact(&mut [0; 4]).await.unwrap();
            let request = watch.begin(Protocol::Http11);
            assert_eq!(request.round_trip().is_some(), expected);
            assert!(!watch.wants_reading());
        }
    }

    #[tokio::test]
    async fn nobody_reads_a_connection_that_nobody_meters() {
        let (mut client, stream) = pair().await;
        let watch = Watch::new(ticket());
        let mut wire = Wire::new(Box::new(stream), Arc::clone(&watch));
        let request = watch.begin(Protocol::Http11);
        assert!(!watch.wants_reading());
        wire.write_all(b"body").await.unwrap();
        assert_eq!(read(&mut client).await, "body");
        assert!(!watch.wants_reading());
        request.carries_for(0, bearer(&site(), 1));
        request.meter();
        assert!(watch.wants_reading());
        wire.write_all(b"more").await.unwrap();
        assert!(!watch.wants_reading(), "read a moment ago");
    }
}
