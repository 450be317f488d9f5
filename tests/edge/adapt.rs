//! Manifests made for the client that asks: sessions in paths, modes, filters, and what stays the
//! same for everybody.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::harness::client::{Answer, Protocol};
use crate::harness::edge::Edge;
use crate::harness::web::Web;
use crate::harness::{assert_same, edge, web};

mod duress;
mod encoded;
mod parsed;
mod refreshed;
mod server;

const PRIVATE: &str = "private, no-store";

/// The sample title that the program carries for its demo.
fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/title/sample")
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => pending.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

/// An origin with the sample title below `/t/`.
async fn origin() -> Web {
    let origin = web::start().await;
    for path in files_below(&sample()) {
        let key = path.strip_prefix(sample()).unwrap().display().to_string();
        origin.put(&format!("/t/{key}"), fs::read(&path).unwrap().into());
    }
    origin
}

fn builder<'a>(origin: &Web) -> edge::Builder<'a> {
    edge::new().origin(origin)
}

/// URIs of a playlist: its lines, and attributes named so.
fn uris(playlist: &str) -> Vec<String> {
    let lines = playlist
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    let attributes = playlist.lines().filter_map(|line| {
        let (_, rest) = line.split_once("URI=\"")?;
        rest.split('"').next()
    });
    lines.chain(attributes).map(str::to_owned).collect()
}

/// The path that a URI names, seen from a path.
fn resolved(base: &str, uri: &str) -> String {
    match uri.starts_with('/') {
        true => uri.to_owned(),
        false => format!("{}/{uri}", base.rsplit_once('/').unwrap().0),
    }
}

/// The session that a playlist's first URI leads below.
fn session(playlist: &str) -> String {
    let uri = uris(playlist).into_iter().find(|uri| uri.starts_with("/~"));
    let uri = uri.unwrap_or_else(|| panic!("no session in\n{playlist}"));
    uri.split('/').nth(1).unwrap().to_owned()
}

fn bandwidths(playlist: &str) -> Vec<&str> {
    let lines = playlist
        .lines()
        .filter(|l| l.starts_with("#EXT-X-STREAM-INF:"));
    lines
        .map(|line| {
            let (_, rest) = line.split_once("BANDWIDTH=").unwrap();
            rest.split(',').next().unwrap()
        })
        .collect()
}

async fn master(edge: &Edge, target: &str) -> Answer {
    let answer = edge.get(target).await.whole(200);
    assert_eq!(answer.header("cache-control"), PRIVATE, "{target}");
    answer
}

#[tokio::test]
async fn every_uri_of_a_manifest_made_for_a_session_leads_to_its_object() {
    let origin = origin().await;
    let edge = builder(&origin).run().await;
    for target in [
        "/t/master.m3u8",
        "/adaptive_stream/t",
        "/adaptive_stream/t.m3u8",
    ] {
        let text = master(&edge, target).await.text();
        let playlists = uris(&text);
        assert_eq!(playlists.len(), 5, "four rungs and the sound: {text}");
        for playlist in playlists {
            assert!(playlist.starts_with("/~"), "{playlist}");
            let answer = edge.get(&playlist).await.whole(200);
            assert!(
                !answer.header("cache-control").contains("private"),
                "{playlist}"
            );
            let names = uris(&answer.text());
            assert!(names.len() > 10, "{playlist}");
            for uri in names {
                let path = resolved(&playlist, &uri);
                let (_, object) = path.trim_start_matches('/').split_once('/').unwrap();
                let expected = fs::read(sample().join(object.trim_start_matches("t/"))).unwrap();
                assert_same(&edge.get(&path).await.whole(200).body, &expected);
            }
        }
    }
}

#[tokio::test]
async fn sessions_share_every_object() {
    let origin = origin().await;
    let edge = builder(&origin).run().await;
    let one = session(&master(&edge, "/t/master.m3u8").await.text());
    let other = session(&master(&edge, "/t/master.m3u8").await.text());
    assert_ne!(one, other);
    for session in [&one, &other, "~forged"] {
        for name in ["540p.m3u8", "540p/01.m4s"] {
            edge.get(&format!("/{session}/t/{name}")).await.whole(200);
        }
    }
    for path in ["/t/master.m3u8", "/t/540p.m3u8", "/t/540p/01.m4s"] {
        assert_eq!(origin.requests(path), 1, "{path}");
    }
}

