//! Unsafe methods on plain HTTP origins: passed through Pingora's own upstream path, once.
//!
//! There is no retry and no cache on this way: such a request may change something. What the cache
//! holds of the target is forgotten on this node when the origin agreed (RFC 9111 section 4.4).

use http::header::HOST;
use http::{StatusCode, Uri};
use pingora::http::RequestHeader;
use pingora::protocols::ALPN;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr};

use crate::config::{Origin, Site, Store};
use crate::http::via;
use crate::proxy::headers::REQUEST_ID;
use crate::route::Route;

/// The status for a request whose way to the origin failed.
pub(super) fn status_of(error: &Error) -> StatusCode {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
            StatusCode::GATEWAY_TIMEOUT
        }
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// Whether a site's origin takes methods other than GET and HEAD.
pub(super) fn takes_unsafe(site: &Site) -> bool {
    matches!(site.origin.store, Store::Web { .. })
}

/// Finds the peer of the first endpoint. The name is resolved here, since Pingora would block on it
/// and panic when it is unknown.
///
/// # Errors
/// An endpoint that cannot be resolved.
pub(super) async fn peer(site: &Site) -> pingora::Result<Box<HttpPeer>> {
    let endpoint = endpoint_of(&site.origin)?;
    let address = tokio::time::timeout(
        site.deadlines.connect,
        tokio::net::lookup_host(endpoint.authority.as_str()),
    )
    .await
    .or_err(ErrorType::ConnectTimedout, "resolving an origin")?
    .or_err(ErrorType::ConnectError, "resolving an origin")?
    .next()
    .ok_or_else(|| Error::explain(ErrorType::ConnectError, "an origin without address"))?;
    let mut peer = HttpPeer::new(address, endpoint.secure, endpoint.name);
    peer.options.connection_timeout = Some(site.deadlines.connect);
    peer.options.total_connection_timeout = Some(site.deadlines.connect);
    peer.options.read_timeout = Some(site.deadlines.first_byte);
    peer.options.write_timeout = Some(site.deadlines.stall);
    peer.options.alpn = ALPN::H1;
    Ok(Box::new(peer))
}

/// Rewrites a client's request into one for the origin: path and host are the route's.
///
/// # Errors
/// A route that makes no URI; none is known.
pub(super) fn rewrite(request: &mut RequestHeader, route: &Route) -> pingora::Result<()> {
    let origin = &route.site.origin;
    let query = route.origin_query.as_deref();
    let target = match query {
        Some(query) => format!("{}{}?{query}", origin.prefix, route.origin_path),
        None => format!("{}{}", origin.prefix, route.origin_path),
    };
    let uri = Uri::try_from(target).or_err(ErrorType::InternalError, "the origin's target")?;
    request.set_uri(uri);
    let endpoint = endpoint_of(origin)?;
    let host = match &origin.store {
        Store::Web { host: Some(host) } => host.as_str(),
        _ => endpoint.host_field.as_str(),
    };
    request.insert_header(HOST, host)?;
    let passages = via::passages(&request.headers);
    request.insert_header(via::CDN_LOOP, via::cdn_loop(passages))?;
    request.remove_header(&REQUEST_ID);
    Ok(())
}

/// An endpoint's parts as the connector wants them.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    /// Host and port to connect to.
    authority: String,
    /// Host header, with the port where it is not the scheme's own.
    host_field: String,
    /// SNI name.
    name: String,
    secure: bool,
}

fn endpoint_of(origin: &Origin) -> pingora::Result<Endpoint> {
    let first = origin.endpoints.first();
    let uri: Uri = first
        .and_then(|endpoint| endpoint.parse().ok())
        .ok_or_else(|| Error::explain(ErrorType::InternalError, "an origin without endpoint"))?;
    let secure = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let named = match &origin.store {
        Store::Web { host: Some(name) } => name.split(':').next().unwrap_or(host),
        _ => host,
    };
    Ok(Endpoint {
        authority: format!("{host}:{port}"),
        host_field: uri
            .authority()
            .map_or_else(String::new, ToString::to_string),
        name: named.to_owned(),
        secure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn origin(endpoint: &str, host: Option<&str>) -> Origin {
        Origin {
            store: Store::Web {
                host: host.map(str::to_owned),
            },
            endpoints: vec![endpoint.to_owned()],
            prefix: String::new(),
            ca: None,
            http2: false,
            health_path: None,
            health_interval: Duration::from_secs(1),
        }
    }

    #[test]
    fn an_endpoint_without_port_gets_the_one_of_its_scheme() {
        let cases = [
            ("http://o.test", "o.test:80", "o.test", false),
            ("https://o.test", "o.test:443", "o.test", true),
            ("https://o.test:8443", "o.test:8443", "o.test:8443", true),
        ];
        for (text, authority, host_field, secure) in cases {
            let endpoint = endpoint_of(&origin(text, None)).unwrap();
            assert_eq!(endpoint.authority, authority);
            assert_eq!(endpoint.host_field, host_field);
            assert_eq!(
                (endpoint.name.as_str(), endpoint.secure),
                ("o.test", secure)
            );
        }
    }

    #[test]
    fn a_configured_host_is_the_sni_name() {
        let endpoint = endpoint_of(&origin("https://192.0.2.1", Some("o.test"))).unwrap();
        assert_eq!(endpoint.name, "o.test");
    }
}
