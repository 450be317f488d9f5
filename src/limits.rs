//! Every bound of the program, with its derivation.
//!
//! A bound that an operator may want to move is a key of the configuration file and stands in
//! `config`; what stands here is structure: sizes that formats, memory layouts and protections
//! depend on. Relations between the bounds are asserted at compile time below.

use std::time::Duration;

/// Body bytes of one chunk, the unit of memory and of a Redis value: 256 KiB - 64 B.
///
/// Redis' allocator has a size class of exactly 2^18 bytes. A value of 2^18 costs 25 % more, since
/// its string header pushes it into the next class; 64 bytes less leave room for header and frame.
pub const CHUNK_BYTES: usize = 256 * 1024 - 64;

/// Chunks of one block, the unit in which big objects are fetched from an origin and evicted.
pub const BLOCK_CHUNKS: u64 = 4;

/// Body bytes of one block: just under 1 MiB, a whole number of chunks.
pub const BLOCK_BYTES: u64 = CHUNK_BYTES as u64 * BLOCK_CHUNKS;

/// Chunks that one Redis slot may hold of one object (about 16 MiB).
///
/// A segment stays in one slot, where its metadata written last proves it whole; a larger object is
/// spread over the slots of a cluster in groups of this many chunks.
pub const SLOT_CHUNKS: u64 = 64;

/// Largest object that a single origin answer fills whole, when it could be fetched by block.
///
/// The longest segments seen (10 s at 40 Mbit/s) are 50 MB; what is larger is a file to seek in.
pub const WHOLE_FILL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What an object in memory costs beside its body and the texts of key, target and headers: index
/// entry, queue slot, head, header table.
///
/// Measured by `make bench` (row "overhead"); the budget charges it, so that a million empty
/// objects do not fit into a budget of one byte.
pub const OBJECT_OVERHEAD_BYTES: usize = 2304;

/// Pieces of a fill that readers see one by one before they are joined.
pub const TAIL_PIECES_MAX: usize = 256;

/// Blocks fetched ahead of a reader that reads in sequence.
pub const READ_AHEAD_BLOCKS: u64 = 1;

/// Piece size handed to a reader that is slower than its chunk is worth holding.
pub const SLOW_PIECE_BYTES: usize = 32 * 1024;

/// Longest wait of a fill for a place in the byte budget, before it fails.
pub const BUDGET_WAIT_MAX: Duration = Duration::from_secs(10);

/// Longest wait of a reader for the next bytes of a fill; the fill's own deadlines come first.
pub const RUN_WAIT_MAX: Duration = Duration::from_secs(60);

/// Longest wait of a manifest request for what other nodes know of its client: less than a player
/// notices, and several round trips to a Redis of the same `PoP`.
pub const SESSION_RECALL_MAX: Duration = Duration::from_millis(30);

/// Longest session text in a path: an id of this program is shorter by half.
pub const SESSION_TEXT_BYTES_MAX: usize = 64;

/// Posts of players that are taken in in a second: each is parsed, and may hold many events.
pub const REPORTS_PER_SECOND: u32 = 500;

/// Of them, those of one IPv4 address or one IPv6 /48: many viewers may stand behind it, and five
/// networks have to conspire to silence the others.
pub const REPORTS_PER_SENDER_PER_SECOND: u32 = REPORTS_PER_SECOND / 5;

/// Buckets that senders' posts are counted in, about 50 bytes each. Two senders share one by
/// chance: with 4096, one in 4000 others pays for somebody who posts too much.
pub const REPORT_BUCKETS: usize = 4096;

/// Longest post of a player: [`CMCD_EVENTS_MAX`] events of the size seen, four times over.
pub const REPORT_BYTES_MAX: usize = 64 * 1024;

/// Rungs that a cap by throughput leaves of each group: with one, a player could not adapt.
pub const CAPPED_RUNGS_MIN: usize = 2;

/// Largest manifest that is read whole to be made for a client. The longest known, a day of media
/// playlist, is about 2 MB; what is larger goes through as it is.
pub const MANIFEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How often another `PoP` is asked for its health: players keep a steering answer for minutes, so
/// that noticing a dead one within seconds is soon enough.
pub const PATHWAY_CHECK_EVERY: Duration = Duration::from_secs(5);

/// Longest wait for its answer: a `PoP` that takes longer is of no use to players either.
pub const PATHWAY_CHECK_WAIT: Duration = Duration::from_secs(2);

