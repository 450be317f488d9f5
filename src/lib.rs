//! Weir, a video edge node: the machine between players and an object store.
//!
//! This page is the architecture; it holds no code.
//!
//! # Bird's-eye view
//!
//! ```text
//!  player ──► listener, TLS ──► proxy ──► cache::engine ──► memory ──► redis ──► origin
//!             (Pingora)           │            ▲                                 s3 gs az file http
//!                                 └─ storage ──┘  the adapter: to Pingora each request is a hit
//!  operator ─► admin ──► metrics, readiness, explain, purge ──► purge::log (a stream in Redis)
//! ```
//!
//! Pingora supplies listeners, TLS, HTTP/1.1 and HTTP/2, ranges, keep-alive and shutdown. Its own
//! way of filling a cache is not used: there a slow first client throttles everybody's fill, and a
//! body cut off by the origin can look complete. The engine owns single flight, tiers, validation
//! and purges, and knows nothing of sessions.
//!
//! # Where things are
//!
//! Dependencies point one way: a module uses those below it in this list, never those above. A
//! test enforces it.
//!
//! | module | noun |
//! |---|---|
//! | [`cli`], [`demo`] | the commands |
//! | [`server`] | composition root: builds everything from the configuration, runs and drains it |
//! | [`admin`] | metrics, health, explain, purge on a listener of their own |
//! | [`proxy`] | the only user of Pingora's sessions |
//! | [`cache`] | engine, fills, and the tiers: memory, and records in Redis |
//! | [`purge`] | what was purged since when, and the log that the nodes share |
//! | [`redis`] | the Redis client: connections, deadlines, breakers |
//! | [`origin`] | stores and servers behind one trait |
//! | [`route`], [`asset`], [`key`] | what is asked for (pure) |
//! | [`http`] | rules of HTTP (pure) |
//! | [`telemetry`], [`config`] | logs; the validated configuration |
//! | [`life`], [`metrics`], [`clock`], [`limits`] | the ground everything stands on |
//!
//! # Vocabulary
//!
//! *Tier*: memory, Redis or origin. *Fill*: bringing an object into a tier; *flight*: the single
//! opening of an object that all who ask for it share; *run*: a stretch of consecutive bytes on its
//! way in. *Block*: the unit (about 1 MiB) in which big objects are fetched and evicted; *chunk*: a
//! quarter of it, one allocation and one Redis value. *Spill*: writing to Redis behind a fill;
//! *promotion*: the way back. *Pass*: an answer that may not be shared. *Pin*: what ties all
//! fetches of one object to one version. *Stamp*: where the purge log stood before the origin was
//! asked. *Outcome* and the names of all failures are closed enums, spelled alike in headers, logs
//! and metrics.
//!
//! # Invariants
//!
//! 1. The cache holds what the origin sent. Nothing of a client enters a key or an origin request
//!    but what [`route`] derived from a validated request target.
//! 2. Bytes of two versions of an object never meet in one response; an incomplete body never
//!    looks complete and is stored nowhere.
//! 3. After a purge is acknowledged, no answer begun by a node that confirmed it carries bytes
//!    asked for before it: every record carries a stamp and is checked when it is read.
//! 4. Fills are detached: no client's speed or departure touches them.
//! 5. Every body byte in memory holds a permit of one byte budget until its last reference drops.
//! 6. Every queue, table and wait has a bound, and a counter when it is hit.
//! 7. A broken helper degrades to the next best answer. Redis slow, full, damaged or gone is a
//!    miss; only "no copy and no origin" is an error, and it is a quick one.
//!
//! # Decisions that differ from the obvious
//!
//! - **The engine is opened in `request_filter`**, before Pingora's cache phases; the storage
//!   adapter hands over what was opened. A failed lookup could not answer with an error there.
//! - **Own S3-FIFO policy, not a library's cache.** One budget covers cached, filling and held
//!   bytes, so room must be made on demand by whoever needs it; caches with a capacity of their own
//!   would have to be told a smaller one. `make bench` compares hit ratios.
//! - **One HTTP client for every store.** Requests are signed by `reqsign` and sent by Pingora's
//!   connector, so that an HTTP cache sees each header, each 304 and each odd answer. A store
//!   library would hide them.
//! - **Chunks are sealed by one copy.** Readers of a trickling fill see the pieces as they come;
//!   a full chunk is copied into one allocation, so that a hit is one slice and one write.
//! - **The wire decides when to flush.** Pingora flushes an answer of known length at its end only,
//!   which would hold back the head and the first bytes of a slow fill. `proxy::wire` flushes each
//!   write, but for a head whose body is there already: those two share a packet.

pub mod admin;
pub mod asset;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod http;
pub mod key;
pub mod life;
pub mod limits;
pub mod metrics;
pub mod origin;
pub mod proxy;
pub mod purge;
pub mod redis;
pub mod route;
pub mod server;
pub mod telemetry;
