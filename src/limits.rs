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

/// Blocks fetched ahead of a reader that reads in sequence.
pub const READ_AHEAD_BLOCKS: u64 = 1;

/// Piece size handed to a reader that is slower than its chunk is worth holding.
pub const SLOW_PIECE_BYTES: usize = 32 * 1024;

/// Longest wait of a fill for a place in the byte budget, before it fails.
pub const BUDGET_WAIT_MAX: Duration = Duration::from_secs(10);

/// Longest wait of a reader for the next bytes of a fill; the fill's own deadlines come first.
pub const RUN_WAIT_MAX: Duration = Duration::from_secs(60);

/// Chunks asked of Redis at once for one object: hides the round trip, keeps small calls quick.
pub const REDIS_WINDOW: usize = 3;

/// Longest request target accepted (RFC 9110 section 4.1 recommends at least 8000 octets).
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Largest request head accepted.
pub const REQUEST_HEAD_BYTES_MAX: usize = 32 * 1024;

/// Most ranges served in one multipart answer; more are answered by the whole object.
pub const RANGES_MAX: usize = 8;

/// How long an uncacheable answer spares the next requests for its key the queue.
pub const PASS_MARK_LIFE: Duration = Duration::from_secs(2);

/// Most pass marks and negative marks remembered; the oldest go first.
pub const MARKS_MAX: usize = 65_536;

/// Most flights (objects being opened) at once; above it requests are answered 503.
pub const FLIGHTS_MAX: usize = 16_384;

/// Purge entries kept in the local table; more raise the floor (over-purge, counted).
pub const PURGES_MAX: usize = 65_536;

/// Records kept in the shared purge log; a node further behind suspects what it holds.
pub const PURGE_LOG_MAX: usize = 100_000;

/// How often a node reads the purge log.
pub const PURGE_POLL: Duration = Duration::from_millis(250);

/// How often a node writes its heartbeat, and how long the heartbeat lives.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// See [`HEARTBEAT_EVERY`].
pub const HEARTBEAT_LIFE: Duration = Duration::from_secs(5);

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
