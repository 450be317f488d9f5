//! The canonical spelling of a path: one for each object, however a client writes it.
//!
//! The canonical form is percent-encoded: every octet that a path may hold literally (RFC 3986
//! `pchar`) stands literally, every other one as `%XX` in upper case, and no segment is `.` or
//! `..`. So a canonical path and the octets that it decodes to determine each other: stores, which
//! decode, cannot be asked for one object under two keys, and a purge misses no spelling.
//! That goes further than RFC 3986 section 6.2.2.2 for the reserved characters that `pchar`
//! allows, whose two spellings no object store tells apart.
//!
//! What has no harmless meaning is refused rather than normalised:
//! - `%2F`: stores decode it to a separator, so that it would alias another key, and servers
//!   disagree about it.
//! - Backslashes, in either spelling: some servers take them for separators.
//! - Control characters and NUL, in either spelling: they end names and lines elsewhere.
//! - `%2E` that makes a dot segment: no client encodes these but to get past a check. Literal dot
//!   segments are resolved (section 5.2.4), but not above the root.
//! - A leading `//`, which would be an authority to whoever resolves it. Inside a path `//` stays:
//!   `a//b` is a key of its own in object stores.
//!
//! Octets that are not UTF-8 stay encoded: keys are octets.

use crate::route::Refusal;

/// Turns a path as received, with its leading slash, into the canonical one.
///
/// # Errors
/// [`Refusal`] with the reason, for what is listed above and for malformed escapes.
pub fn canonical(raw: &str) -> Result<String, Refusal> {
    let rest = raw.strip_prefix('/').ok_or(Refusal::TargetForm)?;
    let mut segments: Vec<String> = Vec::new();
    let mut pieces = rest.split('/').peekable();
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none();
        match piece {
            "." => {}
            ".." => {
                segments.pop().ok_or(Refusal::DotSegment)?;
            }
            _ => {
                segments.push(segment(piece)?);
                continue;
            }
        }
        if last {
            segments.push(String::new());
        }
    }
    let path = format!("/{}", segments.join("/"));
    match path.starts_with("//") {
        true => Err(Refusal::EmptyAuthority),
        false => Ok(path),
    }
}

fn segment(raw: &str) -> Result<String, Refusal> {
    let mut text = String::with_capacity(raw.len());
    for octet in Octets(raw.bytes()) {
        match octet? {
            Octet {
                value: 0..=0x1F | 0x7F,
                ..
            } => return Err(Refusal::Control),
            Octet { value: b'\\', .. } => return Err(Refusal::Backslash),
            Octet { value: b'/', .. } => return Err(Refusal::EncodedSlash),
            Octet {
                value: b' ',
                escaped: false,
            } => return Err(Refusal::Control),
            Octet {
                value: b'#' | b'?',
                escaped: false,
            } => return Err(Refusal::TargetForm),
            Octet { value, .. } if is_pchar(value) => text.push(char::from(value)),
            Octet { value, .. } => text.push_str(&format!("%{value:02X}")),
        }
    }
    match text.as_str() {
        "." | ".." => Err(Refusal::DotSegment),
        _ => Ok(text),
    }
}

/// An octet of a target, and how it was spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Octet {
    /// The octet itself.
    pub value: u8,
    /// Whether it was written as `%XX`.
    pub escaped: bool,
}

/// Decodes a target octet by octet.
#[derive(Debug)]
pub struct Octets<'a>(pub std::str::Bytes<'a>);

impl Iterator for Octets<'_> {
    type Item = Result<Octet, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.0.next()?;
        if value != b'%' {
            let escaped = false;
            return Some(Ok(Octet { value, escaped }));
        }
        let mut digit = || char::from(self.0.next()?).to_digit(16);
        let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        Some(match value.and_then(|value| u8::try_from(value).ok()) {
            Some(value) => Ok(Octet {
                value,
                escaped: true,
            }),
            None => Err(Refusal::Escape),
        })
    }
}

