//! Which eviction policy for the memory tier: hit ratios on a Zipf trace that a crawl passes
//! through, and what an object costs beside its bytes.
//!
//! Prints one row a policy. `hot` is the hit ratio of the viewers' requests only: what they lose
//! to the crawl is the price of a policy that is not resistant to scans.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a bench prints its figures and cannot go on without the allocator's"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foyer_memory::{
    Cache, CacheBuilder, CacheProperties, EvictionConfig, LfuConfig, LruConfig, S3FifoConfig,
    SieveConfig,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use tikv_jemalloc_ctl::{epoch, stats};
use weir::cache::head::{Generation, Head};
use weir::cache::memory::Memory;
use weir::cache::object::{Object, Target};
use weir::cache::policy::{Heat, Policy};
use weir::clock::UnixMillis;
use weir::http::freshness::Freshness;
use weir::key::Key;
use weir::limits::OBJECT_OVERHEAD_BYTES;
use weir::metrics::Tier;
use weir::purge::Stamp;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const OBJECTS: usize = 100_000;
const REQUESTS: usize = 2_000_000;
/// Of ten requests during the crawl, so many are the crawler's.
const CRAWL_OF_TEN: usize = 3;
const ALPHAS: [f64; 2] = [0.8, 1.0];
/// Share of the catalogue's bytes that fits into the cache, in percent.
const SIZES: [usize; 2] = [2, 10];

/// One request: an object, its weight, and whether a viewer asks.
type Request = (u64, usize, bool);

/// What every candidate can do.
trait Candidate {
    /// Looks up and, on a miss, inserts; says whether it was a hit.
    fn ask(&mut self, object: u64, weight: usize) -> bool;
}

struct Ours {
    policy: Policy<u64>,
    index: HashMap<u64, Arc<Heat>>,
    capacity: usize,
}

impl Candidate for Ours {
    fn ask(&mut self, object: u64, weight: usize) -> bool {
        if let Some(heat) = self.index.get(&object) {
            heat.touch();
            return true;
        }
        while self.policy.bytes() + weight > self.capacity {
            if let Some(out) = self.policy.evict() {
                self.index.remove(&out);
            }
        }
        let heat = Arc::new(Heat::default());
        self.policy
            .insert(object, object, weight, Arc::clone(&heat));
        self.index.insert(object, heat);
        false
    }
}

impl Candidate for Cache<u64, usize> {
    fn ask(&mut self, object: u64, weight: usize) -> bool {
        let is_hit = self.get(&object).is_some();
        if !is_hit {
            self.insert(object, weight);
        }
        is_hit
    }
}

fn foyer(capacity: usize, config: impl Into<EvictionConfig>) -> Box<dyn Candidate> {
    let builder = CacheBuilder::new(capacity)
        .with_shards(1)
        .with_eviction_config(config);
    Box::new(
        builder
            .with_weighter(|_, weight| *weight)
            .build::<CacheProperties>(),
    )
}

fn candidates(capacity: usize) -> Vec<(&'static str, Box<dyn Candidate>)> {
    let ours = Ours {
        policy: Policy::default(),
        index: HashMap::new(),
        capacity,
    };
    vec![
        ("weir S3-FIFO", Box::new(ours)),
        (
            "foyer LRU",
            foyer(
                capacity,
                LruConfig {
                    high_priority_pool_ratio: 0.0,
                },
            ),
        ),
        ("foyer S3-FIFO", foyer(capacity, S3FifoConfig::default())),
        ("foyer LFU", foyer(capacity, LfuConfig::default())),
        ("foyer SIEVE", foyer(capacity, SieveConfig {})),
    ]
}

