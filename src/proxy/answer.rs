//! What part of an opened object a request is answered with, decided before a byte goes out.
//!
//! Pingora's own range filter is not used: it turns `bytes=-0` into a 206 of nothing, underflows on
//! empty objects and lets weak tags match If-Range. It is told the result instead.

use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap,
    HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::{MultiRangeInfo, RangeType};

use crate::http::conditional::{self, Precondition};
use crate::http::range::{self, Ranges, Resolved};

/// The part of an object that answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Nothing: the client has it (304).
    NotModified,
    /// Nothing: the client expects another version (412).
    Failed,
    /// Some of it: offsets of first and last byte, within the object (206).
    Some(Vec<(u64, u64)>),
    /// Nothing: no byte asked for exists (416).
    Nothing,
}

impl Part {
    /// Offset of the first byte to be read.
    pub(super) fn first(&self) -> u64 {
        match self {
            Self::Some(parts) => parts.first().map_or(0, |&(first, _)| first),
            Self::Whole | Self::NotModified | Self::Failed | Self::Nothing => 0,
        }
    }
}

/// A request, as far as the choice of the part depends on it.
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) ranges: &'a Ranges,
}

/// Decides which part of a stored response answers `request`.
///
/// Ranges apply to a 200 of known length only: without the length no Content-Range can be written.
pub(super) fn part(request: &Request<'_>, stored: &ResponseHeader, length: Option<u64>) -> Part {
    let status = stored.status;
    match conditional::evaluate(request.method, request.headers, status, &stored.headers) {
        Precondition::NotModified => return Part::NotModified,
        Precondition::Failed => return Part::Failed,
        Precondition::Proceed => {}
    }
    let (Ranges::Spans(spans), Some(length), StatusCode::OK) = (request.ranges, length, status)
    else {
        return Part::Whole;
    };
    if !range::stands(request.headers, &stored.headers) {
        return Part::Whole;
    }
    match range::resolve(spans, length) {
        Resolved::Whole => Part::Whole,
        Resolved::Parts(parts) => Part::Some(ascending(parts)),
        Resolved::Unsatisfiable => Part::Nothing,
    }
}

/// Pingora writes the parts of a multipart answer right only in ascending order. RFC 9110 section
/// 15.3.7.2 asks for the client's order, but each part names its place.
fn ascending(mut parts: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    parts.sort_unstable();
    parts
}

/// Turns the header of the whole object into that of `part`, and tells Pingora what to read.
///
/// # Errors
/// A header that cannot be written; none is known.
pub(super) fn cut(part: &Part, header: &mut ResponseHeader) -> pingora::Result<RangeType> {
    let length = length_in(header);
    let (Some(length), StatusCode::OK) = (length, header.status) else {
        return Ok(RangeType::None);
    };
    match part {
        Part::Whole | Part::NotModified | Part::Failed => {
            header.insert_header(ACCEPT_RANGES, "bytes")?;
            Ok(RangeType::None)
        }
        Part::Nothing => {
            header.set_status(StatusCode::RANGE_NOT_SATISFIABLE)?;
            for name in [CONTENT_TYPE, CONTENT_ENCODING, TRANSFER_ENCODING] {
                header.remove_header(&name);
            }
            header.insert_header(CONTENT_LENGTH, 0)?;
            header.insert_header(CONTENT_RANGE, format!("bytes */{length}"))?;
            Ok(RangeType::Invalid)
        }
        Part::Some(parts) => cut_some(parts, length, header),
    }
}

