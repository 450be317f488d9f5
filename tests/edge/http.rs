//! What HTTP promises: ranges, conditions, methods, headers; and what is refused.

use bytes::Bytes;

use crate::harness::client::{Answer, Protocol};
use crate::harness::edge::{Edge, HOST};
use crate::harness::web::{Plan, Web};
use crate::harness::{assert_same, bytes, edge, web};

const LENGTH: usize = 700_000;

const DATE: &str = "Mon, 05 Jan 2026 10:00:00 GMT";

async fn scene() -> (Web, Edge, Bytes) {
    let origin = web::start().await;
    let body = bytes(50, LENGTH);
    let headers = [
        ("etag", "\"v1\""),
        ("last-modified", DATE),
        ("cache-control", "max-age=600"),
    ];
    origin.put_with("/seg.m4s", body.clone(), &headers);
    let edge = edge::new().origin(&origin).run().await;
    (origin, edge, body)
}

async fn ranged(edge: &Edge, range: &str) -> Answer {
    edge.request("GET", "/seg.m4s")
        .header("range", range)
        .send()
        .await
}

/// Ranges, and the bytes that they mean.
const RANGES: [(&str, std::ops::Range<usize>); 6] = [
    ("bytes=0-0", 0..1),
    ("bytes=0-999", 0..1000),
    ("bytes=262000-262200", 262_000..262_201),
    ("bytes=-10", LENGTH - 10..LENGTH),
    ("bytes=699990-", LENGTH - 10..LENGTH),
    ("bytes=699990-99999999", LENGTH - 10..LENGTH),
];

async fn ranges_are_right(edge: &Edge, body: &[u8], when: &str) {
    for (range, span) in RANGES {
        let answer = ranged(edge, range).await.whole(206);
        assert_same(&answer.body, &body[span.clone()]);
        let expected = format!("bytes {}-{}/{LENGTH}", span.start, span.end - 1);
        assert_eq!(answer.header("content-range"), expected, "{range} {when}");
        assert_eq!(
            answer.header("content-length"),
            span.len().to_string(),
            "{range} {when}"
        );
    }
}

#[tokio::test]
async fn ranges_are_right_on_a_hit() {
    let (origin, edge, body) = scene().await;
    edge.get("/seg.m4s").await.whole(200);
    ranges_are_right(&edge, &body, "on a hit").await;
    assert_eq!(origin.requests("/seg.m4s"), 1);
}

#[tokio::test]
async fn ranges_are_right_on_cold_objects() {
    for range in RANGES {
        let (_origin, edge, body) = scene().await;
        let answer = ranged(&edge, range.0).await.whole(206);
        assert_same(&answer.body, &body[range.1]);
    }
}

#[tokio::test]
async fn ranges_are_right_while_the_object_is_filling() {
    let (origin, edge, body) = scene().await;
    origin.always("/seg.m4s", Plan::Steps(100_000));
    origin.step(1);
    let mut first = edge.request("GET", "/seg.m4s").open().await;
    let taken = first.take(1000).await.unwrap();
    let begun = ranged(&edge, "bytes=10-99").await.whole(206);
    assert_same(&begun.body, &body[10..100]);
    let (late, ()) = tokio::join!(ranged(&edge, "bytes=-50"), async { origin.step(6) });
    assert_same(&late.whole(206).body, &body[LENGTH - 50..]);
    assert_same(&first.rest().await.body, &body[taken.len()..]);
}

#[tokio::test]
async fn several_ranges_come_as_parts_or_as_the_whole() {
    let (_origin, edge, body) = scene().await;
    for when in ["cold", "on a hit"] {
        let answer = ranged(&edge, "bytes=0-9,300000-300009").await;
        if answer.status == 200 {
            assert_same(&answer.body, &body);
            continue;
        }
        let answer = answer.whole(206);
        let kind = answer.header("content-type").to_owned();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=");
        let boundary = boundary.unwrap_or_else(|| panic!("{when}: {kind}"));
        assert_eq!(
            answer.header("content-length"),
            answer.body.len().to_string()
        );
        let wanted = [
            (0..10, "bytes 0-9/700000"),
            (300_000..300_010, "bytes 300000-300009/700000"),
        ];
        for (span, label) in wanted {
            let part: &[u8] = &body[span];
            assert!(
                answer.body.windows(part.len()).any(|w| w == part),
                "{when}: {label}"
            );
            let head = answer.text().to_ascii_lowercase();
            assert!(
                head.contains(&format!("content-range: {label}")),
                "{when}: {label}"
            );
        }
        assert!(
            answer
                .text()
                .contains(&format!("--{}--", boundary.trim_matches('"'))),
            "{when}"
        );
    }
}

