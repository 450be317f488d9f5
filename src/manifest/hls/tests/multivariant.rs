//! What plans make of multivariant playlists.

use super::fixtures::{DEFINED, RICH, SCORED, STEERED};
use crate::config::adapt::DynamicRange;
use crate::manifest::hls::Multivariant;
use crate::manifest::ladder::RenditionKind;
use crate::manifest::plan::{Kept, Plan, SteeringHint};
use crate::manifest::uri::{Rebase, Relative};

fn parse(text: &str) -> Multivariant<'_> {
    Multivariant::parse(text.as_bytes()).unwrap()
}

fn write(text: &str, plan: &Plan) -> String {
    String::from_utf8(parse(text).write(plan)).unwrap()
}

fn start(index: usize) -> Plan {
    Plan {
        start: Some(index),
        ..Plan::default()
    }
}

/// A plan that leaves out these rungs and renditions.
fn without(text: &str, rungs: &[usize], renditions: &[usize]) -> Plan {
    let multivariant = parse(text);
    let ladder = multivariant.ladder();
    let left = |count: usize, out: &[usize]| (0..count).map(|i| !out.contains(&i)).collect();
    Plan {
        kept: Some(Kept {
            rungs: left(ladder.rungs.len(), rungs),
            renditions: left(ladder.renditions.len(), renditions),
        }),
        ..Plan::default()
    }
}

/// The URIs of the variants, in their order.
fn order(text: &str) -> Vec<String> {
    let multivariant = parse(text);
    let rungs = multivariant.ladder().rungs.iter();
    rungs
        .map(|rung| rung.first.playlist.clone().unwrap())
        .collect()
}

/// A playlist of variants with these attributes; their URIs are their numbers.
fn variants(attributes: &[&str]) -> String {
    let unit = |(index, list): (usize, &&str)| format!("#EXT-X-STREAM-INF:{list}\n{index}\n");
    let units: String = attributes.iter().enumerate().map(unit).collect();
    format!("#EXTM3U\n{units}")
}

fn groups(attributes: &[&str]) -> Vec<usize> {
    let text = variants(attributes);
    let multivariant = parse(&text);
    multivariant
        .ladder()
        .rungs
        .iter()
        .map(|r| r.group)
        .collect()
}

#[test]
fn a_lone_cr_spoils_the_rendition_it_stands_in_and_no_other() {
    let playlist = |spoilt: &str| {
        format!(
            "#EXTM3U\r\r\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",LANGUAGE=\"en\",\
             URI=\"en\"\r\r\n#EXT-X-MEDIA:{spoilt}NAME=\"de\",LANGUAGE=\"de\",URI=\"de\"\r\r\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1 ,AUDIO=\"a\"\r\r\n0\r\r\n"
        )
    };
    for (list, renditions) in [
        ("TYPE=AUDIO,GROUP-ID=\"a\",", 2),
        (" TYPE\t=AUDIO ,\tGROUP-ID =\"a\" ,", 2),
        ("TYPE=AUDIO,GROUP-ID\r=\"a\",", 1),
        ("TYPE=AUDIO,\rGROUP-ID=\"a\",", 1),
        ("TYPE=AUDIO\r,GROUP-ID=\"a\",", 1),
        ("TYPE=AUDIO,GROUP-ID=\"a\"\r,", 1),
        ("TYPE=AUDIO,GROUP-ID=\"a\",DEFAULT=YES\r,", 1),
        ("TYPE=AUDIO,GROUP-ID=\"a\",X-A=\"\r\",", 1),
    ] {
        let text = playlist(list);
        let ladder = parse(&text).ladder().clone();
        assert_eq!(ladder.rungs.len(), 1, "{list:?}");
        assert_eq!(ladder.renditions.len(), renditions, "{list:?}");
    }
}

