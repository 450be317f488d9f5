//! The secret behind ids and hashes, and what is made with it. Pure.
//!
//! Each use has a domain of its own, so that nothing made for one can be shown for another.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a secret that nodes draw and share.
pub const SECRET_BYTES: usize = 32;

/// Secrets kept beside the current one: ids that they signed are still good.
const FORMER_MAX: usize = 2;

/// One secret, ready for use.
#[derive(Clone)]
pub struct Key {
    mac: Hmac<Sha256>,
    secret: Vec<u8>,
}

/// What a hash is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Signature and name of a session id.
    Id,
    /// Name of a session that a player or a client names.
    Name,
    /// A client's address and user agent, on one day.
    Client,
    /// A client's network, on one day.
    Network,
    /// What a session is told of a title.
    Title,
}

impl Key {
    /// Makes a key of a secret of any length.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self {
            // A key of any length is taken, so that the other arm is never gone.
            mac: Hmac::new_from_slice(secret).unwrap_or_else(|_| Hmac::new(&[0; 64].into())),
            secret: secret.to_vec(),
        }
    }

    /// Hashes `parts`, each with its length, so that no two lists of parts are alike.
    #[must_use]
    pub fn hash(&self, domain: Domain, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(&[domain as u8]);
        for part in parts {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            mac.update(&length.to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// The first half of [`Key::hash`].
    #[must_use]
    pub fn short(&self, domain: Domain, parts: &[&[u8]]) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = self.hash(domain, parts);
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }
}

/// The secret in use and those before it.
#[derive(Clone)]
pub struct Keyring {
    current: Key,
    former: Vec<Key>,
}

impl Keyring {
    /// Begins with one secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self {
            current: Key::new(secret),
            former: Vec::new(),
        }
    }

    /// What is signed and hashed with.
    #[must_use]
    pub fn current(&self) -> &Key {
        &self.current
    }

    /// The current secret itself, to be shared.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.current.secret
    }

    /// Every key that may have signed an id, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.former)
    }

    /// Takes another secret into use; says whether it is another.
    pub fn replace(&mut self, secret: &[u8]) -> bool {
        if self.current.secret == secret {
            return false;
        }
        self.former.retain(|key| key.secret != secret);
        let before = std::mem::replace(&mut self.current, Key::new(secret));
        self.former.insert(0, before);
        self.former.truncate(FORMER_MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_domains_do_not_run_together() {
        let key = Key::new(b"secret");
        let hashes = [
            key.hash(Domain::Id, &[b"ab", b"c"]),
            key.hash(Domain::Id, &[b"a", b"bc"]),
            key.hash(Domain::Id, &[b"abc"]),
            key.hash(Domain::Client, &[b"ab", b"c"]),
            Key::new(b"other").hash(Domain::Id, &[b"ab", b"c"]),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes.iter().skip(index + 1).any(|other| other == hash));
        }
        assert_eq!(key.hash(Domain::Id, &[b"ab", b"c"]), hashes[0]);
        assert_eq!(key.short(Domain::Id, &[b"ab", b"c"]), hashes[0][..16]);
    }

    #[test]
    fn a_replaced_secret_is_remembered_for_a_while() {
        let mut ring = Keyring::new(b"a");
        assert!(!ring.replace(b"a"));
        assert!(ring.replace(b"b"));
        assert!(ring.replace(b"a"));
        let secrets =
            |ring: &Keyring| -> Vec<Vec<u8>> { ring.all().map(|key| key.secret.clone()).collect() };
        assert_eq!(secrets(&ring), [b"a", b"b"]);
        for next in [b"c", b"d", b"e"] {
            ring.replace(next);
        }
        assert_eq!(secrets(&ring), [b"e", b"d", b"c"]);
        assert_eq!(ring.secret(), b"e");
    }
}
