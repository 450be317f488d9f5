//! What the engine answers: an object, an answer for one request, or why there is none.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::cache::flight::Stream;
use crate::cache::object::{Object, RunError};
use crate::http::cache_status::Forward;
use crate::metrics::{Outcome, Tier};
use crate::origin::{self, Body};

/// What the engine answers.
pub enum Opened {
    /// A shared object; its bytes come by a [`crate::cache::reader::Reader`].
    Object {
        /// The object.
        object: Arc<Object>,
        /// How it came about.
        how: How,
        /// Fields of the origin's answer that are for this client alone and stored nowhere.
        own: HeaderMap,
    },
    /// An answer for this one request.
    Stream {
        /// Status as the origin sent it.
        status: StatusCode,
        /// End-to-end headers as the origin sent them.
        headers: HeaderMap,
        /// The body.
        body: Box<dyn Body>,
        /// How it came about.
        how: How,
    },
    /// No copy, and no usable answer.
    Failed(Failure),
}

/// How an answer came about, for Cache-Status, log and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// What became of the request.
    pub outcome: Outcome,
    /// Where the first byte comes from.
    pub tier: Tier,
    /// Whether another request's fill was joined.
    pub collapsed: bool,
    /// Whether the origin's answer is stored.
    pub stored: bool,
    /// Status of the origin's answer, where it was asked.
    pub fwd_status: Option<u16>,
    /// Why it was asked.
    pub forward: Option<Forward>,
}

impl How {
    /// A copy that was there.
    #[must_use]
    pub fn held(outcome: Outcome, tier: Tier) -> Self {
        Self {
            outcome,
            tier,
            collapsed: false,
            stored: false,
            fwd_status: None,
            forward: None,
        }
    }

    /// An answer of the origin.
    #[must_use]
    pub fn fetched(outcome: Outcome, status: StatusCode) -> Self {
        Self {
            outcome,
            tier: Tier::Origin,
            collapsed: false,
            stored: outcome != Outcome::Pass,
            fwd_status: Some(status.as_u16()),
            forward: None,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The origin gave no usable answer.
    #[error(transparent)]
    Origin(#[from] origin::Error),
    /// The origin answered with a failure of its own, after all retries.
    #[error("origin answered {0}")]
    Status(u16),
    /// Too many objects are being opened.
    #[error("too many flights")]
    Overloaded,
    /// The byte budget has no room.
    #[error("no room in memory")]
    NoRoom,
    /// The client wants nothing but what is stored, and that is nothing (RFC 9111 section
    /// 5.2.1.7).
    #[error("not stored")]
    NotCached,
}

impl Failure {
    /// What the failure of a run means to a request to which nothing was answered yet; `None` when
    /// the object is as good as absent and may be asked for anew.
    pub(crate) fn of(error: RunError) -> Option<Self> {
        match error {
            RunError::Origin(origin::Error::Changed) => None,
            RunError::Origin(error) => Some(Self::Origin(error)),
            RunError::NoRoom => Some(Self::NoRoom),
            RunError::Length { .. } | RunError::TooLarge | RunError::Abandoned => None,
        }
    }
}

impl Opened {
    /// An object of which nothing is for one client alone.
    pub(crate) fn shared(object: Arc<Object>, how: How) -> Self {
        Self::Object {
            object,
            how,
            own: HeaderMap::new(),
        }
    }

    /// Says why the origin was asked, where it was and nothing else says so.
    pub(crate) fn because(mut self, reason: Forward) -> Self {
        if let Self::Object { how, .. } | Self::Stream { how, .. } = &mut self
            && how.tier == Tier::Origin
            && how.forward.is_none()
        {
            how.forward = Some(reason);
        }
        self
    }
}

impl From<Stream> for Opened {
    fn from(stream: Stream) -> Self {
        let how = How::fetched(Outcome::Pass, stream.status);
        let Stream {
            status,
            headers,
            body,
        } = stream;
        Self::Stream {
            status,
            headers,
            body,
            how,
        }
    }
}
