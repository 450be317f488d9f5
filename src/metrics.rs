//! Every metric of the program: one place, pre-resolved handles, closed label sets.
//!
//! Labels are enums, never URLs, clients or hosts a client may choose, so the number of series is
//! known at compile time (but for sites and origin endpoints, which the configuration bounds).

use once_cell::sync::Lazy;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::metrics::family::{Counters, Counters2, Histograms, by_arm, counter, gauge, register};

pub mod family;

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// Label name in the exposition.
    const NAME: &'static str;
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// The value as logs, headers and metrics spell it.
    fn as_str(self) -> &'static str;
    /// Position in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($(#[$meta:meta])* $name:ident($label:literal) {
        $($(#[$doc:meta])* $variant:ident = $text:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }
        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
            fn index(self) -> usize { self as usize }
        }
    };
}

labels! {
    /// How a request was answered.
    Outcome("outcome") {
        /// A fresh copy was there, in memory or in Redis.
        Hit = "hit",
        /// A stale copy was served, while it was refreshed or since the origin failed.
        Stale = "stale",
        /// A copy was confirmed by the origin's 304.
        Revalidated = "revalidated",
        /// The origin was asked, or a fill under way was joined.
        Miss = "miss",
        /// The origin's answer may not be stored.
        Pass = "pass",
        /// No copy and no origin.
        Error = "error",
        /// The request itself was refused before the cache was asked.
        Refused = "refused",
        /// Answered here: OPTIONS, pages of the demo.
        Local = "local",
    }
}

labels! {
    /// Which tier the first byte came from.
    Tier("tier") {
        /// This node's memory.
        Memory = "memory",
        /// The Redis shared by the nodes.
        Redis = "redis",
        /// The origin.
        Origin = "origin",
        /// None: an error, a refusal or a local answer.
        None = "none",
    }
}

labels! {
    /// Class of a response status.
    Class("class") {
        /// 1xx and 2xx.
        Success = "2xx",
        /// 3xx.
        Redirect = "3xx",
        /// 4xx.
        Client = "4xx",
        /// 5xx.
        Server = "5xx",
    }
}

labels! {
    /// How a fill ended.
    FillResult("result") {
        /// Every byte arrived and was verified.
        Complete = "complete",
        /// The origin confirmed the copy (304).
        Confirmed = "confirmed",
        /// The answer may not be stored.
        Uncacheable = "uncacheable",
        /// The origin failed or its body broke.
        Failed = "failed",
        /// The object changed at the origin.
        Changed = "changed",
        /// No room in the byte budget in time.
        NoRoom = "no-room",
        /// A purge came while it ran.
        Purged = "purged",
        /// Redis had another variant than the one asked for.
        Varies = "varies",
    }
}

labels! {
    /// What was evicted from memory.
    Evicted("unit") {
        /// A whole object.
        Object = "object",
        /// A block of a big object.
        Block = "block",
    }
}

labels! {
    /// What Redis was asked.
    RedisCall("operation") {
        /// Metadata of an object.
        Head = "head",
        /// Chunks of an object.
        Chunk = "chunk",
        /// Writing metadata or chunks.
        Write = "write",
        /// The purge log.
        Log = "log",
        /// The heartbeat of the node.
        Heartbeat = "heartbeat",
        /// What is known of sessions and clients.
        Session = "session",
    }
}

labels! {
    /// What came of a call to Redis.
    RedisResult("result") {
        /// Found or written.
        Ok = "ok",
        /// Not there.
        Absent = "absent",
        /// There, but damaged or of another fill; treated as absent.
        Damaged = "damaged",
        /// No answer within the deadline.
        Timeout = "timeout",
        /// An error was answered (full, failing over, refused).
        Error = "error",
        /// Not asked: the breaker is open.
        Rejected = "rejected",
    }
}

labels! {
    /// What came of a write-behind.
    SpillResult("result") {
        /// Written whole.
        Written = "written",
        /// Not asked for often enough to be written.
        NotAdmitted = "not-admitted",
        /// The queue was full.
        Dropped = "dropped",
        /// Redis failed.
        Failed = "failed",
    }
}

