//! Purges of two nodes with one Redis: what they reach, what they leave, and what is said of them.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::edge::Edge;
use crate::harness::process::{self, Output};
use crate::harness::redis::Redis;
use crate::harness::web::{Plan, Web};
use crate::harness::{assert_same, bytes, edge, eventually, redis, web};

const SITE: &str = "films";

/// A node confirms within a second; the rest is for a busy machine.
const ANSWERED: Duration = Duration::from_secs(3);

const SOON: Duration = Duration::from_secs(5);

struct Pop {
    origin: Web,
    redis: Redis,
    nodes: [Edge; 2],
}

async fn pop() -> Pop {
    let origin = web::start().await;
    let redis = redis::start().await;
    let node = |name: &str| {
        let builder = edge::new().origin(&origin).redis(&redis).node(name);
        builder.set("site.name", SITE).memory("128MiB").run()
    };
    let nodes = [node("a").await, node("b").await];
    let pop = Pop {
        origin,
        redis,
        nodes,
    };
    pop.acquainted().await;
    pop
}

impl Pop {
    /// Waits until each node knows of the other.
    async fn acquainted(&self) {
        for node in &self.nodes {
            eventually("both nodes are known", SOON, || async {
                let known = node.admin("/v1/nodes").send().await.text();
                known.contains("\"a\"") && known.contains("\"b\"")
            })
            .await;
        }
    }

    fn put(&self, path: &str, version: u64, fields: &[(&str, &str)]) {
        let etag = format!("\"v{version}\"");
        let own = [("cache-control", "max-age=600"), ("etag", &etag)];
        let fields = [&own, fields].concat();
        self.origin.put_with(path, body(path, version), &fields);
    }

    /// What each node answers, and that it is of this version.
    async fn is_version(&self, path: &str, version: u64) {
        for node in &self.nodes {
            let answer = node.get(path).await.whole(200);
            assert_eq!(answer.header("etag"), format!("\"v{version}\""), "{path}");
            assert_same(&answer.body, &body(path, version));
            node.settled().await;
        }
    }
}

fn body(path: &str, version: u64) -> Bytes {
    bytes(version * 1000 + path.len() as u64, 5000)
}

fn answer(purged: &crate::harness::client::Answer) -> Value {
    serde_json::from_slice(&purged.body).expect("a purge is answered in JSON")
}

fn url(path: &str) -> String {
    format!("http://{}{path}", edge::HOST)
}

const TAGGED: [(&str, (&str, &str)); 4] = [
    ("/a/1.m4s", ("cache-tag", "red, show:7")),
    ("/a/22.m4s", ("surrogate-key", "green red")),
    ("/b/333.m4s", ("cache-tag", "green")),
    ("/b/4444.m4s", ("cache-tag", "redder")),
];

/// Commands, and which of the four objects they concern.
fn commands() -> [(Value, [bool; 4]); 8] {
    [
        (json!({"url": url("/a/1.m4s")}), [true, false, false, false]),
        (json!({"prefix": url("/a/")}), [true, true, false, false]),
        (json!({"prefix": url("/b/3")}), [false, false, true, false]),
        (
            json!({"tag": "red", "site": SITE}),
            [true, true, false, false],
        ),
        (
            json!({"tag": "show:7", "site": SITE}),
            [true, false, false, false],
        ),
        (
            json!({"tags": ["show:7", "green"], "site": SITE}),
            [true, true, true, false],
        ),
        (
            json!({"tag": "blue", "site": SITE}),
            [false, false, false, false],
        ),
        (json!({"site": SITE}), [true, true, true, true]),
    ]
}

#[tokio::test]
async fn a_purge_reaches_what_it_names_on_every_node_and_nothing_else() {
    let pop = pop().await;
    let mut versions = [1; 4];
    for (at, (path, field)) in TAGGED.into_iter().enumerate() {
        pop.put(path, versions[at], &[field]);
        pop.is_version(path, versions[at]).await;
    }
    for (round, (command, concerned)) in commands().into_iter().enumerate() {
        for (path, field) in TAGGED {
            pop.put(path, round as u64 + 2, &[field]);
        }
        let purged = pop.nodes[round % 2].purge_by(&command).await;
        assert_eq!(purged.status, 200, "{command}: {}", purged.text());
        for (at, (path, _)) in TAGGED.into_iter().enumerate() {
            if concerned[at] {
                versions[at] = round as u64 + 2;
            }
            for node in &pop.nodes {
                let etag = node.get(path).await.whole(200).header("etag").to_owned();
                let expected = format!("\"v{}\"", versions[at]);
                assert_eq!(etag, expected, "{path} after {command}");
                node.settled().await;
            }
        }
    }
}

