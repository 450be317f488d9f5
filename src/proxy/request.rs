//! The beginning of a request: what is refused, what is answered at once, what is asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_LENGTH, HOST, HeaderMap};
use http::uri::Authority;
use http::{Method, StatusCode};
use pingora::Error;
use pingora::proxy::Session;

use crate::cache::ask::{Ask, Source};
use crate::config::Profile;
use crate::http::forward::Fields;
use crate::http::via;
use crate::http::wishes::Wishes;
use crate::limits::REQUEST_HEAD_BYTES_MAX;
use crate::metrics::{Closed, METRICS, Outcome};
use crate::proxy::exchange::Exchange;
use crate::proxy::pace::Pace;
use crate::proxy::respond::{self, Answer};
use crate::proxy::storage::LAGGARD;
use crate::proxy::watch::Protocol;
use crate::proxy::{Edge, adapt, attend, connection, pace, service, upstream};
use crate::route::{self, Head, Purpose, Refusal, Route};

mod open;

/// How long a request body that nobody wants is read before the connection is given up.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Notes who asks, and bounds how long the session may take for what.
pub(super) fn begin(session: &mut Session, exchange: &mut Exchange, edge: &Edge) {
    exchange.protocol = connection::protocol(session);
    exchange.client = session
        .client_addr()
        .and_then(|address| address.as_inet())
        .map(|address| address.ip().to_canonical());
    exchange.active = connection::begin(session.digest(), exchange.protocol);
    attend::carried(exchange, edge);
    exchange.in_flight = Some(edge.flights.begin());
    // Pingora obeys the client's Keep-Alive without bound; a client that wants none keeps none.
    if session.get_keepalive().is_some() {
        session.set_keepalive(Some(edge.server.keepalive.as_secs().max(1)));
    }
    session.set_read_timeout(Some(edge.server.head_timeout));
    session.set_write_timeout(Some(pace::write_deadline(edge.server.min_send_rate)));
    session.set_total_drain_timeout(Some(DRAIN_DEADLINE));
    // RFC 9110 section 15.2; over HTTP/2 Pingora has no way to send them.
    session.set_ignore_info_resp(exchange.protocol == Protocol::Http10);
}

/// Opens what is asked for, to be sent by Pingora.
///
/// # Errors
/// The answer to give instead: a refusal, a failure, or one that needs no object.
pub(super) async fn accept(
    session: &mut Session,
    exchange: &mut Exchange,
    edge: &Edge,
) -> Result<(), Answer> {
    refuse_framing(session)?;
    refuse_fragment(session)?;
    let head = head_of(session);
    if head.is_server_wide() {
        let site = route::server_wide(&edge.sites, &head);
        let site = site.map_err(|refusal| respond::refusal(&refusal))?;
        return Err(respond::server_options(site));
    }
    let route = route::route(&edge.sites, &head).map_err(|refusal| respond::refusal(&refusal))?;
    exchange.route = Some(route.clone());
    attend::attend(session, exchange, edge);
    let method = session.req_header().method.clone();
    match method {
        _ if route.purpose == Purpose::Service => {
            Err(service::answer(session, exchange, edge, &route).await)
        }
        Method::GET | Method::HEAD => open::open(session, exchange, edge, route).await,
        Method::OPTIONS => Err(respond::options(&route.site, &session.req_header().headers)),
        // The configuration allows others for plain HTTP origins only.
        _ => {
            upstream::flatten(session.req_header_mut());
            exchange.passes = true;
            exchange.upload = Some(Pace::new(edge.server.min_send_rate));
            exchange.outcome = Outcome::Pass;
            Ok(())
        }
    }
}

/// Notes that a piece of a request's body came, and judges how fast it comes.
///
/// # Errors
/// The client sends more slowly than it would have to read.
pub(super) fn body_came(count: usize, exchange: &mut Exchange) -> pingora::Result<()> {
    if let Some(active) = exchange.active.as_ref().filter(|_| count > 0) {
        active.body_came(count);
    }
    let now = Instant::now();
    let Some(pace) = &mut exchange.upload else {
        return Ok(());
    };
    if pace.taken(now).is_err() {
        METRICS.connections_closed.of(Closed::Slow).inc();
        return Err(Error::explain(LAGGARD, "below the least rate").into_down());
    }
    pace.given(count, now);
    Ok(())
}

/// Refuses what a cache cannot answer safely, before anything looks at it closer.
fn refuse_framing(session: &mut Session) -> Result<(), Answer> {
    let header = session.req_header();
    if head_bytes(&header.headers) > REQUEST_HEAD_BYTES_MAX {
        return Err(Answer::closing(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "request head too large",
            Outcome::Refused,
        ));
    }
    if via::is_loop(&header.headers) {
        return Err(Answer::new(
            StatusCode::LOOP_DETECTED,
            "request goes round",
            Outcome::Refused,
        ));
    }
    // Whoever reads one of several lengths may not be who comes after us (RFC 9112 section 6.3).
    if !is_one_length(&header.headers) {
        return Err(Answer::closing(
            StatusCode::BAD_REQUEST,
            "more than one content-length",
            Outcome::Refused,
        ));
    }
    let safe = matches!(header.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if safe && !session.is_body_empty() {
        return Err(Answer::closing(
            StatusCode::BAD_REQUEST,
            "body not expected",
            Outcome::Refused,
        ));
    }
    Ok(())
}

fn is_one_length(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let listed = values
        .next()
        .is_some_and(|value| value.as_bytes().contains(&b','));
    !listed && values.next().is_none()
}

fn head_bytes(headers: &HeaderMap) -> usize {
    // Each field costs its name, ": " and a line break on the wire.
    let fields = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    fields.sum()
}

/// Refuses `#` in a target: Pingora's URI drops what follows, so that it must be looked for in the
/// bytes that came. (A raw space cannot be found: Pingora has encoded it by then. It is served as
/// `%20` is, which no two readers of a request could differ on.)
fn refuse_fragment(session: &Session) -> Result<(), Answer> {
    let Some(http1) = session.as_downstream().as_http1() else {
        return Ok(());
    };
    let head = http1.get_headers_raw_bytes();
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.contains(&b'#') {
        return Err(respond::refusal(&Refusal::TargetForm));
    }
    Ok(())
}

pub(super) fn head_of(session: &Session) -> Head<'_> {
    let header = session.req_header();
    let target = std::str::from_utf8(header.raw_path());
    // What is no text is nothing that a route could accept, and not the same as nothing at all.
    let text = |name| {
        let value = header.headers.get(name)?;
        Some(value.to_str().unwrap_or_default())
    };
    // `:authority` of HTTP/2; an absolute target of HTTP/1.1 is for the route to compare with Host.
    let authority = header
        .uri
        .authority()
        .filter(|_| header.version == http::Version::HTTP_2);
    Head {
        method: &header.method,
        version: header.version,
        target: target.unwrap_or_default(),
        authority: authority.map(Authority::as_str).or_else(|| text(HOST)),
        accept: text(ACCEPT),
    }
}

/// What is asked of the engine for the whole of an object.
pub(super) fn ask(edge: &Edge, source: &Arc<Source>, route: Route, request: &HeaderMap) -> Ask {
    let fields = match source.site.profile {
        Profile::General if adapt::concerns(&route, request) => Fields::of_plain(request),
        Profile::General => Fields::of(request),
        Profile::Video => Arc::clone(&edge.nothing),
    };
    let wishes = if source.site.caching.client_directives {
        Wishes::of(request)
    } else {
        Wishes::default()
    };
    Ask {
        wishes,
        cdn_loop: via::passed(request),
        ..Ask::whole(source, route, fields)
    }
}
