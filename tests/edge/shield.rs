//! Two Weirs in a row: edges in front of a shield in front of the origin.

use std::time::Duration;

use bytes::Bytes;

use crate::harness::client::Protocol;
use crate::harness::edge::{Builder, Edge};
use crate::harness::web::Web;
use crate::harness::{assert_same, bytes, edge, web};

/// How old the origin says its answer is.
const AGE: u64 = 10;

/// For a busy machine; every hop rounds by a second as well.
const SLACK: u64 = 4;

/// How long the shield holds the answer before the second edge asks.
const HELD: Duration = Duration::from_secs(2);

struct Chain {
    origin: Web,
    shield: Edge,
    edges: [Edge; 2],
    body: Bytes,
}

async fn chain(shape: impl Fn(Builder<'static>) -> Builder<'static>) -> Chain {
    let origin = web::start().await;
    let body = bytes(300, 40_000);
    let age = AGE.to_string();
    let headers = [
        ("cache-control", "max-age=600"),
        ("age", &age),
        ("etag", "\"v1\""),
    ];
    origin.put_with("/seg.m4s", body.clone(), &headers);
    let node = |name: &str| shape(edge::new()).node(name);
    let shield = node("shield").origin(&origin).run().await;
    let admin = format!("http://{}", shield.admin_address());
    let behind = |name: &str| {
        let shields = toml::Value::Array(vec![admin.clone().into()]);
        let builder = node(name).origin(&shield);
        builder.set("purge.shields", shields).run()
    };
    let edges = [behind("north").await, behind("south").await];
    Chain {
        origin,
        shield,
        edges,
        body,
    }
}

/// Members of a `Cache-Status`, from the origin's side to the client's.
fn members(status: &str) -> Vec<(&str, &str)> {
    status
        .split(',')
        .map(|member| {
            let member = member.trim();
            member.split_once(';').unwrap_or((member, ""))
        })
        .collect()
}

#[track_caller]
fn is_said(status: &str, expected: [(&str, &str); 2]) {
    let members = members(status);
    let names: Vec<&str> = members.iter().map(|m| m.0.trim_matches('"')).collect();
    assert_eq!(names, expected.map(|e| e.0), "{status}");
    for ((_, said), (_, what)) in members.iter().zip(expected) {
        assert!(said.contains(what), "{what}: {status}");
    }
}

#[track_caller]
fn is_aged(age: u64, least: u64) {
    assert!(
        (least..=least + SLACK).contains(&age),
        "{age} s old, at least {least}"
    );
}

async fn passes_through(chain: &Chain, protocol: Protocol) {
    let [north, south] = &chain.edges;
    let first = north.over(protocol).get("/seg.m4s").await.whole(200);
    assert_same(&first.body, &chain.body);
    is_aged(first.number("age"), AGE);
    let missed = [("shield", "fwd=uri-miss"), ("north", "fwd=uri-miss")];
    is_said(&first.list("cache-status"), missed);

    chain.shield.settled().await;
    tokio::time::sleep(HELD).await;
    let second = south.over(protocol).get("/seg.m4s").await.whole(200);
    assert_same(&second.body, &chain.body);
    is_aged(second.number("age"), AGE + HELD.as_secs());
    let shielded = [("shield", "hit"), ("south", "fwd=uri-miss")];
    is_said(&second.list("cache-status"), shielded);

    north.settled().await;
    south.settled().await;
    let held = [("shield", "fwd=uri-miss"), ("north", "hit")];
    let again = north.over(protocol).get("/seg.m4s").await.whole(200);
    is_said(&again.list("cache-status"), held);
    is_aged(again.number("age"), AGE + HELD.as_secs());
    let again = south.over(protocol).get("/seg.m4s").await.whole(200);
    is_said(
        &again.list("cache-status"),
        [("shield", "hit"), ("south", "hit")],
    );
    assert_eq!(chain.origin.requests("/seg.m4s"), 1);
    let asked = chain.shield.metric("weir_requests_total", &[]).await;
    assert!((asked - 2.0).abs() < 0.5, "once by each edge: {asked}");
}

#[tokio::test]
async fn one_fetch_serves_two_edges_with_the_age_and_the_status_of_the_whole_chain() {
    let chain = chain(|node| node).await;
    passes_through(&chain, Protocol::Http1).await;
}

#[tokio::test]
async fn a_general_site_keeps_age_and_status_along_the_chain_over_http2() {
    let chain = chain(Builder::general).await;
    passes_through(&chain, Protocol::Http2).await;
}

#[tokio::test]
async fn edges_that_ask_together_cost_one_fetch() {
    let chain = chain(|node| node).await;
    let plan = web::Plan::Delay(Duration::from_secs(1));
    chain.origin.always("/seg.m4s", plan);
    let [north, south] = &chain.edges;
    let (first, second) = tokio::join!(north.get("/seg.m4s"), south.get("/seg.m4s"));
    for answer in [first, second] {
        assert_same(&answer.whole(200).body, &chain.body);
    }
    assert_eq!(chain.origin.requests("/seg.m4s"), 1);
}

#[tokio::test]
async fn a_purge_at_an_edge_purges_its_shield_first() {
    let chain = chain(|node| node).await;
    let [north, south] = &chain.edges;
    for node in [north, south] {
        node.get("/seg.m4s").await.whole(200);
        node.settled().await;
    }
    let new = bytes(301, 40_000);
    chain.origin.put("/seg.m4s", new.clone());
    let purged = north.purge("/seg.m4s").await.whole(200);
    let answer: serde_json::Value = serde_json::from_slice(&purged.body).unwrap();
    let shields = answer["shields"].as_array().expect("the shields");
    let admin = format!("http://{}", chain.shield.admin_address());
    assert_eq!(shields.len(), 1, "{answer}");
    assert_eq!(shields[0]["shield"], admin, "{answer}");
    assert_eq!(shields[0]["answer"]["confirmed"][0]["node"], "shield");
    assert_same(&north.get("/seg.m4s").await.whole(200).body, &new);
    assert_same(&chain.shield.get("/seg.m4s").await.whole(200).body, &new);
    assert_eq!(
        chain.origin.requests("/seg.m4s"),
        2,
        "the shield asked anew"
    );
    // Without a Redis between them the other edge knows nothing of it.
    assert_same(&south.get("/seg.m4s").await.whole(200).body, &chain.body);
}

#[tokio::test]
async fn a_purge_is_refused_where_the_shield_cannot_be_reached() {
    let mut chain = chain(|node| node).await;
    let [north, _south] = &chain.edges;
    north.get("/seg.m4s").await.whole(200);
    north.settled().await;
    chain.shield.process().end().await;
    let refused = north.purge("/seg.m4s").await;
    assert_eq!(refused.status, 502, "{}", refused.text());
    let refusals = [("result", "shield")];
    assert!(north.metric("weir_purges_total", &refusals).await > 0.5);
    // Else the edge would fill itself anew from a shield that has the old copy.
    let kept = north.get("/seg.m4s").await.whole(200);
    assert!(
        kept.list("cache-status").contains("; hit"),
        "nothing purged"
    );
}
