//! Conditional requests of clients (RFC 9110 section 13, RFC 9111 section 4.3.2).

use http::header::{
    DATE, ETAG, HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{Method, StatusCode};

use crate::clock::UnixMillis;
use crate::http::fields;

/// What the preconditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// None, or all hold: answer as if there were none.
    Proceed,
    /// The client has it already: 304.
    NotModified,
    /// The client expects another version: 412.
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD against a stored response.
///
/// They count only where the answer would be a success (section 13.2.1), in the order of section
/// 13.2.2. If-Range is not one of them here: see `range::stands`.
#[must_use]
pub fn evaluate(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
) -> Precondition {
    if !status.is_success() || !(method == Method::GET || method == Method::HEAD) {
        return Precondition::Proceed;
    }
    if !expected_version(request, stored) {
        Precondition::Failed
    } else if known_version(request, stored) {
        Precondition::NotModified
    } else {
        Precondition::Proceed
    }
}

/// Sections 13.1.1 and 13.1.4: If-Match, and only without it If-Unmodified-Since.
fn expected_version(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if request.contains_key(IF_MATCH) {
        return any_tag(request, IF_MATCH, stored, fields::strong_match);
    }
    let Some(limit) = fields::single_date(request, IF_UNMODIFIED_SINCE) else {
        return true;
    };
    fields::single_date(stored, LAST_MODIFIED).is_none_or(|modified| modified <= limit)
}

/// Sections 13.1.2 and 13.1.3: If-None-Match, and only without it If-Modified-Since.
fn known_version(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        return any_tag(request, IF_NONE_MATCH, stored, fields::weak_match);
    }
    let Some(known) = fields::single_date(request, IF_MODIFIED_SINCE) else {
        return false;
    };
    modified_or_dated(stored).is_some_and(|modified| modified <= known)
}

/// RFC 9111 section 4.3.2: a response without Last-Modified is as old as its Date.
fn modified_or_dated(stored: &HeaderMap) -> Option<UnixMillis> {
    match stored.contains_key(LAST_MODIFIED) {
        true => fields::single_date(stored, LAST_MODIFIED),
        false => fields::single_date(stored, DATE),
    }
}

/// Whether `*` or one of the listed tags names the stored response; malformed ones name nothing.
fn any_tag(
    request: &HeaderMap,
    name: HeaderName,
    stored: &HeaderMap,
    matches: fn(&[u8], &[u8]) -> bool,
) -> bool {
    let ours = fields::single(stored, ETAG).map(|tag| tag.as_bytes());
    request.get_all(name).iter().any(|value| {
        let value = value.as_bytes().trim_ascii();
        value == b"*" || ours.is_some_and(|ours| tags(value).any(|theirs| matches(theirs, ours)))
    })
}

/// Splits a list of entity tags; within one a comma is data and a backslash escapes nothing
/// (section 8.8.3), so that this is no list of quoted strings.
fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let start = rest
            .iter()
            .position(|b| !matches!(b, b',' | b' ' | b'\t'))?;
        let tag = rest.get(start..)?;
        let end = tag_end(tag);
        rest = tag.get(end..).unwrap_or_default();
        tag.get(..end)
    })
}

