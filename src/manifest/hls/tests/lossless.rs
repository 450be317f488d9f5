//! That nothing changes but what a plan says: for collected playlists, for the fixtures, and for
//! mutations of them all.

use std::collections::BTreeSet;

use super::fixtures::{DEFINED, INTERSTITIALS, LOW_LATENCY, RICH, SCORED, STEERED};
use crate::manifest::hls::timeline::Timeline;
use crate::manifest::hls::{Multivariant, rebase_media};
use crate::manifest::ladder::{Ladder, Rung};
use crate::manifest::plan::{Kept, Plan, SteeringHint};
use crate::manifest::tests::{corpus, fuzz};
use crate::manifest::uri::{Rebase, Relative};

const FIXTURES: [&str; 6] = [STEERED, DEFINED, SCORED, RICH, LOW_LATENCY, INTERSTITIALS];

fn playlists() -> Vec<(String, Vec<u8>)> {
    let collected = corpus::manifests(&["m3u8", "m3u"]).into_iter();
    let collected = collected.map(|s| (s.path.display().to_string(), s.text));
    let own = FIXTURES.iter().enumerate();
    let own = own.map(|(i, text)| (format!("fixture {i}"), text.as_bytes().to_vec()));
    let marked = own.clone().map(|(name, text)| {
        let text = [b"\xEF\xBB\xBF".as_slice(), &text].concat();
        (format!("{name} with a mark"), text)
    });
    collected.chain(own.clone()).chain(marked).collect()
}

fn rebase(relative: Relative) -> Rebase {
    Rebase {
        object: "/vod/a/master.m3u8".into(),
        prefix: "/~sid".into(),
        hosts: vec!["cdn.example".into()],
        relative,
    }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').collect()
}

/// A line without its end.
fn bare(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn starts_unit(line: &[u8]) -> bool {
    let rest = line.strip_prefix(b"#EXT-X-STREAM-INF");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b":"))
}

fn is_uri(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    !line.is_empty() && !line.starts_with(b"#")
}

/// Whether `after` is `before` with other URIs that lead below the prefix.
fn differs_by_uris(before: &[u8], after: &[u8]) -> bool {
    if is_uri(before) {
        return after.windows(2).any(|pair| pair == b"/~");
    }
    // Outside of quotes nothing changes; what is quoted changes as a URI does, or not at all.
    let (before, after) = (before.split(|&b| b == b'"'), after.split(|&b| b == b'"'));
    let pairs: Vec<_> = before.clone().zip(after.clone()).collect();
    let names = |text: &[u8]| {
        let name = text.strip_suffix(b"=").unwrap_or_default();
        let name = name.trim_ascii_end();
        name.ends_with(b"URI") || name.ends_with(b"X-ASSET-LIST")
    };
    let fits = |(index, (before, after)): (usize, &(&[u8], &[u8]))| {
        let named = index > 0 && names(pairs[index - 1].0);
        before == after || (index % 2 == 1 && named && after.contains(&b'/'))
    };
    before.count() == after.count() && pairs.iter().enumerate().all(fits)
}

/// Checks that rebasing alone changes URIs alone.
fn check_rebased(before: &[u8], after: &[u8]) {
    let (before, after) = (lines(before), lines(after));
    assert_eq!(before.len(), after.len(), "lines come or go");
    for (before, after) in before.iter().zip(&after) {
        let same = before == after || differs_by_uris(before, after);
        assert!(
            same,
            "{} became {}",
            before.escape_ascii(),
            after.escape_ascii()
        );
    }
}

/// A playlist's lines in what moves and goes as a whole, units and tags, and in all the rest.
fn parts(text: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut movable, mut fixed) = (Vec::new(), Vec::new());
    let mut unit: Option<Vec<u8>> = None;
    for line in lines(text).into_iter().map(bare) {
        if starts_unit(line) {
            movable.extend(unit.replace(Vec::new()));
        }
        match &mut unit {
            Some(open) => {
                open.extend_from_slice(line);
                open.push(b'\n');
                if is_uri(line) {
                    movable.extend(unit.take());
                }
            }
            None => {
                let tags: [&[u8]; 2] = [b"#EXT-X-MEDIA:", b"#EXT-X-I-FRAME-STREAM-INF:"];
                match tags.iter().any(|tag| line.starts_with(tag)) {
                    true => movable.push(line.to_vec()),
                    false => fixed.push(line.to_vec()),
                }
            }
        }
    }
    movable.extend(unit);
    (movable, fixed)
}

