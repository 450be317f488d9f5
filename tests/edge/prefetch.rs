//! What players will ask for next is here before they do, and nothing else is.

use std::time::Duration;

use bytes::Bytes;

use crate::harness::edge::Edge;
use crate::harness::web::{Plan, Web};
use crate::harness::{assert_same, bytes, edge, eventually, web};

const PATIENCE: Duration = Duration::from_secs(10);

/// Puts a title of `count` segments behind `/t/`.
fn put_title(origin: &Web, count: u64, head: &str) {
    let list = (1..=count).map(|n| format!("#EXTINF:4,\nv/{n}.m4s\n"));
    let text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n{head}{}#EXT-X-ENDLIST\n",
        list.collect::<String>()
    );
    origin.put("/t/l.m3u8", Bytes::from(text));
    for n in 1..=count {
        origin.put(&format!("/t/v/{n}.m4s"), bytes(n, 20_000));
    }
}

async fn asked_for(origin: &Web, path: &str, times: usize) {
    eventually(path, PATIENCE, || async { origin.requests(path) >= times }).await;
    assert_eq!(origin.requests(path), times, "{path}");
}

/// How often the two segments were asked for that follow the first.
fn brought(origin: &Web) -> usize {
    origin.requests("/t/v/2.m4s") + origin.requests("/t/v/3.m4s")
}

/// Waits until a playlist that was served has been read: its first segment has others behind it.
async fn known(edge: &Edge, origin: &Web) {
    edge.get("/t/l.m3u8").await.whole(200);
    let asked = || async {
        edge.get("/t/v/1.m4s").await.whole(200);
        brought(origin) > 0
    };
    eventually("the next segments are brought", PATIENCE, asked).await;
}

#[tokio::test]
async fn the_next_segments_are_here_when_they_are_asked_for() {
    let origin = web::start().await;
    put_title(&origin, 6, "");
    let edge = edge::new().origin(&origin).run().await;
    known(&edge, &origin).await;
    asked_for(&origin, "/t/v/3.m4s", 1).await;
    let brought = [("result", "brought")];
    edge.metric_reaches(("weir_prefetches_total", &brought), 2.0)
        .await;

    let second = edge.get("/t/v/2.m4s").await.whole(200);
    assert!(
        second.header("cache-status").contains("hit"),
        "{}",
        second.header("cache-status")
    );
    assert_same(&second.body, &bytes(2, 20_000));
    asked_for(&origin, "/t/v/2.m4s", 1).await;
    asked_for(&origin, "/t/v/4.m4s", 1).await;
    assert_eq!(origin.requests("/t/v/5.m4s"), 0, "two ahead, not more");
    let useful = [("use", "useful")];
    edge.metric_reaches(("weir_prefetched_bytes_total", &useful), 20_000.0)
        .await;
}

#[tokio::test]
async fn a_manifest_brings_the_beginning_of_what_is_played_first() {
    let origin = web::start().await;
    put_title(&origin, 6, "#EXT-X-MAP:URI=\"v/init.m4i\"\n");
    origin.put("/t/v/init.m4i", bytes(9, 700));
    let variants = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360\nl.m3u8\n";
    origin.put("/t/main.m3u8", Bytes::from_static(variants.as_bytes()));
    let edge = edge::new().origin(&origin).run().await;
    edge.get("/t/main.m3u8").await.whole(200);
    for path in ["/t/l.m3u8", "/t/v/init.m4i", "/t/v/1.m4s", "/t/v/2.m4s"] {
        asked_for(&origin, path, 1).await;
    }
    assert_eq!(origin.requests("/t/v/3.m4s"), 0);
}

