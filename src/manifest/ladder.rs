//! The rungs of a title, as its manifest tells of them.

use crate::config::adapt::DynamicRange;

/// Everything a manifest offers to choose from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ladder {
    /// Variants (HLS) or video representations (DASH; of titles without video, audio ones), in the
    /// order of the manifest.
    pub rungs: Vec<Rung>,
    /// Audio and subtitle renditions, in the order of the manifest.
    pub renditions: Vec<Rendition>,
    /// Bit/s of the sound that plays beside a picture at least, whichever of the sets of sound a
    /// player takes (DASH): the largest of their least ones. 0 where no sound is apart.
    pub sound_least: u64,
    /// Sounds that are fetched apart from pictures: those that players begin with where nobody
    /// chooses.
    pub sounds: Vec<Sound>,
}

/// One quality of the picture, or of the sound where there is no picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rung {
    /// Peak bit/s, the audio that plays with it included.
    pub bandwidth: u64,
    /// Average bit/s, the same way, where the manifest says; `bandwidth` elsewhere.
    pub average: u64,
    /// Bit/s of the picture alone where the sound is apart (DASH `@bandwidth`); else `bandwidth`.
    pub picture: u64,
    /// Bit/s of the sound that is fetched apart from the picture; 0 where none is.
    pub sound: u64,
    /// That sound among the ladder's; `None` where none is, and in later periods (DASH).
    pub heard: Option<usize>,
    /// Lines of the picture; `None` where unknown or without picture.
    pub height: Option<u32>,
    /// Codecs as written, comma-separated.
    pub codecs: String,
    /// Dynamic range.
    pub range: Option<DynamicRange>,
    /// Rungs of equal group are the same but for quality: codec family, dynamic range, frame rate
    /// class, audio group, pathway, protection, and in DASH adaptation set and period. A client
    /// that can play one can play all of them.
    pub group: usize,
    /// Rungs of different periods (DASH) play one after the other, not in place of each other; 0
    /// where there are no periods.
    pub period: usize,
    /// The first rung that is the same from another place (redundant variants of HLS, on whatever
    /// pathway); `None` for that one itself. Copies stay and go together.
    pub copy_of: Option<usize>,
    /// Whether there is a picture.
    pub has_video: bool,
    /// The author's preference (HLS SCORE in thousandths), higher first.
    pub score: Option<u64>,
    /// Where its first bytes are to be found.
    pub first: First,
}

/// What is fetched of a rung before its first picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct First {
    /// URI of the media playlist (HLS), as written.
    pub playlist: Option<String>,
    /// URI of the initialisation segment (DASH) as a reference relative to the manifest, a path or
    /// a URL.
    pub init: Option<String>,
    /// First and last byte of it, where it is a part of a file.
    pub init_bytes: Option<(u64, u64)>,
    /// URI of the first media segment (DASH), as `init` is; `None` where it depends on the time.
    pub segment: Option<String>,
    /// First and last byte of it, where it is a part of a file.
    pub segment_bytes: Option<(u64, u64)>,
    /// Where the first media segment is told of, where the manifest does not do it itself.
    pub index: Option<Index>,
    /// Milliseconds that the first segment plays, where the manifest says.
    pub millis: Option<u64>,
}

/// URI of something that is fetched, with its first and last byte where it is a part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// As it stands in the manifest, or relative to it.
    pub uri: String,
    /// First and last byte; `None` for all of it.
    pub span: Option<(u64, u64)>,
}

impl First {
    /// What is fetched before the first picture, in this order.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let part = |uri: &Option<String>, span| {
            let uri = uri.clone()?;
            Some(Part { uri, span })
        };
        let index = self.index.as_ref().map(|index| Part {
            uri: index.uri.clone(),
            span: Some(index.span),
        });
        let parts = [
            part(&self.playlist, None),
            part(&self.init, self.init_bytes),
            index,
            part(&self.segment, self.segment_bytes),
        ];
        parts.into_iter().flatten().collect()
    }
}

/// A sound that is fetched apart from the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// Its place among the renditions.
    pub rendition: usize,
    /// Where its first bytes are to be found.
    pub first: First,
}

/// The Segment Index of a file (DASH `@indexRange`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// URI of the file, as that of an initialisation segment.
    pub uri: String,
    /// First and last byte of the index.
    pub span: (u64, u64),
}

/// An audio or subtitle rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// What it is.
    pub kind: RenditionKind,
    /// Language tag in lower case; `None` where the manifest says nothing.
    pub language: Option<String>,
    /// Renditions of equal group stand in for each other.
    pub group: usize,
}

/// What a rendition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenditionKind {
    /// Sound.
    Audio,
    /// Text.
    Subtitles,
}
