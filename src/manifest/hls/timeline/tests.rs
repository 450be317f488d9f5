use super::*;

const CMAF: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:41\n\
    #EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-INDEPENDENT-SEGMENTS\n\
    #EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"720@0\"\n\
    #EXTINF:6.006,\n#EXT-X-BYTERANGE:1000@720\nall.mp4\n\
    #EXTINF:5,title, more\n#EXT-X-BYTERANGE:500\nall.mp4\n\
    #EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n#EXT-X-DISCONTINUITY\n\
    #EXT-X-MAP:URI=\"other.mp4\"\n#EXT-X-GAP\n\
    #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n#EXTINF:4.2\nx/y.m4s?z=1\n\
    #EXT-X-KEY:METHOD=NONE\n#EXTINF:4.2\nlast.m4s\n#EXT-X-DATERANGE:ID=\"a\"\n#EXT-X-ENDLIST\n";

#[test]
fn what_concerns_all_segments_is_told_apart() {
    let timeline = Timeline::parse(CMAF.as_bytes()).unwrap();
    assert_eq!((timeline.version, timeline.target), (7, 6));
    assert_eq!(timeline.discontinuities, 2);
    assert!(timeline.is_finished && timeline.extra.is_none());
    assert_eq!(timeline.headers, ["#EXT-X-INDEPENDENT-SEGMENTS"]);
    assert_eq!(timeline.tail, ["#EXT-X-DATERANGE:ID=\"a\""]);
}

#[test]
fn each_segment_is_told_by_itself() {
    let timeline = Timeline::parse(CMAF.as_bytes()).unwrap();
    assert_eq!(timeline.range(), 41..45);
    let maps: Vec<_> = timeline
        .maps
        .iter()
        .map(|m| (m.uri, m.span, m.keys))
        .collect();
    assert_eq!(
        maps,
        [("init.mp4", Some((0, 719)), 0), ("other.mp4", None, 1)]
    );
    assert_eq!(timeline.keys_at(0), <[&str; 0]>::default());
    assert_eq!(
        timeline.keys_at(1),
        ["#EXT-X-KEY:METHOD=AES-128,URI=\"k1\""]
    );
    let told: Vec<_> = timeline
        .segments
        .iter()
        .map(|s| {
            (
                s.sequence,
                s.millis,
                s.uri,
                s.span,
                s.map,
                s.keys,
                s.continues,
                s.is_there,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                41,
                6006,
                "all.mp4",
                Some((720, 1719)),
                Some(0),
                0,
                true,
                true
            ),
            (
                42,
                5000,
                "all.mp4",
                Some((1720, 2219)),
                Some(0),
                0,
                true,
                true
            ),
            (43, 4200, "x/y.m4s?z=1", None, Some(1), 1, false, false),
            (44, 4200, "last.m4s", None, Some(1), 0, true, true),
        ]
    );
    let lines = &timeline.segments[2].lines;
    assert_eq!(
        lines,
        &[
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z",
            "#EXTINF:4.2"
        ]
    );
    assert_eq!(timeline.at(43).map(|s| s.uri), Some("x/y.m4s?z=1"));
    assert_eq!((timeline.at(40), timeline.at(45)), (None, None));
}

#[test]
fn what_is_no_media_playlist_is_not_read() {
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n";
    for text in [
        "",
        "#EXTM3U\n",
        "#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n",
        &format!("{head}a.ts\n"),
        &format!("{head}#EXTINF:x,\na.ts\n"),
        &format!("{head}#EXT-X-BYTERANGE:9\n#EXTINF:4,\na.ts\n"),
        &format!("{head}#EXT-X-BYTERANGE:0@0\n#EXTINF:4,\na.ts\n"),
        &format!("{head}#EXT-X-BYTERANGE:9@18446744073709551615\n#EXTINF:4,\na.ts\n"),
        &format!("{head}#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:4,\na.ts\n"),
        &format!("{head}#EXT-X-MAP:BYTERANGE=\"1@0\"\n#EXTINF:4,\na.ts\n"),
    ] {
        assert!(Timeline::parse(text.as_bytes()).is_none(), "{text}");
    }
    assert!(Timeline::parse(b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n\xFF\n").is_none());
    assert!(
        Timeline::parse(head.as_bytes())
            .unwrap()
            .segments
            .is_empty()
    );
}

#[test]
fn what_is_more_than_segments_is_said() {
    for (line, extra) in [
        ("#EXT-X-PART-INF:PART-TARGET=0.3", Extra::Parts),
        ("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p\"", Extra::Parts),
        ("#EXT-X-SKIP:SKIPPED-SEGMENTS=3", Extra::Skipped),
        ("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"", Extra::Variables),
        ("#EXT-X-I-FRAMES-ONLY", Extra::Pictures),
    ] {
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{line}\n#EXTINF:4,\na.ts\n");
        let timeline = Timeline::parse(text.as_bytes()).unwrap();
        assert_eq!(timeline.extra, Some(extra), "{line}");
    }
}

#[test]
fn keys_of_several_formats_hold_together_until_replaced() {
    let key =
        |uri: &str, format: &str| format!("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"{uri}\"{format}");
    let [own, widevine, next] = [
        key("skd://1", ",KEYFORMAT=\"com.apple.streamingkeydelivery\""),
        key("data:x", ",KEYFORMAT=\"urn:uuid:edef8ba9\""),
        key("skd://2", ",KEYFORMAT=\"com.apple.streamingkeydelivery\""),
    ];
    let text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n{own}\n{widevine}\n#EXTINF:4,\na.ts\n\
         {next}\n#EXTINF:4,\nb.ts\n{own}\n#EXTINF:4,\nc.ts\n"
    );
    let timeline = Timeline::parse(text.as_bytes()).unwrap();
    let keys = |index: usize| timeline.keys_at(timeline.segments[index].keys).len();
    assert_eq!([keys(0), keys(1), keys(2)], [2, 2, 2]);
    let index: Vec<_> = timeline
        .segments
        .iter()
        .map(|segment| segment.keys)
        .collect();
    assert_eq!(index[0], index[2]);
    assert_ne!(index[0], index[1]);
}
