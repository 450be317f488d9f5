//! Names of records in Redis. What must lie in one slot of a cluster shares a hash tag.
//!
//! ```text
//! {prefix}:1:{<hash>}:m           metadata
//! {prefix}:1:{<hash>}:<i>         chunk i of an object of at most SLOT_CHUNKS chunks
//! {prefix}:1:{<hash>/<group>}:<i> chunk i of a larger one, group = i / SLOT_CHUNKS
//! ```
//! The `1` is the major version of the records: releases that cannot read each other's records do
//! not overwrite them either.

use crate::cache::head::Head;
use crate::key::Key;
use crate::limits;

/// Builds the names below one prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    pub(super) fn metadata(&self, key: &Key) -> String {
        format!("{}:1:{{{}}}:m", self.prefix, key.hash())
    }

    /// Name of chunk `index` of the object that `head` describes.
    pub(super) fn chunk(&self, head: &Head, index: u64) -> String {
        let (prefix, hash) = (&self.prefix, head.key.hash());
        match is_spread(head) {
            false => format!("{prefix}:1:{{{hash}}}:{index}"),
            true => format!(
                "{prefix}:1:{{{hash}/{}}}:{index}",
                index / limits::SLOT_CHUNKS
            ),
        }
    }
}

/// Whether an object has too many chunks for one slot. One of unknown length counts as spread.
pub(super) fn is_spread(head: &Head) -> bool {
    let slot = limits::SLOT_CHUNKS * limits::CHUNK_BYTES as u64;
    head.length.is_none_or(|length| length > slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::shared::tests::head;

    #[test]
    fn a_small_object_lies_in_one_slot_and_a_large_one_in_groups() {
        let keys = Keys::new("weir");
        let mut head = head("/a.m4s", 10);
        let tag = format!("weir:1:{{{}", head.key.hash());
        assert_eq!(keys.metadata(&head.key), format!("{tag}}}:m"));
        assert_eq!(keys.chunk(&head, 0), format!("{tag}}}:0"));
        head.length = Some(limits::SLOT_CHUNKS * limits::CHUNK_BYTES as u64);
        assert_eq!(keys.chunk(&head, 63), format!("{tag}}}:63"));
        head.length = head.length.map(|length| length + 1);
        assert_eq!(keys.chunk(&head, 63), format!("{tag}/0}}:63"));
        assert_eq!(keys.chunk(&head, 64), format!("{tag}/1}}:64"));
    }
}
