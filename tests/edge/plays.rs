//! Real players play real titles through the node, out of a real store.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::harness::process::{self, run, scratch};
use crate::harness::{assert_same, edge, s3};

/// Pictures of the title: 6 s at 25 a second.
const PICTURES: &str = "150";

/// Segments that a player of the first picture and the sound fetches; the other rung is left out.
const PLAYED: [&str; 2] = ["chunk-stream0-", "chunk-stream2-"];

/// Making or playing six seconds of small pictures, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A title as CMAF (HLS and DASH over the same segments) and as one MP4.
struct Title {
    files: Vec<(String, Vec<u8>)>,
}

async fn title() -> Title {
    let dir = scratch("title");
    let mut cmaf = source();
    cmaf.args([
        "-map", "0:v", "-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-c:a", "aac",
    ]);
    cmaf.args(["-g", "50", "-sc_threshold", "0", "-pix_fmt", "yuv420p"]);
    cmaf.args(["-b:v:0", "400k", "-b:v:1", "150k", "-s:v:1", "160x90"]);
    cmaf.args(["-f", "dash", "-seg_duration", "2", "-hls_playlist", "1"]);
    cmaf.args(["-hls_master_name", "master.m3u8"]);
    cmaf.args(["-adaptation_sets", "id=0,streams=v id=1,streams=a"]);
    run_in(cmaf.arg(dir.path().join("manifest.mpd"))).await;
    let mut mp4 = source();
    mp4.args([
        "-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-c:a", "aac",
    ]);
    mp4.args(["-pix_fmt", "yuv420p", "-movflags", "+faststart"]);
    run_in(mp4.arg(dir.path().join("whole.mp4"))).await;
    let entries = fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
    let files = entries.map(|e| {
        let name = e.file_name().into_string().unwrap();
        (name, fs::read(e.path()).unwrap())
    });
    Title {
        files: files.collect(),
    }
}

fn source() -> Command {
    let mut command = Command::new(process::find("ffmpeg", "ffmpeg"));
    command.args(["-v", "error", "-nostdin", "-y"]);
    command.args([
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=25:duration=6",
    ]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:duration=6"]);
    command
}

async fn run_in(command: &mut Command) {
    let taken = std::mem::replace(command, Command::new("true"));
    run(taken, PATIENCE).await.succeeded();
}

/// Asserts that ffmpeg decodes every picture and finds nothing to complain of.
async fn plays_to_the_end(url: &str) {
    let mut play = Command::new(process::find("ffmpeg", "ffmpeg"));
    play.args([
        "-v", "error", "-nostdin", "-i", url, "-map", "0:v:0", "-map", "0:a:0",
    ]);
    play.args(["-f", "null", "-"]);
    let played = run(play, PATIENCE).await;
    assert_eq!(played.stderr, "", "ffmpeg complains of {url}");
    played.succeeded();
    let mut count = Command::new(process::find("ffprobe", "ffmpeg"));
    count.args(["-v", "error", "-select_streams", "v:0", "-count_packets"]);
    count.args([
        "-show_entries",
        "stream=nb_read_packets",
        "-of",
        "csv=p=0",
        url,
    ]);
    let counted = run(count, PATIENCE).await.succeeded();
    let pictures = counted
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches(',');
    assert_eq!(pictures, PICTURES, "ffprobe counts the pictures of {url}");
}

#[tokio::test]
async fn hls_dash_and_mp4_play_to_the_end_and_every_byte_is_the_stores() {
    let store = s3::start().await;
    let title = title().await;
    for (name, bytes) in &title.files {
        store
            .put(&format!("plays/title/{name}"), bytes.clone())
            .await;
    }
    store
        .put("plays-title.mp4", title.file("whole.mp4").to_vec())
        .await;
    let edge = edge::new()
        .origin(&store)
        .set("site.paths.stream", "plays/{id}/whole.mp4")
        .set("site.paths.hls", "plays/{id}/master.m3u8")
        .set("site.paths.dash", "plays/{id}/manifest.mpd")
        .run()
        .await;

    for target in [
        "/plays/title/master.m3u8",
        "/plays/title/manifest.mpd",
        "/plays/title/whole.mp4",
        "/stream/title",
        "/adaptive_stream/title",
        "/adaptive_stream/title.mpd",
    ] {
        plays_to_the_end(&edge.url(target)).await;
    }

    for (name, bytes) in &title.files {
        // Without a session, which manifests would lead below.
        let target = format!("/plays/title/{name}?mode=off");
        let answer = edge.get(&target).await.whole(200);
        assert_same(&answer.body, bytes);
        let was_played = PLAYED.iter().any(|stream| name.starts_with(stream));
        assert!(
            answer.header("cache-status").contains("hit") || !was_played,
            "{name} was played, now it is cached: {}",
            answer.header("cache-status")
        );
    }
    let answer = edge.get("/stream/title").await.whole(200);
    assert_same(&answer.body, title.file("whole.mp4"));
    assert_eq!(answer.header("content-type"), "video/mp4");
    assert_eq!(
        store.unsigned("plays/title/whole.mp4").await.status,
        403,
        "the bucket is private"
    );
}

#[tokio::test]
async fn a_title_gets_content_types_by_extension_where_the_store_has_none() {
    let files = crate::harness::files::start();
    let types = [
        ("/t/master.m3u8", "application/vnd.apple.mpegurl"),
        ("/t/manifest.mpd", "application/dash+xml"),
        ("/t/seg.m4s", "video/iso.segment"),
        ("/t/init.mp4", "video/mp4"),
        ("/t/seg.ts", "video/mp2t"),
        ("/t/subs.vtt", "text/vtt"),
    ];
    for (key, _) in types {
        files.put(key, b"body");
    }
    let edge = edge::new().origin(&files).run().await;
    for (key, expected) in types {
        let answer = edge.get(key).await.whole(200);
        let got = answer.header("content-type").to_ascii_lowercase();
        assert!(got.starts_with(expected), "{key}: {got}");
    }
}

impl Title {
    fn file(&self, name: &str) -> &[u8] {
        let file = self.files.iter().find(|(n, _)| n == name);
        &file.expect("ffmpeg made it").1
    }
}
