//! What a POST was answered, asked for by GET.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::tests::{Bench, MIB, Scripted};
use crate::cache::posted::Posted;
use crate::clock;
use crate::key::Key;
use crate::metrics::Outcome;
use crate::purge::order::Scope;

fn posted(bench: &Bench, cache_control: &'static str) -> Posted {
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", HeaderValue::from_static(cache_control));
    headers.insert("content-length", HeaderValue::from_static("6"));
    Posted {
        status: StatusCode::OK,
        headers,
        body: Bytes::from_static(b"posted"),
        asked: clock::now(),
        arrived: clock::now(),
        stamp: bench.engine.purges().stamp(),
    }
}

#[tokio::test]
async fn who_asks_right_after_a_post_gets_its_answer() {
    let bench = Bench::new(64 * MIB, Scripted::new(1000));
    let posted = posted(&bench, "max-age=60");
    bench.engine.store_posted(bench.ask("/a.m4s", None), posted);
    assert_eq!(bench.get("/a.m4s").await.unwrap(), b"posted");
    bench.settle("/a.m4s").await;
    assert_eq!(bench.open("/a.m4s", None).await.1.outcome, Outcome::Hit);
    assert_eq!(bench.origin.fetch_count(), 0);
}

#[tokio::test]
async fn a_post_that_may_not_be_stored_leaves_gets_as_they_were() {
    let bench = Bench::new(64 * MIB, Scripted::new(1000));
    let posted = posted(&bench, "no-store, max-age=60");
    bench.engine.store_posted(bench.ask("/a.m4s", None), posted);
    assert_eq!(bench.get("/a.m4s").await.unwrap().len(), 1000);
    bench.settle("/a.m4s").await;
    assert_eq!(bench.open("/a.m4s", None).await.1.outcome, Outcome::Hit);
}

#[tokio::test]
async fn a_post_that_a_purge_overtook_is_not_kept() {
    let bench = Bench::new(64 * MIB, Scripted::new(1000));
    let posted = posted(&bench, "max-age=60");
    let scope = Scope::Url(Key::new("s", "/a.m4s", None));
    bench.engine.purges().purge(&[scope.hard()]).await.unwrap();
    bench.engine.store_posted(bench.ask("/a.m4s", None), posted);
    assert_eq!(bench.get("/a.m4s").await.unwrap().len(), 1000);
}