#[tokio::test]
async fn a_range_past_the_end_is_416_with_the_length() {
    let (_origin, edge, _body) = scene().await;
    for when in ["cold", "on a hit"] {
        let answer = ranged(&edge, "bytes=700000-").await.whole(416);
        assert_eq!(answer.header("content-range"), "bytes */700000", "{when}");
        edge.get("/seg.m4s").await.whole(200);
    }
    for malformed in ["bytes=9-1", "lines=1-2", "bytes=a-b", "bytes="] {
        assert_eq!(
            ranged(&edge, malformed).await.status,
            200,
            "{malformed} is ignored"
        );
    }
}

#[tokio::test]
async fn if_range_decides_between_a_part_and_the_whole() {
    let (_origin, edge, body) = scene().await;
    let cases = [
        ("\"v1\"", 206),
        ("\"v2\"", 200),
        ("W/\"v1\"", 200),
        (DATE, 206),
    ];
    for when in ["cold", "on a hit"] {
        for (validator, status) in cases {
            let request = edge.request("GET", "/seg.m4s").header("range", "bytes=0-9");
            let answer = request
                .header("if-range", validator)
                .send()
                .await
                .whole(status);
            let expected = if status == 206 {
                &body[..10]
            } else {
                &body[..]
            };
            assert_eq!(answer.body.len(), expected.len(), "{validator} {when}");
            assert_same(&answer.body, expected);
        }
    }
}

#[tokio::test]
async fn conditions_are_judged_at_the_edge() {
    let (origin, edge, _body) = scene().await;
    edge.get("/seg.m4s").await.whole(200);
    let later = "Mon, 05 Jan 2026 12:00:00 GMT";
    let earlier = "Mon, 05 Jan 2026 08:00:00 GMT";
    let cases = [
        ("if-none-match", "\"v1\"", 304),
        ("if-none-match", "W/\"v1\"", 304),
        ("if-none-match", "\"x\", \"v1\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"v2\"", 200),
        ("if-modified-since", later, 304),
        ("if-modified-since", DATE, 304),
        ("if-modified-since", earlier, 200),
        ("if-match", "\"v1\"", 200),
        ("if-match", "\"v2\"", 412),
        ("if-match", "W/\"v1\"", 412),
        ("if-unmodified-since", later, 200),
        ("if-unmodified-since", earlier, 412),
    ];
    for (name, value, status) in cases {
        let answer = edge
            .request("GET", "/seg.m4s")
            .header(name, value)
            .send()
            .await;
        assert_eq!(answer.status, status, "{name}: {value}");
        if status == 304 {
            assert_eq!(answer.header("etag"), "\"v1\"", "{name}: {value}");
            assert!(answer.body.is_empty());
        }
    }
    assert_eq!(
        origin.requests("/seg.m4s"),
        1,
        "no condition went to the origin"
    );
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    for protocol in Protocol::ALL {
        let (origin, edge, _body) = scene().await;
        for when in ["cold", "warm"] {
            let head = edge
                .over(protocol)
                .request("HEAD", "/seg.m4s")
                .send()
                .await
                .whole(200);
            assert!(head.body.is_empty());
            let get = edge.over(protocol).get("/seg.m4s").await.whole(200);
            for name in ["content-length", "etag", "last-modified", "content-type"] {
                assert_eq!(
                    head.header(name),
                    get.header(name),
                    "{name} {when} {protocol:?}"
                );
            }
        }
        assert!(origin.requests("/seg.m4s") <= 2, "at most a HEAD and a GET");
    }
}

#[tokio::test]
async fn answers_say_where_they_come_from() {
    let (_origin, edge, _body) = scene().await;
    let miss = edge.get("/seg.m4s").await.whole(200);
    assert!(
        miss.header("cache-status").contains("fwd="),
        "{}",
        miss.header("cache-status")
    );
    edge.settled().await;
    let hit = edge.get("/seg.m4s").await.whole(200);
    let status = hit.header("cache-status");
    assert!(
        status.contains("; hit") && status.contains("ttl="),
        "{status}"
    );
    assert!(
        hit.header("age").parse::<u32>().is_ok_and(|age| age < 60),
        "{}",
        hit.header("age")
    );
    assert!(
        hit.header("via").starts_with("1.1 "),
        "{}",
        hit.header("via")
    );
    assert_eq!(hit.header("cache-control"), "max-age=600");
    assert_eq!(hit.header("accept-ranges"), "bytes");
    let unique = |answer: &Answer| answer.headers.get_all("content-length").iter().count();
    assert_eq!(unique(&hit), 1);
}

