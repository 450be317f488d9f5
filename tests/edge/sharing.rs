//! Who shares an answer of a general site with whom: nobody is given what the origin wants asked
//! for each time, and one client's way of asking costs the others nothing.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::harness::client::Answer;
use crate::harness::edge::Edge;
use crate::harness::web::{Plan, Web};
use crate::harness::{assert_same, bytes, edge, redis, web};

/// Long enough for others to come meanwhile.
const DELAY: Duration = Duration::from_millis(800);

const TOKENS: [&str; 4] = ["alice", "bob", "carol", "dave"];

async fn scene(headers: &[(&str, &str)]) -> (Web, Edge) {
    let origin = web::start().await;
    origin.put_with("/page", bytes(900, 3000), headers);
    let edge = edge::new().general().origin(&origin).run().await;
    (origin, edge)
}

fn own(token: &str) -> Bytes {
    Bytes::from(token.repeat(500))
}

#[tokio::test]
async fn an_answer_that_each_request_must_ask_for_goes_to_nobody_else() {
    for control in ["no-cache", "max-age=0", "max-age=0, must-revalidate", ""] {
        let (origin, edge) = scene(&[("cache-control", control)]).await;
        for token in TOKENS {
            // The origin does not say that it depends on this field: it need not, since it wants
            // to be asked each time.
            origin.put_variant("/page", ("x-token", token), own(token));
        }
        origin.always("/page", Plan::Delay(DELAY));
        let asked = TOKENS.map(|token| {
            let request = edge.request("GET", "/page");
            request.header("x-token", token).send()
        });
        for (token, answer) in TOKENS.iter().zip(join_all(asked).await) {
            assert_same(&answer.whole(200).body, &own(token));
        }
    }
}

#[tokio::test]
async fn who_comes_while_the_body_of_such_an_answer_runs_is_answered_anew() {
    let (origin, edge) = scene(&[("cache-control", "no-cache")]).await;
    origin.next("/page", Plan::ChunkSteps(1000));
    origin.step(1);
    let mut first = edge.request("GET", "/page").open().await;
    first.take(1000).await.unwrap();
    origin.put_variant("/page", ("x-token", "bob"), own("bob"));
    let second = edge.request("GET", "/page").header("x-token", "bob");
    assert_same(&second.send().await.whole(200).body, &own("bob"));
    origin.step(10);
    first.rest().await;
    assert_eq!(origin.requests("/page"), 2);
}

#[tokio::test]
async fn who_wants_less_than_all_brings_no_herd_upon_the_origin() {
    let (origin, edge) = scene(&[("cache-control", "max-age=600")]).await;
    origin.always("/page", Plan::Delay(DELAY));
    let tail = edge.request("GET", "/page").header("range", "bytes=-5");
    let others = async {
        tokio::time::sleep(DELAY / 4).await;
        join_all((0..40).map(|_| edge.get("/page"))).await
    };
    let (tail, others) = tokio::join!(tail.send(), others);
    assert_eq!(tail.body.len(), 5);
    for answer in others {
        assert_same(&answer.whole(200).body, &bytes(900, 3000));
    }
    assert_eq!(origin.requests("/page"), 2, "the tail, and all of it once");
}

#[tokio::test]
async fn clients_with_cookies_refresh_a_stale_copy_once() {
    let control = "max-age=1, stale-while-revalidate=600";
    let (origin, edge) = scene(&[("cache-control", control)]).await;
    edge.get("/page").await.whole(200);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    origin.always("/page", Plan::Delay(DELAY));
    let asked = (0..30).map(|n| {
        let request = edge.request("GET", "/page");
        request.header("cookie", &format!("sid={n}")).send()
    });
    for answer in join_all(asked).await {
        answer.whole(200);
    }
    edge.settled().await;
    assert_eq!(origin.requests("/page"), 2);
}

#[tokio::test]
async fn who_shows_credentials_takes_no_copy_from_the_others() {
    let (origin, edge) = scene(&[("cache-control", "max-age=1"), ("etag", "\"1\"")]).await;
    edge.get("/page").await.whole(200);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let request = edge.request("GET", "/page");
    let request = request.header("authorization", "Basic YTpi");
    request.send().await.whole(200);
    edge.settled().await;
    let before = origin.requests("/page");
    let answers: Vec<Answer> = join_all((0..10).map(|_| edge.get("/page"))).await;
    let said = answers[0].list("cache-status");
    assert!(!said.contains("bypass"), "{said}");
    assert_eq!(origin.requests("/page"), before + 1);
}

#[tokio::test]
async fn the_first_variant_too_is_found_in_redis_by_other_nodes() {
    let redis = redis::start().await;
    let origin = web::start().await;
    let headers = [("cache-control", "max-age=600"), ("vary", "x-token")];
    origin.put_with("/page", bytes(900, 3000), &headers);
    let builder = || edge::new().general().origin(&origin).redis(&redis);
    let (a, b) = (
        builder().node("a").run().await,
        builder().node("b").run().await,
    );
    let read = async |edge: &Edge, token: &str| {
        let request = edge.request("GET", "/page").header("x-token", token);
        request.send().await.whole(200);
        edge.settled().await;
    };
    for token in TOKENS {
        read(&a, token).await;
    }
    let written = ("weir_redis_spills_total", &[("result", "written")][..]);
    a.metric_reaches(written, 4.0).await;
    // The first one last: by then this node knows that there are others.
    for token in TOKENS.iter().rev() {
        read(&b, token).await;
    }
    assert_eq!(origin.requests("/page"), TOKENS.len());
}

#[tokio::test]
async fn a_soft_purge_of_what_must_not_be_stale_is_confirmed_whatever_happens() {
    let (origin, edge) = scene(&[("cache-control", "max-age=600, must-revalidate")]).await;
    edge.get("/page").await.whole(200);
    edge.settled().await;
    let url = edge.url("/page");
    let order = serde_json::json!({"url": url, "soft": true});
    edge.purge_by(&order).await.whole(200);
    origin.always("/page", Plan::Status(503));
    let answer = edge.get("/page").await;
    assert_eq!(answer.status, 503, "not served stale: {:?}", answer.headers);
}