/// Bytes of a block: four chunks of 256 KiB - 64 B.
const BLOCK: usize = 4 * (256 * 1024 - 64);

#[tokio::test]
async fn a_purge_reaches_every_block_of_a_big_file() {
    let pop = pop().await;
    let versions: [Bytes; 2] = [1_u8, 2].map(|byte| vec![byte; 70 * BLOCK].into());
    let put = |version: usize| {
        let etag = format!("\"v{version}\"");
        let fields = [("cache-control", "max-age=600"), ("etag", &etag)];
        let body = versions[version].clone();
        pop.origin.put_with("/film.mp4", body, &fields);
    };
    let read = async |node: &Edge, block: usize| {
        let range = format!("bytes={}-{}", block * BLOCK, block * BLOCK + 99);
        let part = node.request("GET", "/film.mp4").header("range", &range);
        let part = part.send().await.whole(206);
        node.settled().await;
        part.body
    };
    put(0);
    let blocks = [0, 7, 40, 69];
    for node in &pop.nodes {
        for block in blocks {
            assert_same(&read(node, block).await, &[1; 100]);
        }
    }
    put(1);
    let purged = pop.nodes[0].purge("/film.mp4").await;
    assert_eq!(purged.status, 200, "{}", purged.text());
    for node in &pop.nodes {
        for block in blocks {
            assert_same(&read(node, block).await, &[2; 100]);
        }
    }
}

#[tokio::test]
async fn what_is_purged_hard_is_fetched_and_never_confirmed_back_to_life() {
    let pop = pop().await;
    pop.put("/seg.m4s", 1, &[]);
    pop.is_version("/seg.m4s", 1).await;
    pop.nodes[0].purge("/seg.m4s").await.whole(200);
    pop.is_version("/seg.m4s", 1).await;
    let seen = pop.origin.seen("/seg.m4s");
    assert!(seen.len() >= 2, "asked anew");
    let conditional = seen.iter().filter(|s| s.header("if-none-match").is_some());
    assert_eq!(conditional.count(), 0);
    let before = seen.len();

    pop.nodes[0].purge("/seg.m4s").await.whole(200);
    pop.origin.always("/seg.m4s", Plan::Status(503));
    for node in &pop.nodes {
        let answer = node.get("/seg.m4s").await;
        assert!(
            answer.status >= 500,
            "stale after a purge: {}",
            answer.status
        );
    }
    assert!(pop.origin.requests("/seg.m4s") > before);
}

#[tokio::test]
async fn what_is_purged_softly_is_served_while_it_is_confirmed() {
    let pop = pop().await;
    pop.put("/seg.m4s", 1, &[]);
    pop.is_version("/seg.m4s", 1).await;
    let soft = json!({"url": url("/seg.m4s"), "soft": true});
    let purged = pop.nodes[0].purge_by(&soft).await;
    assert_eq!(purged.status, 200, "{}", purged.text());
    pop.origin
        .always("/seg.m4s", Plan::Delay(Duration::from_secs(2)));
    for node in &pop.nodes {
        let stale = node.get("/seg.m4s").await.whole(200);
        assert!(stale.total < Duration::from_secs(1), "{:?}", stale.total);
        let said = stale.list("cache-status");
        assert!(
            said.contains("; hit; ttl=0;"),
            "stale, whatever its age: {said}"
        );
    }
    eventually("it is confirmed", SOON, || async {
        let said = pop.nodes[0].get("/seg.m4s").await.list("cache-status");
        said.contains("; hit") && !said.contains("ttl=0") && !said.contains("ttl=-")
    })
    .await;
    let conditional = |s: &web::Seen| s.header("if-none-match") == Some("\"v1\"");
    assert!(pop.origin.seen("/seg.m4s").iter().any(conditional));

    pop.put("/seg.m4s", 2, &[]);
    pop.nodes[1].purge_by(&soft).await.whole(200);
    for node in &pop.nodes {
        eventually("the new version is seen", SOON, || async {
            node.get("/seg.m4s").await.header("etag") == "\"v2\""
        })
        .await;
    }
}

