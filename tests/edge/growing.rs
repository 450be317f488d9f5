//! Objects whose length nobody knows, objects that grow while they are read, and origins that
//! cannot or will not send a part.

use std::time::Duration;

use tokio::time::timeout;

use crate::harness::client::{Download, Protocol};
use crate::harness::edge::Edge;
use crate::harness::web::{Plan, Web};
use crate::harness::{assert_same, bytes, edge, web};

const PIECE: usize = 20_000;

const PIECES: usize = 10;

/// Loopback takes microseconds; this is for a busy machine.
const SOON: Duration = Duration::from_secs(3);

/// Bytes of a block: four chunks of 256 KiB - 64 B.
const BLOCK: usize = 4 * (256 * 1024 - 64);

/// More than one block and less than what is always filled whole.
const BIG: usize = 3 * BLOCK + 12_345;

const FRESH: (&str, &str) = ("cache-control", "max-age=600");

async fn scene(profile: &str) -> (Web, Edge) {
    let origin = web::start().await;
    let builder = edge::new().origin(&origin).set("site.profile", profile);
    let edge = builder.set("site.deadlines.tries", 1).run().await;
    (origin, edge)
}

async fn next(reader: &mut Download, length: usize) -> bytes::Bytes {
    let taken = timeout(SOON, reader.take(length)).await;
    taken.expect("nothing is held back").unwrap()
}

/// A live segment in chunked CMAF: the origin sends a piece once the readers have the one before.
async fn grows(profile: &str, protocol: Protocol, path: &str) {
    let what = format!("{path} of a {profile} site over {protocol:?}");
    let (origin, edge) = scene(profile).await;
    let body = bytes(700, PIECE * PIECES);
    origin.put_with(path, body.clone(), &[FRESH]);
    origin.always(path, Plan::ChunkSteps(PIECE));
    let client = edge.over(protocol);

    let open = client.request("GET", path).open();
    let (first, ()) = tokio::join!(timeout(SOON, open), async { origin.step(1) });
    let mut first = first.unwrap_or_else(|_| panic!("{what}: no head"));
    assert_eq!(first.status, 200, "{what}");
    let mut taken = next(&mut first, PIECE).await.to_vec();
    for _ in 1..PIECES / 2 {
        origin.step(1);
        taken.extend_from_slice(&next(&mut first, PIECE).await);
    }
    assert_same(&taken, &body[..PIECE * PIECES / 2]);

    let open = client.request("GET", path).open();
    let mut second = timeout(SOON, open).await.expect("a head at once");
    let prefix = next(&mut second, PIECE * PIECES / 2).await;
    assert_same(&prefix, &body[..PIECE * PIECES / 2]);
    for piece in PIECES / 2..PIECES {
        origin.step(1);
        let span = piece * PIECE..(piece + 1) * PIECE;
        assert_same(&next(&mut second, PIECE).await, &body[span.clone()]);
        assert_same(&next(&mut first, PIECE).await, &body[span]);
    }
    origin.step(1);
    for reader in [first, second] {
        let rest = reader.rest().await;
        assert_eq!(rest.broken, None, "{what}: it ends properly");
        assert!(rest.body.is_empty(), "{what}");
    }
    edge.settled().await;
    let whole = client.get(path).await.whole(200);
    assert_same(&whole.body, &body);
    assert_eq!(whole.number("content-length"), body.len() as u64, "{what}");
    let part = client.request("GET", path).header("range", "bytes=-100");
    let part = part.send().await.whole(206);
    assert_same(&part.body, &body[body.len() - 100..]);
    assert_eq!(origin.requests(path), 1, "{what}");
}

#[tokio::test]
async fn a_growing_segment_is_read_as_it_comes_and_then_cached_whole() {
    for protocol in Protocol::ALL {
        grows("video", protocol, "/live.m4s").await;
    }
}

#[tokio::test]
async fn a_growing_answer_of_any_server_is_read_as_it_comes_and_then_cached_whole() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        grows("general", protocol, "/export").await;
    }
}

#[tokio::test]
async fn a_growing_object_that_breaks_off_is_cached_nowhere() {
    let (origin, edge) = scene("video").await;
    let body = bytes(701, PIECE * PIECES);
    origin.put_with("/live.m4s", body.clone(), &[FRESH]);
    origin.next("/live.m4s", Plan::CutChunks(PIECE * 3));
    let broken = edge.get("/live.m4s").await;
    assert!(
        broken.status >= 500 || broken.broken.is_some(),
        "{} looks complete with {} bytes",
        broken.status,
        broken.body.len()
    );
    edge.settled().await;
    assert_same(&edge.get("/live.m4s").await.whole(200).body, &body);
    assert_eq!(origin.requests("/live.m4s"), 2);
}