#[tokio::test]
async fn a_manifest_brings_the_sound_that_is_heard_first_and_no_other() {
    let origin = web::start().await;
    put_title(&origin, 3, "");
    let sound = |name: &str, rest: &str| {
        let list = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"NAME-i.m4i\"\n\
            #EXTINF:4,\nNAME-1.m4s\n#EXT-X-ENDLIST\n";
        let list = list.replace("NAME", name);
        origin.put(&format!("/t/{name}.m3u8"), Bytes::from(list));
        for (path, length) in [("i.m4i", 700), ("1.m4s", 9_000)] {
            origin.put(&format!("/t/{name}-{path}"), bytes(5, length));
        }
        format!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"{name}\",LANGUAGE=\"{name}\",\
             URI=\"{name}.m3u8\"{rest}\n"
        )
    };
    let text = [
        "#EXTM3U\n",
        &sound("de", ""),
        &sound("en", ",DEFAULT=YES"),
        "#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,AUDIO=\"g\"\nl.m3u8\n",
    ];
    origin.put("/t/main.m3u8", Bytes::from(text.concat()));
    let mpd = "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
        minBufferTime=\"PT4S\" mediaPresentationDuration=\"PT8S\" \
        profiles=\"urn:mpeg:dash:profile:isoff-live:2011\"><Period>\
        <AdaptationSet mimeType=\"video/mp4\"><Representation id=\"v\" bandwidth=\"800000\">\
        <SegmentTemplate duration=\"4\" initialization=\"v.m4i\" media=\"v-$Number$.m4s\"/>\
        </Representation></AdaptationSet>\
        <AdaptationSet mimeType=\"audio/mp4\"><Representation id=\"a\" bandwidth=\"96000\">\
        <SegmentTemplate duration=\"4\" initialization=\"a.m4i\" media=\"a-$Number$.m4s\"/>\
        </Representation></AdaptationSet></Period></MPD>";
    origin.put("/d/manifest.mpd", Bytes::from(mpd));
    for path in ["v.m4i", "v-1.m4s", "a.m4i", "a-1.m4s"] {
        origin.put(&format!("/d/{path}"), bytes(6, 900));
    }
    let edge = edge::new().origin(&origin).run().await;
    edge.get("/t/main.m3u8").await.whole(200);
    for path in ["/t/en.m3u8", "/t/en-i.m4i", "/t/en-1.m4s", "/t/v/1.m4s"] {
        asked_for(&origin, path, 1).await;
    }
    edge.get("/d/manifest.mpd").await.whole(200);
    for path in ["/d/v.m4i", "/d/v-1.m4s", "/d/a.m4i", "/d/a-1.m4s"] {
        asked_for(&origin, path, 1).await;
    }
    assert_eq!(origin.requests("/t/de.m3u8"), 0);
}

#[tokio::test]
async fn of_a_file_those_parts_are_brought_that_a_manifest_names() {
    let origin = web::start().await;
    let mpd = "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
        minBufferTime=\"PT4S\" mediaPresentationDuration=\"PT4S\" \
        profiles=\"urn:mpeg:dash:profile:isoff-main:2011\"><Period>\
        <AdaptationSet mimeType=\"video/mp4\"><Representation id=\"v\" bandwidth=\"800000\">\
        <BaseURL>film.mp4</BaseURL><SegmentList duration=\"4\"><Initialization range=\"0-799\"/>\
        <SegmentURL mediaRange=\"3000000-3009999\"/></SegmentList>\
        </Representation></AdaptationSet></Period></MPD>";
    origin.put("/d/manifest.mpd", Bytes::from(mpd));
    let film = bytes(3, 8_000_000);
    origin.put("/d/film.mp4", film.clone());
    let edge = edge::new().origin(&origin).run().await;
    edge.get("/d/manifest.mpd").await.whole(200);
    let brought = [("result", "brought")];
    edge.metric_reaches(("weir_prefetches_total", &brought), 2.0)
        .await;
    for (first, last) in [(0, 799), (3_000_000, 3_009_999)] {
        let request = edge.request("GET", "/d/film.mp4");
        let request = request.header("range", &format!("bytes={first}-{last}"));
        let part = request.send().await.whole(206);
        let status = part.header("cache-status");
        assert!(status.contains("hit"), "{first}: {status}");
        assert_same(&part.body, &film[first..=last]);
    }
}

