//! Memory, Redis, origin: who answers, and what goes on when the origin is gone.

use crate::harness::{assert_same, bytes, edge, files, redis, s3};

#[tokio::test]
async fn what_one_node_filled_the_other_has_from_redis_also_when_the_store_is_gone() {
    let store = s3::own().await;
    let redis = redis::start().await;
    let first = bytes(1, 700_000);
    let second = bytes(2, 3000);
    store.put("tiers/seg1.m4s", first.clone()).await;
    store.put("tiers/seg2.m4s", second.clone()).await;
    let a = edge::new()
        .origin(&store)
        .redis(&redis)
        .node("a")
        .run()
        .await;
    let b = edge::new()
        .origin(&store)
        .redis(&redis)
        .node("b")
        .run()
        .await;

    let filled = a.get("/tiers/seg1.m4s").await.whole(200);
    assert_same(&filled.body, &first);
    let status = filled.header("cache-status").to_owned();
    assert!(
        status.starts_with("a") && status.contains("fwd=uri-miss"),
        "{status}"
    );
    a.get("/tiers/seg2.m4s").await.whole(200);
    a.metric_reaches(("weir_redis_spills_total", &[("result", "written")]), 2.0)
        .await;

    let shared = b.get("/tiers/seg1.m4s").await.whole(200);
    assert_same(&shared.body, &first);
    let status = shared.header("cache-status").to_owned();
    assert!(
        status.starts_with("b") && status.contains("hit"),
        "{status}"
    );
    assert!(
        status.contains("detail=redis"),
        "the tier is named: {status}"
    );
    assert_eq!(shared.header("etag"), filled.header("etag"));
    assert_eq!(shared.header("content-type"), filled.header("content-type"));
    let hit = [("outcome", "hit"), ("tier", "redis")];
    b.metric_reaches(("weir_requests_total", &hit), 1.0).await;
    assert!(
        b.metric("weir_origin_requests_total", &[]).await < 0.5,
        "no origin request"
    );

    store.stop();
    for node in [&a, &b] {
        // The second object is new to node b: Redis has it, the store is gone.
        assert_same(&node.get("/tiers/seg1.m4s").await.whole(200).body, &first);
        assert_same(&node.get("/tiers/seg2.m4s").await.whole(200).body, &second);
    }
    let memory = [("outcome", "hit"), ("tier", "memory")];
    // Promoted on the first hit.
    b.metric_reaches(("weir_requests_total", &memory), 1.0)
        .await;
    let lost = b.get("/tiers/never-asked.m4s").await;
    assert!(
        (500..600).contains(&lost.status),
        "no copy and no origin: {}",
        lost.status
    );
}

#[tokio::test]
async fn a_file_larger_than_a_segment_comes_from_redis_by_block() {
    let files = files::start();
    let redis = redis::start().await;
    let file = bytes(3, 80_000_000);
    files.put("/film.mp4", &file);
    let builder = || edge::new().origin(&files).redis(&redis).memory("256MiB");
    let a = builder().node("a").run().await;
    let b = builder().node("b").run().await;
    let range = ("range", "bytes=50000000-50099999");
    let tail = a
        .request("GET", "/film.mp4")
        .header(range.0, range.1)
        .send()
        .await
        .whole(206);
    assert_same(&tail.body, &file[50_000_000..50_100_000]);
    a.metric_reaches(("weir_redis_spills_total", &[("result", "written")]), 1.0)
        .await;
    let tail = b
        .request("GET", "/film.mp4")
        .header(range.0, range.1)
        .send()
        .await
        .whole(206);
    assert_same(&tail.body, &file[50_000_000..50_100_000]);
    assert!(
        b.metric("weir_origin_requests_total", &[]).await < 0.5,
        "no origin request"
    );
}

#[tokio::test]
async fn damaged_data_in_redis_is_a_miss_and_a_counter() {
    let files = files::start();
    let redis = redis::start().await;
    let objects = (0..8_usize).map(|i| (format!("/seg{i}.m4s"), bytes(40 + i as u64, 300_000)));
    let objects: Vec<_> = objects.collect();
    let builder = || edge::new().origin(&files).redis(&redis);
    let a = builder().node("a").run().await;
    for (path, body) in &objects {
        files.put(path, body);
        a.get(path).await.whole(200);
    }
    let written = ("weir_redis_spills_total", [("result", "written")]);
    a.metric_reaches((written.0, &written.1), objects.len() as f64)
        .await;
    // Overwrites bytes in the middle of every record, metadata and chunks alike.
    let records = redis.ask(&["KEYS", "*:1:*"]).await;
    assert!(records.lines().count() >= 2 * objects.len(), "{records}");
    for key in records.lines() {
        redis.ask(&["SETRANGE", key, "40", "damage"]).await;
    }
    let b = builder().node("b").run().await;
    for (path, body) in &objects {
        assert_same(&b.get(path).await.whole(200).body, body);
    }
    // A read that is late on a busy machine finds no damage; one of so many is in time.
    let damaged = b
        .metric("weir_redis_calls_total", &[("result", "damaged")])
        .await;
    assert!(damaged > 0.5, "the damage is counted");
}
