//! An origin for tests that answers each request with the next script, faults included.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::config::{self, Deadlines, Paths, Site, Store};
use crate::origin::{Body, Error, Fetch, Origin, build};

/// What is done about one request.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Send this.
    Say(String),
    /// Send this many zero bytes.
    Zeros(usize),
    /// Wait this long.
    Wait(Duration),
    /// Close the connection in good order.
    Close,
    /// Reset the connection.
    Reset,
}

/// A running origin.
pub(super) struct Scripted {
    pub(super) url: String,
    scripts: Arc<Mutex<VecDeque<Vec<Step>>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

pub(super) fn say(text: &str) -> Step {
    Step::Say(text.replace('\n', "\r\n"))
}

impl Scripted {
    pub(super) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), scripts).await
    }

    /// Takes as many connections as there are scripts, and refuses those that come after.
    pub(super) async fn start_brief(scripts: Vec<Vec<Step>>) -> Self {
        let connections = scripts.len();
        Self::serve("127.0.0.1:0".parse().unwrap(), scripts, connections).await
    }

    pub(super) async fn start_at(address: SocketAddr, scripts: Vec<Vec<Step>>) -> Self {
        Self::serve(address, scripts, usize::MAX).await
    }

    async fn serve(address: SocketAddr, scripts: Vec<Vec<Step>>, connections: usize) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let scripts = Arc::new(Mutex::new(VecDeque::from(scripts)));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (todo, seen) = (Arc::clone(&scripts), Arc::clone(&heads));
        tokio::spawn(async move {
            for _ in 0..connections {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(serve(stream, Arc::clone(&todo), Arc::clone(&seen)));
            }
        });
        Self {
            url,
            scripts,
            heads,
        }
    }

    /// Request heads so far, in order.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Scripts that no request has used.
    pub(super) fn left(&self) -> usize {
        self.scripts.lock().unwrap().len()
    }
}

async fn serve(
    mut stream: TcpStream,
    scripts: Arc<Mutex<VecDeque<Vec<Step>>>>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    while let Some(head) = read_head(&mut stream).await {
        heads.lock().unwrap().push(head);
        let script = scripts.lock().unwrap().pop_front();
        for step in script.unwrap_or(vec![Step::Close]) {
            match step {
                Step::Say(text) => stream.write_all(text.as_bytes()).await.unwrap_or(()),
                Step::Zeros(count) => stream.write_all(&vec![0; count]).await.unwrap_or(()),
                Step::Wait(span) => tokio::time::sleep(span).await,
                Step::Close => return,
                Step::Reset => {
                    stream.set_zero_linger().unwrap();
                    return;
                }
            }
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap().to_ascii_lowercase())
}

/// A site over these endpoints, with deadlines short enough for tests.
pub(super) fn site(store: Store, endpoints: &[&str]) -> Site {
    Site {
        name: "test".into(),
        hosts: vec!["*".into()],
        origin: config::Origin {
            store,
            endpoints: endpoints.iter().map(|url| (*url).to_owned()).collect(),
            prefix: String::new(),
            ca: None,
            http2: false,
            health_path: Some("/health".into()),
            health_interval: Duration::from_secs(5),
        },
        deadlines: Deadlines {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(1),
            stall: Duration::from_secs(1),
            tries: 3,
        },
        paths: Paths {
            stream: "{id}.mp4".into(),
            hls: "{id}.m3u8".into(),
            dash: "{id}.mpd".into(),
        },
        ..Site::sample()
    }
}

/// A web origin over these endpoints.
pub(super) fn web(endpoints: &[&str]) -> Arc<dyn Origin> {
    build::build(&site(Store::Web { host: None }, endpoints)).unwrap()
}

/// A plain request.
pub(super) fn get(path: &str) -> Fetch {
    Fetch {
        path: path.into(),
        ..Fetch::default()
    }
}

/// An answer of this body, whole.
pub(super) fn whole(text: &str) -> Vec<Step> {
    let length = text.len();
    vec![say(&format!(
        "HTTP/1.1 200 OK\nContent-Length: {length}\n\n{text}"
    ))]
}

pub(super) async fn read_all(body: &mut Box<dyn Body>) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.piece().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}
