//! The admin listener: metrics, health, purges, what the cache knows of a URL, who plays.
//!
//! It has its own address, loopback by default. With a token configured everything but the two
//! health checks asks for it. Answers are text or JSON, whole and short.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use http::{Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

use crate::cache::ask::Source;
use crate::cache::engine::Engine;
use crate::config::Config;
use crate::life::Life;
use crate::limits;
use crate::metrics::METRICS;
use crate::proxy::connection;
use crate::proxy::watch::Protocol;
use crate::purge::log::Purges;
use crate::purge::shields::Shields;
use crate::redis::Redis;
use crate::session::Sessions;

pub mod explain;
pub mod health;
pub mod process;
pub mod purge;
pub mod reply;
pub mod sessions;
pub mod target;
pub mod token;

use reply::Reply;
use token::Token;

/// The application of the admin listener.
pub struct Admin {
    parts: Parts,
    token: Option<Token>,
    shields: Shields,
}

/// What the admin listener shows and commands.
pub struct Parts {
    /// Every site with its origin.
    pub sources: Vec<Arc<Source>>,
    /// The shared tier, where there is one.
    pub redis: Option<Arc<Redis>>,
    /// The purge log.
    pub purges: Arc<Purges>,
    /// The engine.
    pub engine: Arc<Engine>,
    /// The node's life.
    pub life: Arc<Life>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
}

impl Admin {
    /// Puts the parts together, and adds the figures of the process to the metrics.
    #[must_use]
    pub fn new(config: &Config, parts: Parts) -> Self {
        if let Err(error) = METRICS
            .registry()
            .register(Box::new(process::Process::new()))
        {
            tracing::warn!(%error, "process metrics are missing");
        }
        Self {
            parts,
            token: config.server.admin_token.as_ref().map(Token::new),
            shields: Shields::new(&config.purge),
        }
    }

    async fn answer(&self, session: &mut ServerSession) -> Reply {
        let method = session.req_header().method.clone();
        let target = session.req_header().uri.clone();
        let path = target.path();
        let Some(page) = Page::of(path) else {
            return Reply::text(StatusCode::NOT_FOUND, "no such page; GET / lists them");
        };
        if session.req_header().headers.contains_key(ORIGIN) {
            // A page in an operator's browser reaches loopback too; no tool sends Origin.
            return Reply::text(StatusCode::FORBIDDEN, "not for web pages");
        }
        if page.is_guarded() && !self.admits(session) {
            return Reply::unauthorized();
        }
        if !page.takes(&method) {
            return Reply::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
                .with(ALLOW, page.methods());
        }
        match page {
            Page::Index => Reply::text(StatusCode::OK, INDEX),
            Page::Healthz => Reply::text(StatusCode::OK, "ok"),
            Page::Readyz => health::reply(&self.health()),
            Page::Metrics => self.metrics(),
            Page::Nodes => Reply::json(&self.parts.purges.nodes().await),
            Page::Sessions => self.sessions(target.query().unwrap_or("")),
            Page::Explain => self.explain(target.query().unwrap_or("")).await,
            Page::Purge => self.purge(session).await,
            Page::Drain => self.drain(&method),
        }
    }

    fn admits(&self, session: &ServerSession) -> bool {
        let given = session.req_header().headers.get(AUTHORIZATION);
        let Some(token) = &self.token else {
            return true;
        };
        given.is_some_and(|given| token.admits(given.as_bytes()))
    }

    fn metrics(&self) -> Reply {
        let health = self.health();
        METRICS.ready.set(i64::from(health.is_ready()));
        self.parts.engine.memory().report();
        Reply::exposition(METRICS.exposition())
    }

    fn drain(&self, method: &Method) -> Reply {
        if method == Method::DELETE {
            self.parts.life.return_to_service();
            tracing::info!("ready again by request");
        } else {
            self.parts.life.drain();
            tracing::info!("not ready by request; serving goes on");
        }
        health::reply_state(&self.health())
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let _active = connection::begin(session.digest(), Protocol::Http11);
        bound(session);
        let head = session.req_header().method == Method::HEAD;
        let mut reply = self.answer(session).await;
        if !session.is_body_empty() && !reply.has_read_body() {
            session.set_keepalive(None);
        }
        let mut response = Response::new(Vec::new());
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, reply.content_type());
        fields.insert(CONTENT_LENGTH, reply.length());
        fields.insert(CACHE_CONTROL, reply::NO_STORE);
        fields.extend(reply.take_fields());
        *response.status_mut() = reply.status();
        if !head {
            *response.body_mut() = reply.into_body();
        }
        response
    }
}

