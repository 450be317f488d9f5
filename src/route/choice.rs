//! What a request chooses of a manifest: `?mode=` and filters.
//!
//! The names are those of `[site.adapt]`. They are for this node alone and part of no key. A
//! choice that is no choice is refused with the reason: a player that asked for 720 lines at most
//! and gets all of them would not learn why it stalls.

use crate::config::adapt::{DynamicRange, Filter, Mode};
use crate::limits::CHOICES_MAX;
use crate::route::path::Octets;

/// Every parameter that is a choice.
pub const NAMES: [&str; 8] = [
    MODE, MIN_KBPS, MAX_KBPS, MAX_HEIGHT, CODECS, RANGE, LANGUAGES, SUSTAINED,
];

/// What `cap` and `single` go by in place of what is known of the client. This node writes it into
/// the URLs of refreshes, so that a session keeps its rungs.
pub const SUSTAINED: &str = "sustained_kbps";

const MODE: &str = "mode";
const MIN_KBPS: &str = "min_kbps";
const MAX_KBPS: &str = "max_kbps";
const MAX_HEIGHT: &str = "max_height";
const CODECS: &str = "codecs";
const RANGE: &str = "range";
const LANGUAGES: &str = "languages";

/// What a request chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// What is done to the manifest.
    pub mode: Option<Mode>,
    /// What of it is wanted.
    pub filter: Filter,
    /// Bit/s in place of what is known.
    pub sustained: Option<u64>,
    /// All of it as the query spelled them, for the next request of the same manifest; empty for none.
    pub spelled: String,
}

