//! The answer to `POST /v1/purge`: what a node writes, and what shields' edges and `weir purge`
//! read. Fields of newer releases are passed over.

use serde::{Deserialize, Serialize};

use crate::purge::log::Receipt;

/// What became of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Why it was not done everywhere, where a part of the way was broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who has purged; `None` where this node was left alone, since a shield did not purge.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
    /// The shields, which are purged before this node.
    #[serde(default)]
    pub shields: Vec<ShieldAnswer>,
}

/// What became of a command at a shield.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShieldAnswer {
    /// Its admin listener, as the configuration has it.
    pub shield: String,
    /// Why it did not purge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

impl Answer {
    /// Whether every node, shields' included, has said that it purged.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        let is_confirmed = |receipt: &Receipt| receipt.unconfirmed.is_empty();
        self.error.is_none()
            && self.receipt.as_ref().is_some_and(is_confirmed)
            && self.shields.iter().all(ShieldAnswer::is_confirmed)
    }
}

impl ShieldAnswer {
    fn is_confirmed(&self) -> bool {
        let answer = self.answer.as_ref();
        self.error.is_none() && answer.is_some_and(Answer::is_confirmed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purge::Position;
    use crate::purge::log::Confirmed;

    fn done(unconfirmed: &[&str]) -> Answer {
        let position = Position {
            millis: 5,
            sequence: 1,
        };
        let node = "a".to_owned();
        Answer {
            receipt: Some(Receipt {
                position,
                confirmed: vec![Confirmed { node, position }],
                unconfirmed: unconfirmed.iter().map(ToString::to_string).collect(),
                local_only: false,
                replicas: 0,
            }),
            ..Answer::default()
        }
    }

    fn behind(shield: ShieldAnswer) -> Answer {
        Answer {
            shields: vec![shield],
            ..done(&[])
        }
    }

    fn of_shield(answer: Answer) -> ShieldAnswer {
        ShieldAnswer {
            shield: "http://s".to_owned(),
            error: None,
            answer: Some(answer),
        }
    }

    #[test]
    fn an_answer_is_confirmed_when_nobody_is_missing() {
        let error = || Some("why".to_owned());
        let failed = Answer {
            error: error(),
            ..done(&[])
        };
        let silent = ShieldAnswer {
            error: error(),
            ..ShieldAnswer::default()
        };
        for (answer, expected) in [
            (done(&[]), true),
            (done(&["b"]), false),
            (failed, false),
            (Answer::default(), false),
            (behind(of_shield(done(&[]))), true),
            (behind(of_shield(done(&["b"]))), false),
            (behind(silent), false),
        ] {
            assert_eq!(answer.is_confirmed(), expected, "{answer:?}");
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
        }
    }

    #[test]
    fn a_receipt_lies_in_the_answer_itself() {
        let json = serde_json::to_value(done(&["b"])).unwrap();
        let expected = serde_json::json!({
            "position": "5-1",
            "confirmed": [{"node": "a", "position": "5-1"}],
            "unconfirmed": ["b"],
            "local_only": false,
            "replicas": 0,
            "shields": [],
        });
        assert_eq!(json, expected);
    }
}
