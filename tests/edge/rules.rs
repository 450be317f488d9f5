//! What RFC 9110 and 9111 ask of a cache in front of any web server, where the public suite is mute.

use std::time::Duration;

use bytes::Bytes;

use crate::harness::client::{Answer, Protocol};
use crate::harness::edge::Edge;
use crate::harness::web::{Plan, Web};
use crate::harness::{assert_same, bytes, edge, eventually, web};

const LENGTH: usize = 300_000;

const DATE: &str = "Mon, 05 Jan 2026 10:00:00 GMT";
const LATER: &str = "Mon, 05 Jan 2026 12:00:00 GMT";
const EARLIER: &str = "Mon, 05 Jan 2026 08:00:00 GMT";

/// Past the life of an answer that lives for a second.
const OVER: Duration = Duration::from_millis(2100);

/// What comes from memory, on a busy machine.
const SOON: Duration = Duration::from_secs(1);

const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

async fn general() -> (Web, Edge) {
    let origin = web::start().await;
    let edge = edge::new().general().origin(&origin).run().await;
    (origin, edge)
}

/// An object that is cached from now on.
async fn cached(origin: &Web, edge: &Edge, headers: &[(&str, &str)]) -> Bytes {
    let body = bytes(500, LENGTH);
    let lasting = [("cache-control", "max-age=600")];
    origin.put_with("/doc", body.clone(), &[&lasting, headers].concat());
    edge.get("/doc").await.whole(200);
    edge.settled().await;
    body
}

async fn ask(edge: &Edge, protocol: Protocol, fields: &[(&str, &str)]) -> Answer {
    let mut request = edge.over(protocol).request("GET", "/doc");
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.send().await
}

/// Fields of a request, and the status that RFC 9110 section 13.2.2 gives it.
const CONDITIONS: [(&[(&str, &str)], u16); 17] = [
    (&[("if-match", "\"v1\"")], 200),
    (&[("if-match", "*")], 200),
    (&[("if-match", "\"v2\", \"v1\"")], 200),
    (&[("if-match", "\"v2\"")], 412),
    (&[("if-match", "W/\"v1\"")], 412),
    (&[("if-unmodified-since", LATER)], 200),
    (&[("if-unmodified-since", EARLIER)], 412),
    (&[("if-unmodified-since", "yesterday")], 200),
    (
        &[("if-match", "\"v1\""), ("if-unmodified-since", EARLIER)],
        200,
    ),
    (&[("if-match", "\"v1\""), ("if-none-match", "\"v1\"")], 304),
    (&[("if-match", "\"v2\""), ("if-none-match", "\"v1\"")], 412),
    (&[("if-none-match", "W/\"v1\"")], 304),
    (&[("if-none-match", "*")], 304),
    (&[("if-none-match", "\"v2\"")], 200),
    (
        &[("if-none-match", "\"v2\""), ("if-modified-since", LATER)],
        200,
    ),
    (&[("if-modified-since", DATE)], 304),
    (&[("if-modified-since", EARLIER)], 200),
];

#[tokio::test]
async fn every_condition_of_a_client_is_judged_on_what_is_stored() {
    let (origin, edge) = general().await;
    let body = cached(
        &origin,
        &edge,
        &[("etag", "\"v1\""), ("last-modified", DATE)],
    )
    .await;
    for protocol in PROTOCOLS {
        for (fields, status) in CONDITIONS {
            let answer = ask(&edge, protocol, fields).await;
            assert_eq!(answer.status, status, "{fields:?} over {protocol:?}");
            match status {
                200 => assert_same(&answer.body, &body),
                304 => {
                    assert!(answer.body.is_empty(), "{fields:?}");
                    assert_eq!(answer.header("etag"), "\"v1\"");
                    assert_eq!(answer.header("cache-control"), "max-age=600");
                }
                _ => assert_ne!(answer.body.len(), body.len(), "{fields:?}"),
            }
        }
    }
    assert_eq!(origin.requests("/doc"), 1, "the origin is not asked");
}

