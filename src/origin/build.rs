//! Puts an origin together from a site's configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Uri;
use pingora::tls::x509::X509;

use crate::config::{Site, Store as Kind};
use crate::origin::azure::{self, Azure};
use crate::origin::client::{Client, Options};
use crate::origin::endpoint::Endpoint;
use crate::origin::endpoints::{Endpoints, Recovery};
use crate::origin::file::Directory;
use crate::origin::gate::Gate;
use crate::origin::google::{self, Google};
use crate::origin::remote::{Check, Remote};
use crate::origin::retry::Retrying;
use crate::origin::s3::{self, Addressing, S3};
use crate::origin::seldom::Seldom;
use crate::origin::store::Store;
use crate::origin::web::Web;
use crate::origin::{Origin, sign};

/// Why a site's origin cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An endpoint is no address.
    #[error("origin endpoint {0:?} is not http://host[:port] or https://host[:port]")]
    Endpoint(String),
    /// A remote store has no endpoint.
    #[error("site {0:?} has an origin without endpoints")]
    NoEndpoint(String),
    /// The file of trusted authorities cannot be read.
    #[error("certificate authorities {path:?} cannot be read")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file of trusted authorities has no certificate.
    #[error("certificate authorities {0:?} hold no PEM certificate")]
    CaContent(PathBuf),
}

/// Makes the origin of a site. Nothing is sent or opened yet.
///
/// # Errors
/// Where the configuration names what cannot be used.
pub fn build(site: &Site) -> Result<Arc<dyn Origin>, BuildError> {
    let prefix = &site.origin.prefix;
    match &site.origin.store {
        Kind::File(root) => {
            let directory = Directory::new(root, prefix, site.deadlines.stall);
            Ok(Arc::new(directory))
        }
        Kind::Web { host } => remote(
            site,
            Web {
                host: host.clone(),
                prefix: prefix.clone(),
            },
        ),
        Kind::S3 {
            bucket,
            region,
            virtual_host,
            credentials,
        } => {
            let addressing = if *virtual_host {
                Addressing::VirtualHost
            } else {
                Addressing::Path
            };
            let signer = s3::signer(sign::context(), region, credentials);
            remote(site, S3::new(bucket, prefix, addressing, signer))
        }
        Kind::Google {
            bucket,
            credentials,
            anonymous,
        } => {
            let signer = || google::signer(sign::context(), credentials.as_deref());
            let signer = (!anonymous).then(signer);
            remote(site, Google::new(bucket, prefix, signer))
        }
        Kind::Azure {
            account,
            container,
            key,
            anonymous,
        } => {
            let signer = || azure::signer(sign::context(), account, key.as_ref());
            let signer = (!anonymous).then(signer);
            remote(site, Azure::new(account, container, prefix, signer))
        }
    }
}

fn remote(site: &Site, store: impl Store) -> Result<Arc<dyn Origin>, BuildError> {
    let settings = &site.origin;
    if let Some(ca) = &settings.ca {
        check_ca(ca)?;
    }
    let client = Client::new(Options {
        ca: settings.ca.clone(),
        http2: settings.http2,
        deadlines: site.deadlines,
    });
    let check = settings.health_path.as_ref().map(|path| Check {
        path: path.clone(),
        every: settings.health_interval,
    });
    let recovery = if check.is_some() {
        Recovery::Check
    } else {
        Recovery::Request
    };
    let remote = Remote {
        store: Box::new(store),
        client: Arc::new(client),
        endpoints: Endpoints::new(&site.name, endpoints(site)?, recovery),
        connect: site.deadlines.connect,
        check,
        faults: Seldom::default(),
    };
    // Who waits longer for a place than for an answer has little use for either.
    let gate = Gate::new(site.origin_requests_max, site.deadlines.first_byte);
    Ok(Arc::new(Retrying::new(remote, site.deadlines, gate)))
}

fn endpoints(site: &Site) -> Result<Vec<Endpoint>, BuildError> {
    let read = |text: &String| {
        let uri: Option<Uri> = text.parse().ok();
        uri.and_then(|uri| Endpoint::of(&uri))
            .ok_or_else(|| BuildError::Endpoint(text.clone()))
    };
    let list: Vec<_> = site
        .origin
        .endpoints
        .iter()
        .map(read)
        .collect::<Result<_, _>>()?;
    if list.is_empty() {
        return Err(BuildError::NoEndpoint(site.name.clone()));
    }
    Ok(list)
}

/// Pingora panics on a file of authorities that it cannot read, so it is read here first.
fn check_ca(path: &Path) -> Result<(), BuildError> {
    let pem = std::fs::read(path).map_err(|source| BuildError::CaFile {
        path: path.to_owned(),
        source,
    })?;
    match X509::stack_from_pem(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(()),
        _ => Err(BuildError::CaContent(path.to_owned())),
    }
}
