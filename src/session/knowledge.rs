//! What this node knows: sessions, clients, networks and sites, in bounded tables. Pure.
//!
//! A session's estimate becomes its client's belief as it goes; when the session has ended it
//! counts once for the client's network and for the site.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::limits;
use crate::session::Live;
use crate::session::belief::Belief;
use crate::session::client::Client;
use crate::session::cmcd::Report;
use crate::session::estimator::{Estimate, Estimator};
use crate::session::population::{Distribution, Network};
use crate::session::sample::Sample;
use crate::session::table::Table;
use crate::session::who::Who;

/// Everything that is known here.
pub struct Knowledge {
    sessions: Table<Session>,
    clients: Table<Known>,
    networks: Table<Network>,
    sites: HashMap<Arc<str>, Distribution>,
    /// The last turn of the sessions that were found silent.
    ended: u64,
}

/// One session.
struct Session {
    who: Who,
    site: Arc<str>,
    client: Option<Client>,
    estimator: Estimator,
    bitrate: Option<u64>,
    buffer: Option<std::time::Duration>,
    /// Whether its end was counted, and it has not been met since.
    ended: bool,
}

/// What is thought of a client.
#[derive(Debug, Clone)]
struct Known {
    /// Before the session that feeds it now.
    before: Option<Belief>,
    now: Belief,
    by: Who,
}

impl Knowledge {
    /// Knows nothing but the names of the sites.
    #[must_use]
    pub fn new<'a>(sites: impl Iterator<Item = &'a str>) -> Self {
        let site = |name| (Arc::from(name), Distribution::default());
        Self {
            sessions: Table::new(limits::SESSIONS_MAX),
            clients: Table::new(limits::CLIENTS_MAX),
            networks: Table::new(limits::CLIENTS_MAX),
            sites: sites.map(site).collect(),
            ended: 0,
        }
    }

    /// Takes in what a connection of `who` has carried.
    pub fn sampled(&mut self, site: &str, who: Who, client: &Client, sample: &Sample) {
        let now = sample.began.after(sample.busy);
        let Some(session) = self.meet(site, who, now) else {
            return;
        };
        session.estimator.sampled(sample);
        if client.is_known() {
            session.client = Some(*client);
        }
        let shown = session.estimator.estimate(now);
        if let Some(estimate) = shown.filter(|_| client.is_known()) {
            self.believe(client, who, &Belief::of_estimate(&estimate));
        }
    }

    /// Takes in what a player reports.
    pub fn reported(&mut self, site: &str, who: Who, report: &Report, now: UnixMillis) {
        let Some(session) = self.meet(site, who, now) else {
            return;
        };
        if let Some(bitrate) = report.throughput {
            session.estimator.reported(bitrate, now);
        }
        if report.is_picture() {
            session.bitrate = report.bitrate.or(session.bitrate);
        }
        session.buffer = report.buffer.or(session.buffer);
    }

    /// Meets a session of a site that there is.
    fn meet(&mut self, site: &str, who: Who, now: UnixMillis) -> Option<&mut Session> {
        let (site, _) = self.sites.get_key_value(site)?;
        let site = Arc::clone(site);
        let make = || Session {
            who,
            site,
            client: None,
            estimator: Estimator::default(),
            bitrate: None,
            buffer: None,
            ended: false,
        };
        let (session, gone) = self.sessions.meet(who.bytes(), now, make);
        session.ended = false;
        drop(gone);
        Some(session)
    }

    fn believe(&mut self, client: &Client, who: Who, shown: &Belief) {
        let [today, yesterday] = client.own;
        let before = self.clients.peek(&yesterday).map(|known| known.now);
        let make = || Known {
            before,
            now: *shown,
            by: who,
        };
        let (known, _) = self.clients.meet(today, shown.at, make);
        if known.by != who {
            known.before = Some(known.now);
            known.by = who;
        }
        known.now = known.before.map_or(*shown, |before| before.after(*shown));
    }

    /// What is known of the throughput of `who`.
    #[must_use]
    pub fn estimate(&self, who: Who, now: UnixMillis) -> Option<Estimate> {
        self.sessions.peek(&who.bytes())?.estimator.estimate(now)
    }

    /// What is thought of a client that begins a session.
    ///
    /// Its own past among what is known of its like: its network as seen, as `configured`, or the
    /// site's clients.
    #[must_use]
    pub fn prior(
        &self,
        site: &str,
        client: &Client,
        configured: Option<Belief>,
        now: UnixMillis,
    ) -> Option<Belief> {
        let network = || {
            let mut found = client
                .network
                .iter()
                .filter_map(|name| self.networks.peek(name));
            found.find_map(|network| network.belief(now))
        };
        let of_site = || self.sites.get(site).and_then(|site| site.belief(now));
        let known = client.is_known();
        let population = known
            .then(network)
            .flatten()
            .or(configured)
            .or_else(of_site);
        let mut own = client.own.iter().filter_map(|name| self.clients.peek(name));
        let own = own.find_map(|known| known.now.aged(now)).filter(|_| known);
        own.map(|own| own.among(population)).or(population)
    }

    /// Sessions met of late, `most` at most, the latest first.
    #[must_use]
    pub fn live(&self, most: usize, now: UnixMillis) -> Vec<Live> {
        let since = now.before(limits::SESSION_SILENCE_MAX);
        let late = self
            .sessions
            .latest()
            .take_while(|(_, _, seen)| *seen >= since);
        let live = |(_, session, seen): (_, &Session, _)| Live {
            name: session.who.short(),
            site: Arc::clone(&session.site),
            estimate: session.estimator.estimate(now),
            bitrate: session.bitrate,
            buffer: session.buffer,
            arm: session.who.arm(),
            seen,
        };
        late.take(most).map(live).collect()
    }

    /// Counts the sessions that have ended, forgets those that are over, `most` at most each.
    pub fn tidy(&mut self, most: usize, now: UnixMillis) {
        let silent = now.before(limits::SESSION_SILENCE_MAX);
        for _ in 0..most {
            let Some((turn, name)) = self.sessions.silent(self.ended, silent) else {
                break;
            };
            self.ended = turn;
            self.end(&name, now);
        }
        let over = now.before(limits::SESSION_LIFE);
        for _ in 0..most {
            if self.sessions.pop_before(over).is_none() {
                break;
            }
        }
        let useless = now.before(limits::BELIEF_LIFE);
        for _ in 0..most {
            let client = self.clients.pop_before(useless).is_some();
            if !client && self.networks.pop_before(useless).is_none() {
                break;
            }
        }
    }

    fn end(&mut self, name: &[u8; 16], now: UnixMillis) {
        let Some(session) = self.sessions.peek_mut(name) else {
            return;
        };
        if std::mem::replace(&mut session.ended, true) {
            return;
        }
        let Some(estimate) = session.estimator.estimate(now) else {
            return;
        };
        let shown = Belief::of_estimate(&estimate);
        if let Some(site) = self.sites.get_mut(&session.site) {
            site.ended(&shown);
        }
        if let Some(client) = session.client {
            let ([own, _], [network, _]) = (client.own, client.network);
            let (network, _) = self.networks.meet(network, now, Network::default);
            network.ended(own, &shown);
        }
    }
}
