//! The one owner of retries: who is asked again, when, and how often.
//!
//! Only GET and HEAD come here, so every request may be repeated. Another endpoint is asked at
//! once; the same one after a capped, jittered pause, and not at all once it kept a request
//! waiting in vain: it would do so again. A pooled connection that was dead costs no try, once,
//! since it says nothing of the endpoint; where there is one try only, a request that the origin
//! may have seen is not repeated even then.
//!
//! Connecting takes one deadline in all, however many endpoints are tried: half of what is left of
//! it while there is another one to ask.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::config::Deadlines;
use crate::metrics::{METRICS, OriginResult};
use crate::origin::client::{Connection, Failure, Repeat, Way};
use crate::origin::endpoints::{Shunned, Trouble};
use crate::origin::gate::{Gate, Held};
use crate::origin::remote::Remote;
use crate::origin::resume;
use crate::origin::{EndpointHealth, Error, Fetch, Origin, Reply, answer};

/// Upper end of the first pause; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Upper end of any pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A remote store with retries and resuming.
pub struct Retrying {
    tries: Arc<Tries>,
    gate: Gate,
}

/// What retries and resuming share.
pub(super) struct Tries {
    remote: Remote,
    deadlines: Deadlines,
}

/// What one request has learnt of the endpoints, continuations of its body included.
pub(super) struct Course {
    began: Instant,
    /// Who was asked last, to be asked again only where there is no other.
    last: Option<usize>,
    /// Who kept it waiting in vain.
    silent: Vec<usize>,
    /// Whose failure has been counted: one request is one failure, however often it tries.
    blamed: Vec<usize>,
    /// Who took no connection in the last try, nor in an earlier one.
    refusing: Option<usize>,
}

impl Course {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            last: None,
            silent: Vec::new(),
            blamed: Vec::new(),
            refusing: None,
        }
    }
}

impl Retrying {
    /// Wraps one-try access to a store behind `gate`.
    #[must_use]
    pub fn new(remote: Remote, deadlines: Deadlines, gate: Gate) -> Self {
        let tries = Tries { remote, deadlines };
        Self {
            tries: Arc::new(tries),
            gate,
        }
    }
}

/// What one request may still spend.
struct Budget {
    tries: u32,
    /// No try begins later.
    until: Instant,
    /// On connecting.
    connect: Duration,
    /// Whether the last try found no connection.
    refused: bool,
}

impl Budget {
    fn new(deadlines: Deadlines) -> Self {
        Self {
            tries: deadlines.tries.max(1),
            // A client waits for two silent endpoints at most.
            until: Instant::now() + deadlines.connect + deadlines.first_byte,
            connect: deadlines.connect,
            refused: false,
        }
    }

    fn spend(&mut self, tried: &Result<Reply, Failure>, span: Duration) {
        self.tries = self.tries.saturating_sub(1);
        self.refused = matches!(
            tried,
            Err(failure) if failure.trouble == Some(Trouble::Unreachable)
        );
        if self.refused {
            self.connect = self.connect.saturating_sub(span);
        }
    }

    /// How long to wait before the same endpoint is asked again.
    fn pause(&mut self, failures: u32) -> Duration {
        if !self.refused {
            return pause(failures);
        }
        let pause = pause(failures).min(self.connect / 2);
        self.connect = self.connect.saturating_sub(pause);
        pause
    }

    fn is_left(&self, now: Instant) -> bool {
        self.tries > 0 && now < self.until && !self.connect.is_zero()
    }
}

#[async_trait]
impl Origin for Retrying {
    async fn fetch(&self, fetch: &Fetch) -> Result<Reply, Error> {
        if let Some(reply) = self.tries.remote.unasked(fetch) {
            return Ok(reply);
        }
        // Nobody waits for a place at an origin that is not there.
        if self.tries.remote.endpoints.are_down(Instant::now()) {
            return Err(unsent(OriginResult::Down, Error::Down));
        }
        let entered = self.gate.enter().await;
        let seat = entered.map_err(|error| unsent(OriginResult::Busy, error))?;
        let mut course = Course::new();
        let reply = self.tries.ask(fetch, &mut course).await?;
        let mut reply = resume::wrap(&self.tries, fetch, reply, course);
        if !is_over(fetch, &reply) {
            reply.body = Box::new(Held::new(reply.body, seat));
        }
        Ok(reply)
    }

