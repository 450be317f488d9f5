//! Redis frozen, killed, full or failing over under load: clients notice nothing but a little time.
//!
//! Time is compared with the same load on a node without Redis, in the same test on the same
//! machine, while no other test runs.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::client::Protocol;
use crate::harness::edge::Edge;
use crate::harness::load::{self, Catalogue, Load, Sample, p99};
use crate::harness::{bytes, cluster, edge, eventually, files, redis, turn};

/// Four times the memory of a node: most requests go past memory to Redis.
const OBJECTS: usize = 512;
const OBJECT_BYTES: usize = 128 * 1024;
const MEMORY: &str = "16MiB";

/// Eight clients with 40 requests a second each: half of what two cores can do.
const SHAPE: (usize, Duration) = (8, Duration::from_millis(25));

/// How long each phase of a run is measured.
const PHASE: Duration = Duration::from_secs(5);

/// What a request may take longer while nobody knows yet that Redis is gone.
const ADDED_BEFORE_BREAKER: Duration = Duration::from_millis(150);

/// What it may take longer once the breaker is open.
const ADDED_AFTER_BREAKER: Duration = Duration::from_millis(5);

/// Until hits come from Redis again.
const RECOVERY: Duration = Duration::from_secs(10);

const REDIS_HITS: (&str, &[(&str, &str)]) = (
    "weir_requests_total",
    &[("outcome", "hit"), ("tier", "redis")],
);

fn catalogue(files: &files::Files) -> Catalogue {
    let objects = (0..OBJECTS).map(|i| {
        let (path, body) = (
            format!("/obj/{i}.m4s"),
            bytes(1000 + i as u64, OBJECT_BYTES),
        );
        files.put(&path, &body);
        (path, body)
    });
    objects.collect()
}

/// A node under load, beside the latency of the same load without Redis.
struct Scene {
    edge: Edge,
    load: Load,
    without_redis: Duration,
    _files: files::Files,
    _alone: turn::Alone,
}

/// How the requests of a fault went.
struct Course {
    before_breaker: Duration,
    after_breaker: Duration,
}

impl Scene {
    async fn set(redis: &impl redis::Shared) -> Self {
        let alone = turn::alone().await;
        let files = files::start();
        let catalogue = catalogue(&files);
        let builder = || edge::new().origin(&files).memory(MEMORY).within(&alone);

        let plain = builder().run().await;
        let client = plain.over(Protocol::Http1);
        let load = load::start(&client, &catalogue, SHAPE);
        sleep(PHASE * 2).await;
        let without_redis = p99(&load.end().await);
        drop(plain);

        let edge = builder().redis(redis).run().await;
        let load = load::start(&edge.over(Protocol::Http1), &catalogue, SHAPE);
        edge.metric_reaches(REDIS_HITS, 200.0).await;
        Self {
            edge,
            load,
            without_redis,
            _files: files,
            _alone: alone,
        }
    }

    /// Waits for the breaker to open and measures a while more.
    async fn breaker_opens(&self) -> Instant {
        self.edge
            .metric_reaches(("weir_redis_breaker_open", &[]), 1.0)
            .await;
        let opened = Instant::now();
        sleep(PHASE).await;
        opened
    }

    /// Waits until Redis is hit again.
    async fn recovers(&self) {
        let (name, labels) = REDIS_HITS;
        let before = self.edge.metric(name, labels).await;
        let hits = || async { self.edge.metric(name, labels).await > before + 20.0 };
        eventually("hits come from Redis again", RECOVERY, hits).await;
    }

    /// Ends the load and holds what clients felt against what they may feel.
    async fn end(self, fault: Instant, opened: Instant, mended: Instant) -> Course {
        let samples = self.load.end().await;
        let among = |from: Instant, to: Instant| -> Vec<Sample> {
            samples
                .iter()
                .filter(|s| s.at >= from && s.at < to)
                .cloned()
                .collect()
        };
        let before = p99(&among(fault, opened)).saturating_sub(self.without_redis);
        let after = p99(&among(opened, mended)).saturating_sub(self.without_redis);
        eprintln!(
            "p99 without Redis {:?}; added before the breaker {before:?}, after {after:?}",
            self.without_redis
        );
        assert!(
            before <= ADDED_BEFORE_BREAKER,
            "added before the breaker opens: {before:?}"
        );
        assert!(
            after <= ADDED_AFTER_BREAKER,
            "added after the breaker opened: {after:?}"
        );
        Course {
            before_breaker: before,
            after_breaker: after,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_costs_little_time_and_no_error() {
    let redis = redis::start().await;
    let scene = Scene::set(&redis).await;
    let fault = Instant::now();
    redis.stop();
    let opened = scene.breaker_opens().await;
    let mended = Instant::now();
    redis.cont();
    scene.recovers().await;
    let course = scene.end(fault, opened, mended).await;
    assert!(course.after_breaker <= course.before_breaker.max(ADDED_AFTER_BREAKER));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_costs_little_time_and_no_error() {
    let mut redis = redis::start().await;
    let scene = Scene::set(&redis).await;
    let fault = Instant::now();
    redis.kill();
    let opened = scene.breaker_opens().await;
    let mended = Instant::now();
    redis.restart().await;
    scene.recovers().await;
    scene.end(fault, opened, mended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_costs_no_error_and_is_written_again_when_it_has_room() {
    let redis = redis::start().await;
    let scene = Scene::set(&redis).await;
    redis
        .ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    redis.ask(&["FLUSHALL"]).await;
    let fault = Instant::now();
    sleep(PHASE).await;
    let calls = (
        "weir_redis_calls_total",
        [("operation", "write"), ("result", "error")],
    );
    let refused = scene.edge.metric(calls.0, &calls.1).await;
    assert!(refused > 0.5, "Redis refused writes");
    let mended = Instant::now();
    redis.ask(&["CONFIG", "SET", "maxmemory", "256mb"]).await;
    scene.recovers().await;
    scene.end(fault, fault, mended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_fails_over_costs_little_time_and_no_error() {
    let mut cluster = cluster::start().await;
    let scene = Scene::set(&cluster).await;
    let fault = Instant::now();
    cluster.fail_over().await;
    let mended = Instant::now();
    scene.recovers().await;
    let samples = scene.load.end().await;
    let during: Vec<Sample> = samples
        .iter()
        .filter(|s| s.at >= fault && s.at < mended)
        .cloned()
        .collect();
    let added = p99(&during).saturating_sub(scene.without_redis);
    assert!(
        added <= ADDED_BEFORE_BREAKER,
        "added while failing over: {added:?}"
    );
}

#[tokio::test]
async fn a_node_starts_and_serves_while_redis_is_down() {
    let mut redis = redis::start().await;
    redis.kill();
    let files = files::start();
    let body = bytes(40, 500_000);
    files.put("/seg.m4s", &body);
    let edge = edge::new().origin(&files).redis(&redis).launch().await;
    let answer = edge.get("/seg.m4s").await.whole(200);
    assert!(answer.total < Duration::from_secs(2), "{:?}", answer.total);
    assert!(edge.metric("weir_redis_up", &[]).await < 0.5);
    redis.restart().await;
    edge.metric_reaches(("weir_redis_up", &[]), 1.0).await;
}
