//! The one HTTP client of all remote stores, over Pingora's pooled connector.
//!
//! Every wait has a deadline: connecting (name look-up and TLS included), the response head, and
//! each piece of a body. A body ends well only when its framing says so; a connection goes back
//! to the pool only after that. Redirects are not followed, bodies not decoded, nothing retried:
//! that is decided above.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{ErrorType, RetryType};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Deadlines;
use crate::limits::INTERIM_MAX;
use crate::origin::endpoint::{Endpoint, Scheme};
use crate::origin::endpoints::Trouble;
use crate::origin::idle::{self, IDLE};
use crate::origin::resolver::Resolver;
use crate::origin::wire::{Framing, Lease, Wire};
use crate::origin::{Delimited, Error, Interim, Refusal, answer, interim};

/// Idle connections kept for one origin.
const POOL: usize = 256;
/// Requests at once on one HTTP/2 connection.
const STREAMS: usize = 32;
/// What one HTTP/2 body may have in flight: it lies in memory outside the byte budget.
const STREAM_WINDOW: u32 = 1 << 20;
/// What all bodies of one HTTP/2 connection may have in flight.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// How often an HTTP/2 connection is pinged, so that a dead one is noticed.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Pool of idle connections.
const POOLED_GROUP: u64 = 0;
/// Pool that never has an idle HTTP/1.1 connection, since they are given back to the other one.
const FRESH_GROUP: u64 = 1;

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// PEM file of the authorities to trust in place of the system's; checked by `build`.
    pub ca: Option<PathBuf>,
    /// Whether HTTP/2 is offered to TLS endpoints.
    pub http2: bool,
    /// Deadlines of each request.
    pub deadlines: Deadlines,
}

/// Sends requests, one try each.
pub struct Client {
    connector: Connector,
    resolver: Resolver,
    options: Options,
}

/// Which connection a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// One from the pool, where there is one.
    Pooled,
    /// A new one, since a pooled one turned out dead.
    Fresh,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// Where to connect to.
    pub endpoint: &'a Endpoint,
    /// Name that the certificate must have.
    pub sni: &'a str,
    /// Which connection to take.
    pub connection: Connection,
}

/// What one try is given beside the request.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Longest wait for a new connection, name look-up and TLS included.
    pub connect: Duration,
    /// Who is told of interim responses. Over HTTP/2 none are seen: Pingora skips them.
    pub listener: Option<&'a mpsc::Sender<Interim>>,
}

/// Whether a request may be sent again without costing a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It may not.
    Never,
    /// A pooled connection died before anything of a response came, which says nothing of the
    /// endpoint. It may have seen the request.
    Unanswered,
    /// The endpoint said that it did not look at the request (HTTP/2).
    Unprocessed,
}

/// An answer as it came, unchecked but for its framing.
pub struct Answer {
    /// Any status from 200.
    pub status: StatusCode,
    /// All fields of the head.
    pub headers: HeaderMap,
    /// The body.
    pub body: Wire,
}

/// Why a request has no answer.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub error: Error,
    /// Whether the request may be sent again on a new connection, as if this had not been.
    pub repeat: Repeat,
    /// What it says of the endpoint.
    pub trouble: Option<Trouble>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let trouble = match error {
            Error::Connect { .. } => Some(Trouble::Unreachable),
            Error::FirstByte { .. } => Some(Trouble::Silent),
            _ => None,
        };
        Self {
            error,
            repeat: Repeat::Never,
            trouble,
        }
    }
}

struct Opened {
    session: HttpSession,
    peer: HttpPeer,
    reused: bool,
}

