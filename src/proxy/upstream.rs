//! Unsafe methods on plain HTTP origins: passed through Pingora's own upstream path, once.
//!
//! There is no retry on this way, and no stored answer: such a request may change something. What
//! the cache holds of the target is forgotten when the origin agreed
//! ([`crate::proxy::invalidate`]); what it answered may be kept for GET ([`crate::proxy::posted`]).
//!
//! Invariant: nothing of one connection passes to the other (RFC 9110 section 7.6.1), there are no
//! tunnels, and the request's place is built by the origin layer from the validated route.

use std::path::Path;
use std::sync::Arc;

use http::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, UPGRADE, VIA};
use http::{StatusCode, Uri};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::ALPN;
use pingora::protocols::tls::CaType;
use pingora::proxy::Session;
use pingora::tls::x509::X509;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::{Error, ErrorSource, ErrorType, OrErr};

use crate::cache::ask::Source;
use crate::config::{self, Site};
use crate::http::{forward, via};
use crate::origin::Fetch;
use crate::origin::endpoint::{Endpoint, Scheme};
use crate::origin::location;
use crate::origin::request::Place;
use crate::origin::resolver::Resolver;
use crate::origin::scrub;
use crate::origin::store::{Dialect, Store};
use crate::origin::web::Web;
use crate::proxy::headers::REQUEST_ID;
use crate::proxy::storage::LAGGARD;
use crate::route::Route;

/// The way to one site's origin.
pub(super) struct Uplink {
    source: Arc<Source>,
    web: Web,
    endpoints: Vec<Endpoint>,
    resolver: Resolver,
    ca: Option<Arc<CaType>>,
}

/// Where one request goes.
pub(super) struct Way {
    /// What the connection is made to.
    pub(super) peer: Box<HttpPeer>,
    /// What is written on it.
    pub(super) destination: Destination,
}

/// Where one request goes, as its head says.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) endpoint: Endpoint,
    pub(super) place: Place,
}

impl Destination {
    /// A reference of the origin as clients can follow it: without scheme and host where it names
    /// the origin itself.
    pub(super) fn hide(&self, reference: &HeaderValue) -> Option<HeaderValue> {
        let mut scratch = HeaderMap::new();
        scratch.insert(LOCATION, reference.clone());
        location::hide(&mut scratch, &self.endpoint, &self.place);
        scratch.remove(LOCATION)
    }
}

impl Uplink {
    /// The way to a site's origin, where it takes methods other than GET and HEAD.
    pub(super) fn of(source: &Arc<Source>) -> Option<Self> {
        let origin = &source.site.origin;
        let config::Store::Web { host } = &origin.store else {
            return None;
        };
        let read = |text: &String| Endpoint::of(&text.parse().ok()?);
        Some(Self {
            source: Arc::clone(source),
            web: Web {
                host: host.clone(),
                prefix: origin.prefix.clone(),
            },
            endpoints: origin.endpoints.iter().filter_map(read).collect(),
            resolver: Resolver::default(),
            ca: origin.ca.as_deref().map(authorities),
        })
    }

    /// Finds where a request goes. The name is resolved here, since Pingora would block on it and
    /// panic when it is unknown.
    ///
    /// # Errors
    /// An endpoint that cannot be resolved in time.
    pub(super) async fn way(&self, route: &Route) -> pingora::Result<Way> {
        let endpoint = self.endpoint().ok_or_else(|| {
            Error::explain(ErrorType::InternalError, "an origin without endpoint")
        })?;
        let fetch = Fetch {
            path: route.origin_path.clone(),
            query: route.origin_query.clone(),
            ..Fetch::default()
        };
        let place = self.web.place(endpoint, &fetch);
        let place = place.ok_or_else(|| Error::explain(ErrorType::InternalError, "no place"))?;
        let site = &self.source.site;
        let resolved = self.resolver.resolve(&endpoint.host, endpoint.port);
        let address = tokio::time::timeout(site.deadlines.connect, resolved)
            .await
            .or_err(ErrorType::ConnectTimedout, "resolving an origin")?
            .or_err(ErrorType::ConnectError, "resolving an origin")?
            .first()
            .copied()
            .ok_or_else(|| Error::explain(ErrorType::ConnectError, "an origin without address"))?;
        let tls = endpoint.scheme == Scheme::Https;
        let mut peer = HttpPeer::new(address, tls, place.sni.clone());
        bound(&mut peer, site);
        peer.options.ca.clone_from(&self.ca);
        Ok(Way {
            peer: Box::new(peer),
            destination: Destination {
                endpoint: endpoint.clone(),
                place,
            },
        })
    }

    /// The first endpoint that is up by what other requests met; the first of all where none is,
    /// for nothing else would find out that it is back.
    fn endpoint(&self) -> Option<&Endpoint> {
        let health = self.source.origin.health();
        let up = |endpoint: &&Endpoint| {
            let name = endpoint.to_string();
            health
                .iter()
                .any(|known| known.up && known.endpoint == name)
        };
        let mut known = self.endpoints.iter();
        known.find(up).or_else(|| self.endpoints.first())
    }
}

