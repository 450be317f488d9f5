//! Table tests of the rules of storing and reuse.

use http::HeaderValue;

use super::*;

const DATE_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const DATE_MILLIS: u64 = 784_111_777_000;
const FALLBACK: Fallback = Fallback {
    lifetime: Duration::from_secs(1000),
    negative: Duration::from_secs(10),
    forbidden: Duration::ZERO,
    failure: Duration::ZERO,
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

static TARGETS: [HeaderName; 1] = [HeaderName::from_static("cdn-cache-control")];

/// A site that hides its clients.
static RULES: Rules<'static> = Rules {
    fallback: FALLBACK,
    set_cookie: SetCookie::Refuse,
    targeted: &TARGETS,
    heuristic_percent: 0,
    heuristic_max: Duration::ZERO,
    sees_clients: false,
    is_key: false,
};

/// A site that shows them, as it is configured by default.
static GENERAL: Rules<'static> = Rules {
    fallback: Fallback {
        lifetime: Duration::ZERO,
        negative: Duration::from_secs(10),
        forbidden: Duration::ZERO,
        failure: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
    },
    set_cookie: SetCookie::Store,
    targeted: &TARGETS,
    heuristic_percent: 10,
    heuristic_max: Duration::from_secs(86_400),
    sees_clients: true,
    is_key: false,
};

fn judged_by(rules: &Rules<'_>, status: u16, fields: &[(&'static str, &'static str)]) -> Judgement {
    let answer = Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &headers(fields),
        is_authorized: false,
        asked: UnixMillis(DATE_MILLIS),
        arrived: UnixMillis(DATE_MILLIS),
    };
    judge(&answer, rules)
}

fn judged(status: u16, fields: &[(&'static str, &'static str)]) -> Judgement {
    judged_by(&RULES, status, fields)
}

/// For how long a response is served unasked, `None` where it is not stored.
fn reused(rules: &Rules<'_>, status: u16, fields: &[(&'static str, &'static str)]) -> Option<u64> {
    match judged_by(rules, status, fields) {
        Judgement::Store {
            freshness,
            initial_age,
            ..
        } => Some(freshness.lifetime.saturating_sub(initial_age).as_secs()),
        Judgement::Refuse(_) => None,
    }
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
        ("no-cache=\"x\", max-age=5", (5, 20, 30)),
        ("no-cache=\"x\", no-cache, max-age=5", (0, 0, 0)),
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
    let expires = [("expires", "Sun, 06 Nov 1994 08:50:37 GMT")];
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(refused(status, &[]), None, "{status}");
    }
    for status in [
        201, 202, 205, 226, 299, 302, 303, 307, 400, 401, 403, 451, 499, 500, 502, 503, 504, 599,
    ] {
        for silent in ["foo", "no-cache", "public"] {
            let got = refused(status, &[("cache-control", silent)]);
            assert_eq!(got, Some(NotStored::NoLifetime), "{status} {silent}");
        }
        assert_eq!(refused(status, &lifetime), None, "{status}");
        assert_eq!(refused(status, &expires), None, "{status}");
    }
    for status in [100, 101, 206, 304, 412, 416, 428, 429, 431, 511] {
        let got = refused(status, &lifetime);
        assert_eq!(got, Some(NotStored::Status), "{status}");
    }
}

#[test]
fn errors_have_the_lifetimes_that_the_site_gives_them() {
    let rules = Rules {
        fallback: Fallback {
            forbidden: Duration::from_secs(2),
            failure: Duration::from_secs(3),
            ..FALLBACK
        },
        ..RULES
    };
    let silent: &[(&str, &str)] = &[];
    for (status, expected) in [(404, 10), (403, 2), (500, 3), (503, 3), (501, 10)] {
        assert_eq!(reused(&rules, status, silent), Some(expected), "{status}");
        let short = [("cache-control", "max-age=1")];
        assert_eq!(reused(&rules, status, &short), Some(1), "{status}");
        let none = [("cache-control", "no-store")];
        assert_eq!(reused(&rules, status, &none), None, "{status}");
    }
    assert_eq!(reused(&rules, 400, silent), None);
}

