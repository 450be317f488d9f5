//! The few forms of URL and host that a configuration holds. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Scheme, authority and path of `scheme://authority/path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// In lower case, as written.
    pub(super) scheme: &'a str,
    /// Host and port, or a bucket.
    pub(super) authority: &'a str,
    /// With its leading slash, or empty.
    pub(super) path: &'a str,
}

/// Splits a URL without checking what it is made of.
pub(super) fn split(text: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    Some(Parts {
        scheme,
        authority,
        path,
    })
}

/// Whether `text` is `http://host`, `https://host`, each with or without port, and nothing more.
pub(super) fn is_endpoint(text: &str) -> bool {
    split(text).is_some_and(|parts| {
        matches!(parts.scheme, "http" | "https")
            && is_authority(parts.authority)
            && parts.path.is_empty()
    })
}

/// Whether `text` is a host with or without a port.
pub(super) fn is_authority(text: &str) -> bool {
    let bracket = text.rfind(']').unwrap_or(0);
    match text.rfind(':').filter(|colon| *colon > bracket) {
        Some(colon) => {
            let (host, port) = text.split_at_checked(colon).unwrap_or_default();
            is_host(host) && is_port(port.trim_start_matches(':'))
        }
        None => is_host(text),
    }
}

/// Whether `text` is a DNS name, an IPv4 address, or an IPv6 address in brackets.
pub(super) fn is_host(text: &str) -> bool {
    if let Some(address) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let digits = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if digits {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Whether `path` is `""` or segments of plain URL characters, each after a slash.
pub(super) fn is_prefix(path: &str) -> bool {
    path.is_empty() || path.strip_prefix('/').is_some_and(is_key)
}

/// Whether `key` is one or more segments of plain URL characters, without dot segments.
pub(super) fn is_key(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte);
    key.split('/').all(|segment| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain)
    })
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::{is_endpoint, is_host, is_key, is_prefix};

    #[test]
    fn endpoints_are_scheme_host_and_port() {
        for text in [
            "http://127.0.0.1:8333",
            "https://s3.example.com",
            "http://[::1]:80",
            "https://[2001:db8::1]",
            "http://minio_1:9000",
        ] {
            assert!(is_endpoint(text), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:8333",
            "ftp://h",
            "HTTP://h",
            "http://",
            "http://h/",
            "http://h/p",
            "http://h:",
            "http://h:0",
            "http://h:65536",
            "http://h:+8",
            "http://u:p@h",
            "http://h?q",
            "http://h#f",
            "http://::1",
            "http://[::1",
            "http://[h]",
            "http://a b",
            "http://:80",
            "http://h:8:9",
        ] {
            assert!(!is_endpoint(text), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for text in [
            "a",
            "edge.example.com",
            "xn--bcher-kva.example",
            "10.0.0.1",
            "[::1]",
        ] {
            assert!(is_host(text), "{text}");
        }
        let long = "a".repeat(64);
        for text in [
            "", ".", "a.", ".a", "a..b", "-a", "a-", "a/b", "10.0.0", "bücher", &long,
        ] {
            assert!(!is_host(text), "{text}");
        }
    }

    #[test]
    fn prefixes_and_keys_have_no_empty_or_dot_segments() {
        for text in ["", "/a", "/a/b-c_d.e", "/%20"] {
            assert!(is_prefix(text), "{text}");
        }
        for text in [
            "/", "a", "/a/", "//a", "/..", "/a/./b", "/a?b", "/a#b", "/a b", "/a\\b",
        ] {
            assert!(!is_prefix(text), "{text}");
        }
        assert!(is_key("id/master.m3u8"));
        assert!(!is_key("/id.mp4"));
        assert!(!is_key("{id}.mp4"));
    }
}
