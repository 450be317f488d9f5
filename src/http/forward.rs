//! What of a client's request the origin sees (RFC 9110 section 7.6). Pure.
//!
//! For a video site nothing at all; for a general one every end-to-end field but those that this
//! cache answers itself: ranges, preconditions, and what names connection, host or length.
//! Whatever an answer can depend on is in here, which is why `Vary` selects by these fields and not
//! by the request's own.

use std::sync::Arc;

use bytes::BytesMut;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap,
    HeaderName, HeaderValue, MAX_FORWARDS, RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};

use crate::http::fields;

/// The fields of a request that its origin sees.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    headers: HeaderMap,
    audience: Audience,
}

/// Whose wishes the origin sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Audience {
    /// Nobody's: every client gets the same.
    #[default]
    Everyone,
    /// Those of the client who asks.
    Client,
}

impl Fields {
    /// Those of a request whose origin sees nothing of the client.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// The end-to-end fields of `request`.
    ///
    /// Accept-Encoding is one of a few texts whatever the client wrote, and always there: a request
    /// without it leaves the choice to the origin, which may choose what the next client cannot
    /// read. The cookies that HTTP/2 splits into several fields are one again (RFC 9113 section
    /// 8.2.3).
    #[must_use]
    pub fn of(request: &HeaderMap) -> Arc<Self> {
        let mut headers = HeaderMap::with_capacity(request.keys_len() + 1);
        for name in request.keys().filter(|name| is_end_to_end(name, request)) {
            for value in request.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        if let Some(cookie) = joined_cookie(request) {
            headers.insert(COOKIE, cookie);
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(codings(request)));
        Arc::new(Self {
            headers,
            audience: Audience::Client,
        })
    }

    /// The same for what this node reads itself: the origin is asked not to encode it.
    #[must_use]
    pub fn of_plain(request: &HeaderMap) -> Arc<Self> {
        let mut fields = Self::of(request);
        let headers = &mut Arc::make_mut(&mut fields).headers;
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        fields
    }

    /// The fields, as they are sent.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Whether the origin sees something of the client, so that its answer may depend on that.
    #[must_use]
    pub fn sees_client(&self) -> bool {
        self.audience == Audience::Client
    }

    /// Whether the request carries credentials (RFC 9111 section 3.5).
    #[must_use]
    pub fn is_authorized(&self) -> bool {
        self.headers.contains_key(http::header::AUTHORIZATION)
    }

    /// Whether its answer may be for this client alone, so that nobody waits for it with others.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.is_authorized() || self.headers.contains_key(COOKIE)
    }
}

/// The content codings known here that a request accepts, in one order whatever its own (RFC 9110
/// section 12.5.3); `identity` where there is none.
///
/// Other codings are as good as unknown: hardly an origin has them, and each would double the
/// variants. So are preferences between the known ones, since any will do.
#[must_use]
pub fn codings(request: &HeaderMap) -> &'static str {
    let (brotli, gzip, zstd) = (
        accepts(request, &[b"br"]),
        accepts(request, &[b"gzip", b"x-gzip"]),
        accepts(request, &[b"zstd"]),
    );
    match (brotli, gzip, zstd) {
        (true, true, true) => "br, gzip, zstd",
        (true, true, false) => "br, gzip",
        (true, false, true) => "br, zstd",
        (true, false, false) => "br",
        (false, true, true) => "gzip, zstd",
        (false, true, false) => "gzip",
        (false, false, true) => "zstd",
        (false, false, false) => "identity",
    }
}

/// Whether a coding of these names is accepted; `*` speaks for those that are not listed.
fn accepts(request: &HeaderMap, names: &[&[u8]]) -> bool {
    let mut wildcard = false;
    for member in fields::all_members(request, ACCEPT_ENCODING) {
        let (coding, weight) = fields::weighted(member);
        // A weight that cannot be read accepts nothing: identity is always understood.
        let accepted = weight.is_some_and(|weight| weight > 0);
        if names.iter().any(|name| coding.eq_ignore_ascii_case(name)) {
            return accepted;
        }
        wildcard |= coding == b"*" && accepted;
    }
    wildcard
}

/// Whether a field says to an origin what no client may say in the name of this node.
#[must_use]
pub fn misleads(name: &HeaderName) -> bool {
    let text = name.as_str();
    OVERRIDES.contains(&text)
        || *name == FORWARDED
        || MISLEADING_BEGINNINGS
            .iter()
            .any(|start| text.starts_with(start))
}

fn is_end_to_end(name: &HeaderName, request: &HeaderMap) -> bool {
    let text = name.as_str();
    !OWN.contains(name)
        && !misleads(name)
        && !OWN_BEGINNINGS.iter().any(|start| text.starts_with(start))
        && !fields::all_members(request, CONNECTION)
            .any(|nominated| nominated.eq_ignore_ascii_case(text.as_bytes()))
}

