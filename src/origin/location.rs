//! Redirects of a web origin to itself, made to lead through this node. Pure.

use http::header::LOCATION;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};

use crate::origin::endpoint::Endpoint;
use crate::origin::request::Place;

/// Takes scheme and host out of a Location that names the origin as we ask for it.
///
/// Clients cannot reach that host, or would pass us by. Any other Location stays as it is.
pub fn hide(headers: &mut HeaderMap, endpoint: &Endpoint, place: &Place) {
    let given = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let hidden = given.and_then(|given| below(given, endpoint, place));
    if let Some(value) = hidden.and_then(|path| HeaderValue::try_from(path).ok()) {
        headers.insert(LOCATION, value);
    }
}

/// The path, query and fragment of an absolute reference to the origin.
fn below(location: &str, endpoint: &Endpoint, place: &Place) -> Option<String> {
    // Browsers drop tabs and read a backslash as a slash: what they would read is not ours to guess.
    if !location
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    {
        return None;
    }
    let (scheme, rest) = location.split_once("//")?;
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http:" => 80,
        "https:" => 443,
        "" => endpoint.default_port(),
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let named: Authority = authority.parse().ok()?;
    let port = named.port_u16().unwrap_or(default_port);
    let is_ours = |host: &str, ours: u16| named.host().eq_ignore_ascii_case(host) && port == ours;
    let asked: Authority = place.authority.parse().ok()?;
    let by_endpoint: Authority = endpoint.authority().parse().ok()?;
    // The host that a site is known by may be reached by either scheme.
    let by_host = is_ours(asked.host(), asked.port_u16().unwrap_or(default_port));
    if !by_host && !is_ours(by_endpoint.host(), endpoint.port) {
        return None;
    }
    Some(match path.as_bytes() {
        // Two slashes at the start would make a host of what follows.
        [b'/', b'/', ..] => format!("/.{path}"),
        [b'/', ..] => path.to_owned(),
        _ => format!("/{path}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_location_that_names_the_origin_loses_its_host() {
        let endpoint = Endpoint::of(&"http://10.0.0.1:8080".parse().unwrap()).unwrap();
        let place = Place {
            authority: "origin.example".into(),
            sni: "origin.example".into(),
            target: "/a".into(),
        };
        for (given, expected) in [
            ("http://10.0.0.1:8080/b?c#d", "/b?c#d"),
            ("//10.0.0.1:8080/b", "/b"),
            ("http://10.0.0.1:8080", "/"),
            ("http://10.0.0.1:8080?c", "/?c"),
            ("HTTP://Origin.Example/b", "/b"),
            ("https://origin.example/b", "/b"),
            ("https://origin.example:443/b", "/b"),
            ("http://10.0.0.1:8080//evil.example/", "/.//evil.example/"),
            ("http://10.0.0.1/b", "http://10.0.0.1/b"),
            ("http://10.0.0.1:8080\\b", "http://10.0.0.1:8080\\b"),
            ("http://10.0.0.1:8080@evil/", "http://10.0.0.1:8080@evil/"),
            ("http://other.example/b", "http://other.example/b"),
            ("/login?to=//10.0.0.1:8080/", "/login?to=//10.0.0.1:8080/"),
            ("/b", "/b"),
            ("b", "b"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_static(given));
            hide(&mut headers, &endpoint, &place);
            assert_eq!(headers[LOCATION], expected, "{given}");
        }
    }
}
