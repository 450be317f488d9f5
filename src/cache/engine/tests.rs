//! The engine over an origin of this process, whose every step the test decides.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderValue};
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::asset::Kind;
use crate::cache::ask::Source;
use crate::cache::object::{RunError, Stretch, Target};
use crate::cache::reader::Reader;
use crate::config;
use crate::http::forward::Fields;
use crate::http::wishes::Wishes;
use crate::limits::{BLOCK_BYTES, CHUNK_BYTES};
use crate::origin::{Body, EndpointHealth, Error, Fetch, Origin, Pin, Reply, Span};
use crate::purge::log::heartbeat::NodeInfo;

/// One object whose version, behaviour and pace the test sets.
pub(super) struct Scripted {
    body: Mutex<(Bytes, &'static str)>,
    control: &'static str,
    /// Bytes after which bodies break off.
    breaks_at: Mutex<Option<usize>>,
    pub(super) down: Mutex<bool>,
    fetches: Mutex<Vec<Fetch>>,
    bytes: AtomicUsize,
    pub(super) gate: Semaphore,
}

impl Scripted {
    pub(super) fn new(length: usize) -> Arc<Self> {
        Self::with_control(length, "max-age=60")
    }

    pub(super) fn with_control(length: usize, control: &'static str) -> Arc<Self> {
        let body = (0..length)
            .map(|i| u8::try_from(i % 251).unwrap())
            .collect::<Vec<_>>();
        Arc::new(Self {
            body: Mutex::new((body.into(), "\"v1\"")),
            control,
            breaks_at: Mutex::default(),
            down: Mutex::default(),
            fetches: Mutex::default(),
            bytes: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    pub(super) fn replace(&self, body: Vec<u8>, tag: &'static str) {
        *self.body.lock().unwrap() = (body.into(), tag);
    }

    fn body(&self) -> Bytes {
        self.body.lock().unwrap().0.clone()
    }

    pub(super) fn fetch_count(&self) -> usize {
        self.fetches.lock().unwrap().len()
    }
}

pub(super) struct Pieces(pub(super) VecDeque<Bytes>, pub(super) bool);

#[async_trait::async_trait]
impl Body for Pieces {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        tokio::task::yield_now().await;
        match self.0.pop_front() {
            Some(piece) => Ok(Some(piece)),
            None if self.1 => Ok(None),
            None => Err(Error::Truncated {
                endpoint: "test".into(),
                received: 0,
            }),
        }
    }
}

#[async_trait::async_trait]
impl Origin for Scripted {
    async fn fetch(&self, fetch: &Fetch) -> Result<Reply, Error> {
        self.fetches.lock().unwrap().push(fetch.clone());
        let _open = self.gate.acquire().await.unwrap();
        if *self.down.lock().unwrap() {
            return Err(Error::Down);
        }
        let (body, tag) = self.body.lock().unwrap().clone();
        if matches!(&fetch.pin, Some(Pin::Etag(pinned)) if pinned != tag) {
            return Err(Error::Changed);
        }
        let total = body.len() as u64;
        let (status, span) = match fetch.range {
            Some(Wanted::Span(first, last)) => {
                let last = last.min(total - 1);
                (
                    StatusCode::PARTIAL_CONTENT,
                    Some(Span { first, last, total }),
                )
            }
            _ => (StatusCode::OK, None),
        };
        let part = match span {
            Some(Span { first, last, .. }) => {
                body.slice(usize::try_from(first).unwrap()..=usize::try_from(last).unwrap())
            }
            None => body,
        };
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static(tag));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.control));
        headers.insert(CONTENT_LENGTH, part.len().into());
        let confirmed = fetch.validators.as_ref().and_then(|v| v.etag.as_ref());
        if confirmed.is_some_and(|etag| etag == tag) {
            let body = Box::new(Pieces(VecDeque::new(), true));
            let status = StatusCode::NOT_MODIFIED;
            return Ok(Reply {
                status,
                headers,
                span: None,
                body,
            });
        }
        let cut = self
            .breaks_at
            .lock()
            .unwrap()
            .map_or(part.len(), |at| at.min(part.len()));
        let is_whole = cut == part.len();
        let part = if fetch.head_only {
            Bytes::new()
        } else {
            part.slice(..cut)
        };
        self.bytes.fetch_add(part.len(), Ordering::Relaxed);
        let pieces = part.chunks(60_000).map(Bytes::copy_from_slice).collect();
        Ok(Reply {
            status,
            headers,
            span,
            body: Box::new(Pieces(pieces, is_whole)),
        })
    }

    fn health(&self) -> Vec<EndpointHealth> {
        Vec::new()
    }
}