#[test]
fn a_ladder_says_what_the_playlist_says() {
    let multivariant = parse(RICH);
    let ladder = multivariant.ladder();
    let figures: Vec<_> = ladder
        .rungs
        .iter()
        .map(|r| {
            (
                r.bandwidth,
                r.average,
                r.height,
                r.group,
                r.copy_of,
                r.has_video,
            )
        })
        .collect();
    assert_eq!(
        figures,
        [
            (800_000, 600_000, Some(360), 0, None, true),
            (800_000, 600_000, Some(360), 0, Some(0), true),
            (2_000_000, 2_000_000, Some(720), 1, None, true),
            (70_000, 70_000, None, 2, None, false),
            (3_000_000, 3_000_000, Some(720), 0, None, true),
            (3_000_000, 3_000_000, Some(720), 0, Some(4), true),
            (5_000_000, 5_000_000, Some(1080), 0, None, true),
        ]
    );
    assert_eq!(ladder.rungs[0].range, Some(DynamicRange::Sdr));
    assert_eq!(ladder.rungs[3].range, None, "sound has none");
    assert_eq!(ladder.rungs[2].codecs, "hvc1.1.6.L93.B0,mp4a.40.2");
    let renditions: Vec<_> = ladder
        .renditions
        .iter()
        .map(|r| (r.kind, r.language.as_deref(), r.group))
        .collect();
    assert_eq!(
        renditions,
        [
            (RenditionKind::Audio, Some("en"), 0),
            (RenditionKind::Audio, Some("de-at"), 0),
            (RenditionKind::Audio, Some("en"), 1),
            (RenditionKind::Audio, Some("de-at"), 1),
            (RenditionKind::Subtitles, Some("de"), 2),
        ]
    );
    assert_eq!(parse(SCORED).ladder().rungs[1].score, Some(2250));
}

#[test]
fn sound_counts_apart_where_every_rendition_has_its_playlist() {
    let media = |id: &str, name: &str, rest: &str| {
        format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{id}\",NAME=\"{name}\"{rest}\n")
    };
    let text = [
        variants(&[
            "BANDWIDTH=1,CODECS=\"avc1\",AUDIO=\"apart\"",
            "BANDWIDTH=2,CODECS=\"avc1\",AUDIO=\"within\"",
            "BANDWIDTH=3,CODECS=\"avc1\"",
            "BANDWIDTH=4,CODECS=\"mp4a\",AUDIO=\"apart\"",
        ]),
        media("apart", "one", ",URI=\"one\""),
        media("apart", "two", ",URI=\"two\""),
        media("within", "one", ""),
        media("within", "two", ",URI=\"two\""),
    ]
    .concat();
    let multivariant = parse(&text);
    let rungs = multivariant.ladder().rungs.iter();
    let sounds: Vec<_> = rungs.map(|rung| (rung.picture, rung.sound)).collect();
    assert_eq!(sounds, [(1, 128_000), (2, 0), (3, 0), (4, 0)]);
    let heard = |text: &str| -> Vec<_> {
        let ladder = parse(text).ladder().clone();
        let heard = ladder.rungs.iter().filter_map(|rung| rung.heard);
        let sounds = heard.map(|at| ladder.sounds[at].clone());
        sounds.map(|it| (it.rendition, it.first.playlist)).collect()
    };
    let uri = |uri: &str| Some(uri.to_owned());
    assert_eq!(heard(&text), [(0, uri("one"))], "the first");
    let text = text.replace("NAME=\"two\"", "DEFAULT=YES,NAME=\"two\"");
    assert_eq!(heard(&text), [(1, uri("two"))], "the default");
}

#[test]
fn copies_on_other_pathways_are_copies_of_another_group() {
    let multivariant = parse(STEERED);
    let rungs = &multivariant.ladder().rungs;
    let places: Vec<_> = rungs.iter().map(|r| (r.group, r.copy_of)).collect();
    assert_eq!(places, [(0, None), (0, None), (1, Some(0)), (1, Some(1))]);
}

#[test]
fn groups_are_what_one_device_plays() {
    let avc = "BANDWIDTH=1,CODECS=\"avc1.4d401e,mp4a.40.2\",RESOLUTION=1x1";
    let cases: &[(&str, &str, bool)] = &[
        (
            "other profiles",
            "BANDWIDTH=2,CODECS=\"mp4a.40.5, AVC1.640028\",RESOLUTION=2x2",
            true,
        ),
        (
            "other sound",
            "BANDWIDTH=2,CODECS=\"avc1.4d401e,ec-3\",RESOLUTION=2x2",
            false,
        ),
        (
            "another codec",
            "BANDWIDTH=2,CODECS=\"hvc1.1,mp4a.40.2\",RESOLUTION=2x2",
            false,
        ),
        (
            "text",
            "BANDWIDTH=2,CODECS=\"avc1.4d401e,wvtt,mp4a.40.2\",RESOLUTION=2x2",
            true,
        ),
    ];
    for (what, other, same) in cases {
        let groups = groups(&[avc, other]);
        assert_eq!(groups[0] == groups[1], *same, "{what}");
    }
    for apart in [
        "VIDEO-RANGE=PQ",
        "HDCP-LEVEL=TYPE-1",
        "ALLOWED-CPC=\"x:y\"",
        "REQ-VIDEO-LAYOUT=\"CH-STEREO\"",
        "PATHWAY-ID=\"B\"",
        "VIDEO=\"angle\"",
        "AUDIO=\"unheard\"",
    ] {
        assert_eq!(groups(&[avc, &format!("{avc},{apart}")]), [0, 1], "{apart}");
    }
}

