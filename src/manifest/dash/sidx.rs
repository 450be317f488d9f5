//! The Segment Index box (ISO/IEC 14496-12 section 8.16.3), for what it tells of the first
//! subsegment. Pure.
//!
//! Versions 0 and 1. The end of the box may be missing: the first reference stands at its
//! beginning. Invariant: lengths within are believed as far as there are bytes, and no further.

/// What is played first of an indexed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subsegment {
    /// Its length in bytes, 1 to 2^31 - 1.
    pub bytes: u64,
    /// How long it plays, in milliseconds, rounded down.
    pub millis: u64,
}

/// The first subsegment that an index refers to, out of bytes that begin with a box.
///
/// `None` where there is no index among the boxes that lie there one after the other, where it
/// refers to further indexes before media, and for a subsegment of no bytes or of no time.
#[must_use]
pub fn first(bytes: &[u8]) -> Option<Subsegment> {
    let mut rest = bytes;
    // A box takes eight bytes at least.
    while !rest.is_empty() {
        let found = IsoBox::read(rest)?;
        if found.name == *b"sidx" {
            return of_box(Fields(found.content));
        }
        rest = found.behind;
    }
    None
}

/// A box (section 4.2), as far as it is there.
struct IsoBox<'a> {
    name: [u8; 4],
    content: &'a [u8],
    behind: &'a [u8],
}

impl<'a> IsoBox<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let short = fields.u32()?;
        let name = fields.take()?;
        let size = match short {
            // It reaches to the end of the file.
            0 => u64::MAX,
            1 => fields.u64()?,
            size => u64::from(size),
        };
        let there = usize::try_from(size).unwrap_or(usize::MAX);
        let (whole, behind) = bytes
            .split_at_checked(there)
            .unwrap_or((bytes, Default::default()));
        let head = bytes.len().saturating_sub(fields.0.len());
        Some(Self {
            name,
            content: whole.get(head..)?,
            behind,
        })
    }
}

fn of_box(mut fields: Fields<'_>) -> Option<Subsegment> {
    let [version, ..] = fields.take::<4>()?;
    let _reference_id = fields.u32()?;
    let timescale = fields.u32()?;
    // Earliest presentation time and first offset.
    match version {
        0 => {
            fields.take::<8>()?;
        }
        1 => {
            fields.take::<16>()?;
        }
        _ => return None,
    }
    let _reserved = fields.take::<2>()?;
    let count = u16::from_be_bytes(fields.take()?);
    let reference = fields.u32()?;
    let duration = u64::from(fields.u32()?);
    let is_of_media = reference & TO_INDEX == 0;
    let found = Subsegment {
        bytes: u64::from(reference & !TO_INDEX),
        millis: (duration * 1000).checked_div(u64::from(timescale))?,
    };
    (count > 0 && is_of_media && found.bytes > 0 && found.millis > 0).then_some(found)
}

/// The bit of a reference that says that it is one to another index.
const TO_INDEX: u32 = 1 << 31;

