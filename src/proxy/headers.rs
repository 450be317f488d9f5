//! The fields that this node puts on every answer, and the header of a stored object.

use http::StatusCode;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, VARY, VIA,
};
use pingora::http::ResponseHeader;

use crate::asset;
use crate::config::Site;
use crate::http::cache_status::{self, Forward, Handling, Kept, Served};
use crate::http::cors;
use crate::http::via;
use crate::metrics::{Label, Outcome, Tier};
use crate::proxy::Edge;
use crate::proxy::exchange::Exchange;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// The field that names a request; a client's own is worth nothing here.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What an answer says to caches of CDNs.
const FOR_CACHES: [HeaderName; 3] = [
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("surrogate-control"),
];

/// What an answer says about pages that may read it.
const CORS: [HeaderName; 8] = [
    VARY,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("timing-allow-origin"),
];

/// An answer's status, headers and length, as the engine gives them.
pub(super) struct Stored<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    /// Length of the whole body; `None` where it is not known.
    pub(super) length: Option<u64>,
    /// The path asked for, whose extension names the type where the store does not.
    pub(super) path: &'a str,
}

/// Builds the header of the whole answer, before any part is cut from it.
///
/// # Errors
/// A header that cannot be written; none is known.
pub(super) fn whole(stored: &Stored<'_>) -> pingora::Result<ResponseHeader> {
    // Room for what `dress` and Pingora add.
    let room = stored.headers.len() + 12;
    let mut header = ResponseHeader::build_no_case(stored.status, Some(room))?;
    for (name, value) in stored.headers {
        if name != CONTENT_LENGTH {
            header.append_header(name, value)?;
        }
    }
    if let Some(length) = stored.length {
        header.insert_header(CONTENT_LENGTH, length)?;
    }
    if stored.status.is_success() && !header.headers.contains_key(CONTENT_TYPE) {
        header.insert_header(CONTENT_TYPE, asset::content_type(stored.path))?;
    }
    Ok(header)
}

/// Whether an answer has no body by its status.
pub(super) fn is_bodiless(status: StatusCode) -> bool {
    let known = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    known.contains(&status)
}

/// Takes from an answer that has no body what speaks of one (RFC 9110 section 15.3.5 and others);
/// says whether it is such an answer.
///
/// # Errors
/// A header that cannot be written; none is known.
pub(super) fn strip_bodiless(header: &mut ResponseHeader) -> pingora::Result<bool> {
    if !is_bodiless(header.status) {
        return Ok(false);
    }
    for name in [CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING] {
        header.remove_header(&name);
    }
    if header.status == StatusCode::RESET_CONTENT {
        // Its end must be told (section 15.3.6).
        header.insert_header(CONTENT_LENGTH, 0)?;
    }
    Ok(true)
}

/// Takes out what an origin says to caches, unless a cache of a CDN asks: one behind this node
/// needs it, clients do not.
pub(super) fn withhold(header: &mut ResponseHeader, request: &HeaderMap) {
    if request.contains_key(via::CDN_LOOP) {
        return;
    }
    for name in &FOR_CACHES {
        // Few answers have any, and looking is cheaper than removing.
        if header.headers.contains_key(name) {
            header.remove_header(name);
        }
    }
}

/// Puts on what this node says about an answer: how it came about, by whom, and who may read it.
///
/// # Errors
/// A value that no header can hold; none is known.
pub(super) fn dress(
    header: &mut ResponseHeader,
    request: &HeaderMap,
    exchange: &Exchange,
    edge: &Edge,
) -> pingora::Result<()> {
    let node = edge.server.node.as_str();
    header.append_header(VIA, edge.via.clone())?;
    header.append_header(CACHE_STATUS, cache_status::value(&handling(exchange, node)))?;
    let id = HeaderValue::from_str(&exchange.id);
    header.insert_header(REQUEST_ID, id.unwrap_or(HeaderValue::from_static("-")))?;
    match exchange.site() {
        Some(site) => open_to_pages(header, request, site),
        None => Ok(()),
    }
}

