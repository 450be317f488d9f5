//! Playlists of I-frames, which go with the variants whose pictures they show.

use crate::config::adapt::DynamicRange;
use crate::manifest::hls::variant::{Picture, Variant};

/// What tells pictures apart beside their bit rate, as far as a tag says.
struct Look {
    height: Option<u32>,
    range: Option<DynamicRange>,
    /// Families of their codecs; none where that is not known.
    families: Vec<String>,
}

impl Look {
    fn of(variant: &Variant<'_>) -> Self {
        Self {
            height: height(variant),
            range: variant.dynamic_range(),
            families: variant.picture_families(),
        }
    }

    /// Without the attribute nothing is known of the range: many name it for variants alone.
    fn of_iframes(list: &Variant<'_>) -> Self {
        let look = Self::of(list);
        Self {
            range: look.range.filter(|_| !list.range.is_empty()),
            ..look
        }
    }

    /// Whether nothing says that these are other pictures.
    fn is_like(&self, other: &Self) -> bool {
        let shares = |family: &String| other.families.contains(family);
        let is_unknown = self.families.is_empty() || other.families.is_empty();
        agree(self.height, other.height)
            && agree(self.range, other.range)
            && (is_unknown || self.families.iter().any(shares))
    }
}

fn height(variant: &Variant<'_>) -> Option<u32> {
    variant.resolution.map(|(_, height)| height)
}

fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// Which of `lists` are left out where the `variants` that are not kept are: those that show the
/// pictures of such variants alone. Where all would go, the lowest one stays.
pub(super) fn gone(lists: &[Variant<'_>], variants: &[Variant<'_>], kept: &[bool]) -> Vec<bool> {
    let seen = variants.iter().zip(kept);
    let seen = seen.filter(|(variant, _)| variant.picture() != Picture::Absent);
    let seen: Vec<(Look, bool)> = seen
        .map(|(variant, stays)| (Look::of(variant), *stays))
        .collect();
    let goes = |list: &Variant<'_>| {
        let look = Look::of_iframes(list);
        let mut alike = seen
            .iter()
            .filter(|(other, _)| look.is_like(other))
            .peekable();
        alike.peek().is_some() && alike.all(|(_, stays)| !stays)
    };
    let mut gone: Vec<bool> = lists.iter().map(goes).collect();
    if gone.iter().all(|goes| *goes) {
        let heights = lists.iter().map(|list| height(list).unwrap_or(u32::MAX));
        let lowest = gone
            .iter_mut()
            .zip(heights)
            .min_by_key(|(_, height)| *height);
        if let Some((goes, _)) = lowest {
            *goes = false;
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(height: u32, codecs: &'static str, range: &'static [u8]) -> Variant<'static> {
        Variant {
            resolution: (height > 0).then_some((16, height)),
            codecs,
            range,
            ..Variant::default()
        }
    }

    #[test]
    fn they_go_with_all_variants_whose_pictures_they_show() {
        let variants = [
            of(360, "avc1.4d401e,mp4a.40.2", b"SDR"),
            of(720, "avc1.4d401f,mp4a.40.2", b"SDR"),
            of(720, "hvc1.2.4.L93.B0,mp4a.40.2", b"PQ"),
            of(0, "mp4a.40.2", b""),
        ];
        let lists = [
            of(360, "avc1.4d401e", b""),
            of(720, "avc1.4d401f", b""),
            of(720, "hvc1.2.4.L93.B0", b"PQ"),
            of(0, "hvc1.2.4.L93.B0", b""),
            of(240, "avc1.42c00d", b""),
            of(720, "{$codec}", b""),
        ];
        for (kept, left) in [
            ([true, true, true, true], &[0, 1, 2, 3, 4, 5][..]),
            ([true, true, false, false], &[0, 1, 4, 5]),
            ([true, false, true, true], &[0, 2, 3, 4, 5]),
            ([true, false, false, true], &[0, 4]),
            ([false, false, true, true], &[2, 3, 4, 5]),
        ] {
            let gone = gone(&lists, &variants, &kept);
            let stay: Vec<usize> = (0..lists.len()).filter(|list| !gone[*list]).collect();
            assert_eq!(stay, left, "{kept:?}");
        }
    }

    #[test]
    fn the_lowest_stays_where_all_would_go() {
        let variants = [of(720, "avc1", b""), of(360, "avc1", b"")];
        assert_eq!(gone(&variants, &variants, &[false, false]), [true, false]);
        assert_eq!(gone(&[], &variants, &[false, false]), [false; 0]);
    }
}
