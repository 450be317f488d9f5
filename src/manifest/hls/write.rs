//! A multivariant playlist written by a plan.

use std::ops::Range;

use crate::manifest::hls::iframes;
use crate::manifest::hls::layout::{Block, Layout, Order, Role, Steering};
use crate::manifest::hls::variant::Variant;
use crate::manifest::ladder::{Ladder, Rung};
use crate::manifest::plan::{Kept, Plan, SteeringHint};
use crate::manifest::uri::Rebase;

/// What HLS calls the pathway of variants that name none.
const UNNAMED: &str = ".";

/// Writes `layout`, cut from `text`.
pub(super) fn write(text: &[u8], layout: &Layout<'_>, ladder: &Ladder, plan: &Plan) -> Vec<u8> {
    let shown = plan
        .kept
        .as_ref()
        .and_then(|kept| Shown::of(layout, ladder, kept));
    let is_shown = |block: &Block| shown.as_ref().is_none_or(|shown| shown.shows(block));
    let moved = plan.start.and_then(|start| Moved::of(ladder, start));
    let moves = |block: &Block| moved.as_ref().is_some_and(|moved| moved.moves(block));
    let steering = plan
        .steering
        .as_ref()
        .and_then(|hint| steering(layout, ladder, hint));
    let mut pen = Pen {
        text,
        layout,
        rebase: plan.rebase.as_ref(),
        out: Vec::with_capacity(
            text.len() + text.len() / 4 + PREFIX_BYTES * layout.addresses.len(),
        ),
    };
    let mut waits = moved.as_ref().map(|moved| moved.first);
    for (index, block) in layout.blocks.iter().enumerate() {
        match block.role {
            // The first block begins with the first line, and nothing but text joins it.
            Role::Text if index == 0 => {
                pen.begin(block, steering.as_deref());
                continue;
            }
            Role::Variant(rung) if waits == Some(rung) => {
                waits = None;
                let units = layout.blocks.iter();
                for unit in units.filter(|unit| moves(unit) && is_shown(unit)) {
                    pen.copy(unit);
                    pen.end_line();
                }
            }
            _ => {}
        }
        if is_shown(block) && !moves(block) {
            pen.copy(block);
        }
    }
    pen.out
}

/// Whether a rung moves when it is the one to start with.
pub(super) fn can_start(ladder: &Ladder, start: usize) -> bool {
    Moved::of(ladder, start).is_some()
}

/// Bytes that a URI is likely to become longer by.
const PREFIX_BYTES: usize = 64;

/// The text in the making.
struct Pen<'a> {
    text: &'a [u8],
    layout: &'a Layout<'a>,
    rebase: Option<&'a Rebase>,
    out: Vec<u8>,
}

impl Pen<'_> {
    /// Copies the first block, with `tag` behind its first line.
    fn begin(&mut self, block: &Block, tag: Option<&str>) {
        let Some(tag) = tag else {
            return self.copy(block);
        };
        let first = self.text.iter().position(|&byte| byte == b'\n');
        let first = first.map_or(self.text.len(), |end| end + 1);
        self.push(block.span.start..first);
        self.out.extend_from_slice(tag.as_bytes());
        self.out.extend_from_slice(self.line_end());
        self.copy_from(first, block);
    }

    fn copy(&mut self, block: &Block) {
        self.copy_from(block.span.start, block);
    }

    fn copy_from(&mut self, mut from: usize, block: &Block) {
        let addresses = self.layout.addresses.get(block.addresses.clone());
        if let Some(rebase) = self.rebase {
            for address in addresses.unwrap_or_default() {
                if let Some(edit) = address.edit(self.text, rebase) {
                    self.push(from..address.span.start);
                    edit.write(&mut self.out);
                    from = address.span.end;
                }
            }
        }
        self.push(from..block.span.end);
    }

    fn push(&mut self, span: Range<usize>) {
        self.out
            .extend_from_slice(self.text.get(span).unwrap_or_default());
    }

    /// Ends the line that the playlist ended in, when it is no longer the last one.
    fn end_line(&mut self) {
        match self.out.last() {
            Some(b'\n') => {}
            Some(b'\r') => self.out.push(b'\n'),
            _ => self.out.extend_from_slice(self.line_end()),
        }
    }

    /// How the playlist ends its lines.
    fn line_end(&self) -> &'static [u8] {
        let end = self.text.iter().position(|&byte| byte == b'\n');
        let before = end.and_then(|end| self.text.get(..end)).unwrap_or_default();
        match before.ends_with(b"\r") {
            true => b"\r\n",
            false => b"\n",
        }
    }
}

/// The unit that is written first in its group, and the group's first one, before which it goes.
struct Moved {
    units: Vec<bool>,
    first: usize,
}

impl Moved {
    /// `None` where nothing moves: it is first already, the author ranks another one higher, or
    /// sound alone would come before a picture.
    fn of(ladder: &Ladder, start: usize) -> Option<Self> {
        let chosen = ladder.rungs.get(start)?;
        let group = || {
            ladder
                .rungs
                .iter()
                .filter(|rung| rung.group == chosen.group)
        };
        let is_outranked = group().any(|rung| rung.score > chosen.score);
        let is_mute = !chosen.has_video && ladder.rungs.iter().any(|rung| rung.has_video);
        if is_outranked || is_mute {
            return None;
        }
        let original = chosen.copy_of.unwrap_or(start);
        let goes = |(index, rung): (usize, &Rung)| {
            rung.group == chosen.group && (index == original || rung.copy_of == Some(original))
        };
        let units: Vec<bool> = ladder.rungs.iter().enumerate().map(goes).collect();
        let first = ladder.rungs.iter().position(|r| r.group == chosen.group)?;
        let moved = Self { units, first };
        (!moved.has(first)).then_some(moved)
    }

