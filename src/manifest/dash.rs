//! Media presentation descriptions (ISO/IEC 23009-1), rewritten without loss.
//!
//! Reading yields spans of the input; writing copies the input and replaces spans of it. What no
//! edit names stays byte for byte: byte order mark, line ends, comments, processing instructions,
//! CDATA, other namespaces.
//!
//! ```text
//!  text ─► reader ─► tree ─► offer ─► climb (with first, picture) ─► Ladder
//!                     │       │         └─► choices
//!  Plan ─► pruning ─► filtered ─┐
//!    └──► places, hints ─► edits ─► text
//! ```
//!
//! Invariants: an MPD that was valid by its schema stays so, but for `ClientDataReporting` and
//! `ContentSteering`, which are younger than most schemas. No adaptation set is left empty. The
//! author's own hints win.

mod choices;
mod climb;
mod edits;
mod filtered;
mod first;
mod hints;
mod offer;
mod picture;
mod places;
mod pruning;
mod reader;
pub mod sidx;
mod tag;
#[cfg(test)]
mod tests;
mod tree;

use crate::limits::REPRESENTATIONS_MAX;
use crate::manifest::ladder::Ladder;
use crate::manifest::plan::Plan;

use self::edits::Edits;
use self::filtered::{Filtered, Filters};
use self::offer::Offer;
use self::places::Places;
use self::pruning::Pruning;
use self::tree::Tree;

/// Why an MPD is not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no MPD.
    #[error("no MPD")]
    NotMpd,
    /// It is no well-formed XML in UTF-8.
    #[error("malformed XML")]
    Malformed,
    /// It brings a document type of its own, whose entities could make anything of it.
    #[error("a document type definition")]
    Doctype,
    /// It refers to an entity that XML does not define.
    #[error("an undefined entity")]
    Entity,
    /// Its elements are nested deeper than [`crate::limits::MPD_DEPTH_MAX`].
    #[error("nested too deeply")]
    TooDeep,
    /// It is larger than [`crate::limits::MPD_BYTES_MAX`], or has more elements than
    /// [`crate::limits::MPD_ELEMENTS_MAX`], in one tag more attributes than
    /// [`crate::limits::MPD_ATTRIBUTES_MAX`] or in one set more representations than
    /// [`REPRESENTATIONS_MAX`].
    #[error("too large")]
    TooLarge,
}

/// An MPD that was read.
#[derive(Debug)]
pub struct Mpd<'a> {
    tree: Tree<'a>,
    offer: Offer<'a>,
    places: Places,
    filters: Filters,
    is_dynamic: bool,
}

impl<'a> Mpd<'a> {
    /// Reads an MPD.
    ///
    /// # Errors
    /// [`Error`] for what is no MPD, is malformed, or uses what is refused (DTDs, entities).
    pub fn parse(text: &'a [u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(text).map_err(|_| Error::Malformed)?;
        let tree = Tree::parse(text)?;
        let sets = tree
            .elements()
            .iter()
            .filter(|it| it.name == "AdaptationSet");
        let size = |set| tree.named(set, "Representation").count();
        if sets.map(size).any(|size| size > REPRESENTATIONS_MAX) {
            return Err(Error::TooLarge);
        }
        Ok(Self {
            offer: Offer::read(&tree),
            places: Places::find(&tree),
            filters: Filters::default(),
            is_dynamic: first::is_live(&tree),
            tree,
        })
    }

    /// What it offers.
    #[must_use]
    pub fn ladder(&self) -> &Ladder {
        &self.offer.ladder
    }

    /// Whether players ask for it again and again (`type="dynamic"`).
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.is_dynamic
    }

    /// Whether a plan can have players start with the rung at this index: the author has not
    /// said himself where they are to.
    #[must_use]
    pub fn can_start(&self, rung: usize) -> bool {
        hints::can_start(&self.tree, &self.offer, rung)
    }

    /// Writes it by `plan`.
    ///
    /// An MPD that is edited loses its `PatchLocation`s: patches are written for the original.
    #[must_use]
    pub fn write(&self, plan: &Plan) -> Vec<u8> {
        let mut edits = Edits::default();
        let refresh = plan.refresh.as_deref().filter(|_| self.is_dynamic);
        hints::give(&self.tree, &self.offer, plan, &mut edits);
        self.places.rewrite(&self.tree, plan, refresh, &mut edits);
        let known = plan.kept.as_ref().map(|kept| {
            self.filters.left(kept, || {
                let pruning = Pruning::new(&self.offer, kept);
                Filtered::new(self.tree.text, pruning.edits(&self.tree))
            })
        });
        let filtered = known.as_ref().map(|known| &known.left);
        let left = filtered.and_then(|filtered| Some((filtered, filtered.text()?)));
        if !edits.is_empty() || left.is_some() {
            for patch in self.tree.top("PatchLocation") {
                edits.remove(&self.tree, patch);
            }
        }
        let written = match left {
            Some((filtered, text)) => {
                edits.follow(filtered);
                edits.make(text)
            }
            None => edits.make(self.tree.text),
        };
        written.into_bytes()
    }
}
