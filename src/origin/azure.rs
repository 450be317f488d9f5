//! An Azure Blob container, over its REST API: shared keys or tokens.

use async_trait::async_trait;
use http::HeaderValue;
use http::request::Parts;
use reqsign_azure_storage::{
    Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider,
};
use reqsign_core::{Context, Signer};

use crate::config::Secret;
use crate::origin::endpoint::Endpoint;
use crate::origin::request::Place;
use crate::origin::store::{Dialect, Store};
use crate::origin::{Error, Fetch, path, sign};

/// Version of the service that is spoken; without one the oldest is answered.
const VERSION: HeaderValue = HeaderValue::from_static("2021-12-02");

/// A container.
pub struct Azure {
    account: String,
    container: String,
    prefix: String,
    signer: Option<Signer<Credential>>,
}

impl Azure {
    /// Describes a container; `prefix` stands before every key, without trailing slash.
    #[must_use]
    pub fn new(
        account: &str,
        container: &str,
        prefix: &str,
        signer: Option<Signer<Credential>>,
    ) -> Self {
        Self {
            account: account.to_owned(),
            container: container.to_owned(),
            prefix: prefix.to_owned(),
            signer,
        }
    }
}

/// Makes the signer for a shared key, or for the default chain without one.
#[must_use]
pub fn signer(context: Context, account: &str, key: Option<&Secret>) -> Signer<Credential> {
    let request = RequestSigner::new();
    match key {
        Some(Secret(key)) => {
            let provider = StaticCredentialProvider::new_shared_key(account, key);
            Signer::new(context, provider, request)
        }
        None => {
            let chain = DefaultCredentialProvider::builder().no_azure_cli();
            Signer::new(context, chain.build(), request)
        }
    }
}

#[async_trait]
impl Store for Azure {
    fn dialect(&self) -> Dialect {
        Dialect::Azure
    }

    /// An endpoint whose host does not begin with the account (an emulator, a private one) has
    /// the account as first segment of the path.
    fn place(&self, endpoint: &Endpoint, fetch: &Fetch) -> Option<Place> {
        let key = path::strict(&format!("{}{}", self.prefix, fetch.path))?;
        let (account, container) = (&self.account, &self.container);
        let in_host = endpoint
            .host
            .split_once('.')
            .is_some_and(|(label, _)| label == account);
        let target = if in_host {
            format!("/{container}{key}")
        } else {
            format!("/{account}/{container}{key}")
        };
        Some(Place {
            authority: endpoint.authority(),
            sni: endpoint.host.clone(),
            target,
        })
    }

    /// Range and preconditions are part of a shared key's signature, so all headers are signed.
    async fn sign(&self, parts: &mut Parts) -> Result<(), Error> {
        parts.headers.insert("x-ms-version", VERSION);
        match &self.signer {
            Some(signer) => sign::sign(signer, parts).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_stands_in_the_path_where_the_host_has_it_not() {
        let store = Azure::new("acc", "vod", "", None);
        let fetch = Fetch {
            path: "/a b".into(),
            ..Fetch::default()
        };
        for (uri, target) in [
            ("https://acc.blob.core.windows.net", "/vod/a%20b"),
            ("http://127.0.0.1:10000", "/acc/vod/a%20b"),
        ] {
            let endpoint = Endpoint::of(&uri.parse().unwrap()).unwrap();
            assert_eq!(store.place(&endpoint, &fetch).unwrap().target, target);
        }
    }

    #[tokio::test]
    async fn a_shared_key_signs_the_range_too() {
        let key = Secret("c2VjcmV0".into());
        let signer = signer(Context::new(), "acc", Some(&key));
        let store = Azure::new("acc", "vod", "", Some(signer));
        let mut parts = http::Request::get("https://acc.blob.core.windows.net/vod/a%20b")
            .header("range", "bytes=0-1")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        store.sign(&mut parts).await.unwrap();
        let authorization = parts.headers["authorization"].to_str().unwrap();
        assert!(
            authorization.starts_with("SharedKey acc:"),
            "{authorization}"
        );
    }
}
