//! `POST /v1/purge`.
//!
//! | status | what was done |
//! |---|---|
//! | 200 | every node, shields' included, has said that it purged |
//! | 202 | it is in the log, and some node has not said so in time |
//! | 400 | nothing: the command is none, or names nothing that is served here |
//! | 502 | nothing here, since a shield did not purge; other shields may have |
//! | 503 | this node has purged, and no other: Redis did not take it |
//!
//! All but 400 carry an [`Answer`]. Repeating a command is harmless.

use std::time::Duration;

use http::StatusCode;
use pingora::protocols::http::ServerSession;

use crate::admin::reply::Reply;
use crate::admin::{Admin, target};
use crate::metrics::{METRICS, PurgeResult};
use crate::purge::answer::Answer;
use crate::purge::command::Command;
use crate::purge::log::PurgeError;

/// Longest body of a command: a URL or a list of tags, and its frame.
const COMMAND_BYTES_MAX: usize = 16 * 1024;

/// By when a command's body must have come.
const COMMAND_DEADLINE: Duration = Duration::from_secs(5);

impl Admin {
    pub(super) async fn purge(&self, session: &mut ServerSession) -> Reply {
        let read = tokio::time::timeout(COMMAND_DEADLINE, body(session)).await;
        match read {
            Ok(Ok(body)) => self.purge_by(&body).await.after_body(),
            Ok(Err(reply)) => reply,
            Err(_) => Reply::text(StatusCode::REQUEST_TIMEOUT, "body did not come in time"),
        }
    }

    async fn purge_by(&self, body: &[u8]) -> Reply {
        let command = match Command::parse(body) {
            Ok(command) => command,
            Err(error) => return Reply::text(StatusCode::BAD_REQUEST, error),
        };
        let orders = match target::orders(&self.parts.sources, &command) {
            Ok(orders) => orders,
            Err(error) => return Reply::text(StatusCode::BAD_REQUEST, error),
        };
        let shields = match self.shields.purge(&command).await {
            Ok(shields) => shields,
            Err(failed) => {
                METRICS.purges.of(PurgeResult::Shield).inc();
                tracing::error!(%command, reason = failed.reason, "not purged: a shield did not");
                let answer = Answer {
                    error: Some(failed.to_string()),
                    receipt: None,
                    shields: failed.shields,
                };
                return Reply::json(&answer).status_of(StatusCode::BAD_GATEWAY);
            }
        };
        let (error, receipt) = match self.parts.purges.purge(&orders).await {
            Ok(receipt) => (None, receipt),
            Err(error) => {
                let text = error.to_string();
                let PurgeError::Unreachable { receipt, .. } = error;
                (Some(text), *receipt)
            }
        };
        let answer = Answer {
            error,
            receipt: Some(receipt),
            shields,
        };
        Reply::json(&answer).status_of(status(&answer))
    }
}

fn status(answer: &Answer) -> StatusCode {
    if answer.error.is_some() {
        StatusCode::SERVICE_UNAVAILABLE
    } else if answer.is_confirmed() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    }
}

