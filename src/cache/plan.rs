//! What an origin is asked for first, and what its answer becomes. Pure.

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};

use crate::asset::Fill;
use crate::cache::ask::Ask;
use crate::cache::head::Head;
use crate::cache::object::Stretch;
use crate::http::fields;
use crate::http::range::Wanted;
use crate::limits::{BLOCK_BYTES, WHOLE_FILL_BYTES_MAX};
use crate::origin::{Delimited, Reply};

/// Which part of an object is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// All of it.
    Whole,
    /// The block that begins at this offset.
    Block(u64),
    /// No byte of it.
    HeadOnly,
    /// The last bytes, wherever they begin: as the client asks.
    Tail(u64),
    /// What follows a beginning, up to the end.
    Rest(u64),
}

/// What an answer becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A run whose bytes the answer carries: the whole object or one block.
    Run(Stretch),
    /// An object whose blocks are fetched when they are read.
    ByBlock,
    /// An answer that is not stored.
    Pass,
}

impl Plan {
    /// Decides by what the client wants, the kind of object, and its length where a stored copy
    /// tells it. A suffix can be placed only when the length is known: by the head, then.
    #[must_use]
    pub fn of(ask: &Ask, length: Option<u64>) -> Self {
        let by_block = ask.kind.fill(ask.source.site.profile) == Fill::Blocks;
        let may_be_huge = length.is_none_or(|length| length > WHOLE_FILL_BYTES_MAX);
        match ask.want {
            _ if ask.head_only => Self::HeadOnly,
            Some(Wanted::Suffix(count)) if ask.fields.sees_client() && length.is_none() => {
                Self::Tail(count)
            }
            Some(Wanted::Suffix(_)) if by_block || may_be_huge => Self::HeadOnly,
            Some(Wanted::Span(first, _)) if by_block || first > 0 => {
                Self::Block(first - first % BLOCK_BYTES)
            }
            None | Some(_) if by_block => Self::Block(0),
            None | Some(_) => Self::Whole,
        }
    }

    /// The range to ask for.
    #[must_use]
    pub fn range(self) -> Option<Wanted> {
        match self {
            Self::Block(first) => Some(Wanted::Span(first, first.saturating_add(BLOCK_BYTES - 1))),
            Self::Tail(count) => Some(Wanted::Suffix(count)),
            Self::Rest(first) => Some(Wanted::Span(first, u64::MAX)),
            Self::Whole | Self::HeadOnly => None,
        }
    }
}

impl Shape {
    /// Decides by the answer; `whole_max` is the largest object that one answer may fill.
    ///
    /// What is larger, or was asked for in part, needs a pin: without one its blocks could belong
    /// to different versions. What ends with its connection may have been cut off: of a general
    /// site it counts as complete, as RFC 9112 section 8 has it, elsewhere it is not stored. An
    /// empty answer to HEAD says nothing of the bytes.
    #[must_use]
    pub fn of(ask: &Ask, head: &Head, reply: &Reply, plan: Plan, whole_max: u64) -> Self {
        let is_pinned = head.pin().is_some() && head.length.is_some();
        let is_huge = head.length.is_some_and(|length| length > whole_max);
        let takes_ranges = head.headers.get(ACCEPT_RANGES).is_none_or(|v| v != "none");
        let is_doubtful = reply.body.delimited() == Delimited::Close && !ask.fields.sees_client();
        if let Some(span) = reply.span {
            let end = span.last.saturating_add(1);
            let run = Stretch {
                first: span.first,
                end: Some(end),
            };
            let is_aligned = span.first % BLOCK_BYTES == 0
                && (end % BLOCK_BYTES == 0 || Some(end) == head.length);
            return if is_pinned && is_aligned {
                Self::Run(run)
            } else {
                Self::Pass
            };
        }
        match plan {
            Plan::HeadOnly if is_pinned && takes_ranges && head.status == StatusCode::OK => {
                Self::ByBlock
            }
            Plan::HeadOnly => Self::Pass,
            Plan::Whole if is_huge && is_pinned && takes_ranges => Self::ByBlock,
            _ if is_huge => Self::Pass,
            _ if is_doubtful => Self::Pass,
            Plan::Whole | Plan::Block(_) | Plan::Tail(_) | Plan::Rest(_) => Self::Run(Stretch {
                first: 0,
                end: head.length,
            }),
        }
    }
}

/// Whether an answer names its version, so that another part of the same can be asked for.
#[must_use]
pub fn pins(headers: &HeaderMap) -> bool {
    let is_strong = |tag: &http::HeaderValue| fields::is_strong_tag(tag.as_bytes());
    headers.get(ETAG).is_some_and(is_strong) || headers.contains_key(LAST_MODIFIED)
}

/// Content-Length, where it is a number.
#[must_use]
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