/// Checks that units and tags only go, and all the rest stays.
fn check_filtered(before: &[u8], after: &[u8]) {
    let ((before, fixed), (after, still_fixed)) = (parts(before), parts(after));
    assert!(fixed == still_fixed, "lines change");
    let mut left = after.into_iter().peekable();
    for part in before {
        let _ = left.next_if_eq(&part);
    }
    assert_eq!(left.next(), None, "units come or move");
}

/// Checks that units move, and nothing comes or goes.
fn check_moved(before: &[u8], after: &[u8]) {
    let ((mut before, fixed), (mut after, still_fixed)) = (parts(before), parts(after));
    assert!(fixed == still_fixed, "lines change");
    before.sort_unstable();
    after.sort_unstable();
    assert!(before == after, "units come or go");
}

/// What a rung is, wherever it stands and leads.
fn kind(rung: &Rung) -> String {
    let Rung {
        bandwidth,
        average,
        height,
        codecs,
        score,
        ..
    } = rung;
    // Whether it has a picture may be known by comparison only, with others that are left out.
    format!("{bandwidth} {average} {height:?} {codecs} {score:?}")
}

fn kinds<'a>(rungs: impl Iterator<Item = &'a Rung>) -> Vec<String> {
    let mut kinds: Vec<String> = rungs.map(kind).collect();
    kinds.sort_unstable();
    kinds
}

/// Every other rung and rendition, and those that must stay with them.
fn halved(ladder: &Ladder, shift: usize) -> Kept {
    let every = |count: usize| (0..count).map(|i| (i + shift).is_multiple_of(2)).collect();
    Kept {
        rungs: every(ladder.rungs.len()),
        renditions: every(ladder.renditions.len()),
    }
}

/// Indices of the rungs that a plan leaves.
fn left(ladder: &Ladder, kept: &Kept) -> BTreeSet<usize> {
    let original = |index: usize| ladder.rungs[index].copy_of.unwrap_or(index);
    let all = 0..ladder.rungs.len();
    if !kept.rungs.contains(&true) {
        return all.collect();
    }
    let originals: BTreeSet<usize> = all
        .clone()
        .filter(|&i| kept.rungs[i])
        .map(original)
        .collect();
    all.filter(|&i| originals.contains(&original(i))).collect()
}

fn hint() -> SteeringHint {
    SteeringHint {
        url: "https://edge.example/steer".into(),
        pathway: "pop1".into(),
    }
}

/// Checks every kind of plan, one at a time and all at once.
fn check_multivariant(text: &[u8]) {
    let Some(multivariant) = Multivariant::parse(text) else {
        return;
    };
    let ladder = multivariant.ladder();
    let nothing = Plan::default();
    assert_eq!(
        multivariant.write(&nothing),
        text,
        "no plan changes something"
    );
    for relative in [Relative::Inherit, Relative::Resolve] {
        let plan = Plan {
            rebase: Some(rebase(relative)),
            ..Plan::default()
        };
        let rebased = multivariant.write(&plan);
        check_rebased(text, &rebased);
        let media = rebase_media(text, &rebase(relative));
        assert_eq!(
            media.as_deref().unwrap_or(text),
            rebased,
            "two ways of rebasing"
        );
    }
    for start in 0..ladder.rungs.len().min(12) {
        let plan = Plan {
            start: Some(start),
            ..Plan::default()
        };
        check_moved(text, &multivariant.write(&plan));
    }
    let steered = multivariant.write(&Plan {
        steering: Some(hint()),
        ..Plan::default()
    });
    let mut with_tag = lines(&steered);
    if steered != text {
        assert!(with_tag.remove(1).starts_with(b"#EXT-X-CONTENT-STEERING"));
    }
    assert!(with_tag.concat() == text, "more than a tag is added");
    for shift in 0..2 {
        let kept = halved(ladder, shift);
        let plan = Plan {
            kept: Some(kept.clone()),
            ..Plan::default()
        };
        let filtered = multivariant.write(&plan);
        check_filtered(text, &filtered);
        let all = multivariant.write(&Plan {
            rebase: Some(rebase(Relative::Resolve)),
            start: Some(shift),
            steering: Some(hint()),
            ..plan
        });
        for written in [&filtered, &all] {
            let again = Multivariant::parse(written).expect("it is still a playlist");
            let expected = left(ladder, &kept).into_iter().map(|i| &ladder.rungs[i]);
            assert_eq!(kinds(again.ladder().rungs.iter()), kinds(expected));
            check_groups(text, written);
        }
    }
}

