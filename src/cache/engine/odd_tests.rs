//! The engine over origins that answer oddly, and over a real Redis that has lost or kept the
//! wrong things. What each test shows once went wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;

use super::tests::{Bench, MIB, Pieces, Scripted, read};
use super::*;
use crate::asset::Kind;
use crate::cache::ask::Source;
use crate::cache::object::{Stretch, Target};
use crate::cache::shared::tests::run;
use crate::config;
use crate::http::forward::Fields;
use crate::http::wishes::Wishes;
use crate::limits::{BLOCK_BYTES, CHUNK_BYTES};
use crate::origin::{EndpointHealth, Error, Fetch, Origin, Pin, Reply, Span};
use crate::purge::log::heartbeat::NodeInfo;
use crate::redis::scratch::Server;

type Script = Box<dyn Fn(&Fetch, usize) -> Result<Reply, Error> + Send + Sync>;
/// An origin that is a function of the request and of how many came before it.
struct Closure(Script, AtomicUsize, Semaphore);
#[async_trait::async_trait]
impl Origin for Closure {
    async fn fetch(&self, fetch: &Fetch) -> Result<Reply, Error> {
        let n = self.1.fetch_add(1, Ordering::SeqCst);
        let _open = self.2.acquire().await.unwrap();
        (self.0)(fetch, n)
    }
    fn health(&self) -> Vec<EndpointHealth> {
        Vec::new()
    }
}
fn reply(
    status: u16,
    fields: &[(&'static str, &'static str)],
    span: Option<Span>,
    body: &[u8],
) -> Reply {
    let mut headers = HeaderMap::new();
    for (n, v) in fields {
        headers.append(*n, HeaderValue::from_static(v));
    }
    let pieces = body.chunks(60_000).map(Bytes::copy_from_slice).collect();
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        span,
        body: Box::new(Pieces(pieces, true)),
    }
}
struct Rig {
    engine: Arc<Engine>,
    source: Arc<Source>,
    origin: Arc<Closure>,
}
impl Rig {
    fn new(memory: usize, redis: Option<Arc<Shared>>, script: Script) -> Self {
        let text = "[[site]]\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:1\"\n";
        let config = config::Config::parse(text, std::path::Path::new("/")).unwrap();
        let purges = Purges::new(
            None,
            &config.purge,
            NodeInfo {
                node: "t".into(),
                version: "0".into(),
                addresses: Vec::new(),
            },
        );
        let origin = Arc::new(Closure(
            script,
            AtomicUsize::new(0),
            Semaphore::new(Semaphore::MAX_PERMITS),
        ));
        let source = Arc::new(Source {
            site: Arc::clone(&config.sites[0]),
            origin: Arc::clone(&origin) as Arc<dyn Origin>,
        });
        Self {
            engine: Engine::new(memory, redis, purges),
            source,
            origin,
        }
    }
    fn ask(&self, path: &str, head_only: bool) -> Ask {
        Ask {
            source: Arc::clone(&self.source),
            key: Key::new("s", path, None),
            target: Target {
                path: path.to_owned(),
                query: None,
            },
            kind: Kind::of(path),
            want: None,
            head_only,
            fields: Fields::none(),
            wishes: Wishes::default(),
            interim: None,
            cdn_loop: None,
        }
    }
    async fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        match self.engine.open(self.ask(path, false)).await {
            Opened::Object { object, .. } => read(Reader::new(
                Arc::clone(&self.engine),
                self.ask(path, false).supply(),
                object,
            ))
            .await
            .map_err(|e| e.to_string()),
            Opened::Stream { mut body, .. } => {
                let mut all = Vec::new();
                while let Some(p) = body.piece().await.map_err(|e| e.to_string())? {
                    all.extend_from_slice(&p);
                }
                Ok(all)
            }
            Opened::Failed(f) => Err(f.to_string()),
        }
    }
    async fn settle(&self, path: &str) {
        while self
            .engine
            .flights()
            .is_under_way(&Key::new("s", path, None))
        {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_get_never_takes_the_stream_of_a_head() {
    let rig = Arc::new(Rig::new(
        64 * MIB,
        None,
        Box::new(|f, _| {
            Ok(reply(
                200,
                &[("cache-control", "no-store")],
                None,
                if f.head_only { b"" } else { b"hello" },
            ))
        }),
    ));
    rig.origin.2.forget_permits(Semaphore::MAX_PERMITS);
    let r = Arc::clone(&rig);
    let head = tokio::spawn(async move { r.engine.open(r.ask("/a.m4s", true)).await });
    tokio::task::yield_now().await;
    let gets: Vec<_> = (0..8)
        .map(|_| {
            let r = Arc::clone(&rig);
            tokio::spawn(async move { r.get("/a.m4s").await })
        })
        .collect();
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    rig.origin.2.add_permits(1000);
    drop(head.await);
    let mut bodies = Vec::new();
    for g in gets {
        bodies.push(g.await.unwrap().unwrap());
    }
    assert!(bodies.iter().all(|b| b == b"hello"), "{bodies:?}");
}

#[tokio::test]
async fn a_304_that_forbids_storing_ends_the_copy() {
    let rig = Rig::new(
        64 * MIB,
        None,
        Box::new(|f, _| {
            if f.validators.is_some() {
                return Ok(reply(
                    304,
                    &[
                        ("etag", "\"1\""),
                        ("cache-control", "private, no-store"),
                        ("set-cookie", "sid=alice"),
                    ],
                    None,
                    b"",
                ));
            }
            Ok(reply(
                200,
                &[
                    ("etag", "\"1\""),
                    ("cache-control", "max-age=0, stale-while-revalidate=0"),
                    ("content-length", "5"),
                ],
                None,
                b"hello",
            ))
        }),
    );
    rig.get("/a.m4s").await.unwrap();
    rig.settle("/a.m4s").await;
    rig.get("/a.m4s").await.unwrap();
    rig.settle("/a.m4s").await;
    let kept = rig.engine.memory().look(&Key::new("s", "/a.m4s", None));
    let head = kept.map(|o| o.head());
    assert!(head.is_none(), "kept with {:?}", head.unwrap().headers);
}

#[tokio::test]
async fn an_answer_that_may_not_be_stored_replaces_the_stale_copy() {
    let rig = Rig::new(
        64 * MIB,
        None,
        Box::new(|_, n| {
            if n > 0 {
                return Ok(reply(403, &[("content-length", "0")], None, b""));
            }
            Ok(reply(
                200,
                &[
                    ("etag", "\"1\""),
                    ("cache-control", "max-age=0, stale-while-revalidate=600"),
                    ("content-length", "5"),
                ],
                None,
                b"hello",
            ))
        }),
    );
    rig.get("/a.m4s").await.unwrap();
    rig.settle("/a.m4s").await;
    rig.get("/a.m4s").await.unwrap();
    rig.settle("/a.m4s").await; // refresh learns 403
    assert_ne!(
        rig.get("/a.m4s").await.unwrap(),
        b"hello",
        "still served after the origin said 403"
    );
}

#[tokio::test]
async fn a_purge_between_look_and_flight_counts() {
    let bench = Bench::new(
        64 * MIB,
        Scripted::with_control(
            1000,
            "max-age=0, stale-while-revalidate=0, stale-if-error=60",
        ),
    );
    bench.get("/a.m4s").await.unwrap();
    bench.settle("/a.m4s").await;
    let mut ask = bench.ask("/a.m4s", None);
    let stamp = bench.engine.purges().stamp();
    let stored = bench.engine.locate(&mut ask, clock::now());
    bench
        .engine
        .purges()
        .purge(&[crate::purge::order::Scope::Url(ask.key.clone()).hard()])
        .await
        .unwrap();
    *bench.origin.down.lock().unwrap() = true;
    bench.engine.board(&ask, stored, stamp);
    // asked after the purge was acknowledged:
    let opened = bench.engine.open(ask.clone()).await;
    assert!(matches!(opened, Opened::Failed(_)), "purged bytes served");
}

#[tokio::test(start_paused = true)]
async fn a_fill_of_unknown_length_that_became_evictable_wakes_who_waits() {
    let bench = Bench::new(64 * MIB, Scripted::new(10));
    bench.get("/x.m4s").await.unwrap();
    bench.settle("/x.m4s").await;
    let (x, _) = bench.open("/x.m4s", None).await;
    let memory = Memory::new(8 * CHUNK_BYTES);
    let _slow_readers = memory.budget().try_take(6 * CHUNK_BYTES).unwrap();
    let mut head = (*x.head()).clone();
    head.length = None;
    let a = Object::new(
        head,
        x.target().clone(),
        Tier::Origin,
        memory.budget().charge(0),
    );
    let mut f = crate::cache::filler::Filler::claim(
        &memory,
        &a,
        Stretch {
            first: 0,
            end: None,
        },
    )
    .unwrap();
    for _ in 0..2 {
        f.push(Bytes::from(vec![1; CHUNK_BYTES])).await.unwrap();
    }
    let m = Arc::clone(&memory);
    let waiter = tokio::spawn(async move { m.reserve(CHUNK_BYTES).await });
    tokio::task::yield_now().await;
    f.finish().unwrap();
    memory.insert(&a, 0);
    assert!(
        waiter.await.unwrap().is_ok(),
        "10 s and NoRoom beside an evictable object"
    );
}

#[tokio::test]
async fn replaced_objects_leave_the_queue() {
    let bench = Bench::new(64 * MIB, Scripted::new(10));
    bench.get("/x.m4s").await.unwrap();
    bench.settle("/x.m4s").await;
    let (x, _) = bench.open("/x.m4s", None).await;
    let memory = Memory::new(64 * MIB);
    let head = (*x.head()).clone();
    for _ in 0..100_000 {
        let o = Object::new(
            head.clone(),
            x.target().clone(),
            Tier::Origin,
            memory.budget().charge(1536),
        );
        memory.insert(&o, 0);
    }
    memory.report();
    assert!(
        METRICS.memory_objects.get() < 1000,
        "{} slots, {} bytes used",
        METRICS.memory_objects.get(),
        memory.budget().used()
    );
}

#[tokio::test]
async fn a_small_object_of_unknown_length_costs_what_it_is() {
    let rig = Rig::new(
        64 * MIB,
        None,
        Box::new(|_, _| {
            Ok(reply(
                200,
                &[("cache-control", "max-age=60")],
                None,
                b"#EXTM3U\n",
            ))
        }),
    );
    rig.get("/a.m3u8").await.unwrap();
    rig.settle("/a.m3u8").await;
    assert!(
        rig.engine.memory().budget().used() < 10_000,
        "{}",
        rig.engine.memory().budget().used()
    );
}

static V1: [u8; 3 * CHUNK_BYTES] = [1; 3 * CHUNK_BYTES];
static V2: [u8; 3 * CHUNK_BYTES] = [2; 3 * CHUNK_BYTES];

fn versions(version: Arc<AtomicUsize>, tags: [&'static str; 2], big: bool) -> Script {
    Box::new(move |f, _| {
        let v = version.load(Ordering::SeqCst);
        let one: &[u8] = if v == 0 { &V1 } else { &V2 };
        let body = if big { one.repeat(4) } else { one.to_vec() };
        if let Some(Pin::Etag(t)) = &f.pin
            && t.as_bytes() != tags[v].as_bytes()
        {
            return Err(Error::Changed);
        }
        let total = body.len() as u64;
        let mut fields = vec![("cache-control", "max-age=600")];
        if !tags[v].is_empty() {
            fields.push(("etag", tags[v]));
        }
        if f.validators
            .as_ref()
            .and_then(|x| x.etag.as_ref())
            .is_some_and(|e| e.as_bytes() == tags[v].as_bytes())
        {
            return Ok(reply(304, &fields, None, b""));
        }
        if let Some(Wanted::Span(first, last)) = f.range {
            let last = last.min(total - 1);
            let part = &body[usize::try_from(first).unwrap()..=usize::try_from(last).unwrap()];
            let mut r = reply(206, &fields, Some(Span { first, last, total }), part);
            r.headers.insert(CONTENT_LENGTH, part.len().into());
            return Ok(r);
        }
        let mut r = reply(200, &fields, None, &body);
        r.headers.insert(CONTENT_LENGTH, total.into());
        Ok(r)
    })
}

#[tokio::test]
async fn an_object_without_validators_is_not_completed_with_another_version() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let version = Arc::new(AtomicUsize::new(0));
    let a = Rig::new(
        64 * MIB,
        Some(Arc::clone(&node.shared)),
        versions(Arc::clone(&version), ["", ""], false),
    );
    assert_eq!(a.get("/a.m4s").await.unwrap(), V1);
    a.settle("/a.m4s").await;
    assert!(node.shared.drain(Duration::from_secs(5)).await);
    // Redis evicts the second chunk, the origin's object is replaced, another node is asked.
    let mut c = server.client().await;
    let key = Key::new("s", "/a.m4s", None);
    let _: i64 = redis::cmd("DEL")
        .arg(format!("weir:1:{{{}}}:1", key.hash()))
        .query_async(&mut c)
        .await
        .unwrap();
    version.store(1, Ordering::SeqCst);
    let b = Rig::new(
        64 * MIB,
        Some(Arc::clone(&node.shared)),
        versions(Arc::clone(&version), ["", ""], false),
    );
    if let Ok(body) = b.get("/a.m4s").await {
        let kinds: std::collections::BTreeSet<_> = body.iter().collect();
        assert_eq!(
            kinds.len(),
            1,
            "bytes of two versions in one complete body of {}",
            body.len()
        );
    }
}

#[tokio::test]
async fn a_replaced_object_is_served_again_although_redis_holds_the_old_head() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let version = Arc::new(AtomicUsize::new(0));
    let rig = Rig::new(
        8 * MIB,
        Some(Arc::clone(&node.shared)),
        versions(Arc::clone(&version), ["\"1\"", "\"2\""], true),
    );
    let Opened::Object { object, .. } = rig.engine.open(rig.ask("/a.mp4", false)).await else {
        panic!("no object")
    };
    rig.settle("/a.mp4").await;
    assert!(node.shared.drain(Duration::from_secs(5)).await);
    version.store(1, Ordering::SeqCst);
    drop(object);
    let tries: Vec<_> = {
        let mut t = Vec::new();
        for _ in 0..5 {
            t.push(rig.get("/a.mp4").await.map(|b| b[0]));
            rig.settle("/a.mp4").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        t
    };
    assert_eq!(tries.last(), Some(&Ok(2)), "{tries:?}");
}

#[tokio::test]
async fn a_copy_in_redis_without_pin_is_not_revalidated_into_an_object_without_bytes() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let script = || -> Script {
        Box::new(|f, _| {
            let fields = [
                ("cache-control", "max-age=0, stale-while-revalidate=0"),
                ("etag", "W/\"1\""),
                ("content-length", "5"),
            ];
            if f.validators.is_some() {
                return Ok(reply(304, &fields[..2], None, b""));
            }
            Ok(reply(200, &fields, None, b"hello"))
        })
    };
    let a = Rig::new(64 * MIB, Some(Arc::clone(&node.shared)), script());
    assert_eq!(a.get("/a.m4s").await.unwrap(), b"hello");
    a.settle("/a.m4s").await;
    assert!(node.shared.drain(Duration::from_secs(5)).await);
    let b = Rig::new(64 * MIB, Some(Arc::clone(&node.shared)), script());
    let tries = [b.get("/a.m4s").await, {
        b.settle("/a.m4s").await;
        b.get("/a.m4s").await
    }];
    assert!(
        tries.iter().all(|t| t.as_deref() == Ok(b"hello")),
        "{tries:?}"
    );
}

#[tokio::test]
async fn a_304_with_the_weak_form_of_the_tag_keeps_the_pin() {
    let rig = Rig::new(
        64 * MIB,
        None,
        Box::new(|f, _| {
            let body = vec![1_u8; usize::try_from(3 * BLOCK_BYTES).unwrap()];
            let strong = [
                ("etag", "\"1\""),
                ("cache-control", "max-age=0, stale-while-revalidate=0"),
            ];
            if f.validators.is_some() {
                return Ok(reply(304, &[("etag", "W/\"1\"")], None, b""));
            }
            if matches!(&f.pin, Some(Pin::Etag(t)) if t != "\"1\"") {
                return Err(Error::Changed);
            }
            let Some(Wanted::Span(first, last)) = f.range else {
                return Err(Error::Down);
            };
            let total = body.len() as u64;
            let last = last.min(total - 1);
            Ok(reply(
                206,
                &strong,
                Some(Span { first, last, total }),
                &body[usize::try_from(first).unwrap()..=usize::try_from(last).unwrap()],
            ))
        }),
    );
    // The first block only.
    drop(rig.engine.open(rig.ask("/a.mp4", false)).await);
    rig.settle("/a.mp4").await;
    let again = rig.get("/a.mp4").await.map(|b| b.len());
    assert_eq!(again, Ok(usize::try_from(3 * BLOCK_BYTES).unwrap()));
}

#[tokio::test]
async fn a_head_that_lies_about_the_length_is_noticed_by_the_first_block() {
    let rig = Rig::new(
        64 * MIB,
        None,
        Box::new(|f, _| {
            let body = [1u8; 1000];
            let fields = [("etag", "\"1\""), ("cache-control", "max-age=60")];
            let mut r = match f.range {
                _ if f.head_only => reply(200, &fields, None, b""),
                Some(Wanted::Span(first, last)) => {
                    let last = last.min(999);
                    reply(
                        206,
                        &fields,
                        Some(Span {
                            first,
                            last,
                            total: 1000,
                        }),
                        &body[usize::try_from(first).unwrap()..=usize::try_from(last).unwrap()],
                    )
                }
                _ => reply(200, &fields, None, &body),
            };
            r.headers
                .insert(CONTENT_LENGTH, if f.head_only { 600 } else { 1000 }.into());
            Ok(r)
        }),
    );
    drop(rig.engine.open(rig.ask("/a.mp4", true)).await);
    rig.settle("/a.mp4").await;
    let got = rig.get("/a.mp4").await.map(|b| b.len());
    assert_ne!(got, Ok(600), "a cut body looks complete");
}

#[tokio::test]
async fn a_head_without_bytes_whose_object_was_replaced_is_no_broken_hit() {
    let bench = Bench::new(64 * MIB, Scripted::new(8 * MIB));
    let ask = Ask {
        head_only: true,
        ..bench.ask("/a.mp4", None)
    };
    assert!(matches!(
        bench.engine.open(ask).await,
        Opened::Object { .. }
    ));
    bench.settle("/a.mp4").await;
    bench.origin.replace(vec![1; 8 * MIB], "\"v2\"");
    let (object, how) = bench.open("/a.mp4", None).await;
    assert_eq!(how.outcome, Outcome::Miss);
    assert_eq!(read(bench.reader(object)).await.unwrap(), vec![1; 8 * MIB]);
}

#[tokio::test]
async fn a_purge_while_the_first_bytes_come_is_not_answered_with_them() {
    let bench = Arc::new(Bench::new(64 * MIB, Scripted::new(8 * MIB)));
    let ask = Ask {
        head_only: true,
        ..bench.ask("/a.mp4", None)
    };
    assert!(matches!(
        bench.engine.open(ask).await,
        Opened::Object { .. }
    ));
    bench.settle("/a.mp4").await;
    let permits = bench.origin.gate.forget_permits(Semaphore::MAX_PERMITS);
    let opened = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.open("/a.mp4", None).await.0.head().generation }
    });
    while bench.origin.fetch_count() == 1 {
        tokio::task::yield_now().await;
    }
    let key = Key::new("s", "/a.mp4", None);
    let held = bench.engine.memory().look(&key).unwrap().head().generation;
    let scope = crate::purge::order::Scope::Url(key);
    bench.engine.purges().purge(&[scope.hard()]).await.unwrap();
    bench.origin.gate.add_permits(permits);
    assert_ne!(opened.await.unwrap(), held);
}