#[test]
fn what_is_not_for_everyone_is_refused_by_name() {
    let cc = "cache-control";
    let cases = [
        ((cc, "no-store"), Some(NotStored::NoStore)),
        ((cc, "max-age=5, NO-STORE"), Some(NotStored::NoStore)),
        ((cc, "private, max-age=5"), Some(NotStored::Private)),
        ((cc, "private=\"x\""), None),
        ((cc, "private=\"x\", private"), Some(NotStored::Private)),
        (("set-cookie", "a=b"), Some(NotStored::SetCookie)),
        (("content-range", "bytes 0-1/9"), Some(NotStored::Partial)),
        (("vary", "*"), Some(NotStored::VaryAny)),
        (("vary", "*, *"), Some(NotStored::VaryAny)),
        (("vary", ", *"), Some(NotStored::VaryAny)),
        (("vary", "*, Foo"), Some(NotStored::VaryAny)),
        (("vary", "Origin, *"), Some(NotStored::VaryAny)),
        (("vary", "User-Agent"), None),
        (("vary", "a b"), None),
        (("vary", ""), None),
        (("pragma", "no-cache"), None),
    ];
    for (field, expected) in cases {
        assert_eq!(refused(200, &[field]), expected, "{field:?}");
    }
    let unreadable = judged_by(&GENERAL, 200, &[("vary", "a b"), (cc, "max-age=5")]);
    assert_eq!(unreadable, Judgement::Refuse(NotStored::Vary));
}

#[test]
fn a_status_must_be_understood_where_the_origin_says_so() {
    let cases = [
        (200, "max-age=5, no-store, must-understand", Some(5)),
        (404, "max-age=5, must-understand", Some(5)),
        (599, "max-age=5, no-store, must-understand", None),
        (599, "max-age=5, must-understand", None),
        (299, "max-age=5, must-understand", None),
        (200, "max-age=5, no-store", None),
    ];
    for (status, value, expected) in cases {
        let got = reused(&GENERAL, status, &[("cache-control", value)]);
        assert_eq!(got, expected, "{status} {value}");
    }
}

#[test]
fn an_answer_to_credentials_is_stored_where_it_says_so() {
    let cases = [
        ("max-age=5", Some(NotStored::Authorization)),
        (
            "max-age=5, proxy-revalidate",
            Some(NotStored::Authorization),
        ),
        ("max-age=5, public", None),
        ("max-age=5, must-revalidate", None),
        ("s-maxage=5", None),
        ("s-maxage=5, private", Some(NotStored::Private)),
    ];
    for (value, expected) in cases {
        let answer = Answer {
            status: StatusCode::OK,
            headers: &headers(&[("cache-control", value)]),
            is_authorized: true,
            asked: UnixMillis(DATE_MILLIS),
            arrived: UnixMillis(DATE_MILLIS),
        };
        let got = match judge(&answer, &GENERAL) {
            Judgement::Store { .. } => None,
            Judgement::Refuse(reason) => Some(reason),
        };
        assert_eq!(got, expected, "{value}");
    }
}

#[test]
fn cookies_are_refused_stripped_or_stored_as_the_site_says() {
    use SetCookie::{Refuse, Store, Strip};
    let cookie = [SET_COOKIE];
    let cases: [(_, _, Option<&[HeaderName]>); 9] = [
        (Refuse, "max-age=5", None),
        (Refuse, "max-age=5, private=\"set-cookie\"", Some(&cookie)),
        (Refuse, "max-age=5, no-cache=\"Set-Cookie\"", Some(&cookie)),
        (Strip, "max-age=5", Some(&cookie)),
        (Strip, "foo", Some(&cookie)),
        (Strip, "no-store", None),
        (Store, "max-age=5", Some(&[])),
        (Store, "foo", None),
        (Store, "no-cache", None),
    ];
    for (policy, value, expected) in cases {
        let rules = Rules {
            set_cookie: policy,
            ..RULES
        };
        let fields = [("set-cookie", "a=b"), ("cache-control", value)];
        let got = match judged_by(&rules, 200, &fields) {
            Judgement::Store { strip, .. } => Some(strip),
            Judgement::Refuse(_) => None,
        };
        assert_eq!(got.as_deref(), expected, "{policy:?} {value}");
    }
}

#[test]
fn fields_named_by_no_cache_and_private_are_not_stored() {
    let fields = [
        (
            "cache-control",
            "no-cache=\"b, A, a\", max-age=5, private=\"c, absent\"",
        ),
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
        ("d", "4"),
    ];
    let Judgement::Store {
        strip, freshness, ..
    } = judged(200, &fields)
    else {
        panic!("not stored");
    };
    assert_eq!(strip, ["a", "b", "c"]);
    assert_eq!(freshness.lifetime, Duration::from_secs(5));
}

