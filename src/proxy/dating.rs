//! Keeps the `Date` of an origin's answer on its way out over HTTP/1.
//!
//! RFC 9110 section 6.6.1 has a Date say when the answer was made; Pingora writes the present moment
//! over it when the head is already out of everybody's hands. Both are 29 bytes in the only form
//! that is written, so the right one goes out in the place of the other, without another copy of
//! the head. HTTP/2 compresses its heads before they can be seen here: there Pingora's stands.

use http::HeaderValue;

/// Length of an IMF-fixdate (RFC 9110 section 5.6.7).
const DATE_BYTES: usize = 29;
/// What stands before it in a head.
const FIELD: &[u8] = b"\r\nDate: ";

/// A head that is written with another date.
#[derive(Debug)]
pub(super) struct Dating {
    date: HeaderValue,
    /// Bytes of the head that are still to be written before the date.
    before: usize,
    /// Bytes of the date that are written.
    written: usize,
}

impl Dating {
    /// Finds where the date goes; `None` where `head` has none, or `date` would not fit.
    pub(super) fn of(head: &[u8], date: HeaderValue) -> Option<Self> {
        let at = head
            .windows(FIELD.len())
            .position(|bytes| bytes.eq_ignore_ascii_case(FIELD))?;
        let before = at + FIELD.len();
        let after = head.get(before + DATE_BYTES..)?;
        let fits = date.len() == DATE_BYTES && after.starts_with(b"\r\n");
        fits.then_some(Self {
            date,
            before,
            written: 0,
        })
    }

    /// What to write next in the place of the beginning of `rest`, of which nothing is written yet.
    pub(super) fn piece<'a>(&'a self, rest: &'a [u8]) -> &'a [u8] {
        match self.before {
            0 => self.date.as_bytes().get(self.written..).unwrap_or_default(),
            before => rest.get(..before).unwrap_or(rest),
        }
    }

    /// Notes that so many bytes of the piece went; whether the date is through.
    pub(super) fn went(&mut self, count: usize) -> bool {
        match self.before {
            0 => self.written += count,
            before => self.before = before.saturating_sub(count),
        }
        self.before == 0 && self.written >= DATE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\nEtag: \"a\"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

    #[test]
    fn the_date_is_replaced_however_little_is_written_at_once() {
        let date = HeaderValue::from_static("Mon, 07 Nov 1994 08:49:37 GMT");
        for most in [1, 7, 1000] {
            let mut dating = Some(Dating::of(HEAD, date.clone()).unwrap());
            let mut out = Vec::new();
            while let Some(rest) = HEAD.get(out.len()..).filter(|rest| !rest.is_empty()) {
                let piece = dating.as_ref().map_or(rest, |dating| dating.piece(rest));
                let count = piece.len().min(most);
                out.extend_from_slice(&piece[..count]);
                if dating.as_mut().is_some_and(|dating| dating.went(count)) {
                    dating = None;
                }
            }
            let text = String::from_utf8(out).unwrap();
            let expected = String::from_utf8(HEAD.to_vec()).unwrap();
            assert_eq!(text, expected.replace("Sun, 06", "Mon, 07"), "{most}");
        }
    }

    #[test]
    fn a_head_whose_date_has_no_room_for_the_other_is_left_alone() {
        let date = HeaderValue::from_static("Mon, 07 Nov 1994 08:49:37 GMT");
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nDate: now\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
        ] {
            assert!(
                Dating::of(head.as_bytes(), date.clone()).is_none(),
                "{head}"
            );
        }
        let long = HeaderValue::from_static("Monday, 07-Nov-94 08:49:37 GMT");
        assert!(Dating::of(HEAD, long).is_none());
    }
}
