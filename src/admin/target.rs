//! A URL given to the admin listener, routed as a player's request would be.

use std::sync::Arc;

use http::{Method, Uri, Version};
use percent_encoding::percent_decode_str;

use crate::cache::engine::{Ask, Source};
use crate::route::{self, Head, Route};

/// Why a URL names no object of this node.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// It is none, or has no host.
    #[error("expected an absolute URL such as http://host/path")]
    Url,
    /// A request for it would be refused.
    #[error("a request for it would be refused: {0}")]
    Refused(&'static str),
}

/// Routes a URL as every kind of player would have it: one that stands for a manifest stands for
/// that of HLS and that of DASH.
pub(super) fn routes(sources: &[Arc<Source>], url: &str) -> Result<Vec<Route>, Error> {
    let mut routes = vec![accepting(sources, url, None)?];
    let dash = accepting(sources, url, Some(DASH))?;
    if routes.iter().all(|route| route.key != dash.key) {
        routes.push(dash);
    }
    Ok(routes)
}

/// Routes a URL.
pub(super) fn route(sources: &[Arc<Source>], url: &str) -> Result<Route, Error> {
    accepting(sources, url, None)
}

/// What a player of DASH says that it accepts.
const DASH: &str = "application/dash+xml";

fn accepting(sources: &[Arc<Source>], url: &str, accept: Option<&str>) -> Result<Route, Error> {
    let uri: Uri = url.parse().map_err(|_| Error::Url)?;
    let authority = uri.authority().ok_or(Error::Url)?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let head = Head {
        method: &Method::GET,
        version: Version::HTTP_11,
        target,
        authority: Some(authority.as_str()),
        accept,
    };
    let sites: Vec<_> = sources
        .iter()
        .map(|source| Arc::clone(&source.site))
        .collect();
    route::route(&sites, &head).map_err(|refusal| Error::Refused(refusal.as_str()))
}

/// What the engine is asked for a route: the whole object.
pub(super) fn ask(sources: &[Arc<Source>], route: Route) -> Option<Ask> {
    let of_site = |source: &&Arc<Source>| source.site.name == route.site.name;
    let source = sources.iter().find(of_site)?;
    Some(Ask::whole(source, route))
}

/// Reads the parameter `url` of a query.
pub(super) fn url_in(query: &str) -> Option<String> {
    let value = query
        .split('&')
        .find_map(|parameter| parameter.strip_prefix("url="))?;
    let text = percent_decode_str(value).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_parameter_may_be_encoded_or_plain() {
        let cases = [
            ("url=http://h/a", Some("http://h/a")),
            ("x=1&url=http%3A%2F%2Fh%2Fa%3Fb", Some("http://h/a?b")),
            ("url=%ff", None),
            ("uri=http://h/a", None),
            ("", None),
        ];
        for (query, url) in cases {
            assert_eq!(url_in(query).as_deref(), url, "{query}");
        }
    }

    #[test]
    fn a_url_without_host_is_none() {
        for url in ["/path", "", "http://", "not a url"] {
            assert_eq!(route(&[], url).err(), Some(Error::Url), "{url}");
        }
    }
}
