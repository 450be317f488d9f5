//! `[site.caching]` and `[site.lifetimes]`: what is stored and how long, by profile.

use std::time::Duration;

use http::HeaderName;

use super::super::file;
use super::super::given::Given;
use super::super::{Caching, Lifetimes, Negative, Profile, SetCookie};
use super::{Check, Span, quoted};

/// Segments do not change under their name.
const SEGMENT: Duration = Duration::from_secs(14 * 86_400);

/// A finished title is corrected at times, and its manifest is small.
const VOD_MANIFEST: Duration = Duration::from_secs(300);

/// Half of the shortest target duration in use (2 s).
const LIVE_MANIFEST: Duration = Duration::from_secs(1);

/// Pictures, subtitles, pages: seldom changed, cheap to ask for.
const OTHER: Duration = Duration::from_secs(60);

/// Short, since a live segment is asked for just before it exists.
const NEGATIVE_LIVE: Duration = Duration::from_secs(1);

/// What is no part of a live stream does not appear from one second to the next.
const NEGATIVE_OTHER: Duration = Duration::from_secs(10);

/// A refresh takes a second; the rest is for objects asked for less often.
const STALE_WHILE_REVALIDATE: Duration = Duration::from_secs(30);

/// An outage of the store that lasts a night.
const STALE_IF_ERROR: Duration = Duration::from_secs(86_400);

/// What RFC 9111 section 4.2.2 calls typical.
const HEURISTIC_PERCENT: u32 = 10;

/// What has not changed for ten days may still change tomorrow.
const HEURISTIC_MAX: Duration = Duration::from_secs(86_400);

/// Encodings times languages; more is a field that should not select anything.
const VARIANTS: u32 = 32;

/// The own target first: what an operator says of this cache beats what is said to all.
const TARGETED: [&str; 2] = ["weir-cache-control", "cdn-cache-control"];

impl Check<'_> {
    pub(super) fn caching(&mut self, at: &str, shape: file::Caching, profile: Profile) -> Caching {
        let at = format!("{at}.caching");
        let is_general = profile == Profile::General;
        // A cookie of one viewer must not reach another; a general site says so by its headers.
        let (set_cookie, percent) = match profile {
            Profile::Video => (SetCookie::Refuse, 0),
            Profile::General => (SetCookie::Store, HEURISTIC_PERCENT),
        };
        let directives = format!("{at}.client_directives");
        let variants = format!("{at}.variants");
        let variants = self.number(&variants, shape.variants, 1..=1024, VARIANTS);
        Caching {
            client_directives: self
                .value(&directives, shape.client_directives)
                .unwrap_or(is_general),
            set_cookie: self
                .value(&format!("{at}.set_cookie"), shape.set_cookie)
                .unwrap_or(set_cookie),
            targeted: self.targeted(&format!("{at}.targeted"), shape.targeted),
            heuristic_percent: self.number(
                &format!("{at}.heuristic_percent"),
                shape.heuristic_percent,
                0..=100,
                percent,
            ),
            heuristic_max: self.span_or_zero(
                &format!("{at}.heuristic_max"),
                shape.heuristic_max,
                HEURISTIC_MAX,
            ),
            variants_max: usize::try_from(variants).unwrap_or(usize::MAX),
        }
    }

    fn targeted(&mut self, at: &str, given: Option<Vec<Given<String>>>) -> Vec<HeaderName> {
        let Some(given) = given else {
            return TARGETED.map(HeaderName::from_static).to_vec();
        };
        let mut fields = Vec::new();
        for (index, name) in given.into_iter().enumerate() {
            let key = format!("{at}[{index}]");
            let Some(text) = self.value(&key, Some(name)) else {
                continue;
            };
            match HeaderName::from_bytes(text.as_bytes()) {
                Ok(name) => fields.push(name),
                Err(_) => self.refuse(&key, &quoted(&text), "the name of a header field"),
            }
        }
        fields
    }

    pub(super) fn lifetimes(
        &mut self,
        at: &str,
        shape: file::Lifetimes,
        profile: Profile,
    ) -> Lifetimes {
        let at = format!("{at}.lifetimes");
        // Elsewhere silence means that the heuristic decides, or nothing is kept.
        let by_kind = |life: Duration| match profile {
            Profile::Video => life,
            Profile::General => Duration::ZERO,
        };
        let mut span = |name: &str, given: Option<Given<Span>>, default: Duration| {
            self.span_or_zero(&format!("{at}.{name}"), given, default)
        };
        Lifetimes {
            segment: span("segment", shape.segment, by_kind(SEGMENT)),
            vod_manifest: span("vod_manifest", shape.vod_manifest, by_kind(VOD_MANIFEST)),
            live_manifest: span("live_manifest", shape.live_manifest, by_kind(LIVE_MANIFEST)),
            other: span("other", shape.other, by_kind(OTHER)),
            stale_while_revalidate: span(
                "stale_while_revalidate",
                shape.stale_while_revalidate,
                by_kind(STALE_WHILE_REVALIDATE),
            ),
            stale_if_error: span(
                "stale_if_error",
                shape.stale_if_error,
                by_kind(STALE_IF_ERROR),
            ),
            negative: self.negative(&format!("{at}.negative"), shape.negative, profile),
        }
    }

    fn negative(&mut self, at: &str, shape: file::Negative, profile: Profile) -> Negative {
        // A 403 of a general site may be about one client.
        let forbidden = match profile {
            Profile::Video => NEGATIVE_LIVE,
            Profile::General => Duration::ZERO,
        };
        let mut span = |name: &str, given: Option<Given<Span>>, default: Duration| {
            self.span_or_zero(&format!("{at}.{name}"), given, default)
        };
        Negative {
            segment: span("segment", shape.segment, NEGATIVE_LIVE),
            manifest: span("manifest", shape.manifest, NEGATIVE_LIVE),
            other: span("other", shape.other, NEGATIVE_OTHER),
            forbidden: span("forbidden", shape.forbidden, forbidden),
            failure: span("failure", shape.failure, Duration::ZERO),
        }
    }
}
