//! Payloads as players send them, and what nobody should send.

use http::HeaderValue;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::{any, proptest};

use super::*;

fn query(payload: &str) -> String {
    format!(
        "a=b&CMCD={}&c",
        utf8_percent_encode(payload, NON_ALPHANUMERIC)
    )
}

fn reads(payload: &str) -> Option<Report> {
    of_request(Some(&query(payload)), &HeaderMap::new())
}

fn next(uri: &str, range: Option<&str>) -> Next {
    Next {
        uri: uri.to_owned(),
        range: range.map(str::to_owned),
    }
}

fn millis(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}

#[test]
fn payloads_of_players_are_read() {
    let dash = "bl=0,br=3500,d=2000,dl=0,nor=\"seg-3-00002.m4s\",ot=v,rtp=70100,\
                sid=\"edge-sid-1\",su,tb=3500";
    let expected = Report {
        session: Some("edge-sid-1".to_owned()),
        bitrate: Some(3_500_000),
        buffer: millis(0),
        duration: millis(2000),
        startup: true,
        object_type: Some("v".to_owned()),
        next: vec![next("seg-3-00002.m4s", None)],
        ..Report::default()
    };
    assert_eq!(reads(dash), Some(expected));
    let hls = "bl=21300,br=3200,bs,cid=\"faec5fc2-ac30-11ea\",d=4004,dl=18500,mtp=48100,\
               nor=\"..%2F300kbps%2Ftrack.m4v\",nrr=\"12323-48763\",ot=av,pr=1.08,rtp=12000,\
               sf=h,sid=\"6e2fb550-c457-11e9-bb97-0800200c9a66\",st=v,tb=6000";
    let expected = Report {
        session: Some("6e2fb550-c457-11e9-bb97-0800200c9a66".to_owned()),
        throughput: Some(48_100_000),
        bitrate: Some(3_200_000),
        buffer: millis(21_300),
        duration: millis(4004),
        starved: true,
        object_type: Some("av".to_owned()),
        next: vec![next("../300kbps/track.m4v", Some("12323-48763"))],
        rate: Some(1080),
        ..Report::default()
    };
    assert_eq!(reads(hls), Some(expected));
    let second = "bl=(5000;a 4200;v),br=(128;a 3500;v),bsd=(640;v),d=4000,e=ps,msd=1250,\
                  mtp=(5100),nor=(\"a.m4s\";r=\"0-99\" \"b%20c.m4s\"),ot=v,sid=\"s\",sta=p,\
                  tb=(6000;v),v=2";
    let expected = Report {
        session: Some("s".to_owned()),
        throughput: Some(5_100_000),
        bitrate: Some(3_500_000),
        buffer: millis(4200),
        duration: millis(4000),
        stalled: millis(640),
        start_delay: millis(1250),
        state: Some(State::Playing),
        object_type: Some("v".to_owned()),
        next: vec![next("a.m4s", Some("0-99")), next("b c.m4s", None)],
        ..Report::default()
    };
    assert_eq!(reads(second), Some(expected));
}

#[test]
fn fields_say_what_a_query_would() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("cmcd-request", "bl=2000,mtp=25400,nor=\"b.m4s\",su"),
        ("cmcd-object", "br=3200,d=4004,ot=v,tb=6000"),
        ("cmcd-status", "bs"),
        ("cmcd-session", "sid=\"abc\",v=1"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let report = of_request(Some("x=1"), &headers).unwrap();
    assert_eq!(report.session.as_deref(), Some("abc"));
    assert_eq!(report.throughput, Some(25_400_000));
    assert_eq!(report.bitrate, Some(3_200_000));
    assert_eq!(report.next, [next("b.m4s", None)]);
    assert!(report.starved && report.startup);
    assert_eq!(of_request(None, &headers), Some(report.clone()));
    let other = of_request(Some(&query("br=100")), &headers).unwrap();
    assert_eq!((other.bitrate, other.session), (Some(100_000), None));
}

