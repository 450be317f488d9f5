use super::fixtures::{LIVE, PERIODS};
use super::{below, replaced, written};
use crate::manifest::plan::Plan;
use crate::manifest::uri::{Rebase, Relative};

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
fn all_uris_of_an_element_lead_below_the_prefix_whatever_their_order() {
    for (name, principal) in [
        ("AdaptationSet", "initializationPrincipal"),
        ("InitializationSet", "initialization"),
    ] {
        for [one, other] in [
            [
                "xlink:href='/r.xml'".to_owned(),
                format!("{principal}='/i.mp4'"),
            ],
            [
                format!("{principal}='/i.mp4'"),
                "xlink:href='/r.xml'".to_owned(),
            ],
        ] {
            let text = format!("<MPD><Period><{name} {one} {other}/></Period></MPD>");
            let expected = text.replace("='/", "='/~sid/");
            assert_eq!(written(&text, &moved(Relative::Inherit)), expected);
        }
    }
}

#[test]
fn the_prefix_goes_before_the_path_however_the_rest_is_written() {
    for (uri, expected) in [
        ("/a?b&amp;c", "/~sid/a?b&amp;c"),
        (
            "\n https://edge.example/a'&amp;b/ ",
            "\n https://edge.example/~sid/a'&amp;b/ ",
        ),
        ("&#x2f;a", "/~sid/a"),
        ("<![CDATA[/a&b/]]>", "/~sid/a&amp;b/"),
        ("https://edge&#46;example/a", "https://edge.example/~sid/a"),
        (
            "https://other.example/a?b&amp;c",
            "https://other.example/a?b&amp;c",
        ),
    ] {
        let mpd = |uri| format!("<MPD><Period><BaseURL>{uri}</BaseURL></Period></MPD>");
        assert_eq!(written(&mpd(uri), &moved(Relative::Inherit)), mpd(expected));
        let still = Rebase {
            prefix: String::new(),
            ..below(Relative::Resolve)
        };
        let plan = Plan {
            rebase: Some(still),
            ..Plan::default()
        };
        let here = "<BaseURL>/films/one/</BaseURL>";
        let text = mpd(uri).replacen("<Period>", &format!("{here}<Period>"), 1);
        assert_eq!(written(&text, &plan), text, "without a prefix");
    }
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
