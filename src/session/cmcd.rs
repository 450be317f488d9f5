//! What players say of themselves: CMCD of version 1 (CTA-5004) and 2 (CTA-5004-A). Pure.
//!
//! A payload is split at its commas first and each member parsed alone, since players send what a
//! dictionary of RFC 9651 must not hold: one bad member costs that member. A value may be bare
//! (version 1) or a list with one value for each kind of object (version 2). What is out of bounds
//! is unsaid.

use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderName;
use percent_encoding::percent_decode_str;
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

use crate::limits;

/// What one request or event says; absent is unsaid.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// `sid`, at most 64 characters.
    pub session: Option<String>,
    /// `mtp`: what the player thinks of its throughput, in bit/s.
    pub throughput: Option<u64>,
    /// `br`: the rung of the object asked for, in bit/s.
    pub bitrate: Option<u64>,
    /// `bl`: the buffer.
    pub buffer: Option<Duration>,
    /// `d`: duration of the object.
    pub duration: Option<Duration>,
    /// `bs`: the buffer ran dry since the last report.
    pub starved: bool,
    /// `bsd`: for how long it was dry since the last report.
    pub stalled: Option<Duration>,
    /// `msd`: from the wish to play to the first picture, told once.
    pub start_delay: Option<Duration>,
    /// `su`: at start or after a seek or a stall.
    pub startup: bool,
    /// `sta`: what the player does.
    pub state: Option<State>,
    /// `ot`: kind of object, by its letter or word.
    pub object_type: Option<String>,
    /// `nor` with its range: what is asked for next, as written (percent-decoded once).
    pub next: Vec<Next>,
    /// `pr` in thousandths: 1000 is real time, 0 is paused.
    pub rate: Option<u32>,
}

/// An object that a player will ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Relative URI.
    pub uri: String,
    /// `nrr` or `;r=`: bytes of it, as `first-last`.
    pub range: Option<String>,
}

/// What a player does (`sta`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It gathers its first buffer.
    Starting,
    /// It plays.
    Playing,
    /// It goes to another place.
    Seeking,
    /// It waits with a dry buffer.
    Rebuffering,
    /// Its viewer paused it.
    Paused,
    /// It has ended, failed or been left.
    Over,
}

impl Report {
    /// Whether the object asked for is, or may be, picture or sound.
    #[must_use]
    pub fn is_media(&self) -> bool {
        let kind = self.object_type.as_deref();
        kind.is_none_or(|kind| matches!(kind, "v" | "a" | "av"))
    }

    /// Whether the object asked for is, or may be, picture.
    #[must_use]
    pub fn is_picture(&self) -> bool {
        let kind = self.object_type.as_deref();
        kind.is_none_or(|kind| matches!(kind, "v" | "av"))
    }
}

/// The fields of header mode.
const FIELDS: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-session"),
    HeaderName::from_static("cmcd-status"),
];

/// Reads what a request says, in its query or its fields; `None` where it says nothing.
///
/// `query` is as it was sent, without `?`. A query that says something wins over fields.
#[must_use]
pub fn of_request(query: Option<&str>, headers: &HeaderMap) -> Option<Report> {
    query.and_then(of_query).or_else(|| of_fields(headers))
}

fn of_query(query: &str) -> Option<Report> {
    let encoded = query
        .split('&')
        .find_map(|part| part.strip_prefix("CMCD="))?;
    if encoded.len() > limits::CMCD_BYTES_MAX {
        return None;
    }
    let text = percent_decode_str(encoded).decode_utf8().ok()?;
    read(&text)
}

fn of_fields(headers: &HeaderMap) -> Option<Report> {
    let mut text = String::new();
    for field in &FIELDS {
        for line in headers.get_all(field) {
            let Ok(line) = line.to_str() else { continue };
            if text.len() + line.len() > limits::CMCD_BYTES_MAX {
                return None;
            }
            text.push_str(line);
            text.push(',');
        }
    }
    read(&text)
}

/// Reads one payload.
fn read(text: &str) -> Option<Report> {
    let mut report = Report::default();
    for member in members(text).filter_map(Member::parse) {
        member.tell(&mut report);
    }
    (report != Report::default()).then_some(report)
}

/// Splits a payload at the commas that stand in no string and in no list.
fn members(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped, mut depth) = (false, false, 0_u32);
    text.split(move |c: char| {
        if escaped {
            escaped = false;
            return false;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' => return !quoted && depth == 0,
            _ => {}
        }
        false
    })
    .map(str::trim)
    .filter(|member| !member.is_empty())
    .take(limits::CMCD_MEMBERS_MAX)
}

/// One key with its value.
struct Member {
    key: String,
    items: Vec<Item>,
}

impl Member {
    fn parse(text: &str) -> Option<Self> {
        let members: Dictionary = Parser::new(text).parse().ok()?;
        let (key, entry) = members.into_iter().next()?;
        let items = match entry {
            ListEntry::Item(item) => vec![item],
            ListEntry::InnerList(list) => list.items,
        };
        let key = key.as_str().to_owned();
        Some(Self { key, items })
    }

    fn tell(&self, report: &mut Report) {
        match self.key.as_str() {
            "sid" => report.session = self.text().filter(|sid| is_session(sid)).map(str::to_owned),
            "mtp" => report.throughput = self.kilobits(),
            "br" => report.bitrate = self.kilobits(),
            "bl" => report.buffer = self.millis(),
            "d" => report.duration = self.millis(),
            "bs" => report.starved = self.flag(),
            "bsd" => report.stalled = self.millis(),
            "msd" => report.start_delay = self.millis(),
            "su" => report.startup = self.flag(),
            "sta" => report.state = self.text().and_then(state),
            "ot" => {
                let kind = self.text().filter(|kind| kind.len() <= KIND_BYTES_MAX);
                report.object_type = kind.map(str::to_owned);
            }
            "nor" => report.next = self.next(report.next.first()),
            "nrr" => self.range(report),
            "pr" => {
                let rate = self.items.first().and_then(thousandths);
                report.rate = rate.and_then(|rate| u32::try_from(rate).ok());
            }
            _ => {}
        }
    }

