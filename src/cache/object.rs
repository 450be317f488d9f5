//! stub

use std::sync::Arc;

use crate::cache::head::Head;

/// stub
#[derive(Debug, Clone)]
pub struct Target {
    /// stub
    pub path: String,
    /// stub
    pub query: Option<String>,
}

/// stub
pub struct Object {
    head: Arc<Head>,
}

impl Object {
    /// stub
    pub fn toy(head: Head) -> Self { Self { head: Arc::new(head) } }
    /// stub
    pub fn head(&self) -> Arc<Head> {
        Arc::clone(&self.head)
    }
    /// stub
    pub fn length(&self) -> Option<u64> {
        self.head.length
    }
    /// stub
    pub fn is_complete(&self) -> bool {
        true
    }
}
