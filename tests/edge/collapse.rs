//! Many clients, one fetch; and no client's pace is another's.

use std::time::Duration;

use futures_util::future::join_all;

use crate::harness::client::Protocol;
use crate::harness::web::Plan;
use crate::harness::{assert_same, bytes, edge, web};

#[tokio::test]
async fn two_hundred_cold_requests_cost_one_fetch_and_get_whole_answers() {
    let origin = web::start().await;
    let body = bytes(10, 1_000_000);
    origin.put("/seg.m4s", body.clone());
    origin.always("/seg.m4s", Plan::Delay(Duration::from_secs(1)));
    let edge = edge::new().origin(&origin).run().await;

    let answers = join_all((0..200).map(|_| edge.get("/seg.m4s"))).await;
    for answer in answers {
        assert_same(&answer.whole(200).body, &body);
    }
    assert_eq!(origin.requests("/seg.m4s"), 1);
    assert!((edge.metric("weir_origin_requests_total", &[]).await - 1.0).abs() < 0.5);
    // A request is counted when it has ended, which is after its last byte was read.
    edge.metric_reaches(("weir_requests_total", &[]), 200.0)
        .await;
    let collapsed = edge.metric("weir_collapsed_requests_total", &[]).await;
    let hits = edge
        .metric("weir_requests_total", &[("outcome", "hit")])
        .await;
    assert!(
        (collapsed + hits - 199.0).abs() < 0.5,
        "{collapsed} joined, {hits} came later"
    );
}

#[tokio::test]
async fn many_ranges_of_one_cold_block_cost_one_fetch() {
    let origin = web::start().await;
    let body = bytes(11, 70_000_000);
    origin.put("/film.mp4", body.clone());
    origin.next("/film.mp4", Plan::Delay(Duration::from_millis(500)));
    let edge = edge::new().origin(&origin).memory("128MiB").run().await;
    let ask = |i: usize| {
        let range = format!("bytes={}-{}", i * 1000, i * 1000 + 999);
        edge.request("GET", "/film.mp4")
            .header("range", &range)
            .send()
    };
    for (i, answer) in join_all((0..50).map(ask)).await.into_iter().enumerate() {
        assert_same(&answer.whole(206).body, &body[i * 1000..(i + 1) * 1000]);
    }
    let fetched = edge.metric("weir_origin_body_bytes_total", &[]).await;
    assert!(
        fetched <= 2.1e6,
        "two blocks at most, one wanted and one ahead: {fetched}"
    );
}

/// The first client reads 1 kB/s; the second one's copy of the same cold object comes at once.
async fn slow_first_client_does_not_slow_the_second(protocol: Protocol) {
    let origin = web::start().await;
    let body = bytes(12, 6_000_000);
    origin.put("/seg.m4s", body.clone());
    let edge = edge::new().origin(&origin).run().await;

    let slow = edge.over(protocol).slow().request("GET", "/seg.m4s");
    let mut slow = slow.open().await;
    let second = edge.over(protocol);
    let (sipped, quick) = tokio::join!(
        slow.sip(1000, Duration::from_secs(4)),
        second.get("/seg.m4s")
    );
    assert_same(&quick.body, &body);
    assert!(
        quick.total < Duration::from_secs(3),
        "{protocol:?}: {:?}",
        quick.total
    );
    assert_eq!(origin.requests("/seg.m4s"), 1);
    let sipped = sipped.unwrap();
    assert!(
        sipped < 200_000,
        "{protocol:?}: the first client was not slow: {sipped}"
    );
}

#[tokio::test]
async fn a_slow_first_client_over_http1_does_not_slow_the_second() {
    slow_first_client_does_not_slow_the_second(Protocol::Http1).await;
    slow_first_client_does_not_slow_the_second(Protocol::Http1Tls).await;
}

#[tokio::test]
async fn a_slow_first_client_over_http2_does_not_slow_the_second() {
    slow_first_client_does_not_slow_the_second(Protocol::Http2).await;
}

#[tokio::test]
async fn a_first_client_that_leaves_does_not_end_the_fill() {
    let origin = web::start().await;
    let body = bytes(13, 900_000);
    origin.put("/seg.m4s", body.clone());
    origin.always("/seg.m4s", Plan::Steps(300_000));
    let edge = edge::new().origin(&origin).run().await;
    origin.step(1);
    let mut first = edge.request("GET", "/seg.m4s").open().await;
    first.take(1000).await.unwrap();
    drop(first);
    origin.step(2);
    edge.metric_reaches(("weir_fills_total", &[("result", "complete")]), 1.0)
        .await;
    assert_same(&edge.get("/seg.m4s").await.whole(200).body, &body);
    assert_eq!(origin.requests("/seg.m4s"), 1);
}

#[tokio::test]
async fn an_uncacheable_answer_is_streamed_from_the_fetch_that_discovered_it() {
    let origin = web::start().await;
    let body = bytes(14, 400_000);
    origin.put_with(
        "/me.json",
        body.clone(),
        &[("cache-control", "private, no-store")],
    );
    let edge = edge::new().origin(&origin).run().await;
    for asked in 1..=3 {
        assert_same(&edge.get("/me.json").await.whole(200).body, &body);
        assert_eq!(origin.requests("/me.json"), asked);
    }
    edge.metric_reaches(("weir_requests_total", &[("outcome", "pass")]), 3.0)
        .await;
    assert!(edge.metric("weir_memory_objects", &[]).await < 0.5);
}