/// Why a choice cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value that means nothing.
    #[error("{name}: expected {expected}")]
    Value {
        /// Parameter.
        name: &'static str,
        /// What would mean something.
        expected: &'static str,
    },
    /// A parameter that comes twice.
    #[error("{0}: given twice")]
    Twice(&'static str),
    /// Two conditions that nothing fulfils together.
    #[error("{0}: nothing is left with what else is asked for or offered here")]
    Contradiction(&'static str),
}

impl Choice {
    /// Reads the choice in a query as received, without `?`.
    ///
    /// # Errors
    /// [`Error`] for what means nothing or comes twice.
    pub fn of(raw: Option<&str>) -> Result<Self, Error> {
        let mut choice = Self::default();
        let mut seen: Vec<&'static str> = Vec::new();
        for parameter in raw.unwrap_or_default().split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name = decoded(name);
            let Some(name) = NAMES.into_iter().find(|known| *known == name) else {
                continue;
            };
            if seen.contains(&name) {
                return Err(Error::Twice(name));
            }
            seen.push(name);
            choice.take(name, &decoded(value))?;
            if !choice.spelled.is_empty() {
                choice.spelled.push('&');
            }
            choice.spelled.push_str(parameter);
        }
        Ok(choice)
    }

    fn take(&mut self, name: &'static str, value: &str) -> Result<(), Error> {
        let filter = &mut self.filter;
        match name {
            MODE => {
                let expected = "hint, cap, single, server or off";
                self.mode = Some(Mode::named(value).ok_or(Error::Value { name, expected })?);
            }
            MIN_KBPS => filter.bitrate_min = Some(bitrate(name, value)?),
            MAX_KBPS => filter.bitrate_max = Some(bitrate(name, value)?),
            SUSTAINED => self.sustained = Some(bitrate(name, value)?),
            MAX_HEIGHT => filter.height_max = Some(number(name, value)?),
            RANGE => {
                let expected = "sdr or hdr";
                let range = DynamicRange::named(value);
                filter.range = Some(range.ok_or(Error::Value { name, expected })?);
            }
            CODECS => filter.codecs = words(name, value)?,
            _ => filter.languages = words(name, value)?,
        }
        Ok(())
    }

    /// What both this choice and the operator's `filter` allow.
    ///
    /// # Errors
    /// [`Error::Contradiction`] where they allow nothing together.
    pub fn within(&self, filter: &Filter) -> Result<Filter, Error> {
        let (ours, theirs) = (filter, &self.filter);
        let both = Filter {
            bitrate_min: ours.bitrate_min.max(theirs.bitrate_min),
            bitrate_max: least(ours.bitrate_max, theirs.bitrate_max),
            height_max: least(ours.height_max, theirs.height_max),
            codecs: common(CODECS, &ours.codecs, &theirs.codecs)?,
            range: ours.range.or(theirs.range),
            languages: common(LANGUAGES, &ours.languages, &theirs.languages)?,
        };
        if let (Some(min), Some(max)) = (both.bitrate_min, both.bitrate_max)
            && min > max
        {
            return Err(Error::Contradiction(MIN_KBPS));
        }
        if both.range != theirs.range.or(both.range) {
            return Err(Error::Contradiction(RANGE));
        }
        Ok(both)
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Words that both lists allow; an empty list allows all. Of two words of which one begins with the
/// other, the longer one is what both allow.
fn common(name: &'static str, ours: &[String], theirs: &[String]) -> Result<Vec<String>, Error> {
    if ours.is_empty() || theirs.is_empty() {
        return Ok([ours, theirs].concat());
    }
    let pairs = ours
        .iter()
        .flat_map(|one| theirs.iter().map(move |other| (one, other)));
    let mut both: Vec<String> = pairs
        .filter_map(|(one, other)| {
            let (short, long) = if one.len() <= other.len() {
                (one, other)
            } else {
                (other, one)
            };
            let rest = long.strip_prefix(short.as_str())?;
            (rest.is_empty() || rest.starts_with(['.', '-'])).then(|| long.clone())
        })
        .collect();
    both.dedup();
    match both.is_empty() {
        true => Err(Error::Contradiction(name)),
        false => Ok(both),
    }
}

fn bitrate(name: &'static str, value: &str) -> Result<u64, Error> {
    number(name, value).map(|kbps| u64::from(kbps) * 1000)
}

fn number(name: &'static str, value: &str) -> Result<u32, Error> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|number| is_plain && *number > 0);
    let expected = "a whole number above zero";
    number.ok_or(Error::Value { name, expected })
}

fn words(name: &'static str, value: &str) -> Result<Vec<String>, Error> {
    let words: Vec<_> = value.split(',').map(str::to_ascii_lowercase).collect();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let is_word = |word: &String| (1..=32).contains(&word.len()) && word.bytes().all(plain);
    if words.len() > CHOICES_MAX || !words.iter().all(is_word) {
        let expected = "a short list of words with commas between them";
        return Err(Error::Value { name, expected });
    }
    Ok(words)
}

/// Decoded, lossy: what is no text is no name and no value of ours.
fn decoded(text: &str) -> String {
    let octets = Octets(text.bytes()).map(|octet| octet.map_or(b'%', |octet| octet.value));
    String::from_utf8_lossy(&octets.collect::<Vec<u8>>()).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn a_query_chooses_mode_and_filters() {
        let raw = "v=1&mode=single&max_kbps=800&max%5Fheight=720&codecs=AVC1,hvc1&range=sdr\
                   &languages=en%2Cde&CMCD=br%3D1";
        let choice = Choice::of(Some(raw)).unwrap();
        assert_eq!(choice.mode, Some(Mode::Single));
        assert_eq!(choice.filter.bitrate_max, Some(800_000));
        assert_eq!(choice.filter.height_max, Some(720));
        assert_eq!(choice.filter.codecs, ["avc1", "hvc1"]);
        assert_eq!(choice.filter.range, Some(DynamicRange::Sdr));
        assert_eq!(choice.filter.languages, ["en", "de"]);
        let again = Choice::of(Some(&choice.spelled)).unwrap();
        assert_eq!(again, choice, "what is spelled out chooses the same");
        assert_eq!(Choice::of(None), Ok(Choice::default()));
        assert_eq!(Choice::of(Some("")), Ok(Choice::default()));
    }

    #[test]
    fn what_means_nothing_is_refused_with_the_reason() {
        for (raw, expected) in [
            (
                "mode=best",
                "mode: expected hint, cap, single, server or off",
            ),
            ("mode", "mode: expected hint, cap, single, server or off"),
            ("max_kbps=0", "max_kbps: expected a whole number above zero"),
            (
                "max_kbps=+1",
                "max_kbps: expected a whole number above zero",
            ),
            ("range=8k", "range: expected sdr or hdr"),
            ("max_height=1&max_height=2", "max_height: given twice"),
            (
                "codecs=",
                "codecs: expected a short list of words with commas between them",
            ),
            (
                "languages=e%00",
                "languages: expected a short list of words with commas between them",
            ),
        ] {
            let error = Choice::of(Some(raw)).unwrap_err();
            assert_eq!(error.to_string(), expected, "{raw}");
        }
    }

    #[test]
    fn a_choice_stays_within_what_the_operator_shows() {
        let operator = Filter {
            bitrate_max: Some(2_000_000),
            codecs: vec!["avc1".into()],
            range: Some(DynamicRange::Sdr),
            languages: vec!["en".into(), "de".into()],
            ..Filter::default()
        };
        let within = |raw| Choice::of(Some(raw)).unwrap().within(&operator);
        let both = within("max_kbps=9000&codecs=avc1.64,hvc1&languages=en-us,fr").unwrap();
        assert_eq!(both.bitrate_max, Some(2_000_000));
        assert_eq!(both.codecs, ["avc1.64"]);
        assert_eq!(both.languages, ["en-us"]);
        assert_eq!(both.range, Some(DynamicRange::Sdr));
        for (raw, name) in [
            ("min_kbps=3000", MIN_KBPS),
            ("codecs=hvc1", CODECS),
            ("codecs=avc", CODECS),
            ("range=hdr", RANGE),
            ("languages=fr", LANGUAGES),
        ] {
            assert_eq!(within(raw), Err(Error::Contradiction(name)), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_a_choice_or_refused(raw in any::<String>()) {
            drop(Choice::of(Some(&raw)));
        }
    }
}
