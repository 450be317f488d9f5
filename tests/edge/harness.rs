//! What tests are written with: `edge::new().origin(&store).redis(&redis).run().await`.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod edge;
pub(crate) mod files;
pub(crate) mod link;
pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod s3;
pub(crate) mod turn;
pub(crate) mod web;

/// Waits until `holds` is true.
///
/// For states that arrive on their own (a process that starts, a breaker that opens). Where an
/// answer or a gate can be awaited, do that.
///
/// # Panics
/// When it is still false after `patience`; the message says `what` was awaited.
pub(crate) async fn eventually<F, R>(what: &str, patience: Duration, mut holds: F)
where
    F: FnMut() -> R,
    R: Future<Output = bool>,
{
    let start = Instant::now();
    while !holds().await {
        assert!(
            start.elapsed() < patience,
            "not within {patience:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Bytes that differ at every offset of interest and from one `seed` to the next.
pub(crate) fn bytes(seed: u64, length: usize) -> bytes::Bytes {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut data = vec![0; length];
    random.fill(&mut data);
    data.into()
}

/// Asserts that two bodies are equal without printing megabytes when they are not.
#[track_caller]
pub(crate) fn assert_same(got: &[u8], expected: &[u8]) {
    let differs = got.iter().zip(expected).position(|(a, b)| a != b);
    assert!(
        got.len() == expected.len() && differs.is_none(),
        "{} bytes in place of {}, first difference at {differs:?}",
        got.len(),
        expected.len(),
    );
}