fn bound(peer: &mut HttpPeer, site: &Site) {
    let options = &mut peer.options;
    options.connection_timeout = Some(site.deadlines.connect);
    options.total_connection_timeout = Some(site.deadlines.connect);
    options.read_timeout = Some(site.deadlines.first_byte);
    options.write_timeout = Some(site.deadlines.stall);
    options.alpn = ALPN::H1;
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
}

/// Reads the authorities to trust. `origin::build` has read the file before; one that has gone bad
/// since leaves nobody to trust, so that connections fail.
fn authorities(path: &Path) -> Arc<CaType> {
    let pem = std::fs::read(path).unwrap_or_default();
    let list = X509::stack_from_pem(&pem).unwrap_or_default();
    if list.is_empty() {
        tracing::error!(?path, "certificate authorities cannot be read any more");
    }
    Arc::new(list.into_boxed_slice())
}

/// Makes a request one that can be passed: it cannot turn into something else than HTTP.
pub(super) fn flatten(request: &mut RequestHeader) {
    request.remove_header(&UPGRADE);
}

/// Rewrites a client's request into one for the origin. `received` are the fields as the client
/// sent them, before those that Connection nominates were taken out.
///
/// # Errors
/// A place that makes no URI; none is known.
pub(super) fn rewrite(
    request: &mut RequestHeader,
    received: &RequestHeader,
    place: &Place,
    node: &str,
) -> pingora::Result<()> {
    let uri = Uri::try_from(place.target.as_str());
    request.set_uri(uri.or_err(ErrorType::InternalError, "the origin's target")?);
    request.insert_header(HOST, place.authority.as_str())?;
    join_cookies(request)?;
    request.append_header(VIA, via::via(received.version, node))?;
    // No client may take out what others wrote here (RFC 8586 section 2).
    request.remove_header(&via::CDN_LOOP);
    for value in received.headers.get_all(via::CDN_LOOP) {
        request.append_header(via::CDN_LOOP, value)?;
    }
    request.append_header(via::CDN_LOOP, via::cdn_loop(0))?;
    request.remove_header(&REQUEST_ID);
    let names = request.headers.keys();
    let misleading: Vec<_> = names
        .filter(|name| forward::misleads(name))
        .cloned()
        .collect();
    for name in misleading {
        request.remove_header(&name);
    }
    Ok(())
}

/// HTTP/2 splits Cookie into crumbs, HTTP/1.1 has one field (RFC 9113 section 8.2.3).
fn join_cookies(request: &mut RequestHeader) -> pingora::Result<()> {
    let crumbs: Vec<&[u8]> = request
        .headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() < 2 {
        return Ok(());
    }
    let whole = crumbs.join(&b"; "[..]);
    let whole = HeaderValue::from_bytes(&whole).or_err(ErrorType::InvalidHTTPHeader, "cookies")?;
    request.insert_header(COOKIE, whole)
}

/// Takes out of an origin's answer what is not for clients.
///
/// # Errors
/// An answer that no client can be given: a tunnel, or a status that is none (or is about the way
/// to a proxy, which an origin is not).
pub(super) fn scrub(response: &mut ResponseHeader) -> pingora::Result<()> {
    if !is_final(response.status) && !is_hint(response.status) {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "status not accepted");
    }
    let mut kept = HeaderMap::clone(&response.headers);
    scrub::scrub(&mut kept, Dialect::Web);
    let gone = |name: &&HeaderName| !kept.contains_key(*name);
    let gone: Vec<_> = response.headers.keys().filter(gone).cloned().collect();
    for name in gone {
        response.remove_header(&name);
    }
    Ok(())
}

/// Makes a redirect of the origin to itself one that leads through this node.
///
/// # Errors
/// A header that cannot be written; none is known.
pub(super) fn redirect(
    response: &mut ResponseHeader,
    destination: Option<&Destination>,
) -> pingora::Result<()> {
    let given = response.headers.get(LOCATION);
    match given.and_then(|given| destination?.hide(given)) {
        Some(hidden) => response.insert_header(LOCATION, hidden),
        None => Ok(()),
    }
}

/// Whether a status ends a request, and means something to whom did not ask a proxy.
pub(super) fn is_final(status: StatusCode) -> bool {
    let known = (200..=599).contains(&status.as_u16());
    known && status != StatusCode::PROXY_AUTHENTICATION_REQUIRED
}

/// Whether a status comes before the final one and leaves HTTP as it is.
pub(super) fn is_hint(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// What became of a request that did not get an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The client is gone, or does not take its answer.
    Gone,
    /// The client's request is at fault; it gets this status.
    Request(StatusCode),
    /// The origin or the way to it is at fault; the client gets this status.
    Origin(StatusCode),
}

/// Whether the body of a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upload {
    /// Not all of it.
    UnderWay,
    /// All of it, or there is none.
    Done,
}

impl Upload {
    /// How far a request has come.
    pub(super) fn of(session: &mut Session) -> Self {
        match session.is_body_done() {
            true => Self::Done,
            false => Self::UnderWay,
        }
    }
}