#[test]
fn frame_rates_divide_only_ladders_beside_each_other() {
    let rung = |bandwidth: u32, rate: &str| format!("BANDWIDTH={bandwidth},FRAME-RATE={rate}");
    let rising = [
        rung(3, "60"),
        rung(1, "29.97"),
        rung(2, "30"),
        rung(4, "59.94"),
    ];
    let rising: Vec<&str> = rising.iter().map(String::as_str).collect();
    assert_eq!(groups(&rising), [0, 0, 0, 0]);
    let parallel = [rung(3, "60"), rung(1, "30"), rung(4, "30"), rung(6, "60")];
    let parallel: Vec<&str> = parallel.iter().map(String::as_str).collect();
    assert_eq!(groups(&parallel), [0, 1, 1, 0]);
}

#[test]
fn a_variant_of_which_nothing_is_known_has_a_picture_if_no_other_shows_one() {
    let video = |attributes: &[&str]| -> Vec<bool> {
        let text = variants(attributes);
        let multivariant = parse(&text);
        multivariant
            .ladder()
            .rungs
            .iter()
            .map(|r| r.has_video)
            .collect()
    };
    assert_eq!(video(&["BANDWIDTH=1", "BANDWIDTH=2"]), [true, true]);
    assert_eq!(
        video(&["BANDWIDTH=1", "BANDWIDTH=2,RESOLUTION=1x1"]),
        [false, true]
    );
    let sound = "BANDWIDTH=1,CODECS=\"mp4a.40.2\"";
    assert_eq!(video(&[sound]), [false]);
    assert_eq!(
        video(&[sound, "BANDWIDTH=2,CODECS=\"new1\""]),
        [false, true]
    );
}

#[test]
fn the_start_rung_goes_before_its_group_with_all_of_its_unit() {
    let moved = write(RICH, &start(4));
    let expected = [
        "v/720.m3u8",
        "//backup.example/v/720.m3u8",
        "v/360.m3u8",
        "//backup.example/v/360.m3u8",
        "v/720-hevc.m3u8",
        "a/lo-en.m3u8",
        "/other/1080.m3u8",
    ];
    assert_eq!(order(&moved), expected);
    let unit = "AUDIO=\"hi\"\r\n# the better one\r\n#EXT-X-UNHEARD-OF:URI=\"left/alone\"\r\n\r\nv/720.m3u8\r\n";
    assert!(moved.contains(unit), "{moved}");
    assert_eq!(
        write(RICH, &start(5)),
        moved,
        "a copy stands for its original"
    );
}

#[test]
fn the_last_line_is_ended_when_it_moves() {
    let moved = write(RICH, &start(6));
    assert_eq!(order(&moved)[0], "/other/1080.m3u8");
    assert!(moved.contains("/other/1080.m3u8\r\n#EXT-X-STREAM-INF:BANDWIDTH=800000"));
    assert_eq!(moved.len(), RICH.len() + 2);
}

#[test]
fn nothing_moves_where_it_would_do_harm() {
    for (text, index, why) in [
        (RICH, 0, "it is first"),
        (RICH, 1, "it is a copy of the first"),
        (RICH, 2, "it is alone in its group"),
        (RICH, 3, "it is sound"),
        (RICH, 7, "it is not there"),
        (SCORED, 0, "others have a higher score"),
    ] {
        assert_eq!(write(text, &start(index)), text, "{why}");
        assert!(!parse(text).can_start(index), "{why}");
    }
    assert_eq!(
        order(&write(SCORED, &start(2))),
        ["c.m3u8", "a.m3u8", "b.m3u8"]
    );
    let mut plan = without(SCORED, &[2], &[]);
    plan.start = Some(2);
    let capped = "it is not kept";
    assert_eq!(
        order(&write(SCORED, &plan)),
        ["a.m3u8", "b.m3u8"],
        "{capped}"
    );
}

