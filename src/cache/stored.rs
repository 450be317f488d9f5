//! A stored object as one request found it.

use std::sync::Arc;

use crate::cache::object::Object;
use crate::clock::UnixMillis;
use crate::origin::Validators;

/// An object with how it stood when it was found.
#[derive(Clone)]
pub struct Stored {
    /// The object.
    pub object: Arc<Object>,
    /// How it stood.
    pub standing: Standing,
}

/// How a stored object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be served.
    Fresh,
    /// It may be served while it is refreshed.
    Refresh,
    /// It must be confirmed first, and may be served when the origin fails.
    Expired,
    /// It may be served, since the origin failed to confirm it a moment ago.
    Outage,
    /// It is stale, and the client takes it so.
    Accepted,
    /// It is not fresh enough for this client, and must be confirmed first.
    Unwanted,
    /// It must be confirmed first; a purge may have named it.
    Suspect,
}

impl Stored {
    /// Whether it may be served without waiting for anyone.
    #[must_use]
    pub fn may_be_served(&self) -> bool {
        match self.standing {
            Standing::Fresh | Standing::Refresh | Standing::Outage | Standing::Accepted => true,
            Standing::Expired | Standing::Unwanted | Standing::Suspect => false,
        }
    }

    /// Whether it may be served when nothing better can be had (RFC 5861 section 4).
    #[must_use]
    pub fn may_stand_in(&self, now: UnixMillis) -> bool {
        self.standing != Standing::Suspect && self.object.head().may_stand_in(now)
    }

    /// Whether the origin can be asked to confirm it. Without a pin its bytes could not be had
    /// again, and a copy known by its head only would be confirmed into an object without bytes.
    #[must_use]
    pub fn can_be_confirmed(&self) -> bool {
        self.object.head().pin().is_some() || self.object.is_complete()
    }

    /// What the origin is asked to compare with.
    #[must_use]
    pub fn validators(&self) -> Validators {
        self.object.head().validators()
    }
}

impl Standing {
    /// The standing as explanations spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Refresh => "refresh",
            Self::Expired => "expired",
            Self::Outage => "outage",
            Self::Accepted => "accepted",
            Self::Unwanted => "unwanted",
            Self::Suspect => "suspect",
        }
    }
}
