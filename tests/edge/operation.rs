//! What an operator sees: metrics, readiness, draining, purges, explanations, config errors.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::client::{Client, Protocol};
use crate::harness::process::{self, Process};
use crate::harness::web::Plan;
use crate::harness::{assert_same, bytes, edge, eventually, files, ports, redis, web};

#[tokio::test]
async fn promtool_finds_nothing_to_complain_of() {
    let files = files::start();
    files.put("/seg.m4s", b"body");
    let edge = edge::new().origin(&files).run().await;
    edge.get("/seg.m4s").await.whole(200);
    let exposition = edge.metrics().await;
    let mut check = Command::new(process::find("promtool", "prometheus"));
    check.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = check
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(exposition.text().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr]
        .map(|o| String::from_utf8(o).unwrap())
        .concat();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn a_real_prometheus_scrapes_a_node() {
    let files = files::start();
    let edge = edge::new().origin(&files).run().await;
    let dir = process::scratch("prometheus");
    let port = ports::free();
    let config = dir.path().join("prometheus.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n\
         - {{ job_name: weir, static_configs: [{{ targets: ['{}'] }}] }}\n",
        edge.admin_address()
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(process::find("prometheus", "prometheus"));
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!(
        "--storage.tsdb.path={}",
        dir.path().join("data").display()
    ));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _prometheus = Process::start("prometheus", &command, dir.path());
    let client = Client::plain(([127, 0, 0, 1], port).into(), "localhost");
    for query in ["up", "weir_ready", "weir_build_info"] {
        let what = format!("prometheus knows that {query} is 1");
        eventually(&what, Duration::from_secs(30), || async {
            let asked = client.request("GET", &format!("/api/v1/query?query={query}"));
            asked
                .try_send()
                .await
                .is_ok_and(|a| a.text().contains(",\"1\"]"))
        })
        .await;
    }
}

#[tokio::test]
async fn sigterm_lets_a_transfer_end_whole_and_then_the_node_exits() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let origin = web::start().await;
        let body = bytes(60, 600_000);
        origin.put("/seg.m4s", body.clone());
        origin.always("/seg.m4s", Plan::Steps(100_000));
        let builder = edge::new().origin(&origin).set("server.drain_delay", "1s");
        let mut edge = builder.set("server.drain_timeout", "20s").run().await;
        origin.step(1);
        let mut transfer = edge.over(protocol).request("GET", "/seg.m4s").open().await;
        let begun = transfer.take(1000).await.unwrap();
        edge.terminate();
        let unready = || async {
            let ready = edge.admin("/readyz").try_send().await;
            ready.is_ok_and(|r| r.status == 503 && r.text().contains("drain"))
        };
        eventually(
            "the node says that it drains",
            Duration::from_secs(5),
            unready,
        )
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(edge.process().ended().is_none(), "a transfer is under way");
        origin.step(5);
        let rest = transfer.rest().await;
        assert_eq!(rest.broken, None, "{protocol:?}");
        assert_same(&rest.body, &body[begun.len()..]);
        let idle = Instant::now();
        let status = edge.process().wait(Duration::from_secs(10)).await;
        assert_eq!(status.code(), Some(0), "{status}");
        assert!(
            idle.elapsed() < Duration::from_secs(5),
            "exits as soon as it is idle"
        );
    }
}