#[tokio::test]
async fn a_session_that_is_none_plays_on() {
    let origin = origin().await;
    let edge = builder(&origin).run().await;
    let other = builder(&origin).set("site.name", "other").run().await;
    let own = session(&master(&edge, "/t/master.m3u8").await.text());
    let foreign = session(&master(&other, "/t/master.m3u8").await.text());
    let cut = own[..own.len() - 3].to_owned();
    let mut forged = own.clone().into_bytes();
    forged[9] = if forged[9] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let long = format!("~{}", "x".repeat(500));
    let expected = fs::read(sample().join("180p/01.m4s")).unwrap();
    for session in [foreign.as_str(), &cut, &forged, &long, "~", "~%00%2"] {
        let answer = edge.get(&format!("/{session}/t/180p/01.m4s")).await;
        if session.contains('%') {
            assert_eq!(
                answer.status, 400,
                "what no path may hold is refused as ever"
            );
            continue;
        }
        assert_same(&answer.whole(200).body, &expected);
        let again = master(&edge, &format!("/{session}/t/master.m3u8")).await;
        let given = self::session(&again.text());
        assert_ne!(given, session, "a new one begins");
    }
    let kept = master(&edge, &format!("/{own}/t/master.m3u8")).await.text();
    assert!(!kept.contains("/~") || session(&kept) == own, "{kept}");
}

#[tokio::test]
async fn what_is_off_goes_out_byte_for_byte_with_the_headers_of_any_object() {
    let origin = origin().await;
    let edge = builder(&origin)
        .set("site.adapt.session", "off")
        .run()
        .await;
    let killed = builder(&origin).set("site.adapt.mode", "off").run().await;
    let hinting = builder(&origin).run().await;
    for name in ["master.m3u8", "manifest.mpd", "540p.m3u8"] {
        let expected = fs::read(sample().join(name)).unwrap();
        for (edge, query) in [
            (&edge, "?mode=off"),
            (&hinting, "?mode=off"),
            (&killed, ""),
            (&killed, "?mode=single&max_kbps=200"),
            (&killed, "?mode=nonsense"),
        ] {
            let answer = edge.get(&format!("/t/{name}{query}")).await.whole(200);
            assert_same(&answer.body, &expected);
            assert!(!answer.header("etag").starts_with("W/"), "{name}{query}");
            assert_eq!(answer.header("accept-ranges"), "bytes", "{name}{query}");
            let control = answer.header("cache-control");
            assert!(!control.contains("private"), "{name}{query}: {control}");
        }
    }
}

#[tokio::test]
async fn every_known_manifest_goes_through_unchanged_where_all_is_off() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/manifests");
    let known = |path: &PathBuf| path.extension().is_some_and(|e| e == "m3u8" || e == "mpd");
    let mut manifests = files_below(&sample());
    if corpus.is_dir() {
        manifests.extend(files_below(&corpus));
    }
    manifests.retain(known);
    let origin = web::start().await;
    let edge = builder(&origin)
        .set("site.adapt.session", "off")
        .run()
        .await;
    let on = builder(&origin).run().await;
    for (index, path) in manifests.iter().enumerate() {
        let extension = path.extension().unwrap().to_str().unwrap();
        let key = format!("/{index}.{extension}");
        let bytes = Bytes::from(fs::read(path).unwrap());
        origin.put(&key, bytes.clone());
        for answer in [
            edge.get(&format!("{key}?mode=off")).await,
            on.get(&format!("{key}?mode=off")).await,
        ] {
            assert_same(&answer.whole(200).body, &bytes);
        }
        // With sessions it is answered too, whatever it is.
        on.get(&key).await.whole(200);
    }
}

