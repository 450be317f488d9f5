//! What a command or a query names, found as a player's request would be.

use std::sync::Arc;

use http::{Method, Uri, Version};
use percent_encoding::percent_decode_str;

use crate::cache::ask::{Ask, Source};
use crate::config::Site;
use crate::http::forward::Fields;
use crate::purge::command::{Command, Target};
use crate::purge::order::{Order, Scope};
use crate::route::host::{self, Host};
use crate::route::{self, Head, Refusal, Route, path};

/// Why a URL or a name means nothing to this node.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// It is no URL, or has no host.
    #[error("url = {0:?}: expected an absolute URL such as http://host/path")]
    Url(String),
    /// A request for it would be refused.
    #[error("url = {url:?}: expected what a player may ask for; this would be refused: {reason}")]
    Refused {
        /// The URL.
        url: String,
        /// Why a player would be refused.
        reason: &'static str,
    },
    /// It begins no URL of a site.
    #[error(
        "prefix = {prefix:?}: expected scheme, host and beginning of a path without query, such \
         as http://host/directory/: {reason}"
    )]
    Prefix {
        /// The prefix.
        prefix: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A prefix of URLs that templates turn into others.
    #[error(
        "prefix = {0:?}: expected where objects lie: /stream/<id> and /adaptive_stream/<id> stand \
         for other paths; purge these by url, or by the prefix of the paths that they stand for"
    )]
    Founding(String),
    /// No site has this name.
    #[error("site = {name:?}: expected one of the names of sites: {known}")]
    Site {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
}

/// What a command means in terms of the log.
pub(super) fn orders(sources: &[Arc<Source>], command: &Command) -> Result<Vec<Order>, Error> {
    let scopes = match &command.target {
        Target::Url(url) => {
            let routes = routes(sources, url)?.into_iter();
            routes.map(|route| Scope::Url(route.key)).collect()
        }
        Target::Prefix(text) => vec![prefix(sources, text)?],
        Target::Site(name) => vec![Scope::Site(site(sources, name)?)],
        Target::Tags { site: name, tags } => {
            let site = site(sources, name)?;
            let scope = |name: &String| {
                let (site, name) = (site.clone(), name.clone());
                Scope::Tag { site, name }
            };
            tags.iter().map(scope).collect()
        }
    };
    let mode = command.mode;
    let order = |scope| Order { scope, mode };
    Ok(scopes.into_iter().map(order).collect())
}

/// The founding URLs, which name objects by template.
const FOUNDING: [&str; 2] = ["/stream", "/adaptive_stream"];

fn prefix(sources: &[Arc<Source>], text: &str) -> Result<Scope, Error> {
    let wrong = |reason: &'static str| Error::Prefix {
        prefix: text.to_owned(),
        reason,
    };
    let refused = |refusal: Refusal| wrong(refusal.as_str());
    let (scheme, rest) = text.split_once("://").ok_or(wrong("not a URL"))?;
    let schemes = ["http", "https"];
    if !schemes
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err(wrong("not of http"));
    }
    let (authority, rest) = rest.split_once('/').ok_or(wrong("no path"))?;
    if rest.ends_with('*') {
        return Err(wrong("to be written without *, what begins so is meant"));
    }
    let host = Host::parse(authority).map_err(refused)?;
    let sites = sites(sources);
    let site = host::find(&sites, Some(&host)).ok_or(wrong(Refusal::UnknownHost.as_str()))?;
    let path = path::canonical(&format!("/{rest}")).map_err(refused)?;
    // It may be what stands in a player's log.
    let (_, path) = route::without_session(site, path).map_err(refused)?;
    let is_founding = |name: &str| {
        let rest = path.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.rfind('/') == Some(0))
    };
    if FOUNDING.into_iter().any(is_founding) {
        return Err(Error::Founding(text.to_owned()));
    }
    let site = site.name.clone();
    Ok(Scope::Prefix { site, path })
}

fn site(sources: &[Arc<Source>], name: &str) -> Result<String, Error> {
    let mut names = sources.iter().map(|source| source.site.name.as_str());
    if names.clone().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let known = names.by_ref().collect::<Vec<_>>().join(", ");
    let name = name.to_owned();
    Err(Error::Site { name, known })
}

fn sites(sources: &[Arc<Source>]) -> Vec<Arc<Site>> {
    sources
        .iter()
        .map(|source| Arc::clone(&source.site))
        .collect()
}

/// Routes a URL as every kind of player would have it: one that stands for a manifest stands for
/// that of HLS and that of DASH.
fn routes(sources: &[Arc<Source>], url: &str) -> Result<Vec<Route>, Error> {
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
    let none = || Error::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| none())?;
    // A host alone is an authority to the parser: a path forgotten must not pass for `/`.
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(none());
    }
    let authority = uri.authority().ok_or_else(none)?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let head = Head {
        method: &Method::GET,
        version: Version::HTTP_11,
        target,
        authority: Some(authority.as_str()),
        accept,
    };
    route::route(&sites(sources), &head).map_err(|refusal| Error::Refused {
        url: url.to_owned(),
        reason: refusal.as_str(),
    })
}