#[tokio::test]
async fn the_origin_is_asked_afresh_with_nothing_of_the_clients_headers() {
    let (origin, edge, _body) = scene().await;
    let request = edge.request("GET", "/seg.m4s?CMCD=br%3D1&token=secret");
    let request = request
        .header("cookie", "a=b")
        .header("authorization", "Bearer t");
    request
        .header("x-forwarded-host", "evil.test")
        .send()
        .await
        .whole(200);
    let seen = origin.seen("/seg.m4s");
    assert_eq!(
        seen.len(),
        1,
        "the query is no part of key and origin request"
    );
    for name in ["cookie", "authorization", "x-forwarded-host"] {
        assert_eq!(seen[0].header(name), None, "{name}");
    }
    assert!(seen[0].header("cdn-loop").is_some() || seen[0].header("via").is_some());
}

/// Passages through nodes of a `PoP` (a shield behind an edge, and its shield) that are no loop yet.
const PASSAGES: usize = 3;

#[tokio::test]
async fn a_request_that_goes_round_is_refused() {
    let (origin, edge, _body) = scene().await;
    edge.get("/seg.m4s").await.whole(200);
    let Some(mark) = origin.seen("/seg.m4s")[0]
        .header("cdn-loop")
        .map(str::to_owned)
    else {
        panic!("origin requests carry CDN-Loop");
    };
    let passed = |times: usize| {
        let marks = vec![mark.as_str(); times].join(", ");
        edge.request("GET", "/seg.m4s").header("cdn-loop", &marks)
    };
    assert_eq!(passed(PASSAGES).send().await.status, 200);
    assert_eq!(passed(PASSAGES + 1).send().await.status, 508);
}

#[tokio::test]
async fn players_on_other_pages_may_read_answers() {
    let (_origin, edge, _body) = scene().await;
    let page = "https://player.example";
    let answer = edge
        .request("GET", "/seg.m4s")
        .header("origin", page)
        .send()
        .await
        .whole(200);
    let allowed = answer.header("access-control-allow-origin");
    assert!(allowed == "*" || allowed == page, "{allowed}");
    let exposed = answer
        .header("access-control-expose-headers")
        .to_ascii_lowercase();
    assert!(
        exposed.contains("content-range") && exposed.contains("content-length"),
        "{exposed}"
    );

    let asked = edge.request("OPTIONS", "/seg.m4s").header("origin", page);
    let asked = asked.header("access-control-request-method", "GET");
    let asked = asked
        .header("access-control-request-headers", "range")
        .send()
        .await;
    assert!(matches!(asked.status, 200 | 204), "{}", asked.status);
    let methods = asked.header("access-control-allow-methods");
    assert!(
        methods.contains("GET") && methods.contains("HEAD"),
        "{methods}"
    );
    let headers = asked
        .header("access-control-allow-headers")
        .to_ascii_lowercase();
    assert!(headers == "*" || headers.contains("range"), "{headers}");
    assert!(!asked.header("access-control-max-age").is_empty());
}

#[tokio::test]
async fn a_stores_not_found_is_a_plain_404_without_its_internals() {
    let store = crate::harness::s3::start().await;
    let edge = edge::new().origin(&store).run().await;
    for when in ["first", "second"] {
        let answer = edge.get("/no/such/object.m4s").await;
        assert_eq!(answer.status, 404, "{when}");
        let text = answer.text();
        assert!(
            !text.contains("NoSuchKey") && !text.contains("vod"),
            "{when}: {text}"
        );
        let leaked = answer
            .headers
            .keys()
            .find(|k| k.as_str().starts_with("x-amz"));
        assert_eq!(leaked, None, "{when}");
    }
    let asked = edge.metric("weir_origin_requests_total", &[]).await;
    assert!(asked < 1.5, "not found is remembered for a while: {asked}");
}

/// What is wrong, the request as bytes, and the statuses that may refuse it.
struct Refused(&'static str, String, &'static [u16]);

/// A request head.
fn head(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\n{fields}\r\n")
}

fn host() -> String {
    format!("Host: {HOST}\r\n")
}

fn wrong_hosts() -> Vec<Refused> {
    let get = |fields: &str| head("GET /seg.m4s", fields);
    let (slash, user) = (format!("Host: {HOST}/x\r\n"), format!("Host: u@{HOST}\r\n"));
    let foreign = head("GET http://169.254.169.254/x", &host());
    vec![
        Refused("no host", get(""), &[400]),
        Refused("a foreign host", get("Host: other.test\r\n"), &[404, 421]),
        Refused("a host with a slash", get(&slash), &[400]),
        Refused("a host with a user", get(&user), &[400]),
        Refused("two hosts", get(&host().repeat(2)), &[400]),
        Refused("a foreign absolute form", foreign, &[400, 404, 421]),
    ]
}

