//! What is opened for a request, and how it is served: as it is, or made for its client.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AGE, CONTENT_LENGTH, HeaderMap};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::cache::ask::{Ask, Supply};
use crate::cache::object::{Object, Peek};
use crate::cache::opened::{How, Opened};
use crate::cache::reader::Reader;
use crate::clock;
use crate::config::Profile;
use crate::http::range::{self, Ranges, Wanted};
use crate::metrics::Outcome;
use crate::prefetch;
use crate::proxy::adapt::serve::{self, Manifest, Served};
use crate::proxy::adapt::{self, Visit};
use crate::proxy::answer::{self, Part};
use crate::proxy::exchange::Exchange;
use crate::proxy::headers::{self, Stored};
use crate::proxy::respond::{self, Answer};
use crate::proxy::storage::{Bytestream, Handoff};
use crate::proxy::watch::Protocol;
use crate::proxy::{Edge, interim, request, upstream};
use crate::route::{Purpose, Route};

/// Opens what a route names, to be sent by Pingora.
///
/// # Errors
/// The answer to give instead.
pub(super) async fn open(
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
        ..request::ask(edge, source, route, &header.headers)
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
fn visit<'a>(
    session: &'a Session,
    exchange: &'a Exchange,
    edge: &'a Edge,
    route: Route,
) -> Visit<'a> {
    Visit {
        edge,
        route,
        headers: &session.req_header().headers,
        host: request::head_of(session).authority,
        address: exchange.client,
        active: exchange.active.as_ref(),
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
