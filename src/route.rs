//! What is asked for: site, canonical key, kind of object; or a refusal with its reason. Pure.
//!
//! Every request passes here before anything else looks at it. Key and origin request are built
//! from the same validated parts, so that they cannot mean different things; the site's name in
//! the key comes from the configuration, never from the request.

pub mod choice;
pub mod host;
pub mod path;
pub mod query;
pub mod session;

use std::sync::Arc;

use http::{Method, StatusCode, Version};

use crate::asset::Kind;
use crate::config::adapt::{Carrier, Mode};
use crate::config::{Profile, Site};
use crate::key::Key;
use crate::limits;
use crate::route::host::Host;

/// The head of a request, as received.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Method.
    pub method: &'a Method,
    /// Protocol version.
    pub version: Version,
    /// Request target, byte for byte: origin-form, or absolute-form of an own host.
    pub target: &'a str,
    /// Host field, or `:authority`.
    pub authority: Option<&'a str>,
    /// Accept field.
    pub accept: Option<&'a str>,
}

impl Head<'_> {
    /// Whether it asks about the server and not about anything on it (RFC 9110 section 9.3.7).
    #[must_use]
    pub fn is_server_wide(&self) -> bool {
        self.target == "*" && *self.method == Method::OPTIONS
    }
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct Route {
    /// The site.
    pub site: Arc<Site>,
    /// The canonical name of the object.
    pub key: Key,
    /// Canonical path to ask the origin for: that of the key.
    pub origin_path: String,
    /// Canonical query to ask the origin for: that of the key.
    pub origin_query: Option<String>,
    /// Kind of the object.
    pub kind: Kind,
    /// Which public URL it came by.
    pub purpose: Purpose,
    /// What stands behind `~` in the first segment of the path asked for, on sites that know
    /// sessions: part of no key and no origin request, at most [`limits::SESSION_TEXT_BYTES_MAX`]
    /// bytes, and whatever a client likes.
    pub session: Option<String>,
    /// The query as received, where it is for this node too: of manifests and of
    /// [`Purpose::Service`].
    pub query_raw: Option<String>,
}

/// Which public URL a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `/stream/<id>`: the video as one file.
    Stream,
    /// `/adaptive_stream/<id>`: a manifest.
    Adaptive,
    /// `/.weir/<name>`: this node itself answers, on sites whose manifests it makes.
    Service,
    /// Any other path: the object of that name.
    Object,
}

/// Why a request is refused before the cache is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Refusal {
    /// The method is not served; carries the value of `Allow`.
    Method(String),
    /// The method is no method: lower-case letters in it.
    MalformedMethod,
    /// The target is longer than [`limits::TARGET_BYTES_MAX`].
    TargetLength,
    /// The target is neither origin-form nor absolute-form, or has a fragment.
    TargetForm,
    /// An absolute-form target whose authority is not that of the request.
    ForeignTarget,
    /// No host where the version demands one.
    MissingHost,
    /// A host with userinfo, slashes, commas or worse.
    MalformedHost,
    /// No site serves this host.
    UnknownHost,
    /// `%` without two hexadecimal digits.
    Escape,
    /// A control character or space, or an encoded control character in the path.
    Control,
    /// An encoded slash in the path.
    EncodedSlash,
    /// A backslash in the path.
    Backslash,
    /// An encoded dot segment, or one above the root.
    DotSegment,
    /// A path that starts with two slashes.
    EmptyAuthority,
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetLength => StatusCode::URI_TOO_LONG,
            Self::UnknownHost | Self::ForeignTarget => StatusCode::MISDIRECTED_REQUEST,
            Self::MalformedMethod
            | Self::TargetForm
            | Self::MissingHost
            | Self::MalformedHost
            | Self::Escape
            | Self::Control
            | Self::EncodedSlash
            | Self::Backslash
            | Self::DotSegment
            | Self::EmptyAuthority => StatusCode::BAD_REQUEST,
        }
    }

    /// The reason as logs, metrics and headers spell it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Method(_) => "method",
            Self::MalformedMethod => "malformed-method",
            Self::TargetLength => "target-length",
            Self::TargetForm => "target-form",
            Self::ForeignTarget => "foreign-target",
            Self::MissingHost => "missing-host",
            Self::MalformedHost => "malformed-host",
            Self::UnknownHost => "unknown-host",
            Self::Escape => "escape",
            Self::Control => "control",
            Self::EncodedSlash => "encoded-slash",
            Self::Backslash => "backslash",
            Self::DotSegment => "dot-segment",
            Self::EmptyAuthority => "empty-authority",
        }
    }

    /// The value of `Allow`, which a 405 must carry (RFC 9110 section 15.5.6).
    #[must_use]
    pub fn allow(&self) -> Option<&str> {
        match self {
            Self::Method(allow) => Some(allow),
            _ => None,
        }
    }
}