impl Client {
    /// Makes a client with a connection pool of its own.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let mut connector = ConnectorOptions::new(POOL);
        connector.ca_file = options
            .ca
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned());
        Self {
            connector: Connector::new(Some(connector)),
            resolver: Resolver::default(),
            options,
        }
    }

    /// Sends `request` and waits for the head of its answer.
    ///
    /// The URI of the request gives path and query only; its Host field must be set.
    ///
    /// # Errors
    /// A [`Failure`] where no well-formed head came in time.
    pub async fn send(
        self: &Arc<Self>,
        route: Route<'_>,
        request: Request<Bytes>,
    ) -> Result<Answer, Failure> {
        let terms = Terms {
            connect: self.options.deadlines.connect,
            listener: None,
        };
        self.send_on(terms, route, request).await
    }

    /// Sends `request` like [`Client::send`], on terms of its own.
    ///
    /// # Errors
    /// A [`Failure`] where no well-formed head came in time.
    pub async fn send_on(
        self: &Arc<Self>,
        terms: Terms<'_>,
        route: Route<'_>,
        request: Request<Bytes>,
    ) -> Result<Answer, Failure> {
        let method = request.method().clone();
        let (header, body) =
            header_of(request).map_err(|_| refused(route.endpoint, Refusal::MalformedHead))?;
        let mut opened = self.open(route, terms.connect).await?;
        let waited = self.options.deadlines.first_byte;
        let head = exchange(&mut opened.session, header, body, terms.listener);
        match timeout(waited, head).await {
            Err(_) => Err(Failure::from(Error::FirstByte {
                endpoint: route.endpoint.to_string(),
                waited,
            })),
            Ok(Err(error)) => Err(self.unanswered(route.endpoint, &opened, error)),
            Ok(Ok(())) => self.answer(route.endpoint, opened, &method),
        }
    }

    async fn open(&self, route: Route<'_>, connect: Duration) -> Result<Opened, Failure> {
        let endpoint = route.endpoint;
        let deadline = Instant::now() + connect;
        let lookup = self.resolver.resolve(&endpoint.host, endpoint.port);
        let addresses = match timeout_at(deadline, lookup).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => return Err(no_connection(endpoint, error.to_string())),
            Err(_) => return Err(no_connection(endpoint, "name look-up timed out".into())),
        };
        let mut reason = String::from("no address");
        let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        for address in addresses {
            // A share of the deadline each, so that one dead address does not use it up.
            let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
            left = left.saturating_sub(1);
            let peer = self.peer(route, address, connect);
            match timeout(share, self.connector.get_http_session(&peer)).await {
                Ok(Ok((session, reused))) => {
                    return Ok(Opened {
                        session,
                        peer,
                        reused,
                    });
                }
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => reason = format!("{address} did not answer in time"),
            }
        }
        Err(no_connection(endpoint, reason))
    }

    fn peer(&self, route: Route<'_>, address: SocketAddr, connect: Duration) -> HttpPeer {
        let tls = route.endpoint.scheme == Scheme::Https;
        let mut peer = HttpPeer::new(address, tls, route.sni.to_owned());
        // Pools are separate by group, so another group never yields an idle connection of ours.
        peer.group_key = match route.connection {
            Connection::Pooled => POOLED_GROUP,
            Connection::Fresh => FRESH_GROUP,
        };
        let options = &mut peer.options;
        options.connection_timeout = Some(connect);
        options.total_connection_timeout = Some(connect);
        options.idle_timeout = Some(IDLE);
        if tls && self.options.http2 {
            options.set_http_version(2, 1);
            options.max_h2_streams = STREAMS;
            options.h2_stream_window_size = Some(STREAM_WINDOW);
            options.h2_connection_window_size = Some(CONNECTION_WINDOW);
            options.h2_ping_interval = Some(PING_EVERY);
        }
        peer
    }

    fn unanswered(
        &self,
        endpoint: &Endpoint,
        opened: &Opened,
        error: Box<pingora::Error>,
    ) -> Failure {
        // After an interim response the request was being looked at.
        let untouched = opened.session.response_header().is_none();
        let repeat = match error.retry {
            RetryType::Decided(true) => Repeat::Unprocessed,
            _ if opened.reused && untouched => Repeat::Unanswered,
            _ => Repeat::Never,
        };
        match error.etype() {
            ErrorType::H2Downgrade | ErrorType::InvalidH2 => {
                self.connector.prefer_h1(&opened.peer);
                Failure {
                    repeat: Repeat::Unprocessed,
                    ..no_connection(endpoint, error.to_string())
                }
            }
            ErrorType::InvalidHTTPHeader => refused(endpoint, Refusal::MalformedHead),
            // One object may make a server drop its connections; that is no dead server.
            _ => Failure {
                repeat,
                trouble: Some(Trouble::Silent),
                ..no_connection(endpoint, format!("closed before the head: {error}"))
            },
        }
    }

    fn answer(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        opened: Opened,
        method: &Method,
    ) -> Result<Answer, Failure> {
        let Some(head) = opened.session.response_header() else {
            return Err(refused(endpoint, Refusal::MalformedHead));
        };
        let (status, headers) = (head.status, head.headers.clone());
        // We never ask for an upgrade.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused(endpoint, Refusal::MalformedHead));
        }
        // Whoever disagrees about where a body ends may smuggle an answer into the connection.
        if is_ambiguous(&opened.session) {
            return Err(refused(endpoint, Refusal::AmbiguousFraming));
        }
        let bodiless = *method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = match answer::content_length(&headers) {
            Ok(_) if bodiless => Some(0),
            Ok(length) => length,
            Err(reason) => return Err(refused(endpoint, reason)),
        };
        let chunked = headers
            .get(TRANSFER_ENCODING)
            .is_some_and(answer::is_chunked);
        let explicit_end = opened.session.as_http2().is_some() || chunked;
        let delimited = match length {
            Some(_) => Delimited::Length,
            None if explicit_end => Delimited::Chunked,
            None => Delimited::Close,
        };
        let framing = Framing {
            endpoint: endpoint.to_string(),
            length,
            delimited,
            stall: self.options.deadlines.stall,
        };
        let lease = Lease {
            client: Arc::clone(self),
            peer: opened.peer,
            session: opened.session,
        };
        Ok(Answer {
            status,
            headers,
            body: Wire::new(lease, framing),
        })
    }

    /// Takes back a connection whose answer was read to its end.
    pub(super) async fn release(&self, session: HttpSession, mut peer: HttpPeer) {
        let mut idle = IDLE;
        if let Some(http1) = session.as_http1() {
            peer.group_key = POOLED_GROUP;
            idle = http1
                .resp_header()
                .map_or(IDLE, |head| idle::idle(&head.headers));
        }
        if !idle.is_zero() {
            self.connector
                .release_http_session(session, &peer, Some(idle))
                .await;
        }
    }
}

