//! Steady load: clients that ask at their own pace, and what each answer took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::client::{Client, Connection};

/// What is asked for, over and over, at random.
#[derive(Clone)]
pub(crate) struct Catalogue(Arc<[(String, Bytes)]>);

impl FromIterator<(String, Bytes)> for Catalogue {
    fn from_iter<I: IntoIterator<Item = (String, Bytes)>>(objects: I) -> Self {
        Self(objects.into_iter().collect())
    }
}

/// Load under way.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Vec<Sample>>>,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) took: Duration,
    pub(crate) error: Option<String>,
}

/// Starts so many clients, each with a request every `pace`.
pub(crate) fn start(client: &Client, catalogue: &Catalogue, shape: (usize, Duration)) -> Load {
    let (clients, pace) = shape;
    let stop = Arc::new(AtomicBool::new(false));
    let workers = (0..clients).map(|seed| {
        let worker = Worker {
            client: client.clone(),
            catalogue: catalogue.clone(),
            stop: Arc::clone(&stop),
            random: fastrand::Rng::with_seed(seed as u64),
        };
        tokio::spawn(worker.run(pace))
    });
    Load {
        workers: workers.collect(),
        stop,
    }
}

/// The latency that all but one in a hundred kept.
pub(crate) fn p99(samples: &[Sample]) -> Duration {
    let mut times: Vec<Duration> = samples.iter().map(|s| s.took).collect();
    times.sort_unstable();
    let rank = times.len().saturating_sub(1) * 99 / 100;
    times.get(rank).copied().unwrap_or_default()
}

impl Load {
    /// Ends the load and returns every sample.
    ///
    /// # Panics
    /// When a request failed: under a fault of Redis no client may notice.
    pub(crate) async fn end(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        let mut samples = Vec::new();
        for worker in self.workers {
            samples.extend(worker.await.unwrap());
        }
        let failed: Vec<&String> = samples.iter().filter_map(|s| s.error.as_ref()).collect();
        assert!(
            failed.is_empty(),
            "{} of {} requests failed: {}",
            failed.len(),
            samples.len(),
            failed[0]
        );
        samples
    }
}

struct Worker {
    client: Client,
    catalogue: Catalogue,
    stop: Arc<AtomicBool>,
    random: fastrand::Rng,
}

impl Worker {
    async fn run(mut self, pace: Duration) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut connection = None;
        // Workers that start together would ask together.
        tokio::time::sleep(pace.mul_f64(self.random.f64())).await;
        let mut ticks = tokio::time::interval(pace);
        while !self.stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            let at = Instant::now();
            let error = self.ask(&mut connection).await.err();
            samples.push(Sample {
                at,
                took: at.elapsed(),
                error,
            });
        }
        samples
    }

    async fn ask(&mut self, connection: &mut Option<Connection>) -> Result<(), String> {
        let (target, body) = &self.catalogue.0[self.random.usize(..self.catalogue.0.len())];
        let mut open = match connection.take() {
            Some(open) => open,
            None => self.client.connect().await?,
        };
        let answer = open.get(target).await?;
        if answer.status != 200 || answer.broken.is_some() || answer.body != *body {
            let length = answer.body.len();
            return Err(format!(
                "{target}: {} {length} B {:?}",
                answer.status, answer.broken
            ));
        }
        *connection = Some(open);
        Ok(())
    }
}
