//! The byte budget holds for everything: cached, filling, and held by readers that dawdle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::harness::client::{Client, Download, Protocol};
use crate::harness::{edge, files, turn};

const MIB: u64 = 1 << 20;

/// The budget.
const MEMORY: u64 = 256 * MIB;

/// Readers at 16 KiB a second, half of them on HTTP/2, each on a connection of its own.
const READERS: usize = 2000;
const READER_RATE: u32 = 16 * 1024;

/// What the readers read: 32 titles of 4 MiB, half of the budget. Each stands at a place of its
/// own; if each held the chunk it stands in, they would hold more than there is.
const WATCHED: usize = 32;
const WATCHED_BYTES: u64 = 4 * MIB;
const APART: u64 = WATCHED_BYTES / (READERS / WATCHED + 1) as u64;

/// Until the last of them has its first bytes.
const ATTACH: Duration = Duration::from_secs(60);

/// What passes beside them: ten times the budget.
const SWEPT_BYTES: u64 = 2 * MIB;
const SWEPT: usize = 1280;
const SWEEPERS: usize = 4;

/// Between two objects of a sweeper: the sweep takes 20 s, in which every reader moves on.
const SWEEP_PACE: Duration = Duration::from_millis(60);

const _: () = assert!(SWEPT as u64 * SWEPT_BYTES == 10 * MEMORY);

/// The bound: size x 1.10 + 128 MiB + 96 KiB a connection.
fn bound(connections: u64) -> u64 {
    MEMORY / 10 * 11 + 128 * MIB + connections * 96 * 1024
}

/// Readers that take their time until told to stop.
struct Readers {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Result<u64, String>>,
}

impl Readers {
    /// Attaches all readers, a few at a time: what is measured is not a storm of handshakes.
    async fn attach(clients: &[Client; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let attached = Arc::new(AtomicU64::new(0));
        for reader in 0..READERS {
            let place = (reader / WATCHED) as u64 * APART;
            let request = clients[reader % 2]
                .request("GET", &watched(reader % WATCHED))
                .header("range", &format!("bytes={place}-"));
            let (stop, attached) = (Arc::clone(&stop), Arc::clone(&attached));
            tasks.spawn(async move {
                let download = request.try_open().await?;
                if download.status != 206 {
                    return Err(format!("answered {}", download.status));
                }
                attached.fetch_add(1, Ordering::Relaxed);
                dawdle(download, &stop).await
            });
            if reader % 20 == 19 {
                sleep(Duration::from_millis(20)).await;
            }
        }
        let all = || async { attached.load(Ordering::Relaxed) == READERS as u64 };
        crate::harness::eventually("all readers are attached", ATTACH, all).await;
        Self { stop, tasks }
    }

    /// Ends them; returns how much each took and what went wrong.
    async fn end(mut self) -> (Vec<u64>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut taken, mut errors) = (Vec::new(), Vec::new());
        while let Some(ended) = self.tasks.join_next().await {
            match ended.unwrap() {
                Ok(bytes) => taken.push(bytes),
                Err(error) => errors.push(error),
            }
        }
        (taken, errors)
    }
}

fn watched(title: usize) -> String {
    format!("/watched/{title}.m4s")
}

fn swept(object: usize) -> String {
    format!("/swept/{object}.m4s")
}

/// Reads at [`READER_RATE`] until told to stop, or to the end; returns how many bytes came.
async fn dawdle(mut download: Download, stop: &AtomicBool) -> Result<u64, String> {
    let (start, mut taken) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = start + Duration::from_secs_f64(taken as f64 / f64::from(READER_RATE));
        let soon = Instant::now() + Duration::from_millis(500);
        if due > soon {
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        tokio::time::sleep_until(due).await;
        match tokio::time::timeout_at(soon, download.piece()).await {
            Ok(Ok(Some(piece))) => taken += piece.len() as u64,
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(error),
            Err(_nothing_yet) => {}
        }
    }
    Ok(taken)
}

