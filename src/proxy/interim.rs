//! Interim responses (RFC 9110 section 15.2) on their way from an origin to the client.
//!
//! Pingora writes them to HTTP/1.1 alone: over HTTP/2 it drops them, and HTTP/1.0 knows none.

use std::pin::pin;
use std::sync::Arc;

use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use tokio::sync::mpsc;

use crate::cache::ask::Ask;
use crate::cache::engine::Engine;
use crate::cache::opened::Opened;
use crate::limits::INTERIM_QUEUE_MAX;
use crate::origin::Interim;

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
    let room = interim.headers.len();
    let mut header = ResponseHeader::build_no_case(interim.status, Some(room))?;
    for (name, value) in &interim.headers {
        header.append_header(name, value)?;
    }
    session.write_response_header(Box::new(header), false).await
}
