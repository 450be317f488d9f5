//! A web server as an origin, that misbehaves as it is told.
//!
//! It knows GET, HEAD, Range, entity tags and dates, counts requests by path, and follows a
//! [`Plan`] for each answer. Faults stand at an offset of the object, not of the answer, so a
//! client that resumes where a body broke meets the same fault again.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::edge::Source;

/// How an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// As it should.
    Serve,
    /// The head comes this much later.
    Delay(Duration),
    /// The connection is closed in good order at this offset.
    Truncate(usize),
    /// The connection is reset at this offset.
    Reset(usize),
    /// Nothing more comes from this offset on; the connection stays open.
    Stall(usize),
    /// Nothing comes at all; the connection stays open.
    Silent,
    /// Pieces of this size, each released by [`Web::step`].
    Steps(usize),
    /// As `Steps`, chunked, and the end takes a step of its own: nobody knows the length before.
    ChunkSteps(usize),
    /// As it should, after an interim response ([`HINT`]).
    Hint,
    /// 200 with everything, whatever part was asked for.
    Whole,
    /// Content-Length says this; the whole body is sent, then the connection is closed.
    Declare(usize),
    /// Chunked, and closed at this offset without the last chunk.
    CutChunks(usize),
    /// Chunked in good order.
    Chunked,
    /// 200 with Content-Range and only the first half.
    PartialAsWhole,
    /// 206 to whatever was asked, with a Content-Range of other bytes.
    WrongRange,
    /// Another status, with a short body.
    Status(u16),
}

/// A link for the client, and a field for the connection.
const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\
                    connection: x-inner\r\nx-inner: 1\r\n\r\n";

/// A server.
pub(crate) struct Web {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    steps: Arc<Semaphore>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Object>,
    seen: Vec<Seen>,
    in_flight: usize,
    busiest: usize,
}

#[derive(Clone, Default)]
struct Object {
    body: Bytes,
    headers: Vec<(String, String)>,
    variants: Vec<Variant>,
    next: VecDeque<Plan>,
    always: Option<Plan>,
}

/// What a request gets that has this field.
#[derive(Clone)]
struct Variant {
    name: String,
    value: String,
    body: Bytes,
}

/// One request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

/// A server without objects.
pub(crate) async fn start() -> Web {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Mutex::new(State::default()));
    let steps = Arc::new(Semaphore::new(0));
    let shared = (Arc::clone(&state), Arc::clone(&steps));
    let task = tokio::spawn(async move {
        // Dropped with this task, and with them every connection.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (state, steps) = (Arc::clone(&shared.0), Arc::clone(&shared.1));
            while connections.try_join_next().is_some() {}
            connections.spawn(async move {
                // The client may leave whenever it likes.
                let _gone = converse(stream, &state, &steps).await;
            });
        }
    });
    Web {
        address,
        state,
        steps,
        task,
    }
}

impl Web {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts an object, or replaces it, under an entity tag of its bytes.
    pub(crate) fn put(&self, path: &str, body: Bytes) {
        let etag = format!("\"{:016x}\"", xxhash_rust::xxh3::xxh3_64(&body));
        self.put_with(path, body, &[("etag", &etag)]);
    }

    /// Puts an object with these headers only. A path may begin with a method and a space: then it
    /// is what requests of that method get.
    pub(crate) fn put_with(&self, path: &str, body: Bytes, headers: &[(&str, &str)]) {
        let headers = headers
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let object = Object {
            body,
            headers,
            ..Object::default()
        };
        self.state
            .lock()
            .unwrap()
            .objects
            .insert(path.to_owned(), object);
    }

    /// Puts another body of an object, for requests with this field.
    pub(crate) fn put_variant(&self, path: &str, field: (&str, &str), body: Bytes) {
        let (name, value) = (field.0.to_owned(), field.1.to_owned());
        self.object(path, |o| o.variants.push(Variant { name, value, body }));
    }

