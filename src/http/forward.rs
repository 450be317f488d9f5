//! What of a client's request the origin sees (RFC 9110 section 7.6). Pure.
//!
//! For a video site nothing at all; for a general one every end-to-end field but those that this
//! cache answers itself: ranges, preconditions, and what names connection, host or length.

use std::sync::Arc;

use http::HeaderMap;

/// The fields of a request that its origin sees.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    headers: HeaderMap,
}

impl Fields {
    /// Those of a request whose origin sees nothing of the client.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// The end-to-end fields of `request`.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Arc<Self> {
        Arc::new(Self {
            headers: request.clone(),
        })
    }

    /// The fields, as they are sent.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Whether the request carries credentials (RFC 9111 section 3.5).
    #[must_use]
    pub fn is_authorized(&self) -> bool {
        self.headers.contains_key(http::header::AUTHORIZATION)
    }

    /// Whether its answer may be for this client alone, so that nobody waits for it with others.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.is_authorized() || self.headers.contains_key(http::header::COOKIE)
    }
}
