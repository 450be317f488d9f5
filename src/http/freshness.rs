//! Whether a response may be stored, and how long it may be reused (RFC 9111, RFC 5861).
//!
//! The rules are those of a shared cache whose origin requests are built afresh: no cookie,
//! credential or negotiating field of a client ever reaches the origin, so section 3.5
//! (Authorization) never applies. Where the origin is silent about a lifetime, the site's default
//! for this kind of object stands in, which is a heuristic in the sense of section 4.2.2.

use std::time::Duration;

use http::StatusCode;
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG,
    EXPIRES, HeaderMap, HeaderName, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
};

use crate::clock::UnixMillis;
use crate::http::cache_control::CacheControl;
use crate::http::fields;

/// Lifetimes of a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// Age up to which it is served without asking (RFC 9111 section 4.2.1).
    pub lifetime: Duration,
    /// How long after that it is served while a refresh runs (RFC 5861 section 3).
    pub stale_while_revalidate: Duration,
    /// How long after that it is served when the origin fails (RFC 5861 section 4).
    pub stale_if_error: Duration,
}

/// An origin's answer as far as it decides about storing.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its status; after a 304 that of the stored response, with the merged headers.
    pub status: StatusCode,
    /// Its end-to-end headers.
    pub headers: &'a HeaderMap,
    /// When the request was sent.
    pub asked: UnixMillis,
    /// When the head arrived.
    pub arrived: UnixMillis,
}

/// What holds where the origin is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fallback {
    /// Lifetime of a response that is no error.
    pub lifetime: Duration,
    /// Lifetime of an error that may be stored, such as 404; never served stale by default.
    pub negative: Duration,
    /// See [`Freshness::stale_while_revalidate`].
    pub stale_while_revalidate: Duration,
    /// See [`Freshness::stale_if_error`].
    pub stale_if_error: Duration,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It may be stored.
    Store {
        /// How long it may be reused.
        freshness: Freshness,
        /// Its age on arrival (RFC 9111 section 4.2.3).
        initial_age: Duration,
    },
    /// It is for the one request that it answers.
    Refuse(NotStored),
}

/// Why an answer is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStored {
    /// Its status is none that a cache keeps, whatever its headers say.
    Status,
    /// Its status is kept only with a lifetime, and it names none.
    NoLifetime,
    /// It says `no-store`.
    NoStore,
    /// It says `private`.
    Private,
    /// It sets a cookie.
    SetCookie,
    /// It depends on a field that selects no entry here.
    Vary,
    /// It depends on more than the request (`Vary: *`).
    VaryAny,
    /// It calls itself whole but carries Content-Range.
    Partial,
}

impl NotStored {
    /// The reason as logs, metrics and headers spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NoLifetime => "no-lifetime",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::VaryAny => "vary-any",
            Self::Partial => "partial",
        }
    }
}

/// Decides whether an answer may be stored, and for how long.
#[must_use]
pub fn judge(answer: &Answer<'_>, fallback: Fallback) -> Judgement {
    let control = CacheControl::of(answer.headers);
    match refusal(answer, &control) {
        Some(reason) => Judgement::Refuse(reason),
        None => Judgement::Store {
            freshness: freshness(answer, &control, fallback),
            initial_age: initial_age(answer),
        },
    }
}

/// Updates the headers of a stored response from a 304 (RFC 9111 section 3.2).
///
/// Every field that the 304 carries replaces the stored one, but for those that describe the bytes
/// at hand. Age and Date go even when the 304 has none: they told the age of the earlier answer.
pub fn merge_not_modified(stored: &mut HeaderMap, fresh: &HeaderMap) {
    stored.remove(AGE);
    stored.remove(DATE);
    let keeps_tag = stored
        .get(ETAG)
        .is_some_and(|tag| fields::is_strong_tag(tag.as_bytes()));
    for name in fresh.keys().filter(|name| is_updated(name, fresh)) {
        // The stored tag names the bytes at hand; a weak one in its place would name them less.
        if keeps_tag && name == ETAG {
            continue;
        }
        stored.remove(name);
        for value in fresh.get_all(name) {
            stored.append(name, value.clone());
        }
    }
}

