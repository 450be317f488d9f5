//! stub

use std::sync::Arc;

/// stub
pub struct Redis;

/// stub
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct Error;

/// stub
#[derive(Debug, Clone, serde::Serialize)]
pub struct RedisState {
    /// stub
    pub up: bool,
}

impl Redis {
    /// stub
    ///
    /// # Errors
    /// stub
    pub fn new(_config: &crate::config::Redis) -> Result<Arc<Self>, Error> {
        Err(Error)
    }
    /// stub
    pub async fn start(self: &Arc<Self>) {}
    /// stub
    pub fn state(&self) -> RedisState {
        RedisState { up: true }
    }
}
