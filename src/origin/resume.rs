//! Bodies that break are continued where they broke, when their version is known.
//!
//! A continuation asks for the missing bytes of the pinned version only. Where the store cannot
//! give exactly those, the body ends with the error that broke it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_ENCODING;

use crate::http::range::Wanted;
use crate::metrics::METRICS;
use crate::origin::retry::{Course, Tries};
use crate::origin::{Body, Delimited, Error, Fetch, Reply, Span, answer};

/// A body that is continued when it breaks.
struct Resuming {
    tries: Arc<Tries>,
    /// The request of what is missing, range aside.
    fetch: Fetch,
    /// Which bytes the whole body has.
    span: Span,
    body: Box<dyn Body>,
    received: u64,
    /// Continuations left.
    left: u32,
    /// Who gave the current part, and who failed before.
    course: Course,
}

/// What came of a continuation.
enum Resumed {
    /// The missing bytes follow.
    Continued,
    /// There is another version now.
    Changed,
    /// The store did not give the missing bytes.
    Unable,
}

/// Wraps the body of an answer, where it can be continued at all.
pub(super) fn wrap(tries: &Arc<Tries>, fetch: &Fetch, reply: Reply, course: Course) -> Reply {
    let mut reply = reply;
    let Some(span) = span_of(&reply).filter(|_| !fetch.head_only) else {
        return reply;
    };
    let pin = fetch
        .pin
        .clone()
        .or_else(|| answer::pin_of(&reply.headers, Some(span.total)));
    if pin.is_none() || reply.headers.contains_key(CONTENT_ENCODING) {
        return reply;
    }
    reply.body = Box::new(Resuming {
        tries: Arc::clone(tries),
        fetch: Fetch {
            path: fetch.path.clone(),
            query: fetch.query.clone(),
            fields: fetch.fields.clone(),
            cdn_loop: fetch.cdn_loop.clone(),
            pin,
            ..Fetch::default()
        },
        span,
        body: reply.body,
        received: 0,
        left: tries.resumes(),
        course,
    });
    reply
}

/// Which bytes an answer carries, where that is known and there are any.
fn span_of(reply: &Reply) -> Option<Span> {
    match reply.status {
        StatusCode::PARTIAL_CONTENT => reply.span,
        StatusCode::OK => {
            let total = answer::content_length(&reply.headers).ok()??;
            let last = total.checked_sub(1)?;
            Some(Span {
                first: 0,
                last,
                total,
            })
        }
        _ => None,
    }
}

impl Resuming {
    /// Asks for the missing bytes, once.
    async fn resume(&mut self) -> Resumed {
        let used = self.tries.resumes().saturating_sub(self.left);
        self.left = self.left.saturating_sub(1);
        Tries::back_off(used.saturating_add(1)).await;
        let next = self.span.first.saturating_add(self.received);
        let fetch = Fetch {
            range: Some(Wanted::Span(next, self.span.last)),
            ..self.fetch.clone()
        };
        METRICS.origin_resumes.inc();
        let reply = match self.tries.ask(&fetch, &mut self.course).await {
            Ok(reply) => reply,
            Err(Error::Changed) => return Resumed::Changed,
            Err(_) => return Resumed::Unable,
        };
        let missing = Span {
            first: next,
            ..self.span
        };
        if reply.status != StatusCode::PARTIAL_CONTENT {
            return Resumed::Unable;
        }
        if reply.span != Some(missing) {
            return Resumed::Changed;
        }
        tracing::info!(path = fetch.path, from = next, "origin body resumed");
        self.body = reply.body;
        Resumed::Continued
    }

    fn broken(&self, error: Error) -> Error {
        let received = self.received;
        match error {
            Error::Truncated { endpoint, .. } => Error::Truncated { endpoint, received },
            Error::Stall {
                endpoint, waited, ..
            } => Error::Stall {
                endpoint,
                waited,
                received,
            },
            other => other,
        }
    }
}

#[async_trait]
impl Body for Resuming {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.body.piece().await {
                Ok(Some(bytes)) => {
                    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    self.received = self.received.saturating_add(length);
                    return Ok(Some(bytes));
                }
                Ok(None) => return Ok(None),
                Err(error @ (Error::Truncated { .. } | Error::Stall { .. })) if self.left > 0 => {
                    match self.resume().await {
                        Resumed::Continued => {}
                        Resumed::Changed => return Err(Error::Changed),
                        Resumed::Unable => return Err(self.broken(error)),
                    }
                }
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    fn delimited(&self) -> Delimited {
        self.body.delimited()
    }
}