    fn health(&self) -> Vec<EndpointHealth> {
        self.tries.remote.endpoints.health()
    }

    async fn probe(&self) {
        self.tries.remote.probe().await;
    }
}

impl Tries {
    /// Asks until there is an answer or no try is left.
    ///
    /// # Errors
    /// That of the last try, or [`Error::Down`] where there was none.
    pub(super) async fn ask(&self, fetch: &Fetch, course: &mut Course) -> Result<Reply, Error> {
        let mut budget = Budget::new(self.deadlines);
        let mut connection = Connection::Pooled;
        let mut last = None;
        let mut failures = 0;
        loop {
            let shunned = Shunned {
                last: course.last,
                barred: &course.silent,
            };
            let Some(index) = self.remote.endpoints.choose(Instant::now(), shunned) else {
                return last.unwrap_or_else(|| Err(unsent(OriginResult::Down, Error::Down)));
            };
            // Its body may still be on the wire.
            drop(last.take());
            if failures > 0 {
                METRICS.origin_retries.inc();
                if course.last == Some(index) {
                    sleep(budget.pause(failures)).await;
                }
            }
            let began = Instant::now();
            let way = Way {
                connection,
                connect: self.share(index, &budget, course),
            };
            let tried = self.attempt(index, fetch, way).await;
            budget.spend(&tried, began.elapsed());
            if tried.is_err() {
                // The pool may hold more connections to the same dead process.
                connection = Connection::Fresh;
            }
            course.last = Some(index);
            let helps = self.note(index, &tried, began, course);
            if !helps || !budget.is_left(Instant::now()) {
                self.confirm(course);
                return settled(tried);
            }
            last = Some(settled(tried));
            failures += 1;
        }
    }

    /// Asks once, and once more where a pooled connection was dead.
    async fn attempt(&self, index: usize, fetch: &Fetch, way: Way) -> Result<Reply, Failure> {
        let tried = self.remote.attempt(index, fetch, way).await;
        let repeat = tried
            .as_ref()
            .map_or_else(|failure| failure.repeat, |_| Repeat::Never);
        let repeats = match repeat {
            Repeat::Never => false,
            Repeat::Unanswered => self.deadlines.tries > 1,
            Repeat::Unprocessed => true,
        };
        if !repeats || way.connection == Connection::Fresh {
            return tried;
        }
        METRICS.origin_retries.inc();
        let fresh = Way {
            connection: Connection::Fresh,
            ..way
        };
        self.remote.attempt(index, fetch, fresh).await
    }

    /// How long to wait for a connection: something is left for another endpoint that may have one.
    fn share(&self, index: usize, budget: &Budget, course: &Course) -> Duration {
        let mut tried = course.blamed.clone();
        tried.push(index);
        let endpoints = &self.remote.endpoints;
        if budget.tries > 1 && endpoints.has_other(Instant::now(), &tried) {
            budget.connect / 2
        } else {
            budget.connect
        }
    }

    /// How often a broken body is continued.
    pub(super) fn resumes(&self) -> u32 {
        self.deadlines.tries.saturating_sub(1)
    }

    /// Waits before the `failures`-th repetition.
    pub(super) async fn back_off(failures: u32) {
        sleep(pause(failures)).await;
    }

    /// Tells the endpoint's health of a try, and says whether another one may help.
    fn note(
        &self,
        index: usize,
        tried: &Result<Reply, Failure>,
        began: Instant,
        course: &mut Course,
    ) -> bool {
        let endpoints = &self.remote.endpoints;
        let failure = match tried {
            Ok(reply) if is_passing(reply.status) => {
                course.refusing = None;
                endpoints.answered(index);
                return true;
            }
            Ok(_) => {
                course.refusing = None;
                endpoints.succeeded(index, Instant::now());
                return false;
            }
            Err(failure) => failure,
        };
        let Some(trouble) = failure.trouble else {
            return false;
        };
        if matches!(failure.error, Error::FirstByte { .. }) {
            course.silent.push(index);
        }
        let repeated = course.blamed.contains(&index);
        course.refusing = (repeated && trouble == Trouble::Unreachable).then_some(index);
        if !repeated {
            course.blamed.push(index);
            endpoints.failed(index, trouble, began, Instant::now());
        }
        true
    }

