//! What a request chooses of a manifest: `?mode=` and filters.
//!
//! The names are for this node alone and part of no key. A choice that is no choice is refused
//! with the reason: a player that asked for 720 lines at most and gets all of them would not learn
//! why it stalls.

use crate::asset::Kind;
use crate::config::adapt::{Adapt, Filter, Mode};
use crate::manifest::filter;

/// Every parameter that is a choice.
pub const NAMES: [&str; 9] = [
    LADDER,
    MODE,
    SUSTAINED,
    "min_kbps",
    "max_kbps",
    "max_height",
    "codecs",
    "range",
    "lang",
];

/// Those that this node writes into the URLs of refreshes by itself.
const REFRESH_NAMES: [&str; 1] = [SUSTAINED];

/// The names that count in a request for an object of this kind. Where requests may not choose, a
/// live MPD still comes back with what this node wrote.
#[must_use]
pub fn names(adapt: &Adapt, kind: Kind) -> &'static [&'static str] {
    let is_limited = matches!(adapt.mode, Mode::Cap | Mode::Single | Mode::Server);
    match adapt.mode {
        Mode::Off => &[],
        _ if adapt.client_mode && kind.is_manifest() => &NAMES,
        _ if is_limited && kind == Kind::DashManifest => &REFRESH_NAMES,
        _ => &[],
    }
}

/// What `cap` and `single` go by in place of what is known of the client. This node writes it into
/// the URLs of refreshes, so that a session keeps its rungs.
pub const SUSTAINED: &str = "sustained_kbps";

/// Path and query of the multivariant playlist that a media playlist is a rung of, escaped. This
/// node writes it where it picks the rungs (`server`).
pub const LADDER: &str = "ladder";

const MODE: &str = "mode";

/// What a request chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// What is done to the manifest.
    pub mode: Option<Mode>,
    /// What of it is wanted.
    pub filter: Filter,
    /// Bit/s in place of what is known.
    pub sustained: Option<u64>,
    /// All of it as the query spelled it, for the next request of the same manifest; empty for
    /// none.
    pub spelled: String,
}

/// Why a choice cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value that means nothing.
    #[error("{name} must be {expected}")]
    Value {
        /// Parameter.
        name: &'static str,
        /// What would mean something.
        expected: &'static str,
    },
    /// A parameter that comes twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A filter that cannot be obeyed.
    #[error(transparent)]
    Filter(#[from] filter::Error),
}

impl Choice {
    /// Reads the choice in a query as received, without `?`.
    ///
    /// # Errors
    /// [`Error`] for what means nothing or comes twice.
    pub fn of(query: &str) -> Result<Self, Error> {
        let mut choice = Self {
            filter: filter::of_query(query)?,
            ..Self::default()
        };
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let names = NAMES.into_iter().filter(|known| *known != LADDER);
            let Some(name) = names.into_iter().find(|known| *known == name) else {
                continue;
            };
            choice.take(name, value)?;
            if !choice.spelled.is_empty() {
                choice.spelled.push('&');
            }
            choice.spelled.push_str(parameter);
        }
        Ok(choice)
    }

    /// Reads of a query only the parameters of these names.
    ///
    /// # Errors
    /// As [`Choice::of`].
    pub fn among(query: &str, names: &[&str]) -> Result<Self, Error> {
        let counts = |parameter: &&str| {
            let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
            names.contains(&name)
        };
        let counting: Vec<&str> = query.split('&').filter(counts).collect();
        Self::of(&counting.join("&"))
    }

    fn take(&mut self, name: &'static str, value: &str) -> Result<(), Error> {
        let is_again = match name {
            MODE => {
                let expected = "hint, cap, single, server or off";
                let mode = Mode::named(value).ok_or(Error::Value { name, expected })?;
                self.mode.replace(mode).is_some()
            }
            SUSTAINED => {
                let expected = "a number of kbit/s above nought";
                let kbps = value.parse::<u32>().ok().filter(|kbps| *kbps > 0);
                let kbps = kbps.ok_or(Error::Value { name, expected })?;
                self.sustained.replace(u64::from(kbps) * 1000).is_some()
            }
            _ => false,
        };
        match is_again {
            true => Err(Error::Twice(name)),
            false => Ok(()),
        }
    }

    /// What both this choice and the operator's `filter` allow.
    ///
    /// # Errors
    /// [`Error::Filter`] where they allow nothing together.
    pub fn within(&self, filter: &Filter) -> Result<Filter, Error> {
        Ok(filter::merge(filter, &self.filter)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn a_query_chooses_mode_and_filters_and_is_spelled_again() {
        let choice = Choice::of("v=1&mode=single&max_kbps=800&CMCD=br%3D1&lang=en,de").unwrap();
        assert_eq!(choice.mode, Some(Mode::Single));
        assert_eq!(choice.filter.bitrate_max, Some(800_000));
        assert_eq!(choice.spelled, "mode=single&max_kbps=800&lang=en,de");
        assert_eq!(Choice::of(&choice.spelled), Ok(choice));
        assert_eq!(Choice::of(""), Ok(Choice::default()));
        let told = Choice::of("sustained_kbps=700").unwrap();
        assert_eq!(told.sustained, Some(700_000));
    }

    #[test]
    fn only_names_that_count_are_read() {
        let query = "mode=off&sustained_kbps=700&max_height=1&min_kbps=x";
        let choice = Choice::among(query, &REFRESH_NAMES).unwrap();
        assert_eq!(choice, Choice::of("sustained_kbps=700").unwrap());
        assert_eq!(Choice::among(query, &[]), Ok(Choice::default()));
        assert!(Choice::among(query, &NAMES).is_err());
        assert!(Choice::among("sustained_kbps=x", &REFRESH_NAMES).is_err());
    }

    #[test]
    fn every_parameter_of_a_filter_is_one_of_ours() {
        let filter = "min_kbps=1&max_kbps=2&max_height=3&codecs=avc1&range=sdr&lang=en";
        assert_eq!(Choice::of(filter).unwrap().spelled, filter);
    }

    #[test]
    fn what_means_nothing_is_refused_with_the_reason() {
        for (query, expected) in [
            ("mode=best", "mode must be hint, cap, single, server or off"),
            ("mode", "mode must be hint, cap, single, server or off"),
            ("mode=off&mode=off", "mode is given twice"),
            (
                "sustained_kbps=0",
                "sustained_kbps must be a number of kbit/s above nought",
            ),
            ("range=8k", "range must be sdr or hdr"),
        ] {
            let error = Choice::of(query).unwrap_err();
            assert_eq!(error.to_string(), expected, "{query}");
        }
    }

    #[test]
    fn a_choice_stays_within_what_the_operator_shows() {
        let operator = Filter {
            bitrate_max: Some(2_000_000),
            ..Filter::default()
        };
        let both = Choice::of("max_kbps=9000").unwrap().within(&operator);
        assert_eq!(both.unwrap().bitrate_max, Some(2_000_000));
        let none = Choice::of("min_kbps=3000").unwrap().within(&operator);
        assert!(matches!(
            none,
            Err(Error::Filter(filter::Error::Contradiction(_)))
        ));
    }

    proptest! {
        #[test]
        fn any_query_is_a_choice_or_refused(query in any::<String>()) {
            drop(Choice::of(&query));
        }
    }
}
