//! Which site a request is for: its authority, and the hosts that sites list.

use std::net::Ipv6Addr;
use std::sync::Arc;

use crate::config::Site;
use crate::route::Refusal;

/// The host of a request, normalised: lower case, without port, brackets and trailing dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// Reads an authority as a client wrote it (RFC 9110 section 7.2).
    ///
    /// # Errors
    /// [`Refusal::MalformedHost`] for anything but a name, an IPv4 address or a bracketed IPv6
    /// address with an optional port: userinfo, slashes and lists are how hosts are smuggled.
    pub fn parse(authority: &str) -> Result<Self, Refusal> {
        if authority.len() > AUTHORITY_BYTES_MAX {
            return Err(Refusal::MalformedHost);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (literal, port) = rest.split_once(']').ok_or(Refusal::MalformedHost)?;
                let address: Ipv6Addr = literal.parse().map_err(|_| Refusal::MalformedHost)?;
                (address.to_string(), port)
            }
            None => {
                let end = authority.find(':').unwrap_or(authority.len());
                let (name, port) = authority
                    .split_at_checked(end)
                    .ok_or(Refusal::MalformedHost)?;
                (name_of(name)?, port)
            }
        };
        match is_port(port) {
            true => Ok(Self(host)),
            false => Err(Refusal::MalformedHost),
        }
    }

    /// The host as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a site's list names this host; `*` is another question.
    fn is(&self, listed: &str) -> bool {
        let bare = listed.strip_prefix('[').and_then(|l| l.strip_suffix(']'));
        bare.unwrap_or(listed).eq_ignore_ascii_case(&self.0)
    }
}

/// Finds the site of a host: the first that lists it, else the first that takes any.
///
/// `None` for the host stands for a client of HTTP/1.0 that named none.
#[must_use]
pub fn find<'a>(sites: &'a [Arc<Site>], host: Option<&Host>) -> Option<&'a Arc<Site>> {
    let lists = |site: &&Arc<Site>| {
        let named = |host: &Host| site.hosts.iter().any(|listed| host.is(listed));
        host.is_some_and(named)
    };
    let any = |site: &&Arc<Site>| site.hosts.iter().any(|listed| listed == "*");
    sites.iter().find(lists).or_else(|| sites.iter().find(any))
}

fn name_of(text: &str) -> Result<String, Refusal> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match !name.is_empty() && name.bytes().all(legal) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err(Refusal::MalformedHost),
    }
}

/// Empty, or a colon and a port; a colon alone is legal (RFC 3986 section 3.2.3).
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|digits| {
            digits.is_empty()
                || (digits.bytes().all(|byte| byte.is_ascii_digit())
                    && digits.parse::<u16>().is_ok())
        })
}

/// The longest domain name (RFC 1035 section 2.3.4) with a port.
const AUTHORITY_BYTES_MAX: usize = 255 + 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_normalised_or_refused() {
        let cases = [
            ("Edge.Example.COM", Some("edge.example.com")),
            ("edge.example.com.", Some("edge.example.com")),
            ("edge.example.com.:8080", Some("edge.example.com")),
            ("edge:", Some("edge")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]", Some("::1")),
            ("[0:0::0:1]:8080", Some("::1")),
            ("a_b", Some("a_b")),
            ("", None),
            (".", None),
            (":80", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[edge]", None),
            ("a:99999", None),
            ("a:+1", None),
            ("a:80:80", None),
            ("user@a", None),
            ("a/b", None),
            ("a\\b", None),
            ("a?b", None),
            ("a, b", None),
            ("a b", None),
            ("a%2eb", None),
            ("ü", None),
        ];
        for (input, expected) in cases {
            let got = Host::parse(input).ok();
            assert_eq!(got.as_ref().map(Host::as_str), expected, "{input}");
        }
        assert!(Host::parse(&"a".repeat(300)).is_err());
    }
}
