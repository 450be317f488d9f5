//! The tier against a real `redis-server` on loopback, which is stopped, killed and filled.

use http::{HeaderMap, StatusCode};
use tokio::time::sleep;

use super::*;
use crate::cache::head::Generation;
use crate::clock::UnixMillis;
use crate::http::freshness::Freshness;
use crate::purge::Stamp;
use crate::redis::scratch::{self, Running, Server, cluster, eventually};

/// A head of `bytes` bytes with nothing special about it.
pub(crate) fn head(path: &str, bytes: u64) -> Head {
    Head {
        key: Key::new("s", path, None),
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        length: Some(bytes),
        generation: Generation::random(),
        fetched: UnixMillis(1_790_000_000_000),
        initial_age: Duration::ZERO,
        freshness: Freshness::default(),
        selection: None,
        tags: Arc::from([]),
        stamp: Stamp::default(),
    }
}

/// A started tier; its tasks end with it.
pub(crate) struct Node {
    pub(crate) shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
    client: Running,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Node {
    fn state(&self) -> crate::redis::State {
        self.client.redis.state()
    }
}

pub(crate) async fn run(config: &config::Redis) -> Node {
    let client = scratch::run(config).await;
    let shared = Shared::new(Arc::clone(&client.redis), config);
    let running = Arc::clone(&shared);
    let task = tokio::spawn(async move { running.start().await });
    Node {
        shared,
        task,
        client,
    }
}

fn body(bytes: usize, seed: u8) -> Bytes {
    (0..bytes)
        .map(|i| u8::try_from(i % 251).unwrap() ^ seed)
        .collect()
}

fn pieces(body: &Bytes) -> Vec<(u64, Bytes)> {
    let chunks = body.chunks(limits::CHUNK_BYTES);
    (0..)
        .zip(chunks.map(|chunk| body.slice_ref(chunk)))
        .collect()
}

/// Writes an object and waits until it is there.
async fn store(shared: &Shared, path: &str, body: &Bytes) -> Head {
    let head = head(path, body.len() as u64);
    shared.spill(Spill {
        head: Arc::new(head.clone()),
        chunks: pieces(body),
        whole: true,
    });
    assert!(shared.drain(Duration::from_secs(5)).await);
    head
}

async fn load(shared: &Shared, key: &Key) -> Option<Vec<u8>> {
    let head = shared.head(key).await?;
    let count = head.length?.div_ceil(limits::CHUNK_BYTES as u64);
    let mut body = Vec::new();
    for index in 0..count {
        body.extend_from_slice(&shared.chunk(&head, index).await?);
    }
    Some(body)
}

#[tokio::test]
async fn what_was_spilled_is_read_back_by_another_node() {
    let server = Server::start();
    let (a, b) = (run(&server.config()).await, run(&server.config()).await);
    for bytes in [0, 1, limits::CHUNK_BYTES, 3 * limits::CHUNK_BYTES + 17] {
        let body = body(bytes, 7);
        let head = store(&a.shared, "/a", &body).await;
        assert_eq!(load(&b.shared, &head.key).await.unwrap(), body, "{bytes}");
        let back = b.shared.head(&head.key).await.unwrap();
        assert_eq!(back.generation, head.generation);
        assert_eq!(b.shared.chunk(&back, 9).await, None);
    }
    let absent = Key::new("s", "/absent", None);
    assert!(b.shared.head(&absent).await.is_none());
}

#[tokio::test]
async fn a_full_chunk_stays_in_its_allocator_class() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let head = store(&node.shared, "/a", &body(limits::CHUNK_BYTES, 1)).await;
    let mut client = server.client().await;
    let name = node.shared.keys.chunk(&head, 0);
    let mut memory = redis::cmd("MEMORY");
    memory.arg("USAGE").arg(&name);
    let usage: usize = memory.query_async(&mut client).await.unwrap();
    assert!(usage < limits::CHUNK_BYTES + 1024, "{usage}");
    let ttl = redis::cmd("PTTL")
        .arg(&name)
        .query_async::<i64>(&mut client)
        .await
        .unwrap();
    assert!((1..=300_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_block_of_a_large_object_is_found_without_the_others() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let chunk = limits::CHUNK_BYTES as u64;
    let head = Arc::new(head("/big.mp4", 200 * chunk));
    let part = body(limits::CHUNK_BYTES, 3);
    let chunks = vec![(100, part.clone()), (101, part.clone())];
    node.shared.spill(Spill {
        head: Arc::clone(&head),
        chunks,
        whole: false,
    });
    assert!(node.shared.drain(Duration::from_secs(5)).await);
    let back = node.shared.head(&head.key).await.unwrap();
    assert_eq!(node.shared.chunk(&back, 101).await, Some(part));
    assert_eq!(node.shared.chunk(&back, 102).await, None);
}

#[tokio::test]
async fn damaged_chunks_and_those_of_another_fill_are_misses() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let head = store(&node.shared, "/a", &body(1000, 1)).await;
    let damaged = || {
        METRICS
            .redis_calls
            .of(RedisCall::Chunk, Outcome::Damaged)
            .get()
    };
    let before = damaged();
    let other = Head {
        generation: Generation::random(),
        ..head.clone()
    };
    assert_eq!(node.shared.chunk(&other, 0).await, None);
    let mut client = server.client().await;
    let name = node.shared.keys.chunk(&head, 0);
    redis::cmd("SETRANGE")
        .arg(&name)
        .arg(500)
        .arg("x")
        .exec_async(&mut client)
        .await
        .unwrap();
    assert_eq!(node.shared.chunk(&head, 0).await, None);
    assert!(damaged() >= before + 2);
    let name = node.shared.keys.metadata(&head.key);
    redis::cmd("SETRANGE")
        .arg(&name)
        .arg(30)
        .arg("x")
        .exec_async(&mut client)
        .await
        .unwrap();
    assert!(node.shared.head(&head.key).await.is_none());
}

#[tokio::test]
async fn a_stopped_server_costs_a_deadline_then_nothing_and_is_found_again() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let head = store(&node.shared, "/a", &body(1000, 1)).await;
    server.signal("-STOP");
    for _ in 0..5 {
        let started = Instant::now();
        assert!(node.shared.head(&head.key).await.is_none());
        assert!(
            started.elapsed() < Duration::from_millis(150),
            "{:?}",
            started.elapsed()
        );
    }
    assert!(node.state().reads_rejected);
    for _ in 0..200 {
        let started = Instant::now();
        assert!(node.shared.head(&head.key).await.is_none());
        assert!(
            started.elapsed() < Duration::from_millis(5),
            "{:?}",
            started.elapsed()
        );
        sleep(Duration::from_millis(5)).await;
    }
    server.signal("-CONT");
    eventually("hits again", || async {
        load(&node.shared, &head.key).await.is_some()
    })
    .await;
    eventually("closed", || async { !node.state().reads_rejected }).await;
}

