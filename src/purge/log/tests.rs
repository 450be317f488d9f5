//! Nodes that purge through a real `redis-server`, which is stopped, emptied and killed.

use super::*;
use crate::config::CutOff;
use crate::http::tags::Tag;
use crate::key::Key;
use crate::redis::scratch::{self, Running, Server, eventually, run};

fn config(cut_off: CutOff) -> config::Purge {
    config::Purge {
        lease: Duration::from_millis(1500),
        cut_off,
        shields: Vec::new(),
        shield_token: None,
    }
}

fn info(node: &str) -> NodeInfo {
    NodeInfo {
        node: node.to_owned(),
        version: "1.0".to_owned(),
        addresses: vec!["127.0.0.1:1".to_owned()],
    }
}

fn key(path: &str) -> Key {
    Key::new("vod", path, None)
}

fn names(receipt: &Receipt) -> Vec<&str> {
    let confirmed = receipt.confirmed.iter();
    confirmed.map(|node| node.node.as_str()).collect()
}

/// A node that reads the log; its tasks end with it.
struct Node {
    purges: Arc<Purges>,
    task: tokio::task::JoinHandle<()>,
    _redis: Running,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Node {
    async fn start(server: &Server, name: &str) -> Self {
        Self::on(&server.config(), name).await
    }

    async fn on(config_of_redis: &config::Redis, name: &str) -> Self {
        let redis = run(config_of_redis).await;
        let redis_of_node = Some(Arc::clone(&redis.redis));
        let purges = Purges::new(redis_of_node, &config(CutOff::Revalidate), info(name));
        let running = Arc::clone(&purges);
        let task = tokio::spawn(async move { running.run().await });
        eventually("log read", || async {
            purges.read_at.load(Ordering::Relaxed) > 0
        })
        .await;
        Self {
            purges,
            task,
            _redis: redis,
        }
    }

    fn verdict(&self, path: &str, stamp: Stamp) -> Verdict {
        self.purges.verdict(Subject::untagged(&key(path), &stamp))
    }
}

/// Two nodes that have heard of each other.
async fn pair(server: &Server) -> (Node, Node) {
    let (a, b) = (
        Node::start(server, "a").await,
        Node::start(server, "b").await,
    );
    eventually("both listed", || async {
        let nodes = a.purges.nodes().await;
        nodes.iter().filter(|state| state.age_ms.is_some()).count() == 2
    })
    .await;
    (a, b)
}

#[tokio::test]
async fn a_purge_is_confirmed_by_the_other_node_within_a_second() {
    let server = Server::start();
    let (a, b) = pair(&server).await;
    let old = b.purges.stamp();
    assert_eq!(old.incarnation, a.purges.stamp().incarnation);
    let version = b.purges.version();
    let started = Instant::now();
    let receipt = a
        .purges
        .purge(&[Scope::Url(key("/a")).hard()])
        .await
        .unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(
        (names(&receipt), receipt.unconfirmed.len()),
        (vec!["a", "b"], 0)
    );
    let is_there = |node: &Confirmed| node.position >= receipt.position;
    assert!(receipt.confirmed.iter().all(is_there), "{receipt:?}");
    assert!(!receipt.local_only && receipt.replicas == 0);
    assert!(b.purges.version() > version);
    assert_eq!(b.verdict("/a", old), Verdict::Purged);
    assert_eq!(b.verdict("/b", old), Verdict::Valid);
    assert_eq!(b.verdict("/a", b.purges.stamp()), Verdict::Valid);
}

#[tokio::test]
async fn the_other_node_purges_each_scope_in_each_mode() {
    let server = Server::start();
    let (a, b) = pair(&server).await;
    let vod = || "vod".to_owned();
    let scopes = [
        Scope::Url(key("/x/a")),
        Scope::Prefix {
            site: vod(),
            path: "/x/".to_owned(),
        },
        Scope::Tag {
            site: vod(),
            name: "show 7".to_owned(),
        },
        Scope::Site(vod()),
    ];
    let (named, tags) = (key("/x/a"), [Tag::of("vod", b"show 7")]);
    let other = Key::new("live", "/x/a", None);
    for scope in scopes {
        for (order, expected) in [
            (scope.clone().soft(), Verdict::Softened),
            (scope.clone().hard(), Verdict::Purged),
        ] {
            let stamp = b.purges.stamp();
            let receipt = a.purges.purge(std::slice::from_ref(&order)).await.unwrap();
            assert_eq!(names(&receipt), ["a", "b"], "{order}");
            let judge = |key, tags| {
                let stamp = &stamp;
                b.purges.verdict(Subject { key, tags, stamp })
            };
            assert_eq!(judge(&named, &tags), expected, "{order}");
            assert_eq!(judge(&other, &[]), Verdict::Valid, "{order}");
        }
    }
}

#[tokio::test]
async fn several_orders_share_a_receipt_and_reach_the_other_node() {
    let server = Server::start();
    let (a, b) = pair(&server).await;
    let stamp = b.purges.stamp();
    let orders = ["/a", "/b", "/c"].map(|path| Scope::Url(key(path)).hard());
    let receipt = a.purges.purge(&orders).await.unwrap();
    assert_eq!(names(&receipt), ["a", "b"]);
    for path in ["/a", "/b", "/c"] {
        assert_eq!(b.verdict(path, stamp), Verdict::Purged, "{path}");
        assert_eq!(a.verdict(path, stamp), Verdict::Purged, "{path}");
    }
    assert_eq!(b.verdict("/d", stamp), Verdict::Valid);
}

#[tokio::test]
async fn changed_groups_are_told_to_the_other_node() {
    let server = Server::start();
    let (a, b) = pair(&server).await;
    let (stamp, key) = (b.purges.stamp(), key("/a"));
    let group = |name: &str| Scope::Tag {
        site: "vod".to_owned(),
        name: name.to_owned(),
    };
    a.purges.invalidate(vec![group("one"), group("two")]).await;
    for (name, expected) in [
        ("one", Verdict::Purged),
        ("two", Verdict::Purged),
        ("three", Verdict::Valid),
    ] {
        let tags = [Tag::of("vod", name.as_bytes())];
        let subject = Subject {
            key: &key,
            tags: &tags,
            stamp: &stamp,
        };
        assert_eq!(
            a.purges.verdict(subject) == Verdict::Purged,
            name != "three"
        );
        eventually("told", || async { b.purges.verdict(subject) == expected }).await;
    }
}

#[tokio::test]
async fn a_node_that_starts_later_reads_the_whole_log() {
    let server = Server::start();
    let a = Node::start(&server, "a").await;
    let old = a.purges.stamp();
    for n in 0..limits::PURGE_PAGE + 20 {
        let purges = a.purges.shared.as_ref().unwrap();
        purges
            .0
            .append(&[Scope::Url(key(&format!("/{n}"))).hard()])
            .await
            .unwrap();
    }
    let b = Node::start(&server, "b").await;
    for path in ["/0", "/519"] {
        assert_eq!(b.verdict(path, old), Verdict::Purged, "{path}");
    }
    assert_eq!(b.verdict("/x", old), Verdict::Valid);
}

#[tokio::test]
async fn a_node_that_has_not_read_the_log_suspects_what_others_stamped() {
    let server = Server::start();
    let a = Node::start(&server, "a").await;
    let redis = run(&server.config()).await;
    let b = Purges::new(
        Some(Arc::clone(&redis.redis)),
        &config(CutOff::Serve),
        info("b"),
    );
    assert_eq!(
        b.verdict(Subject::untagged(&key("/a"), &a.purges.stamp())),
        Verdict::Suspect
    );
    assert_eq!(
        a.verdict("/a", b.stamp()),
        Verdict::Suspect,
        "and they what it stamped"
    );
    let own = b.stamp();
    assert_eq!(
        b.verdict(Subject::untagged(&key("/a"), &own)),
        Verdict::Valid
    );
}

#[tokio::test]
async fn a_damaged_incarnation_makes_everything_suspect_and_the_log_goes_on() {
    let server = Server::start();
    let (a, b) = pair(&server).await;
    let old = a.purges.stamp();
    let name = keys::incarnation(&server.config().prefix);
    redis::cmd("SETRANGE")
        .arg(&name)
        .arg(40)
        .arg("damage")
        .exec_async(&mut server.client().await)
        .await
        .unwrap();
    for node in [&a, &b] {
        eventually("suspect", || async {
            node.verdict("/a", old) == Verdict::Suspect
        })
        .await;
    }
    eventually("one log again", || async {
        a.purges.stamp().incarnation == b.purges.stamp().incarnation
    })
    .await;
    let stamp = b.purges.stamp();
    a.purges
        .purge(&[Scope::Url(key("/a")).hard()])
        .await
        .unwrap();
    eventually("purged", || async {
        b.verdict("/a", stamp) == Verdict::Purged
    })
    .await;
}

#[tokio::test]
async fn an_emptied_redis_makes_everything_suspect() {
    let server = Server::start();
    let (a, b) = pair(&server).await;
    a.purges
        .purge(&[Scope::Url(key("/a")).hard()])
        .await
        .unwrap();
    let old = a.purges.stamp();
    redis::cmd("FLUSHALL")
        .exec_async(&mut server.client().await)
        .await
        .unwrap();
    for node in [&a, &b] {
        eventually("suspect", || async {
            node.verdict("/b", old) == Verdict::Suspect
        })
        .await;
    }
    eventually("one log again", || async {
        a.purges.stamp().incarnation == b.purges.stamp().incarnation
    })
    .await;
}

#[tokio::test]
async fn a_log_that_lost_its_end_becomes_a_new_log() {
    let server = Server::start();
    let a = Node::start(&server, "a").await;
    a.purges
        .purge(&[Scope::Url(key("/a")).hard()])
        .await
        .unwrap();
    let old = a.purges.stamp();
    eventually("read", || async {
        a.purges.nodes().await[0].position == old.position
    })
    .await;
    let mut client = server.client().await;
    redis::cmd("DEL")
        .arg("weir:{purge}:log")
        .exec_async(&mut client)
        .await
        .unwrap();
    eventually("suspect", || async {
        a.verdict("/b", old) == Verdict::Suspect
    })
    .await;
    assert_ne!(a.purges.stamp().incarnation, old.incarnation);
}

#[tokio::test]
async fn a_purge_that_only_a_newer_release_understands_makes_older_responses_suspect() {
    let server = Server::start();
    let a = Node::start(&server, "a").await;
    let old = a.purges.stamp();
    let mut add = redis::cmd("XADD");
    add.arg("weir:{purge}:log")
        .arg("*")
        .arg("kind")
        .arg("moon")
        .arg("name")
        .arg("x");
    add.exec_async(&mut server.client().await).await.unwrap();
    eventually("suspect", || async {
        a.verdict("/b", old) == Verdict::Suspect
    })
    .await;
    assert_eq!(a.verdict("/b", a.purges.stamp()), Verdict::Valid);
}

#[tokio::test]
async fn a_node_that_does_not_read_is_named_unconfirmed_and_cut_off_after_its_lease() {
    let server = Server::start();
    let (a, b) = pair(&server).await;
    b.task.abort();
    let started = Instant::now();
    let receipt = a
        .purges
        .purge(&[Scope::Site("vod".to_owned()).hard()])
        .await
        .unwrap();
    assert_eq!(receipt.unconfirmed, ["b"]);
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    eventually("cut off", || async {
        b.purges.is_cut_off() && b.purges.must_revalidate()
    })
    .await;
    assert!(!a.purges.is_cut_off());
    b.purges.leave().await;
    let receipt = a
        .purges
        .purge(&[Scope::Site("vod".to_owned()).hard()])
        .await
        .unwrap();
    assert_eq!(receipt.unconfirmed, Vec::<String>::new());
}

#[tokio::test]
async fn a_purge_without_a_reachable_log_fails_soon_and_purges_this_node() {
    let server = Server::start();
    let a = Node::start(&server, "a").await;
    let old = a.purges.stamp();
    server.signal("-STOP");
    let started = Instant::now();
    let error = a
        .purges
        .purge(&[Scope::Url(key("/a")).hard()])
        .await
        .unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(1500), "{error}");
    let PurgeError::Unreachable { receipt, .. } = &error;
    assert!(error.to_string().contains("redis"), "{error}");
    assert!(receipt.local_only);
    assert_eq!(names(receipt), ["a"]);
    assert_eq!(receipt.unconfirmed, ["*"]);
    assert_eq!(a.verdict("/a", old), Verdict::Purged);
    assert_eq!(
        a.verdict("/a", a.purges.stamp()),
        Verdict::Valid,
        "fetched since"
    );
    server.signal("-CONT");
    eventually("purges again", || async {
        a.purges
            .purge(&[Scope::Url(key("/a")).hard()])
            .await
            .is_ok()
    })
    .await;
}

