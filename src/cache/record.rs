//! The bytes that Redis holds: the record of a head, and the frame around a chunk.
//!
//! A record is a fixed preamble and a list of fields, each with its tag and its length, so that a
//! node skips fields that a newer release added and nodes can be upgraded one by one. All numbers
//! are little endian.
//!
//! ```text
//! record: "WR" major minor | length u32 | xxh3-64 of the fields, seeded with the first 8 bytes
//!         then fields: tag u8 | length u32 | bytes
//! chunk:  "WC" version 0   | index u32 | length u32 | generation u128 | xxh3-64 of the payload
//!         then the payload
//! ```
//!
//! Invariants: decoding never panics and never allocates more than its input; what decodes is what
//! was encoded for that key, generation and index; a record that decodes today decodes for ever
//! (the golden tests below). A change that old nodes must not read raises `MAJOR`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::cache::head::{Generation, Head};
use crate::clock::UnixMillis;
use crate::http::freshness::Freshness;
use crate::http::tags;
use crate::http::vary::Selection;
use crate::key::Key;
use crate::limits;
use crate::purge::{Position, Stamp};

/// First bytes of a record.
const RECORD_MAGIC: [u8; 2] = *b"WR";
/// Releases with another major version cannot read each other's records: to both they are misses.
const MAJOR: u8 = 1;
/// That of a response that answers some requests only: who knows the other version alone would give
/// it to everyone.
const MAJOR_VARIED: u8 = 2;
/// Raised when a field is added; informational.
const MINOR: u8 = 0;
/// Chunks of `CHUNK_BYTES`, placed as `keys` says. Another placement gets another number.
const LAYOUT: u8 = 1;
/// Stands before the value of a field that a request had.
const PRESENT: u8 = 1;
/// Headers that a stored response may have; origins send a few dozen.
const HEADERS_MAX: usize = 512;

/// First bytes of a chunk, and its version.
const CHUNK_MAGIC: [u8; 4] = *b"WC\x01\x00";
/// Bytes before the payload of a chunk.
pub const FRAME_BYTES: usize = 36;

/// Largest value that stays in the allocator's class of 2^18 bytes, string header included.
const VALUE_BYTES_MAX: usize = 262_134;
const _: () = assert!(
    FRAME_BYTES <= 48 && limits::CHUNK_BYTES + FRAME_BYTES <= VALUE_BYTES_MAX,
    "a framed chunk stays in its allocator class"
);

/// Tags of the record's fields. A tag is never used again for another meaning.
mod tag {
    pub(super) const KEY: u8 = 1;
    pub(super) const STATUS: u8 = 2;
    pub(super) const HEADER: u8 = 3;
    pub(super) const LENGTH: u8 = 4;
    pub(super) const GENERATION: u8 = 5;
    pub(super) const FETCHED: u8 = 6;
    pub(super) const INITIAL_AGE: u8 = 7;
    pub(super) const LIFETIME: u8 = 8;
    pub(super) const STALE_WHILE_REVALIDATE: u8 = 9;
    pub(super) const STALE_IF_ERROR: u8 = 10;
    pub(super) const STAMP: u8 = 11;
    pub(super) const LAYOUT: u8 = 12;
    pub(super) const SELECTED_BY: u8 = 13;
}

/// Why bytes from Redis are not used; each means a miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Cut, altered, or never written by a node.
    #[error("damaged")]
    Damaged,
    /// Written by a release that places or describes objects otherwise.
    #[error("written in version {0}")]
    OtherVersion(u8),
    /// The record of another key whose hash is the same.
    #[error("of another key")]
    OtherKey,
    /// The chunk of another fill of the same object.
    #[error("of another fill")]
    OtherGeneration,
}

/// What a chunk must be to belong to a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Fill of the head.
    pub generation: Generation,
    /// Number of the chunk in its object, from 0.
    pub index: u32,
    /// Payload bytes: `CHUNK_BYTES`, or the rest of the object in its last chunk.
    pub length: u32,
}

