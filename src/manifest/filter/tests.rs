use super::*;
use crate::config::adapt::DynamicRange;
use crate::manifest::tests::fuzz;

fn rung(bandwidth: u64, height: u32, group: usize) -> Rung {
    Rung {
        bandwidth,
        average: bandwidth,
        height: Some(height),
        codecs: ["avc1.4d401e,mp4a.40.2", "hvc1.2.4.L93.B0,mp4a.40.2"][group].into(),
        range: Some([DynamicRange::Sdr, DynamicRange::Hdr][group]),
        group,
        has_video: true,
        ..Rung::default()
    }
}

fn rendition(kind: RenditionKind, language: Option<&str>, group: usize) -> Rendition {
    Rendition {
        kind,
        language: language.map(str::to_owned),
        group,
    }
}

/// Two groups of three rungs, a copy, a rung of sound; two sounds and two texts.
fn ladder() -> Ladder {
    let copy = Rung {
        copy_of: Some(0),
        ..rung(1_000_000, 360, 0)
    };
    let sound = Rung {
        bandwidth: 64_000,
        codecs: "mp4a.40.5".into(),
        group: 2,
        ..Rung::default()
    };
    Ladder {
        rungs: vec![
            rung(1_000_000, 360, 0),
            copy,
            rung(3_000_000, 720, 0),
            rung(6_000_000, 1080, 0),
            rung(2_000_000, 720, 1),
            rung(4_000_000, 1080, 1),
            rung(9_000_000, 2160, 1),
            sound,
        ],
        renditions: vec![
            rendition(RenditionKind::Audio, Some("en-us"), 0),
            rendition(RenditionKind::Audio, Some("de"), 0),
            rendition(RenditionKind::Subtitles, Some("fr"), 1),
            rendition(RenditionKind::Subtitles, None, 1),
        ],
        ..Ladder::default()
    }
}

/// Everything stays.
fn all(ladder: &Ladder) -> Kept {
    keep(ladder, &Filter::default()).unwrap()
}

fn indices(flags: &[bool]) -> Vec<usize> {
    (0..flags.len()).filter(|&index| flags[index]).collect()
}

