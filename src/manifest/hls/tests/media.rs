//! Media playlists, rebased.

use super::fixtures::{INTERSTITIALS, LOW_LATENCY};
use crate::manifest::hls::rebase_media;
use crate::manifest::uri::{Rebase, Relative};

fn rebase(relative: Relative) -> Rebase {
    Rebase {
        object: "/live/v/media.m3u8".into(),
        prefix: "/~sid".into(),
        hosts: vec!["cdn.example".into()],
        relative,
    }
}

fn rebased(text: &str, relative: Relative) -> Option<String> {
    let out = rebase_media(text.as_bytes(), &rebase(relative))?;
    Some(String::from_utf8(out).unwrap())
}

#[test]
fn parts_hints_reports_maps_and_keys_are_rebased_and_licences_not() {
    let inherited = LOW_LATENCY
        .replace("\"/keys", "\"/~sid/keys")
        .replace("\"/init", "\"/~sid/init")
        .replace("\n/all", "\n/~sid/all")
        .replace("\n/gone", "\n/~sid/gone")
        .replace("\"/part", "\"/~sid/part")
        .replace("\"/1M", "\"/~sid/1M")
        .replace("https://cdn.example/", "https://cdn.example/~sid/");
    let found = rebased(LOW_LATENCY, Relative::Inherit);
    assert_eq!(found.as_ref(), Some(&inherited));
    let resolved = inherited.replace("\"part271.1", "\"/~sid/live/v/part271.1");
    assert_eq!(rebased(LOW_LATENCY, Relative::Resolve), Some(resolved));
    let licence = "#EXTM3U\n#EXT-X-KEY:METHOD=X,KEYFORMAT=\"drm\",URI=\"l\"\n";
    let found = licence.replace("\"l\"", "\"/live/v/l\"");
    assert_eq!(rebased(licence, Relative::Resolve), Some(found));
    assert_eq!(rebased(licence, Relative::Inherit), None);
}

#[test]
fn interstitials_are_rebased_and_other_date_ranges_not() {
    let inherited = INTERSTITIALS.replace("\"/ads", "\"/~sid/ads");
    let found = rebased(INTERSTITIALS, Relative::Inherit);
    assert_eq!(found.as_ref(), Some(&inherited));
    let resolved = inherited.replace("seg", "/~sid/live/v/seg");
    assert_eq!(rebased(INTERSTITIALS, Relative::Resolve), Some(resolved));
}

#[test]
fn what_has_nothing_to_change_is_not_copied() {
    for text in [
        "#EXTM3U\n#EXTINF:6,\na.ts\n",
        "#EXTM3U\n#EXT-X-MAP:URI=\"unended\n#EXT-X-MAP:URI=/bare\n",
        "#EXTINF:6,\n/a.ts\n",
        "",
    ] {
        assert_eq!(rebased(text, Relative::Inherit), None, "{text}");
    }
    let text = b"#EXTM3U\n#EXTINF:6,\n/\xFF.ts\n";
    assert_eq!(rebase_media(text, &rebase(Relative::Inherit)), None);
}
