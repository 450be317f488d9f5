//! Decimal numbers of playlists, in thousandths.

/// Reads a decimal number without sign, as thousandths: `29.97` is 29,970. What is finer is cut
/// off. `None` for what is no number, or too large.
pub(super) fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: u64 = match whole {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let fine = fraction.bytes().chain(*b"000").take(3);
    let fine = fine.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    whole.checked_mul(1000)?.checked_add(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_to_the_thousandth() {
        let cases = [
            ("29.97", Some(29_970)),
            ("6", Some(6000)),
            ("6.", Some(6000)),
            (".5", Some(500)),
            ("0.0009", Some(0)),
            ("4.0099999", Some(4009)),
            ("", None),
            (".", None),
            ("-1", None),
            ("1e3", None),
            ("1.5x", None),
            ("18446744073709551615", None),
            ("99999999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
