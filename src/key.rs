//! Names of objects: the canonical key, and its hash in Redis.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::http::vary::Variant;

/// The canonical name of an object: site, path and, where the site keeps it, query.
///
/// Built by `route` only, from a request that was validated; equal keys name the same bytes. The
/// text form `site /path?query` is unambiguous, since a site's name holds no space.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Builds the key of `path` (canonical, with its leading slash) below `site`.
    #[must_use]
    pub fn new(site: &str, path: &str, query: Option<&str>) -> Self {
        Self(match query {
            None => format!("{site} {path}").into(),
            Some(query) => format!("{site} {path}?{query}").into(),
        })
    }

    /// The key of one variant of this object, which must be no variant itself. The text form goes
    /// on after a space, which no path or query holds: `site /path?query 0123456789abcdef`.
    #[must_use]
    pub fn variant(&self, variant: Variant) -> Self {
        Self(format!("{} {:016x}", self.0, variant.0).into())
    }

    /// The key without variant: what purges name.
    #[must_use]
    pub fn primary(&self) -> &str {
        let path = self.0.find(' ').map_or(0, |at| at + 1);
        let variant = self.0.get(path..).and_then(|target| target.find(' '));
        let end = variant.map_or(self.0.len(), |at| path + at);
        self.0.get(..end).unwrap_or(&self.0)
    }

    /// The key without variant, as a key.
    #[must_use]
    pub fn primary_key(&self) -> Self {
        if self.is_variant() {
            Self(self.primary().into())
        } else {
            self.clone()
        }
    }

    /// Whether this is one variant of an object.
    #[must_use]
    pub fn is_variant(&self) -> bool {
        self.primary().len() < self.0.len()
    }

    /// Reads back what [`Key::as_str`] wrote, from a trusted place.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The site's name.
    #[must_use]
    pub fn site(&self) -> &str {
        self.0.split_once(' ').map_or("", |(site, _)| site)
    }

    /// The path, without query.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = self.target();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The query, where the key has one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        let target = self.target();
        target.split_once('?').map(|(_, query)| query)
    }

    /// Path and query.
    fn target(&self) -> &str {
        self.primary()
            .split_once(' ')
            .map_or("", |(_, target)| target)
    }

    /// The hash under which Redis knows the object.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        let digest = Sha256::digest(self.0.as_bytes());
        let mut short = [0; 16];
        short
            .iter_mut()
            .zip(digest)
            .for_each(|(to, from)| *to = from);
        KeyHash(short)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first 128 bits of SHA-256 over a key's text.
///
/// Records carry the whole key too, which is compared when they are read: a collision costs a
/// miss, never a wrong answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 16]);

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_its_parts() {
        let key = Key::new("vod", "/a/b.m4s", Some("v=1"));
        assert_eq!(
            (key.site(), key.path(), key.query()),
            ("vod", "/a/b.m4s", Some("v=1"))
        );
        assert_eq!(Key::new("vod", "/a", None).query(), None);
    }

    #[test]
    fn a_variant_belongs_to_its_primary() {
        for query in [None, Some("v=1")] {
            let key = Key::new("vod", "/a/b.m4s", query);
            let variant = key.variant(Variant(1));
            assert_eq!((key.primary(), key.is_variant()), (key.as_str(), false));
            assert_eq!(
                (variant.primary(), variant.is_variant()),
                (key.as_str(), true)
            );
            assert_eq!((variant.path(), variant.query()), ("/a/b.m4s", query));
            assert_eq!(variant.site(), "vod");
            assert_ne!(variant, key.variant(Variant(2)));
        }
        assert_eq!(Key::from_text("vod").primary(), "vod");
    }

    #[test]
    fn the_hash_is_stable_across_releases() {
        let hash = Key::new("vod", "/a/b.m4s", None).hash().to_string();
        assert_eq!(hash.len(), 32);
        assert_ne!(hash, Key::new("vod", "/a/b.m4t", None).hash().to_string());
    }
}