/// Numbers in network byte order, one behind the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Subsegment, first};
    use proptest::prelude::*;

    /// A box of this name around `content`.
    fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + content.len()).unwrap();
        [&size.to_be_bytes()[..], name, content].concat()
    }

    /// The content of an index of two references; the first is of `reference` and `duration`.
    fn index(version: u8, timescale: u32, (reference, duration): (u32, u32)) -> Vec<u8> {
        // Earliest presentation time and first offset.
        let times = vec![0; if version == 0 { 8 } else { 16 }];
        [
            // Version and flags.
            &[version, 0, 0, 0][..],
            // Id of the track.
            &[0, 0, 0, 1],
            &timescale.to_be_bytes(),
            &times,
            // Reserved, and the number of references.
            &[0, 0, 0, 2],
            &reference.to_be_bytes(),
            &duration.to_be_bytes(),
            // Begins with a stream access point of type 1.
            &[0x90, 0, 0, 0],
            // The second reference: 7 bytes, 1 unit of time.
            &[0, 0, 0, 7, 0, 0, 0, 1, 0x90, 0, 0, 0],
        ]
        .concat()
    }

    const FIRST: (u32, u32) = (150_000, 360_360);
    const EXPECTED: Subsegment = Subsegment {
        bytes: 150_000,
        millis: 4004,
    };

    #[test]
    fn the_first_reference_tells_bytes_and_time() {
        let narrow = boxed(b"sidx", &index(0, 90_000, FIRST));
        let wide = boxed(b"sidx", &index(1, 90_000, FIRST));
        let large = index(0, 90_000, FIRST);
        let size = u64::try_from(16 + large.len()).unwrap();
        let large = [&[0, 0, 0, 1][..], b"sidx", &size.to_be_bytes(), &large].concat();
        let endless = [&[0, 0, 0, 0][..], b"sidx", &index(1, 90_000, FIRST)].concat();
        let behind = [boxed(b"styp", b"msdh"), boxed(b"free", b""), wide.clone()].concat();
        for (name, bytes) in [
            ("version 0", &narrow[..]),
            ("version 1", &wide),
            ("a size of 64 bits", &large),
            ("to the end", &endless),
            ("behind others", &behind),
            ("without its second reference", &narrow[..narrow.len() - 12]),
            ("to the end of the duration", &narrow[..narrow.len() - 16]),
        ] {
            assert_eq!(first(bytes), Some(EXPECTED), "{name}");
        }
        for cut in 0..narrow.len() - 16 {
            assert_eq!(first(&narrow[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_tells_of_no_media_tells_nothing() {
        let sidx = |content: &[u8]| boxed(b"sidx", content);
        let mut none = index(0, 90_000, FIRST);
        // The number of references.
        none[23] = 0;
        for (name, bytes) in [
            ("nothing", Vec::new()),
            ("another box", boxed(b"moof", &index(0, 90_000, FIRST))),
            ("an unknown version", sidx(&index(2, 90_000, FIRST))),
            ("no references", sidx(&none)),
            (
                "an index",
                sidx(&index(0, 90_000, (1 << 31 | 800, 360_360))),
            ),
            ("no bytes", sidx(&index(0, 90_000, (0, 360_360)))),
            ("no time", sidx(&index(0, 90_000, (800, 0)))),
            ("less than a millisecond", sidx(&index(0, 90_000, (800, 1)))),
            ("no timescale", sidx(&index(0, 0, FIRST))),
            (
                "a box shorter than its head",
                [&[0, 0, 0, 7][..], b"free", &[0; 9]].concat(),
            ),
            (
                "a box that ends too early",
                [&[0, 0, 0, 30][..], b"sidx", &[0; 60]].concat(),
            ),
        ] {
            assert_eq!(first(&bytes), None, "{name}");
        }
    }

    #[test]
    fn the_longest_is_no_more_than_its_fields_hold() {
        let content = index(1, 1, (u32::MAX >> 1, u32::MAX));
        let expected = Subsegment {
            bytes: (1 << 31) - 1,
            millis: u64::from(u32::MAX) * 1000,
        };
        assert_eq!(first(&boxed(b"sidx", &content)), Some(expected));
    }

    proptest! {
        #[test]
        fn garbage_makes_it_not_panic(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(first(&garbage).is_none_or(|found| found.bytes > 0));
        }

        #[test]
        fn what_is_found_is_within_bounds_however_an_index_is_damaged(
            version in 0..3_u8,
            timescale in any::<u32>(),
            reference in any::<(u32, u32)>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = boxed(b"styp", b"msdh");
            bytes.extend(boxed(b"sidx", &index(version, timescale, reference)));
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            if let Some(found) = first(&bytes) {
                prop_assert!((1..1 << 31).contains(&found.bytes));
                prop_assert!((1..=u64::from(u32::MAX) * 1000).contains(&found.millis));
            }
        }
    }
}