#[tokio::test]
async fn a_killed_server_is_used_again_when_it_is_back() {
    let mut server = Server::start();
    let node = run(&server.config()).await;
    let head = store(&node.shared, "/a", &body(1000, 1)).await;
    server.kill();
    let started = Instant::now();
    for _ in 0..20 {
        assert!(node.shared.head(&head.key).await.is_none());
    }
    assert!(
        started.elapsed() < Duration::from_millis(200),
        "{:?}",
        started.elapsed()
    );
    eventually("seen", || async { !node.state().up }).await;
    assert!(node.state().last_error.is_some());
    server.restart();
    let again = body(2000, 2);
    eventually("written and read again", || async {
        let head = store(&node.shared, "/b", &again).await;
        load(&node.shared, &head.key)
            .await
            .is_some_and(|body| body == again)
    })
    .await;
    assert!(node.state().up);
}

#[tokio::test]
async fn a_full_server_is_still_read() {
    let server = Server::with(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    let node = run(&server.config()).await;
    let kept = body(100_000, 1);
    let head = store(&node.shared, "/kept", &kept).await;
    for n in 0..30 {
        store(
            &node.shared,
            &format!("/{n}"),
            &body(limits::CHUNK_BYTES, 1),
        )
        .await;
    }
    assert!(node.state().writes_rejected);
    assert!(!node.state().reads_rejected);
    assert_eq!(load(&node.shared, &head.key).await.unwrap(), kept);
    let mut client = server.client().await;
    let set = ["SET", "maxmemory", "100mb"];
    redis::cmd("CONFIG")
        .arg(&set)
        .exec_async(&mut client)
        .await
        .unwrap();
    eventually("writes again", || async { !node.state().writes_rejected }).await;
}

#[tokio::test]
async fn the_future_of_start_takes_its_tasks_with_it() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let shared = Arc::clone(&node.shared);
    drop(node);
    eventually("released", || async { Arc::strong_count(&shared) == 1 }).await;
}

