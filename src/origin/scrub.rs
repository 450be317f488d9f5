//! What of a store's answer is fit for clients. Pure.
//!
//! Headers that belong to one connection or name a store's internals go. Error answers of object
//! stores are XML about buckets and accounts; they become bare statuses, or errors where they are
//! about us and not about the object.

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, DATE, LOCATION, PROXY_AUTHENTICATE, RETRY_AFTER,
    SERVER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::origin::store::Dialect;

/// Fields of one connection (RFC 9110 section 7.6.1), and those about other ways to the origin.
const HOP_BY_HOP: [HeaderName; 11] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("alt-svc"),
    HeaderName::from_static("nel"),
];

/// How the names of stores' own fields begin.
///
/// CORS is answered by this node, and a request of ours has no Origin that answers could vary by.
const INTERNAL: [&str; 13] = [
    "access-control-",
    "vary",
    "x-amz-",
    "x-goog-",
    "x-guploader-",
    "x-ms-",
    "x-seaweedfs-",
    "seaweed-",
    "x-rgw-",
    "x-minio-",
    "x-request-id",
    "x-id-",
    "x-powered-by",
];

/// Codes in error bodies that are about our credentials, not about the object.
const CREDENTIAL_CODES: [&str; 16] = [
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "RequestTimeTooSkewed",
    "RequestExpired",
    "ExpiredToken",
    "InvalidToken",
    "InvalidTokenId",
    "TokenRefreshRequired",
    "AuthorizationHeaderMalformed",
    "InvalidSecurity",
    "AccountProblem",
    "NotSignedUp",
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "NoAuthenticationInformation",
    "AuthenticationRequired",
];

/// What an object store's answer other than 200, 206 and 304 comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A bare answer of this status.
    Answer(StatusCode),
    /// The store does not accept our credentials.
    Credentials,
    /// The object is at another region or endpoint.
    Redirected,
}

/// Takes out what clients must not see. The framing must have been read before.
pub fn scrub(headers: &mut HeaderMap, dialect: Dialect) {
    for name in nominated(headers).iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    if dialect == Dialect::Web {
        return;
    }
    headers.remove(SERVER);
    headers.remove(SET_COOKIE);
    let internal: Vec<_> = headers
        .keys()
        .filter(|name| {
            INTERNAL
                .iter()
                .any(|start| name.as_str().starts_with(start))
        })
        .cloned()
        .collect();
    for name in internal {
        headers.remove(name);
    }
}

/// The fields of a bare answer: when it was made, when to ask again, how long the object is.
#[must_use]
pub fn bare(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(4);
    for name in [DATE, RETRY_AFTER, CONTENT_RANGE] {
        if let Some(value) = headers.get(&name) {
            kept.insert(name, value.clone());
        }
    }
    kept.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    kept
}

/// Judges an answer of an object store by its status and the code in its body or headers.
///
/// An S3 answer to HEAD has no body, hence no code, so its 403 stays one: it may as well be about
/// our credentials.
#[must_use]
pub fn judge(dialect: Dialect, status: StatusCode, code: Option<&str>) -> Verdict {
    let ours = code.is_some_and(|code| CREDENTIAL_CODES.contains(&code));
    match status {
        status if status.is_redirection() => Verdict::Redirected,
        StatusCode::UNAUTHORIZED => Verdict::Credentials,
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN if ours => Verdict::Credentials,
        // Who may not list the bucket is told 403 for a key that does not exist.
        StatusCode::FORBIDDEN if dialect == Dialect::S3 && code.is_some() => {
            Verdict::Answer(StatusCode::NOT_FOUND)
        }
        status => Verdict::Answer(status),
    }
}

/// Finds the code of an error: a header of Azure's, or `<Code>` in an XML body.
#[must_use]
pub fn error_code(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    if let Some(code) = headers.get("x-ms-error-code") {
        return code.to_str().ok().map(str::to_owned);
    }
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let plain = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}

/// Where a redirect points, for the log: the region that S3 names, or the location.
#[must_use]
pub fn redirect_hint(headers: &HeaderMap) -> &str {
    let region = headers.get("x-amz-bucket-region");
    region
        .or_else(|| headers.get(LOCATION))
        .and_then(|value| value.to_str().ok())
        .unwrap_or("none given")
}

/// Names that Connection nominates.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(dialect: Dialect) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authentication-info", "a=b"),
            ("transfer-encoding", "chunked"),
            ("server", "SeaweedFS"),
            ("set-cookie", "a=b"),
            ("x-amz-request-id", "1"),
            ("x-goog-hash", "1"),
            ("x-ms-version", "1"),
            ("vary", "Origin"),
            ("access-control-allow-origin", "*"),
            ("etag", "\"a\""),
            ("cache-control", "max-age=5"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        scrub(&mut headers, dialect);
        let mut names: Vec<_> = headers.keys().map(|name| name.to_string()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn an_object_store_s_internals_do_not_pass() {
        assert_eq!(left(Dialect::S3), ["cache-control", "etag"]);
    }

    #[test]
    fn a_web_server_keeps_all_but_its_connection_s_fields() {
        let names = left(Dialect::Web);
        assert!(names.contains(&"set-cookie".to_owned()));
        assert!(names.contains(&"server".to_owned()));
        assert!(!names.contains(&"x-private".to_owned()));
        assert!(!names.contains(&"proxy-authentication-info".to_owned()));
        assert!(!names.contains(&"transfer-encoding".to_owned()));
    }

    #[test]
    fn errors_of_stores_are_about_the_object_or_about_us() {
        let not_found = Verdict::Answer(StatusCode::NOT_FOUND);
        let forbidden = Verdict::Answer(StatusCode::FORBIDDEN);
        for (dialect, status, code, expected) in [
            (Dialect::S3, 404, Some("NoSuchKey"), not_found),
            (Dialect::S3, 403, Some("AccessDenied"), not_found),
            (Dialect::S3, 403, None, forbidden),
            (Dialect::Google, 403, Some("AccessDenied"), forbidden),
            (
                Dialect::S3,
                403,
                Some("SignatureDoesNotMatch"),
                Verdict::Credentials,
            ),
            (
                Dialect::S3,
                400,
                Some("RequestTimeTooSkewed"),
                Verdict::Credentials,
            ),
            (Dialect::S3, 400, Some("ExpiredToken"), Verdict::Credentials),
            (Dialect::Google, 401, None, Verdict::Credentials),
            (
                Dialect::Azure,
                403,
                Some("AuthenticationFailed"),
                Verdict::Credentials,
            ),
            (
                Dialect::S3,
                301,
                Some("PermanentRedirect"),
                Verdict::Redirected,
            ),
            (
                Dialect::S3,
                307,
                Some("TemporaryRedirect"),
                Verdict::Redirected,
            ),
            (
                Dialect::S3,
                503,
                Some("SlowDown"),
                Verdict::Answer(StatusCode::SERVICE_UNAVAILABLE),
            ),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                judge(dialect, status, code),
                expected,
                "{dialect:?} {status} {code:?}"
            );
        }
    }

    #[test]
    fn a_code_is_found_in_any_body() {
        let none = HeaderMap::new();
        for (body, expected) in [
            (
                "<Error><Code>NoSuchKey</Code><Key>a</Key></Error>",
                Some("NoSuchKey"),
            ),
            ("<Error><Code></Code></Error>", None),
            ("<Code>a b", None),
            ("<Code><b/></Code>", None),
            ("", None),
        ] {
            assert_eq!(
                error_code(&none, body.as_bytes()).as_deref(),
                expected,
                "{body}"
            );
        }
    }
}