/// How long an id is good for: the longest films and a day of live. A live player keeps its URLs
/// for longer and plays on, unattributed.
pub const SESSION_ID_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Sessions that a node keeps: with what is known of each (about 1500 bytes, its `sid`s included)
/// 98 MB. Beyond it the one that was silent longest goes, of those that nothing vouches for first.
pub const SESSIONS_MAX: usize = 65_536;

/// Of them, places that sessions with signed ids leave to those named by a made-up `sid` or by what
/// they come from: enough for the requests that begin sessions. These may have more while it is
/// free, which sites with `session = "connection"` live by, all of whose sessions are such.
pub const SESSIONS_CLAIMED_MIN: usize = SESSIONS_MAX / 16;

/// Made-up `sid`s by which one session is known too: its player's and, where that was loaded anew,
/// the one before. A third takes the first one's place, so that nobody fills the table with one id.
pub const SESSION_SIDS_MAX: usize = 2;

/// Sessions that the admin listener lists at once.
pub const SESSIONS_LISTED_MAX: usize = 1000;

/// Clients and networks that a node keeps beliefs of, each; about 200 bytes a client.
pub const CLIENTS_MAX: usize = 131_072;

/// Silence after which a session has ended: longer than a full buffer lets a player be silent.
pub const SESSION_SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long a session's estimate lies in Redis, and a silent session in memory.
pub const SESSION_LIFE: Duration = Duration::from_secs(600);

/// How long what is thought of a client is of use.
pub const BELIEF_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Clients that a network's belief must stand on: fewer are persons, not a network.
pub const NETWORK_CLIENTS_MIN: usize = 5;

/// How often what has changed is written to Redis: each session and client once at most. A player
/// that goes to another node takes longer than that between two segments.
pub const SESSION_SHARE_EVERY: Duration = Duration::from_secs(1);

/// Records that wait to be written to Redis; more are dropped, and come again with their next
/// change.
pub const SESSION_SHARES_MAX: usize = 8192;

/// Records written in one pipeline: about 20 kB.
pub const SESSION_SHARES_BATCH: usize = 128;

/// How long what Redis said of a session or client, if only that it has nothing, is believed.
pub const SESSION_RECALL_AGAIN: Duration = Duration::from_secs(1);

/// What was told of titles whose rungs the edge picks: with the text 20 MB at worst. Beyond it what
/// was silent longest goes, and is told anew.
pub const TOLD_MAX: usize = 16_384;

/// Longest text of what was told: some 100 changes of rung in one window.
pub const TOLD_BYTES_MAX: usize = 1024;

/// Longest wait for the playlists of a title's rungs: beyond it a player had better get one.
pub const RUNGS_WAIT_MAX: Duration = Duration::from_secs(2);

/// Rungs whose playlists one is composed of.
pub const RUNGS_COMPOSED_MAX: usize = 16;

/// Longest name of a multivariant playlist that its rungs' URLs carry.
pub const LADDER_NAME_BYTES_MAX: usize = 1024;

/// Look-ups of sessions in Redis under way; above it they are not made.
pub const SESSION_RECALLS_MAX: usize = 64;

/// Longest CMCD of a request, or line of a posted event.
pub const CMCD_BYTES_MAX: usize = 4096;

/// Keys of one CMCD payload: twice those there are.
pub const CMCD_MEMBERS_MAX: usize = 128;

/// Objects of one `nor` that are taken in.
pub const CMCD_NEXT_MAX: usize = 4;

/// Events of one posted body that are taken in.
pub const CMCD_EVENTS_MAX: usize = 64;

/// Samples that an estimate must stand on before it outweighs what another node has estimated.
pub const HINT_SAMPLES_MIN: u32 = 3;

/// Playlists whose segments are remembered, so that it is known what players ask for next.
pub const PREFETCH_PLAYLISTS_MAX: usize = 1024;

/// Segments of all of them: about 16 MiB, of some 250 B each with names and index.
pub const PREFETCH_SEGMENTS_MAX: usize = 65_536;

/// Longest playlist that is read for it: some ten thousand segments.
pub const PREFETCH_PLAYLIST_BYTES_MAX: usize = 2 << 20;

/// Requests that wait to be looked at for what comes next: a second of a busy node's.
pub const PREFETCH_QUEUE_MAX: usize = 4096;