#[tokio::test]
async fn a_confirmed_head_takes_its_chunks_along() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let bytes = body(limits::CHUNK_BYTES + 1, 1);
    let mut head = store(&node.shared, "/a", &bytes).await;
    let names = [
        node.shared.keys.metadata(&head.key),
        node.shared.keys.chunk(&head, 0),
        node.shared.keys.chunk(&head, 1),
    ];
    let confirm = |head: &Head| {
        node.shared.spill(Spill {
            head: Arc::new(head.clone()),
            chunks: Vec::new(),
            whole: false,
        });
    };
    head.fetched = UnixMillis(head.fetched.0 + 1000);
    head.freshness.lifetime = Duration::from_secs(500);
    confirm(&head);
    assert!(node.shared.drain(Duration::from_secs(5)).await);
    let mut client = server.client().await;
    for name in &names {
        let mut cmd = redis::cmd("PTTL");
        let ttl: i64 = cmd.arg(name).query_async(&mut client).await.unwrap();
        assert!((490_000..=500_000).contains(&ttl), "{name}: {ttl}");
    }
    let back = node.shared.head(&head.key).await.unwrap();
    assert_eq!(back.fetched, head.fetched);
    assert_eq!(load(&node.shared, &head.key).await.unwrap(), bytes);
    redis::cmd("FLUSHALL")
        .exec_async(&mut client)
        .await
        .unwrap();
    confirm(&head);
    assert!(node.shared.drain(Duration::from_secs(5)).await);
    assert!(
        node.shared.head(&head.key).await.is_none(),
        "a head without a chunk is not written"
    );
}

#[tokio::test]
async fn head_and_first_chunk_have_one_deadline_between_them() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let head = store(&node.shared, "/a", &body(10, 1)).await;
    server.signal("-STOP");
    let asked = Instant::now();
    assert!(node.shared.head(&head.key).await.is_none());
    assert!(node.shared.first_chunk(&head, asked).await.is_none());
    let taken = asked.elapsed();
    assert!(taken < Duration::from_millis(190), "{taken:?}");
    server.signal("-CONT");
}

#[tokio::test]
async fn a_cluster_that_loses_a_master_costs_deadlines_and_is_whole_again() {
    let mut servers = cluster().await;
    let urls = servers.iter().map(Server::url).collect();
    let mut config = scratch::config(config::Topology::Cluster(urls));
    config.connect_timeout = Duration::from_secs(2);
    let node = run(&config).await;
    let mut heads = Vec::new();
    for n in 0..12 {
        heads.push(store(&node.shared, &format!("/{n}"), &body(300_000, n)).await);
    }
    for head in &heads {
        assert!(load(&node.shared, &head.key).await.is_some());
    }
    // Metadata and two chunks of each object, on a master and on its replica.
    eventually("replicated", || async {
        let mut keys = 0;
        for server in &servers {
            let mut client = server.client().await;
            keys += redis::cmd("DBSIZE")
                .query_async::<usize>(&mut client)
                .await
                .unwrap();
        }
        keys == heads.len() * 3 * 2
    })
    .await;
    servers[0].kill();
    let killed = Instant::now();
    while killed.elapsed() < Duration::from_secs(1) {
        for head in &heads {
            let started = Instant::now();
            drop(node.shared.head(&head.key).await);
            assert!(
                started.elapsed() < Duration::from_millis(150),
                "{:?}",
                started.elapsed()
            );
        }
    }
    eventually("every object again", || async {
        for head in &heads {
            if load(&node.shared, &head.key).await.is_none() {
                return false;
            }
        }
        true
    })
    .await;
}
