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
//!
//!  kernel, CMCD ──► session ──► belief ─┐
//!  object (the origin's manifest) ──────┴► proxy::adapt ──► manifest ──► one client's manifest
//! ```
//!
//! Pingora supplies listeners, TLS, HTTP/1.1 and HTTP/2, ranges, keep-alive and shutdown. Its own
//! way of filling a cache is not used: there a slow first client throttles everybody's fill, and a
//! body cut off by the origin can look complete. The engine owns single flight, tiers, validation
//! and purges, and knows nothing of sessions. Unsafe methods alone take Pingora's way to the
//! origin, past the cache, which learns from their answers what to forget.
//!
//! A site has one of two profiles. Of a *video* site's clients the origin sees nothing, so that one
//! answer is right for all of them. A *general* site is any web server: its origin sees the fields
//! of a request, answers may vary by them, and the rules of RFC 9111 are the defaults. Both take
//! the same way; what differs is data ([`config::Profile`], [`http::forward`],
//! [`http::freshness`]).
//!
//! # Manifests for one client
//!
//! The closed loop, each part of which can fail without a player noticing:
//!
//! 1. *Who*: a manifest that is asked for without a session begins one, whose signed id goes before
//!    every path that the manifest names ([`session::id`], [`manifest::uri`]); [`route::session`]
//!    takes it off again before there is a key.
//! 2. *How fast*: the connection reads the kernel's counters between answers ([`session::sample`]),
//!    players say what they measured ([`session::cmcd`]); [`session::estimator`] makes an estimate
//!    of a session of it, [`session::belief`] what is thought of the client's next one. Redis
//!    carries both to the other nodes ([`session::share`]).
//! 3. *What to do*: mode, filters and [`session::start`], the one rule of the start rung, become a
//!    [`manifest::plan`]; [`manifest::hls`] and [`manifest::dash`] write by it, and change nothing
//!    that it does not name.
//! 4. *Whether it helped*: [`session::playback`] scores what players report, [`session::holdout`]
//!    compares with the sessions that were given no hints, and switches hints off where they hurt.
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
//! | [`prefetch`] | what players will ask for next, brought before they do |
//! | [`cache`] | engine, fills, and the tiers: memory, and records in Redis |
//! | [`purge`] | what was purged since when, and the log that the nodes share |
//! | [`session`] | who a client is, and how fast; shared by the nodes |
//! | [`redis`] | the Redis client: connections, deadlines, breakers |
//! | [`origin`] | stores and servers behind one trait |
//! | [`route`], [`asset`], [`key`] | what is asked for (pure) |
//! | [`manifest`] | HLS and DASH, rewritten for one client (pure) |
//! | [`http`] | rules of HTTP (pure) |
//! | [`telemetry`], [`config`] | logs; the validated configuration |
//! | [`life`], [`metrics`], [`clock`], [`subnet`], [`limits`] | the ground everything stands on |
//!
//! Where a rule is looked for:
//!
//! | question | module |
//! |---|---|
//! | may it be stored, and for how long? | [`http::freshness`], with [`http::targeted`] |
//! | what does the origin see, what does an answer depend on? | [`http::forward`], [`http::vary`] |
//! | what does a client wish, what has it already? | [`http::wishes`], [`http::conditional`] |
//! | what is the engine asked, what does it answer? | [`cache::ask`], [`cache::opened`] |
//! | what is there, and how does it stand? | [`cache::lookup`], [`cache::variants`] |
//! | who waits for whom? | [`cache::flight`], [`cache::marks`] |
//! | what is the origin asked, what becomes of its answer? | [`cache::fill`], [`cache::intake`] |
//! | what of a part, of an answer to POST? | [`cache::beginning`], [`cache::posted`] |
//! | what was purged since when? | [`purge::table`], [`purge::order`], [`purge::log`] |
//! | how is a purge asked for, passed on, answered? | [`purge::command`], [`purge::shields`] |
//! | how often is an origin asked? | [`origin::retry`], [`origin::gate`], [`origin::endpoints`] |
//! | what may a request choose of a manifest? | [`route::choice`], [`manifest::filter`] |
//! | where does a session start, and why there? | [`session::start`] |
//! | what is brought ahead? | [`prefetch::plan`], [`prefetch::knowledge`] |
//! | where are players sent? | [`session::steering`], [`session::pathways`], [`life::duress`] |
//!
//! # Vocabulary
//!
//! *Tier*: memory, Redis or origin. *Fill*: bringing an object into a tier; *flight*: the single
//! opening of an object that all who ask for it share; *run*: a stretch of consecutive bytes on its
//! way in. *Block*: the unit (about 1 MiB) in which big objects are fetched and evicted; *chunk*: a
//! quarter of it, one allocation and one Redis value. *Spill*: writing to Redis behind a fill;
//! *promotion*: the way back. *Pass*: an answer that may not be shared; *mark*: the memory that a
//! key's answers are such, so that nobody waits. *Pin*: what ties all fetches of one object to one
//! version. *Selection*: the fields that a stored answer depends on, with their values; *variant*:
//! one of the answers of an object that has several. *Beginning*: a part, from the first byte on,
//! that may be completed. *Stamp*: where the purge log stood before the origin was asked; *order*:
//! one entry of that log. *Session*: one playback; *client*: who has several, known by a keyed hash
//! of the day. *Ladder*, *rung*, *rendition*: what a manifest offers; *group*: rungs that stand in
//! for each other on any device. *Estimate*: of a session's throughput; *belief*: what is thought
//! before there is one. *Arm*: hinted, or *holdout*. *Pathway*: a `PoP`, as content steering has
//! it. *Outcome* and the names of all failures are closed enums, spelled alike
//! in headers, logs and metrics.
//!
//! # Invariants
//!
//! 1. The cache holds what the origin sent. Of a client there enters a key or an origin request
//!    what [`route`] derived from a validated request target, and on a general site
//!    [`http::forward::Fields`]: an answer can depend on nothing else, so that a stored one is
//!    given to exactly the requests that its selection suits. Ranges and
//!    preconditions of an origin request are written here, whatever the client's are.
//! 2. Bytes of two versions of an object never meet in one response; an incomplete body never
//!    looks complete and is stored nowhere.
//! 3. After a hard purge is acknowledged, no answer begun by a node that confirmed it carries bytes
//!    asked for before it, whatever a 304 says. Each stored response carries a stamp and is judged
//!    when it is found, when its flight lands, and when its first bytes have come; nothing is
//!    searched for. A soft purge makes stale: what it names is served again where the origin
//!    confirmed it, or where stale answers are allowed. What the log cannot tell of is suspect, and
//!    confirmed first; with `cut_off = "revalidate"` so is everything on a node that has not read
//!    the log for a lease.
//! 4. Fills are detached: no client's speed or departure touches them. An answer that is not stored
//!    is no fill; it comes at the pace of the one client whose it is.
//! 5. Every body byte in memory holds a permit of one byte budget until its last reference drops.
//! 6. Every queue, table and wait has a bound, and a counter when it is hit.
//! 7. A broken helper degrades to the next best answer. Redis slow, full, damaged or gone is a
//!    miss; only "no copy and no origin" is an error, and it is a quick one.
//! 8. What is made for one client is made on the way out, from what the cache holds, and goes out
//!    `private, no-store`. No byte and no field of it is on an answer that others may reuse.
//! 9. An id that is lost, forged or too old costs knowledge, never playback.
//! 10. Rewriting is total: what is not understood passes byte for byte; nothing is left empty; the
//!     author's own hints win.
//! 11. No hint without a belief that is older than the request and narrow enough; each can be
//!     withdrawn. No address is stored, only keyed hashes of one that change daily.
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
//! - **The first variant lies under the object's own key**, the others under keys that end in a
//!   hash of what selects them. What does not vary, nearly everything, pays nothing for those that
//!   do; a purge names all of them, since it is judged by the key without that end. By which fields
//!   an object varies is learnt from any variant that is met, and forgetting it costs a fetch.
//! - **A purge is a mark in a table, a soft one too.** Neither touches what is stored. A hard and a
//!   soft purge are two positions beside one name, of which the hard one is looked at first: in
//!   whichever sequence they come, the harder one counts. Suspicion goes before softness, since a
//!   hard purge may be among those that are forgotten.
//! - **An answer to POST is kept only on a node without Redis.** It invalidates what it replaces,
//!   so that it must be stamped after its own purge and before any other; in a shared log a purge
//!   of another node could stand between the two unseen.
//! - **Who waits together must be answerable together.** Who sends credentials or cookies neither
//!   waits for a flight nor is waited for, even where the answer turns out to be for all; nor do
//!   clients of a general site share what may not be reused without asking. A refresh in the
//!   background answers nobody, so that it is shared by all.
//! - **A body that ends with its connection is whole on a general site** (RFC 9112 section 8),
//!   since much of the web is sent so. A video site passes it and stores nothing.
//! - **Waived, since Pingora stands in the way:** over HTTP/2 `Date` is Pingora's own and interim
//!   responses do not arrive. Over HTTP/1 `proxy::dating` puts the origin's date back.
//! - **Hints, not cuts, are the default.** Players adapt better than an edge that sees one stream
//!   of bytes; leaving rungs out by an estimate makes playback worse (`make simulate`). What the
//!   edge alone knows is what came before a player's first request, and that is where it speaks.
//! - **The session is in the path.** Cookies do not reach players' media requests, and queries
//!   would split caches; a relative URI inherits a path by itself.
//! - **An estimate is told to Shaka with the manifest only**, and withdrawn by the first segment:
//!   it would outlive what it was right about.
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
pub mod manifest;
pub mod metrics;
pub mod origin;
pub mod prefetch;
pub mod proxy;
pub mod purge;
pub mod redis;
pub mod route;
pub mod server;
pub mod session;
pub mod subnet;
pub mod telemetry;