/// Pieces being brought ahead at once: few beside what players ask for themselves.
pub const PREFETCHES_MAX: usize = 64;

/// Most of them for one site: half, so that one whose origin is slow leaves room for the others.
pub const PREFETCHES_PER_SITE_MAX: usize = PREFETCHES_MAX / 2;

/// Pieces brought ahead that are remembered until somebody asks: a hundred a second for their life.
pub const PREFETCHED_MAX: usize = 16_384;

/// Share of the byte budget that pieces may take that nobody has asked for yet.
pub const PREFETCH_BUDGET_PERCENT: u64 = 10;

/// Longest part of a file that is brought ahead: 10 s at 12 Mbit/s.
pub const PREFETCH_SPAN_BYTES_MAX: u64 = 16 << 20;

/// How long a piece brought ahead is waited for to be of use: several times what players buffer.
pub const PREFETCH_LIFE: Duration = Duration::from_secs(120);

/// Longest time that bringing one piece ahead may take; then it is of no use any more.
pub const PREFETCH_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long nothing is brought from a directory whose answers turned out not to be shared.
pub const PREFETCH_BAR: Duration = Duration::from_secs(600);

/// Directories that are so barred; above it all are forgotten, which costs a request each.
pub const PREFETCH_BARRED_MAX: usize = 4096;

/// Chunks asked of Redis at once for one object: hides the round trip, keeps small calls quick.
pub const REDIS_WINDOW: usize = 3;

/// Chunks under way on one Redis connection: enough to hide a round trip, and 1 MiB at most.
pub const REDIS_CHUNKS_MAX: usize = 4;

/// Small calls under way on the control connection to Redis.
pub const REDIS_CALLS_MAX: usize = 256;

/// Writes to Redis under way: of every writer, and the probes' and the purge log's beside them.
pub const REDIS_WRITES_MAX: usize = 8;

/// Tasks that write to Redis behind the fills.
pub const REDIS_WRITERS: usize = 4;

/// Tries of one command in a Redis cluster: enough for a redirection or two, few enough for a
/// deadline.
pub const REDIS_CLUSTER_TRIES: u32 = 3;

/// Waits before connecting to Redis again: from this, doubling, to the last, each shortened at
/// random.
pub const REDIS_BACKOFF_MIN: Duration = Duration::from_millis(25);
/// See [`REDIS_BACKOFF_MIN`].
pub const REDIS_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Cells of each of the two rows in which offers to Redis are counted before they are admitted.
pub const ADMISSION_CELLS: usize = 1 << 15;

/// Longest request target accepted (RFC 9110 section 4.1 recommends at least 8000 octets).
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Largest request head accepted.
pub const REQUEST_HEAD_BYTES_MAX: usize = 32 * 1024;

/// Largest head of an origin's answer: it is stored beside each object and sent to each client.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

/// Most fields of an origin's answer, below the 256 that the HTTP/1.1 parser takes.
pub const RESPONSE_FIELDS_MAX: usize = 200;

/// Most tags of one response: 4 KiB of memory, and as many look-ups when it is held against the
/// purges since.
pub const TAGS_MAX: usize = 512;

/// Most groups that one answer to an unsafe method makes invalid (RFC 9875). Each is a purge, and
/// all but a burst of them are this node's alone ([`INVALIDATIONS_PER_SECOND`]).
pub const GROUPS_MAX: usize = 128;

/// Most fields by which an answer may vary to be stored. With so many hardly two requests are
/// alike, and each look-up compares all of them.
pub const VARY_FIELDS_MAX: usize = 16;

/// Longest value that selects a variant and is kept as it is; of a longer one a hash is kept.
pub const VARY_VALUE_BYTES_MAX: usize = 128;

/// Most ranges served in one multipart answer; more are answered by the whole object.
pub const RANGES_MAX: usize = 8;

/// Interim responses (1xx) read before one final head; an origin that sends more is refused. Each
/// may be as large as a head and is for one client, who has use for two or three.
pub const INTERIM_MAX: usize = 16;

/// Requests that may wait for a place at one origin; more are refused at once. A quarter of the
/// flights, so that one origin that is slow leaves room for the others.
pub const ORIGIN_WAITERS_MAX: usize = FLIGHTS_MAX / 4;

