//! A TLS origin for tests that speaks HTTP/2 or HTTP/1.1, as ALPN has it, and breaks on demand.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::{Request, Response, Version};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A running origin.
pub(super) struct Secure {
    pub(super) url: String,
    /// PEM file of the authority that signed its certificate: itself.
    pub(super) ca: NamedTempFile,
    connections: Arc<AtomicUsize>,
}

impl Secure {
    pub(super) async fn start(protocols: &[&str]) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let ca = NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), made.cert.pem()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(acceptor.clone(), stream));
            }
        });
        Self {
            url,
            ca,
            connections,
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    if h2 {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        drop(connection.serve_connection(io, service_fn(answer)).await);
    } else {
        let connection = hyper::server::conn::http1::Builder::new();
        drop(connection.serve_connection(io, service_fn(answer)).await);
    }
}

/// Answers `/broken...` with a body that breaks, `/length...` with a Content-Length of ten.
async fn answer(
    request: Request<Incoming>,
) -> Result<Response<StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>>, Infallible> {
    let path = request.uri().path();
    let data = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
    let end = if path.contains("broken") {
        Err(io::Error::other("broken"))
    } else {
        data("world")
    };
    let mut response = Response::builder();
    if path.contains("length") {
        response = response.header("content-length", "10");
    }
    let version = match request.version() {
        Version::HTTP_2 => "2",
        _ => "1",
    };
    // The pause lets the head out before an error resets the stream.
    let later = stream::once(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        end
    });
    let pieces = stream::iter([data("hello")]).chain(later).boxed();
    let response = response.header("x-version", version);
    Ok(response.body(StreamBody::new(pieces)).unwrap())
}
