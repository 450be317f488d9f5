//! Interim responses (RFC 9110 section 15.2) on their way from an origin to the client.
//!
//! Pingora writes them to HTTP/1.1 alone: over HTTP/2 it drops them, and HTTP/1.0 knows none.

use std::pin::pin;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use tokio::sync::mpsc;

use crate::cache::ask::Ask;
use crate::cache::engine::Engine;
use crate::cache::opened::Opened;
use crate::limits::INTERIM_QUEUE_MAX;
use crate::origin::Interim;
use crate::origin::scrub;
use crate::origin::store::Dialect;
use crate::proxy::upstream;

/// Opens what is asked for, and passes on what the origin says meanwhile.
pub(super) async fn open(engine: &Arc<Engine>, mut ask: Ask, session: &mut Session) -> Opened {
    let (teller, mut told) = mpsc::channel(INTERIM_QUEUE_MAX);
    ask.interim = Some(teller);
    let mut opening = pin!(engine.open(ask));
    let opened = loop {
        tokio::select! {
            biased;
            Some(interim) = told.recv() => {
                if tell(interim, session).await.is_err() {
                    // The client is gone; writing the answer will say so.
                    return opening.await;
                }
            }
            opened = &mut opening => break opened,
        }
    };
    while let Ok(interim) = told.try_recv() {
        if tell(interim, session).await.is_err() {
            break;
        }
    }
    opened
}

async fn tell(interim: Interim, session: &mut Session) -> pingora::Result<()> {
    match header(interim) {
        Some(header) => session.write_response_header(Box::new(header), false).await,
        None => Ok(()),
    }
}

/// The header to be written; `None` for what is not the origin's to say: 100 answers an Expect of
/// this node's own, 101 would end HTTP.
fn header(mut interim: Interim) -> Option<ResponseHeader> {
    if !upstream::is_hint(interim.status) || interim.status == http::StatusCode::CONTINUE {
        return None;
    }
    scrub::scrub(&mut interim.headers, Dialect::Web);
    // RFC 9110 section 8.6.
    interim.headers.remove(CONTENT_LENGTH);
    let room = interim.headers.len();
    let mut header = ResponseHeader::build_no_case(interim.status, Some(room)).ok()?;
    for (name, value) in &interim.headers {
        header.append_header(name, value).ok()?;
    }
    Some(header)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    #[test]
    fn interim_responses_go_on_without_what_is_of_the_connection_or_a_body() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("link", "</a.css>; rel=preload"),
            ("link", "</b.css>; rel=preload"),
            ("connection", "x-inner"),
            ("x-inner", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let interim = |status: u16| Interim {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.clone(),
        };
        for (status, told) in [
            (100, false),
            (101, false),
            (102, true),
            (103, true),
            (200, false),
        ] {
            assert_eq!(header(interim(status)).is_some(), told, "{status}");
        }
        let hints = header(interim(103)).unwrap();
        let names: Vec<_> = hints.headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["link"]);
        assert_eq!(hints.headers.get_all("link").iter().count(), 2);
    }
}
