//! A Google Cloud Storage bucket, over its XML API: path style, OAuth bearer tokens.

use std::path::Path;

use async_trait::async_trait;
use http::request::Parts;
use reqsign_core::{Context, ProvideCredential, Signer};
use reqsign_google::{
    Credential, DefaultCredentialProvider, FileCredentialProvider, RequestSigner,
    ServiceAccountTokenCredentialProvider,
};

use crate::origin::endpoint::Endpoint;
use crate::origin::request::Place;
use crate::origin::store::{Dialect, Store};
use crate::origin::{Error, Fetch, path, sign};

/// The one right we need.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_only";

/// A bucket.
pub struct Google {
    bucket: String,
    prefix: String,
    signer: Option<Signer<Credential>>,
}

impl Google {
    /// Describes a bucket; `prefix` stands before every key, without trailing slash.
    #[must_use]
    pub fn new(bucket: &str, prefix: &str, signer: Option<Signer<Credential>>) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            signer,
        }
    }
}

/// Makes the signer for a credential file, or for the default chain without one.
#[must_use]
pub fn signer(context: Context, file: Option<&Path>) -> Signer<Credential> {
    let request = RequestSigner::new("storage").with_scope(SCOPE);
    match file {
        Some(file) => {
            let file = file.to_string_lossy().into_owned();
            let provider = FileCredentialProvider::new(file).with_scope(SCOPE);
            Signer::new(context, Tokens(provider), request)
        }
        None => Signer::new(context, Tokens(DefaultCredentialProvider::new()), request),
    }
}

/// Exchanges a service account for a token where credentials are loaded.
///
/// The signer keeps what it loads. Left to the signing of each request, the exchange would be
/// repeated for each of them.
#[derive(Debug)]
struct Tokens<P>(P);

impl<P: ProvideCredential<Credential = Credential>> ProvideCredential for Tokens<P> {
    type Credential = Credential;

    async fn provide_credential(
        &self,
        context: &Context,
    ) -> reqsign_core::Result<Option<Credential>> {
        let loaded = self.0.provide_credential(context).await?;
        let account = match loaded {
            Some(Credential {
                service_account: Some(account),
                token: None,
                ..
            }) => account,
            other => return Ok(other),
        };
        let exchange = ServiceAccountTokenCredentialProvider::new(account).with_scope(SCOPE);
        exchange.provide_credential(context).await
    }
}

#[async_trait]
impl Store for Google {
    fn dialect(&self) -> Dialect {
        Dialect::Google
    }

    fn place(&self, endpoint: &Endpoint, fetch: &Fetch) -> Option<Place> {
        let key = path::strict(&format!("{}{}", self.prefix, fetch.path))?;
        Some(Place {
            authority: endpoint.authority(),
            sni: endpoint.host.clone(),
            target: format!("/{}{key}", self.bucket),
        })
    }

    async fn sign(&self, parts: &mut Parts) -> Result<(), Error> {
        match &self.signer {
            Some(signer) => sign::sign(signer, parts).await,
            None => Ok(()),
        }
    }
}
