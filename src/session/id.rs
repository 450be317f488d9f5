//! Session ids: short, signed, without meaning to anyone else.

use crate::clock::UnixMillis;
use crate::session::holdout::Arm;

/// A session's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionId {
    /// Chance.
    pub nonce: u64,
    /// When it was made, to the minute.
    pub minted: UnixMillis,
    /// How the session plays.
    pub arm: Arm,
}
