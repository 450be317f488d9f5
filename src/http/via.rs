//! `Via` (RFC 9110 section 7.6.3) and `CDN-Loop` (RFC 8586).

use http::header::{HeaderMap, HeaderName};
use http::{HeaderValue, Version};

use crate::http::fields;

/// The field that every CDN adds to what it forwards, and none removes.
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// Writes this node's entry of `Via`, for a message received in `version`.
#[must_use]
pub fn via(version: Version, node: &str) -> HeaderValue {
    let number = match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    };
    let name: String = node.chars().map(name_char).collect();
    let text = format!("{number} {name}");
    HeaderValue::try_from(text).unwrap_or(const { HeaderValue::from_static("1.1 weir") })
}

/// Whether a request has passed so many nodes of ours that it must be going round.
///
/// A chain of edge and shields is legitimate, a longer one is not.
#[must_use]
pub fn is_loop(request: &HeaderMap) -> bool {
    passages(request) > PASSAGES_MAX
}

/// Counts the nodes of ours that a request has passed, by its `CDN-Loop` fields.
#[must_use]
pub fn passages(request: &HeaderMap) -> usize {
    fields::all_members(request, CDN_LOOP)
        .filter(|member| {
            let id = member.split(|byte| *byte == b';').next();
            id.is_some_and(|id| id.trim_ascii().eq_ignore_ascii_case(CDN_ID.as_bytes()))
        })
        .count()
}

/// Writes `CDN-Loop` of an origin request that stands for a client's: its passages and our own.
///
/// Only the count is kept: what else a client writes there selects nothing at the origin.
#[must_use]
pub fn cdn_loop(passages: usize) -> HeaderValue {
    let members = vec![CDN_ID; passages.min(PASSAGES_MAX) + 1];
    HeaderValue::try_from(members.join(", ")).unwrap_or(const { HeaderValue::from_static(CDN_ID) })
}

/// The nodes of ours that a request has passed, as `CDN-Loop` of an origin request names them
/// before this one; `None` when it passed none.
#[must_use]
pub fn passed(request: &HeaderMap) -> Option<HeaderValue> {
    passages(request).checked_sub(1).map(cdn_loop)
}

/// A pseudonym is a token (RFC 9110 section 5.6.2).
fn name_char(character: char) -> char {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' => character,
        _ => '_',
    }
}

/// Our identifier in `CDN-Loop`.
const CDN_ID: &str = "weir";

/// Edge, regional shield and origin shield: more of us in a row is a loop.
const PASSAGES_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(values: &[&'static str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (CDN_LOOP, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn passages_are_counted_over_all_fields() {
        let cases: [(&[&'static str], usize, bool); 6] = [
            (&[], 0, false),
            (&["other, weird, weir.example"], 0, false),
            (&["weir"], 1, false),
            (&["other; a=\"weir, weir\", WEIR ; node=1"], 1, false),
            (&["weir, weir", "weir"], 3, false),
            (&["weir, weir", "weir, other, weir"], 4, true),
        ];
        for (values, count, looped) in cases {
            assert_eq!(passages(&request(values)), count, "{values:?}");
            assert_eq!(is_loop(&request(values)), looped, "{values:?}");
        }
    }

    #[test]
    fn each_passage_is_told_to_the_next() {
        assert_eq!(cdn_loop(0), "weir");
        assert_eq!(cdn_loop(2), "weir, weir, weir");
        assert_eq!(cdn_loop(usize::MAX), "weir, weir, weir, weir");
    }

    #[test]
    fn via_names_version_and_node_as_a_token() {
        assert_eq!(via(Version::HTTP_11, "edge-1"), "1.1 edge-1");
        assert_eq!(via(Version::HTTP_2, "edge 1\r\n"), "2 edge_1__");
        assert_eq!(via(Version::HTTP_10, "a"), "1.0 a");
    }
}
