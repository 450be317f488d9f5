//! stub

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::asset;
use crate::cache::key::Key;
use crate::cache::object::{Object, Target};
use crate::cache::redis::Redis;
use crate::config::Site;
use crate::metrics;
use crate::origin;
use crate::origin::Origin;
use crate::purge::log::Purges;

/// stub
pub struct Source {
    /// stub
    pub site: Arc<Site>,
    /// stub
    pub origin: Arc<dyn Origin>,
}

/// stub
pub struct Ask {
    /// stub
    pub source: Arc<Source>,
    /// stub
    pub key: Key,
    /// stub
    pub target: Target,
    /// stub
    pub kind: asset::Kind,
    /// stub
    pub want: Option<origin::Wanted>,
    /// stub
    pub head_only: bool,
}

/// stub
pub enum Opened {
    /// stub
    Object {
        /// stub
        object: Arc<Object>,
        /// stub
        how: How,
    },
    /// stub
    Stream {
        /// stub
        status: StatusCode,
        /// stub
        headers: HeaderMap,
        /// stub
        body: Box<dyn origin::Body>,
        /// stub
        how: How,
    },
    /// stub
    Failed(Failure),
}

/// stub
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// stub
    pub outcome: metrics::Outcome,
    /// stub
    pub tier: metrics::Tier,
    /// stub
    pub collapsed: bool,
    /// stub
    pub stored: bool,
    /// stub
    pub fwd_status: Option<u16>,
}

/// stub
#[derive(Debug, Clone)]
pub enum Failure {
    /// stub
    Origin(origin::Error),
    /// stub
    Overloaded,
    /// stub
    NoRoom,
}

/// stub
#[derive(Debug, Serialize)]
pub struct Explanation {}

/// stub
pub struct Engine;

impl Engine {
    /// stub
    pub fn new(_memory: usize, _redis: Option<Arc<Redis>>, _purges: Arc<Purges>) -> Arc<Self> {
        Arc::new(Self)
    }
    /// stub
    pub async fn open(self: &Arc<Self>, ask: Ask) -> Opened {
        let how = How { outcome: metrics::Outcome::Hit, tier: metrics::Tier::Memory, collapsed: false, stored: false, fwd_status: None };
        if let Some(rest) = ask.target.path.strip_prefix("/trickle") {
            let mut headers = HeaderMap::new();
            if rest == "/length" { headers.insert("content-length", http::HeaderValue::from(5)); }
            if rest == "/short" { headers.insert("content-length", http::HeaderValue::from(50)); }
            let breaks = rest == "/break" || rest == "/short";
            let how = How { outcome: metrics::Outcome::Pass, tier: metrics::Tier::Origin, collapsed: false, stored: false, fwd_status: Some(200) };
            return Opened::Stream { status: StatusCode::OK, headers, body: Box::new(Trickle(5, breaks)), how };
        }
        if ask.target.path == "/none" { return Opened::Failed(Failure::Origin(origin::Error::Down)); }
        let mut headers = HeaderMap::new();
        headers.insert("etag", http::HeaderValue::from_static("\"v1\""));
        let head = crate::cache::head::Head { key: ask.key, status: StatusCode::OK, headers, length: Some(1_000_000),
            generation: crate::cache::head::Generation(1), fetched: crate::clock::now(), initial_age: Duration::from_secs(3),
            freshness: crate::http::freshness::Freshness { lifetime: Duration::from_secs(60), ..Default::default() }, stamp: Default::default() };
        Opened::Object { object: Arc::new(Object::toy(head)), how }
    }
    /// stub
    pub async fn explain(&self, _ask: &Ask) -> Explanation {
        Explanation {}
    }
    /// stub
    pub fn forget(&self, _key: &Key) {}
    /// stub
    pub async fn run(self: &Arc<Self>) {
        std::future::pending().await
    }
    /// stub
    pub async fn drain(&self, _deadline: Duration) {}
}

struct Trickle(u32, bool);
#[async_trait::async_trait]
impl origin::Body for Trickle {
    async fn piece(&mut self) -> Result<Option<bytes::Bytes>, origin::Error> {
        if self.0 == 0 { return Ok(None); }
        if self.1 && self.0 == 2 { return Err(origin::Error::Changed); }
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.0 -= 1;
        Ok(Some(bytes::Bytes::from_static(b"x")))
    }
}
