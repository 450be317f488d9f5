//! `[cache.memory]` and `[cache.redis]`: the tiers.

use std::path::PathBuf;
use std::time::Duration;

use super::super::file;
use super::super::given::Given;
use super::super::{Cache, Certificate, Redis, Topology};
use super::url::{Parts, is_authority, split};
use super::{Check, NAME, is_name, quoted};

/// A working set of some hundred segments, on any machine that plays video at all.
const MEMORY_BYTES: u64 = 1 << 30;

/// Sixteen blocks: with less, a few readers of big files would wait for each other.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

/// Says "ours" to whoever looks into a shared Redis.
const PREFIX: &str = "weir";

/// One connection is one TCP stream; four keep a chunk from waiting behind another one's loss.
const CONNECTIONS: u32 = 4;

/// A handshake within a `PoP` takes a millisecond; half a second covers a lost SYN's first retry.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// A read that takes longer than asking the origin is no help.
const READ_TIMEOUT: Duration = Duration::from_millis(100);

/// Nobody waits for a write; half a second tells slow from gone.
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);

/// More than a single hiccup of several connections, less than a viewer notices.
const BREAKER_FAILURES: u32 = 5;

/// Recovery is noticed within about a second, at the price of one slow read a second.
const BREAKER_PAUSE: Duration = Duration::from_secs(1);

/// About 256 chunks: half a second of a 1 Gbit/s fill.
const QUEUE_BYTES: u64 = 64 << 20;

/// One chunk of the queue would stop write-behind whenever two fills meet.
const QUEUE_BYTES_MIN: u64 = 1 << 20;

/// What waits in the queue is held in memory: a slow Redis may keep this part of it from fills.
const QUEUE_SHARE: usize = 8;

/// The first request writes: the next node's viewer is likelier than a full Redis is harmful.
const ADMIT_AFTER: u32 = 1;

/// Past an outage of the origin that lasts a night.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);

