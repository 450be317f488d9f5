//! stub

use std::sync::Arc;

use bytes::Bytes;

use crate::cache::engine::{Engine, Source};
use crate::cache::object::Object;

/// stub
pub struct Reader { at: u64, end: u64 }

/// stub
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct Error;

impl Reader {
    /// stub
    pub fn new(_engine: Arc<Engine>, _source: Arc<Source>, _object: Arc<Object>) -> Self {
        Self { at: 0, end: 1_000_000 }
    }
    /// stub
    pub fn seek(&mut self, first: u64, end: Option<u64>) { self.at = first; self.end = end.unwrap_or(1_000_000); }
    /// stub
    ///
    /// # Errors
    /// stub
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.at >= self.end { return Ok(None); }
        let n = (self.end - self.at).min(100_000);
        let b: Vec<u8> = (self.at..self.at + n).map(|i| b'a' + (i % 26) as u8).collect();
        self.at += n;
        Ok(Some(b.into()))
    }
}
