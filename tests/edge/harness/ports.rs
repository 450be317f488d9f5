//! Free ports of loopback, below the range from which the kernel takes those of clients.

use std::net::{SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;

/// Some programs open a second port this far above the first (gRPC, the bus of Redis Cluster).
const COMPANION: u16 = 10_000;

static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(0..COUNT)));

/// A port that nothing listens on, nor on its companion 10,000 above. Not given out twice soon.
pub(crate) fn free() -> u16 {
    for _ in 0..COUNT {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if is_free(port) && is_free(port + COMPANION) {
            return port;
        }
    }
    panic!("no free port on loopback");
}

/// A free port as an address.
pub(crate) fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free()))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
