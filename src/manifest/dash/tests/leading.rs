use super::fixtures::{LIVE, PERIODS};
use super::{below, replaced, written};
use crate::manifest::plan::Plan;
use crate::manifest::uri::Relative;

fn moved(relative: Relative) -> Plan {
    Plan {
        rebase: Some(below(relative)),
        ..Plan::default()
    }
}

/// What becomes of URIs that do not depend on where the MPD is.
const ROOTED: [(&str, &str); 4] = [
    ("\"/sound/init.mp4\"", "\"/~sid/sound/init.mp4\""),
    ("\"/sound/$Number$.m4s\"", "\"/~sid/sound/$Number$.m4s\""),
    (
        "https://EDGE.example/end/",
        "https://EDGE.example/~sid/end/",
    ),
    ("\"/root/c.mp4\"", "\"/~sid/root/c.mp4\""),
];

#[test]
fn below_a_prefix_only_rooted_uris_change() {
    assert_eq!(
        written(PERIODS, &moved(Relative::Inherit)),
        replaced(PERIODS, &ROOTED)
    );
}

#[test]
fn elsewhere_the_outermost_base_is_written() {
    let base = (
        "</ProgramInformation>",
        "</ProgramInformation>\n  <BaseURL>/~sid/films/one/</BaseURL>",
    );
    let replacements = [&ROOTED[..], &[base]].concat();
    assert_eq!(
        written(PERIODS, &moved(Relative::Resolve)),
        replaced(PERIODS, &replacements)
    );
    for (base, expected) in [
        (
            "<BaseURL>../two/</BaseURL>",
            "<BaseURL>/~sid/films/two/</BaseURL>",
        ),
        (
            "<BaseURL> a&amp;b/ </BaseURL>",
            "<BaseURL>/~sid/films/one/a&amp;b/</BaseURL>",
        ),
        (
            "<BaseURL><![CDATA[a&b/]]></BaseURL>",
            "<BaseURL>/~sid/films/one/a&amp;b/</BaseURL>",
        ),
        ("<BaseURL/>", "<BaseURL/>"),
        ("<BaseURL></BaseURL>", "<BaseURL>/~sid/films/one/</BaseURL>"),
        (
            "<BaseURL>https://cdn.example/</BaseURL>",
            "<BaseURL>https://cdn.example/</BaseURL>",
        ),
    ] {
        let text = format!("<MPD>{base}<Period><BaseURL>inner/</BaseURL></Period></MPD>");
        let written = written(&text, &moved(Relative::Resolve));
        assert_eq!(written, replaced(&text, &[(base, expected)]));
    }
}

#[test]
fn a_live_mpd_is_read_again_where_it_was_rewritten() {
    let plan = Plan {
        refresh: Some("/~sid/films/one/main.mpd?mode=cap&x".to_owned()),
        ..moved(Relative::Inherit)
    };
    let expected = replaced(
        LIVE,
        &[
            (
                "\r\n\t<PatchLocation ttl='60'>patch.mpp?id=live</PatchLocation>",
                "\r\n\t<BaseURL>/~sid/films/one/</BaseURL>\
                 \r\n\t<Location>/~sid/films/one/main.mpd?mode=cap&amp;x</Location>",
            ),
            ("value='/time", "value='/~sid/time"),
        ],
    );
    assert_eq!(written(LIVE, &plan), expected);
    let still = Plan {
        refresh: plan.refresh,
        ..Plan::default()
    };
    assert_eq!(
        written(PERIODS, &still),
        PERIODS,
        "what is not live is not read again"
    );
}

#[test]
fn elsewhere_what_the_mpd_itself_refers_to_is_resolved() {
    let text = written(LIVE, &moved(Relative::Resolve));
    assert!(text.contains("xlink:href='/~sid/films/one/next.period'"));
    assert!(text.contains("value='/~sid/time clock.txt https://time.example/'"));
    let chained = "<MPD><Period/><SupplementalProperty schemeIdUri='urn:mpeg:dash:chaining:2016' \
                   value='next.mpd'/></MPD>";
    let text = written(chained, &moved(Relative::Resolve));
    assert!(text.contains("value='/~sid/films/one/next.mpd'"), "{text}");
}

#[test]
fn an_authors_location_elsewhere_is_left_alone() {
    let plan = Plan {
        refresh: Some("/~sid/r.mpd".to_owned()),
        ..moved(Relative::Inherit)
    };
    let mpd = |locations: &str| format!("<MPD type='dynamic'>{locations}<Period/></MPD>");
    for (authored, expected) in [
        (
            "<Location>https://a.example/m.mpd</Location>",
            "<Location>https://a.example/m.mpd</Location>",
        ),
        (
            "<Location>https://edge.example/m.mpd</Location>",
            "<BaseURL>/~sid/films/one/</BaseURL><Location>/~sid/r.mpd</Location>",
        ),
        (
            "<Location>m.mpd</Location><Location>/n.mpd</Location>",
            "<BaseURL>/~sid/films/one/</BaseURL><Location>/~sid/r.mpd</Location>",
        ),
    ] {
        assert_eq!(written(&mpd(authored), &plan), mpd(expected));
    }
    let kept = written(
        &mpd("<Location>/m.mpd</Location>"),
        &moved(Relative::Inherit),
    );
    assert_eq!(kept, mpd("<Location>/~sid/m.mpd</Location>"));
}
