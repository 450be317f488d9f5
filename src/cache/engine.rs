//! stub

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::asset;
use crate::cache::key::Key;
use crate::cache::object::Object;
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
    pub path: String,
    /// stub
    pub query: Option<String>,
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
    pub async fn open(self: &Arc<Self>, _ask: Ask) -> Opened {
        Opened::Failed(Failure::Overloaded)
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