/// Whether RFC 3986 section 2.3 calls it unreserved.
#[must_use]
pub fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Whether a path segment may hold it literally (RFC 3986 section 3.3).
#[must_use]
pub fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::*;

    #[test]
    fn two_spellings_of_a_path_are_one() {
        let cases = [
            ("/", "/"),
            ("/a/b.m4s", "/a/b.m4s"),
            ("/%61/%62%2em4s", "/a/b.m4s"),
            ("/%7euser", "/~user"),
            ("/a%3ab%40c", "/a:b@c"),
            ("/a%2b%2B+", "/a+++"),
            ("/a%20b", "/a%20b"),
            ("/%c3%a9", "/%C3%A9"),
            ("/é", "/%C3%A9"),
            ("/%ff", "/%FF"),
            ("/\"<>^`{|}[]", "/%22%3C%3E%5E%60%7B%7C%7D%5B%5D"),
            ("/a%25b", "/a%25b"),
            ("/a%3Fb%23", "/a%3Fb%23"),
            ("/a//b", "/a//b"),
            ("/a//", "/a//"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/.", "/"),
            ("/a/..", "/"),
            ("/a//../b", "/a/b"),
            ("/...", "/..."),
            ("/.a/..b", "/.a/..b"),
        ];
        for (raw, expected) in cases {
            assert_eq!(canonical(raw).as_deref(), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn what_has_no_harmless_meaning_is_refused() {
        let cases = [
            ("", Refusal::TargetForm),
            ("a", Refusal::TargetForm),
            ("/a#b", Refusal::TargetForm),
            ("/%", Refusal::Escape),
            ("/%4", Refusal::Escape),
            ("/%4g", Refusal::Escape),
            ("/%+1", Refusal::Escape),
            ("/%00", Refusal::Control),
            ("/a%0d%0ab", Refusal::Control),
            ("/a\u{7f}", Refusal::Control),
            ("/a b", Refusal::Control),
            ("/a%2Fb", Refusal::EncodedSlash),
            ("/a%2fb", Refusal::EncodedSlash),
            ("/a\\b", Refusal::Backslash),
            ("/a%5cb", Refusal::Backslash),
            ("/..", Refusal::DotSegment),
            ("/a/../../b", Refusal::DotSegment),
            ("/a/%2e%2E/b", Refusal::DotSegment),
            ("/a/.%2e/b", Refusal::DotSegment),
            ("/%2e", Refusal::DotSegment),
            ("//evil.example/a", Refusal::EmptyAuthority),
            ("/.//a", Refusal::EmptyAuthority),
        ];
        for (raw, expected) in cases {
            assert_eq!(canonical(raw), Err(expected), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn canonical_paths_stay_as_they_are(raw in "/([a-c./%2eEF~é ;+]|%[0-9a-fA-F]{2}){0,24}") {
            if let Ok(path) = canonical(&raw) {
                assert_eq!(canonical(&path).as_ref(), Ok(&path));
                assert!(path.starts_with('/') && !path.starts_with("//"));
                assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
                assert!(path.bytes().all(|byte| byte.is_ascii_graphic()));
                assert!(!path.contains(['?', '#', '\\']));
            }
        }

        #[test]
        fn escaping_any_octet_changes_nothing(
            octets in prop::collection::vec(any::<u8>(), 1..12),
            escaped in prop::collection::vec(any::<bool>(), 12),
        ) {
            let spell = |all: bool| {
                let spelled = octets.iter().zip(&escaped).map(|(octet, escaped)| {
                    match is_pchar(*octet) && !(all && *escaped) {
                        true => char::from(*octet).to_string(),
                        false => format!("%{octet:02x}"),
                    }
                });
                format!("/x{}", spelled.collect::<String>())
            };
            assert_eq!(canonical(&spell(true)), canonical(&spell(false)));
        }

        #[test]
        fn any_text_is_read_without_panic(raw in any::<String>()) {
            drop(canonical(&raw));
            drop(canonical(&format!("/{raw}")));
        }
    }
}