fn header_of(request: Request<Bytes>) -> pingora::Result<(Box<RequestHeader>, Bytes)> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |paq| paq.as_str());
    let mut header = RequestHeader::build_no_case(parts.method, target.as_bytes(), None)?;
    for (name, value) in &parts.headers {
        header.append_header(name.clone(), value.clone())?;
    }
    if !body.is_empty() {
        header.insert_header(CONTENT_LENGTH, body.len())?;
    }
    Ok((Box::new(header), body))
}

/// Sends the request and reads heads until one is final.
async fn exchange(
    session: &mut HttpSession,
    header: Box<RequestHeader>,
    body: Bytes,
    listener: Option<&mpsc::Sender<Interim>>,
) -> pingora::Result<()> {
    session.write_request_header(header).await?;
    if !body.is_empty() {
        session.write_request_body(body, true).await?;
    }
    session.finish_request_body().await?;
    for _ in 0..=INTERIM_MAX {
        session.read_response_header().await?;
        let Some(head) = session.response_header() else {
            return Ok(());
        };
        let status = head.status;
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        if let Some(listener) = listener {
            interim::tell(listener, status, &head.headers);
        }
    }
    let why = "more interim responses than any client has use for";
    pingora::Error::e_explain(ErrorType::InvalidHTTPHeader, why)
}

