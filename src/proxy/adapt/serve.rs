//! From what the engine opened to a manifest for one client, or to the same answer as for all.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_RANGE, HeaderMap};
use http::{HeaderValue, StatusCode};
use pingora::http::ResponseHeader;

use crate::asset::Kind;
use crate::cache::budget::hold;
use crate::cache::object::{Object, RunError};
use crate::cache::opened::Failure;
use crate::cache::reader::Reader;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::metrics::{METRICS, Made, ManifestKind};
use crate::proxy::adapt::personal::{CMSD_DYNAMIC, Personal};
use crate::proxy::adapt::{Visit, body, is_media, personal};
use crate::proxy::headers::{self, Stored};
use crate::proxy::respond::{self, Answer};
use crate::proxy::storage::Bytestream;
use crate::route::Purpose;
use crate::session::cmsd::{self, Hints};

/// A manifest made for one client, on its way.
pub(in crate::proxy) struct Manifest {
    pub(in crate::proxy) header: ResponseHeader,
    pub(in crate::proxy) bytes: Bytes,
}

/// What becomes of an answer that is kept nowhere.
pub(in crate::proxy) enum Served {
    /// It was made for its client.
    Made(Box<Manifest>),
    /// It goes out as it is; this is its whole body.
    AsItIs(Bytestream),
}

/// Makes the manifest of an object; `None` where it goes out as it is.
///
/// # Errors
/// The answer to give instead: its bytes cannot be had, or what is asked for is refused.
pub(in crate::proxy) async fn of_object(
    visit: &Visit<'_>,
    object: &Arc<Object>,
    own: &HeaderMap,
    mut reader: Reader,
) -> Result<Option<Manifest>, Answer> {
    let head = object.head();
    if !visit.can_read(head.status, &head.headers) || visit.is_for_all(object) {
        return Ok(None);
    }
    let longest = u64::try_from(MANIFEST_BYTES_MAX).unwrap_or(u64::MAX);
    if object.length().is_some_and(|length| length > longest) {
        visit.leave(Made::TooLarge);
        return Ok(None);
    }
    let bytes = match body::of_object(&mut reader).await {
        Ok(body::Read::Whole(bytes)) => bytes,
        Ok(body::Read::TooLarge(_)) => {
            visit.leave(Made::TooLarge);
            return Ok(None);
        }
        Err(error) => return Err(broken(error)),
    };
    let Some(personal) = visit.make(&bytes).await? else {
        return Ok(None);
    };
    let stored = Stored {
        status: head.status,
        headers: &head.headers,
        length: None,
        path: head.key.path(),
    };
    let mut made = visit.finish(&stored, personal)?;
    for (name, value) in own {
        let appended = made.header.append_header(name, value);
        appended.map_err(|_| respond::internal())?;
    }
    Ok(Some(made))
}

/// Makes the manifest of an answer that is kept nowhere.
///
/// # Errors
/// As [`of_object`].
pub(in crate::proxy) async fn of_stream(
    visit: &Visit<'_>,
    (status, headers): (StatusCode, &HeaderMap),
    body: Bytestream,
) -> Result<Served, Answer> {
    let Bytestream::Once(mut body) = body else {
        return Ok(Served::AsItIs(body));
    };
    if !visit.can_read(status, headers) {
        return Ok(Served::AsItIs(Bytestream::Once(body)));
    }
    let bytes = match body::of_stream(body.as_mut()).await {
        Ok(body::Read::Whole(bytes)) => bytes,
        Ok(body::Read::TooLarge(taken)) => {
            visit.leave(Made::TooLarge);
            let taken = VecDeque::from(taken);
            return Ok(Served::AsItIs(Bytestream::Begun(taken, body)));
        }
        Err(error) => return Err(respond::failure(&Failure::Origin(error))),
    };
    let Some(personal) = visit.make(&bytes).await? else {
        return Ok(Served::AsItIs(Bytestream::Made(bytes)));
    };
    let stored = Stored {
        status,
        headers,
        length: None,
        path: visit.route.key.path(),
    };
    let made = visit.finish(&stored, personal)?;
    Ok(Served::Made(Box::new(made)))
}

/// Whether an answer's bytes are a whole manifest as its origin wrote it.
pub(super) fn is_readable(status: StatusCode, headers: &HeaderMap) -> bool {
    let changed = [CONTENT_ENCODING, CONTENT_RANGE];
    status == StatusCode::OK && !changed.iter().any(|name| headers.contains_key(name))
}

/// What a failure to read means to a request to which nothing was answered yet.
fn broken(error: RunError) -> Answer {
    match Failure::of(error) {
        Some(failure) => respond::failure(&failure),
        None => respond::failure(&Failure::Origin(crate::origin::Error::Changed)),
    }
}

impl Visit<'_> {
    /// Whether an object's first bytes tell already that it is the same for all: a media playlist
    /// beside its segments. Those are asked for most, and need not be read whole.
    fn is_for_all(&self, object: &Object) -> bool {
        let is_beside = self.route.purpose == Purpose::Object && self.route.session.is_none();
        let first = super::first::beginning(object);
        is_beside
            && self.route.kind == Kind::HlsManifest
            && first.is_some_and(|bytes| is_media(&bytes))
    }

    /// Whether an answer can be read; one that its origin has encoded is counted.
    fn can_read(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if status == StatusCode::OK && headers.contains_key(CONTENT_ENCODING) {
            self.leave(Made::Encoded);
        }
        is_readable(status, headers)
    }

    /// Counts a manifest that goes out as it is.
    fn leave(&self, why: Made) {
        let kind = match self.route.kind {
            Kind::DashManifest => ManifestKind::Dash,
            _ => ManifestKind::Hls,
        };
        METRICS.manifests.of(kind, why).inc();
    }

    /// The answer that carries what was made.
    fn finish(&self, stored: &Stored<'_>, made: Personal) -> Result<Manifest, Answer> {
        let mut header = headers::whole(stored).map_err(|_| respond::internal())?;
        let turned = personal::turn(&mut header, &made.bytes);
        turned.map_err(|_| respond::internal())?;
        if made.said != Hints::default() {
            let value = HeaderValue::try_from(cmsd::value(&self.edge.server.node, &made.said));
            let value = value.map_err(|_| respond::internal())?;
            let inserted = header.insert_header(CMSD_DYNAMIC, value);
            inserted.map_err(|_| respond::internal())?;
        }
        let permit = self.edge.engine.memory().charge(made.bytes.len());
        Ok(Manifest {
            header,
            bytes: hold(made.bytes, permit),
        })
    }
}