labels! {
    /// How an origin request ended.
    OriginResult("result") {
        /// A usable answer, whatever its status.
        Answered = "answered",
        /// No connection.
        Connect = "connect",
        /// No head in time.
        FirstByte = "first-byte",
        /// The body stalled.
        Stall = "stall",
        /// The body broke off.
        Truncated = "truncated",
        /// The pinned version is gone.
        Changed = "changed",
        /// The answer contradicted itself.
        Refused = "refused",
        /// No credentials.
        Credentials = "credentials",
        /// Every endpoint is down.
        Down = "down",
        /// No place among the requests that the origin is sent at once.
        Busy = "busy",
    }
}

labels! {
    /// Why a client connection was closed early.
    Closed("reason") {
        /// Too many connections in all.
        Connections = "connections",
        /// Too many from one address.
        Address = "address",
        /// The request head did not come in time.
        Head = "head",
        /// The client read too slowly.
        Slow = "slow",
        /// Frames that carry no request flooded the connection.
        Flood = "flood",
    }
}

labels! {
    /// What came of an object that a player may ask for next.
    PrefetchResult("result") {
        /// It was brought, from Redis or the origin.
        Brought = "brought",
        /// It was there already, or on its way.
        Held = "held",
        /// The origin has no such object, or gave none.
        Absent = "absent",
        /// Its answers may not be shared: its directory is left alone for a while.
        Private = "private",
        /// Too many are on their way, or too much of what came before waits to be asked for.
        Full = "full",
    }
}

labels! {
    /// Whether bytes that were brought ahead were of use.
    PrefetchUse("use") {
        /// The first request found them.
        Useful = "useful",
        /// Nobody asked in time, or they were gone by then.
        Wasted = "wasted",
    }
}

labels! {
    /// What came of a purge.
    PurgeResult("result") {
        /// In the shared log.
        Logged = "logged",
        /// This node only: there is no Redis.
        Local = "local",
        /// Redis could not be reached; nothing was purged elsewhere.
        Failed = "failed",
        /// A shield did not purge; nothing was purged here.
        Shield = "shield",
    }
}

labels! {
    /// Which kind of manifest.
    ManifestKind("kind") {
        /// An HLS playlist.
        Hls = "hls",
        /// An MPD.
        Dash = "dash",
    }
}

labels! {
    /// What became of a manifest that might have been made for a client.
    Made("result") {
        /// It was written for this client.
        Rewritten = "rewritten",
        /// There was nothing to change.
        Unchanged = "unchanged",
        /// It could not be read: it went out as it is.
        Unparsable = "unparsable",
        /// It was larger than what is read: it went out as it is.
        TooLarge = "too-large",
        /// Its origin had encoded it although nobody asked for that: it went out as it is.
        Encoded = "encoded",
        /// What was asked for means or leaves nothing.
        Refused = "refused",
    }
}

labels! {
    /// Whether a manifest had to be parsed.
    Parsing("result") {
        /// One of the same bytes was kept parsed.
        Hit = "hit",
        /// It had to be.
        Miss = "miss",
    }
}

labels! {
    /// What became of a post of a player.
    Posted("result") {
        /// It was taken in.
        Taken = "taken",
        /// It is of another type.
        Type = "type",
        /// It is too long.
        Size = "size",
        /// Too many came in a second.
        Rate = "rate",
        /// Too many came of its sender.
        Sender = "sender",
        /// It did not arrive, or not in time.
        Slow = "slow",
    }
}

labels! {
    /// What became of an event in a post of a player.
    Heard("result") {
        /// It was taken in.
        Taken = "taken",
        /// It is of no session that is known.
        Unknown = "unknown",
    }
}

