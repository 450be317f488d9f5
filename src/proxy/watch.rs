//! What is going on on one client connection, and for how long.
//!
//! Invariant: a head under way has a start; it is cleared when a request begins and set again by
//! the first bytes that come while no request is being answered. Over HTTP/2 only the first
//! head is watched: later frames need not be heads, and Pingora's idle deadline ends connections
//! without streams.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::clock::{self, UnixMillis};
use crate::limits::REQUEST_HEAD_BYTES_MAX;
use crate::proxy::gate::Ticket;
use crate::proxy::meter::{Bearer, Measured, Meter};
use crate::proxy::viewing::Viewing;
use crate::session::sample::{Reading, SAMPLE_BUSY_MIN};
use crate::session::tcp_info::TcpInfo;

/// Bytes that a client may send without asking for anything or taking anything.
const FLOOD_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes that each request entitles a client to send: its head, twice the largest accepted.
const FLOOD_BYTES_A_REQUEST: u64 = 2 * REQUEST_HEAD_BYTES_MAX as u64;

/// Of so many bytes taken, a client may spend one on saying so (window updates, acknowledgements
/// of settings): a window update costs 26 bytes for 16 KiB at the worst.
const FLOOD_TAKEN_A_BYTE: u64 = 64;

/// What each piece of a wanted body may cost beside its bytes: the head of its frame or chunk.
const FLOOD_BYTES_A_PIECE: u64 = 32;

/// How often the kernel is asked, at most, while an answer goes out.
const READING_SPACING: Duration = Duration::from_millis(250);

/// The state of one connection, shared by its stream and its requests.
#[derive(Debug)]
pub(crate) struct Watch {
    opened: Instant,
    /// Milliseconds from `opened` to the first byte of the head under way, plus one; 0 for none.
    head_since: AtomicU64,
    /// Requests being answered.
    active: AtomicUsize,
    /// Whether one connection carries many requests at once.
    multiplexed: AtomicBool,
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// Whether the next write is a head whose body is there already.
    body_follows: AtomicBool,
    /// The date that goes out in the head written next.
    date: Mutex<Option<HeaderValue>>,
    /// Bytes of request bodies that were wanted, with their frames.
    uploaded: AtomicU64,
    /// Whether TLS is through, or there is none.
    established: AtomicBool,
    /// The socket below TLS, for as long as its stream lives; below 0 where there is no TLS.
    socket: AtomicI32,
    /// Whether anybody wants to know how fast it is.
    metered: AtomicBool,
    /// Whether the kernel is asked once in any case, when the first request comes.
    sounded: AtomicBool,
    /// Milliseconds from `opened` to the last reading of the kernel, plus one; 0 for none.
    read_at: AtomicU64,
    meter: Mutex<Meter>,
    viewing: Mutex<Viewing>,
    _ticket: Ticket,
}

