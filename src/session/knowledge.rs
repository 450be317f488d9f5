//! What this node knows: sessions, clients, networks and sites, in bounded tables. Pure.
//!
//! A session's estimate becomes its client's belief as it goes; when the session has ended it
//! counts once for the client's network and for the site.
//!
//! A `sid` that a player makes up leads to the session whose path came with it last, of one client:
//! nobody takes over what another one's session is known by. What comes by a `sid` counts in full
//! where it comes from the client that the session began at; from elsewhere it is heard as an event
//! only, which tells how a session plays and never how fast its link is.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::limits;
use crate::metrics::{METRICS, ShareResult};
use crate::session::Live;
use crate::session::aliases::Aliases;
use crate::session::belief::Belief;
use crate::session::client::Client;
use crate::session::cmcd::Report;
use crate::session::estimator::Estimate;
use crate::session::holdout::Arm;
use crate::session::known::Known;
use crate::session::outbox::Outbox;
use crate::session::playback::{Playback, Quality};
use crate::session::population::{Distribution, Network};
use crate::session::record::{Kind, Place, Record};
use crate::session::roster::Roster;
use crate::session::sample::Sample;
use crate::session::table::Table;
use crate::session::who::Who;
use session::Session;

mod session;

/// Everything that is known here.
pub struct Knowledge {
    sessions: Roster<Session>,
    /// What leads to sessions that are known, and to no others.
    aliases: Aliases,
    clients: Table<Known>,
    networks: Table<Network>,
    sites: HashMap<Arc<str>, Distribution>,
    /// What sessions were told of titles, and when.
    told: Table<(String, UnixMillis)>,
    /// When other nodes were asked, and of whom.
    asked: Table<()>,
    /// `None` where there are no other nodes to tell.
    outbox: Option<Outbox>,
    ended: Vec<Ended>,
}

/// How a session has played, told once it has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its site.
    pub site: Arc<str>,
    /// Its arm.
    pub arm: Arm,
    /// What its player has told.
    pub quality: Quality,
}