#[tokio::test]
async fn the_log_of_a_full_redis_is_read() {
    let server = Server::start();
    let a = Node::start(&server, "a").await;
    a.purges
        .purge(&[Scope::Url(key("/a")).hard()])
        .await
        .unwrap();
    let mut full = redis::cmd("CONFIG");
    full.arg("SET").arg("maxmemory").arg(1);
    full.exec_async(&mut server.client().await).await.unwrap();
    assert!(
        a.purges
            .purge(&[Scope::Url(key("/b")).hard()])
            .await
            .is_err()
    );
    let read = a.purges.read_at.load(Ordering::Relaxed);
    eventually("read since", || async {
        a.purges.read_at.load(Ordering::Relaxed) > read
    })
    .await;
}

#[tokio::test]
async fn in_a_cluster_a_purge_is_confirmed_by_nodes_and_by_the_replica() {
    let servers = scratch::cluster().await;
    let urls = servers.iter().map(Server::url).collect();
    let mut redis = scratch::config(config::Topology::Cluster(urls));
    redis.connect_timeout = Duration::from_secs(2);
    let (a, b) = (Node::on(&redis, "a").await, Node::on(&redis, "b").await);
    eventually("both listed", || async {
        a.purges.nodes().await.len() == 2
    })
    .await;
    let old = b.purges.stamp();
    let receipt = a
        .purges
        .purge(&[Scope::Url(key("/a")).hard()])
        .await
        .unwrap();
    assert_eq!(names(&receipt), ["a", "b"]);
    assert_eq!(b.verdict("/a", old), Verdict::Purged);
    // A purge waits a moment only for the replica, which on a busy machine may take longer.
    eventually("the replica has a purge", || async {
        let receipt = a.purges.purge(&[Scope::Url(key("/b")).hard()]).await;
        receipt.is_ok_and(|receipt| receipt.replicas == 1)
    })
    .await;
}

