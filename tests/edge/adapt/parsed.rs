//! Manifests that are kept parsed: once for all clients, within their part of the memory.

use std::fs;

use super::{builder, master, origin, sample};

#[tokio::test]
async fn a_manifest_is_parsed_once_for_all_clients_and_again_when_it_changes() {
    let origin = origin().await;
    let edge = builder(&origin).run().await;
    let parsed = async |result| {
        edge.metric("weir_manifests_parsed_total", &[("result", result)])
            .await
    };
    for target in [
        "/t/master.m3u8",
        "/adaptive_stream/t",
        "/t/manifest.mpd?max_height=360",
        "/t/manifest.mpd?max_height=360",
        "/t/manifest.mpd",
    ] {
        master(&edge, target).await;
    }
    assert!((parsed("miss").await - 2.0).abs() < 0.5);
    assert!((parsed("hit").await - 3.0).abs() < 0.5);
    let changed = fs::read_to_string(sample().join("master.m3u8")).unwrap();
    let changed = changed.replace("#EXT-X-STREAM-INF:", "#EXT-X-STREAM-INF:X-NEW=1,");
    origin.put("/t/master.m3u8", changed.into());
    edge.purge("/t/master.m3u8").await;
    let text = master(&edge, "/t/master.m3u8").await.text();
    assert!(text.contains("X-NEW=1"), "{text}");
    assert!((parsed("miss").await - 3.0).abs() < 0.5);
}

#[tokio::test]
async fn manifests_kept_parsed_push_each_other_out_within_a_sixteenth_of_the_memory() {
    let origin = origin().await;
    let edge = builder(&origin).memory("16MiB").run().await;
    let playlist = fs::read_to_string(sample().join("master.m3u8")).unwrap();
    for nth in 0..100 {
        let path = format!("/t/{nth}.m3u8");
        origin.put(&path, format!("{playlist}#EXT-X-NTH:{nth}\n").into());
        master(&edge, &path).await;
    }
    let metrics = edge.metrics().await;
    let evicted = metrics.sum("weir_manifests_parsed_evictions_total", &[]);
    assert!(evicted > 0.5, "none pushed out of a hundred");
    let bytes = metrics.sum("weir_manifests_parsed_bytes", &[]);
    let most = f64::from(16 << 20) / 16.0;
    assert!(bytes <= most, "{bytes} bytes");
    assert!(bytes > most / 2.0, "{bytes} bytes although there is room");
}
