//! Where objects come from: one trait, and an implementation for each kind of store.
//!
//! An [`Origin`] turns what a store answers into what an HTTP cache may believe. Behind it lie
//! signing, endpoints and their health, deadlines, retries (the one owner of them), resuming of
//! broken bodies and the peculiarities of stores. In front of it an answer is either right or a
//! named [`Error`]; nothing that an origin refused is ever stored.
//!
//! Promises that the cache builds on:
//! - A [`Body`] ends with `Ok(None)` only when every byte that the head announced has arrived.
//! - A 206 has a [`Reply::span`] that starts where the request asked and lies within it, but for
//!   the last bytes that one client asks for: those are what the origin says they are.
//! - The body of a 206 has exactly the bytes of that span, however it is framed.
//! - A fetch with a [`Pin`] yields bytes of that version only, or [`Error::Changed`].
//! - No header that names store internals is left in [`Reply::headers`].

pub mod answer;
pub mod azure;
pub mod build;
pub mod client;
pub mod endpoint;
pub mod endpoints;
pub mod file;
pub mod gate;
pub mod google;
mod idle;
pub mod interim;
pub mod location;
pub mod path;
pub mod remote;
pub mod request;
pub mod resolver;
pub mod resume;
pub mod retry;
pub mod s3;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod scripted_tls;
pub mod scrub;
pub mod seldom;
pub mod sign;
pub mod store;
pub mod tally;
pub mod web;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_RANGE;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::mpsc;

use crate::http::forward::Fields;
use crate::http::range::Wanted;

/// What is asked of an origin: always built afresh from a validated key.
#[derive(Debug, Clone, Default)]
pub struct Fetch {
    /// Ask for the head only.
    pub head_only: bool,
    /// Canonical path below the origin's base: percent-encoded, with its leading slash.
    pub path: String,
    /// Canonical query without `?`, where the site keeps queries.
    pub query: Option<String>,
    /// Bytes wanted; `None` for the whole object.
    pub range: Option<Wanted>,
    /// The version whose bytes are wanted; any other is [`Error::Changed`].
    pub pin: Option<Pin>,
    /// Validators of a stored copy, for a 304 in place of a body.
    pub validators: Option<Validators>,
    /// What of the client's request the origin sees.
    pub fields: Option<Arc<Fields>>,
    /// Who is told of interim responses, as they come (RFC 9110 section 15.2).
    pub interim: Option<mpsc::Sender<Interim>>,
    /// `CDN-Loop` (RFC 8586) of the request that led to this fetch, all its fields joined.
    pub cdn_loop: Option<HeaderValue>,
}

/// An interim response (1xx) of an origin, to be passed on before the final one.
#[derive(Debug, Clone)]
pub struct Interim {
    /// 102, 103 or another of its class; never 100 or 101.
    pub status: StatusCode,
    /// Its end-to-end headers.
    pub headers: HeaderMap,
}

/// What identifies one version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// A strong entity tag, sent as If-Match.
    Etag(HeaderValue),
    /// A date and a length, sent as If-Unmodified-Since and checked on every answer.
    Modified {
        /// Last-Modified as the origin wrote it.
        date: HeaderValue,
        /// Length of the whole object in bytes.
        length: u64,
    },
}

/// Validators of a stored response (RFC 9110 section 8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// The entity tag, weak or strong.
    pub etag: Option<HeaderValue>,
    /// Last-Modified as the origin wrote it.
    pub last_modified: Option<HeaderValue>,
}

/// An origin's answer.
pub struct Reply {
    /// 200, 206, 304, or whatever else the origin said (404, 403, 410, 416, a redirect, ...).
    pub status: StatusCode,
    /// End-to-end headers; Content-Length is that of this answer's body.
    pub headers: HeaderMap,
    /// Which bytes a 206 carries.
    pub span: Option<Span>,
    /// The body; for an answer without one it ends at once.
    pub body: Box<dyn Body>,
}

impl Reply {
    /// Makes a 206 that carries every byte of the object the 200 that it could have been.
    #[must_use]
    pub fn into_whole(mut self) -> Self {
        if self.span.is_some_and(Span::is_all) {
            self.status = StatusCode::OK;
            self.headers.remove(CONTENT_RANGE);
            self.span = None;
        }
        self
    }
}

/// Content-Range of a 206 (RFC 9110 section 14.4), both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte.
    pub last: u64,
    /// Length of the whole object.
    pub total: u64,
}

impl Span {
    /// Whether this is the whole object.
    #[must_use]
    pub fn is_all(self) -> bool {
        self.first == 0 && self.last.checked_add(1) == Some(self.total)
    }
}

/// The bytes of a reply, in order.
#[async_trait]
pub trait Body: Send + Sync {
    /// Returns the next piece (never empty), or `None` after the last one.
    ///
    /// # Errors
    /// Any [`Error`] ends the body; what came before it is then incomplete.
    async fn piece(&mut self) -> Result<Option<Bytes>, Error>;

    /// Notes that the body goes to one client, at that client's pace: it no longer stands for work
    /// of the origin, and others need not wait for it.
    fn pass(&mut self) {}

    /// Says how the end of this body is known; one delimited by close must not be stored.
    fn delimited(&self) -> Delimited {
        Delimited::Length
    }
}

/// How the end of a body is known (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimited {
    /// By Content-Length, or there is no body.
    Length,
    /// By the terminating chunk or `END_STREAM`.
    Chunked,
    /// By nothing but the end of the connection: a cut body looks complete.
    Close,
}

