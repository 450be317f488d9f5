//! The demonstration: a whole node on embedded defaults, with a title to play and a Redis of its
//! own, so that a newcomer sees video and cache at work before reading about either.
//!
//! It is the ordinary node: the same configuration text an operator would write, given to the same
//! parser and the same server. Nothing of it outlives the process.

mod redis;
mod title;

use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use tempfile::TempDir;

use self::redis::Redis;
use crate::config::{self, Config};
use crate::{server, telemetry};

/// Runs the demonstration on `port` of the loopback address until it is interrupted.
///
/// Port 0 stands for any free one. The admin listener is found 1,100 above it.
#[must_use]
pub fn run(port: u16) -> ExitCode {
    match Demo::prepare(port).and_then(Demo::serve) {
        Ok(code) => code,
        Err(error) => {
            say(io::stderr(), &error);
            ExitCode::FAILURE
        }
    }
}

/// Why there is no demonstration.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "cannot listen on {address}: {source}\n\
         another program may hold the port; `weir demo --port <PORT>` takes another"
    )]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("cannot unpack the sample title: {0}")]
    Unpack(#[source] io::Error),
    #[error("the built-in configuration is refused:\n{0}")]
    Config(#[from] config::Error),
    #[error("cannot write logs: {0}")]
    Telemetry(String),
}

/// What stands before the node starts. The server is declared first and so dropped first: it works
/// in the directory that goes with the title.
struct Demo {
    redis: Result<Redis, redis::Error>,
    title: TempDir,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Demo {
    fn prepare(port: u16) -> Result<Self, Error> {
        let http = free(port)?;
        let admin = free(admin_port(http.port()))?;
        let title = tempfile::Builder::new()
            .prefix("weir-demo-")
            .tempdir()
            .map_err(Error::Unpack)?;
        title::unpack(title.path()).map_err(Error::Unpack)?;
        Ok(Self {
            redis: Redis::start(title.path()),
            title,
            http,
            admin,
        })
    }

    fn serve(self) -> Result<ExitCode, Error> {
        let text = self.configuration();
        let config = Config::parse(&text, self.title.path())?;
        telemetry::start(&config.log).map_err(|error| Error::Telemetry(error.to_string()))?;
        say(io::stdout(), &self);
        Ok(server::run(config))
    }

    fn configuration(&self) -> String {
        let redis = self.redis.as_ref().map_or_else(
            |_| String::new(),
            |redis| format!("[cache.redis]\nurls = [\"{}\"]\n", redis.url()),
        );
        // A literal string: a directory's name may hold a backslash, and never holds a quote here.
        format!(
            "[listen]\nhttp = [\"{http}\"]\nadmin = \"{admin}\"\n\
             [log]\nlevel = \"warn\"\naccess = false\n\
             [cache.memory]\nsize = \"256MiB\"\n\
             {redis}\
             [[site]]\nhosts = [\"*\"]\norigin = 'file://{title}'\n\
             [site.paths]\nstream = \"{{id}}.mp4\"\n\
             hls = \"{{id}}/master.m3u8\"\ndash = \"{{id}}/manifest.mpd\"\n",
            http = self.http,
            admin = self.admin,
            title = self.title.path().display(),
        )
    }
}

impl fmt::Display for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (http, admin) = (self.http, self.admin);
        writeln!(f, "Weir serves its sample title.\n")?;
        writeln!(f, "  player page  http://{http}/index.html")?;
        writeln!(f, "  HLS          http://{http}/adaptive_stream/sample")?;
        writeln!(f, "  DASH         http://{http}/adaptive_stream/sample.mpd")?;
        writeln!(f, "  MP4          http://{http}/stream/sample")?;
        writeln!(f, "  metrics      http://{admin}/metrics")?;
        writeln!(f, "  origin       {}", self.title.path().display())?;
        match &self.redis {
            Ok(redis) => writeln!(f, "  tiers        memory, then Redis at {}", redis.url())?,
            Err(error) => writeln!(f, "  tiers        memory only: {error}")?,
        }
        write!(f, "\nCtrl-C ends it.")
    }
}

/// An address that can be listened on now, so that a taken port is said plainly and at once.
fn free(port: u16) -> Result<SocketAddr, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .and_then(|listener| listener.local_addr())
        .map_err(|source| Error::Listen { address, source })
}

/// 9180 beside 8080; below it where there is no such port above.
fn admin_port(port: u16) -> u16 {
    port.checked_add(ADMIN_DISTANCE)
        .unwrap_or_else(|| port.saturating_sub(ADMIN_DISTANCE))
}

/// Whoever reads may be gone; the node serves all the same.
fn say(mut stream: impl Write, words: &impl fmt::Display) {
    if let Err(error) = writeln!(stream, "{words}") {
        tracing::debug!(error = %error, "nobody reads");
    }
}

/// From the port of the node to that of its admin listener.
const ADMIN_DISTANCE: u16 = 1100;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::{Demo, Error, admin_port};
    use crate::config::{Config, Store};

    #[test]
    fn the_configuration_is_one_an_operator_could_have_written() {
        let demo = Demo::prepare(0).unwrap();
        let config = Config::parse(&demo.configuration(), demo.title.path()).unwrap();
        assert_eq!(config.listen.http, [demo.http]);
        assert_eq!(config.listen.admin, demo.admin);
        assert_eq!(config.cache.redis.is_some(), demo.redis.is_ok());
        let site = &config.sites[0];
        assert!(matches!(&site.origin.store, Store::File(root) if root == demo.title.path()));
        assert!(demo.title.path().join("sample/master.m3u8").is_file());
    }

    #[test]
    fn the_words_name_every_url() {
        let demo = Demo::prepare(0).unwrap();
        let words = demo.to_string();
        for path in [
            "/index.html",
            "/adaptive_stream/sample.mpd",
            "/stream/sample",
        ] {
            assert!(
                words.contains(&format!("http://{}{path}", demo.http)),
                "{words}"
            );
        }
        assert!(words.contains(&format!("http://{}/metrics", demo.admin)));
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = holder.local_addr().unwrap();
        let error = Demo::prepare(address.port()).err().unwrap();
        assert!(matches!(error, Error::Listen { address: named, .. } if named == address));
        assert!(error.to_string().contains("--port"));
    }

    #[test]
    fn the_directory_goes_with_the_demonstration() {
        let demo = Demo::prepare(0).unwrap();
        let directory = demo.title.path().to_owned();
        drop(demo);
        assert!(!directory.exists());
    }

    #[test]
    fn the_admin_port_stays_a_port() {
        for (port, expected) in [(8080, 9180), (64_435, 65_535), (65_535, 64_435)] {
            assert_eq!(admin_port(port), expected);
        }
    }
}
