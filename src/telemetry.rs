//! Logs: one stream to standard error, as text or JSON, filtered by target and level.
//!
//! Pingora's lines join ours. Those by which it complains of one client (a handshake broken off, a
//! viewer who left) are demoted to debug: on an edge they say nothing, many times a second, and an
//! operator who reads errors must be able to believe them. Addresses of clients are cut out of them:
//! only access lines name clients, as the configuration says.

use std::fmt::Arguments;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;
use tracing_log::{AsLog, LogTracer, log};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Target of access lines.
pub const ACCESS: &str = "access";

/// Beginnings of Pingora's complaints about one client, by target.
const CLIENT_NOISE: [(&str, &str); 11] = [
    ("pingora_core::services::listening", "Downstream handshake"),
    ("pingora_core::apps", "H2 handshake error"),
    (
        "pingora_core::apps",
        "HTTP server fails to read from downstream",
    ),
    ("pingora_proxy", "Fail to proxy: Downstream"),
    ("pingora_proxy", "Fail to serve cache: Downstream"),
    // The access line has it, and an origin that breaks bodies off has its own metrics.
    ("pingora_proxy", "Fail to serve cache:  BodyBroken"),
    ("pingora_proxy", "Fail to serve cache:  ClientTooSlow"),
    (
        "pingora_proxy",
        "Error during finish_hit_handler:  BodyBroken",
    ),
    (
        "pingora_proxy",
        "failed to send error response to downstream",
    ),
    ("pingora_proxy", "Error finish sending body to downstream"),
    (
        "pingora_proxy",
        "Error during finish_hit_handler: Downstream",
    ),
];

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter has no meaning.
    #[error("log.level: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody else logs already.
    #[error("logs are set up twice")]
    Twice,
}

/// Begins to log, once in a process.
///
/// # Errors
/// When the filter has no meaning, or logs were set up before.
pub fn start(config: &Log) -> Result<(), Error> {
    let filter = filter(config)?;
    let level = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    match config.format {
        LogFormat::Text => set_global_default(lines.finish()),
        LogFormat::Json => set_global_default(lines.json().flatten_event(true).finish()),
    }
    .map_err(|_| Error::Twice)?;
    let bridge = Bridge {
        tracer: LogTracer::new(),
    };
    log::set_boxed_logger(Box::new(bridge)).map_err(|_| Error::Twice)?;
    log::set_max_level(level.as_log());
    Ok(())
}

/// The operator's filter, and after it the one rule that is a key of its own.
fn filter(config: &Log) -> Result<EnvFilter, Error> {
    let access = if config.access { "info" } else { "off" };
    let level = &config.level;
    Ok(EnvFilter::try_new(format!("{level},{ACCESS}={access}"))?)
}

/// Hands lines of `log` to `tracing`.
struct Bridge {
    tracer: LogTracer,
}

impl log::Log for Bridge {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.tracer.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        match complaint(record) {
            Some(text) => self.tracer.log(&demoted(record, format_args!("{text}"))),
            None => self.tracer.log(record),
        }
    }

    fn flush(&self) {
        self.tracer.flush();
    }
}

fn demoted<'a>(record: &log::Record<'a>, text: Arguments<'a>) -> log::Record<'a> {
    log::Record::builder()
        .level(log::Level::Debug)
        .args(text)
        .target(record.target())
        .module_path(record.module_path())
        .file(record.file())
        .line(record.line())
        .build()
}

/// What a record says where it is a complaint about one client, without the client's address.
fn complaint(record: &log::Record<'_>) -> Option<String> {
    if record.level() > log::Level::Warn || !record.target().starts_with("pingora") {
        return None;
    }
    let text = record.args().to_string();
    let is_noise = CLIENT_NOISE
        .iter()
        .any(|(target, start)| record.target().starts_with(target) && text.starts_with(start));
    is_noise.then(|| match text.strip_prefix(FROM_CLIENT) {
        Some(rest) => {
            let why = rest.split_once(": ").map_or("", |(_, why)| why);
            format!("{HANDSHAKE}: {why}")
        }
        None => text,
    })
}

/// How Pingora begins the one complaint that names an address, and how it begins without.
const FROM_CLIENT: &str = "Downstream handshake error from ";
const HANDSHAKE: &str = "Downstream handshake error";

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_log::LogTracer;
    use tracing_log::log::{self, Level, Log as _};
    use tracing_subscriber::fmt;

    use super::{Bridge, filter};
    use crate::config::{Log, LogFormat};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, access: bool, write: impl FnOnce(&Bridge)) -> String {
        let config = Log {
            level: level.to_owned(),
            format: LogFormat::Text,
            access,
            addresses: false,
        };
        let page = Page::default();
        let sink = page.clone();
        let lines = fmt()
            .with_env_filter(filter(&config).unwrap())
            .with_writer(move || sink.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        let bridge = Bridge {
            tracer: LogTracer::new(),
        };
        tracing::subscriber::with_default(lines, || write(&bridge));
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn pingora(bridge: &Bridge, target: &str, text: &str) {
        let line = format_args!("{text}").to_string();
        bridge.log(
            &log::Record::builder()
                .level(Level::Error)
                .target(target)
                .args(format_args!("{line}"))
                .build(),
        );
    }

    #[test]
    fn access_lines_appear_only_when_asked_for() {
        let write = |_: &Bridge| tracing::info!(target: "access", status = 200, "request");
        assert_eq!(logged("info", false, write), "");
        assert_eq!(logged("trace", false, write), "");
        assert_eq!(
            logged("error", true, write),
            " INFO access: request status=200\n"
        );
    }

    #[test]
    fn complaints_about_one_client_are_no_errors() {
        for (target, text) in [
            (
                "pingora_core::services::listening",
                "Downstream handshake timeout",
            ),
            (
                "pingora_core::apps::http_app",
                "HTTP server fails to read from downstream: x",
            ),
            (
                "pingora_proxy::proxy_cache",
                "Fail to serve cache: Downstream ConnectionClosed",
            ),
        ] {
            assert_eq!(
                logged("info", false, |bridge| pingora(bridge, target, text)),
                ""
            );
            let all = logged("debug", false, |bridge| pingora(bridge, target, text));
            assert_eq!(all, format!("DEBUG {target}: {text}\n"));
        }
    }

    #[test]
    fn no_line_names_the_address_of_a_client() {
        let target = "pingora_core::services::listening";
        for (address, why) in [
            ("203.0.113.7:4711", "x: y"),
            ("[2001:db8::7]:4711", "reset"),
        ] {
            let text = format!("Downstream handshake error from {address}: {why}");
            let all = logged("trace", false, |bridge| pingora(bridge, target, &text));
            assert_eq!(
                all,
                format!("DEBUG {target}: Downstream handshake error: {why}\n")
            );
        }
    }

    #[test]
    fn other_lines_of_pingora_keep_their_level_and_target() {
        for (target, text) in [
            (
                "pingora_core::services::listening",
                "Accept() failed EMFILE",
            ),
            ("pingora_proxy", "Fail to proxy: Upstream ConnectRefused"),
            ("other", "Downstream handshake timeout"),
        ] {
            let all = logged("info", false, |bridge| pingora(bridge, target, text));
            assert_eq!(all, format!("ERROR {target}: {text}\n"));
        }
    }
}
