//! Whose session an answer is made for.

use std::hash::BuildHasher;

use crate::config::adapt::{Carrier, Mode};
use crate::manifest::parsed::Parsed;
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

    /// Whether its player is asked for reports, where `percent` of all are: the same whenever a
    /// manifest of the session is made, and whichever arm it is of.
    pub(super) fn is_asked(&self, percent: u32) -> bool {
        match self {
            Self::Nobody => false,
            Self::Known { id, .. } | Self::New { id, .. } => id.is_among(percent),
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
    ///
    /// Where no id travels, a live manifest is asked for again by the same connection: that is no
    /// session that begins, if the connection is the client's own. An id that is old or none of
    /// ours names nothing, and so does not begin one either.
    pub(super) fn guest(&self, mode: Mode, manifest: &Parsed) -> Guest {
        if mode == Mode::Off || self.carrier() == Carrier::Off {
            return Guest::Nobody;
        }
        let may_go_on = self.edge.goes_by_connection(&self.route.site) && manifest.is_dynamic();
        let active = self.active.filter(|_| may_go_on);
        let viewing = active.map(|active| (active, self.mark()));
        let viewed = || viewing.and_then(|(active, mark)| self.known(active.viewing(mark)?));
        let named = self.route.session.clone();
        let known = named.and_then(|text| self.known(text)).or_else(viewed);
        let guest = known.unwrap_or_else(|| self.begins());
        if let (Some((active, mark)), Some(text)) = (viewing, guest.text()) {
            active.views(mark, text, self.now);
        }
        guest
    }

    /// The session that an id names.
    fn known(&self, text: String) -> Option<Guest> {
        let site = &self.route.site.name;
        let id = self.edge.sessions.read(site, &text, self.now)?;
        Some(Guest::Known { id, text })
    }

    /// A session that begins.
    fn begins(&self) -> Guest {
        let (sessions, site) = (&self.edge.sessions, &self.route.site);
        let arm = self.arm();
        let id = sessions.mint(&site.name, arm, self.now);
        let text = id.spell();
        Guest::New { id, text }
    }

    /// The same for requests for one manifest.
    fn mark(&self) -> u64 {
        self.edge.marks.hash_one(self.route.key.as_str())
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
    pub(super) fn hosts(&self) -> Vec<String> {
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
