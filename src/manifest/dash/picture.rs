//! What a codec string and the properties of a representation tell of its picture.

use super::offer::properties;
use super::tree::{Element, Tree};
use crate::config::adapt::DynamicRange;

/// Transfer characteristics by the numbers of ISO/IEC 23091-2.
const TRANSFER: &str = "urn:mpeg:mpegB:cicp:TransferCharacteristics";

/// What clients that play one representation of a set may not play of another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Class {
    family: String,
    is_fast: bool,
    is_hdr: Option<bool>,
}

impl Class {
    /// The class of a representation with these codecs (RFC 6381) and this `@frameRate`.
    pub(super) fn new(codecs: &str, rate: Option<&str>, range: Option<DynamicRange>) -> Self {
        let family = codecs.split(['.', ',']).next().unwrap_or_default();
        Self {
            family: family.trim().to_ascii_lowercase(),
            // Up to 30 pictures a second every device plays what it can decode at all.
            is_fast: rate.and_then(pictures).is_some_and(|rate| rate > 31.0),
            is_hdr: range.map(|range| range == DynamicRange::Hdr),
        }
    }
}

/// Pictures in a second by a `@frameRate`: a number, or two with a slash.
pub(super) fn pictures(rate: &str) -> Option<f64> {
    let (count, seconds) = rate.trim().split_once('/').unwrap_or((rate.trim(), "1"));
    let (count, seconds): (f64, f64) = (count.parse().ok()?, seconds.parse().ok()?);
    let rate = count / seconds;
    rate.is_finite().then_some(rate)
}

/// The dynamic range, by the properties of a representation and its set, else by its codecs.
pub(super) fn range(
    tree: &Tree<'_>,
    levels: [&Element<'_>; 2],
    codecs: &str,
) -> Option<DynamicRange> {
    let transfer = levels.into_iter().find_map(|level| {
        properties(tree, level)
            .find(|property| tree.value(property, "schemeIdUri").as_deref() == Some(TRANSFER))
            .and_then(|property| tree.number(property, "value"))
    });
    transfer
        .and_then(by_transfer)
        .or_else(|| codecs.split(',').find_map(|codec| by_codec(codec.trim())))
}

fn by_transfer(number: u64) -> Option<DynamicRange> {
    match number {
        16 | 18 => Some(DynamicRange::Hdr),
        1 | 4..=8 | 13..=15 => Some(DynamicRange::Sdr),
        _ => None,
    }
}

/// The dynamic range that a codec string is sure of: its transfer characteristics, a codec that is
/// for high dynamic range only, or one with 8 bits a sample.
fn by_codec(codec: &str) -> Option<DynamicRange> {
    let codec = codec.to_ascii_lowercase();
    let fields: Vec<&str> = codec.split('.').collect();
    let number = |place: usize| fields.get(place).and_then(|field| field.parse().ok());
    match *fields.first()? {
        "dvh1" | "dvhe" | "dva1" | "dvav" | "dav1" => Some(DynamicRange::Hdr),
        "avc1" | "avc3" | "vp8" => Some(DynamicRange::Sdr),
        "hvc1" | "hev1" if number(1) == Some(1) => Some(DynamicRange::Sdr),
        // AV1 Codec ISO Media File Format Binding, section 5; VP Codec ISO Media File Format
        // Binding, "Codecs Parameter String".
        "av01" if fields.len() > 7 => by_transfer(number(7)?),
        "vp09" if fields.len() > 6 => by_transfer(number(6)?),
        "av01" if fields.get(3) == Some(&"08") => Some(DynamicRange::Sdr),
        "vp09" if fields.get(3) == Some(&"08") => Some(DynamicRange::Sdr),
        _ => None,
    }
}