#[tokio::test]
async fn a_weak_tag_answers_a_weak_comparison_only() {
    let (origin, edge) = general().await;
    cached(&origin, &edge, &[("etag", "W/\"v1\"")]).await;
    let cases: [(&[(&str, &str)], u16); 5] = [
        (&[("if-none-match", "\"v1\"")], 304),
        (&[("if-none-match", "W/\"v1\"")], 304),
        (&[("if-match", "W/\"v1\"")], 412),
        (&[("if-match", "*")], 200),
        (&[("if-range", "W/\"v1\""), ("range", "bytes=0-9")], 200),
    ];
    for (fields, status) in cases {
        let answer = ask(&edge, Protocol::Http1, fields).await;
        assert_eq!(answer.status, status, "{fields:?}");
    }
    assert_eq!(origin.requests("/doc"), 1);
}

/// Validator of If-Range, and whether a part answers it.
async fn if_range(edge: &Edge, body: &[u8], cases: &[(&str, u16)]) {
    for protocol in PROTOCOLS {
        for (validator, status) in cases {
            let fields = [("range", "bytes=100-199"), ("if-range", *validator)];
            let answer = ask(edge, protocol, &fields).await.whole(*status);
            let expected = if *status == 206 {
                &body[100..200]
            } else {
                body
            };
            assert_same(&answer.body, expected);
        }
    }
}

#[tokio::test]
async fn if_range_wants_a_strong_validator_that_is_exactly_the_stored_one() {
    let (origin, edge) = general().await;
    let tagged = [("etag", "\"v1\""), ("last-modified", DATE)];
    let body = cached(&origin, &edge, &tagged).await;
    let cases = [
        ("\"v1\"", 206),
        ("\"v2\"", 200),
        ("W/\"v1\"", 200),
        (DATE, 206),
        (LATER, 200),
        (EARLIER, 200),
        ("nonsense", 200),
    ];
    if_range(&edge, &body, &cases).await;
    let beyond = [("range", "bytes=900000-"), ("if-range", "\"v2\"")];
    let whole = ask(&edge, Protocol::Http1, &beyond).await.whole(200);
    assert_same(&whole.body, &body);
    let (origin, edge) = general().await;
    let body = cached(&origin, &edge, &[("last-modified", DATE)]).await;
    if_range(&edge, &body, &[(DATE, 206), (LATER, 200), ("\"v1\"", 200)]).await;
}

#[tokio::test]
async fn ranges_of_a_general_object_are_right_over_both_protocols() {
    let (origin, edge) = general().await;
    let body = cached(&origin, &edge, &[("etag", "\"v1\"")]).await;
    for protocol in PROTOCOLS {
        for (range, span) in [
            ("bytes=0-0", 0..1),
            ("bytes=-5", LENGTH - 5..LENGTH),
            ("bytes=299990-400000", LENGTH - 10..LENGTH),
        ] {
            let part = ask(&edge, protocol, &[("range", range)]).await.whole(206);
            assert_same(&part.body, &body[span.clone()]);
            let shown = format!("bytes {}-{}/{LENGTH}", span.start, span.end - 1);
            assert_eq!(part.header("content-range"), shown);
        }
        for beyond in ["bytes=300000-", "bytes=300000-300001", "bytes=-0"] {
            let refused = ask(&edge, protocol, &[("range", beyond)]).await.whole(416);
            let length = format!("bytes */{LENGTH}");
            assert_eq!(refused.header("content-range"), length, "{beyond}");
        }
        let several = [("range", "bytes=0-9,1000-1009,-10")];
        let parts = ask(&edge, protocol, &several).await.whole(206);
        let kind = parts.header("content-type").to_owned();
        assert!(kind.starts_with("multipart/byteranges"), "{kind}");
        let text = parts.text().to_ascii_lowercase();
        for (span, shown) in [(0..10, "0-9"), (1000..1010, "1000-1009")] {
            let part: &[u8] = &body[span];
            assert!(parts.body.windows(10).any(|w| w == part), "{shown}");
            assert!(text.contains(&format!("content-range: bytes {shown}/{LENGTH}")));
        }
    }
    assert_eq!(origin.requests("/doc"), 1);
}

