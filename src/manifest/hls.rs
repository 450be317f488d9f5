//! HLS playlists (RFC 8216bis), line by line.

mod decimal;
mod line;
pub mod server;
pub mod timeline;

use crate::manifest::ladder::Ladder;
use crate::manifest::plan::Plan;
use crate::manifest::uri::Rebase;

/// A multivariant playlist that was read.
#[derive(Debug)]
pub struct Multivariant<'a> {
    text: &'a [u8],
    ladder: Ladder,
}

impl<'a> Multivariant<'a> {
    /// Reads a multivariant playlist; `None` for what is none, or cannot be understood.
    #[must_use]
    pub fn parse(_text: &'a [u8]) -> Option<Self> {
        None
    }

    /// What it offers.
    #[must_use]
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// Writes it by `plan`.
    #[must_use]
    pub fn write(&self, _plan: &Plan) -> Vec<u8> {
        self.text.to_vec()
    }
}

/// Writes a media playlist with its URIs rebased; `None` where nothing changes.
#[must_use]
pub fn rebase_media(_text: &[u8], _rebase: &Rebase) -> Option<Vec<u8>> {
    None
}
