//! The demo: one command, a page, a picture that moves.

use std::process::Command;
use std::time::Duration;

use crate::harness::process::{self, Process};
use crate::harness::{browser, edge, eventually, ports};

/// Redis, the node and its pages, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Until the picture has moved: a cold browser decodes in software.
const MOVES: Duration = Duration::from_secs(60);

/// The first URL that the demo prints which a browser opens.
fn page(output: &str) -> Option<String> {
    let urls = output
        .split_whitespace()
        .filter(|w| w.starts_with("http://"));
    let urls = urls.map(|u| u.trim_end_matches([',', '.', ')']));
    let media = [
        ".m3u8", ".mpd", ".mp4", "/stream/", "metrics", "readyz", "healthz",
    ];
    urls.filter(|u| !media.iter().any(|m| u.contains(m)))
        .map(str::to_owned)
        .next()
}

#[tokio::test]
async fn the_demo_page_plays_in_a_browser() {
    let dir = process::scratch("demo");
    let mut command = Command::new(edge::program());
    command.args(["demo", "--port", &ports::free().to_string()]);
    command.current_dir(dir.path()).env("TMPDIR", dir.path());
    let demo = Process::start("demo", &command, dir.path());
    let printed = || async { page(&demo.output()).is_some() };
    eventually("the demo prints its page", START, printed).await;
    let url = page(&demo.output()).unwrap();

    let mut browser = browser::open(&url).await;
    let time = "(document.querySelector('video') || {}).currentTime || 0";
    let start = tokio::time::Instant::now();
    let mut now = 0.0;
    while now < 2.0 {
        assert!(
            start.elapsed() < MOVES,
            "the video stands at {now} s:\n{}",
            demo.tail()
        );
        // Autoplay may be up to the page; a user would press play.
        browser
            .ask("document.querySelector('video')?.play()?.catch(() => 0), 0")
            .await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        now = browser.ask(time).await.as_f64().unwrap_or(0.0);
    }
    let failed = "document.querySelector('video').error";
    assert!(
        browser.ask(failed).await.is_null(),
        "the video has an error"
    );
    let width = browser
        .ask("document.querySelector('video').videoWidth")
        .await;
    assert!(
        width.as_u64().is_some_and(|w| w > 0),
        "there is a picture: {width}"
    );
    assert!(
        browser.screenshot().await.len() > 10_000,
        "the page is not blank"
    );
}
