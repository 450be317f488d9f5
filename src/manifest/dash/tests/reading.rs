use super::fixtures::{LIVE, PERIODS, PREFIXED, SOUND};
use crate::config::adapt::DynamicRange;
use crate::limits::{MPD_ATTRIBUTES_MAX, MPD_DEPTH_MAX};
use crate::manifest::dash::{Error, Mpd};
use crate::manifest::ladder::{First, Index, Ladder, RenditionKind, Sound};

fn ladder(text: &str) -> Ladder {
    Mpd::parse(text.as_bytes()).unwrap().ladder().clone()
}

#[test]
fn rungs_are_the_video_of_all_periods_with_the_sound_that_plays_beside_it() {
    let ladder = ladder(PERIODS);
    let rungs: Vec<_> = ladder
        .rungs
        .iter()
        .map(|rung| {
            (
                (rung.bandwidth, rung.picture, rung.sound),
                rung.height,
                rung.codecs.as_str(),
                rung.group,
            )
        })
        .collect();
    assert_eq!(
        rungs,
        [
            ((928_000, 800_000, 128_000), Some(360), "avc1.64001f", 0),
            ((2_528_000, 2_400_000, 128_000), Some(720), "avc1.64001f", 0),
            (
                (4_928_000, 4_800_000, 128_000),
                Some(1080),
                "avc1.64001f",
                0
            ),
            ((3_000_000, 3_000_000, 0), Some(720), "avc1.4d401f", 1),
            ((700_000, 700_000, 0), Some(360), "avc1.64001f", 2),
            ((2_500_000, 2_500_000, 0), Some(720), "hvc1.2.4.L93.B0", 3),
        ]
    );
    let renditions: Vec<_> = ladder
        .renditions
        .iter()
        .map(|one| (one.kind, one.language.as_deref(), one.group))
        .collect();
    assert_eq!(
        renditions,
        [
            (RenditionKind::Audio, Some("en"), 0),
            (RenditionKind::Audio, Some("de"), 0),
            (RenditionKind::Subtitles, Some("en"), 1),
        ]
    );
}

#[test]
fn first_bytes_are_found_whichever_way_segments_are_named() {
    let found: Vec<First> = ladder(PERIODS)
        .rungs
        .into_iter()
        .map(|one| one.first)
        .collect();
    assert_eq!(
        found[0],
        First {
            init: Some("v/v1/init.mp4".to_owned()),
            segment: Some("v/v1/0000.m4s".to_owned()),
            millis: Some(4000),
            ..First::default()
        }
    );
    assert_eq!(
        found[3],
        First {
            init: Some("https://ads.example/spot/spot.mp4".to_owned()),
            init_bytes: Some((0, 899)),
            index: Some(Index {
                uri: "https://ads.example/spot/spot.mp4".to_owned(),
                span: (900, 999),
            }),
            ..First::default()
        }
    );
    assert_eq!(
        found[4],
        First {
            init: Some("https://EDGE.example/end/i.mp4".to_owned()),
            segment: Some("https://EDGE.example/end/a.mp4".to_owned()),
            segment_bytes: Some((10, 20)),
            millis: Some(4000),
            ..First::default()
        }
    );
    let Ladder { rungs, sounds, .. } = ladder(PERIODS);
    let heard: Vec<_> = rungs.iter().map(|rung| rung.heard).collect();
    assert_eq!(heard, [Some(0), Some(0), Some(0), None, None, None]);
    let sound = First {
        init: Some("/sound/init.mp4".to_owned()),
        segment: Some("/sound/1.m4s".to_owned()),
        millis: Some(4000),
        ..First::default()
    };
    let rendition = 0;
    assert_eq!(
        sounds,
        [Sound {
            rendition,
            first: sound
        }]
    );
    let live = &ladder(LIVE).rungs[1].first;
    assert_eq!(live.init.as_deref(), Some("sd/i.mp4"));
    assert_eq!(
        live.segment, None,
        "where live playback starts is not known"
    );
    assert_eq!(live.millis, Some(2000));
}