#[tokio::test]
async fn a_player_s_word_is_taken_and_leads_nowhere_else() {
    let origin = web::start().await;
    put_title(&origin, 6, "");
    origin.put("/secret.m4s", bytes(1, 10));
    origin.put("/t/v/secret.key", bytes(1, 16));
    let edge = edge::new().origin(&origin).run().await;
    for (n, uri) in [
        "../../secret.m4s",
        "/secret.m4s",
        "..%2F..%2Fsecret.m4s",
        "secret.key",
        "//elsewhere.example/5.m4s",
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/t/v/{}.m4s", n + 1);
        let escaped: String = uri.bytes().map(|byte| format!("%25{byte:02X}")).collect();
        let query = format!("?CMCD=nor%3D%22{escaped}%22");
        edge.get(&format!("{target}{query}")).await.whole(200);
    }
    // What may be brought comes last, so that all before it has been looked at by then.
    edge.get("/t/v/1.m4s?CMCD=nor%3D%226.m4s%22")
        .await
        .whole(200);
    asked_for(&origin, "/t/v/6.m4s", 1).await;
    for path in ["/secret.m4s", "/t/v/secret.key"] {
        assert_eq!(origin.requests(path), 0, "{path}");
    }
}

#[tokio::test]
async fn a_key_is_brought_for_nobody_and_kept_for_nobody() {
    let origin = web::start().await;
    put_title(&origin, 4, "#EXT-X-KEY:METHOD=AES-128,URI=\"v/k.key\"\n");
    origin.put("/t/v/k.key", bytes(5, 16));
    let edge = edge::new().origin(&origin).run().await;
    known(&edge, &origin).await;
    asked_for(&origin, "/t/v/3.m4s", 1).await;
    assert_eq!(origin.requests("/t/v/k.key"), 0);
    let lasting = [("cache-control", "public, max-age=3600")];
    origin.put_with("/keys/1", bytes(6, 16), &lasting);
    origin.put_with("/t/v/lasting.key", bytes(7, 16), &lasting);
    origin.put_with("/no-key", bytes(8, 17), &lasting);
    origin.put_with("/keys/of-no-length", bytes(9, 16), &lasting);
    origin.always("/keys/of-no-length", Plan::Chunked);
    let keys = [
        "/t/v/k.key",
        "/t/v/lasting.key",
        "/keys/1",
        "/keys/of-no-length",
    ];
    for times in 1..=2 {
        for path in keys {
            edge.get(path).await.whole(200);
            edge.settled().await;
            assert_eq!(origin.requests(path), times, "{path}");
        }
        edge.get("/no-key").await.whole(200);
    }
    assert_eq!(origin.requests("/no-key"), 1);
}

#[tokio::test]
async fn what_may_not_be_shared_is_brought_once_and_then_left_alone() {
    let origin = web::start().await;
    put_title(&origin, 6, "");
    for n in 1..=6 {
        let private = [("cache-control", "private")];
        origin.put_with(&format!("/t/v/{n}.m4s"), bytes(n, 20_000), &private);
    }
    origin.put("/t/v/1.m4s", bytes(1, 20_000));
    let edge = edge::new().origin(&origin).run().await;
    known(&edge, &origin).await;
    let left_alone = [("result", "private")];
    edge.metric_reaches(("weir_prefetches_total", &left_alone), 2.0)
        .await;
    let before = brought(&origin);
    for _ in 0..3 {
        edge.get("/t/v/1.m4s").await.whole(200);
    }
    edge.metric_reaches(("weir_prefetches_total", &left_alone), 8.0)
        .await;
    assert_eq!(brought(&origin), before);
}

#[tokio::test]
async fn a_site_that_wants_none_gets_none() {
    for (key, value) in [
        ("site.adapt.prefetch_segments", toml::Value::Integer(0)),
        ("site.adapt.mode", toml::Value::String("off".to_owned())),
    ] {
        let origin = web::start().await;
        put_title(&origin, 4, "");
        let edge = edge::new().origin(&origin).set(key, value).run().await;
        edge.get("/t/l.m3u8").await.whole(200);
        edge.get("/t/v/1.m4s?CMCD=nor%3D%223.m4s%22")
            .await
            .whole(200);
        edge.settled().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        for n in 2..=4 {
            assert_eq!(origin.requests(&format!("/t/v/{n}.m4s")), 0, "{key}");
        }
    }
}
