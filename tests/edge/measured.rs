//! What the kernel tells of connections reaches the sessions that they carry, over each protocol.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use crate::harness::client::Protocol;
use crate::harness::edge::Edge;
use crate::harness::web::Web;
use crate::harness::{assert_same, bytes, edge, eventually, link, web};

const MASTER: &str = "#EXTM3U\n\
    #EXT-X-STREAM-INF:BANDWIDTH=800000,CODECS=\"avc1.4d401e\"\nlow.m3u8\n";

/// Some times what makes a sample (64 kB) beside what the systems' buffers take at once.
const SEGMENT: usize = 256 * 1024;

const SEGMENTS: u64 = 4;

/// Above what the link carries, and far below what loopback does.
const BITRATE_MAX: u64 = 100_000_000;

async fn origin() -> Web {
    let origin = web::start().await;
    origin.put("/t/master.m3u8", MASTER.into());
    for number in 1..=SEGMENTS {
        origin.put(&format!("/t/{number}.m4s"), bytes(number, SEGMENT));
    }
    origin
}

/// Plays a session over a connection of that protocol that is slow.
async fn plays(edge: &Edge, protocol: Protocol) {
    let client = edge.over(protocol);
    let link = link::to(client.address()).await;
    let mut connection = client.by(link.address()).connect().await.unwrap();
    let text = connection.get("/t/master.m3u8").await.unwrap().whole(200);
    let text = text.text();
    let uri = text.lines().find(|line| line.starts_with("/~")).unwrap();
    let session = uri.split('/').nth(1).unwrap();
    for number in 1..=SEGMENTS {
        let target = format!("/{session}/t/{number}.m4s");
        let answer = connection.get(&target).await.unwrap().whole(200);
        assert_same(&answer.body, &bytes(number, SEGMENT));
    }
}

/// What the node thinks of its only session's throughput.
async fn estimate(edge: &Edge) -> Value {
    let answer = edge.admin("/v1/sessions").send().await.whole(200);
    let rows: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
    match rows.as_slice() {
        [] => Value::Null,
        [row] => row["estimate"].clone(),
        _ => panic!("more than one: {rows:?}"),
    }
}

/// Plays over a protocol, and asserts what is known by it.
async fn is_measured(origin: &Web, protocol: Protocol) {
    let edge = edge::new().origin(origin).run().await;
    plays(&edge, protocol).await;
    // The end of an answer is noted after its last byte has gone.
    let what = format!("an estimate over {protocol:?}");
    eventually(&what, Duration::from_secs(3), || async {
        estimate(&edge).await.is_object()
    })
    .await;
    let estimate = estimate(&edge).await;
    // No player has said anything: only the kernel knows of round trips.
    assert!(estimate["rtt_millis"].is_u64(), "{protocol:?} {estimate}");
    let bitrate = estimate["bits_per_second"].as_u64().unwrap();
    assert!(
        (1..BITRATE_MAX).contains(&bitrate),
        "{protocol:?} {estimate}"
    );
}

#[tokio::test]
async fn the_kernels_figures_of_a_connection_are_those_of_its_session() {
    let origin = origin().await;
    join_all(Protocol::ALL.map(|protocol| is_measured(&origin, protocol))).await;
}

#[tokio::test]
async fn a_node_that_is_told_not_to_asks_the_kernel_nothing() {
    let origin = origin().await;
    let edge = edge::new().origin(&origin).set("session.tcp_info", false);
    let edge = edge.run().await;
    plays(&edge, Protocol::Http1).await;
    assert!(estimate(&edge).await.is_null());
}
