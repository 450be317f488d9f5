//! Rungs that a mode takes away.

use crate::manifest::ladder::Ladder;
use crate::manifest::plan::Kept;

/// Leaves rungs of at most `most` bit/s, and of each group the lowest in any case.
pub(super) fn cap(ladder: &Ladder, kept: Option<&Kept>, most: u64) -> Kept {
    let mut kept = kept.cloned().unwrap_or_else(|| all(ladder));
    let before = kept.rungs.clone();
    let left = |index: usize| before.get(index).copied().unwrap_or(false);
    for (index, rung) in ladder.rungs.iter().enumerate() {
        let rungs = ladder.rungs.iter().enumerate();
        let least = rungs
            .filter(|(other, it)| it.group == rung.group && left(*other))
            .map(|(_, it)| it.bandwidth)
            .min();
        let stays = rung.bandwidth <= most || Some(rung.bandwidth) == least;
        if let Some(keep) = kept.rungs.get_mut(index) {
            *keep = *keep && stays;
        }
    }
    kept
}

/// Leaves one rung.
pub(super) fn single(ladder: &Ladder, kept: Option<&Kept>, index: usize) -> Kept {
    let mut kept = kept.cloned().unwrap_or_else(|| all(ladder));
    for (other, keep) in kept.rungs.iter_mut().enumerate() {
        *keep = other == index;
    }
    kept
}

/// The largest of the groups' least bit rates: a bound below it leaves some player nothing.
pub(super) fn floor(ladder: &Ladder) -> u64 {
    let rungs = ladder.rungs.iter();
    let least = rungs.map(|rung| {
        let group = ladder.rungs.iter().filter(|it| it.group == rung.group);
        group.map(|it| it.bandwidth).min().unwrap_or(0)
    });
    least.max().unwrap_or(0)
}

fn all(ladder: &Ladder) -> Kept {
    Kept {
        rungs: vec![true; ladder.rungs.len()],
        renditions: vec![true; ladder.renditions.len()],
    }
}
