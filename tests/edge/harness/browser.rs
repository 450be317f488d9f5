//! Headless Chromium, driven by its debugging protocol: open a page, ask what it thinks.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::eventually;
use super::process::{self, Process, Signal};

/// Chromium starts cold, on a machine that may be busy.
const START: Duration = Duration::from_secs(60);

/// A page that answers no question for so long hangs.
const ANSWER: Duration = Duration::from_secs(30);

/// A browser with one page.
pub(crate) struct Browser {
    socket: TcpStream,
    sent: u64,
    process: Process,
    _profile: TempDir,
}

/// Opens a page.
pub(crate) async fn open(url: &str) -> Browser {
    let profile = process::scratch("chromium");
    let mut command = Command::new(process::find("chromium", "chromium"));
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--mute-audio",
    ]);
    command.args([
        "--autoplay-policy=no-user-gesture-required",
        "--remote-debugging-port=0",
    ]);
    command.args([
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--window-size=1280,900",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(url).env("HOME", profile.path());
    let process = Process::start("chromium", &command, profile.path());
    let announced = profile.path().join("DevToolsActivePort");
    let port = || {
        fs::read_to_string(&announced)
            .ok()?
            .lines()
            .next()?
            .parse::<u16>()
            .ok()
    };
    eventually("chromium listens", START, || async { port().is_some() }).await;
    let path = page(port().unwrap()).await;
    let socket = upgrade(port().unwrap(), &path).await;
    let mut browser = Browser {
        socket,
        sent: 0,
        process,
        _profile: profile,
    };
    let start = Instant::now();
    let loaded = "location.href != 'about:blank' && document.readyState == 'complete'";
    while browser.ask(loaded).await != true {
        assert!(start.elapsed() < START, "{url} does not load");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    browser
}

/// Path of the first page's socket.
async fn page(port: u16) -> String {
    let client = super::client::Client::plain(([127, 0, 0, 1], port).into(), "localhost");
    let pages = || async {
        let answer = client.request("GET", "/json/list").try_send().await.ok()?;
        let list: Value = serde_json::from_slice(&answer.body).ok()?;
        let page = list
            .as_array()?
            .iter()
            .find(|t| t["type"] == "page")?
            .clone();
        let url = page["webSocketDebuggerUrl"].as_str()?.to_owned();
        Some(url[url.find("/devtools")?..].to_owned())
    };
    eventually("chromium has a page", START, || async {
        pages().await.is_some()
    })
    .await;
    pages().await.expect("the page is still there")
}

/// Opens a WebSocket (RFC 6455); the key is not a secret, and the answer to it is not checked.
async fn upgrade(port: u16, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    socket
}

impl Browser {
    /// Value of an expression in the page, promises awaited.
    pub(crate) async fn ask(&mut self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let answer = self.call("Runtime.evaluate", params).await;
        answer["result"]["result"]["value"].clone()
    }

    /// A picture of the page (PNG, base64).
    pub(crate) async fn screenshot(&mut self) -> String {
        let answer = self
            .call("Page.captureScreenshot", json!({ "format": "png" }))
            .await;
        answer["result"]["data"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let call = json!({ "id": self.sent, "method": method, "params": params });
        self.write(call.to_string().as_bytes()).await;
        loop {
            let text = timeout(ANSWER, self.read())
                .await
                .expect("chromium answers");
            let message: Value = serde_json::from_slice(&text).unwrap_or_default();
            if message["id"] == self.sent {
                return message;
            }
        }
    }

    /// One masked text frame; a mask of zeros leaves the bytes as they are.
    async fn write(&mut self, text: &[u8]) {
        let mut frame = vec![0x81, 0x80 | 127];
        frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text);
        self.socket.write_all(&frame).await.unwrap();
    }

    /// One message, of as many frames as it takes.
    async fn read(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let kind = self.socket.read_u8().await.unwrap();
            let length = match self.socket.read_u8().await.unwrap() & 0x7f {
                126 => u64::from(self.socket.read_u16().await.unwrap()),
                127 => self.socket.read_u64().await.unwrap(),
                short => u64::from(short),
            };
            let start = message.len();
            message.resize(start + usize::try_from(length).unwrap(), 0);
            self.socket.read_exact(&mut message[start..]).await.unwrap();
            if kind & 0x80 != 0 {
                return message;
            }
        }
    }
}

impl Drop for Browser {
    /// Lets it end its own children, which would else be orphans.
    fn drop(&mut self) {
        if self.process.ended().is_some() {
            return;
        }
        self.process.signal(Signal::Term);
        for _ in 0..200 {
            if self.process.ended().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