fn wrong_targets() -> Vec<Refused> {
    let get = |target: &str| head(&format!("GET {target}"), &host());
    let long = format!("/{}", "a".repeat(9000));
    vec![
        Refused("a long target", get(&long), &[414]),
        Refused("an escaped NUL", get("/seg%00.m4s"), &[400]),
        Refused("a bad escape", get("/seg%zz.m4s"), &[400]),
        Refused(
            "an escaped dot segment",
            get("/a/%2e%2e/%2e%2e/etc/passwd"),
            &[400, 404],
        ),
        Refused("a dot segment", get("/../../etc/passwd"), &[400, 404]),
        Refused("a backslash", get("/..%5c..%5cetc"), &[400, 404]),
    ]
}

fn wrong_methods() -> Vec<Refused> {
    let ask = |method: &str| head(&format!("{method} /seg.m4s"), &host());
    let connect = head(&format!("CONNECT {HOST}:443"), &host());
    vec![
        Refused("TRACE", ask("TRACE"), &[405, 501]),
        Refused("CONNECT", connect, &[400, 405, 501]),
        Refused("a lower-case method", ask("get"), &[400, 405, 501]),
        Refused("POST", ask("POST"), &[405]),
        Refused("DELETE", ask("DELETE"), &[405]),
    ]
}

fn wrong_bodies() -> Vec<Refused> {
    let get = |fields: &str| head("GET /seg.m4s", &format!("{}{fields}", host()));
    let (length, chunked) = ("Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n");
    let long = format!("X: {}\r\n", "a".repeat(40_000));
    vec![
        Refused("a body", format!("{}body", get(length)), &[400, 413]),
        Refused(
            "a chunked body",
            format!("{}0\r\n\r\n", get(chunked)),
            &[400, 413],
        ),
        Refused("two lengths", get(&format!("{length}{chunked}")), &[400]),
        Refused("a long head", get(&long), &[400, 431]),
    ]
}

#[tokio::test]
async fn what_is_no_request_for_an_object_is_refused_before_the_origin_is_asked() {
    let origin = web::start().await;
    origin.put("/seg.m4s", bytes(51, 1000));
    let edge = edge::new().origin(&origin).hosts(&[HOST]).run().await;
    let mut wrong = Vec::new();
    let tables = [
        wrong_hosts(),
        wrong_targets(),
        wrong_methods(),
        wrong_bodies(),
    ];
    for Refused(what, request, statuses) in tables.into_iter().flatten() {
        let answer = edge.over(Protocol::Http1).raw(request.as_bytes()).await;
        let status = answer.split(' ').nth(1).and_then(|s| s.parse::<u16>().ok());
        // A connection that is closed without a word refuses too, where bytes cannot be trusted.
        let closed = answer.is_empty() && statuses.contains(&400);
        if !closed && !status.is_some_and(|s| statuses.contains(&s)) {
            wrong.push(format!("{what}: {status:?}, expected {statuses:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        origin.requests("/seg.m4s"),
        0,
        "no refused request reached the origin"
    );
    edge.metric_reaches(("weir_requests_total", &[("outcome", "refused")]), 6.0)
        .await;
    edge.get("/seg.m4s").await.whole(200);
}

#[tokio::test]
async fn every_protocol_gives_the_same_answer() {
    let (_origin, edge, body) = scene().await;
    for protocol in Protocol::ALL {
        let answer = edge.over(protocol).get("/seg.m4s").await.whole(200);
        assert_same(&answer.body, &body);
        let range = edge
            .over(protocol)
            .request("GET", "/seg.m4s")
            .header("range", "bytes=5-9");
        assert_same(&range.send().await.whole(206).body, &body[5..10]);
    }
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let (_origin, edge, body) = scene().await;
    for protocol in Protocol::ALL {
        let mut connection = edge.over(protocol).connect().await.unwrap();
        for _ in 0..20 {
            assert_same(
                &connection.get("/seg.m4s").await.unwrap().whole(200).body,
                &body,
            );
        }
    }
}

#[tokio::test]
async fn a_stale_copy_is_confirmed_by_its_validator() {
    let origin = web::start().await;
    let body = bytes(52, 10_000);
    let headers = [
        ("etag", "\"v1\""),
        ("cache-control", "max-age=0, must-revalidate"),
    ];
    origin.put_with("/live.m3u8", body.clone(), &headers);
    let edge = edge::new().origin(&origin).run().await;
    edge.get("/live.m3u8").await.whole(200);
    edge.settled().await;
    assert_same(&edge.get("/live.m3u8").await.whole(200).body, &body);
    let seen = origin.seen("/live.m3u8");
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].header("if-none-match"), Some("\"v1\""));
    edge.metric_reaches(("weir_requests_total", &[("outcome", "revalidated")]), 1.0)
        .await;
}
