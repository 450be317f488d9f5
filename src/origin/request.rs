//! The head of an origin request, always built afresh. Pure.
//!
//! Range, version and validators come from the cache, never from a client: what an answer is
//! checked against must be what was asked. Of a client's request there is what [`Fields`] keeps,
//! which for a video site is nothing.

use http::header::{
    ACCEPT_ENCODING, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE, USER_AGENT, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use crate::http::forward::Fields;
use crate::http::range::Wanted;
use crate::origin::endpoint::Endpoint;
use crate::origin::{Fetch, Pin};

/// What an origin knows us by.
const AGENT: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));
/// Who has handled the request (RFC 8586): a loop through ourselves shows.
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
/// Our identifier in that field.
const CDN_ID: &[u8] = b"weir";
/// What only the cache may say to an origin.
const OURS: [HeaderName; 7] = [
    HOST,
    RANGE,
    IF_RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
];

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

/// Builds the request for `fetch` at `place`, with an absolute URI as signers want it; `fields`
/// are what the origin sees of the client.
///
/// # Errors
/// Where host or target are no part of a URI.
pub fn build(
    endpoint: &Endpoint,
    place: &Place,
    fetch: &Fetch,
    fields: Option<&Fields>,
) -> Result<Parts, http::Error> {
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
    parts.headers = fields.map_or(HeaderMap::with_capacity(12), |fields| {
        let mut headers = fields.headers().clone();
        OURS.iter().for_each(|name| drop(headers.remove(name)));
        headers
    });
    add_conditions(&mut parts.headers, fetch);
    parts.headers.insert(HOST, host);
    Ok(parts)
}

/// Adds what every request of ours says about itself, at the end of the chain that led to it.
pub fn introduce(headers: &mut HeaderMap, cdn_loop: Option<&HeaderValue>) {
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(AGENT));
    headers.append(VIA, HeaderValue::from_static("1.1 weir"));
    let mut chain = cdn_loop.map_or(Vec::new(), |chain| chain.as_bytes().trim_ascii().to_vec());
    if !chain.is_empty() {
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(CDN_ID);
    let chain = HeaderValue::from_bytes(&chain);
    headers.insert(CDN_LOOP, chain.unwrap_or(HeaderValue::from_static("weir")));
}

/// Range, preconditions and the wish for the identity encoding where the client has no other.
fn add_conditions(headers: &mut HeaderMap, fetch: &Fetch) {
    headers
        .entry(ACCEPT_ENCODING)
        .or_insert(HeaderValue::from_static("identity"));
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
}

fn range(wanted: Wanted) -> HeaderValue {
    let text = match wanted {
        Wanted::Span(first, u64::MAX) => format!("bytes={first}-"),
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
        let mut parts = build(&endpoint, &place, &fetch, None).unwrap();
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
    fn a_client_s_fields_pass_but_for_those_that_are_the_cache_s() {
        let endpoint = Endpoint::of(&"http://store:9000".parse().unwrap()).unwrap();
        let place = Place {
            authority: "store:9000".into(),
            sni: "store".into(),
            target: "/a".into(),
        };
        let mut request = HeaderMap::new();
        for (name, value) in [
            (USER_AGENT, "player/1"),
            (ACCEPT_ENCODING, "br"),
            (RANGE, "bytes=1-"),
            (IF_RANGE, "\"c\""),
            (IF_MATCH, "\"c\""),
            (IF_NONE_MATCH, "\"c\""),
            (IF_MODIFIED_SINCE, "c"),
            (IF_UNMODIFIED_SINCE, "c"),
            (HOST, "client"),
            (HeaderName::from_static("x-a"), "1"),
        ] {
            request.insert(name, HeaderValue::from_static(value));
        }
        request.append("x-a", HeaderValue::from_static("2"));
        let fields = Fields::of(&request);
        let built = |fetch: &Fetch| {
            let mut parts = build(&endpoint, &place, fetch, Some(&fields)).unwrap();
            introduce(&mut parts.headers, None);
            parts.headers
        };
        let plain = built(&Fetch::default());
        assert_eq!(plain[HOST], "store:9000");
        assert_eq!(plain[USER_AGENT], "player/1");
        assert_eq!(plain[ACCEPT_ENCODING], "br");
        assert!(plain.get_all("x-a").iter().eq(["1", "2"]));
        let ours = OURS.iter().filter(|name| plain.contains_key(*name));
        assert!(ours.eq([&HOST]));
        let fetch = Fetch {
            range: Some(Wanted::Span(0, 4)),
            validators: Some(Validators {
                etag: Some(HeaderValue::from_static("\"s\"")),
                last_modified: None,
            }),
            ..Fetch::default()
        };
        let asked = built(&fetch);
        assert_eq!(asked[RANGE], "bytes=0-4");
        assert!(asked.get_all(IF_NONE_MATCH).iter().eq(["\"s\""]));
        let silent = Fields::none();
        let mut parts = build(&endpoint, &place, &fetch, Some(&silent)).unwrap();
        introduce(&mut parts.headers, None);
        assert_eq!(parts.headers[ACCEPT_ENCODING], "identity");
        assert_eq!(parts.headers[USER_AGENT], AGENT);
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