#[test]
fn other_groups_stay_where_they_are() {
    let text = variants(&[
        "BANDWIDTH=1,CODECS=\"hvc1\"",
        "BANDWIDTH=2,CODECS=\"avc1\"",
        "BANDWIDTH=3,CODECS=\"hvc1\"",
        "BANDWIDTH=4,CODECS=\"avc1\"",
    ]);
    assert_eq!(order(&write(&text, &start(3))), ["0", "3", "1", "2"]);
    assert_eq!(order(&write(&text, &start(2))), ["2", "0", "1", "3"]);
    let can = [0, 1, 2, 3].map(|index| parse(&text).can_start(index));
    assert_eq!(can, [false, false, true, true]);
}

#[test]
fn a_start_rung_goes_first_although_the_first_one_of_its_group_is_left_out() {
    let mut plan = without(SCORED, &[0], &[]);
    plan.start = Some(2);
    assert_eq!(order(&write(SCORED, &plan)), ["c.m3u8", "b.m3u8"]);
}

#[test]
fn what_no_variant_names_any_more_goes_with_them() {
    let left = write(RICH, &without(RICH, &[2, 4, 5, 6], &[]));
    assert_eq!(
        order(&left),
        ["v/360.m3u8", "//backup.example/v/360.m3u8", "a/lo-en.m3u8"]
    );
    for gone in [
        "a/hi-en.m3u8",
        "a/hi-de.m3u8",
        "CC1",
        "i/720.m3u8",
        "the better one",
    ] {
        assert!(!left.contains(gone), "{gone} in {left}");
    }
    for kept in [
        "a/lo-de.m3u8",
        "t/de.m3u8",
        "i/360.m3u8",
        "i/pictures.m3u8",
        "## Authored",
    ] {
        assert!(left.contains(kept), "{kept} not in {left}");
    }
}

#[test]
fn copies_stay_together_when_others_go() {
    let left = write(RICH, &without(RICH, &[1, 5], &[]));
    assert_eq!(left, RICH, "a copy whose original stays");
    let left = write(STEERED, &without(STEERED, &[1, 3], &[]));
    assert_eq!(
        order(&left),
        ["https://a.example/low.m3u8", "https://b.example/low.m3u8"]
    );
    assert!(left.contains("https://b.example/en.m3u8"));
}

#[test]
fn one_i_frame_playlist_stays() {
    let left = write(RICH, &without(RICH, &[0, 1, 2, 4, 5, 6], &[]));
    assert_eq!(order(&left), ["a/lo-en.m3u8"]);
    assert!(
        left.contains("i/360.m3u8") && !left.contains("i/720.m3u8"),
        "{left}"
    );
}

#[test]
fn a_named_group_never_becomes_empty() {
    let left = write(RICH, &without(RICH, &[], &[0, 2, 4]));
    for gone in ["a/lo-en.m3u8\"", "a/hi-en.m3u8\""] {
        assert!(!left.contains(gone), "{gone} in {left}");
    }
    for kept in ["a/lo-de.m3u8", "a/hi-de.m3u8", "t/de.m3u8"] {
        assert!(left.contains(kept), "{kept} not in {left}");
    }
}

#[test]
fn what_a_variable_may_name_stays() {
    let left = write(DEFINED, &without(DEFINED, &[1, 2], &[]));
    assert_eq!(order(&left), ["{$base}/low.m3u8"]);
    assert!(
        left.contains("GROUP-ID=\"hi\"") && left.contains("GROUP-ID=\"lo\""),
        "{left}"
    );
    let left = write(DEFINED, &without(DEFINED, &[0, 2], &[]));
    assert!(
        left.contains("GROUP-ID=\"hi\"") && !left.contains("GROUP-ID=\"lo\""),
        "{left}"
    );
}

#[test]
fn a_plan_that_leaves_nothing_or_fits_another_ladder_leaves_all() {
    assert_eq!(write(SCORED, &without(SCORED, &[0, 1, 2], &[])), SCORED);
    assert_eq!(write(SCORED, &without(RICH, &[0], &[])), SCORED);
}

#[test]
fn variants_that_cannot_be_told_apart_are_left_in_peace() {
    let texts = [
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-STREAM-INF:BANDWIDTH=2\nb\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n#EXT-X-STREAM-INF:BANDWIDTH=2\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:PROGRAM-ID=1\na\n#EXT-X-STREAM-INF:BANDWIDTH=2\nb\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\"\na\n",
    ];
    for text in texts {
        assert!(parse(text).ladder().rungs.is_empty(), "{text}");
        let plan = Plan {
            kept: Some(Kept::default()),
            start: Some(1),
            steering: Some(hint()),
            ..Plan::default()
        };
        assert_eq!(write(text, &plan), text);
    }
}

