//! The byte stream of a TLS connection, with a deadline for its handshake.
//!
//! Pingora gives every handshake a minute, in which a client that says nothing, or a byte now and
//! then, holds a place of the gate. [`Handshake`] lies below TLS and fails reads and writes once
//! the deadline is over; it steps aside when the protocol loop has taken the connection over.

use std::fmt::Debug;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::protocols::{GetSocketDigest, SocketDigest};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::metrics::{Closed, METRICS};
use crate::proxy::watch::Watch;

/// A stream whose handshake has a deadline.
#[derive(Debug)]
struct Handshake<S> {
    stream: S,
    watch: Arc<Watch>,
    /// The deadline, until the handshake is known to be over.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// Puts a deadline of `limit` from now on below the handshake that is to come on `stream`.
pub(super) fn bound(stream: &mut L4Stream, watch: Arc<Watch>, limit: Duration) {
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    watch.lies_on(stream.as_raw_fd());
    // Asked for now: once the client has left, the system does not know it any more.
    digest.peer_addr();
    let nothing = Handshake {
        stream: tokio::io::empty(),
        watch: Arc::clone(&watch),
        deadline: None,
    };
    let inner = std::mem::replace(stream, virtual_stream(nothing));
    *stream = virtual_stream(Handshake {
        stream: inner,
        watch,
        deadline: Some(Box::pin(tokio::time::sleep(limit))),
    });
    stream.set_socket_digest(digest);
}

fn virtual_stream<S: Below>(handshake: Handshake<S>) -> L4Stream {
    L4Stream::from(VirtualSocketStream::new(Box::new(handshake)))
}

/// What may lie below a handshake.
trait Below: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug + 'static> Below for S {}

impl<S> Handshake<S> {
    fn in_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = &mut self.deadline else {
            return Ok(());
        };
        if self.watch.is_established() {
            self.deadline = None;
            return Ok(());
        }
        if deadline.as_mut().poll(cx).is_ready() {
            METRICS.connections_closed.of(Closed::Head).inc();
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl<S: Below> AsyncRead for Handshake<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: Below> AsyncWrite for Handshake<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: Below> VirtualSocket for Handshake<S> {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        // Set on the socket when it was accepted.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::proxy::gate::tests::ticket;

    const LIMIT: Duration = Duration::from_secs(10);

    fn handshake(watch: &Arc<Watch>) -> (Handshake<tokio::io::DuplexStream>, impl Sized) {
        let (stream, peer) = tokio::io::duplex(16);
        let handshake = Handshake {
            stream,
            watch: Arc::clone(watch),
            deadline: Some(Box::pin(tokio::time::sleep(LIMIT))),
        };
        (handshake, peer)
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_ends_at_its_deadline() {
        let watch = Watch::new(ticket());
        let (mut stream, _peer) = handshake(&watch);
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn an_established_connection_has_no_deadline_here() {
        let watch = Watch::new(ticket());
        let (mut stream, _peer) = handshake(&watch);
        watch.establish();
        let read = tokio::time::timeout(2 * LIMIT, stream.read_u8()).await;
        assert!(read.is_err(), "still waiting");
    }
}
