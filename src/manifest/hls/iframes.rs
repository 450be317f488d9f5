//! Playlists of I-frames, which go with the variants whose pictures they show.

use crate::config::adapt::DynamicRange;
use crate::manifest::hls::variant::{Picture, Variant};

/// What tells pictures apart beside their bit rate, as far as a tag says.
#[derive(Debug)]
pub(super) struct Look {
    height: Option<u32>,
    range: Option<DynamicRange>,
    /// Families of their codecs; none where that is not known.
    families: Vec<String>,
}

impl Look {
    /// That of a variant; `None` where it has no picture.
    pub(super) fn of_variant(variant: &Variant<'_>) -> Option<Self> {
        let is_seen = variant.picture() != Picture::Absent;
        is_seen.then(|| Self {
            height: height(variant),
            range: variant.dynamic_range(),
            families: variant.picture_families(),
        })
    }

    /// That of a playlist of I-frames, which has the attributes of a variant. Without `VIDEO-RANGE`
    /// nothing is known of the range: many name it for variants alone.
    pub(super) fn of_iframes(list: &Variant<'_>) -> Self {
        let range = list.dynamic_range();
        Self {
            height: height(list),
            range: range.filter(|_| !list.range.is_empty()),
            families: list.picture_families(),
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
pub(super) fn gone(lists: &[Look], variants: &[Option<Look>], kept: &[bool]) -> Vec<bool> {
    let goes = |list: &Look| {
        let seen = variants.iter().zip(kept);
        let seen = seen.filter_map(|(variant, stays)| Some((variant.as_ref()?, *stays)));
        let mut alike = seen.filter(|(variant, _)| list.is_like(variant)).peekable();
        alike.peek().is_some() && alike.all(|(_, stays)| !stays)
    };
    let mut gone: Vec<bool> = lists.iter().map(goes).collect();
    if gone.iter().all(|goes| *goes) {
        let heights = lists.iter().map(|list| list.height.unwrap_or(u32::MAX));
        let lowest = gone.iter_mut().zip(heights);
        if let Some((goes, _)) = lowest.min_by_key(|(_, height)| *height) {
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

    fn left_out(lists: &[Variant<'_>], variants: &[Variant<'_>], kept: &[bool]) -> Vec<bool> {
        let lists: Vec<Look> = lists.iter().map(Look::of_iframes).collect();
        let variants: Vec<_> = variants.iter().map(Look::of_variant).collect();
        gone(&lists, &variants, kept)
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
            let gone = left_out(&lists, &variants, &kept);
            let stay: Vec<usize> = (0..lists.len()).filter(|list| !gone[*list]).collect();
            assert_eq!(stay, left, "{kept:?}");
        }
    }

    #[test]
    fn the_lowest_stays_where_all_would_go() {
        let variants = [of(720, "avc1", b""), of(360, "avc1", b"")];
        assert_eq!(
            left_out(&variants, &variants, &[false, false]),
            [true, false]
        );
        assert_eq!(left_out(&[], &variants, &[false, false]), [false; 0]);
    }
}
