//! How the pathways of other `PoP`s are doing: asked from time to time, answered from memory.
//!
//! A pathway is down after [`DOWN_AFTER`] checks in a row without an answer below 500, and up again
//! with the first. One that has no check is up: only the operator knows otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{CONNECTION, HOST};
use http::{Method, Request, Uri};
use tokio::time::{sleep, timeout};

use crate::config::adapt::Pathway;
use crate::config::{Deadlines, Site};
use crate::limits::{PATHWAY_CHECK_EVERY, PATHWAY_CHECK_WAIT};
use crate::metrics::METRICS;
use crate::origin::client::{Client, Connection, Options, Route};
use crate::origin::endpoint::Endpoint;

/// Checks that fail in a row before a pathway is down: one may be a lost packet.
const DOWN_AFTER: u32 = 2;

/// The pathways of every site.
pub struct Pathways {
    client: Arc<Client>,
    by_site: HashMap<String, Vec<Checked>>,
}

struct Checked {
    name: String,
    /// Where health is asked for; `None` for a pathway that is up by assumption.
    health: Option<(Endpoint, Uri)>,
    /// Checks that failed in a row; one task writes it.
    failures: AtomicU32,
}

impl Pathways {
    /// The pathways that the sites configure, all of them up. Does no IO.
    #[must_use]
    pub fn new(sites: &[Arc<Site>]) -> Arc<Self> {
        let client = Client::new(Options {
            ca: None,
            http2: false,
            deadlines: Deadlines {
                connect: PATHWAY_CHECK_WAIT,
                first_byte: PATHWAY_CHECK_WAIT,
                stall: PATHWAY_CHECK_WAIT,
                tries: 1,
            },
        });
        let of_site = |site: &Arc<Site>| {
            let steering = site.adapt.steering.as_ref()?;
            let pathways = steering.pathways.iter().map(Checked::of);
            Some((site.name.clone(), pathways.collect()))
        };
        Arc::new(Self {
            client: Arc::new(client),
            by_site: sites.iter().filter_map(of_site).collect(),
        })
    }

    /// Which pathways of a site are up, in the order of its configuration.
    #[must_use]
    pub fn healthy(&self, site: &str) -> Vec<bool> {
        let pathways = self.by_site.get(site).map_or(&[][..], Vec::as_slice);
        pathways.iter().map(Checked::is_up).collect()
    }

    /// Checks until the future is dropped.
    pub async fn run(&self) {
        let all = self.by_site.values().flatten();
        let checks = all.filter_map(|pathway| Some((pathway, pathway.health.as_ref()?)));
        let checks = checks.map(|(pathway, (endpoint, uri))| async move {
            loop {
                // Nodes that start together must not ask together.
                sleep(PATHWAY_CHECK_EVERY.mul_f64(0.5 + fastrand::f64())).await;
                let answered = timeout(PATHWAY_CHECK_WAIT, self.ask(endpoint, uri)).await;
                pathway.checked(answered.unwrap_or(Health::Down));
            }
        });
        join_all(checks).await;
    }

    async fn ask(&self, endpoint: &Endpoint, uri: &Uri) -> Health {
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let request = Request::builder()
            .method(Method::GET)
            .uri(target)
            .header(HOST, endpoint.authority())
            .header(CONNECTION, "close")
            .body(Bytes::new());
        let Ok(request) = request else {
            return Health::Down;
        };
        let route = Route {
            endpoint,
            sni: &endpoint.host,
            // Whether it takes connections is half of the question.
            connection: Connection::Fresh,
        };
        match self.client.send(route, request).await {
            Ok(answer) if !answer.status.is_server_error() => Health::Up,
            Ok(_) | Err(_) => Health::Down,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Up,
    Down,
}

impl Checked {
    fn of(pathway: &Pathway) -> Self {
        let health = pathway.health.as_ref().and_then(|url| {
            let uri: Uri = url.parse().ok()?;
            Some((Endpoint::of(&uri)?, uri))
        });
        Self {
            name: pathway.name.clone(),
            health,
            failures: AtomicU32::new(0),
        }
    }

    fn is_up(&self) -> bool {
        self.failures.load(Ordering::Relaxed) < DOWN_AFTER
    }

    fn checked(&self, health: Health) {
        let was_up = self.is_up();
        match health {
            Health::Up => self.failures.store(0, Ordering::Relaxed),
            Health::Down => {
                let failures = self.failures.load(Ordering::Relaxed).saturating_add(1);
                self.failures.store(failures, Ordering::Relaxed);
            }
        }
        match (was_up, self.is_up()) {
            (true, false) => {
                METRICS.pathways_down.inc();
                tracing::warn!(pathway = self.name, "pathway is down");
            }
            (false, true) => {
                METRICS.pathways_down.dec();
                tracing::info!(pathway = self.name, "pathway is up");
            }
            (true, true) | (false, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn pathway(health: Option<String>) -> Checked {
        Checked::of(&Pathway {
            name: "pop2".to_owned(),
            url: "https://edge2.example.com".to_owned(),
            health,
        })
    }

    #[test]
    fn a_pathway_is_down_after_checks_that_fail_in_a_row_and_up_with_the_first_that_does_not() {
        let pathway = pathway(None);
        assert!(pathway.is_up());
        for (health, is_up) in [
            (Health::Down, true),
            (Health::Up, true),
            (Health::Down, true),
            (Health::Down, false),
            (Health::Down, false),
            (Health::Up, true),
            (Health::Down, true),
        ] {
            pathway.checked(health);
            assert_eq!(pathway.is_up(), is_up);
        }
    }

    #[tokio::test]
    async fn any_answer_below_500_is_health_and_nothing_else_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/up?x=1", listener.local_addr().unwrap());
        let answers = ["200 OK", "404 Not Found", "302 Found", "503 Busy", ""];
        let server = tokio::spawn(async move {
            let mut heads = Vec::new();
            for status in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                heads.push(String::from_utf8(head).unwrap());
                let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                if !status.is_empty() {
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            }
            heads
        });
        let (checked, pathways) = (pathway(Some(url)), Pathways::new(&[]));
        let (endpoint, uri) = checked.health.as_ref().unwrap();
        let (up, down) = (Health::Up, Health::Down);
        for (expected, status) in [up, up, up, down, down].into_iter().zip(answers) {
            assert_eq!(pathways.ask(endpoint, uri).await, expected, "{status}");
        }
        let heads = server.await.unwrap();
        assert!(
            heads[0].starts_with("GET /up?x=1 HTTP/1.1\r\n"),
            "{}",
            heads[0]
        );
        assert_eq!(pathways.ask(endpoint, uri).await, Health::Down, "gone");
    }

    #[test]
    fn a_site_without_pathways_has_none_to_ask_of() {
        assert_eq!(Pathways::new(&[]).healthy("nowhere"), Vec::<bool>::new());
    }
}