pub(super) struct Bench {
    pub(super) engine: Arc<Engine>,
    pub(super) origin: Arc<Scripted>,
    source: Arc<Source>,
}

impl Bench {
    pub(super) fn new(memory: usize, origin: Arc<Scripted>) -> Self {
        let text = "[[site]]\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:1\"\n";
        let config = config::Config::parse(text, std::path::Path::new("/")).unwrap();
        let purges = Purges::new(
            None,
            &config.purge,
            NodeInfo {
                node: "test".into(),
                version: "0".into(),
                addresses: Vec::new(),
            },
        );
        let source = Arc::new(Source {
            site: Arc::clone(&config.sites[0]),
            origin: Arc::clone(&origin) as Arc<dyn Origin>,
        });
        Self {
            engine: Engine::new(memory, None, purges),
            origin,
            source,
        }
    }

    pub(super) fn ask(&self, path: &str, want: Option<Wanted>) -> Ask {
        let key = Key::new("s", path, None);
        let kind = Kind::of(path);
        let target = Target {
            path: path.to_owned(),
            query: None,
        };
        Ask {
            source: Arc::clone(&self.source),
            key,
            target,
            kind,
            want,
            head_only: false,
            fields: Fields::none(),
            wishes: Wishes::default(),
            interim: None,
            cdn_loop: None,
        }
    }

    pub(super) async fn open(&self, path: &str, want: Option<Wanted>) -> (Arc<Object>, How) {
        match self.engine.open(self.ask(path, want)).await {
            Opened::Object { object, how, .. } => (object, how),
            Opened::Stream { .. } => panic!("not stored"),
            Opened::Failed(failure) => panic!("{failure}"),
        }
    }

    pub(super) fn reader(&self, object: Arc<Object>) -> Reader {
        Reader::new(
            Arc::clone(&self.engine),
            self.ask("/", None).supply(),
            object,
        )
    }

    pub(super) async fn get(&self, path: &str) -> Result<Vec<u8>, RunError> {
        let (object, _) = self.open(path, None).await;
        read(self.reader(object)).await
    }

    /// Waits until no fill is under way, so that what one left behind can be looked at.
    pub(super) async fn settle(&self, path: &str) {
        while self
            .engine
            .flights()
            .is_under_way(&Key::new("s", path, None))
        {
            tokio::task::yield_now().await;
        }
    }
}

pub(super) async fn read(mut reader: Reader) -> Result<Vec<u8>, RunError> {
    let mut all = Vec::new();
    while let Some(piece) = reader.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

pub(super) const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn many_cold_requests_cost_one_fetch_and_all_get_every_byte() {
    let bench = Arc::new(Bench::new(64 * MIB, Scripted::new(3 * MIB + 17)));
    let gets = (0..200).map(|_| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.get("/a.m4s").await })
    });
    for got in gets.collect::<Vec<_>>() {
        assert_eq!(got.await.unwrap().unwrap(), bench.origin.body());
    }
    assert_eq!(bench.origin.fetch_count(), 1);
}

#[tokio::test]
async fn a_second_request_is_a_hit_in_memory() {
    let bench = Bench::new(64 * MIB, Scripted::new(MIB));
    assert_eq!(bench.open("/a.m4s", None).await.1.outcome, Outcome::Miss);
    bench.settle("/a.m4s").await;
    let (object, how) = bench.open("/a.m4s", None).await;
    assert_eq!((how.outcome, how.tier), (Outcome::Hit, Tier::Memory));
    assert!(object.is_complete());
}