/// Whether a 304 speaks of the stored response (RFC 9111 section 4.3.4).
///
/// A strong entity tag that differs from the stored one says that the origin compared with
/// something else: then nothing is confirmed.
#[must_use]
pub fn confirms(stored: &HeaderMap, fresh: &HeaderMap) -> bool {
    match (stored.get(ETAG), fresh.get(ETAG)) {
        (Some(ours), Some(theirs)) if fields::is_strong_tag(theirs.as_bytes()) => {
            fields::weak_match(ours.as_bytes(), theirs.as_bytes())
        }
        _ => true,
    }
}

/// How a status may be stored (RFC 9111 section 3, RFC 9110 section 15.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storable {
    /// Also by default.
    Always,
    /// By default for the short time that errors have.
    Negative,
    /// With a lifetime of its own only.
    Explicit,
    /// Never: partial, about the request rather than the object, or a failure.
    Never,
}

fn storable(status: StatusCode) -> Storable {
    match status.as_u16() {
        200 | 203 | 204 | 300 | 301 | 308 => Storable::Always,
        404 | 405 | 410 | 414 | 501 => Storable::Negative,
        206 | 304 => Storable::Never,
        200..=299 | 302 | 303 | 307 | 403 | 451 => Storable::Explicit,
        _ => Storable::Never,
    }
}

fn refusal(answer: &Answer<'_>, control: &CacheControl) -> Option<NotStored> {
    let storable = storable(answer.status);
    let silent = !control.no_cache.is_present() && explicit_lifetime(answer, control).is_none();
    // Section 5.2.2.3: who knows the status ignores the no-store beside must-understand.
    let no_store = control.no_store && !control.must_understand;
    if storable == Storable::Never {
        Some(NotStored::Status)
    } else if no_store {
        Some(NotStored::NoStore)
    } else if control.private.is_present() {
        Some(NotStored::Private)
    } else if answer.headers.contains_key(SET_COOKIE) {
        Some(NotStored::SetCookie)
    } else if answer.headers.contains_key(CONTENT_RANGE) {
        Some(NotStored::Partial)
    } else if storable == Storable::Explicit && silent {
        Some(NotStored::NoLifetime)
    } else {
        vary_refusal(answer.headers)
    }
}

/// Section 4.1. Origin requests carry no Origin and always the same Accept-Encoding, so that a
/// dependence on these two selects nothing; any other field would need entries per value.
fn vary_refusal(headers: &HeaderMap) -> Option<NotStored> {
    fields::all_members(headers, VARY).find_map(|name| {
        let harmless = [&b"accept-encoding"[..], b"origin"];
        match name {
            b"*" => Some(NotStored::VaryAny),
            _ if harmless.iter().any(|h| name.eq_ignore_ascii_case(h)) => None,
            _ => Some(NotStored::Vary),
        }
    })
}

fn freshness(answer: &Answer<'_>, control: &CacheControl, fallback: Fallback) -> Freshness {
    if control.no_cache.is_present() {
        return Freshness::default();
    }
    let negative = storable(answer.status) == Storable::Negative;
    let default = match negative {
        true => fallback.negative,
        false => fallback.lifetime,
    };
    let (refresh, failure) = stale_spans(control, fallback, negative);
    Freshness {
        lifetime: explicit_lifetime(answer, control).unwrap_or(default),
        stale_while_revalidate: refresh,
        stale_if_error: failure,
    }
}

