//! Files of many gigabytes, of which a player asks for a little.

use bytes::Bytes;

use crate::harness::client::Answer;
use crate::harness::edge::Edge;
use crate::harness::{assert_same, edge, files, s3, web};

/// Bytes of a block: four chunks of 256 KiB - 64 B.
const BLOCK: usize = 4 * (256 * 1024 - 64);

const EIGHT_GIB: u64 = 8 << 30;

/// Longer than what is filled whole.
const LARGE: usize = 70 * BLOCK;

#[tokio::test]
async fn the_tail_of_a_cold_file_of_8_gib_costs_at_most_two_blocks() {
    let files = files::start();
    files.sparse("/film.mp4", EIGHT_GIB);
    let edge = edge::new().origin(&files).run().await;
    let tail = edge
        .request("GET", "/film.mp4")
        .header("range", "bytes=-1000")
        .send()
        .await;
    let tail = tail.whole(206);
    assert_same(&tail.body, &[0; 1000]);
    let last = EIGHT_GIB - 1;
    let expected = format!("bytes {}-{last}/{EIGHT_GIB}", EIGHT_GIB - 1000);
    assert_eq!(tail.header("content-range"), expected);
    let fetched = edge.metric("weir_origin_body_bytes_total", &[]).await;
    assert!(
        fetched <= 2.0 * BLOCK as f64,
        "{fetched} bytes fetched for 1000"
    );
    assert!(fetched >= 1000.0, "the file origin counts too");
}

#[tokio::test]
async fn a_head_request_for_a_cold_file_of_8_gib_costs_no_body() {
    let files = files::start();
    files.sparse("/film.mp4", EIGHT_GIB);
    let edge = edge::new().origin(&files).run().await;
    let head = edge.request("HEAD", "/film.mp4").send().await.whole(200);
    assert_eq!(head.header("content-length"), EIGHT_GIB.to_string());
    let fetched = edge.metric("weir_origin_body_bytes_total", &[]).await;
    assert!(fetched <= BLOCK as f64, "{fetched} bytes fetched for none");
}

#[tokio::test]
async fn a_client_that_leaves_a_big_file_stops_its_fetching() {
    let files = files::start();
    files.sparse("/film.mp4", EIGHT_GIB);
    let edge = edge::new().origin(&files).run().await;
    let mut reader = edge.over(crate::harness::client::Protocol::Http1).slow();
    reader = reader.clone();
    let mut download = reader.request("GET", "/film.mp4").open().await;
    assert_eq!(download.status, 200);
    download.take(100_000).await.unwrap();
    drop(download);
    edge.metric_reaches(("weir_origin_body_bytes_total", &[]), 1.0)
        .await;
    let fetched = edge.metric("weir_origin_body_bytes_total", &[]).await;
    assert!(
        fetched < 32.0 * BLOCK as f64,
        "{fetched} bytes fetched for 100,000"
    );
}

/// One version of an object: nothing but one byte.
fn version(byte: u8) -> Bytes {
    vec![byte; LARGE].into()
}

async fn part(edge: &Edge, block: usize) -> Answer {
    let first = block * BLOCK;
    let range = format!("bytes={first}-{}", first + 999);
    edge.request("GET", "/film.mp4")
        .header("range", &range)
        .send()
        .await
}

/// Asserts that the bytes are of one version, and returns which.
#[track_caller]
fn one_version(body: &[u8]) -> Option<u8> {
    let first = body.first().copied();
    assert!(
        body.iter().all(|b| Some(*b) == first),
        "bytes of two versions in one answer"
    );
    first
}

/// A reader is in the middle of version 1 when `replace` puts version 2 in its place.
async fn replaced_between_blocks(edge: &Edge, what: &str, replace: impl AsyncFnOnce()) {
    assert_eq!(one_version(&part(edge, 0).await.whole(206).body), Some(1));
    let slow = edge.over(crate::harness::client::Protocol::Http1).slow();
    let mut reader = slow.request("GET", "/film.mp4").open().await;
    let begun = reader.take(BLOCK / 2).await.unwrap();
    assert_eq!(one_version(&begun), Some(1), "{what}");
    replace().await;
    let rest = reader.rest().await;
    assert!(
        rest.broken.is_some(),
        "{what}: version 1 cannot be completed"
    );
    assert_eq!(one_version(&rest.body).unwrap_or(1), 1, "{what}");

    // What follows is version 2, or the node says that it cannot; never version 1 and 2 mixed.
    let whole = || async {
        let answer = edge.get("/film.mp4").await;
        let version = one_version(&answer.body);
        answer.status == 200 && answer.broken.is_none() && version == Some(2)
    };
    let patience = std::time::Duration::from_secs(20);
    crate::harness::eventually(&format!("{what}: version 2"), patience, whole).await;
    assert_eq!(
        one_version(&part(edge, 60).await.whole(206).body),
        Some(2),
        "{what}"
    );
}

#[tokio::test]
async fn an_object_replaced_between_two_blocks_is_never_mixed_with_an_entity_tag() {
    let origin = web::start().await;
    origin.put("/film.mp4", version(1));
    let edge = edge::new().origin(&origin).memory("160MiB").run().await;
    replaced_between_blocks(&edge, "web", async || origin.put("/film.mp4", version(2))).await;
}

#[tokio::test]
async fn an_object_replaced_between_two_blocks_is_never_mixed_with_a_date_only() {
    let origin = web::start().await;
    let dates = [
        "Mon, 05 Jan 2026 10:00:00 GMT",
        "Mon, 05 Jan 2026 11:00:00 GMT",
    ];
    origin.put_with("/film.mp4", version(1), &[("last-modified", dates[0])]);
    let edge = edge::new().origin(&origin).memory("160MiB").run().await;
    replaced_between_blocks(&edge, "dates", async || {
        origin.put_with("/film.mp4", version(2), &[("last-modified", dates[1])]);
    })
    .await;
}

#[tokio::test]
async fn an_object_replaced_between_two_blocks_is_never_mixed_from_a_directory() {
    let files = files::start();
    files.put("/film.mp4", &version(1));
    let edge = edge::new().origin(&files).memory("160MiB").run().await;
    replaced_between_blocks(&edge, "files", async || files.put("/film.mp4", &version(2))).await;
}

#[tokio::test]
async fn an_object_replaced_between_two_blocks_is_never_mixed_from_a_bucket() {
    let store = s3::own().await;
    store.put("/film.mp4", version(1)).await;
    let edge = edge::new().origin(&store).memory("160MiB").run().await;
    replaced_between_blocks(&edge, "s3", async || {
        store.put("/film.mp4", version(2)).await
    })
    .await;
}
