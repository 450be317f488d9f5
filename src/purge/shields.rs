//! The nodes between this `PoP` and the store, which are purged before it: what an edge fetches
//! after its purge must not come out of a shield's cache as it was before.

use futures_util::future::join_all;
use http::StatusCode;

use crate::config;
use crate::limits;
use crate::purge::answer::ShieldAnswer;
use crate::purge::command::Command;
use crate::purge::remote::Remote;

/// The shields of this node.
pub struct Shields {
    remotes: Vec<Remote>,
}

/// A shield did not purge. Others may have, which does no harm.
#[derive(Debug, thiserror::Error)]
#[error("nothing purged here, since a shield did not: {reason}")]
pub struct Failed {
    /// Which and why.
    pub reason: String,
    /// What became of the command at each.
    pub shields: Vec<ShieldAnswer>,
}

impl Shields {
    /// The shields of a configuration. Does no IO.
    #[must_use]
    pub fn new(config: &config::Purge) -> Self {
        let token = config.shield_token.as_ref();
        let urls = config.shields.iter();
        Self {
            remotes: urls
                .map(|url| Remote::new(url, token, limits::SHIELD_WAIT))
                .collect(),
        }
    }

    /// Has all shields purge at the same time.
    ///
    /// # Errors
    /// [`Failed`] where one of them did not.
    pub async fn purge(&self, command: &Command) -> Result<Vec<ShieldAnswer>, Failed> {
        let asked = self.remotes.iter().map(|remote| ask(remote, command));
        let shields = join_all(asked).await;
        let faults = shields.iter().filter_map(|shield| {
            let error = shield.error.as_ref()?;
            Some(format!("{}: {error}", shield.shield))
        });
        let faults: Vec<_> = faults.collect();
        match faults.is_empty() {
            true => Ok(shields),
            false => Err(Failed {
                reason: faults.join("; "),
                shields,
            }),
        }
    }
}

async fn ask(remote: &Remote, command: &Command) -> ShieldAnswer {
    let shield = remote.url().to_owned();
    match remote.purge(command).await {
        Ok((StatusCode::OK | StatusCode::ACCEPTED, answer)) => ShieldAnswer {
            shield,
            error: None,
            answer: Some(answer),
        },
        Ok((status, answer)) => {
            let said = answer.error.as_deref().unwrap_or("no reason given");
            ShieldAnswer {
                shield,
                error: Some(format!("{status}: {said}")),
                answer: Some(answer),
            }
        }
        Err(error) => ShieldAnswer {
            shield,
            error: Some(error.to_string()),
            answer: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{CutOff, Secret};
    use crate::purge::command::Target;
    use crate::purge::order::Mode;
    use crate::purge::stand_in::StandIn;

    const DONE: &str = r#"{"position": "5-1", "confirmed": [{"node": "s", "position": "5-1"}],
        "unconfirmed": [], "local_only": false, "replicas": 0, "shields": []}"#;

    fn shields(urls: &[&str]) -> Shields {
        Shields::new(&config::Purge {
            lease: Duration::from_secs(30),
            cut_off: CutOff::Serve,
            shields: urls.iter().map(ToString::to_string).collect(),
            shield_token: Some(Secret("a shield's token".to_owned())),
        })
    }

    fn command() -> Command {
        Command {
            target: Target::Url("http://edge/a".to_owned()),
            mode: Mode::Soft,
        }
    }

    #[tokio::test]
    async fn every_shield_is_given_the_order_as_it_came_with_the_token() {
        let one = StandIn::start(&[("200 OK", DONE)]).await;
        let other = StandIn::start(&[("202 Accepted", DONE)]).await;
        let shields = shields(&[&one.url, &other.url]);
        let answers = shields.purge(&command()).await.unwrap();
        let urls: Vec<_> = answers.iter().map(|answer| &answer.shield).collect();
        assert_eq!(urls, [&one.url, &other.url]);
        for answer in &answers {
            let receipt = answer.answer.as_ref().unwrap().receipt.as_ref().unwrap();
            assert_eq!(receipt.confirmed.len(), 1);
        }
        for shield in [one, other] {
            let [request] = &shield.requests()[..] else {
                panic!("{:?}", shield.requests());
            };
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            let head = head.to_ascii_lowercase();
            assert!(head.starts_with("post /v1/purge http/1.1\r\n"), "{head}");
            assert!(
                head.contains("authorization: bearer a shield's token"),
                "{head}"
            );
            assert_eq!(Command::parse(body.as_bytes()), Ok(command()));
        }
    }

    #[tokio::test]
    async fn a_shield_that_does_not_purge_is_named_with_its_reason() {
        let half = r#"{"error": "redis is gone", "shields": []}"#;
        for (status, body, said) in [
            (
                "401 Unauthorized",
                "token needed\n",
                "401 Unauthorized: token needed",
            ),
            ("400 Bad Request", "unknown-host", "unknown-host"),
            ("503 Service Unavailable", half, "redis is gone"),
            ("502 Bad Gateway", "a proxy's page", "none of a node"),
            ("200 OK", "{", "none of a node"),
            ("302 Found", "", "302 Found"),
        ] {
            let good = StandIn::start(&[("200 OK", DONE)]).await;
            let bad = StandIn::start(&[(status, body)]).await;
            let shields = shields(&[&good.url, &bad.url]);
            let failed = shields.purge(&command()).await.unwrap_err();
            assert!(failed.reason.contains(said), "{}", failed.reason);
            assert!(failed.reason.starts_with(&bad.url), "{}", failed.reason);
            assert!(!failed.reason.contains(&good.url), "{}", failed.reason);
            assert_eq!(failed.shields.len(), 2);
        }
    }

    #[tokio::test]
    async fn a_shield_that_is_down_or_silent_fails_the_order_in_time() {
        let started = tokio::time::Instant::now();
        let failed = shields(&["http://127.0.0.1:1"]).purge(&command()).await;
        assert!(failed.unwrap_err().reason.contains("no connection"));
        assert!(started.elapsed() < limits::SHIELD_WAIT);
        let silent = StandIn::start(&[]).await;
        let remote = Remote::new(&silent.url, None, Duration::from_millis(100));
        let answer = ask(&remote, &command()).await;
        assert!(
            answer.error.is_some() && answer.answer.is_none(),
            "{answer:?}"
        );
        assert_eq!(silent.requests().len(), 1);
    }

    #[tokio::test]
    async fn without_shields_there_is_nobody_to_wait_for() {
        assert_eq!(shields(&[]).purge(&command()).await.unwrap(), []);
    }
}
