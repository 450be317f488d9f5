//! stub

use crate::cache::key::Key;

/// stub
pub enum Scope {
    /// stub
    Url(Key),
}
