//! Whether an answer's head is one that its request may have. Pure.
//!
//! Stores deviate: some send 200 with Content-Range, some ignore If-Match, some are off by one.
//! What passes here is what an HTTP cache may believe; everything else has a name in [`Refusal`].

use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::http::fields;
use crate::http::forward::Fields;
use crate::http::range::{self, Wanted};
use crate::limits::{RESPONSE_FIELDS_MAX, RESPONSE_HEAD_BYTES_MAX};
use crate::origin::{Fetch, Pin, Refusal, Span, Validators};

/// The last status that means anything (RFC 9110 section 15).
const STATUS_MAX: u16 = 599;
/// Colon, space and line end of a field.
const FIELD_OVERHEAD_BYTES: usize = 4;
/// Transfer codings that change the body (RFC 9112 section 7), but for the one that we undo.
const CODINGS: [&str; 6] = [
    "compress",
    "deflate",
    "gzip",
    "x-compress",
    "x-gzip",
    "identity",
];

/// Why an answer is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It contradicts itself or the request.
    Refused(Refusal),
    /// It is of another version than the pinned one.
    Changed,
}

impl From<Refusal> for Fault {
    fn from(reason: Refusal) -> Self {
        Self::Refused(reason)
    }
}

/// Checks the head of an answer to `fetch` and returns which bytes a 206 carries.
///
/// A 200 in answer to a range is right (RFC 9110 section 14.2: a server may ignore Range).
///
/// # Errors
/// The [`Fault`] that makes the answer unusable.
pub fn check(
    fetch: &Fetch,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<Span>, Fault> {
    if status.as_u16() > STATUS_MAX || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(Refusal::WrongStatus.into());
    }
    check_size(headers)?;
    let length = content_length(headers)?;
    check_transfer_encoding(fetch, headers)?;
    match status {
        StatusCode::OK => {
            if range::is_part(headers) {
                return Err(Refusal::PartialAsWhole.into());
            }
            check_pin(fetch.pin.as_ref(), headers, length)?;
            Ok(None)
        }
        StatusCode::PARTIAL_CONTENT => {
            let span = check_partial(fetch, headers, length)?;
            check_pin(fetch.pin.as_ref(), headers, Some(span.total))?;
            Ok(Some(span))
        }
        StatusCode::NOT_MODIFIED => {
            check_not_modified(fetch.validators.as_ref(), headers)?;
            Ok(None)
        }
        StatusCode::PRECONDITION_FAILED if fetch.pin.is_some() => Err(Fault::Changed),
        // Whoever pins a version asks within its length, so it must have become shorter. Stores
        // that ignore If-Match answer like this.
        StatusCode::RANGE_NOT_SATISFIABLE if fetch.pin.is_some() => Err(Fault::Changed),
        _ => Ok(None),
    }
}

/// Returns the one value of all Content-Length fields, where there is any.
///
/// # Errors
/// [`Refusal::MalformedHead`] where they are no numbers or contradict each other,
/// [`Refusal::TooLong`] where they exceed [`i64::MAX`].
pub fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut length = None;
    for field in headers.get_all(CONTENT_LENGTH) {
        let text = field.to_str().map_err(|_| Refusal::MalformedHead)?;
        for part in text.split(',') {
            let value = number(part.trim()).ok_or(Refusal::MalformedHead)?;
            if length.is_some_and(|known| known != value) {
                return Err(Refusal::MalformedHead);
            }
            length = Some(value);
        }
    }
    if length.is_some_and(|length| i64::try_from(length).is_err()) {
        return Err(Refusal::TooLong);
    }
    Ok(length)
}

