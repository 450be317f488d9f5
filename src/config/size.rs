//! Sizes with units: `"4GiB"`, `"256KiB"`, `"10MB"`.
//!
//! A number without a unit is refused, since nobody can tell whether it was meant in bytes; so is a
//! fraction, since what it rounds to is a guess.

use super::given::Meaning;

/// Units and their bytes: powers of 1024 with an `i`, powers of 1000 without.
const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

impl Meaning for Size {
    const EXPECTED: &'static str =
        "a size such as \"64MiB\" (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)";

    fn of(value: &toml::Value) -> Option<Self> {
        value.as_str().and_then(parse)
    }
}

fn parse(text: &str) -> Option<Size> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.checked_mul(*bytes).map(Size)
}

#[cfg(test)]
mod tests {
    use super::{Size, parse};

    #[test]
    fn sizes_are_whole_numbers_with_a_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("1B", 1),
            ("256KiB", 262_144),
            ("256 KiB", 262_144),
            ("4GiB", 4 << 30),
            ("2TiB", 2 << 40),
            ("16MiB", 16 << 20),
            ("1kB", 1_000),
            ("10MB", 10_000_000),
            ("3GB", 3_000_000_000),
            ("1TB", 1_000_000_000_000),
        ] {
            assert_eq!(parse(text), Some(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "0",
            "42",
            "B",
            "GiB",
            "1.5GiB",
            "-1B",
            "+1B",
            " 1B",
            "1B ",
            "4gib",
            "4G",
            "4K",
            "1KB",
            "1e3B",
            "1_000B",
            "99999999999999999999B",
            "18446744073709551615KiB",
            "١B",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
