//! What one kind of remote store does differently from the others.

use async_trait::async_trait;
use http::request::Parts;

use crate::origin::endpoint::Endpoint;
use crate::origin::request::Place;
use crate::origin::{Error, Fetch};

/// A kind of store behind the one HTTP client.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// How the store's headers and errors are to be read.
    fn dialect(&self) -> Dialect;

    /// Says where below `endpoint` the object is; `None` where no such key can exist.
    fn place(&self, endpoint: &Endpoint, fetch: &Fetch) -> Option<Place>;

    /// Signs the request, whose head is otherwise complete.
    ///
    /// # Errors
    /// [`Error::Credentials`] where there are none or they cannot be used.
    async fn sign(&self, _parts: &mut Parts) -> Result<(), Error> {
        Ok(())
    }
}

/// Whose headers and errors an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// A web server: what it says is meant for clients.
    Web,
    /// An S3-type store.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}
