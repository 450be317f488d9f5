//! The sessions that play.

use http::StatusCode;
use serde::Serialize;

use crate::admin::Admin;
use crate::admin::reply::Reply;
use crate::clock::{self, UnixMillis};
use crate::limits;
use crate::session::Live;

/// Sessions listed where a request does not say how many.
const LIMIT_DEFAULT: usize = 100;

/// A session as it is shown. What is not known is absent.
#[derive(Serialize)]
struct Row {
    /// Beginning of the hash of its id.
    session: String,
    site: String,
    arm: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<Estimate>,
    /// Bit/s of the rung that plays, as the player tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    rung_bits_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buffer_millis: Option<u128>,
    /// Milliseconds since it was heard of.
    silent_millis: u128,
}

#[derive(Serialize)]
struct Estimate {
    bits_per_second: u64,
    /// Variance of the logarithm; 0.04 is about 20 % either way.
    variance: f64,
    samples: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_millis: Option<u128>,
    age_millis: u128,
}

impl Row {
    fn of(live: Live, now: UnixMillis) -> Self {
        let estimate = live.estimate.map(|estimate| Estimate {
            bits_per_second: estimate.bitrate,
            variance: estimate.variance,
            samples: estimate.samples,
            rtt_millis: estimate.rtt.map(|rtt| rtt.as_millis()),
            age_millis: now.since(estimate.at).as_millis(),
        });
        Self {
            session: live.name,
            site: live.site.to_string(),
            arm: live.arm.as_str(),
            estimate,
            rung_bits_per_second: live.bitrate,
            buffer_millis: live.buffer.map(|buffer| buffer.as_millis()),
            silent_millis: now.since(live.seen).as_millis(),
        }
    }
}

impl Admin {
    pub(super) fn sessions(&self, query: &str) -> Reply {
        let Some(limit) = limit(query) else {
            let most = limits::SESSIONS_LISTED_MAX;
            let error = format!("expected ?limit= from 1 to {most}");
            return Reply::text(StatusCode::BAD_REQUEST, error);
        };
        let now = clock::now();
        let live = self.parts.sessions.live(limit, now);
        let rows: Vec<Row> = live.into_iter().map(|live| Row::of(live, now)).collect();
        Reply::json(&rows)
    }
}

/// How many sessions a query asks for.
fn limit(query: &str) -> Option<usize> {
    let mut parts = query.split('&').filter(|part| !part.is_empty());
    let Some(part) = parts.next() else {
        return Some(LIMIT_DEFAULT);
    };
    let limit: usize = part.strip_prefix("limit=")?.parse().ok()?;
    let known = (1..=limits::SESSIONS_LISTED_MAX).contains(&limit) && parts.next().is_none();
    known.then_some(limit)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::holdout::Arm;

    #[test]
    fn a_limit_is_a_number_within_bounds() {
        let cases = [
            ("", Some(LIMIT_DEFAULT)),
            ("limit=1", Some(1)),
            ("limit=1000", Some(1000)),
            ("limit=0", None),
            ("limit=1001", None),
            ("limit=x", None),
            ("most=5", None),
            ("limit=5&limit=6", None),
        ];
        for (query, expected) in cases {
            assert_eq!(limit(query), expected, "{query}");
        }
    }

    #[test]
    fn what_is_not_known_of_a_session_is_absent() {
        let now = UnixMillis(1_000_000);
        let live = Live {
            name: "abcdef012345".to_owned(),
            site: "films".into(),
            estimate: None,
            bitrate: None,
            buffer: None,
            arm: Arm::Holdout,
            seen: now.before(Duration::from_secs(3)),
        };
        let known = Live {
            estimate: Some(crate::session::estimator::Estimate {
                bitrate: 2_500_000,
                variance: 0.04,
                samples: 9,
                rtt: Some(Duration::from_millis(40)),
                at: now.before(Duration::from_secs(1)),
            }),
            bitrate: Some(1_600_000),
            buffer: Some(Duration::from_secs(12)),
            ..live.clone()
        };
        let bare = serde_json::json!({
            "session": "abcdef012345", "site": "films", "arm": "holdout", "silent_millis": 3000,
        });
        assert_eq!(serde_json::to_value(Row::of(live, now)).unwrap(), bare);
        let full = serde_json::json!({
            "session": "abcdef012345", "site": "films", "arm": "holdout", "silent_millis": 3000,
            "estimate": {
                "bits_per_second": 2_500_000, "variance": 0.04, "samples": 9, "rtt_millis": 40,
                "age_millis": 1000,
            },
            "rung_bits_per_second": 1_600_000, "buffer_millis": 12000,
        });
        assert_eq!(serde_json::to_value(Row::of(known, now)).unwrap(), full);
    }
}
