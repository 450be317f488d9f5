//! `Range` and `If-Range` (RFC 9110 sections 14 and 13.1.5).
//!
//! A range request is optional to honour: whatever is malformed, foreign or wasteful is answered
//! by the whole object, never by an error. Reading is apart from resolving, since the length of a
//! cold object is not known when its request arrives.

use http::Method;
use http::header::{CONTENT_RANGE, DATE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};

use crate::http::fields;
use crate::limits;

/// Bytes wanted of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// From the first to the last byte, both included; the last may lie past the end.
    Span(u64, u64),
    /// The last so many bytes, at least one.
    Suffix(u64),
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// The whole object: no Range, or one that is to be ignored.
    Whole,
    /// These bytes, in the client's order. Empty when the request was well formed but can be
    /// satisfied by no object (`bytes=-0`).
    Spans(Vec<Wanted>),
    /// More ranges than are served in one answer: the whole object instead.
    TooMany,
}

/// What is to be sent of an object whose length is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// The whole object, as a 200.
    Whole,
    /// These bytes (first and last, both included and within the object), as a 206.
    Parts(Vec<(u64, u64)>),
    /// None: a 416 with `Content-Range: bytes */length`.
    Unsatisfiable,
}

/// Reads the Range field of a request.
///
/// It means something for GET only (section 14.2); a repeated field is malformed.
#[must_use]
pub fn parse(method: &Method, headers: &HeaderMap) -> Ranges {
    let value = fields::single(headers, RANGE).filter(|_| method == Method::GET);
    value.map_or(Ranges::Whole, |value| parse_value(value.as_bytes()))
}

/// Whether If-Range lets the Range of a request stand (section 13.1.5).
///
/// `stored` are the headers of the object. An entity tag must match strongly. A date must be the
/// very text of Last-Modified, and be a strong validator itself: a second older than the answer
/// (section 8.8.2.2), since an object may change twice within one.
#[must_use]
pub fn stands(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if !request.contains_key(IF_RANGE) {
        return true;
    }
    let Some(wanted) = fields::single(request, IF_RANGE).map(|value| value.as_bytes()) else {
        return false;
    };
    if wanted.ends_with(b"\"") {
        let tag = fields::single(stored, ETAG);
        return tag.is_some_and(|tag| fields::strong_match(wanted, tag.as_bytes()));
    }
    let Some(modified) = fields::single(stored, LAST_MODIFIED) else {
        return false;
    };
    let served = fields::single_date(stored, DATE);
    let strong = match (fields::date(modified), served) {
        (Some(modified), Some(served)) => modified < served,
        (Some(_), None) => false,
        (None, _) => false,
    };
    strong && wanted == modified.as_bytes()
}

/// Cuts spans to an object of `length` bytes (section 14.1.2).
///
/// Spans that lie past the end are left out. Overlapping ones ask for a byte twice: they are
/// answered by the whole object (section 14.2 names them as a sign of attack). A suffix of an
/// empty object is all of it, which no Content-Range can say: the whole object as well.
#[must_use]
pub fn resolve(spans: &[Wanted], length: u64) -> Resolved {
    let Some(end) = length.checked_sub(1) else {
        return match spans.iter().any(|span| matches!(span, Wanted::Suffix(_))) {
            true => Resolved::Whole,
            false => Resolved::Unsatisfiable,
        };
    };
    let parts: Vec<_> = spans.iter().filter_map(|span| cut(*span, end)).collect();
    if parts.is_empty() {
        Resolved::Unsatisfiable
    } else if parts.len() > limits::RANGES_MAX || overlap(&parts) {
        Resolved::Whole
    } else {
        Resolved::Parts(parts)
    }
}

fn parse_value(value: &[u8]) -> Ranges {
    let set = match value.split_at_checked(BYTES.len()) {
        Some((unit, set)) if unit.eq_ignore_ascii_case(BYTES) => set,
        _ => return Ranges::Whole,
    };
    let mut spans = Vec::new();
    let mut count = 0_usize;
    for member in set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        match member {
            b"" => continue,
            _ => count += 1,
        }
        match span(member) {
            Some(Wanted::Suffix(0)) => {}
            Some(_) if spans.len() > limits::RANGES_MAX => {}
            Some(span) => spans.push(span),
            None => return Ranges::Whole,
        }
    }
    match count {
        0 => Ranges::Whole,
        _ if count > limits::RANGES_MAX => Ranges::TooMany,
        _ => Ranges::Spans(spans),
    }
}

