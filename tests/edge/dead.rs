//! Origins that are gone, and origins that everybody wants at once.

use std::time::Duration;

use crate::harness::client::{Answer, Protocol};
use crate::harness::edge::Edge;
use crate::harness::load::{self, Catalogue};
use crate::harness::web::Plan;
use crate::harness::{bytes, edge, eventually, ports, turn, web};

/// What the issue promises for a cold key once the breaker is open.
const QUICK: Duration = Duration::from_millis(50);

/// Deadline of a connection to the origin in these tests.
const CONNECT: Duration = Duration::from_secs(1);

/// An address that takes no connection: refused at once.
struct Refusing(u16);

/// An address where nothing ever answers a connection: a listener whose queue is full.
struct Silent {
    address: std::net::SocketAddr,
    _listener: std::net::TcpListener,
    _queue: Vec<std::net::TcpStream>,
}

impl edge::Source for Refusing {
    fn describe(&self, site: &mut toml::Table) {
        let url = format!("http://127.0.0.1:{}", self.0);
        site.insert("origin".to_owned(), url.into());
    }
}

impl edge::Source for Silent {
    fn describe(&self, site: &mut toml::Table) {
        let url = format!("http://{}", self.address);
        site.insert("origin".to_owned(), url.into());
    }
}

impl Silent {
    /// Fills the queue of a listener that never accepts, so that the kernel drops what comes.
    fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let listener: std::net::TcpListener = socket.into();
        let address = listener.local_addr().unwrap();
        let connect = || std::net::TcpStream::connect_timeout(&address, CONNECT / 5).ok();
        let queue = std::iter::from_fn(connect).take(64).collect();
        Self {
            address,
            _listener: listener,
            _queue: queue,
        }
    }
}

async fn cold(edge: &Edge, number: usize) -> Answer {
    let answer = edge.get(&format!("/cold/{number}.m4s")).await;
    assert!(
        (502..=504).contains(&answer.status),
        "no copy and no origin: {}",
        answer.status
    );
    answer
}

/// Asks until the breaker is open, which takes a few failures, then measures.
async fn fails_quickly(edge: &Edge, before: Duration) {
    for number in 0..6 {
        let took = cold(edge, number).await.total;
        assert!(took < before, "before the breaker: {took:?}");
    }
    let mut quick: Vec<Duration> = Vec::new();
    for number in 100..120 {
        quick.push(cold(edge, number).await.total);
    }
    is_quick(quick);
}

/// Most are: the breaker lets one through now and then to see whether the origin is back.
#[track_caller]
fn is_quick(mut took: Vec<Duration>) {
    took.sort_unstable();
    let typical = took[took.len() * 3 / 4];
    assert!(typical < QUICK, "{took:?}");
}

#[tokio::test]
async fn a_cold_key_fails_at_once_when_the_origin_refuses_connections() {
    let alone = turn::alone().await;
    let builder = edge::new().origin(&Refusing(ports::free())).within(&alone);
    let edge = builder.impatient().run().await;
    fails_quickly(&edge, CONNECT).await;
}

#[tokio::test]
async fn a_cold_key_fails_within_the_deadline_and_then_at_once_when_the_origin_is_mute() {
    let alone = turn::alone().await;
    let silent = Silent::new();
    let builder = edge::new().origin(&silent).within(&alone);
    let builder = builder.impatient().set("site.deadlines.tries", 1);
    let edge = builder.run().await;
    let mute = cold(&edge, 1000).await.total;
    assert!(mute > CONNECT / 2, "nothing was refused: {mute:?}");
    fails_quickly(&edge, CONNECT + Duration::from_millis(500)).await;
}

#[tokio::test]
async fn what_is_cached_stays_quick_when_the_origin_dies() {
    let alone = turn::alone().await;
    let origin = web::start().await;
    let lasting = [("cache-control", "max-age=1, stale-if-error=600")];
    origin.put_with("/seg.m4s", bytes(800, 1000), &lasting);
    let builder = edge::new().origin(&origin).within(&alone).impatient();
    let edge = builder.run().await;
    edge.get("/seg.m4s").await.whole(200);
    edge.settled().await;
    drop(origin);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut quick: Vec<Duration> = Vec::new();
    for asked in 0..20 {
        let stale = edge.get("/seg.m4s").await.whole(200);
        assert_eq!(stale.body, bytes(800, 1000));
        assert!(stale.total < CONNECT, "{asked}: {:?}", stale.total);
        quick.push(stale.total);
    }
    is_quick(quick);
}

/// Hot objects of the site that is purged, and what its origin takes at once.
const HOT: usize = 500;
const AT_ONCE: usize = 8;

/// A hundred and sixty a second are what that allows.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_purge_of_a_whole_site_herds_nobody_to_the_origin() {
    let alone = turn::alone().await;
    let origin = web::start().await;
    let objects = (0..HOT).map(|i| (format!("/hot/{i}.m4s"), bytes(801 + i as u64, 2000)));
    let catalogue: Vec<_> = objects.collect();
    for (path, body) in &catalogue {
        origin.put_with(path, body.clone(), &[("cache-control", "max-age=600")]);
    }
    let builder = edge::new().origin(&origin).within(&alone);
    let edge = builder
        .set("site.name", "hot")
        .set("site.origin_requests", AT_ONCE as i64)
        .run()
        .await;
    let client = edge.over(Protocol::Http1);
    let mut warm = client.connect().await.unwrap();
    for (path, _) in &catalogue {
        warm.get(path).await.unwrap().whole(200);
    }
    for (path, _) in &catalogue {
        // Long enough for more than one to be under way.
        origin.always(path, Plan::Delay(Duration::from_millis(50)));
    }
    origin.calm();
    let catalogue: Catalogue = catalogue.into_iter().collect();
    let load = load::start(&client, &catalogue, (100, Duration::from_millis(50)));
    let command = serde_json::json!({ "site": "hot" });
    let purged = edge.purge_by(&command).await;
    assert_eq!(purged.status, 200, "{}", purged.text());
    let again = || {
        let asked = (0..HOT).map(|i| origin.requests(&format!("/hot/{i}.m4s")));
        asked.filter(|n| *n > 1).count()
    };
    eventually("most are asked for anew", SOON, || async {
        again() > HOT / 2
    })
    .await;
    // Ends in a panic where a request failed: they wait, and are answered.
    let samples = load.end().await;
    assert!(samples.len() > HOT / 2, "{}", samples.len());
    let busiest = origin.busiest();
    assert!(busiest <= AT_ONCE, "{busiest} at once, not {AT_ONCE}");
    assert!(busiest > 1, "some went side by side");
    let asked = (0..HOT).map(|i| origin.requests(&format!("/hot/{i}.m4s")));
    let asked: Vec<usize> = asked.collect();
    assert!(
        asked.iter().all(|n| *n <= 2),
        "none is asked twice for one purge"
    );
}
