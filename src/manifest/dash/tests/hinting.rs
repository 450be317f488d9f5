use super::fixtures::{LIVE, PERIODS, PREFIXED, SOUND};
use super::{below, replaced, written};
use crate::manifest::dash::Mpd;
use crate::manifest::plan::{Plan, SteeringHint};
use crate::manifest::uri::Relative;

const TARGET: &str = "<OperatingBandwidth mediaType=\"video\" target=\"1000000\"/>";

fn start(rung: usize) -> Plan {
    Plan {
        start: Some(rung),
        ..Plan::default()
    }
}

fn report() -> Plan {
    Plan {
        cmcd: Some("s\"1".to_owned()),
        ..Plan::default()
    }
}

fn steer() -> Plan {
    Plan {
        steering: Some(SteeringHint {
            url: "https://edge.example/steer?a=1&b=2".to_owned(),
            pathway: "here".to_owned(),
        }),
        rebase: Some(below(Relative::Inherit)),
        ..Plan::default()
    }
}

#[test]
fn the_start_is_merged_into_the_service_description_in_force() {
    let expected = replaced(
        LIVE,
        &[
            (
                "\r\n\t<PatchLocation ttl='60'>patch.mpp?id=live</PatchLocation>",
                "",
            ),
            ("max='1.04'/>", &format!("max='1.04'/>\r\n\t\t{TARGET}")),
        ],
    );
    assert_eq!(written(LIVE, &start(1)), expected);
}

#[test]
fn without_a_service_description_one_is_made_where_the_schema_wants_it() {
    let expected = replaced(
        PERIODS,
        &[(
            "</ProgramInformation>",
            "</ProgramInformation>\n  <ServiceDescription><OperatingBandwidth mediaType=\"video\" \
             target=\"2400000\"/></ServiceDescription>",
        )],
    );
    assert_eq!(written(PERIODS, &start(1)), expected);
}

#[test]
fn prefixes_and_empty_tags_are_taken_up() {
    let expected = replaced(
        PREFIXED,
        &[(
            "<m:ServiceDescription id=\"1\"/>",
            "<m:ServiceDescription id=\"1\"><m:OperatingBandwidth mediaType=\"video\" \
             target=\"900000\"/></m:ServiceDescription>",
        )],
    );
    assert_eq!(written(PREFIXED, &start(2)), expected);
}

#[test]
fn sound_without_picture_has_its_own_target() {
    let text = written(SOUND, &start(1));
    assert!(text.contains("<OperatingBandwidth mediaType=\"audio\" target=\"96000\"/>"));
}

#[test]
fn the_authors_demands_win() {
    for (authored, expected) in [
        ("mediaType='video' target='7'", None),
        ("mediaType='audio' max='7'", None),
        ("mediaType='any' max='7'", None),
        ("max='7'", None),
        ("mediaType='video' max='2000000'", Some("1000000")),
        ("mediaType='video' max='900000'", Some("900000")),
        ("mediaType='video' min='1100000'", Some("1100000")),
    ] {
        let element = format!("max='1.04'/><OperatingBandwidth {authored}/>");
        let text = replaced(LIVE, &[("max='1.04'/>", element.as_str())]);
        let text = replaced(
            &text,
            &[(
                "\r\n\t<PatchLocation ttl='60'>patch.mpp?id=live</PatchLocation>",
                "",
            )],
        );
        let can = Mpd::parse(text.as_bytes()).unwrap().can_start(1);
        assert_eq!(can, expected.is_some(), "{authored}");
        let element = format!("<OperatingBandwidth {authored}");
        let merged = expected.map(|target| format!("{element} target=\"{target}\""));
        let merged = merged.unwrap_or_else(|| element.clone());
        let expected = replaced(&text, &[(element.as_str(), merged.as_str())]);
        assert_eq!(written(&text, &start(1)), expected);
    }
}

#[test]
fn the_description_that_dash_js_obeys_is_chosen() {
    let low = "<Scope schemeIdUri='urn:dvb:dash:lowlatency:scope:2019'/>";
    let other = "<Scope schemeIdUri='urn:other'/>";
    for (scopes, chosen) in [
        (["", ""], 1),
        (["", other], 0),
        ([low, ""], 0),
        ([other, low], 1),
        ([other, other], 2),
    ] {
        let [first, second] = scopes;
        let text = format!(
            "<MPD><ServiceDescription>{first}</ServiceDescription><ServiceDescription>{second}\
             </ServiceDescription><Period><AdaptationSet mimeType='video/mp4'><Representation \
             bandwidth='1000000'/></AdaptationSet></Period></MPD>"
        );
        let text = written(&text, &start(0));
        let parts: Vec<_> = text.split("</ServiceDescription>").collect();
        let found = parts.iter().position(|part| part.ends_with(TARGET));
        assert_eq!(found, Some(chosen), "{text}");
    }
}

#[test]
fn reports_are_asked_for_once_and_escaped() {
    let text = written(LIVE, &report());
    let asked = "<ClientDataReporting><CMCDParameters \
                 schemeIdUri=\"urn:mpeg:dash:cta-5004:2023\" version=\"1\" mode=\"query\" keys=\"";
    assert!(text.contains(asked));
    assert!(text.contains("sessionID=\"s&quot;1\" includeInRequests=\"segment\"/>"));
    assert!(text.contains("<Latency target='3000' max='6000'/>"));
    assert_eq!(text.matches("<ServiceDescription").count(), 1);
    assert_eq!(
        written(&text, &report()),
        text,
        "the author's request stays"
    );
}

#[test]
fn steering_comes_with_a_base_that_can_be_steered() {
    let steering = "<ContentSteering defaultServiceLocation=\"here\" queryBeforeStart=\"false\">\
                    https://edge.example/steer?a=1&amp;b=2</ContentSteering>";
    let text = written(SOUND, &steer());
    assert!(
        text.contains("<BaseURL serviceLocation=\"here\">./</BaseURL>"),
        "{text}"
    );
    assert!(text.contains(steering));
    assert_eq!(written(&text, &steer()), text, "once is enough");
    let based = |base: &str| SOUND.replace("<Period>", &format!("{base}<Period>"));
    for (base, expected) in [
        (
            "<BaseURL>a/</BaseURL>",
            Some("<BaseURL serviceLocation=\"here\">a/</BaseURL>"),
        ),
        (
            "<BaseURL>https://edge.example/a/</BaseURL>",
            Some("<BaseURL serviceLocation=\"here\">https://edge.example/~sid/a/</BaseURL>"),
        ),
        (
            "<BaseURL serviceLocation=\"here\">a/</BaseURL><BaseURL>b/</BaseURL>",
            Some("<BaseURL serviceLocation=\"here\">a/</BaseURL>"),
        ),
        ("<BaseURL>https://other.example/a/</BaseURL>", None),
        ("<BaseURL serviceLocation=\"there\">a/</BaseURL>", None),
        ("<BaseURL>a/</BaseURL><BaseURL>b/</BaseURL>", None),
    ] {
        let text = written(&based(base), &steer());
        assert_eq!(text.contains(steering), expected.is_some(), "{base}");
        assert!(text.contains(expected.unwrap_or(base)), "{text}");
    }
}
