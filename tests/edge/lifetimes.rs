//! Whose word counts about how long an answer lives, and how long there is nothing.

use std::time::Duration;

use crate::harness::web::{Plan, Web};
use crate::harness::{bytes, edge, eventually, web};

/// What is shown, fields of an answer, and how many of three requests reach the origin.
const TARGETED: [(&str, &str, usize); 9] = [
    (
        "the field for CDNs counts, not that for everybody",
        "cache-control: no-store; cdn-cache-control: max-age=600",
        1,
    ),
    (
        "it may also forbid",
        "cache-control: max-age=600; cdn-cache-control: no-store",
        3,
    ),
    (
        "our own counts before it",
        "cdn-cache-control: no-store; weir-cache-control: max-age=600",
        1,
    ),
    (
        "our own may forbid",
        "cdn-cache-control: max-age=600; weir-cache-control: no-store",
        3,
    ),
    (
        "what is no structured field is not there",
        "cache-control: max-age=600; cdn-cache-control: no-store, max-age=\"1",
        1,
    ),
    (
        "an empty one is not there",
        "cache-control: max-age=600; cdn-cache-control: ",
        1,
    ),
    (
        "a life that is no integer is none",
        "cache-control: no-store; cdn-cache-control: max-age=\"600\"",
        3,
    ),
    (
        "Expires belongs to the field for everybody",
        "expires: Thu, 01 Jan 1970 00:00:00 GMT; cdn-cache-control: max-age=600",
        1,
    ),
    (
        "without either of them Cache-Control counts",
        "cache-control: max-age=600",
        1,
    ),
];

/// Reads a line of fields.
fn fields(line: &str) -> Vec<(&str, &str)> {
    let split = line.split("; ");
    split.filter_map(|field| field.split_once(": ")).collect()
}

#[tokio::test]
async fn a_field_for_caches_like_this_one_counts_before_the_one_for_everybody() {
    for site in ["general", "video"] {
        let origin = web::start().await;
        let builder = edge::new().origin(&origin).set("site.profile", site);
        // So that a silent answer of a video site is not kept for being a video.
        let edge = builder.set("site.lifetimes.other", "0s").run().await;
        for (at, (what, line, fetches)) in TARGETED.into_iter().enumerate() {
            let (path, headers) = (format!("/{at}"), fields(line));
            origin.put_with(&path, bytes(600, 100), &headers);
            for _ in 0..3 {
                let answer = edge.get(&path).await.whole(200);
                edge.settled().await;
                let told = headers.iter().find(|h| h.0 == "cdn-cache-control");
                let told = told.map_or("", |h| h.1);
                assert_eq!(
                    answer.header("cdn-cache-control"),
                    told,
                    "{what}: passed on"
                );
            }
            assert_eq!(origin.requests(&path), fetches, "{what} ({site})");
        }
    }
}

/// How many of two requests, one shortly after the other, reach the origin.
async fn fetches(origin: &Web, edge: &edge::Edge, path: &str, status: u16) -> usize {
    for _ in 0..2 {
        edge.get(path).await.whole(status);
        edge.settled().await;
    }
    origin.requests(path)
}

#[tokio::test]
async fn how_long_there_is_nothing_depends_on_the_kind() {
    for profile in ["video", "general"] {
        let origin = web::start().await;
        let builder = edge::new().origin(&origin).set("site.profile", profile);
        let builder = builder
            .set("site.lifetimes.negative.segment", "3s")
            .set("site.lifetimes.negative.manifest", "0s");
        let edge = builder
            .set("site.lifetimes.negative.other", "10m")
            .run()
            .await;
        for (path, expected) in [("/a.m4s", 1), ("/a.m3u8", 2), ("/a.mpd", 2), ("/a.jpg", 1)] {
            let asked = fetches(&origin, &edge, path, 404).await;
            assert_eq!(asked, expected, "{path} of a {profile} site");
        }
        for path in ["/a.m4s", "/a.jpg"] {
            origin.put(path, bytes(601, 100));
        }
        eventually("the segment is seen", Duration::from_secs(8), || async {
            edge.get("/a.m4s").await.status == 200
        })
        .await;
        edge.get("/a.jpg").await.whole(404);
    }
}

#[tokio::test]
async fn a_live_segment_that_did_not_exist_is_seen_within_a_second() {
    let origin = web::start().await;
    let edge = edge::new().origin(&origin).run().await;
    for path in ["/live/1.m4s", "/live/a.m3u8"] {
        edge.get(path).await.whole(404);
        origin.put(path, bytes(602, 100));
        // A second, and what a busy machine adds; what is no live object takes ten.
        eventually(path, Duration::from_secs(4), || async {
            edge.get(path).await.status == 200
        })
        .await;
    }
}

/// A media playlist that goes as far as a segment.
fn playlist(last: u8) -> Vec<u8> {
    let list = (0..=last).map(|at| format!("#EXTINF:2,\n{at}.m4s\n"));
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    std::iter::once(head).chain(list).collect::<String>().into()
}

/// Nobody asks between its requests, so nothing but the wait itself makes the old one too old.
#[tokio::test]
async fn a_player_alone_is_told_of_the_newest_live_segment() {
    let origin = web::start().await;
    let edge = edge::new().origin(&origin).run().await;
    for last in 1..4 {
        // More than its life of a second and the quarter that a refresh may take, and less than
        // the period of a player.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let newest = playlist(last);
        origin.put("/live/a.m3u8", newest.clone().into());
        let answer = edge.get("/live/a.m3u8?mode=off").await.whole(200);
        assert_eq!(answer.body, newest, "up to segment {last}");
        edge.settled().await;
    }
}

#[tokio::test]
async fn refusals_and_failures_are_remembered_as_the_site_says() {
    for (key, status) in [("forbidden", 403), ("failure", 503)] {
        for (life, expected) in [("0s", 2), ("10m", 1)] {
            let origin = web::start().await;
            let path = format!("site.lifetimes.negative.{key}");
            let builder = edge::new().general().origin(&origin).set(&path, life);
            let edge = builder.set("site.deadlines.tries", 1).run().await;
            origin.put_with("/a.jpg", bytes(603, 100), &[]);
            origin.always("/a.jpg", Plan::Status(status));
            for _ in 0..2 {
                let answer = edge.get("/a.jpg").await;
                assert!(answer.status >= 400, "{}", answer.status);
                edge.settled().await;
            }
            assert_eq!(origin.requests("/a.jpg"), expected, "{key} = {life}");
        }
    }
}

#[tokio::test]
async fn what_the_origin_says_of_a_negative_answer_counts_before_the_site() {
    let origin = web::start().await;
    let builder = edge::new().general().origin(&origin);
    let edge = builder
        .set("site.lifetimes.negative.other", "0s")
        .run()
        .await;
    origin.put_with(
        "/a.jpg",
        bytes(604, 100),
        &[("cache-control", "max-age=600")],
    );
    origin.always("/a.jpg", Plan::Status(404));
    assert_eq!(fetches(&origin, &edge, "/a.jpg", 404).await, 1);
}
