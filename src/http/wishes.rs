//! What a client wishes of a cache: `Cache-Control` and `Pragma` of a request (RFC 9111 sections
//! 5.2.1 and 5.4). Pure.
//!
//! A number that cannot be read is no wish. Of several the strictest counts.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use crate::http::fields;

/// The directives of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// No older than this (section 5.2.1.1).
    pub max_age: Option<Duration>,
    /// Stale by no more than this (section 5.2.1.2); `Duration::MAX` where it names no bound.
    pub max_stale: Option<Duration>,
    /// Fresh for at least so long (section 5.2.1.3).
    pub min_fresh: Option<Duration>,
    /// Nothing stored without asking the origin (section 5.2.1.4).
    pub no_cache: bool,
    /// Store nothing of this (section 5.2.1.5). What is stored already may be served.
    pub no_store: bool,
    /// Nothing but what is stored (section 5.2.1.7).
    pub only_if_cached: bool,
}

impl Wishes {
    /// Reads the directives of a request.
    ///
    /// `Pragma: no-cache` counts where there is no `Cache-Control` at all (section 5.4).
    #[must_use]
    pub fn of(request: &HeaderMap) -> Self {
        let mut found = Self::default();
        for member in fields::all_members(request, CACHE_CONTROL) {
            found.take(member);
        }
        if !request.contains_key(CACHE_CONTROL) {
            found.no_cache = fields::all_members(request, PRAGMA)
                .any(|member| member.eq_ignore_ascii_case(b"no-cache"));
        }
        found
    }

    /// Whether a stored response of this age and lifetime may be served unasked, where `stale` is
    /// whether its own rules let it be served stale at all when the client agrees.
    ///
    /// A `max-age` of zero asks for a validation even of what is not a moment old: that is how
    /// pages are reloaded.
    #[must_use]
    pub fn admit(&self, age: Duration, lifetime: Duration, stale: bool) -> bool {
        let is_too_old = self.max_age.is_some_and(|max| max.is_zero() || age > max);
        if self.no_cache || is_too_old {
            return false;
        }
        if age < lifetime {
            let rest = lifetime.saturating_sub(age);
            return self.min_fresh.is_none_or(|least| rest >= least);
        }
        let staleness = age.saturating_sub(lifetime);
        stale && self.min_fresh.is_none() && self.max_stale.is_some_and(|most| staleness <= most)
    }

    fn take(&mut self, member: &[u8]) {
        let mut halves = member.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default();
        let argument = halves.next();
        match name.to_ascii_lowercase().as_slice() {
            b"no-cache" => self.no_cache = true,
            b"no-store" => self.no_store = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => self.max_age = strictest(self.max_age, span(argument), Duration::min),
            b"min-fresh" => {
                self.min_fresh = strictest(self.min_fresh, span(argument), Duration::max);
            }
            b"max-stale" => {
                let most = match argument {
                    None => Some(Duration::MAX),
                    Some(_) => span(argument),
                };
                self.max_stale = strictest(self.max_stale, most, Duration::min);
            }
            _ => {}
        }
    }
}

fn strictest(
    known: Option<Duration>,
    further: Option<Duration>,
    pick: fn(Duration, Duration) -> Duration,
) -> Option<Duration> {
    match (known, further) {
        (Some(known), Some(further)) => Some(pick(known, further)),
        (one, other) => one.or(other),
    }
}

/// Reads a number of seconds, quoted or not (section 5.2).
fn span(argument: Option<&[u8]>) -> Option<Duration> {
    let text = argument?;
    let inner = text
        .strip_prefix(b"\"")
        .and_then(|inner| inner.strip_suffix(b"\""));
    let seconds = fields::digits(inner.unwrap_or(text))?;
    Some(Duration::from_secs(seconds.min(fields::DELTA_SECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn read(lines: &[(HeaderName, &'static str)]) -> Wishes {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        Wishes::of(&headers)
    }

    #[test]
    fn directives_are_read_and_what_is_malformed_is_no_wish() {
        let none = Wishes::default();
        let secs = |secs| Some(Duration::from_secs(secs));
        let max_age = |max_age| Wishes { max_age, ..none };
        let max_stale = |max_stale| Wishes { max_stale, ..none };
        let min_fresh = |min_fresh| Wishes { min_fresh, ..none };
        let all = Wishes {
            no_cache: true,
            no_store: true,
            only_if_cached: true,
            ..none
        };
        let cases = [
            ("nothing-to-see-here", none),
            ("max-age=5", max_age(secs(5))),
            ("MAX-AGE=\"5\"", max_age(secs(5))),
            ("max-age=5, max-age=4", max_age(secs(4))),
            ("max-age=x", none),
            ("max-age", none),
            ("max-age=-1", none),
            ("max-age =5", none),
            ("max-stale", max_stale(Some(Duration::MAX))),
            ("max-stale=7, max-stale", max_stale(secs(7))),
            ("max-stale=x", none),
            ("max-stale=", none),
            ("min-fresh=5, min-fresh=6", min_fresh(secs(6))),
            ("min-fresh=99999999999999999999", min_fresh(secs(1 << 31))),
            ("a=\"no-cache, no-store\"", none),
            ("No-Cache, no-store, only-if-cached", all),
        ];
        for (value, expected) in cases {
            assert_eq!(read(&[(CACHE_CONTROL, value)]), expected, "{value}");
        }
    }

    #[test]
    fn pragma_counts_where_there_is_no_cache_control() {
        assert!(read(&[(PRAGMA, "x, No-Cache")]).no_cache);
        assert!(!read(&[(PRAGMA, "unrecognised-extension")]).no_cache);
        let both = [(PRAGMA, "no-cache"), (CACHE_CONTROL, "nothing-to-see-here")];
        assert!(!read(&both).no_cache);
    }

    #[test]
    fn stored_responses_are_admitted_as_the_client_wishes() {
        let cases = [
            ("", 5, 10, true, true),
            ("", 10, 10, true, false),
            ("max-age=0", 0, 10, true, false),
            ("max-age=4", 5, 10, true, false),
            ("max-age=5", 5, 10, true, true),
            ("max-age=20", 15, 10, true, false),
            ("max-age=20, max-stale", 15, 10, true, true),
            ("max-age=14, max-stale", 15, 10, true, false),
            ("max-stale", 1_000_000, 10, true, true),
            ("max-stale", 15, 10, false, false),
            ("max-stale=5", 15, 10, true, true),
            ("max-stale=4", 15, 10, true, false),
            ("max-stale=4", 5, 10, false, true),
            ("min-fresh=5", 5, 10, true, true),
            ("min-fresh=6", 5, 10, true, false),
            ("min-fresh=0, max-stale", 15, 10, true, false),
            ("no-cache", 0, 10, true, false),
            ("no-cache, max-stale", 15, 10, true, false),
            ("no-store", 5, 10, true, true),
            ("only-if-cached", 5, 10, true, true),
            ("only-if-cached", 15, 10, true, false),
        ];
        for (value, age, lifetime, stale, expected) in cases {
            let (age, lifetime) = (Duration::from_secs(age), Duration::from_secs(lifetime));
            let got = read(&[(CACHE_CONTROL, value)]).admit(age, lifetime, stale);
            assert_eq!(got, expected, "{value} at {age:?} of {lifetime:?}");
        }
    }
}
