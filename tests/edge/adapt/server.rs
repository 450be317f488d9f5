//! One media playlist whose segments the edge picks rung by rung.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::{PRIVATE, bandwidths, builder, session, uris};
use crate::harness::client::Answer;
use crate::harness::edge::Edge;
use crate::harness::web::Web;
use crate::harness::{bytes, redis, web};

pub(super) const MASTER: &str = "#EXTM3U\n\
    #EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,CODECS=\"avc1.4d401e\"\n\
    low/list.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=640x360,CODECS=\"avc1.4d401e\"\n\
    high/list.m3u8\n";

/// A live playlist of segments that play `seconds` each.
fn list(window: Range<u64>, seconds: u64) -> String {
    let first = window.start;
    let segments = window.map(|number| format!("#EXTINF:{seconds}.0,\n{number}.m4s\n"));
    format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-MAP:URI=\"init.mp4\"\n{}",
        segments.collect::<String>()
    )
}

fn announce(origin: &Web, window: &Range<u64>, high_seconds: u64) {
    for (rung, seconds) in [("low", 4), ("high", high_seconds)] {
        let text = list(window.clone(), seconds);
        origin.put(&format!("/live/{rung}/list.m3u8"), text.into());
    }
}

async fn live(window: Range<u64>, high_seconds: u64) -> Web {
    let origin = web::start().await;
    origin.put("/live/master.m3u8", MASTER.into());
    origin.put("/live/low/1.m4s", bytes(1, 3000));
    announce(&origin, &window, high_seconds);
    origin
}

/// Begins a session; the URI of its one playlist.
async fn begin(edge: &Edge) -> String {
    let master = edge.get("/adaptive_stream/live?mode=server").await;
    let master = master.whole(200);
    assert_eq!(master.header("cache-control"), PRIVATE);
    let text = master.text();
    assert_eq!(bandwidths(&text), ["800000"], "nothing is known: {text}");
    let uri = uris(&text).remove(0);
    assert!(uri.starts_with("/~"), "{uri}");
    uri
}

/// Lets the session's player report 30 Mbit/s.
async fn report(edge: &Edge, uri: &str) {
    let own = session(uri);
    for _ in 0..6 {
        let target = format!("/{own}/live/low/1.m4s?CMCD=mtp%3D30000%2Cot%3Dv");
        edge.get(&target).await.whole(200);
    }
}

/// Media sequence numbers, and what a playlist says they are.
fn told(text: &str) -> BTreeMap<u64, String> {
    let tag = "#EXT-X-MEDIA-SEQUENCE:";
    let first = text.lines().find_map(|line| line.strip_prefix(tag));
    let segments = text.lines().filter(|line| line.ends_with(".m4s"));
    let segments = segments.map(str::to_owned);
    (first.unwrap().parse().unwrap()..).zip(segments).collect()
}

/// Reloads until the segment before `end` is told.
async fn reload(edge: &Edge, uri: &str, end: u64) -> BTreeMap<u64, String> {
    for _ in 0..100 {
        let answer: Answer = edge.get(uri).await.whole(200);
        let told = told(&answer.text());
        if told.contains_key(&(end - 1)) {
            assert_eq!(answer.header("cache-control"), PRIVATE);
            return told;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("segment {} was never told", end - 1);
}

#[tokio::test]
async fn a_segment_once_told_stays_of_its_rung_whichever_node_is_asked() {
    let redis = redis::start().await;
    let origin = live(0..4, 4).await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let node = |name| {
        let node = builder(&origin).node(name).redis(&redis);
        node.set("session.secret_file", secret.display().to_string())
    };
    let (one, other) = (node("one").run().await, node("other").run().await);
    let uri = begin(&one).await;
    let own = session(&uri);
    let segment = |rung: &str, number: u64| format!("/{own}/live/{rung}/{number}.m4s");
    let mut expected: BTreeMap<u64, String> = (0..4).map(|n| (n, segment("low", n))).collect();
    assert_eq!(reload(&one, &uri, 4).await, expected);

    report(&one, &uri).await;
    announce(&origin, &(1..7), 4);
    expected.remove(&0);
    expected.extend((4..7).map(|n| (n, segment("high", n))));
    assert_eq!(reload(&one, &uri, 7).await, expected);

    announce(&origin, &(3..9), 4);
    let there = reload(&other, &uri, 9).await;
    assert_eq!(
        there.keys().copied().collect::<Vec<_>>(),
        [3, 4, 5, 6, 7, 8]
    );
    for number in 3..7 {
        assert_eq!(there[&number], expected[&number], "{number}");
    }
    assert_eq!(reload(&one, &uri, 9).await, there, "and back again");
}

#[tokio::test]
async fn rungs_that_do_not_fit_go_out_one_as_it_is() {
    let origin = live(0..4, 3).await;
    let edge = builder(&origin).run().await;
    let uri = begin(&edge).await;
    reload(&edge, &uri, 4).await;
    report(&edge, &uri).await;
    let answer = edge.get(&uri).await.whole(200);
    assert_eq!(answer.text(), list(0..4, 4));
}

#[tokio::test]
async fn a_ladder_that_is_none_or_a_forged_session_leaves_the_playlist() {
    let origin = live(0..4, 4).await;
    let edge = builder(&origin).run().await;
    let uri = begin(&edge).await;
    let own = session(&uri);
    let (path, query) = uri.split_once('?').unwrap();
    let forged = uri.replace(&own, "~forged");
    for target in [
        format!("{path}?mode=server"),
        format!("{path}?mode=server&ladder=/live/none.m3u8"),
        format!("{path}?mode=server&ladder=/live/high/list.m3u8"),
        format!("{path}?mode=server&ladder=/live/../../x.m3u8"),
        format!("{path}?mode=server&ladder=http://other/live/master.m3u8"),
        format!("/live/low/list.m3u8?{query}"),
        forged,
    ] {
        let answer = edge.get(&target).await.whole(200);
        assert_eq!(answer.text(), list(0..4, 4), "{target}");
    }
    assert_eq!(origin.requests("/live/low/list.m3u8"), 1, "one object");
}
