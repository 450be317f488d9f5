//! The end of a request: its log line and its part of the metrics.
//!
//! The query is left out, since tokens live there; the path is logged as asked for. It may name a
//! session, so that beside it stands the client's network and no address, unless the operator wants
//! it.

use std::net::IpAddr;

use http::StatusCode;
use pingora::Error;
use pingora::proxy::Session;

use crate::metrics::{Class, Label, METRICS, Tier};
use crate::proxy::AccessLog;
use crate::proxy::exchange::Exchange;
use crate::subnet::Subnet;

/// What a finished request left behind.
#[derive(Debug, PartialEq, Eq)]
struct Ending<'a> {
    status: u16,
    path: &'a str,
    /// As much of the client's address as is logged.
    client: Option<String>,
    /// `complete`, or what cut the answer short.
    end: &'static str,
}

/// Counts a finished request, and logs it where the configuration says so.
pub(super) fn finish(
    session: &Session,
    exchange: &Exchange,
    error: Option<&Error>,
    log: AccessLog,
) {
    let ending = Ending {
        status: written(session).map_or(0, |status| status.as_u16()),
        path: path_of(session.req_header().raw_path()),
        client: exchange.client.and_then(|address| log.shown(address)),
        end: end_of(error, exchange.protocol == super::watch::Protocol::Http2),
    };
    let bytes = u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX);
    count(exchange, ending.status, bytes);
    if log != AccessLog::Off {
        write(session, exchange, &ending, bytes);
    }
}

impl AccessLog {
    /// What a line says of an address.
    fn shown(self, address: IpAddr) -> Option<String> {
        match self {
            Self::Addresses => Some(address.to_string()),
            Self::Networks => Some(Subnet::of(address).to_string()),
            Self::Off => None,
        }
    }
}

/// The final status that was written, if any was.
pub(super) fn written(session: &Session) -> Option<StatusCode> {
    let status = session.response_written()?.status;
    (!status.is_informational()).then_some(status)
}

fn count(exchange: &Exchange, status: u16, bytes: u64) {
    METRICS.requests.of(exchange.outcome, exchange.tier).inc();
    METRICS.response_bytes.of(exchange.tier).inc_by(bytes);
    if let Some(class) = class_of(status) {
        METRICS.responses.of(class).inc();
    }
    if let Some(first_byte) = exchange.first_byte.filter(|_| exchange.tier != Tier::None) {
        METRICS
            .first_byte_seconds
            .of(exchange.tier)
            .observe(first_byte.as_secs_f64());
    }
}

fn write(session: &Session, exchange: &Exchange, ending: &Ending<'_>, bytes: u64) {
    tracing::info!(
        target: "access",
        id = exchange.id,
        client = ending.client.as_ref().map(tracing::field::display),
        site = exchange.site().map_or("-", |site| &site.name),
        method = session.req_header().method.as_str(),
        path = ending.path,
        proto = exchange.protocol.as_str(),
        status = ending.status,
        bytes,
        outcome = exchange.outcome.as_str(),
        tier = exchange.tier.as_str(),
        ttfb_ms = exchange.first_byte.map(milliseconds),
        total_ms = milliseconds(exchange.began.elapsed()),
        end = ending.end,
        reason = exchange.reason,
        "request"
    );
}

/// Milliseconds to three places, which is what a memory hit needs to show at all.
fn milliseconds(span: std::time::Duration) -> f64 {
    (span.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

fn class_of(status: u16) -> Option<Class> {
    Some(match status {
        100..=299 => Class::Success,
        300..=399 => Class::Redirect,
        400..=499 => Class::Client,
        500..=599 => Class::Server,
        // Nothing was sent: the client left before.
        _ => return None,
    })
}

/// The path of a request target: no query, and no authority of an absolute form.
fn path_of(target: &[u8]) -> &str {
    let target = std::str::from_utf8(target).unwrap_or("-");
    let path = target.split(['?', '#']).next().unwrap_or("-");
    match path.split_once("://") {
        Some((_, rest)) if !path.starts_with('/') => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => path,
    }
}

fn end_of(error: Option<&Error>, multiplexed: bool) -> &'static str {
    use pingora::{ErrorSource, ErrorType};
    let Some(error) = error else {
        return "complete";
    };
    match (&error.etype, &error.esource) {
        (ErrorType::Custom(name), _) => name,
        (ErrorType::WriteTimedout, _) => "ClientTooSlow",
        (_, ErrorSource::Downstream) if multiplexed => "ClientReset",
        (_, ErrorSource::Downstream) => "ClientLeft",
        (_, ErrorSource::Upstream) => "Origin",
        (_, ErrorSource::Internal | ErrorSource::Unset) => "Internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora::ErrorType;

    #[test]
    fn a_logged_path_holds_no_query_and_no_authority() {
        let cases: [(&[u8], &str); 7] = [
            (b"/a/b.m4s?token=secret", "/a/b.m4s"),
            (b"/a", "/a"),
            (b"http://host/a?b", "/a"),
            (b"http://host", "/"),
            (b"/~x/http://y/z", "/~x/http://y/z"),
            (b"*", "*"),
            (b"/\xff", "-"),
        ];
        for (target, path) in cases {
            assert_eq!(path_of(target), path);
        }
    }

    #[test]
    fn a_line_names_the_network_unless_addresses_are_wanted() {
        let address = "203.0.113.7".parse().unwrap();
        for (log, shown) in [
            (AccessLog::Addresses, Some("203.0.113.7")),
            (AccessLog::Networks, Some("203.0.113.0/24")),
            (AccessLog::Off, None),
        ] {
            assert_eq!(log.shown(address).as_deref(), shown);
        }
    }

    #[test]
    fn every_status_sent_has_a_class() {
        for status in 100..600 {
            assert!(class_of(status).is_some(), "{status}");
        }
        assert_eq!(class_of(0), None);
    }

    #[test]
    fn an_ending_says_who_cut_the_answer_short() {
        let slow = Error::new_down(ErrorType::WriteTimedout);
        let left = Error::new_down(ErrorType::WriteError);
        let broken = Error::new(ErrorType::Custom("BodyBroken"));
        assert_eq!(end_of(None, false), "complete");
        assert_eq!(end_of(Some(&slow), false), "ClientTooSlow");
        assert_eq!(end_of(Some(&left), false), "ClientLeft");
        assert_eq!(end_of(Some(&left), true), "ClientReset");
        assert_eq!(end_of(Some(&broken), true), "BodyBroken");
    }
}
