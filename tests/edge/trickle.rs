//! Bytes reach the client as they arrive, not when a buffer is full.
//!
//! The origin sends a piece only when the test says so, and the test says so only once the client
//! has the piece before: whatever holds bytes back stops the test.

use std::time::Duration;

use tokio::time::timeout;

use crate::harness::client::Protocol;
use crate::harness::web::Plan;
use crate::harness::{assert_same, bytes, edge, web};

const PIECE: usize = 1000;

const PIECES: usize = 12;

/// Loopback takes microseconds; this is for a busy machine.
const SOON: Duration = Duration::from_secs(3);

/// What the origin says about the length and the life of the body.
const KINDS: [(&str, &str, Plan); 2] = [
    ("cacheable", "max-age=60", Plan::Steps(PIECE)),
    ("uncacheable", "no-store", Plan::Steps(PIECE)),
];

async fn arrives_as_it_comes(protocol: Protocol) {
    for (kind, cache_control, plan) in KINDS {
        let origin = web::start().await;
        let body = bytes(30, PIECE * PIECES);
        let headers = [("cache-control", cache_control), ("etag", "\"t\"")];
        origin.put_with("/live.m4s", body.clone(), &headers);
        origin.always("/live.m4s", plan);
        let edge = edge::new().origin(&origin).run().await;

        let what = format!("{kind} over {protocol:?}");
        let open = edge.over(protocol).request("GET", "/live.m4s").open();
        let mut reader = timeout(SOON, open).await.unwrap_or_else(|_| {
            panic!("{what}: no head before the first byte of the body");
        });
        assert_eq!(reader.status, 200, "{what}");
        let mut taken = Vec::new();
        for piece in 1..=PIECES {
            origin.step(1);
            while taken.len() < piece * PIECE {
                let next = timeout(SOON, reader.piece()).await;
                let next = next.unwrap_or_else(|_| {
                    panic!(
                        "{what}: piece {piece} held back, {} bytes came",
                        taken.len()
                    );
                });
                taken.extend_from_slice(&next.unwrap().expect("more is to come"));
            }
        }
        assert_eq!(
            timeout(SOON, reader.piece()).await.unwrap(),
            Ok(None),
            "{what}: ends"
        );
        assert_same(&taken, &body);
    }
}

#[tokio::test]
async fn a_trickle_arrives_as_it_comes_over_http1() {
    arrives_as_it_comes(Protocol::Http1).await;
}

#[tokio::test]
async fn a_trickle_arrives_as_it_comes_over_http1_and_tls() {
    arrives_as_it_comes(Protocol::Http1Tls).await;
}

#[tokio::test]
async fn a_trickle_arrives_as_it_comes_over_http2() {
    arrives_as_it_comes(Protocol::Http2).await;
}

#[tokio::test]
async fn a_second_reader_gets_at_once_what_the_fill_has_so_far() {
    let origin = web::start().await;
    let body = bytes(31, PIECE * PIECES);
    origin.put("/live.m4s", body.clone());
    origin.always("/live.m4s", Plan::Steps(PIECE));
    let edge = edge::new().origin(&origin).run().await;
    origin.step(5);
    let mut first = edge.request("GET", "/live.m4s").open().await;
    first.take(5 * PIECE).await.unwrap();
    let mut second = edge.request("GET", "/live.m4s").open().await;
    let have = timeout(SOON, second.take(5 * PIECE))
        .await
        .expect("at once")
        .unwrap();
    assert_same(&have, &body[..5 * PIECE]);
    origin.step(PIECES - 5);
    let rest = second.rest().await;
    assert_eq!(rest.broken, None);
    assert_same(&rest.body, &body[5 * PIECE..]);
    assert_eq!(origin.requests("/live.m4s"), 1);
}
