//! What a successful unsafe method makes the cache forget (RFC 9111 section 4.4).
//!
//! Memory forgets at once. Where there is Redis the change goes to the purge log as well, since
//! the shared copy and other nodes' would come back otherwise. Any client of the site can cause
//! this, so the log takes only so many in a second.

use std::time::Instant;

use http::header::{CONTENT_LOCATION, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::config::Profile;
use crate::http::tags;
use crate::key::Key;
use crate::metrics::METRICS;
use crate::origin::endpoint::Scheme;
use crate::proxy::exchange::Exchange;
use crate::proxy::reference::Base;
use crate::proxy::{Edge, request};
use crate::purge::order::Scope;
use crate::route::{self, Head};

/// Whether the log may be told of one more change; counts where it may not.
fn allows(edge: &Edge) -> bool {
    let is_allowed = edge.invalidations.take(Instant::now());
    if !is_allowed {
        METRICS.invalidations_skipped.inc();
    }
    is_allowed
}

/// Forgets what a passed request changed, as its answer tells: the target, what Location and
/// Content-Location name of the same origin, and the cache groups that it invalidates (RFC 9875
/// section 3). The answer itself is kept where it may answer later GETs.
pub(super) async fn follow(
    edge: &Edge,
    session: &Session,
    response: &ResponseHeader,
    exchange: &mut Exchange,
) {
    let Some(route) = exchange.route.clone() else {
        return;
    };
    let request = session.req_header();
    if !is_change(&request.method, response.status) {
        return;
    }
    let sent = exchange.sent.take();
    let named = |name| named(edge, session, response.headers.get(name)?, exchange);
    let (location, content) = (named(LOCATION), named(CONTENT_LOCATION));
    let source = edge.sources.get(&route.site.name);
    let is_of_target = content.as_ref() == Some(&route.key);
    let answered = sent
        .filter(|_| is_of_target && route.site.profile == Profile::General)
        .and_then(|sent| sent.answered(response));
    if let (Some(answered), Some(source)) = (answered, source)
        && allows(edge)
    {
        let ask = request::ask(edge, source, route.clone(), &request.headers);
        exchange.collected = answered.collect(ask, response, &edge.engine);
    }
    let mut keys: Vec<Key> = location.into_iter().chain(content).collect();
    keys.retain(|key| *key != route.key);
    keys.dedup();
    if exchange.collected.is_none() {
        keys.push(route.key.clone());
    }
    for key in &keys {
        edge.engine.forget(key);
    }
    let groups = tags::group_invalidations(&response.headers);
    let groups = groups.into_iter().map(|name| Scope::Tag {
        site: route.site.name.clone(),
        name,
    });
    let scopes = keys.into_iter().map(Scope::Url).chain(groups);
    let scopes: Vec<_> = scopes.filter(|_| allows(edge)).collect();
    if !scopes.is_empty() {
        // Logged where it failed; this node has forgotten all the same.
        edge.engine.purges().invalidate(scopes).await;
    }
}

/// Whether a request may have changed something, and was agreed to.
fn is_change(method: &Method, status: StatusCode) -> bool {
    let is_safe = method.is_safe() || SAFE.contains(&method.as_str());
    !is_safe && (status.is_success() || status.is_redirection())
}

/// The object of the same site that a reference names, where that is one of the request's origin.
fn named(
    edge: &Edge,
    session: &Session,
    reference: &HeaderValue,
    exchange: &Exchange,
) -> Option<Key> {
    let request = request::head_of(session);
    let uri = &session.req_header().uri;
    let is_tls = session
        .digest()
        .is_some_and(|digest| digest.ssl_digest.is_some());
    let base = Base {
        scheme: if is_tls { Scheme::Https } else { Scheme::Http },
        authority: request.authority.unwrap_or_default(),
        path: uri.path(),
        query: uri.query(),
    };
    let hidden = exchange.destination.as_ref()?.hide(reference)?;
    let target = base.resolve(hidden.to_str().ok()?)?;
    let head = Head {
        method: &Method::GET,
        target: &target,
        accept: None,
        ..request
    };
    let route = route::route(&edge.sites, &head).ok()?;
    let is_same_site = exchange
        .site()
        .is_some_and(|site| site.name == route.site.name);
    is_same_site.then_some(route.key)
}

/// Methods beside those of HTTP itself that are registered as safe.
const SAFE: [&str; 4] = ["PROPFIND", "QUERY", "REPORT", "SEARCH"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_or_is_safe_changes_nothing() {
        for (method, status, expected) in [
            ("POST", 200, true),
            ("DELETE", 204, true),
            ("PUT", 303, true),
            ("M-SEARCH", 200, true),
            ("POST", 404, false),
            ("POST", 500, false),
            ("POST", 103, false),
            ("PROPFIND", 207, false),
            ("GET", 200, false),
        ] {
            let method_ = Method::from_bytes(method.as_bytes()).unwrap();
            let status_ = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_change(&method_, status_), expected, "{method} {status}");
        }
    }
}
