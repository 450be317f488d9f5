//! Real players with their default settings play `/adaptive_stream/<id>` through nodes that share
//! a Redis.
//!
//! Links are not shaped here; `make qoe` does that. The page is the one that it measures with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::edge::Edge;
use crate::harness::files::{self, Files};
use crate::harness::{browser, edge, eventually, redis};

/// A cold browser that decodes in software, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Seconds of the title that make a session: three of its segments are in play by then.
const PLAYED: f64 = 4.0;

/// Each player, what its manifest's path ends in, and its script in `target/players`.
const PLAYERS: [(&str, &str, Option<&str>); 4] = [
    ("hls.js", "", Some("hls.js/dist/hls.min.js")),
    (
        "dash.js",
        ".mpd",
        Some("dashjs/dist/modern/umd/dash.all.min.js"),
    ),
    (
        "Shaka",
        ".mpd",
        Some("shaka-player/dist/shaka-player.compiled.js"),
    ),
    ("Chromium", "", None),
];

/// The bundled title, the page, and the players beside it.
fn origin() -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files::start();
    let title = root.join("src/demo/title/sample");
    for path in below(&title) {
        let key = path.strip_prefix(&title).unwrap().display();
        files.put(&format!("title/{key}"), &fs::read(&path).unwrap());
    }
    let page = fs::read(root.join("benches/qoe/page.html")).unwrap();
    files.put("page.html", &page);
    for script in PLAYERS.iter().filter_map(|(_, _, script)| *script) {
        let path = root.join("target/players/node_modules").join(script);
        let bytes = fs::read(&path);
        let bytes = bytes.unwrap_or_else(|e| panic!("{}: {e}: run `make tools`", path.display()));
        files.put(&format!("players/{script}"), &bytes);
    }
    files
}

/// Files of a directory and those below it.
fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => below(&path),
            false => vec![path],
        })
        .collect()
}

/// Plays in a browser with a profile of its own until enough has been seen.
async fn plays(player: &str, page: &Edge, manifest: &str) {
    let mut browser = browser::open(&page.url("/page.html")).await;
    browser
        .ask(&format!("start('{player}', '{manifest}'), 0"))
        .await;
    let start = Instant::now();
    let mut at = 0.0;
    while at < PLAYED {
        let error = browser.ask("state.error").await;
        assert!(error.is_null(), "{player} with {manifest}: {error}");
        assert!(
            start.elapsed() < PATIENCE,
            "{player} stands at {at} s of {manifest}\n{}",
            page.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
        at = browser
            .ask("document.querySelector('video').currentTime")
            .await
            .as_f64()
            .unwrap_or_default();
    }
}

/// Paths that a node was asked for, as players spelled them.
fn asked(node: &Edge) -> Vec<String> {
    let lines = node.log();
    let lines = lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter_map(|line: serde_json::Value| {
            let fields = line.get("fields").unwrap_or(&line);
            Some(fields["path"].as_str()?.to_owned())
        })
        .collect()
}

/// The session of a path, and the path within it.
fn parted(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/~")?.split_once('/')
}

async fn nodes(files: &Files, redis: &redis::Redis) -> (Edge, Edge) {
    let node = |name: &'static str| {
        let node = edge::new().origin(files).redis(redis).node(name);
        node.set("log.access", true).set("log.format", "json").run()
    };
    (node("a").await, node("b").await)
}

#[tokio::test]
async fn every_player_plays_its_own_session_of_the_manifest_made_for_it() {
    let files = origin();
    let redis = redis::start().await;
    let (a, b) = nodes(&files, &redis).await;
    let mut sessions = BTreeSet::new();
    for (number, (player, ending, _)) in PLAYERS.into_iter().enumerate() {
        // The page comes from the other node: another origin to the browser.
        let (page, node) = match number % 2 {
            0 => (&a, &b),
            _ => (&b, &a),
        };
        let target = format!("/adaptive_stream/title{ending}");
        let paths = asked_by(player, (page, node), &target).await;
        let own = session_of(player, &paths, &target);
        assert!(
            sessions.insert(own),
            "{player} was given another's session: {sessions:?}"
        );
    }
}

#[tokio::test]
async fn with_mode_single_a_manifest_has_one_quality_and_no_other_is_fetched() {
    let files = origin();
    let redis = redis::start().await;
    let (a, b) = nodes(&files, &redis).await;
    for (player, ending, quality) in [
        ("hls.js", "", "#EXT-X-STREAM-INF:"),
        ("dash.js", ".mpd", " height=\""),
    ] {
        let target = format!("/adaptive_stream/title{ending}");
        let single = format!("{target}?mode=single");
        let manifest = b.get(&single).await.whole(200).text();
        assert_eq!(manifest.matches(quality).count(), 1, "{manifest}");
        let paths = asked_by(player, (&a, &b), &single).await;
        let pictures = paths.iter().filter(|path| path.ends_with(".m4s"));
        let pictures = pictures.filter(|path| !path.contains("/audio/"));
        let rungs: BTreeSet<&str> = pictures
            .filter_map(|path| path.rsplit('/').nth(1))
            .collect();
        assert_eq!(rungs.len(), 1, "{player} fetched {rungs:?}");
    }
}

/// Paths that a node was asked for while a player of a page of another node played from it.
async fn asked_by(player: &str, (page, node): (&Edge, &Edge), target: &str) -> Vec<String> {
    let before = asked(node).len();
    plays(player, page, &node.url(target)).await;
    let segments = || async {
        let paths = asked(node).split_off(before);
        paths.iter().filter(|path| path.ends_with(".m4s")).count() >= 4
    };
    eventually("segments in the access log", PATIENCE, segments).await;
    asked(node).split_off(before)
}

/// The one session that all requests but that for the manifest carry.
fn session_of(player: &str, paths: &[String], manifest: &str) -> String {
    let rest: Vec<&String> = paths.iter().filter(|path| *path != manifest).collect();
    let sessions: BTreeSet<&str> = rest
        .iter()
        .map(|path| match parted(path) {
            Some((session, within)) if within.starts_with("title/") => session,
            _ => panic!("{player} asked for {path}"),
        })
        .collect();
    let only: Vec<&str> = sessions.into_iter().collect();
    assert_eq!(only.len(), 1, "{player} has one session: {only:?}");
    only[0].to_owned()
}