labels! {
    /// Whether a start was hinted at, or why not.
    Hinting("result") {
        /// It was.
        Given = "given",
        /// The player was left its own choice: by the rule, or since what was chosen is not shown,
        /// or the author's own hints leave no place for another.
        Kept = "kept",
        /// Nothing is known of the client.
        Unknown = "unknown",
        /// The session plays without, to compare with.
        Holdout = "holdout",
        /// Hints did worse than none at this site.
        Stopped = "stopped",
        /// A player that plays already asked again.
        Refresh = "refresh",
        /// The mode has none.
        Off = "off",
    }
}

labels! {
    /// What came of telling other nodes of a session, a client or a network.
    ShareResult("result") {
        /// Redis has it.
        Written = "written",
        /// Another node has written something newer.
        Older = "older",
        /// The queue was full.
        Dropped = "dropped",
        /// Redis failed.
        Failed = "failed",
    }
}

labels! {
    /// What came of asking other nodes for a session, a client or a network.
    RecallResult("result") {
        /// It was there.
        Found = "found",
        /// It was not.
        Absent = "absent",
        /// It was there, but damaged or of another version; treated as absent.
        Damaged = "damaged",
        /// Redis failed.
        Failed = "failed",
        /// Not asked: too many were being asked for.
        Refused = "refused",
    }
}

/// Seconds to a first byte: a memory hit takes tens of microseconds, a far origin seconds.
const FIRST_BYTE_BUCKETS: &[f64] = &[
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Seconds of a Redis call: the read deadline defaults to 100 ms, so the top is cut there.
const REDIS_BUCKETS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
];

/// Seconds to a first picture: players buffer a segment or two first.
const STARTUP_BUCKETS: &[f64] = &[
    0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 60.0,
];

/// Stalled share: most sessions have none, 1 % is felt, 10 % is left.
const STALLED_BUCKETS: &[f64] = &[0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// Bytes a second that play: the rungs of common ladders, 0.125 to 24 Mbit/s, lie between these.
const BITRATE_BUCKETS: &[f64] = &[
    15.625e3, 31.25e3, 62.5e3, 125e3, 187.5e3, 250e3, 375e3, 500e3, 750e3, 1e6, 1.5e6, 2e6, 3e6,
];

/// Seconds of buffer: live plays with a few, films with up to a minute.
const BUFFER_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 6.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];

/// Scores are in Mbit/s, and below zero where stalls and switches outweigh the picture.
const SCORE_BUCKETS: &[f64] = &[
    -4.0, -2.0, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0,
];

/// The metrics of this process.
pub static METRICS: Lazy<Metrics> = Lazy::new(Metrics::new);

