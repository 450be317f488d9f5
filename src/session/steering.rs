//! The Content Steering document of a site, and what players report with asking for it. Pure.
//!
//! HLS (draft-pantos-hls-rfc8216bis section 7) and DASH (ETSI TS 103 998) have one document under
//! two media types. The own pathway comes first while this node is well, then the healthy ones of
//! other `PoP`s as configured, then those that are down: a player may still find what a check does
//! not. Under duress this node comes after the healthy ones, and answers are kept for a short time.
//!
//! Who is sent away goes in turns ([`MOVES_PERCENT`] of those who ask), so that the next `PoP` does
//! not get everybody at once; who was sent away comes back the same way.
//!
//! A manifest that names no pathways has one without a name, `.` in HLS. Other `PoP`s reach players
//! as clones of it: the same paths at another host. Players leave a clone out whose name the
//! manifest has already.

use std::time::Duration;

use serde::Serialize;

use crate::config::adapt::Steering;
use crate::life::duress::Load;

/// Share of those who ask that may change their pathway by one answer.
pub const MOVES_PERCENT: u8 = 25;

/// How long an answer is kept while players are to move.
pub const TTL_MOVING: Duration = Duration::from_secs(10);

/// The query parameter by which the document is told what the manifest calls this `PoP`.
const BASE: &str = "base";

/// What HLS calls a pathway without a name.
const UNNAMED: &str = ".";

/// Longest value of a report that is read.
const VALUE_BYTES_MAX: usize = 512;

/// Throughput above this is a player's error: 100 Gbit/s.
const THROUGHPUT_MAX: f64 = 1e11;

/// Whose document is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP Live Streaming.
    Hls,
    /// MPEG-DASH.
    Dash,
}

/// What the manifest calls the pathway of this `PoP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Nothing: its variants have no `PATHWAY-ID`.
    Unnamed,
    /// As it is configured.
    Named,
}

/// What a player says with asking for the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What the manifest calls this `PoP`'s pathway.
    pub base: Base,
    /// The pathway it plays by; the first one where it says several.
    pub pathway: Option<String>,
    /// Bit/s that it gets by this `PoP`'s pathway.
    pub throughput: Option<u64>,
}

/// How this and the other `PoP`s stand.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// This node.
    pub load: Load,
    /// The other `PoP`s, in the order of the configuration; absent is healthy.
    pub healthy: &'a [bool],
    /// A number by chance, below a hundred: whether this player is one of those who move.
    pub lot: u8,
}

impl Protocol {
    /// The media type of the document.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Hls => "application/vnd.apple.steering-list",
            Self::Dash => "application/json",
        }
    }

    fn parameters(self) -> [&'static str; 2] {
        match self {
            Self::Hls => ["_HLS_pathway", "_HLS_throughput"],
            Self::Dash => ["_DASH_pathway", "_DASH_throughput"],
        }
    }
}

impl Base {
    /// The query of the document's URL for a manifest that calls this `PoP` so.
    #[must_use]
    pub fn query(self) -> &'static str {
        match self {
            Self::Unnamed => "?base=.",
            Self::Named => "",
        }
    }

    fn name(self, steering: &Steering) -> &str {
        match self {
            Self::Unnamed => UNNAMED,
            Self::Named => &steering.pathway,
        }
    }
}

impl Asked {
    /// Reads the query of a request, without `?`. What makes no sense is left out.
    #[must_use]
    pub fn read(protocol: Protocol, query: &str, steering: &Steering) -> Self {
        let [pathway, throughput] = protocol.parameters();
        let pathways = list(value(query, pathway));
        let unnamed = value(query, BASE).as_deref() == Some(UNNAMED)
            || pathways.iter().any(|name| name == UNNAMED);
        let base = match unnamed {
            true => Base::Unnamed,
            false => Base::Named,
        };
        let throughputs = list(value(query, throughput));
        let own = match pathways.is_empty() {
            true => Some(0),
            false => pathways.iter().position(|name| name == base.name(steering)),
        };
        Self {
            base,
            throughput: own.and_then(|own| bitrate(throughputs.get(own)?)),
            pathway: pathways.into_iter().next(),
        }
    }
}

