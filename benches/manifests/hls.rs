//! Playlists: beside a copy of the output, line by line.

use std::hint::black_box;
use std::time::Duration;

use weir::manifest::hls::{Multivariant, rebase_media};
use weir::manifest::parsed::Parsed;
use weir::manifest::plan::{Kept, Plan, SteeringHint};
use weir::manifest::uri::{Rebase, Relative};

use crate::timed;

/// Rounds of which the fast ones count; each measures everything once, so that all suffer alike
/// from whatever else runs.
const ROUNDS: usize = 301;

/// Ten variants with two sounds, texts and I-frames.
fn master() -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\n");
    for (group, rate) in [("lo", 64), ("hi", 128)] {
        for (language, name) in [("en", "English"), ("de", "Deutsch")] {
            text += &format!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{group}\",NAME=\"{name}\",LANGUAGE=\"{language}\",\
                 DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio/{language}/{rate}k.m3u8\"\n"
            );
        }
    }
    for rung in 1..=10 {
        let (height, group) = (108 * rung, if rung < 5 { "lo" } else { "hi" });
        text += &format!(
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"avc1.640028,mp4a.40.2\",\
             RESOLUTION={}x{height},FRAME-RATE=25.000,AUDIO=\"{group}\"\nvideo/{height}p/media.m3u8\n",
            600_000 * rung,
            500_000 * rung,
            192 * rung,
        );
        text += &format!(
            "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={},CODECS=\"avc1.640028\",RESOLUTION={}x{height},\
             URI=\"video/{height}p/iframes.m3u8\"\n",
            60_000 * rung,
            192 * rung,
        );
    }
    text
}

/// So many segments; with their dates, 10,000 of them are a megabyte.
fn media(segments: usize) -> String {
    let head = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n\
                #EXT-X-MAP:URI=\"init.mp4\"\n";
    let segments = (0..segments).map(|n| {
        let (hour, minute, second) = (n / 600 % 24, n / 10 % 60, n % 10 * 6);
        format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T{hour:02}:{minute:02}:{second:02}.000Z\n\
             #EXTINF:6.00000,\nsegments/video-1080p-{n:08}.m4s\n"
        )
    });
    let segments: String = segments.collect();
    format!("{head}{segments}")
}

fn rebase(relative: Relative) -> Rebase {
    Rebase {
        object: "/films/one/master.m3u8".to_owned(),
        prefix: "/~c2Vzc2lvbi1pZC1vZi10aGlz".to_owned(),
        hosts: vec!["edge.example".to_owned()],
        relative,
    }
}

/// All hints, under a session's prefix.
fn hints(relative: Relative) -> Plan {
    Plan {
        rebase: Some(rebase(relative)),
        start: Some(4),
        steering: Some(SteeringHint {
            url: "https://edge.example/steering".to_owned(),
            pathway: "here".to_owned(),
        }),
        ..Plan::default()
    }
}

/// The same, without the highest rungs.
fn capped(multivariant: &Multivariant<'_>) -> Plan {
    let ladder = multivariant.ladder();
    let stays = |bandwidth: u64| bandwidth < 5_000_000;
    Plan {
        kept: Some(Kept {
            rungs: ladder.rungs.iter().map(|r| stays(r.bandwidth)).collect(),
            renditions: vec![true; ladder.renditions.len()],
        }),
        ..hints(Relative::Resolve)
    }
}

/// What everything is compared with: the output, copied line by line.
fn copied(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        out.extend_from_slice(line);
    }
    out
}

/// The time that a tenth of the rounds stay below: what else runs on the machine only adds.
fn fast(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 10).copied().unwrap_or_default()
}

/// How often a copy by line writing may take as long.
const LIMIT: f64 = 3.0;

/// Prints the time of `work` and that of copying what it writes; tells how many times that is.
fn row(name: &str, mut work: impl FnMut() -> Vec<u8>) -> f64 {
    let written = work();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let [works, copies] = &mut times;
        works.push(timed(&mut work));
        copies.push(timed(&mut || copied(black_box(&written))));
    }
    let [work, copy] = times.map(fast);
    let ratio = work.as_secs_f64() / copy.as_secs_f64();
    let rate = written.len() as f64 / 1e6 / work.as_secs_f64();
    let bytes = written.len();
    println!("| {name} | {bytes} | {work:.2?} | {copy:.2?} | {ratio:.2} | {rate:.0} |");
    ratio
}

/// Prints the times of writing, and of copying what was written line by line; whether all are
/// within the limit but for that of reading, too.
pub(super) fn show() -> bool {
    let (master, media) = (master(), media(10_500));
    let Some(multivariant) = Multivariant::parse(master.as_bytes()) else {
        return false;
    };
    println!("| playlist | bytes | write | copy by line | ratio | MB/s |");
    println!("|---|---|---|---|---|---|");
    let mut most = 0_f64;
    for (name, plan) in [
        ("10 variants, start rung", hints(Relative::Inherit)),
        ("10 variants, all URIs too", hints(Relative::Resolve)),
        ("10 variants, all and a cap", capped(&multivariant)),
    ] {
        most = most.max(row(name, || multivariant.write(black_box(&plan))));
    }
    row("10 variants, read and all URIs", || {
        let multivariant = Multivariant::parse(black_box(master.as_bytes()));
        let plan = hints(Relative::Resolve);
        multivariant.map_or_else(Vec::new, |m| m.write(&plan))
    });
    let rebase = [Relative::Inherit, Relative::Resolve].map(rebase);
    let [inherit, resolve] = &rebase;
    let rooted = media.replace("\nsegments/", "\n/films/one/segments/");
    for (name, text, rebase) in [
        ("media, all URIs", &media, resolve),
        ("media, paths from the root", &rooted, inherit),
        ("media, nothing to change", &media, inherit),
    ] {
        most = most.max(row(name, || {
            rebase_media(black_box(text.as_bytes()), rebase)
                .unwrap_or_else(|| text.as_bytes().to_vec())
        }));
    }
    let kept = crate::held(|| Parsed::hls(master.as_bytes()).ok());
    let each = kept as f64 / master.len() as f64;
    println!("\nA parsed one of 10 variants takes {each:.1} bytes for each of its own.");
    most <= LIMIT
}

/// Does one thing `times` times.
pub(super) fn count(what: &str, times: usize) {
    let (master, media) = (master(), media(10_500));
    let Some(multivariant) = Multivariant::parse(master.as_bytes()) else {
        return;
    };
    let (hints, resolve) = (hints(Relative::Resolve), rebase(Relative::Resolve));
    let written = multivariant.write(&hints);
    let rebased = rebase_media(media.as_bytes(), &resolve).unwrap_or_default();
    for _ in 0..times {
        match what {
            "hls-read" => drop(black_box(Multivariant::parse(black_box(master.as_bytes())))),
            "hls-hint" => drop(black_box(multivariant.write(black_box(&hints)))),
            "hls-copy" => drop(black_box(copied(black_box(&written)))),
            "hls-media" => drop(black_box(rebase_media(
                black_box(media.as_bytes()),
                &resolve,
            ))),
            "hls-media-copy" => drop(black_box(copied(black_box(&rebased)))),
            _ => {}
        }
    }
}
