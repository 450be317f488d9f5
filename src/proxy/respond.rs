//! Answers given without an object: the one map from what went wrong to what a client is told.
//!
//! A client learns a status, a request id and a short text; hosts, paths and messages of origins
//! stay in the log. The connection is kept where that is safe, so that a player's 404 costs no
//! handshake.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, RETRY_AFTER,
};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::cache::opened::{Failure, How};
use crate::config::Site;
use crate::http::cache_status::Forward;
use crate::http::cors;
use crate::metrics::{Outcome, Tier};
use crate::origin;
use crate::proxy::exchange::Exchange;
use crate::proxy::headers;
use crate::route::{Refusal, Route};

/// When a client should try again that came while the node was full: about a segment later.
const RETRY: Duration = Duration::from_secs(2);

/// When one should that came while the origin had no place: places become free all the time.
const RETRY_BUSY: Duration = Duration::from_secs(1);

/// An answer without an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Text of the body and of the log's `reason`; empty for none.
    pub(super) text: &'static str,
    /// What the body says in place of `text`, where that depends on the request.
    pub(super) told: Option<Told>,
    pub(super) outcome: Outcome,
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    pub(super) connection: Connection,
}

/// A body made for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

/// What becomes of an HTTP/1.1 connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    /// The next request may follow.
    Kept,
    /// The request was not understood to its end: nothing may follow it.
    Closed,
}

impl Answer {
    pub(super) fn new(status: StatusCode, text: &'static str, outcome: Outcome) -> Self {
        Self {
            status,
            text,
            told: None,
            outcome,
            fields: Vec::new(),
            connection: Connection::Kept,
        }
    }

    /// An answer after which nothing more is read from the connection.
    pub(super) fn closing(status: StatusCode, text: &'static str, outcome: Outcome) -> Self {
        Self {
            connection: Connection::Closed,
            ..Self::new(status, text, outcome)
        }
    }

    /// A refusal of a request's own words, with the reason; the log has `bad-request`.
    pub(super) fn telling(status: StatusCode, reason: &str) -> Self {
        Self {
            told: Some(Told {
                content_type: TEXT,
                body: Bytes::from(format!("{reason}\n")),
            }),
            ..Self::new(status, "bad-request", Outcome::Refused)
        }
    }

    /// A document made here.
    pub(super) fn document(content_type: &'static str, body: String) -> Self {
        Self {
            told: Some(Told {
                content_type,
                body: Bytes::from(body),
            }),
            ..Self::new(StatusCode::OK, "", Outcome::Local)
        }
    }

    fn retry_after(mut self, span: Duration) -> Self {
        self.fields
            .push((RETRY_AFTER, HeaderValue::from(span.as_secs())));
        self
    }
}

/// Answers a request that could not be routed.
pub(super) fn refusal(refusal: &Refusal) -> Answer {
    let mut answer = Answer::new(refusal.status(), refusal.as_str(), Outcome::Refused);
    if let Refusal::Method(allowed) = refusal {
        let allowed = HeaderValue::from_str(allowed);
        answer.fields.push((ALLOW, allowed.unwrap_or(SAFE)));
    }
    answer
}

/// Sends a player to a manifest that cannot be made for it, below whose own path its relative URIs
/// resolve.
///
/// It depends on Accept (HLS or DASH), and the next manifest may be made: not to be kept.
pub(super) fn to_manifest(route: &Route) -> Answer {
    let prefix = route.session.as_ref().map(|text| format!("/~{text}"));
    let query = route.query_raw.as_ref().map(|query| format!("?{query}"));
    let path = format!(
        "{}{}{}",
        prefix.unwrap_or_default(),
        route.origin_path,
        query.unwrap_or_default()
    );
    let Ok(location) = HeaderValue::try_from(path) else {
        return internal();
    };
    let mut answer = Answer::new(StatusCode::TEMPORARY_REDIRECT, "", Outcome::Local);
    let private = HeaderValue::from_static("private, no-store");
    answer.fields.push((LOCATION, location));
    answer.fields.push((CACHE_CONTROL, private));
    answer
}

