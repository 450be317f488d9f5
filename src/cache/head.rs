//! What is known of a stored response beside its bytes.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::clock::UnixMillis;
use crate::http::freshness::Freshness;
use crate::key::Key;
use crate::origin::{Pin, Validators};
use crate::purge::Stamp;

/// Identifies one fill: two fills of one key never share it, whichever nodes ran them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation(pub u128);

impl Generation {
    /// Draws a new one.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u128(..))
    }
}

/// The head of a stored response: status, headers, and what decides about its reuse.
#[derive(Debug, Clone)]
pub struct Head {
    /// Which object this is.
    pub key: Key,
    /// Status as stored: 200, or a negative answer such as 404.
    pub status: StatusCode,
    /// End-to-end headers as the origin sent them; Content-Length only by `length`.
    pub headers: HeaderMap,
    /// Length of the whole object in bytes; unknown while a chunked fill runs.
    pub length: Option<u64>,
    /// Which fill the bytes belong to.
    pub generation: Generation,
    /// When the origin's answer arrived, or last confirmed the bytes.
    pub fetched: UnixMillis,
    /// Age that the answer already had then (RFC 9111 section 4.2.3).
    pub initial_age: Duration,
    /// How long it may be reused.
    pub freshness: Freshness,
    /// Where the purge log stood before the origin was asked.
    pub stamp: Stamp,
}

impl Head {
    /// Validators for a conditional request.
    #[must_use]
    pub fn validators(&self) -> Validators {
        Validators {
            etag: self.headers.get(http::header::ETAG).cloned(),
            last_modified: self.headers.get(http::header::LAST_MODIFIED).cloned(),
        }
    }

    /// What pins further fetches to this version; `None` when nothing does (fill whole, then).
    #[must_use]
    pub fn pin(&self) -> Option<Pin> {
        let Validators {
            etag,
            last_modified,
        } = self.validators();
        let strong = etag.filter(|tag| tag.as_bytes().starts_with(b"\""));
        match (strong, last_modified, self.length) {
            (Some(tag), _, _) => Some(Pin::Etag(tag)),
            (None, Some(date), Some(length)) => Some(Pin::Modified { date, length }),
            _ => None,
        }
    }

    /// Current age of the response (RFC 9111 section 4.2.3).
    #[must_use]
    pub fn age(&self, now: UnixMillis) -> Duration {
        self.initial_age.saturating_add(now.since(self.fetched))
    }

    /// Whether the response may be served without asking the origin.
    #[must_use]
    pub fn is_fresh(&self, now: UnixMillis) -> bool {
        self.age(now) < self.freshness.lifetime
    }

    /// Whether it may be served while it is refreshed (RFC 5861 section 3).
    #[must_use]
    pub fn may_refresh(&self, now: UnixMillis) -> bool {
        self.age(now)
            < self
                .freshness
                .lifetime
                .saturating_add(self.freshness.stale_while_revalidate)
    }

    /// Whether it may be served when the origin fails (RFC 5861 section 4).
    #[must_use]
    pub fn may_stand_in(&self, now: UnixMillis) -> bool {
        let window = self
            .freshness
            .stale_if_error
            .max(self.freshness.stale_while_revalidate);
        self.age(now) < self.freshness.lifetime.saturating_add(window)
    }
}
