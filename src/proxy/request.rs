//! The beginning of a request: what is refused, what is answered at once, what is opened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, AGE, CONTENT_LENGTH, HOST, HeaderMap};
use http::uri::Authority;
use http::{Method, StatusCode};
use pingora::Error;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::cache::ask::{Ask, Source, Supply};
use crate::cache::object::{Object, Peek};
use crate::cache::opened::{How, Opened};
use crate::cache::reader::Reader;
use crate::clock;
use crate::config::Profile;
use crate::http::forward::Fields;
use crate::http::range::{self, Ranges, Wanted};
use crate::http::via;
use crate::http::wishes::Wishes;
use crate::limits::REQUEST_HEAD_BYTES_MAX;
use crate::metrics::{Closed, METRICS, Outcome};
use crate::prefetch;
use crate::proxy::adapt::serve::{self, Manifest, Served};
use crate::proxy::adapt::{self, Visit};
use crate::proxy::answer::{self, Part};
use crate::proxy::exchange::Exchange;
use crate::proxy::headers::{self, Stored};
use crate::proxy::pace::Pace;
use crate::proxy::respond::{self, Answer};
use crate::proxy::storage::{Bytestream, Handoff, LAGGARD};
use crate::proxy::watch::Protocol;
use crate::proxy::{Edge, attend, connection, interim, pace, service, upstream};
use crate::route::{self, Head, Purpose, Refusal, Route};

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
        Method::GET | Method::HEAD => open(session, exchange, edge, route).await,
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

async fn open(
    session: &mut Session,
    exchange: &mut Exchange,
    edge: &Edge,
    route: Route,
) -> Result<(), Answer> {
    let Some(source) = edge.sources.get(&route.site.name) else {
        // Each site has a source from the start.
        return Err(respond::internal());
    };
    let header = session.req_header();
    let ranges = range::parse(&header.method, &header.headers);
    let manifest = adapt::concerns(&route, &header.headers).then(|| route.clone());
    let want = match &ranges {
        Ranges::Spans(spans) if manifest.is_none() => spans.first().copied(),
        Ranges::Spans(_) | Ranges::Whole | Ranges::TooMany => None,
    };
    let ask = Ask {
        want,
        // What is made of a manifest has a length and a tag of its own, which HEAD tells too.
        head_only: header.method == Method::HEAD && manifest.is_none(),
        ..ask(edge, source, route, &header.headers)
    };
    let is_get = header.method == Method::GET;
    let supply = ask.supply();
    let is_told = source.site.profile == Profile::General;
    let opened = if is_told && exchange.protocol == Protocol::Http11 {
        interim::open(&edge.engine, ask, session).await
    } else {
        edge.engine.open(ask).await
    };
    let want = Some(want.unwrap_or(Wanted::Span(0, u64::MAX))).filter(|_| is_get);
    let asked = Asked {
        manifest,
        ranges: &ranges,
        want,
    };
    match opened {
        Opened::Object { object, how, own } => {
            exchange.answered(how);
            let shelf = Shelf {
                object,
                supply,
                own: &own,
            };
            open_object(session, exchange, edge, asked, shelf).await
        }
        Opened::Stream {
            status,
            headers,
            body,
            how,
        } => {
            // Whatever the engine thinks of the object, this answer is kept nowhere.
            exchange.answered(How {
                stored: false,
                ..how
            });
            let passing = Passing {
                status,
                headers: &headers,
                body: Bytestream::Once(body),
            };
            open_stream(session, exchange, edge, asked, passing).await
        }
        Opened::Failed(failure) => {
            tracing::debug!(id = exchange.id, ?failure, "nothing to answer with");
            exchange.how = respond::how(&failure);
            Err(respond::failure(&failure))
        }
    }
}

/// What is wanted of whatever was opened.
struct Asked<'a> {
    /// The route, where it names a manifest that may be made for its client.
    manifest: Option<Route>,
    ranges: &'a Ranges,
    /// Which bytes a GET is about.
    want: Option<Wanted>,
}

/// An object, and where more of its bytes come from.
struct Shelf<'a> {
    object: Arc<Object>,
    supply: Supply,
    /// Fields for this client alone.
    own: &'a HeaderMap,
}

impl Shelf<'_> {
    fn reader(&self, edge: &Edge) -> Reader {
        let engine = Arc::clone(&edge.engine);
        Reader::new(engine, self.supply.clone(), Arc::clone(&self.object))
    }
}

