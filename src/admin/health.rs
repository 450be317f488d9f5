//! Whether requests are welcome, and why not.
//!
//! Not ready: starting, draining, or no origin of any site can be reached. A broken Redis, or one
//! unreachable origin among others, degrades the node and leaves it ready: it goes on serving.

use http::StatusCode;
use serde::Serialize;

use crate::admin::Admin;
use crate::admin::reply::Reply;

/// The state of a node as `/readyz` tells it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Health {
    ready: bool,
    /// Why it is not ready.
    reasons: Vec<String>,
    /// What is broken without making it unready.
    degraded: Vec<String>,
}

impl Health {
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }
}

/// What health is judged by.
#[derive(Debug, Default)]
struct Facts {
    serving: bool,
    draining: bool,
    /// Sites by name, and whether an endpoint of their origin is up.
    origins: Vec<(String, bool)>,
    /// Whether Redis answers; `None` where there is none.
    redis: Option<bool>,
}

impl Admin {
    pub(super) fn health(&self) -> Health {
        let origin = |source: &crate::cache::ask::Source| {
            // A directory has no endpoints and is always there.
            let endpoints = source.origin.health();
            let up = endpoints.is_empty() || endpoints.iter().any(|endpoint| endpoint.up);
            (source.site.name.clone(), up)
        };
        judge(Facts {
            serving: self.parts.life.is_serving() && !self.parts.purges.is_starting(),
            draining: self.parts.life.is_draining(),
            origins: self
                .parts
                .sources
                .iter()
                .map(|source| origin(source))
                .collect(),
            redis: self.parts.redis.as_ref().map(|redis| redis.state().up),
        })
    }
}

fn judge(facts: Facts) -> Health {
    let mut health = Health::default();
    if !facts.serving {
        health.reasons.push("starting".to_owned());
    }
    if facts.draining {
        health.reasons.push("draining".to_owned());
    }
    // An origin that is down makes no node unready: all nodes would leave the balancer at once, with
    // everything that they could still serve from memory and Redis.
    for (site, _) in facts.origins.iter().filter(|(_, up)| !up) {
        health.degraded.push(format!("origin of {site} is down"));
    }
    if facts.redis == Some(false) {
        health.degraded.push("redis does not answer".to_owned());
    }
    health.ready = health.reasons.is_empty();
    health
}

/// `/readyz`: 200 or 503, with the reasons.
pub(super) fn reply(health: &Health) -> Reply {
    let status = if health.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Reply::json(health).status_of(status)
}

/// The same state as an answer to a command, which is 200 whatever the state.
pub(super) fn reply_state(health: &Health) -> Reply {
    Reply::json(health)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(origins: &[(&str, bool)], redis: Option<bool>) -> Facts {
        Facts {
            serving: true,
            draining: false,
            origins: origins
                .iter()
                .map(|(n, up)| ((*n).to_owned(), *up))
                .collect(),
            redis,
        }
    }

    #[test]
    fn a_broken_redis_and_dead_origins_degrade_and_stay_ready() {
        let health = judge(serving(&[("a", false), ("b", false)], Some(false)));
        assert!(health.is_ready());
        let expected = [
            "origin of a is down",
            "origin of b is down",
            "redis does not answer",
        ];
        assert_eq!(health.degraded, expected);
        assert_eq!(reply(&health).status(), StatusCode::OK);
    }

    #[test]
    fn an_unready_node_says_why() {
        let cases = [
            (Facts::default(), "starting"),
            (
                Facts {
                    draining: true,
                    ..serving(&[("a", true)], None)
                },
                "draining",
            ),
        ];
        for (facts, reason) in cases {
            let health = judge(facts);
            assert_eq!(health.reasons, [reason]);
            assert_eq!(reply(&health).status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(reply_state(&health).status(), StatusCode::OK);
        }
    }
}