fn span(member: &[u8]) -> Option<Wanted> {
    let dash = member.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (member.get(..dash)?, member.get(dash + 1..)?);
    if first.is_empty() {
        return fields::digits(last).map(Wanted::Suffix);
    }
    let first = fields::digits(first)?;
    let last = match last {
        b"" => u64::MAX,
        _ => fields::digits(last)?,
    };
    (first <= last).then_some(Wanted::Span(first, last))
}

fn cut(span: Wanted, end: u64) -> Option<(u64, u64)> {
    match span {
        Wanted::Span(first, last) => (first <= end).then_some((first, last.min(end))),
        Wanted::Suffix(0) => None,
        Wanted::Suffix(count) => Some((end.saturating_sub(count - 1), end)),
    }
}

fn overlap(parts: &[(u64, u64)]) -> bool {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable();
    sorted
        .iter()
        .zip(sorted.iter().skip(1))
        .any(|((_, last), (first, _))| first <= last)
}

/// The one unit known, with its equals sign; units are case-insensitive (section 14.1).
const BYTES: &[u8] = b"bytes=";

/// Whether Content-Range says that a body is a part of its object (RFC 9110 section 14.4). A value
/// of no known unit says nothing, and stands in a 200 like any other field.
#[must_use]
pub fn is_part(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_RANGE).iter().any(|value| {
        let unit = value.as_bytes().trim_ascii_start().get(..UNIT.len());
        unit.is_some_and(|unit| unit.eq_ignore_ascii_case(UNIT))
    })
}