/// What the engine is asked for a route: the whole object.
pub(super) fn ask(sources: &[Arc<Source>], route: Route) -> Option<Ask> {
    let of_site = |source: &&Arc<Source>| source.site.name == route.site.name;
    let source = sources.iter().find(of_site)?;
    Some(Ask::whole(source, route, Fields::none()))
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
    use crate::origin::build;

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

    fn sources() -> Vec<Arc<Source>> {
        let source = |name: &str| {
            let site = Site {
                name: name.to_owned(),
                hosts: vec![format!("{name}.example")],
                ..Site::sample()
            };
            let origin = build::build(&site).unwrap();
            let site = Arc::new(site);
            Arc::new(Source { site, origin })
        };
        ["vod", "live"].map(source).to_vec()
    }

    /// The words of the log that a body comes to, or what is said of it.
    fn words(body: &str) -> Result<Vec<String>, String> {
        let command = Command::parse(body.as_bytes()).map_err(|error| error.to_string())?;
        let orders = orders(&sources(), &command).map_err(|error| error.to_string())?;
        Ok(orders.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_command_comes_to_orders_in_canonical_words() {
        for (body, expected) in [
            (
                r#"{"url": "https://VOD.example:8443/%61/../b.m4s?x=1"}"#,
                &["url vod /b.m4s"][..],
            ),
            (
                r#"{"url": "http://vod.example/adaptive_stream/7", "soft": true}"#,
                &[
                    "soft-url vod /7/master.m3u8",
                    "soft-url vod /7/manifest.mpd",
                ],
            ),
            (
                r#"{"prefix": "https://live.example./a%7eb/./%63"}"#,
                &["prefix live /a~b/c"],
            ),
            (r#"{"prefix": "http://vod.example/"}"#, &["prefix vod /"]),
            (
                r#"{"prefix": "http://vod.example/~id/a/"}"#,
                &["prefix vod /a/"],
            ),
            (
                r#"{"prefix": "http://vod.example/stream/a/b"}"#,
                &["prefix vod /stream/a/b"],
            ),
            (
                r#"{"prefix": "http://vod.example/streams"}"#,
                &["prefix vod /streams"],
            ),
            (
                r#"{"tags": ["a", "b c"], "site": "vod", "soft": true}"#,
                &["soft-tag vod a", "soft-tag vod b c"],
            ),
            (r#"{"site": "live"}"#, &["site live"]),
        ] {
            let expected = expected.iter().map(ToString::to_string).collect();
            assert_eq!(words(body), Ok(expected), "{body}");
        }
    }

    #[test]
    fn what_names_nothing_here_is_refused_with_its_reason() {
        for (body, said) in [
            (r#"{"url": "/a"}"#, "url = \"/a\": expected an absolute URL"),
            (r#"{"url": "http://other.example/a"}"#, "unknown-host"),
            (r#"{"url": "http://vod.example/a%2Fb"}"#, "encoded-slash"),
            (r#"{"prefix": "/a/"}"#, "prefix = \"/a/\": expected scheme"),
            (r#"{"prefix": "ftp://vod.example/a/"}"#, "not of http"),
            (r#"{"prefix": "http://vod.example"}"#, "no path"),
            (r#"{"prefix": "http://other.example/a/"}"#, "unknown-host"),
            (r#"{"prefix": "http://vod.example/a?b"}"#, "target-form"),
            (r#"{"prefix": "http://vod.example/a/*"}"#, "without *"),
            (
                r#"{"prefix": "http://vod.example/stream/"}"#,
                "expected where objects lie",
            ),
            (
                r#"{"prefix": "http://vod.example/stream"}"#,
                "expected where objects lie",
            ),
            (
                r#"{"prefix": "http://vod.example/adaptive_stream/7"}"#,
                "expected where objects lie",
            ),
            (
                r#"{"site": "vod.example"}"#,
                "expected one of the names of sites: vod, live",
            ),
            (
                r#"{"site": "x", "tag": "a"}"#,
                "site = \"x\": expected one of",
            ),
        ] {
            let error = words(body).unwrap_err();
            assert!(error.contains(said), "{body}: {error}");
        }
    }

    #[test]
    fn a_url_without_host_is_none() {
        for url in [
            "/path",
            "",
            "http://",
            "not a url",
            "h",
            "h:80",
            "ftp://h/a",
        ] {
            let expected = Some(Error::Url(url.to_owned()));
            assert_eq!(route(&[], url).err(), expected, "{url}");
        }
    }
}