/// Bounds what Pingora leaves open: idle connections, and clients that do not take their answer.
fn bound(session: &mut ServerSession) {
    if session.get_keepalive().is_some() {
        session.set_keepalive(Some(limits::ADMIN_KEEPALIVE.as_secs()));
    }
    session.set_read_timeout(Some(limits::ADMIN_KEEPALIVE));
    session.set_write_timeout(Some(limits::ADMIN_KEEPALIVE));
    session.set_total_drain_timeout(Some(limits::ADMIN_KEEPALIVE));
}

/// What there is.
const INDEX: &str = "\
weir admin

GET    /metrics              Prometheus metrics
GET    /healthz              200 while the process runs
GET    /readyz               200 while requests are welcome, else 503 and why not
GET    /v1/nodes             the nodes that share this Redis
GET    /v1/sessions?limit=N  the sessions that play, the one heard of last first
GET    /v1/explain?url=URL   what the cache knows of a URL, and what a request would meet
POST   /v1/purge             purge what a JSON object names, one of
                             {\"url\": \"http://host/path\"}
                             {\"prefix\": \"http://host/directory/\"}
                             {\"tag\": \"name\", \"site\": \"name\"}, or \"tags\": [..]
                             {\"site\": \"name\"}
                             and with \"soft\": true make it stale and no more;
                             200 every node confirmed, 202 some node did not yet,
                             400 not understood, 502 a shield did not purge and
                             this node did not, 503 this node did and Redis failed
POST   /v1/drain             stop being ready, go on serving
DELETE /v1/drain             be ready again";

/// A page of the admin listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Index,
    Healthz,
    Readyz,
    Metrics,
    Nodes,
    Sessions,
    Explain,
    Purge,
    Drain,
}

impl Page {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Index,
            "/healthz" => Self::Healthz,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            "/v1/nodes" => Self::Nodes,
            "/v1/sessions" => Self::Sessions,
            "/v1/explain" => Self::Explain,
            "/v1/purge" => Self::Purge,
            "/v1/drain" => Self::Drain,
            _ => return None,
        })
    }

    /// Whether a token is asked for, where there is one.
    fn is_guarded(self) -> bool {
        !matches!(self, Self::Healthz | Self::Readyz)
    }

    fn takes(self, method: &Method) -> bool {
        let mut methods = self.methods().split(", ");
        methods.any(|taken| taken == method.as_str())
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Purge => "POST",
            Self::Drain => "POST, DELETE",
            Self::Index
            | Self::Healthz
            | Self::Readyz
            | Self::Metrics
            | Self::Nodes
            | Self::Sessions
            | Self::Explain => "GET, HEAD",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_of_the_index_exists_and_takes_its_method() {
        let lines = INDEX.lines().skip(2).filter(|line| !line.starts_with(' '));
        for line in lines {
            let mut words = line.split_whitespace();
            let method: Method = words.next().unwrap().parse().unwrap();
            let path = words.next().unwrap().split('?').next().unwrap();
            let page = Page::of(path).unwrap();
            assert!(page.takes(&method), "{line}");
            assert!(!page.takes(&Method::PUT), "{line}");
        }
    }

    #[test]
    fn only_health_is_open_without_a_token() {
        let open = ["/healthz", "/readyz"];
        for path in [
            "/",
            "/metrics",
            "/v1/nodes",
            "/v1/sessions",
            "/v1/explain",
            "/v1/purge",
            "/v1/drain",
        ] {
            assert!(Page::of(path).unwrap().is_guarded(), "{path}");
        }
        assert!(
            open.iter()
                .all(|path| !Page::of(path).unwrap().is_guarded())
        );
    }
}