/// Serves an object: made for its client where it is a manifest, else as it is.
async fn open_object(
    session: &mut Session,
    exchange: &mut Exchange,
    edge: &Edge,
    asked: Asked<'_>,
    shelf: Shelf<'_>,
) -> Result<(), Answer> {
    let object = &shelf.object;
    if let Some(how) = exchange.how {
        look_ahead(exchange, edge, (object, how), asked.want);
    }
    if let Some(route) = asked.manifest {
        let elsewhere = elsewhere(&route, object.head().status);
        let visit = visit(session, exchange, edge, route);
        let reader = shelf.reader(edge);
        if let Some(made) = serve::of_object(&visit, object, shelf.own, reader).await? {
            let head = object.head();
            exchange.ttl = remaining(head.freshness.lifetime, head.age(clock::now()));
            return hand_over(session, exchange, edge, made);
        }
        elsewhere.map_or(Ok(()), Err)?;
    }
    let found = Found {
        object,
        own: shelf.own,
        reader: shelf.reader(edge),
        ranges: asked.ranges,
    };
    serve_object(session, exchange, edge, found)
}

/// Where a manifest is sent for that was asked for away from its own path, and could not be made:
/// what its relative URIs mean is known only there.
fn elsewhere(route: &Route, status: StatusCode) -> Option<Answer> {
    let is_away = route.purpose == Purpose::Adaptive && status == StatusCode::OK;
    is_away.then(|| respond::to_manifest(route))
}

/// Serves an answer that may not be stored, in the same way.
async fn open_stream(
    session: &mut Session,
    exchange: &mut Exchange,
    edge: &Edge,
    asked: Asked<'_>,
    mut passing: Passing<'_>,
) -> Result<(), Answer> {
    if let Some(route) = asked.manifest {
        let elsewhere = elsewhere(&route, passing.status);
        let visit = visit(session, exchange, edge, route);
        let head = (passing.status, passing.headers);
        match serve::of_stream(&visit, head, passing.body).await? {
            Served::Made(made) => return hand_over(session, exchange, edge, *made),
            Served::AsItIs(left) => passing.body = left,
        }
        elsewhere.map_or(Ok(()), Err)?;
    }
    serve_stream(exchange, edge, passing)
}

/// An object that was found, and what is wanted of it.
struct Found<'a> {
    object: &'a Object,
    /// Fields for this client alone.
    own: &'a HeaderMap,
    reader: Reader,
    ranges: &'a Ranges,
}

/// An answer for one request.
struct Passing<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    body: Bytestream,
}

/// Hands an object over, or answers at once where no body is to follow.
fn serve_object(
    session: &Session,
    exchange: &mut Exchange,
    edge: &Edge,
    found: Found<'_>,
) -> Result<(), Answer> {
    let head = found.object.head();
    let length = found.object.length();
    let now = clock::now();
    exchange.age = Some(head.age(now));
    exchange.ttl = remaining(head.freshness.lifetime, head.age(now));
    let stored = Stored {
        status: head.status,
        headers: &head.headers,
        length,
        path: head.key.path(),
    };
    let mut header = whole(&stored)?;
    for (name, value) in found.own {
        let appended = header.append_header(name, value);
        appended.map_err(|_| respond::internal())?;
    }
    adapt::speak(&mut header, exchange, edge).map_err(|_| respond::internal())?;
    let request = answer::Request {
        method: &session.req_header().method,
        headers: &session.req_header().headers,
        ranges: found.ranges,
    };
    exchange.part = answer::part(&request, &header, length);
    if exchange.part == Part::Failed {
        return Err(other_version(exchange.outcome));
    }
    if exchange.part == Part::Whole {
        refuse_unframed(exchange.protocol, length)?;
    }
    exchange.body_is_here = matches!(found.object.peek(exchange.part.first()), Peek::Bytes(_));
    exchange.opened = Some(Handoff {
        header,
        age: head.age(now),
        body: if headers::is_bodiless(head.status) {
            Bytestream::Nothing
        } else {
            Bytestream::Object(found.reader)
        },
        min_send_rate: edge.server.min_send_rate,
    });
    Ok(())
}

