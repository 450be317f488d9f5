//! The kernel's figures of a TCP connection (Linux `TCP_INFO`).
//!
//! Kernels differ in how much they tell: the structure grows at its end. So it is read into a
//! buffer larger than any, and only what the kernel wrote is looked at. Invariant: figures that a
//! kernel does not know make the whole reading absent, never zero.

use std::os::fd::RawFd;

/// Larger than the structure of any kernel (248 bytes in Linux 6.18).
const INFO_BYTES_MAX: usize = 512;

// Offsets in `struct tcp_info` of include/uapi/linux/tcp.h, which never change.
const RTT: usize = 68;
const PACING_RATE_MAX: usize = 112;
const BYTES_ACKED: usize = 120;
const RTT_MIN: usize = 148;
const BUSY: usize = 168;
const RECEIVER_LIMITED: usize = 176;
const SENDER_LIMITED: usize = 184;

/// What is read of them. Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpInfo {
    /// Bytes that the peer has acknowledged.
    pub bytes_acked: u64,
    /// Time with unacknowledged or unsent data; counted in jiffies, which are 1 to 10 ms.
    pub busy: u64,
    /// Of that, limited by the peer's window.
    pub receiver_limited: u64,
    /// Of that, limited by the send buffer.
    pub sender_limited: u64,
    /// Smoothed round trip.
    pub rtt: u32,
    /// Least round trip.
    pub rtt_min: u32,
    /// Most bytes a second that the socket may send; `u64::MAX` for no limit.
    pub pacing_max: u64,
}

impl TcpInfo {
    /// Reads the structure as the kernel wrote it; `None` where it ends before what is needed
    /// (Linux before 4.10).
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            bytes_acked: u64_at(bytes, BYTES_ACKED)?,
            busy: u64_at(bytes, BUSY)?,
            receiver_limited: u64_at(bytes, RECEIVER_LIMITED)?,
            sender_limited: u64_at(bytes, SENDER_LIMITED)?,
            rtt: u32_at(bytes, RTT)?,
            rtt_min: u32_at(bytes, RTT_MIN)?,
            pacing_max: u64_at(bytes, PACING_RATE_MAX)?,
        })
    }
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let field = bytes.get(offset..)?.first_chunk()?;
    Some(u64::from_ne_bytes(*field))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*field))
}

/// Asks the kernel about a socket; `None` where it is no TCP socket or the kernel tells too little.
///
/// The caller owns the socket, and so keeps the number valid. A number that is not its own would
/// yield another connection's figures, and nothing worse.
#[must_use]
#[expect(
    unsafe_code,
    reason = "no safe binding reads a structure of any length"
)]
pub fn read(socket: RawFd) -> Option<TcpInfo> {
    let mut buffer = [0_u8; INFO_BYTES_MAX];
    let mut length = libc::socklen_t::try_from(INFO_BYTES_MAX).ok()?;
    // SAFETY: `buffer` and `length` are live and exclusively borrowed for the call, and `length`
    // is the size of `buffer`, beyond which the kernel does not write. An invalid descriptor is
    // answered with an error.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return None;
    }
    TcpInfo::parse(buffer.get(..usize::try_from(length).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;

    fn written(length: usize) -> Vec<u8> {
        let mut bytes = vec![0xee_u8; length];
        for (offset, value) in [
            (PACING_RATE_MAX, u64::MAX),
            (BYTES_ACKED, 5_000_000_000),
            (BUSY, 1_204_000),
            (RECEIVER_LIMITED, 4_000),
            (SENDER_LIMITED, 8_000),
        ] {
            if let Some(field) = bytes.get_mut(offset..offset + 8) {
                field.copy_from_slice(&value.to_ne_bytes());
            }
        }
        for (offset, value) in [(RTT, 41_000_u32), (RTT_MIN, 40_100)] {
            if let Some(field) = bytes.get_mut(offset..offset + 4) {
                field.copy_from_slice(&value.to_ne_bytes());
            }
        }
        bytes
    }

    #[test]
    fn kernels_of_any_age_that_count_busy_time_are_read_alike() {
        let expected = TcpInfo {
            bytes_acked: 5_000_000_000,
            busy: 1_204_000,
            receiver_limited: 4_000,
            sender_limited: 8_000,
            rtt: 41_000,
            rtt_min: 40_100,
            pacing_max: u64::MAX,
        };
        // Linux 4.10, 4.19, 5.5, 6.2, 6.7, and one to come.
        for length in [192, 224, 232, 240, 248, 400] {
            assert_eq!(TcpInfo::parse(&written(length)), Some(expected), "{length}");
        }
    }

    #[test]
    fn a_kernel_that_tells_too_little_tells_nothing() {
        for length in [0, 1, 104, 160, 168, 191] {
            assert_eq!(TcpInfo::parse(&written(length)), None, "{length}");
        }
    }

    #[test]
    fn a_live_connection_counts_what_its_peer_took() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut server = listener.accept().unwrap().0;
        let before = read(server.as_raw_fd()).expect("this kernel counts busy time");
        server.write_all(&[7; 100_000]).unwrap();
        client.read_exact(&mut vec![0; 100_000]).unwrap();
        // What the client has read may still have its acknowledgement under way.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let after = read(server.as_raw_fd()).unwrap();
            let acknowledged = after.bytes_acked - before.bytes_acked;
            assert!(acknowledged <= 100_000, "{after:?}");
            if acknowledged == 100_000 {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{after:?}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_no_tcp_socket_has_no_figures() {
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(read(datagrams.as_raw_fd()), None);
        assert_eq!(read(-1), None);
    }
}
