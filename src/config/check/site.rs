//! `[[site]]`: which hosts are served, and by what rules.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::super::file;
use super::super::given::Given;
use super::super::{Deadlines, Lifetimes, Paths, QueryPolicy, Site};
use super::url::{is_endpoint, is_host, is_key};
use super::{Check, NAME, is_name, quoted};

/// A handshake across a continent takes 0.3 s; a second covers one lost packet.
const CONNECT: Duration = Duration::from_secs(1);

/// Object stores answer cold objects within seconds; players give up after about ten.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// A store that sends nothing for as long as a segment plays will not finish it in time.
const STALL: Duration = Duration::from_secs(10);

/// One try and two more: enough for a dead endpoint and a broken body, no storm on a sick store.
const TRIES: u32 = 3;

/// Segments do not change under their name.
const SEGMENT: Duration = Duration::from_secs(14 * 86_400);

/// A finished title is corrected at times, and its manifest is small.
const VOD_MANIFEST: Duration = Duration::from_secs(300);

/// Half of the shortest target duration in use (2 s).
const LIVE_MANIFEST: Duration = Duration::from_secs(1);

/// Pictures, subtitles, pages: seldom changed, cheap to ask for.
const OTHER: Duration = Duration::from_secs(60);

/// Short, since a live segment is asked for just before it exists.
const NEGATIVE: Duration = Duration::from_secs(2);

/// A refresh takes a second; the rest is for objects asked for less often.
const STALE_WHILE_REVALIDATE: Duration = Duration::from_secs(30);

/// An outage of the store that lasts a night.
const STALE_IF_ERROR: Duration = Duration::from_secs(86_400);

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
            .is_none_or(|origin| matches!(origin.store, super::super::Store::Web { .. }));
        let methods = self.methods(at, shape.methods, web);
        let query = self.query(at, shape.query);
        let cors = self.cors(at, shape.cors);
        let deadlines = self.deadlines(at, shape.deadlines);
        let paths = self.paths(at, shape.paths);
        let lifetimes = self.lifetimes(at, shape.lifetimes);
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
        })
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
            let lower = host.to_ascii_lowercase();
            let expected = if lower != "*" && !is_host(&lower) {
                "a host name without port, or \"*\" for any"
            } else if taken.contains(&lower) {
                "a host that no other entry names"
            } else if taken.iter().any(|other| other == "*") {
                "no host after \"*\", which takes them all; put that site last"
            } else {
                taken.push(lower.clone());
                hosts.push(lower);
                continue;
            };
            self.refuse(&key, &quoted(&host), expected);
        }
        hosts
    }

    fn methods(&mut self, at: &str, given: Option<Vec<Given<String>>>, web: bool) -> Vec<Method> {
        let own = [Method::GET, Method::HEAD, Method::OPTIONS];
        let Some(given) = given else {
            return own.to_vec();
        };
        let mut methods = Vec::new();
        for (index, method) in given.into_iter().enumerate() {
            let key = format!("{at}.methods[{index}]");
            let Some(text) = self.value(&key, Some(method)) else {
                continue;
            };
            let upper = text.bytes().all(|byte| byte.is_ascii_uppercase());
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

    fn query(&mut self, at: &str, given: Option<Given<QueryPolicy>>) -> QueryPolicy {
        // Dropped: of a query that the origin ignores, each value would be a copy of its own.
        self.value(&format!("{at}.query"), given)
            .unwrap_or(QueryPolicy::Drop)
    }

    fn cors(&mut self, at: &str, given: Option<Vec<Given<String>>>) -> Vec<String> {
        // Any: what is served carries no cookies, and players run on their owners' pages.
        let Some(given) = given else {
            return vec!["*".to_owned()];
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

    fn lifetimes(&mut self, at: &str, shape: file::Lifetimes) -> Lifetimes {
        let at = format!("{at}.lifetimes");
        let mut span = |name: &str, given: Option<Given<super::Span>>, default: Duration| {
            self.span_or_zero(&format!("{at}.{name}"), given, default)
        };
        Lifetimes {
            segment: span("segment", shape.segment, SEGMENT),
            vod_manifest: span("vod_manifest", shape.vod_manifest, VOD_MANIFEST),
            live_manifest: span("live_manifest", shape.live_manifest, LIVE_MANIFEST),
            other: span("other", shape.other, OTHER),
            negative: span("negative", shape.negative, NEGATIVE),
            stale_while_revalidate: span(
                "stale_while_revalidate",
                shape.stale_while_revalidate,
                STALE_WHILE_REVALIDATE,
            ),
            stale_if_error: span("stale_if_error", shape.stale_if_error, STALE_IF_ERROR),
        }
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
