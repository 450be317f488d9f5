//! A stand-in for a node's admin listener: gives each command the next of its answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A running listener.
pub(crate) struct StandIn {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    /// Answers with these statuses and bodies, in this order, and then not at all.
    pub(crate) async fn start(answers: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = |(status, body): &(&str, &str)| {
            let length = body.len();
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")
        };
        let mut answers: VecDeque<_> = answers.iter().map(answer).collect();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                seen.lock().unwrap().push(String::new());
                let request = read(&mut stream).await;
                *seen.lock().unwrap().last_mut().unwrap() = request;
                match answers.pop_front() {
                    Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                    None => silent.push(stream),
                }
            }
        });
        Self { url, requests }
    }

    /// The requests so far, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // The body is one JSON object, and the head has no braces.
    while !is_whole(&text) {
        text.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

fn is_whole(text: &[u8]) -> bool {
    let count = |wanted: u8| text.iter().filter(|byte| **byte == wanted).count();
    count(b'{') > 0 && count(b'{') == count(b'}')
}
