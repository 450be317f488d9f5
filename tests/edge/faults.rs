//! Broken origins: never a complete-looking short answer, nothing stored, the next request right.

use crate::harness::client::{Answer, Protocol};
use crate::harness::edge::Edge;
use crate::harness::web::{Plan, Web};
use crate::harness::{assert_same, bytes, edge, web};

const LENGTH: usize = 1_500_000;

/// Where bodies break: past the first chunk of memory, so that readers have begun.
const BREAK: usize = 500_000;

/// What an origin can do to a body of which a length was announced.
const FAULTS: [(&str, Plan); 9] = [
    ("truncated at once", Plan::Truncate(0)),
    ("truncated", Plan::Truncate(BREAK)),
    ("one byte short", Plan::Truncate(LENGTH - 1)),
    ("reset", Plan::Reset(BREAK)),
    ("stalled", Plan::Stall(BREAK)),
    ("silent", Plan::Silent),
    ("announced too long", Plan::Declare(LENGTH + 1000)),
    ("chunks cut off", Plan::CutChunks(BREAK)),
    ("a part passed off as the whole", Plan::PartialAsWhole),
];

/// Asserts that an answer is whole and right, or visibly broken.
#[track_caller]
fn is_honest(what: &str, answer: &Answer, body: &[u8]) {
    if answer.status == 200 && answer.broken.is_none() {
        assert_eq!(
            answer.body.len(),
            body.len(),
            "{what}: looks complete and is short"
        );
        assert_same(&answer.body, body);
    } else if answer.status == 200 {
        assert!(body.starts_with(&answer.body), "{what}: wrong bytes");
    } else {
        assert!(
            (500..600).contains(&answer.status),
            "{what}: {}",
            answer.status
        );
    }
}

/// Asserts that no tier holds anything.
async fn nothing_is_stored(what: &str, edge: &Edge) {
    let scrape = edge.metrics().await;
    assert!(
        scrape.sum("weir_memory_objects", &[]) < 0.5,
        "{what}: stored in memory"
    );
    let written = scrape.sum("weir_redis_spills_total", &[("result", "written")]);
    assert!(written < 0.5, "{what}: stored in Redis");
}

async fn faulty(path: &str) -> (Web, bytes::Bytes) {
    let origin = web::start().await;
    let body = bytes(20, LENGTH);
    origin.put(path, body.clone());
    (origin, body)
}

async fn lasting_faults(protocol: Protocol) {
    for (what, plan) in FAULTS {
        Box::pin(lasting_fault(what, plan, protocol)).await;
    }
}

async fn lasting_fault(what: &str, plan: Plan, protocol: Protocol) {
    let what = format!("{what} over {protocol:?}");
    let (origin, body) = faulty("/seg.m4s").await;
    let edge = edge::new().origin(&origin).impatient().run().await;
    origin.always("/seg.m4s", plan);
    let client = edge.over(protocol);
    let (first, second) = tokio::join!(client.get("/seg.m4s"), client.get("/seg.m4s"));
    for answer in [&first, &second] {
        is_honest(&what, answer, &body);
        let bad = answer.status != 200 || answer.broken.is_some();
        assert!(bad, "{what}: nothing could have been whole");
    }
    nothing_is_stored(&what, &edge).await;
    origin.always("/seg.m4s", Plan::Serve);
    // A short mark may spare a failing origin; it must pass by itself.
    let healed = || async { client.get("/seg.m4s").await.status == 200 };
    crate::harness::eventually(&what, std::time::Duration::from_secs(10), healed).await;
    assert_same(&client.get("/seg.m4s").await.whole(200).body, &body);
}

#[tokio::test]
async fn a_lasting_fault_never_looks_complete_over_http1() {
    lasting_faults(Protocol::Http1).await;
}

#[tokio::test]
async fn a_lasting_fault_never_looks_complete_over_http2() {
    lasting_faults(Protocol::Http2).await;
}

#[tokio::test]
async fn a_single_fault_is_resumed_or_shown_and_the_next_request_is_right() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for (what, plan) in FAULTS {
            let what = format!("{what}, once, over {protocol:?}");
            let (origin, body) = faulty("/seg.m4s").await;
            let edge = edge::new().origin(&origin).impatient().run().await;
            origin.next("/seg.m4s", plan);
            is_honest(&what, &edge.over(protocol).get("/seg.m4s").await, &body);
            let next = edge.over(protocol).get("/seg.m4s").await;
            assert_same(&next.whole(200).body, &body);
        }
    }
}

