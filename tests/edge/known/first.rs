//! How much a player fetches before its first picture decides where it may start.

use super::{
    LADDER, PLAYER, attribute, builder, get_as, list, listed, master, origin, plays, session,
};
use crate::harness::bytes;

/// The beginning of a file: 800 bytes of initialisation, and the index of its first 4 s.
fn indexed(first_bytes: u32) -> Vec<u8> {
    let mut file = vec![0; 800];
    for number in [
        // A box of 44 bytes, of version 0, about track 1, in seconds.
        44,
        u32::from_be_bytes(*b"sidx"),
        0,
        1,
        1,
        // From the beginning of the film, right behind the box: one reference.
        0,
        0,
        1,
        first_bytes,
        4,
        0x9000_0000,
    ] {
        file.extend(number.to_be_bytes());
    }
    file.resize(3000, 7);
    file
}

#[tokio::test]
async fn a_file_whose_index_says_that_it_begins_with_much_is_no_start() {
    let origin = origin().await;
    let rungs = LADDER.map(|(name, bandwidth)| {
        origin.put(&format!("/t/{name}.mp4"), indexed(1_500_000).into());
        format!(
            "<Representation id=\"{name}\" codecs=\"avc1.4d401e\" bandwidth=\"{bandwidth}\" \
             width=\"640\" height=\"360\"><BaseURL>{name}.mp4</BaseURL>\
             <SegmentBase indexRange=\"800-843\"><Initialization range=\"0-799\"/></SegmentBase>\
             </Representation>"
        )
    });
    let text = format!(
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" minBufferTime=\"PT4S\" \
         profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\" \
         mediaPresentationDuration=\"PT12S\"><Period id=\"0\">\
         <AdaptationSet contentType=\"video\" mimeType=\"video/mp4\">{}</AdaptationSet>\
         </Period></MPD>",
        rungs.concat()
    );
    origin.put("/t/demand.mpd", text.into());
    let edge = builder(&origin)
        .set("site.adapt.prefetch_segments", 0)
        .run()
        .await;
    plays(&edge).await;
    let target = async || {
        let text = get_as(&edge, PLAYER, "/t/demand.mpd").await.text();
        attribute(&text, "target").map(str::to_owned)
    };
    assert_eq!(target().await.as_deref(), Some("1300000"));
    edge.get("/t/middle.mp4").await.whole(200);
    edge.settled().await;
    assert_eq!(target().await, None, "it would come four seconds later");
    edge.get("/t/low.mp4").await.whole(200);
    edge.settled().await;
    assert_eq!(
        target().await.as_deref(),
        Some("1300000"),
        "as the other would"
    );
}

#[tokio::test]
async fn the_round_trip_of_the_connection_that_asks_decides_where_it_is_measured() {
    // At 30 Mbit/s the upper one comes 0.45 s later over loopback. Over a usual line, of which a
    // window of TCP that opens takes several round trips, it is 0.53 s; a hint may cost 0.5 s.
    let rung = |name: &str, bandwidth: u64| {
        format!("#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},RESOLUTION=640x360\n{name}.m3u8\n")
    };
    let text = format!(
        "#EXTM3U\n{}{}",
        rung("low", 100_000),
        rung("high", 3_500_000)
    );
    for (measured, expected) in [(true, 3_500_000), (false, 100_000)] {
        let origin = origin().await;
        origin.put("/t/far.m3u8", text.clone().into());
        let edge = builder(&origin)
            .set("session.tcp_info", measured)
            .set("site.adapt.prefetch_segments", 0)
            .run()
            .await;
        let own = session(&get_as(&edge, PLAYER, "/t/master.m3u8").await.text());
        for number in 1..4 {
            let target = format!("/{own}/t/{number}.m4s?CMCD=mtp%3D30000%2Cot%3Dv");
            get_as(&edge, PLAYER, &target).await;
        }
        let text = get_as(&edge, PLAYER, "/t/far.m3u8").await.text();
        assert_eq!(listed(&text)[0], expected, "measured: {measured}");
    }
}

#[tokio::test]
async fn a_rung_whose_sound_begins_with_much_is_no_start() {
    let origin = origin().await;
    let media = ["light", "heavy"].map(|group| {
        format!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{group}\",NAME=\"one\",DEFAULT=YES,\
             URI=\"{group}.m3u8\"\n"
        )
    });
    let mut variants = master().replace("d401e\"", "d401e,mp4a.40.2\",AUDIO=\"heavy\"");
    variants = variants.replacen("heavy", "light", 1);
    origin.put("/t/sounds.m3u8", (variants + &media.concat()).into());
    let list = list().replace("1.m4s", "sound.m4s");
    origin.put("/t/heavy.m3u8", list.into());
    origin.put("/t/sound.m4s", bytes(1, 1_500_000));
    let edge = builder(&origin)
        .set("site.adapt.prefetch_segments", 0)
        .run()
        .await;
    plays(&edge).await;
    let first = async || listed(&get_as(&edge, PLAYER, "/t/sounds.m3u8").await.text())[0];
    assert_eq!(first().await, 1_300_000);
    for path in ["/t/heavy.m3u8", "/t/sound.m4s"] {
        edge.get(path).await.whole(200);
    }
    edge.settled().await;
    assert_eq!(first().await, 1_000_000, "it would come four seconds later");
}
