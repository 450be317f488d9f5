//! An S3-type bucket: paths, hosts and signatures (AWS Signature Version 4).

use async_trait::async_trait;
use http::header::HOST;
use http::request::Parts;
use reqsign_aws_v4::{
    Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider,
};
use reqsign_core::{Context, Signer};

use crate::config::{S3Credentials, Secret};
use crate::origin::endpoint::Endpoint;
use crate::origin::request::Place;
use crate::origin::store::{Dialect, Store};
use crate::origin::{Error, Fetch, path, sign};

/// A bucket.
pub struct S3 {
    bucket: String,
    prefix: String,
    addressing: Addressing,
    signer: Option<Signer<Credential>>,
}

/// Where the bucket's name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// First segment of the path.
    Path,
    /// First label of the host.
    VirtualHost,
}

impl S3 {
    /// Describes a bucket; `prefix` stands before every key, without trailing slash.
    #[must_use]
    pub fn new(
        bucket: &str,
        prefix: &str,
        addressing: Addressing,
        signer: Option<Signer<Credential>>,
    ) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            addressing,
            signer,
        }
    }
}

/// Makes the signer that the configuration names; `None` for anonymous access.
#[must_use]
pub fn signer(
    context: Context,
    region: &str,
    credentials: &S3Credentials,
) -> Option<Signer<Credential>> {
    let request = RequestSigner::new("s3", region);
    match credentials {
        S3Credentials::Anonymous => None,
        S3Credentials::Static {
            access_key: Secret(access_key),
            secret_key: Secret(secret_key),
        } => {
            let keys = StaticCredentialProvider::new(access_key, secret_key);
            Some(Signer::new(context, keys, request))
        }
        S3Credentials::Chain { profile } => {
            let mut chain = DefaultCredentialProvider::builder().no_process();
            if let Some(profile) = profile {
                chain = chain.with_profile(profile);
            }
            Some(Signer::new(context, chain.build(), request))
        }
    }
}

#[async_trait]
impl Store for S3 {
    fn dialect(&self) -> Dialect {
        Dialect::S3
    }

    fn place(&self, endpoint: &Endpoint, fetch: &Fetch) -> Option<Place> {
        let key = path::strict(&format!("{}{}", self.prefix, fetch.path))?;
        let bucket = &self.bucket;
        Some(match self.addressing {
            Addressing::Path => Place {
                authority: endpoint.authority(),
                sni: endpoint.host.clone(),
                target: format!("/{bucket}{key}"),
            },
            Addressing::VirtualHost => {
                let host = format!("{bucket}.{}", endpoint.host);
                Place {
                    authority: endpoint.authority_of(&host),
                    sni: host,
                    target: key,
                }
            }
        })
    }

    /// Signs the host only: what proxies between us and the store may rewrite stays out.
    async fn sign(&self, parts: &mut Parts) -> Result<(), Error> {
        let Some(signer) = &self.signer else {
            return Ok(());
        };
        let mut unsigned = std::mem::take(&mut parts.headers);
        if let Some(host) = unsigned.remove(HOST) {
            parts.headers.insert(HOST, host);
        }
        let signed = sign::sign(signer, parts).await;
        parts.headers.extend(unsigned);
        signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(addressing: Addressing, path: &str) -> Option<Place> {
        let endpoint = Endpoint::of(&"http://127.0.0.1:8333".parse().unwrap()).unwrap();
        let store = S3::new("vod", "/pre", addressing, None);
        let fetch = Fetch {
            path: path.into(),
            ..Fetch::default()
        };
        store.place(&endpoint, &fetch)
    }

    #[test]
    fn the_bucket_stands_in_path_or_host() {
        let by_path = place(Addressing::Path, "/a b+.m4s").unwrap();
        assert_eq!(by_path.target, "/vod/pre/a%20b%2B.m4s");
        assert_eq!(by_path.authority, "127.0.0.1:8333");
        let by_host = place(Addressing::VirtualHost, "/a//b").unwrap();
        assert_eq!(by_host.target, "/pre/a//b");
        assert_eq!(by_host.authority, "vod.127.0.0.1:8333");
        assert_eq!(by_host.sni, "vod.127.0.0.1");
        assert_eq!(place(Addressing::Path, "/%FF"), None);
    }

    #[tokio::test]
    async fn what_is_signed_is_sent_as_it_was_signed() {
        let keys = S3Credentials::Static {
            access_key: Secret("key".into()),
            secret_key: Secret("secret".into()),
        };
        let signer = signer(Context::new(), "us-east-1", &keys);
        let store = S3::new("vod", "", Addressing::Path, signer);
        for path in ["/a b", "/é", "/a+b", "/a;b", "/a//b"] {
            let target = path::strict(path).unwrap();
            let uri = format!("http://store:9000/vod{target}");
            let mut parts = http::Request::get(&uri)
                .header("host", "store:9000")
                .header("range", "bytes=0-1")
                .body(())
                .unwrap()
                .into_parts()
                .0;
            store.sign(&mut parts).await.unwrap();
            assert_eq!(parts.uri.to_string(), uri);
            assert_eq!(parts.headers["range"], "bytes=0-1");
            let authorization = parts.headers["authorization"].to_str().unwrap();
            assert!(
                authorization.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date,"),
                "{authorization}"
            );
        }
    }

    #[tokio::test]
    async fn anonymous_access_is_not_signed() {
        let store = S3::new("vod", "", Addressing::Path, None);
        let mut parts = http::Request::get("http://store/vod/a")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        store.sign(&mut parts).await.unwrap();
        assert!(parts.headers.is_empty());
    }
}