#[tokio::test]
async fn an_idle_node_exits_soon_after_sigterm_also_with_idle_connections() {
    let files = files::start();
    files.put("/seg.m4s", b"body");
    let mut edge = edge::new()
        .origin(&files)
        .set("server.drain_delay", "0s")
        .run()
        .await;
    let mut connection = edge.over(Protocol::Http1).connect().await.unwrap();
    connection.get("/seg.m4s").await.unwrap().whole(200);
    edge.terminate();
    let status = edge.process().wait(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn a_purge_on_one_node_is_seen_by_the_other_within_a_second() {
    let origin = web::start().await;
    let redis = redis::start().await;
    let (old, new) = (bytes(61, 5000), bytes(62, 5000));
    origin.put("/seg.m4s", old.clone());
    let a = edge::new()
        .origin(&origin)
        .redis(&redis)
        .node("a")
        .run()
        .await;
    let b = edge::new()
        .origin(&origin)
        .redis(&redis)
        .node("b")
        .run()
        .await;
    for node in [&a, &b] {
        assert_same(&node.get("/seg.m4s").await.whole(200).body, &old);
    }
    origin.put("/seg.m4s", new.clone());
    for node in [&a, &b] {
        assert_same(&node.get("/seg.m4s").await.whole(200).body, &old);
    }
    let purged = a.purge("/seg.m4s").await;
    assert!(
        (200..300).contains(&purged.status),
        "{} {}",
        purged.status,
        purged.text()
    );
    let answer: serde_json::Value = serde_json::from_slice(&purged.body).expect("JSON");
    assert!(
        answer.to_string().contains("\"b\""),
        "the answer lists the nodes: {answer}"
    );
    assert_same(&a.get("/seg.m4s").await.whole(200).body, &new);
    eventually(
        "node b serves the new version",
        Duration::from_secs(1),
        || async { b.get("/seg.m4s").await.body == new },
    )
    .await;
    assert!(a.metric("weir_purges_total", &[("result", "logged")]).await > 0.5);
    // The old copy in Redis is as good as gone for a node that comes later.
    let c = edge::new()
        .origin(&origin)
        .redis(&redis)
        .node("c")
        .run()
        .await;
    assert_same(&c.get("/seg.m4s").await.whole(200).body, &new);
}

#[tokio::test]
async fn a_purge_without_redis_is_of_this_node_and_says_so() {
    let origin = web::start().await;
    origin.put("/seg.m4s", bytes(63, 5000));
    let edge = edge::new().origin(&origin).run().await;
    edge.get("/seg.m4s").await.whole(200);
    let purged = edge.purge("/seg.m4s").await;
    assert!(
        (200..300).contains(&purged.status),
        "{} {}",
        purged.status,
        purged.text()
    );
    assert!(
        edge.metric("weir_purges_total", &[("result", "local")])
            .await
            > 0.5
    );
    edge.get("/seg.m4s").await.whole(200);
    assert_eq!(origin.requests("/seg.m4s"), 2);
    for body in ["", "{}", "{\"url\":1}", "{\"url\":\"not a url\"}"] {
        let client = Client::plain(edge.admin_address(), "localhost");
        let answer = client.request("POST", "/v1/purge").body(body).send().await;
        assert!(
            (400..500).contains(&answer.status),
            "{body}: {}",
            answer.status
        );
    }
}

#[tokio::test]
async fn explain_says_what_the_cache_knows_and_asks_nobody() {
    let origin = web::start().await;
    origin.put("/seg.m4s", bytes(64, 5000));
    origin.put_with("/me.json", bytes(65, 50), &[("cache-control", "no-store")]);
    let edge = edge::new().origin(&origin).run().await;
    let cold = edge.explain("/seg.m4s").await.to_string();
    assert!(cold.contains("miss"), "{cold}");
    assert_eq!(origin.requests("/seg.m4s"), 0);
    edge.get("/seg.m4s").await.whole(200);
    edge.settled().await;
    let warm = edge.explain("/seg.m4s").await.to_string();
    assert!(warm.contains("hit") && warm.contains("memory"), "{warm}");
    edge.get("/me.json").await.whole(200);
    let passed = edge.explain("/me.json").await.to_string();
    assert!(passed.contains("pass"), "{passed}");
    let bad = edge.admin("/v1/explain").send().await;
    assert_eq!(bad.status, 400);
}

#[tokio::test]
async fn the_admin_listener_knows_its_pages_and_no_others() {
    let files = files::start();
    let edge = edge::new().origin(&files).run().await;
    assert_eq!(edge.admin("/healthz").send().await.status, 200);
    assert_eq!(edge.admin("/readyz").send().await.status, 200);
    assert_eq!(edge.admin("/nothing").send().await.status, 404);
    let wrong = Client::plain(edge.admin_address(), "localhost").request("POST", "/metrics");
    assert_eq!(wrong.send().await.status, 405);
    for page in ["/metrics", "/healthz", "/v1/explain", "/v1/purge"] {
        assert_eq!(
            edge.get(page).await.status,
            404,
            "{page} is not on the public listener"
        );
    }
}

#[tokio::test]
async fn the_log_has_a_line_for_each_request_with_its_id() {
    let files = files::start();
    files.put("/logged.m4s", b"body");
    let builder = edge::new().origin(&files).set("log.access", true);
    let edge = builder.set("log.format", "json").run().await;
    edge.get("/logged.m4s").await.whole(200);
    eventually("the access line", Duration::from_secs(5), || async {
        edge.log().lines().any(|l| l.contains("/logged.m4s"))
    })
    .await;
    let log = edge.log();
    let line = log.lines().find(|l| l.contains("/logged.m4s")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
    let text = line.to_string();
    assert!(
        text.contains("200") && text.contains("miss") && text.contains("request"),
        "{text}"
    );
}

#[tokio::test]
async fn no_line_of_the_log_names_the_address_of_a_client() {
    let files = files::start();
    files.put("/logged.m4s", b"body");
    let builder = edge::new().origin(&files).set("log.access", true);
    let edge = builder.set("log.level", "debug").run().await;
    edge.get("/logged.m4s").await.whole(200);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        edge.over(protocol).raw(b"no request\r\n\r\n").await;
    }
    for words in [
        "client=127.0.0.0/24",
        "Invalid request header from",
        "Downstream handshake error:",
    ] {
        eventually(words, Duration::from_secs(5), || async {
            edge.log().contains(words)
        })
        .await;
        let log = edge.log();
        let mut lines = log.lines().filter(|line| line.contains(words));
        assert!(lines.all(|line| !line.contains("127.0.0.1")), "{log}");
    }
}

async fn check(text: &str) -> process::Output {
    let dir = process::scratch("check");
    let path = dir.path().join("weir.toml");
    fs::write(&path, text).unwrap();
    let mut command = Command::new(edge::program());
    command.args(["check", "--config"]).arg(path);
    process::run(command, Duration::from_secs(10)).await
}

#[tokio::test]
async fn check_prints_each_error_with_key_value_and_expectation() {
    let site = "[[site]]\nhosts = [\"*\"]\norigin = \"file:///srv\"\n";
    let good = check(&format!("[listen]\nhttp = [\"127.0.0.1:8080\"]\n{site}")).await;
    assert!(good.status.success(), "{}{}", good.stdout, good.stderr);
    let bad = check(&format!(
        "[listen]\nhttp = [\"nowhere\"]\n[cache.memory]\nsize = \"many\"\n\
         [server]\nkeepalive = \"5 parsecs\"\n{site}"
    ))
    .await;
    assert!(!bad.status.success());
    let said = format!("{}{}", bad.stdout, bad.stderr);
    for (key, value) in [
        ("listen.http", "nowhere"),
        ("cache.memory.size", "many"),
        ("server.keepalive", "5 parsecs"),
    ] {
        let line = said.lines().find(|l| l.contains(key));
        assert!(
            line.is_some_and(|l| l.contains(value)),
            "{key} = {value}: {said}"
        );
    }
    let unknown = check(&format!("[cache.memroy]\nsize = \"1GiB\"\n{site}")).await;
    assert!(!unknown.status.success());
    assert!(unknown.stderr.contains("memroy") || unknown.stdout.contains("memroy"));
    let bare = check(&format!("[cache.memory]\nsize = 1000\n{site}")).await;
    assert!(!bare.status.success(), "a bare number has no unit");
}

#[tokio::test]
async fn version_is_printed() {
    let mut command = Command::new(edge::program());
    command.arg("--version");
    let said = process::run(command, Duration::from_secs(10))
        .await
        .succeeded();
    let expected = concat!("weir ", env!("CARGO_PKG_VERSION"));
    assert!(said.starts_with(expected), "{said}");
}
