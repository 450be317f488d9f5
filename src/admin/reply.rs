//! An answer of the admin listener.

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use serde::Serialize;

/// Nothing here may be kept by anyone.
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// Whether a request's body was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Read,
    Unread,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    kind: HeaderValue,
    body: Vec<u8>,
    fields: HeaderMap,
    request: Body,
}

impl Reply {
    fn new(status: StatusCode, kind: HeaderValue, body: Vec<u8>) -> Self {
        Self {
            status,
            kind,
            body,
            fields: HeaderMap::new(),
            request: Body::Unread,
        }
    }

    /// A line of text, or several.
    pub(super) fn text(status: StatusCode, text: impl std::fmt::Display) -> Self {
        Self::new(status, TEXT, format!("{text}\n").into_bytes())
    }

    /// A value as JSON, with status 200.
    pub(super) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec_pretty(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self::new(StatusCode::OK, JSON, body)
            }
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, error),
        }
    }

    /// Metrics in the Prometheus text format.
    pub(super) fn exposition(text: String) -> Self {
        Self::new(StatusCode::OK, EXPOSITION, text.into_bytes())
    }

    /// The token is missing or wrong.
    pub(super) fn unauthorized() -> Self {
        Self::text(StatusCode::UNAUTHORIZED, "token needed").with(WWW_AUTHENTICATE, "Bearer")
    }

    /// Adds a field.
    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.fields.insert(name, HeaderValue::from_static(value));
        self
    }

    /// Changes the status.
    pub(super) fn status_of(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Notes that the request's body was read, so that the connection may be kept.
    pub(super) fn after_body(mut self) -> Self {
        self.request = Body::Read;
        self
    }

    pub(super) fn has_read_body(&self) -> bool {
        self.request == Body::Read
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn content_type(&self) -> HeaderValue {
        self.kind.clone()
    }

    pub(super) fn length(&self) -> HeaderValue {
        HeaderValue::from(self.body.len())
    }

    pub(super) fn take_fields(&mut self) -> HeaderMap {
        std::mem::take(&mut self.fields)
    }

    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }
}
