//! What this node answers for itself below `/.weir/` on sites whose manifests it makes.
//!
//! - `/.weir/steering/hls` and `/.weir/steering/dash`: the Content Steering document, on sites that
//!   configure one. Asking for it is a report of throughput.
//! - `/.weir/load`, on the same sites: 204 while players are welcome, 503 while they had better go
//!   elsewhere. Other `PoP`s ask it, as the health of the pathway that leads here.
//! - `/.weir/cmcd`: events that players post (CTA-5004-A, event mode).
//!
//! Nothing here reaches an origin or a cache, and no answer may be kept.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use http::{Method, StatusCode};
use pingora::proxy::Session;

use crate::clock;
use crate::http::cors;
use crate::life::duress::Load;
use crate::limits::REPORT_BYTES_MAX;
use crate::metrics::{Heard, METRICS, Outcome, Posted};
use crate::proxy::Edge;
use crate::proxy::exchange::Exchange;
use crate::proxy::respond::Answer;
use crate::route::{COLLECTOR, Route, SERVICE};
use crate::session::cmcd::{self, Report};
use crate::session::steering::{self, Asked, Protocol, Standing};

/// How long a post may take to arrive.
const POST_WAIT: Duration = Duration::from_secs(5);

/// The type of posted events.
const EVENTS: &str = "application/cmcd";

/// One of the paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Steering(Protocol),
    Load,
    Collector,
}

impl Service {
    fn at(path: &str) -> Option<Self> {
        if path == COLLECTOR {
            return Some(Self::Collector);
        }
        match path.strip_prefix(SERVICE)? {
            "steering/hls" => Some(Self::Steering(Protocol::Hls)),
            "steering/dash" => Some(Self::Steering(Protocol::Dash)),
            "load" => Some(Self::Load),
            _ => None,
        }
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Self::Steering(_) | Self::Load => &[Method::GET, Method::HEAD, Method::OPTIONS],
            Self::Collector => &[Method::POST, Method::OPTIONS],
        }
    }
}

/// Answers a request for one of these paths.
pub(super) async fn answer(
    session: &mut Session,
    exchange: &Exchange,
    edge: &Edge,
    route: &Route,
) -> Answer {
    let Some(service) = Service::at(&route.origin_path) else {
        return unknown();
    };
    let method = &session.req_header().method;
    if !service.methods().contains(method) {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut answer = Answer::new(status, "method", Outcome::Refused);
        let allowed = cors::methods_value(service.methods());
        answer.fields.push((ALLOW, allowed));
        return answer;
    }
    if *method == Method::OPTIONS {
        return options(service, route, &session.req_header().headers);
    }
    match service {
        Service::Steering(protocol) => steer(protocol, exchange, edge, route),
        Service::Load => load(edge, route),
        Service::Collector => collect(session, exchange, edge, route).await,
    }
}

fn options(service: Service, route: &Route, request: &HeaderMap) -> Answer {
    let mut answer = Answer::new(StatusCode::NO_CONTENT, "", Outcome::Local);
    let fields = cors::options(&route.site.cors, service.methods(), request);
    let fields = fields
        .iter()
        .filter(|(name, _)| *name != ACCESS_CONTROL_EXPOSE_HEADERS);
    answer.fields = fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    answer
}

fn steer(protocol: Protocol, exchange: &Exchange, edge: &Edge, route: &Route) -> Answer {
    let Some(steering) = &route.site.adapt.steering else {
        return unknown();
    };
    let site = &route.site.name;
    let query = route.query_raw.as_deref().unwrap_or_default();
    let asked = Asked::read(protocol, query, steering);
    if let (Some(bearer), Some(throughput)) = (&exchange.bearer, asked.throughput) {
        let report = Report {
            throughput: Some(throughput),
            ..Report::default()
        };
        let (who, client) = (bearer.who, &bearer.client);
        edge.sessions
            .reported(site, who, client, &report, clock::now());
    }
    let healthy = edge.pathways.healthy(site);
    let standing = Standing {
        load: edge.duress.load(),
        healthy: &healthy,
        lot: fastrand::u8(..100),
    };
    let session = route.session.as_deref();
    let session = session.map(|text| format!("/~{text}")).unwrap_or_default();
    let reload = format!("{session}{}", route.origin_path);
    let document = steering::document(steering, &asked, &standing, &reload);
    Answer::document(protocol.content_type(), document)
}

