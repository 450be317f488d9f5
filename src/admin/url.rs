//! Commands about one URL: purging it, and explaining it.

use std::time::Duration;

use http::StatusCode;
use pingora::protocols::http::ServerSession;
use serde::Deserialize;

use crate::admin::reply::Reply;
use crate::admin::{Admin, target};
use crate::purge::order::Scope;

/// Longest body of a command: a URL and its frame.
const COMMAND_BYTES_MAX: usize = 16 * 1024;

/// By when a command's body must have come.
const COMMAND_DEADLINE: Duration = Duration::from_secs(5);

/// The body of `POST /v1/purge`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    url: String,
}

impl Admin {
    pub(super) async fn explain(&self, query: &str) -> Reply {
        let Some(url) = target::url_in(query) else {
            return Reply::text(StatusCode::BAD_REQUEST, "expected ?url=http://host/path");
        };
        match target::route(&self.parts.sources, &url) {
            Ok(route) => match target::ask(&self.parts.sources, route) {
                Some(ask) => Reply::json(&self.parts.engine.explain(&ask).await),
                None => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, "site without origin"),
            },
            Err(error) => Reply::text(StatusCode::BAD_REQUEST, error),
        }
    }

    pub(super) async fn purge(&self, session: &mut ServerSession) -> Reply {
        let read = tokio::time::timeout(COMMAND_DEADLINE, body(session)).await;
        match read {
            Ok(Ok(body)) => self.purge_by(&body).await.after_body(),
            Ok(Err(reply)) => reply,
            Err(_) => Reply::text(StatusCode::REQUEST_TIMEOUT, "body did not come in time"),
        }
    }

    async fn purge_by(&self, body: &[u8]) -> Reply {
        let command: Command = match serde_json::from_slice(body) {
            Ok(command) => command,
            Err(error) => {
                let text = format!("expected {{\"url\": \"http://host/path\"}}: {error}");
                return Reply::text(StatusCode::BAD_REQUEST, text);
            }
        };
        let routes = match target::routes(&self.parts.sources, &command.url) {
            Ok(routes) => routes,
            Err(error) => return Reply::text(StatusCode::BAD_REQUEST, error),
        };
        let mut receipt = None;
        for route in routes {
            tracing::info!(key = route.key.as_str(), "purge");
            match self
                .parts
                .purges
                .purge(&[Scope::Url(route.key).hard()])
                .await
            {
                // A later place in the log covers those before it.
                Ok(later) => receipt = Some(later),
                Err(error) => {
                    tracing::warn!(%error, "purge not logged");
                    return Reply::text(StatusCode::SERVICE_UNAVAILABLE, error);
                }
            }
        }
        Reply::json(&receipt)
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