/// Puts the pieces of a Cookie together; `None` where there is one piece or none, or where it does
/// not go on to the origin.
fn joined_cookie(request: &HeaderMap) -> Option<HeaderValue> {
    let mut pieces = request.get_all(COOKIE).iter();
    let first = pieces.next().filter(|_| is_end_to_end(&COOKIE, request))?;
    let mut pieces = pieces.peekable();
    pieces.peek()?;
    let mut text = BytesMut::from(first.as_bytes());
    for piece in pieces {
        text.extend_from_slice(b"; ");
        text.extend_from_slice(piece.as_bytes());
    }
    HeaderValue::from_maybe_shared(text.freeze()).ok()
}

/// Fields that end here: those of the connection (RFC 9110 section 7.6.1), and those that this
/// cache answers or writes itself.
const OWN: [HeaderName; 16] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("http2-settings"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HOST,
    CONTENT_LENGTH,
    RANGE,
    EXPECT,
    MAX_FORWARDS,
    VIA,
    HeaderName::from_static("cdn-loop"),
    HeaderName::from_static("x-request-id"),
    ACCEPT_ENCODING,
];

/// Fields by which some frameworks take another method, host or path than the request has: in no key,
/// they would let one client choose what the others are answered. Nor can they be told from what a
/// proxy of the operator writes.
const OVERRIDES: [&str; 9] = [
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// How the names of further ones begin. `if-` are the preconditions.
const OWN_BEGINNINGS: [&str; 2] = ["proxy-", "if-"];

/// See [`misleads`]. CMCD is for logs, and would make every request another one (CTA-5004).
const MISLEADING_BEGINNINGS: [&str; 2] = ["x-forwarded-", "cmcd-"];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        map
    }

    #[test]
    fn the_origin_sees_what_is_end_to_end_and_not_answered_here() {
        let request = headers(&[
            ("accept", "text/html"),
            ("accept", "image/png"),
            ("authorization", "Basic eA=="),
            ("cache-control", "max-age=0"),
            ("pragma", "no-cache"),
            ("origin", "https://a.example"),
            ("x-custom", "1"),
            ("accept-encoding", "gzip"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AA"),
            ("host", "a.example"),
            ("content-length", "0"),
            ("range", "bytes=0-1"),
            ("if-match", "\"1\""),
            ("if-none-match", "\"1\""),
            ("if-modified-since", "x"),
            ("if-unmodified-since", "x"),
            ("if-range", "\"1\""),
            ("via", "1.1 a"),
            ("cdn-loop", "a"),
            ("forwarded", "for=_a"),
            ("x-forwarded-for", "192.0.2.1"),
            ("cmcd-request", "su"),
            ("cmcd-session", "sid=\"1\""),
            ("x-request-id", "1"),
            ("expect", "100-continue"),
            ("max-forwards", "1"),
        ]);
        let expected = headers(&[
            ("accept", "text/html"),
            ("accept", "image/png"),
            ("authorization", "Basic eA=="),
            ("cache-control", "max-age=0"),
            ("pragma", "no-cache"),
            ("origin", "https://a.example"),
            ("x-custom", "1"),
            ("accept-encoding", "gzip"),
        ]);
        assert_eq!(Fields::of(&request).headers(), &expected);
    }

    #[test]
    fn accepted_codings_are_one_of_a_few_texts() {
        let cases: [(&[&str], &str); 18] = [
            (&[], "identity"),
            (&[""], "identity"),
            (&["identity"], "identity"),
            (&["deflate"], "identity"),
            (&["gzip"], "gzip"),
            (&["GZIP"], "gzip"),
            (&["x-gzip"], "gzip"),
            (&["gzip;q=0"], "identity"),
            (&["gzip; q=0.000"], "identity"),
            (&["gzip;q=0.001"], "gzip"),
            (&["gzip;q=x"], "identity"),
            (&["gzip, deflate, br"], "br, gzip"),
            (&["br;q=0.1,gzip;q=0.9"], "br, gzip"),
            (&["gzip, deflate, br, zstd"], "br, gzip, zstd"),
            (&["zstd", "gzip"], "gzip, zstd"),
            (&["*"], "br, gzip, zstd"),
            (&["*, br;q=0"], "gzip, zstd"),
            (&["br, *;q=0"], "br"),
        ];
        for (values, expected) in cases {
            let mut request = HeaderMap::new();
            for value in values {
                request.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(codings(&request), expected, "{values:?}");
            let fields = Fields::of(&request);
            assert_eq!(fields.headers().get(ACCEPT_ENCODING).unwrap(), expected);
        }
    }

    #[test]
    fn cookies_in_pieces_become_one() {
        let request = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
        let fields = Fields::of(&request);
        let cookies: Vec<_> = fields.headers().get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
        assert!(fields.is_personal() && !fields.is_authorized());
        let hop = headers(&[
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("connection", "cookie"),
        ]);
        assert!(!Fields::of(&hop).is_personal());
    }

    #[test]
    fn only_fields_of_a_request_see_its_client() {
        assert!(!Fields::none().sees_client());
        assert!(Fields::of(&HeaderMap::new()).sees_client());
    }
}
