//! What `EXT-X-STREAM-INF` says of a variant (draft-pantos-hls-rfc8216bis section 4.4.6.2).

use crate::config::adapt::DynamicRange;
use crate::manifest::hls::decimal::thousandths;
use crate::manifest::hls::line::Line;

/// A variant as its tag tells of it; text is as written.
#[derive(Debug, Clone, Default)]
pub(super) struct Variant<'a> {
    /// Peak bit/s; `None` where it is missing, or the tag is malformed.
    pub bandwidth: Option<u64>,
    pub average: Option<u64>,
    /// Width and height.
    pub resolution: Option<(u32, u32)>,
    /// Thousandths of pictures a second.
    pub frame_rate: Option<u64>,
    pub codecs: &'a str,
    pub score: Option<u64>,
    pub range: &'a [u8],
    pub protection: Protection<'a>,
    pub layout: &'a [u8],
    pub pathway: &'a [u8],
    pub named: Named<'a>,
}

/// What a device must be able to protect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Protection<'a> {
    pub hdcp: &'a [u8],
    pub cpc: &'a [u8],
}

/// The groups of renditions that a variant names; empty for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub audio: &'a [u8],
    pub video: &'a [u8],
    pub subtitles: &'a [u8],
    pub captions: &'a [u8],
}

/// Whether there is a picture, as far as a tag tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Picture {
    Shown,
    Absent,
    Unknown,
}

impl<'a> Variant<'a> {
    /// Reads the attributes of `line`, which are `list`; without a bitrate where they are no list.
    pub(super) fn read(line: &Line<'a>, list: &'a [u8]) -> Self {
        let mut variant = Self::default();
        let mut attributes = line.attributes(list);
        for attribute in attributes.by_ref() {
            let number = || attribute.text().and_then(thousandths);
            match attribute.name {
                b"BANDWIDTH" => variant.bandwidth = attribute.integer(),
                b"AVERAGE-BANDWIDTH" => variant.average = attribute.integer(),
                b"RESOLUTION" => variant.resolution = attribute.text().and_then(resolution),
                b"FRAME-RATE" => variant.frame_rate = number(),
                b"SCORE" => variant.score = number(),
                b"CODECS" => variant.codecs = attribute.text().unwrap_or_default(),
                b"VIDEO-RANGE" => variant.range = attribute.value,
                b"HDCP-LEVEL" => variant.protection.hdcp = attribute.value,
                b"ALLOWED-CPC" => variant.protection.cpc = attribute.value,
                b"REQ-VIDEO-LAYOUT" => variant.layout = attribute.value,
                b"PATHWAY-ID" => variant.pathway = attribute.value,
                b"AUDIO" => variant.named.audio = attribute.value,
                b"VIDEO" => variant.named.video = attribute.value,
                b"SUBTITLES" => variant.named.subtitles = attribute.value,
                // The value NONE has no quotes and names no group; one of that name would be
                // kept a little too long.
                b"CLOSED-CAPTIONS" => variant.named.captions = attribute.value,
                _ => {}
            }
        }
        variant.bandwidth = variant.bandwidth.filter(|_| attributes.is_sound());
        variant
    }

    /// Whether there is a picture.
    pub(super) fn picture(&self) -> Picture {
        let kinds = || self.codecs.split(',').map(sort);
        if self.resolution.is_some() || kinds().any(|kind| kind == Sort::Video) {
            return Picture::Shown;
        }
        match kinds().all(|kind| kind == Sort::Other) || kinds().any(|kind| kind == Sort::Unknown) {
            true => Picture::Unknown,
            false => Picture::Absent,
        }
    }

    /// The families of the codecs, in the order of the alphabet, text left out.
    pub(super) fn families(&self) -> String {
        let mut families: Vec<String> = self
            .codecs
            .split(',')
            .filter(|codec| sort(codec) != Sort::Other)
            .map(family)
            .collect();
        families.sort_unstable();
        families.dedup();
        families.join(",")
    }

    /// The families of the codecs of its pictures, as far as they are known.
    pub(super) fn picture_families(&self) -> Vec<String> {
        let codecs = self.codecs.split(',');
        let pictures = codecs.filter(|codec| sort(codec) == Sort::Video);
        pictures.map(family).collect()
    }

    /// Its dynamic range. Without the attribute it is SDR (section 4.4.6.2), except that Dolby
    /// Vision was in use before there was one.
    pub(super) fn dynamic_range(&self) -> Option<DynamicRange> {
        match self.range {
            b"SDR" => Some(DynamicRange::Sdr),
            b"PQ" | b"HLG" => Some(DynamicRange::Hdr),
            b"" => {
                let mut families = self.codecs.split(',').map(family);
                let is_vision = families.any(|f| VISION.contains(&f.as_str()));
                (!is_vision).then_some(DynamicRange::Sdr)
            }
            _ => None,
        }
    }
}

impl<'a> Named<'a> {
    /// Each kind of group, with its name.
    pub(super) fn each(&self) -> [(Group, &'a [u8]); 4] {
        [
            (Group::Audio, self.audio),
            (Group::Video, self.video),
            (Group::Subtitles, self.subtitles),
            (Group::Captions, self.captions),
        ]
    }
}

/// Kinds of groups of renditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Audio,
    Video,
    Subtitles,
    Captions,
}

impl Group {
    /// The kind that a `TYPE` names.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        match text {
            b"AUDIO" => Some(Self::Audio),
            b"VIDEO" => Some(Self::Video),
            b"SUBTITLES" => Some(Self::Subtitles),
            b"CLOSED-CAPTIONS" => Some(Self::Captions),
            _ => None,
        }
    }
}

/// Width and height of `1280x720`.
fn resolution(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(['x', 'X'])?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// The family of a codec: what precedes the first dot, in lower case.
fn family(codec: &str) -> String {
    let codec = codec.trim();
    codec
        .split_once('.')
        .map_or(codec, |(family, _)| family)
        .to_ascii_lowercase()
}

/// What a codec is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Video,
    Audio,
    /// Text, or nothing at all.
    Other,
    Unknown,
}

fn sort(codec: &str) -> Sort {
    let family = family(codec);
    let any = |names: &[&str]| names.iter().any(|name| family.starts_with(name));
    match family.as_str() {
        "" | "stpp" | "wvtt" => Sort::Other,
        _ if any(VIDEO) => Sort::Video,
        _ if any(AUDIO) => Sort::Audio,
        _ => Sort::Unknown,
    }
}

/// Beginnings of the families of video codecs.
const VIDEO: &[&str] = &[
    "avc", "hvc", "hev", "dvh", "dva", "av01", "dav1", "vp0", "vp8", "vp9", "mp4v", "vvc", "vvi",
    "evc", "lvc", "mjp", "mp2v", "s263",
];

/// Beginnings of the families of audio codecs.
const AUDIO: &[&str] = &[
    "mp4a", "ac-3", "ec-3", "ac-4", "ac3", "ec3", "ac4", "opus", "flac", "alac", "mp3", "mhm",
    "mha", "dts", "vorbis", "iamf", "ipcm", "lpcm",
];

/// Families of Dolby Vision.
const VISION: &[&str] = &["dvh1", "dvhe", "dva1", "dvav", "dav1"];
