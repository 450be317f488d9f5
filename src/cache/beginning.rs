//! Beginnings of objects: partial answers that may be completed (RFC 9111 sections 3.3 and 3.4).
//!
//! A client of a general site that asks for a part of what nobody knows the length of is answered
//! with what the origin sends. When that is the beginning of the object it is kept for a while, and
//! who wants all of it has the rest fetched only. The two are one object only where both name the
//! same version by a strong validator; what cannot be joined is fetched whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::{HeaderValue, StatusCode};

use crate::cache::budget::{Permit, hold};
use crate::cache::head::Head;
use crate::cache::memory::Memory;
use crate::http::fields;
use crate::key::Key;
use crate::limits::{BEGINNINGS_MAX, CHUNK_BYTES};
use crate::origin::{Body, Delimited, Error, Reply};

/// The first bytes of an object, and what was said of it when they came.
#[derive(Clone)]
pub struct Beginning {
    head: Arc<Head>,
    bytes: Bytes,
}

/// The beginnings kept.
#[derive(Default)]
pub struct Beginnings {
    by_key: Mutex<HashMap<Key, Beginning>>,
}

impl Beginnings {
    /// Takes the beginning of an object out.
    #[must_use]
    pub fn take(&self, key: &Key) -> Option<Beginning> {
        self.table().remove(key)
    }

    /// Has a partial answer kept once its last byte has come, where it is the beginning of the
    /// object that `head` describes, small enough, and there is room for it.
    #[must_use]
    pub fn watch(self: &Arc<Self>, memory: &Arc<Memory>, head: Head, mut reply: Reply) -> Reply {
        let carried = reply.span.filter(|span| span.first == 0);
        let carried = carried.and_then(|span| usize::try_from(span.last + 1).ok());
        let length = carried.filter(|length| *length <= CHUNK_BYTES);
        let Some((length, room)) = length.and_then(|it| Some((it, memory.reserve_now(it).ok()?)))
        else {
            return reply;
        };
        reply.body = Box::new(Watched {
            body: reply.body,
            bytes: Vec::with_capacity(length),
            kept_as: Some((head, room)),
            keeper: Arc::clone(self),
        });
        reply
    }

