//! `[[site]]`: which hosts are served, and by what rules.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::super::file;
use super::super::given::Given;
use super::super::{Deadlines, Paths, Profile, QueryPolicy, Site, Store};
use super::url::{canonical_host, is_endpoint, is_key};
use super::{Check, NAME, is_name, quoted};

/// A handshake across a continent takes 0.3 s; a second covers one lost packet.
const CONNECT: Duration = Duration::from_secs(1);

/// Object stores answer cold objects within seconds; players give up after about ten.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// A store that sends nothing for as long as a segment plays will not finish it in time.
const STALL: Duration = Duration::from_secs(10);

/// One try and two more: enough for a dead endpoint and a broken body, no storm on a sick store.
const TRIES: u32 = 3;

/// As many as one origin host serves well; the rest waits its turn, so that a purge of everything
/// is no herd.
const ORIGIN_REQUESTS: u32 = 256;

/// Templates of the founding URLs.
const STREAM: &str = "{id}.mp4";
/// See [`STREAM`].
const HLS: &str = "{id}/master.m3u8";
/// See [`STREAM`].
const DASH: &str = "{id}/manifest.mpd";

impl Check<'_> {
    pub(super) fn sites(&mut self, shapes: Vec<file::Site>) -> Vec<Arc<Site>> {
        if shapes.is_empty() {
            self.miss("site", "at least one [[site]]");
        }
        let mut sites: Vec<Arc<Site>> = Vec::new();
        let mut taken: Vec<String> = Vec::new();
        for (index, shape) in shapes.into_iter().enumerate() {
            let at = format!("site[{index}]");
            if let Some(site) = self.site(&at, shape, &mut taken) {
                if sites.iter().any(|other| other.name == site.name) {
                    self.refuse(
                        &format!("{at}.name"),
                        &quoted(&site.name),
                        "a name used once",
                    );
                }
                sites.push(Arc::new(site));
            }
        }
        sites
    }

    fn site(&mut self, at: &str, mut shape: file::Site, taken: &mut Vec<String>) -> Option<Site> {
        let hosts = self.hosts(at, std::mem::take(&mut shape.hosts), taken);
        let name = self.text(&format!("{at}.name"), shape.name.take(), is_name, NAME);
        let origin = self.origin(at, &mut shape);
        let web = origin
            .as_ref()
            .is_none_or(|origin| matches!(origin.store, Store::Web { .. }));
        let profile = self.profile(at, shape.profile, web);
        let methods = self.methods(at, shape.methods, web, profile);
        let query = self.query(at, shape.query, profile);
        let cors = self.cors(at, shape.cors, profile);
        let deadlines = self.deadlines(at, shape.deadlines);
        let paths = self.paths(at, shape.paths);
        let lifetimes = self.lifetimes(at, shape.lifetimes, profile);
        let caching = self.caching(at, shape.caching, profile);
        let adapt = self.adapt(at, shape.adapt, profile);
        let requests = format!("{at}.origin_requests");
        let requests = self.number(
            &requests,
            shape.origin_requests,
            1..=65_536,
            ORIGIN_REQUESTS,
        );
        let name = name.or_else(|| hosts.first().map(|host| default_name(host)))?;
        Some(Site {
            name,
            hosts,
            origin: origin?,
            deadlines,
            paths,
            methods,
            query,
            cors,
            lifetimes,
            profile,
            caching,
            origin_requests_max: usize::try_from(requests).unwrap_or(usize::MAX),
            adapt,
        })
    }

    fn profile(&mut self, at: &str, given: Option<Given<Profile>>, web: bool) -> Profile {
        let key = format!("{at}.profile");
        let profile = self.value(&key, given).unwrap_or(Profile::Video);
        if profile == Profile::General && !web {
            let expected = "\"video\"; \"general\" only with http:// and https:// origins";
            self.refuse(&key, &quoted("general"), expected);
        }
        profile
    }

    fn hosts(
        &mut self,
        at: &str,
        given: Vec<Given<String>>,
        taken: &mut Vec<String>,
    ) -> Vec<String> {
        let mut hosts = Vec::new();
        if given.is_empty() {
            self.miss(
                &format!("{at}.hosts"),
                "at least one host name, or \"*\" for any",
            );
        }
        for (index, host) in given.into_iter().enumerate() {
            let key = format!("{at}.hosts[{index}]");
            let Some(host) = self.value(&key, Some(host)) else {
                continue;
            };
            let spelt = if host == "*" {
                Some(host.clone())
            } else {
                canonical_host(&host)
            };
            match spelt {
                None => {
                    let expected = "a host name without port, or \"*\" for any";
                    self.refuse(&key, &quoted(&host), expected);
                }
                Some(host) if taken.contains(&host) => {
                    self.refuse(&key, &quoted(&host), "a host that no other entry names");
                }
                Some(host) => {
                    taken.push(host.clone());
                    hosts.push(host);
                }
            }
        }
        hosts
    }

    fn methods(
        &mut self,
        at: &str,
        given: Option<Vec<Given<String>>>,
        web: bool,
        profile: Profile,
    ) -> Vec<Method> {
        let own = [Method::GET, Method::HEAD, Method::OPTIONS];
        let others = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let Some(given) = given else {
            return match profile {
                Profile::Video => own.to_vec(),
                Profile::General => [&own[..], &others[..]].concat(),
            };
        };
        let mut methods = Vec::new();
        for (index, method) in given.into_iter().enumerate() {
            let key = format!("{at}.methods[{index}]");
            let Some(text) = self.value(&key, Some(method)) else {
                continue;
            };
            let upper = !text.bytes().any(|byte| byte.is_ascii_lowercase());
            let Some(method) = Method::from_bytes(text.as_bytes()).ok().filter(|_| upper) else {
                self.refuse(&key, &quoted(&text), "a method in upper case");
                continue;
            };
            if method == Method::CONNECT || method == Method::TRACE {
                self.refuse(&key, &quoted(&text), "neither CONNECT nor TRACE");
            } else if !web && !own.contains(&method) {
                let expected =
                    "GET, HEAD or OPTIONS; others only with http:// and https:// origins";
                self.refuse(&key, &quoted(&text), expected);
            } else if !methods.contains(&method) {
                methods.push(method);
            }
        }
        if !methods.contains(&Method::GET) {
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let written = toml::Value::from(names).to_string();
            self.refuse(&format!("{at}.methods"), &written, "a list with GET in it");
        }
        methods
    }

    fn query(
        &mut self,
        at: &str,
        given: Option<Given<QueryPolicy>>,
        profile: Profile,
    ) -> QueryPolicy {
        // Dropped: of a query that the origin ignores, each value would be a copy of its own.
        let default = match profile {
            Profile::Video => QueryPolicy::Drop,
            Profile::General => QueryPolicy::KeepAll,
        };
        self.value(&format!("{at}.query"), given).unwrap_or(default)
    }

    fn cors(
        &mut self,
        at: &str,
        given: Option<Vec<Given<String>>>,
        profile: Profile,
    ) -> Vec<String> {
        // Any: what is served carries no cookies, and players run on their owners' pages. A general
        // site says itself who may read it.
        let Some(given) = given else {
            return match profile {
                Profile::Video => vec!["*".to_owned()],
                Profile::General => Vec::new(),
            };
        };
        let mut origins = Vec::new();
        for (index, origin) in given.into_iter().enumerate() {
            let holds = |text: &str| text == "*" || is_endpoint(text);
            let expected = "an origin such as \"https://www.example.com\", or \"*\" for any";
            origins.extend(self.text(
                &format!("{at}.cors[{index}]"),
                Some(origin),
                holds,
                expected,
            ));
        }
        origins
    }

    fn deadlines(&mut self, at: &str, shape: file::Deadlines) -> Deadlines {
        let at = format!("{at}.deadlines");
        Deadlines {
            connect: self.span(&format!("{at}.connect"), shape.connect, CONNECT),
            first_byte: self.span(&format!("{at}.first_byte"), shape.first_byte, FIRST_BYTE),
            stall: self.span(&format!("{at}.stall"), shape.stall, STALL),
            tries: self.number(&format!("{at}.tries"), shape.tries, 1..=10, TRIES),
        }
    }

    fn paths(&mut self, at: &str, shape: file::Paths) -> Paths {
        Paths {
            stream: self.template(format!("{at}.paths.stream"), shape.stream, STREAM),
            hls: self.template(format!("{at}.paths.hls"), shape.hls, HLS),
            dash: self.template(format!("{at}.paths.dash"), shape.dash, DASH),
        }
    }

    fn template(&mut self, key: String, given: Option<Given<String>>, default: &str) -> String {
        let expected = format!("a key with {{id}} in it such as {}", quoted(default));
        self.text(&key, given, is_template, &expected)
            .unwrap_or_else(|| default.to_owned())
    }
}

/// Whether `text` is a key with `{id}` in it and no other braces.
fn is_template(text: &str) -> bool {
    text.contains("{id}") && is_key(&text.replace("{id}", "id"))
}

fn default_name(host: &str) -> String {
    if host == "*" {
        "default".to_owned()
    } else {
        host.to_owned()
    }
}