/// Says what steering goes by. Draining is duress too.
fn load(edge: &Edge, route: &Route) -> Answer {
    if route.site.adapt.steering.is_none() {
        return unknown();
    }
    let (status, text) = match edge.duress.load() {
        Load::Well => (StatusCode::NO_CONTENT, ""),
        Load::Duress => (StatusCode::SERVICE_UNAVAILABLE, "under duress"),
    };
    let mut answer = Answer::new(status, text, Outcome::Local);
    let no_store = HeaderValue::from_static("no-store");
    answer.fields.push((CACHE_CONTROL, no_store));
    answer
}

/// Takes posted events in. They come from anywhere, so a signed id tells whose they are: their own,
/// or that of the path that they came by. A `sid` that a player made up is believed less.
async fn collect(session: &mut Session, exchange: &Exchange, edge: &Edge, route: &Route) -> Answer {
    let headers = &session.req_header().headers;
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case(EVENTS)) {
        return refused(Posted::Type);
    }
    if let Err(reason) = edge.reports.take(exchange.client, Instant::now()) {
        return refused(reason);
    }
    let body = match tokio::time::timeout(POST_WAIT, read(session)).await {
        Ok(Ok(body)) => body,
        Ok(Err(reason)) => return refused(reason),
        Err(_) => return refused(Posted::Slow),
    };
    take_in(&body, exchange, edge, route);
    METRICS.posts.of(Posted::Taken).inc();
    Answer::new(StatusCode::NO_CONTENT, "", Outcome::Local)
}

fn take_in(body: &[u8], exchange: &Exchange, edge: &Edge, route: &Route) {
    let site = &route.site.name;
    let now = clock::now();
    let client = exchange.bearer.as_ref().map(|bearer| bearer.client);
    let client = client.unwrap_or_default();
    let under = route.session.as_deref();
    for event in cmcd::events(body) {
        let sessions = &edge.sessions;
        let result = match sessions.heard(site, under, &client, &event.report, now) {
            true => Heard::Taken,
            false => Heard::Unknown,
        };
        METRICS.posted_events.of(result).inc();
    }
}

async fn read(session: &mut Session) -> Result<Bytes, Posted> {
    let mut body = BytesMut::new();
    loop {
        match session.read_request_body().await {
            Ok(Some(piece)) if body.len() + piece.len() <= REPORT_BYTES_MAX => {
                body.extend_from_slice(&piece);
            }
            Ok(Some(_)) => return Err(Posted::Size),
            Ok(None) => return Ok(body.freeze()),
            Err(_) => return Err(Posted::Slow),
        }
    }
}

/// Refuses a post; what is left of it is not read.
fn refused(reason: Posted) -> Answer {
    METRICS.posts.of(reason).inc();
    let (status, text) = match reason {
        Posted::Type => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "application/cmcd expected",
        ),
        Posted::Size => (StatusCode::PAYLOAD_TOO_LARGE, "too much at once"),
        Posted::Rate | Posted::Sender => (StatusCode::TOO_MANY_REQUESTS, "too many posts"),
        Posted::Slow | Posted::Taken => (StatusCode::REQUEST_TIMEOUT, "the post did not arrive"),
    };
    Answer::closing(status, text, Outcome::Refused)
}

fn unknown() -> Answer {
    Answer::new(StatusCode::NOT_FOUND, "no such service", Outcome::Local)
}
