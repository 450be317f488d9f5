//! Mutations of real MPDs. `WEIR_FUZZ_SECONDS` makes it go on for longer, from another seed.

use std::time::{Duration, Instant};

use super::corpus::{corpus, full, lower};
use crate::manifest::dash::Mpd;
use crate::manifest::plan::{Kept, Plan};
use crate::manifest::uri::Relative;

const ROUNDS: u32 = 1500;

/// Pieces that parsers stumble over.
const PIECES: &[&str] = &[
    "<",
    ">",
    "/>",
    "</",
    "\"",
    "'",
    "&",
    "&amp;",
    "&#0;",
    "&x;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?",
    "?>",
    "=",
    ":",
    " ",
    "\r\n",
    "\u{feff}",
    "é",
    "\u{1f3ac}",
    "<BaseURL>",
    "</BaseURL>",
    "<BaseURL/>",
    "<Location>/x</Location>",
    "<ServiceDescription/>",
    "<ContentSteering/>",
    "$$",
    "<OperatingBandwidth mediaType=\"video\"/>",
    "xmlns=\"\"",
    "dependencyId=\"1\"",
    "$Number%99d$",
    "18446744073709551616",
    "-1",
    "<Period>",
    "</Period>",
    "<AdaptationSet>",
    "<Representation/>",
    "type=\"dynamic\"",
    "<!DOCTYPE a>",
    "/",
    "//",
    "https://edge.example/",
    "../../..",
];

fn mutate(random: &mut fastrand::Rng, text: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..random.usize(1..=6) {
        let at = random.usize(0..=text.len());
        let end = (at + random.usize(0..64)).min(text.len());
        match random.u8(0..6) {
            0 => drop(text.drain(at..end)),
            1 => {
                let copy = text[at..end].to_vec();
                let to = random.usize(0..=text.len());
                text.splice(to..to, copy);
            }
            2 => {
                let from = random.usize(0..=other.len());
                let to = (from + random.usize(0..256)).min(other.len());
                text.splice(at..end, other[from..to].iter().copied());
            }
            3 if at < text.len() => text[at] = random.u8(..),
            4 => text.truncate(text.len() - random.usize(0..=text.len().min(16))),
            _ => {
                let piece = PIECES[random.usize(..PIECES.len())];
                text.splice(at..at, piece.bytes());
            }
        }
    }
}

fn check(random: &mut fastrand::Rng, text: &[u8]) -> bool {
    let Ok(mpd) = Mpd::parse(text) else {
        return false;
    };
    assert!(mpd.write(&Plan::default()) == text);
    let ladder = mpd.ladder();
    for relative in [Relative::Inherit, Relative::Resolve] {
        let mut plan = full(relative);
        plan.start = (!ladder.rungs.is_empty()).then(|| random.usize(..ladder.rungs.len()));
        plan.kept = Some(match random.bool() {
            true => lower(&mpd),
            false => Kept {
                rungs: ladder.rungs.iter().map(|_| random.bool()).collect(),
                renditions: ladder.renditions.iter().map(|_| random.bool()).collect(),
            },
        });
        let written = mpd.write(&plan);
        let shown = || String::from_utf8_lossy(text).into_owned();
        let again = Mpd::parse(&written).unwrap_or_else(|error| panic!("{error}: {}", shown()));
        let is_empty = |mpd: &Mpd<'_>| mpd.ladder().rungs.is_empty();
        assert_eq!(is_empty(&mpd), is_empty(&again), "{}", shown());
    }
    true
}

#[test]
fn no_mutation_makes_it_panic_or_write_what_cannot_be_read() {
    let seconds = std::env::var("WEIR_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seconds.map_or(4, |_| fastrand::u64(..));
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let mut random = fastrand::Rng::with_seed(seed);
    let texts = corpus();
    let (mut rounds, mut read) = (0_u64, 0_u64);
    while rounds < u64::from(ROUNDS) || Instant::now() < end {
        let mut text = texts[random.usize(..texts.len())].1.clone();
        let other = &texts[random.usize(..texts.len())].1;
        mutate(&mut random, &mut text, other);
        rounds += 1;
        read += u64::from(check(&mut random, &text));
    }
    println!("seed {seed}: {rounds} mutations, {read} of them read and rewritten");
    assert!(read > 0 && read < rounds);
}