#[test]
fn a_bad_member_costs_that_member_only() {
    let cases = [
        "br=3500,Bad-Key=1,d=2000",
        "br=3500,sid=6e2fb550-c457,d=2000",
        "br=3500,=,d=2000",
        "br=3500,bl=99999999999999999999,d=2000",
        "br=3500, cid=\"a,b(\",\td=2000",
        "br=3500,bl=-100,d=2000,tb=0",
        "br=3500,com.example-x=\"y\",d=2000",
        "br=3500,tb=?1,mtp=\"fast\",d=2000",
        "br=3500,bl=86400001,d=2000",
        "br=3500,sid=\"\",d=2000",
        "br=3500,nrr=\"a-b\",d=2000",
        ",br=3500,,d=2000,",
    ];
    let expected = Report {
        bitrate: Some(3_500_000),
        duration: millis(2000),
        ..Report::default()
    };
    for payload in cases {
        assert_eq!(reads(payload).as_ref(), Some(&expected), "{payload}");
    }
    let long = format!("br=3500,d=2000,sid=\"{}\"", "x".repeat(65));
    assert_eq!(reads(&long), Some(expected));
}

#[test]
fn what_says_nothing_is_no_report() {
    for payload in [
        "",
        ",",
        "=",
        "\u{e9}",
        "(((",
        "\"",
        &"x".repeat(limits::CMCD_BYTES_MAX),
    ] {
        assert_eq!(reads(payload), None, "{payload}");
    }
    assert_eq!(of_request(None, &HeaderMap::new()), None);
    assert_eq!(of_request(Some("cmcd=br%3D1"), &HeaderMap::new()), None);
    assert_eq!(of_request(Some("CMCD=%ff"), &HeaderMap::new()), None);
}

#[test]
fn next_objects_are_few_and_keep_their_range() {
    let cases: [(&str, &[Next]); 5] = [
        ("nor=\"a\",nrr=\"1-2\"", &[next("a", Some("1-2"))]),
        ("nrr=\"1-2\",nor=\"a\"", &[next("a", Some("1-2"))]),
        ("nrr=\"1-\",br=1", &[next("", Some("1-"))]),
        (
            "nor=(\"a\";r=\"x\" 7 \"\" \"b\")",
            &[next("a", None), next("b", None)],
        ),
        (
            "nor=(\"a\" \"b\" \"c\" \"d\" \"e\")",
            &[
                next("a", None),
                next("b", None),
                next("c", None),
                next("d", None),
            ],
        ),
    ];
    for (payload, expected) in cases {
        assert_eq!(reads(payload).unwrap().next, expected, "{payload}");
    }
}

#[test]
fn events_are_read_line_by_line_within_bounds() {
    let body = b"e=ps,sta=p,sid=\"a\",ts=1700000000000,v=2\n\
                 e=t,bl=(3000;v),br=(900;v)\r\n\
                 \n\
                 br=5\n\
                 e=\"x y\",br=5\n\
                 \xff\xfe\n\
                 e=bs,bs";
    let events = events(body);
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["ps", "t", "bs"]);
    assert_eq!(events[0].report.state, Some(State::Playing));
    assert_eq!(events[1].report.bitrate, Some(900_000));
    assert!(events[2].report.starved);
    let many = "e=t,br=1\n".repeat(limits::CMCD_EVENTS_MAX + 10);
    assert_eq!(
        super::events(many.as_bytes()).len(),
        limits::CMCD_EVENTS_MAX
    );
}

proptest! {
    #[test]
    fn no_payload_panics(payload in "[ -~\u{e9}]{0,80}", body in any::<Vec<u8>>()) {
        drop(reads(&payload));
        drop(of_request(Some(&payload), &HeaderMap::new()));
        drop(events(&body));
    }

    #[test]
    fn members_of_any_shape_stay_within_bounds(
        payload in "((br|bl|nor|nrr|sid|pr|bsd)=[\"();,a-c0-9.%-]{0,9},?){0,9}"
    ) {
        if let Some(report) = reads(&payload) {
            assert!(report.next.len() <= limits::CMCD_NEXT_MAX);
            assert!(report.session.is_none_or(|sid| sid.len() <= SESSION_CHARS_MAX * 4));
            assert!(report.bitrate.is_none_or(|bitrate| bitrate <= KILOBITS_MAX * 1000));
        }
    }
}
