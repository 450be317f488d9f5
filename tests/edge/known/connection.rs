//! Sessions by the connections that they come from.
//!
//! Where connections are to be the clients' own, the kernel's figures are on, which is the same
//! switch: too little is sent for them.

use std::collections::HashSet;

use super::{
    LADDER, SAID, assert_estimated, attribute, builder, get_as, list, listed, live, master, origin,
    sessions,
};
use crate::harness::client::Protocol;
use crate::harness::edge::Builder;
use crate::harness::web::Web;
use crate::harness::{assert_same, bytes};

/// A node to which connections are the clients' own. By none of them a test may have so much sent
/// that the kernel's figures make a sample: 64 kB.
fn direct<'a>(origin: &Web) -> Builder<'a> {
    let builder = builder(origin).set("session.tcp_info", true);
    builder.set("site.adapt.session", "connection")
}

/// The session that an MPD tells its player.
fn told(mpd: &str) -> String {
    let told = attribute(mpd, "sessionID");
    told.unwrap_or_else(|| panic!("no session in\n{mpd}"))
        .to_owned()
}

#[tokio::test]
async fn sessions_known_by_connection_play_what_the_origin_wrote_and_are_one_by_client() {
    let origin = origin().await;
    let edge = builder(&origin)
        .set("site.adapt.session", "connection")
        .run()
        .await;
    let client = edge.over(Protocol::Http1);
    let mut connection = client.connect().await.unwrap();
    let mut read = async |target: &str| connection.get(target).await.unwrap().whole(200);
    assert_same(&read("/t/master.m3u8").await.body, master().as_bytes());
    for (name, _) in LADDER {
        assert_same(
            &read(&format!("/t/{name}.m3u8")).await.body,
            list().as_bytes(),
        );
    }
    for number in 1..4 {
        let target = format!("/t/{number}.m4s?CMCD=mtp%3D{SAID}%2Cot%3Dv");
        assert_same(&read(&target).await.body, &bytes(number, 3000));
    }
    let rows = sessions(&edge).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_estimated(&rows[0], SAID);
    assert_eq!(rows[0]["estimate"]["samples"], 3, "all of them: {rows:?}");

    let again = read("/t/master.m3u8").await.text();
    assert_eq!(listed(&again), [1_300_000, 1_000_000, 9_000_000]);
    assert!(!again.contains('~'), "{again}");
    let adaptive = read("/adaptive_stream/t").await.text();
    assert!(adaptive.contains("/t/middle.m3u8") && !adaptive.contains('~'));

    let report = "/t/1.m4s?CMCD=mtp%3D9000%2Cot%3Dv";
    get_as(&edge, "another", report).await;
    let rows = sessions(&edge).await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_estimated(&rows[0], 9000);
    assert_estimated(&rows[1], SAID);
}

#[tokio::test]
async fn a_live_mpd_asked_for_again_by_a_connection_goes_on_with_its_session() {
    let origin = origin().await;
    origin.put("/other/manifest.mpd", live().into());
    let edge = direct(&origin).run().await;
    for number in 1..4 {
        let target = format!("/t/{number}.m4s?CMCD=mtp%3D{SAID}%2Cot%3Dv");
        edge.get(&target).await.whole(200);
    }
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut connection = edge.over(protocol).connect().await.unwrap();
        let mut read = async |target: &str| {
            let answer = connection.get(target).await.unwrap().whole(200);
            (answer.text(), answer.header("cmsd-dynamic").to_owned())
        };
        let (first, said) = read("/live/manifest.mpd").await;
        assert_eq!(attribute(&first, "target"), Some("1300000"), "{first}");
        assert!(said.contains(";etp="), "{said}");
        let own = told(&first);
        for _ in 0..3 {
            let (again, said) = read("/live/manifest.mpd").await;
            assert_eq!(told(&again), own);
            assert!(!again.contains("OperatingBandwidth"), "{again}");
            assert_eq!(said, "", "who plays knows better");
            let segment = format!("/live/1.m4s?CMCD=mtp%3D{SAID}%2Cot%3Dv%2Csid%3D%22{own}%22");
            read(&segment).await;
        }
        let vod = told(&read("/t/manifest.mpd").await.0);
        let again = told(&read("/t/manifest.mpd").await.0);
        assert_ne!(again, vod, "who asks for this again begins again");
        assert_ne!(again, own);
        let other = read("/other/manifest.mpd").await.0;
        assert_ne!(told(&other), own);
        let elsewhere = edge.over(protocol).get("/live/manifest.mpd").await;
        let elsewhere = told(&elsewhere.whole(200).text());
        assert_ne!(elsewhere, own);

        let goes_on = told(&read("/live/manifest.mpd").await.0);
        let forged = read("/~forged/live/manifest.mpd").await.0;
        assert_eq!(told(&forged), goes_on, "what names nothing changes nothing");
        let named = format!("/~{elsewhere}/live/manifest.mpd");
        assert_eq!(told(&read(&named).await.0), elsewhere, "what names does");
    }
    let rows = sessions(&edge).await;
    assert_eq!(
        rows.len(),
        3,
        "the client, and each that was told one: {rows:?}"
    );
}

#[tokio::test]
async fn viewers_whose_balancer_has_one_connection_for_them_get_a_session_each() {
    let origin = origin().await;
    let edge = builder(&origin)
        .set("site.adapt.session", "connection")
        .run()
        .await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut connection = edge.over(protocol).connect().await.unwrap();
        let mut ids = HashSet::new();
        for viewer in 1..4 {
            let answer = connection.get("/live/manifest.mpd").await.unwrap();
            ids.insert(told(&answer.whole(200).text()));
            assert_eq!(ids.len(), viewer, "{ids:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_another_user_agent_asked_by_tells_of_no_session_any_more() {
    let origin = origin().await;
    let edge = direct(&origin).run().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = edge.over(protocol);
        let mut connection = client.connect().await.unwrap();
        let mut ids = HashSet::new();
        for (agent, known) in [("one", 1), ("one", 1), ("two", 2), ("one", 3), ("one", 4)] {
            let request = client.request("GET", "/live/manifest.mpd");
            let answer = connection.send(request.header("user-agent", agent)).await;
            ids.insert(told(&answer.unwrap().whole(200).text()));
            assert_eq!(ids.len(), known, "{agent} asks: {ids:?}");
        }
    }
}
