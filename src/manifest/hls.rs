//! HLS playlists (draft-pantos-hls-rfc8216bis), line by line.
//!
//! Lossless: what a plan does not speak of is copied byte for byte. Multivariant playlists are cut
//! into blocks ([`layout`]) that are moved, left out and rebased ([`mod@write`]); of media playlists
//! only URIs change ([`media`]). Malformed attribute lists and variants that cannot be told apart
//! make a playlist one of which only URIs change.
//!
//! # Order
//!
//! The start rung goes to the place of the first variant of its own group ([`group`]), and groups
//! keep the order of their first variants. hls.js takes the bitrate of the first variant that it
//! can play for its first estimate (from 0.5 to 5 Mbit/s), whatever its group; `AVPlayer` begins
//! with the first one it can play. Before variants of another group a rung could make a player prefer
//! other codecs, another dynamic range or other sound than the author did. So a start rung of any
//! group but the first one is no hint to those who can play the first, and remains one to those
//! who cannot. Nothing moves before a variant of higher `SCORE`, or sound before pictures. Redundant
//! copies keep their order: players take the first one for the main pathway.
//!
//! # Why a scanner of our own
//!
//! `quick-m3u8` 0.8 reads and writes 326 to 671 MB/s of a media playlist, depending on how much of
//! its tags is parsed, where a copy by line makes 2,200 MB/s: 3.3 to 6.7 copies, before any URI is
//! resolved. With the scanner in [`mod@line`], a media playlist whose URIs are all rebased costs about
//! two (bench "manifests").

mod address;
mod decimal;
mod group;
mod iframes;
mod layout;
mod line;
mod media;
pub mod server;
pub mod timeline;
mod variant;
mod write;

use crate::manifest::ladder::{First, Ladder, Rung, Sound};
use crate::manifest::plan::Plan;
use crate::manifest::uri::Rebase;
use layout::{Heard, Layout, Order};
use variant::{Picture, Variant};

/// A multivariant playlist that was read.
#[derive(Debug)]
pub struct Multivariant<'a> {
    text: &'a [u8],
    layout: Layout<'a>,
    ladder: Ladder,
}

impl<'a> Multivariant<'a> {
    /// Reads a multivariant playlist; `None` for what is none.
    ///
    /// Where variants cannot be told apart (one lacks its URI or its bitrate), the ladder is
    /// empty, and no plan changes more than URIs.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let layout = Layout::read(text)?;
        let ladder = match layout.order {
            Order::Clear => ladder(&layout),
            Order::Unclear => Ladder::default(),
        };
        Some(Self {
            text,
            layout,
            ladder,
        })
    }

    /// What it offers.
    #[must_use]
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// Whether a plan can have players start with the rung at this index: it is not where it
    /// would go already, and the author ranks no other one higher.
    #[must_use]
    pub fn can_start(&self, rung: usize) -> bool {
        write::can_start(&self.ladder, rung)
    }

    /// Writes it by `plan`.
    #[must_use]
    pub fn write(&self, plan: &Plan) -> Vec<u8> {
        write::write(self.text, &self.layout, &self.ladder, plan)
    }
}

/// Writes a media playlist with its URIs rebased; `None` where nothing changes.
#[must_use]
pub fn rebase_media(text: &[u8], rebase: &Rebase) -> Option<Vec<u8>> {
    media::rebase(text, rebase)
}

fn ladder(layout: &Layout<'_>) -> Ladder {
    let has_video = have_video(&layout.variants);
    let places = group::places(&layout.variants, &has_video, &layout.offers);
    let members = layout.variants.iter().zip(&layout.uris);
    let rungs = members.zip(has_video).zip(places);
    let rung =
        |(((variant, uri), has_video), place): (((&Variant<'_>, &&[u8]), _), group::Place)| {
            let bandwidth = variant.bandwidth.unwrap_or_default();
            let heard = sound_apart(layout, variant, has_video);
            Rung {
                bandwidth,
                average: variant.average.unwrap_or(bandwidth),
                picture: bandwidth,
                sound: heard.map_or(0, |_| SOUND_USUAL),
                heard,
                height: variant.resolution.map(|(_, height)| height),
                codecs: variant.codecs.to_owned(),
                range: variant.dynamic_range().filter(|_| has_video),
                group: place.group,
                period: 0,
                copy_of: place.copy_of,
                has_video,
                score: variant.score,
                first: by_playlist(uri),
            }
        };
    let sound = |heard: &Heard<'_>| Sound {
        rendition: heard.rendition,
        first: by_playlist(heard.uri),
    };
    Ladder {
        rungs: rungs.map(rung).collect(),
        renditions: layout.renditions.clone(),
        sound_least: 0,
        sounds: layout.heard.iter().map(sound).collect(),
    }
}

fn by_playlist(uri: &[u8]) -> First {
    let playlist = std::str::from_utf8(uri).ok();
    First {
        playlist: playlist.map(str::to_owned),
        ..First::default()
    }
}

/// What is heard with a variant that has a picture, where its `AUDIO` group has it apart.
fn sound_apart(layout: &Layout<'_>, variant: &Variant<'_>, has_video: bool) -> Option<usize> {
    let apart = layout.apart.get(variant.named.audio);
    apart.copied().filter(|_| has_video)
}

/// Bit/s of stereo sound as it is usually coded (AAC): no playlist says what its own takes.
const SOUND_USUAL: u64 = 128_000;

/// Which variants have a picture. Those of which nothing is known have one if no other does.
fn have_video(variants: &[Variant<'_>]) -> Vec<bool> {
    let pictures: Vec<Picture> = variants.iter().map(Variant::picture).collect();
    let is_known = pictures.contains(&Picture::Shown);
    let has = |picture| match picture {
        Picture::Shown => true,
        Picture::Absent => false,
        Picture::Unknown => !is_known,
    };
    pictures.into_iter().map(has).collect()
}

#[cfg(test)]
mod tests;
