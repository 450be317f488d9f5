//! The node as its users meet it: the real binary over loopback, with real stores, Redis, players.
//!
//! One binary, a module a topic, so that it is linked once. Tests assert bytes, headers and
//! counters. What they need (ffmpeg, Redis, `SeaweedFS`, Prometheus, Chromium) must be installed: a
//! missing program fails the test and its message names the package, since a test that is skipped
//! shows nothing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test ends at the first surprise; the lints exempt test functions, not harnesses"
)]

mod harness;

mod adapt;
mod big;
mod collapse;
mod dead;
mod demo;
mod docs;
mod faults;
mod growing;
mod http;
mod known;
mod lifetimes;
mod measured;
mod memory;
mod operation;
mod parts;
mod players;
mod plays;
mod prefetch;
mod purging;
mod redis_faults;
mod rules;
mod sharing;
mod shield;
mod steering;
mod telemetry;
mod tiers;
mod trickle;
mod varying;