#[tokio::test]
async fn what_came_between_the_look_and_the_boarding_is_not_fetched_again() {
    let bench = Bench::new(64 * MIB, Scripted::new(MIB));
    bench.get("/a.m4s").await.unwrap();
    bench.settle("/a.m4s").await;
    let ask = bench.ask("/a.m4s", None);
    let stamp = bench.engine.purges().stamp();
    let Boarding::Lead(flight) = bench.engine.board(&ask, None, stamp) else {
        panic!("nobody else flies");
    };
    assert!(matches!(flight.landing().await, Landing::Elsewhere));
    assert!(!bench.engine.flights().is_under_way(&ask.key));
    assert_eq!(bench.origin.fetch_count(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_every_reader_with_an_error_and_is_not_kept() {
    let bench = Bench::new(64 * MIB, Scripted::new(MIB));
    *bench.origin.breaks_at.lock().unwrap() = Some(MIB - 1);
    assert!(bench.get("/a.m4s").await.is_err());
    bench.settle("/a.m4s").await;
    assert!(
        bench
            .engine
            .memory()
            .look(&Key::new("s", "/a.m4s", None))
            .is_none()
    );
    *bench.origin.breaks_at.lock().unwrap() = None;
    assert_eq!(bench.get("/a.m4s").await.unwrap(), bench.origin.body());
}

#[tokio::test]
async fn a_failure_is_told_to_everyone_at_once_and_the_next_request_tries_again() {
    let bench = Bench::new(64 * MIB, Scripted::new(MIB));
    *bench.origin.down.lock().unwrap() = true;
    let opened = bench.engine.open(bench.ask("/a.m4s", None)).await;
    assert!(matches!(
        opened,
        Opened::Failed(Failure::Origin(Error::Down))
    ));
    *bench.origin.down.lock().unwrap() = false;
    assert_eq!(bench.get("/a.m4s").await.unwrap(), bench.origin.body());
}

#[tokio::test]
async fn the_tail_of_a_file_costs_at_most_two_blocks() {
    let bench = Bench::new(64 * MIB, Scripted::new(20 * MIB));
    let first = (20 * MIB - 100) as u64;
    let (object, _) = bench
        .open("/a.mp4", Some(Wanted::Span(first, u64::MAX)))
        .await;
    let mut reader = bench.reader(object);
    reader.seek(first, None);
    assert_eq!(
        read(reader).await.unwrap(),
        bench.origin.body()[20 * MIB - 100..]
    );
    assert!(bench.origin.bytes.load(Ordering::Relaxed) as u64 <= 2 * BLOCK_BYTES);
}

#[tokio::test]
async fn a_suffix_of_a_cold_file_is_found_by_its_head() {
    let bench = Bench::new(64 * MIB, Scripted::new(20 * MIB));
    let (object, _) = bench.open("/a.mp4", Some(Wanted::Suffix(100))).await;
    assert_eq!(object.length(), Some((20 * MIB) as u64));
    assert_eq!(bench.origin.bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_file_replaced_between_two_blocks_is_not_mixed() {
    let bench = Bench::new(64 * MIB, Scripted::new(8 * MIB));
    let (object, _) = bench.open("/a.mp4", None).await;
    let mut reader = bench.reader(object);
    assert!(reader.next().await.unwrap().is_some());
    bench.settle("/a.mp4").await;
    bench.origin.replace(vec![1; 8 * MIB], "\"v2\"");
    let got = read(reader).await;
    assert_eq!(got.unwrap_err(), RunError::Origin(Error::Changed));
    assert_eq!(bench.get("/a.mp4").await.unwrap(), vec![1; 8 * MIB]);
}

#[tokio::test]
async fn a_reader_whose_object_is_evicted_gets_the_rest_of_the_same_version() {
    let bench = Bench::new(64 * MIB, Scripted::new(4 * MIB));
    assert_eq!(bench.get("/a.m4s").await.unwrap().len(), 4 * MIB);
    bench.settle("/a.m4s").await;
    let (object, _) = bench.open("/a.m4s", None).await;
    let mut reader = bench.reader(Arc::clone(&object));
    let first = reader.next().await.unwrap().unwrap();
    bench.engine.memory().remove_object(&object);
    object.drop_bytes();
    let rest = read(reader).await.unwrap();
    assert_eq!([first.as_ref(), &rest].concat(), bench.origin.body());
}

#[tokio::test]
async fn memory_stays_within_its_budget_while_much_more_passes() {
    let bench = Bench::new(24 * MIB, Scripted::new(4 * MIB));
    for i in 0..40 {
        let path = format!("/{i}.m4s");
        assert_eq!(bench.get(&path).await.unwrap().len(), 4 * MIB);
        bench.settle(&path).await;
        assert!(bench.engine.memory().budget().used() <= 24 * MIB + 8 * CHUNK_BYTES);
    }
}

#[tokio::test]
async fn an_answer_that_may_not_be_stored_is_fetched_once_for_each_request() {
    let bench = Bench::new(64 * MIB, Scripted::with_control(1000, "no-store"));
    for count in 1..=3 {
        let Opened::Stream { mut body, how, .. } =
            bench.engine.open(bench.ask("/a.m4s", None)).await
        else {
            panic!("it was stored")
        };
        assert_eq!(how.outcome, Outcome::Pass);
        assert_eq!(body.piece().await.unwrap().unwrap().len(), 1000);
        assert_eq!(bench.origin.fetch_count(), count);
    }
}

#[tokio::test]
async fn a_stale_copy_is_confirmed_and_is_served_when_the_origin_is_down() {
    let control = "max-age=0, stale-while-revalidate=0, stale-if-error=60";
    let bench = Bench::new(64 * MIB, Scripted::with_control(1000, control));
    assert_eq!(bench.get("/a.m4s").await.unwrap().len(), 1000);
    bench.settle("/a.m4s").await;
    assert_eq!(
        bench.open("/a.m4s", None).await.1.outcome,
        Outcome::Revalidated
    );
    bench.settle("/a.m4s").await;
    *bench.origin.down.lock().unwrap() = true;
    let (object, how) = bench.open("/a.m4s", None).await;
    assert_eq!(how.outcome, Outcome::Stale);
    assert_eq!(
        read(bench.reader(object)).await.unwrap(),
        bench.origin.body()
    );
}

#[tokio::test]
async fn the_head_and_the_first_bytes_come_before_the_last_ones() {
    let (sender, receiver) = mpsc::channel(1);
    let bench = Bench::new(64 * MIB, Scripted::new(1000));
    let (object, _) = bench.open("/x.m4s", None).await;
    bench.settle("/x.m4s").await;
    let head = (*object.head()).clone();
    let target = object.target().clone();
    let permit = bench.engine.memory().budget().charge(0);
    let object = Object::new(head, target, Tier::Origin, permit);
    let span = Stretch {
        first: 0,
        end: Some(1000),
    };
    let mut filler =
        crate::cache::filler::Filler::claim(bench.engine.memory(), &object, span).unwrap();
    let mut reader = bench.reader(Arc::clone(&object));
    let reading = tokio::spawn(async move {
        while let Some(piece) = reader.next().await.unwrap() {
            sender.send(piece.len()).await.unwrap();
        }
    });
    let mut receiver = receiver;
    filler.reserve().await.unwrap();
    for _ in 0..10 {
        filler.push(Bytes::from_static(&[7; 100])).await.unwrap();
        let got = tokio::time::timeout(Duration::from_secs(5), receiver.recv()).await;
        assert_eq!(got.unwrap(), Some(100));
    }
    filler.finish().unwrap();
    reading.await.unwrap();
}

#[tokio::test]
async fn an_origin_that_failed_is_not_asked_again_at_once() {
    let control = "max-age=0, stale-while-revalidate=0, stale-if-error=60";
    let bench = Bench::new(64 * MIB, Scripted::with_control(1000, control));
    assert_eq!(bench.get("/a.m4s").await.unwrap().len(), 1000);
    bench.settle("/a.m4s").await;
    *bench.origin.down.lock().unwrap() = true;
    for _ in 0..10 {
        assert_eq!(bench.open("/a.m4s", None).await.1.outcome, Outcome::Stale);
        bench.settle("/a.m4s").await;
    }
    assert_eq!(bench.origin.fetch_count(), 2);
}

#[tokio::test]
async fn an_object_larger_than_memory_allows_is_filled_by_block() {
    let bench = Bench::new(16 * MIB, Scripted::new(12 * MIB));
    let (object, _) = bench.open("/a.m4s", None).await;
    assert_eq!(
        read(bench.reader(object)).await.unwrap(),
        bench.origin.body()
    );
    assert!(bench.engine.memory().budget().used() <= 16 * MIB);
}

#[tokio::test]
async fn a_purged_object_is_asked_for_again() {
    let bench = Bench::new(64 * MIB, Scripted::new(1000));
    assert_eq!(bench.get("/a.m4s").await.unwrap().len(), 1000);
    bench.settle("/a.m4s").await;
    let scope = crate::purge::order::Scope::Url(Key::new("s", "/a.m4s", None));
    bench.engine.purges().purge(&[scope.hard()]).await.unwrap();
    assert_eq!(bench.open("/a.m4s", None).await.1.outcome, Outcome::Miss);
    assert_eq!(bench.origin.fetch_count(), 2);
}

#[tokio::test]
async fn who_asks_after_a_purge_is_not_given_a_fill_begun_before_it() {
    let bench = Arc::new(Bench::new(64 * MIB, Scripted::new(1000)));
    let permits = bench.origin.gate.forget_permits(Semaphore::MAX_PERMITS);
    let before = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.get("/a.m4s").await }
    });
    while bench.origin.fetch_count() == 0 {
        tokio::task::yield_now().await;
    }
    let scope = crate::purge::order::Scope::Url(Key::new("s", "/a.m4s", None));
    bench.engine.purges().purge(&[scope.hard()]).await.unwrap();
    let after = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.get("/a.m4s").await }
    });
    while bench.origin.fetch_count() == 1 {
        tokio::task::yield_now().await;
    }
    bench.origin.gate.add_permits(permits);
    assert_eq!(before.await.unwrap().unwrap().len(), 1000);
    assert_eq!(after.await.unwrap().unwrap().len(), 1000);
    bench.settle("/a.m4s").await;
    assert_eq!(bench.open("/a.m4s", None).await.1.outcome, Outcome::Hit);
}
