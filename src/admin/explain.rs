//! What the cache knows of a URL.

use http::StatusCode;

use crate::admin::reply::Reply;
use crate::admin::{Admin, target};

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
}
