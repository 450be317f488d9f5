//! What the three players have in common: what they see, and what they are asked.

use crate::movie::Rung;

/// What a player sees when it chooses.
pub(crate) struct View<'a> {
    /// Lowest first.
    pub(crate) rungs: &'a [Rung],
    /// The level loaded last.
    pub(crate) level: usize,
    /// Seconds until the buffer runs dry.
    pub(crate) buffer: f64,
    /// Seconds since the session began.
    pub(crate) now: f64,
    /// Seconds that a segment plays.
    pub(crate) plays: f64,
    /// Whether it has begun to play.
    pub(crate) plays_now: bool,
    /// Whether playback waits for a segment after it had begun.
    pub(crate) stalls: bool,
}

/// A segment on its way, or arrived.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Bits so far.
    pub(crate) bits: f64,
    /// Bits of the whole.
    pub(crate) total: f64,
    /// Seconds since it was asked for.
    pub(crate) seconds: f64,
    /// Seconds until its first byte.
    pub(crate) first_byte: f64,
}

/// A player after its first choice, which is [`weir::session::start`]'s to know.
pub(crate) trait Player {
    /// The level of the next segment.
    fn next(&mut self, view: &View<'_>) -> usize;

    /// Takes a segment in.
    fn loaded(&mut self, view: &View<'_>, load: &Load);

    /// The level to load instead, when the segment on its way is given up.
    fn gives_up(&mut self, view: &View<'_>, load: &Load) -> Option<usize>;

    /// Seconds of buffer at which nothing more is asked for.
    fn fills_to(&self, view: &View<'_>) -> f64;

    /// Whether buffered segments of lower levels are replaced after a switch upwards.
    fn replaces(&self) -> bool {
        false
    }

    /// Takes in what CMSD says, in bit/s.
    fn told(&mut self, _throughput: Option<f64>) {}
}

/// The highest level that `fits`, the lowest where none does.
pub(crate) fn highest(rungs: &[Rung], fits: impl Fn(usize, &Rung) -> bool) -> Option<usize> {
    (0..rungs.len())
        .rev()
        .find(|level| fits(*level, &rungs[*level]))
}
