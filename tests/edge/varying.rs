//! Answers that differ by request: variants, what may not be shared, and nobody queues behind it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::harness::client::{Answer, Protocol};
use crate::harness::edge::Edge;
use crate::harness::web::{Plan, Web};
use crate::harness::{assert_same, bytes, edge, web};

/// Long against what loopback and a busy machine add.
const DELAY: Duration = Duration::from_millis(1500);

const LANGUAGES: [&str; 5] = ["de", "en", "fr", "it", "nl"];

/// A page of which each language has a body of its own.
fn put_page(origin: &Web, path: &str, headers: &[(&str, &str)]) {
    origin.put_with(path, bytes(400, 3000), headers);
    for language in LANGUAGES {
        origin.put_variant(path, ("accept-language", language), body(language));
    }
}

fn body(language: &str) -> Bytes {
    Bytes::from(language.repeat(1000))
}

const VARYING: [(&str, &str); 2] = [
    ("cache-control", "max-age=600"),
    ("vary", "Accept-Language"),
];

async fn scene(headers: &[(&str, &str)]) -> (Web, Edge) {
    let origin = web::start().await;
    put_page(&origin, "/page", headers);
    let edge = edge::new().general().origin(&origin).run().await;
    (origin, edge)
}

async fn read(edge: &Edge, protocol: Protocol, language: &str) -> Answer {
    let request = edge.over(protocol).request("GET", "/page");
    let request = request.header("accept-language", language);
    let answer = request.send().await.whole(200);
    assert_same(&answer.body, &body(language));
    answer
}

#[tokio::test]
async fn each_variant_is_fetched_once_and_a_purge_by_url_takes_them_all() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (origin, edge) = scene(&VARYING).await;
        let first = read(&edge, protocol, "de").await;
        let said = first.list("cache-status");
        assert!(said.contains("fwd=uri-miss"), "{said}");
        edge.settled().await;
        let second = read(&edge, protocol, "fr").await;
        let said = second.list("cache-status");
        assert!(said.contains("fwd=vary-miss"), "{said}");
        assert!(
            second
                .header("vary")
                .eq_ignore_ascii_case("accept-language"),
            "{:?}",
            second.headers
        );
        edge.settled().await;
        for language in ["de", "fr", "de"] {
            let said = read(&edge, protocol, language).await.list("cache-status");
            assert!(said.contains("; hit"), "{language}: {said}");
        }
        assert_eq!(origin.requests("/page"), 2, "{protocol:?}");

        edge.purge("/page").await.whole(200);
        for language in ["de", "fr"] {
            read(&edge, protocol, language).await;
        }
        assert_eq!(origin.requests("/page"), 4, "no variant survives a purge");
    }
}

#[tokio::test]
async fn spellings_of_one_accept_encoding_share_an_answer() {
    let origin = web::start().await;
    let headers = [
        ("cache-control", "max-age=600"),
        ("vary", "accept-encoding"),
    ];
    origin.put_with("/app.js", bytes(410, 3000), &headers);
    let edge = edge::new().general().origin(&origin).run().await;
    let ask = async |accepted: &str| {
        let request = edge.request("GET", "/app.js");
        let request = request.header("accept-encoding", accepted);
        request.send().await.whole(200);
        edge.settled().await;
    };
    for spelling in ["gzip, br", "br,gzip", "gzip , br;q=1.0", "br, gzip"] {
        ask(spelling).await;
        assert_eq!(origin.requests("/app.js"), 1, "{spelling}");
    }
    ask("identity").await;
    assert_eq!(
        origin.requests("/app.js"),
        2,
        "who cannot decode gets its own"
    );
}

#[tokio::test]
async fn who_waits_for_another_variant_asks_at_once_and_only_once() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (origin, edge) = scene(&VARYING).await;
        origin.always("/page", Plan::Delay(DELAY));
        let start = Instant::now();
        let asked = (0..50).map(|i| read(&edge, protocol, LANGUAGES[i % LANGUAGES.len()]));
        join_all(asked).await;
        let took = start.elapsed();
        assert_eq!(origin.requests("/page"), LANGUAGES.len(), "{protocol:?}");
        // One to learn that the answer varies, one for the rest side by side.
        assert!(
            took < DELAY * 3,
            "{protocol:?}: {took:?} for two rounds of {DELAY:?}"
        );
    }
}

