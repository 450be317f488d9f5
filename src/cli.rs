//! The command line: `run`, `check`, `purge`, `demo`, `--version`.
//!
//! Exit codes are those of sysexits.h, so that a service manager can tell a wrong command (64) and
//! a wrong configuration (78), which no restart mends, from a failure at work (any other). Those
//! of `weir purge`:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | every node, shields' included, has confirmed |
//! | 64 | the command line is wrong |
//! | 65 | the node refuses it: it serves nothing of that name |
//! | 70 | what answered is no node that this release understands |
//! | 75 | not confirmed by every node, or the node, a shield or Redis cannot be reached: repeat |
//! | 77 | the token is missing or wrong |
//! | 78 | the configuration is wrong |

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Topology};
use crate::{demo, server, telemetry};

mod purge;

/// The command is wrong (`EX_USAGE`).
const USAGE: u8 = 64;

/// The configuration is wrong (`EX_CONFIG`).
const CONFIG: u8 = 78;

/// A video edge node.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, arg_required_else_help = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node until it is told to end.
    Run {
        /// The configuration, in TOML.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Read a configuration and name each error in it.
    Check {
        /// The configuration, in TOML.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Make nodes forget what they hold of a URL, a prefix, a tag or a site, or confirm it again.
    Purge(purge::Line),
    /// Serve the bundled sample title on this machine.
    Demo {
        /// Port of the loopback address.
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
}

/// Does what the command line says.
#[must_use]
pub fn run() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            return said(error.print(), code);
        }
    };
    match line.command {
        Command::Run { config } => run_node(&config),
        Command::Check { config } => check(&config),
        Command::Purge(line) => purge::run(&line),
        Command::Demo { port } => demo::run(port),
    }
}

fn run_node(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return refuse(&error.to_string()),
    };
    if let Err(error) = telemetry::start(&config.log) {
        return refuse(&error.to_string());
    }
    server::run(config)
}

fn check(path: &Path) -> ExitCode {
    match Config::load(path) {
        Ok(config) => said(writeln!(io::stdout(), "ok: {}", summary(&config)), 0),
        Err(error) => refuse(&error.to_string()),
    }
}

fn refuse(reason: &str) -> ExitCode {
    said(writeln!(io::stderr(), "{reason}"), CONFIG)
}

/// Whether the words reached somebody changes no exit code: a closed pipe is no wrong command.
fn said(_written: io::Result<()>, code: u8) -> ExitCode {
    ExitCode::from(code)
}

/// Says in a line what a node of this configuration would do.
fn summary(config: &Config) -> String {
    let redis = match config.cache.redis.as_ref().map(|redis| &redis.topology) {
        None => "none".to_owned(),
        Some(Topology::Single(_)) => "single".to_owned(),
        Some(Topology::Cluster(urls)) => format!("cluster by {} nodes", urls.len()),
        Some(Topology::Sentinel { sentinels, .. }) => format!("by {} sentinels", sentinels.len()),
    };
    format!(
        "node {}, listeners {}, sites {}, memory {} MiB, redis {redis}",
        config.server.node,
        config.listen.http.len() + config.listen.https.len(),
        config.sites.len(),
        config.cache.memory_bytes >> 20,
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{CommandFactory, Parser};

    use super::{Command, Line, summary};
    use crate::config::Config;

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn the_demo_listens_on_8080_unless_told_otherwise() {
        for (words, expected) in [
            (vec!["weir", "demo"], 8080),
            (vec!["weir", "demo", "--port", "9"], 9),
        ] {
            let line = Line::try_parse_from(words).unwrap();
            assert!(matches!(line.command, Command::Demo { port } if port == expected));
        }
    }

    #[test]
    fn a_configuration_is_summed_up_in_a_line() {
        let text = "server.node = \"a\"\n[[site]]\nhosts = [\"*\"]\norigin = \"s3://vod\"\n";
        let config = Config::parse(text, Path::new("/")).unwrap();
        assert_eq!(
            summary(&config),
            "node a, listeners 1, sites 1, memory 1024 MiB, redis none"
        );
    }
}