impl Fault {
    /// Whose fault `error` is, on a request that passes.
    ///
    /// An origin owes no answer while the request still comes. Pingora waits for it all the same,
    /// anew after each piece of the request: what runs out then is the time of the next piece.
    pub(super) fn of(error: &Error, upload: Upload) -> Self {
        match (error.esource(), error.etype()) {
            (
                ErrorSource::Downstream,
                ErrorType::ConnectionClosed
                | ErrorType::ReadError
                | ErrorType::WriteError
                | ErrorType::WriteTimedout
                | ErrorType::H2Error
                | ErrorType::InvalidH2,
            ) => Self::Gone,
            (ErrorSource::Downstream, ErrorType::ReadTimedout) => {
                Self::Request(StatusCode::REQUEST_TIMEOUT)
            }
            (_, etype) if *etype == LAGGARD => Self::Request(StatusCode::REQUEST_TIMEOUT),
            (ErrorSource::Downstream, _) => Self::Request(StatusCode::BAD_REQUEST),
            (_, ErrorType::ReadTimedout) if upload == Upload::UnderWay => {
                Self::Request(StatusCode::REQUEST_TIMEOUT)
            }
            (
                _,
                ErrorType::ConnectTimedout
                | ErrorType::TLSHandshakeTimedout
                | ErrorType::ReadTimedout
                | ErrorType::WriteTimedout,
            ) => Self::Origin(StatusCode::GATEWAY_TIMEOUT),
            _ => Self::Origin(StatusCode::BAD_GATEWAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = RequestHeader::build("POST", b"/x", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn passed(received: &RequestHeader) -> RequestHeader {
        let place = Place {
            authority: "store.test:8080".into(),
            sni: "store.test".into(),
            target: "/base/a?v=1".into(),
        };
        let mut request = received.clone();
        rewrite(&mut request, received, &place, "edge").unwrap();
        request
    }

    fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
        let values = headers.get_all(name).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_passed_request_names_its_place_and_its_way() {
        let received = request(&[
            ("host", "edge.test"),
            ("via", "1.0 far"),
            ("cdn-loop", "other; a=1"),
            ("cdn-loop", "weir"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-request-id", "chosen"),
            ("cmcd-object", "br=1"),
        ]);
        let passed = passed(&received);
        assert_eq!(passed.uri, "/base/a?v=1");
        let cases: [(&str, &[&str]); 6] = [
            ("cmcd-object", &[]),
            ("host", &["store.test:8080"]),
            ("via", &["1.0 far", "1.1 edge"]),
            ("cdn-loop", &["other; a=1", "weir", "weir"]),
            ("cookie", &["a=1; b=2"]),
            ("x-request-id", &[]),
        ];
        for (name, expected) in cases {
            assert_eq!(all(&passed.headers, name), expected, "{name}");
        }
    }

    #[test]
    fn a_passed_answer_keeps_nothing_of_its_connection() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("connection", "close, x-inner"),
            ("x-inner", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("upgrade", "h2c"),
            ("set-cookie", "a=1"),
            ("content-length", "3"),
        ] {
            response.append_header(name, value).unwrap();
        }
        scrub(&mut response).unwrap();
        let mut left: Vec<_> = response.headers.keys().map(|name| name.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "set-cookie"]);
    }

    #[test]
    fn tunnels_and_statuses_that_are_none_are_refused() {
        for (status, accepted) in [
            (100, true),
            (101, false),
            (103, true),
            (200, true),
            (404, true),
            (407, false),
            (599, true),
            (600, false),
            (999, false),
        ] {
            let mut response = ResponseHeader::build(status, None).unwrap();
            assert_eq!(scrub(&mut response).is_ok(), accepted, "{status}");
        }
    }

    #[test]
    fn each_side_is_blamed_for_its_own_faults() {
        let of = |source: fn(Box<Error>) -> Box<Error>, etype: ErrorType| {
            Fault::of(&source(Error::new(etype)), Upload::Done)
        };
        let late = Error::new(ErrorType::ReadTimedout).into_up();
        assert_eq!(
            Fault::of(&late, Upload::UnderWay),
            Fault::Request(StatusCode::REQUEST_TIMEOUT)
        );
        let (down, up) = (
            |error: Box<Error>| error.into_down(),
            |error: Box<Error>| error.into_up(),
        );
        let cases = [
            (of(down, ErrorType::ConnectionClosed), Fault::Gone),
            (of(down, ErrorType::WriteTimedout), Fault::Gone),
            (
                of(down, ErrorType::InvalidHTTPHeader),
                Fault::Request(StatusCode::BAD_REQUEST),
            ),
            (
                of(down, ErrorType::ReadTimedout),
                Fault::Request(StatusCode::REQUEST_TIMEOUT),
            ),
            (
                of(up, ErrorType::ReadTimedout),
                Fault::Origin(StatusCode::GATEWAY_TIMEOUT),
            ),
            (
                of(up, ErrorType::ConnectionClosed),
                Fault::Origin(StatusCode::BAD_GATEWAY),
            ),
        ];
        for (fault, expected) in cases {
            assert_eq!(fault, expected);
        }
    }
}
