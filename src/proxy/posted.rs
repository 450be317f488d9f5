//! An answer to POST that may answer later GETs (RFC 9110 section 9.3.3), collected as it passes.
//!
//! It invalidates what it replaces first, and purges judge stored answers by what was asked for
//! before them. So it is kept only where no purge but its own has concerned it since its request
//! was sent. In a shared log other nodes' purges show late: with one, nothing is kept.

use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, EXPIRES, HeaderMap, TRANSFER_ENCODING,
};
use http::{Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::cache::ask::Ask;
use crate::cache::budget::{Permit, hold};
use crate::cache::engine::Engine;
use crate::cache::posted::Posted;
use crate::clock::{self, UnixMillis};
use crate::http::cache_control::CacheControl;
use crate::http::{fields, tags};
use crate::limits::CHUNK_BYTES;
use crate::purge::{Stamp, Subject};

/// A request on its way whose answer may be kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    stamp: Stamp,
    asked: UnixMillis,
}

/// An answer that may be kept as far as its header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    sent: Sent,
    arrived: UnixMillis,
    length: usize,
}

/// An answer whose body is on its way.
pub(super) struct Collected {
    ask: Ask,
    posted: Posted,
    body: BytesMut,
    length: usize,
    /// Stands for the body.
    room: Permit,
}

impl Sent {
    /// Notes that a request is about to be sent; `None` where its answer will not be kept.
    pub(super) fn now(request: &RequestHeader, engine: &Engine) -> Option<Self> {
        let is_candidate = request.method == Method::POST
            && !request.headers.contains_key(AUTHORIZATION)
            && engine.shared().is_none();
        is_candidate.then(|| Self {
            stamp: engine.purges().stamp(),
            asked: clock::now(),
        })
    }

    /// Whether the answer may be kept as far as its header says.
    pub(super) fn answered(self, response: &ResponseHeader) -> Option<Answered> {
        let length = length_of(response)?;
        Some(Answered {
            sent: self,
            arrived: clock::now(),
            length,
        })
    }
}

impl Answered {
    /// Invalidates what the answer replaces, and begins to collect it.
    pub(super) fn collect(
        self,
        ask: Ask,
        response: &ResponseHeader,
        engine: &Engine,
    ) -> Option<Collected> {
        engine.forget(&ask.key);
        let tags = tags::tags(ask.key.site(), &response.headers)?;
        let subject = Subject {
            key: &ask.key,
            tags: &tags,
            stamp: &self.sent.stamp,
        };
        let stamp = engine.purges().supersede(subject)?;
        let room = engine.memory().reserve_now(self.length).ok()?;
        Some(Collected {
            ask,
            posted: Posted {
                status: response.status,
                headers: response.headers.clone(),
                body: Bytes::new(),
                asked: self.sent.asked,
                arrived: self.arrived,
                stamp,
            },
            body: BytesMut::with_capacity(self.length),
            length: self.length,
            room,
        })
    }
}

impl Collected {
    /// Takes a piece; whether it was the last one.
    pub(super) fn push(&mut self, piece: &[u8]) -> Progress {
        if self.body.len().saturating_add(piece.len()) > self.length {
            return Progress::Broken;
        }
        self.body.extend_from_slice(piece);
        match self.body.len() == self.length {
            true => Progress::Whole,
            false => Progress::Partial,
        }
    }

    /// What is to be stored, and for which GET.
    pub(super) fn finish(self) -> (Ask, Posted) {
        let posted = Posted {
            body: hold(self.body, self.room),
            ..self.posted
        };
        (self.ask, posted)
    }
}

/// How far a body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come.
    Partial,
    /// All of it is here.
    Whole,
    /// It is not what was announced.
    Broken,
}

/// Length of an answer that may be kept as far as its own header says: 200 with a lifetime of its
/// own, short enough to be collected. `None` for others.
fn length_of(response: &ResponseHeader) -> Option<usize> {
    let headers: &HeaderMap = &response.headers;
    let control = CacheControl::of(headers);
    let has_lifetime = control.s_maxage.is_some()
        || control.max_age.is_some()
        || fields::single_date(headers, EXPIRES).is_some();
    let is_whole = response.status == StatusCode::OK
        && !headers.contains_key(CONTENT_RANGE)
        && !headers.contains_key(TRANSFER_ENCODING);
    let length = fields::single(headers, CONTENT_LENGTH)?.to_str().ok()?;
    let length: usize = length.parse().ok()?;
    (has_lifetime && is_whole && (1..=CHUNK_BYTES).contains(&length)).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_whole_answers_with_a_lifetime_of_their_own_are_kept() {
        let large = format!(
            "cache-control: max-age=60, content-length: {}",
            CHUNK_BYTES + 1
        );
        for (status, fields, expected) in [
            (200, "content-length: 3, cache-control: max-age=60", Some(3)),
            (
                200,
                "content-length: 3, cache-control: s-maxage=60",
                Some(3),
            ),
            (
                200,
                "content-length: 3, expires: Thu Jan  1 00:00:00 2099",
                Some(3),
            ),
            (200, "content-length: 3", None),
            (200, &large, None),
            (200, "content-length: 0, cache-control: max-age=60", None),
            (200, "cache-control: max-age=60", None),
            (201, "content-length: 3, cache-control: max-age=60", None),
            (
                200,
                "content-length: 3, cache-control: max-age=60, content-range: bytes 0-2/9",
                None,
            ),
        ] {
            let mut header = ResponseHeader::build(status, None).unwrap();
            for field in fields.split(", ") {
                let (name, value) = field.split_once(": ").unwrap();
                header.insert_header(name.to_owned(), value).unwrap();
            }
            assert_eq!(length_of(&header), expected, "{status} {fields}");
        }
    }
}
