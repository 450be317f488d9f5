//! What right values become.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::{
    Config, CutOff, Origin, QueryPolicy, S3Credentials, Secret, Site, Store, Topology,
};
use super::parse;

fn site(text: &str) -> Arc<Site> {
    let text = format!("[[site]]\nhosts = [\"Edge.Example.com\"]\n{text}");
    let mut config = parse(&text, Path::new("/nowhere")).unwrap();
    config.sites.remove(0)
}

fn origin(text: &str) -> Origin {
    site(text).origin.clone()
}

fn redis(text: &str) -> super::super::Redis {
    let text = format!("[cache.redis]\n{text}\n[[site]]\nhosts = [\"a\"]\norigin = \"s3://vod\"");
    parse(&text, Path::new("/nowhere"))
        .unwrap()
        .cache
        .redis
        .unwrap()
}

#[test]
fn the_contract_is_accepted() {
    let text = r#"
        [listen]
        http  = ["127.0.0.1:8080"]
        https = ["127.0.0.1:8443"]
        admin = "127.0.0.1:9180"
        [tls]
        certificates = [{ cert = "edge.pem", key = "edge.key" }]
        [cache.memory]
        size = "4GiB"
        [cache.redis]
        urls = ["redis://127.0.0.1:6379/0"]   # several nodes: a Redis Cluster
        [[site]]
        hosts  = ["edge.example.com"]          # "*" is any host
        origin = "s3://vod"                    # s3:// gs:// az:// file:/// http:// https://
        [site.s3]
        endpoint = "http://127.0.0.1:8333"
        region = "us-east-1"
        [site.paths]
        stream = "{id}.mp4"
        hls    = "{id}/master.m3u8"
        dash   = "{id}/manifest.mpd"
    "#;
    let base = tempfile::tempdir().unwrap();
    for name in ["edge.pem", "edge.key"] {
        std::fs::write(base.path().join(name), "pem").unwrap();
    }
    let config: Config = parse(text, base.path()).unwrap();
    assert_eq!(config.certificates[0].cert, base.path().join("edge.pem"));
    assert_eq!(config.cache.memory_bytes, 4 << 30);
    let topology = config.cache.redis.unwrap().topology;
    assert_eq!(
        topology,
        Topology::Single("redis://127.0.0.1:6379/0".to_owned())
    );
    assert_eq!(config.sites[0].origin.endpoints, ["http://127.0.0.1:8333"]);
}

#[test]
fn silence_means_the_defaults() {
    let text = "[[site]]\nhosts = [\"*\"]\norigin = \"s3://vod\"";
    let config = parse(text, Path::new("/nowhere")).unwrap();
    assert_eq!(config.server.node, "edge-1-8080");
    assert_eq!(config.server.threads, 8);
    assert_eq!(config.server.min_send_rate, 1024);
    assert_eq!(config.server.drain_timeout, Duration::from_secs(20));
    assert_eq!(config.listen.http, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.cache.memory_bytes, 1 << 30);
    assert_eq!(config.purge.cut_off, CutOff::Serve);
    assert!(config.cache.redis.is_none());
    let site = &config.sites[0];
    assert_eq!(site.name, "default");
    assert_eq!(site.query, QueryPolicy::Drop);
    assert_eq!(site.cors, ["*"]);
    assert_eq!(site.methods, ["GET", "HEAD", "OPTIONS"]);
    assert_eq!(site.lifetimes.segment, Duration::from_secs(14 * 86_400));
    assert_eq!(
        site.origin.endpoints,
        ["https://s3.us-east-1.amazonaws.com"]
    );
}

#[test]
fn redis_is_single_cluster_or_sentinel_by_its_urls() {
    let (a, b) = ("redis://a:1".to_owned(), "redis://b:1".to_owned());
    for (text, expected) in [
        ("urls = [\"redis://a:1\"]", Topology::Single(a.clone())),
        (
            "urls = [\"redis://a:1\", \"redis://b:1\"]",
            Topology::Cluster(vec![a.clone(), b]),
        ),
        (
            "urls = [\"redis://a:1\"]\nsentinel_master = \"m\"",
            Topology::Sentinel {
                sentinels: vec![a],
                master: "m".to_owned(),
            },
        ),
    ] {
        assert_eq!(redis(text).topology, expected);
    }
}