/// Whether an HTTP/1 head has Transfer-Encoding where it must not (RFC 9112 sections 6.1, 6.3).
///
/// Of the two framings the connector has taken out Content-Length, so the head is looked at as it
/// came.
fn is_ambiguous(session: &HttpSession) -> bool {
    let Some(http1) = session.as_http1() else {
        return false;
    };
    let Some(head) = http1.resp_header() else {
        return false;
    };
    if !head.headers.contains_key(TRANSFER_ENCODING) {
        return false;
    }
    let raw = http1.get_headers_raw_bytes();
    let named = |line: &[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.trim_ascii()
            .eq_ignore_ascii_case(CONTENT_LENGTH.as_str().as_bytes())
    };
    head.version != Version::HTTP_11 || raw.split(|byte| *byte == b'\n').any(named)
}

fn refused(endpoint: &Endpoint, reason: Refusal) -> Failure {
    Failure::from(Error::Refused {
        endpoint: endpoint.to_string(),
        reason,
    })
}

fn no_connection(endpoint: &Endpoint, reason: String) -> Failure {
    Failure::from(Error::Connect {
        endpoint: endpoint.to_string(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::Store;
    use crate::origin::scripted::site;
    use crate::origin::scripted_tls::Secure;
    use crate::origin::{Delimited, Error, Fetch, Origin, build};
    use std::sync::Arc;

    fn client(secure: &Secure) -> Arc<dyn Origin> {
        let mut site = site(Store::Web { host: None }, &[&secure.url]);
        site.origin.http2 = true;
        site.origin.ca = Some(secure.ca.path().to_owned());
        build::build(&site).unwrap()
    }

    /// Fetches `path` and returns version, framing and body.
    async fn fetched(
        client: &Arc<dyn Origin>,
        path: &str,
    ) -> (String, Delimited, Result<Vec<u8>, Error>) {
        let fetch = Fetch {
            path: path.into(),
            ..Fetch::default()
        };
        let mut reply = client.fetch(&fetch).await.unwrap();
        let version = reply.headers["x-version"].to_str().unwrap().to_owned();
        let delimited = reply.body.delimited();
        let mut all = Vec::new();
        let body = loop {
            match reply.body.piece().await {
                Ok(Some(piece)) => all.extend_from_slice(&piece),
                Ok(None) => break Ok(all),
                Err(error) => break Err(error),
            }
        };
        (version, delimited, body)
    }

    #[tokio::test]
    async fn both_versions_are_spoken_over_tls_and_connections_are_used_again() {
        for (protocols, version) in [(&["h2", "http/1.1"][..], "2"), (&["http/1.1"], "1")] {
            let secure = Secure::start(protocols).await;
            let client = client(&secure);
            for (path, delimited) in [
                ("/length", Delimited::Length),
                ("/open", Delimited::Chunked),
                ("/length", Delimited::Length),
            ] {
                let (spoken, framing, body) = fetched(&client, path).await;
                assert_eq!((spoken.as_str(), framing), (version, delimited));
                assert_eq!(body.unwrap(), b"helloworld");
            }
            assert_eq!(secure.connections(), 1, "{version}");
        }
    }

    #[tokio::test]
    async fn a_stream_that_is_reset_is_an_error_in_both_versions() {
        for protocols in [&["h2"], &["http/1.1"]] {
            let secure = Secure::start(protocols).await;
            let client = client(&secure);
            for path in ["/broken-length", "/broken-open"] {
                let error = fetched(&client, path).await.2.unwrap_err();
                assert!(
                    matches!(error, Error::Truncated { .. }),
                    "{protocols:?} {error}"
                );
            }
            assert!(fetched(&client, "/length").await.2.is_ok());
        }
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
        let secure = Secure::start(&["h2"]).await;
        let site = site(Store::Web { host: None }, &[&secure.url]);
        let error = build::build(&site).unwrap().fetch(&Fetch::default()).await;
        assert!(matches!(error.err(), Some(Error::Connect { .. })));
    }

    #[test]
    fn authorities_that_cannot_be_read_are_named() {
        let mut site = site(Store::Web { host: None }, &["https://store"]);
        for path in ["/none", "/dev/null"] {
            site.origin.ca = Some(path.into());
            let error = build::build(&site).err().unwrap().to_string();
            assert!(error.contains(path), "{error}");
        }
    }
}
