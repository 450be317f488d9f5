//! Certificates, and the TLS settings of a listener.
//!
//! Everything is read and checked before a listener starts, since Pingora panics on a bad
//! certificate. TLS 1.2 and 1.3 with Mozilla's intermediate ciphers; HTTP/2 and HTTP/1.1 by ALPN.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::tls::TlsRef;
use pingora::tls::error::ErrorStack;
use pingora::tls::ext;
use pingora::tls::nid::Nid;
use pingora::tls::pkey::{PKey, Private};
use pingora::tls::ssl::{NameType, SslVersion};
use pingora::tls::x509::X509;

use crate::config;

/// Key exchange groups, most wanted first: what every current client has, nothing slow.
const GROUPS: &str = "X25519:P-256:P-384";

/// Why certificates cannot be used; names the key of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("tls.certificates[{index}].{key}: {path}: {source}")]
    Unreadable {
        /// Which certificate of the list.
        index: usize,
        /// `cert` or `key`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds no PEM of the kind expected.
    #[error("tls.certificates[{index}].{key}: {path}: not a PEM {key}: {source}")]
    Malformed {
        /// Which certificate of the list.
        index: usize,
        /// `cert` or `key`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What OpenSSL said.
        source: ErrorStack,
    },
    /// A file holds no certificate at all.
    #[error("tls.certificates[{index}].cert: {path}: holds no certificate")]
    Empty {
        /// Which certificate of the list.
        index: usize,
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not belong together.
    #[error("tls.certificates[{index}].key: {path}: is not the key of the certificate")]
    Mismatch {
        /// Which certificate of the list.
        index: usize,
        /// The key's file.
        path: PathBuf,
    },
    /// There are HTTPS listeners and no certificates.
    #[error("tls.certificates: at least one is needed for listen.https")]
    Missing,
    /// OpenSSL refused a setting.
    #[error("tls: {0}")]
    Settings(String),
}

/// A checked certificate chain with its key.
#[derive(Clone)]
pub struct Identity {
    leaf: X509,
    chain: Vec<X509>,
    key: PKey<Private>,
    /// Lower-case DNS names, some with a leading `*.`.
    names: Vec<String>,
}

/// Reads and checks every certificate.
///
/// # Errors
/// The first one that cannot be used.
pub fn load(certificates: &[config::Certificate]) -> Result<Arc<[Identity]>, Error> {
    certificates.iter().enumerate().map(load_one).collect()
}

fn load_one((index, files): (usize, &config::Certificate)) -> Result<Identity, Error> {
    let read = |key, path: &PathBuf| {
        std::fs::read(path).map_err(|source| Error::Unreadable {
            index,
            key,
            path: path.clone(),
            source,
        })
    };
    let malformed = |key, path: &PathBuf| {
        let path = path.clone();
        move |source| Error::Malformed {
            index,
            key,
            path,
            source,
        }
    };
    let pem = read("cert", &files.cert)?;
    let mut chain = X509::stack_from_pem(&pem).map_err(malformed("cert", &files.cert))?;
    if chain.is_empty() {
        return Err(Error::Empty {
            index,
            path: files.cert.clone(),
        });
    }
    let leaf = chain.remove(0);
    let pem = read("key", &files.key)?;
    let key = PKey::private_key_from_pem(&pem).map_err(malformed("key", &files.key))?;
    let public = leaf.public_key().map_err(malformed("cert", &files.cert))?;
    if !public.public_eq(&key) {
        return Err(Error::Mismatch {
            index,
            path: files.key.clone(),
        });
    }
    let names = names_of(&leaf);
    Ok(Identity {
        leaf,
        chain,
        key,
        names,
    })
}

/// The names a certificate is for: its alternative names, or the common name of an old one.
fn names_of(leaf: &X509) -> Vec<String> {
    let alternative: Vec<String> = leaf
        .subject_alt_names()
        .iter()
        .flatten()
        .filter_map(|name| name.dnsname().map(str::to_ascii_lowercase))
        .collect();
    if !alternative.is_empty() {
        return alternative;
    }
    let common = leaf.subject_name().entries_by_nid(Nid::COMMONNAME);
    common
        .filter_map(|entry| Some(entry.data().to_string().ok()?.to_ascii_lowercase()))
        .collect()
}

/// Makes the settings of one listener.
///
/// # Errors
/// No certificate, or a setting that this OpenSSL does not know.
pub fn settings(identities: &Arc<[Identity]>) -> Result<TlsSettings, Error> {
    if identities.is_empty() {
        return Err(Error::Missing);
    }
    let chooser = Chooser(Arc::clone(identities));
    let mut settings = TlsSettings::with_callbacks(Box::new(chooser))
        .map_err(|error| Error::Settings(error.to_string()))?;
    settings.enable_h2();
    let refused = |error: ErrorStack| Error::Settings(error.to_string());
    settings
        .set_min_proto_version(Some(SslVersion::TLS1_2))
        .map_err(refused)?;
    settings.set_groups_list(GROUPS).map_err(refused)?;
    Ok(settings)
}

/// Gives each handshake the certificate of the name it asks for.
struct Chooser(Arc<[Identity]>);

#[async_trait]
impl TlsAccept for Chooser {
    async fn certificate_callback(&self, ssl: &mut TlsRef) {
        let wanted = ssl.servername(NameType::HOST_NAME).map(str::to_owned);
        let names = self.0.iter().map(|identity| identity.names.as_slice());
        let chosen = choose(names, wanted.as_deref());
        let Some(identity) = self.0.get(chosen) else {
            return;
        };
        if let Err(error) = present(ssl, identity) {
            // The handshake then fails for want of a certificate.
            tracing::error!(%error, name = wanted, "certificate not usable");
        }
    }
}

fn present(ssl: &mut TlsRef, identity: &Identity) -> Result<(), ErrorStack> {
    ext::ssl_use_certificate(ssl, &identity.leaf)?;
    ext::ssl_use_private_key(ssl, &identity.key)?;
    for link in &identity.chain {
        ext::ssl_add_chain_cert(ssl, link)?;
    }
    Ok(())
}

/// The certificate for a name: an exact match, then a wildcard, then the first one.
fn choose<'a>(names: impl Iterator<Item = &'a [String]> + Clone, wanted: Option<&str>) -> usize {
    let Some(wanted) = wanted.map(|name| name.trim_end_matches('.').to_ascii_lowercase()) else {
        return 0;
    };
    let parent = wanted.split_once('.').map(|(_, parent)| parent);
    let exact = |known: &String| *known == wanted;
    let wildcard = |known: &String| parent.is_some() && known.strip_prefix("*.") == parent;
    let mut exactly = names.clone();
    let mut widely = names;
    exactly
        .position(|known| known.iter().any(exact))
        .or_else(|| widely.position(|known| known.iter().any(wildcard)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn identity(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn load_texts(cert: &str, key: &str) -> Result<Arc<[Identity]>, Error> {
        let (cert, key) = (file(cert), file(key));
        load(&[config::Certificate {
            cert: cert.path().to_owned(),
            key: key.path().to_owned(),
        }])
    }

    #[test]
    fn a_good_certificate_gives_listener_settings() {
        let (cert, key) = identity(&["edge.test", "*.cdn.test"]);
        let loaded = load_texts(&cert, &key).unwrap();
        assert_eq!(loaded[0].names, ["edge.test", "*.cdn.test"]);
        assert!(settings(&loaded).is_ok());
    }

    #[test]
    fn a_bad_certificate_is_named_by_its_key() {
        let (cert, key) = identity(&["a.test"]);
        let (_, other) = identity(&["b.test"]);
        let cases = [
            (cert.as_str(), other.as_str(), "certificates[0].key"),
            (cert.as_str(), "nonsense", "certificates[0].key"),
            ("nonsense", key.as_str(), "certificates[0].cert"),
        ];
        for (cert, key, expected) in cases {
            let error = load_texts(cert, key).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_certificate_follows_the_name_asked_for() {
        let names: [Vec<String>; 3] = [
            vec!["default.test".to_owned()],
            vec!["*.cdn.test".to_owned()],
            vec!["a.cdn.test".to_owned()],
        ];
        let cases = [
            (None, 0),
            (Some("unknown.test"), 0),
            (Some("a.cdn.test"), 2),
            (Some("A.CDN.TEST."), 2),
            (Some("b.cdn.test"), 1),
            (Some("x.y.cdn.test"), 0),
            (Some("cdn.test"), 0),
        ];
        for (wanted, index) in cases {
            assert_eq!(
                choose(names.iter().map(Vec::as_slice), wanted),
                index,
                "{wanted:?}"
            );
        }
    }
}
