use proptest::prelude::{any, prop, proptest};

use super::*;

/// A live rung's window of `count` segments from `first` on, of 4 s each; every seventh segment
/// follows a break of the programme.
fn live(name: &str, map: &str, range: Range<u64>) -> String {
    let before = (1..=range.start).filter(|n| n.is_multiple_of(7)).count();
    let before = before - usize::from(range.start.is_multiple_of(7) && range.start > 0);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{before}\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=24\n",
        range.start
    );
    if !map.is_empty() {
        text.push_str(&format!("#EXT-X-MAP:URI=\"/{name}/{map}\"\n"));
    }
    for n in range {
        if n > 0 && n % 7 == 0 {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        text.push_str(&format!("#EXTINF:4.000,\n/{name}/{n}\n"));
    }
    text
}

fn choices(text: &str) -> Choices {
    Choices::parse(text).unwrap()
}

/// Composes rungs 0 and 1 of these texts.
fn composed(texts: [&str; 2], now: usize, told: Option<&str>) -> Result<Composed, Misfit> {
    let [low, high] = texts.map(|text| Timeline::parse(text.as_bytes()).unwrap());
    let rung = |number, timeline| Rung {
        number,
        timeline,
        codecs: "avc1.4d401f,mp4a.40.2",
    };
    let rungs = [rung(0, &low), rung(1, &high)];
    compose(&rungs, now, told.map(choices))
}

#[test]
fn new_segments_of_cmaf_come_from_the_rung_of_now_behind_its_initialisation() {
    let texts = [
        live("low", "init.mp4", 1..6),
        live("high", "init.mp4", 2..7),
    ];
    let got = composed([&texts[0], &texts[1]], 1, Some("1 0 0x4")).unwrap();
    let expected = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n\
        #EXT-X-MEDIA-SEQUENCE:2\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\
        #EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-MAP:URI=\"/low/init.mp4\"\n\
        #EXTINF:4.000,\n/low/2\n#EXTINF:4.000,\n/low/3\n#EXTINF:4.000,\n/low/4\n\
        #EXT-X-MAP:URI=\"/high/init.mp4\"\n\
        #EXTINF:4.000,\n/high/5\n#EXTINF:4.000,\n/high/6\n";
    assert_eq!(got.text, expected);
    assert_eq!(got.choices.to_text(), "2 0 0x3 1x2");
    assert_eq!(got.choices.rungs(), [0, 1]);
}

#[test]
fn transport_streams_are_joined_by_discontinuities_that_are_counted_when_they_leave() {
    let texts = [live("low", "", 1..5), live("high", "", 1..6)];
    let got = composed([&texts[0], &texts[1]], 1, Some("1 5 0x2")).unwrap();
    let expected = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n\
        #EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-DISCONTINUITY-SEQUENCE:5\n\
        #EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXTINF:4.000,\n/low/1\n#EXTINF:4.000,\n/low/2\n#EXT-X-DISCONTINUITY\n\
        #EXTINF:4.000,\n/high/3\n#EXTINF:4.000,\n/high/4\n#EXTINF:4.000,\n/high/5\n";
    assert_eq!(got.text, expected);
    let texts = [live("low", "", 2..6), live("high", "", 3..8)];
    let carried = got.choices.to_text();
    let later = composed([&texts[0], &texts[1]], 0, Some(&carried)).unwrap();
    assert_eq!(later.choices.to_text(), "3 6 1x3");
    assert!(
        later.text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:6\n"),
        "{}",
        later.text
    );
}

#[test]
fn a_complete_title_is_told_at_once_from_one_rung() {
    let end = "#EXT-X-ENDLIST\n";
    let head = "#EXT-X-PLAYLIST-TYPE:VOD\n";
    let texts = ["low", "high"].map(|name| {
        let text = live(name, "i", 0..4).replacen("#EXTM3U\n", &format!("#EXTM3U\n{head}"), 1);
        text + end
    });
    let got = composed([&texts[0], &texts[1]], 1, None).unwrap();
    assert_eq!(got.choices.to_text(), "0 0 1x4");
    assert!(
        got.text.contains(head) && got.text.ends_with(end),
        "{}",
        got.text
    );
    let again = composed([&texts[0], &texts[1]], 0, Some("0 0 1x4")).unwrap();
    assert_eq!(again, got, "what was told stays");
}

#[test]
fn keys_and_byte_ranges_are_told_where_a_rung_is_entered() {
    let head = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n";
    let clear = format!(
        "{head}#EXT-X-MAP:URI=\"/a.mp4\",BYTERANGE=\"9@0\"\n#EXTINF:4,\n\
         #EXT-X-BYTERANGE:10@9\n/a.mp4\n#EXTINF:4,\n#EXT-X-BYTERANGE:10\n/a.mp4\n\
         #EXTINF:4,\n#EXT-X-BYTERANGE:10\n/a.mp4\n"
    );
    let secret = format!(
        "{head}#EXT-X-MAP:URI=\"/b.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"/k\"\n\
         #EXTINF:4,\n/b1\n#EXTINF:4,\n/b2\n#EXTINF:4,\n/b3\n"
    );
    let got = composed([&clear, &secret], 0, Some("0 0 0x1 1x1")).unwrap();
    let expected = format!(
        "{head}#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\
         #EXT-X-MAP:URI=\"/a.mp4\",BYTERANGE=\"9@0\"\n#EXTINF:4,\n#EXT-X-BYTERANGE:10@9\n/a.mp4\n\
         #EXT-X-MAP:URI=\"/b.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"/k\"\n#EXTINF:4,\n/b2\n\
         #EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"/a.mp4\",BYTERANGE=\"9@0\"\n#EXTINF:4,\n\
         #EXT-X-BYTERANGE:10@29\n/a.mp4\n"
    );
    assert_eq!(got.text, expected);
}

