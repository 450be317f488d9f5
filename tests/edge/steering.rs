//! What one `PoP` tells others of itself, so that they send players there or keep them away.

use std::time::Duration;

use crate::harness::client::{Client, Protocol};
use crate::harness::edge::{Builder, Edge};
use crate::harness::{edge, eventually, files};

const LOAD: &str = "/.weir/load";

/// Load is measured each second.
const SOON: Duration = Duration::from_secs(5);

fn builder<'a>(files: &files::Files) -> Builder<'a> {
    edge::new()
        .origin(files)
        .set("site.adapt.steering.url", "https://edge.example")
        .set("site.adapt.steering.pathway", "here")
}

/// Asserts what a node says of its load by GET and HEAD.
async fn assert_says(edge: &Edge, status: u16) {
    for method in ["GET", "HEAD"] {
        let answer = edge.request(method, LOAD).send().await.whole(status);
        assert_eq!(answer.header("cache-control"), "no-store", "{method}");
    }
}

#[tokio::test]
async fn a_node_that_drains_says_that_players_should_go_elsewhere() {
    let files = files::start();
    let edge = builder(&files).run().await;
    assert_says(&edge, 204).await;
    let post = edge.request("POST", LOAD).send().await;
    assert_eq!(post.status, 405);
    let admin = Client::plain(edge.admin_address(), "localhost");
    admin.request("POST", "/v1/drain").send().await;
    eventually("it says so", SOON, || async {
        edge.get(LOAD).await.status == 503
    })
    .await;
    assert_says(&edge, 503).await;
}

#[tokio::test]
async fn a_node_near_its_bound_of_connections_says_that_players_should_go_elsewhere() {
    let files = files::start();
    let edge = builder(&files).set("server.max_connections", 10);
    let edge = edge.run().await;
    let client = edge.over(Protocol::Http1);
    let mut open = Vec::new();
    for _ in 0..9 {
        let mut connection = client.connect().await.unwrap();
        connection.get(LOAD).await.unwrap();
        open.push(connection);
    }
    eventually("it says so", SOON, || async {
        edge.get(LOAD).await.status == 503
    })
    .await;
    assert_eq!(edge.metric("weir_duress", &[]).await, 1.0);
}

#[tokio::test]
async fn a_site_without_steering_says_nothing_of_its_load() {
    let files = files::start();
    let edge = edge::new().origin(&files).run().await;
    assert_eq!(edge.get(LOAD).await.status, 404);
}
