//! What a URI of a playlist, a player or an origin leads to, where it may be brought ahead. Pure.
//!
//! A URI passes the same door as a request ([`route::route`]), so that nothing is asked of an
//! origin that no client could ask of this node. Of what is no segment, nothing is brought: keys
//! are for those who ask for them, and pages are not what players ask for next.

use std::sync::Arc;

use http::{Method, Version};

use crate::asset::Kind;
use crate::config::Site;
use crate::key::Key;
use crate::route::host::Host;
use crate::route::{self, Head, Purpose};

/// The object that `uri` leads to from the object at `base`, a canonical path.
///
/// `None` for other hosts and schemes, variables, what no client could ask for, and what is
/// neither a segment (of media or subtitles), nor a file of media, nor a playlist.
#[must_use]
pub fn resolve(site: &Arc<Site>, base: &str, uri: &str) -> Option<Key> {
    if uri.contains("{$") {
        return None;
    }
    let uri = uri.split('#').next().filter(|uri| !uri.is_empty())?;
    let target = match below_own_host(site, uri)? {
        target if target.starts_with('/') => target.to_owned(),
        target => format!("{}{target}", directory(base)),
    };
    let route = route::route(
        std::slice::from_ref(site),
        &Head {
            method: &Method::GET,
            version: Version::HTTP_11,
            target: &target,
            authority: Some(authority(site)),
            accept: None,
        },
    );
    let route = route.ok()?;
    let is_media = matches!(
        route.kind,
        Kind::Segment | Kind::Subtitle | Kind::File | Kind::HlsManifest
    );
    (is_media && route.purpose == Purpose::Object).then_some(route.key)
}

/// A path with its last segment cut off: up to the last slash, which stays.
#[must_use]
pub fn directory(path: &str) -> &str {
    let end = path.rfind('/').map_or(0, |slash| slash + 1);
    path.get(..end).unwrap_or("/")
}

/// Path and query, or a relative reference; `None` where the URI leads elsewhere.
fn below_own_host<'a>(site: &Site, uri: &'a str) -> Option<&'a str> {
    let colon = uri.find([':', '/', '?']);
    let scheme = colon.filter(|at| uri.as_bytes().get(*at) == Some(&b':'));
    let rest = match scheme {
        Some(at) => {
            let (scheme, rest) = uri.split_at_checked(at)?;
            let is_web = ["http", "https"]
                .iter()
                .any(|web| scheme.eq_ignore_ascii_case(web));
            rest.strip_prefix(':').filter(|_| is_web)?
        }
        None => uri,
    };
    let Some(hierarchy) = rest.strip_prefix("//") else {
        return scheme.is_none().then_some(rest);
    };
    let end = hierarchy.find(['/', '?']).unwrap_or(hierarchy.len());
    let (authority, target) = hierarchy.split_at_checked(end)?;
    let host = Host::parse(authority).ok()?;
    let is_own = site.hosts.iter().any(|own| own == host.as_str());
    (is_own && target.starts_with('/')).then_some(target)
}

/// A host that the site is found by.
fn authority(site: &Site) -> &str {
    let named = site.hosts.iter().find(|host| *host != "*");
    named.map_or("localhost", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn site(hosts: &[&str]) -> Arc<Site> {
        let hosts: Vec<_> = hosts.iter().map(|host| format!("{host:?}")).collect();
        let text = format!(
            "[[site]]\nname = \"v\"\nhosts = [{}]\norigin = \"http://127.0.0.1:1\"\n",
            hosts.join(", ")
        );
        let config = config::Config::parse(&text, std::path::Path::new("/")).unwrap();
        Arc::clone(&config.sites[0])
    }

    #[test]
    fn a_uri_leads_where_a_client_could_go_and_nowhere_else() {
        let site = site(&["edge.example.com"]);
        for (uri, expected) in [
            ("seg2.m4s", Some("/t/v/seg2.m4s")),
            ("./seg2.m4s#x", Some("/t/v/seg2.m4s")),
            ("../a/seg2.ts", Some("/t/a/seg2.ts")),
            ("/other/seg.ts", Some("/other/seg.ts")),
            ("/~session/t/v/seg.ts", Some("/t/v/seg.ts")),
            ("http://edge.example.com/x.ts", Some("/x.ts")),
            ("//EDGE.example.com:8080/x.ts", Some("/x.ts")),
            ("p/list.m3u8", Some("/t/v/p/list.m3u8")),
            ("all.mp4", Some("/t/v/all.mp4")),
            ("s.vtt", Some("/t/v/s.vtt")),
            ("../../../etc/passwd.ts", None),
            ("..%2f..%2fx.ts", None),
            ("%2e%2e/x.ts", None),
            ("a\\..\\x.ts", None),
            ("/adaptive_stream/x.m3u8", None),
            ("//other.example.com/x.ts", None),
            ("https://other.example.com/x.ts", None),
            ("http://user@edge.example.com/x.ts", None),
            ("http://edge.example.com", None),
            ("data:video/mp2t,x.ts", None),
            ("skd://x.ts", None),
            ("http:x.ts", None),
            ("{$base}/x.ts", None),
            ("k.key", None),
            ("page.html", None),
            ("no-extension", None),
            ("", None),
            ("#x.ts", None),
            ("a b.ts", None),
        ] {
            let key = resolve(&site, "/t/v/seg1.m4s", uri);
            assert_eq!(key.as_ref().map(Key::path), expected, "{uri}");
        }
    }

    #[test]
    fn a_site_of_any_host_knows_its_objects_by_path() {
        let site = site(&["*"]);
        let key = resolve(&site, "/v/1.ts", "2.ts");
        assert_eq!(key.as_ref().map(Key::as_str), Some("v /v/2.ts"));
        assert!(resolve(&site, "/v/1.ts", "http://localhost/2.ts").is_none());
    }
}
