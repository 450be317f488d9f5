//! stub

pub mod heartbeat;

use std::sync::Arc;

use serde::Serialize;

use crate::cache::redis::Redis;
use crate::purge::log::heartbeat::NodeInfo;
use crate::purge::table::Scope;

/// stub
#[derive(Debug, Serialize)]
pub struct Receipt {}

/// stub
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct Error;

/// stub
pub struct Purges;

impl Purges {
    /// stub
    pub fn new(
        _redis: Option<Arc<Redis>>,
        _config: &crate::config::Purge,
        _node: NodeInfo,
    ) -> Arc<Self> {
        Arc::new(Self)
    }
    /// stub
    pub async fn run(self: &Arc<Self>) {
        std::future::pending().await
    }
    /// stub
    ///
    /// # Errors
    /// stub
    pub async fn purge(&self, _scope: Scope) -> Result<Receipt, Error> {
        Err(Error)
    }
    /// stub
    pub async fn nodes(&self) -> Vec<Receipt> {
        Vec::new()
    }
    /// stub
    pub async fn leave(&self) {}
}
