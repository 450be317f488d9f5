//! What it costs to rewrite manifests.
//!
//! `manifests` prints times beside those of copies in the same run, and fails above their limits; `manifests count WHAT TIMES`
//! does one thing that often, for a tool that counts instructions and allocations.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tikv_jemalloc_ctl::{epoch, stats};

#[path = "manifests/dash.rs"]
mod dash;
#[path = "manifests/hls.rs"]
mod hls;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes that are allocated now.
fn allocated() -> usize {
    epoch::advance().unwrap_or_default();
    stats::allocated::read().unwrap_or_default()
}

/// Bytes that what is made holds.
fn held<T>(make: impl FnOnce() -> T) -> usize {
    let before = allocated();
    let made = make();
    let held = allocated().saturating_sub(before);
    drop(made);
    held
}

/// Time that one measurement should take at least, or the clock is too coarse for it.
const SPAN: Duration = Duration::from_micros(100);

/// The mean time of one of so many runs as take [`SPAN`].
fn timed<T>(work: &mut impl FnMut() -> T) -> Duration {
    let mut runs = 1;
    loop {
        let start = Instant::now();
        for _ in 0..runs {
            drop(black_box(work()));
        }
        let time = start.elapsed();
        if time >= SPAN {
            return time / runs;
        }
        runs *= 4;
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["count", what, times] => {
            let times = times.parse().unwrap_or_default();
            dash::count(what, times);
            hls::count(what, times);
        }
        _ => {
            let is_within = hls::show();
            println!();
            if !(dash::show() && is_within) {
                println!("\nMore than a limit allows.");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
