//! Mutated MPDs are refused, or rewritten into what can be read.

use std::cell::Cell;

use fastrand::Rng;

use super::corpus::{full, lower, specimens};
use crate::manifest::dash::Mpd;
use crate::manifest::plan::{Kept, Plan};
use crate::manifest::tests::fuzz;
use crate::manifest::uri::Relative;

/// Pieces that parsers stumble over.
const WORDS: &[&str] = &[
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
    "\u{feff}",
    "\u{1f3ac}",
    "$$",
    "/",
    "//",
    "../../..",
    "<BaseURL>",
    "</BaseURL>",
    "<BaseURL/>",
    "<Location>/x</Location>",
    "<ServiceDescription/>",
    "<ContentSteering/>",
    "<OperatingBandwidth mediaType=\"video\"/>",
    "<Period>",
    "</Period>",
    "<AdaptationSet>",
    "<Representation/>",
    "<!DOCTYPE a>",
    " xmlns=\"\"",
    " dependencyId=\"1\"",
    " type=\"dynamic\"",
    "$Number%99d$",
    "https://edge.example/",
];

/// Returns whether the input could be read.
fn check(input: &[u8]) -> bool {
    let Ok(mpd) = Mpd::parse(input) else {
        return false;
    };
    assert!(mpd.write(&Plan::default()) == input);
    let ladder = mpd.ladder();
    let mut random = Rng::with_seed(u64::try_from(input.len()).unwrap());
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
        let again = Mpd::parse(&written).unwrap();
        // Not the rungs: mutations mix kinds in a set, whose first representation tells its kind.
        let is_bare = |mpd: &Mpd<'_>| mpd.offer.representations.is_empty();
        assert_eq!(is_bare(&mpd), is_bare(&again));
        let empty = |mpd: &Mpd<'_>| {
            let sets = mpd.offer.sets.iter();
            sets.filter(|set| set.representations.is_empty()).count()
        };
        assert!(empty(&again) <= empty(&mpd), "a set has been emptied");
    }
    true
}

#[test]
fn what_can_be_read_is_written_as_what_can_be_read() {
    let seeds: Vec<_> = specimens().into_iter().map(|(_, text)| text).collect();
    let read = Cell::new(0_u64);
    fuzz::run("mpd", &seeds, WORDS, |input| {
        read.set(read.get() + u64::from(check(input)));
    });
    eprintln!("mpd: {} of them read and rewritten", read.get());
    assert!(read.get() > 0);
}
