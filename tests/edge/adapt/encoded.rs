//! Manifests that an origin would encode.

use std::fs;

use super::{builder, master, origin, sample};

#[tokio::test]
async fn what_is_read_is_asked_for_as_it_is_and_what_comes_encoded_is_counted() {
    let origin = origin().await;
    let playlist = fs::read(sample().join("master.m3u8")).unwrap();
    origin.put_with(
        "/t/encoded.m3u8",
        playlist.into(),
        &[("content-encoding", "gzip")],
    );
    let edge = builder(&origin)
        .set("site.profile", "general")
        .set("site.adapt.mode", "hint")
        .set("site.adapt.session", "path")
        .run()
        .await;
    for path in ["/t/master.m3u8", "/t/encoded.m3u8", "/t/540p.m3u8"] {
        let asking = edge
            .request("GET", path)
            .header("accept-encoding", "gzip, br");
        asking.send().await.whole(200);
        let seen = origin.seen(path);
        let asked = seen.iter().map(|seen| seen.header("accept-encoding"));
        assert!(asked.eq([Some("identity")]), "{path}: {seen:?}");
    }
    let left = [("kind", "hls"), ("result", "encoded")];
    assert!((edge.metric("weir_manifests_total", &left).await - 1.0).abs() < 0.5);
    assert!(master(&edge, "/t/master.m3u8").await.text().contains("/~"));
}