fn kept(filter: &Filter) -> Result<(Vec<usize>, Vec<usize>), Error> {
    keep(&ladder(), filter).map(|kept| (indices(&kept.rungs), indices(&kept.renditions)))
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn each_condition_leaves_what_fulfils_it() {
    let all = Filter::default();
    let cases: &[(Filter, &[usize])] = &[
        (all.clone(), &[0, 1, 2, 3, 4, 5, 6, 7]),
        (
            Filter {
                bitrate_max: Some(3_000_000),
                ..all.clone()
            },
            &[0, 1, 2, 4, 7],
        ),
        (
            Filter {
                bitrate_min: Some(3_000_000),
                ..all.clone()
            },
            &[2, 3, 5, 6],
        ),
        (
            Filter {
                height_max: Some(720),
                ..all.clone()
            },
            &[0, 1, 2, 4, 7],
        ),
        (
            Filter {
                codecs: strings(&["hvc1", "av01"]),
                ..all.clone()
            },
            &[4, 5, 6, 7],
        ),
        (
            Filter {
                range: Some(DynamicRange::Sdr),
                ..all.clone()
            },
            &[0, 1, 2, 3, 7],
        ),
    ];
    for (filter, rungs) in cases {
        let found = kept(filter).unwrap();
        assert_eq!(found, (rungs.to_vec(), vec![0, 1, 2, 3]), "{filter:?}");
    }
}

#[test]
fn languages_take_in_what_is_below_them_and_what_says_none() {
    let spoken = |list: &[&str]| {
        kept(&Filter {
            languages: strings(list),
            ..Filter::default()
        })
        .map(|kept| kept.1)
    };
    assert_eq!(spoken(&["en"]), Ok(vec![0, 3]));
    assert_eq!(spoken(&["de", "fr"]), Ok(vec![1, 2, 3]));
    assert_eq!(
        spoken(&["fr"]),
        Err(Error::Emptied("one of these languages"))
    );
    assert_eq!(
        spoken(&["e"]),
        Err(Error::Emptied("one of these languages"))
    );
}

#[test]
fn the_condition_that_nothing_is_left_by_is_named() {
    let all = Filter::default();
    let cases = [
        (
            Filter {
                bitrate_max: Some(900_000),
                ..all.clone()
            },
            "so low a bitrate",
        ),
        (
            Filter {
                bitrate_min: Some(10_000_000),
                ..all.clone()
            },
            "so high a bitrate",
        ),
        (
            Filter {
                height_max: Some(100),
                ..all.clone()
            },
            "so few lines",
        ),
        (
            Filter {
                codecs: strings(&["av01"]),
                ..all.clone()
            },
            "one of these codecs",
        ),
        (
            Filter {
                codecs: strings(&["avc1"]),
                range: Some(DynamicRange::Hdr),
                ..all.clone()
            },
            "this dynamic range",
        ),
    ];
    for (filter, condition) in cases {
        assert_eq!(kept(&filter), Err(Error::Emptied(condition)));
    }
    let message = Error::Emptied("so few lines").to_string();
    assert_eq!(message, "no rendition has so few lines");
}

#[test]
fn what_is_unknown_is_kept() {
    let unknown = Rung {
        bandwidth: 1,
        has_video: true,
        ..Rung::default()
    };
    let ladder = Ladder {
        rungs: vec![unknown],
        ..Ladder::default()
    };
    let filter = Filter {
        height_max: Some(1),
        codecs: strings(&["av01"]),
        range: Some(DynamicRange::Hdr),
        languages: strings(&["xx"]),
        ..Filter::default()
    };
    assert_eq!(keep(&ladder, &filter).unwrap().rungs, [true]);
    assert_eq!(keep(&Ladder::default(), &filter), Ok(Kept::default()));
}

#[test]
fn a_cap_leaves_every_group_its_lowest_rungs() {
    let capped =
        |bitrate, rungs_min| indices(&cap(&ladder(), &all(&ladder()), bitrate, rungs_min).rungs);
    assert_eq!(capped(3_500_000, 2), [0, 1, 2, 4, 5, 7]);
    assert_eq!(capped(0, 2), [0, 1, 2, 4, 5, 7]);
    assert_eq!(capped(0, 1), [0, 1, 4, 7]);
    assert_eq!(capped(6_000_000, 2), [0, 1, 2, 3, 4, 5, 7]);
    assert_eq!(capped(u64::MAX, 2), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_single_rung_comes_with_its_copies() {
    let alone = |rung| indices(&single(&ladder(), &all(&ladder()), rung, 1_000_000).rungs);
    assert_eq!(alone(0), [0, 1]);
    assert_eq!(alone(1), [0, 1]);
    assert_eq!(alone(5), [5]);
    assert_eq!(alone(99), [0; 0]);
}

#[test]
fn a_single_rung_has_its_like_in_every_other_period() {
    let with = |period, rung: Rung| Rung { period, ..rung };
    let other = Rung {
        codecs: "av01.0.08M.08".to_owned(),
        group: 9,
        ..rung(2_000_000, 480, 0)
    };
    let ladder = Ladder {
        rungs: vec![
            rung(1_000_000, 360, 0),
            rung(2_000_000, 480, 0),
            with(1, rung(1_200_000, 360, 0)),
            with(1, rung(2_100_000, 480, 0)),
            with(1, other.clone()),
            with(2, rung(2_500_000, 720, 0)),
            with(2, rung(3_000_000, 720, 0)),
            with(3, other),
        ],
        ..Ladder::default()
    };
    assert_eq!(
        indices(&single(&ladder, &all(&ladder), 1, 2_000_000).rungs),
        [1, 2, 5, 7]
    );
    assert_eq!(
        indices(&single(&ladder, &all(&ladder), 6, 3_000_000).rungs),
        [1, 3, 6, 7]
    );
}

#[test]
fn a_single_rung_of_a_period_stays_when_those_before_it_are_gone() {
    let of = |period, bandwidth| Rung {
        period,
        ..rung(bandwidth, 360, 0)
    };
    // Twice as many pictures a second, or another role: a group of its own.
    let beside = Rung {
        group: 7,
        ..of(1, 990_000)
    };
    let whole = Ladder {
        rungs: vec![
            of(0, 600_000),
            of(0, 1_500_000),
            of(1, 500_000),
            of(1, 900_000),
            beside,
        ],
        ..Ladder::default()
    };
    let later = Ladder {
        rungs: whole.rungs[2..].to_vec(),
        ..Ladder::default()
    };
    let alone = |ladder: &Ladder, rung| single(ladder, &all(ladder), rung, 1_000_000).rungs;
    assert_eq!(indices(&alone(&whole, 0)), [0, 3]);
    assert_eq!(indices(&alone(&later, 1)), [1]);
}

#[test]
fn caps_and_single_rungs_leave_out_what_a_filter_does_in_every_period() {
    let with = |period, rung: Rung| Rung { period, ..rung };
    let ladder = Ladder {
        rungs: vec![
            rung(1_000_000, 360, 0),
            rung(2_000_000, 720, 0),
            rung(3_000_000, 1080, 0),
            with(1, rung(1_200_000, 360, 1)),
            with(1, rung(1_400_000, 480, 1)),
            with(1, rung(2_000_000, 1080, 1)),
        ],
        renditions: vec![
            rendition(RenditionKind::Audio, Some("en"), 0),
            rendition(RenditionKind::Audio, Some("de"), 0),
        ],
        ..Ladder::default()
    };
    let filter = Filter {
        height_max: Some(720),
        languages: strings(&["de"]),
        ..Filter::default()
    };
    let kept = keep(&ladder, &filter).unwrap();
    assert_eq!(indices(&kept.rungs), [0, 1, 3, 4]);
    let alone = single(&ladder, &kept, 1, 2_000_000);
    assert_eq!(indices(&alone.rungs), [1, 4]);
    assert_eq!(alone.renditions, [false, true]);
    assert_eq!(indices(&single(&ladder, &kept, 2, 3_000_000).rungs), [0; 0]);
    for (bitrate, rungs_min, rungs) in [
        (0, 1, &[0, 3][..]),
        (1_300_000, 1, &[0, 3]),
        (1_300_000, 2, &[0, 1, 3, 4]),
        (u64::MAX, 1, &[0, 1, 3, 4]),
    ] {
        let capped = cap(&ladder, &kept, bitrate, rungs_min);
        assert_eq!(indices(&capped.rungs), rungs, "{bitrate} {rungs_min}");
        assert_eq!(capped.renditions, [false, true]);
    }
    let high = Kept {
        rungs: vec![false, false, true, false, true, true],
        ..kept
    };
    assert_eq!(indices(&cap(&ladder, &high, 0, 1).rungs), [2, 4]);
}

#[test]
fn the_floor_is_the_least_of_the_group_that_has_none_lower() {
    let kept = |ladder: &Ladder| keep(ladder, &Filter::default()).unwrap();
    let mut ladder = ladder();
    assert_eq!(floor(&ladder, &kept(&ladder)), 2_000_000);
    let lower = Filter {
        bitrate_min: Some(2_000_001),
        ..Filter::default()
    };
    let left = keep(&ladder, &lower).unwrap();
    let least = ladder.rungs.iter().map(|rung| rung.bandwidth);
    let least = least.filter(|rate| *rate > 2_000_000).min().unwrap();
    assert!(floor(&ladder, &left) >= least, "of what is left");
    ladder.sound_least = 9_000_000;
    assert_eq!(floor(&ladder, &kept(&ladder)), 9_000_000, "whichever sound");
    let none = Ladder::default();
    assert_eq!(floor(&none, &kept(&none)), 0);
}

#[test]
fn merging_obeys_both_or_says_why_not() {
    let one = Filter {
        bitrate_min: Some(1000),
        bitrate_max: Some(5000),
        height_max: Some(1080),
        codecs: strings(&["avc1", "hvc1"]),
        range: None,
        languages: strings(&["en", "de-at"]),
    };
    let other = Filter {
        bitrate_min: Some(2000),
        bitrate_max: Some(9000),
        height_max: Some(720),
        codecs: strings(&["hvc1", "av01"]),
        range: Some(DynamicRange::Sdr),
        languages: strings(&["de", "en-gb", "en-us"]),
    };
    let both = Filter {
        bitrate_min: Some(2000),
        bitrate_max: Some(5000),
        height_max: Some(720),
        codecs: strings(&["hvc1"]),
        range: Some(DynamicRange::Sdr),
        languages: strings(&["en-gb", "en-us", "de-at"]),
    };
    assert_eq!(merge(&one, &other), Ok(both));
    assert_eq!(merge(&one, &Filter::default()).as_ref(), Ok(&one));
    assert_eq!(merge(&Filter::default(), &one).as_ref(), Ok(&one));
    let all = Filter::default();
    let cases = [
        (
            Filter {
                bitrate_min: Some(6000),
                ..all.clone()
            },
            "bitrate",
        ),
        (
            Filter {
                codecs: strings(&["av01"]),
                ..all.clone()
            },
            "codecs",
        ),
        (
            Filter {
                languages: strings(&["de-ch"]),
                ..all.clone()
            },
            "language",
        ),
    ];
    for (filter, what) in cases {
        assert_eq!(merge(&one, &filter), Err(Error::Contradiction(what)));
        assert_eq!(merge(&filter, &one), Err(Error::Contradiction(what)));
    }
    let ranges = [DynamicRange::Sdr, DynamicRange::Hdr].map(Some);
    let [sdr, hdr] = ranges.map(|range| Filter {
        range,
        ..all.clone()
    });
    assert_eq!(
        merge(&sdr, &hdr),
        Err(Error::Contradiction("dynamic range"))
    );
}

#[test]
fn a_query_is_read_whole() {
    let query = "mode=cap&min_kbps=100&max_kbps=3000&max_height=720&codecs=hvc1%2CAVC1,avc1\
                 &range=HDR&lang=en,de-AT&CMCD=max_kbps%3D1";
    let expected = Filter {
        bitrate_min: Some(100_000),
        bitrate_max: Some(3_000_000),
        height_max: Some(720),
        codecs: strings(&["avc1", "hvc1"]),
        range: Some(DynamicRange::Hdr),
        languages: strings(&["de-at", "en"]),
    };
    assert_eq!(of_query(query), Ok(expected));
    for nothing in ["", "a=b", "&&", "=", "max_kbpss=x"] {
        assert_eq!(of_query(nothing), Ok(Filter::default()), "{nothing}");
    }
}

#[test]
fn what_a_query_cannot_mean_is_refused() {
    let malformed = [
        ("max_kbps=", "max_kbps"),
        ("max_kbps", "max_kbps"),
        ("max_kbps=0", "max_kbps"),
        ("max_kbps=-1", "max_kbps"),
        ("max_kbps=+1", "max_kbps"),
        ("max_kbps=1e3", "max_kbps"),
        ("min_kbps=9999999999", "min_kbps"),
        ("max_height=720p", "max_height"),
        ("codecs=", "codecs"),
        ("codecs=avc1,", "codecs"),
        ("codecs=avc1.4d401e", "codecs"),
        ("codecs=aaa,bbb,ccc,ddd,eee,fff,ggg,hhh,iii", "codecs"),
        ("range=dolby", "range"),
        ("lang=en--us", "lang"),
        ("lang=%FF", "lang"),
        ("lang=en_us", "lang"),
    ];
    for (query, expected) in malformed {
        match of_query(query) {
            Err(Error::Malformed { parameter, .. }) => assert_eq!(parameter, expected, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }
    assert_eq!(of_query("range=sdr&range=sdr"), Err(Error::Twice("range")));
    let crossed = of_query("min_kbps=2&max_kbps=1");
    assert_eq!(crossed, Err(Error::Contradiction("bitrate")));
    let message = of_query("max_kbps=x").unwrap_err().to_string();
    assert_eq!(
        message,
        "max_kbps must be a number of kbit/s between 1 and 999999999"
    );
}

#[test]
fn mutated_queries_are_read_or_refused() {
    let seeds = [
        "max_kbps=3000&min_kbps=100&max_height=720&codecs=avc1,hvc1&range=sdr&lang=en,de",
        "mode=cap&lang=%65n&CMCD=bl%3D0",
    ];
    let seeds = seeds.map(|seed| seed.as_bytes().to_vec());
    let words = [
        "&",
        "=",
        ",",
        "%",
        "%2C",
        "%FF",
        "max_kbps=",
        "min_kbps=",
        "max_height=",
        "codecs=",
        "range=",
        "lang=",
        "sdr",
        "hdr",
        "en-us",
        "avc1",
        "-",
        "é",
    ];
    fuzz::run("filter query", &seeds, &words, |input| {
        let Ok(filter) = of_query(&String::from_utf8_lossy(input)) else {
            return;
        };
        assert_eq!(merge(&filter, &filter).as_ref(), Ok(&filter));
        assert!(filter.codecs.len() <= 8 && filter.languages.len() <= 8);
        if let Ok(kept) = keep(&ladder(), &filter) {
            assert!(kept.rungs.contains(&true));
        }
    });
}