#[tokio::test]
async fn single_names_one_rung_and_filters_leave_what_they_say() {
    let origin = origin().await;
    let edge = builder(&origin).run().await;
    let single = master(&edge, "/adaptive_stream/t?mode=single").await.text();
    assert_eq!(bandwidths(&single).len(), 1, "{single}");
    let low = master(&edge, "/t/master.m3u8?max_kbps=300").await.text();
    assert_eq!(bandwidths(&low), ["157000", "226000"]);
    let both = master(&edge, "/t/master.m3u8?max_height=360&min_kbps=200")
        .await
        .text();
    assert_eq!(bandwidths(&both), ["226000", "336000"]);
    let both = master(&edge, "/t/manifest.mpd?max_height=200").await.text();
    assert!(both.contains("180p") && !both.contains("540p"), "{both}");
    for (query, reason) in [
        ("mode=best", "mode must be"),
        ("max_kbps=x", "max_kbps must be"),
        ("max_kbps=1", "bitrate"),
        ("min_kbps=2&max_kbps=1", "bitrate"),
        ("codecs=hvc1", "codec"),
        ("max_kbps=1&max_kbps=2", "twice"),
    ] {
        for manifest in ["master.m3u8", "manifest.mpd"] {
            let answer = edge.get(&format!("/t/{manifest}?{query}")).await.whole(400);
            assert!(answer.text().contains(reason), "{query}: {}", answer.text());
        }
    }
    assert_eq!(
        origin.requests("/t/master.m3u8"),
        1,
        "choices are part of no key"
    );
}

#[tokio::test]
async fn the_operators_filter_counts_whatever_is_asked_for() {
    let origin = origin().await;
    let filtered = builder(&origin).set("site.adapt.filter.max_height", 360);
    let edge = filtered.run().await;
    for query in ["", "?max_height=2000", "?mode=off"] {
        let text = master(&edge, &format!("/t/master.m3u8{query}"))
            .await
            .text();
        assert_eq!(bandwidths(&text), ["157000", "226000", "336000"], "{query}");
    }
    edge.get("/t/master.m3u8?min_kbps=400").await.whole(400);
    // Anybody can say that he is a cache.
    let cache = edge.request("GET", "/t/master.m3u8");
    let cache = cache.header("cdn-loop", "x").send().await.whole(200);
    assert_eq!(bandwidths(&cache.text()), ["157000", "226000", "336000"]);
    assert!(!cache.text().contains("/~"), "and begins no session");
}

#[tokio::test]
async fn a_personal_manifest_is_whole_tagged_and_told_to_head_on_every_protocol() {
    let origin = origin().await;
    let edge = builder(&origin).run().await;
    let own = session(&master(&edge, "/t/master.m3u8").await.text());
    // Root-relative, so that there is something to write below a session that is there.
    let playlist = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n/t/540p.m3u8\n";
    origin.put("/t/root.m3u8", playlist.into());
    let target = format!("/{own}/t/root.m3u8");
    for protocol in Protocol::ALL {
        let client = edge.over(protocol);
        let answer = client.get(&target).await.whole(200);
        assert_eq!(
            answer.text(),
            playlist.replace("/t/", &format!("/{own}/t/"))
        );
        assert_eq!(answer.header("cache-control"), PRIVATE);
        assert_eq!(answer.header("age"), "");
        assert_eq!(answer.header("accept-ranges"), "");
        assert_eq!(answer.header("last-modified"), "");
        assert_eq!(
            answer.header("content-type"),
            "application/vnd.apple.mpegurl"
        );
        let tag = answer.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{tag}");
        let head = client.request("HEAD", &target).send().await.whole(200);
        assert_eq!(head.header("content-length"), answer.body.len().to_string());
        assert_eq!((head.header("etag"), head.body.len()), (tag.as_str(), 0));
        let ranged = client.request("GET", &target).header("range", "bytes=0-3");
        assert_same(&ranged.send().await.whole(200).body, &answer.body);
        let known = client.request("GET", &target).header("if-none-match", &tag);
        known.send().await.whole(304);
    }
    let old = "GET /t/master.m3u8 HTTP/1.0\r\nHost: edge.test\r\n\r\n";
    let raw = edge.over(Protocol::Http1).raw(old.as_bytes()).await;
    assert!(raw.contains("200 OK") && raw.contains("/~"), "{raw}");
}

