//! Counts each origin request once, by how it ended.

use async_trait::async_trait;
use bytes::Bytes;

use crate::metrics::{METRICS, OriginResult};
use crate::origin::{Body, Delimited, Error};

/// One request to an origin; counted when it is dropped.
pub struct Tally {
    result: OriginResult,
}

impl Tally {
    /// Starts with what is true of a body that its reader leaves half-way: it was answered.
    #[must_use]
    pub fn new() -> Self {
        Self {
            result: OriginResult::Answered,
        }
    }

    /// Notes that the request failed.
    pub fn fail(&mut self, error: &Error) {
        self.result = result_of(error);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        METRICS.origin_requests.of(self.result).inc();
    }
}

/// How metrics spell an error.
#[must_use]
pub fn result_of(error: &Error) -> OriginResult {
    match error {
        Error::Connect { .. } => OriginResult::Connect,
        Error::FirstByte { .. } => OriginResult::FirstByte,
        Error::Stall { .. } => OriginResult::Stall,
        Error::Truncated { .. } => OriginResult::Truncated,
        Error::Changed => OriginResult::Changed,
        Error::Refused { .. } => OriginResult::Refused,
        Error::Credentials(_) => OriginResult::Credentials,
        Error::Down => OriginResult::Down,
        Error::Busy => OriginResult::Busy,
    }
}

/// A body whose bytes and end are counted.
pub struct Counted {
    inner: Box<dyn Body>,
    tally: Tally,
}

impl Counted {
    /// Counts `inner` as the body of the request of `tally`.
    #[must_use]
    pub fn new(inner: Box<dyn Body>, tally: Tally) -> Self {
        Self { inner, tally }
    }
}

#[async_trait]
impl Body for Counted {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.inner.piece().await;
        match &piece {
            Ok(Some(bytes)) => METRICS
                .origin_bytes
                .inc_by(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Ok(None) => {}
            Err(error) => self.tally.fail(error),
        }
        piece
    }

    fn delimited(&self) -> Delimited {
        self.inner.delimited()
    }
}

/// The body of an answer without one.
pub struct Empty;

#[async_trait]
impl Body for Empty {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(None)
    }
}
