//! What it costs to rewrite manifests.
//!
//! `manifests` prints times beside those of copies in the same run; `manifests count WHAT TIMES`
//! does one thing that often, for a tool that counts instructions and allocations.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "manifests/dash.rs"]
mod dash;
#[path = "manifests/hls.rs"]
mod hls;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["count", what, times] => {
            let times = times.parse().unwrap_or_default();
            dash::count(what, times);
            hls::count(what, times);
        }
        _ => {
            hls::show();
            println!();
            dash::show();
        }
    }
}