#[tokio::test]
async fn a_purged_manifest_is_made_of_what_the_origin_has_now() {
    let origin = origin().await;
    let edge = builder(&origin).run().await;
    master(&edge, "/t/master.m3u8").await;
    let one = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n540p.m3u8\n";
    origin.put("/t/master.m3u8", one.into());
    assert_eq!(
        bandwidths(&master(&edge, "/t/master.m3u8").await.text()).len(),
        4
    );
    edge.purge("/t/master.m3u8").await.whole(200);
    let text = master(&edge, "/adaptive_stream/t").await.text();
    assert_eq!(bandwidths(&text), ["1000"]);
}

#[tokio::test]
async fn media_playlists_are_the_same_for_all_but_below_a_session() {
    let origin = origin().await;
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/t/540p/01.m4s\n#EXT-X-ENDLIST\n";
    origin.put("/t/abs.m3u8", playlist.into());
    let edge = builder(&origin).run().await;
    let plain = edge.get("/t/abs.m3u8").await.whole(200);
    assert_eq!(plain.text(), playlist);
    assert!(!plain.header("cache-control").contains("private"));
    let own = session(&master(&edge, "/t/master.m3u8").await.text());
    let below = master(&edge, &format!("/{own}/t/abs.m3u8")).await;
    assert_eq!(uris(&below.text()), [format!("/{own}/t/540p/01.m4s")]);
}

#[tokio::test]
async fn a_general_site_makes_nothing_for_anybody() {
    let origin = origin().await;
    origin.put("/~user/page", "home".into());
    let edge = builder(&origin)
        .general()
        .set("site.query", "all")
        .run()
        .await;
    for name in ["master.m3u8", "manifest.mpd"] {
        let bytes = Bytes::from(fs::read(sample().join(name)).unwrap());
        let target = format!("/t/{name}?max_kbps=1&mode=x");
        origin.put(&target, bytes.clone());
        assert_same(&edge.get(&target).await.whole(200).body, &bytes);
        assert_eq!(origin.requests(&target), 1, "the origin sees the query");
    }
    assert_eq!(edge.get("/~user/page").await.whole(200).text(), "home");
    assert_eq!(edge.get("/.weir/cmcd").await.status, 404);
}

#[tokio::test]
async fn steering_is_answered_here() {
    let origin = origin().await;
    let edge = builder(&origin)
        .set("site.adapt.steering.url", "https://edge.example")
        .set("site.adapt.steering.pathway", "here")
        .run()
        .await;
    let mpd = master(&edge, "/t/manifest.mpd").await.text();
    let text = master(&edge, "/t/master.m3u8").await.text();
    let own = session(&text);
    let url = format!("https://edge.example/{own}/.weir/steering/hls");
    assert!(text.contains(&url), "{text}");
    assert!(mpd.contains("/.weir/steering/dash"), "{mpd}");
    for (target, kind) in [
        (
            format!("/{own}/.weir/steering/hls?_HLS_pathway=.&_HLS_throughput=2000000"),
            "steering-list",
        ),
        ("/.weir/steering/dash".to_owned(), "application/json"),
    ] {
        let answer = edge.get(&target).await.whole(200);
        assert!(answer.header("content-type").contains(kind));
        assert_eq!(answer.header("cache-control"), "no-store");
        let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(document["VERSION"], 1);
        let reload = document["RELOAD-URI"].as_str().unwrap();
        assert!(
            target.starts_with(reload.split('?').next().unwrap()),
            "{reload}"
        );
    }
    assert_none_reached(&origin, &[".weir/steering/hls", ".weir/steering/dash"]);
}

