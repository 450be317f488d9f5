//! An origin that is dead, ill or busy, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::config::{Site, Store};
use crate::origin::endpoints::{FAILURES_MAX, PAUSE_MIN};
use crate::origin::scripted::{Scripted, Step, get, read_all, say, site, whole};
use crate::origin::{Error, Origin, build};

const CONNECT: Duration = Duration::from_millis(300);
/// What a loaded machine may add to a deadline.
const SLACK: Duration = Duration::from_millis(250);

/// A site whose origin is not checked, so that requests alone find out.
fn unchecked(urls: &[&str]) -> Site {
    let mut site = site(Store::Web { host: None }, urls);
    site.origin.health_path = None;
    site.deadlines.connect = CONNECT;
    site
}

fn client(site: &Site) -> Arc<dyn Origin> {
    build::build(site).unwrap()
}

/// Swallows connections: its queue is full and nobody takes from it.
struct Hole {
    url: String,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

async fn hole() -> Hole {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    let wait = Duration::from_millis(100);
    while let Ok(taken) = timeout(wait, TcpStream::connect(address)).await {
        queued.push(taken.unwrap());
        assert!(queued.len() < 64, "the queue has no end");
    }
    Hole {
        url: format!("http://{address}"),
        _listener: listener,
        _queued: queued,
    }
}

/// How long the quickest of five fetches takes that find the breaker open.
async fn quickest_refusal(client: &Arc<dyn Origin>) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let error = client.fetch(&get("/cold")).await.err();
        assert_eq!(error, Some(Error::Down));
        best = best.min(began.elapsed());
    }
    best
}

#[tokio::test]
async fn an_origin_that_swallows_connections_costs_one_connect_deadline_and_then_nothing() {
    for count in [1, 2] {
        let mut holes = Vec::new();
        for _ in 0..count {
            holes.push(hole().await);
        }
        let urls: Vec<_> = holes.iter().map(|hole| hole.url.as_str()).collect();
        let client = client(&unchecked(&urls));
        for _ in 0..FAILURES_MAX {
            let began = Instant::now();
            let error = client.fetch(&get("/cold")).await.err().unwrap();
            let took = began.elapsed();
            assert!(matches!(error, Error::Connect { .. }), "{error}");
            assert!(took < CONNECT + SLACK, "{count} endpoints: {took:?}");
        }
        let best = quickest_refusal(&client).await;
        assert!(best < Duration::from_millis(50), "{best:?}");
    }
}

#[tokio::test]
async fn the_other_endpoint_is_reached_though_the_first_swallows_connections() {
    let hole = hole().await;
    let origin = Scripted::start((0..4).map(|_| whole("hello")).collect()).await;
    let client = client(&unchecked(&[&hole.url, &origin.url]));
    for _ in 0..4 {
        let mut reply = client.fetch(&get("/a")).await.unwrap();
        assert_eq!(read_all(&mut reply.body).await.unwrap(), b"hello");
    }
}

#[tokio::test]
async fn an_open_breaker_lets_one_request_through_a_pause_and_closes_on_success() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}");
    let mut site = unchecked(&[&url]);
    site.deadlines.tries = 1;
    let client = client(&site);
    for _ in 0..FAILURES_MAX {
        let error = client.fetch(&get("/a")).await.err();
        assert!(matches!(error, Some(Error::Connect { .. })), "{error:?}");
    }
    assert!(quickest_refusal(&client).await < Duration::from_millis(50));
    sleep(PAUSE_MIN).await;
    let cold = get("/a");
    let errors = join_all((0..10).map(|_| client.fetch(&cold))).await;
    let tried = errors
        .iter()
        .filter(|error| matches!(error, Err(Error::Connect { .. })));
    assert_eq!(tried.count(), 1);
    let _revived = Scripted::start_at(address, vec![whole("one"), whole("two")]).await;
    assert_eq!(client.fetch(&cold).await.err(), Some(Error::Down));
    sleep(PAUSE_MIN * 2).await;
    for expected in ["one", "two"] {
        let mut reply = client.fetch(&cold).await.unwrap();
        assert_eq!(
            read_all(&mut reply.body).await.unwrap(),
            expected.as_bytes()
        );
    }
}

#[tokio::test]
async fn answers_of_5xx_open_nothing() {
    let ill = || vec![say("HTTP/1.1 503 No\nContent-Length: 2\n\nno")];
    let count = FAILURES_MAX * 4;
    let origin = Scripted::start((0..count).map(|_| ill()).collect()).await;
    let mut site = unchecked(&[&origin.url]);
    site.deadlines.tries = 1;
    let client = client(&site);
    for _ in 0..count {
        let mut reply = client.fetch(&get("/a")).await.unwrap();
        assert_eq!(reply.status, 503);
        assert_eq!(read_all(&mut reply.body).await.unwrap(), b"no");
    }
    assert!(client.health()[0].up);
    assert_eq!(origin.left(), 0);
}

#[tokio::test]
async fn a_request_waits_until_the_body_before_it_has_ended() {
    let origin = Scripted::start(vec![whole("one"), whole("two"), whole("three")]).await;
    let mut site = unchecked(&[&origin.url]);
    site.origin_requests_max = 1;
    site.deadlines.first_byte = Duration::from_millis(100);
    let client = client(&site);
    let mut first = client.fetch(&get("/a")).await.unwrap();
    let cold = get("/b");
    assert_eq!(client.fetch(&cold).await.err(), Some(Error::Busy));
    assert_eq!(origin.heads().len(), 1);
    let mut second = client.fetch(&cold);
    assert!(futures_util::poll!(&mut second).is_pending());
    assert_eq!(read_all(&mut first.body).await.unwrap(), b"one");
    let second = second.await.unwrap();
    drop(second);
    let mut third = client.fetch(&cold).await.unwrap();
    assert_eq!(read_all(&mut third.body).await.unwrap(), b"three");
}

#[tokio::test]
async fn an_answer_without_body_keeps_no_place_however_long_it_is_held() {
    let empty = |head: &str| vec![say(&format!("HTTP/1.1 {head}\n\n"))];
    let scripts = vec![
        empty("204 No"),
        empty("200 OK\nContent-Length: 0"),
        empty("404 No\nContent-Length: 0"),
    ];
    let origin = Scripted::start(scripts).await;
    let mut site = unchecked(&[&origin.url]);
    site.origin_requests_max = 1;
    site.deadlines.first_byte = Duration::from_millis(200);
    let client = client(&site);
    let mut held = Vec::new();
    for status in [204, 200, 404] {
        held.push(client.fetch(&get("/a")).await.unwrap());
        assert_eq!(held.last().unwrap().status, status);
    }
}

#[tokio::test]
async fn a_full_gate_does_not_delay_the_news_that_the_origin_is_down() {
    let slow = vec![
        say("HTTP/1.1 200 OK\nContent-Length: 9\n\none"),
        Step::Wait(Duration::from_secs(60)),
    ];
    let origin = Scripted::start_brief(vec![slow]).await;
    let mut site = unchecked(&[&origin.url]);
    site.origin_requests_max = 2;
    site.deadlines.first_byte = Duration::from_secs(20);
    let client = client(&site);
    let _first = client.fetch(&get("/a")).await.unwrap();
    assert!(client.fetch(&get("/b")).await.is_err());
    let best = quickest_refusal(&client).await;
    assert!(best < Duration::from_millis(50), "{best:?}");
}
