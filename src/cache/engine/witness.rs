//! Bodies that bear witness: each record of sixteen bytes says of which edition it is, where it
//! belongs, and at which moment the origin was asked for it. Any piece of an answer, however it was
//! cut, then shows whether it is old, misplaced or of another version than the rest.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue,
    LAST_MODIFIED,
};

use crate::http::range::Wanted;
use crate::origin::{Error, Fetch, Pin, Span};

/// Bytes of one record; every length and every offset asked for is a multiple.
pub(super) const RECORD: u64 = 16;

/// One version of one variant of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Edition {
    pub(super) object: u8,
    pub(super) variant: u8,
    pub(super) version: u16,
}

/// Counts what happens, so that it can be said which of two things came first.
#[derive(Debug, Default)]
pub(super) struct Moments(AtomicU32);

impl Moments {
    pub(super) fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// The bytes of `range` of an edition, asked for at the moment `asked`.
pub(super) fn write(edition: Edition, asked: u32, range: Range<u64>) -> Bytes {
    let mut record = [0; 16];
    record[..8].copy_from_slice(&mark(edition, asked));
    let mut bytes = Vec::with_capacity(usize::try_from(range.end - range.start).unwrap());
    for index in range.start / RECORD..range.end / RECORD {
        record[8..].copy_from_slice(&index.to_le_bytes());
        bytes.extend_from_slice(&record);
    }
    bytes.into()
}

fn mark(edition: Edition, asked: u32) -> [u8; 8] {
    let [v0, v1] = edition.version.to_le_bytes();
    let [a0, a1, a2, a3] = asked.to_le_bytes();
    [edition.object, edition.variant, v0, v1, a0, a1, a2, a3]
}

/// What the bytes of one answer say, heard piece by piece.
#[derive(Debug)]
pub(super) struct Witness {
    /// Offset behind the last record heard.
    at: u64,
    rest: Vec<u8>,
    last: Option<[u8; 8]>,
    edition: Option<Edition>,
    oldest: Option<u32>,
}

impl Witness {
    /// Hears an answer that begins at `first`.
    pub(super) fn from(first: u64) -> Self {
        Self {
            at: first,
            rest: Vec::new(),
            last: None,
            edition: None,
            oldest: None,
        }
    }

    /// The edition heard, and the moment of the oldest of its bytes.
    pub(super) fn said(&self) -> Option<(Edition, u32)> {
        self.edition.zip(self.oldest)
    }

    /// Offset behind the last byte heard.
    pub(super) fn end(&self) -> u64 {
        self.at + self.rest.len() as u64
    }

    /// Hears a piece; says what is wrong with it.
    pub(super) fn hear(&mut self, piece: &[u8]) -> Result<(), String> {
        let mut piece = piece;
        if !self.rest.is_empty() {
            let missing = piece.len().min(16 - self.rest.len());
            let (head, tail) = piece.split_at(missing);
            self.rest.extend_from_slice(head);
            piece = tail;
            if self.rest.len() == 16 {
                let whole = std::mem::take(&mut self.rest);
                self.record(&whole)?;
            }
        }
        let (records, rest) = piece.as_chunks::<16>();
        for record in records {
            self.record(record)?;
        }
        self.rest.extend_from_slice(rest);
        Ok(())
    }

    fn record(&mut self, record: &[u8]) -> Result<(), String> {
        let place = u64::from_le_bytes(record[8..].try_into().unwrap()) * RECORD;
        if place != self.at {
            return Err(format!("bytes of {place} at {}", self.at));
        }
        self.at += RECORD;
        let mark: [u8; 8] = record[..8].try_into().unwrap();
        if self.last == Some(mark) {
            return Ok(());
        }
        self.last = Some(mark);
        let [object, variant, v0, v1, a0, a1, a2, a3] = mark;
        let edition = Edition {
            object,
            variant,
            version: u16::from_le_bytes([v0, v1]),
        };
        let asked = u32::from_le_bytes([a0, a1, a2, a3]);
        self.oldest = Some(self.oldest.map_or(asked, |oldest| oldest.min(asked)));
        match *self.edition.get_or_insert(edition) {
            first if first == edition => Ok(()),
            first => Err(format!("{edition:?} at {place} after {first:?}")),
        }
    }
}

/// Header that says when the origin was asked for this head, or to confirm it.
pub(super) const ASKED: HeaderName = HeaderName::from_static("x-asked");

/// How an origin names versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    Etag,
    Date,
    Nothing,
}

