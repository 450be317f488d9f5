//! Which pages may read answers, and what of them (Fetch standard, CORS protocol).
//!
//! Players in browsers are pages of another origin. They must see lengths, ranges, ages and the
//! CMSD fields to adapt, must be allowed to send CMCD fields, and need `Timing-Allow-Origin` to
//! measure their throughput. Credentials are never allowed: nothing here depends on cookies.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW,
    HeaderMap, HeaderName, ORIGIN, VARY,
};
use http::{HeaderValue, Method};

use crate::http::fields;

/// Puts the fields of an answer for a page of the request's origin.
///
/// `allowed` are the site's; where it is empty the origin server's own fields are left alone, else
/// they are replaced: what a stored answer says was said to another page. `Vary: Origin` is added
/// whenever the answer depends on the page, also for one that is not allowed.
pub fn decorate(answer: &mut HeaderMap, allowed: &[String], request: &HeaderMap) {
    if allowed.is_empty() {
        return;
    }
    let everyone = allowed.iter().any(|origin| origin == "*");
    if !everyone && !varies_by_origin(answer) {
        answer.append(VARY, const { HeaderValue::from_static("Origin") });
    }
    for name in OURS {
        answer.remove(name);
    }
    let Some(reader) = reader(everyone, allowed, request) else {
        return;
    };
    answer.insert(TIMING_ALLOW_ORIGIN, reader.clone());
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, reader);
    answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Returns the fields of the 204 that answers OPTIONS.
///
/// `Allow` always; the preflight's permissions where it is one and the page is allowed.
#[must_use]
pub fn options(allowed: &[String], methods: &[Method], request: &HeaderMap) -> HeaderMap {
    let mut answer = HeaderMap::new();
    let methods = methods_value(methods);
    answer.insert(ALLOW, methods.clone());
    decorate(&mut answer, allowed, request);
    answer.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
    let permitted = answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
    if permitted && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED);
        answer.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_LIFE);
    }
    answer
}

/// Writes a list of methods, as `Allow` has it.
#[must_use]
pub fn methods_value(methods: &[Method]) -> HeaderValue {
    let names: Vec<_> = methods.iter().map(Method::as_str).collect();
    HeaderValue::try_from(names.join(", ")).unwrap_or(const { HeaderValue::from_static("") })
}

fn reader(everyone: bool, allowed: &[String], request: &HeaderMap) -> Option<HeaderValue> {
    if everyone {
        return Some(const { HeaderValue::from_static("*") });
    }
    let page = fields::single(request, ORIGIN)?;
    let known = |origin: &String| page.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
    allowed.iter().any(known).then(|| page.clone())
}

fn varies_by_origin(answer: &HeaderMap) -> bool {
    fields::all_members(answer, VARY)
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
}

const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// What the origin server may have said about it.
const OURS: [HeaderName; 4] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    HeaderName::from_static("access-control-allow-credentials"),
    ACCESS_CONTROL_EXPOSE_HEADERS,
    TIMING_ALLOW_ORIGIN,
];

/// Fields that a page may read beside those that it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Age, Cache-Status, CMSD-Dynamic, CMSD-Static, Content-Length, Content-Range, \
     Date, ETag, Server-Timing, X-Request-Id",
);

/// Fields that a page may send beside those that it always may: ranges, CMCD (CTA-5004), the
/// preconditions that players send, and the type of what they post.
const ALLOWED: HeaderValue = HeaderValue::from_static(
    "Range, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, \
     Cache-Control, Content-Type, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status",
);

/// Seconds that a browser remembers a permission: a day, of which Chromium keeps two hours.
const PREFLIGHT_LIFE: HeaderValue = HeaderValue::from_static("86400");

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    fn sites(list: &[&str]) -> Vec<String> {
        list.iter().map(|&origin| origin.into()).collect()
    }

    #[test]
    fn a_page_is_allowed_by_name_or_by_star() {
        let cases: [(&[&str], Option<_>, Option<&str>, bool); 7] = [
            (&["*"], None, Some("*"), false),
            (&["*"], Some("https://a.example"), Some("*"), false),
            (&[], Some("https://a.example"), None, false),
            (&["https://a.example"], None, None, true),
            (
                &["https://b.example", "https://a.example"],
                Some("https://a.example"),
                Some("https://a.example"),
                true,
            ),
            (
                &["https://a.example"],
                Some("https://a.example.evil"),
                None,
                true,
            ),
            (&["https://a.example"], Some("null"), None, true),
        ];
        for (allowed, origin, expected, varies) in cases {
            let mut answer = HeaderMap::new();
            let origin: Vec<_> = origin.map(|value| (ORIGIN, value)).into_iter().collect();
            decorate(&mut answer, &sites(allowed), &request(&origin));
            for name in [ACCESS_CONTROL_ALLOW_ORIGIN, TIMING_ALLOW_ORIGIN] {
                let got = answer.get(name).map(|value| value.to_str().unwrap());
                assert_eq!(got, expected, "{allowed:?} {origin:?}");
            }
            assert_eq!(answer.contains_key(VARY), varies, "{allowed:?} {origin:?}");
        }
    }

    #[test]
    fn what_the_origin_server_allowed_another_page_is_replaced() {
        let mut answer = request(&[
            (ACCESS_CONTROL_ALLOW_ORIGIN, "https://other.example"),
            (VARY, "Accept-Encoding, origin"),
        ]);
        decorate(
            &mut answer,
            &sites(&["https://a.example"]),
            &HeaderMap::new(),
        );
        assert_eq!(answer, request(&[(VARY, "Accept-Encoding, origin")]));
        let mut untouched = request(&[(ACCESS_CONTROL_ALLOW_ORIGIN, "x")]);
        decorate(&mut untouched, &[], &HeaderMap::new());
        assert_eq!(untouched, request(&[(ACCESS_CONTROL_ALLOW_ORIGIN, "x")]));
    }

    #[test]
    fn a_preflight_permits_cmcd_and_plain_options_only_names_methods() {
        let methods = [Method::GET, Method::HEAD, Method::OPTIONS];
        let preflight = request(&[
            (ORIGIN, "https://a.example"),
            (ACCESS_CONTROL_REQUEST_METHOD, "GET"),
        ]);
        let answer = options(&sites(&["*"]), &methods, &preflight);
        assert_eq!(answer[ALLOW], "GET, HEAD, OPTIONS");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_METHODS], "GET, HEAD, OPTIONS");
        assert_eq!(answer[ACCESS_CONTROL_MAX_AGE], "86400");
        let headers = answer[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert!(headers.contains("CMCD-Session") && headers.starts_with("Range"));

        let plain = options(&sites(&["*"]), &methods, &HeaderMap::new());
        assert!(!plain.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
        let stranger = options(&sites(&["https://b.example"]), &methods, &preflight);
        assert!(!stranger.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
        assert_eq!(stranger[VARY], "Origin");
    }
}