#[test]
fn silence_is_filled_by_a_share_of_the_time_since_the_last_change() {
    let date = ("date", DATE_TEXT);
    let day = ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT");
    let public = ("cache-control", "public");
    for status in [200, 203, 204, 300, 301, 308] {
        assert_eq!(
            reused(&GENERAL, status, &[date, day]),
            Some(8640),
            "{status}"
        );
    }
    for status in [404, 405, 410, 414, 501] {
        assert_eq!(reused(&GENERAL, status, &[date, day]), Some(10), "{status}");
    }
    for status in [201, 202, 302, 307, 400, 403, 500, 502, 503, 504, 599] {
        assert_eq!(reused(&GENERAL, status, &[date, day]), None, "{status}");
        assert_eq!(
            reused(&GENERAL, status, &[date, day, public]),
            Some(8640),
            "{status}"
        );
    }
    let year = ("last-modified", "Sat, 06 Nov 1993 08:49:37 GMT");
    let after = ("last-modified", "Mon, 07 Nov 1994 08:49:37 GMT");
    let unreadable = ("last-modified", "yesterday");
    let cases: [(&[(&'static str, &'static str)], u64); 7] = [
        (&[day], 8640),
        (&[date, year], 86_400),
        (&[date, after], 0),
        (&[date, unreadable], 0),
        (&[date], 0),
        (&[date, day, ("cache-control", "max-age=x")], 0),
        (&[date, day, ("pragma", "no-cache")], 8640),
    ];
    for (fields, expected) in cases {
        assert_eq!(reused(&GENERAL, 200, fields), Some(expected), "{fields:?}");
    }
    assert_eq!(reused(&RULES, 200, &[date, day]), Some(1000));
}

#[test]
fn targeted_fields_replace_cache_control_and_expires() {
    let cdn = "cdn-cache-control";
    let cc = "cache-control";
    let date = ("date", DATE_TEXT);
    let later = ("expires", "Sun, 06 Nov 1994 08:50:37 GMT");
    let cases: [(&[_], Option<u64>); 19] = [
        (&[(cdn, "max-age=3600")], Some(3600)),
        (&[(cdn, "max-age=99999999999")], Some(1 << 31)),
        (&[date, (cdn, "max-age=3600"), ("age", "7200")], Some(0)),
        (&[(cc, "max-age=1"), (cdn, "max-age =100")], Some(1)),
        (&[(cc, "max-age=1"), (cdn, "max-age= 100")], Some(1)),
        (&[(cdn, "max-age=0")], Some(0)),
        (&[(cdn, "foobar, max-age=3600")], Some(3600)),
        (&[(cdn, "MaX-aGe=3600")], Some(3600)),
        (&[(cdn, "max-age=3600"), ("expires", "0"), date], Some(3600)),
        (&[(cdn, "max-age=0"), later, date], Some(0)),
        (&[(cc, "max-age=1"), (cdn, "max-age=3600")], Some(3600)),
        (&[(cc, "max-age=3600"), (cdn, "max-age=1")], Some(1)),
        (
            &[(cdn, "private"), (cc, "max-age=10000"), later, date],
            None,
        ),
        (
            &[(cdn, "no-cache"), (cc, "max-age=10000"), later, date],
            Some(0),
        ),
        (
            &[(cdn, "no-store"), (cc, "max-age=10000"), later, date],
            None,
        ),
        (&[(cc, "no-store"), (cdn, "max-age=10000")], Some(10_000)),
        (&[(cdn, "max-age=10000, &&&&&"), (cc, "no-store")], None),
        (&[(cdn, "max-age=\"10000\""), (cc, "no-store")], Some(0)),
        (&[(cdn, "foo"), later, date], Some(0)),
    ];
    for (fields, expected) in cases {
        assert_eq!(reused(&GENERAL, 200, fields), expected, "{fields:?}");
    }
    let untargeted = Rules {
        targeted: &[],
        ..GENERAL
    };
    assert_eq!(reused(&untargeted, 200, &[(cdn, "max-age=5")]), Some(0));
}

