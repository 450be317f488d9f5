//! Whose request it is, what its connection has carried, and what its player says.
//!
//! What was carried before counts for whom it was sent to, what is carried from now on for whoever
//! asks now. Sites whose manifests are left alone measure nobody, and a cache that asks for many
//! is no client.

use http::HeaderValue;
use http::header::USER_AGENT;
use pingora::proxy::Session;

use crate::clock;
use crate::config::adapt::{Carrier, Mode};
use crate::http::via::CDN_LOOP;
use crate::proxy::Edge;
use crate::proxy::exchange::Exchange;
use crate::proxy::meter::Bearer;
use crate::proxy::watch::Active;
use crate::route::Route;
use crate::session::cmcd::{self, Report};
use crate::session::who::Who;

/// Takes a request in, before it is answered.
pub(super) fn attend(session: &Session, exchange: &mut Exchange, edge: &Edge) {
    let header = session.req_header();
    let route = exchange.route.as_ref();
    let is_of_cache = header.headers.contains_key(CDN_LOOP);
    let Some(route) = route.filter(|route| is_measured(route) && !is_of_cache) else {
        return;
    };
    let report = cmcd::of_request(header.uri.query(), &header.headers);
    let bearer = bearer(edge, route, (exchange, session), report.as_ref());
    if let Some(report) = &report {
        let site = &route.site.name;
        edge.sessions
            .reported(site, bearer.who, &bearer.client, report, clock::now());
    }
    exchange.report = report;
    exchange.bearer = Some(bearer.clone());
    if let Some(active) = exchange.active.as_ref().filter(|_| edge.metered) {
        active.carries_for(bearer);
    }
}

/// Takes in what the connection has carried, of whatever answers: when a request arrives, while a
/// long answer goes out, and at its end.
pub(super) fn carried(exchange: &Exchange, edge: &Edge) {
    let Some(measured) = exchange.active.as_ref().and_then(Active::measured) else {
        return;
    };
    let Bearer { site, who, client } = &measured.bearer;
    edge.sessions
        .sampled(&site.name, *who, client, &measured.sample);
}

fn is_measured(route: &Route) -> bool {
    let adapt = &route.site.adapt;
    adapt.mode != Mode::Off && adapt.session != Carrier::Off
}

fn bearer(
    edge: &Edge,
    route: &Route,
    (exchange, session): (&Exchange, &Session),
    report: Option<&Report>,
) -> Bearer {
    let agent = session.req_header().headers.get(USER_AGENT);
    let agent = agent.map_or(&b""[..], HeaderValue::as_bytes);
    let client = edge.sessions.client(exchange.client, agent, clock::now());
    let who = named(edge, route, report);
    Bearer {
        site: route.site.clone(),
        who: who.unwrap_or_else(|| edge.sessions.unnamed(&route.site.name, &client)),
        client,
    }
}

/// Who the request says that it is: by the id in its path, or by its `sid`, which may be an id that
/// this node told the player by an MPD.
fn named(edge: &Edge, route: &Route, report: Option<&Report>) -> Option<Who> {
    let (sessions, site) = (&edge.sessions, &route.site.name);
    let read = |text: &str| Some(sessions.read(site, text, clock::now())?.who);
    if let Some(who) = route.session.as_deref().and_then(read) {
        return Some(who);
    }
    let sid = report?.session.as_deref()?;
    Some(read(sid).unwrap_or_else(|| sessions.named(site, sid)))
}
