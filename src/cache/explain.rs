//! What the cache knows of a URL, and what would happen to a request for it now.

use std::sync::Arc;

use serde::Serialize;

use crate::cache::ask::Ask;
use crate::cache::engine::Engine;
use crate::cache::head::Head;
use crate::cache::marks::Mark;
use crate::cache::stored::Standing;
use crate::clock::{self, UnixMillis};

/// The answer of `/v1/explain`.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The canonical key.
    pub key: String,
    /// Hash under which Redis knows it.
    pub hash: String,
    /// What would happen: `hit`, `stale`, `revalidate`, `miss` or `pass`.
    pub would: &'static str,
    /// In which tier a copy was found first.
    pub tier: Option<&'static str>,
    /// Whether a fill is under way, which a request would join.
    pub fill_under_way: bool,
    /// The copy.
    pub copy: Option<Copy>,
}

/// A copy in one of the tiers.
#[derive(Debug, Serialize)]
pub struct Copy {
    /// How it stands whoever asks: `fresh`, `refresh`, `expired`, `suspect` or `purged`.
    pub standing: &'static str,
    /// Status.
    pub status: u16,
    /// Length in bytes.
    pub length: Option<u64>,
    /// Age in seconds.
    pub age: u64,
    /// Lifetime in seconds.
    pub lifetime: u64,
    /// Entity tag.
    pub etag: Option<String>,
    /// Whether every byte is in memory.
    pub complete_in_memory: bool,
    /// Where the purge log stood when it was asked for.
    pub position: String,
}

impl Engine {
    /// Explains what the cache knows of a key. Asks Redis when memory has no copy.
    pub async fn explain(&self, ask: &Ask) -> Explanation {
        let now = clock::now();
        let (found, tier) = match self.memory().look(&ask.key) {
            Some(object) => (Some((object.head(), object.is_complete())), Some("memory")),
            None => match self.recorded(&ask.key).await {
                Some(head) => (Some((Arc::new(head), false)), Some("redis")),
                None => (None, None),
            },
        };
        let standing = found
            .as_ref()
            .and_then(|(head, _)| self.standing(head, now));
        let copy = found.map(|(head, complete)| describe(&head, standing, now, complete));
        let would = match standing {
            Some(Standing::Fresh) => "hit",
            Some(Standing::Refresh | Standing::Outage | Standing::Accepted) => "stale",
            Some(Standing::Expired | Standing::Unwanted | Standing::Suspect) => "revalidate",
            None if self.marked(&ask.key, now) == Some(Mark::Passing) => "pass",
            None => "miss",
        };
        Explanation {
            key: ask.key.as_str().to_owned(),
            hash: ask.key.hash().to_string(),
            would,
            tier,
            fill_under_way: self.flights().is_under_way(&ask.key),
            copy,
        }
    }
}

fn describe(head: &Head, standing: Option<Standing>, now: UnixMillis, complete: bool) -> Copy {
    let etag = head.validators().etag;
    Copy {
        standing: standing.map_or("purged", Standing::as_str),
        status: head.status.as_u16(),
        length: head.length,
        age: head.age(now).as_secs(),
        lifetime: head.freshness.lifetime.as_secs(),
        etag: etag.and_then(|tag| tag.to_str().ok().map(str::to_owned)),
        complete_in_memory: complete,
        position: format!(
            "{}-{}",
            head.stamp.position.millis, head.stamp.position.sequence
        ),
    }
}