#[test]
fn rungs_that_do_not_fit_are_not_composed() {
    let fits = live("low", "i", 1..6);
    let high = live("high", "i", 1..6);
    let of = |change: (&str, &str)| high.replacen(change.0, change.1, 1);
    for (text, misfit) in [
        (
            of(("4.000,\n/high/3", "4.043,\n/high/3")),
            Misfit::Unaligned,
        ),
        (
            of((
                "#EXTINF:4.000,\n/high/3",
                "#EXT-X-DISCONTINUITY\n#EXTINF:4,\n/high/3",
            )),
            Misfit::Unaligned,
        ),
        (live("high", "i", 8..12), Misfit::Unaligned),
        (
            of(("#EXTINF", "#EXT-X-PART-INF:PART-TARGET=1\n#EXTINF")),
            Misfit::Unlisted,
        ),
        (
            of(("#EXTINF", "#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF")),
            Misfit::Unlisted,
        ),
        (live("high", "i", 1..1), Misfit::Unlisted),
    ] {
        assert_eq!(composed([&fits, &text], 0, None), Err(misfit), "{text}");
    }
    let near = of(("4.000,\n/high/3", "4.042,\n/high/3"));
    assert!(composed([&fits, &near], 0, None).is_ok());
    let older = live("high", "i", 1..4);
    let told = Some("1 0 1x4");
    assert_eq!(composed([&fits, &older], 0, told), Err(Misfit::Behind(1)));
    assert_eq!(composed([&fits, &high], 2, None), Err(Misfit::Missing(2)));
    assert_eq!(
        composed([&fits, &high], 0, Some("1 0 5x2")),
        Err(Misfit::Missing(5))
    );
}

#[test]
fn what_is_carried_is_read_back_and_nothing_else_is() {
    for text in ["7 0 0x1", "7 3 0x1 2d40 0x2", "0 0"] {
        assert_eq!(choices(text).to_text(), text);
    }
    for text in [
        "",
        "7",
        "7 0 0x0",
        "7 0 x1",
        "7 0 1x",
        "7 0 1xd2",
        "-1 0 0x1",
        "7 0 0x18446744073709551615",
    ] {
        assert_eq!(Choices::parse(text), None, "{text}");
    }
}

/// What a playlist says of each of its segments: everything that a player acts on.
fn told(text: &str) -> Vec<(u64, String, Option<String>, u64)> {
    let timeline = Timeline::parse(text.as_bytes()).unwrap();
    let mut discontinuities = timeline.discontinuities;
    let segments = timeline.segments.iter();
    let each = segments.map(|segment| {
        discontinuities += u64::from(!segment.continues);
        let map = segment.map.map(|map| timeline.maps[map].uri.to_owned());
        (
            segment.sequence,
            segment.uri.to_owned(),
            map,
            discontinuities,
        )
    });
    each.collect()
}

proptest! {
    #[test]
    fn what_was_told_never_changes(
        steps in prop::collection::vec((0_u64..3, 0_u64..2, 0_usize..2, any::<bool>()), 1..40),
        has_map in any::<bool>(),
    ) {
        let map = if has_map { "init.mp4" } else { "" };
        let mut carried: Option<String> = None;
        let mut before: Vec<(u64, String, Option<String>, u64)> = Vec::new();
        let mut end = 6;
        for (more, lag, now, lost) in steps {
            end += more;
            let range = |lag: u64| (end - lag).saturating_sub(6)..end - lag;
            let [low, high] = [live("low", map, range(0)), live("high", map, range(lag))];
            let got = match composed([&low, &high], now, carried.as_deref()) {
                Ok(got) => got,
                Err(Misfit::Behind(1)) => continue,
                Err(misfit) => panic!("{misfit}"),
            };
            let after = told(&got.text);
            for (one, other) in before.iter().flat_map(|one| {
                after.iter().filter(|other| other.0 == one.0).map(move |other| (one, other))
            }) {
                assert_eq!(one, other);
            }
            let first = |told: &[(u64, String, Option<String>, u64)]| {
                told.first().map_or((0, 0), |told| (told.0, told.3))
            };
            let last = |told: &[(u64, String, Option<String>, u64)]| {
                told.last().map_or((0, 0), |told| (told.0, told.3))
            };
            assert!(first(&before) <= first(&after) && last(&before) <= last(&after));
            let text = got.choices.to_text();
            assert_eq!(Choices::parse(&text), Some(got.choices));
            // Losing the choices changes rungs; numbers of segments and discontinuities go on.
            (carried, before) = match lost {
                false => (Some(text), after),
                true => (None, Vec::new()),
            };
        }
    }
}
