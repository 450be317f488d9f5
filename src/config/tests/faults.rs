//! What an operator reads about each mistake.

use std::path::Path;

use super::parse;

const SITE: &str = "[[site]]\nhosts = [\"a\"]\norigin = \"s3://vod\"\n";

fn said(text: &str) -> String {
    match parse(text, Path::new("/nowhere")) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&said(text), expected, "of {text}");
    }
}

/// Checks lines before a good site.
fn check_head(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&said(&format!("{text}\n{SITE}")), expected, "of {text}");
    }
}

/// Checks lines that continue a good site.
fn check_site(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&said(&format!("{SITE}{text}")), expected, "of {text}");
    }
}

/// Checks an origin with keys that continue its site.
fn check_origin(cases: &[(&str, &str, &str)]) {
    for (origin, keys, expected) in cases {
        let text = format!("[[site]]\nhosts = [\"a\"]\norigin = \"{origin}\"\n{keys}");
        assert_eq!(&said(&text), expected, "of {text}");
    }
}

#[test]
fn syntax_and_unknown_keys_name_line_and_key() {
    for (text, expected) in [
        (
            "a = ",
            "line 1: a: string values must be quoted, expected literal string",
        ),
        (
            "\n[server]\nthread = 4",
            "line 3: unknown key `thread`, expected one of",
        ),
        ("[serve]", "line 1: unknown key `serve`, expected one of"),
        (
            "[cache.redis]\npassword = \"hush\"",
            "line 2: unknown key `password`, expected one of",
        ),
        (
            "site = 3",
            "line 1: site: invalid type: integer `3`, expected a sequence",
        ),
        (
            "[server]\nthreads = 1\nthreads = 2",
            "line 3: threads: duplicate key",
        ),
    ] {
        let said = said(text);
        assert!(said.starts_with(expected), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn every_fault_of_a_file_is_named_at_once() {
    let text = r#"
        [server]
        threads = "four"
        head_timeout = 10
        [cache.memory]
        size = 4
        [[site]]
        hosts = ["a:80"]
        origin = "s4://vod"
    "#;
    let expected = "server.threads = \"four\": expected a whole number from 1 to 1024\n\
        server.head_timeout = 10: expected a duration such as \"10s\" (ms, s, m, h, d; at most \
        3650d)\n\
        cache.memory.size = 4: expected a size such as \"64MiB\" (B, KiB, MiB, GiB, TiB, kB, MB, \
        GB, TB)\n\
        site[0].hosts[0] = \"a:80\": expected a host name without port, or \"*\" for any\n\
        site[0].origin = \"s4://vod\": expected one of s3:// gs:// az:// file:/// http:// https://";
    assert_eq!(said(text), expected);
}

#[test]
fn an_empty_file_misses_a_site() {
    check(&[("", "site is absent: expected at least one [[site]]")]);
    check(&[(
        "[[site]]",
        "site[0].hosts is absent: expected at least one host name, or \"*\" for any\n\
         site[0].origin is absent: expected one of s3:// gs:// az:// file:/// http:// https://",
    )]);
}

#[test]
fn wrong_listeners_are_named() {
    check_head(&[
        (
            "listen.http = [\"8080\"]",
            "listen.http[0] = \"8080\": expected an address and a port such as \"127.0.0.1:8080\"",
        ),
        (
            "listen.http = []",
            "listen.http = []: expected at least one address in listen.http or listen.https",
        ),
        (
            "listen.http = [\"127.0.0.1:9180\"]",
            "listen.admin = \"127.0.0.1:9180\": expected an address that no other listener has",
        ),
        (
            "listen.http = [\"127.0.0.1:0\", \"127.0.0.1:0\"]",
            "accepted",
        ),
        (
            "listen.https = [\"127.0.0.1:8443\"]",
            "tls.certificates is absent: expected at least one { cert, key } for listen.https",
        ),
        (
            "tls.certificates = [{ cert = \"edge.pem\" }]",
            "tls.certificates[0].cert = \"edge.pem\": expected a file that can be read \
                (/nowhere/edge.pem: No such file or directory (os error \
                2))\ntls.certificates[0].key is absent: expected the path of a PEM file",
        ),
        (
            "listen.h2c = \"yes\"",
            "listen.h2c = \"yes\": expected true or false",
        ),
    ]);
}

#[test]
fn an_admin_listener_in_the_open_needs_a_strong_token() {
    check_head(&[
        (
            "listen.admin = \"0.0.0.0:9180\"",
            "listen.admin = \"0.0.0.0:9180\": expected a loopback address, or a token by \
                admin.token_file or admin.token_env",
        ),
        (
            "listen.admin = \"0.0.0.0:9180\"\nadmin.token_env = \"TOKEN\"",
            "accepted",
        ),
        ("listen.admin = \"[::1]:9180\"", "accepted"),
        (
            "admin.token_env = \"SHORT\"",
            "admin.token_env = \"SHORT\": expected a token of 16 or more printable ASCII \
                characters without spaces",
        ),
        (
            "admin.token_env = \"EMPTY\"",
            "admin.token_env = \"EMPTY\": expected the name of a variable of the environment that \
                is set",
        ),
        (
            "admin.token_env = \"ABSENT\"",
            "admin.token_env = \"ABSENT\": expected the name of a variable of the environment that \
                is set",
        ),
        (
            "admin.token_file = \"token\"",
            "admin.token_file = \"token\": expected a file that can be read (/nowhere/token: No \
                such file or directory (os error 2))",
        ),
        (
            "admin.token_file = \"token\"\nadmin.token_env = \"TOKEN\"",
            "admin.token_env = \"TOKEN\": expected no such key beside admin.token_file",
        ),
    ]);
}

#[test]
fn wrong_process_settings_are_named() {
    check_head(&[
        (
            "server.node = \"a b\"",
            "server.node = \"a b\": expected up to 64 letters, digits, dots, underscores and \
                hyphens",
        ),
        (
            "server.threads = 0",
            "server.threads = 0: expected a whole number from 1 to 1024",
        ),
        (
            "server.max_connections = -1",
            "server.max_connections = -1: expected a whole number from 1 to 10000000",
        ),
        (
            "server.keepalive = \"0s\"",
            "server.keepalive = \"0s\": expected a duration above zero such as \"10s\"",
        ),
        ("server.drain_delay = \"0s\"", "accepted"),
        (
            "server.min_send_rate = 1024",
            "server.min_send_rate = 1024: expected a size such as \"64MiB\" (B, KiB, MiB, GiB, \
                TiB, kB, MB, GB, TB)",
        ),
        ("server.min_send_rate = \"0B\"", "accepted"),
        (
            "log.level = \"a=b=c\"",
            "log.level = \"a=b=c\": expected a filter such as \"info\" or \
                \"warn,weir::origin=debug\"",
        ),
        (
            "log.format = \"xml\"",
            "log.format = \"xml\": expected \"text\" or \"json\"",
        ),
        ("log.access = 1", "log.access = 1: expected true or false"),
        (
            "log.addresses = 1",
            "log.addresses = 1: expected true or false",
        ),
        (
            "purge.lease = \"500ms\"",
            "purge.lease = \"500ms\": expected a duration of at least \"1s\"",
        ),
        (
            "purge.cut_off = \"stop\"",
            "purge.cut_off = \"stop\": expected \"serve\" or \"revalidate\"",
        ),
        (
            "cache.memory.size = \"15MiB\"",
            "cache.memory.size = \"15MiB\": expected a size of at least \"16MiB\"",
        ),
    ]);
}

#[test]
fn wrong_redis_settings_are_named() {
    check_head(&[
        (
            "[cache.redis]",
            "cache.redis.urls is absent: expected at least one redis:// or rediss:// URL",
        ),
        (
            "cache.redis.urls = [\"127.0.0.1:6379\"]",
            "cache.redis.urls[0] = \"127.0.0.1:6379\": expected redis://host:port/database or \
                rediss://host:port/database",
        ),
        (
            "cache.redis.urls = [\"redis://:hush@h:6379\"]",
            "cache.redis.urls[0] = \"redis://...@h:6379\": expected no user or password in it; use \
                username and password_file or password_env",
        ),
        (
            "cache.redis.urls = [\"redis://h:6379/x\"]",
            "cache.redis.urls[0] = \"redis://h:6379/x\": expected redis://host:port/database or \
                rediss://host:port/database",
        ),
        (
            "cache.redis.urls = [\"redis://a\", \"redis://b/1\"]",
            "cache.redis.urls[1] = \"redis://b/1\": expected database 0, the only one that a Redis \
                Cluster has",
        ),
        (
            "cache.redis.urls = [\"redis://a\", \"rediss://b\"]",
            "cache.redis.urls[1] = \"rediss://b\": expected the scheme of the first URL",
        ),
        (
            "cache.redis.urls = [\"redis://a\", \"redis://a\"]",
            "cache.redis.urls[1] = \"redis://a\": expected each URL once",
        ),
        (
            "cache.redis = { urls = [\"redis://a\"], ca = \"ca.pem\" }",
            "cache.redis.ca = \"ca.pem\": expected no such key with redis://, only with rediss://",
        ),
        (
            "cache.redis = { urls = [\"rediss://a\"], cert = \"c.pem\" }",
            "cache.redis.cert = \"c.pem\": expected cache.redis.key beside it\ncache.redis.cert = \
                \"c.pem\": expected a file that can be read (/nowhere/c.pem: No such file or \
                directory (os error 2))",
        ),
        (
            "cache.redis = { urls = [\"redis://a\"], prefix = \"{a}\" }",
            "cache.redis.prefix = \"{a}\": expected up to 64 letters, digits, dots, underscores \
                and hyphens",
        ),
        (
            "cache.redis = { urls = [\"redis://a\"], connections = 0 }",
            "cache.redis.connections = 0: expected a whole number from 1 to 64",
        ),
        (
            "cache.redis = { urls = [\"redis://a\"], queue = \"1kB\" }",
            "cache.redis.queue = \"1kB\": expected a size of at least \"1MiB\"",
        ),
        (
            "cache.redis = { urls = [\"redis://a\"], read_timeout = \"0ms\" }",
            "cache.redis.read_timeout = \"0ms\": expected a duration above zero such as \"10s\"",
        ),
    ]);
}

#[test]
fn wrong_rules_of_a_site_are_named() {
    check_site(&[
        (
            "[[site]]\nhosts = [\"A\"]\norigin = \"s3://b\"",
            "site[1].hosts[0] = \"a\": expected a host that no other entry names",
        ),
        (
            "name = \"n\"\n[[site]]\nname = \"n\"\nhosts = [\"b\"]\norigin = \"s3://b\"",
            "site[1].name = \"n\": expected a name used once",
        ),
        (
            "name = \"a b\"",
            "site[0].name = \"a b\": expected up to 64 letters, digits, dots, underscores and \
                hyphens",
        ),
        (
            "methods = [\"HEAD\"]",
            "site[0].methods = [\"HEAD\"]: expected a list with GET in it",
        ),
        (
            "methods = [\"GET\", \"POST\"]",
            "site[0].methods[1] = \"POST\": expected GET, HEAD or OPTIONS; others only with \
                http:// and https:// origins",
        ),
        (
            "methods = [\"GET\", \"TRACE\"]",
            "site[0].methods[1] = \"TRACE\": expected neither CONNECT nor TRACE",
        ),
        (
            "methods = [\"GET\", \"head\"]",
            "site[0].methods[1] = \"head\": expected a method in upper case",
        ),
    ]);
}

#[test]
fn wrong_keys_of_a_site_are_named() {
    check_site(&[
        (
            "query = \"keep\"",
            "site[0].query = \"keep\": expected \"drop\", \"all\" or a list of parameters such as \
                [\"v\"]",
        ),
        (
            "query = [1]",
            "site[0].query = [1]: expected \"drop\", \"all\" or a list of parameters such as \
                [\"v\"]",
        ),
        (
            "cors = [\"example.com\"]",
            "site[0].cors[0] = \"example.com\": expected an origin such as \
                \"https://www.example.com\", or \"*\" for any",
        ),
        (
            "paths.hls = \"master.m3u8\"",
            "site[0].paths.hls = \"master.m3u8\": expected a key with {id} in it such as \
                \"{id}/master.m3u8\"",
        ),
        (
            "paths.dash = \"/{id}.mpd\"",
            "site[0].paths.dash = \"/{id}.mpd\": expected a key with {id} in it such as \
                \"{id}/manifest.mpd\"",
        ),
        (
            "paths.stream = \"{id}/../{name}.mp4\"",
            "site[0].paths.stream = \"{id}/../{name}.mp4\": expected a key with {id} in it such as \
                \"{id}.mp4\"",
        ),
        (
            "deadlines.tries = 0",
            "site[0].deadlines.tries = 0: expected a whole number from 1 to 10",
        ),
        (
            "deadlines.stall = \"0s\"",
            "site[0].deadlines.stall = \"0s\": expected a duration above zero such as \"10s\"",
        ),
        (
            "lifetimes.segment = \"1y\"",
            "site[0].lifetimes.segment = \"1y\": expected a duration such as \"10s\" (ms, s, m, h, \
                d; at most 3650d)",
        ),
        ("lifetimes.negative.other = \"0s\"", "accepted"),
        (
            "health.path = \"up\"",
            "site[0].health.path = \"up\": expected a path such as \"/up\"",
        ),
        (
            "health.interval = 5",
            "site[0].health.interval = 5: expected a duration such as \"10s\" (ms, s, m, h, d; at \
                most 3650d)",
        ),
    ]);
}

#[test]
fn wrong_origins_are_named() {
    check_origin(&[
        (
            "s3:/vod",
            "",
            "site[0].origin = \"s3:/vod\": expected one of s3:// gs:// az:// file:/// http:// \
                https://",
        ),
        (
            "s3://vod/a/../b",
            "",
            "site[0].origin = \"s3://vod/a/../b\": expected s3://bucket or s3://bucket/prefix",
        ),
        (
            "s3://v d",
            "",
            "site[0].origin = \"s3://v d\": expected s3://bucket or s3://bucket/prefix",
        ),
        (
            "s3://",
            "",
            "site[0].origin = \"s3://\": expected s3://bucket or s3://bucket/prefix",
        ),
        (
            "file://vod",
            "",
            "site[0].origin = \"file://vod\": expected file:///absolute/path or \
                file://./relative/path",
        ),
        (
            "file:///nowhere/at/all",
            "",
            "site[0].origin = \"file:///nowhere/at/all\": expected a directory that can be read \
                (/nowhere/at/all: No such file or directory (os error 2))",
        ),
        (
            "https://u:hush@h/",
            "",
            "site[0].origin = \"https://...@h/\": expected http:// or https:// with host, port and \
                path only",
        ),
        (
            "https://h?q",
            "",
            "site[0].origin = \"https://h?q\": expected http:// or https:// with host, port and \
                path only",
        ),
        (
            "s3://vod",
            "s3.endpoint = \"http://h:1/path\"",
            "site[0].s3.endpoint = \"http://h:1/path\": expected http://host:port or \
                https://host:port, without path",
        ),
        (
            "s3://vod",
            "s3.endpoint = \"http://a\"\ns3.endpoints = [\"http://b\"]",
            "site[0].s3.endpoint = \"http://a\": expected no such key beside site[0].s3.endpoints",
        ),
        (
            "s3://vod",
            "s3.endpoints = []",
            "site[0].s3.endpoints = []: expected at least one endpoint",
        ),
        (
            "s3://vod",
            "s3.endpoints = [\"http://b\", \"http://b\"]",
            "site[0].s3.endpoints[1] = \"http://b\": expected each endpoint once",
        ),
    ]);
}

#[test]
fn wrong_store_sections_are_named() {
    check_origin(&[
        (
            "s3://vod",
            "s3.addressing = \"dns\"",
            "site[0].s3.addressing = \"dns\": expected \"path\" or \"virtual\"",
        ),
        (
            "s3://vod",
            "s3.access_key_env = \"SECRET\"",
            "site[0].s3.secret_key_file is absent: expected it, or secret_key_env, beside the \
                other key",
        ),
        (
            "s3://vod",
            "s3.secret_key_env = \"SECRET\"",
            "site[0].s3.access_key_file is absent: expected it, or access_key_env, beside the \
                other key",
        ),
        (
            "s3://vod",
            "s3.anonymous = true\ns3.profile = \"p\"",
            "site[0].s3 = { ... }: expected one of anonymous, a profile, or access and secret key",
        ),
        (
            "s3://vod",
            "gcs.anonymous = true",
            "site[0].gcs = { ... }: expected no such section with s3://, only with gs://",
        ),
        (
            "gs://vod",
            "gcs = { anonymous = true, credentials_file = \"c\" }",
            "site[0].gcs.credentials_file = \"c\": expected a file that can be read (/nowhere/c: \
                No such file or directory (os error 2))\nsite[0].gcs.credentials_file = \"c\": \
                expected no such key beside anonymous = true",
        ),
        (
            "az://vod",
            "",
            "site[0].azure.account is absent: expected the name of the storage account",
        ),
        (
            "az://vod",
            "azure.account = \"A\"",
            "site[0].azure.account = \"A\": expected 3 to 24 lower case letters and digits",
        ),
        (
            "az://vod",
            "azure = { account = \"abc\", anonymous = true, key_env = \"SECRET\" }",
            "site[0].azure.anonymous = true: expected false beside a key",
        ),
        (
            "https://h",
            "http.host = \"h/p\"",
            "site[0].http.host = \"h/p\": expected a host with or without a port",
        ),
        (
            "https://h",
            "http.ca = \"ca.pem\"",
            "site[0].http.ca = \"ca.pem\": expected a file that can be read (/nowhere/ca.pem: No \
                such file or directory (os error 2))",
        ),
    ]);
}