fn tag_end(tag: &[u8]) -> usize {
    let opening = if tag.starts_with(b"W/\"") { 2 } else { 0 };
    let quoted = tag.get(opening).is_some_and(|byte| *byte == b'"');
    let inner = tag.get(opening + 1..).unwrap_or_default();
    match inner.iter().position(|byte| *byte == b'"') {
        Some(closing) if quoted => opening + closing + 2,
        _ => tag
            .iter()
            .position(|byte| *byte == b',')
            .unwrap_or(tag.len()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::{any, prop, proptest};

    use super::*;

    const EARLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATE: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    fn check(
        stored: &[(HeaderName, &'static str)],
        cases: &[(&[(HeaderName, &'static str)], Precondition)],
    ) {
        for (request, expected) in cases {
            let got = evaluate(
                &Method::GET,
                &headers(request),
                StatusCode::OK,
                &headers(stored),
            );
            assert_eq!(got, *expected, "{request:?} against {stored:?}");
        }
    }

    #[test]
    fn tags_are_compared_weakly_for_none_and_strongly_for_match() {
        use Precondition::{Failed, NotModified, Proceed};
        check(
            &[(ETAG, "\"a,b\"")],
            &[
                (&[(IF_NONE_MATCH, "\"a,b\"")], NotModified),
                (&[(IF_NONE_MATCH, "W/\"a,b\"")], NotModified),
                (&[(IF_NONE_MATCH, "\"x\" , \"a,b\"")], NotModified),
                (
                    &[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")],
                    NotModified,
                ),
                (&[(IF_NONE_MATCH, "\"x\\\", \"a,b\"")], NotModified),
                (&[(IF_NONE_MATCH, "x, \"a,b\"")], NotModified),
                (&[(IF_NONE_MATCH, "*")], NotModified),
                (&[(IF_NONE_MATCH, "\"a\"")], Proceed),
                (&[(IF_NONE_MATCH, "a,b")], Proceed),
                (&[(IF_NONE_MATCH, "")], Proceed),
                (&[(IF_MATCH, "\"a,b\"")], Proceed),
                (&[(IF_MATCH, "*")], Proceed),
                (&[(IF_MATCH, "W/\"a,b\"")], Failed),
                (&[(IF_MATCH, "\"x\"")], Failed),
            ],
        );
        check(
            &[(ETAG, "W/\"a\"")],
            &[
                (&[(IF_NONE_MATCH, "\"a\"")], NotModified),
                (&[(IF_MATCH, "W/\"a\"")], Failed),
            ],
        );
        check(
            &[],
            &[
                (&[(IF_NONE_MATCH, "\"a\"")], Proceed),
                (&[(IF_NONE_MATCH, "*")], NotModified),
                (&[(IF_MATCH, "\"a\"")], Failed),
            ],
        );
    }

    #[test]
    fn dates_are_compared_where_no_tag_is_asked_for() {
        use Precondition::{Failed, NotModified, Proceed};
        check(
            &[(LAST_MODIFIED, LATE), (ETAG, "\"1\"")],
            &[
                (&[(IF_MODIFIED_SINCE, LATE)], NotModified),
                (&[(IF_MODIFIED_SINCE, EARLY)], Proceed),
                (
                    &[(IF_MODIFIED_SINCE, "Sunday, 06-Nov-94 08:49:38 GMT")],
                    NotModified,
                ),
                (
                    &[(IF_MODIFIED_SINCE, "Sun Nov  6 08:49:38 1994")],
                    NotModified,
                ),
                (
                    &[(IF_MODIFIED_SINCE, LATE), (IF_MODIFIED_SINCE, LATE)],
                    Proceed,
                ),
                (
                    &[(IF_UNMODIFIED_SINCE, EARLY), (IF_NONE_MATCH, "\"1\"")],
                    Failed,
                ),
                (&[(IF_MODIFIED_SINCE, "yesterday")], Proceed),
                (&[(IF_UNMODIFIED_SINCE, LATE)], Proceed),
                (&[(IF_UNMODIFIED_SINCE, EARLY)], Failed),
                (&[(IF_UNMODIFIED_SINCE, "yesterday")], Proceed),
                (
                    &[(IF_NONE_MATCH, "\"2\""), (IF_MODIFIED_SINCE, LATE)],
                    Proceed,
                ),
                (
                    &[(IF_MATCH, "\"1\""), (IF_UNMODIFIED_SINCE, EARLY)],
                    Proceed,
                ),
                (&[(IF_MATCH, "\"2\""), (IF_NONE_MATCH, "\"1\"")], Failed),
                (
                    &[(IF_MATCH, "\"1\""), (IF_NONE_MATCH, "\"1\"")],
                    NotModified,
                ),
            ],
        );
        check(
            &[(DATE, LATE)],
            &[
                (&[(IF_MODIFIED_SINCE, LATE)], NotModified),
                (&[(IF_MODIFIED_SINCE, EARLY)], Proceed),
                (&[(IF_UNMODIFIED_SINCE, EARLY)], Proceed),
            ],
        );
    }

    #[test]
    fn errors_and_other_methods_know_no_preconditions() {
        let request = headers(&[(IF_NONE_MATCH, "*"), (IF_MATCH, "\"x\"")]);
        for (method, status) in [(Method::GET, 404), (Method::OPTIONS, 200)] {
            let status = StatusCode::from_u16(status).unwrap();
            let got = evaluate(&method, &request, status, &HeaderMap::new());
            assert_eq!(got, Precondition::Proceed);
        }
    }

    proptest! {
        #[test]
        fn any_list_of_tags_is_split_without_panic(
            value in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let total: usize = tags(&value).map(<[u8]>::len).sum();
            assert!(total <= value.len());
        }
    }
}