#[tokio::test]
async fn a_broken_body_is_resumed_by_range_with_the_pinned_entity_tag() {
    let (origin, body) = faulty("/seg.m4s").await;
    let edge = edge::new().origin(&origin).impatient().run().await;
    origin.next("/seg.m4s", Plan::Reset(BREAK));
    assert_same(&edge.get("/seg.m4s").await.whole(200).body, &body);
    let seen = origin.seen("/seg.m4s");
    assert_eq!(seen.len(), 2);
    assert!(
        seen[1]
            .header("range")
            .is_some_and(|r| r.starts_with("bytes="))
    );
    assert!(
        seen[1].header("if-match").is_some(),
        "the version is pinned"
    );
    assert!((edge.metric("weir_origin_resumes_total", &[]).await - 1.0).abs() < 0.5);
}

#[tokio::test]
async fn a_body_replaced_while_it_is_resumed_is_never_mixed() {
    let origin = web::start().await;
    let old = bytes::Bytes::from(vec![1; LENGTH]);
    origin.put("/seg.m4s", old.clone());
    origin.next("/seg.m4s", Plan::Stall(BREAK));
    let edge = edge::new().origin(&origin).impatient().run().await;
    let mut reader = edge.request("GET", "/seg.m4s").open().await;
    reader.take(BREAK / 2).await.unwrap();
    origin.put("/seg.m4s", bytes::Bytes::from(vec![2; LENGTH]));
    let answer = reader.rest().await;
    assert!(
        answer.broken.is_some(),
        "the old version cannot be completed"
    );
    assert!(
        answer.body.iter().all(|b| *b == 1),
        "no byte of the new version"
    );
    let next = edge.get("/seg.m4s").await.whole(200);
    assert!(next.body.len() == LENGTH && next.body.iter().all(|b| *b == 2));
}

#[tokio::test]
async fn a_wrong_range_from_the_origin_is_refused_and_not_stored() {
    let origin = web::start().await;
    let body = bytes(21, 70_000_000);
    origin.put("/film.mp4", body.clone());
    let edge = edge::new()
        .origin(&origin)
        .impatient()
        .memory("128MiB")
        .run()
        .await;
    origin.next("/film.mp4", Plan::WrongRange);
    let ask = || {
        edge.request("GET", "/film.mp4")
            .header("range", "bytes=1000-1999")
            .send()
    };
    let first = ask().await;
    if first.status == 206 && first.broken.is_none() {
        assert_same(&first.body, &body[1000..2000]);
    } else {
        assert!(
            first.broken.is_some() || first.status >= 500,
            "{}",
            first.status
        );
    }
    assert_same(&ask().await.whole(206).body, &body[1000..2000]);
}

#[tokio::test]
async fn a_dead_origin_is_an_error_at_once_and_a_cached_copy_is_served() {
    let (origin, body) = faulty("/seg.m4s").await;
    let edge = edge::new().origin(&origin).impatient().run().await;
    edge.get("/seg.m4s").await.whole(200);
    drop(origin);
    assert_same(&edge.get("/seg.m4s").await.whole(200).body, &body);
    let lost = edge.get("/other.m4s").await;
    assert!((500..600).contains(&lost.status), "{}", lost.status);
    assert!(
        lost.total < std::time::Duration::from_secs(5),
        "{:?}",
        lost.total
    );
}

#[tokio::test]
async fn a_body_of_unknown_length_is_served_whole_and_cached() {
    let (origin, body) = faulty("/seg.m4s").await;
    origin.always("/seg.m4s", Plan::Chunked);
    let edge = edge::new().origin(&origin).run().await;
    for protocol in Protocol::ALL {
        let answer = edge.over(protocol).get("/seg.m4s").await;
        assert_same(&answer.whole(200).body, &body);
    }
    assert_eq!(origin.requests("/seg.m4s"), 1);
}

#[tokio::test]
async fn an_error_of_the_origin_is_not_stored_and_an_object_that_goes_is_gone() {
    let (origin, body) = faulty("/seg.m4s").await;
    let edge = edge::new().origin(&origin).impatient().run().await;
    origin.always("/seg.m4s", Plan::Status(503));
    let failed = edge.get("/seg.m4s").await;
    assert!((500..600).contains(&failed.status), "{}", failed.status);
    nothing_is_stored("503", &edge).await;
    origin.always("/seg.m4s", Plan::Serve);
    let healed = || async { edge.get("/seg.m4s").await.status == 200 };
    let patience = std::time::Duration::from_secs(10);
    crate::harness::eventually("the origin is asked again", patience, healed).await;
    assert_same(&edge.get("/seg.m4s").await.whole(200).body, &body);
    origin.remove("/seg.m4s");
    edge.purge("/seg.m4s").await;
    assert_eq!(edge.get("/seg.m4s").await.status, 404);
}