/// Decides what a request asks for.
///
/// # Errors
/// [`Refusal`] for whatever is not to be served, with its status and reason.
pub fn route(sites: &[Arc<Site>], head: &Head<'_>) -> Result<Route, Refusal> {
    if head.target.len() > limits::TARGET_BYTES_MAX {
        return Err(Refusal::TargetLength);
    }
    if head.method.as_str().bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(Refusal::MalformedMethod);
    }
    let (authority, target) = split_target(head)?;
    let site = find_site(sites, head, authority)?;
    let (raw_path, raw_query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let path = path::canonical(raw_path)?;
    let (session, path) = without_session(site, path)?;
    let place = Place { path, session };
    // What players post here reaches no origin, so that it is no method of the site.
    let is_report = place.path == COLLECTOR && has_service(site);
    if !is_report || *head.method != Method::POST {
        check_method(site, head.method)?;
    }
    resolve(site, place, raw_query, head.accept)
}

/// Whether paths of `site` may begin with a session.
///
/// Those of video sites may, even where none are given out: a client may hold manifests from when
/// they were.
fn knows_sessions(site: &Site) -> bool {
    site.profile == Profile::Video || site.adapt.session == Carrier::Path
}

/// Where a request leads, before it is known what that is.
struct Place {
    /// Canonical, without session.
    path: String,
    session: Option<String>,
}

/// Finds the site that a request about the server is for ([`Head::is_server_wide`]).
///
/// # Errors
/// [`Refusal`] where no site is named, or none takes OPTIONS.
pub fn server_wide<'a>(sites: &'a [Arc<Site>], head: &Head<'_>) -> Result<&'a Arc<Site>, Refusal> {
    let site = find_site(sites, head, head.authority)?;
    check_method(site, head.method)?;
    Ok(site)
}

fn find_site<'a>(
    sites: &'a [Arc<Site>],
    head: &Head<'_>,
    authority: Option<&str>,
) -> Result<&'a Arc<Site>, Refusal> {
    let host = authority.map(Host::parse).transpose()?;
    if host.is_none() && head.version != Version::HTTP_10 {
        return Err(Refusal::MissingHost);
    }
    host::find(sites, host.as_ref()).ok_or(Refusal::UnknownHost)
}

