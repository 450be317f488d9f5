//! A media playlist with its URIs rebased, and nothing else changed.

use crate::manifest::hls::address::{self, Address};
use crate::manifest::hls::line::Lines;
use crate::manifest::uri::Rebase;

/// Writes a playlist with its URIs rebased; `None` where nothing changes.
pub(super) fn rebase(text: &[u8], rebase: &Rebase) -> Option<Vec<u8>> {
    let mut copy = Copy {
        text,
        rebase,
        done: 0,
        out: Vec::new(),
    };
    for line in Lines::of_playlist(text)? {
        match line.text.first() {
            Some(b'#') => address::of_tag(&line, |address| copy.take(&address)),
            Some(_) if line.is_uri() => copy.take(&Address::of_line(&line)),
            Some(_) | None => {}
        }
    }
    copy.finish()
}

/// What is written so far: nothing until the first change.
struct Copy<'a> {
    text: &'a [u8],
    rebase: &'a Rebase,
    /// How much of the text is written or replaced.
    done: usize,
    out: Vec<u8>,
}

impl Copy<'_> {
    fn take(&mut self, address: &Address) {
        let Some(edit) = address.edit(self.text, self.rebase) else {
            return;
        };
        if self.done == 0 {
            self.out.reserve(self.text.len() + self.text.len() / 4);
        }
        let before = self.text.get(self.done..address.span.start);
        self.out.extend_from_slice(before.unwrap_or_default());
        edit.write(&mut self.out);
        self.done = address.span.end;
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        let rest = self.text.get(self.done..)?;
        self.out.extend_from_slice(rest);
        (self.done > 0).then_some(self.out)
    }
}
