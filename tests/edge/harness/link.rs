//! A slow link before a node: what it carries to clients it reads no faster than a given rate.
//!
//! It passes bytes on as they are, so that TLS and HTTP/2 go through it, and slows TCP itself: a
//! client that is slow over HTTP/2 leaves the connection idle instead.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// Bytes carried to the client at once, and the pause after them: 2 MB/s at most.
const PIECE: usize = 8192;
const PAUSE: Duration = Duration::from_millis(4);

/// What the system takes in ahead of the link, about: less than a segment, so that the node feels
/// the pace.
const AHEAD: u32 = 32 * 1024;

/// A link to one node, down when dropped.
pub(crate) struct Link {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a link to what listens at `node`.
pub(crate) async fn to(node: SocketAddr) -> Link {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // What goes wrong on the way shows in the client's answers.
            tokio::spawn(async move { drop(carry(client, node).await) });
        }
    });
    Link { address, task }
}

impl Link {
    /// Where clients find it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn carry(client: TcpStream, node: SocketAddr) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(AHEAD)?;
    let (mut from_node, mut to_node) = socket.connect(node).await?.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    let asked = async {
        copy(&mut from_client, &mut to_node).await?;
        to_node.shutdown().await
    };
    let answered = async {
        let mut piece = [0; PIECE];
        loop {
            let count = from_node.read(&mut piece).await?;
            if count == 0 {
                return to_client.shutdown().await;
            }
            to_client.write_all(&piece[..count]).await?;
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::try_join!(asked, answered)?;
    Ok(())
}