/// Answers what should not have happened.
pub(super) fn internal() -> Answer {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Answer::new(status, "internal error", Outcome::Error)
}

/// The type of every text that this node writes itself.
const TEXT: &str = "text/plain; charset=utf-8";

/// What every site serves.
const SAFE: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Answers a request that the engine found nothing for.
pub(super) fn failure(failure: &Failure) -> Answer {
    let status = match failure {
        Failure::Origin(error) => status_of(error),
        Failure::Status(_) => StatusCode::BAD_GATEWAY,
        Failure::Overloaded | Failure::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        Failure::NotCached => StatusCode::GATEWAY_TIMEOUT,
    };
    let text = match failure {
        Failure::Origin(error) => text_of(error),
        Failure::Status(_) => "the origin failed",
        Failure::Overloaded => "too many requests at once",
        Failure::NoRoom => "no room",
        Failure::NotCached => "not stored, and nothing else is wanted",
    };
    let outcome = match failure {
        // The client asked for that.
        Failure::NotCached => Outcome::Local,
        Failure::Origin(_) | Failure::Status(_) | Failure::Overloaded | Failure::NoRoom => {
            Outcome::Error
        }
    };
    let answer = Answer::new(status, text, outcome);
    match failure {
        Failure::Origin(origin::Error::Busy) => answer.retry_after(RETRY_BUSY),
        Failure::Overloaded | Failure::NoRoom => answer.retry_after(RETRY),
        Failure::Origin(_) | Failure::Status(_) | Failure::NotCached => answer,
    }
}

/// What Cache-Status says of a request that the engine found nothing for; nothing where the origin
/// was not asked.
pub(super) fn how(failure: &Failure) -> Option<How> {
    let fwd_status = match failure {
        Failure::Origin(origin::Error::Down | origin::Error::Busy)
        | Failure::Overloaded
        | Failure::NoRoom
        | Failure::NotCached => return None,
        Failure::Origin(_) => None,
        Failure::Status(status) => Some(*status),
    };
    Some(How {
        fwd_status,
        forward: Some(Forward::UriMiss),
        ..How::held(Outcome::Error, Tier::None)
    })
}

/// Answers OPTIONS: what may be asked, and by which pages.
pub(super) fn options(site: &Site, request: &HeaderMap) -> Answer {
    let mut answer = Answer::new(StatusCode::NO_CONTENT, "", Outcome::Local);
    let fields = cors::options(&site.cors, &site.methods, request);
    answer.fields = fields
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    answer
}

/// Answers `OPTIONS *`: what the node takes at all (RFC 9110 section 9.3.7).
pub(super) fn server_options(site: &Site) -> Answer {
    let mut answer = Answer::new(StatusCode::NO_CONTENT, "", Outcome::Local);
    let allowed = cors::methods_value(&site.methods);
    answer.fields.push((ALLOW, allowed));
    answer
}

