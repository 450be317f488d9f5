//! Clients: HTTP/1.1, HTTP/1.1 over TLS and HTTP/2, patient or slow, and bare TCP.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// An exchange that takes longer than this hangs.
const EXCHANGE_MAX: Duration = Duration::from_secs(90);

/// Receive buffer and HTTP/2 windows of a slow client.
const SLOW_WINDOW: u32 = 16 * 1024;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http1Tls,
    Http2,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Http1, Self::Http1Tls, Self::Http2];
}

/// How fast a client takes what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Appetite {
    Normal,
    Small,
}

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    host: String,
    protocol: Protocol,
    appetite: Appetite,
    trust: Option<Arc<ClientConfig>>,
}

/// A request about to be sent on a connection of its own.
pub(crate) struct Request {
    client: Client,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// An open connection, for requests one after another.
pub(crate) struct Connection {
    client: Client,
    sender: Sender,
    _driver: Driver,
}

/// A response whose head has arrived.
pub(crate) struct Download {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    started: Instant,
    _driver: Option<Driver>,
}

/// A response that has ended, well or badly.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What broke the body off, as the protocol told it.
    pub(crate) broken: Option<String>,
    /// Until the end.
    pub(crate) total: Duration,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// The task that moves a connection's bytes; the connection closes with it.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Trusts one certificate.
pub(crate) fn trust(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

impl Client {
    /// Speaks HTTP/1.1 in clear.
    pub(crate) fn plain(address: SocketAddr, host: &str) -> Self {
        let (protocol, appetite) = (Protocol::Http1, Appetite::Normal);
        Self {
            address,
            host: host.to_owned(),
            protocol,
            appetite,
            trust: None,
        }
    }

    /// Speaks a protocol over TLS.
    pub(crate) fn tls(address: SocketAddr, host: &str, over: (Protocol, &ClientConfig)) -> Self {
        let (protocol, config) = over;
        let mut config = config.clone();
        config.alpn_protocols = match protocol {
            Protocol::Http2 => vec![b"h2".to_vec()],
            Protocol::Http1 | Protocol::Http1Tls => vec![b"http/1.1".to_vec()],
        };
        let trust = Some(Arc::new(config));
        Self {
            address,
            host: host.to_owned(),
            protocol,
            appetite: Appetite::Normal,
            trust,
        }
    }

    /// Takes little at a time: small buffers and windows, so that the server feels its pace.
    pub(crate) fn slow(mut self) -> Self {
        self.appetite = Appetite::Small;
        self
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Goes by another address to the same server.
    pub(crate) fn by(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// A request on a connection of its own.
    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        Request {
            client: self.clone(),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// GET on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.request("GET", target).send().await
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<Connection, String> {
        let stream = self.dial().await?;
        let (sender, driver) = match &self.trust {
            None => self.handshake(TokioIo::new(stream)).await?,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(text)?;
                let tls = TlsConnector::from(Arc::clone(config))
                    .connect(name, stream)
                    .await;
                self.handshake(TokioIo::new(tls.map_err(text)?)).await?
            }
        };
        Ok(Connection {
            client: self.clone(),
            sender,
            _driver: driver,
        })
    }

    /// Sends bytes as they are and returns what comes until the server closes or falls silent.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.dial().await.unwrap();
        // A refusal may close the connection before all was sent.
        let _refused_early = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let silence = Duration::from_secs(2);
        while let Ok(Ok(1..)) = timeout(silence, stream.read_buf(&mut answer)).await {}
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn dial(&self) -> Result<TcpStream, String> {
        let socket = TcpSocket::new_v4().map_err(text)?;
        if self.appetite == Appetite::Small {
            socket.set_recv_buffer_size(SLOW_WINDOW).map_err(text)?;
        }
        let stream = socket.connect(self.address).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        Ok(stream)
    }

    async fn handshake<I>(&self, io: I) -> Result<(Sender, Driver), String>
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        if self.protocol == Protocol::Http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            if self.appetite == Appetite::Small {
                builder.initial_stream_window_size(SLOW_WINDOW);
                builder.initial_connection_window_size(SLOW_WINDOW * 4);
            }
            let (sender, driver) = builder.handshake(io).await.map_err(text)?;
            return Ok((Sender::Http2(sender), drive(driver)));
        }
        let mut builder = http1::Builder::new();
        if self.appetite == Appetite::Small {
            builder.max_buf_size(SLOW_WINDOW as usize);
        }
        let (sender, driver) = builder.handshake(io).await.map_err(text)?;
        Ok((Sender::Http1(sender), drive(driver)))
    }
}

fn drive<F, E>(connection: F) -> Driver
where
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    Driver(tokio::spawn(async move {
        // What went wrong shows in the answer.
        let _ended = connection.await;
    }))
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it and reads the answer to its end, good or bad.
    ///
    /// # Panics
    /// When no response head comes.
    pub(crate) async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.target);
        self.try_send()
            .await
            .unwrap_or_else(|e| panic!("{what}: {e}"))
    }

    /// As `send`; an error says why no response head came.
    pub(crate) async fn try_send(self) -> Result<Answer, String> {
        let deadline = Instant::now() + EXCHANGE_MAX;
        let open = self.try_open();
        let download = tokio::time::timeout_at(deadline, open)
            .await
            .map_err(text)??;
        tokio::time::timeout_at(deadline, download.rest())
            .await
            .map_err(text)
    }

    /// Sends it and returns with the head of the answer.
    ///
    /// # Panics
    /// When no response head comes.
    pub(crate) async fn open(self) -> Download {
        let what = format!("{} {}", self.method, self.target);
        let open = timeout(EXCHANGE_MAX, self.try_open())
            .await
            .expect("a head in time");
        open.unwrap_or_else(|e| panic!("{what}: {e}"))
    }

    /// As `open`; an error says why no response head came.
    pub(crate) async fn try_open(self) -> Result<Download, String> {
        let started = Instant::now();
        let Connection {
            client,
            mut sender,
            _driver,
        } = self.client.connect().await?;
        let request = self.into_http(&client);
        let response = sender.send(request).await?;
        let mut download = Download::new(response, started);
        download._driver = Some(_driver);
        Ok(download)
    }

    fn into_http(self, client: &Client) -> ::http::Request<Full<Bytes>> {
        let target = match client.protocol {
            Protocol::Http2 => format!("https://{}{}", client.host, self.target),
            Protocol::Http1 | Protocol::Http1Tls => self.target,
        };
        let mut request = ::http::Request::builder()
            .method(self.method.as_str())
            .uri(target);
        let named = self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"));
        if client.protocol != Protocol::Http2 && !named {
            request = request.header("host", &client.host);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body)).unwrap()
    }
}

