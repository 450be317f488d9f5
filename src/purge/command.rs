//! A purge as operators, scripts and other nodes send it: the body of `POST /v1/purge`. Pure.
//!
//! Nothing is guessed: an unknown key, a key that is there twice or a combination that could mean
//! two things is refused, since a purge that was misread looks like one that was done.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::limits;
use crate::purge::order::Mode;

/// What is to be purged, in the words of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What.
    pub target: Target,
    /// How.
    pub mode: Mode,
}

/// What a command names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A URL as players ask for it.
    Url(String),
    /// What the URLs of several objects begin with: scheme, host and beginning of the path.
    Prefix(String),
    /// Every object of a site that has any of these tags.
    Tags {
        /// The site's name.
        site: String,
        /// The tags as the origin spells them; 1 to [`limits::PURGE_TAGS_MAX`].
        tags: Vec<String>,
    },
    /// Every object of the site of this name.
    Site(String),
}

/// Why a body is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no JSON object, or breaks off.
    #[error("expected a JSON object such as {{\"url\": \"http://host/path\"}}: {0}")]
    Syntax(String),
    /// A key that means nothing here.
    #[error("{key}: unknown key: expected one of {KEYS}")]
    Unknown {
        /// The key.
        key: String,
    },
    /// A key that is there twice.
    #[error("{key}: stands there twice: expected once")]
    Twice {
        /// The key.
        key: String,
    },
    /// A value of the wrong type, or out of bounds.
    #[error("{key} = {value}: expected {expected}")]
    Value {
        /// Its key.
        key: &'static str,
        /// The value in JSON; a long one is cut.
        value: String,
        /// What should stand there.
        expected: String,
    },
    /// Keys that name nothing, or more than one thing.
    #[error("{given}: expected url, or prefix, or site, or tag with site, or tags with site")]
    Combination {
        /// The keys that are there.
        given: String,
    },
}

const KEYS: &str = "url, prefix, tag, tags, site, soft";