/// While a refresh runs, and while the origin fails (RFC 5861).
///
/// `s-maxage` implies `proxy-revalidate` (RFC 9111 section 5.2.2.10), which rules out the site's
/// defaults; where the origin itself writes a stale directive beside it, that is what it wants.
fn stale_spans(control: &CacheControl, fallback: Fallback, negative: bool) -> (Duration, Duration) {
    if control.must_revalidate || control.proxy_revalidate {
        return (Duration::ZERO, Duration::ZERO);
    }
    let (refresh, failure) = match negative || control.s_maxage.is_some() {
        true => (Duration::ZERO, Duration::ZERO),
        false => (fallback.stale_while_revalidate, fallback.stale_if_error),
    };
    (
        control.stale_while_revalidate.unwrap_or(refresh),
        control.stale_if_error.unwrap_or(failure),
    )
}

/// Section 4.2.1: the first that is there, even when it is malformed.
fn explicit_lifetime(answer: &Answer<'_>, control: &CacheControl) -> Option<Duration> {
    control
        .s_maxage
        .or(control.max_age)
        .or_else(|| expires_lifetime(answer))
}

/// Section 5.3: an Expires that is malformed, or contradicts another, lies in the past.
fn expires_lifetime(answer: &Answer<'_>) -> Option<Duration> {
    let mut values = answer.headers.get_all(EXPIRES).iter();
    let first = values.next()?;
    let moment = fields::date(first).filter(|_| values.all(|other| other == first));
    let base = date_or_arrival(answer);
    Some(moment.map_or(Duration::ZERO, |moment| moment.since(base)))
}

/// Section 4.2.3. Date has whole seconds: a fraction of one is no age, or a lifetime of a second
/// (live playlists) would often be over on arrival.
fn initial_age(answer: &Answer<'_>) -> Duration {
    let apparent = answer.arrived.since(date_or_arrival(answer)).as_secs();
    let delay = answer.arrived.since(answer.asked);
    let corrected = Duration::from_secs(age_value(answer.headers)).saturating_add(delay);
    corrected.max(Duration::from_secs(apparent))
}

/// Section 5.1: the first member of a list, and nothing when it is no number.
fn age_value(headers: &HeaderMap) -> u64 {
    fields::all_members(headers, AGE)
        .next()
        .and_then(fields::digits)
        .map_or(0, |seconds| seconds.min(AGE_SECONDS_MAX))
}

fn date_or_arrival(answer: &Answer<'_>) -> UnixMillis {
    fields::single_date(answer.headers, DATE).unwrap_or(answer.arrived)
}

