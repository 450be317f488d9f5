//! The one owner of retries: who is asked again, when, and how often.
//!
//! Only GET and HEAD come here, so every request may be repeated. Another endpoint is asked at
//! once; the same one after a capped, jittered pause. A pooled connection that was dead costs no
//! try, once, since it says nothing of the endpoint.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::config::Deadlines;
use crate::metrics::{METRICS, OriginResult};
use crate::origin::client::{Connection, Failure};
use crate::origin::remote::Remote;
use crate::origin::resume;
use crate::origin::{EndpointHealth, Error, Fetch, Origin, Reply};

/// Upper end of the first pause; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Upper end of any pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A remote store with retries and resuming.
pub struct Retrying {
    tries: Arc<Tries>,
}

/// What retries and resuming share.
pub(super) struct Tries {
    remote: Remote,
    deadlines: Deadlines,
}

/// An answer, and which endpoint gave it.
pub(super) struct Given {
    pub(super) reply: Reply,
    pub(super) index: usize,
}

impl Retrying {
    /// Wraps one-try access to a store.
    #[must_use]
    pub fn new(remote: Remote, deadlines: Deadlines) -> Self {
        let tries = Tries { remote, deadlines };
        Self {
            tries: Arc::new(tries),
        }
    }
}

#[async_trait]
impl Origin for Retrying {
    async fn fetch(&self, fetch: &Fetch) -> Result<Reply, Error> {
        let given = self.tries.ask(fetch, None).await?;
        Ok(resume::wrap(&self.tries, fetch, given))
    }

    fn health(&self) -> Vec<EndpointHealth> {
        self.tries.remote.endpoints.health()
    }

    async fn probe(&self) {
        self.tries.remote.probe().await;
    }
}

impl Tries {
    /// Asks until there is an answer or no try is left; not `avoid` first, where there is another.
    ///
    /// # Errors
    /// That of the last try, or [`Error::Down`] where there was none.
    pub(super) async fn ask(&self, fetch: &Fetch, avoid: Option<usize>) -> Result<Given, Error> {
        let mut left = self.resumes().saturating_add(1);
        let give_up = Instant::now() + self.patience();
        let mut avoid = avoid;
        let mut connection = Connection::Pooled;
        let mut last = None;
        let mut failures = 0;
        loop {
            let Some(index) = self.remote.endpoints.choose(Instant::now(), avoid) else {
                return last.unwrap_or_else(|| {
                    METRICS.origin_requests.of(OriginResult::Down).inc();
                    Err(Error::Down)
                });
            };
            if failures > 0 && avoid == Some(index) {
                sleep(pause(failures)).await;
            }
            let tried = self.remote.attempt(index, fetch, connection).await;
            match tried {
                Err(failure) if failure.stale && connection == Connection::Pooled => {
                    connection = Connection::Fresh;
                    METRICS.origin_retries.inc();
                    continue;
                }
                tried => {
                    left = left.saturating_sub(1);
                    let helps = self.note(index, &tried);
                    if tried.is_err() {
                        // The pool may hold more connections to the same dead process.
                        connection = Connection::Fresh;
                    }
                    let again = helps && left > 0 && Instant::now() < give_up;
                    let result = settled(tried, index);
                    if !again {
                        return result;
                    }
                    last = Some(result);
                }
            }
            METRICS.origin_retries.inc();
            failures += 1;
            avoid = Some(index);
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

    /// No try begins later than all of them together may take.
    fn patience(&self) -> Duration {
        let once = self.deadlines.connect + self.deadlines.first_byte;
        once.saturating_mul(self.deadlines.tries.max(1))
    }

    /// Tells the endpoint's health of a try, and says whether another one may help.
    fn note(&self, index: usize, tried: &Result<Reply, Failure>) -> bool {
        let endpoints = &self.remote.endpoints;
        match tried {
            Ok(reply) if is_passing(reply.status) => true,
            Ok(_) => {
                endpoints.succeeded(index);
                false
            }
            Err(failure) => match failure.error {
                Error::Connect { .. } | Error::FirstByte { .. } => {
                    endpoints.failed(index, Instant::now());
                    true
                }
                _ => false,
            },
        }
    }
}

fn settled(tried: Result<Reply, Failure>, index: usize) -> Result<Given, Error> {
    tried
        .map(|reply| Given { reply, index })
        .map_err(|failure| failure.error)
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
mod tests {
    use http::HeaderValue;
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::{S3Credentials, Store};
    use crate::http::range::Wanted;
    use crate::origin::scripted::{Scripted, Step, say, site, web};
    use crate::origin::{Body, Delimited, Pin, Refusal, build};

    const HOUR: Duration = Duration::from_secs(3600);

    fn get(path: &str) -> Fetch {
        Fetch {
            path: path.into(),
            ..Fetch::default()
        }
    }

    async fn read_all(body: &mut Box<dyn Body>) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(piece) = body.piece().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// Fetches `/a` from an origin with these scripts and reads the body.
    async fn fetched(scripts: Vec<Vec<Step>>) -> Result<Vec<u8>, Error> {
        let origin = Scripted::start(scripts).await;
        let mut reply = web(&[&origin.url]).fetch(&get("/a")).await?;
        read_all(&mut reply.body).await
    }

    fn whole(text: &str) -> Vec<Step> {
        let length = text.len();
        vec![say(&format!(
            "HTTP/1.1 200 OK\nContent-Length: {length}\n\n{text}"
        ))]
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
        ] {
            let error = fetched(vec![vec![say(text)]]).await.unwrap_err();
            let Error::Refused { reason: given, .. } = error else {
                panic!("{text}: {error}");
            };
            assert_eq!(given.as_str(), reason, "{text}");
        }
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
    async fn an_origin_that_sends_no_head_is_left_after_its_tries() {
        let silent = || vec![Step::Wait(HOUR)];
        let origin = Scripted::start(vec![silent(), silent(), silent(), silent()]).await;
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
        assert!(started.elapsed() < Duration::from_millis(500));
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
