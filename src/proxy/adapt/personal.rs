//! The header of an answer that is for one client.

use std::hash::{DefaultHasher, Hasher};

use http::HeaderValue;
use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_LOCATION, DATE, ETAG, EXPIRES,
    HeaderName, LAST_MODIFIED, PRAGMA,
};
use pingora::http::ResponseHeader;

use crate::session::cmsd::Hints;

/// A manifest made for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proxy) struct Personal {
    /// The manifest.
    pub(in crate::proxy) bytes: Vec<u8>,
    /// What the player is told beside it.
    pub(in crate::proxy) said: Hints,
}

impl Personal {
    /// One with which nothing more is said.
    pub(super) fn unsaid(bytes: Vec<u8>) -> Self {
        let said = Hints::default();
        Self { bytes, said }
    }
}

/// The field by which an edge speaks to players (CTA-5006).
pub(in crate::proxy) const CMSD_DYNAMIC: HeaderName = HeaderName::from_static("cmsd-dynamic");

/// What a stored answer says of its own bytes and of its own life: not true of these.
const OF_STORED: [HeaderName; 14] = [
    ETAG,
    LAST_MODIFIED,
    CACHE_CONTROL,
    EXPIRES,
    PRAGMA,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    ACCEPT_RANGES,
    AGE,
    DATE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

/// Turns the header of a stored manifest into that of one made of it.
///
/// The tag is weak, since two nodes may write the same manifest in different bytes.
///
/// # Errors
/// A header that cannot be written; none is known.
pub(in crate::proxy) fn turn(header: &mut ResponseHeader, bytes: &[u8]) -> pingora::Result<()> {
    let named: Vec<HeaderName> = header.headers.keys().cloned().collect();
    for name in named.iter().filter(|name| is_of_stored(name)) {
        header.remove_header(name);
    }
    header.insert_header(CACHE_CONTROL, HeaderValue::from_static("private, no-store"))?;
    header.insert_header(CONTENT_LENGTH, bytes.len())?;
    header.insert_header(ETAG, tag(bytes))?;
    Ok(())
}

/// Lifetimes for caches of CDNs (RFC 9213) and checksums of stores count as well.
fn is_of_stored(name: &HeaderName) -> bool {
    let text = name.as_str();
    OF_STORED.contains(name)
        || *name == CMSD_DYNAMIC
        || text.ends_with("-cache-control")
        || text.starts_with("surrogate-")
        || text.starts_with("x-amz-checksum-")
        || matches!(text, "cache-tag" | "cache-groups" | "x-goog-hash")
}

fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("W/\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_stored_answers_life_or_bytes_is_left() {
        let mut header = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("etag", "\"1\""),
            ("last-modified", "x"),
            ("cache-control", "public, max-age=60"),
            ("cdn-cache-control", "max-age=60"),
            ("surrogate-control", "max-age=60"),
            ("surrogate-key", "a"),
            ("x-amz-checksum-crc32", "x"),
            ("cmsd-dynamic", "\"other\";etp=1"),
            ("cmsd-static", "ot=m"),
            ("content-type", "application/dash+xml"),
            ("content-length", "9"),
            ("accept-ranges", "bytes"),
        ] {
            header.insert_header(name, value).unwrap();
        }
        turn(&mut header, b"<MPD/>").unwrap();
        let mut left: Vec<_> = header.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let expected = [
            "cache-control",
            "cmsd-static",
            "content-length",
            "content-type",
            "etag",
        ];
        assert_eq!(left, expected);
        assert_eq!(header.headers["cache-control"], "private, no-store");
        assert_eq!(header.headers["content-length"], "6");
        let tag = header.headers["etag"].to_str().unwrap().to_owned();
        assert!(tag.starts_with("W/\""));
        turn(&mut header, b"<MPD />").unwrap();
        assert_ne!(header.headers["etag"], tag.as_str());
    }
}
