//! stub

use std::sync::Arc;

use bytes::Bytes;

use crate::cache::engine::{Engine, Source};
use crate::cache::object::Object;

/// stub
pub struct Reader;

/// stub
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct Error;

impl Reader {
    /// stub
    pub fn new(_engine: Arc<Engine>, _source: Arc<Source>, _object: Arc<Object>) -> Self {
        Self
    }
    /// stub
    pub fn seek(&mut self, _first: u64, _end: Option<u64>) {}
    /// stub
    ///
    /// # Errors
    /// stub
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Err(Error)
    }
}