impl Knowledge {
    /// Knows nothing but the names of the sites. `outbox` notes what other nodes are to be told.
    #[must_use]
    pub fn new<'a>(sites: impl Iterator<Item = &'a str>, outbox: Option<Outbox>) -> Self {
        let site = |name| (Arc::from(name), Distribution::default());
        Self {
            sessions: Roster::new(limits::SESSIONS_MAX, limits::SESSIONS_CLAIMED_MIN),
            aliases: Aliases::default(),
            clients: Table::new(limits::CLIENTS_MAX),
            networks: Table::new(limits::CLIENTS_MAX),
            sites: sites.map(site).collect(),
            told: Table::new(limits::TOLD_MAX),
            asked: Table::new(limits::CLIENTS_MAX),
            outbox,
            ended: Vec::new(),
        }
    }

    /// Takes in what a connection of `who` has carried.
    pub fn sampled(&mut self, site: &str, who: Who, client: &Client, sample: &Sample) {
        let now = sample.began.after(sample.busy);
        // A connection remembers whom it carried for, and what was learnt since may say better.
        let who = self.known_by(who, client).unwrap_or(who);
        if let Some(session) = self.meet(site, who, now) {
            session.begins_at(client);
            session.estimator.sampled(sample);
            self.fed(who, client, now);
        }
    }

    /// Takes in what a player reports.
    pub fn reported(
        &mut self,
        site: &str,
        who: Who,
        client: &Client,
        report: &Report,
        now: UnixMillis,
    ) {
        let who = self.known_by(who, client).unwrap_or(who);
        let Some(session) = self.meet(site, who, now) else {
            return;
        };
        session.begins_at(client);
        session.plays(report, now);
        if session.gets(report, now) {
            self.fed(who, client, now);
        }
    }

    /// Takes in an event of `who` that `client` posted; `false` where it is of no session that is
    /// known. Names that nothing vouches for begin none. A signed id may: another node has met its
    /// session then.
    pub fn heard(
        &mut self,
        site: &str,
        who: Who,
        client: &Client,
        report: &Report,
        now: UnixMillis,
    ) -> bool {
        if let Some(led) = self.aliases.of(who) {
            // Whoever knows a `sid` may post: nothing that a hint goes by comes of it.
            if let Some(session) = self.meet(site, led, now) {
                session.plays(report, now);
            }
            return true;
        }
        let is_known = who.is_signed() || self.is_met(who);
        if is_known {
            self.reported(site, who, client, report, now);
        }
        is_known
    }

    /// Notes that `who`, who has a signed id and asks from `client`, is known by `sid` too: what a
    /// request would be whose player's `sid` were all that there is.
    ///
    /// A player keeps its `sid` over several titles, so the last session of its client has it. What
    /// goes by it elsewhere is somebody else's, and stays that. What it has shown before a session
    /// that begins is the beginning of that, and else of nothing that can be told.
    pub fn also_known(&mut self, site: &str, who: Who, sid: Who, client: &Client, now: UnixMillis) {
        let led = self.aliases.of(sid);
        if led == Some(who) || !Aliases::may_lead(sid, who) {
            return;
        }
        let holder = self.sessions.peek(led.unwrap_or(sid));
        if holder.is_some_and(|holder| !holder.began_at(client)) {
            return;
        }
        let begins = !self.is_met(who);
        let before = match led {
            Some(_) => None,
            None => self.sessions.remove(sid),
        };
        let Some(session) = self.meet(site, who, now) else {
            return;
        };
        if let Some(before) = before.filter(|_| begins) {
            session.goes_on_from(before);
        }
        session.begins_at(client);
        self.aliases.lead(sid, who);
    }

    /// Who is known by a player's `sid` too, as far as `client` can say so: where the session began
    /// there.
    #[must_use]
    pub fn known_by(&self, sid: Who, client: &Client) -> Option<Who> {
        let who = self.aliases.of(sid)?;
        let session = self.sessions.peek(who)?;
        session.began_at(client).then_some(who)
    }

    fn is_met(&self, who: Who) -> bool {
        self.sessions.peek(who).is_some()
    }

    /// Meets a session of a site that there is.
    fn meet(&mut self, site: &str, who: Who, now: UnixMillis) -> Option<&mut Session> {
        let (site, _) = self.sites.get_key_value(site)?;
        let site = Arc::clone(site);
        let make = || Session::new(who, site);
        let (session, gone) = self.sessions.meet(who, now, make);
        session.ended = false;
        if let Some(gone) = gone {
            METRICS.session_evictions.inc();
            self.ended.extend(gone.over());
            self.aliases.forget(gone.who);
        }
        Some(session)
    }

    /// Lets a client's belief follow what its session has shown.
    fn fed(&mut self, who: Who, client: &Client, now: UnixMillis) {
        let name = who.0;
        let Some(session) = self.sessions.peek_mut(who) else {
            return;
        };
        session.client = Some(*client).filter(Client::is_known).or(session.client);
        let (client, shown) = (session.client, session.estimate(now));
        let Some(estimate) = shown else {
            return;
        };
        self.changed(Kind::Session, name);
        if let Some(client) = client {
            self.believe(&client, who, &Belief::of_estimate(&estimate));
        }
    }

    fn believe(&mut self, client: &Client, who: Who, shown: &Belief) {
        let [today, yesterday] = client.own;
        let before = self.clients.peek(&yesterday).map(Known::belief);
        let make = || Known::new(before, who, *shown);
        let (known, _) = self.clients.meet(today, shown.at, make);
        known.shown(who, *shown);
        self.changed(Kind::Client, today);
    }

    fn changed(&mut self, kind: Kind, name: [u8; 16]) {
        let place = Place { kind, name };
        if self
            .outbox
            .as_mut()
            .is_some_and(|outbox| !outbox.push(place))
        {
            METRICS.session_shares.of(ShareResult::Dropped).inc();
        }
    }

    /// What is known of the throughput of `who`.
    #[must_use]
    pub fn estimate(&self, who: Who, now: UnixMillis) -> Option<Estimate> {
        self.sessions.peek(who)?.estimate(now)
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
        let own = own
            .find_map(|known| known.belief().aged(now))
            .filter(|_| known);
        own.map(|own| own.among(population)).or(population)
    }

    /// Sessions met of late, `most` at most, the latest first.
    #[must_use]
    pub fn live(&self, most: usize, now: UnixMillis) -> Vec<Live> {
        let since = now.before(limits::SESSION_SILENCE_MAX);
        let live = |(session, seen): (&Session, _)| Live {
            name: session.who.short(),
            site: Arc::clone(&session.site),
            estimate: session.estimate(now),
            bitrate: session.bitrate,
            buffer: session.buffer,
            arm: session.who.arm(),
            seen,
        };
        let late = self.sessions.latest(since, most);
        late.into_iter().map(live).collect()
    }

    /// What is to be asked of other nodes: who begins here, or has been silent here, and was not
    /// asked for a moment ago.
    pub fn unknown(&mut self, who: Option<Who>, client: &Client, now: UnixMillis) -> Vec<Place> {
        let place = |kind| move |name| Place { kind, name };
        let session = who.map(|who| who.0).filter(|name| {
            let seen = self.sessions.seen(Who(*name));
            seen.is_none_or(|seen| now.since(seen) > limits::SESSION_RECALL_AGAIN)
        });
        let known = client.is_known();
        let clients = client.own.into_iter().map(place(Kind::Client));
        let networks = client.network.into_iter().map(place(Kind::Network));
        let mut places: Vec<Place> = session.map(place(Kind::Session)).into_iter().collect();
        places.extend(clients.chain(networks).filter(|_| known));
        places.retain(|place| {
            let asked = self.asked.seen(&place.name);
            asked.is_none_or(|asked| now.since(asked) > limits::SESSION_RECALL_AGAIN)
        });
        for place in &places {
            self.asked.meet(place.name, now, || ());
        }
        places
    }

    /// Takes in what another node has written, where it is newer than what is known here.
    pub fn recalled(&mut self, place: Place, record: Record, now: UnixMillis) {
        let name = place.name;
        match record {
            Record::Session(site, estimate) => {
                let who = Who(name);
                if let Some(session) = self.meet(&site, who, now) {
                    session.recalled = Some(estimate);
                }
            }
            Record::Client(belief, by) => {
                let known = Known::new(None, by, belief);
                let (here, _) = self.clients.meet(name, now, || known);
                if here.belief().at < belief.at {
                    *here = known;
                }
            }
            Record::Network(network) => {
                let (here, _) = self.networks.meet(name, now, Network::default);
                here.merge(network);
            }
            Record::Told(text, at) => self.tell(name, text, at),
        }
    }

    /// Notes what a session was told, unless something newer is known.
    pub fn tell(&mut self, name: [u8; 16], text: String, at: UnixMillis) {
        let (here, gone) = self.told.meet(name, at, || (String::new(), at));
        if here.1 <= at {
            *here = (text, at);
        }
        METRICS.session_evictions.inc_by(u64::from(gone.is_some()));
    }

    /// What a session was told last, as far as it is known here.
    #[must_use]
    pub fn told(&self, name: &[u8; 16]) -> Option<&str> {
        self.told.peek(name).map(|(text, _)| text.as_str())
    }

    /// Takes out what other nodes are to be told, `most` records at most.
    pub fn to_share(&mut self, most: usize, now: UnixMillis) -> Vec<(Place, Record)> {
        let mut records = Vec::new();
        while records.len() < most {
            let Some(place) = self.outbox.as_mut().and_then(Outbox::pop) else {
                break;
            };
            let record = match place.kind {
                Kind::Session => self.sessions.peek(Who(place.name)).and_then(|session| {
                    let estimate = session.estimate(now)?;
                    Some(Record::Session(session.site.to_string(), estimate))
                }),
                Kind::Client => {
                    let known = self.clients.peek(&place.name);
                    known.map(|known| Record::Client(known.belief(), known.by()))
                }
                Kind::Network => self
                    .networks
                    .peek(&place.name)
                    .cloned()
                    .map(Record::Network),
                Kind::Told => {
                    let told = self.told.peek(&place.name).cloned();
                    told.map(|(text, at)| Record::Told(text, at))
                }
            };
            records.extend(record.map(|record| (place, record)));
        }
        records
    }

    /// Counts the sessions that have ended, forgets those that are over, `most` at most each.
    pub fn tidy(&mut self, most: usize, now: UnixMillis) {
        let silent = now.before(limits::SESSION_SILENCE_MAX);
        for _ in 0..most {
            let Some(who) = self.sessions.next_silent(silent) else {
                break;
            };
            self.end(who, now);
        }
        let over = now.before(limits::SESSION_LIFE);
        let useless = now.before(limits::BELIEF_LIFE);
        for _ in 0..most {
            let gone = self.sessions.pop_before(over);
            let session = gone.is_some();
            if let Some(gone) = gone {
                self.aliases.forget(gone.who);
            }
            let client = self.clients.pop_before(useless).is_some();
            let network = self.networks.pop_before(useless).is_some();
            let asked = self.asked.pop_before(silent).is_some();
            let told = self.told.pop_before(over).is_some();
            if !(session || client || network || asked || told) {
                break;
            }
        }
    }

    /// Takes out how sessions have played that have ended.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// How many sessions are known.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn end(&mut self, who: Who, now: UnixMillis) {
        let Some(session) = self.sessions.peek_mut(who) else {
            return;
        };
        if std::mem::replace(&mut session.ended, true) {
            return;
        }
        self.ended.extend(session.over());
        session.playback = Playback::default();
        // What others go by is not for anybody to say: sessions cost nothing to make up.
        let Some(estimate) = session.estimator.measured(now) else {
            return;
        };
        let shown = Belief::of_estimate(&estimate);
        if let Some(site) = self.sites.get_mut(&session.site) {
            site.ended(&shown);
        }
        if let Some(client) = session.client {
            let ([own, _], [network, _]) = (client.own, client.network);
            let (aggregate, _) = self.networks.meet(network, now, Network::default);
            aggregate.ended(own, &shown);
            self.changed(Kind::Network, network);
        }
    }
}

#[cfg(test)]
mod tests;