#[test]
fn what_is_no_multivariant_playlist_is_not_read() {
    for text in [
        "",
        "#EXTM3U\n",
        "#EXTM3U8\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=1\na\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n",
        "#EXTM3U\n#EXTINF:6,\na.ts\n",
        "<MPD/>",
    ] {
        assert!(Multivariant::parse(text.as_bytes()).is_none(), "{text}");
    }
}

fn rebase() -> Rebase {
    Rebase {
        object: "/vod/a/master.m3u8".into(),
        prefix: "/~sid".into(),
        hosts: vec!["cdn.example".into(), "backup.example".into()],
        relative: Relative::Resolve,
    }
}

#[test]
fn every_uri_of_this_site_gets_the_prefix_and_no_other() {
    let plan = Plan {
        rebase: Some(rebase()),
        ..Plan::default()
    };
    let expected = RICH
        .replace("\"/title.json", "\"/~sid/title.json")
        .replace("\"/key", "\"/~sid/key")
        .replace("URI=\"a/", "URI=\"/~sid/vod/a/a/")
        .replace("URI=\"t/", "URI=\"/~sid/vod/a/t/")
        .replace("URI=\"i/", "URI=\"/~sid/vod/a/i/")
        .replace("\na/lo-en", "\n/~sid/vod/a/a/lo-en")
        .replace("\nv/", "\n/~sid/vod/a/v/")
        .replace("//backup.example/", "//backup.example/~sid/")
        .replace("\n/other", "\n/~sid/other");
    assert_eq!(write(RICH, &plan), expected);
    let expected = STEERED.replace("\"/steer", "\"/~sid/steer");
    assert_eq!(write(STEERED, &plan), expected);
    let expected = DEFINED.replace("mid.m3u8", "/~sid/vod/a/mid.m3u8");
    assert_eq!(write(DEFINED, &plan), expected);
}

fn hint() -> SteeringHint {
    SteeringHint {
        url: "https://edge.example/steer".into(),
        pathway: "pop1".into(),
    }
}

#[test]
fn steering_is_named_where_nobody_is_and_it_can_work() {
    let plan = Plan {
        steering: Some(hint()),
        ..Plan::default()
    };
    let tag = |pathway: &str| {
        let url = "https://edge.example/steer";
        format!("#EXT-X-CONTENT-STEERING:SERVER-URI=\"{url}\",PATHWAY-ID=\"{pathway}\"")
    };
    let added = SCORED.replacen("#EXTM3U\n", &format!("#EXTM3U\n{}\n", tag(".")), 1);
    assert_eq!(write(SCORED, &plan), added);
    let named = variants(&["BANDWIDTH=1,PATHWAY-ID=\"pop1\""]);
    let added = named.replacen("#EXTM3U\n", &format!("#EXTM3U\n{}\n", tag("pop1")), 1);
    assert_eq!(write(&named, &plan), added);
    let crlf = SCORED.replace('\n', "\r\n");
    assert!(write(&crlf, &plan).starts_with(&format!("#EXTM3U\r\n{}\r\n#EXT", tag("."))));
    let unsteered = STEERED.replace("#EXT-X-CONTENT-STEERING", "#EXT-X-NOTHING");
    for (text, why) in [
        (STEERED, "the author steers"),
        (unsteered.as_str(), "the author has pathways"),
        (RICH, "copies are pathways to players"),
    ] {
        assert_eq!(write(text, &plan), text, "{why}");
    }
    let quoted = SteeringHint {
        url: "https://edge.example/\"".into(),
        ..hint()
    };
    let plan = Plan {
        steering: Some(quoted),
        ..Plan::default()
    };
    assert_eq!(write(SCORED, &plan), SCORED);
}

#[test]
fn a_playlist_of_more_variants_than_anybody_offers_is_left_alone() {
    let playlist = |variants: usize| {
        let variant = "#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n";
        format!("#EXTM3U\n{}", variant.repeat(variants))
    };
    let most = crate::limits::VARIANTS_READ_MAX;
    assert!(Multivariant::parse(playlist(most).as_bytes()).is_some());
    assert!(Multivariant::parse(playlist(most + 1).as_bytes()).is_none());
}
