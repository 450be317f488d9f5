//! Media presentation descriptions (ISO/IEC 23009-1), event by event.

use crate::manifest::ladder::Ladder;
use crate::manifest::plan::Plan;

/// Why an MPD is not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no MPD.
    #[error("no MPD")]
    NotMpd,
}

/// An MPD that was read.
#[derive(Debug)]
pub struct Mpd<'a> {
    text: &'a [u8],
    ladder: Ladder,
}

impl<'a> Mpd<'a> {
    /// Reads an MPD.
    ///
    /// # Errors
    /// [`Error`] for what is no MPD, is malformed, or uses what is refused (DTDs, entities).
    pub fn parse(_text: &'a [u8]) -> Result<Self, Error> {
        Err(Error::NotMpd)
    }

    /// What it offers.
    #[must_use]
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// Whether players ask for it again and again (`type="dynamic"`).
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        false
    }

    /// Writes it by `plan`.
    #[must_use]
    pub fn write(&self, _plan: &Plan) -> Vec<u8> {
        self.text.to_vec()
    }
}