fn is_updated(name: &HeaderName, fresh: &HeaderMap) -> bool {
    !KEPT.contains(name)
        && !matches!(name.as_str(), "keep-alive" | "proxy-connection")
        && !name.as_str().starts_with("proxy-auth")
        && !fields::all_members(fresh, CONNECTION)
            .any(|nominated| nominated.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Fields that a 304 never changes: they describe the bytes stored, or its connection.
const KEPT: [HeaderName; 9] = [
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    CONTENT_RANGE,
    TRANSFER_ENCODING,
    CONNECTION,
    TE,
    TRAILER,
    UPGRADE,
];

/// What a larger Age counts as (RFC 9111 section 1.2.2).
const AGE_SECONDS_MAX: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const DATE_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const DATE_MILLIS: u64 = 784_111_777_000;
    const FALLBACK: Fallback = Fallback {
        lifetime: Duration::from_secs(1000),
        negative: Duration::from_secs(10),
        stale_while_revalidate: Duration::from_secs(20),
        stale_if_error: Duration::from_secs(30),
    };

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

    fn judged(status: u16, fields: &[(&'static str, &'static str)]) -> Judgement {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &headers(fields),
            asked: UnixMillis(DATE_MILLIS),
            arrived: UnixMillis(DATE_MILLIS),
        };
        judge(&answer, FALLBACK)
    }

    /// Lifetime and the two stale spans in seconds.
    fn spans(status: u16, fields: &[(&'static str, &'static str)]) -> Option<(u64, u64, u64)> {
        match judged(status, fields) {
            Judgement::Store { freshness, .. } => Some((
                freshness.lifetime.as_secs(),
                freshness.stale_while_revalidate.as_secs(),
                freshness.stale_if_error.as_secs(),
            )),
            Judgement::Refuse(_) => None,
        }
    }

    fn refused(status: u16, fields: &[(&'static str, &'static str)]) -> Option<NotStored> {
        match judged(status, fields) {
            Judgement::Store { .. } => None,
            Judgement::Refuse(reason) => Some(reason),
        }
    }

    #[test]
    fn the_first_lifetime_named_wins_and_silence_takes_the_fallback() {
        let cc = "cache-control";
        let later = ("expires", "Sun, 06 Nov 1994 08:50:37 GMT");
        let date = ("date", DATE_TEXT);
        let cases: [(&[(&str, &str)], _); 13] = [
            (&[], 1000),
            (&[(cc, "public")], 1000),
            (&[(cc, "max-age=5")], 5),
            (&[(cc, "max-age=5, s-maxage=6")], 6),
            (&[(cc, "s-maxage=x, max-age=5")], 0),
            (&[(cc, "max-age=5"), later, date], 5),
            (&[later, date], 60),
            (&[later], 60),
            (&[later, later, date], 60),
            (&[later, ("expires", DATE_TEXT), date], 0),
            (&[("expires", "0"), date], 0),
            (&[("expires", DATE_TEXT), date], 0),
            (&[("expires", "Sun, 06 Nov 1994 08:48:37 GMT"), date], 0),
        ];
        for (fields, expected) in cases {
            let fields: Vec<(&'static str, &'static str)> = fields.to_vec();
            let lifetime = spans(200, &fields).map(|(lifetime, ..)| lifetime);
            assert_eq!(lifetime, Some(expected), "{fields:?}");
        }
    }

    #[test]
    fn expires_counts_from_the_origins_date_even_when_clocks_differ() {
        let fields = [
            ("date", "Sun, 06 Nov 1994 08:00:00 GMT"),
            ("expires", "Sun, 06 Nov 1994 08:10:00 GMT"),
        ];
        assert_eq!(spans(200, &fields), Some((600, 20, 30)));
    }

    #[test]
    fn stale_spans_follow_the_origin_before_the_site() {
        let cases = [
            ("max-age=5", (5, 20, 30)),
            ("max-age=5, stale-while-revalidate=7", (5, 7, 30)),
            ("max-age=5, stale-if-error=0", (5, 20, 0)),
            ("max-age=5, stale-if-error=x", (5, 20, 0)),
            ("max-age=5, stale-if-error=9, must-revalidate", (5, 0, 0)),
            ("max-age=5, proxy-revalidate", (5, 0, 0)),
            ("s-maxage=5", (5, 0, 0)),
            ("s-maxage=5, stale-while-revalidate=7", (5, 7, 0)),
            ("no-cache", (0, 0, 0)),
            ("no-cache=\"x\", max-age=5", (0, 0, 0)),
            ("no-store, must-understand, max-age=5", (5, 20, 30)),
        ];
        for (value, expected) in cases {
            let got = spans(200, &[("cache-control", value)]);
            assert_eq!(got, Some(expected), "{value}");
        }
        assert_eq!(spans(404, &[]), Some((10, 0, 0)));
        assert_eq!(
            spans(404, &[("cache-control", "max-age=5")]),
            Some((5, 0, 0))
        );
    }

    #[test]
    fn the_status_decides_what_may_be_kept() {
        let lifetime = [("cache-control", "max-age=5")];
        for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
            assert_eq!(refused(status, &[]), None, "{status}");
        }
        for status in [302, 307, 403] {
            assert_eq!(refused(status, &[]), Some(NotStored::NoLifetime));
            assert_eq!(refused(status, &lifetime), None, "{status}");
        }
        for status in [
            100, 101, 206, 304, 400, 401, 407, 412, 416, 429, 500, 502, 503, 504,
        ] {
            let got = refused(status, &lifetime);
            assert_eq!(got, Some(NotStored::Status), "{status}");
        }
    }

    #[test]
    fn what_is_not_for_everyone_is_refused_by_name() {
        let cc = "cache-control";
        let cases = [
            ((cc, "no-store"), Some(NotStored::NoStore)),
            ((cc, "max-age=5, NO-STORE"), Some(NotStored::NoStore)),
            ((cc, "private, max-age=5"), Some(NotStored::Private)),
            ((cc, "private=\"x\""), Some(NotStored::Private)),
            (("set-cookie", "a=b"), Some(NotStored::SetCookie)),
            (("content-range", "bytes 0-1/9"), Some(NotStored::Partial)),
            (("vary", "*"), Some(NotStored::VaryAny)),
            (("vary", "Origin, *"), Some(NotStored::VaryAny)),
            (("vary", "User-Agent"), Some(NotStored::Vary)),
            (("vary", "Origin, Cookie"), Some(NotStored::Vary)),
            (("vary", "origin, Accept-ENCODING"), None),
            (("vary", ""), None),
        ];
        for (field, expected) in cases {
            assert_eq!(refused(200, &[field]), expected, "{field:?}");
        }
    }

    #[test]
    fn the_initial_age_is_the_larger_of_date_and_age_with_the_delay() {
        let date = ("date", DATE_TEXT);
        let cases: [(&[_], u64, u64, u64); 9] = [
            (&[], 0, 0, 0),
            (&[date], 0, 900, 900),
            (&[date], 5000, 5000, 5000),
            (&[date], 5000, 5999, 5000),
            (&[date, ("age", "7")], 5000, 5100, 7100),
            (&[("age", "7, 9")], 0, 0, 7000),
            (&[("age", "-7")], 0, 0, 0),
            (&[("age", "x")], 0, 100, 100),
            (&[("date", "Sun, 06 Nov 1994 09:49:37 GMT")], 0, 10, 10),
        ];
        for (fields, asked, arrived, expected) in cases {
            let answer = Answer {
                status: StatusCode::OK,
                headers: &headers(fields),
                asked: UnixMillis(DATE_MILLIS + asked),
                arrived: UnixMillis(DATE_MILLIS + arrived),
            };
            let got = initial_age(&answer);
            assert_eq!(got, Duration::from_millis(expected), "{fields:?}");
        }
    }

    #[test]
    fn a_304_updates_everything_but_what_describes_the_bytes() {
        let mut stored = headers(&[
            ("content-type", "video/mp4"),
            ("content-length", "9"),
            ("cache-control", "max-age=1"),
            ("age", "100"),
            ("date", DATE_TEXT),
            ("x-a", "1"),
            ("x-a", "2"),
            ("x-kept", "1"),
        ]);
        let fresh = headers(&[
            ("content-type", "text/plain"),
            ("content-length", "0"),
            ("transfer-encoding", "chunked"),
            ("connection", "x-hop"),
            ("keep-alive", "5"),
            ("x-hop", "1"),
            ("cache-control", "max-age=2"),
            ("cache-control", "public"),
            ("x-a", "3"),
            ("etag", "\"1\""),
        ]);
        merge_not_modified(&mut stored, &fresh);
        let expected = headers(&[
            ("content-type", "video/mp4"),
            ("content-length", "9"),
            ("cache-control", "max-age=2"),
            ("cache-control", "public"),
            ("x-a", "3"),
            ("x-kept", "1"),
            ("etag", "\"1\""),
        ]);
        assert_eq!(stored, expected);
    }

    #[test]
    fn a_304_with_another_strong_tag_confirms_nothing() {
        let cases = [
            ("\"1\"", "\"1\"", true),
            ("W/\"1\"", "\"1\"", true),
            ("\"1\"", "\"2\"", false),
            ("\"1\"", "W/\"2\"", true),
        ];
        for (ours, theirs, expected) in cases {
            let got = confirms(&headers(&[("etag", ours)]), &headers(&[("etag", theirs)]));
            assert_eq!(got, expected, "{ours} {theirs}");
        }
        assert!(confirms(&headers(&[("etag", "\"1\"")]), &headers(&[])));
    }
}
