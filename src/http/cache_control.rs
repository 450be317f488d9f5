//! `Cache-Control` of a response (RFC 9111 section 5.2.2).
//!
//! Read conservatively: a directive whose number is absent, malformed or contradicted by a second
//! one counts as zero (RFC 9111 section 4.2.1 lets such a response be considered stale), unknown
//! directives are ignored (section 5.2.3), and a number beyond 2^31 is 2^31 (section 1.2.2).

use std::time::Duration;

use http::header::{CACHE_CONTROL, HeaderMap, HeaderName};

use crate::http::fields;

/// What the `Cache-Control` fields of a response say together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheControl {
    /// Store nothing (section 5.2.2.5).
    pub no_store: bool,
    /// Not for a shared cache (section 5.2.2.7).
    pub private: Scope,
    /// Not to be reused unasked (section 5.2.2.4).
    pub no_cache: Scope,
    /// Not to be served stale by anyone (section 5.2.2.2).
    pub must_revalidate: bool,
    /// Not to be served stale by a shared cache (section 5.2.2.8).
    pub proxy_revalidate: bool,
    /// May be stored whatever else forbids it by default (section 5.2.2.9).
    pub public: bool,
    /// Storable, despite `no_store`, by who knows the status (section 5.2.2.3).
    pub must_understand: bool,
    /// The content must not be transformed (section 5.2.2.6).
    pub no_transform: bool,
    /// Never changes while it is fresh (RFC 8246).
    pub immutable: bool,
    /// Lifetime (section 5.2.2.1).
    pub max_age: Option<Duration>,
    /// Lifetime in shared caches (section 5.2.2.10).
    pub s_maxage: Option<Duration>,
    /// How long it is served stale while it is refreshed (RFC 5861 section 3).
    pub stale_while_revalidate: Option<Duration>,
    /// How long it is served stale when the origin fails (RFC 5861 section 4).
    pub stale_if_error: Option<Duration>,
}

/// What `private` or `no-cache` covers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// The directive is absent.
    #[default]
    Absent,
    /// Only these header fields.
    Fields(Vec<HeaderName>),
    /// The whole response.
    Whole,
}

impl Scope {
    /// The fields that it covers, where it covers no more than these.
    #[must_use]
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Absent | Self::Whole => &[],
        }
    }

    fn widen(&mut self, argument: Argument<'_>) {
        let names = match argument {
            Argument::Names(text) => Some(field_names(text)),
            Argument::Text(text) => Some(field_names(unquoted(text))),
            Argument::Absent | Argument::Number(_) | Argument::Foreign => None,
        };
        *self = match (std::mem::take(self), names) {
            (Self::Absent, Some(names)) if !names.is_empty() => Self::Fields(names),
            (Self::Fields(mut known), Some(names)) if !names.is_empty() => {
                known.extend(names);
                Self::Fields(known)
            }
            _ => Self::Whole,
        };
    }
}

/// What a directive has after its equals sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument<'a> {
    /// Nothing.
    Absent,
    /// A token or quoted string, as it was written.
    Text(&'a [u8]),
    /// A number of a structured field.
    Number(i64),
    /// A string or token of a structured field.
    Names(&'a [u8]),
    /// What no directive takes.
    Foreign,
}

impl CacheControl {
    /// Reads every `Cache-Control` field as one list.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for member in fields::all_members(headers, CACHE_CONTROL) {
            let (name, argument) = split(member);
            found.take(name, argument);
        }
        found
    }

    /// Whether a copy may ever be served stale, be it that the client agrees (section 4.2.4).
    ///
    /// `s-maxage` implies `proxy-revalidate` (section 5.2.2.10).
    #[must_use]
    pub fn allows_stale(&self) -> bool {
        !(self.must_revalidate
            || self.proxy_revalidate
            || self.s_maxage.is_some()
            || self.no_cache == Scope::Whole)
    }

    /// Takes one directive in; names are told without regard to case.
    pub fn take(&mut self, name: &[u8], argument: Argument<'_>) {
        match name.to_ascii_lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"private" => self.private.widen(argument),
            b"no-cache" => self.no_cache.widen(argument),
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"public" => self.public = true,
            b"must-understand" => self.must_understand = true,
            b"no-transform" => self.no_transform = true,
            b"immutable" => self.immutable = true,
            b"max-age" => take_seconds(&mut self.max_age, argument),
            b"s-maxage" => take_seconds(&mut self.s_maxage, argument),
            b"stale-while-revalidate" => take_seconds(&mut self.stale_while_revalidate, argument),
            b"stale-if-error" => take_seconds(&mut self.stale_if_error, argument),
            _ => {}
        }
    }
}

