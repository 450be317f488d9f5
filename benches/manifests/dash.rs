//! MPDs: beside a memory copy of the output.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use weir::manifest::dash::Mpd;
use weir::manifest::parsed::Parsed;
use weir::manifest::plan::{Kept, Plan, SteeringHint};
use weir::manifest::uri::{Rebase, Relative};

use crate::timed;

/// Rounds of which the median is taken.
const ROUNDS: usize = 101;

/// Heights of the rungs, the highest last.
const HEIGHTS: [u32; 5] = [240, 360, 480, 720, 1080];

/// How many copies writing may take, above the cost that all have.
const LIMIT: f64 = 2.0;

/// How often what exceeds the limit is measured again: the machine may have been disturbed.
const TRIES: usize = 3;

/// Filters in rotation when none is remembered: more than are.
const ROTATION: u32 = 12;

/// Less is copied faster than the clock tells.
const FOUND_BYTES_MIN: usize = 30_000;

/// A live MPD of one period: it grows with the entries of its timelines, a dozen of which are as
/// large as a period.
fn live(size: usize) -> String {
    let entries = 12 * size;
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
    mpd("static", &by_number().repeat(count))
}

/// The same, each period with the address of its files at this site, which is to get the prefix.
fn addressed(count: usize) -> String {
    let base = "<Period>\n<BaseURL>https://edge.example/films/one/?a&amp;b</BaseURL>";
    let period = by_number().replace("<Period>", base);
    mpd("static", &period.repeat(count))
}

/// A period of numbered segments.
fn by_number() -> String {
    let template = "<SegmentTemplate timescale=\"1000\" duration=\"4000\" \
                    initialization=\"$RepresentationID$/i.mp4\" \
                    media=\"$RepresentationID$/$Number$.m4s\"/>\n";
    period(template, template)
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
    let rungs: String = [230, 480, 1200, 2400, 4800]
        .into_iter()
        .zip(HEIGHTS)
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

/// The same, without the rungs of some heights.
fn without(mpd: &Mpd<'_>, heights: impl Fn(Option<u32>) -> bool) -> Plan {
    let ladder = mpd.ladder();
    Plan {
        kept: Some(Kept {
            rungs: ladder.rungs.iter().map(|it| !heights(it.height)).collect(),
            renditions: vec![true; ladder.renditions.len()],
        }),
        ..hints()
    }
}

/// The same, without the highest rungs.
fn capped(mpd: &Mpd<'_>) -> Plan {
    let heights = mpd.ladder().rungs.iter().map(|rung| rung.height);
    let highest = heights.max().flatten();
    without(mpd, |height| height == highest)
}

/// The same, by different filters.
fn rotation(mpd: &Mpd<'_>) -> Vec<Plan> {
    let left_out = |bits: u32| {
        let of_rungs = HEIGHTS.iter().enumerate();
        let heights: Vec<u32> = of_rungs
            .filter(|(rung, _)| bits >> rung & 1 == 1)
            .map(|(_, height)| *height)
            .collect();
        without(mpd, |height| height.is_some_and(|it| heights.contains(&it)))
    };
    (1..=ROTATION).map(left_out).collect()
}

/// The medians of two works, measured in turn.
fn medians<T, U>(mut one: impl FnMut() -> T, mut other: impl FnMut() -> U) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let [first, second] = &mut times;
        first.push(timed(&mut one));
        second.push(timed(&mut other));
    }
    times.map(|mut times| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    })
}

/// Prints the times of reading and of writing, and of copying what is written; of the smallest MPD
/// the cost that all have, and of the others what is above that, in such copies. A cap that a few
/// other filters came in between is told apart: what it leaves has to be made again.
///
/// Tells whether all are within the limit.
pub(super) fn show() -> bool {
    println!(
        "| MPD | read | memory | write hints | copy | copies above | hints and cap | copy \
         | copies above | made again |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let families = [
        ("live", live as fn(usize) -> String),
        ("periods", periods),
        ("addressed", addressed),
    ];
    let made = families.iter().flat_map(|(name, family)| {
        let sizes = [1, 80, 900];
        sizes.map(|size| ((*name).to_owned(), family(size)))
    });
    let mut fixed = [Duration::MAX; 2];
    let mut is_within = true;
    for (name, text) in made.chain(found().unwrap_or_default()) {
        let Ok(mpd) = Mpd::parse(text.as_bytes()) else {
            continue;
        };
        let mut costs = costs(&mpd);
        // The smallest comes first.
        if fixed == [Duration::MAX; 2] {
            fixed = costs.each_ref().map(|cost| cost.write);
        }
        for _ in 1..TRIES {
            if above(&costs, fixed).into_iter().any(|above| above > LIMIT) {
                costs = self::costs(&mpd);
            }
        }
        is_within &= above(&costs, fixed).into_iter().all(|above| above <= LIMIT);
        print(&name, &text, &mpd, &costs, fixed);
    }
    is_within
}

