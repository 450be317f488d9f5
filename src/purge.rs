//! Purges: a totally ordered log, and what this node knows of it.
//!
//! A record is stamped with the position of the log *before* its origin request, and is checked
//! when it is read. A late write, a lost message or a failover can therefore not bring purged
//! bytes back.

pub mod answer;
pub mod command;
pub mod log;
mod marks;
pub mod order;
pub mod remote;
pub mod shields;
#[cfg(test)]
pub(crate) mod stand_in;
pub mod table;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::http::tags::Tag;
use crate::key::Key;

/// A place in the log: the two halves of a Redis stream id. Later purges compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Milliseconds part of the stream id.
    pub millis: u64,
    /// Sequence part of the stream id.
    pub sequence: u64,
}

impl Position {
    /// The very next place.
    #[must_use]
    pub fn next(self) -> Self {
        let Self { millis, sequence } = self;
        match sequence.checked_add(1) {
            Some(sequence) => Self { millis, sequence },
            None => Self {
                millis: millis.saturating_add(1),
                sequence: 0,
            },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

/// A text that is no stream id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position")]
pub struct NotAPosition;

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let (millis, sequence) = text.split_once('-').ok_or(NotAPosition)?;
        Ok(Self {
            millis: millis.parse().map_err(|_| NotAPosition)?,
            sequence: sequence.parse().map_err(|_| NotAPosition)?,
        })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// When, in terms of the log, a response was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    /// Which log: a random number that changes when the log is lost. 0 is a node's own log.
    pub incarnation: u64,
    /// Last entry known when the origin was asked.
    pub position: Position,
}

/// What is judged: a stored response, as far as purges can name it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its key, that of a variant or not: a purge names all variants.
    pub key: &'a Key,
    /// Its tags; empty where they are not known yet.
    pub tags: &'a [Tag],
    /// When it was asked for.
    pub stamp: &'a Stamp,
}

impl<'a> Subject<'a> {
    /// A response whose tags are not known, or that has none.
    #[must_use]
    pub fn untagged(key: &'a Key, stamp: &'a Stamp) -> Self {
        Self {
            key,
            tags: &[],
            stamp,
        }
    }
}

/// What the table says of a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No purge concerns it.
    Valid,
    /// A soft purge newer than its stamp names it: it is stale, whatever its age.
    Softened,
    /// A purge newer than its stamp names it: it must not be served any more.
    Purged,
    /// The log cannot tell (another incarnation, or older than the log's floor): revalidate.
    Suspect,
}