/// Handles of every metric.
#[expect(
    missing_docs,
    reason = "the help text, which the operator sees too, says it"
)]
pub struct Metrics {
    registry: Registry,
    pub requests: Counters2<Outcome, Tier>,
    pub responses: Counters<Class>,
    pub response_bytes: Counters<Tier>,
    pub first_byte_seconds: Histograms<Tier>,
    pub requests_in_flight: IntGauge,
    pub connections: IntGauge,
    pub connections_closed: Counters<Closed>,
    pub fills: Counters<FillResult>,
    pub fills_in_flight: IntGauge,
    pub collapsed: IntCounter,
    pub flights_refused: IntCounter,
    pub reopenings_exhausted: IntCounter,
    pub variants_displaced: IntCounter,
    pub memory_limit_bytes: IntGauge,
    pub memory_used_bytes: IntGauge,
    pub memory_cached_bytes: IntGauge,
    pub memory_objects: IntGauge,
    pub memory_evictions: Counters<Evicted>,
    pub memory_waits: IntCounter,
    pub memory_wait_timeouts: IntCounter,
    pub redis_calls: Counters2<RedisCall, RedisResult>,
    pub redis_seconds: Histograms<RedisCall>,
    pub redis_up: IntGauge,
    pub redis_breaker_open: IntGauge,
    pub spills: Counters<SpillResult>,
    pub spill_queue_bytes: IntGauge,
    pub origin_requests: Counters<OriginResult>,
    pub origin_bytes: IntCounter,
    pub origin_first_byte_seconds: Histogram,
    pub origin_retries: IntCounter,
    pub origin_resumes: IntCounter,
    pub origin_in_flight: IntGauge,
    pub origin_waits: IntCounter,
    pub origin_interims_dropped: IntCounter,
    pub origin_endpoint_up: IntGaugeVec,
    pub prefetches: Counters<PrefetchResult>,
    pub prefetched_bytes: Counters<PrefetchUse>,
    pub prefetch_dropped: IntCounter,
    pub pathways_down: IntGauge,
    pub duress: IntGauge,
    pub manifests: Counters2<ManifestKind, Made>,
    pub manifests_parsed: Counters<Parsing>,
    pub manifests_parsed_bytes: IntGauge,
    pub manifests_parsed_evictions: IntCounter,
    pub hints: Counters<Hinting>,
    pub posts: Counters<Posted>,
    pub posted_events: Counters<Heard>,
    pub purges: Counters<PurgeResult>,
    pub invalidations_skipped: IntCounter,
    pub purge_entries: IntGauge,
    pub purge_floor_raises: IntCounter,
    pub purge_log_age_seconds: IntGauge,
    pub sessions: IntGauge,
    pub session_evictions: IntCounter,
    pub session_ids_refused: IntCounter,
    pub session_shares: Counters<ShareResult>,
    pub session_recalls: Counters<RecallResult>,
    pub session_recalls_late: IntCounter,
    pub session_hints: IntGaugeVec,
    pub session_startup_seconds: HistogramVec,
    pub session_stalled_ratio: HistogramVec,
    pub session_bitrate: HistogramVec,
    pub session_buffer_seconds: HistogramVec,
    pub session_score: HistogramVec,
    pub ready: IntGauge,
    pub build_info: IntGaugeVec,
}