#[tokio::test]
async fn a_warm_varying_object_collapses_each_new_variant() {
    let (origin, edge) = scene(&VARYING).await;
    read(&edge, Protocol::Http1, "de").await;
    edge.settled().await;
    origin.always("/page", Plan::Delay(DELAY));
    let start = Instant::now();
    join_all((0..40).map(|i| read(&edge, Protocol::Http1, LANGUAGES[1 + i % 4]))).await;
    assert!(start.elapsed() < DELAY * 2, "{:?}", start.elapsed());
    assert_eq!(origin.requests("/page"), LANGUAGES.len());
}

#[tokio::test]
async fn what_varies_by_everything_is_never_reused() {
    let (origin, edge) = scene(&[("cache-control", "max-age=600"), ("vary", "*")]).await;
    for asked in 1..=3 {
        read(&edge, Protocol::Http1, "de").await;
        assert_eq!(origin.requests("/page"), asked);
    }
}

#[tokio::test]
async fn nobody_queues_for_an_answer_that_may_not_be_shared() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (origin, edge) = scene(&[("cache-control", "private")]).await;
        origin.always("/page", Plan::Delay(DELAY));
        // Cold: the first answer tells; then all at once. Known: all at once.
        for (when, rounds) in [("cold", 2), ("known", 1)] {
            let start = Instant::now();
            let asked = (0..50).map(|i| read(&edge, protocol, LANGUAGES[i % LANGUAGES.len()]));
            join_all(asked).await;
            let took = start.elapsed();
            assert!(
                took < DELAY * (rounds + 1),
                "{when}, {protocol:?}: {took:?} for {rounds} rounds of {DELAY:?}"
            );
        }
        assert_eq!(
            origin.requests("/page"),
            100,
            "each has an answer of its own"
        );
    }
}

#[tokio::test]
async fn requests_with_credentials_or_cookies_wait_for_nobody() {
    for field in [("authorization", "Basic YTpi"), ("cookie", "session=1")] {
        let (origin, edge) = scene(&[("cache-control", "no-store")]).await;
        origin.always("/page", Plan::Delay(DELAY));
        let personal = (0..10).map(|_| {
            let request = edge.request("GET", "/page");
            request.header(field.0, field.1).send()
        });
        let start = Instant::now();
        let (answers, _plain) = tokio::join!(
            join_all(personal),
            read(&edge, Protocol::Http1, LANGUAGES[0])
        );
        assert!(
            start.elapsed() < DELAY * 2,
            "{}: side by side, not {:?}",
            field.0,
            start.elapsed()
        );
        for answer in answers {
            let said = answer.whole(200).list("cache-status");
            assert!(!said.contains("collapsed"), "{}: {said}", field.0);
        }
        let seen = origin.seen("/page");
        assert_eq!(seen.len(), 11, "{}", field.0);
        let marked = seen.iter().filter(|s| s.header(field.0) == Some(field.1));
        assert_eq!(marked.count(), 10, "{} is seen by the origin", field.0);
    }
}

#[tokio::test]
async fn an_answer_to_credentials_is_shared_only_where_the_origin_says_so() {
    for (cache_control, fetches) in [
        ("max-age=600", 2),
        ("max-age=600, public", 1),
        ("s-maxage=600", 1),
        ("max-age=600, must-revalidate", 1),
    ] {
        let (origin, edge) = scene(&[("cache-control", cache_control)]).await;
        let request = edge.request("GET", "/page");
        let request = request.header("authorization", "Basic YTpi");
        request.send().await.whole(200);
        edge.settled().await;
        edge.get("/page").await.whole(200);
        assert_eq!(origin.requests("/page"), fetches, "{cache_control}");
    }
}

#[tokio::test]
async fn so_many_variants_are_kept_and_no_more() {
    let origin = web::start().await;
    put_page(&origin, "/page", &VARYING);
    let builder = edge::new().general().origin(&origin);
    let edge = builder.set("site.caching.variants", 3).run().await;
    let ask = async |language: usize| {
        let request = edge.request("GET", "/page");
        let request = request.header("accept-language", &format!("x-{language}"));
        let answer = request.send().await.whole(200);
        edge.settled().await;
        answer.list("cache-status")
    };
    for language in 0..20 {
        ask(language).await;
    }
    assert_eq!(origin.requests("/page"), 20);
    let said = ask(19).await;
    assert!(said.contains("; hit"), "the last one is kept: {said}");
    let displaced = edge.metric("weir_variants_displaced_total", &[]).await;
    assert!(displaced > 15.5, "all but a few gave way: {displaced}");
    ask(5).await;
    assert_eq!(
        origin.requests("/page"),
        21,
        "what gave way is asked for anew"
    );
}
