//! Rungs that a mode takes away from what a filter has left.

use crate::limits::CAPPED_RUNGS_MIN;
use crate::manifest::filter;
use crate::manifest::ladder::Ladder;
use crate::manifest::plan::Kept;

/// Leaves rungs of at most `most` bit/s, and of each group something in any case.
pub(super) fn cap(ladder: &Ladder, kept: Option<Kept>, most: u64) -> Kept {
    let capped = filter::cap(ladder, most, CAPPED_RUNGS_MIN);
    let Some(kept) = kept else {
        return capped;
    };
    let stays = |index: usize| is_set(&kept.rungs, index) && is_set(&capped.rungs, index);
    let rungs = ladder.rungs.iter().enumerate().map(|(index, rung)| {
        let members = || {
            let rungs = ladder.rungs.iter().enumerate();
            rungs.filter(|(other, it)| it.group == rung.group && is_set(&kept.rungs, *other))
        };
        let is_emptied = !members().any(|(other, _)| stays(other));
        let least = members().map(|(_, it)| it.bandwidth).min();
        let is_last = is_emptied && is_set(&kept.rungs, index) && least == Some(rung.bandwidth);
        stays(index) || is_last
    });
    Kept {
        rungs: rungs.collect(),
        renditions: kept.renditions,
    }
}

/// Leaves one rung and its copies.
pub(super) fn single(ladder: &Ladder, kept: Option<Kept>, index: usize) -> Kept {
    let single = filter::single(ladder, index);
    match kept {
        Some(kept) => Kept {
            rungs: single.rungs,
            renditions: kept.renditions,
        },
        None => single,
    }
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

fn is_set(list: &[bool], index: usize) -> bool {
    list.get(index).copied().unwrap_or(false)
}
