//! `weir purge`: sends a purge to a node's admin listener and shows the receipt.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use http::StatusCode;

use crate::cli::{refuse, said};
use crate::config::Config;
use crate::limits;
use crate::purge::answer::{Answer, ShieldAnswer};
use crate::purge::command::{Command, Target};
use crate::purge::log::Receipt;
use crate::purge::order::Mode;
use crate::purge::remote::{Error, Remote};

/// The node understood the command and found nothing that it names (`EX_DATAERR`).
const REFUSED: u8 = 65;

/// What answered is no node, or this program is broken (`EX_SOFTWARE`).
const BROKEN: u8 = 70;

/// Not done everywhere: repeat it (`EX_TEMPFAIL`).
const REPEAT: u8 = 75;

/// The token is missing or wrong (`EX_NOPERM`).
const TOKEN: u8 = 77;

/// What the command line of `weir purge` says.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).args(["url", "prefix", "site"])))]
pub(super) struct Line {
    /// The configuration of the node: where its admin listener is, and the token.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Another admin listener, such as <http://10.0.0.2:9180>, with the same token.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// One object, as players ask for it: all its variants.
    #[arg(long)]
    url: Option<String>,
    /// Every object whose URL begins so; a directory ends with a slash.
    #[arg(long, value_name = "URL")]
    prefix: Option<String>,
    /// Every object of the site to which its origin gave this tag; may be repeated.
    #[arg(long, requires = "site", value_name = "NAME", conflicts_with_all = ["url", "prefix"])]
    tag: Vec<String>,
    /// The site of the tags, by its name; without a tag everything of it.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Confirm with the origin before further use, in place of forgetting.
    #[arg(long)]
    soft: bool,
}

impl Line {
    /// What is to be purged; `None` for what the parser lets through by mistake.
    fn command(&self) -> Option<Command> {
        let (url, prefix, site) = (self.url.clone(), self.prefix.clone(), self.site.clone());
        let target = match (url, prefix, site) {
            (Some(url), None, None) => Target::Url(url),
            (None, Some(prefix), None) => Target::Prefix(prefix),
            (None, None, Some(site)) if self.tag.is_empty() => Target::Site(site),
            (None, None, Some(site)) => Target::Tags {
                site,
                tags: self.tag.clone(),
            },
            _ => return None,
        };
        let mode = if self.soft { Mode::Soft } else { Mode::Hard };
        Some(Command { target, mode })
    }
}

/// Sends the purge.
pub(super) fn run(line: &Line) -> ExitCode {
    let config = match Config::load(&line.config) {
        Ok(config) => config,
        Err(error) => return refuse(&error.to_string()),
    };
    let Some(command) = line.command() else {
        let text = "expected --url, --prefix, --site, or --tag with --site";
        return said(writeln!(io::stderr(), "{text}"), super::USAGE);
    };
    let url = line.admin.clone();
    let url = url.unwrap_or_else(|| listener(config.listen.admin));
    let token = config.server.admin_token.as_ref();
    let remote = Remote::new(&url, token, limits::PURGE_ANSWER_WAIT);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return said(writeln!(io::stderr(), "{error}"), BROKEN),
    };
    match runtime.block_on(remote.purge(&command)) {
        Ok((status, answer)) => {
            let text = told(&command, &answer);
            match code(status, &answer) {
                0 => said(write!(io::stdout(), "{text}"), 0),
                code => said(write!(io::stderr(), "{text}"), code),
            }
        }
        Err(error) => said(writeln!(io::stderr(), "{url}: {error}"), code_of(&error)),
    }
}

/// Where a node of this machine is asked whose admin listener has this address.
fn listener(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    format!("http://{address}")
}

fn code(status: StatusCode, answer: &Answer) -> u8 {
    match status == StatusCode::OK && answer.is_confirmed() {
        true => 0,
        false => REPEAT,
    }
}

fn code_of(error: &Error) -> u8 {
    match error {
        Error::Unreachable(_) | Error::Late(_) => REPEAT,
        Error::Url => super::USAGE,
        Error::Refused { status, .. } => match *status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => TOKEN,
            StatusCode::REQUEST_TIMEOUT => REPEAT,
            status if status.is_client_error() => REFUSED,
            _ => BROKEN,
        },
        Error::Unsendable(_) | Error::Unreadable { .. } => BROKEN,
    }
}

/// An answer in words.
fn told(command: &Command, answer: &Answer) -> String {
    let mut text = String::new();
    let verdict = match (&answer.receipt, answer.is_confirmed()) {
        (None, _) => "NOT PURGED",
        (Some(_), false) => "PURGED IN PART, repeat it",
        (Some(_), true) => "purged",
    };
    line(&mut text, 0, format_args!("{verdict}: {command}"));
    tell(&mut text, 1, answer);
    text
}

fn tell(text: &mut String, depth: usize, answer: &Answer) {
    if let Some(error) = &answer.error {
        line(text, depth, format_args!("error: {error}"));
    }
    if let Some(receipt) = &answer.receipt {
        tell_receipt(text, depth, receipt);
    }
    for ShieldAnswer {
        shield,
        error,
        answer,
    } in &answer.shields
    {
        let state = error.as_deref().unwrap_or("has answered");
        line(text, depth, format_args!("shield {shield}: {state}"));
        if let Some(answer) = answer {
            tell(text, depth + 1, answer);
        }
    }
}