/// Writes the document; `reload` is the path that it is asked for again by, without query.
#[must_use]
pub fn document(
    steering: &Steering,
    asked: &Asked,
    standing: &Standing<'_>,
    reload: &str,
) -> String {
    let base = asked.base.name(steering);
    let clones = steering.pathways.iter().map(|pathway| Cloned {
        base,
        id: &pathway.name,
        replacement: Replacement {
            host: authority(&pathway.url),
        },
    });
    let (priority, moving) = priority(steering, asked, standing);
    let ttl = match moving {
        true => steering.ttl.min(TTL_MOVING),
        false => steering.ttl,
    };
    let document = Document {
        version: 1,
        ttl: ttl.as_secs().max(1),
        reload: format!("{reload}{}", asked.base.query()),
        priority,
        clones: clones.collect(),
    };
    serde_json::to_string(&document).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Document<'a> {
    version: u8,
    ttl: u64,
    #[serde(rename = "RELOAD-URI")]
    reload: String,
    #[serde(rename = "PATHWAY-PRIORITY")]
    priority: Vec<&'a str>,
    #[serde(rename = "PATHWAY-CLONES", skip_serializing_if = "Vec::is_empty")]
    clones: Vec<Cloned<'a>>,
}

#[derive(Serialize)]
struct Cloned<'a> {
    #[serde(rename = "BASE-ID")]
    base: &'a str,
    #[serde(rename = "ID")]
    id: &'a str,
    #[serde(rename = "URI-REPLACEMENT")]
    replacement: Replacement<'a>,
}

#[derive(Serialize)]
struct Replacement<'a> {
    #[serde(rename = "HOST")]
    host: &'a str,
}

/// The pathways, best first, and whether players are on the move.
fn priority<'a>(
    steering: &'a Steering,
    asked: &Asked,
    standing: &Standing<'_>,
) -> (Vec<&'a str>, bool) {
    let own = asked.base.name(steering);
    let others = steering
        .pathways
        .iter()
        .enumerate()
        .map(|(index, pathway)| {
            let healthy = standing.healthy.get(index).copied().unwrap_or(true);
            (pathway.name.as_str(), healthy)
        });
    let (up, down): (Vec<_>, Vec<_>) = others.partition(|(_, healthy)| *healthy);
    let [up, down] = [up, down].map(|list| list.into_iter().map(|(name, _)| name));
    let [mut up, down]: [Vec<&str>; 2] = [up.collect(), down.collect()];
    let elsewhere = up
        .iter()
        .position(|name| Some(*name) == asked.pathway.as_deref());
    let moves = standing.lot < MOVES_PERCENT;
    let moving = match standing.load {
        Load::Duress => true,
        Load::Well => elsewhere.is_some() && !moves,
    };
    // Who is at another healthy PoP stays there while nobody is wanted back.
    if let Some(index) = elsewhere.filter(|_| moving)
        && let Some(up) = up.get_mut(..=index)
    {
        up.rotate_right(1);
    }
    let stays_away = elsewhere.is_some() || standing.load == Load::Duress && moves;
    let own_at = match moving && stays_away {
        true if standing.load == Load::Duress => up.len(),
        true => 1.min(up.len()),
        false => 0,
    };
    up.insert(own_at, own);
    up.extend(down);
    (up, moving)
}

/// The decoded value of the first parameter of that name, unless it is too long.
fn value(query: &str, name: &str) -> Option<String> {
    let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, raw) = parameters.find(|(key, raw)| *key == name && raw.len() <= VALUE_BYTES_MAX)?;
    let bytes: Vec<u8> = Unescaped(raw.bytes()).collect();
    String::from_utf8(bytes).ok()
}

/// The items of a comma-separated list, each or all of them perhaps in quotes.
fn list(value: Option<String>) -> Vec<String> {
    let Some(value) = value else {
        return Vec::new();
    };
    let items = value.split(',').map(|item| item.trim_matches(['"', ' ']));
    items.map(str::to_owned).collect()
}

fn bitrate(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    let sound = (1.0..=THROUGHPUT_MAX).contains(&number);
    // Whole by `trunc`, so that the text of it is that of an integer.
    sound.then(|| format!("{:.0}", number.trunc()).parse().ok())?
}

/// Host and port of `https://host:port`.
fn authority(url: &str) -> &str {
    url.split_once("://")
        .map_or(url, |(_, authority)| authority)
}