/// Splits the target into authority and the rest (RFC 9112 section 3.2).
///
/// An absolute-form target is taken where it names the host that the Host field names as well:
/// RFC 9112 section 3.2.2 would let it win, but two answers to the question which host is meant
/// are what request smuggling lives on.
fn split_target<'a>(head: &Head<'a>) -> Result<(Option<&'a str>, &'a str), Refusal> {
    if head.target.starts_with('/') {
        return Ok((head.authority, head.target));
    }
    let (scheme, rest) = head.target.split_once("://").ok_or(Refusal::TargetForm)?;
    if !["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err(Refusal::TargetForm);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (named, target) = rest.split_at_checked(end).ok_or(Refusal::TargetForm)?;
    if let Some(authority) = head.authority
        && Host::parse(authority)? != Host::parse(named)?
    {
        return Err(Refusal::ForeignTarget);
    }
    match target {
        "" => Ok((Some(named), "/")),
        _ if target.starts_with('/') => Ok((Some(named), target)),
        _ => Err(Refusal::TargetForm),
    }
}

/// CONNECT and TRACE are never served, even where a configuration lists them: the one makes a
/// tunnel of us, the other shows what lies between.
fn check_method(site: &Site, method: &Method) -> Result<(), Refusal> {
    let served = |method: &Method| !matches!(*method, Method::CONNECT | Method::TRACE);
    if served(method) && site.methods.contains(method) {
        return Ok(());
    }
    let names: Vec<_> = site.methods.iter().filter(|m| served(m)).collect();
    let names: Vec<_> = names.into_iter().map(Method::as_str).collect();
    Err(Refusal::Method(names.join(", ")))
}

/// Takes the session off a canonical path, on sites that know sessions.
///
/// # Errors
/// As [`session::split`].
pub fn without_session(site: &Site, path: String) -> Result<(Option<String>, String), Refusal> {
    match knows_sessions(site) {
        true => session::split(path),
        false => Ok((None, path)),
    }
}

/// Maps the founding URLs to objects by the site's templates.
///
/// An id is one path segment, so that it can neither leave its place in a template nor be confused
/// with an object below `stream/`. Their query is for this node (`mode=`), not for the origin.
fn resolve(
    site: &Arc<Site>,
    place: Place,
    raw_query: Option<&str>,
    accept: Option<&str>,
) -> Result<Route, Refusal> {
    let Place { path, session } = place;
    let (path, purpose) = if let Some(id) = founding_id(&path, "/stream/") {
        (fill_in(&site.paths.stream, id)?, Purpose::Stream)
    } else if let Some(id) = founding_id(&path, "/adaptive_stream/") {
        (manifest_path(site, id, accept)?, Purpose::Adaptive)
    } else if path.starts_with(SERVICE) && has_service(site) {
        (path, Purpose::Service)
    } else {
        (path, Purpose::Object)
    };
    let kind = Kind::of(&path);
    let is_own = purpose == Purpose::Adaptive || purpose == Purpose::Service;
    let own = choice::names(&site.adapt, kind);
    let query = match raw_query {
        Some(raw) => query::canonical(raw, &site.query, own)?,
        None => None,
    };
    let query = query.filter(|_| purpose == Purpose::Object);
    Ok(Route {
        site: Arc::clone(site),
        key: Key::new(&site.name, &path, query.as_deref()),
        kind,
        origin_path: path,
        origin_query: query,
        purpose,
        session,
        query_raw: raw_query
            .filter(|_| is_own || kind.is_manifest())
            .map(str::to_owned),
    })
}

/// Whether this node answers for itself below [`SERVICE`] on `site`.
fn has_service(site: &Site) -> bool {
    site.adapt.mode != Mode::Off || site.adapt.steering.is_some()
}

fn founding_id<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix)
        .filter(|id| !id.is_empty() && !id.contains('/'))
}

fn manifest_path(site: &Site, id: &str, accept: Option<&str>) -> Result<String, Refusal> {
    let (hls, dash) = (&site.paths.hls, &site.paths.dash);
    match id.rsplit_once('.') {
        Some((id, "mpd")) if !id.is_empty() => fill_in(dash, id),
        Some((id, "m3u8")) if !id.is_empty() => fill_in(hls, id),
        _ if accept.is_some_and(prefers_dash) => fill_in(dash, id),
        _ => fill_in(hls, id),
    }
}

/// Whether Accept names DASH, and HLS less or not at all (RFC 9110 section 12.5.1).
///
/// Wildcards count for neither: browsers send them with everything.
fn prefers_dash(accept: &str) -> bool {
    let quality = |wanted: &[&str]| {
        let ranges = accept.split(',').filter_map(media_range);
        let named = ranges.filter(|(name, _)| wanted.iter().any(|w| name.eq_ignore_ascii_case(w)));
        named.map(|(_, quality)| quality).fold(0.0, f32::max)
    };
    let dash = quality(&["application/dash+xml"]);
    dash > 0.0 && dash > quality(&["application/vnd.apple.mpegurl", "application/x-mpegurl"])
}

fn media_range(text: &str) -> Option<(&str, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?;
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = quality.map_or(Some(1.0), |text| text.parse().ok())?;
    (0.0..=1.0).contains(&quality).then_some((name, quality))
}

/// Below it this node answers for itself: steering, and what players report.
pub const SERVICE: &str = "/.weir/";

/// Where players post what they report (CMCD version 2, event mode).
pub const COLLECTOR: &str = "/.weir/cmcd";

