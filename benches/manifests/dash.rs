//! MPDs: beside a memory copy of the output.

use std::hint::black_box;
use std::time::{Duration, Instant};

use weir::manifest::dash::Mpd;
use weir::manifest::plan::{Kept, Plan, SteeringHint};
use weir::manifest::uri::{Rebase, Relative};

/// Rounds of which the median is taken; each measures everything once, so that all suffer alike
/// from whatever else runs.
const ROUNDS: usize = 301;

/// A live MPD of one period: it grows with the entries of its timelines.
fn live(entries: usize) -> String {
    let timeline = |id: &str| {
        let entries: String = (0..entries)
            .map(|entry| format!("<S t=\"{}\" d=\"360000\"/>\n", entry * 360_000))
            .collect();
        format!(
            "<SegmentTemplate timescale=\"90000\" initialization=\"{id}/$RepresentationID$.mp4\" \
             media=\"{id}/$RepresentationID$/$Time$.m4s\"><SegmentTimeline>\n{entries}\
             </SegmentTimeline></SegmentTemplate>\n"
        )
    };
    mpd("dynamic", &period(&timeline("v"), &timeline("a")))
}

/// An MPD on demand that grows with its periods.
fn periods(count: usize) -> String {
    let template = "<SegmentTemplate timescale=\"1000\" duration=\"4000\" \
                    initialization=\"$RepresentationID$/i.mp4\" \
                    media=\"$RepresentationID$/$Number$.m4s\"/>\n";
    mpd("static", &period(template, template).repeat(count))
}

fn mpd(kind: &str, periods: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"{kind}\" \
         minBufferTime=\"PT2S\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\">\n\
         <ServiceDescription id=\"0\">\n<Latency target=\"3000\"/>\n</ServiceDescription>\n\
         {periods}</MPD>\n"
    )
}

fn period(video: &str, audio: &str) -> String {
    let rungs: String = [
        (230, 240),
        (480, 360),
        (1200, 480),
        (2400, 720),
        (4800, 1080),
    ]
    .into_iter()
    .map(|(rate, height)| {
        format!(
            "<Representation id=\"v{height}\" bandwidth=\"{rate}000\" height=\"{height}\" \
                 codecs=\"avc1.640028\" frameRate=\"25\"/>\n"
        )
    })
    .collect();
    format!(
        "<Period>\n<AdaptationSet contentType=\"video\" mimeType=\"video/mp4\" \
         maxHeight=\"1080\">\n{video}{rungs}</AdaptationSet>\n\
         <AdaptationSet contentType=\"audio\" mimeType=\"audio/mp4\" lang=\"en\">\n{audio}\
         <Representation id=\"a\" bandwidth=\"128000\"/>\n</AdaptationSet>\n</Period>\n"
    )
}

/// All hints, under a session's prefix.
fn hints() -> Plan {
    Plan {
        rebase: Some(Rebase {
            object: "/films/one/main.mpd".to_owned(),
            prefix: "/~c2Vzc2lvbi1pZC1vZi10aGlz".to_owned(),
            hosts: vec!["edge.example".to_owned()],
            relative: Relative::Resolve,
        }),
        start: Some(2),
        steering: Some(SteeringHint {
            url: "https://edge.example/steering".to_owned(),
            pathway: "here".to_owned(),
        }),
        cmcd: Some("c2Vzc2lvbi1pZC1vZi10aGlz".to_owned()),
        refresh: Some("/~c2Vzc2lvbi1pZC1vZi10aGlz/films/one/main.mpd".to_owned()),
        ..Plan::default()
    }
}

/// The same, without the highest rungs.
fn capped(mpd: &Mpd<'_>) -> Plan {
    let ladder = mpd.ladder();
    Plan {
        kept: Some(Kept {
            rungs: ladder
                .rungs
                .iter()
                .map(|rung| rung.height < Some(1080))
                .collect(),
            renditions: vec![true; ladder.renditions.len()],
        }),
        ..hints()
    }
}

fn specimens() -> Vec<(String, String)> {
    let live = [10, 1000, 12_000].map(|entries| ("timeline", live(entries)));
    let periods = [1, 80, 900].map(|count| ("periods", periods(count)));
    live.into_iter()
        .chain(periods)
        .map(|(name, text)| (format!("{name}, {} kB", text.len().div_ceil(1000)), text))
        .collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = black_box(work());
    (start.elapsed(), result)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Prints the times of reading and of writing, and of copying what was written.
pub(super) fn show() {
    println!("| MPD | read | write hints | copy | ratio | write hints and cap | copy | ratio |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, text) in specimens() {
        let Ok(mpd) = Mpd::parse(text.as_bytes()) else {
            continue;
        };
        let plans = [hints(), capped(&mpd)];
        let mut read = Vec::new();
        let mut figures = [const { (Vec::new(), Vec::new()) }; 2];
        for _ in 0..ROUNDS {
            read.push(timed(|| Mpd::parse(text.as_bytes()).is_ok()).0);
            for (plan, (writes, copies)) in plans.iter().zip(&mut figures) {
                let (time, written) = timed(|| mpd.write(black_box(plan)));
                writes.push(time);
                copies.push(timed(|| black_box(&written).clone()).0);
            }
        }
        let columns = figures.map(|(writes, copies)| {
            let (write, copy) = (median(writes), median(copies));
            let ratio = write.as_secs_f64() / copy.as_secs_f64();
            format!("{write:.1?} | {copy:.1?} | {ratio:.2}")
        });
        println!(
            "| {name} | {:.1?} | {} |",
            median(read),
            columns.join(" | ")
        );
    }
}

/// Does one thing `times` times.
pub(super) fn count(what: &str, times: usize) {
    let text = live(1000);
    let Ok(mpd) = Mpd::parse(text.as_bytes()) else {
        return;
    };
    let plans = [hints(), capped(&mpd)];
    let [hints, capped] = &plans;
    let written = mpd.write(hints);
    for _ in 0..times {
        match what {
            "dash-read" => drop(black_box(Mpd::parse(black_box(text.as_bytes())))),
            "dash-hint" => drop(black_box(mpd.write(black_box(hints)))),
            "dash-cap" => drop(black_box(mpd.write(black_box(capped)))),
            "dash-copy" => drop(black_box(black_box(&written).clone())),
            _ => {}
        }
    }
}