impl Expected {
    /// Says what chunk `index` of `head` must be; `None` where the object has no such chunk or its
    /// length is unknown.
    #[must_use]
    pub fn of(head: &Head, index: u64) -> Option<Self> {
        let chunk = limits::CHUNK_BYTES as u64;
        let rest = head.length?.checked_sub(index.checked_mul(chunk)?)?;
        (rest > 0).then_some(())?;
        Some(Self {
            generation: head.generation,
            index: u32::try_from(index).ok()?,
            length: u32::try_from(rest.min(chunk)).ok()?,
        })
    }
}

/// Writes the record of a head. Headers beyond the bound of 512 are left out.
#[must_use]
pub fn encode(head: &Head) -> Vec<u8> {
    let mut fields = Fields::default();
    fields.put(tag::KEY, head.key.as_str().as_bytes());
    fields.put(tag::STATUS, &head.status.as_u16().to_le_bytes());
    for (name, value) in head.headers.iter().take(HEADERS_MAX) {
        let mut field = named(name);
        field.extend_from_slice(value.as_bytes());
        fields.put(tag::HEADER, &field);
    }
    if let Some(length) = head.length {
        fields.put(tag::LENGTH, &length.to_le_bytes());
    }
    fields.put(tag::GENERATION, &head.generation.0.to_le_bytes());
    fields.put(tag::FETCHED, &head.fetched.0.to_le_bytes());
    let freshness = head.freshness;
    for (tag, span) in [
        (tag::INITIAL_AGE, head.initial_age),
        (tag::LIFETIME, freshness.lifetime),
        (
            tag::STALE_WHILE_REVALIDATE,
            freshness.stale_while_revalidate,
        ),
        (tag::STALE_IF_ERROR, freshness.stale_if_error),
    ] {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        fields.put(tag, &millis.to_le_bytes());
    }
    let Position { millis, sequence } = head.stamp.position;
    let mut stamp = [0; 24];
    let halves = [head.stamp.incarnation, millis, sequence];
    for (to, from) in stamp.chunks_exact_mut(8).zip(halves) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    fields.put(tag::STAMP, &stamp);
    fields.put(tag::LAYOUT, &[LAYOUT]);
    let Some(selection) = &head.selection else {
        return fields.seal(MAJOR);
    };
    for (name, value) in selection.members() {
        let mut field = named(name);
        if let Some(value) = value {
            field.push(PRESENT);
            field.extend_from_slice(value.as_bytes());
        }
        fields.put(tag::SELECTED_BY, &field);
    }
    fields.seal(MAJOR_VARIED)
}

/// Begins a field that holds a header's name and, behind that, what belongs to it.
fn named(name: &HeaderName) -> Vec<u8> {
    let name = name.as_str().as_bytes();
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    [&length.to_le_bytes(), name].concat()
}

/// Reads the record of `key`.
///
/// # Errors
///
/// [`DecodeError`] when the bytes are no readable record of that key.
pub fn decode(bytes: &[u8], key: &Key) -> Result<Head, DecodeError> {
    let mut draft = Draft::default();
    let mut rest = open(bytes)?;
    while !rest.is_empty() {
        let (tag, field) = next_field(&mut rest).ok_or(DecodeError::Damaged)?;
        draft.take(tag, field)?;
    }
    draft.finish(key)
}

/// Writes what stands before a chunk's payload.
#[must_use]
pub fn frame(expected: &Expected, payload: &[u8]) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    let parts: [&[u8]; 5] = [
        &CHUNK_MAGIC,
        &expected.index.to_le_bytes(),
        &expected.length.to_le_bytes(),
        &expected.generation.0.to_le_bytes(),
        &xxh3_64(payload).to_le_bytes(),
    ];
    let bytes = parts.into_iter().flatten();
    frame
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    frame
}

/// Takes the payload out of a chunk, without copying it.
///
/// # Errors
///
/// [`DecodeError`] when the bytes are not the chunk that was expected.
pub fn unframe(value: &Bytes, expected: &Expected) -> Result<Bytes, DecodeError> {
    let mut rest: &[u8] = value;
    let magic: [u8; 4] = array(&mut rest)?;
    if magic != CHUNK_MAGIC {
        let [m0, m1, version, _] = magic;
        let ours = [m0, m1] == [b'W', b'C'];
        return Err(match ours {
            true => DecodeError::OtherVersion(version),
            false => DecodeError::Damaged,
        });
    }
    let index = u32::from_le_bytes(array(&mut rest)?);
    let length = u32::from_le_bytes(array(&mut rest)?);
    let generation = u128::from_le_bytes(array(&mut rest)?);
    let checksum = u64::from_le_bytes(array(&mut rest)?);
    if generation != expected.generation.0 {
        return Err(DecodeError::OtherGeneration);
    }
    let whole = u32::try_from(rest.len()) == Ok(length);
    let asked = index == expected.index && length == expected.length;
    if !whole || !asked || xxh3_64(rest) != checksum {
        return Err(DecodeError::Damaged);
    }
    Ok(value.slice(FRAME_BYTES..))
}