    fn put(&self, beginning: Beginning) {
        let mut table = self.table();
        if table.len() >= BEGINNINGS_MAX {
            table.clear();
        }
        table.insert(beginning.head.key.clone(), beginning);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Key, Beginning>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beginning {
    /// The head that came with it.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where the rest begins.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Makes the answer that carries the rest one that carries everything; `None` where it is not
    /// known to be of the same version.
    #[must_use]
    pub fn join(self, mut reply: Reply) -> Option<Reply> {
        let span = reply.span?;
        let is_rest = span.first == self.end()
            && span.last + 1 == span.total
            && Some(span.total) == self.head.length;
        let tag = |headers| fields::single(headers, ETAG).map(HeaderValue::as_bytes);
        let tags = tag(&self.head.headers).zip(tag(&reply.headers));
        let is_same = tags.is_some_and(|(ours, theirs)| fields::strong_match(ours, theirs));
        if !is_rest || !is_same {
            return None;
        }
        // Section 3.4: the fields of the later answer count, beside those that only the earlier had.
        let ours = &self.head.headers;
        let earlier: Vec<_> = ours
            .keys()
            .filter(|name| !reply.headers.contains_key(*name))
            .collect();
        for name in earlier {
            for value in ours.get_all(name) {
                reply.headers.append(name, value.clone());
            }
        }
        reply.headers.remove(CONTENT_RANGE);
        reply
            .headers
            .insert(CONTENT_LENGTH, HeaderValue::from(span.total));
        reply.status = StatusCode::OK;
        reply.span = None;
        reply.body = Box::new(Joined {
            first: Some(self.bytes),
            rest: reply.body,
        });
        Some(reply)
    }
}

/// A body of which a copy is kept when it has come whole.
struct Watched {
    body: Box<dyn Body>,
    bytes: Vec<u8>,
    /// What the bytes are kept with at their end.
    kept_as: Option<(Head, Permit)>,
    keeper: Arc<Beginnings>,
}

#[async_trait]
impl Body for Watched {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.body.piece().await?;
        match &piece {
            Some(piece) => self.bytes.extend_from_slice(piece),
            None => {
                if let Some((head, room)) = self.kept_as.take() {
                    let bytes = std::mem::take(&mut self.bytes);
                    self.keeper.put(Beginning {
                        head: Arc::new(head),
                        bytes: hold(bytes, room),
                    });
                }
            }
        }
        Ok(piece)
    }

    fn pass(&mut self) {
        self.body.pass();
    }

    fn delimited(&self) -> Delimited {
        self.body.delimited()
    }
}

/// A beginning with its rest.
struct Joined {
    first: Option<Bytes>,
    rest: Box<dyn Body>,
}

#[async_trait]
impl Body for Joined {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.rest.piece().await,
        }
    }

    fn delimited(&self) -> Delimited {
        self.rest.delimited()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::*;
    use crate::cache::head::Generation;
    use crate::clock::UnixMillis;
    use crate::http::freshness::Freshness;
    use crate::origin::Span;
    use crate::purge::Stamp;

    struct Bytewise(Vec<Bytes>);

    #[async_trait]
    impl Body for Bytewise {
        async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
            Ok(self.0.pop())
        }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn reply(first: u64, last: u64, lines: &[(&'static str, &'static str)]) -> Reply {
        let (total, body) = (10, Bytes::from_static(b"0123456789"));
        let index = |offset: u64| usize::try_from(offset).unwrap();
        Reply {
            status: StatusCode::PARTIAL_CONTENT,
            headers: headers(lines),
            span: Some(Span { first, last, total }),
            body: Box::new(Bytewise(vec![body.slice(index(first)..=index(last))])),
        }
    }

    async fn read(mut reply: Reply) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(piece) = reply.body.piece().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    /// What is kept of a beginning of four bytes that came with these headers.
    async fn kept(lines: &[(&'static str, &'static str)]) -> Beginning {
        let head = Head {
            key: Key::new("s", "/a", None),
            status: StatusCode::OK,
            headers: headers(lines),
            length: Some(10),
            generation: Generation(1),
            fetched: UnixMillis(0),
            initial_age: Duration::ZERO,
            freshness: Freshness::default(),
            selection: None,
            tags: Arc::from([]),
            stamp: Stamp::default(),
        };
        let (beginnings, key) = (Arc::new(Beginnings::default()), head.key.clone());
        let reply = beginnings.watch(&Memory::new(16 << 20), head, reply(0, 3, lines));
        assert_eq!(read(reply).await, b"0123");
        beginnings.take(&key).unwrap()
    }

    #[tokio::test]
    async fn a_beginning_and_its_rest_are_one_object_of_one_strong_tag() {
        const ONE: &[(&str, &str)] = &[("etag", "\"1\"")];
        let cases: [(&[_], u64, u64, &[_], bool); 7] = [
            (ONE, 4, 9, ONE, true),
            (ONE, 4, 9, &[("etag", "\"2\"")], false),
            (ONE, 4, 9, &[], false),
            (&[], 4, 9, &[], false),
            (&[("etag", "W/\"1\"")], 4, 9, &[("etag", "W/\"1\"")], false),
            (ONE, 5, 9, ONE, false),
            (ONE, 4, 8, ONE, false),
        ];
        for (ours, first, last, theirs, expected) in cases {
            let joined = kept(ours).await.join(reply(first, last, theirs));
            let what = format!("{ours:?} {first}-{last} {theirs:?}");
            assert_eq!(joined.is_some(), expected, "{what}");
            if let Some(joined) = joined {
                assert_eq!(joined.status, StatusCode::OK);
                assert_eq!(joined.headers.get(CONTENT_LENGTH).unwrap(), "10");
                assert_eq!(read(joined).await, b"0123456789");
            }
        }
    }

    #[tokio::test]
    async fn every_line_of_a_field_that_only_the_beginning_had_stays() {
        let ours = [
            ("etag", "\"1\""),
            ("vary", "a"),
            ("vary", "b"),
            ("age", "1"),
        ];
        let rest = reply(4, 9, &[("etag", "\"1\""), ("age", "2")]);
        let joined = kept(&ours).await.join(rest).unwrap();
        let lines = |name| joined.headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(lines("vary"), ["a", "b"]);
        assert_eq!(lines("age"), ["2"]);
    }
}
