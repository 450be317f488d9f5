//! The least that a server can do: read a request head, write one prepared answer.
//!
//! `floor PORT BYTES` answers every request on a kept connection with the same head and body, on
//! one thread of the runtime that Weir uses. What a server costs beyond it is what it does with a
//! request.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn answer(bytes: usize) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {bytes}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + bytes, b'x');
    answer
}

/// Answers each head that ends in what was read; clients here do not pipeline.
async fn serve(mut client: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut head = Vec::with_capacity(4096);
    while client.read_buf(&mut head).await? > 0 {
        if head.ends_with(b"\r\n\r\n") {
            client.write_all(answer).await?;
            head.clear();
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let (Some(port), Some(bytes)) = (numbers.next(), numbers.next()) else {
        // Run by `cargo bench` without arguments: nothing to measure by itself.
        return Ok(());
    };
    let answer: &'static [u8] = Vec::leak(answer(bytes));
    let port = u16::try_from(port).unwrap_or_default();
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (client, _) = listener.accept().await?;
        // A client that leaves ends its task, and nothing else.
        tokio::spawn(async move { serve(client, answer).await.ok() });
    }
}
