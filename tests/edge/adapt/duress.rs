//! What players are told by a node that has more to do than it can do well.

use tokio::net::TcpStream;

use super::builder;
use super::server::MASTER;
use crate::harness::web;

#[tokio::test]
async fn a_node_under_duress_tells_whoever_begins_to_start_with_the_least() {
    let origin = web::start().await;
    origin.put("/t/master.m3u8", MASTER.into());
    let edge = builder(&origin)
        .node("pop")
        .set("server.max_connections", 100)
        .set("site.adapt.holdout_percent", 50)
        .run()
        .await;
    let calm = edge.get("/t/master.m3u8").await.whole(200);
    assert_eq!(calm.header("cmsd-dynamic"), "", "nothing is known");
    let url = edge.url("");
    let address = url.strip_prefix("http://").unwrap();
    let mut held = Vec::new();
    while held.len() < 92 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    edge.metric_reaches(("weir_duress", &[]), 1.0).await;
    for _ in 0..8 {
        let answer = edge.get("/t/master.m3u8").await.whole(200);
        assert_eq!(
            answer.header("cmsd-dynamic"),
            "\"pop\";du;mb=800",
            "whatever its arm"
        );
        assert!(answer.text().contains("3000000"), "the ladder stays");
    }
    let off = edge.get("/t/master.m3u8?mode=off").await.whole(200);
    assert_eq!(off.header("cmsd-dynamic"), "");
}

#[tokio::test]
async fn segments_withdraw_what_duress_told_where_urls_name_no_session() {
    let origin = web::start().await;
    origin.put("/t/1.m4s", "segment".into());
    for (session, expected) in [("path", ""), ("connection", "\"pop\""), ("off", "\"pop\"")] {
        let builder = builder(&origin).set("site.adapt.session", session);
        let edge = builder.node("pop").run().await;
        let answer = edge.get("/t/1.m4s").await.whole(200);
        assert_eq!(answer.header("cmsd-dynamic"), expected, "{session}");
    }
}