fn status_of(error: &origin::Error) -> StatusCode {
    match error {
        origin::Error::FirstByte { .. } | origin::Error::Stall { .. } => {
            StatusCode::GATEWAY_TIMEOUT
        }
        origin::Error::Connect { .. }
        | origin::Error::Truncated { .. }
        | origin::Error::Changed
        | origin::Error::Refused { .. }
        | origin::Error::Credentials(_)
        | origin::Error::Down => StatusCode::BAD_GATEWAY,
        origin::Error::Busy => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn text_of(error: &origin::Error) -> &'static str {
    match error {
        origin::Error::Connect { .. } => "origin unreachable",
        origin::Error::FirstByte { .. } => "origin did not answer in time",
        origin::Error::Stall { .. } => "origin stalled",
        origin::Error::Truncated { .. } => "origin broke off",
        origin::Error::Changed => "object changed at the origin",
        origin::Error::Refused { .. } => "origin answer refused",
        origin::Error::Credentials(_) => "origin access not configured",
        origin::Error::Down => "origin down",
        origin::Error::Busy => "origin busy",
    }
}

/// Sends an answer; afterwards the request is done.
///
/// # Errors
/// The client is gone.
pub(super) async fn send(
    answer: Answer,
    session: &mut Session,
    exchange: &mut Exchange,
    edge: &super::Edge,
) -> pingora::Result<()> {
    let reason = Some(answer.text).filter(|text| !text.is_empty());
    exchange.answered_here(answer.outcome, reason);
    if answer.connection == Connection::Closed {
        session.set_keepalive(None);
    }
    let mut header = ResponseHeader::build_no_case(answer.status, Some(12))?;
    let body = body_of(&answer);
    if let Some(body) = &body {
        let told = answer.told.as_ref();
        header.insert_header(CONTENT_TYPE, told.map_or(TEXT, |told| told.content_type))?;
        header.insert_header(CONTENT_LENGTH, body.len())?;
    }
    if answer.status != StatusCode::NO_CONTENT {
        header.insert_header(CACHE_CONTROL, "no-store")?;
    }
    for (name, value) in answer.fields {
        header.insert_header(name, value)?;
    }
    headers::dress(&mut header, &session.req_header().headers, exchange, edge)?;
    let body = body.filter(|_| session.req_header().method != Method::HEAD);
    exchange.body_is_here = body.is_some();
    if let Some(active) = &exchange.active {
        // A head that was not written after all may have left its own.
        active.keep_date(None);
    }
    exchange.head_goes_out(header.status);
    session
        .write_response_header(Box::new(header), body.is_none())
        .await?;
    match body {
        Some(body) => session.write_response_body(Some(body), true).await,
        None => Ok(()),
    }
}

fn body_of(answer: &Answer) -> Option<Bytes> {
    if answer.status == StatusCode::NO_CONTENT || answer.status == StatusCode::NOT_MODIFIED {
        return None;
    }
    if let Some(told) = &answer.told {
        return Some(told.body.clone());
    }
    Some(match answer.text {
        "" => Bytes::new(),
        text => Bytes::from(format!("{text}\n")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_failures_map_to_502_and_504_without_naming_the_origin() {
        let endpoint = "10.1.2.3:8333".to_owned();
        let waited = Duration::from_secs(1);
        let cases = [
            (
                origin::Error::Connect {
                    endpoint: endpoint.clone(),
                    reason: "refused".to_owned(),
                },
                502,
            ),
            (
                origin::Error::FirstByte {
                    endpoint: endpoint.clone(),
                    waited,
                },
                504,
            ),
            (
                origin::Error::Stall {
                    endpoint,
                    waited,
                    received: 7,
                },
                504,
            ),
            (origin::Error::Changed, 502),
            (origin::Error::Down, 502),
        ];
        for (error, status) in cases {
            let answer = failure(&Failure::Origin(error));
            assert_eq!(answer.status, status);
            assert!(!answer.text.contains("10.1.2.3"), "{}", answer.text);
            assert_eq!(answer.connection, Connection::Kept);
            assert!(answer.fields.is_empty());
        }
    }

    #[test]
    fn a_full_node_says_when_to_come_back() {
        for (full, seconds) in [
            (Failure::Overloaded, "2"),
            (Failure::NoRoom, "2"),
            (Failure::Origin(origin::Error::Busy), "1"),
        ] {
            let answer = failure(&full);
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            let value = HeaderValue::from_static(seconds);
            assert_eq!(answer.fields, [(RETRY_AFTER, value)]);
        }
    }

    #[test]
    fn what_only_a_copy_could_answer_is_no_failure_of_ours() {
        let answer = failure(&Failure::NotCached);
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(answer.outcome, Outcome::Local);
        assert!(answer.fields.is_empty());
    }

    #[test]
    fn a_bodyless_status_has_no_body_and_others_always_have_a_length() {
        let empty = Answer::new(StatusCode::PRECONDITION_FAILED, "", Outcome::Hit);
        assert_eq!(body_of(&empty), Some(Bytes::new()));
        let none = Answer::new(StatusCode::NO_CONTENT, "", Outcome::Local);
        assert_eq!(body_of(&none), None);
    }
}