fn cut_some(
    parts: &[(u64, u64)],
    length: u64,
    header: &mut ResponseHeader,
) -> pingora::Result<RangeType> {
    let offset = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    header.set_status(StatusCode::PARTIAL_CONTENT)?;
    if let &[(first, last)] = parts {
        header.insert_header(CONTENT_LENGTH, last - first + 1)?;
        header.insert_header(CONTENT_RANGE, format!("bytes {first}-{last}/{length}"))?;
        return Ok(RangeType::Single(offset(first)..offset(last + 1)));
    }
    let spans = parts
        .iter()
        .map(|&(first, last)| offset(first)..offset(last + 1));
    let mut several = MultiRangeInfo::new(spans.collect());
    let of_part = header
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    several.set_content_type(of_part.unwrap_or("application/octet-stream").to_owned());
    several.set_total_length(offset(length));
    header.insert_header(CONTENT_LENGTH, several.calculate_multipart_length())?;
    let of_all = format!("multipart/byteranges; boundary={}", several.boundary);
    header.insert_header(CONTENT_TYPE, of_all)?;
    Ok(RangeType::Multi(several))
}

fn length_in(header: &ResponseHeader) -> Option<u64> {
    let value: &HeaderValue = header.headers.get(CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> ResponseHeader {
        let mut header = ResponseHeader::build_no_case(200, None).unwrap();
        header.insert_header("etag", "\"v1\"").unwrap();
        header.insert_header("content-type", "video/mp4").unwrap();
        header.insert_header("content-length", 1000).unwrap();
        header
    }

    fn part_of(fields: &[(&'static str, &str)], length: Option<u64>) -> Part {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let ranges = range::parse(&Method::GET, &headers);
        let request = Request {
            method: &Method::GET,
            headers: &headers,
            ranges: &ranges,
        };
        part(&request, &stored(), length)
    }

    #[test]
    fn preconditions_come_before_ranges() {
        let cases: &[(&[(&str, &str)], Part)] = &[
            (&[], Part::Whole),
            (&[("range", "bytes=0-9")], Part::Some(vec![(0, 9)])),
            (
                &[("range", "bytes=5-9,0-0")],
                Part::Some(vec![(0, 0), (5, 9)]),
            ),
            (&[("range", "bytes=-0")], Part::Nothing),
            (&[("range", "bytes=1000-")], Part::Nothing),
            (
                &[("range", "bytes=0-9"), ("if-none-match", "\"v1\"")],
                Part::NotModified,
            ),
            (
                &[("range", "bytes=0-9"), ("if-match", "\"v0\"")],
                Part::Failed,
            ),
            (
                &[("range", "bytes=0-9"), ("if-range", "\"v0\"")],
                Part::Whole,
            ),
            (
                &[("range", "bytes=0-9"), ("if-range", "W/\"v1\"")],
                Part::Whole,
            ),
        ];
        for (fields, expected) in cases {
            assert_eq!(&part_of(fields, Some(1000)), expected, "{fields:?}");
        }
        assert_eq!(part_of(&[("range", "bytes=0-9")], None), Part::Whole);
    }

    #[test]
    fn a_single_range_is_a_206_of_just_these_bytes() {
        let mut header = stored();
        let range = cut(&Part::Some(vec![(990, 999)]), &mut header).unwrap();
        assert_eq!(range, RangeType::Single(990..1000));
        assert_eq!(header.status, 206);
        assert_eq!(header.headers["content-length"], "10");
        assert_eq!(header.headers["content-range"], "bytes 990-999/1000");
    }

    #[test]
    fn several_ranges_are_a_multipart_of_known_length() {
        let mut header = stored();
        let range = cut(&Part::Some(vec![(0, 0), (5, 9)]), &mut header).unwrap();
        let RangeType::Multi(info) = range else {
            panic!("no multipart")
        };
        assert_eq!(info.ranges, [0..1, 5..10]);
        assert_eq!(info.content_type.as_deref(), Some("video/mp4"));
        assert!(!header.headers.contains_key("content-range"));
    }

    #[test]
    fn an_unsatisfiable_range_says_the_length() {
        let mut header = stored();
        assert_eq!(
            cut(&Part::Nothing, &mut header).unwrap(),
            RangeType::Invalid
        );
        assert_eq!(header.status, 416);
        assert_eq!(header.headers["content-range"], "bytes */1000");
        assert_eq!(header.headers["content-length"], "0");
    }
}
