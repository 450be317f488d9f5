//! stub

use std::sync::Arc;

/// stub
pub struct Redis;

/// stub
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct Error;

/// stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// stub
    Up,
    /// stub
    Open,
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
    pub fn state(&self) -> State {
        State::Up
    }
}
