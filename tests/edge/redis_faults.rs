//! Redis frozen, killed, full or failing over under load: clients notice nothing but a little time.
//!
//! Time is compared with a node without Redis under the same load in the same seconds, while no
//! other test runs: what else the machine does befalls both.

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

/// Four clients of each node with 40 requests a second each: half of what two cores can do.
const SHAPE: (usize, Duration) = (4, Duration::from_millis(25));

/// How long each phase of a run is measured, in windows of which the median counts.
const PHASE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(2);

/// What a request may take longer while nobody knows yet that Redis is gone.
const ADDED_BEFORE_BREAKER: Duration = Duration::from_millis(150);

/// What it may take longer once the breaker is open.
const ADDED_AFTER_BREAKER: Duration = Duration::from_millis(5);

/// Until the node stops asking a Redis that does not answer.
const GIVES_UP: Duration = Duration::from_secs(10);

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

/// A node under load, beside one without Redis under the same.
struct Scene {
    edge: Edge,
    load: Load,
    control: Load,
    _plain: Edge,
    _files: files::Files,
    _alone: turn::Alone,
}

/// What the clients of both nodes felt.
struct Course {
    samples: Vec<Sample>,
    control: Vec<Sample>,
}

impl Scene {
    async fn set(redis: &impl redis::Shared) -> Self {
        let alone = turn::alone().await;
        let files = files::start();
        let catalogue = catalogue(&files);
        let builder = || edge::new().origin(&files).memory(MEMORY).within(&alone);
        let plain = builder().run().await;
        let edge = builder().redis(redis).run().await;
        let load = |edge: &Edge| load::start(&edge.over(Protocol::Http1), &catalogue, SHAPE);
        let (load, control) = (load(&edge), load(&plain));
        edge.metric_reaches(REDIS_HITS, 200.0).await;
        Self {
            edge,
            load,
            control,
            _plain: plain,
            _files: files,
            _alone: alone,
        }
    }

    /// Waits until the node asks Redis no more, and measures a while longer.
    async fn gives_up(&self) -> Instant {
        let unasked = || async {
            let now = self.edge.metrics().await;
            now.sum("weir_redis_breaker_open", &[]) > 0.5 || now.sum("weir_redis_up", &[]) < 0.5
        };
        eventually("the node gives Redis up", GIVES_UP, unasked).await;
        let given_up = Instant::now();
        sleep(PHASE).await;
        given_up
    }

    /// Waits until Redis is hit again.
    async fn recovers(&self) {
        let (name, labels) = REDIS_HITS;
        let before = self.edge.metric(name, labels).await;
        let hits = || async { self.edge.metric(name, labels).await > before + 20.0 };
        eventually("hits come from Redis again", RECOVERY, hits).await;
    }

    /// Ends the load; no client of either node may have met an error.
    async fn end(self) -> Course {
        let (samples, control) = (self.load.end().await, self.control.end().await);
        Course { samples, control }
    }
}

impl Course {
    /// What the one in a hundred took longer than without Redis: the median of the windows.
    fn added(&self, what: &str, from: Instant, to: Instant) -> Duration {
        let mut windows = Vec::new();
        let mut start = from;
        // A window that is cut short has too few requests for one in a hundred.
        while start + WINDOW <= to || windows.is_empty() {
            let end = (start + WINDOW).min(to);
            let within = |samples: &[Sample]| {
                let all = samples.iter().filter(|s| s.at >= start && s.at < end);
                p99(&all.cloned().collect::<Vec<_>>())
            };
            let (with, without) = (within(&self.samples), within(&self.control));
            windows.push((with.saturating_sub(without), with, without));
            start = end;
        }
        eprintln!("{what}: added, p99 with Redis, p99 without: {windows:?}");
        windows.sort_unstable();
        windows[windows.len() / 2].0
    }

    /// Holds what clients felt against what they may feel.
    fn judge(&self, fault: Instant, given_up: Instant, mended: Instant) -> Verdict {
        let before = self.added("before the breaker", fault, given_up);
        let after = self.added("after the breaker", given_up, mended);
        at_most(before, ADDED_BEFORE_BREAKER).and(at_most(after, ADDED_AFTER_BREAKER))
    }
}

/// Whether what a fault added stays within its bound.
type Verdict = Result<(), String>;

fn at_most(added: Duration, bound: Duration) -> Verdict {
    match added <= bound {
        true => Ok(()),
        false => Err(format!("{added:?} added where {bound:?} is the bound")),
    }
}

/// Measures a fault, and once more before a bad figure is believed: the machine is shared. An
/// error of a client, or hits that do not come back, fail the test at once.
async fn believed(measure: impl AsyncFn() -> Verdict) {
    let Err(first) = measure().await else { return };
    eprintln!("measured again: {first}");
    measure().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_costs_little_time_and_no_error() {
    believed(async || {
        let redis = redis::start().await;
        let scene = Scene::set(&redis).await;
        let fault = Instant::now();
        redis.stop();
        let given_up = scene.gives_up().await;
        let mended = Instant::now();
        redis.cont();
        scene.recovers().await;
        scene.end().await.judge(fault, given_up, mended)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_costs_little_time_and_no_error() {
    believed(async || {
        let mut redis = redis::start().await;
        let scene = Scene::set(&redis).await;
        let fault = Instant::now();
        redis.kill();
        let given_up = scene.gives_up().await;
        let mended = Instant::now();
        redis.restart().await;
        scene.recovers().await;
        scene.end().await.judge(fault, given_up, mended)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_costs_no_error_and_is_written_again_when_it_has_room() {
    believed(async || {
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
        let added = scene.end().await.added("full", fault, mended);
        at_most(added, ADDED_AFTER_BREAKER)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_fails_over_costs_little_time_and_no_error() {
    believed(async || {
        let mut cluster = cluster::start().await;
        let scene = Scene::set(&cluster).await;
        let fault = Instant::now();
        cluster.fail_over().await;
        let mended = Instant::now();
        scene.recovers().await;
        let course = scene.end().await;
        let added = course.added("failing over", fault, mended);
        at_most(added, ADDED_BEFORE_BREAKER)
    })
    .await;
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
