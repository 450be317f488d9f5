//! The start rung: the one rule by which a session begins above or below its player's own choice.

use std::time::Duration;

use crate::session::belief::Belief;

/// What a start at one rung takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Average bit/s of the rung, audio included.
    pub bitrate: u64,
    /// Bytes before the first picture: initialisation and first segments of picture and sound.
    pub first_bytes: u64,
    /// How long the first segment plays.
    pub plays: Duration,
}

/// How a player chooses its first rung when nothing is hinted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Player {
    /// hls.js and its kin: the first variant listed.
    FirstListed,
    /// dash.js: an initial bit rate of 1 Mbit/s.
    Dash,
    /// Shaka: an estimate of 1 Mbit/s.
    Shaka,
}

/// Chooses among the rungs of one group; `None` where the player is left alone.
///
/// `own` is the index that the player takes by itself.
#[must_use]
pub fn rung(
    _belief: &Belief,
    _rtt: Option<Duration>,
    _rungs: &[Candidate],
    _own: usize,
) -> Option<usize> {
    None
}

/// The index that `player` takes by itself among rungs in the order of the manifest.
#[must_use]
pub fn own(_player: Player, _rungs: &[Candidate]) -> usize {
    0
}
