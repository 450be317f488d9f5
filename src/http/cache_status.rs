//! `Cache-Status` (RFC 9211): what this node did, for people who look at an answer.

use http::{HeaderValue, StatusCode};

/// How a request was handled; becomes one member of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handling<'a> {
    /// Name of this node.
    pub node: &'a str,
    /// Whether the origin was needed.
    pub served: Served,
    /// Remaining life in seconds, below zero for a stale copy (section 2.4).
    pub ttl: Option<i64>,
    /// Where the bytes came from, or why they are not stored (section 2.8); from a closed set.
    pub detail: Option<&'static str>,
}

/// Whether the origin was needed (sections 2.1 to 2.3, 2.5 and 2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// No: a stored copy was used as it is.
    Hit,
    /// Yes.
    Forwarded {
        /// Why.
        reason: Forward,
        /// What the origin answered, where it is not the status of this answer.
        status: Option<StatusCode>,
        /// What became of its answer.
        kept: Kept,
    },
    /// Neither asked for nor answered by the cache.
    Local,
}

/// Why a request went to the origin (section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The cache is not used for such requests or just now.
    Bypass,
    /// The method demands it.
    Method,
    /// Nothing is stored under this key.
    UriMiss,
    /// What is stored was selected by other request fields.
    VaryMiss,
    /// What is stored does not fit.
    Miss,
    /// The client demands it.
    Request,
    /// What is stored is stale.
    Stale,
    /// Only a part is stored.
    Partial,
}

/// What became of the origin's answer (sections 2.5 and 2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It was not stored.
    No,
    /// This request's fetch stored it.
    Stored,
    /// Another request's fetch, under way already, was joined.
    Collapsed,
}

impl Forward {
    /// The token of section 2.2.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// Writes the member; append it to what an upstream cache wrote (section 2).
#[must_use]
pub fn value(handling: &Handling<'_>) -> HeaderValue {
    let mut text = String::with_capacity(handling.node.len() + ROOM);
    push_item(&mut text, handling.node);
    match handling.served {
        Served::Hit => text.push_str("; hit"),
        Served::Local => {}
        Served::Forwarded {
            reason,
            status,
            kept,
        } => {
            text.push_str("; fwd=");
            text.push_str(reason.as_str());
            if let Some(status) = status {
                text.push_str("; fwd-status=");
                text.push_str(status.as_str());
            }
            text.push_str(match kept {
                Kept::No => "",
                Kept::Stored => "; stored",
                Kept::Collapsed => "; collapsed",
            });
        }
    }
    if let Some(ttl) = handling.ttl {
        let ttl = ttl.clamp(-INTEGER_MAX, INTEGER_MAX);
        text.push_str(&format!("; ttl={ttl}"));
    }
    if let Some(detail) = handling.detail {
        text.push_str("; detail=");
        push_item(&mut text, detail);
    }
    HeaderValue::try_from(text).unwrap_or(const { HeaderValue::from_static("weir") })
}

/// Writes a token where the text is one, else a string (RFC 9651 sections 3.3.3 and 3.3.4).
fn push_item(text: &mut String, item: &str) {
    let mut bytes = item.bytes();
    let starts = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'*');
    if starts && bytes.all(is_token_byte) {
        text.push_str(item);
        return;
    }
    text.push('"');
    for character in item.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => text.push('?'),
        }
    }
    text.push('"');
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}

/// Bytes of a member beside the node's name, as hits and misses have them.
const ROOM: usize = 64;

/// Largest integer of a structured field (RFC 9651 section 3.3.1).
const INTEGER_MAX: i64 = 999_999_999_999_999;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(handling: Handling<'_>, expected: &str) {
        assert_eq!(value(&handling), expected);
    }

    #[test]
    fn every_kind_of_handling_is_written_as_a_structured_field() {
        let hit = Handling {
            node: "edge-1",
            served: Served::Hit,
            ttl: Some(30),
            detail: Some("memory"),
        };
        check(hit, "edge-1; hit; ttl=30; detail=memory");
        let stale = Handling {
            ttl: Some(-412),
            detail: None,
            ..hit
        };
        check(stale, "edge-1; hit; ttl=-412");
        let forwarded = |reason, status, kept| Handling {
            served: Served::Forwarded {
                reason,
                status,
                kept,
            },
            ttl: None,
            detail: None,
            ..hit
        };
        let cases = [
            (Forward::UriMiss, None, Kept::Stored, "fwd=uri-miss; stored"),
            (
                Forward::UriMiss,
                None,
                Kept::Collapsed,
                "fwd=uri-miss; collapsed",
            ),
            (
                Forward::Stale,
                Some(StatusCode::NOT_MODIFIED),
                Kept::No,
                "fwd=stale; fwd-status=304",
            ),
            (Forward::Bypass, None, Kept::No, "fwd=bypass"),
        ];
        for (reason, status, kept, expected) in cases {
            check(
                forwarded(reason, status, kept),
                &format!("edge-1; {expected}"),
            );
        }
        let local = Handling {
            served: Served::Local,
            ttl: None,
            ..hit
        };
        check(local, "edge-1; detail=memory");
    }

    #[test]
    fn names_that_are_no_tokens_are_quoted() {
        let cases = [
            ("edge.example.com:80/a", "edge.example.com:80/a"),
            ("1st", "\"1st\""),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\r\nü", "\"a???\""),
        ];
        for (name, expected) in cases {
            let mut text = String::new();
            push_item(&mut text, name);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_ttl_stays_within_the_integers_of_structured_fields() {
        let handling = Handling {
            node: "a",
            served: Served::Hit,
            ttl: Some(i64::MIN),
            detail: None,
        };
        check(handling, "a; hit; ttl=-999999999999999");
    }
}