/// Other people's MPDs that are large enough to be timed, where there are any.
fn found() -> io::Result<Vec<(String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/manifests");
    let mut pending = vec![root];
    let mut found = Vec::new();
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "mpd")
                && let Ok(text) = fs::read_to_string(&path)
                && text.len() >= FOUND_BYTES_MIN
            {
                let name = path.file_stem().unwrap_or_default();
                found.push((name.to_string_lossy().into_owned(), text));
            }
        }
    }
    Ok(found)
}

/// What it takes to write an MPD by a plan.
struct Cost {
    write: Duration,
    /// To copy what was written.
    copy: Duration,
}

impl Cost {
    fn of(mpd: &Mpd<'_>, plan: &Plan) -> Self {
        let written = mpd.write(plan);
        let [write, copy] = medians(
            || mpd.write(black_box(plan)),
            || black_box(&written).clone(),
        );
        Self { write, copy }
    }
}

/// The cost of hints, and of hints and a cap.
fn costs(mpd: &Mpd<'_>) -> [Cost; 2] {
    [hints(), capped(mpd)].map(|plan| Cost::of(mpd, &plan))
}

/// In copies, what is above the cost that all have.
fn above(costs: &[Cost; 2], fixed: [Duration; 2]) -> [f64; 2] {
    let [hints, cap] = costs;
    let [of_hints, of_cap] = fixed;
    [(hints, of_hints), (cap, of_cap)].map(|(cost, fixed)| {
        cost.write.saturating_sub(fixed).as_secs_f64() / cost.copy.as_secs_f64()
    })
}

/// The time of a write by a filter that is not remembered.
fn again(mpd: &Mpd<'_>) -> Duration {
    let plans = rotation(mpd);
    let mut plans = plans.iter().cycle();
    let [time, _] = medians(
        || plans.next().map(|plan| mpd.write(black_box(plan))),
        || (),
    );
    time
}

/// Bytes that a parsed MPD and what filters leave of it take, for each of its own.
fn memory(text: &str) -> f64 {
    let held = crate::held(|| {
        let parsed = Parsed::dash(text.as_bytes()).ok()?;
        let mpd = Mpd::parse(text.as_bytes()).ok()?;
        for plan in rotation(&mpd) {
            drop(parsed.write(&plan));
        }
        Some(parsed)
    });
    held as f64 / text.len() as f64
}

/// Prints a row: of hints, then of hints and a cap.
fn print(name: &str, text: &str, mpd: &Mpd<'_>, costs: &[Cost; 2], fixed: [Duration; 2]) {
    let [read, _] = medians(|| Mpd::parse(text.as_bytes()), || ());
    let mut row = format!(
        "{name}, {} kB | {read:.2?} | {:.1} B/B",
        text.len() / 1000,
        memory(text)
    );
    for (Cost { write, copy }, above) in costs.iter().zip(above(costs, fixed)) {
        row += &format!(" | {write:.2?} | {copy:.2?} | {above:.2}");
    }
    println!("| {row} | {:.2?} |", again(mpd));
}

/// Does one thing `times` times.
pub(super) fn count(what: &str, times: usize) {
    let Some((what, size)) = what.rsplit_once('-') else {
        return;
    };
    let text = match size {
        "live" => live(80),
        _ => periods(80),
    };
    let Ok(mpd) = Mpd::parse(text.as_bytes()) else {
        return;
    };
    let plans = [hints(), capped(&mpd)];
    let [hints, capped] = &plans;
    let written = [hints, capped].map(|plan| mpd.write(plan));
    let [hinted, filtered] = &written;
    for _ in 0..times {
        match what {
            "dash-read" => drop(black_box(Mpd::parse(black_box(text.as_bytes())))),
            "dash-hint" => drop(black_box(mpd.write(black_box(hints)))),
            "dash-cap" => drop(black_box(mpd.write(black_box(capped)))),
            "dash-copy" => drop(black_box(black_box(hinted).clone())),
            "dash-copy-capped" => drop(black_box(black_box(filtered).clone())),
            _ => {}
        }
    }
}