#[tokio::test]
async fn head_of_a_stored_answer_asks_nobody() {
    let (origin, edge) = general().await;
    let body = cached(&origin, &edge, &[("etag", "\"v1\"")]).await;
    for protocol in PROTOCOLS {
        let head = edge.over(protocol).request("HEAD", "/doc");
        let head = head.send().await.whole(200);
        assert!(head.body.is_empty());
        assert_eq!(head.number("content-length"), body.len() as u64);
        let unless = edge.over(protocol).request("HEAD", "/doc");
        let unless = unless.header("if-none-match", "\"v1\"");
        unless.send().await.whole(304);
    }
    assert_eq!(origin.requests("/doc"), 1);
}

#[tokio::test]
async fn a_head_that_names_the_version_stored_makes_it_fresh_and_another_outdates_it() {
    for (tag, body, requests) in [("\"v1\"", 530, 2), ("\"v2\"", 531, 3)] {
        let (origin, edge) = general().await;
        let old = [("cache-control", "no-cache"), ("etag", "\"v1\"")];
        origin.put_with("/doc", bytes(530, 5000), &old);
        edge.get("/doc").await.whole(200);
        edge.settled().await;
        let new = [("cache-control", "max-age=600"), ("etag", tag)];
        origin.put_with("/doc", bytes(body, 5000), &new);
        // An origin that compares nothing.
        origin.next("/doc", Plan::Whole);
        let head = edge.request("HEAD", "/doc").send().await.whole(200);
        assert_eq!(head.header("cache-control"), "max-age=600");
        assert_eq!(head.header("etag"), tag);
        edge.settled().await;
        assert_same(&edge.get("/doc").await.whole(200).body, &bytes(body, 5000));
        assert_eq!(origin.requests("/doc"), requests, "{tag}");
    }
}

#[tokio::test]
async fn an_early_hint_reaches_the_client_of_a_general_site_before_the_answer() {
    let ask = format!(
        "GET /doc HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        edge::HOST
    );
    for (profile, hints) in [("general", 1), ("video", 0)] {
        let origin = web::start().await;
        let builder = edge::new().origin(&origin).set("site.profile", profile);
        let edge = builder.run().await;
        origin.put_with("/doc", bytes(540, 10), &[("cache-control", "no-store")]);
        origin.next("/doc", Plan::Hint);
        let raw = edge.over(Protocol::Http1).raw(ask.as_bytes()).await;
        let raw = raw.to_ascii_lowercase();
        let heads: Vec<&str> = raw.split("\r\n\r\n").collect();
        let (hint, answer) = heads.split_at(hints);
        for hint in hint {
            assert!(hint.starts_with("http/1.1 103"), "{raw}");
            assert!(hint.contains("link: </a.css>; rel=preload"), "{raw}");
            assert!(!hint.contains("x-inner"), "{raw}");
        }
        assert!(answer[0].starts_with("http/1.1 200"), "{profile}: {raw}");
    }
}