/// Splits name and argument. Space before the equals sign is no grammar; the name still counts,
/// so that such a directive is not overlooked, but its argument does not.
fn split(member: &[u8]) -> (&[u8], Argument<'_>) {
    let mut halves = member.splitn(2, |byte| *byte == b'=');
    let name = halves.next().unwrap_or_default();
    let trimmed = name.trim_ascii_end();
    match halves.next() {
        Some(text) if trimmed.len() == name.len() => (trimmed, Argument::Text(text)),
        _ => (trimmed, Argument::Absent),
    }
}

fn unquoted(argument: &[u8]) -> &[u8] {
    argument
        .strip_prefix(b"\"")
        .and_then(|inner| inner.strip_suffix(b"\""))
        .unwrap_or(argument)
}

fn field_names(argument: &[u8]) -> Vec<HeaderName> {
    fields::members(argument)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}

fn take_seconds(slot: &mut Option<Duration>, argument: Argument<'_>) {
    let seconds = match argument {
        Argument::Text(text) => fields::digits(unquoted(text)),
        Argument::Number(number) => u64::try_from(number).ok(),
        Argument::Absent | Argument::Names(_) | Argument::Foreign => None,
    };
    let span =
        Duration::from_secs(seconds.map_or(0, |seconds| seconds.min(fields::DELTA_SECONDS_MAX)));
    *slot = Some(match *slot {
        Some(earlier) if earlier != span => Duration::ZERO,
        _ => span,
    });
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(values: &[&'static str]) -> CacheControl {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
        }
        CacheControl::of(&headers)
    }

    #[test]
    fn max_age_is_read_conservatively() {
        let cases = [
            ("max-age=60", Some(60)),
            ("MAX-AGE=60", Some(60)),
            ("max-age=\"60\"", Some(60)),
            ("public, max-age=60", Some(60)),
            ("max-age=0060", Some(60)),
            ("max-age=99999999999999999999", Some(1 << 31)),
            ("max-age=60, max-age=60", Some(60)),
            ("max-age=60, max-age=61", Some(0)),
            ("max-age=60, max-age=x, max-age=60", Some(0)),
            ("max-age", Some(0)),
            ("max-age=", Some(0)),
            ("max-age=-1", Some(0)),
            ("max-age=1.5", Some(0)),
            ("max-age=60s", Some(0)),
            ("max-age='60'", Some(0)),
            ("max-age =60", Some(0)),
            ("max-age= 60", Some(0)),
            ("max-age:60", None),
            ("xmax-age=60", None),
            ("a=\"max-age=60\"", None),
            ("a=\"x, max-age=60\", b", None),
            ("a=\"x, max-age=60", Some(60)),
        ];
        for (value, expected) in cases {
            let got = parse(&[value]).max_age.map(|span| span.as_secs());
            assert_eq!(got, expected, "{value}");
        }
    }

    #[test]
    fn stale_is_served_unless_a_directive_forbids_it() {
        let cases = [
            ("max-age=5", true),
            ("max-age=5, no-cache=\"a\"", true),
            ("no-cache", false),
            ("max-age=5, must-revalidate", false),
            ("max-age=5, proxy-revalidate", false),
            ("max-age=5, s-maxage=5", false),
        ];
        for (value, expected) in cases {
            assert_eq!(parse(&[value]).allows_stale(), expected, "{value}");
        }
    }

    #[test]
    fn several_fields_are_one_list() {
        let control = parse(&["no-store", "s-maxage=5, must-revalidate", "no-transform"]);
        assert!(control.no_store && control.must_revalidate && control.no_transform);
        assert_eq!(control.s_maxage, Some(Duration::from_secs(5)));
    }

    #[test]
    fn field_names_narrow_private_and_no_cache() {
        let names = |list: &[&'static str]| {
            Scope::Fields(list.iter().map(|n| HeaderName::from_static(n)).collect())
        };
        let cases = [
            ("", Scope::Absent),
            ("private", Scope::Whole),
            ("private=\"set-cookie\"", names(&["set-cookie"])),
            ("private=\"a, B\"", names(&["a", "b"])),
            ("private=a", names(&["a"])),
            ("private=\"a\", private=\"b\"", names(&["a", "b"])),
            ("private=\"a\", private", Scope::Whole),
            ("private, private=\"a\"", Scope::Whole),
            ("private=\"\"", Scope::Whole),
            ("private=\"a b\"", Scope::Whole),
        ];
        for (value, expected) in cases {
            assert_eq!(parse(&[value]).private, expected, "{value}");
        }
    }
}
