//! What players say of themselves (CTA-5004 and CTA-5004-A).

use std::time::Duration;

use http::HeaderMap;

/// What one request or event says; absent is unsaid.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// `sid`, at most 64 characters.
    pub session: Option<String>,
    /// `mtp`: what the player thinks of its throughput, in bit/s.
    pub throughput: Option<u64>,
    /// `br`: the rung of the object asked for, in bit/s.
    pub bitrate: Option<u64>,
    /// `tb`: the top rung, in bit/s.
    pub top_bitrate: Option<u64>,
    /// `bl`: the buffer.
    pub buffer: Option<Duration>,
    /// `d`: duration of the object.
    pub duration: Option<Duration>,
    /// `bs`: the buffer ran dry since the last report.
    pub starved: bool,
    /// `su`: at start or after a seek or a stall.
    pub startup: bool,
    /// `ot`: kind of object, by its letter or word.
    pub object_type: Option<String>,
    /// `nor` with its range: what is asked for next, as written (percent-decoded once).
    pub next: Vec<Next>,
    /// `pr` in thousandths: 1000 is real time, 0 is paused.
    pub rate: Option<u32>,
}

/// An object that a player will ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Relative URI.
    pub uri: String,
    /// `nrr` or `;r=`: bytes of it, as `first-last`.
    pub range: Option<String>,
}

/// Reads what a request says, in its query or its fields; `None` where it says nothing.
#[must_use]
pub fn of_request(_query: Option<&str>, _headers: &HeaderMap) -> Option<Report> {
    None
}
