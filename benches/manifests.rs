//! What it costs to rewrite manifests.
//!
//! `manifests` prints times beside those of copies in the same run; `manifests count WHAT TIMES`
//! does one thing that often, for a tool that counts instructions and allocations.

#[path = "manifests/dash.rs"]
mod dash;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["count", what, times] => {
            let times = times.parse().unwrap_or_default();
            dash::count(what, times);
        }
        _ => dash::show(),
    }
}
