//! Live MPDs, which their players ask for again and again.

use std::fs;

use super::{builder, master, origin, sample};

/// The sample title's MPD as if it still grew.
fn live() -> String {
    let text = fs::read_to_string(sample().join("manifest.mpd")).unwrap();
    text.replace(
        "type=\"static\"",
        "type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\" \
         minimumUpdatePeriod=\"PT2S\"",
    )
}

/// Where a player asks for it next.
fn location(text: &str) -> String {
    let (_, rest) = text
        .split_once("<Location>")
        .unwrap_or_else(|| panic!("{text}"));
    rest.split('<').next().unwrap().replace("&amp;", "&")
}

fn rungs(text: &str) -> usize {
    text.matches("<Representation").count()
}

#[tokio::test]
async fn a_live_mpd_is_refreshed_in_its_session_with_what_was_chosen() {
    let origin = origin().await;
    origin.put("/t/live.mpd", live().into());
    let edge = builder(&origin).run().await;
    let first = master(&edge, "/t/live.mpd?max_height=360").await.text();
    let place = location(&first);
    assert!(
        place.starts_with("/~") && place.ends_with("/t/live.mpd?max_height=360"),
        "{place}"
    );
    assert!(!first.contains("540p"), "{first}");
    let second = master(&edge, &place).await.text();
    assert_eq!(location(&second), place, "the same session goes on");
    assert!(!second.contains("540p"), "{second}");
    let third = master(&edge, &place).await;
    assert_eq!(
        third.text(),
        second,
        "nothing of a refresh is left to chance"
    );
    let capped = location(&master(&edge, "/t/live.mpd?mode=single").await.text());
    assert!(capped.contains("mode=single&sustained_kbps="), "{capped}");
    assert_eq!(
        rungs(&master(&edge, &capped).await.text()),
        2,
        "a picture and the sound"
    );
}

#[tokio::test]
async fn a_refresh_keeps_its_rung_also_where_requests_may_not_choose() {
    let origin = origin().await;
    origin.put("/t/live.mpd", live().into());
    let edge = builder(&origin)
        .set("site.query", "all")
        .set("site.adapt.mode", "single")
        .set("site.adapt.client_mode", false)
        .run()
        .await;
    let first = location(&master(&edge, "/t/live.mpd").await.text());
    let (path, query) = first.split_once('?').unwrap();
    assert!(query.starts_with("sustained_kbps="), "{first}");
    let again = master(&edge, &first).await.text();
    assert_eq!(location(&again), first);
    for (kbps, height) in [(1, "180p"), (100_000, "540p")] {
        let marked = format!("{path}?sustained_kbps={kbps}");
        let text = master(&edge, &marked).await.text();
        assert!(text.contains(height) && rungs(&text) == 2, "{text}");
    }
    let seen = origin.seen("/t/live.mpd");
    assert_eq!(seen.len(), 1, "the mark is part of no key: {seen:?}");
}