    /// Takes an endpoint down that a request gives up on, having tried it more than once.
    fn confirm(&self, course: &Course) {
        if let Some(index) = course.refusing {
            let endpoints = &self.remote.endpoints;
            endpoints.failed(index, Trouble::Confirmed, course.began, Instant::now());
        }
    }
}

/// Counts a request that was not sent.
fn unsent(result: OriginResult, error: Error) -> Error {
    METRICS.origin_requests.of(result).inc();
    error
}

/// Whether nothing of a reply is to come, so that its request is over.
fn is_over(fetch: &Fetch, reply: &Reply) -> bool {
    let length = answer::content_length(&reply.headers);
    fetch.head_only || answer::is_bodiless(reply.status) || length == Ok(Some(0))
}

fn settled(tried: Result<Reply, Failure>) -> Result<Reply, Error> {
    tried.map_err(|failure| failure.error)
}

/// Statuses that say "not now" rather than anything of the object.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Full jitter below a doubling bound: clients of one outage must not come back together.
fn pause(failures: u32) -> Duration {
    let bound = PAUSE_MIN
        .saturating_mul(1 << failures.saturating_sub(1).min(8))
        .min(PAUSE_MAX);
    bound.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod general_tests;
#[cfg(test)]
mod outage_tests;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::{S3Credentials, Store};
    use crate::http::range::Wanted;
    use crate::origin::scripted::{Scripted, Step, get, read_all, say, site, web, whole};
    use crate::origin::{Delimited, Pin, Refusal, build};

    const HOUR: Duration = Duration::from_secs(3600);

    /// Fetches `/a` from an origin with these scripts and reads the body.
    async fn fetched(scripts: Vec<Vec<Step>>) -> Result<Vec<u8>, Error> {
        let origin = Scripted::start(scripts).await;
        let mut reply = web(&[&origin.url]).fetch(&get("/a")).await?;
        read_all(&mut reply.body).await
    }

    #[tokio::test]
    async fn a_body_of_known_length_is_read_and_its_connection_used_again() {
        let origin = Scripted::start(vec![whole("hello"), whole("again")]).await;
        let client = web(&[&origin.url]);
        for expected in ["hello", "again"] {
            let mut reply = client.fetch(&get("/a?x")).await.unwrap();
            assert_eq!(
                read_all(&mut reply.body).await.unwrap(),
                expected.as_bytes()
            );
            assert_eq!(reply.body.piece().await, Ok(None));
            assert_eq!(reply.body.delimited(), Delimited::Length);
        }
        let head = origin.heads().remove(0);
        for line in [
            "get /a?x http/1.1",
            "cdn-loop: weir",
            "via: 1.1 weir",
            "user-agent: weir/",
        ] {
            assert!(head.contains(line), "{head}");
        }
    }

    #[tokio::test]
    async fn interim_answers_are_skipped() {
        let mut script = vec![
            say("HTTP/1.1 103 Early Hints\nLink: </a>\n\n"),
            say("HTTP/1.1 100 Continue\n\n"),
        ];
        script.extend(whole("hello"));
        assert_eq!(fetched(vec![script]).await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn chunked_and_close_delimited_bodies_say_what_they_are() {
        let chunked = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n";
        let close = "HTTP/1.1 200 OK\nConnection: close\n\nhello";
        for (text, delimited) in [(chunked, Delimited::Chunked), (close, Delimited::Close)] {
            let origin = Scripted::start(vec![vec![say(text), Step::Close]]).await;
            let mut reply = web(&[&origin.url]).fetch(&get("/a")).await.unwrap();
            assert_eq!(reply.body.delimited(), delimited);
            assert_eq!(read_all(&mut reply.body).await.unwrap(), b"hello");
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_an_error_and_stays_one() {
        let head = "HTTP/1.1 200 OK\nContent-Length: 10\n\nhello";
        let chunk = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n";
        for (text, end) in [
            (head, Step::Close),
            (chunk, Step::Close),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n9\nhello",
                Step::Close,
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nzz\nhello",
                Step::Wait(HOUR),
            ),
        ] {
            let origin = Scripted::start(vec![vec![say(text), end]]).await;
            let mut reply = web(&[&origin.url]).fetch(&get("/a")).await.unwrap();
            let error = read_all(&mut reply.body).await.unwrap_err();
            assert!(matches!(error, Error::Truncated { .. }), "{error}");
            assert!(reply.body.piece().await.is_err());
        }
    }

    #[tokio::test]
    async fn a_reset_in_mid_body_is_an_error() {
        let script = vec![
            say("HTTP/1.1 200 OK\nContent-Length: 10000000\n\n"),
            Step::Zeros(100_000),
            Step::Wait(Duration::from_millis(50)),
            Step::Reset,
        ];
        let error = fetched(vec![script]).await.unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_stalled_body_is_an_error_and_a_trickling_one_is_not() {
        let head = say("HTTP/1.1 200 OK\nContent-Length: 5\n\nhe");
        let stalled = vec![head.clone(), Step::Wait(HOUR)];
        let error = fetched(vec![stalled]).await.unwrap_err();
        assert!(matches!(error, Error::Stall { received: 2, .. }), "{error}");
        let slow = Step::Wait(Duration::from_millis(120));
        let (l, o) = (say("l"), say("o"));
        let trickle = vec![head, slow.clone(), l.clone(), slow.clone(), l, slow, o];
        assert_eq!(fetched(vec![trickle]).await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn more_bytes_than_announced_are_not_given() {
        let script = vec![say("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello, world")];
        assert_eq!(fetched(vec![script]).await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn heads_that_contradict_themselves_are_refused() {
        for (text, reason) in [
            (
                "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\nhello",
                "malformed-head",
            ),
            (
                "HTTP/1.1 200 OK\nContent-Range: bytes 0-4/9\n\nhello",
                "partial-as-whole",
            ),
            (
                "HTTP/1.1 206 OK\nContent-Range: bytes 0-4/9\n\nhello",
                "unasked-partial",
            ),
            ("HTTP/1.1 304 OK\n\n", "unasked-not-modified"),
            ("HTTP/1.1 101 OK\nUpgrade: x\n\n", "malformed-head"),
            ("nonsense\n\n", "malformed-head"),
            ("HTTP/1.1 700 Odd\nContent-Length: 0\n\n", "wrong-status"),
            ("HTTP/1.1 407 No\nContent-Length: 0\n\n", "wrong-status"),
            (
                "HTTP/1.1 200 OK\nContent-Length: 9223372036854775808\n\nhello",
                "too-long",
            ),
            (
                "HTTP/1.1 200 OK\nContent-length: 3\nTransfer-Encoding: chunked\n\n0\n\n",
                "ambiguous-framing",
            ),
            (
                "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n0\n\n",
                "ambiguous-framing",
            ),
        ] {
            let error = fetched(vec![vec![say(text)]]).await.unwrap_err();
            let Error::Refused { reason: given, .. } = error else {
                panic!("{text}: {error}");
            };
            assert_eq!(given.as_str(), reason, "{text}");
        }
    }

    #[tokio::test]
    async fn statuses_without_a_body_have_none_whatever_their_fields_say() {
        for (status, length) in [(204, None), (205, Some("0"))] {
            for text in ["", "Content-Length: 0\n", "Content-Length: 5\n"] {
                let script = vec![say(&format!("HTTP/1.1 {status} No\n{text}\n")), Step::Close];
                let origin = Scripted::start(vec![script, whole("after")]).await;
                let client = web(&[&origin.url]);
                let mut reply = client.fetch(&get("/a")).await.unwrap();
                assert_eq!(reply.status, status);
                let given = reply.headers.get("content-length");
                assert_eq!(given.map(HeaderValue::as_bytes), length.map(str::as_bytes));
                assert!(read_all(&mut reply.body).await.unwrap().is_empty());
                let mut after = client.fetch(&get("/a")).await.unwrap();
                assert_eq!(read_all(&mut after.body).await.unwrap(), b"after");
            }
        }
    }

    #[tokio::test]
    async fn a_204_with_a_late_body_spoils_no_later_answer() {
        let late = Step::Wait(Duration::from_millis(20));
        let odd = vec![
            say("HTTP/1.1 204 No\nContent-Length: 5\n\n"),
            late,
            say("hello"),
        ];
        let origin = Scripted::start(vec![odd, whole("after")]).await;
        let client = web(&[&origin.url]);
        let mut reply = client.fetch(&get("/a")).await.unwrap();
        assert!(read_all(&mut reply.body).await.unwrap().is_empty());
        let mut after = client.fetch(&get("/a")).await.unwrap();
        assert_eq!(read_all(&mut after.body).await.unwrap(), b"after");
    }

    #[tokio::test]
    async fn a_passing_failure_is_tried_again_and_then_given_as_it_is() {
        let busy = || vec![say("HTTP/1.1 503 Slow Down\nContent-Length: 4\n\nbusy")];
        assert_eq!(
            fetched(vec![busy(), busy(), whole("ok")]).await.unwrap(),
            b"ok"
        );
        let origin = Scripted::start(vec![busy(), busy(), busy(), whole("ok")]).await;
        let reply = web(&[&origin.url]).fetch(&get("/a")).await.unwrap();
        assert_eq!((reply.status.as_u16(), origin.left()), (503, 1));
    }

    #[tokio::test]
    async fn an_endpoint_that_sends_no_head_is_not_asked_again_by_the_same_request() {
        let silent = || vec![Step::Wait(HOUR)];
        let origin = Scripted::start(vec![silent(), silent()]).await;
        let error = web(&[&origin.url]).fetch(&get("/a")).await.err().unwrap();
        assert!(matches!(error, Error::FirstByte { .. }), "{error}");
        assert_eq!(origin.left(), 1);
    }

    #[tokio::test]
    async fn a_pooled_connection_that_died_costs_no_try() {
        let close = || vec![Step::Close];
        let scripts = vec![whole("one"), close(), close(), close(), whole("two")];
        let origin = Scripted::start(scripts).await;
        let client = web(&[&origin.url]);
        for expected in ["one", "two"] {
            let mut reply = client.fetch(&get("/a")).await.unwrap();
            assert_eq!(
                read_all(&mut reply.body).await.unwrap(),
                expected.as_bytes()
            );
        }
    }

    #[tokio::test]
    async fn a_client_waits_for_two_silent_endpoints_at_most() {
        let silent = || vec![Step::Wait(HOUR)];
        let mut origins = Vec::new();
        for _ in 0..4 {
            origins.push(Scripted::start(vec![silent()]).await);
        }
        let urls: Vec<_> = origins.iter().map(|origin| origin.url.as_str()).collect();
        let mut site = site(Store::Web { host: None }, &urls);
        site.deadlines.connect = Duration::from_millis(100);
        site.deadlines.first_byte = Duration::from_millis(200);
        site.deadlines.tries = 4;
        let client = build::build(&site).unwrap();
        assert!(client.fetch(&get("/a")).await.is_err());
        let asked = origins.iter().filter(|origin| origin.left() == 0).count();
        assert_eq!(asked, 2);
    }

    /// Answers `/good` after a moment, drops the connections of `/drop`, and is silent otherwise.
    async fn moody_url() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = [0; 2048];
                    while let Ok(1..) = stream.read(&mut head).await {
                        if head.starts_with(b"GET /good") {
                            let good = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
                            stream.write_all(good).await.unwrap();
                        } else if head.starts_with(b"GET /drop") {
                            return;
                        } else {
                            sleep(HOUR).await;
                        }
                    }
                });
            }
        });
        url
    }

    #[tokio::test]
    async fn urls_that_never_answer_switch_nothing_off_for_others() {
        for (count, checked) in [(1, true), (1, false), (2, true), (2, false)] {
            let mut urls = Vec::new();
            for _ in 0..count {
                urls.push(moody_url().await);
            }
            let urls: Vec<_> = urls.iter().map(String::as_str).collect();
            let mut site = site(Store::Web { host: None }, &urls);
            site.origin.health_path = checked.then(|| "/health".into());
            site.deadlines.first_byte = Duration::from_millis(50);
            let client = build::build(&site).unwrap();
            let (slow, drop) = (get("/slow"), get("/drop"));
            let good = get("/good");
            for _ in 0..5 {
                let attack = futures_util::future::join_all(
                    [&slow, &drop]
                        .repeat(4)
                        .into_iter()
                        .map(|bad| client.fetch(bad)),
                );
                let (failed, served) = tokio::join!(attack, client.fetch(&good));
                assert!(failed.iter().all(Result::is_err));
                assert_eq!(read_all(&mut served.unwrap().body).await.unwrap(), b"good");
                let mut reply = client.fetch(&good).await.unwrap();
                assert_eq!(read_all(&mut reply.body).await.unwrap(), b"good");
            }
        }
    }

    #[tokio::test]
    async fn a_key_that_cannot_exist_says_nothing_of_an_endpoint_that_is_down() {
        let dead = refusing_url().await;
        let store = Store::S3 {
            bucket: "vod".into(),
            region: "us-east-1".into(),
            virtual_host: false,
            credentials: S3Credentials::Anonymous,
        };
        let client = build::build(&site(store, &[&dead])).unwrap();
        assert!(client.fetch(&get("/a")).await.is_err());
        assert_eq!(client.fetch(&get("/%FF")).await.unwrap().status, 404);
        assert!(!client.health()[0].up);
        assert_eq!(client.fetch(&get("/a")).await.err(), Some(Error::Down));
    }

    async fn refusing_url() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    #[tokio::test]
    async fn a_dead_endpoint_is_passed_over_and_all_dead_ones_fail_fast() {
        let dead = refusing_url().await;
        let scripts = (0..8).map(|_| whole("hello")).collect();
        let origin = Scripted::start(scripts).await;
        let client = web(&[&dead, &origin.url]);
        for _ in 0..8 {
            let reply = client.fetch(&get("/a")).await.unwrap();
            assert_eq!(reply.status, StatusCode::OK);
        }
        assert_eq!(client.health().iter().filter(|one| one.up).count(), 1);
        let client = web(&[&dead]);
        let error = client.fetch(&get("/a")).await.err().unwrap();
        assert!(matches!(error, Error::Connect { .. }), "{error}");
        let started = Instant::now();
        assert_eq!(client.fetch(&get("/a")).await.err(), Some(Error::Down));
        assert!(started.elapsed() < Duration::from_millis(50));
    }

    #[tokio::test]
    async fn a_check_brings_an_endpoint_up_and_down() {
        let ill = || vec![say("HTTP/1.1 500 Ill\nContent-Length: 0\n\n")];
        let origin = Scripted::start(vec![ill(), ill(), ill()]).await;
        let mut settings = site(Store::Web { host: None }, &[&origin.url]);
        settings.origin.health_interval = Duration::ZERO;
        let client = build::build(&settings).unwrap();
        for up in [true, true, false] {
            client.probe().await;
            assert_eq!(client.health()[0].up, up);
        }
        assert!(origin.heads()[0].starts_with("head /health http/1.1"));
    }

    fn part(first: usize, text: &str, tag: &str) -> Vec<Step> {
        let last = first + text.len() - 1;
        let length = text.len();
        vec![say(&format!(
            "HTTP/1.1 206 P\nContent-Length: {length}\nContent-Range: bytes {first}-{last}/10\n\
             ETag: {tag}\n\n{text}"
        ))]
    }

    fn broken() -> Vec<Step> {
        let head = "HTTP/1.1 200 OK\nContent-Length: 10\nETag: \"a\"\n\nhello";
        vec![say(head), Step::Close]
    }

    #[tokio::test]
    async fn a_broken_body_of_a_known_version_is_continued() {
        let origin = Scripted::start(vec![broken(), part(5, "world", "\"a\"")]).await;
        let mut reply = web(&[&origin.url]).fetch(&get("/a")).await.unwrap();
        assert_eq!(read_all(&mut reply.body).await.unwrap(), b"helloworld");
        let head = origin.heads().remove(1);
        assert!(head.contains("range: bytes=5-9\r\n"), "{head}");
        assert!(head.contains("if-match: \"a\"\r\n"), "{head}");
    }

    #[tokio::test]
    async fn a_broken_body_is_never_continued_with_another_version() {
        for script in [
            part(5, "WORLD", "\"b\""),
            vec![say("HTTP/1.1 412 Gone\nContent-Length: 0\n\n")],
            vec![say(
                "HTTP/1.1 200 OK\nContent-Length: 10\nETag: \"b\"\n\nHELLOWORLD",
            )],
        ] {
            let error = fetched(vec![broken(), script]).await.unwrap_err();
            assert_eq!(error, Error::Changed);
        }
    }

    #[tokio::test]
    async fn a_store_that_ignores_the_range_of_a_continuation_does_not_continue() {
        let whole = "HTTP/1.1 200 OK\nContent-Length: 10\nETag: \"a\"\n\nhelloworld";
        let error = fetched(vec![broken(), vec![say(whole)]]).await.unwrap_err();
        assert!(
            matches!(error, Error::Truncated { received: 5, .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn continuing_is_bounded() {
        let stub = |first: usize, text: &str| {
            vec![
                say(&format!(
                    "HTTP/1.1 206 P\nContent-Length: {}\nContent-Range: bytes {first}-9/10\n\
                     ETag: \"a\"\n\n{text}",
                    10 - first
                )),
                Step::Close,
            ]
        };
        let error = fetched(vec![broken(), stub(5, "w"), stub(6, "o"), stub(7, "r")]).await;
        assert!(
            matches!(error, Err(Error::Truncated { received: 7, .. })),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_pinned_range_of_a_store_that_ignores_pins_is_changed() {
        let origin = Scripted::start(vec![part(0, "HELLO", "\"b\"")]).await;
        let fetch = Fetch {
            range: Some(Wanted::Span(0, 4)),
            pin: Some(Pin::Etag(HeaderValue::from_static("\"a\""))),
            ..get("/a")
        };
        let error = web(&[&origin.url]).fetch(&fetch).await.err();
        assert_eq!(error, Some(Error::Changed));
    }

    async fn from_s3(status: &str, code: &str) -> Result<Reply, Error> {
        let xml = format!("<Error><Code>{code}</Code></Error>");
        let text = format!(
            "HTTP/1.1 {status}\nContent-Length: {}\nServer: Store\n\
             X-Amz-Bucket-Region: eu\n\n{xml}",
            xml.len()
        );
        let origin = Scripted::start(vec![vec![say(&text)]]).await;
        let store = Store::S3 {
            bucket: "vod".into(),
            region: "us-east-1".into(),
            virtual_host: false,
            credentials: S3Credentials::Anonymous,
        };
        let client = build::build(&site(store, &[&origin.url])).unwrap();
        client.fetch(&get("/a")).await
    }

    #[tokio::test]
    async fn errors_of_s3_become_bare_answers_or_named_errors() {
        for (status, code) in [("404 Not Found", "NoSuchKey"), ("403 No", "AccessDenied")] {
            let mut reply = from_s3(status, code).await.unwrap();
            assert_eq!(reply.status, StatusCode::NOT_FOUND);
            assert_eq!(reply.headers.len(), 1);
            assert!(read_all(&mut reply.body).await.unwrap().is_empty());
        }
        let error = from_s3("403 No", "SignatureDoesNotMatch")
            .await
            .err()
            .unwrap();
        assert!(matches!(error, Error::Credentials(_)), "{error}");
        let error = from_s3("301 Moved", "PermanentRedirect")
            .await
            .err()
            .unwrap();
        let redirected = Refusal::Redirected;
        assert!(
            matches!(error, Error::Refused { reason, .. } if reason == redirected),
            "{error}"
        );
    }

    #[test]
    fn pauses_stay_below_their_bound() {
        for failures in [0, 1, 5, 40, u32::MAX] {
            assert!(pause(failures) <= PAUSE_MAX);
        }
        assert!(pause(1) <= PAUSE_MIN);
    }
}