/// Hands over an answer that may not be stored.
fn serve_stream(exchange: &mut Exchange, edge: &Edge, passing: Passing<'_>) -> Result<(), Answer> {
    let length = number(passing.headers, CONTENT_LENGTH);
    refuse_unframed(exchange.protocol, length)?;
    exchange.age = number(passing.headers, AGE).map(Duration::from_secs);
    let path = exchange.route.as_ref().map_or("", |route| route.key.path());
    let stored = Stored {
        status: passing.status,
        headers: passing.headers,
        length,
        path,
    };
    let mut header = whole(&stored)?;
    adapt::speak(&mut header, exchange, edge).map_err(|_| respond::internal())?;
    exchange.opened = Some(Handoff {
        header,
        age: exchange.age.unwrap_or_default(),
        body: if headers::is_bodiless(passing.status) {
            Bytestream::Nothing
        } else {
            passing.body
        },
        min_send_rate: edge.server.min_send_rate,
    });
    Ok(())
}

/// Lets it be looked for what is asked for next; `want` is nothing for a HEAD.
fn look_ahead(
    exchange: &Exchange,
    edge: &Edge,
    (object, how): (&Arc<Object>, How),
    want: Option<Wanted>,
) {
    if let (Some(route), Some(Wanted::Span(first, _))) = (&exchange.route, want) {
        edge.prefetch.served(&prefetch::Served {
            route,
            object,
            how,
            first,
            report: exchange.report.as_ref(),
        });
    }
}

/// What the making of a manifest depends on beside it.
fn visit<'a>(session: &'a Session, exchange: &Exchange, edge: &'a Edge, route: Route) -> Visit<'a> {
    Visit {
        edge,
        route,
        headers: &session.req_header().headers,
        host: head_of(session).authority,
        address: exchange.client,
        bearer: exchange.bearer.as_ref().map(|bearer| bearer.who),
        now: clock::now(),
    }
}

/// Hands a manifest over that was made for this client.
fn hand_over(
    session: &Session,
    exchange: &mut Exchange,
    edge: &Edge,
    made: Manifest,
) -> Result<(), Answer> {
    let Manifest { header, bytes } = made;
    let request = answer::Request {
        method: &session.req_header().method,
        headers: &session.req_header().headers,
        ranges: &Ranges::Whole,
    };
    exchange.part = answer::part(&request, &header, None);
    if exchange.part == Part::Failed {
        return Err(other_version(exchange.outcome));
    }
    exchange.is_personal = true;
    exchange.body_is_here = true;
    exchange.opened = Some(Handoff {
        header,
        age: Duration::ZERO,
        body: Bytestream::Made(bytes),
        min_send_rate: edge.server.min_send_rate,
    });
    Ok(())
}

fn other_version(outcome: Outcome) -> Answer {
    let status = StatusCode::PRECONDITION_FAILED;
    Answer::new(status, "another version is expected", outcome)
}

/// HTTP/1.0 has no chunks: the end of a body without length is the end of the connection, and a
/// body that broke would look whole.
fn refuse_unframed(protocol: Protocol, length: Option<u64>) -> Result<(), Answer> {
    if protocol == Protocol::Http10 && length.is_none() {
        return Err(Answer::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "length not known: use HTTP/1.1",
            Outcome::Refused,
        ));
    }
    Ok(())
}

fn whole(stored: &Stored<'_>) -> Result<ResponseHeader, Answer> {
    let header = upstream::is_final(stored.status).then(|| headers::whole(stored));
    let header = header.and_then(pingora::Result::ok);
    header.ok_or_else(|| {
        Answer::new(
            StatusCode::BAD_GATEWAY,
            "origin answer refused",
            Outcome::Error,
        )
    })
}

fn number(headers: &HeaderMap, name: http::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Seconds that an answer stays fresh; below zero when it is stale.
fn remaining(lifetime: Duration, age: Duration) -> Option<i64> {
    let (lifetime, age) = (lifetime.as_secs(), age.as_secs());
    i64::try_from(lifetime)
        .ok()?
        .checked_sub(i64::try_from(age).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_answer_has_a_life_below_zero() {
        let seconds = Duration::from_secs;
        assert_eq!(remaining(seconds(60), seconds(10)), Some(50));
        assert_eq!(remaining(seconds(60), seconds(70)), Some(-10));
        assert_eq!(remaining(seconds(u64::MAX), seconds(0)), None);
    }

    #[test]
    fn http_1_0_gets_no_body_whose_end_it_could_not_tell() {
        assert!(refuse_unframed(Protocol::Http10, None).is_err());
        assert!(refuse_unframed(Protocol::Http10, Some(1)).is_ok());
        assert!(refuse_unframed(Protocol::Http11, None).is_ok());
    }
}
