//! What this edge says to a player about its next choice (CTA-5006, `CMSD-Dynamic`).

/// One entry of `CMSD-Dynamic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// `etp`: estimated throughput in kbit/s.
    pub throughput_kbps: Option<u64>,
    /// `mb`: most bit rate to play, in kbit/s, audio included.
    pub bitrate_max_kbps: Option<u64>,
    /// `du`: this edge is under duress.
    pub duress: bool,
}

/// Spells the field's value; without a space, since players split at `;` and do not trim.
#[must_use]
pub fn value(node: &str, _hints: &Hints) -> String {
    format!("\"{node}\"")
}