fn tell_receipt(text: &mut String, depth: usize, receipt: &Receipt) {
    line(text, depth, format_args!("position {}", receipt.position));
    for node in &receipt.confirmed {
        let (node, position) = (&node.node, node.position);
        line(
            text,
            depth,
            format_args!("confirmed    {node} at {position}"),
        );
    }
    for node in &receipt.unconfirmed {
        let node = if node == "*" { "all other nodes" } else { node };
        line(text, depth, format_args!("UNCONFIRMED  {node}"));
    }
    if receipt.local_only {
        line(
            text,
            depth,
            format_args!("in no shared log: this node alone"),
        );
    } else {
        let replicas = receipt.replicas;
        line(
            text,
            depth,
            format_args!("replicas of Redis that have it: {replicas}"),
        );
    }
}

fn line(text: &mut String, depth: usize, words: std::fmt::Arguments<'_>) {
    let indent = 2 * depth;
    text.push_str(&format!("{:indent$}{words}\n", ""));
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::purge::Position;
    use crate::purge::log::Confirmed;

    #[derive(Debug, Parser)]
    struct Whole {
        #[command(flatten)]
        line: Line,
    }

    fn parsed(words: &str) -> Option<Command> {
        let words = format!("purge --config f {words}");
        let whole = Whole::try_parse_from(words.split_whitespace()).ok()?;
        whole.line.command()
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn the_command_line_names_exactly_one_thing() {
        let (u, vod) = (text("http://h/a"), text("vod"));
        let tags = |tags: &[&str]| Target::Tags {
            site: text("vod"),
            tags: tags.iter().map(ToString::to_string).collect(),
        };
        for (words, target, mode) in [
            ("--url http://h/a", Target::Url(u.clone()), Mode::Hard),
            ("--prefix http://h/a --soft", Target::Prefix(u), Mode::Soft),
            ("--site vod", Target::Site(vod), Mode::Hard),
            ("--tag a --site vod", tags(&["a"]), Mode::Hard),
            (
                "--site vod --tag a --tag b --soft",
                tags(&["a", "b"]),
                Mode::Soft,
            ),
        ] {
            assert_eq!(parsed(words), Some(Command { target, mode }), "{words}");
        }
        for words in [
            "",
            "--soft",
            "--tag a",
            "--url u --site s",
            "--url u --prefix p",
            "--url u --tag t",
            "--prefix p --tag t --site s",
        ] {
            assert_eq!(parsed(words), None, "{words}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (address, url) in [
            ("0.0.0.0:9180", "http://127.0.0.1:9180"),
            ("[::]:9180", "http://[::1]:9180"),
            ("10.0.0.1:80", "http://10.0.0.1:80"),
        ] {
            assert_eq!(listener(address.parse().unwrap()), url);
        }
    }

    fn answer(unconfirmed: &[&str], shields: Vec<ShieldAnswer>) -> Answer {
        let position = Position {
            millis: 7,
            sequence: 0,
        };
        Answer {
            error: None,
            receipt: Some(Receipt {
                position,
                confirmed: vec![Confirmed {
                    node: text("a"),
                    position,
                }],
                unconfirmed: unconfirmed.iter().map(ToString::to_string).collect(),
                local_only: false,
                replicas: 1,
            }),
            shields,
        }
    }

    #[test]
    fn only_a_purge_that_everyone_confirmed_exits_with_zero() {
        let down = ShieldAnswer {
            shield: text("http://s"),
            error: Some(text("down")),
            answer: None,
        };
        for (status, answer, expected) in [
            (200, answer(&[], Vec::new()), 0),
            (202, answer(&["b"], Vec::new()), REPEAT),
            (200, answer(&["b"], Vec::new()), REPEAT),
            (202, answer(&[], Vec::new()), REPEAT),
            (
                502,
                Answer {
                    shields: vec![down],
                    ..Answer::default()
                },
                REPEAT,
            ),
            (503, answer(&["*"], Vec::new()), REPEAT),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(code(status, &answer), expected, "{status}");
        }
        let refused = |status| Error::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            reason: String::new(),
        };
        for (error, expected) in [
            (refused(400), REFUSED),
            (refused(401), TOKEN),
            (refused(403), TOKEN),
            (refused(408), REPEAT),
            (refused(500), BROKEN),
            (Error::Late(limits::PURGE_ANSWER_WAIT), REPEAT),
            (Error::Url, crate::cli::USAGE),
        ] {
            assert_eq!(code_of(&error), expected, "{error}");
        }
    }

    #[test]
    fn a_receipt_names_who_confirmed_and_who_did_not() {
        let command = Command {
            target: Target::Site(text("vod")),
            mode: Mode::Soft,
        };
        let shield = ShieldAnswer {
            shield: text("http://s"),
            error: None,
            answer: Some(answer(&[], Vec::new())),
        };
        let said = told(&command, &answer(&["b", "*"], vec![shield]));
        let expected = "\
PURGED IN PART, repeat it: everything of site vod, softly
  position 7-0
  confirmed    a at 7-0
  UNCONFIRMED  b
  UNCONFIRMED  all other nodes
  replicas of Redis that have it: 1
  shield http://s: has answered
    position 7-0
    confirmed    a at 7-0
    replicas of Redis that have it: 1
";
        assert_eq!(said, expected);
        assert!(told(&command, &answer(&[], Vec::new())).starts_with("purged: "));
        let nothing = Answer {
            error: Some(text("why")),
            ..Answer::default()
        };
        let said = told(&command, &nothing);
        assert!(
            said.starts_with("NOT PURGED: ") && said.contains("error: why"),
            "{said}"
        );
    }
}