/// Puts an id into a template; the result is canonical, whatever escapes the template has.
///
/// A suffix cut off may leave dots (`...mpd`), which would climb out of the template.
fn fill_in(template: &str, id: &str) -> Result<String, Refusal> {
    if matches!(id, "." | "..") {
        return Err(Refusal::DotSegment);
    }
    let path = template.trim_start_matches('/').replace("{id}", id);
    path::canonical(&format!("/{path}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::config::{Paths, QueryPolicy};

    fn site(name: &str, hosts: &[&str], query: QueryPolicy) -> Arc<Site> {
        Arc::new(Site {
            name: name.into(),
            hosts: hosts.iter().map(|&host| host.into()).collect(),
            paths: Paths {
                stream: "{id}.mp4".into(),
                hls: "/vod/{id}/m%79%20master.m3u8".into(),
                dash: "vod/{id}/manifest.mpd".into(),
            },
            methods: vec![Method::GET, Method::HEAD, Method::TRACE],
            query,
            ..Site::sample()
        })
    }

    fn sites() -> Vec<Arc<Site>> {
        vec![
            site("default", &["*"], QueryPolicy::Drop),
            site("a.example", &["a.example", "::1"], QueryPolicy::KeepAll),
            site("b.example", &["b.example"], QueryPolicy::Drop),
        ]
    }

    fn get(authority: &'static str, target: &'static str) -> Head<'static> {
        Head {
            method: &Method::GET,
            version: Version::HTTP_11,
            target,
            authority: Some(authority),
            accept: None,
        }
    }

    fn key(head: &Head<'_>) -> Result<String, Refusal> {
        route(&sites(), head).map(|route| {
            assert_eq!(route.key.site(), route.site.name);
            assert_eq!(route.key.path(), route.origin_path);
            assert_eq!(route.key.query(), route.origin_query.as_deref());
            route.key.as_str().to_owned()
        })
    }

    #[test]
    fn the_host_selects_the_site_and_star_comes_last() {
        let cases = [
            ("a.example", "/x", "a.example /x"),
            ("A.Example.:8443", "/x?b=1&a=2", "a.example /x?a=2&b=1"),
            ("[0::1]:80", "/x", "a.example /x"),
            ("b.example", "/x?b=1", "b.example /x"),
            ("c.example", "/x", "default /x"),
            ("a.example", "http://a.example:80/x", "a.example /x"),
            ("a.example", "HTTPS://A.EXAMPLE", "a.example /"),
        ];
        for (authority, target, expected) in cases {
            let got = key(&get(authority, target));
            assert_eq!(got.as_deref(), Ok(expected), "{authority} {target}");
        }
    }

    #[test]
    fn the_founding_urls_name_objects_by_template() {
        let dash = Some("application/dash+xml");
        let cases = [
            ("/stream/7?t=1", None, "/7.mp4", Purpose::Stream),
            ("/stream/%37", None, "/7.mp4", Purpose::Stream),
            ("/stream/a%3Fb", None, "/a%3Fb.mp4", Purpose::Stream),
            ("/stream/", None, "/stream/", Purpose::Object),
            ("/stream/a/b", None, "/stream/a/b?t=1", Purpose::Object),
            (
                "/adaptive_stream/7",
                None,
                "/vod/7/my%20master.m3u8",
                Purpose::Adaptive,
            ),
            (
                "/adaptive_stream/7.m3u8",
                dash,
                "/vod/7/my%20master.m3u8",
                Purpose::Adaptive,
            ),
            (
                "/adaptive_stream/7.mpd",
                None,
                "/vod/7/manifest.mpd",
                Purpose::Adaptive,
            ),
            (
                "/adaptive_stream/7",
                dash,
                "/vod/7/manifest.mpd",
                Purpose::Adaptive,
            ),
            (
                "/adaptive_stream/7.x",
                dash,
                "/vod/7.x/manifest.mpd",
                Purpose::Adaptive,
            ),
        ];
        for (target, accept, expected, purpose) in cases {
            let target = match expected.contains('?') {
                true => format!("{target}?t=1"),
                false => target.to_owned(),
            };
            let head = Head {
                target: &target,
                accept,
                ..get("a.example", "/")
            };
            let got = route(&sites(), &head).unwrap();
            let text = got.key.as_str().strip_prefix("a.example ").unwrap();
            assert_eq!((text, got.purpose), (expected, purpose), "{target}");
            assert_eq!(got.kind, Kind::of(got.key.path()));
        }
    }

    #[test]
    fn accept_chooses_dash_only_by_name_and_preference() {
        let cases = [
            ("application/dash+xml", true),
            ("*/*, Application/DASH+xml;q=0.1", true),
            ("application/dash+xml;q=0", false),
            ("application/dash+xml;q=2", false),
            ("application/dash+xml;q=x", false),
            ("application/dash+xml, application/vnd.apple.mpegurl", false),
            ("application/dash+xml, application/x-mpegURL;q=0.9", true),
            ("*/*", false),
            ("", false),
        ];
        for (accept, expected) in cases {
            assert_eq!(prefers_dash(accept), expected, "{accept}");
        }
    }

    #[test]
    fn what_is_not_to_be_served_is_refused_by_name() {
        let a = "a.example";
        let cases = [
            (get(a, "*"), Refusal::TargetForm, 400),
            (get(a, ""), Refusal::TargetForm, 400),
            (get(a, "x"), Refusal::TargetForm, 400),
            (get(a, "a.example:443"), Refusal::TargetForm, 400),
            (get(a, "ftp://a.example/x"), Refusal::TargetForm, 400),
            (get(a, "http://a.example?x"), Refusal::TargetForm, 400),
            (get(a, "/x#y"), Refusal::TargetForm, 400),
            (get(a, "/x?y#z"), Refusal::TargetForm, 400),
            (
                get(a, "http://169.254.169.254/x"),
                Refusal::ForeignTarget,
                421,
            ),
            (get(a, "http://b.example/x"), Refusal::ForeignTarget, 421),
            (
                get(a, "http://user@a.example/x"),
                Refusal::MalformedHost,
                400,
            ),
            (get("a.example/x", "/"), Refusal::MalformedHost, 400),
            (get("x@a.example", "/"), Refusal::MalformedHost, 400),
            (get("", "/"), Refusal::MalformedHost, 400),
            (get(a, "/adaptive_stream/...mpd"), Refusal::DotSegment, 400),
            (get(a, "/adaptive_stream/..m3u8"), Refusal::DotSegment, 400),
            (get(a, "/%2e%2e/x"), Refusal::DotSegment, 400),
            (get(a, "//b.example/x"), Refusal::EmptyAuthority, 400),
            (get(a, "/a%00"), Refusal::Control, 400),
        ];
        for (head, expected, status) in cases {
            let got = key(&head).unwrap_err();
            assert_eq!(got.status().as_u16(), status, "{head:?}");
            assert_eq!(got, expected, "{head:?}");
        }
        let long = format!("/{}", "x".repeat(limits::TARGET_BYTES_MAX));
        let head = Head {
            target: &long,
            ..get(a, "/")
        };
        assert_eq!(key(&head), Err(Refusal::TargetLength));
    }

    #[test]
    fn methods_are_those_of_the_site_and_never_connect_or_trace() {
        let cases: [(&[u8], Refusal); 5] = [
            (b"POST", Refusal::Method("GET, HEAD".into())),
            (b"TRACE", Refusal::Method("GET, HEAD".into())),
            (b"CONNECT", Refusal::Method("GET, HEAD".into())),
            (b"get", Refusal::MalformedMethod),
            (b"GeT", Refusal::MalformedMethod),
        ];
        for (name, expected) in cases {
            let method = Method::from_bytes(name).unwrap();
            let head = Head {
                method: &method,
                ..get("a.example", "/")
            };
            assert_eq!(key(&head), Err(expected));
        }
        assert_eq!(Refusal::Method("GET".into()).allow(), Some("GET"));
    }

    #[test]
    fn a_host_is_demanded_since_http_1_1_and_unknown_ones_are_misdirected() {
        let nameless = Head {
            authority: None,
            ..get("", "/x")
        };
        assert_eq!(key(&nameless), Err(Refusal::MissingHost));
        let old = Head {
            version: Version::HTTP_10,
            ..nameless
        };
        assert_eq!(key(&old).as_deref(), Ok("default /x"));
        let named = [site("a.example", &["a.example"], QueryPolicy::Drop)];
        for head in [old, get("b.example", "/x")] {
            let got = route(&named, &head).unwrap_err();
            assert_eq!((got.status().as_u16(), got), (421, Refusal::UnknownHost));
        }
    }

    proptest! {
        #[test]
        fn no_target_reaches_the_key_of_another_site(
            target in "/?(stream/|adaptive_stream/)?.{0,16}(b.example|%20| |/|\\?|x){0,4}.{0,9}",
        ) {
            let head = Head { target: &target, ..get("a.example", "/") };
            if let Ok(text) = key(&head) {
                assert!(text.starts_with("a.example /"));
                assert_eq!(text.matches(' ').count(), 1);
            }
        }

        #[test]
        fn a_key_asked_for_again_is_the_same_key(path in "/([a-c./%2eEF;+]|%[0-9a-f]{2}){0,20}") {
            let head = Head { target: &path, ..get("a.example", "/") };
            if let Ok(first) = route(&sites(), &head) && first.purpose == Purpose::Object {
                let again = Head { target: &first.origin_path, ..head };
                assert_eq!(route(&sites(), &again).unwrap().key, first.key);
            }
        }

        #[test]
        fn any_head_is_routed_or_refused(target in any::<String>(), authority in any::<String>()) {
            let head = Head { target: &target, authority: Some(&authority), ..get("", "/") };
            drop(route(&sites(), &head));
        }
    }
}
