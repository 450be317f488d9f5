//! The session that a path begins with: `/~<text>/<path>`.
//!
//! It is taken off the canonical path, before key and origin request are made, so that everything
//! behind sees the path of the object. The text is whatever a client sent: who it belongs to is
//! for `session` to say. A path that is nothing but `/~text` is left alone: nobody gives such out.

use crate::limits::SESSION_TEXT_BYTES_MAX;
use crate::route::Refusal;

/// Splits a canonical path into the session's text and the path behind it.
///
/// A text longer than [`SESSION_TEXT_BYTES_MAX`] is none of ours; the path behind it is served all
/// the same.
///
/// # Errors
/// [`Refusal::EmptyAuthority`] where that path starts with two slashes.
pub fn split(mut path: String) -> Result<(Option<String>, String), Refusal> {
    let end = path
        .strip_prefix("/~")
        .and_then(|rest| rest.find('/'))
        .map(|at| at + 2);
    let Some(end) = end else {
        return Ok((None, path));
    };
    let rest = path.split_off(end);
    if rest.starts_with("//") {
        return Err(Refusal::EmptyAuthority);
    }
    let text = path.split_off(2);
    Ok((
        Some(text).filter(|text| text.len() <= SESSION_TEXT_BYTES_MAX),
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_segment_with_a_tilde_is_taken_off() {
        let long = "x".repeat(SESSION_TEXT_BYTES_MAX + 1);
        for (path, session, rest) in [
            ("/~abc/a/b", Some("abc"), "/a/b"),
            ("/~/a", Some(""), "/a"),
            ("/~abc/", Some("abc"), "/"),
            ("/~abc", None, "/~abc"),
            ("/a/~b/c", None, "/a/~b/c"),
            ("/", None, "/"),
            ("/~a/~b/c", Some("a"), "/~b/c"),
            (&format!("/~{long}/a"), None, "/a"),
        ] {
            let got = split(String::from(path)).unwrap();
            assert_eq!(got, (session.map(str::to_owned), rest.to_owned()), "{path}");
        }
        assert_eq!(split(String::from("/~a//b")), Err(Refusal::EmptyAuthority));
    }
}