fn assert_none_reached(origin: &Web, paths: &[&str]) {
    let seen = paths
        .iter()
        .filter(|path| origin.requests(&format!("/{path}")) > 0);
    assert_eq!(seen.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[tokio::test]
async fn reports_of_players_are_collected_here() {
    let origin = origin().await;
    let edge = builder(&origin).run().await;
    let event = "e=ps,sid=\"abc\",sta=p,v=2,ts=1\n";
    let post = |kind: &'static str, body: Bytes| {
        let request = edge
            .request("POST", "/.weir/cmcd")
            .header("content-type", kind);
        request.body(body).send()
    };
    post("application/cmcd", event.into()).await.whole(204);
    assert_eq!(post("text/plain", event.into()).await.status, 415);
    let long = Bytes::from(vec![b'x'; 100_000]);
    assert_eq!(post("application/cmcd", long).await.status, 413);
    let posted = |result| {
        let edge = &edge;
        async move {
            edge.metric("weir_reports_posted_total", &[("result", result)])
                .await
        }
    };
    assert_eq!(posted("taken").await, 1.0);
    assert_eq!(posted("type").await, 1.0);
    assert_eq!(posted("size").await, 1.0);
    assert_eq!(
        edge.request("POST", "/t/master.m3u8").send().await.status,
        405
    );
    assert_eq!(edge.get("/.weir/other").await.status, 404);

    let preflight = edge
        .request("OPTIONS", "/.weir/cmcd")
        .header("origin", "https://page.example")
        .header("access-control-request-method", "POST");
    let preflight = preflight.send().await.whole(204);
    assert!(
        preflight
            .header("access-control-allow-methods")
            .contains("POST")
    );
    assert!(
        preflight
            .header("access-control-allow-headers")
            .contains("Content-Type")
    );
    assert_none_reached(&origin, &[".weir/cmcd", ".weir/other"]);
}

#[tokio::test]
async fn segments_of_a_session_withdraw_what_its_manifest_told_the_player() {
    let origin = origin().await;
    let segments = ["/t/other.m4s", "/t/Fragments(video=0)", "/t/other.frag"];
    for path in segments {
        let headers = [
            ("cmsd-dynamic", "\"parent\";etp=1"),
            ("cmsd-static", "ot=v"),
        ];
        origin.put_with(path, "segment".into(), &headers);
    }
    let edge = builder(&origin).node("pop").run().await;
    for path in segments.into_iter().chain(segments) {
        let answer = edge.get(&format!("/~x{path}")).await.whole(200);
        assert_eq!(answer.header("cmsd-dynamic"), "\"pop\"");
        assert_eq!(answer.header("cmsd-static"), "ot=v");
        assert!(
            answer
                .header("access-control-expose-headers")
                .contains("CMSD-Dynamic")
        );
    }
    assert_eq!(edge.get("/t/other.m4s").await.header("cmsd-dynamic"), "");
    assert_eq!(edge.get("/~x/t/540p.m3u8").await.header("cmsd-dynamic"), "");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_made_is_asked_for_at_its_own_path() {
    let origin = origin().await;
    let strange = "<!DOCTYPE MPD><MPD><BaseURL>a/</BaseURL></MPD>";
    origin.put("/odd/manifest.mpd", strange.into());
    let edge = builder(&origin).run().await;
    let answer = edge.get("/adaptive_stream/odd.mpd").await.whole(307);
    assert_eq!(answer.header("location"), "/odd/manifest.mpd");
    assert_eq!(answer.header("cache-control"), "private, no-store");
    let answer = edge.get("/odd/manifest.mpd").await.whole(200);
    assert_eq!(answer.text(), strange);
    assert_eq!(edge.get("/adaptive_stream/none.mpd").await.status, 404);
}

#[tokio::test]
async fn a_playlist_with_variables_is_played_from_its_own_path() {
    let origin = origin().await;
    let playlist = "#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"t\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=1000\n540p.m3u8?t={$t}\n";
    origin.put("/bound/master.m3u8", playlist.into());
    let edge = builder(&origin).run().await;
    let answer = edge.get("/adaptive_stream/bound?t=7&mode=hint").await;
    let answer = answer.whole(307);
    assert_eq!(
        answer.header("location"),
        "/bound/master.m3u8?t=7&mode=hint"
    );
    let own = edge.get(answer.header("location")).await.whole(200);
    assert!(own.text().ends_with("\n540p.m3u8?t={$t}\n"), "left alone");
}