/// Fields being written.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    /// Adds a field. One longer than a record may be is left out, which reading finds out.
    fn put(&mut self, tag: u8, field: &[u8]) {
        if let Ok(length) = u32::try_from(field.len()) {
            self.0.push(tag);
            self.0.extend_from_slice(&length.to_le_bytes());
            self.0.extend_from_slice(field);
        }
    }

    fn seal(self, major: u8) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let [m0, m1] = RECORD_MAGIC;
        let [l0, l1, l2, l3] = length.to_le_bytes();
        let lead = [m0, m1, major, MINOR, l0, l1, l2, l3];
        let checksum = xxh3_64_with_seed(&self.0, u64::from_le_bytes(lead));
        [lead.as_slice(), &checksum.to_le_bytes(), &self.0].concat()
    }
}

/// Checks the preamble and gives the fields.
fn open(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut rest = bytes;
    let lead: [u8; 8] = array(&mut rest)?;
    let checksum = u64::from_le_bytes(array(&mut rest)?);
    let [m0, m1, major, _, l0, l1, l2, l3] = lead;
    if [m0, m1] != RECORD_MAGIC {
        return Err(DecodeError::Damaged);
    }
    if major != MAJOR && major != MAJOR_VARIED {
        return Err(DecodeError::OtherVersion(major));
    }
    let whole = u32::try_from(rest.len()) == Ok(u32::from_le_bytes([l0, l1, l2, l3]));
    if !whole || xxh3_64_with_seed(rest, u64::from_le_bytes(lead)) != checksum {
        return Err(DecodeError::Damaged);
    }
    Ok(rest)
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, after) = rest.split_first()?;
    let (length, after) = after.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (field, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((tag, field))
}

/// Takes the first `N` bytes off.
fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(DecodeError::Damaged)?;
    *rest = tail;
    Ok(*head)
}

/// Reads a field as so many bytes; a newer release may have appended to it.
fn exact<const N: usize>(mut field: &[u8]) -> Result<[u8; N], DecodeError> {
    array(&mut field)
}

/// Fields read so far.
#[derive(Default)]
struct Draft {
    key: Option<Key>,
    status: Option<StatusCode>,
    headers: HeaderMap,
    length: Option<u64>,
    generation: Option<Generation>,
    fetched: Option<UnixMillis>,
    initial_age: Duration,
    freshness: Freshness,
    stamp: Option<Stamp>,
    layout: Option<u8>,
    selected_by: Vec<(HeaderName, Option<HeaderValue>)>,
}

impl Draft {
    fn take(&mut self, tag: u8, field: &[u8]) -> Result<(), DecodeError> {
        match tag {
            tag::KEY => {
                let text = std::str::from_utf8(field).map_err(|_| DecodeError::Damaged)?;
                self.key = Some(Key::from_text(text));
            }
            tag::STATUS => {
                let status = StatusCode::from_u16(u16::from_le_bytes(exact(field)?));
                self.status = Some(status.map_err(|_| DecodeError::Damaged)?);
            }
            tag::HEADER => self.take_header(field)?,
            tag::LENGTH => self.length = Some(u64::from_le_bytes(exact(field)?)),
            tag::GENERATION => {
                self.generation = Some(Generation(u128::from_le_bytes(exact(field)?)));
            }
            tag::FETCHED => self.fetched = Some(UnixMillis(u64::from_le_bytes(exact(field)?))),
            tag::INITIAL_AGE => self.initial_age = span(field)?,
            tag::LIFETIME => self.freshness.lifetime = span(field)?,
            tag::STALE_WHILE_REVALIDATE => self.freshness.stale_while_revalidate = span(field)?,
            tag::STALE_IF_ERROR => self.freshness.stale_if_error = span(field)?,
            tag::STAMP => self.stamp = Some(stamp(field)?),
            tag::SELECTED_BY => self.take_selecting(field)?,
            tag::LAYOUT => self.layout = field.first().copied(),
            _ => {}
        }
        Ok(())
    }

