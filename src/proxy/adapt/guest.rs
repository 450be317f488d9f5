//! Whose session an answer is made for.

use crate::config::adapt::{Carrier, Mode};
use crate::manifest::uri::{Rebase, Relative};
use crate::proxy::adapt::Visit;
use crate::route::Purpose;
use crate::route::host::Host;
use crate::session::holdout::{self, Arm};
use crate::session::id::SessionId;
use crate::session::who::Who;

/// The session of a request for a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Guest {
    /// None, and none begins: the mode is off, or the site knows none.
    Nobody,
    /// The request named it.
    Known { id: SessionId, text: String },
    /// It begins with this answer.
    New { id: SessionId, text: String },
}

impl Guest {
    /// How it plays.
    pub(super) fn arm(&self) -> Option<Arm> {
        match self {
            Self::Nobody => None,
            Self::Known { id, .. } | Self::New { id, .. } => Some(id.arm),
        }
    }

    /// Its id as it stands in paths and in CMCD, without `~`.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Nobody => None,
            Self::Known { text, .. } | Self::New { text, .. } => Some(text),
        }
    }

    /// By what it is known, where it may have shown something already.
    pub(super) fn known(&self) -> Option<Who> {
        match self {
            Self::Known { id, .. } => Some(id.who),
            Self::Nobody | Self::New { .. } => None,
        }
    }
}

impl Visit<'_> {
    /// The session that this answer belongs to, a new one where the request names none.
    pub(super) fn guest(&self, mode: Mode) -> Guest {
        let site = &self.route.site;
        if mode == Mode::Off || site.adapt.session == Carrier::Off {
            return Guest::Nobody;
        }
        let sessions = &self.edge.sessions;
        let asked = self.route.session.as_deref();
        let known = asked.and_then(|text| Some((text, sessions.read(&site.name, text, self.now)?)));
        if let Some((text, id)) = known {
            let text = text.to_owned();
            return Guest::Known { id, text };
        }
        let arm = self.arm();
        let id = sessions.mint(&site.name, arm, self.now);
        let text = id.spell();
        Guest::New { id, text }
    }

    /// The arm of a session that begins. Where its requests are told by what they come from, they
    /// count for the arm that this has.
    fn arm(&self) -> Arm {
        match (self.carrier(), self.bearer) {
            (Carrier::Connection, Some(who)) => who.arm(),
            _ => holdout::draw(fastrand::u64(..), self.route.site.adapt.holdout_percent),
        }
    }

    /// How the URIs of this manifest change so that `guest` keeps its session, and so that they
    /// lead to the same objects from where the manifest was asked for; `None` where they do.
    pub(super) fn rebase(&self, guest: &Guest) -> Option<Rebase> {
        let given = match self.carrier() {
            Carrier::Path => guest.text(),
            Carrier::Connection | Carrier::Off => None,
        };
        let asked = self.route.session.as_deref();
        let prefix = match given.or(asked) {
            Some(text) => format!("/~{text}"),
            None => String::new(),
        };
        let is_beside =
            self.route.purpose == Purpose::Object && given.is_none_or(|it| asked == Some(it));
        let relative = match is_beside {
            true => Relative::Inherit,
            false => Relative::Resolve,
        };
        if prefix.is_empty() && relative == Relative::Inherit {
            return None;
        }
        Some(Rebase {
            object: self.route.origin_path.clone(),
            prefix,
            hosts: self.hosts(),
            relative,
        })
    }

    /// Hosts that are this site: those configured, and for any host the one asked for.
    fn hosts(&self) -> Vec<String> {
        let configured = &self.route.site.hosts;
        let named = configured.iter().filter(|host| *host != "*").cloned();
        let mut hosts: Vec<String> = named.collect();
        let asked = self.host.and_then(|host| Host::parse(host).ok());
        if let Some(asked) = asked.filter(|_| hosts.len() < configured.len()) {
            hosts.push(asked.as_str().to_owned());
        }
        hosts
    }
}
