//! Whose request it is, what its connection has carried, and what its player says.
//!
//! What was carried before counts for whom it was sent to, what is carried from now on for whoever
//! asks now. Sites whose manifests are left alone measure nobody, and a cache that asks for many
//! is no client.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use http::header::USER_AGENT;
use pingora::proxy::Session;

use crate::clock::{self, UnixMillis};
use crate::config::adapt::{Carrier, Mode};
use crate::http::via::CDN_LOOP;
use crate::proxy::Edge;
use crate::proxy::exchange::Exchange;
use crate::proxy::meter::Bearer;
use crate::proxy::watch::Active;
use crate::route::{COLLECTOR, Purpose, Route};
use crate::session::client::Client;
use crate::session::cmcd;
use crate::session::who::Who;

const HOUR_MILLIS: u64 = 3_600_000;

/// Takes a request in, before it is answered.
pub(super) fn attend(session: &Session, exchange: &mut Exchange, edge: &Edge) {
    let header = session.req_header();
    let route = exchange.route.as_ref();
    let is_of_cache = header.headers.contains_key(CDN_LOOP);
    let Some(route) = route.filter(|route| is_measured(route) && !is_of_cache) else {
        return;
    };
    let report = cmcd::of_request(header.uri.query(), &header.headers);
    let sid = report.as_ref().and_then(|report| report.session.as_deref());
    let asks = Asks {
        edge,
        route,
        address: exchange.client,
        agent: header
            .headers
            .get(USER_AGENT)
            .map_or(b"", HeaderValue::as_bytes),
        sid,
        now: clock::now(),
    };
    let mark = asks.mark();
    let active = exchange.active.as_ref();
    if let Some(active) = active.filter(|_| edge.goes_by_connection(&route.site)) {
        active.asked_by(edge.marks.hash_one(asks.agent), asks.now);
    }
    // The requests of a connection are nearly always of one session.
    let known = active.and_then(|active| active.bearer(mark));
    let bearer = known.unwrap_or_else(|| asks.bearer());
    // A post tells of sessions by its body alone.
    let is_asking = route.origin_path != COLLECTOR;
    if let Some(report) = report.as_ref().filter(|_| is_asking) {
        let site = &route.site.name;
        let (who, client) = (bearer.who, &bearer.client);
        // Each time, since a name may have gone to another session meanwhile, or been forgotten.
        if let Some(sid) = bearer.sid {
            edge.sessions.calls(site, who, sid, client, asks.now);
        }
        edge.sessions.reported(site, who, client, report, asks.now);
    }
    // What this node answers for itself is a few bytes, asked for between segments of a session
    // that it may not name: to count them for another would cut that session's samples.
    if let Some(active) = active.filter(|_| route.purpose != Purpose::Service) {
        active.carries_for(mark, bearer.clone());
        if edge.metered {
            active.meter();
        }
    }
    exchange.report = report;
    exchange.bearer = Some(bearer);
}

/// Takes in what the connection has carried, of whatever answers: when a request arrives, while a
/// long answer goes out, and at its end.
pub(super) fn carried(exchange: &Exchange, edge: &Edge) {
    let Some(measured) = exchange.active.as_ref().and_then(Active::measured) else {
        return;
    };
    let Bearer {
        site, who, client, ..
    } = &measured.bearer;
    edge.sessions
        .sampled(&site.name, *who, client, &measured.sample);
}

fn is_measured(route: &Route) -> bool {
    let adapt = &route.site.adapt;
    adapt.mode != Mode::Off && adapt.session != Carrier::Off
}

/// All that tells whose a request is.
struct Asks<'a> {
    edge: &'a Edge,
    route: &'a Route,
    address: Option<IpAddr>,
    agent: &'a [u8],
    /// What the player says that its session is.
    sid: Option<&'a str>,
    now: UnixMillis,
}

impl Asks<'_> {
    /// The same for requests of one connection, and so of one address, that say the same; anew
    /// each hour, since ids expire and the hashes of addresses change.
    fn mark(&self) -> u64 {
        let asked = (&self.route.site.name, &self.route.session);
        let hour = self.now.0 / HOUR_MILLIS;
        let marks = &self.edge.marks;
        marks.hash_one((asked, self.agent, self.sid, hour))
    }

    fn bearer(&self) -> Bearer {
        let sessions = &self.edge.sessions;
        let client = sessions.client(self.address, self.agent, self.now);
        let (who, sid) = self.who(&client);
        Bearer {
            site: Arc::clone(&self.route.site),
            who,
            sid,
            client,
        }
    }

    /// Who the request says that it is: by the id in its path, or by its `sid`, which may be an id
    /// that this node told the player by an MPD, or one that came with the id of a path before.
    /// Beside the id of a path, what its player calls itself.
    fn who(&self, client: &Client) -> (Who, Option<Who>) {
        let (sessions, site) = (&self.edge.sessions, &self.route.site.name);
        let read = |text: &str| Some(sessions.read(site, text, self.now)?.who);
        let signed = self.route.session.as_deref().and_then(read);
        match (signed, self.sid) {
            (Some(who), sid) => {
                let made_up = |sid| sessions.made_up(site, sid, self.now);
                (who, sid.and_then(made_up))
            }
            (None, Some(sid)) => (sessions.told(site, sid, client, self.now), None),
            (None, None) => (sessions.unnamed(site, client), None),
        }
    }
}