/// Whether an answer of this status has no body, whatever its fields say (RFC 9110 section 15).
#[must_use]
pub fn is_bodiless(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

/// Whether the fields of an answer without body promise none either; a server that gets this wrong
/// may send bytes that the next answer of its connection would begin with.
#[must_use]
pub fn promises_nothing(status: StatusCode, headers: &HeaderMap) -> bool {
    match (status, content_length(headers)) {
        // Its fields describe the body that a 200 would have.
        (StatusCode::NOT_MODIFIED, _) | (_, Ok(Some(0))) => true,
        (StatusCode::NO_CONTENT, Ok(None)) => !headers.contains_key(TRANSFER_ENCODING),
        _ => false,
    }
}

/// Whether a head is one that may be kept and passed on.
///
/// # Errors
/// [`Refusal::HeadTooLarge`] where it is above the bounds.
pub fn check_size(headers: &HeaderMap) -> Result<(), Refusal> {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES
    };
    let bytes: usize = headers.iter().map(field).sum();
    if headers.len() > RESPONSE_FIELDS_MAX || bytes > RESPONSE_HEAD_BYTES_MAX {
        return Err(Refusal::HeadTooLarge);
    }
    Ok(())
}

/// Returns the strong pin of what an answer describes, `total` being the whole object's length.
#[must_use]
pub fn pin_of(headers: &HeaderMap, total: Option<u64>) -> Option<Pin> {
    let strong = headers.get(ETAG).filter(|tag| is_strong(tag)).cloned();
    let date = headers.get(LAST_MODIFIED).cloned();
    match (strong, date, total) {
        (Some(tag), _, _) => Some(Pin::Etag(tag)),
        (None, Some(date), Some(length)) => Some(Pin::Modified { date, length }),
        _ => None,
    }
}

fn check_partial(fetch: &Fetch, headers: &HeaderMap, length: Option<u64>) -> Result<Span, Refusal> {
    let wanted = fetch.range.ok_or(Refusal::UnaskedPartial)?;
    let multipart = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| starts_with(value.as_bytes(), b"multipart/byteranges"));
    if multipart {
        return Err(Refusal::UnaskedPartial);
    }
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let encoded = codings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded && !offers_codings(fetch) {
        return Err(Refusal::Encoded);
    }
    let span = content_range(headers).ok_or(Refusal::WrongRange)?;
    // The client that asks for the last bytes reads itself which it is given.
    let is_tail = matches!(wanted, Wanted::Suffix(_)) && sees_client(fetch);
    if span != expected(wanted, span.total) && !is_tail {
        return Err(Refusal::WrongRange);
    }
    let carried = (span.last - span.first).saturating_add(1);
    match length {
        Some(length) if length != carried => Err(Refusal::WrongLength),
        _ => Ok(span),
    }
}

/// The only span that answers `wanted` of an object of `total` (at least one) bytes.
fn expected(wanted: Wanted, total: u64) -> Span {
    let end = total.saturating_sub(1);
    let (first, last) = match wanted {
        Wanted::Span(first, last) => (first, last.min(end)),
        Wanted::Suffix(bytes) => (total.saturating_sub(bytes), end),
    };
    Span { first, last, total }
}

/// Reads the one Content-Range field; `None` where it is absent, repeated or malformed.
fn content_range(headers: &HeaderMap) -> Option<Span> {
    let mut fields = headers.get_all(CONTENT_RANGE).iter();
    let text = fields.next()?.to_str().ok()?.trim();
    if fields.next().is_some() {
        return None;
    }
    let (unit, rest) = text.split_once(' ')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (range, total) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (number(first)?, number(last)?, number(total)?);
    (first <= last && last < total).then_some(Span { first, last, total })
}

/// Whether the origin is asked in the name of one client.
fn sees_client(fetch: &Fetch) -> bool {
    let fields = fetch.fields.as_deref();
    fetch.pin.is_none() && fields.is_some_and(Fields::sees_client)
}

/// Whether a client's wish for codings other than identity went into the request.
fn offers_codings(fetch: &Fetch) -> bool {
    let fields = fetch.fields.as_deref();
    let offer = fields.and_then(|fields| fields.headers().get(ACCEPT_ENCODING));
    offer.is_some_and(|codings| codings != "identity")
}

/// Chunked is what we asked for. An origin that sees the client's fields may also name a coding
/// that nobody knows: it changes nothing, and the body ends with its connection (RFC 9112
/// section 6.3), which is then not used again.
fn check_transfer_encoding(fetch: &Fetch, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut fields = headers.get_all(TRANSFER_ENCODING).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if is_chunked(only) => Ok(()),
        (Some(only), None) if sees_client(fetch) && is_unknown(only) => Ok(()),
        _ => Err(Refusal::MalformedHead),
    }
}