#[tokio::test]
async fn cache_status_names_each_way_to_an_answer() {
    let (origin, edge) = general().await;
    let said = async |request: &str, directive: &str| {
        let (method, path) = request.split_once(' ').unwrap();
        let mut request = edge.request(method, path);
        if !directive.is_empty() {
            request = request.header("cache-control", directive);
        }
        let answer = request.send().await;
        edge.settled().await;
        answer.list("cache-status")
    };
    let put = |path: &str, life: &str| {
        let headers = [("cache-control", life), ("etag", "\"v1\"")];
        origin.put_with(path, bytes(501, 100), &headers);
    };
    put("/long", "max-age=600");
    put("/checked", "no-cache");
    put("/own", "no-store");
    origin.put_with("POST /long", Bytes::new(), &[]);
    // What is asked, with which directive, and what the answer says; nothing: not forwarded.
    let ways = [
        ("GET /long", "only-if-cached", ""),
        ("GET /long", "", "fwd=uri-miss stored"),
        ("GET /long", "", "hit ttl= detail=memory"),
        ("GET /long", "no-cache", "fwd=request fwd-status=304"),
        ("GET /checked", "", "fwd=uri-miss"),
        ("GET /checked", "", "fwd=stale fwd-status=304"),
        ("GET /own", "", "fwd=uri-miss"),
        ("GET /own", "", "fwd=bypass"),
        ("POST /long", "", "fwd=method"),
    ];
    for (request, directive, words) in ways {
        let status = said(request, directive).await;
        for word in words.split_whitespace() {
            assert!(status.contains(word), "{request}: {word} in {status}");
        }
        let is_forwarded = words.contains("fwd");
        assert_eq!(status.contains("fwd="), is_forwarded, "{request}: {status}");
    }
    let status = said("GET /own", "").await;
    assert!(!status.contains("stored"), "{status}");
}

#[tokio::test]
async fn only_what_is_cached_answers_who_wants_nothing_else() {
    let (origin, edge) = general().await;
    origin.put_with("/doc", bytes(502, 100), &[("cache-control", "max-age=600")]);
    let only = [("cache-control", "only-if-cached")];
    for protocol in PROTOCOLS {
        ask(&edge, protocol, &only).await.whole(504);
    }
    assert_eq!(origin.requests("/doc"), 0);
    edge.get("/doc").await.whole(200);
    edge.settled().await;
    ask(&edge, Protocol::Http1, &only).await.whole(200);
    assert_eq!(origin.requests("/doc"), 1);
}

#[tokio::test]
async fn a_video_site_obeys_no_directive_of_a_client() {
    let origin = web::start().await;
    let edge = edge::new().origin(&origin).run().await;
    cached(&origin, &edge, &[("etag", "\"v1\"")]).await;
    for field in [
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
        ("authorization", "Basic YTpi"),
        ("cookie", "a=b"),
    ] {
        ask(&edge, Protocol::Http1, &[field]).await.whole(200);
        assert_eq!(origin.requests("/doc"), 1, "{field:?}");
    }
}

#[tokio::test]
async fn a_stale_copy_stands_in_for_a_failing_origin_also_beside_s_maxage() {
    for (life, stands_in) in [
        ("max-age=1, stale-if-error=600", true),
        ("s-maxage=1, stale-if-error=600", true),
        ("max-age=1, s-maxage=1, stale-if-error=600", true),
        ("max-age=1, must-revalidate, stale-if-error=600", false),
        ("max-age=1, proxy-revalidate, stale-if-error=600", false),
    ] {
        let (origin, edge) = general().await;
        let headers = [("cache-control", life), ("etag", "\"v1\"")];
        origin.put_with("/doc", bytes(503, 5000), &headers);
        edge.get("/doc").await.whole(200);
        tokio::time::sleep(OVER).await;
        origin.always("/doc", Plan::Status(503));
        let answer = edge.get("/doc").await;
        if stands_in {
            let answer = answer.whole(200);
            assert_same(&answer.body, &bytes(503, 5000));
            assert!(answer.number("age") >= 2, "{life}");
            let said = answer.list("cache-status");
            assert!(said.contains("ttl=-"), "{life}: {said}");
            let asked = "fwd=stale; fwd-status=503";
            assert!(said.contains(asked), "{life}: {said}");
        } else {
            assert!(answer.status >= 500, "{life}: {}", answer.status);
        }
    }
}

