//! The parts that the tests stand on do what the tests believe of them.

use crate::harness::client::Client;
use crate::harness::web::Plan;
use crate::harness::{assert_same, browser, bytes, cluster, redis, s3, web};

#[tokio::test]
async fn the_store_takes_signed_uploads_and_refuses_strangers() {
    let store = s3::start().await;
    store.put("parts/a.bin", bytes(1, 1000)).await;
    assert_eq!(store.unsigned("parts/a.bin").await.status, 403);
}

#[tokio::test]
async fn a_frozen_redis_thaws_and_a_killed_one_comes_back_empty() {
    let mut redis = redis::start().await;
    redis.ask(&["SET", "a", "b"]).await;
    redis.stop();
    redis.cont();
    assert_eq!(redis.ask(&["GET", "a"]).await, "b");
    redis.kill();
    redis.restart().await;
    assert_eq!(redis.ask(&["GET", "a"]).await, "");
}

#[tokio::test]
async fn a_cluster_promotes_a_replica_of_a_killed_master() {
    let mut cluster = cluster::start().await;
    cluster.fail_over().await;
}

#[tokio::test]
async fn the_web_origin_breaks_bodies_as_planned() {
    let origin = web::start().await;
    let body = bytes(2, 10_000);
    origin.put("/a", body.clone());
    let client = Client::plain(origin.address(), "origin.test");
    for plan in [
        Plan::Truncate(5000),
        Plan::Reset(5000),
        Plan::CutChunks(5000),
    ] {
        origin.next("/a", plan);
        let answer = client.get("/a").await;
        assert!(answer.broken.is_some(), "{plan:?}");
        assert_same(&answer.body, &body[..5000]);
    }
    for plan in [Plan::Serve, Plan::Chunked] {
        origin.next("/a", plan);
        assert_same(&client.get("/a").await.whole(200).body, &body);
    }
    let range = client.request("GET", "/a").header("range", "bytes=-10");
    assert_same(&range.send().await.whole(206).body, &body[9990..]);
    let other = client.request("GET", "/a").header("if-match", "\"other\"");
    assert_eq!(other.send().await.status, 412);
    assert_eq!(origin.requests("/a"), 7);
}

#[tokio::test]
async fn the_browser_tells_what_a_page_computes() {
    let origin = web::start().await;
    let page = "<title>t</title><script>window.answer = 6 * 7</script>";
    origin.put_with("/", page.into(), &[("content-type", "text/html")]);
    let mut browser = browser::open(&format!("http://{}/", origin.address())).await;
    assert_eq!(browser.ask("window.answer").await, 42);
    assert!(!browser.screenshot().await.is_empty());
}
