//! The client against a real `redis-server`: users, sentinels, TLS, and setups that cannot work.

use super::*;
use crate::redis::scratch::{Server, config, eventually, free_port, run};

const READ: Ask = Ask {
    call: RedisCall::Head,
    lane: Lane::Control,
    within: Duration::from_millis(100),
};

/// Writes a value and says whether it can be read back.
async fn takes(redis: &Redis, name: &str) -> bool {
    let mut cmd = redis::cmd("SET");
    cmd.arg(name).arg("value");
    let query = |mut link: Link| async move { cmd.exec_async(&mut link).await };
    redis.write(query).await.is_ok() && redis.get(READ, name).await.as_deref() == Some(b"value")
}

#[tokio::test]
async fn users_and_passwords_are_sent_and_wrong_ones_are_told() {
    let edge = ["--user", "edge", "on", ">secret", "~*", "+@all"];
    let server = Server::with(&[&edge[..], &["--user", "default", "off"]].concat());
    let mut config = server.config();
    config.username = Some("edge".to_owned());
    config.password = Some(config::Secret("secret".to_owned()));
    let node = run(&config).await;
    assert!(takes(&node.redis, "a").await);
    config.password = Some(config::Secret("wrong".to_owned()));
    let wrong = Redis::new(&config).unwrap();
    let running = Arc::clone(&wrong);
    let task = tokio::spawn(async move { running.start().await });
    eventually("told", || async { wrong.state().last_error.is_some() }).await;
    assert!(!wrong.state().up);
    assert_eq!(wrong.get(READ, "a").await, None);
    task.abort();
}

#[test]
fn a_setup_that_cannot_work_is_refused_at_once() {
    let check = |topology| {
        Redis::new(&config(topology))
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let error = check(config::Topology::Single("http://x".to_owned()));
    assert!(error.starts_with("redis:"), "{error}");
    assert_eq!(
        check(config::Topology::Cluster(Vec::new())),
        "redis: no url"
    );
    let mut missing = config(config::Topology::Single("rediss://127.0.0.1:1".to_owned()));
    missing.ca = Some("/nonexistent/ca.pem".into());
    let error = Redis::new(&missing).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/ca.pem: "), "{error}");
}

#[tokio::test]
async fn sentinels_lead_to_the_master_and_to_its_successor() {
    let mut master = Server::start();
    let port = master.port().to_string();
    let replica = Server::with(&[
        "--replicaof",
        "127.0.0.1",
        &port,
        "--repl-diskless-sync-delay",
        "0",
    ]);
    eventually("replica in step", || async {
        let mut client = replica.client().await;
        let info: String = redis::cmd("INFO").query_async(&mut client).await.unwrap();
        info.contains("master_link_status:up")
    })
    .await;
    let watch = format!(
        "sentinel monitor pop 127.0.0.1 {port} 1\n\
         sentinel down-after-milliseconds pop 500\n\
         sentinel failover-timeout pop 2000\n"
    );
    let sentinel = Server::sentinel(&watch);
    sentinel.client().await;
    let topology = config::Topology::Sentinel {
        sentinels: vec!["redis://127.0.0.1:1".to_owned(), sentinel.url()],
        master: "pop".to_owned(),
    };
    let node = run(&config(topology)).await;
    assert!(takes(&node.redis, "a").await);
    // The sentinel learns of the replica from the master, every ten seconds.
    eventually("replica known", || async {
        let mut client = sentinel.client().await;
        let mut replicas = redis::cmd("SENTINEL");
        let known = replicas
            .arg("REPLICAS")
            .arg("pop")
            .query_async::<Vec<redis::Value>>(&mut client);
        !known.await.unwrap().is_empty()
    })
    .await;
    master.kill();
    eventually("the successor is written and read", || async {
        takes(&node.redis, "b").await
    })
    .await;
}

#[tokio::test]
async fn a_server_with_tls_is_verified_and_shown_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let port = free_port();
    let _server = Server::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &text("cert.pem"),
        "--tls-key-file",
        &text("key.pem"),
        "--tls-ca-cert-file",
        &text("cert.pem"),
        "--tls-auth-clients",
        "yes",
    ]);
    let url = format!("rediss://127.0.0.1:{port}/0");
    let mut config = config(config::Topology::Single(url));
    config.ca = Some(path("cert.pem"));
    config.identity = Some(config::Certificate {
        cert: path("cert.pem"),
        key: path("key.pem"),
    });
    let node = run(&config).await;
    assert!(takes(&node.redis, "a").await);
    config.ca = None;
    let doubting = Redis::new(&config).unwrap();
    let running = Arc::clone(&doubting);
    let task = tokio::spawn(async move { running.start().await });
    eventually("refused", || async {
        doubting.state().last_error.is_some()
    })
    .await;
    assert!(!doubting.state().up);
    task.abort();
}

#[tokio::test]
async fn the_future_of_start_takes_its_tasks_with_it() {
    let server = Server::start();
    let node = run(&server.config()).await;
    let redis = Arc::clone(&node.redis);
    drop(node);
    eventually("released", || async { Arc::strong_count(&redis) == 1 }).await;
}
