//! Purges: a totally ordered log, and what this node knows of it.
//!
//! A record is stamped with the position of the log *before* its origin request, and is checked
//! when it is read. A late write, a lost message or a failover can therefore not bring purged
//! bytes back.

pub mod log;
pub mod table;

/// A place in the log: the two halves of a Redis stream id. Later purges compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Milliseconds part of the stream id.
    pub millis: u64,
    /// Sequence part of the stream id.
    pub sequence: u64,
}

/// When, in terms of the log, a response was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    /// Which log: a random number that changes when the log is lost. 0 is a node's own log.
    pub incarnation: u64,
    /// Last entry known when the origin was asked.
    pub position: Position,
}

/// What the table says of a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No purge concerns it.
    Valid,
    /// A purge newer than its stamp names it: it must not be served any more.
    Purged,
    /// The log cannot tell (another incarnation, or older than the log's floor): revalidate.
    Suspect,
}
