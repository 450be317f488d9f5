//! What is to be done to one manifest, decided before any of it is written.

use crate::manifest::uri::Rebase;

/// Every edit of a manifest. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Where its URIs lead; `None` leaves them.
    pub rebase: Option<Rebase>,
    /// What stays; `None` for all.
    pub kept: Option<Kept>,
    /// Index of the rung to start with, among the ladder's; it must be kept.
    pub start: Option<usize>,
    /// The steering service, where the author names none.
    pub steering: Option<SteeringHint>,
    /// The session id that DASH players are to report with CMCD; `None` asks for no reports.
    pub cmcd: Option<String>,
    /// Path and query under which this MPD is refreshed (`Location`).
    pub refresh: Option<String>,
}

/// What stays of a ladder: one entry for each rung and rendition, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Rungs.
    pub rungs: Vec<bool>,
    /// Renditions.
    pub renditions: Vec<bool>,
}

impl Kept {
    /// Whether the rung at this index stays.
    #[must_use]
    pub fn has_rung(&self, index: usize) -> bool {
        self.rungs.get(index) == Some(&true)
    }

    /// Whether the rendition at this index stays.
    #[must_use]
    pub fn has_rendition(&self, index: usize) -> bool {
        self.renditions.get(index) == Some(&true)
    }

    /// Whether everything stays.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.rungs.iter().chain(&self.renditions).all(|kept| *kept)
    }
}

/// What a manifest says of the steering service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteeringHint {
    /// Absolute URL of the steering document.
    pub url: String,
    /// The pathway to start with.
    pub pathway: String,
}

impl Plan {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
