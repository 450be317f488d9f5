//! A filter in the query of a manifest's URL.

use percent_encoding::percent_decode_str;

use crate::config::adapt::{DynamicRange, Filter};
use crate::manifest::filter::{Error, check};

/// What a value is.
#[derive(Debug, Clone, Copy)]
struct Parameter {
    name: &'static str,
    expected: &'static str,
    /// Puts a value into a filter; `None` where it cannot be read.
    put: fn(&mut Filter, &str) -> Option<()>,
}

const PARAMETERS: [Parameter; 6] = [
    Parameter {
        name: "min_kbps",
        expected: KBPS,
        put: |filter, value| {
            filter.bitrate_min = Some(kbps(value)?);
            Some(())
        },
    },
    Parameter {
        name: "max_kbps",
        expected: KBPS,
        put: |filter, value| {
            filter.bitrate_max = Some(kbps(value)?);
            Some(())
        },
    },
    Parameter {
        name: "max_height",
        expected: "a number of lines between 1 and 99999",
        put: |filter, value| {
            let lines = number(value, 5)?;
            filter.height_max = Some(u32::try_from(lines).ok()?);
            Some(())
        },
    },
    Parameter {
        name: "codecs",
        expected: "one to 8 families of codecs (avc1, hvc1) with commas between them",
        put: |filter, value| {
            filter.codecs = list(value, is_family)?;
            Some(())
        },
    },
    Parameter {
        name: "range",
        expected: "sdr or hdr",
        put: |filter, value| {
            let name = value.to_ascii_lowercase();
            filter.range = Some(DynamicRange::named(&name)?);
            Some(())
        },
    },
    Parameter {
        name: "lang",
        expected: "one to 8 language tags (en, pt-br) with commas between them",
        put: |filter, value| {
            filter.languages = list(value, is_language)?;
            Some(())
        },
    },
];

const KBPS: &str = "a number of kbit/s between 1 and 999999999";

/// Most entries of a list: who needs more excludes nothing worth a filter.
const LIST_MAX: usize = 8;

/// Longest value that is read, decoded: eight language tags of the longest kind.
const VALUE_BYTES_MAX: usize = 512;

/// Reads the filter in a query without `?`.
pub(super) fn read(query: &str) -> Result<Filter, Error> {
    let mut filter = Filter::default();
    let mut seen = [false; PARAMETERS.len()];
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let mut known = PARAMETERS.iter().zip(&mut seen);
        let Some((parameter, seen)) = known.find(|(parameter, _)| parameter.name == name) else {
            continue;
        };
        if std::mem::replace(seen, true) {
            return Err(Error::Twice(parameter.name));
        }
        let malformed = || Error::Malformed {
            parameter: parameter.name,
            expected: parameter.expected,
        };
        let decoded = percent_decode_str(value).decode_utf8();
        let value = decoded.ok().filter(|value| value.len() <= VALUE_BYTES_MAX);
        let value = value.ok_or_else(malformed)?;
        (parameter.put)(&mut filter, &value).ok_or_else(malformed)?;
    }
    check(filter)
}

fn kbps(text: &str) -> Option<u64> {
    number(text, 9)?.checked_mul(1000)
}

/// A number above nought of at most so many digits.
fn number(text: &str, digits_max: usize) -> Option<u64> {
    let is_number = text.len() <= digits_max && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number)?;
    (number > 0).then_some(number)
}

/// A list without repetitions, in lower case.
fn list(text: &str, is_entry: fn(&str) -> bool) -> Option<Vec<String>> {
    let mut entries: Vec<String> = text.split(',').map(str::to_ascii_lowercase).collect();
    let all = entries.len() <= LIST_MAX && entries.iter().all(|entry| is_entry(entry));
    entries.sort_unstable();
    entries.dedup();
    all.then_some(entries)
}

/// Whether it looks like the first part of a codec (RFC 6381 section 3.3).
fn is_family(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (3..=8).contains(&text.len()) && text.bytes().all(is_part)
}

/// Whether it looks like a language tag (RFC 5646 section 2.1).
fn is_language(text: &str) -> bool {
    let is_subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    text.len() <= 35 && text.split('-').all(is_subtag)
}
