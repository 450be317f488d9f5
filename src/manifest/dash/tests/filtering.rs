use super::fixtures::{PERIODS, PREFIXED, SOUND};
use super::{replaced, written};
use crate::config::adapt::Filter;
use crate::manifest::dash::Mpd;
use crate::manifest::filter;
use crate::manifest::ladder::{Rendition, Rung};
use crate::manifest::plan::{Kept, Plan};

/// Writes with what fulfils the conditions.
fn kept(text: &str, rung: fn(&Rung) -> bool, rendition: fn(&Rendition) -> bool) -> String {
    let mpd = Mpd::parse(text.as_bytes()).unwrap();
    let ladder = mpd.ladder();
    let plan = Plan {
        kept: Some(Kept {
            rungs: ladder.rungs.iter().map(rung).collect(),
            renditions: ladder.renditions.iter().map(rendition).collect(),
        }),
        ..Plan::default()
    };
    written(text, &plan)
}

#[test]
fn rungs_are_left_out_of_each_period_and_bounds_follow() {
    assert_eq!(
        kept(PERIODS, |rung| rung.height < Some(1080), |_| true),
        replaced(
            PERIODS,
            &[
                (
                    "maxBandwidth=\"4800000\" maxWidth=\"1920\" maxHeight=\"1080\"",
                    "maxBandwidth=\"2400000\" maxWidth=\"1280\" maxHeight=\"720\""
                ),
                (
                    "\n      <Representation id=\"v3\" bandwidth=\"4800000\" width=\"1920\" \
                  height=\"1080\"/>",
                    ""
                ),
            ]
        )
    );
}

#[test]
fn a_bound_of_what_not_all_say_stays_and_the_least_follows() {
    let set = "<MPD><Period><AdaptationSet contentType=\"video\" minWidth='640' maxWidth=\"1280\" \
               minBandwidth=\"1\" maxFrameRate=\"50\">\
               <Representation id=\"a\" bandwidth=\"1\" width=\"640\" frameRate=\"25\"/>\
               <Representation id=\"b\" bandwidth=\"2\" width=\"960\" frameRate=\"30000/1001\"/>\
               <Representation id=\"c\" bandwidth=\"3\" frameRate=\"50\"/>\
               </AdaptationSet></Period></MPD>";
    let first = "<Representation id=\"a\" bandwidth=\"1\" width=\"640\" frameRate=\"25\"/>";
    let last = "<Representation id=\"c\" bandwidth=\"3\" frameRate=\"50\"/>";
    assert_eq!(
        kept(set, |rung| rung.bandwidth > 1, |_| true),
        replaced(
            set,
            &[(first, ""), ("minBandwidth=\"1\"", "minBandwidth=\"2\"")]
        )
    );
    assert_eq!(
        kept(set, |rung| rung.bandwidth == 2, |_| true),
        replaced(
            set,
            &[
                (first, ""),
                (last, ""),
                (
                    "minWidth='640' maxWidth=\"1280\" minBandwidth=\"1\" maxFrameRate=\"50\"",
                    "minWidth='960' maxWidth=\"960\" minBandwidth=\"2\" maxFrameRate=\"30000/1001\""
                ),
            ]
        )
    );
}

#[test]
fn a_period_without_a_stand_in_stays_whole() {
    let text = kept(PERIODS, |rung| rung.height == Some(360), |_| true);
    assert!(text.contains("id=\"ad\""));
    for gone in ["v2", "v3", "e2"] {
        assert!(!text.contains(&format!("id=\"{gone}\"")), "{gone}");
    }
    let none = kept(PERIODS, |_| false, |_| true);
    assert_eq!(none, PERIODS, "nothing is emptied");
}

