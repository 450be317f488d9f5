//! Logs: one stream to standard error, as text or JSON, filtered by target and level.
//!
//! Pingora's lines join ours. Those by which it complains of one client (a handshake broken off, a
//! viewer who left) are demoted to debug: on an edge they say nothing, many times a second, and an
//! operator who reads errors must be able to believe them.

use tracing_log::LogTracer;
use tracing_log::log;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Target of access lines.
pub const ACCESS: &str = "access";

/// Beginnings of Pingora's complaints about one client, by target.
const CLIENT_NOISE: [(&str, &str); 8] = [
    ("pingora_core::services::listening", "Downstream handshake"),
    ("pingora_core::apps", "H2 handshake error"),
    ("pingora_core::apps::http_app", "HTTP server fails to read from downstream"),
    ("pingora_proxy", "Fail to proxy:"),
    ("pingora_proxy", "Fail to filter request:"),
    ("pingora_proxy", "failed to send error response to downstream"),
    ("pingora_proxy", "Error finish sending body to downstream"),
    ("pingora_proxy", "Error during finish_hit_handler"),
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
    let level = filter.max_level_hint().unwrap_or(tracing::level_filters::LevelFilter::TRACE);
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => lines.with_ansi(false).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(|_| Error::Twice)?;
    let bridge = Bridge { tracer: LogTracer::new() };
    log::set_boxed_logger(Box::new(bridge)).map_err(|_| Error::Twice)?;
    log::set_max_level(tracing_log::AsLog::as_log(&level));
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
        if is_client_noise(record) {
            self.tracer.log(&demoted(record));
        } else {
            self.tracer.log(record);
        }
    }

    fn flush(&self) {
        self.tracer.flush();
    }
}

fn demoted<'a>(record: &log::Record<'a>) -> log::Record<'a> {
    log::Record::builder()
        .level(log::Level::Debug)
        .args(*record.args())
        .target(record.target())
        .module_path(record.module_path())
        .file(record.file())
        .line(record.line())
        .build()
}

fn is_client_noise(record: &log::Record<'_>) -> bool {
    if record.level() > log::Level::Warn || !record.target().starts_with("pingora") {
        return false;
    }
    let text = record.args().to_string();
    CLIENT_NOISE
        .iter()
        .any(|(target, start)| record.target().starts_with(target) && text.starts_with(start))
}
