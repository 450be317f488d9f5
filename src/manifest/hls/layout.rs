//! A multivariant playlist cut into blocks that stay whole wherever they go.
//!
//! A variant's block reaches from its tag to its URI, with the comments, blank lines and unknown
//! tags between them; that of a rendition or of an I-frame playlist is its tag; everything else
//! lies in blocks that are only ever copied. Together they are the text, without a gap.

use std::collections::HashMap;
use std::ops::Range;

use crate::limits::VARIANTS_READ_MAX;
use crate::manifest::hls::address::{self, Address};
use crate::manifest::hls::group::Numbers;
use crate::manifest::hls::iframes::Look;
use crate::manifest::hls::line::{Line, Lines};
use crate::manifest::hls::variant::{Group, Variant};
use crate::manifest::ladder::{Rendition, RenditionKind};

/// The parts of a playlist.
#[derive(Debug, Default)]
pub(super) struct Layout<'a> {
    pub blocks: Vec<Block>,
    /// Every URI, in the order of the text.
    pub addresses: Vec<Address>,
    pub variants: Vec<Variant<'a>>,
    /// The URI of each variant, as written.
    pub uris: Vec<&'a [u8]>,
    /// The pictures of each variant that has some.
    pub looks: Vec<Option<Look>>,
    /// Those of playlists of I-frames.
    pub iframes: Vec<Look>,
    pub renditions: Vec<Rendition>,
    /// What each `AUDIO` group offers; those of equal number offer the same.
    pub offers: HashMap<&'a [u8], usize>,
    /// `AUDIO` groups of which every rendition has a playlist of its own, each with the number of
    /// what players hear of it.
    pub apart: HashMap<&'a [u8], usize>,
    pub heard: Vec<Heard<'a>>,
    /// The groups of renditions.
    pub groups: Numbers<(Group, &'a [u8])>,
    pub steering: Steering,
    pub order: Order,
}

/// The rendition of an `AUDIO` group that players begin with: its default one, else its first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard<'a> {
    /// Its number.
    pub rendition: usize,
    /// The URI of its playlist, as written.
    pub uri: &'a [u8],
    is_default: bool,
}

/// A part that stays whole.
#[derive(Debug)]
pub(super) struct Block {
    pub span: Range<usize>,
    /// Its URIs among all of them.
    pub addresses: Range<usize>,
    pub role: Role,
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It is copied.
    Text,
    /// The variant of this number.
    Variant(usize),
    /// A member of the group of renditions of this number; where it is sound or text, the
    /// rendition of this number.
    Rendition {
        group: usize,
        rendition: Option<usize>,
    },
    /// The playlist of I-frames of this number.
    IFrames(usize),
}

/// Whether the author has named a steering service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Steering {
    Named,
    #[default]
    Absent,
}

/// Whether variants can be told apart, so that they can be moved and left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Clear,
    /// A variant lacks its URI or bitrate, or another tag stands in between.
    Unclear,
}

/// What sets a rendition apart within its group.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Traits<'a> {
    language: &'a [u8],
    associated: &'a [u8],
    name: &'a [u8],
    characteristics: &'a [u8],
    channels: &'a [u8],
    source: Source,
}

/// Where a rendition comes from.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
enum Source {
    #[default]
    Variant,
    Playlist,
}

/// The renditions of an `AUDIO` group.
struct Sounds<'a> {
    id: &'a [u8],
    members: Vec<Traits<'a>>,
    heard: Heard<'a>,
}

/// A variant whose URI is still to come.
struct Open<'a> {
    start: usize,
    addresses: usize,
    variant: Variant<'a>,
}

/// Reads a layout line by line.
struct Reader<'a> {
    text: &'a [u8],
    layout: Layout<'a>,
    open: Option<Open<'a>>,
    sounds: Vec<Sounds<'a>>,
    sound_of: HashMap<&'a [u8], usize>,
}

impl<'a> Layout<'a> {
    /// Cuts `text`; `None` where it is no multivariant playlist.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        let lines = Lines::of_playlist(text)?;
        let mut reader = Reader {
            text,
            layout: Self::default(),
            open: None,
            sounds: Vec::new(),
            sound_of: HashMap::new(),
        };
        reader.close(0..lines.at(), 0..0, Role::Text);
        for line in lines {
            reader.line(&line)?;
            let Layout {
                variants, iframes, ..
            } = &reader.layout;
            if variants.len().max(iframes.len()) > VARIANTS_READ_MAX {
                return None;
            }
        }
        reader.finish()
    }
}

impl<'a> Reader<'a> {
    /// Takes a line; `None` where it shows that this is a media playlist.
    fn line(&mut self, line: &Line<'a>) -> Option<()> {
        let before = self.layout.addresses.len();
        if line.is_uri() {
            self.layout.addresses.push(Address::of_line(line));
            match self.open.take() {
                Some(open) => self.variant(open, line),
                None => self.close_line(line, before, Role::Text),
            }
            return Some(());
        }
        if line.text.starts_with(b"#EXTINF") {
            return None;
        }
        let Some((name, list)) = line.tag() else {
            self.pass(line);
            return Some(());
        };
        let addresses = &mut self.layout.addresses;
        address::of_tag(line, |address| addresses.push(address));
        let role = match name {
            b"TARGETDURATION" => return None,
            b"STREAM-INF" => {
                self.interrupt(line, before);
                self.open = Some(Open {
                    start: line.start,
                    addresses: before,
                    variant: Variant::read(line, list),
                });
                return Some(());
            }
            b"MEDIA" => self.rendition(line, list),
            b"I-FRAME-STREAM-INF" => self.iframes(line, list),
            b"CONTENT-STEERING" => {
                self.layout.steering = Steering::Named;
                Role::Text
            }
            _ if self.layout.addresses.len() == before => {
                self.pass(line);
                return Some(());
            }
            _ => Role::Text,
        };
        self.interrupt(line, before);
        self.close_line(line, before, role);
        Some(())
    }