    /// Removes an object.
    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(path);
    }

    /// Plans every answer for an object from now on.
    pub(crate) fn always(&self, path: &str, plan: Plan) {
        self.object(path, |o| o.always = Some(plan));
    }

    /// Plans the next answer for an object, after those planned before.
    pub(crate) fn next(&self, path: &str, plan: Plan) {
        self.object(path, |o| o.next.push_back(plan));
    }

    /// Releases pieces of bodies that go by [`Plan::Steps`].
    pub(crate) fn step(&self, pieces: usize) {
        self.steps.add_permits(pieces);
    }

    /// Requests that came for a path.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        state
            .seen
            .iter()
            .filter(|s| s.path == path)
            .cloned()
            .collect()
    }

    /// The most requests that were under way at once since [`Self::calm`].
    pub(crate) fn busiest(&self) -> usize {
        self.state.lock().unwrap().busiest
    }

    /// Begins to count anew what [`Self::busiest`] tells.
    pub(crate) fn calm(&self) {
        self.state.lock().unwrap().busiest = 0;
    }

    /// How many requests came for a path.
    pub(crate) fn requests(&self, path: &str) -> usize {
        self.seen(path).len()
    }

    fn object(&self, path: &str, change: impl FnOnce(&mut Object)) {
        change(
            self.state
                .lock()
                .unwrap()
                .objects
                .get_mut(path)
                .expect("an object"),
        );
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Source for Web {
    fn describe(&self, site: &mut toml::Table) {
        site.insert(
            "origin".to_owned(),
            format!("http://{}", self.address).into(),
        );
    }
}

impl Seen {
    /// The method of the request.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// A header of the request.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(n, _)| n == name);
        named.map(|(_, value)| value.as_str())
    }

    async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        let mut lines = head.trim_end().split("\r\n");
        let mut words = lines
            .next()
            .unwrap_or_default()
            .split(' ')
            .map(str::to_owned);
        let headers = lines.filter_map(|l| l.split_once(": "));
        let seen = Self {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            headers: headers
                .map(|(n, v)| (n.to_lowercase(), v.to_owned()))
                .collect(),
        };
        seen.skip_body(stream, buffer).await?;
        Ok(Some(seen))
    }

    /// Reads the request's body, chunked or of known length, and forgets it.
    async fn skip_body(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
        const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
        let chunked = self.header("transfer-encoding").is_some();
        let length = self.header("content-length").and_then(|l| l.parse().ok());
        loop {
            let end = match length {
                _ if chunked => buffer
                    .windows(LAST_CHUNK.len())
                    .position(|w| w == LAST_CHUNK)
                    .map(|at| at + LAST_CHUNK.len()),
                Some(length) => (buffer.len() >= length).then_some(length),
                None => Some(0),
            };
            if let Some(end) = end {
                buffer.drain(..end);
                return Ok(());
            }
            if stream.read_buf(buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Object {
    /// The object as a request selects it.
    fn selected(mut self, seen: &Seen) -> Self {
        let fits = |v: &&Variant| seen.header(&v.name) == Some(v.value.as_str());
        if let Some(variant) = self.variants.iter().find(fits) {
            self.body = variant.body.clone();
        }
        self
    }
}

/// A request under way, as the server counts them.
struct InFlight<'a>(&'a Mutex<State>);

impl<'a> InFlight<'a> {
    fn new(state: &'a Mutex<State>) -> Self {
        let mut counts = state.lock().unwrap();
        counts.in_flight += 1;
        counts.busiest = counts.busiest.max(counts.in_flight);
        Self(state)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().in_flight -= 1;
    }
}

async fn converse(
    mut stream: TcpStream,
    state: &Mutex<State>,
    steps: &Semaphore,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(seen) = Seen::read(&mut stream, &mut buffer).await? {
        let _in_flight = InFlight::new(state);
        let object = {
            let mut state = state.lock().unwrap();
            state.seen.push(seen.clone());
            let own = format!("{} {}", seen.method, seen.path);
            let has_own = state.objects.contains_key(&own);
            let path = if has_own { own } else { seen.path.clone() };
            state.objects.get_mut(&path).map(|o| {
                let plan = o.next.pop_front().or(o.always).unwrap_or(Plan::Serve);
                (o.clone().selected(&seen), plan)
            })
        };
        let Some((object, plan)) = object else {
            stream
                .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                .await?;
            continue;
        };
        let reply = Reply::new(&seen, &object, plan);
        if reply.send(&mut stream, steps).await? == Next::Close {
            return Ok(());
        }
    }
    Ok(())
}

/// What becomes of the connection.
#[derive(PartialEq, Eq)]
enum Next {
    Keep,
    Close,
}

struct Reply {
    head: String,
    body: Bytes,
    /// Offset of the body's first byte in the object.
    offset: usize,
    plan: Plan,
}

impl Reply {
    fn new(seen: &Seen, object: &Object, plan: Plan) -> Self {
        let total = object.body.len();
        let (status, mut span) = match plan {
            Plan::Status(status) => (status, 0..0),
            Plan::PartialAsWhole => (200, 0..total / 2),
            Plan::Whole => (200, 0..total),
            Plan::WrongRange => (206, total / 2..total),
            _ => judge(seen, object),
        };
        let hint = if plan == Plan::Hint { HINT } else { "" };
        let mut head = format!("{hint}HTTP/1.1 {status} Planned\r\n");
        for (name, value) in &object.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let shown = match plan {
            Plan::WrongRange => span.start / 2..span.end / 2,
            _ => span.clone(),
        };
        if status == 206 || plan == Plan::PartialAsWhole {
            let last = shown.end.saturating_sub(1);
            write!(
                head,
                "content-range: bytes {}-{last}/{total}\r\n",
                shown.start
            )
            .unwrap();
        }
        if status == 416 {
            write!(head, "content-range: bytes */{total}\r\n").unwrap();
        }
        match plan {
            Plan::Chunked | Plan::CutChunks(_) | Plan::ChunkSteps(_) => {
                head.push_str("transfer-encoding: chunked\r\n")
            }
            Plan::Declare(length) => write!(head, "content-length: {length}\r\n").unwrap(),
            _ if status == 304 => {}
            _ => write!(head, "content-length: {}\r\n", span.len()).unwrap(),
        }
        head.push_str("\r\n");
        if seen.method == "HEAD" {
            span = span.start..span.start;
        }
        Self {
            head,
            offset: span.start,
            body: object.body.slice(span),
            plan,
        }
    }

    async fn send(&self, stream: &mut TcpStream, steps: &Semaphore) -> io::Result<Next> {
        match self.plan {
            Plan::Delay(pause) => tokio::time::sleep(pause).await,
            Plan::Silent => return silence(stream).await,
            _ => {}
        }
        stream.write_all(self.head.as_bytes()).await?;
        self.body(stream, steps).await?;
        match self.plan {
            Plan::Truncate(_) | Plan::Declare(_) | Plan::CutChunks(_) => {
                stream.shutdown().await?;
                Ok(Next::Close)
            }
            Plan::Reset(_) => {
                // What lies in the peer's buffer is lost with a reset: let it be read first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.set_zero_linger()?;
                Ok(Next::Close)
            }
            Plan::Stall(_) => silence(stream).await,
            _ => Ok(Next::Keep),
        }
    }

    async fn body(&self, stream: &mut TcpStream, steps: &Semaphore) -> io::Result<()> {
        match self.plan {
            Plan::Truncate(at) | Plan::Reset(at) | Plan::Stall(at) => {
                stream.write_all(self.until(at)).await
            }
            Plan::CutChunks(at) => write_chunk(stream, self.until(at)).await,
            Plan::Chunked => {
                write_chunk(stream, &self.body).await?;
                stream.write_all(b"0\r\n\r\n").await
            }
            Plan::ChunkSteps(size) => {
                for piece in self.body.chunks(size) {
                    steps.acquire().await.expect("never closed").forget();
                    write_chunk(stream, piece).await?;
                }
                steps.acquire().await.expect("never closed").forget();
                stream.write_all(b"0\r\n\r\n").await
            }
            Plan::Steps(size) => {
                for piece in self.body.chunks(size) {
                    steps.acquire().await.expect("never closed").forget();
                    stream.write_all(piece).await?;
                }
                Ok(())
            }
            _ => stream.write_all(&self.body).await,
        }
    }

    /// The bytes that lie before an offset of the object.
    fn until(&self, at: usize) -> &[u8] {
        &self.body[..at.saturating_sub(self.offset).min(self.body.len())]
    }
}

async fn write_chunk(stream: &mut TcpStream, data: &[u8]) -> io::Result<()> {
    if !data.is_empty() {
        stream
            .write_all(format!("{:x}\r\n", data.len()).as_bytes())
            .await?;
        stream.write_all(data).await?;
        stream.write_all(b"\r\n").await?;
    }
    Ok(())
}

/// Sends nothing until the peer leaves.
async fn silence(stream: &mut TcpStream) -> io::Result<Next> {
    let mut ignored = [0; 64];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(Next::Close)
}

/// Status and span of the object that an answer in good order has.
fn judge(seen: &Seen, object: &Object) -> (u16, Range<usize>) {
    let total = object.body.len();
    let own = |name: &str| {
        object
            .headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    let (etag, date) = (own("etag"), own("last-modified"));
    let other = |asked: Option<&str>, own: Option<&str>| asked.is_some() && asked != own;
    if other(seen.header("if-match"), etag) || other(seen.header("if-unmodified-since"), date) {
        return (412, 0..0);
    }
    let same = |asked: Option<&str>, own: Option<&str>| asked.is_some() && asked == own;
    let unchanged = match seen.header("if-none-match") {
        Some(asked) => Some(asked) == etag,
        None => same(seen.header("if-modified-since"), date),
    };
    if unchanged {
        return (304, 0..0);
    }
    let Some(range) = seen.header("range").and_then(|r| r.strip_prefix("bytes=")) else {
        return (200, 0..total);
    };
    let (first, last) = range.split_once('-').unwrap_or((range, ""));
    let span = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => first..last.saturating_add(1).min(total),
        (Ok(first), Err(_)) => first..total,
        (Err(_), Ok(suffix)) => total.saturating_sub(suffix)..total,
        (Err(_), Err(_)) => return (200, 0..total),
    };
    if span.is_empty() {
        return (416, 0..0);
    }
    (206, span)
}