#[test]
fn trick_modes_thumbnails_and_other_namespaces_are_no_rungs() {
    let ladder = ladder(PREFIXED);
    let rungs: Vec<_> = ladder
        .rungs
        .iter()
        .map(|one| (one.bandwidth, one.range))
        .collect();
    assert_eq!(
        rungs,
        [
            (500_000, Some(DynamicRange::Sdr)),
            (1_500_000, None),
            (900_000, Some(DynamicRange::Hdr)),
            (2_900_000, Some(DynamicRange::Hdr)),
        ]
    );
}

#[test]
fn where_there_is_no_picture_the_sound_is_the_ladder() {
    let ladder = ladder(SOUND);
    let rungs: Vec<_> = ladder
        .rungs
        .iter()
        .map(|one| (one.bandwidth, one.has_video))
        .collect();
    assert_eq!(rungs, [(32_000, false), (96_000, false)]);
    assert_eq!(ladder.renditions.len(), 1);
}

#[test]
fn what_is_refused_says_why() {
    let mpd = |inside: &str| format!("<MPD>{inside}<Period/></MPD>");
    let deep = "<x>".repeat(MPD_DEPTH_MAX) + &"</x>".repeat(MPD_DEPTH_MAX);
    for (text, error) in [
        (String::new(), Error::NotMpd),
        ("#EXTM3U\n".to_owned(), Error::Malformed),
        ("<html></html>".to_owned(), Error::NotMpd),
        ("<MPD/>".to_owned(), Error::NotMpd),
        (
            "<!DOCTYPE MPD [<!ENTITY a 'b'>]><MPD/>".to_owned(),
            Error::Doctype,
        ),
        (mpd("<BaseURL>&a;</BaseURL>"), Error::Entity),
        (mpd("<BaseURL serviceLocation='&a;'/>"), Error::Entity),
        (mpd("<BaseURL a=b/>"), Error::Malformed),
        (mpd("<BaseURL a/>"), Error::Malformed),
        (mpd("<BaseURL a='' b='' a=''/>"), Error::Malformed),
        (
            "<MPD a='' a=''><Period/></MPD>".to_owned(),
            Error::Malformed,
        ),
        (mpd("<BaseURL>"), Error::Malformed),
        (mpd(&deep), Error::TooDeep),
        ("<MPD></MPD><MPD></MPD>".to_owned(), Error::Malformed),
        ("<MPD></MPD>more".to_owned(), Error::Malformed),
        ("<MPD>".to_owned(), Error::Malformed),
    ] {
        assert_eq!(Mpd::parse(text.as_bytes()).err(), Some(error), "{text}");
    }
    assert_eq!(
        Mpd::parse(b"<MPD a='\xff'></MPD>").err(),
        Some(Error::Malformed)
    );
    assert!(Mpd::parse(mpd("<BaseURL>a&amp;b&#33;</BaseURL>").as_bytes()).is_ok());
}

#[test]
fn a_set_of_more_representations_than_anybody_offers_is_left_alone() {
    let mpd = |count: usize| {
        let one = "<Representation bandwidth=\"1\"/>".repeat(count);
        format!("<MPD><Period><AdaptationSet>{one}</AdaptationSet></Period></MPD>")
    };
    let most = crate::limits::REPRESENTATIONS_MAX;
    assert!(Mpd::parse(mpd(most).as_bytes()).is_ok());
    let refused = Mpd::parse(mpd(most + 1).as_bytes()).map(drop);
    assert_eq!(refused, Err(Error::TooLarge));
}

#[test]
fn a_set_has_each_attribute_once_and_not_too_many() {
    let read = |attributes: &str| {
        let rung = "<Representation bandwidth='1' width='1'/>";
        let text = format!(
            "<MPD><Period><AdaptationSet mimeType='video/mp4' minWidth='1'{attributes}>{}\
             </AdaptationSet></Period></MPD>",
            rung.repeat(100)
        );
        let mpd = Mpd::parse(text.as_bytes());
        mpd.map(|mpd| mpd.ladder().rungs.len())
    };
    assert_eq!(read(""), Ok(100));
    assert_eq!(read(&" minWidth='1'".repeat(1000)), Err(Error::Malformed));
    let others = |count| {
        (2..count)
            .map(|it| format!(" a{it}=''"))
            .collect::<String>()
    };
    assert_eq!(read(&others(MPD_ATTRIBUTES_MAX)), Ok(100));
    assert_eq!(read(&others(MPD_ATTRIBUTES_MAX + 1)), Err(Error::TooLarge));
}