impl Watch {
    /// Starts watching; the first head is under way from now on.
    pub(super) fn new(ticket: Ticket) -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            head_since: AtomicU64::new(1),
            active: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            body_follows: AtomicBool::new(false),
            date: Mutex::default(),
            uploaded: AtomicU64::new(0),
            established: AtomicBool::new(false),
            socket: AtomicI32::new(-1),
            metered: AtomicBool::new(false),
            sounded: AtomicBool::new(false),
            read_at: AtomicU64::new(0),
            meter: Mutex::default(),
            viewing: Mutex::default(),
            _ticket: ticket,
        })
    }

    /// Notes that the client sent something.
    ///
    /// # Errors
    /// It sends more than any use of the connection explains: frames that carry no request.
    pub(super) fn bytes_came(&self, count: usize) -> Result<(), Flooded> {
        self.head_begins();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let received = self.received.fetch_add(count, Ordering::Relaxed) + count;
        let requests = self.requests.load(Ordering::Relaxed);
        let sent = self.sent.load(Ordering::Relaxed);
        let uploaded = self.uploaded.load(Ordering::Relaxed);
        let explained = FLOOD_BYTES_MAX
            .saturating_add(requests.saturating_mul(FLOOD_BYTES_A_REQUEST))
            .saturating_add(sent / FLOOD_TAKEN_A_BYTE)
            .saturating_add(uploaded);
        if received > explained {
            return Err(Flooded);
        }
        Ok(())
    }

    /// Notes that the client was sent something.
    pub(super) fn bytes_went(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.sent.fetch_add(count, Ordering::Relaxed);
    }

    /// Whether a write that was taken whole must go out now.
    pub(super) fn wants_flush(&self) -> bool {
        let is_head = self.body_follows.swap(false, Ordering::Relaxed);
        !is_head && !self.multiplexed.load(Ordering::Relaxed)
    }

    /// The date that goes out in the head that is written now, where it is another than Pingora's.
    pub(super) fn take_date(&self) -> Option<HeaderValue> {
        self.date
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Notes that the protocol loop has taken the connection over: there is no handshake any more.
    pub(super) fn establish(&self) {
        self.established.store(true, Ordering::Release);
    }

    /// Whether [`Watch::establish`] was called.
    pub(super) fn is_established(&self) -> bool {
        self.established.load(Ordering::Acquire)
    }

    /// Notes which socket lies below what hides it.
    pub(super) fn lies_on(&self, socket: RawFd) {
        self.socket.store(socket, Ordering::Release);
    }

    /// The socket that [`Watch::lies_on`] named. Only the owner of the stream may ask it anything.
    pub(super) fn socket(&self) -> Option<RawFd> {
        let socket = self.socket.load(Ordering::Acquire);
        (socket >= 0).then_some(socket)
    }

    /// Has the kernel asked once how far the client is: a session's first request comes before it
    /// is known that anybody wants to know how fast it is.
    pub(super) fn sound(&self) {
        self.sounded.store(true, Ordering::Release);
    }

    /// Whether the kernel should be asked now what the connection has carried.
    pub(super) fn wants_reading(&self) -> bool {
        let last = self.read_at.load(Ordering::Relaxed);
        if last == 0 {
            return self.is_metered() || self.sounded.load(Ordering::Acquire);
        }
        if !self.is_metered() {
            return false;
        }
        let spacing = match self.active.load(Ordering::Acquire) {
            // Closer readings make no sample.
            0 => SAMPLE_BUSY_MIN,
            _ => READING_SPACING,
        };
        Duration::from_millis(self.now().saturating_sub(last - 1)) >= spacing
    }

    /// Takes in what the kernel answered.
    pub(super) fn read(&self, info: TcpInfo) {
        self.read_at.store(self.now() + 1, Ordering::Relaxed);
        let at = clock::now();
        self.meter().read(Reading { at, info });
    }

    fn is_metered(&self) -> bool {
        self.metered.load(Ordering::Acquire)
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn viewing(&self) -> MutexGuard<'_, Viewing> {
        self.viewing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head_begins(&self) {
        let idle = self.active.load(Ordering::Acquire) == 0;
        if idle && !self.multiplexed.load(Ordering::Relaxed) {
            let since = self.now().saturating_add(1);
            // A head that is under way keeps its start.
            let _kept =
                self.head_since
                    .compare_exchange(0, since, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Notes that a head is complete; the request lasts until the guard drops.
    pub(super) fn begin(self: &Arc<Self>, protocol: Protocol) -> Active {
        if protocol == Protocol::Http2 {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.active.fetch_add(1, Ordering::AcqRel) == 0 && self.is_metered() {
            self.meter().burst();
        }
        self.head_since.store(0, Ordering::Release);
        Active(Arc::clone(self))
    }

    /// Waits until a head has been under way for longer than `limit`.
    ///
    /// It looks once in each `limit` while there is none, so an idle connection costs one timer.
    pub(super) async fn head_overdue(&self, limit: Duration) {
        loop {
            let wait = match self.head_since.load(Ordering::Acquire) {
                0 => limit,
                since => {
                    let under_way = self.now().saturating_sub(since - 1);
                    limit.saturating_sub(Duration::from_millis(under_way))
                }
            };
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// The client sends more than any use of the connection explains.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flooded;

/// Which protocol a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// The protocol as logs spell it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// A request being answered.
#[derive(Debug)]
pub(crate) struct Active(Arc<Watch>);

impl Active {
    /// Notes that a piece of the request's body came and was wanted.
    pub(super) fn body_came(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let cost = count.saturating_add(FLOOD_BYTES_A_PIECE);
        self.0.uploaded.fetch_add(cost, Ordering::Relaxed);
    }

    /// Notes that a head is written next, and right after it bytes of its body: both may share a
    /// packet. Over HTTP/2, where a connection writes for many requests, it means nothing.
    pub(super) fn body_follows(&self) {
        self.0.body_follows.store(true, Ordering::Relaxed);
    }

    /// Notes whom the answer is for, before it goes out. Those of equal mark are for the same.
    pub(super) fn carries_for(&self, mark: u64, bearer: Bearer) {
        self.0.meter().carries_for(mark, bearer);
    }

    /// Meters the connection from now on.
    pub(super) fn meter(&self) {
        self.0.metered.store(true, Ordering::Release);
    }

    /// Whom the last request of this connection was for, where one with this mark is for the same.
    pub(super) fn bearer(&self, mark: u64) -> Option<Bearer> {
        self.0.meter().bearer(mark)
    }

    /// What the connection has carried since this was asked last, and for whom.
    pub(super) fn measured(&self) -> Option<Measured> {
        self.0.is_metered().then(|| self.0.meter().take())?
    }

    /// Notes which user agent asks; of equal mark are those of one.
    pub(super) fn asked_by(&self, agent: u64, now: UnixMillis) {
        self.0.viewing().asked_by(agent, now);
    }

    /// The connection's round trip, smoothed by the kernel, as it was read last.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.0.meter().round_trip()
    }

    /// The session that this connection's last live manifest told, where one with this mark goes
    /// on with it.
    pub(super) fn viewing(&self, mark: u64) -> Option<String> {
        self.0.viewing().session(mark).map(str::to_owned)
    }

    /// Notes the session that a live manifest tells, where one user agent has asked alone.
    pub(super) fn views(&self, mark: u64, session: &str, now: UnixMillis) {
        self.0.viewing().given(mark, session, now);
    }

    /// Notes which date the head that is written next keeps; `None` for that of its writing. Over
    /// HTTP/2 it means nothing.
    pub(super) fn keep_date(&self, date: Option<HeaderValue>) {
        if !self.0.multiplexed.load(Ordering::Relaxed) {
            *self.0.date.lock().unwrap_or_else(PoisonError::into_inner) = date;
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::gate::tests::ticket;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn overdue_within(watch: &Watch, span: Duration) -> bool {
        tokio::time::timeout(span, watch.head_overdue(LIMIT))
            .await
            .is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_head_is_counted_from_accept() {
        let watch = Watch::new(ticket());
        assert!(!overdue_within(&watch, Duration::from_millis(9_990)).await);
        watch.bytes_came(1).unwrap();
        assert!(overdue_within(&watch, Duration::from_millis(20)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_head_is_counted_from_its_first_byte() {
        let watch = Watch::new(ticket());
        drop(watch.begin(Protocol::Http11));
        assert!(!overdue_within(&watch, Duration::from_secs(60)).await);
        watch.bytes_came(1).unwrap();
        tokio::time::advance(Duration::from_secs(5)).await;
        watch.bytes_came(1).unwrap();
        assert!(!overdue_within(&watch, Duration::from_millis(4_990)).await);
        assert!(overdue_within(&watch, Duration::from_millis(20)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_during_a_request_or_over_http2_start_no_head() {
        let watch = Watch::new(ticket());
        let request = watch.begin(Protocol::Http11);
        watch.bytes_came(1).unwrap();
        assert!(!overdue_within(&watch, Duration::from_secs(60)).await);
        drop(request);
        drop(watch.begin(Protocol::Http2));
        watch.bytes_came(1).unwrap();
        assert!(!overdue_within(&watch, Duration::from_secs(60)).await);
    }

    #[test]
    fn a_client_that_sends_without_use_is_flooding() {
        const MIB: usize = 1024 * 1024;
        let cases = [
            ("within the allowance", 0, 0, MIB, Ok(())),
            ("pings", 0, MIB, MIB + 17 * 1024, Err(Flooded)),
            ("window updates", 1, 1024 * MIB, 3 * MIB, Ok(())),
            ("many requests", 100, 0, 5 * MIB, Ok(())),
        ];
        for (name, requests, sent, received, expected) in cases {
            let watch = Watch::new(ticket());
            for _ in 0..requests {
                drop(watch.begin(Protocol::Http2));
            }
            watch.bytes_went(sent);
            assert_eq!(watch.bytes_came(received), expected, "{name}");
        }
    }

    #[test]
    fn a_wanted_body_is_no_flood_and_excuses_none() {
        const MIB: usize = 1024 * 1024;
        let watch = Watch::new(ticket());
        let request = watch.begin(Protocol::Http11);
        for _ in 0..6400 {
            assert_eq!(watch.bytes_came(16 * 1024 + 9), Ok(()));
            request.body_came(16 * 1024);
        }
        drop(request);
        assert_eq!(watch.bytes_came(2 * MIB), Err(Flooded));
    }
}
