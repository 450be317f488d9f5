//! What the references of an answer name, as requests to this node would (RFC 3986 section 5). Pure.

use http::uri::Authority;

use crate::origin::endpoint::Scheme;

/// What a client asked for, which references are relative to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base<'a> {
    pub(super) scheme: Scheme,
    pub(super) authority: &'a str,
    /// Path, with its leading slash.
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
}

impl Base<'_> {
    /// The request target (path and query) that `reference` names; `None` where it names nothing
    /// of this origin, or is none. Dot segments are left to the route.
    pub(super) fn resolve(&self, reference: &str) -> Option<String> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if !reference.bytes().all(is_plain) {
            return None;
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let rest = match scheme_of(reference) {
            Some((scheme, rest)) => {
                let is_ours = scheme.eq_ignore_ascii_case(self.scheme.as_str());
                is_ours
                    .then_some(rest)
                    .filter(|rest| rest.starts_with("//"))?
            }
            None => reference,
        };
        if let Some(rest) = rest.strip_prefix("//") {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, target) = rest.split_at_checked(end)?;
            return self
                .is_ours(authority)
                .then(|| match target.starts_with('/') {
                    true => target.to_owned(),
                    false => format!("/{target}"),
                });
        }
        Some(match rest.as_bytes() {
            [] => match self.query {
                Some(query) => format!("{}?{query}", self.path),
                None => self.path.to_owned(),
            },
            [b'/', ..] => rest.to_owned(),
            [b'?', ..] => format!("{}{rest}", self.path),
            _ => {
                let (folder, _) = self.path.rsplit_once('/')?;
                format!("{folder}/{rest}")
            }
        })
    }

    fn is_ours(&self, authority: &str) -> bool {
        let default = match self.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        let (Ok(named), Ok(ours)) = (
            authority.parse::<Authority>(),
            self.authority.parse::<Authority>(),
        ) else {
            return false;
        };
        let port = |of: &Authority| of.port_u16().unwrap_or(default);
        !authority.contains('@')
            && named.host().eq_ignore_ascii_case(ours.host())
            && port(&named) == port(&ours)
    }
}

/// Splits the scheme off, where there is one: a colon in a later segment is none.
fn scheme_of(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    (!scheme.contains(['/', '?'])).then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_the_same_origin_name_what_a_client_would_ask_for() {
        let base = Base {
            scheme: Scheme::Http,
            authority: "Edge.test:80",
            path: "/a/b",
            query: Some("q=1"),
        };
        for (reference, expected) in [
            ("http://edge.test/x?y", Some("/x?y")),
            ("HTTP://EDGE.TEST:80/x#f", Some("/x")),
            ("http://edge.test", Some("/")),
            ("http://edge.test?y", Some("/?y")),
            ("//edge.test/x", Some("/x")),
            ("/x/../y", Some("/x/../y")),
            ("c", Some("/a/c")),
            ("../c:d", Some("/a/../c:d")),
            ("?z", Some("/a/b?z")),
            ("", Some("/a/b?q=1")),
            ("#f", Some("/a/b?q=1")),
            ("https://edge.test/x", None),
            ("http://edge.test:81/x", None),
            ("http://other.test/x", None),
            ("http://edge.test@other.test/x", None),
            ("http://me@edge.test/x", None),
            ("http:x", None),
            ("urn:x", None),
            ("/a b", None),
            ("/\\x", None),
        ] {
            assert_eq!(base.resolve(reference).as_deref(), expected, "{reference}");
        }
    }
}