    /// Takes a line that belongs to whatever is open.
    fn pass(&mut self, line: &Line<'a>) {
        if self.open.is_none() {
            self.close_line(line, self.layout.addresses.len(), Role::Text);
        }
    }

    /// Gives up a variant whose URI does not come before `line`, before which there are so many
    /// addresses.
    fn interrupt(&mut self, line: &Line<'a>, addresses: usize) {
        if let Some(open) = self.open.take() {
            self.layout.order = Order::Unclear;
            let addresses = open.addresses..addresses;
            self.close(open.start..line.start, addresses, Role::Text);
        }
    }

    /// Makes a block of a line, with its addresses from `first` on.
    fn close_line(&mut self, line: &Line<'a>, first: usize, role: Role) {
        let addresses = first..self.layout.addresses.len();
        self.close(line.start..line.next, addresses, role);
    }

    /// Adds a block, or makes the last one longer.
    fn close(&mut self, span: Range<usize>, addresses: Range<usize>, role: Role) {
        match self.layout.blocks.last_mut() {
            Some(last) if role == Role::Text && last.role == Role::Text => {
                last.span.end = span.end;
                last.addresses.end = addresses.end;
            }
            _ => self.layout.blocks.push(Block {
                span,
                addresses,
                role,
            }),
        }
    }

    fn variant(&mut self, open: Open<'a>, line: &Line<'a>) {
        if open.variant.bandwidth.is_none() {
            self.layout.order = Order::Unclear;
        }
        let number = self.layout.variants.len();
        self.layout.looks.push(Look::of_variant(&open.variant));
        self.layout.variants.push(open.variant);
        let uri = self.text.get(line.uri()).unwrap_or_default();
        self.layout.uris.push(uri);
        let addresses = open.addresses..self.layout.addresses.len();
        self.close(open.start..line.next, addresses, Role::Variant(number));
    }

    fn rendition(&mut self, line: &Line<'a>, list: &'a [u8]) -> Role {
        let mut kind = None;
        let mut id: &[u8] = b"";
        let mut traits = Traits::default();
        let number = self.layout.renditions.len();
        let mut heard = Heard {
            rendition: number,
            uri: b"",
            is_default: false,
        };
        let mut attributes = line.attributes(list);
        for attribute in attributes.by_ref() {
            match attribute.name {
                b"TYPE" => kind = Group::of(attribute.value),
                b"GROUP-ID" => id = attribute.value,
                b"LANGUAGE" => traits.language = attribute.value,
                b"ASSOC-LANGUAGE" => traits.associated = attribute.value,
                b"NAME" => traits.name = attribute.value,
                b"CHARACTERISTICS" => traits.characteristics = attribute.value,
                b"CHANNELS" => traits.channels = attribute.value,
                b"DEFAULT" => heard.is_default = attribute.value == b"YES",
                b"URI" => {
                    traits.source = Source::Playlist;
                    heard.uri = attribute.value;
                }
                _ => {}
            }
        }
        let language = std::str::from_utf8(traits.language).unwrap_or_default();
        let Some(kind) = kind.filter(|_| attributes.is_sound()) else {
            return Role::Text;
        };
        let group = self.layout.groups.of((kind, id));
        if kind == Group::Audio {
            self.sound(id, traits, heard);
        }
        let kind = match kind {
            Group::Audio => Some(RenditionKind::Audio),
            Group::Subtitles => Some(RenditionKind::Subtitles),
            Group::Video | Group::Captions => None,
        };
        self.layout.renditions.extend(kind.map(|kind| Rendition {
            kind,
            language: (!language.is_empty()).then(|| language.to_ascii_lowercase()),
            group,
        }));
        let rendition = kind.map(|_| number);
        Role::Rendition { group, rendition }
    }

    /// Takes a rendition of an `AUDIO` group.
    fn sound(&mut self, id: &'a [u8], traits: Traits<'a>, heard: Heard<'a>) {
        let next = self.sounds.len();
        let place = *self.sound_of.entry(id).or_insert(next);
        let Some(sounds) = self.sounds.get_mut(place) else {
            let members = vec![traits];
            self.sounds.push(Sounds { id, members, heard });
            return;
        };
        sounds.members.push(traits);
        if heard.is_default && !sounds.heard.is_default {
            sounds.heard = heard;
        }
    }

    fn iframes(&mut self, line: &Line<'a>, list: &'a [u8]) -> Role {
        let number = self.layout.iframes.len();
        self.layout
            .iframes
            .push(Look::of_iframes(&Variant::read(line, list)));
        Role::IFrames(number)
    }

    fn finish(mut self) -> Option<Layout<'a>> {
        if let Some(open) = self.open.take() {
            self.layout.order = Order::Unclear;
            let addresses = open.addresses..self.layout.addresses.len();
            self.close(open.start..self.text.len(), addresses, Role::Text);
        }
        let mut offers = Numbers::default();
        for Sounds { id, members, heard } in self.sounds {
            if members.iter().all(|one| one.source == Source::Playlist) {
                self.layout.apart.insert(id, self.layout.heard.len());
                self.layout.heard.push(heard);
            }
            self.layout.offers.insert(id, offers.of(members));
        }
        let has_variants = !self.layout.variants.is_empty() || self.layout.order == Order::Unclear;
        has_variants.then_some(self.layout)
    }
}