/// A store or server that objects are fetched from.
#[async_trait]
pub trait Origin: Send + Sync + 'static {
    /// Asks for an object. Deadlines, retries and failover are inside.
    ///
    /// # Errors
    /// Every way in which no usable answer came; a 404 is an answer and no error.
    async fn fetch(&self, fetch: &Fetch) -> Result<Reply, Error>;

    /// Says how each endpoint is doing, for metrics, `/readyz` and `/v1/explain`.
    fn health(&self) -> Vec<EndpointHealth>;

    /// Checks every endpoint once, when it is due; called by a background task every second.
    async fn probe(&self) {}
}

/// State of one endpoint of an origin.
#[derive(Debug, Clone)]
pub struct EndpointHealth {
    /// Host and port, or a directory.
    pub endpoint: String,
    /// Whether requests are sent to it.
    pub up: bool,
    /// Failures in a row.
    pub failures: u32,
}

/// Why no usable answer came from an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No endpoint accepted a connection in time.
    #[error("no connection to {endpoint}: {reason}")]
    Connect {
        /// Host and port that was tried last.
        endpoint: String,
        /// What the connector said.
        reason: String,
    },
    /// No response head came in time.
    #[error("{endpoint} sent no response head within {waited:?}")]
    FirstByte {
        /// Host and port asked.
        endpoint: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The body stopped flowing.
    #[error("body of {endpoint} stalled for {waited:?} after {received} bytes")]
    Stall {
        /// Host and port asked.
        endpoint: String,
        /// How long was waited.
        waited: Duration,
        /// Body bytes that had arrived.
        received: u64,
    },
    /// The body ended early or the connection broke, and resuming did not help.
    #[error("body of {endpoint} broke off after {received} bytes")]
    Truncated {
        /// Host and port asked.
        endpoint: String,
        /// Body bytes that had arrived.
        received: u64,
    },
    /// The object is no longer the pinned version.
    #[error("the object changed at the origin")]
    Changed,
    /// The answer contradicts itself or the request.
    #[error("answer of {endpoint} refused: {reason}")]
    Refused {
        /// Host and port asked.
        endpoint: String,
        /// What is wrong with it.
        reason: Refusal,
    },
    /// The request could not be signed.
    #[error("no credentials: {0}")]
    Credentials(String),
    /// Every endpoint is down by its health; nothing was sent.
    #[error("every endpoint is down")]
    Down,
    /// As many requests as it may be sent at once are under way, and none ended in time.
    #[error("every place at the origin is taken")]
    Busy,
}

/// What is wrong with an answer that contradicts itself or the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A 200 that carries Content-Range: some of the object, passed off as all of it.
    PartialAsWhole,
    /// A 206 to a request without Range, or a multipart one.
    UnaskedPartial,
    /// A 206 whose Content-Range is absent, malformed or not what was asked.
    WrongRange,
    /// A body whose Content-Length disagrees with its Content-Range.
    WrongLength,
    /// A 304 to a request without validators.
    UnaskedNotModified,
    /// Contradicting Content-Length fields, a head that cannot be parsed, or no final one after
    /// [`crate::limits::INTERIM_MAX`] interim ones.
    MalformedHead,
    /// A store's redirect to another place: the wrong region or endpoint is configured.
    Redirected,
    /// A status outside of 100 to 599, or 407, which only a proxy of ours may send.
    WrongStatus,
    /// A Content-Length that no counter of bytes holds.
    TooLong,
    /// A head above [`crate::limits::RESPONSE_HEAD_BYTES_MAX`] or
    /// [`crate::limits::RESPONSE_FIELDS_MAX`].
    HeadTooLarge,
    /// Transfer-Encoding beside Content-Length or in HTTP/1.0: where the body ends is disputable.
    AmbiguousFraming,
    /// An encoded body (gzip, ...) in answer to a request for the identity encoding with Range.
    Encoded,
}

impl Refusal {
    /// The reason as logs and metrics spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartialAsWhole => "partial-as-whole",
            Self::UnaskedPartial => "unasked-partial",
            Self::WrongRange => "wrong-range",
            Self::WrongLength => "wrong-length",
            Self::UnaskedNotModified => "unasked-not-modified",
            Self::MalformedHead => "malformed-head",
            Self::Redirected => "redirected",
            Self::WrongStatus => "wrong-status",
            Self::TooLong => "too-long",
            Self::HeadTooLarge => "head-too-large",
            Self::AmbiguousFraming => "ambiguous-framing",
            Self::Encoded => "encoded",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::CONTENT_LENGTH;

    struct Empty;

    #[async_trait]
    impl Body for Empty {
        async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
            Ok(None)
        }
    }

    #[test]
    fn a_part_that_is_all_there_is_becomes_the_whole() {
        for (first, last, total, status) in [
            (0, 9, 10, 200),
            (0, 8, 10, 206),
            (1, 9, 10, 206),
            (0, u64::MAX, 10, 206),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_static("bytes"));
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("10"));
            let reply = Reply {
                status: StatusCode::PARTIAL_CONTENT,
                headers,
                span: Some(Span { first, last, total }),
                body: Box::new(Empty),
            };
            let reply = reply.into_whole();
            assert_eq!(reply.status, status, "{first}-{last}/{total}");
            assert_eq!(reply.span.is_none(), status == 200);
            assert_eq!(reply.headers.contains_key(CONTENT_RANGE), status == 206);
            assert!(reply.headers.contains_key(CONTENT_LENGTH));
        }
    }
}
