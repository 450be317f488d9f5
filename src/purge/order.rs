//! What a purge concerns and how hard it is, and how the log spells it.
//!
//! The words of the log are read by other releases. A release that does not know a kind suspects
//! everything older than the entry: it purges too much and never too little.

use std::fmt;

use crate::key::Key;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What is purged.
    pub scope: Scope,
    /// How.
    pub mode: Mode,
}

/// What one purge concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One object with all its variants.
    Url(Key),
    /// Every object of a site whose path and query begin so.
    Prefix {
        /// The site's name.
        site: String,
        /// Beginning of the path, with its leading slash.
        path: String,
    },
    /// Every object of a site.
    Site(String),
    /// Every object of a site whose origin gave it this tag.
    Tag {
        /// The site's name.
        site: String,
        /// The tag as the origin spells it.
        name: String,
    },
}

/// What a purge does to what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is never served again, and no origin's 304 brings it back.
    Hard,
    /// It is stale: it is confirmed or replaced, and may be served while that is under way.
    Soft,
}

impl Scope {
    /// The order to purge this for good.
    #[must_use]
    pub fn hard(self) -> Order {
        let (scope, mode) = (self, Mode::Hard);
        Order { scope, mode }
    }

    /// The order to make this stale.
    #[must_use]
    pub fn soft(self) -> Order {
        let (scope, mode) = (self, Mode::Soft);
        Order { scope, mode }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Prefix { .. } => "prefix",
            Self::Site(_) => "site",
            Self::Tag { .. } => "tag",
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Url(key) => key.primary().to_owned(),
            Self::Prefix { site, path: name } | Self::Tag { site, name } => {
                format!("{site} {name}")
            }
            Self::Site(site) => site.clone(),
        }
    }

    fn of(kind: &str, name: &str) -> Option<Self> {
        let parts = || {
            let (site, rest) = name.split_once(' ')?;
            Some((site.to_owned(), rest.to_owned()))
        };
        Some(match kind {
            "url" => Self::Url(Key::from_text(name)),
            "prefix" => {
                let (site, path) = parts()?;
                Self::Prefix { site, path }
            }
            "site" => Self::Site(name.to_owned()),
            "tag" => {
                let (site, name) = parts()?;
                Self::Tag { site, name }
            }
            _ => return None,
        })
    }
}

impl Order {
    /// The order in words of the log: kind and name.
    #[must_use]
    pub fn to_words(&self) -> (String, String) {
        let kind = self.scope.kind();
        let kind = match self.mode {
            Mode::Hard => kind.to_owned(),
            Mode::Soft => format!("{SOFT}{kind}"),
        };
        (kind, self.scope.name())
    }

    /// Reads the words of the log; `None` for what only a newer release understands.
    #[must_use]
    pub fn from_words(kind: &str, name: &str) -> Option<Self> {
        match kind.strip_prefix(SOFT) {
            Some(kind) => Scope::of(kind, name).map(Scope::soft),
            None => Scope::of(kind, name).map(Scope::hard),
        }
    }
}

/// What the kind of a soft purge begins with.
const SOFT: &str = "soft-";

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = self.to_words();
        write!(f, "{kind} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::vary::Variant;

    fn scopes() -> [(Scope, &'static str, &'static str); 4] {
        let site = || "vod".to_owned();
        [
            (
                Scope::Url(Key::new("vod", "/a", Some("x=1"))),
                "url",
                "vod /a?x=1",
            ),
            (
                Scope::Prefix {
                    site: site(),
                    path: "/a b/".to_owned(),
                },
                "prefix",
                "vod /a b/",
            ),
            (Scope::Site(site()), "site", "vod"),
            (
                Scope::Tag {
                    site: site(),
                    name: "show 7".to_owned(),
                },
                "tag",
                "vod show 7",
            ),
        ]
    }

    #[test]
    fn the_log_gives_back_every_order() {
        for (scope, kind, name) in scopes() {
            let words = |kind: &str| (kind.to_owned(), name.to_owned());
            let (hard, soft) = (scope.clone().hard(), scope.soft());
            assert_eq!(hard.to_words(), words(kind));
            assert_eq!(soft.to_words(), words(&format!("soft-{kind}")));
            for order in [hard, soft] {
                let (kind, name) = order.to_words();
                assert_eq!(Order::from_words(&kind, &name), Some(order));
            }
        }
    }

    #[test]
    fn words_of_a_newer_release_name_nothing() {
        for (kind, name) in [
            ("moon", "x"),
            ("soft-moon", "x"),
            ("soft-", "x"),
            ("tag", "vod"),
        ] {
            assert_eq!(Order::from_words(kind, name), None, "{kind}");
        }
    }

    #[test]
    fn an_order_by_one_variant_names_the_object() {
        let key = Key::new("vod", "/a", None);
        let order = Scope::Url(key.variant(Variant(1))).hard();
        assert_eq!(order.to_string(), "url vod /a");
    }
}
