//! The kernel's figures of a TCP connection (Linux `TCP_INFO`).

/// What is read of them. Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpInfo {
    /// Bytes that the peer has acknowledged.
    pub bytes_acked: u64,
    /// Time with unacknowledged or unsent data.
    pub busy: u64,
    /// Of that, limited by the peer's window.
    pub receiver_limited: u64,
    /// Of that, limited by the send buffer.
    pub sender_limited: u64,
    /// Smoothed round trip.
    pub rtt: u32,
    /// Least round trip.
    pub rtt_min: u32,
}