/// Whether a Transfer-Encoding field says that the body comes in chunks, and nothing else.
#[must_use]
pub fn is_chunked(coding: &HeaderValue) -> bool {
    coding.as_bytes().eq_ignore_ascii_case(b"chunked")
}

fn is_unknown(coding: &HeaderValue) -> bool {
    coding.to_str().is_ok_and(|name| {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphabetic());
        let known = CODINGS
            .iter()
            .any(|coding| name.eq_ignore_ascii_case(coding));
        !name.is_empty() && plain && !known && !name.eq_ignore_ascii_case("trailers")
    })
}

fn check_pin(pin: Option<&Pin>, headers: &HeaderMap, total: Option<u64>) -> Result<(), Fault> {
    let same = match pin {
        None => true,
        Some(Pin::Etag(tag)) => is_strong(tag) && headers.get(ETAG) == Some(tag),
        Some(Pin::Modified { date, length }) => {
            headers.get(LAST_MODIFIED) == Some(date) && total == Some(*length)
        }
    };
    if same { Ok(()) } else { Err(Fault::Changed) }
}

/// A 304 may come without any tag (Ceph, s3rver), but not with another one.
fn check_not_modified(validators: Option<&Validators>, headers: &HeaderMap) -> Result<(), Refusal> {
    let sent = validators.ok_or(Refusal::UnaskedNotModified)?;
    if sent.etag.is_none() && sent.last_modified.is_none() {
        return Err(Refusal::UnaskedNotModified);
    }
    match (&sent.etag, headers.get(ETAG)) {
        (Some(ours), Some(theirs)) if opaque(ours) != opaque(theirs) => {
            Err(Refusal::UnaskedNotModified)
        }
        _ => Ok(()),
    }
}

fn is_strong(tag: &HeaderValue) -> bool {
    fields::is_strong_tag(tag.as_bytes())
}

fn opaque(tag: &HeaderValue) -> &[u8] {
    let bytes = tag.as_bytes();
    bytes.strip_prefix(b"W/").unwrap_or(bytes)
}

