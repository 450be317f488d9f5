//! What this edge says to a player about its next choice (CTA-5006, `CMSD-Dynamic`). Pure.

use std::fmt::Write;

use crate::clock::UnixMillis;
use crate::limits;
use crate::session::estimator::Estimate;

/// One entry of `CMSD-Dynamic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// `etp`: estimated throughput in kbit/s.
    pub throughput_kbps: Option<u64>,
    /// `mb`: most bit rate to play, in kbit/s, audio included.
    pub bitrate_max_kbps: Option<u64>,
    /// `du`: this edge is under duress.
    pub duress: bool,
}

impl Hints {
    /// Makes the hints of one answer.
    ///
    /// An estimate that is old, or stands on few samples, is not told; an entry without `etp` has a
    /// player drop the one that it was told before, where no entry would have it kept. `most` is
    /// what policy, duress or the start allow, in bit/s. `least` has, for each set of rungs that a
    /// player may find itself limited to (a codec, a DRM system, a language), the bit rate of its
    /// lowest rung: a bound below any of them would leave such a player nothing to play.
    #[must_use]
    pub fn new(
        estimate: Option<&Estimate>,
        most: Option<u64>,
        least: &[u64],
        now: UnixMillis,
    ) -> Self {
        let floor = least.iter().copied().max();
        let fresh = estimate.filter(|estimate| is_worth_telling(estimate, now));
        Self {
            throughput_kbps: fresh.map(|estimate| estimate.bitrate / 1000),
            // Rounded up: the rung that the bound was taken from must stay below it.
            bitrate_max_kbps: most
                .zip(floor)
                .map(|(most, floor)| most.max(floor).div_ceil(1000)),
            duress: false,
        }
    }

    /// Says that this edge is under duress.
    #[must_use]
    pub fn under_duress(self) -> Self {
        Self {
            duress: true,
            ..self
        }
    }
}

fn is_worth_telling(estimate: &Estimate, now: UnixMillis) -> bool {
    estimate.samples >= limits::HINT_SAMPLES_MIN
        && estimate.bitrate >= 1000
        && now.since(estimate.at) <= limits::HINT_AGE_MAX
}

/// Spells the field's value; without a space, since players split at `;` and do not trim.
///
/// `node` becomes a string of RFC 9651: what such a string cannot hold is left out.
#[must_use]
pub fn value(node: &str, hints: &Hints) -> String {
    let mut text = String::with_capacity(node.len() + 32);
    text.push('"');
    for c in node.chars().filter(|c| matches!(c, '!'..='~')) {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    if hints.duress {
        text.push_str(";du");
    }
    for (key, value) in [
        ("etp", hints.throughput_kbps),
        ("mb", hints.bitrate_max_kbps),
    ] {
        if let Some(value) = value {
            // Writing to a string does not fail.
            let _written = write!(text, ";{key}={value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sfv::{BareItem, List, ListEntry, Parser};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn estimate(samples: u32, age: Duration) -> Estimate {
        Estimate {
            bitrate: 2_345_678,
            variance: 0.04,
            samples,
            rtt: None,
            at: NOW.before(age),
        }
    }

    #[test]
    fn a_value_is_a_list_of_structured_fields_without_spaces() {
        let all = Hints {
            throughput_kbps: Some(2345),
            bitrate_max_kbps: Some(900),
            duress: true,
        };
        let cases = [
            ("edge-1", Hints::default(), r#""edge-1""#),
            ("edge-1", all, r#""edge-1";du;etp=2345;mb=900"#),
            ("a \"b\\\u{e9}\n", Hints::default(), r#""a\"b\\""#),
        ];
        for (node, hints, expected) in cases {
            let text = value(node, &hints);
            assert_eq!(text, expected);
            let list: List = Parser::new(&text).parse().unwrap();
            let [ListEntry::Item(item)] = list.as_slice() else {
                panic!("{text}");
            };
            assert!(matches!(item.bare_item, BareItem::String(_)));
        }
    }

    #[test]
    fn only_an_estimate_that_is_fresh_and_founded_is_told() {
        let fresh = Duration::from_secs(1);
        let old = limits::HINT_AGE_MAX + Duration::from_millis(1);
        let cases = [
            (Some(estimate(limits::HINT_SAMPLES_MIN, fresh)), Some(2345)),
            (Some(estimate(limits::HINT_SAMPLES_MIN - 1, fresh)), None),
            (Some(estimate(100, old)), None),
            (None, None),
        ];
        for (estimate, expected) in cases {
            let hints = Hints::new(estimate.as_ref(), None, &[], NOW);
            assert_eq!(hints.throughput_kbps, expected, "{estimate:?}");
        }
    }

    #[test]
    fn a_bound_leaves_every_set_of_rungs_its_lowest() {
        let cases: [(Option<u64>, &[u64], Option<u64>); 5] = [
            (Some(3_000_000), &[400_000, 700_000], Some(3000)),
            (Some(500_000), &[400_000, 700_001], Some(701)),
            (Some(0), &[400_000], Some(400)),
            (Some(500_000), &[], None),
            (None, &[400_000], None),
        ];
        for (most, least, expected) in cases {
            let hints = Hints::new(None, most, least, NOW);
            assert_eq!(hints.bitrate_max_kbps, expected, "{most:?} {least:?}");
        }
    }
}
