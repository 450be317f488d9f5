//! A client between sessions: keyed hashes that change daily, never an address.

/// What a client is known by. Hashes of today and of yesterday, so that midnight forgets nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Client {
    /// Address and user agent.
    pub own: [[u8; 16]; 2],
    /// The /24 or /48 it is in.
    pub network: [[u8; 16]; 2],
}
