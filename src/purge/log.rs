//! stub

use std::sync::Arc;

use serde::Serialize;

use crate::cache::key::Key;
use crate::cache::redis::Redis;

/// stub
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// stub
    pub name: String,
    /// stub
    pub version: String,
    /// stub
    pub admin: String,
}

/// stub
pub enum Scope {
    /// stub
    Url(Key),
}

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
    pub fn nodes(&self) -> Vec<Receipt> {
        Vec::new()
    }
}