#[tokio::test]
async fn the_receipt_names_every_node_with_its_place_in_the_log() {
    let pop = pop().await;
    let first = answer(&pop.nodes[0].purge("/seg.m4s").await.whole(200));
    let confirmed = first["confirmed"].as_array().expect("a list");
    let mut names: Vec<&str> = confirmed
        .iter()
        .filter_map(|n| n["node"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b"], "{first}");
    assert!(
        confirmed.iter().all(|n| n["position"].is_string()),
        "{first}"
    );
    assert_eq!(first["unconfirmed"], json!([]));
    assert_eq!(first["local_only"], false);
    let second = answer(&pop.nodes[1].purge("/seg.m4s").await.whole(200));
    assert_ne!(first["position"], second["position"]);
}

#[tokio::test]
async fn a_frozen_node_is_unconfirmed_and_follows_when_it_thaws() {
    let pop = pop().await;
    pop.put("/seg.m4s", 1, &[]);
    pop.is_version("/seg.m4s", 1).await;
    pop.put("/seg.m4s", 2, &[]);
    let [a, b] = &pop.nodes;
    b.stop();
    let purged = a.purge("/seg.m4s").await;
    b.cont();
    assert_eq!(purged.status, 202, "{}", purged.text());
    assert!(purged.total < ANSWERED, "{:?}", purged.total);
    let said = answer(&purged);
    assert_eq!(said["unconfirmed"], json!(["b"]), "{said}");
    assert_eq!(said["confirmed"][0]["node"], "a", "{said}");
    assert_eq!(a.get("/seg.m4s").await.header("etag"), "\"v2\"");
    eventually("b follows", SOON, || async {
        b.get("/seg.m4s").await.header("etag") == "\"v2\""
    })
    .await;
}

#[tokio::test]
async fn a_purge_without_a_working_redis_is_an_error_never_a_success() {
    let mut pop = pop().await;
    pop.put("/seg.m4s", 1, &[]);
    pop.is_version("/seg.m4s", 1).await;
    pop.redis.kill();
    let purged = pop.nodes[0].purge("/seg.m4s").await;
    assert_eq!(purged.status, 503, "{}", purged.text());
    assert!(answer(&purged)["error"].is_string(), "{}", purged.text());
    let failed = [("result", "failed")];
    assert!(pop.nodes[0].metric("weir_purges_total", &failed).await > 0.5);
    assert!(purged.total < ANSWERED, "{:?}", purged.total);
    // The one node that could be reached has purged all the same.
    pop.put("/seg.m4s", 2, &[]);
    let own = pop.nodes[0].get("/seg.m4s").await;
    assert_eq!(own.header("etag"), "\"v2\"");

    pop.redis.restart().await;
    pop.acquainted().await;
    eventually("a repeated purge succeeds", SOON * 2, || async {
        pop.nodes[0].purge("/seg.m4s").await.status == 200
    })
    .await;
    pop.is_version("/seg.m4s", 2).await;
}

async fn weir_purge(node: &Edge, words: &[&str]) -> Output {
    let mut command = Command::new(edge::program());
    command.args(["purge", "--config"]).arg(node.config());
    command.args(words);
    process::run(command, Duration::from_secs(15)).await
}

#[tokio::test]
async fn the_command_purges_and_its_exit_code_says_how_far() {
    let mut pop = pop().await;
    pop.put("/seg.m4s", 1, &[]);
    pop.is_version("/seg.m4s", 1).await;
    let film = url("/seg.m4s");
    for (version, words) in [
        (2, &["--url", film.as_str()][..]),
        (3, &["--prefix", &url("/se")]),
        (4, &["--site", SITE]),
    ] {
        pop.put("/seg.m4s", version, &[("cache-tag", "red")]);
        let said = weir_purge(&pop.nodes[0], words).await.succeeded();
        for node in ["a at ", "b at "] {
            assert!(said.contains(&format!("confirmed    {node}")), "{said}");
        }
        pop.is_version("/seg.m4s", version).await;
    }
    pop.put("/seg.m4s", 5, &[]);
    let tag = ["--tag", "red", "--site", SITE];
    weir_purge(&pop.nodes[1], &tag).await.succeeded();
    pop.is_version("/seg.m4s", 5).await;
    let soft = ["--url", &film, "--soft"];
    weir_purge(&pop.nodes[1], &soft).await.succeeded();

    let nothing = weir_purge(&pop.nodes[0], &[]).await;
    assert_eq!(nothing.status.code(), Some(64), "{nothing:?}");
    let wrong = weir_purge(&pop.nodes[0], &["--site", "no-such-site"]).await;
    assert_eq!(wrong.status.code(), Some(65), "{wrong:?}");

    pop.nodes[1].stop();
    let partly = weir_purge(&pop.nodes[0], &["--url", &film]).await;
    pop.nodes[1].cont();
    assert_eq!(partly.status.code(), Some(75), "{partly:?}");
    let said = partly.stderr.to_lowercase();
    assert!(said.contains("unconfirmed"), "{said}");
    pop.redis.kill();
    let failed = weir_purge(&pop.nodes[0], &["--url", &film]).await;
    assert_eq!(failed.status.code(), Some(75), "{failed:?}");
    pop.nodes[0].process().end().await;
    let gone = weir_purge(&pop.nodes[0], &["--url", &film]).await;
    assert_eq!(gone.status.code(), Some(75), "{gone:?}");
}
