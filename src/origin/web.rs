//! A plain web server as origin: status and headers as they are, but for hop-by-hop ones.

use crate::origin::Fetch;
use crate::origin::endpoint::Endpoint;
use crate::origin::request::Place;
use crate::origin::store::{Dialect, Store};

/// A plain web server.
pub struct Web {
    /// Host header and SNI name in place of the endpoint's.
    pub host: Option<String>,
    /// Path put before every key, without trailing slash.
    pub prefix: String,
}

impl Store for Web {
    fn dialect(&self) -> Dialect {
        Dialect::Web
    }

    fn place(&self, endpoint: &Endpoint, fetch: &Fetch) -> Option<Place> {
        let (authority, sni) = match &self.host {
            None => (endpoint.authority(), endpoint.host.clone()),
            Some(host) => (host.clone(), without_port(host).to_owned()),
        };
        let query = fetch.query.as_deref();
        let (mark, query) = query.map_or(("", ""), |query| ("?", query));
        let target = format!("{}{}{mark}{query}", self.prefix, fetch.path);
        Some(Place {
            authority,
            sni,
            target,
        })
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_host_stands_in_for_the_endpoint_s() {
        let endpoint = Endpoint::of(&"https://10.0.0.1:8443".parse().unwrap()).unwrap();
        let fetch = Fetch {
            path: "/a".into(),
            query: Some("v=1".into()),
            ..Fetch::default()
        };
        let mut web = Web {
            host: None,
            prefix: "/base".into(),
        };
        let place = web.place(&endpoint, &fetch).unwrap();
        assert_eq!(place.authority, "10.0.0.1:8443");
        assert_eq!(place.target, "/base/a?v=1");
        web.host = Some("cdn.example:8443".into());
        let place = web.place(&endpoint, &fetch).unwrap();
        assert_eq!(
            (place.authority.as_str(), place.sni.as_str()),
            ("cdn.example:8443", "cdn.example")
        );
    }
}