    fn take_header(&mut self, field: &[u8]) -> Result<(), DecodeError> {
        let (name, value) = unnamed(field)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| DecodeError::Damaged)?;
        if self.headers.len() >= HEADERS_MAX {
            return Err(DecodeError::Damaged);
        }
        let appended = self.headers.try_append(name, value);
        appended.map(drop).map_err(|_| DecodeError::Damaged)
    }

    fn take_selecting(&mut self, field: &[u8]) -> Result<(), DecodeError> {
        let (name, value) = unnamed(field)?;
        let value = match value.split_first() {
            None => None,
            Some((&PRESENT, value)) => {
                Some(HeaderValue::from_bytes(value).map_err(|_| DecodeError::Damaged)?)
            }
            Some(_) => return Err(DecodeError::Damaged),
        };
        if self.selected_by.len() >= HEADERS_MAX {
            return Err(DecodeError::Damaged);
        }
        self.selected_by.push((name, value));
        Ok(())
    }

    fn finish(self, key: &Key) -> Result<Head, DecodeError> {
        match self.layout {
            Some(LAYOUT) => {}
            Some(other) => return Err(DecodeError::OtherVersion(other)),
            None => return Err(DecodeError::Damaged),
        }
        if self.key.ok_or(DecodeError::Damaged)? != *key {
            return Err(DecodeError::OtherKey);
        }
        let tags = tags::tags(key.site(), &self.headers).ok_or(DecodeError::Damaged)?;
        let selected_by = Some(self.selected_by).filter(|members| !members.is_empty());
        let selection = selected_by
            .map(|members| Arc::new(Selection::from_members(members).speaking(&self.headers)));
        Ok(Head {
            key: key.clone(),
            status: self.status.ok_or(DecodeError::Damaged)?,
            headers: self.headers,
            length: self.length,
            generation: self.generation.ok_or(DecodeError::Damaged)?,
            fetched: self.fetched.ok_or(DecodeError::Damaged)?,
            initial_age: self.initial_age,
            freshness: self.freshness,
            selection,
            tags: Arc::from(tags),
            stamp: self.stamp.ok_or(DecodeError::Damaged)?,
        })
    }
}

/// Splits what [`named`] began.
fn unnamed(mut field: &[u8]) -> Result<(HeaderName, &[u8]), DecodeError> {
    let length = usize::from(u16::from_le_bytes(array(&mut field)?));
    let (name, rest) = field.split_at_checked(length).ok_or(DecodeError::Damaged)?;
    let name = HeaderName::from_bytes(name).map_err(|_| DecodeError::Damaged)?;
    Ok((name, rest))
}

fn span(field: &[u8]) -> Result<Duration, DecodeError> {
    Ok(Duration::from_millis(u64::from_le_bytes(exact(field)?)))
}