/// `cors` works on a map, which Pingora's header does not hand out: its fields go there and back.
fn open_to_pages(
    header: &mut ResponseHeader,
    request: &HeaderMap,
    site: &Site,
) -> pingora::Result<()> {
    if site.cors.is_empty() {
        return Ok(());
    }
    let mut fields = HeaderMap::new();
    for name in CORS {
        // Few stored answers have any, and looking is cheaper than removing.
        if !header.headers.contains_key(&name) {
            continue;
        }
        for value in header.headers.get_all(&name) {
            fields.append(&name, value.clone());
        }
        header.remove_header(&name);
    }
    cors::decorate(&mut fields, &site.cors, request);
    for (name, value) in &fields {
        header.append_header(name, value)?;
    }
    Ok(())
}

fn handling<'a>(exchange: &Exchange, node: &'a str) -> Handling<'a> {
    let in_store = matches!(exchange.tier, Tier::Memory | Tier::Redis);
    Handling {
        node,
        served: served(exchange),
        ttl: ttl(exchange),
        detail: in_store.then(|| exchange.tier.as_str()),
    }
}

/// What is left of a life; a purge makes stale what would have lived on.
fn ttl(exchange: &Exchange) -> Option<i64> {
    match exchange.outcome {
        Outcome::Stale => exchange.ttl.map(|ttl| ttl.min(0)),
        _ => exchange.ttl,
    }
}

