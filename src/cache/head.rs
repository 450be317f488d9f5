//! What is known of a stored response beside its bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::clock::UnixMillis;
use crate::http::fields;
use crate::http::forward::Fields;
use crate::http::freshness::Freshness;
use crate::http::tags::Tag;
use crate::http::vary::Selection;
use crate::key::Key;
use crate::origin::{Pin, Validators};
use crate::purge::{Stamp, Subject};

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
    /// Which requests it answers; `None` for all.
    pub selection: Option<Arc<Selection>>,
    /// By what tags a purge may name it.
    pub tags: Arc<[Tag]>,
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
        let strong = etag.filter(|tag| fields::is_strong_tag(tag.as_bytes()));
        match (strong, last_modified, self.length) {
            (Some(tag), _, _) => Some(Pin::Etag(tag)),
            (None, Some(date), Some(length)) => Some(Pin::Modified { date, length }),
            _ => None,
        }
    }

    /// What a purge may concern of it.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            key: &self.key,
            tags: &self.tags,
            stamp: &self.stamp,
        }
    }

    /// Whether it answers a request of which the origin sees `fields`.
    #[must_use]
    pub fn suits(&self, fields: &Fields) -> bool {
        let selection = self.selection.as_ref();
        selection.is_none_or(|selection| selection.suits(fields))
    }

    /// Moves the header values into one allocation of their own.
    ///
    /// Values from the wire are slices of the buffer that they were read into, 4 KiB and more,
    /// which an object would hold as long as it lives.
    pub fn detach(&mut self) {
        let bytes = self.headers.values().map(HeaderValue::len).sum();
        let mut text = BytesMut::with_capacity(bytes);
        for value in self.headers.values() {
            text.extend_from_slice(value.as_bytes());
        }
        let mut text = text.freeze();
        for value in self.headers.values_mut() {
            let moved = HeaderValue::from_maybe_shared(text.split_to(value.len()));
            // What was a value is one still.
            if let Ok(moved) = moved {
                *value = moved;
            }
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

    /// Whether it may be served while it is refreshed, once a soft purge made it stale.
    #[must_use]
    pub fn may_refresh_softened(&self) -> bool {
        self.freshness
            .stale_while_revalidate
            .max(self.freshness.stale_if_error)
            > Duration::ZERO
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn detached_values_are_the_same_and_hold_no_buffer_of_the_wire() {
        let wire = Bytes::from(vec![b'x'; 8192]);
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_maybe_shared(wire.slice(10..20)).unwrap();
        headers.append("a", value.clone());
        headers.append("a", HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append("b", HeaderValue::from_static(""));
        let mut head = Head {
            key: Key::new("s", "/p", None),
            status: StatusCode::OK,
            headers: headers.clone(),
            length: None,
            generation: Generation(1),
            fetched: UnixMillis(0),
            initial_age: Duration::ZERO,
            freshness: Freshness::default(),
            selection: None,
            tags: Arc::from([]),
            stamp: Stamp::default(),
        };
        head.detach();
        assert_eq!(head.headers, headers);
        drop((headers, value));
        assert!(wire.is_unique());
    }
}
