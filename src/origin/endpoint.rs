//! One endpoint of an origin: scheme, host and port. Pure.

use std::fmt;

use http::Uri;

/// Where connections of an origin go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the connection is encrypted.
    pub scheme: Scheme,
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// What is spoken below HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// TCP alone.
    Http,
    /// TLS over TCP.
    Https,
}

impl Scheme {
    /// The scheme as URIs spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Endpoint {
    /// Reads scheme, host and port of an absolute `http` or `https` URI; path and query are not
    /// looked at. `None` for anything else.
    #[must_use]
    pub fn of(uri: &Uri) -> Option<Self> {
        let scheme = match uri.scheme_str()? {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let host = uri.host()?;
        let bare = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'));
        let host = bare.unwrap_or(host).to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(scheme.default_port());
        (!host.is_empty()).then_some(Self { scheme, host, port })
    }

    /// The port that this endpoint's scheme has where none is named.
    #[must_use]
    pub fn default_port(&self) -> u16 {
        self.scheme.default_port()
    }

    /// Host and port as a Host field has them: a default port is left out.
    #[must_use]
    pub fn authority(&self) -> String {
        self.authority_of(&self.host)
    }

    /// Like [`Endpoint::authority`] for another host on the same port.
    #[must_use]
    pub fn authority_of(&self, host: &str) -> String {
        let brackets = host.contains(':');
        let (open, close) = if brackets { ("[", "]") } else { ("", "") };
        if self.port == self.scheme.default_port() {
            return format!("{open}{host}{close}");
        }
        format!("{open}{host}{close}:{}", self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_read_from_its_uri() {
        for (uri, authority, shown) in [
            ("http://Store:9000", "store:9000", "store:9000"),
            ("https://store/", "store", "store:443"),
            ("http://[::1]:8333", "[::1]:8333", "[::1]:8333"),
            ("https://[::1]", "[::1]", "[::1]:443"),
        ] {
            let endpoint = Endpoint::of(&uri.parse().unwrap()).unwrap();
            assert_eq!(endpoint.authority(), authority);
            assert_eq!(endpoint.to_string(), shown);
        }
        for uri in ["/a", "ftp://store", "store:80"] {
            assert_eq!(Endpoint::of(&uri.parse().unwrap()), None, "{uri}");
        }
    }
}