async fn body(session: &mut ServerSession) -> Result<Vec<u8>, Reply> {
    let mut body = Vec::new();
    loop {
        match session.read_request_body().await {
            Ok(Some(piece)) if body.len() + piece.len() > COMMAND_BYTES_MAX => {
                return Err(Reply::text(StatusCode::PAYLOAD_TOO_LARGE, "body too long"));
            }
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body),
            Err(_) => return Err(Reply::text(StatusCode::BAD_REQUEST, "body broke off")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;
    use crate::admin::Parts;
    use crate::cache::ask::Source;
    use crate::cache::engine::Engine;
    use crate::config::{Config, Redis};
    use crate::key::Key;
    use crate::life::Life;
    use crate::origin::build;
    use crate::purge::log::Purges;
    use crate::purge::log::heartbeat::NodeInfo;
    use crate::purge::shields::Shields;
    use crate::purge::stand_in::StandIn;
    use crate::purge::{Stamp, Subject, Verdict};
    use crate::redis::scratch::{Server, eventually, run};
    use crate::session::Sessions;

    const CONFIG: &str = "[[site]]\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:1\"\n";

    /// The admin listener of a node, on a Redis that may be missing.
    fn admin(purges: Arc<Purges>, shields: &[&str]) -> Admin {
        let mut config = Config::parse(CONFIG, std::path::Path::new("/")).unwrap();
        config.purge.shields = shields.iter().map(ToString::to_string).collect();
        let source = |site: &Arc<crate::config::Site>| {
            let (site, origin) = (Arc::clone(site), build::build(site).unwrap());
            Arc::new(Source { site, origin })
        };
        let parts = Parts {
            sources: config.sites.iter().map(source).collect(),
            redis: None,
            engine: Engine::new(64 << 20, None, Arc::clone(&purges)),
            purges,
            sessions: Sessions::new(&config, None),
            life: Life::new(),
        };
        Admin {
            parts,
            token: None,
            shields: Shields::new(&config.purge),
        }
    }

    fn purges(redis: Option<Arc<crate::redis::Redis>>, node: &str) -> Arc<Purges> {
        let config = Config::parse(CONFIG, std::path::Path::new("/")).unwrap();
        let info = NodeInfo {
            node: node.to_owned(),
            version: String::new(),
            addresses: Vec::new(),
        };
        Purges::new(redis, &config.purge, info)
    }

    async fn asked(admin: &Admin, body: &str) -> (u16, String) {
        let reply = admin.purge_by(body.as_bytes()).await;
        let status = reply.status().as_u16();
        (status, String::from_utf8(reply.into_body()).unwrap())
    }

    fn is_purged(purges: &Purges, stamp: Stamp) -> bool {
        let key = Key::new("default", "/a", None);
        purges.verdict(Subject::untagged(&key, &stamp)) == Verdict::Purged
    }

    const URL: &str = r#"{"url": "http://h/a"}"#;
    const DONE: &str = r#"{"position": "5-1", "confirmed": [{"node": "s", "position": "5-1"}],
        "unconfirmed": [], "local_only": false, "replicas": 0, "shields": []}"#;
    const LATE: &str = r#"{"position": "5-1", "confirmed": [], "unconfirmed": ["s"],
        "local_only": false, "replicas": 0, "shields": []}"#;

    #[tokio::test]
    async fn a_node_alone_purges_and_says_so() {
        let purges = purges(None, "a");
        let admin = admin(Arc::clone(&purges), &[]);
        let stamp = purges.stamp();
        let (status, body) = asked(&admin, URL).await;
        assert_eq!(status, 200);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["local_only"], true);
        assert_eq!(body["confirmed"][0]["node"], "a");
        assert!(is_purged(&purges, stamp));
    }

    #[tokio::test]
    async fn a_wrong_command_purges_nothing() {
        let purges = purges(None, "a");
        let shield = StandIn::start(&[]).await;
        let admin = admin(Arc::clone(&purges), &[&shield.url]);
        let stamp = purges.stamp();
        for (body, said) in [
            (r#"{"site": "x"}"#, "names of sites: default"),
            (r#"{"usl": "http://h/a"}"#, "unknown key"),
            (r#"{"url": "a"}"#, "absolute URL"),
        ] {
            let (status, text) = asked(&admin, body).await;
            assert!(status == 400 && text.contains(said), "{status} {text}");
        }
        assert_eq!(purges.stamp(), stamp);
        assert_eq!(shield.requests(), [""; 0]);
    }

    #[tokio::test]
    async fn a_shield_is_purged_first_and_its_receipt_is_in_the_answer() {
        for (of_shield, answer, status) in [("200 OK", DONE, 200), ("202 Accepted", LATE, 202)] {
            let purges = purges(None, "a");
            let shield = StandIn::start(&[(of_shield, answer)]).await;
            let admin = admin(Arc::clone(&purges), &[&shield.url]);
            let stamp = purges.stamp();
            let (got, body) = asked(&admin, URL).await;
            assert_eq!(got, status, "{body}");
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["shields"][0]["answer"]["position"], "5-1", "{body}");
            assert!(is_purged(&purges, stamp));
        }
    }

    #[tokio::test]
    async fn nothing_is_purged_here_when_a_shield_is_down() {
        let purges = purges(None, "a");
        let admin = admin(Arc::clone(&purges), &["http://127.0.0.1:1"]);
        let stamp = purges.stamp();
        let (status, body) = asked(&admin, URL).await;
        assert_eq!(status, 502);
        assert!(
            body.contains("nothing purged here") && body.contains("127.0.0.1:1"),
            "{body}"
        );
        assert!(!is_purged(&purges, stamp));
        assert_eq!(purges.stamp(), stamp);
    }

    #[tokio::test]
    async fn a_frozen_node_makes_it_202_and_a_dead_redis_503() {
        let server = Server::start();
        let config: Redis = server.config();
        let (one, other) = (run(&config).await, run(&config).await);
        let (a, b) = (
            purges(Some(Arc::clone(&one.redis)), "a"),
            purges(Some(Arc::clone(&other.redis)), "b"),
        );
        let spawn = |purges: &Arc<Purges>| {
            let purges = Arc::clone(purges);
            tokio::spawn(async move { purges.run().await })
        };
        let (running, frozen) = (spawn(&a), spawn(&b));
        eventually("both heard", || async {
            let nodes = a.nodes().await;
            nodes.iter().filter(|node| node.age_ms.is_some()).count() == 2
        })
        .await;
        let admin = admin(Arc::clone(&a), &[]);
        let (status, body) = asked(&admin, URL).await;
        assert_eq!(status, 200, "{body}");
        frozen.abort();
        let (status, body) = asked(&admin, URL).await;
        let json: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &json["unconfirmed"][0]),
            (202, &"b".into()),
            "{body}"
        );
        server.signal("-STOP");
        let stamp = a.stamp();
        let (status, body) = asked(&admin, URL).await;
        server.signal("-CONT");
        let json: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 503, "{body}");
        assert!(json["error"].as_str().unwrap().contains("redis"), "{body}");
        assert_eq!(json["unconfirmed"][0], "*");
        assert!(is_purged(&a, stamp));
        running.abort();
    }
}
