//! Interim responses (RFC 9110 section 15.2) on their way to whoever waits for the final one.
//!
//! They are hints: one that cannot be passed on at once is dropped, and none holds up an answer.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::metrics::METRICS;
use crate::origin::store::Dialect;
use crate::origin::{Interim, answer, scrub};

/// Tells `listener` of an interim response, but for 100, which is about a body that was not sent.
pub fn tell(listener: &mpsc::Sender<Interim>, status: StatusCode, headers: &HeaderMap) {
    if status == StatusCode::CONTINUE {
        return;
    }
    if answer::check_size(headers).is_err() {
        METRICS.origin_interims_dropped.inc();
        return;
    }
    let mut headers = headers.clone();
    scrub::scrub(&mut headers, Dialect::Web);
    // It has no body whose length this could be (RFC 9110 section 8.6).
    headers.remove(CONTENT_LENGTH);
    match listener.try_send(Interim { status, headers }) {
        // Who left needs nothing any more.
        Ok(()) | Err(TrySendError::Closed(_)) => {}
        Err(TrySendError::Full(_)) => METRICS.origin_interims_dropped.inc(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::limits::RESPONSE_FIELDS_MAX;

    fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_is_of_the_connection_or_of_a_body_does_not_pass() {
        let (listener, mut told) = mpsc::channel(4);
        let headers = head(&[
            ("link", "</a>"),
            ("connection", "x-b"),
            ("x-b", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
        ]);
        tell(&listener, StatusCode::CONTINUE, &headers);
        tell(&listener, StatusCode::EARLY_HINTS, &headers);
        let interim = told.try_recv().unwrap();
        assert_eq!(interim.status, 103);
        assert_eq!(interim.headers, head(&[("link", "</a>")]));
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn what_finds_no_room_or_is_too_large_is_dropped() {
        let (listener, mut told) = mpsc::channel(1);
        let large = head(&vec![("a", "b"); RESPONSE_FIELDS_MAX + 1]);
        tell(&listener, StatusCode::EARLY_HINTS, &large);
        tell(&listener, StatusCode::PROCESSING, &HeaderMap::new());
        tell(&listener, StatusCode::EARLY_HINTS, &HeaderMap::new());
        assert_eq!(told.try_recv().unwrap().status, 102);
        assert!(told.try_recv().is_err());
        drop(told);
        tell(&listener, StatusCode::EARLY_HINTS, &HeaderMap::new());
    }
}