/// Digits only: the standard parser takes a sign, which HTTP does not.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn starts_with(value: &[u8], prefix: &[u8]) -> bool {
    value
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn ranged(wanted: Wanted) -> Fetch {
        Fetch {
            path: "/a".into(),
            range: Some(wanted),
            ..Fetch::default()
        }
    }

    /// A fetch whose request has a field of the client's.
    fn general(wanted: Option<Wanted>, field: (&'static str, &'static str)) -> Fetch {
        Fetch {
            range: wanted,
            fields: Some(Fields::of(&head(&[field]))),
            ..Fetch::default()
        }
    }

    fn pinned(wanted: Option<Wanted>, pin: Pin) -> Fetch {
        Fetch {
            range: wanted,
            pin: Some(pin),
            ..ranged(Wanted::Suffix(1))
        }
    }

    fn etag(tag: &'static str) -> Pin {
        Pin::Etag(HeaderValue::from_static(tag))
    }

    fn answer(
        fetch: &Fetch,
        status: u16,
        fields: &[(&'static str, &str)],
    ) -> Result<Option<Span>, Fault> {
        check(fetch, StatusCode::from_u16(status).unwrap(), &head(fields))
    }

    fn refused(reason: Refusal) -> Result<Option<Span>, Fault> {
        Err(Fault::Refused(reason))
    }

    fn span(first: u64, last: u64, total: u64) -> Result<Option<Span>, Fault> {
        Ok(Some(Span { first, last, total }))
    }

    #[test]
    fn a_206_is_believed_only_where_it_is_exactly_what_was_asked() {
        use Wanted::{Span as From, Suffix};
        for (wanted, content_range, length, expected) in [
            (From(0, 9), "bytes 0-9/100", "10", span(0, 9, 100)),
            (From(90, 199), "bytes 90-99/100", "10", span(90, 99, 100)),
            (Suffix(10), "bytes 90-99/100", "10", span(90, 99, 100)),
            (Suffix(500), "bytes 0-99/100", "100", span(0, 99, 100)),
            (
                From(0, 9),
                "bytes 0-8/100",
                "9",
                refused(Refusal::WrongRange),
            ),
            (
                From(0, 9),
                "bytes 1-9/100",
                "9",
                refused(Refusal::WrongRange),
            ),
            (
                From(0, 9),
                "bytes 0-10/100",
                "11",
                refused(Refusal::WrongRange),
            ),
            (
                From(0, 9),
                "bytes 0-9/*",
                "10",
                refused(Refusal::WrongRange),
            ),
            (
                From(0, 9),
                "bytes 9-0/100",
                "10",
                refused(Refusal::WrongRange),
            ),
            (
                From(0, 9),
                "bytes 0-9/9",
                "10",
                refused(Refusal::WrongRange),
            ),
            (
                From(0, 9),
                "bytes */100",
                "10",
                refused(Refusal::WrongRange),
            ),
            (
                From(0, 9),
                "bytes +0-9/100",
                "10",
                refused(Refusal::WrongRange),
            ),
            (
                From(0, 9),
                "pages 0-9/100",
                "10",
                refused(Refusal::WrongRange),
            ),
            (
                From(0, 9),
                "bytes 0-9/99999999999999999999",
                "10",
                refused(Refusal::WrongRange),
            ),
            (
                From(0, 9),
                "bytes 0-9/100",
                "11",
                refused(Refusal::WrongLength),
            ),
        ] {
            let fields = [("content-range", content_range), ("content-length", length)];
            assert_eq!(
                answer(&ranged(wanted), 206, &fields),
                expected,
                "{content_range}"
            );
        }
    }

    #[test]
    fn what_was_not_asked_is_refused() {
        let plain = Fetch::default();
        let range = ("content-range", "bytes 0-9/100");
        let asked = ranged(Wanted::Span(0, 9));
        for (fetch, status, fields, expected) in [
            (&plain, 206, vec![range], refused(Refusal::UnaskedPartial)),
            (&plain, 200, vec![range], refused(Refusal::PartialAsWhole)),
            (&plain, 304, vec![], refused(Refusal::UnaskedNotModified)),
            (&asked, 206, vec![], refused(Refusal::WrongRange)),
            (
                &asked,
                206,
                vec![range, range],
                refused(Refusal::WrongRange),
            ),
            (
                &asked,
                206,
                vec![range, ("content-encoding", "gzip")],
                refused(Refusal::Encoded),
            ),
            (
                &asked,
                206,
                vec![("content-type", "Multipart/Byteranges; boundary=x")],
                refused(Refusal::UnaskedPartial),
            ),
            (&asked, 200, vec![("content-length", "100")], Ok(None)),
            (&asked, 416, vec![("content-range", "bytes */5")], Ok(None)),
            (&plain, 412, vec![], Ok(None)),
        ] {
            assert_eq!(
                answer(fetch, status, &fields),
                expected,
                "{status} {fields:?}"
            );
        }
    }

    #[test]
    fn an_encoded_part_is_believed_only_where_the_client_s_wish_for_codings_was_sent() {
        let asked = Some(Wanted::Span(0, 9));
        let part = [
            ("content-range", "bytes 0-9/100"),
            ("content-encoding", "gzip"),
        ];
        for (fetch, expected) in [
            (general(asked, ("accept-encoding", "gzip")), span(0, 9, 100)),
            (general(asked, ("accept", "*/*")), refused(Refusal::Encoded)),
            (ranged(Wanted::Span(0, 9)), refused(Refusal::Encoded)),
        ] {
            assert_eq!(answer(&fetch, 206, &part), expected);
        }
        let wrong = [
            ("content-range", "bytes 0-8/100"),
            ("content-encoding", "gzip"),
        ];
        let offered = general(asked, ("accept-encoding", "gzip"));
        assert_eq!(answer(&offered, 206, &wrong), refused(Refusal::WrongRange));
    }

    #[test]
    fn a_coding_that_nobody_knows_is_passed_where_the_origin_sees_the_client() {
        let malformed = refused(Refusal::MalformedHead);
        for (coding, expected) in [
            ("chunked", Ok(None)),
            ("abcdef", Ok(None)),
            ("gzip", malformed),
            ("X-Gzip", malformed),
            ("identity", malformed),
            ("gzip, chunked", malformed),
            ("abc, chunked", malformed),
            ("abc;q=1", malformed),
            ("", malformed),
        ] {
            let fields = [("transfer-encoding", coding)];
            let fetch = general(None, ("accept", "*/*"));
            assert_eq!(answer(&fetch, 200, &fields), expected, "{coding}");
        }
        let twice = [("transfer-encoding", "abc"), ("transfer-encoding", "abc")];
        assert_eq!(answer(&general(None, ("a", "b")), 200, &twice), malformed);
        let video = Fetch {
            fields: Some(Fields::none()),
            ..Fetch::default()
        };
        for unseen in [video, Fetch::default()] {
            assert_eq!(answer(&unseen, 200, &twice[..1]), malformed);
        }
    }

    #[test]
    fn a_status_that_means_nothing_here_is_refused() {
        for (status, expected) in [
            (599, Ok(None)),
            (600, refused(Refusal::WrongStatus)),
            (999, refused(Refusal::WrongStatus)),
            (407, refused(Refusal::WrongStatus)),
        ] {
            assert_eq!(answer(&Fetch::default(), status, &[]), expected, "{status}");
        }
    }

    #[test]
    fn a_head_beyond_its_bounds_is_refused() {
        let check = |fields: usize, bytes: usize| {
            let mut headers = HeaderMap::new();
            for _ in 0..fields {
                headers.append("x-a", HeaderValue::from_str(&"a".repeat(bytes)).unwrap());
            }
            check(&Fetch::default(), StatusCode::OK, &headers)
        };
        assert_eq!(check(RESPONSE_FIELDS_MAX, 1), Ok(None));
        let too_large = refused(Refusal::HeadTooLarge);
        assert_eq!(check(RESPONSE_FIELDS_MAX + 1, 1), too_large);
        assert_eq!(check(1, RESPONSE_HEAD_BYTES_MAX - 7), Ok(None));
        assert_eq!(check(1, RESPONSE_HEAD_BYTES_MAX - 6), too_large);
    }

    #[test]
    fn contradicting_framing_is_malformed() {
        let malformed = refused(Refusal::MalformedHead);
        for (fields, expected) in [
            (
                vec![("content-length", "5"), ("content-length", "5")],
                Ok(None),
            ),
            (vec![("content-length", "5, 5")], Ok(None)),
            (
                vec![("content-length", "5"), ("content-length", "6")],
                malformed,
            ),
            (vec![("content-length", "5, 6")], malformed),
            (vec![("content-length", "-5")], malformed),
            (vec![("content-length", "+5")], malformed),
            (vec![("content-length", "")], malformed),
            (vec![("content-length", "9223372036854775807")], Ok(None)),
            (
                vec![("content-length", "9223372036854775808")],
                refused(Refusal::TooLong),
            ),
            (vec![("transfer-encoding", "chunked")], Ok(None)),
            (vec![("transfer-encoding", "gzip, chunked")], malformed),
        ] {
            assert_eq!(
                answer(&Fetch::default(), 200, &fields),
                expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn another_version_than_the_pinned_one_is_changed() {
        let by_date = Pin::Modified {
            date: HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"),
            length: 100,
        };
        let date = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
        let later = ("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT");
        let range = |total| ("content-range", total);
        let wanted = Some(Wanted::Span(0, 9));
        let changed = Err(Fault::Changed);
        for (fetch, status, fields, expected) in [
            (
                pinned(None, etag("\"a\"")),
                200,
                vec![("etag", "\"a\"")],
                Ok(None),
            ),
            (
                pinned(None, etag("\"a\"")),
                200,
                vec![("etag", "\"b\"")],
                changed,
            ),
            (
                pinned(None, etag("\"a\"")),
                200,
                vec![("etag", "W/\"a\"")],
                changed,
            ),
            (pinned(None, etag("\"a\"")), 200, vec![], changed),
            (pinned(None, etag("\"a\"")), 412, vec![], changed),
            (pinned(wanted, etag("\"a\"")), 416, vec![], changed),
            (pinned(None, etag("\"a\"")), 404, vec![], Ok(None)),
            (
                pinned(None, by_date.clone()),
                200,
                vec![date, ("content-length", "100")],
                Ok(None),
            ),
            (
                pinned(None, by_date.clone()),
                200,
                vec![date, ("content-length", "99")],
                changed,
            ),
            (
                pinned(wanted, by_date.clone()),
                206,
                vec![date, range("bytes 0-9/100")],
                span(0, 9, 100),
            ),
            (
                pinned(wanted, by_date.clone()),
                206,
                vec![date, range("bytes 0-9/90")],
                changed,
            ),
            (
                pinned(wanted, by_date),
                206,
                vec![later, range("bytes 0-9/100")],
                changed,
            ),
        ] {
            assert_eq!(
                answer(&fetch, status, &fields),
                expected,
                "{status} {fields:?}"
            );
        }
    }

    fn revalidation() -> Fetch {
        Fetch {
            validators: Some(Validators {
                etag: Some(HeaderValue::from_static("\"a\"")),
                last_modified: None,
            }),
            ..Fetch::default()
        }
    }

    #[test]
    fn seaweedfs_is_right_in_each_answer() {
        let asked = ranged(Wanted::Span(0, 9));
        let part = [("content-range", "bytes 0-9/100"), ("content-length", "10")];
        assert_eq!(answer(&asked, 206, &part), span(0, 9, 100));
        assert_eq!(
            answer(&asked, 416, &[("content-range", "bytes */5")]),
            Ok(None)
        );
        assert_eq!(answer(&revalidation(), 304, &[("etag", "\"a\"")]), Ok(None));
        let guarded = pinned(Some(Wanted::Span(0, 9)), etag("\"a\""));
        assert_eq!(answer(&guarded, 412, &[]), Err(Fault::Changed));
    }

    #[test]
    fn ceph_is_right_also_where_its_304_has_no_tag() {
        assert_eq!(answer(&revalidation(), 304, &[]), Ok(None));
        assert_eq!(answer(&ranged(Wanted::Span(9, 9)), 416, &[]), Ok(None));
        // The etag of a 304 for another version must not confirm ours.
        assert_eq!(
            answer(&revalidation(), 304, &[("etag", "\"b\"")]),
            refused(Refusal::UnaskedNotModified)
        );
    }

    #[test]
    fn rclone_s_200_with_content_range_is_refused_and_its_ignored_if_match_is_seen() {
        let asked = ranged(Wanted::Span(0, 9));
        let part = [("content-range", "bytes 0-9/100"), ("content-length", "10")];
        assert_eq!(answer(&asked, 200, &part), refused(Refusal::PartialAsWhole));
        let guarded = pinned(None, etag("\"a\""));
        assert_eq!(
            answer(&guarded, 200, &[("etag", "\"b\"")]),
            Err(Fault::Changed)
        );
    }

    #[test]
    fn moto_is_right_in_each_answer() {
        let asked = ranged(Wanted::Suffix(10));
        let part = [
            ("content-range", "bytes 90-99/100"),
            ("content-length", "10"),
        ];
        assert_eq!(answer(&asked, 206, &part), span(90, 99, 100));
        assert_eq!(answer(&asked, 200, &[("content-length", "100")]), Ok(None));
        assert_eq!(answer(&revalidation(), 304, &[("etag", "\"a\"")]), Ok(None));
    }

    #[test]
    fn s3rver_s_suffix_that_is_off_by_one_is_refused_and_its_ignored_if_match_is_seen() {
        let asked = ranged(Wanted::Suffix(10));
        let part = [
            ("content-range", "bytes 89-99/100"),
            ("content-length", "11"),
        ];
        assert_eq!(answer(&asked, 206, &part), refused(Refusal::WrongRange));
        let guarded = pinned(Some(Wanted::Span(0, 9)), etag("\"a\""));
        let other = [("content-range", "bytes 0-9/100"), ("etag", "\"b\"")];
        assert_eq!(answer(&guarded, 206, &other), Err(Fault::Changed));
    }
}