impl Check<'_> {
    pub(super) fn cache(&mut self, shape: file::Cache) -> Cache {
        let least = (MEMORY_BYTES_MIN, "16MiB");
        let memory = self.size("cache.memory.size", shape.memory.size, least, MEMORY_BYTES);
        let memory_bytes = usize::try_from(memory).unwrap_or(usize::MAX);
        let mut redis = shape.redis.and_then(|redis| self.redis(redis));
        if let Some(redis) = &mut redis {
            redis.queue_bytes = redis.queue_bytes.min(memory_bytes / QUEUE_SHARE);
        }
        Cache {
            memory_bytes,
            redis,
        }
    }

    fn redis(&mut self, mut shape: file::Redis) -> Option<Redis> {
        let urls = std::mem::take(&mut shape.urls);
        let topology = self.topology(urls, shape.sentinel_master.take());
        let encrypted = topology.as_ref().is_none_or(is_encrypted);
        let (ca, identity) = self.redis_tls(&mut shape, encrypted);
        let queue = self.size(
            "cache.redis.queue",
            shape.queue,
            (QUEUE_BYTES_MIN, "1MiB"),
            QUEUE_BYTES,
        );
        let connections = self.number(
            "cache.redis.connections",
            shape.connections,
            1..=64,
            CONNECTIONS,
        );
        Some(Redis {
            username: self.value("cache.redis.username", shape.username),
            password: self.secret(
                "cache.redis.password",
                shape.password_file,
                shape.password_env,
            ),
            sentinel_password: self.secret(
                "cache.redis.sentinel_password",
                shape.sentinel_password_file,
                shape.sentinel_password_env,
            ),
            ca,
            identity,
            prefix: self
                .text("cache.redis.prefix", shape.prefix, is_name, NAME)
                .unwrap_or_else(|| PREFIX.to_owned()),
            connections: usize::try_from(connections).unwrap_or(1),
            connect_timeout: self.span(
                "cache.redis.connect_timeout",
                shape.connect_timeout,
                CONNECT_TIMEOUT,
            ),
            read_timeout: self.span("cache.redis.read_timeout", shape.read_timeout, READ_TIMEOUT),
            write_timeout: self.span(
                "cache.redis.write_timeout",
                shape.write_timeout,
                WRITE_TIMEOUT,
            ),
            breaker_failures: self.number(
                "cache.redis.breaker_failures",
                shape.breaker_failures,
                1..=1000,
                BREAKER_FAILURES,
            ),
            breaker_pause: self.span(
                "cache.redis.breaker_pause",
                shape.breaker_pause,
                BREAKER_PAUSE,
            ),
            queue_bytes: usize::try_from(queue).unwrap_or(usize::MAX),
            admit_after: self.number(
                "cache.redis.admit_after",
                shape.admit_after,
                1..=1000,
                ADMIT_AFTER,
            ),
            ttl: self.span("cache.redis.ttl", shape.ttl, TTL),
            topology: topology?,
        })
    }

    fn topology(
        &mut self,
        given: Vec<Given<String>>,
        master: Option<Given<String>>,
    ) -> Option<Topology> {
        if given.is_empty() {
            self.miss("cache.redis.urls", "at least one redis:// or rediss:// URL");
        }
        let sentinels = master.is_some();
        let master = self.value("cache.redis.sentinel_master", master);
        let several = given.len() > 1 && !sentinels;
        let mut urls: Vec<String> = Vec::new();
        for (index, url) in given.into_iter().enumerate() {
            let key = format!("cache.redis.urls[{index}]");
            let Some(url) = self.value(&key, Some(url)) else {
                continue;
            };
            if let Err(expected) = redis_url(&url, several) {
                self.refuse(&key, &quoted(&url), expected);
            } else if urls.contains(&url) {
                self.refuse(&key, &quoted(&url), "each URL once");
            } else if urls
                .first()
                .is_some_and(|first| scheme(first) != scheme(&url))
            {
                self.refuse(&key, &quoted(&url), "the scheme of the first URL");
            } else {
                urls.push(url);
            }
        }
        match (sentinels, urls.len()) {
            (_, 0) => None,
            (true, _) => Some(Topology::Sentinel {
                sentinels: urls,
                master: master?,
            }),
            (false, 1) => urls.pop().map(Topology::Single),
            (false, _) => Some(Topology::Cluster(urls)),
        }
    }

    fn redis_tls(
        &mut self,
        shape: &mut file::Redis,
        encrypted: bool,
    ) -> (Option<PathBuf>, Option<Certificate>) {
        if !encrypted {
            let keys = [
                ("ca", &shape.ca),
                ("cert", &shape.cert),
                ("key", &shape.key),
            ];
            for (key, given) in keys {
                let Some(given) = given else { continue };
                let expected = "no such key with redis://, only with rediss://";
                self.refuse(&format!("cache.redis.{key}"), &given.written, expected);
            }
            return (None, None);
        }
        if let (Some(cert), None) = (&shape.cert, &shape.key) {
            self.refuse(
                "cache.redis.cert",
                &cert.written,
                "cache.redis.key beside it",
            );
        }
        if let (None, Some(key)) = (&shape.cert, &shape.key) {
            self.refuse(
                "cache.redis.key",
                &key.written,
                "cache.redis.cert beside it",
            );
        }
        let ca = self.file("cache.redis.ca", shape.ca.take());
        let cert = self.file("cache.redis.cert", shape.cert.take());
        let key = self.file("cache.redis.key", shape.key.take());
        let identity = cert.zip(key).map(|(cert, key)| Certificate { cert, key });
        (ca, identity)
    }
}

/// Says what a URL of Redis should be like when it is not.
fn redis_url(url: &str, cluster: bool) -> Result<(), &'static str> {
    let form = "redis://host:port/database or rediss://host:port/database";
    let Parts {
        scheme,
        authority,
        path,
    } = split(url).ok_or(form)?;
    if authority.contains('@') {
        return Err("no user or password in it; use username and password_file or password_env");
    }
    if !matches!(scheme, "redis" | "rediss") || !is_authority(authority) {
        return Err(form);
    }
    match path.strip_prefix('/').unwrap_or(path) {
        "" | "0" => Ok(()),
        _ if cluster => Err("database 0, the only one that a Redis Cluster has"),
        database if database.len() <= 5 && database.parse::<u16>().is_ok() => Ok(()),
        _ => Err(form),
    }
}

fn scheme(url: &str) -> Option<&str> {
    split(url).map(|parts| parts.scheme)
}

fn is_encrypted(topology: &Topology) -> bool {
    let first = match topology {
        Topology::Single(url) => Some(url),
        Topology::Cluster(urls)
        | Topology::Sentinel {
            sentinels: urls, ..
        } => urls.first(),
    };
    first.and_then(|url| scheme(url)) == Some("rediss")
}