impl Command {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Error`], which names key, value and what is expected.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let Pairs(pairs) =
            serde_json::from_slice(body).map_err(|error| Error::Syntax(error.to_string()))?;
        let mut given = Given::default();
        for (key, value) in &pairs {
            if pairs.iter().filter(|(other, _)| other == key).count() > 1 {
                return Err(Error::Twice { key: key.clone() });
            }
            match key.as_str() {
                "url" => given.url = Some(text("url", value, URL)?),
                "prefix" => given.prefix = Some(text("prefix", value, PREFIX)?),
                "tag" => given.tags = Some(vec![tag("tag", value)?]),
                "tags" => given.tags = Some(tags(value)?),
                "site" => given.site = Some(text("site", value, "the name of a site")?),
                "soft" => given.mode = Some(mode(value)?),
                _ => return Err(Error::Unknown { key: key.clone() }),
            }
        }
        let keys = || pairs.iter().map(|(key, _)| key.as_str());
        let is_doubtful = keys().any(|key| key == "tag") && keys().any(|key| key == "tags");
        let mode = given.mode.unwrap_or(Mode::Hard);
        let target = given.target().filter(|_| !is_doubtful);
        match target {
            Some(target) => Ok(Self { target, mode }),
            None => Err(Error::Combination {
                given: match pairs.is_empty() {
                    true => "an empty object".to_owned(),
                    false => keys().collect::<Vec<_>>().join(", "),
                },
            }),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Url(url) => f.write_str(url)?,
            Target::Prefix(prefix) => write!(f, "{prefix} and what begins so")?,
            Target::Tags { site, tags } => write!(f, "tag {} of site {site}", tags.join(", "))?,
            Target::Site(site) => write!(f, "everything of site {site}")?,
        }
        match self.mode {
            Mode::Hard => Ok(()),
            Mode::Soft => f.write_str(", softly"),
        }
    }
}

/// Writes the body that [`Command::parse`] reads.
impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = match &self.target {
            Target::Url(url) => Map::from_iter([("url".to_owned(), json!(url))]),
            Target::Prefix(prefix) => Map::from_iter([("prefix".to_owned(), json!(prefix))]),
            Target::Tags { site, tags } => Map::from_iter([
                ("site".to_owned(), json!(site)),
                ("tags".to_owned(), json!(tags)),
            ]),
            Target::Site(site) => Map::from_iter([("site".to_owned(), json!(site))]),
        };
        if self.mode == Mode::Soft {
            body.insert("soft".to_owned(), Value::Bool(true));
        }
        body.serialize(serializer)
    }
}

/// What the keys say, one by one.
#[derive(Debug, Default)]
struct Given {
    url: Option<String>,
    prefix: Option<String>,
    tags: Option<Vec<String>>,
    site: Option<String>,
    mode: Option<Mode>,
}

impl Given {
    fn target(self) -> Option<Target> {
        match (self.url, self.prefix, self.tags, self.site) {
            (Some(url), None, None, None) => Some(Target::Url(url)),
            (None, Some(prefix), None, None) => Some(Target::Prefix(prefix)),
            (None, None, Some(tags), Some(site)) => Some(Target::Tags { site, tags }),
            (None, None, None, Some(site)) => Some(Target::Site(site)),
            _ => None,
        }
    }
}

const URL: &str = "an absolute URL such as http://host/path";
const PREFIX: &str = "the beginning of URLs such as http://host/directory/";
const TAG: &str = "a tag as the origin sends it, without control characters or spaces around it";

fn text(key: &'static str, value: &Value, expected: &str) -> Result<String, Error> {
    match value {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(wrong(key, value, expected.to_owned())),
    }
}

fn tag(key: &'static str, value: &Value) -> Result<String, Error> {
    let tag = text(key, value, TAG)?;
    match tag.trim() == tag && !tag.chars().any(char::is_control) {
        true => Ok(tag),
        false => Err(wrong(key, value, TAG.to_owned())),
    }
}

fn tags(value: &Value) -> Result<Vec<String>, Error> {
    match value {
        Value::Array(tags) if (1..=limits::PURGE_TAGS_MAX).contains(&tags.len()) => {
            tags.iter().map(|value| tag("tags", value)).collect()
        }
        _ => {
            let expected = format!("an array of 1 to {} tags", limits::PURGE_TAGS_MAX);
            Err(wrong("tags", value, expected))
        }
    }
}

fn mode(value: &Value) -> Result<Mode, Error> {
    match value {
        Value::Bool(true) => Ok(Mode::Soft),
        Value::Bool(false) => Ok(Mode::Hard),
        _ => Err(wrong("soft", value, "true or false".to_owned())),
    }
}

fn wrong(key: &'static str, value: &Value, expected: String) -> Error {
    let value = value.to_string();
    let shown: String = value.chars().take(SHOWN).collect();
    let value = match shown.len() < value.len() {
        true => format!("{shown}..."),
        false => value,
    };
    Error::Value {
        key,
        value,
        expected,
    }
}

/// Characters of a wrong value that are repeated to whoever sent it.
const SHOWN: usize = 200;

/// The members of an object as they stand there: a map would let the last of two win.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = members.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tags: &[&str]) -> Target {
        Target::Tags {
            site: "vod".to_owned(),
            tags: tags.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_body_is_read_and_written_again() {
        let url = Target::Url("http://h/a".to_owned());
        let prefix = Target::Prefix("http://h/a/".to_owned());
        for (body, target, mode) in [
            (r#"{"url":"http://h/a"}"#, url.clone(), Mode::Hard),
            (r#"{"url":"http://h/a","soft":false}"#, url, Mode::Hard),
            (
                r#"{"soft":true,"prefix":"http://h/a/"}"#,
                prefix,
                Mode::Soft,
            ),
            (
                r#"{"tag":"a b","site":"vod"}"#,
                tagged(&["a b"]),
                Mode::Hard,
            ),
            (
                r#"{"site":"vod","tags":["a","b"],"soft":true}"#,
                tagged(&["a", "b"]),
                Mode::Soft,
            ),
            (
                r#"{"site":"vod"}"#,
                Target::Site("vod".to_owned()),
                Mode::Hard,
            ),
        ] {
            let command = Command::parse(body.as_bytes()).unwrap();
            assert_eq!(command, Command { target, mode }, "{body}");
            let written = serde_json::to_vec(&command).unwrap();
            assert_eq!(Command::parse(&written), Ok(command), "{body}");
        }
    }

    #[test]
    fn what_could_be_misread_is_refused_by_name() {
        let many = json!({"site": "a", "tags": vec!["t"; limits::PURGE_TAGS_MAX + 1]}).to_string();
        let long = json!({"url": vec!["x"; 500]}).to_string();
        for (body, said) in [
            ("", "expected a JSON object"),
            ("[]", "expected an object"),
            (r#"{"url":"a""#, "expected a JSON object"),
            ("{}", "an empty object: expected url, or prefix"),
            (r#"{"soft":true}"#, "soft: expected url"),
            (r#"{"ulr":"a"}"#, "ulr: unknown key: expected one of url"),
            (r#"{"url":"a","url":"b"}"#, "url: stands there twice"),
            (r#"{"url":1}"#, "url = 1: expected an absolute URL"),
            (r#"{"url":""}"#, "url = \"\": expected"),
            (r#"{"url":null}"#, "url = null: expected"),
            (r#"{"prefix":{}}"#, "prefix = {}: expected the beginning"),
            (r#"{"url":"a","site":"b"}"#, "url, site: expected"),
            (r#"{"url":"a","prefix":"b"}"#, "url, prefix: expected"),
            (r#"{"tag":"a"}"#, "tag: expected url"),
            (
                r#"{"tag":"a","tags":["b"],"site":"c"}"#,
                "tag, tags, site: expected",
            ),
            (r#"{"tag":" a","site":"c"}"#, "tag = \" a\": expected a tag"),
            (
                r#"{"tags":["a",""],"site":"c"}"#,
                "tags = \"\": expected a tag",
            ),
            (
                r#"{"tags":"a","site":"c"}"#,
                "tags = \"a\": expected an array of 1 to",
            ),
            (
                r#"{"tags":[],"site":"c"}"#,
                "tags = []: expected an array of 1 to",
            ),
            (&many, "expected an array of 1 to"),
            (
                r#"{"site":"c","soft":"yes"}"#,
                "soft = \"yes\": expected true or false",
            ),
            (&long, "...: expected an absolute URL"),
        ] {
            let error = Command::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said), "{body}: {error}");
            assert!(error.len() < 400, "{error}");
        }
    }
}