impl Metrics {
    #[expect(
        clippy::too_many_lines,
        reason = "one entry a metric: a table, not a procedure"
    )]
    fn new() -> Self {
        let r = Registry::new();
        Self {
            requests: Counters2::new(
                &r,
                "weir_requests_total",
                "Requests by outcome and by the tier of the first byte. Hit ratio is hit / all; a \
                 rising share of miss or pass means the origin does the work.",
            ),
            responses: Counters::new(
                &r,
                "weir_responses_total",
                "Responses by class of status. Alert on 5xx: no copy and no origin.",
            ),
            response_bytes: Counters::new(
                &r,
                "weir_response_body_bytes_total",
                "Body bytes sent to clients, by the tier the answer began in.",
            ),
            first_byte_seconds: Histograms::new(
                &r,
                "weir_first_byte_seconds",
                "Time from request head to response head. Slow for tier memory means a busy CPU; \
                 for redis look at weir_redis_call_seconds, for origin at \
                 weir_origin_first_byte_seconds.",
                FIRST_BYTE_BUCKETS,
            ),
            requests_in_flight: gauge(&r, "weir_requests_in_flight", "Requests being answered."),
            connections: gauge(
                &r,
                "weir_connections",
                "Client connections open. Compare with server.max_connections.",
            ),
            connections_closed: Counters::new(
                &r,
                "weir_connections_closed_total",
                "Client connections closed by a protection. connections: raise \
                 server.max_connections or add nodes; address: one address opens too many; head \
                 and flood: likely an attack; slow: clients below server.min_send_rate.",
            ),
            fills: Counters::new(
                &r,
                "weir_fills_total",
                "Objects and blocks asked of Redis or the origin on a miss, by how that ended.",
            ),
            fills_in_flight: gauge(&r, "weir_fills_in_flight", "Fills under way."),
            collapsed: counter(
                &r,
                "weir_collapsed_requests_total",
                "Requests that joined a fill under way: origin requests saved.",
            ),
            flights_refused: counter(
                &r,
                "weir_flights_refused_total",
                "Requests answered 503 since too many different objects were being opened. The \
                 origin is too slow for the miss rate.",
            ),
            reopenings_exhausted: counter(
                &r,
                "weir_reopenings_exhausted_total",
                "Requests that met a purge or another variant so often that they were passed to \
                 the origin. Should stay near zero.",
            ),
            variants_displaced: counter(
                &r,
                "weir_variants_displaced_total",
                "Variants dropped since their object has more than site.caching.variants. A field \
                 in Vary takes more values than it should.",
            ),
            memory_limit_bytes: gauge(
                &r,
                "weir_memory_limit_bytes",
                "The byte budget: cache.memory.size.",
            ),
            memory_used_bytes: gauge(
                &r,
                "weir_memory_used_bytes",
                "Bytes of the budget in use: cached, filling, or held by slow readers.",
            ),
            memory_cached_bytes: gauge(
                &r,
                "weir_memory_cached_bytes",
                "Bytes in the memory tier. Much less than used: slow readers hold the rest.",
            ),
            memory_objects: gauge(&r, "weir_memory_objects", "Entries in the memory tier."),
            memory_evictions: Counters::new(
                &r,
                "weir_memory_evictions_total",
                "Entries evicted from memory. With a falling hit ratio: raise cache.memory.size.",
            ),
            memory_waits: counter(
                &r,
                "weir_memory_budget_waits_total",
                "Fills that waited for room. Rising: slow readers hold the budget.",
            ),
            memory_wait_timeouts: counter(
                &r,
                "weir_memory_budget_timeouts_total",
                "Fills that found no room in time and failed. Raise cache.memory.size.",
            ),
            redis_calls: Counters2::new(
                &r,
                "weir_redis_calls_total",
                "Calls to Redis by result. timeout, error or rejected: Redis is slow, failing or \
                 cut off, clients are served from memory and origin; damaged: look at its memory.",
            ),
            redis_seconds: Histograms::new(
                &r,
                "weir_redis_call_seconds",
                "Duration of calls to Redis that were answered.",
                REDIS_BUCKETS,
            ),
            redis_up: gauge(
                &r,
                "weir_redis_up",
                "1 while Redis answers; 0 when it does not or none is configured.",
            ),
            redis_breaker_open: gauge(
                &r,
                "weir_redis_breaker_open",
                "1 while calls to Redis are not even tried. Restore Redis; it closes by itself.",
            ),
            spills: Counters::new(
                &r,
                "weir_redis_spills_total",
                "Writes behind verified fills. dropped: Redis takes writes slower than fills \
                 come; raise cache.redis.queue or admit_after.",
            ),
            spill_queue_bytes: gauge(
                &r,
                "weir_redis_spill_queue_bytes",
                "Bytes waiting to be written to Redis. Compare with cache.redis.queue.",
            ),
            origin_requests: Counters::new(
                &r,
                "weir_origin_requests_total",
                "Requests to origins by result; everything but answered is a fault of the origin \
                 or of the way to it.",
            ),
            origin_bytes: counter(
                &r,
                "weir_origin_body_bytes_total",
                "Body bytes received from origins. Against weir_response_body_bytes_total: the \
                 byte hit ratio.",
            ),
            origin_first_byte_seconds: register(
                &r,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "weir_origin_first_byte_seconds",
                        "Time from an origin request to its response head.",
                    )
                    .buckets(FIRST_BYTE_BUCKETS.to_vec()),
                ),
            ),
            origin_retries: counter(
                &r,
                "weir_origin_retries_total",
                "Origin requests tried again. Rising: an endpoint is unwell.",
            ),
            origin_resumes: counter(
                &r,
                "weir_origin_resumes_total",
                "Bodies that broke and were continued by a range request.",
            ),
            origin_in_flight: gauge(
                &r,
                "weir_origin_requests_in_flight",
                "Requests to origins being answered, with the bodies that are stored. Compare with a \
                 site's origin_requests.",
            ),
            origin_waits: counter(
                &r,
                "weir_origin_waits_total",
                "Requests that waited for a place at their origin. Rising, or busy in \
                 weir_origin_requests_total: the origin is too slow, or origin_requests too small.",
            ),
            origin_interims_dropped: counter(
                &r,
                "weir_origin_interims_dropped_total",
                "Interim responses (1xx) not passed on: too large, or faster than their client.",
            ),
            origin_endpoint_up: register(
                &r,
                IntGaugeVec::new(
                    Opts::new(
                        "weir_origin_endpoint_up",
                        "1 while requests are sent to this endpoint of a site's origin.",
                    ),
                    &["site", "endpoint"],
                ),
            ),
            prefetches: Counters::new(
                &r,
                "weir_prefetches_total",
                "Objects that players may ask for next, by what came of them. full: the origin is \
                 slow, or much is brought that nobody asks for; private: such a site is better \
                 off with site.adapt.prefetch_segments = 0.",
            ),
            prefetched_bytes: Counters::new(
                &r,
                "weir_prefetched_bytes_total",
                "Bytes brought ahead of players, once it is known whether they were of use. Much \
                 wasted: lower site.adapt.prefetch_segments.",
            ),
            prefetch_dropped: counter(
                &r,
                "weir_prefetch_dropped_total",
                "Requests not looked at for what comes next, since too many came at once. \
                 Harmless.",
            ),
            pathways_down: gauge(
                &r,
                "weir_pathways_down",
                "Pathways of other PoPs that fail their health check, so that players are not \
                 sent there. The log names them.",
            ),
            duress: gauge(
                &r,
                "weir_duress",
                "1 while this node drains, or connections, held memory or fills are near their \
                 bound: players are sent elsewhere, nothing is prefetched. Add nodes.",
            ),
            manifests: Counters2::new(
                &r,
                "weir_manifests_total",
                "Manifests that sites adapt, by kind and what became of them. Unparsable, \
                 too-large or encoded ones go out as they are: look at what the origin has there.",
            ),
            manifests_parsed: Counters::new(
                &r,
                "weir_manifests_parsed_total",
                "Manifests looked up among those kept parsed. Misses of many: the origin changes \
                 them at each request, or they do not fit into a sixteenth of cache.memory.size.",
            ),
            manifests_parsed_bytes: gauge(
                &r,
                "weir_manifests_parsed_bytes",
                "Bytes that manifests kept parsed are taken to weigh, beside the byte budget. At \
                 most a sixteenth of cache.memory.size.",
            ),
            manifests_parsed_evictions: counter(
                &r,
                "weir_manifests_parsed_evictions_total",
                "Parsed manifests pushed out by others. With many misses of \
                 weir_manifests_parsed_total: raise cache.memory.size.",
            ),
            hints: Counters::new(
                &r,
                "weir_hints_total",
                "Start hints given, and why not. Mostly unknown: few clients come back, or nodes \
                 do not share what they know. Stopped: sessions with hints played worse.",
            ),
            posts: Counters::new(
                &r,
                "weir_reports_posted_total",
                "Posts of events by players (CMCD), by what became of them. Rate: more came than \
                 are taken in; sample them at the players. Sender: so from one address, or one \
                 /48. Behind a balancer that ends connections all players are one sender, unless \
                 session.tcp_info is off.",
            ),
            posted_events: Counters::new(
                &r,
                "weir_reported_events_total",
                "Events in such posts, by what became of them. Unknown: of sessions that do not \
                 play here; post to the host that plays, best below the session's own prefix.",
            ),
            purges: Counters::new(
                &r,
                "weir_purges_total",
                "Purges asked of this node. failed: Redis could not be reached; shield: a shield \
                 did not purge, so that this node did not. Repeat both.",
            ),
            invalidations_skipped: counter(
                &r,
                "weir_invalidations_skipped_total",
                "Changes by unsafe methods that came too fast for the purge log. Other nodes and \
                 Redis keep their copies until these expire.",
            ),
            purge_entries: gauge(
                &r,
                "weir_purge_entries",
                "Purges this node remembers. At its bound the floor is raised.",
            ),
            purge_floor_raises: counter(
                &r,
                "weir_purge_floor_raises_total",
                "Times that purges were forgotten by suspecting everything older. Purge by \
                 prefix or tag instead of by many URLs.",
            ),
            purge_log_age_seconds: gauge(
                &r,
                "weir_purge_log_age_seconds",
                "Seconds since the purge log was last read; 0 without Redis. Above purge.lease \
                 purges of other nodes are not seen.",
            ),
            sessions: gauge(
                &r,
                "weir_sessions",
                "Sessions this node knows of, those silent for minutes included. At its bound the \
                 one that was silent longest is forgotten, of those without a signed id first.",
            ),
            session_evictions: counter(
                &r,
                "weir_session_evictions_total",
                "Sessions forgotten since too many were known. Rising: more clients than one node \
                 should have, or somebody makes sessions up.",
            ),
            session_ids_refused: counter(
                &r,
                "weir_session_ids_refused_total",
                "Session ids in paths that were forged, too old, or of nodes with another \
                 secret. They play on, unattributed. Rising: set session.secret_file alike on \
                 every node.",
            ),
            session_shares: Counters::new(
                &r,
                "weir_session_shares_total",
                "Records of sessions, clients and networks written for other nodes. dropped or \
                 failed: Redis is too slow or down, and other nodes start such clients cold.",
            ),
            session_recalls: Counters::new(
                &r,
                "weir_session_recalls_total",
                "Records of sessions, clients and networks asked of Redis for a manifest. damaged: \
                 another version writes there, or look at its memory.",
            ),
            session_recalls_late: counter(
                &r,
                "weir_session_recalls_late_total",
                "Manifests that did not wait for what Redis knows of their client. Rising: Redis \
                 is slow.",
            ),
            session_hints: register(
                &r,
                IntGaugeVec::new(
                    Opts::new(
                        "weir_session_hints_allowed",
                        "1 while sessions of a site may be given hints. 0: the holdout has shown, \
                         with 99 % confidence, that hints made playback worse; tried again after \
                         a day. Set mode = \"off\" if it comes back.",
                    ),
                    &["site"],
                ),
            ),
            session_startup_seconds: by_arm(
                &r,
                "weir_session_startup_seconds",
                "From a session's first request for media to its first picture, as its player \
                 tells (CMCD).",
                STARTUP_BUCKETS,
            ),
            session_stalled_ratio: by_arm(
                &r,
                "weir_session_stalled_ratio",
                "Share of a session's time that it stalled, as its player tells (CMCD). Compare \
                 the arms.",
                STALLED_BUCKETS,
            ),
            session_bitrate: by_arm(
                &r,
                "weir_session_bitrate_bytes_per_second",
                "Mean bit rate of a session's picture (CMCD), in bytes. Compare the arms.",
                BITRATE_BUCKETS,
            ),
            session_buffer_seconds: by_arm(
                &r,
                "weir_session_buffer_seconds",
                "Mean buffer of a session's player (CMCD).",
                BUFFER_BUCKETS,
            ),
            session_score: by_arm(
                &r,
                "weir_session_score",
                "A session's Mbit/s - 4.3 x stalled share - mean change of Mbit/s; by it the arms \
                 are compared.",
                SCORE_BUCKETS,
            ),
            ready: gauge(
                &r,
                "weir_ready",
                "1 while /readyz answers 200. 0 while draining or broken; /readyz says why.",
            ),
            build_info: register(
                &r,
                IntGaugeVec::new(
                    Opts::new("weir_build_info", "Always 1; the label is the version."),
                    &["version"],
                ),
            ),
            registry: r,
        }
    }

    /// Writes all metrics in the Prometheus text format.
    #[must_use]
    pub fn exposition(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }

    /// The registry, for collectors that are made elsewhere (the process collector).
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_table_can_be_registered_and_written() {
        METRICS.requests.of(Outcome::Hit, Tier::Redis).inc();
        let text = METRICS.exposition();
        assert!(
            text.contains(r#"weir_requests_total{outcome="hit",tier="redis"} 1"#),
            "{text}"
        );
    }
}