/// How long the origin is not asked again about an object that it failed to confirm.
///
/// Meanwhile a stale copy is served at once, in place of one failing origin request after another.
pub const ORIGIN_HOLD_OFF: Duration = Duration::from_secs(1);

/// How long an uncacheable answer spares the next requests for its key the queue.
pub const PASS_MARK_LIFE: Duration = Duration::from_secs(2);

/// The same for an answer of unknown length that grew beyond what one object may fill: finding
/// that out costs every reader its transfer, so it is remembered for longer.
pub const LARGE_PASS_MARK_LIFE: Duration = Duration::from_secs(300);

/// How many times its life a pass mark is doubted: one request finds out whether answers can be
/// shared by now, and nobody waits for it.
pub const DOUBT_LIVES: u32 = 10;

/// How often a request asks anew, since a purge or another variant came in its way, before it is
/// answered by an origin request of its own.
pub const ATTEMPTS_MAX: usize = 4;

/// Most objects remembered to vary; above it all are forgotten, which costs a look into Redis each.
pub const VARIED_MAX: usize = 16_384;

/// Most beginnings of objects kept for completion; above it all are forgotten. Each is one chunk at
/// the most.
pub const BEGINNINGS_MAX: usize = 64;

/// Most pass marks remembered; above it those that have ended go, then all.
pub const MARKS_MAX: usize = 65_536;

/// Connections to the admin listener at once: scrapers and operators, with room to spare.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;

/// How long an idle connection to the admin listener is kept: a scraper comes seconds apart, and
/// idle connections must not hold every place.
pub const ADMIN_KEEPALIVE: Duration = Duration::from_secs(5);

/// Changes by unsafe methods that a node writes to the purge log in a second; above it only its own
/// memory forgets. The log is shared and bounded: clients must not be able to roll it over.
pub const INVALIDATIONS_PER_SECOND: u32 = 100;

/// Interim responses that wait for one client to take them. An origin sends one or two; of more
/// than a slow client takes nobody is the wiser.
pub const INTERIM_QUEUE_MAX: usize = 4;

/// Most flights (objects being opened) at once; above it requests are answered 503.
pub const FLIGHTS_MAX: usize = 32_768;

/// Most of them that one site has: half, so that an origin that hangs does not stop the others.
pub const FLIGHTS_PER_SITE_MAX: usize = FLIGHTS_MAX / 2;

/// Purge entries kept in the local table; more raise the floor (over-purge, counted).
pub const PURGES_MAX: usize = 65_536;

/// Purge logs that are lost and whose purges are remembered, for what was stamped by them: each is
/// as large as the local table, and Redis loses its data seldom.
pub const PURGE_LOGS_MAX: usize = 3;

/// Records kept in the shared purge log; a node further behind suspects what it holds.
pub const PURGE_LOG_MAX: usize = 100_000;

/// How often a node reads the purge log.
pub const PURGE_POLL: Duration = Duration::from_millis(250);

/// Entries of the purge log read at once.
pub const PURGE_PAGE: usize = 500;

/// Longest wait for Redis to read a page of the purge log, or to append to it.
pub const PURGE_CALL_MAX: Duration = Duration::from_secs(1);

/// Longest wait of a purge for a replica to have it.
pub const PURGE_REPLICA_WAIT: Duration = Duration::from_millis(100);

/// Longest wait of a purge's answer for the other nodes.
pub const PURGE_CONFIRM_WAIT: Duration = Duration::from_secs(1);

/// Tags of one purge: a few hundred orders leave room in the table for those of everybody else.
pub const PURGE_TAGS_MAX: usize = 256;

/// Longest wait of a purge for the shields' answers: longer than one takes whose Redis is slow and
/// whose nodes do not confirm.
pub const SHIELD_WAIT: Duration = Duration::from_secs(5);

/// Longest wait of `weir purge`: for the shields, and then for what a shield is given.
pub const PURGE_ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Nodes of one Redis that are listed, those heard of last.
pub const NODES_MAX: usize = 256;

/// Longest wait for Redis to take or to tell a heartbeat.
pub const HEARTBEAT_CALL_MAX: Duration = Duration::from_millis(500);

/// How often a node tries to read the purge log until it has read it once.
pub const PURGE_FIRST_POLL: Duration = Duration::from_millis(20);

/// How long a node that starts says that it is not ready, since it has not read the purge log.
pub const PURGE_FIRST_WAIT_MAX: Duration = Duration::from_secs(2);