/// The only range unit known here (RFC 9110 section 14.1.2).
const UNIT: &[u8] = b"bytes";

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};

    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn ranges_are_read_or_ignored_never_refused() {
        use Wanted::{Span, Suffix};
        let cases = [
            ("bytes=0-0", Ranges::Spans(vec![Span(0, 0)])),
            ("BYTES=5-", Ranges::Spans(vec![Span(5, u64::MAX)])),
            ("bytes=-7", Ranges::Spans(vec![Suffix(7)])),
            ("bytes=-0", Ranges::Spans(vec![])),
            ("bytes=0-1, ,-2", Ranges::Spans(vec![Span(0, 1), Suffix(2)])),
            (
                "bytes=99999999999999999999-",
                Ranges::Spans(vec![Span(u64::MAX, u64::MAX)]),
            ),
            (
                "bytes=0-1,2-3,4-5,6-7,8-9,10-11,12-13,14-15,16-",
                Ranges::TooMany,
            ),
            ("bytes=2-1", Ranges::Whole),
            ("bytes=0-1,2-1", Ranges::Whole),
            ("bytes=", Ranges::Whole),
            ("bytes=,", Ranges::Whole),
            ("bytes=-", Ranges::Whole),
            ("bytes=--1", Ranges::Whole),
            ("bytes=0 - 1", Ranges::Whole),
            ("bytes=a-b", Ranges::Whole),
            ("bytes=+1-2", Ranges::Whole),
            ("bytes", Ranges::Whole),
            ("seconds=0-1", Ranges::Whole),
            ("", Ranges::Whole),
        ];
        for (value, expected) in cases {
            let got = parse(&Method::GET, &headers(&[(RANGE, value)]));
            assert_eq!(got, expected, "{value}");
        }
    }

    #[test]
    fn ranges_count_for_a_single_field_of_a_get_only() {
        let one = headers(&[(RANGE, "bytes=0-1")]);
        assert_eq!(parse(&Method::HEAD, &one), Ranges::Whole);
        assert_eq!(parse(&Method::GET, &HeaderMap::new()), Ranges::Whole);
        let mut two = one;
        two.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(parse(&Method::GET, &two), Ranges::Whole);
    }

    #[test]
    fn spans_are_cut_to_the_object() {
        let parts = |list: &[(u64, u64)]| Resolved::Parts(list.to_vec());
        let cases = [
            ("bytes=0-", 10, parts(&[(0, 9)])),
            ("bytes=0-99", 10, parts(&[(0, 9)])),
            ("bytes=9-9", 10, parts(&[(9, 9)])),
            ("bytes=10-", 10, Resolved::Unsatisfiable),
            ("bytes=-3", 10, parts(&[(7, 9)])),
            ("bytes=-99", 10, parts(&[(0, 9)])),
            ("bytes=-0", 10, Resolved::Unsatisfiable),
            ("bytes=-0,0-1", 10, parts(&[(0, 1)])),
            ("bytes=20-30,0-1", 10, parts(&[(0, 1)])),
            ("bytes=4-5,0-1", 10, parts(&[(4, 5), (0, 1)])),
            ("bytes=0-1,2-3", 10, parts(&[(0, 1), (2, 3)])),
            ("bytes=0-1,1-3", 10, Resolved::Whole),
            ("bytes=0-,-1", 10, Resolved::Whole),
            ("bytes=0-0", 0, Resolved::Unsatisfiable),
            ("bytes=0-", 0, Resolved::Unsatisfiable),
            ("bytes=-1", 0, Resolved::Whole),
            ("bytes=-0", 0, Resolved::Unsatisfiable),
        ];
        for (value, length, expected) in cases {
            let Ranges::Spans(spans) = parse_value(value.as_bytes()) else {
                panic!("{value} has no spans");
            };
            assert_eq!(resolve(&spans, length), expected, "{value} of {length}");
        }
    }

    #[test]
    fn if_range_needs_a_strong_validator() {
        const EARLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        const LATE: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
        let cases: [(&[_], &str, bool); 11] = [
            (&[(ETAG, "\"1\"")], "\"1\"", true),
            (&[(ETAG, "\"1\"")], "\"2\"", false),
            (&[(ETAG, "W/\"1\"")], "W/\"1\"", false),
            (&[(ETAG, "\"1\"")], "W/\"1\"", false),
            (&[], "\"1\"", false),
            (&[(LAST_MODIFIED, EARLY), (DATE, LATE)], EARLY, true),
            (&[(LAST_MODIFIED, EARLY)], EARLY, false),
            (&[(LAST_MODIFIED, EARLY), (DATE, EARLY)], EARLY, false),
            (&[(LAST_MODIFIED, EARLY), (DATE, LATE)], LATE, false),
            (&[(LAST_MODIFIED, "x"), (DATE, LATE)], "x", false),
            (&[(ETAG, "\"1\"")], EARLY, false),
        ];
        for (stored, value, expected) in cases {
            let request = headers(&[(IF_RANGE, value)]);
            assert_eq!(stands(&request, &headers(stored)), expected, "{value}");
        }
        assert!(stands(&HeaderMap::new(), &HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn parts_lie_within_the_object_and_apart(
            spans in prop::collection::vec(
                prop_oneof![
                    (any::<u64>(), any::<u64>())
                        .prop_map(|(a, b)| Wanted::Span(a.min(b), a.max(b))),
                    (0..40_u64, 0..40_u64).prop_map(|(a, b)| Wanted::Span(a.min(b), a.max(b))),
                    any::<u64>().prop_map(Wanted::Suffix),
                    (0..9_u64).prop_map(Wanted::Suffix),
                ],
                0..10,
            ),
            length in prop_oneof![0..50_u64, any::<u64>()],
        ) {
            if let Resolved::Parts(parts) = resolve(&spans, length) {
                assert!(!parts.is_empty() && parts.len() <= limits::RANGES_MAX);
                assert!(parts.iter().all(|(first, last)| first <= last && *last < length));
                let sum: u128 = parts.iter().map(|(a, b)| u128::from(b - a) + 1).sum();
                assert!(sum <= u128::from(length));
            }
        }

        #[test]
        fn any_range_field_is_read_without_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            drop(parse_value(&value));
            drop(parse_value(&[BYTES, &value].concat()));
        }
    }
}