    /// The value that speaks of the picture where there are several, else the first.
    fn item(&self) -> Option<&Item> {
        let of_picture = |item: &&Item| {
            let mut names = item.params.keys();
            names.any(|name| matches!(name.as_str(), "v" | "av"))
        };
        self.items.iter().find(of_picture).or(self.items.first())
    }

    fn whole(&self) -> Option<u64> {
        let thousandths = thousandths(self.item()?)?;
        u64::try_from(thousandths / 1000).ok()
    }

    fn kilobits(&self) -> Option<u64> {
        let kilobits = self.whole()?;
        (kilobits > 0 && kilobits <= KILOBITS_MAX).then_some(kilobits * 1000)
    }

    fn millis(&self) -> Option<Duration> {
        let millis = self.whole()?;
        (millis <= MILLIS_MAX).then_some(Duration::from_millis(millis))
    }

    fn flag(&self) -> bool {
        let item = self.items.first().map(|item| &item.bare_item);
        matches!(item, Some(BareItem::Boolean(true)))
    }

    fn text(&self) -> Option<&str> {
        self.items.first().and_then(|item| text(&item.bare_item))
    }

    /// The objects of `nor`; a range that `nrr` gave before it stays.
    fn next(&self, before: Option<&Next>) -> Vec<Next> {
        let ranged = before.and_then(|next| next.range.clone());
        let next = |item: &Item| {
            let uri = percent_decode_str(text(&item.bare_item)?)
                .decode_utf8()
                .ok()?;
            let own = item.params.get("r").and_then(text);
            let range = own.map(str::to_owned).or_else(|| ranged.clone());
            (!uri.is_empty()).then(|| Next {
                uri: uri.into_owned(),
                range: range.filter(|range| is_range(range)),
            })
        };
        let next = self.items.iter().filter_map(next);
        next.take(limits::CMCD_NEXT_MAX).collect()
    }

    /// The range of `nrr`: of the object of `nor`, or of the one asked for now.
    fn range(&self, report: &mut Report) {
        let Some(range) = self.text().filter(|range| is_range(range)) else {
            return;
        };
        let range = Some(range.to_owned());
        match report.next.first_mut() {
            Some(next) => next.range = range,
            None => report.next.push(Next {
                uri: String::new(),
                range,
            }),
        }
    }
}

/// 100 Gbit/s: more is no bit rate.
const KILOBITS_MAX: u64 = 100_000_000;
/// A day: more is neither a buffer nor a delay.
const MILLIS_MAX: u64 = 24 * 3_600_000;
/// Longest `ot` there is, with room for those to come.
const KIND_BYTES_MAX: usize = 8;
/// Longest `sid` (CTA-5004 table 1).
const SESSION_CHARS_MAX: usize = 64;
/// `first-last` of two numbers of 64 bits.
const RANGE_CHARS_MAX: usize = 41;

fn is_session(sid: &str) -> bool {
    !sid.is_empty() && sid.chars().count() <= SESSION_CHARS_MAX
}

/// Whether a text is a byte range as CMCD writes it: `12-34`, `12-`, `-34`.
fn is_range(range: &str) -> bool {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let halves = range.split_once('-');
    range.len() <= RANGE_CHARS_MAX
        && halves.is_some_and(|(a, b)| number(a) && number(b) && !(a.is_empty() && b.is_empty()))
}

fn thousandths(item: &Item) -> Option<i64> {
    match item.bare_item {
        BareItem::Integer(number) => i64::from(number).checked_mul(1000),
        BareItem::Decimal(number) => Some(i64::from(number.as_integer_scaled_1000())),
        _ => None,
    }
}

fn text(item: &BareItem) -> Option<&str> {
    match item {
        BareItem::String(text) => Some(text.as_str()),
        BareItem::Token(text) => Some(text.as_str()),
        BareItem::DisplayString(text) => Some(text.as_str()),
        _ => None,
    }
}

fn state(letter: &str) -> Option<State> {
    Some(match letter {
        "s" | "d" => State::Starting,
        "p" => State::Playing,
        "k" => State::Seeking,
        "r" | "w" => State::Rebuffering,
        "a" => State::Paused,
        "e" | "f" | "q" => State::Over,
        _ => return None,
    })
}

/// What a player tells outside a request (version 2, event mode).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `e`: what happened, by its letters.
    pub kind: String,
    /// What the player says with it.
    pub report: Report,
}

/// Reads the events of a posted body (`application/cmcd`), one a line; a line that says nothing is
/// skipped, and so are those beyond the bounds.
#[must_use]
pub fn events(body: &[u8]) -> Vec<Event> {
    let lines = body.split(|byte| *byte == b'\n');
    let event = |line: &[u8]| {
        let line = std::str::from_utf8(line).ok()?;
        let report = read(line)?;
        let kind = members(line).find_map(|member| member.strip_prefix("e="))?;
        let known = kind.len() <= KIND_BYTES_MAX && kind.bytes().all(|b| b.is_ascii_alphanumeric());
        known.then(|| Event {
            kind: kind.to_owned(),
            report,
        })
    };
    lines
        .filter(|line| line.len() <= limits::CMCD_BYTES_MAX)
        .take(limits::CMCD_EVENTS_MAX)
        .filter_map(event)
        .collect()
}

#[cfg(test)]
mod tests;
