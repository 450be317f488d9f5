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
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderValue, StatusCode};

use crate::cache::budget::hold;
use crate::cache::head::Head;
use crate::cache::memory::Memory;
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
    /// object that `head` describes and small enough.
    #[must_use]
    pub fn watch(self: &Arc<Self>, memory: &Arc<Memory>, head: Head, mut reply: Reply) -> Reply {
        let carried = reply.span.filter(|span| span.first == 0);
        let carried = carried.and_then(|span| usize::try_from(span.last + 1).ok());
        let Some(length) = carried.filter(|length| *length <= CHUNK_BYTES) else {
            return reply;
        };
        reply.body = Box::new(Watched {
            body: reply.body,
            bytes: Vec::with_capacity(length),
            head: Some(head),
            keeper: Arc::clone(self),
            memory: Arc::clone(memory),
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
        let tag = |headers: &http::HeaderMap| {
            let tag = headers.get(http::header::ETAG)?;
            tag.as_bytes().starts_with(b"\"").then(|| tag.clone())
        };
        let is_same = tag(&self.head.headers).is_some_and(|ours| Some(ours) == tag(&reply.headers));
        if !is_rest || !is_same {
            return None;
        }
        // Section 3.4: the fields of the later answer count, beside those that only the earlier had.
        for (name, value) in &self.head.headers {
            if !reply.headers.contains_key(name) {
                reply.headers.insert(name, value.clone());
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
    head: Option<Head>,
    keeper: Arc<Beginnings>,
    memory: Arc<Memory>,
}

#[async_trait]
impl Body for Watched {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.body.piece().await?;
        match &piece {
            Some(piece) => self.bytes.extend_from_slice(piece),
            None => {
                if let Some(head) = self.head.take() {
                    let bytes = std::mem::take(&mut self.bytes);
                    let permit = self.memory.charge(bytes.len());
                    self.keeper.put(Beginning {
                        head: Arc::new(head),
                        bytes: hold(bytes, permit),
                    });
                }
            }
        }
        Ok(piece)
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
