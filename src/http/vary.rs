//! Which requests a stored response answers: `Vary` (RFC 9111 section 4.1). Pure.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::forward::Fields;

/// The fields that selected a stored response, with their normalised values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Each field with its normalised value; `None` where the request did not have it.
    members: Box<[(HeaderName, Option<HeaderValue>)]>,
}

/// Names one variant of an object: a hash over the names and normalised values that select it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant(pub u64);

impl Selection {
    /// What selected `response` among the answers to requests with `fields`; `None` where it
    /// answers every request. A response with `Vary: *` is never stored, so it has none either.
    #[must_use]
    pub fn of(_response: &HeaderMap, _fields: &Fields) -> Option<Self> {
        None
    }

    /// Whether a request with `fields` selects the same response.
    #[must_use]
    pub fn suits(&self, _fields: &Fields) -> bool {
        self.members.is_empty()
    }

    /// Which variant a request with `fields` selects by the same names.
    #[must_use]
    pub fn variant(&self, _fields: &Fields) -> Variant {
        Variant(0)
    }

    /// Whether another response is selected by the same names.
    #[must_use]
    pub fn has_names_of(&self, other: &Self) -> bool {
        self.members.len() == other.members.len()
    }

    /// The members, for records.
    #[must_use]
    pub fn members(&self) -> &[(HeaderName, Option<HeaderValue>)] {
        &self.members
    }

    /// Puts together what a record holds.
    #[must_use]
    pub fn from_members(members: Vec<(HeaderName, Option<HeaderValue>)>) -> Self {
        Self {
            members: members.into_boxed_slice(),
        }
    }
}