/// Sizes of segments: 0.2 to 6 MB, the smaller the more frequent.
fn weight(object: u64) -> usize {
    let spread = (object.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % 1000;
    200_000 + 5_800 * spread * spread / 1000
}

fn zipf(alpha: f64) -> Vec<f64> {
    let mut sum = 0.0;
    let sums = (1..=OBJECTS).map(|rank| {
        sum += (rank as f64).powf(-alpha);
        sum
    });
    sums.collect()
}

/// Viewers ask by Zipf; in the middle third a crawler walks once over objects nobody else wants.
fn trace(alpha: f64) -> Vec<Request> {
    let sums = zipf(alpha);
    let total = sums.last().copied().unwrap_or(1.0);
    let mut random = fastrand::Rng::with_seed(7);
    let mut crawled = OBJECTS as u64;
    let requests = (0..REQUESTS).map(|at| {
        let in_crawl = (REQUESTS / 3..2 * REQUESTS / 3).contains(&at);
        if in_crawl && random.usize(..10) < CRAWL_OF_TEN {
            crawled += 1;
            return (crawled, weight(crawled), false);
        }
        let point = random.f64() * total;
        let object = sums.partition_point(|sum| *sum < point) as u64;
        (object, weight(object), true)
    });
    requests.collect()
}

fn run(candidate: &mut dyn Candidate, trace: &[Request]) -> (f64, f64) {
    let (mut hits, mut hot, mut viewers) = (0_u64, 0_u64, 0_u64);
    for (at, (object, weight, is_viewer)) in trace.iter().enumerate() {
        let is_hit = candidate.ask(*object, *weight);
        let is_measured = at > REQUESTS / 6;
        hits += u64::from(is_hit && is_measured);
        hot += u64::from(is_hit && is_measured && *is_viewer);
        viewers += u64::from(is_measured && *is_viewer);
    }
    let measured = (REQUESTS - REQUESTS / 6) as f64;
    (
        100.0 * hits as f64 / measured,
        100.0 * hot as f64 / viewers as f64,
    )
}

fn hit_ratios() {
    println!(
        "{:<16} {:>6} {:>6} {:>8} {:>8} {:>9}",
        "policy", "alpha", "size", "all", "hot", "ns/ask"
    );
    let catalogue: usize = (0..OBJECTS as u64).map(weight).sum();
    for alpha in ALPHAS {
        let trace = trace(alpha);
        for size in SIZES {
            for (name, mut candidate) in candidates(catalogue / 100 * size) {
                let start = std::time::Instant::now();
                let (all, hot) = run(candidate.as_mut(), &trace);
                let nanos = start.elapsed().as_nanos() / REQUESTS as u128;
                println!("{name:<16} {alpha:>6} {size:>5}% {all:>7.2}% {hot:>7.2}% {nanos:>9}");
            }
        }
    }
}

fn allocated() -> usize {
    epoch::advance().expect("jemalloc keeps statistics");
    stats::allocated::read().expect("jemalloc keeps statistics")
}

/// What an object store says of a segment.
const HEADERS: [(&str, &str); 8] = [
    ("accept-ranges", "bytes"),
    ("cache-control", "public, max-age=31536000, immutable"),
    ("content-type", "video/iso.segment"),
    ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("etag", "\"9e107d9d372bb6826bd81d3542a419d6\""),
    ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("x-custom-one", "of the publisher"),
    ("x-custom-two", "of the publisher"),
];

/// Bytes that an object without a body costs, by the allocator's own count, beside the texts of
/// key, target and headers, which are charged by their length.
fn overhead() {
    // Just past the growth of each shard's table, when it has most room to spare.
    const COUNT: usize = 120_000;
    let memory = Memory::new(usize::MAX / 2);
    let before = allocated();
    let mut texts: usize = HEADERS
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    texts *= COUNT;
    for i in 0..COUNT {
        let mut headers = HeaderMap::new();
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let mut head = Head {
            key: Key::new(
                "edge.example.com",
                &format!("/title-{i}/video/1080p/seg-{i}.m4s"),
                None,
            ),
            status: StatusCode::OK,
            headers,
            length: Some(0),
            generation: Generation::random(),
            fetched: UnixMillis(0),
            initial_age: Duration::ZERO,
            freshness: Freshness::default(),
            selection: None,
            tags: Arc::from([]),
            stamp: Stamp::default(),
        };
        head.detach();
        let target = Target {
            path: head.key.path().to_owned(),
            query: None,
        };
        texts += head.key.as_str().len() + target.path.len();
        let object = Object::new(head, target, Tier::Origin, memory.budget().charge(0));
        memory.insert(&object, 0);
    }
    let each = (allocated() - before - texts) / COUNT;
    println!("\noverhead: {each} bytes an object measured, {OBJECT_OVERHEAD_BYTES} charged");
}

fn main() {
    hit_ratios();
    overhead();
}