/// How often a node writes its heartbeat, and how long the heartbeat lives.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// See [`HEARTBEAT_EVERY`].
pub const HEARTBEAT_LIFE: Duration = Duration::from_secs(5);

/// Most variants of a playlist that is rewritten, copies and other pathways included, and most of its
/// playlists of I-frames: a dozen rungs in a few codecs, times a few of each. Some steps compare them
/// in pairs.
pub const VARIANTS_READ_MAX: usize = 2048;

/// Most representations of one adaptation set of an MPD that is rewritten.
pub const REPRESENTATIONS_MAX: usize = 256;

/// Largest MPD that is read. A live window of hours with a timeline for each rung is 1 MiB.
pub const MPD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What manifests kept parsed may take beside the memory tier: its budget, divided by this.
pub const PARSED_SHARE: usize = 16;

/// Memory that a parsed manifest is taken to need whatever its size.
pub const PARSED_OVERHEAD_BYTES: usize = 16 * 1024;

/// Memory that it is taken to need beside that, for each byte of its text: an MPD of many short
/// periods takes 14, most of it its elements and what filters left of it (`make bench`).
pub const PARSED_BYTES_PER_BYTE: usize = 16;

/// Most filters whose results are kept with an MPD that was read, each a text of its own: the
/// operator's, and one for each rung but the lowest that bounds what clients get, of eight.
pub const MPD_FILTERS_MAX: usize = 8;

/// Deepest nesting of an MPD that is read: the schema has 8 levels, DRM systems add a few.
pub const MPD_DEPTH_MAX: usize = 32;

/// Most elements of an MPD that are kept while it is rewritten, each in 80 bytes: hundreds of
/// periods with ten rungs each.
pub const MPD_ELEMENTS_MAX: usize = 65_536;

/// Most attributes of a tag of an MPD that is read: the schema has 40 for an adaptation set. Each is
/// compared with those before it, and those of a set are gone through for each of its rungs.
pub const MPD_ATTRIBUTES_MAX: usize = 64;

const _: () = assert!(
    0 < SESSIONS_CLAIMED_MIN && SESSIONS_CLAIMED_MIN < SESSIONS_MAX,
    "a full table has a session that another of its kind can take the place of"
);
const _: () = assert!(
    0 < REPORT_BUCKETS && REPORT_BUCKETS <= 65_536,
    "16 bits of a hash pick a bucket"
);
const _: () = assert!(
    PREFETCHES_MAX < PREFETCHED_MAX,
    "what is on its way is remembered"
);
const _: () = assert!(
    SLOT_CHUNKS.is_multiple_of(BLOCK_CHUNKS),
    "a block lies in one slot"
);
const _: () = assert!(
    WHOLE_FILL_BYTES_MAX >= BLOCK_BYTES,
    "a whole fill is at least a block"
);
const _: () = assert!(
    SLOW_PIECE_BYTES < CHUNK_BYTES,
    "a slow piece frees its chunk"
);
const _: () = assert!(
    REDIS_WINDOW <= REDIS_CHUNKS_MAX,
    "one object's window fits one connection"
);
const _: () = assert!(
    REDIS_WRITERS < REDIS_WRITES_MAX,
    "a purge finds a place beside the writers"
);
const _: () = assert!(PURGE_PAGE < PURGE_LOG_MAX, "a page is a part of the log");
const _: () = assert!(
    PURGE_REPLICA_WAIT.as_millis() < PURGE_CALL_MAX.as_millis(),
    "waiting for a replica ends before its call does"
);
const _: () = assert!(
    2 * PURGE_CALL_MAX.as_millis()
        + PURGE_CONFIRM_WAIT.as_millis()
        + 2 * HEARTBEAT_CALL_MAX.as_millis()
        < SHIELD_WAIT.as_millis(),
    "a shield that appends, asks the replica and lists nodes at their slowest answers in time"
);
const _: () = assert!(
    2 * SHIELD_WAIT.as_millis() <= PURGE_ANSWER_WAIT.as_millis(),
    "a node whose shields are slow is as slow itself, and answers in time"
);
const _: () = assert!(
    HEARTBEAT_EVERY.as_millis() + HEARTBEAT_CALL_MAX.as_millis() < HEARTBEAT_LIFE.as_millis(),
    "a heartbeat outlives the writing of the next"
);
