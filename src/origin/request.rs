//! The head of an origin request, always built afresh. Pure.
//!
//! Nothing of a client's request is in it: range, version and validators come from the cache.

use http::header::{
    ACCEPT_ENCODING, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE,
    USER_AGENT, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use crate::http::range::Wanted;
use crate::origin::endpoint::Endpoint;
use crate::origin::{Fetch, Pin};

/// What an origin knows us by.
const AGENT: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));
/// Who has handled the request (RFC 8586): a loop through ourselves shows.
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
/// Our identifier in that field.
const CDN_ID: &[u8] = b"weir";

/// Where in a store an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Host field, port included.
    pub authority: String,
    /// Name that the certificate must have.
    pub sni: String,
    /// Path and query as they are sent.
    pub target: String,
}

/// Builds the request for `fetch` at `place`, with an absolute URI as signers want it.
///
/// # Errors
/// Where host or target are no part of a URI.
pub fn build(endpoint: &Endpoint, place: &Place, fetch: &Fetch) -> Result<Parts, http::Error> {
    let method = if fetch.head_only {
        Method::HEAD
    } else {
        Method::GET
    };
    let scheme = endpoint.scheme.as_str();
    let uri = format!("{scheme}://{}{}", place.authority, place.target);
    let host = HeaderValue::from_str(&place.authority)?;
    let mut parts = Request::builder()
        .method(method)
        .uri(uri)
        .body(())?
        .into_parts()
        .0;
    parts.headers = conditions(fetch);
    parts.headers.insert(HOST, host);
    Ok(parts)
}

/// Adds what every request of ours says about itself, at the end of the chain that led to it.
pub fn introduce(headers: &mut HeaderMap, cdn_loop: Option<&HeaderValue>) {
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(VIA, HeaderValue::from_static("1.1 weir"));
    let mut chain = cdn_loop.map_or(Vec::new(), |chain| chain.as_bytes().trim_ascii().to_vec());
    if !chain.is_empty() {
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(CDN_ID);
    let chain = HeaderValue::from_bytes(&chain);
    headers.insert(CDN_LOOP, chain.unwrap_or(HeaderValue::from_static("weir")));
}

/// Range, preconditions and the wish for the identity encoding.
fn conditions(fetch: &Fetch) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(wanted) = fetch.range {
        headers.insert(RANGE, range(wanted));
    }
    match &fetch.pin {
        Some(Pin::Etag(tag)) => {
            headers.insert(IF_MATCH, tag.clone());
        }
        Some(Pin::Modified { date, .. }) => {
            headers.insert(IF_UNMODIFIED_SINCE, date.clone());
        }
        None => {}
    }
    if let Some(validators) = &fetch.validators {
        let fields = [
            (IF_NONE_MATCH, &validators.etag),
            (IF_MODIFIED_SINCE, &validators.last_modified),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
    headers
}

fn range(wanted: Wanted) -> HeaderValue {
    let text = match wanted {
        Wanted::Span(first, last) => format!("bytes={first}-{last}"),
        Wanted::Suffix(bytes) => format!("bytes=-{bytes}"),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Validators;

    #[test]
    fn a_request_says_what_is_wanted_and_nothing_else() {
        let endpoint = Endpoint::of(&"http://store:9000".parse().unwrap()).unwrap();
        let place = Place {
            authority: "store:9000".into(),
            sni: "store".into(),
            target: "/vod/a%20b?v=1".into(),
        };
        let fetch = Fetch {
            range: Some(Wanted::Suffix(5)),
            pin: Some(Pin::Etag(HeaderValue::from_static("\"a\""))),
            validators: Some(Validators {
                etag: None,
                last_modified: Some(HeaderValue::from_static("x")),
            }),
            ..Fetch::default()
        };
        let mut parts = build(&endpoint, &place, &fetch).unwrap();
        introduce(&mut parts.headers, None);
        assert_eq!(parts.uri.to_string(), "http://store:9000/vod/a%20b?v=1");
        let mut names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept-encoding",
                "cdn-loop",
                "host",
                "if-match",
                "if-modified-since",
                "range",
                "user-agent",
                "via"
            ]
        );
        assert_eq!(parts.headers[RANGE], "bytes=-5");
    }

    #[test]
    fn our_name_ends_the_chain_that_led_to_a_request() {
        for (chain, expected) in [
            (None, "weir"),
            (Some(""), "weir"),
            (
                Some("other; a=\"x, y\", weir"),
                "other; a=\"x, y\", weir, weir",
            ),
        ] {
            let mut headers = HeaderMap::new();
            introduce(&mut headers, chain.map(HeaderValue::from_static).as_ref());
            assert_eq!(headers[CDN_LOOP], expected);
        }
    }
}
