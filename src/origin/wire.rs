//! A response body on the wire: counted, with a deadline on each piece.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use tokio::time::{Instant, timeout_at};

use crate::origin::client::Client;
use crate::origin::{Body, Delimited, Error};

/// A connection in use, with the way back to its pool.
pub(super) struct Lease {
    pub(super) client: Arc<Client>,
    pub(super) peer: HttpPeer,
    pub(super) session: HttpSession,
}

/// What the head said of the body.
pub(super) struct Framing {
    /// Host and port, for errors.
    pub(super) endpoint: String,
    /// Bytes of the body, where they are known.
    pub(super) length: Option<u64>,
    /// How its end is known.
    pub(super) delimited: Delimited,
    /// Longest wait between two pieces.
    pub(super) stall: Duration,
}

/// The body of an answer.
///
/// Dropped before its end it closes the connection (HTTP/2: resets the stream).
pub struct Wire {
    lease: Option<Lease>,
    framing: Framing,
    received: u64,
    /// Whether the framing's end was reached; without it a body never looks complete.
    ended: bool,
}

/// What a read came to.
enum Read {
    Piece(Bytes),
    End,
    Broken,
    Stalled,
}

impl Wire {
    pub(super) fn new(lease: Lease, framing: Framing) -> Self {
        Self {
            lease: Some(lease),
            framing,
            received: 0,
            ended: false,
        }
    }

    /// Makes a body of unstated length wrong that has not this many bytes.
    pub(super) fn expect(&mut self, length: u64) {
        self.framing.length.get_or_insert(length);
    }

    /// Reads the rest of a small body, such as an error's explanation; what is longer than
    /// `bytes_max` or breaks is cut there.
    pub async fn collect(mut self, bytes_max: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(Some(piece)) = self.piece().await {
            let room = bytes_max.saturating_sub(all.len());
            all.extend(piece.iter().take(room));
            if piece.len() > room {
                break;
            }
        }
        all
    }

    async fn read(&mut self) -> Read {
        let Some(lease) = self.lease.as_mut() else {
            return Read::Broken;
        };
        let deadline = Instant::now() + self.framing.stall;
        loop {
            match timeout_at(deadline, lease.session.read_response_body()).await {
                Err(_) => return Read::Stalled,
                Ok(Err(_)) => return Read::Broken,
                Ok(Ok(Some(piece))) if piece.is_empty() => {}
                Ok(Ok(Some(piece))) => return Read::Piece(piece),
                Ok(Ok(None)) if ended_well(&mut lease.session) => return Read::End,
                Ok(Ok(None)) => return Read::Broken,
            }
        }
    }

    /// Gives the connection back once the framing says that nothing follows.
    async fn finish(&mut self) {
        self.ended = true;
        if let Some(lease) = self.lease.take() {
            lease.client.release(lease.session, lease.peer).await;
        }
    }

    fn truncated(&mut self) -> Error {
        self.lease = None;
        Error::Truncated {
            endpoint: self.framing.endpoint.clone(),
            received: self.received,
        }
    }

    fn is_whole(&self) -> bool {
        self.framing
            .length
            .is_none_or(|length| length == self.received)
    }
}

/// HTTP/2 libraries report an end of stream also for a stream that an error closed.
fn ended_well(session: &mut HttpSession) -> bool {
    match session {
        HttpSession::H2(h2) => matches!(h2.check_response_end_or_error(), Ok(true)),
        HttpSession::H1(h1) => h1.is_body_done(),
        HttpSession::Custom(()) => false,
    }
}

#[async_trait]
impl Body for Wire {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        if self.ended {
            return Ok(None);
        }
        match self.read().await {
            Read::Piece(piece) => {
                let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                self.received = self.received.saturating_add(length);
                match self.framing.length {
                    Some(length) if self.received > length => return Err(self.truncated()),
                    Some(length) if self.received == length => {
                        let lease = self.lease.as_mut();
                        if lease.is_some_and(|lease| lease.session.response_done()) {
                            self.finish().await;
                        }
                    }
                    _ => {}
                }
                Ok(Some(piece))
            }
            Read::End if self.is_whole() => {
                self.finish().await;
                Ok(None)
            }
            Read::End | Read::Broken => Err(self.truncated()),
            Read::Stalled => {
                self.lease = None;
                Err(Error::Stall {
                    endpoint: self.framing.endpoint.clone(),
                    waited: self.framing.stall,
                    received: self.received,
                })
            }
        }
    }

    fn delimited(&self) -> Delimited {
        self.framing.delimited
    }
}