#[test]
fn lifetimes_are_told_as_the_public_suite_asks() {
    let cc = "cache-control";
    let date = ("date", DATE_TEXT);
    let far = "Sun, 21 Nov 2286 04:46:39 GMT";
    let cases: [(&[(&'static str, &'static str)], u64); 22] = [
        (&[(cc, "max-age=2147483649")], 1 << 31),
        (&[date, (cc, "max-age=3600"), ("age", "7200")], 0),
        (&[date, (cc, "max-age=3600"), ("age", "7200, 0")], 0),
        (&[date, (cc, "max-age=3600"), ("age", "0, 7200")], 3600),
        (
            &[date, (cc, "max-age=3600"), ("age", "7200"), ("age", "0")],
            0,
        ),
        (
            &[date, (cc, "max-age=3600"), ("age", "0"), ("age", "7200")],
            3600,
        ),
        (&[date, (cc, "max-age=3600"), ("age", "2147483649")], 0),
        (&[date, (cc, "max-age=3600"), ("age", "abc")], 3600),
        (&[date, (cc, "max-age=3600"), ("age", "-7200")], 3600),
        (&[date, (cc, "max-age=3600"), ("age", "7200.0")], 3600),
        (
            &[
                ("date", "Sun, 06 Nov 1994 06:49:37 GMT"),
                (cc, "max-age=3600"),
            ],
            0,
        ),
        (&[date, (cc, "max-age=3600"), ("expires", "0")], 3600),
        (
            &[("expires", DATE_TEXT), (cc, "max-age=0, s-maxage=3600")],
            3600,
        ),
        (&[(cc, "extension=\"max-age=3600\", max-age=1")], 1),
        (&[(cc, "max-age=1, extension=\"max-age=3600\"")], 1),
        (&[(cc, "max-age=003600")], 3600),
        (
            &[
                ("date", "foo"),
                ("expires", "Sun, 06 Nov 1994 08:49:47 GMT"),
            ],
            10,
        ),
        (
            &[date, ("expires", "Thu Aug  8 02:01:18 2050")],
            1_759_425_101,
        ),
        (
            &[date, ("expires", "Thursday, 18-AUG-50 02:01:18 gMT")],
            1_760_289_101,
        ),
        (&[date, ("expires", far)], 9_215_927_822),
        (&[date, ("expires", "Thu, 18 Aug 2050 2:01:18 GMT")], 0),
        (&[date, ("expires", far), ("expires", DATE_TEXT)], 0),
    ];
    for (fields, expected) in cases {
        assert_eq!(reused(&GENERAL, 200, fields), Some(expected), "{fields:?}");
    }
    let slow = [
        ("date", "Sun, 06 Nov 1994 08:49:27 GMT"),
        ("expires", "Sun, 06 Nov 1994 08:49:47 GMT"),
        ("age", "25"),
    ];
    assert_eq!(reused(&GENERAL, 200, &slow), Some(0));
    let fast = [
        ("date", "Sun, 06 Nov 1994 08:49:47 GMT"),
        ("expires", "Sun, 06 Nov 1994 08:49:57 GMT"),
        ("age", "15"),
    ];
    assert_eq!(reused(&GENERAL, 200, &fast), Some(0));
}

#[test]
fn whether_stale_is_allowed_is_said_by_whom_the_target_names() {
    let cc = ("cache-control", "max-age=5, must-revalidate");
    let cdn = ("cdn-cache-control", "max-age=5");
    assert!(!allows_stale(&headers(&[cc]), &TARGETS));
    assert!(allows_stale(&headers(&[cc, cdn]), &TARGETS));
    assert!(allows_stale(&headers(&[]), &TARGETS));
}

#[test]
fn a_head_that_names_the_version_stored_confirms_it() {
    let (etag, modified) = (("etag", "\"1\""), ("last-modified", DATE_TEXT));
    let length = ("content-length", "9");
    let cases: [(&[(&'static str, &'static str)], bool); 10] = [
        (&[], false),
        (&[length], false),
        (&[etag, modified, length], true),
        (&[modified], true),
        (&[("etag", "\"2\"")], false),
        (&[("etag", "W/\"1\"")], false),
        (&[("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT")], false),
        (&[etag, ("content-length", "8")], false),
        (&[etag, ("content-length", "x")], false),
        (&[etag, length, length], false),
    ];
    for (fields, expected) in cases {
        let stored = headers(&[etag, modified]);
        let got = confirms_by_head(&stored, Some(9), &headers(fields));
        assert_eq!(got, expected, "{fields:?}");
    }
    assert!(!confirms_by_head(&headers(&[]), Some(9), &headers(&[etag])));
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
            is_authorized: false,
            asked: UnixMillis(DATE_MILLIS + asked),
            arrived: UnixMillis(DATE_MILLIS + arrived),
        };
        let got = initial_age(&answer);
        assert_eq!(got, Duration::from_millis(expected), "{fields:?}");
    }
}

#[test]
fn a_304_updates_everything_but_what_reading_the_bytes_needs() {
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
        ("content-encoding", "gzip"),
        ("content-range", "bytes 0-1/2"),
        ("content-length", "0"),
        ("proxy-authenticate", "x"),
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
        ("content-type", "text/plain"),
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
