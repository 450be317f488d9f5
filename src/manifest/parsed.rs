//! A manifest of either kind that was read, together with its text.

use self_cell::self_cell;

use crate::manifest::dash::{self, Mpd};
use crate::manifest::hls::Multivariant;
use crate::manifest::ladder::Ladder;
use crate::manifest::plan::Plan;

self_cell!(
    struct Cell {
        owner: Box<[u8]>,
        #[covariant]
        dependent: Form,
    }

    impl { Debug }
);

#[derive(Debug)]
enum Form<'a> {
    Hls(Multivariant<'a>),
    Dash(Mpd<'a>),
}

/// A multivariant playlist or an MPD that was read.
#[derive(Debug)]
pub struct Parsed(Cell);

/// Why a manifest is not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no multivariant playlist.
    #[error("no multivariant playlist")]
    Hls,
    /// It is no MPD that is read.
    #[error(transparent)]
    Dash(#[from] dash::Error),
}

impl Parsed {
    /// Reads a multivariant playlist, of which it keeps a copy.
    ///
    /// # Errors
    /// [`Unreadable::Hls`] for what is none.
    pub fn hls(text: &[u8]) -> Result<Self, Unreadable> {
        let cell = Cell::try_new(text.into(), |text| {
            let playlist = Multivariant::parse(text).ok_or(Unreadable::Hls)?;
            Ok::<_, Unreadable>(Form::Hls(playlist))
        })?;
        Ok(Self(cell))
    }

    /// Reads an MPD, of which it keeps a copy.
    ///
    /// # Errors
    /// [`Unreadable::Dash`] for what is none, or is refused.
    pub fn dash(text: &[u8]) -> Result<Self, Unreadable> {
        let cell = Cell::try_new(text.into(), |text| Mpd::parse(text).map(Form::Dash))?;
        Ok(Self(cell))
    }

    /// What was read.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        self.0.borrow_owner()
    }

    /// What it offers.
    #[must_use]
    pub fn ladder(&self) -> &Ladder {
        match self.0.borrow_dependent() {
            Form::Hls(playlist) => playlist.ladder(),
            Form::Dash(mpd) => mpd.ladder(),
        }
    }

    /// Whether players ask for it again and again.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        match self.0.borrow_dependent() {
            Form::Hls(_) => false,
            Form::Dash(mpd) => mpd.is_dynamic(),
        }
    }

    /// Whether what is written can tell players to start with a rung.
    #[must_use]
    pub fn can_start(&self, rung: usize) -> bool {
        match self.0.borrow_dependent() {
            Form::Hls(playlist) => playlist.can_start(rung),
            Form::Dash(mpd) => mpd.can_start(rung),
        }
    }

    /// Writes it by `plan`.
    #[must_use]
    pub fn write(&self, plan: &Plan) -> Vec<u8> {
        match self.0.borrow_dependent() {
            Form::Hls(playlist) => playlist.write(plan),
            Form::Dash(mpd) => mpd.write(plan),
        }
    }
}