/// What an origin has to say of an edition.
pub(super) struct Print {
    pub(super) edition: Edition,
    pub(super) asked: u32,
    pub(super) length: u64,
    pub(super) naming: Naming,
    pub(super) control: &'static str,
}

/// The head of an answer, and which bytes follow.
pub(super) struct Headed {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) span: Option<Span>,
    pub(super) body: Range<u64>,
}

impl Print {
    /// Answers a request as a good origin does: pins, validators and ranges count.
    pub(super) fn answer(&self, fetch: &Fetch) -> Result<Headed, Error> {
        let (etag, date) = self.names();
        let is_other = match &fetch.pin {
            None => false,
            Some(Pin::Etag(pinned)) => Some(pinned) != etag.as_ref(),
            Some(Pin::Modified {
                date: pinned,
                length,
            }) => Some(pinned) != date.as_ref() || *length != self.length,
        };
        if is_other {
            return Err(Error::Changed);
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.control));
        headers.insert(ASKED, self.asked.into());
        let confirmed = fetch.validators.as_ref().is_some_and(|held| {
            let by_tag = held.etag.is_some() && held.etag == etag;
            by_tag
                || (held.etag.is_none()
                    && held.last_modified.is_some()
                    && held.last_modified == date)
        });
        headers.extend(etag.map(|etag| (ETAG, etag)));
        headers.extend(date.map(|date| (LAST_MODIFIED, date)));
        let headed = |status, headers, span, body| Headed {
            status,
            headers,
            span,
            body,
        };
        if confirmed {
            return Ok(headed(StatusCode::NOT_MODIFIED, headers, None, 0..0));
        }
        let total = self.length;
        let (status, span, body) = match fetch.range {
            Some(Wanted::Span(first, last)) if first < total => {
                let last = last.min(total - 1);
                let span = Span { first, last, total };
                (StatusCode::PARTIAL_CONTENT, Some(span), first..last + 1)
            }
            Some(Wanted::Span(..)) => (StatusCode::RANGE_NOT_SATISFIABLE, None, 0..0),
            Some(Wanted::Suffix(_)) | None => (StatusCode::OK, None, 0..total),
        };
        headers.insert(CONTENT_LENGTH, (body.end - body.start).into());
        let body = if fetch.head_only { 0..0 } else { body };
        Ok(headed(status, headers, span, body))
    }

    /// The entity tag and the date of the edition.
    fn names(&self) -> (Option<HeaderValue>, Option<HeaderValue>) {
        let Edition {
            object,
            variant,
            version,
        } = self.edition;
        let (minute, second) = (version / 60 % 60, version % 60);
        let text = match self.naming {
            Naming::Etag => format!("\"{object}-{variant}-{version}\""),
            Naming::Date => format!("Wed, 01 Jan 2020 00:{minute:02}:{second:02} GMT"),
            Naming::Nothing => return (None, None),
        };
        let value = HeaderValue::from_str(&text).ok();
        match self.naming {
            Naming::Etag => (value, None),
            Naming::Date | Naming::Nothing => (None, value),
        }
    }
}

#[test]
fn a_witness_notices_what_is_mixed_misplaced_or_old() {
    let edition = |version| Edition {
        object: 1,
        variant: 2,
        version,
    };
    let (one, two) = (write(edition(1), 7, 0..160), write(edition(2), 7, 0..160));
    let hear = |pieces: &[&[u8]]| {
        let mut witness = Witness::from(0);
        let heard = pieces.iter().try_for_each(|piece| witness.hear(piece));
        heard.map(|()| (witness.end(), witness.said()))
    };
    let whole = Ok((160, Some((edition(1), 7))));
    assert_eq!(hear(&[&one]), whole);
    assert_eq!(hear(&[&one[..5], &one[5..23], &one[23..]]), whole);
    assert!(hear(&[&one[..16], &two[16..]]).is_err(), "mixed");
    assert!(hear(&[&one[..21], &two[21..]]).is_err(), "mixed");
    assert!(hear(&[&one[..16], &one[32..]]).is_err(), "misplaced");
    let older = write(edition(1), 3, 16..160);
    let said = hear(&[&one[..16], &older]).unwrap();
    assert_eq!(said, (160, Some((edition(1), 3))));
    assert_eq!(hear(&[&one[..150]]).unwrap().0, 150);
}
