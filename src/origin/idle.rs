//! How long an idle connection to an origin is kept. Pure.
//!
//! An origin that closes at the moment at which it is asked cannot be told from one that failed, so
//! the connection must be given up here first. Origins that say when they close are believed.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::http::fields;

/// Less than the 20 s after which big stores close theirs.
pub(super) const IDLE: Duration = Duration::from_secs(15);
/// What a request needs to get there before the connection is closed.
const MARGIN: Duration = Duration::from_secs(1);

/// How long the connection that this answer came by may idle, by its `Keep-Alive: timeout=` in
/// seconds (RFC 2068 section 19.7.1).
#[must_use]
pub(super) fn idle(headers: &HeaderMap) -> Duration {
    let timeout =
        fields::all_members(headers, HeaderName::from_static("keep-alive")).find_map(|member| {
            let (name, value) = member.split_at_checked(TIMEOUT.len())?;
            let named = name.eq_ignore_ascii_case(TIMEOUT);
            fields::digits(value).filter(|_| named)
        });
    let told = timeout.map(|seconds| Duration::from_secs(seconds).saturating_sub(MARGIN));
    told.map_or(IDLE, |told| told.min(IDLE))
}

const TIMEOUT: &[u8] = b"timeout=";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_connection_is_given_up_before_its_origin_closes_it() {
        for (value, seconds) in [
            ("timeout=5", 4),
            ("max=100, Timeout=10", 9),
            ("timeout=60", 15),
            ("timeout=1", 0),
            ("timeout=", 15),
            ("max=100", 15),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", HeaderValue::from_static(value));
            assert_eq!(idle(&headers).as_secs(), seconds, "{value}");
        }
        assert_eq!(idle(&HeaderMap::new()), IDLE);
    }
}
