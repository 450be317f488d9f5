//! Reading of header fields: lists, singletons, dates and entity tags (RFC 9110 section 5).
//!
//! Nothing here fails: what is malformed is absent, and the caller decides what absence means.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::UnixMillis;
use crate::http::date;

/// Returns the members of a comma-separated list (RFC 9110 section 5.6.1).
///
/// Commas in quoted strings do not separate, surrounding space is cut off and empty members are
/// skipped. A quote that is never closed is an ordinary character: what follows it must not be
/// hidden, since it may be a `no-store`.
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    pieces(value).filter(|member| !member.is_empty())
}

/// The same, empty members included: there is always one.
pub fn pieces(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = unquoted_comma(bytes).unwrap_or_else(|| comma(bytes));
        rest = bytes.get(end.saturating_add(1)..);
        Some(bytes.get(..end).unwrap_or_default().trim_ascii())
    })
}

/// Returns the members of every field of one name, in order (RFC 9110 section 5.3).
pub fn all_members(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| members(value.as_bytes()))
}

/// Splits a member of an `Accept-*` list into its value and its weight in thousandths (RFC 9110
/// section 12.4.2): 1000 where it names none, `None` where what follows the value is no weight.
#[must_use]
pub fn weighted(member: &[u8]) -> (&[u8], Option<u16>) {
    let mut halves = member.splitn(2, |byte| *byte == b';');
    let value = halves.next().unwrap_or_default().trim_ascii();
    let Some(parameter) = halves.next() else {
        return (value, Some(WEIGHT_MAX));
    };
    let weight = match parameter.trim_ascii() {
        [b'q' | b'Q', b'=', weight @ ..] => thousandths(weight),
        _ => None,
    };
    (value, weight)
}

/// Returns a field that must occur once; `None` where it is absent or repeated.
#[must_use]
pub fn single(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Reads a date in any of the three forms of RFC 9110 section 5.6.7.
#[must_use]
pub fn date(value: &HeaderValue) -> Option<UnixMillis> {
    date::parse(value.as_bytes().trim_ascii())
}

/// Reads the date of a field that must occur once.
#[must_use]
pub fn single_date(headers: &HeaderMap, name: HeaderName) -> Option<UnixMillis> {
    single(headers, name).and_then(date)
}

/// Whether an entity tag is well formed and strong (RFC 9110 section 8.8.3).
#[must_use]
pub fn is_strong_tag(tag: &[u8]) -> bool {
    tag.len() >= 2 && tag.starts_with(b"\"") && tag.ends_with(b"\"")
}

/// Whether two entity tags match by strong comparison (RFC 9110 section 8.8.3.2).
#[must_use]
pub fn strong_match(one: &[u8], other: &[u8]) -> bool {
    is_strong_tag(one) && one == other
}

/// Whether two entity tags match by weak comparison (RFC 9110 section 8.8.3.2).
#[must_use]
pub fn weak_match(one: &[u8], other: &[u8]) -> bool {
    let one = one.strip_prefix(b"W/").unwrap_or(one);
    let other = other.strip_prefix(b"W/").unwrap_or(other);
    is_strong_tag(one) && one == other
}

/// Reads a number of digits only; what exceeds `u64` counts as its maximum.
#[must_use]
pub fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit.wrapping_sub(b'0')))
    }))
}

fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, decimals) = match weight {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut sum = 0_u16;
    for digit in [*whole].iter().chain(decimals).chain(b"000").take(4) {
        if !digit.is_ascii_digit() {
            return None;
        }
        sum = sum * 10 + u16::from(digit.wrapping_sub(b'0'));
    }
    (sum <= WEIGHT_MAX).then_some(sum)
}

fn unquoted_comma(bytes: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match (byte, quoted) {
            _ if escaped => escaped = false,
            (b'\\', true) => escaped = true,
            (b'"', _) => quoted = !quoted,
            (b',', false) => return Some(at),
            _ => {}
        }
    }
    (!quoted).then_some(bytes.len())
}

fn comma(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte == b',')
        .unwrap_or(bytes.len())
}

/// What a larger delta-seconds counts as (RFC 9111 section 1.2.2).
pub const DELTA_SECONDS_MAX: u64 = 1 << 31;

/// The weight of what names none: the highest.
pub const WEIGHT_MAX: u16 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_at_commas_outside_quotes() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            (" , ,", &[]),
            ("a, b ,c", &["a", "b", "c"]),
            (r#"a="x, y", b"#, &[r#"a="x, y""#, "b"]),
            (r#"a="x\", y", b"#, &[r#"a="x\", y""#, "b"]),
            (r#"a="x, no-store"#, &[r#"a="x"#, "no-store"]),
        ];
        for (input, expected) in cases {
            let got: Vec<_> = members(input.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|m| m.as_bytes()).collect();
            assert_eq!(got, expected, "{input}");
        }
    }

    #[test]
    fn tags_compare_as_the_table_of_rfc_9110_says() {
        let cases = [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
            ("1", "1", false, false),
            ("\"", "\"", false, false),
        ];
        for (one, other, strong, weak) in cases {
            let (a, b) = (one.as_bytes(), other.as_bytes());
            assert_eq!(strong_match(a, b), strong, "{one} {other}");
            assert_eq!(weak_match(a, b), weak, "{one} {other}");
        }
    }

    #[test]
    fn numbers_saturate_and_take_nothing_but_digits() {
        assert_eq!(digits(b"007"), Some(7));
        assert_eq!(digits(b"99999999999999999999999"), Some(u64::MAX));
        for bad in ["", "-1", "+1", "1.5", " 1", "1x"] {
            assert_eq!(digits(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn weights_are_thousandths_or_unreadable() {
        let cases = [
            ("en", ("en", Some(1000))),
            ("en;q=1", ("en", Some(1000))),
            ("en ; q=0.5", ("en", Some(500))),
            ("en;Q=0.123", ("en", Some(123))),
            ("en;q=0.", ("en", Some(0))),
            ("en;q=1.000", ("en", Some(1000))),
            ("en;q=1.001", ("en", None)),
            ("en;q=0.1234", ("en", None)),
            ("en;q=", ("en", None)),
            ("en;q=.5", ("en", None)),
            ("en;q=0.5;x=1", ("en", None)),
            ("en;x=1", ("en", None)),
            ("en;", ("en", None)),
            (";q=1", ("", Some(1000))),
        ];
        for (member, (value, weight)) in cases {
            let got = weighted(member.as_bytes());
            assert_eq!(got, (value.as_bytes(), weight), "{member}");
        }
    }
}
