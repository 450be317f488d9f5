//! Where the URIs of a rewritten manifest lead.

/// How URIs are changed so that they lead to the same objects from another place, below the
/// session's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebase {
    /// Canonical path of the manifest's object: what relative URIs resolve against.
    pub object: String,
    /// Put before every path: `/~<sid>`, or nothing.
    pub prefix: String,
    /// Hosts of this site, in lower case: absolute URLs of theirs get the prefix too. Others never.
    pub hosts: Vec<String>,
    /// What becomes of relative URIs.
    pub relative: Relative,
}

/// What becomes of relative URIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relative {
    /// They stay: the manifest is asked for below the prefix, beside its object.
    Inherit,
    /// They become absolute paths: the manifest is asked for elsewhere.
    Resolve,
}

impl Rebase {
    /// The URI in place of `uri`; `None` where it stays as it is (other hosts, `data:`, `skd:` and
    /// other schemes, `{$variables}`, fragments, and what is relative and inherits).
    #[must_use]
    pub fn apply(&self, _uri: &str) -> Option<String> {
        None
    }
}
