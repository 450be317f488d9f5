//! Mutated inputs for the readers of manifests, until one of them panics.
//!
//! Some hundred in every run of the tests; for as long as `WEIR_FUZZ_SECONDS` says where it is
//! set, and then from the seed `WEIR_FUZZ_SEED` or another one each time. How many inputs there
//! were is printed (`--nocapture`), and so is the one that a check fails with.

use std::time::{Duration, Instant};

use fastrand::Rng;

/// Inputs of a run that has no time of its own.
const INPUTS: u64 = 400;

/// Largest input: what is larger takes time and finds nothing more.
const BYTES_MAX: usize = 64 << 10;

/// Prints the input that a check panics with.
struct Told<'a> {
    what: &'a str,
    seed: u64,
    count: u64,
    input: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self {
                what, seed, count, ..
            } = self;
            let input = self.input.escape_ascii();
            eprintln!("{what}: seed {seed}, input {count} fails:\n{input}");
        }
    }
}

/// Checks mutations of `seeds`, in which `words` turn up more often than by chance.
pub(in crate::manifest) fn run(
    what: &str,
    seeds: &[Vec<u8>],
    words: &[&str],
    check: impl Fn(&[u8]),
) {
    let number = |name: &str| Some(std::env::var(name).ok()?.parse::<u64>().unwrap());
    let time = number("WEIR_FUZZ_SECONDS").map(Duration::from_secs);
    let seed =
        number("WEIR_FUZZ_SEED").unwrap_or(if time.is_some() { fastrand::u64(..) } else { 1 });
    let mut rng = Rng::with_seed(seed);
    let started = Instant::now();
    let mut count = 0;
    let more = |count| match time {
        Some(time) => started.elapsed() < time,
        None => count < INPUTS,
    };
    while more(count) {
        let input = mutated(&mut rng, seeds, words);
        let told = Told {
            what,
            seed,
            count,
            input: &input,
        };
        check(&input);
        drop(told);
        count += 1;
    }
    let seconds = started.elapsed().as_secs();
    eprintln!("{what}: {count} inputs in {seconds} s from seed {seed}");
}

fn mutated(rng: &mut Rng, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = rng.choice(seeds).unwrap().clone();
    input.truncate(BYTES_MAX);
    for _ in 0..rng.usize(1..=8) {
        mutate(rng, &mut input, seeds, words);
    }
    input.truncate(BYTES_MAX);
    input
}

fn mutate(rng: &mut Rng, input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str]) {
    let mut span = {
        let start = rng.usize(0..=input.len());
        start..(start + rng.usize(0..=64)).min(input.len())
    };
    let at = span.start;
    match rng.u8(0..9) {
        0 => {
            let other = rng.choice(seeds).unwrap();
            let start = rng.usize(0..=other.len());
            let end = (start + rng.usize(0..=512)).min(other.len());
            input.splice(span, other[start..end].iter().copied());
        }
        1 => {
            let word = rng.choice(words).unwrap();
            input.splice(at..at, word.bytes());
        }
        2 => {
            let word = rng.choice(words).unwrap();
            input.splice(span, word.bytes());
        }
        3 => drop(input.drain(span)),
        4 => {
            let copy = input[span].to_vec();
            input.splice(at..at, copy);
        }
        5 => input
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte = rng.u8(..)),
        6 => input.truncate(at),
        7 => {
            // A line to another place.
            span.end = line_end(input, at);
            let line: Vec<u8> = input.drain(span).collect();
            let start = rng.usize(0..=input.len());
            let to = line_end(input, start);
            input.splice(to..to, line);
        }
        _ => {
            let digits = input.iter().position(u8::is_ascii_digit).unwrap_or(at);
            let digits = input
                .iter()
                .skip(at)
                .position(u8::is_ascii_digit)
                .map_or(digits, |d| d + at);
            let number = rng.choice(NUMBERS).unwrap();
            input.splice(digits..(digits + 1).min(input.len()), number.bytes());
        }
    }
}

fn line_end(input: &[u8], from: usize) -> usize {
    let end = input[from..].iter().position(|&byte| byte == b'\n');
    end.map_or(input.len(), |end| from + end + 1)
}

const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1e9",
    "0.0000001",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999",
];
