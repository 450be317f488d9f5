//! The admin listener's bearer token (RFC 6750 section 2.1).

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;

/// What a client must show. Only its digest is kept.
pub struct Token([u8; 32]);

impl Token {
    /// Takes the configured secret.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        Self(Sha256::digest(secret.0.as_bytes()).into())
    }

    /// Whether the value of an Authorization field shows it.
    ///
    /// Digests are compared, in constant time: neither length nor content can be felt out.
    #[must_use]
    pub fn admits(&self, authorization: &[u8]) -> bool {
        let Some((scheme, shown)) = authorization.split_at_checked(SCHEME.len()) else {
            return false;
        };
        let shown: [u8; 32] = Sha256::digest(shown.trim_ascii()).into();
        scheme.eq_ignore_ascii_case(SCHEME) && bool::from(shown.ct_eq(&self.0))
    }
}

const SCHEME: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_with_its_scheme_is_admitted() {
        let token = Token::new(&Secret("s3cret".to_owned()));
        let cases: [(&[u8], bool); 7] = [
            (b"Bearer s3cret", true),
            (b"bearer s3cret", true),
            (b"Bearer s3cre", false),
            (b"Bearer s3crets", false),
            (b"Basic s3cret", false),
            (b"s3cret", false),
            (b"", false),
        ];
        for (shown, admitted) in cases {
            assert_eq!(token.admits(shown), admitted, "{shown:?}");
        }
    }
}
