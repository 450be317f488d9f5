//! Spans of time with units: `"250ms"`, `"10s"`, `"5m"`, `"1h"`, `"14d"`.
//!
//! A number without a unit is refused, since nobody can tell seconds from milliseconds. A span is
//! at most ten years, so that a moment plus a span never overflows.

use std::time::Duration;

use super::given::Meaning;

/// Units and their milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Ten years of 365 days, in milliseconds.
const MILLIS_MAX: u64 = 3_650 * 86_400_000;

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(pub(super) Duration);

impl Meaning for Span {
    const EXPECTED: &'static str = "a duration such as \"10s\" (ms, s, m, h, d; at most 3650d)";

    fn of(value: &toml::Value) -> Option<Self> {
        value.as_str().and_then(parse)
    }
}

fn parse(text: &str) -> Option<Span> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    let millis = number
        .checked_mul(*millis)
        .filter(|millis| *millis <= MILLIS_MAX)?;
    Some(Span(Duration::from_millis(millis)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Span, parse};

    #[test]
    fn spans_are_whole_numbers_with_a_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("10s", 10_000),
            ("10 s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("14d", 1_209_600_000),
            ("3650d", 315_360_000_000),
        ] {
            assert_eq!(
                parse(text),
                Some(Span(Duration::from_millis(millis))),
                "{text}"
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "0",
            "10",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            " 1s",
            "1s ",
            "1S",
            "1min",
            "1 hour",
            "1w",
            "1m30s",
            "3651d",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