/// Bytes of a query with their escapes decoded; a malformed escape stands for itself.
struct Unescaped<'a>(std::str::Bytes<'a>);

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let byte = self.0.next()?;
        if byte != b'%' {
            return Some(byte);
        }
        let mut ahead = self.0.clone();
        let (Some(high), Some(low)) = (hex(ahead.next()), hex(ahead.next())) else {
            return Some(byte);
        };
        self.0 = ahead;
        Some(high << 4 | low)
    }
}

fn hex(byte: Option<u8>) -> Option<u8> {
    let digit = char::from(byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::adapt::Pathway;
    use serde_json::{Value, json};

    fn steering() -> Steering {
        let pathway = |name: &str, url: &str| Pathway {
            name: name.to_owned(),
            url: url.to_owned(),
            health: None,
        };
        Steering {
            url: "https://edge.example.com".to_owned(),
            pathway: "pop1".to_owned(),
            ttl: Duration::from_secs(300),
            pathways: vec![
                pathway("pop2", "https://edge2.example.com"),
                pathway("pop3", "https://edge3.example.com:8443"),
            ],
        }
    }

    fn asked(query: &str) -> Asked {
        Asked::read(Protocol::Hls, query, &steering())
    }

    fn told(asked: &Asked, load: Load, healthy: &[bool], lot: u8) -> (String, u64) {
        let standing = Standing { load, healthy, lot };
        let text = document(&steering(), asked, &standing, "/steering");
        let value: Value = serde_json::from_str(&text).unwrap();
        let names = value["PATHWAY-PRIORITY"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|name| name.as_str().unwrap()).collect();
        (names.join(" "), value["TTL"].as_u64().unwrap())
    }

    #[test]
    fn the_document_is_what_the_specifications_say() {
        let standing = Standing {
            load: Load::Well,
            healthy: &[true, true],
            lot: 0,
        };
        let text = document(&steering(), &asked("base=."), &standing, "/~s/steering.hls");
        let clone = |id: &str, host: &str| json!({"BASE-ID": ".", "ID": id, "URI-REPLACEMENT": {"HOST": host}});
        let expected = json!({
            "VERSION": 1,
            "TTL": 300,
            "RELOAD-URI": "/~s/steering.hls?base=.",
            "PATHWAY-PRIORITY": [".", "pop2", "pop3"],
            "PATHWAY-CLONES": [
                clone("pop2", "edge2.example.com"),
                clone("pop3", "edge3.example.com:8443"),
            ],
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        assert_eq!(
            Protocol::Hls.content_type(),
            "application/vnd.apple.steering-list"
        );
        assert_eq!(Protocol::Dash.content_type(), "application/json");
    }

    #[test]
    fn without_other_pathways_nothing_is_cloned() {
        let mut alone = steering();
        alone.pathways.clear();
        let standing = Standing {
            load: Load::Duress,
            healthy: &[],
            lot: 0,
        };
        let text = document(&alone, &asked(""), &standing, "/s");
        let expected =
            json!({"VERSION": 1, "TTL": 10, "RELOAD-URI": "/s", "PATHWAY-PRIORITY": ["pop1"]});
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[test]
    fn the_own_pathway_is_first_while_all_is_well_and_the_dead_are_last() {
        for (healthy, order) in [
            (&[true, true][..], "pop1 pop2 pop3"),
            (&[false, true], "pop1 pop3 pop2"),
            (&[false, false], "pop1 pop2 pop3"),
            (&[], "pop1 pop2 pop3"),
        ] {
            let expected = (order.to_owned(), 300);
            assert_eq!(told(&asked(""), Load::Well, healthy, 99), expected);
            assert_eq!(
                told(&asked("_HLS_pathway=pop1"), Load::Well, healthy, 0),
                expected
            );
        }
    }

    #[test]
    fn under_duress_a_share_of_the_players_goes_where_it_is_well() {
        for (healthy, lot, order) in [
            (&[true, true][..], 0, "pop2 pop3 pop1"),
            (&[true, true], MOVES_PERCENT - 1, "pop2 pop3 pop1"),
            (&[true, true], MOVES_PERCENT, "pop1 pop2 pop3"),
            (&[false, true], 0, "pop3 pop1 pop2"),
            (&[false, false], 0, "pop1 pop2 pop3"),
        ] {
            let expected = (order.to_owned(), 10);
            assert_eq!(told(&asked(""), Load::Duress, healthy, lot), expected);
        }
    }

    #[test]
    fn who_was_sent_away_stays_until_it_is_its_turn_to_come_back() {
        let away = asked("_HLS_pathway=pop3");
        for (load, healthy, lot, order, ttl) in [
            (Load::Duress, [true, true], 0, "pop3 pop2 pop1", 10),
            (Load::Duress, [true, true], 99, "pop3 pop2 pop1", 10),
            (Load::Well, [true, true], 99, "pop3 pop1 pop2", 10),
            (Load::Well, [true, true], 0, "pop1 pop2 pop3", 300),
            (Load::Well, [true, false], 99, "pop1 pop2 pop3", 300),
        ] {
            let got = told(&away, load, &healthy, lot);
            assert_eq!(got, (order.to_owned(), ttl), "{load:?} {lot}");
        }
    }

    #[test]
    fn a_ttl_below_that_of_duress_is_kept() {
        let mut short = steering();
        short.ttl = Duration::from_secs(4);
        let standing = Standing {
            load: Load::Duress,
            healthy: &[],
            lot: 0,
        };
        let text = document(&short, &asked(""), &standing, "/s");
        assert!(text.contains(r#""TTL":4,"#), "{text}");
    }

    #[test]
    fn reports_are_read_for_the_own_pathway_only() {
        let hls = Protocol::Hls;
        let dash = Protocol::Dash;
        for (protocol, query, pathway, throughput) in [
            (hls, "", None, None),
            (hls, "_HLS_throughput=5140000", None, Some(5_140_000)),
            (
                hls,
                "_HLS_pathway=pop1&_HLS_throughput=64.9",
                Some("pop1"),
                Some(64),
            ),
            (hls, "_HLS_pathway=.&_HLS_throughput=7", Some("."), Some(7)),
            (
                hls,
                "_HLS_pathway=pop2&_HLS_throughput=7",
                Some("pop2"),
                None,
            ),
            (
                hls,
                "_HLS_pathway=%22pop1%22&_HLS_throughput=7",
                Some("pop1"),
                Some(7),
            ),
            (
                hls,
                "_DASH_pathway=%22pop1%22&_DASH_throughput=7",
                None,
                None,
            ),
            (
                dash,
                "_DASH_pathway=%22pop2,pop1%22&_DASH_throughput=7,9",
                Some("pop2"),
                Some(9),
            ),
            (
                dash,
                "_DASH_pathway=%22pop2%2Cpop1%22&_DASH_throughput=%227%2C9%22",
                Some("pop2"),
                Some(9),
            ),
            (
                dash,
                "_DASH_pathway=%22pop2%22,%22pop1%22&_DASH_throughput=7, 9",
                Some("pop2"),
                Some(9),
            ),
            (
                dash,
                "_DASH_pathway=pop1,pop2&_DASH_throughput=NaN,9",
                Some("pop1"),
                None,
            ),
            (
                dash,
                "_DASH_pathway=pop2,pop1&_DASH_throughput=7",
                Some("pop2"),
                None,
            ),
            (hls, "_HLS_pathway=%FF&_HLS_throughput=1", None, Some(1)),
        ] {
            let read = Asked::read(protocol, query, &steering());
            assert_eq!(read.pathway.as_deref(), pathway, "{query}");
            assert_eq!(read.throughput, throughput, "{query}");
        }
    }

    #[test]
    fn a_throughput_that_makes_no_sense_is_not_reported() {
        for value in ["inf", "-4", "0", "1e30", "%zz%", ""] {
            let read = asked(&format!("_HLS_throughput={value}"));
            assert_eq!(read.throughput, None, "{value}");
        }
    }

    #[test]
    fn what_the_manifest_calls_this_pop_is_carried_on() {
        for (query, base) in [
            ("", Base::Named),
            ("base=.", Base::Unnamed),
            ("_HLS_pathway=.", Base::Unnamed),
            ("base=.&_HLS_pathway=pop2", Base::Unnamed),
            ("base=pop9", Base::Named),
        ] {
            assert_eq!(asked(query).base, base, "{query}");
        }
    }

    #[test]
    fn an_endless_report_is_not_read() {
        let long = "9".repeat(VALUE_BYTES_MAX + 1);
        let read = asked(&format!("_HLS_pathway={long}&_HLS_throughput={long}"));
        assert_eq!((read.pathway, read.throughput), (None, None));
    }
}
