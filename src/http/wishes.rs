//! What a client wishes of a cache: `Cache-Control` and `Pragma` of a request (RFC 9111 sections
//! 5.2.1 and 5.4). Pure.

use std::time::Duration;

use http::HeaderMap;

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
    /// Store nothing of this (section 5.2.1.5).
    pub no_store: bool,
    /// Nothing but what is stored (section 5.2.1.7).
    pub only_if_cached: bool,
}

impl Wishes {
    /// Reads the directives of a request.
    #[must_use]
    pub fn of(_request: &HeaderMap) -> Self {
        Self::default()
    }

    /// Whether a stored response of this age and lifetime may be served unasked, where `stale` is
    /// whether its own rules let it be served stale at all when the client agrees.
    #[must_use]
    pub fn admit(&self, age: Duration, lifetime: Duration, stale: bool) -> bool {
        age < lifetime || (stale && self.max_stale.is_some())
    }
}