/// Fetches every swept object once; returns how many answers were not whole.
fn sweep(client: &Client) -> Vec<JoinHandle<usize>> {
    let sweeper = |first: usize| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut bad = 0;
            let mut ticks = tokio::time::interval(SWEEP_PACE);
            for object in (first..SWEPT).step_by(SWEEPERS) {
                ticks.tick().await;
                let answer = client.get(&swept(object)).await;
                let whole = answer.status == 200 && answer.body.len() as u64 == SWEPT_BYTES;
                bad += usize::from(!whole);
            }
            bad
        })
    };
    (0..SWEEPERS).map(sweeper).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_slow_readers_and_ten_times_the_memory_stay_within_the_bound() {
    let alone = turn::alone().await;
    let files = files::start();
    std::fs::create_dir_all(files.path("/watched")).unwrap();
    std::fs::create_dir_all(files.path("/swept")).unwrap();
    for title in 0..WATCHED {
        files.sparse(&watched(title), WATCHED_BYTES);
    }
    for object in 0..SWEPT {
        files.sparse(&swept(object), SWEPT_BYTES);
    }
    let edge = edge::new()
        .origin(&files)
        .memory(&format!("{}MiB", MEMORY / MIB))
        .within(&alone)
        .run()
        .await;

    let clients = [Protocol::Http1, Protocol::Http2].map(|p| edge.over(p).slow());
    let readers = Readers::attach(&clients).await;
    let connections = edge.metric("weir_connections", &[]).await;
    assert!(
        connections >= READERS as f64,
        "every reader has a connection: {connections}"
    );
    let start = Instant::now();
    let mut bad = 0;
    for sweeper in sweep(&edge.over(Protocol::Http1)) {
        bad += sweeper.await.unwrap();
    }
    let lasted = start.elapsed();
    let used = edge.metric("weir_memory_used_bytes", &[]).await;
    let (taken, errors) = readers.end().await;

    let peak = edge.memory("VmHWM");
    let bound = bound((READERS + SWEEPERS) as u64);
    println!(
        "peak {} MiB of {} MiB, budget used {used}, {lasted:?}",
        peak / MIB,
        bound / MIB
    );
    assert!(
        peak <= bound,
        "peak {} MiB, bound {} MiB",
        peak / MIB,
        bound / MIB
    );
    assert!(used <= MEMORY as f64, "the budget itself is kept: {used}");
    assert_eq!(bad, 0, "every swept object came whole");
    assert_eq!(
        errors.first(),
        None,
        "{} readers were cut off",
        errors.len()
    );
    let starved = taken
        .iter()
        .filter(|t| **t < u64::from(READER_RATE))
        .count();
    assert_eq!(starved, 0, "every reader got something");
}

#[tokio::test]
async fn a_crawl_of_the_catalogue_does_not_flush_what_is_hot() {
    let files = files::start();
    std::fs::create_dir_all(files.path("/hot")).unwrap();
    std::fs::create_dir_all(files.path("/cold")).unwrap();
    for i in 0..20 {
        files.sparse(&format!("/hot/{i}.m4s"), MIB);
    }
    for i in 0..200 {
        files.sparse(&format!("/cold/{i}.m4s"), MIB);
    }
    let edge = edge::new().origin(&files).memory("64MiB").run().await;
    for _ in 0..4 {
        for i in 0..20 {
            edge.get(&format!("/hot/{i}.m4s")).await.whole(200);
        }
    }
    for i in 0..200 {
        edge.get(&format!("/cold/{i}.m4s")).await.whole(200);
    }
    let hits = [("outcome", "hit"), ("tier", "memory")];
    let before = edge.metric("weir_requests_total", &hits).await;
    for i in 0..20 {
        edge.get(&format!("/hot/{i}.m4s")).await.whole(200);
    }
    let kept = edge.metric("weir_requests_total", &hits).await - before;
    assert!(kept >= 18.0, "{kept} of 20 hot objects are still there");
}