#[tokio::test]
async fn without_redis_a_purge_reaches_this_node_and_says_so() {
    let purges = Purges::new(None, &config(CutOff::Revalidate), info("a"));
    let old = purges.stamp();
    assert_eq!(old, Stamp::default());
    let receipt = purges.purge(&[Scope::Url(key("/a")).hard()]).await.unwrap();
    assert!(receipt.local_only);
    assert_eq!(names(&receipt), ["a"]);
    assert_eq!(
        purges.verdict(Subject::untagged(&key("/a"), &old)),
        Verdict::Purged
    );
    assert!(!purges.is_cut_off());
    assert_eq!(purges.nodes().await.len(), 1);
    let json = serde_json::to_value(&receipt).unwrap();
    assert_eq!(json["position"], "0-1");
    let confirmed = serde_json::json!([{"node": "a", "position": "0-1"}]);
    assert_eq!(json["confirmed"], confirmed);
    let nothing = purges.purge(&[]).await.unwrap();
    assert_eq!(nothing.position, receipt.position);
}

#[test]
fn a_trimmed_log_makes_suspect_what_is_older_than_its_first_entry() {
    let purges = Purges::new(None, &config(CutOff::Serve), info("a"));
    let at = |millis| Position {
        millis,
        sequence: 0,
    };
    let mut cursor = Cursor::default();
    let page = Page {
        incarnation: 7,
        first: at(50),
        last: at(60),
        length: limits::PURGE_LOG_MAX,
        entries: vec![(at(50), Some(Scope::Url(key("/a")).hard())), (at(60), None)],
    };
    assert_eq!(
        purges.digest(&mut cursor, &page),
        Step::Again,
        "a log new to it"
    );
    let whole = Page {
        entries: page.entries[..1].to_vec(),
        ..page
    };
    assert_eq!(purges.digest(&mut cursor, &whole), Step::End);
    let verdict = |millis| {
        let stamp = Stamp {
            incarnation: 7,
            position: at(millis),
        };
        purges.verdict(Subject::untagged(&key("/b"), &stamp))
    };
    assert_eq!(
        (verdict(49), verdict(50)),
        (Verdict::Suspect, Verdict::Valid)
    );
    let short = Page {
        last: at(40),
        entries: Vec::new(),
        ..whole
    };
    assert_eq!(purges.digest(&mut cursor, &short), Step::Lost);
}