#[test]
fn languages_are_left_out_with_what_refers_to_them() {
    let text = kept(
        PERIODS,
        |_| true,
        |one| one.language.as_deref() == Some("de"),
    );
    let mpd = Mpd::parse(text.as_bytes()).unwrap();
    let languages = mpd
        .ladder()
        .renditions
        .iter()
        .map(|one| one.language.as_deref());
    assert_eq!(languages.collect::<Vec<_>>(), [Some("de")]);
    assert!(text.contains("<Subset contains=\"1\"/>"));
    let silent = kept(PERIODS, |_| true, |_| false);
    assert!(
        silent.contains("id=\"a1\"") && silent.contains("id=\"a3\""),
        "sound stays"
    );
    assert!(!silent.contains("id=\"t1\""), "subtitles may all go");
}

#[test]
fn what_a_kept_representation_depends_on_is_kept() {
    let text = kept(PREFIXED, |rung| rung.bandwidth == 1_500_000, |_| true);
    assert!(text.contains("id=\"base\"") && text.contains("id=\"more\""));
    assert!(!text.contains("id=\"h1\""));
}

#[test]
fn a_set_that_is_gone_takes_its_preselections_and_trick_modes_along() {
    let without = kept(PREFIXED, |rung| rung.codecs.starts_with("avc1"), |_| true);
    for (id, stays) in [
        ("base", true),
        ("more", false),
        ("foreign", true),
        ("h1", false),
        ("h2", false),
        ("trick", true),
        ("thumbs", true),
        ("5", false),
    ] {
        assert_eq!(without.contains(&format!(" id=\"{id}\"")), stays, "{id}");
    }
    let other = kept(PREFIXED, |rung| rung.codecs.starts_with("hvc1"), |_| true);
    for (id, stays) in [
        ("base", false),
        ("h1", true),
        ("trick", false),
        ("thumbs", true),
    ] {
        assert_eq!(other.contains(&format!(" id=\"{id}\"")), stays, "{id}");
    }
    assert!(other.contains("m:Preselection"));
}

#[test]
fn a_set_without_representations_speaks_for_no_other() {
    let text = SOUND.replace(
        "</Period>",
        "<AdaptationSet lang='de' mimeType='audio/mp4'/></Period>",
    );
    let text = kept(&text, |_| true, |one| one.language.as_deref() == Some("de"));
    assert!(text.contains("lang=\"fr\""), "{text}");
}

#[test]
fn text_that_is_all_there_is_stays() {
    let text = "<MPD><Period><AdaptationSet mimeType='text/vtt'><Representation/></AdaptationSet>\
                </Period></MPD>";
    assert_eq!(kept(text, |_| true, |_| false), text);
}

#[test]
fn a_single_rung_leaves_one_in_each_period() {
    let mpd = Mpd::parse(PERIODS.as_bytes()).unwrap();
    let high = Filter {
        bitrate_min: Some(1_000_000),
        ..Filter::default()
    };
    for (filter, rung, stay) in [
        (&Filter::default(), 1, ["v2", "ad", "e1"]),
        (&Filter::default(), 5, ["v1", "ad", "e2"]),
        (&high, 5, ["v2", "ad", "e2"]),
    ] {
        let kept = filter::keep(mpd.ladder(), filter).unwrap();
        let most = mpd.ladder().rungs[rung].bandwidth;
        let plan = Plan {
            kept: Some(filter::single(mpd.ladder(), &kept, rung, most)),
            ..Plan::default()
        };
        let text = written(PERIODS, &plan);
        for id in ["v1", "v2", "v3", "ad", "e1", "e2"] {
            let is_there = text.contains(&format!(" id=\"{id}\""));
            assert_eq!(
                is_there,
                stay.contains(&id),
                "{id} for {rung} of {filter:?}"
            );
        }
    }
}

#[test]
fn sound_is_filtered_where_it_is_the_ladder() {
    let text = kept(SOUND, |rung| rung.bandwidth < 64_000, |_| true);
    assert_eq!(
        text,
        replaced(
            SOUND,
            &[("<Representation id=\"2\" bandwidth=\"96000\"/>", "")]
        )
    );
}