/// Asks for parts near both ends, and for everything.
async fn parts_are_right(edge: &Edge, path: &str, body: &[u8], what: &str) {
    let length = body.len();
    for span in [
        length - 1000..length,
        BLOCK - 10..BLOCK + 10,
        0..100,
        2 * BLOCK..2 * BLOCK + 1,
    ] {
        let range = format!("bytes={}-{}", span.start, span.end - 1);
        let part = edge.request("GET", path).header("range", &range);
        let part = part.send().await.whole(206);
        assert_same(&part.body, &body[span.clone()]);
        let shown = format!("bytes {}-{}/{length}", span.start, span.end - 1);
        assert_eq!(part.header("content-range"), shown, "{what}");
    }
    assert_same(&edge.get(path).await.whole(200).body, body);
}

#[tokio::test]
async fn an_origin_that_sends_everything_when_asked_for_a_part_is_asked_once() {
    for profile in ["video", "general"] {
        for headers in [&[FRESH, ("etag", "\"v1\"")][..], &[FRESH]] {
            let (origin, edge) = scene(profile).await;
            let body = bytes(702, BIG);
            origin.put_with("/film.mp4", body.clone(), headers);
            origin.always("/film.mp4", Plan::Whole);
            let what = format!("{profile} {headers:?}");
            parts_are_right(&edge, "/film.mp4", &body, &what).await;
            assert_eq!(origin.requests("/film.mp4"), 1, "{what}");
        }
    }
}

#[tokio::test]
async fn parts_of_an_object_without_validators_are_never_put_together() {
    let (origin, edge) = scene("video").await;
    let old = bytes(703, BIG);
    origin.put_with("/film.mp4", old.clone(), &[FRESH]);
    parts_are_right(&edge, "/film.mp4", &old, "unchanged").await;

    let (origin, edge) = scene("video").await;
    let (old, new) = (vec![1; BIG], vec![2; BIG]);
    origin.put_with("/film.mp4", old.into(), &[FRESH]);
    let head = edge.request("GET", "/film.mp4");
    let head = head.header("range", "bytes=0-99").send().await.whole(206);
    assert_same(&head.body, &[1; 100]);
    edge.settled().await;
    origin.put_with("/film.mp4", new.into(), &[FRESH]);
    // What is held already may be served; nothing may be both.
    for _ in 0..3 {
        let whole = edge.get("/film.mp4").await;
        assert_eq!(whole.status, 200);
        let first = whole.body.first().copied();
        assert!(
            whole.body.iter().all(|byte| Some(*byte) == first),
            "two versions in one answer"
        );
        if whole.broken.is_none() {
            assert_eq!(whole.body.len(), BIG);
        }
        edge.settled().await;
    }
}

#[tokio::test]
async fn a_part_that_is_not_the_one_asked_for_is_neither_served_nor_kept() {
    for profile in ["video", "general"] {
        for headers in [&[FRESH, ("etag", "\"v1\"")][..], &[FRESH]] {
            let (origin, edge) = scene(profile).await;
            let body = bytes(704, BIG);
            origin.put_with("/film.mp4", body.clone(), headers);
            origin.always("/film.mp4", Plan::WrongRange);
            let asked = edge.request("GET", "/film.mp4");
            let wrong = asked.header("range", "bytes=0-99").send().await;
            let honest = wrong.status >= 500 || wrong.broken.is_some();
            assert!(honest, "{profile} {headers:?}: {}", wrong.status);
            origin.always("/film.mp4", Plan::Serve);
            let healed = || async {
                let asked = edge.request("GET", "/film.mp4");
                asked.header("range", "bytes=0-99").send().await.status == 206
            };
            crate::harness::eventually("it heals", Duration::from_secs(10), healed).await;
            parts_are_right(&edge, "/film.mp4", &body, profile).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_wants_little_of_a_big_object_costs_little() {
    for (range, blocks) in [("bytes=0-9", 1), ("bytes=1048000-1048100", 2)] {
        let (origin, edge) = scene("video").await;
        let body = bytes(705, 70 * BLOCK);
        origin.put_with("/film.mp4", body, &[FRESH, ("etag", "\"v1\"")]);
        let part = edge.request("GET", "/film.mp4").header("range", range);
        part.send().await.whole(206);
        edge.settled().await;
        let fetched = edge.metric("weir_origin_body_bytes_total", &[]).await;
        // No reading ahead of what a bounded range wants.
        assert!(
            fetched <= (blocks * BLOCK) as f64,
            "{range}: {fetched} bytes"
        );
    }
}