#[tokio::test]
async fn a_stale_copy_is_served_while_it_is_refreshed_also_beside_s_maxage() {
    for life in [
        "max-age=1, stale-while-revalidate=600",
        "s-maxage=1, stale-while-revalidate=600",
    ] {
        let (origin, edge) = general().await;
        let (old, new) = (bytes(504, 5000), bytes(505, 5000));
        origin.put_with("/doc", old.clone(), &[("cache-control", life)]);
        edge.get("/doc").await.whole(200);
        tokio::time::sleep(OVER).await;
        let longer = [("cache-control", "max-age=600")];
        origin.put_with("/doc", new.clone(), &longer);
        origin.always("/doc", Plan::Delay(SOON * 2));
        let stale = edge.get("/doc").await.whole(200);
        assert_same(&stale.body, &old);
        assert!(stale.total < SOON, "{life}: {:?}", stale.total);
        eventually("the refresh is seen", Duration::from_secs(10), || async {
            edge.get("/doc").await.body == new
        })
        .await;
        assert_eq!(origin.requests("/doc"), 2, "{life}: one refresh");
    }
}

#[tokio::test]
async fn a_change_makes_the_cache_forget_what_it_names_of_the_same_origin() {
    for (field, named) in [
        ("location", "/item"),
        ("content-location", "/item"),
        ("location", "http://edge.test/item"),
    ] {
        let (origin, edge) = general().await;
        let lasting = [("cache-control", "max-age=600")];
        for path in ["/list", "/item", "/other"] {
            origin.put_with(path, bytes(506, 100), &lasting);
            edge.get(path).await.whole(200);
            edge.settled().await;
        }
        origin.put_with("POST /list", Bytes::new(), &[(field, named)]);
        origin.next("POST /list", Plan::Status(500));
        let post = || edge.request("POST", "/list").body("a=b").send();
        post().await.whole(500);
        for path in ["/list", "/item"] {
            edge.get(path).await.whole(200);
        }
        assert_eq!(origin.requests("/list"), 2, "a failure changes nothing");
        origin.next("POST /list", Plan::Status(201));
        post().await.whole(201);
        for path in ["/list", "/item", "/other"] {
            edge.get(path).await.whole(200);
        }
        assert_eq!(origin.requests("/list"), 4, "two changes, two fetches");
        assert_eq!(origin.requests("/item"), 2, "{field}: {named}");
        assert_eq!(origin.requests("/other"), 1);
    }
}

#[tokio::test]
async fn a_change_forgets_nothing_of_another_origin() {
    let (origin, edge) = general().await;
    origin.put_with(
        "/item",
        bytes(507, 100),
        &[("cache-control", "max-age=600")],
    );
    edge.get("/item").await.whole(200);
    edge.settled().await;
    let elsewhere = [("location", "http://other.test/item")];
    origin.put_with("POST /list", Bytes::new(), &elsewhere);
    edge.request("POST", "/list").send().await.whole(200);
    edge.get("/item").await.whole(200);
    assert_eq!(origin.requests("/item"), 1);
}

#[tokio::test]
async fn a_change_carries_its_condition_to_the_origin() {
    let (origin, edge) = general().await;
    origin.put_with("PUT /doc", Bytes::new(), &[("etag", "\"v1\"")]);
    for (tag, status) in [("\"v1\"", 200), ("\"v0\"", 412)] {
        let put = edge
            .request("PUT", "/doc")
            .body("new")
            .header("if-match", tag);
        put.send().await.whole(status);
    }
    let seen = origin.seen("/doc");
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|s| s.method() == "PUT"));
    assert_eq!(seen[0].header("if-match"), Some("\"v1\""));
}

#[tokio::test]
async fn a_cookie_for_one_client_reaches_that_client_and_nobody_else() {
    let (origin, edge) = general().await;
    let control = "max-age=600, private=\"set-cookie\"";
    let own = [("cache-control", control), ("set-cookie", "who=you")];
    origin.put_with("/doc", bytes(520, 1000), &own);
    let first = edge.get("/doc").await;
    assert_eq!(first.header("set-cookie"), "who=you");
    first.whole(200);
    let second = edge.get("/doc").await;
    assert_eq!(second.header("set-cookie"), "");
    second.whole(200);
    assert_eq!(origin.requests("/doc"), 1);
}
