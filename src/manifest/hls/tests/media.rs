//! Media playlists, rebased and read.

use std::time::Duration;

use super::fixtures::{INTERSTITIALS, LOW_LATENCY};
use crate::manifest::hls::rebase_media;
use crate::manifest::hls::segments::{Bytes, Playlist, Presence};
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

#[test]
fn a_playlist_tells_how_its_segments_are_fetched() {
    let playlist = Playlist::parse(LOW_LATENCY.as_bytes()).unwrap();
    assert_eq!(playlist.target, Some(Duration::from_secs(4)));
    assert_eq!((playlist.sequence, playlist.is_ended), (266, false));
    let segments: Vec<_> = playlist.segments().collect();
    let facts: Vec<_> = segments
        .iter()
        .map(|s| {
            (
                s.uri,
                s.sequence,
                s.discontinuities,
                s.bytes.map(|b| (b.first, b.last)),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("/all.mp4", 269, 0, Some((720, 1719))),
            ("/all.mp4", 270, 0, Some((1720, 2219))),
            ("/gone.mp4", 271, 0, None),
            ("https://cdn.example/271.mp4", 272, 1, None),
        ]
    );
    let [first, _, gap, last] = segments.as_slice() else {
        panic!("{segments:?}")
    };
    let init = first.init.unwrap();
    assert_eq!(
        (init.uri, init.bytes),
        (
            "/init.mp4",
            Some(Bytes {
                first: 0,
                last: 719
            })
        )
    );
    assert_eq!(first.duration, Duration::from_secs(4));
    let key = first.key.unwrap();
    assert_eq!((key.method, key.uri), ("SAMPLE-AES", "/licence"));
    assert_eq!(
        (gap.presence, last.presence),
        (Presence::Gap, Presence::There)
    );
    assert_eq!(last.key, None);
    assert!(last.lines.starts_with(b"#EXT-X-DISCONTINUITY\n"));
    let whole: usize = segments.iter().map(|s| s.lines.len()).sum();
    assert_eq!(
        whole,
        LOW_LATENCY
            .find("#EXT-X-PART:DURATION=0.33334,URI=\"https")
            .unwrap()
            - 8
    );
}

#[test]
fn the_segments_behind_one_are_found_by_uri_and_offset() {
    let playlist = Playlist::parse(LOW_LATENCY.as_bytes()).unwrap();
    let behind = |uri: &str, byte: Option<u64>| -> Vec<u64> {
        let holds = |bytes: Bytes| byte.is_some_and(|b| (bytes.first..=bytes.last).contains(&b));
        let following = playlist.following(|s| s.uri == uri && s.bytes.is_none_or(holds));
        following.map(|s| s.sequence).collect()
    };
    assert_eq!(behind("/all.mp4", Some(800)), [270, 271, 272]);
    assert_eq!(behind("/all.mp4", Some(2219)), [271, 272]);
    assert_eq!(behind("/gone.mp4", None), [272]);
    assert_eq!(behind("https://cdn.example/271.mp4", None), [0; 0]);
    assert_eq!(behind("/unknown", None), [0; 0]);
}

#[test]
fn odd_byte_ranges_are_none() {
    let cases = [
        ("0@5", None),
        ("5@18446744073709551615", None),
        ("-1@0", None),
        ("x", None),
        ("3@", Some((0, 2))),
        ("3", Some((0, 2))),
        ("3@7", Some((7, 9))),
    ];
    for (range, expected) in cases {
        let text = format!("#EXTM3U\n#EXTINF:1,\n#EXT-X-BYTERANGE:{range}\na\n");
        let playlist = Playlist::parse(text.as_bytes()).unwrap();
        let bytes = playlist.segments().next().unwrap().bytes;
        assert_eq!(bytes.map(|b| (b.first, b.last)), expected, "{range}");
    }
}

#[test]
fn what_is_no_media_playlist_is_not_read() {
    for text in [
        "",
        "#EXTM3U\n",
        "#EXTM3U\n#EXTINF:1,\na\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb\n",
    ] {
        assert!(Playlist::parse(text.as_bytes()).is_none(), "{text}");
    }
    let ended = Playlist::parse(INTERSTITIALS.as_bytes()).unwrap();
    assert!(ended.is_ended);
    assert_eq!(
        ended.segments().map(|s| s.uri).collect::<Vec<_>>(),
        ["seg1.ts", "seg2.ts"]
    );
}