#[test]
fn secrets_come_from_files_and_variables() {
    let base = tempfile::tempdir().unwrap();
    std::fs::write(base.path().join("password"), "hush \n").unwrap();
    let text = "[cache.redis]\nurls = [\"redis://a\"]\npassword_file = \"password\"\n\
        sentinel_password_env = \"SECRET\"\n[[site]]\nhosts = [\"a\"]\norigin = \"s3://vod\"";
    let redis = parse(text, base.path()).unwrap().cache.redis.unwrap();
    assert_eq!(redis.password, Some(Secret("hush".to_owned())));
    assert_eq!(redis.sentinel_password, Some(Secret("s3cret".to_owned())));
}

#[test]
fn a_site_is_named_by_its_first_host_in_lower_case() {
    let site = site("origin = \"s3://vod\"\nquery = [\"v\"]");
    assert_eq!(site.name, "edge.example.com");
    assert_eq!(site.hosts, ["edge.example.com"]);
    assert_eq!(site.query, QueryPolicy::Keep(vec!["v".to_owned()]));
}

#[test]
fn s3_origins_have_bucket_prefix_and_credentials() {
    let plain = origin("origin = \"s3://vod/a/b/\"\ns3.addressing = \"virtual\"");
    assert_eq!(plain.prefix, "/a/b");
    let Store::S3 {
        bucket,
        virtual_host,
        credentials,
        ..
    } = plain.store
    else {
        panic!("another store")
    };
    assert_eq!((bucket.as_str(), virtual_host), ("vod", true));
    assert_eq!(credentials, S3Credentials::Chain { profile: None });
    let signed = origin(
        "origin = \"s3://vod\"\ns3 = { access_key_env = \"SECRET\", secret_key_env = \"TOKEN\" }",
    );
    let Store::S3 { credentials, .. } = signed.store else {
        panic!("another store")
    };
    assert_eq!(
        credentials,
        S3Credentials::Static {
            access_key: Secret("s3cret".to_owned()),
            secret_key: Secret("0123456789abcdef".to_owned()),
        }
    );
}

#[test]
fn web_origins_keep_their_host_when_endpoints_stand_in_for_it() {
    for (text, host, endpoints) in [
        (
            "origin = \"https://o.example/p/\"",
            None,
            vec!["https://o.example"],
        ),
        (
            "origin = \"https://o.example\"\nhttp.endpoints = [\"https://10.0.0.1\"]",
            Some("o.example"),
            vec!["https://10.0.0.1"],
        ),
        (
            "origin = \"http://o.example:81\"\nhttp.host = \"h.example\"",
            Some("h.example"),
            vec!["http://o.example:81"],
        ),
    ] {
        let origin = origin(text);
        assert_eq!(origin.endpoints, endpoints);
        let Store::Web { host: given } = origin.store else {
            panic!("another store")
        };
        assert_eq!(given.as_deref(), host);
    }
}

#[test]
fn directories_may_be_relative_to_the_file() {
    let base = tempfile::tempdir().unwrap();
    std::fs::create_dir(base.path().join("vod")).unwrap();
    let text = "[[site]]\nhosts = [\"*\"]\norigin = \"file://./vod\"";
    let config = parse(text, base.path()).unwrap();
    let Store::File(path) = &config.sites[0].origin.store else {
        panic!("another store")
    };
    assert_eq!(path, &base.path().join("./vod"));
}

#[test]
fn cloud_origins_find_their_endpoints() {
    for (text, endpoint) in [
        ("origin = \"gs://vod\"", "https://storage.googleapis.com"),
        (
            "origin = \"az://vod\"\nazure.account = \"abc\"",
            "https://abc.blob.core.windows.net",
        ),
        (
            "origin = \"s3://vod\"\ns3.region = \"eu-1\"",
            "https://s3.eu-1.amazonaws.com",
        ),
    ] {
        assert_eq!(origin(text).endpoints, [endpoint]);
    }
}

#[test]
fn clients_are_known_again_where_connections_are_their_own() {
    for (session, expected) in [
        ("", true),
        ("priors = false", false),
        ("tcp_info = false", false),
        ("tcp_info = false\npriors = true", true),
    ] {
        let text = format!("[session]\n{session}\n[[site]]\nhosts = [\"a\"]\norigin = \"s3://v\"");
        let config = parse(&text, Path::new("/nowhere")).unwrap();
        assert_eq!(config.session.priors, expected, "{session}");
    }
}
