//! The admin listener of a node, as a client sees it that sends it a purge.
//!
//! Each command has a connection of its own: purges are rare, and a listener's places few.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use tokio::time::timeout;

use crate::config::{Deadlines, Secret};
use crate::origin::client::{self, Client, Options, Route};
use crate::origin::endpoint::Endpoint;
use crate::purge::answer::Answer;
use crate::purge::command::Command;

/// A node's admin listener.
pub struct Remote {
    client: Arc<Client>,
    url: String,
    token: Option<Secret>,
    within: Duration,
}

/// Why a node gave no receipt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its URL is none.
    #[error("expected an admin listener such as http://127.0.0.1:9180")]
    Url,
    /// The command or the token cannot be sent.
    #[error("the command cannot be sent: {0}")]
    Unsendable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer.
    #[error("{0}")]
    Unreachable(#[source] crate::origin::Error),
    /// It did not answer in time; it may have purged.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// It refused the command.
    #[error("{status}: {reason}")]
    Refused {
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        reason: String,
    },
    /// What answered is no node, or of a release that cannot be understood.
    #[error("{status} with an answer that is none of a node: {source}")]
    Unreadable {
        /// The status of its answer.
        status: StatusCode,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Longest answer: that of a shield with shields, of as many nodes as are listed.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// What of a refusal is told on.
const REASON_BYTES_MAX: usize = 1000;

impl Remote {
    /// A listener at `url` (`http://host:port`), which has `within` to answer. Does no IO.
    #[must_use]
    pub fn new(url: &str, token: Option<&Secret>, within: Duration) -> Self {
        let deadlines = Deadlines {
            connect: within,
            first_byte: within,
            stall: within,
            tries: 1,
        };
        let client = Client::new(Options {
            ca: None,
            http2: false,
            deadlines,
        });
        Self {
            client: Arc::new(client),
            url: url.to_owned(),
            token: token.cloned(),
            within,
        }
    }

    /// Where it listens, as it was given.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a command, and gives the status and the answer.
    ///
    /// The answer says what was done also where the status is 502 or 503.
    ///
    /// # Errors
    /// [`Error`] where there is no such answer. The node may have purged all the same.
    pub async fn purge(&self, command: &Command) -> Result<(StatusCode, Answer), Error> {
        let exchange = timeout(self.within, self.exchange(command));
        let (status, body) = exchange.await.map_err(|_| Error::Late(self.within))??;
        if !is_answered(status) {
            let start = body.get(..REASON_BYTES_MAX).unwrap_or(&body);
            let reason = String::from_utf8_lossy(start).trim().to_owned();
            return Err(Error::Refused { status, reason });
        }
        match serde_json::from_slice(&body) {
            Ok(answer) => Ok((status, answer)),
            Err(source) => Err(Error::Unreadable { status, source }),
        }
    }

    async fn exchange(&self, command: &Command) -> Result<(StatusCode, Vec<u8>), Error> {
        let uri = self.url.parse().map_err(|_| Error::Url)?;
        let endpoint = Endpoint::of(&uri).ok_or(Error::Url)?;
        let request = self.request(&endpoint, command)?;
        let route = Route {
            endpoint: &endpoint,
            sni: &endpoint.host,
            connection: client::Connection::Fresh,
        };
        let sent = self.client.send(route, request).await;
        let answer = sent.map_err(|failure| Error::Unreachable(failure.error))?;
        Ok((answer.status, answer.body.collect(ANSWER_BYTES_MAX).await))
    }

    fn request(&self, endpoint: &Endpoint, command: &Command) -> Result<Request<Bytes>, Error> {
        let body = serde_json::to_vec(command).map_err(|e| Error::Unsendable(Box::new(e)))?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/v1/purge")
            .header(HOST, endpoint.authority())
            .header(CONNECTION, "close")
            .header(CONTENT_TYPE, "application/json");
        if let Some(Secret(token)) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|error| Error::Unsendable(Box::new(error)))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Bytes::from(body));
        request.map_err(|error| Error::Unsendable(Box::new(error)))
    }
}

/// Whether an answer of this status says what was done.
fn is_answered(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::OK
            | StatusCode::ACCEPTED
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
    )
}