/// Checks that each group of sounds that a variant names is there, if it was there `before`.
fn check_groups(before: &[u8], after: &[u8]) {
    let value = |line: &str, name: &str| {
        let (before, rest) = line.split_once(&format!("{name}=\""))?;
        // Said twice, whatever white space is before it, either may count.
        let said = format!("{}=", name.trim_start_matches(','));
        let is_alone = !before.contains(&said) && !rest.contains(&said);
        is_alone.then_some(rest.split_once('"')?.0.to_owned())
    };
    let offered = |text: &str| -> BTreeSet<String> {
        let tag = |line: &&str| line.starts_with("#EXT-X-MEDIA:") && line.contains("TYPE=AUDIO,");
        let media = text.lines().filter(tag);
        media.filter_map(|line| value(line, ",GROUP-ID")).collect()
    };
    let before = offered(&String::from_utf8_lossy(before));
    let after = String::from_utf8_lossy(after);
    // Blanks may stand around names.
    let ink = |text: &str| text.replace([' ', '\t'], "");
    let inked = ink(&after);
    let is_left = |id: &str| inked.contains(&ink(&format!("GROUP-ID=\"{id}\"")));
    let variants = after.lines().filter(|line| starts_unit(line.as_bytes()));
    for id in variants.filter_map(|line| value(line, ",AUDIO")) {
        assert!(is_left(&id) || !before.contains(&id), "{id} is gone");
    }
}

fn check_media(text: &[u8]) {
    for relative in [Relative::Inherit, Relative::Resolve] {
        if let Some(rebased) = rebase_media(text, &rebase(relative)) {
            assert_ne!(rebased, text);
            check_rebased(text, &rebased);
        }
    }
    if let Some(timeline) = Timeline::parse(text) {
        let range = timeline.range();
        assert_eq!(range.end - range.start, timeline.segments.len() as u64);
        let found = range.clone().map(|sequence| timeline.at(sequence));
        assert!(found.eq(timeline.segments.iter().map(Some)));
    }
}

#[test]
fn only_what_a_plan_says_changes() {
    let playlists = playlists();
    let count =
        |text: &[u8]| Multivariant::parse(text).is_some_and(|m| !m.ladder().rungs.is_empty());
    let read = playlists.iter().filter(|(_, text)| count(text)).count();
    assert!(
        read >= 8,
        "{read} of {} playlists have variants",
        playlists.len()
    );
    for (name, text) in playlists {
        println!("{name}");
        check_multivariant(&text);
        check_media(&text);
    }
}

#[test]
fn mutated_multivariant_playlists_stay_lossless() {
    let is_multivariant = |text: &[u8]| Multivariant::parse(text).is_some();
    fuzz_playlists("multivariant", is_multivariant, check_multivariant);
}

#[test]
fn mutated_media_playlists_stay_lossless() {
    let is_media = |text: &[u8]| Multivariant::parse(text).is_none();
    fuzz_playlists("media", is_media, check_media);
}

fn fuzz_playlists(what: &str, fits: impl Fn(&[u8]) -> bool, check: impl Fn(&[u8])) {
    let seeds = playlists().into_iter().map(|(_, text)| text);
    let seeds: Vec<Vec<u8>> = seeds
        .filter(|text| fits(text) && text.len() < 32 << 10)
        .collect();
    let words = [
        "#EXTM3U",
        "#EXT-X-STREAM-INF:",
        "#EXT-X-MEDIA:",
        "#EXT-X-I-FRAME-STREAM-INF:",
        "\n",
        "\r",
        "\r\n",
        "\"",
        ",",
        "=",
        "{$",
        "BANDWIDTH=",
        "RESOLUTION=",
        "URI=\"",
        "GROUP-ID=\"",
        "AUDIO=\"",
        "TYPE=AUDIO",
        "#EXTINF:",
        "#EXT-X-BYTERANGE:",
        "@",
        "#EXT-X-MAP:",
        "#EXT-X-KEY:METHOD=",
        "PATHWAY-ID=\"",
        "SCORE=",
        "#EXT-X-SKIP:SKIPPED-SEGMENTS=",
        "/",
        "..",
        "//cdn.example/",
        "é",
        "\u{FEFF}",
        "#EXT-X-CONTENT-STEERING:",
        "X-ASSET-LIST=\"",
        "\n\n",
        "#",
        " ",
    ];
    fuzz::run(what, &seeds, &words, check);
}