impl Sender {
    async fn send(
        &mut self,
        request: ::http::Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await.map_err(text)?;
                sender.send_request(request).await.map_err(text)
            }
            Self::Http2(sender) => {
                sender.ready().await.map_err(text)?;
                sender.send_request(request).await.map_err(text)
            }
        }
    }
}

impl Connection {
    /// GET on this connection.
    pub(crate) async fn get(&mut self, target: &str) -> Result<Answer, String> {
        self.send(self.client.request("GET", target)).await
    }

    /// Sends a request of this client on this connection.
    pub(crate) async fn send(&mut self, request: Request) -> Result<Answer, String> {
        let started = Instant::now();
        let request = request.into_http(&self.client);
        let exchange = async {
            let response = self.sender.send(request).await?;
            Ok(Download::new(response, started).rest().await)
        };
        timeout(EXCHANGE_MAX, exchange).await.map_err(text)?
    }
}

impl Download {
    fn new(response: Response<Incoming>, started: Instant) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            started,
            _driver: None,
        }
    }

    /// The next piece of the body as it came, `None` at its proper end.
    ///
    /// # Errors
    /// Whatever broke the body off.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(text)?.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// At least so many bytes of the body, unless it ends before.
    pub(crate) async fn take(&mut self, length: usize) -> Result<Bytes, String> {
        let mut taken = BytesMut::new();
        while taken.len() < length {
            let Some(piece) = self.piece().await? else {
                break;
            };
            taken.extend_from_slice(&piece);
        }
        Ok(taken.freeze())
    }

    /// Everything that is left.
    pub(crate) async fn rest(mut self) -> Answer {
        let mut body = BytesMut::new();
        let broken = loop {
            match self.piece().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        Answer {
            status: self.status,
            headers: self.headers,
            body: body.freeze(),
            broken,
            total: self.started.elapsed(),
        }
    }

    /// Reads at so many bytes a second for a while; returns how many came.
    ///
    /// # Errors
    /// Whatever broke the body off.
    pub(crate) async fn sip(&mut self, per_second: u32, lasting: Duration) -> Result<u64, String> {
        let start = Instant::now();
        let mut taken = 0_u64;
        while start.elapsed() < lasting {
            let next = start + lasting;
            let Ok(piece) = tokio::time::timeout_at(next, self.piece()).await else {
                break;
            };
            let Some(piece) = piece? else { break };
            taken += piece.len() as u64;
            let due = Duration::from_secs_f64(taken as f64 / f64::from(per_second));
            tokio::time::sleep_until((start + due).min(next)).await;
        }
        Ok(taken)
    }
}

impl Answer {
    /// A header, or `""` where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// All lines of a header as one list.
    pub(crate) fn list(&self, name: &str) -> String {
        let lines = self.headers.get_all(name).iter();
        let lines: Vec<&str> = lines.map(|v| v.to_str().unwrap()).collect();
        lines.join(", ")
    }

    /// The number in a header.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        let text = self.list(name);
        text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}"))
    }

    /// Asserts a status and a body that ended properly.
    #[track_caller]
    pub(crate) fn whole(self, status: u16) -> Self {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]).into_owned();
        assert_eq!(self.status, status, "{:?} {text}", self.headers);
        assert_eq!(self.broken, None, "after {} bytes", self.body.len());
        self
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}
