//! Which parts of a tag are URIs, and which of those belong to the session.

use std::ops::Range;

use crate::manifest::hls::line::{Form, Line};
use crate::manifest::uri::{Edit, Rebase};

/// Where a URI stands, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Its place in the playlist.
    pub span: Range<usize>,
    pub owner: Owner,
}

/// Who answers for what a URI leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// This site: it gets the session's prefix.
    Site,
    /// A licence server: it is resolved at most.
    Licence,
}

impl Address {
    /// The address of a line that is a URI.
    pub(super) fn of_line(line: &Line<'_>) -> Self {
        Self {
            span: line.uri(),
            owner: Owner::Site,
        }
    }

    /// What becomes of it; `None` where it stays.
    pub(super) fn edit<'a>(&self, text: &'a [u8], rebase: &'a Rebase) -> Option<Edit<'a>> {
        let uri = std::str::from_utf8(text.get(self.span.clone())?).ok()?;
        match self.owner {
            Owner::Site => rebase.edit(uri),
            Owner::Licence => rebase.resolution(uri),
        }
    }
}

/// The attributes of a tag that are URIs.
fn names(tag: &[u8]) -> &'static [&'static [u8]] {
    match tag {
        b"MAP"
        | b"PART"
        | b"PRELOAD-HINT"
        | b"RENDITION-REPORT"
        | b"KEY"
        | b"SESSION-KEY"
        | b"SESSION-DATA"
        | b"MEDIA"
        | b"I-FRAME-STREAM-INF"
        | b"IMAGE-STREAM-INF" => &[b"URI"],
        b"DATERANGE" => &[b"X-ASSET-URI", b"X-ASSET-LIST"],
        b"CONTENT-STEERING" => &[b"SERVER-URI"],
        _ => &[],
    }
}

/// Calls `take` with each URI among the attributes of a tag.
///
/// The URI of a key of any other format than `identity` is that of a licence: what it stands for
/// is between the player and the licence server.
pub(super) fn of_tag(line: &Line<'_>, mut take: impl FnMut(Address)) {
    let Some((tag, list)) = line.tag() else {
        return;
    };
    let names = names(tag);
    if names.is_empty() {
        return;
    }
    let is_licence = |name: &[u8], value: &[u8]| name == b"KEYFORMAT" && value != b"identity";
    let owner = match tag {
        b"KEY" | b"SESSION-KEY" if line.attributes(list).any(|a| is_licence(a.name, a.value)) => {
            Owner::Licence
        }
        _ => Owner::Site,
    };
    for attribute in line.attributes(list) {
        if attribute.form == Form::Quoted && names.contains(&attribute.name) {
            take(Address {
                span: attribute.span(),
                owner,
            });
        }
    }
}
