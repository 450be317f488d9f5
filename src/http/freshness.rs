//! How long a response may be reused (RFC 9111 section 4.2, RFC 5861).

use std::time::Duration;

/// Lifetimes of a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// Age up to which it is served without asking (RFC 9111 section 4.2.1).
    pub lifetime: Duration,
    /// How long after that it is served while a refresh runs (RFC 5861 section 3).
    pub stale_while_revalidate: Duration,
    /// How long after that it is served when the origin fails (RFC 5861 section 4).
    pub stale_if_error: Duration,
}
