//! How signers reach files, the environment and token services: by our client, with deadlines.
//!
//! Credential chains ask metadata services that mostly do not exist; each such request is bounded
//! like any other. No command is ever run for a credential.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use reqsign_core::{Context, FileRead, HttpSend, OsEnv, Signer, SigningCredential};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::config::Deadlines;
use crate::origin::Error;
use crate::origin::client::{Client, Connection, Options, Route, Way};
use crate::origin::endpoint::Endpoint;

/// Largest credential file or token answer.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Longest read of a credential file.
const FILE_WAIT_MAX: Duration = Duration::from_secs(2);
/// Deadlines of token and metadata services. They are near, and a chain asks several in turn.
const SERVICE: Deadlines = Deadlines {
    connect: Duration::from_secs(1),
    first_byte: Duration::from_secs(4),
    stall: Duration::from_secs(2),
    tries: 1,
};

/// Makes the context in which credentials are found.
#[must_use]
pub fn context() -> Context {
    let client = Client::new(Options {
        // Token services are public ones, whatever authority the store itself has.
        ca: None,
        http2: false,
        deadlines: SERVICE,
    });
    Context::new()
        .with_file_read(Files)
        .with_http_send(Services(Arc::new(client)))
        .with_env(OsEnv)
}

/// Signs a request head.
///
/// # Errors
/// [`Error::Credentials`], which names the signer's reason and no secret.
pub async fn sign<K: SigningCredential>(
    signer: &Signer<K>,
    parts: &mut http::request::Parts,
) -> Result<(), Error> {
    signer.sign(parts, None).await.map_err(|error| {
        tracing::error!(%error, "origin request could not be signed");
        Error::Credentials(error.to_string())
    })
}

/// Files of credentials.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        let read = async {
            let file = tokio::fs::File::open(path).await?;
            let mut content = Vec::new();
            let limit = u64::try_from(DOCUMENT_BYTES_MAX).unwrap_or(u64::MAX);
            file.take(limit).read_to_end(&mut content).await?;
            Ok::<_, std::io::Error>(content)
        };
        match timeout(FILE_WAIT_MAX, read).await {
            Ok(Ok(content)) => Ok(content),
            Ok(Err(error)) => Err(unexpected("credential file cannot be read").with_source(error)),
            Err(_) => Err(unexpected("credential file did not come in time")),
        }
    }
}

/// Token and metadata services.
struct Services(Arc<Client>);

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Services")
    }
}

impl HttpSend for Services {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let mut request = request;
        let endpoint = Endpoint::of(request.uri())
            .ok_or_else(|| unexpected("token service has no http address"))?;
        let host = HeaderValue::from_str(&endpoint.authority())
            .map_err(|_| unexpected("token service has no valid host"))?;
        request.headers_mut().insert(http::header::HOST, host);
        let route = Route {
            endpoint: &endpoint,
            sni: &endpoint.host,
            way: Way {
                connection: Connection::Fresh,
                connect: SERVICE.connect,
            },
        };
        let sent = self.0.send(route, request, None).await;
        let answer = sent.map_err(|failure| {
            unexpected("token service did not answer").with_source(failure.error)
        })?;
        let body = answer.body.collect(DOCUMENT_BYTES_MAX).await;
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

fn unexpected(message: &str) -> reqsign_core::Error {
    reqsign_core::Error::unexpected(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::scripted::{Scripted, say};

    #[tokio::test]
    async fn token_services_are_asked_by_our_client() {
        let script = vec![say("HTTP/1.1 201 OK\nContent-Length: 5\nX-A: b\n\ntoken")];
        let service = Scripted::start(vec![script]).await;
        let request = Request::put(format!("{}/latest?a=b", service.url))
            .body(Bytes::from_static(b"question"))
            .unwrap();
        let response = context().http_send(request).await.unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["x-a"], "b");
        assert_eq!(response.body().as_ref(), b"token");
        let head = service.heads().remove(0);
        assert!(head.starts_with("put /latest?a=b http/1.1\r\n"), "{head}");
        assert!(head.contains("content-length: 8\r\n"), "{head}");
    }

    #[tokio::test]
    async fn what_cannot_be_reached_or_read_is_an_error() {
        let request = |uri: &str| Request::get(uri).body(Bytes::new()).unwrap();
        assert!(context().http_send(request("/relative")).await.is_err());
        assert!(
            context()
                .http_send(request("http://127.0.0.1:1/"))
                .await
                .is_err()
        );
        assert!(context().file_read("/none/such").await.is_err());
    }
}