fn stamp(field: &[u8]) -> Result<Stamp, DecodeError> {
    let mut rest = field;
    Ok(Stamp {
        incarnation: u64::from_le_bytes(array(&mut rest)?),
        position: Position {
            millis: u64::from_le_bytes(array(&mut rest)?),
            sequence: u64::from_le_bytes(array(&mut rest)?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    /// Magic, versions, length and checksum of a record.
    const PREAMBLE_BYTES: usize = 16;

    /// Written by the first release; decodes for ever.
    const GOLDEN_RECORD: &str = "\
        57520100f30000006107cd5a85eddb910114000000766f64202f612f62253230632e6d34733f763d31020200\
        0000c800031f0000000c00636f6e74656e742d74797065766964656f2f69736f2e7365676d656e74030a0000\
        000400657461672276312203090000000500782d726177fffe03070000000500782d726177040800000085ff\
        07000000000005100000007766554433221100efcdab896745230106080000007b6c50c4a001000007080000\
        00dc05000000000000080800000080ee360000000000090800000060ea0000000000000a08000000005c2605\
        000000000b180000002a00000000000000186850c4a001000003000000000000000c0100000001";
    /// As above, for a chunk of the five bytes `chunk`.
    const GOLDEN_CHUNK: &str = "\
        5743010007000000050000007766554433221100efcdab8967452301180540951ccf1c756368756e6b";

    fn golden_head() -> Head {
        let mut headers = HeaderMap::new();
        headers.append(
            "content-type",
            HeaderValue::from_static("video/iso.segment"),
        );
        headers.append("etag", HeaderValue::from_static("\"v1\""));
        headers.append("x-raw", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        headers.append("x-raw", HeaderValue::from_static(""));
        Head {
            key: Key::new("vod", "/a/b%20c.m4s", Some("v=1")),
            status: StatusCode::OK,
            headers,
            length: Some(524_165),
            generation: Generation(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
            fetched: UnixMillis(1_790_000_000_123),
            initial_age: Duration::from_millis(1_500),
            freshness: Freshness {
                lifetime: Duration::from_secs(3600),
                stale_while_revalidate: Duration::from_secs(60),
                stale_if_error: Duration::from_secs(86_400),
            },
            selection: None,
            tags: Arc::from([]),
            stamp: Stamp {
                incarnation: 42,
                position: Position {
                    millis: 1_789_999_999_000,
                    sequence: 3,
                },
            },
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
            .collect()
    }

    fn same(a: &Head, b: &Head) -> bool {
        format!("{a:?}") == format!("{b:?}")
    }

    fn chunk_value(expected: &Expected, payload: &[u8]) -> Bytes {
        [frame(expected, payload).as_slice(), payload]
            .concat()
            .into()
    }

    #[test]
    fn the_golden_record_is_read_and_written_as_by_the_first_release() {
        let head = golden_head();
        assert_eq!(hex(&encode(&head)), GOLDEN_RECORD);
        assert!(same(
            &decode(&unhex(GOLDEN_RECORD), &head.key).unwrap(),
            &head
        ));
    }

    #[test]
    fn the_golden_chunk_is_read_and_written_as_by_the_first_release() {
        let generation = golden_head().generation;
        let expected = Expected {
            generation,
            index: 7,
            length: 5,
        };
        assert_eq!(hex(&chunk_value(&expected, b"chunk")), GOLDEN_CHUNK);
        let value = Bytes::from(unhex(GOLDEN_CHUNK));
        assert_eq!(unframe(&value, &expected).unwrap(), "chunk");
    }

    #[test]
    fn fields_of_a_newer_release_are_skipped() {
        let head = golden_head();
        let mut fields = Fields(encode(&head)[PREAMBLE_BYTES..].to_vec());
        fields.put(200, b"what the next release knows");
        fields.put(tag::STATUS, &[200, 0, 9, 9]);
        assert!(same(
            &decode(&fields.seal(MAJOR), &head.key).unwrap(),
            &head
        ));
    }

    #[test]
    fn a_response_that_varies_comes_back_and_is_for_those_who_know_of_variants() {
        let mut head = golden_head();
        let mut request = HeaderMap::new();
        request.insert("accept-language", HeaderValue::from_static("de"));
        head.headers.insert(
            "vary",
            HeaderValue::from_static("accept-language, x-absent"),
        );
        head.headers
            .insert("content-language", HeaderValue::from_static("de"));
        let selection = Selection::of(&head.headers, &crate::http::forward::Fields::of(&request));
        head.selection = selection.map(Arc::new);
        let bytes = encode(&head);
        assert_eq!(bytes[2], MAJOR_VARIED);
        let back = decode(&bytes, &head.key).unwrap();
        assert!(head.selection.is_some() && same(&back, &head), "{back:?}");
    }

    #[test]
    fn what_is_not_the_record_asked_for_is_named() {
        let head = golden_head();
        let good = encode(&head);
        let decode_with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            decode(&bytes, &head.key).unwrap_err()
        };
        assert_eq!(decode_with(&|b| b[2] = 9), DecodeError::OtherVersion(9));
        assert_eq!(decode_with(&|b| b[0] = 0), DecodeError::Damaged);
        assert_eq!(decode_with(&|b| b.truncate(40)), DecodeError::Damaged);
        assert_eq!(decode_with(&|b| b.push(0)), DecodeError::Damaged);
        let other = Key::new("vod", "/other", None);
        assert_eq!(decode(&good, &other).unwrap_err(), DecodeError::OtherKey);
        let mut fields = Fields(good[PREAMBLE_BYTES..].to_vec());
        fields.put(tag::LAYOUT, &[2]);
        let error = decode(&fields.seal(MAJOR), &head.key).unwrap_err();
        assert_eq!(error, DecodeError::OtherVersion(2));
    }

    #[test]
    fn a_chunk_of_another_place_or_fill_is_refused() {
        let expected = Expected {
            generation: Generation(1),
            index: 3,
            length: 4,
        };
        let check = |expected: Expected, error| {
            let value = chunk_value(
                &Expected {
                    index: 3,
                    length: 4,
                    ..expected
                },
                b"data",
            );
            let value = match error {
                DecodeError::OtherGeneration => chunk_value(
                    &Expected {
                        generation: Generation(2),
                        ..expected
                    },
                    b"data",
                ),
                _ => value,
            };
            assert_eq!(unframe(&value, &expected).unwrap_err(), error);
        };
        check(expected, DecodeError::OtherGeneration);
        check(
            Expected {
                index: 4,
                ..expected
            },
            DecodeError::Damaged,
        );
        check(
            Expected {
                length: 5,
                ..expected
            },
            DecodeError::Damaged,
        );
    }

    #[test]
    fn a_head_knows_the_length_of_each_of_its_chunks() {
        let mut head = golden_head();
        let chunk = limits::CHUNK_BYTES as u64;
        let length = |head: &Head, index| Expected::of(head, index).map(|e| u64::from(e.length));
        head.length = Some(2 * chunk + 5);
        assert_eq!(length(&head, 0), Some(chunk));
        assert_eq!(length(&head, 2), Some(5));
        assert_eq!(length(&head, 3), None);
        assert_eq!(length(&head, u64::MAX), None);
        head.length = Some(chunk);
        assert_eq!((length(&head, 0), length(&head, 1)), (Some(chunk), None));
        head.length = None;
        assert_eq!(length(&head, 0), None);
    }

    proptest! {
        #[test]
        fn every_head_comes_back(
            path in "/[a-z/]{0,40}", status in 100u16..1000, length in any::<Option<u64>>(),
            headers in prop::collection::vec(("[a-z][a-z-]{0,20}", "[ -~]{0,60}"), 0..20),
            numbers in any::<[u64; 7]>(), generation in any::<u128>(),
        ) {
            let mut head = golden_head();
            head.key = Key::new("site", &path, None);
            head.status = StatusCode::from_u16(status).unwrap();
            head.length = length;
            head.headers.clear();
            for (name, value) in headers {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                head.headers.append(name, HeaderValue::from_str(&value).unwrap());
            }
            head.generation = Generation(generation);
            let [fetched, age, lifetime, revalidate, incarnation, millis, sequence] = numbers;
            head.fetched = UnixMillis(fetched);
            head.initial_age = Duration::from_millis(age);
            head.freshness.lifetime = Duration::from_millis(lifetime);
            head.freshness.stale_while_revalidate = Duration::from_millis(revalidate);
            head.stamp = Stamp { incarnation, position: Position { millis, sequence } };
            let back = decode(&encode(&head), &head.key).unwrap();
            prop_assert!(same(&back, &head), "{back:?}");
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let head = golden_head();
            prop_assert!(decode(&bytes, &head.key).is_err());
            // Behind a valid checksum too: fields of any content.
            drop(decode(&Fields(bytes.clone()).seal(MAJOR), &head.key));
            let expected = Expected { generation: head.generation, index: 0, length: 9 };
            prop_assert!(unframe(&bytes.into(), &expected).is_err());
        }

        #[test]
        fn no_flipped_bit_passes(at in 0usize..420, bit in 0u8..8) {
            let head = golden_head();
            let mut bytes = encode(&head);
            let at = at % bytes.len();
            // The minor version and nothing else may differ between releases.
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&bytes, &head.key).is_err());
            let expected = Expected { generation: head.generation, index: 1, length: 9 };
            let mut value = chunk_value(&expected, b"some data").to_vec();
            let at = at % value.len();
            value[at] ^= 1 << bit;
            prop_assert_eq!(unframe(&value.into(), &expected).ok(), None);
        }
    }
}