fn served(exchange: &Exchange) -> Served {
    let how = exchange.how.as_ref();
    let known = how.and_then(|how| how.forward);
    let reason = match exchange.outcome {
        Outcome::Hit => return Served::Hit,
        // The origin was asked, and had nothing better.
        Outcome::Stale => match known {
            Some(reason) => reason,
            None => return Served::Hit,
        },
        Outcome::Refused | Outcome::Local => return Served::Local,
        Outcome::Revalidated => known.unwrap_or(Forward::Stale),
        _ if exchange.passes => Forward::Method,
        Outcome::Miss | Outcome::Pass => known.unwrap_or(Forward::UriMiss),
        // Some failures happen before anyone is asked.
        Outcome::Error => match known {
            Some(reason) => reason,
            None => return Served::Local,
        },
    };
    let kept = match how {
        Some(how) if how.collapsed => Kept::Collapsed,
        Some(how) if how.stored => Kept::Stored,
        Some(_) | None => Kept::No,
    };
    let status = how.and_then(|how| StatusCode::from_u16(how.fwd_status?).ok());
    Served::Forwarded {
        reason,
        status,
        kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::opened::{Failure, How};
    use crate::origin;
    use crate::proxy::respond;

    fn exchange(outcome: Outcome, tier: Tier, how: Option<How>) -> Exchange {
        let mut exchange = Exchange::new();
        exchange.outcome = outcome;
        exchange.tier = tier;
        exchange.how = how;
        exchange
    }

    fn check(outcome: Outcome, tier: Tier, how: Option<How>, expected: &str) {
        let exchange = exchange(outcome, tier, how);
        let value = cache_status::value(&handling(&exchange, "edge"));
        assert_eq!(value, expected);
    }

    #[test]
    fn cache_status_tells_hits_and_the_reasons_of_what_was_forwarded() {
        check(Outcome::Hit, Tier::Redis, None, "edge; hit; detail=redis");
        check(
            Outcome::Stale,
            Tier::Memory,
            None,
            "edge; hit; detail=memory",
        );
        let stood_in = How {
            forward: Some(Forward::Stale),
            fwd_status: Some(503),
            ..How::held(Outcome::Stale, Tier::Memory)
        };
        check(
            Outcome::Stale,
            Tier::Memory,
            Some(stood_in),
            "edge; fwd=stale; fwd-status=503; detail=memory",
        );
        let (miss, again, pass) = (Outcome::Miss, Outcome::Revalidated, Outcome::Pass);
        for (outcome, status, forward, expected) in [
            (
                miss,
                200,
                Forward::UriMiss,
                "uri-miss; fwd-status=200; stored",
            ),
            (
                miss,
                200,
                Forward::VaryMiss,
                "vary-miss; fwd-status=200; stored",
            ),
            (
                miss,
                206,
                Forward::Partial,
                "partial; fwd-status=206; stored",
            ),
            (again, 304, Forward::Stale, "stale; fwd-status=304; stored"),
            (
                again,
                304,
                Forward::Request,
                "request; fwd-status=304; stored",
            ),
            (pass, 503, Forward::Bypass, "bypass; fwd-status=503"),
        ] {
            let how = How {
                forward: Some(forward),
                ..How::fetched(outcome, StatusCode::from_u16(status).unwrap())
            };
            let expected = format!("edge; fwd={expected}");
            check(outcome, Tier::Origin, Some(how), &expected);
            let joined = How {
                collapsed: true,
                ..how
            };
            let collapsed = expected.trim_end_matches("; stored").to_owned() + "; collapsed";
            check(outcome, Tier::Origin, Some(joined), &collapsed);
        }
    }

    #[test]
    fn cache_status_claims_no_forwarding_where_nobody_was_asked() {
        let (error, local) = (Outcome::Error, Outcome::Local);
        let of_origin = Failure::Origin;
        for (outcome, failure, expected) in [
            (
                error,
                Failure::Status(503),
                "edge; fwd=uri-miss; fwd-status=503",
            ),
            (
                error,
                of_origin(origin::Error::Changed),
                "edge; fwd=uri-miss",
            ),
            (error, of_origin(origin::Error::Busy), "edge"),
            (error, of_origin(origin::Error::Down), "edge"),
            (error, Failure::Overloaded, "edge"),
            (local, Failure::NotCached, "edge"),
        ] {
            check(outcome, Tier::None, respond::how(&failure), expected);
        }
        check(Outcome::Error, Tier::None, None, "edge");
        check(Outcome::Refused, Tier::None, None, "edge");
    }

    #[test]
    fn a_request_that_passes_says_that_its_method_made_it() {
        for (outcome, expected) in [
            (Outcome::Pass, "edge; fwd=method"),
            (Outcome::Error, "edge; fwd=method"),
            (Outcome::Refused, "edge"),
        ] {
            let mut exchange = exchange(outcome, Tier::None, None);
            exchange.passes = true;
            let value = cache_status::value(&handling(&exchange, "edge"));
            assert_eq!(value, expected);
        }
    }

    #[test]
    fn what_is_for_caches_reaches_caches_only() {
        for (cdn_loop, left) in [(None, 1), (Some("weir"), 4)] {
            let mut request = HeaderMap::new();
            if let Some(value) = cdn_loop {
                request.insert("cdn-loop", HeaderValue::from_static(value));
            }
            let mut header = ResponseHeader::build(200, None).unwrap();
            for name in ["cache-tag", "surrogate-key", "surrogate-control", "etag"] {
                header.insert_header(name, "x").unwrap();
            }
            withhold(&mut header, &request);
            assert_eq!(header.headers.len(), left, "{cdn_loop:?}");
            assert!(header.headers.contains_key("etag"));
        }
    }

    #[test]
    fn answers_without_body_speak_of_none() {
        for (status, bodiless, length) in [
            (200, false, Some("5")),
            (204, true, None),
            (205, true, Some("0")),
            (304, true, None),
        ] {
            let mut header = ResponseHeader::build(status, None).unwrap();
            header.insert_header(CONTENT_LENGTH, 5).unwrap();
            header.insert_header(CONTENT_TYPE, "text/plain").unwrap();
            assert_eq!(strip_bodiless(&mut header).unwrap(), bodiless, "{status}");
            let left = header.headers.get(CONTENT_LENGTH);
            assert_eq!(left.map(|l| l.to_str().unwrap()), length, "{status}");
            let typed = header.headers.contains_key(CONTENT_TYPE);
            assert_eq!(typed, !bodiless, "{status}");
        }
    }

    #[test]
    fn the_stores_own_length_never_goes_out() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        let header = whole(&Stored {
            status: StatusCode::OK,
            headers: &headers,
            length: None,
            path: "/a.m4s",
        });
        let header = header.unwrap();
        assert!(!header.headers.contains_key(CONTENT_LENGTH));
        assert!(header.headers.contains_key(CONTENT_TYPE));
    }
}