    fn has(&self, rung: usize) -> bool {
        self.units.get(rung).copied().unwrap_or_default()
    }

    fn moves(&self, block: &Block) -> bool {
        matches!(block.role, Role::Variant(rung) if self.has(rung))
    }
}

/// What stays, consistently.
struct Shown {
    rungs: Vec<bool>,
    /// Groups of renditions that some variant named which is left out, and none that stays.
    orphaned: Vec<bool>,
    /// Renditions that are left out.
    dropped: Vec<bool>,
    /// Playlists of I-frames that are left out.
    gone: Vec<bool>,
}

impl Shown {
    /// `None` where everything stays, or nothing would.
    fn of(layout: &Layout<'_>, ladder: &Ladder, kept: &Kept) -> Option<Self> {
        let fits = kept.rungs.len() == ladder.rungs.len()
            && kept.renditions.len() == ladder.renditions.len();
        if kept.is_whole() || !fits || !kept.rungs.contains(&true) {
            return None;
        }
        let rungs = with_copies(ladder, &kept.rungs);
        Some(Self {
            orphaned: orphaned(layout, &rungs),
            dropped: dropped(ladder, &kept.renditions),
            gone: iframes::gone(&layout.iframes, &layout.looks, &rungs),
            rungs,
        })
    }

    fn shows(&self, block: &Block) -> bool {
        let is_set = |flags: &[bool], index: usize| flags.get(index).copied().unwrap_or_default();
        match block.role {
            Role::Text => true,
            Role::Variant(rung) => is_set(&self.rungs, rung),
            Role::IFrames(list) => !is_set(&self.gone, list),
            Role::Rendition { group, rendition } => {
                let dropped = rendition.is_some_and(|index| is_set(&self.dropped, index));
                !dropped && !is_set(&self.orphaned, group)
            }
        }
    }
}

/// Copies stay and go together, or a player that fails over would find nothing.
fn with_copies(ladder: &Ladder, kept: &[bool]) -> Vec<bool> {
    let original = |(index, rung): (usize, &Rung)| rung.copy_of.unwrap_or(index);
    let mut originals = vec![false; kept.len()];
    for (rung, &kept) in ladder.rungs.iter().enumerate().zip(kept) {
        if let Some(flag) = originals.get_mut(original(rung)) {
            *flag |= kept;
        }
    }
    let rungs = ladder.rungs.iter().enumerate();
    let stays = |rung| originals.get(original(rung)).copied().unwrap_or_default();
    rungs.map(stays).collect()
}

fn orphaned(layout: &Layout<'_>, rungs: &[bool]) -> Vec<bool> {
    let mut named = vec![false; layout.groups.count()];
    let mut left = named.clone();
    let mut hides = false;
    for (variant, &stays) in layout.variants.iter().zip(rungs) {
        for (kind, id) in variant.named.each() {
            // A variable may stand for any group.
            hides |= stays && id.starts_with(b"{$");
            let Some(group) = layout.groups.known(&(kind, id)) else {
                continue;
            };
            let flags = match stays {
                true => &mut named,
                false => &mut left,
            };
            if let Some(flag) = flags.get_mut(group) {
                *flag = true;
            }
        }
    }
    let pairs = named.iter().zip(&left);
    pairs
        .map(|(named, left)| *left && !named && !hides)
        .collect()
}

/// Which renditions are left out. A group never loses all: where it would, it keeps them.
fn dropped(ladder: &Ladder, kept: &[bool]) -> Vec<bool> {
    let members = || ladder.renditions.iter().zip(kept);
    let groups = ladder.renditions.iter().map(|r| r.group + 1).max();
    let mut survives = vec![false; groups.unwrap_or_default()];
    for (rendition, &kept) in members() {
        if let Some(flag) = survives.get_mut(rendition.group) {
            *flag |= kept;
        }
    }
    let survives = |group: usize| survives.get(group).copied().unwrap_or_default();
    members()
        .map(|(rendition, &kept)| !kept && survives(rendition.group))
        .collect()
}

/// The tag that names the steering service; `None` where it would do harm.
///
/// Variants without `PATHWAY-ID` are on the pathway `.` (section 4.4.6.2), so this is the name of
/// this `PoP` for them. Where the author has pathways of other names, or redundant copies, which
/// players take for pathways, a document that does not know them would keep players from them.
fn steering(layout: &Layout<'_>, ladder: &Ladder, hint: &SteeringHint) -> Option<String> {
    let all_on = |name: &str| {
        let on = |variant: &Variant<'_>| variant.pathway == name.as_bytes();
        layout.variants.iter().all(on)
    };
    let pathway = match () {
        () if all_on("") || all_on(UNNAMED) => UNNAMED,
        () if all_on(&hint.pathway) => hint.pathway.as_str(),
        () => return None,
    };
    let is_quotable = |text: &str| !text.contains(|c: char| c == '"' || c.is_control());
    let is_sensible = layout.steering == Steering::Absent
        && layout.order == Order::Clear
        && ladder.rungs.iter().all(|rung| rung.copy_of.is_none())
        && is_quotable(&hint.url)
        && is_quotable(pathway);
    let url = &hint.url;
    let tag = || format!("#EXT-X-CONTENT-STEERING:SERVER-URI=\"{url}\",PATHWAY-ID=\"{pathway}\"");
    is_sensible.then(tag)
}
