//! What one session has shown is of use to the next: on its node and on another, and by steering.
//!
//! Everything goes by what players say. The kernel's figures are switched off, since over loopback
//! they would tell of gigabits.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use weir::clock::{self, UnixMillis};
use weir::session::holdout::Arm;
use weir::session::id::SessionId;
use weir::session::secret::Key;

use crate::harness::client::Answer;
use crate::harness::edge::{Builder, Edge};
use crate::harness::redis::Redis;
use crate::harness::web::Web;
use crate::harness::{assert_same, bytes, edge, redis, web};

mod connection;
mod first;

/// Every player starts with the first of these by itself. Of 3 Mbit/s the second one is the better
/// start: it fits, and comes later by less than what a hint may cost.
const LADDER: [(&str, u64); 3] = [
    ("low", 1_000_000),
    ("middle", 1_300_000),
    ("high", 9_000_000),
];

/// What the players of these tests say that they get, in kbit/s.
const SAID: u64 = 3000;

/// Their user agent.
const PLAYER: &str = "player";

/// A look-up that has failed is tried again after a second.
const RECALL_MAX: Duration = Duration::from_secs(10);

/// What a shared secret must be at least as long as.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// How long an id is good for.
const ID_LIFE: Duration = Duration::from_secs(24 * 3600);

fn master() -> String {
    let rungs = LADDER.map(|(name, bandwidth)| {
        format!(
            "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},AVERAGE-BANDWIDTH={bandwidth},\
             RESOLUTION=640x360,CODECS=\"avc1.4d401e\"\n{name}.m3u8\n"
        )
    });
    format!("#EXTM3U\n{}", rungs.concat())
}

fn list() -> String {
    let segments = (1..4).map(|number| format!("#EXTINF:4.0,\n{number}.m4s\n"));
    format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:1\n{}\
         #EXT-X-ENDLIST\n",
        segments.collect::<String>()
    )
}

/// An MPD whose root has these attributes.
fn mpd(attributes: &str) -> String {
    let rungs = LADDER.map(|(name, bandwidth)| {
        format!(
            "<Representation id=\"{name}\" codecs=\"avc1.4d401e\" bandwidth=\"{bandwidth}\" \
             width=\"640\" height=\"360\"/>"
        )
    });
    format!(
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" minBufferTime=\"PT4S\" {attributes}>\
         <Period id=\"0\" start=\"PT0S\">\
         <AdaptationSet contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\">\
         <SegmentTemplate timescale=\"1\" duration=\"4\" startNumber=\"1\" \
         initialization=\"$RepresentationID$.mp4\" media=\"$Number$.m4s\"/>{}\
         </AdaptationSet></Period></MPD>",
        rungs.concat()
    )
}

/// An origin with one title in both forms, all rungs of the same segments, and a live MPD.
async fn origin() -> Web {
    let origin = web::start().await;
    origin.put("/t/master.m3u8", master().into());
    for (name, _) in LADDER {
        origin.put(&format!("/t/{name}.m3u8"), list().into());
    }
    for number in 1..4 {
        origin.put(&format!("/t/{number}.m4s"), bytes(number, 3000));
    }
    let vod = mpd("type=\"static\" mediaPresentationDuration=\"PT12S\"");
    origin.put("/t/manifest.mpd", vod.into());
    origin.put("/live/manifest.mpd", live().into());
    origin.put("/live/1.m4s", bytes(1, 3000));
    origin
}

fn live() -> String {
    mpd(
        "type=\"dynamic\" availabilityStartTime=\"2020-01-01T00:00:00Z\" \
         minimumUpdatePeriod=\"PT2S\"",
    )
}

fn builder<'a>(origin: &Web) -> Builder<'a> {
    let builder = edge::new().origin(origin);
    builder
        .set("session.tcp_info", false)
        .set("session.priors", true)
        .set("site.adapt.holdout_percent", 0)
        .set("site.adapt.cmcd_percent", 100)
}

/// Two nodes of a `PoP`, which share a secret by file.
async fn nodes(origin: &Web, redis: &Redis) -> [Edge; 2] {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    let node = async |name| {
        let node = builder(origin).node(name).redis(redis);
        let node = node.set("session.secret_file", secret.display().to_string());
        node.run().await
    };
    [node("a").await, node("b").await]
}

/// The id, with `~`, that the URIs of a playlist lead below.
fn session(playlist: &str) -> String {
    let line = playlist.lines().find(|line| line.starts_with("/~"));
    let line = line.unwrap_or_else(|| panic!("no session in\n{playlist}"));
    line.split('/').nth(1).unwrap().to_owned()
}

/// Bit rates of the variants as listed.
fn listed(playlist: &str) -> Vec<u64> {
    let variants = playlist.lines().filter_map(|line| {
        let (_, rest) = line.split_once("INF:BANDWIDTH=")?;
        rest.split(',').next()
    });
    variants.map(|number| number.parse().unwrap()).collect()
}

/// The value of an attribute that stands once in a manifest.
fn attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

async fn get_as(edge: &Edge, agent: &str, target: &str) -> Answer {
    let request = edge.request("GET", target).header("user-agent", agent);
    request.send().await.whole(200)
}

/// The first manifest that a node makes with what another one knows. On a machine under load that
/// need not be the first one asked for, since none waits long for Redis.
async fn recalling(edge: &Edge, agent: &str, target: &str) -> Answer {
    let start = Instant::now();
    loop {
        let answer = get_as(edge, agent, target).await;
        if listed(&answer.text())[0] != LADDER[0].1 || start.elapsed() > RECALL_MAX {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Begins a session whose player says [`SAID`] with some segments; the session's id.
async fn plays(edge: &Edge) -> String {
    let text = get_as(edge, PLAYER, "/t/master.m3u8").await.text();
    let ladder = LADDER.map(|(_, bandwidth)| bandwidth);
    assert_eq!(listed(&text), ladder, "nothing is known yet");
    let own = session(&text);
    for number in 1..4 {
        report(edge, &own, number).await;
    }
    own
}

/// Fetches a segment of a session, and says [`SAID`] with it.
async fn report(edge: &Edge, own: &str, number: u64) {
    let target = format!("/{own}/t/{number}.m4s?CMCD=mtp%3D{SAID}%2Cot%3Dv");
    get_as(edge, PLAYER, &target).await;
}

/// Waits until all that a node was told so far of its only session lies in Redis.
async fn shared(edge: &Edge, own: &str) {
    let series = ("weir_session_shares_total", &[("result", "written")][..]);
    // What is written first may be of a turn that had begun before; the next turn is of later.
    for number in 1..3 {
        let written = edge.metric(series.0, series.1).await;
        report(edge, own, number).await;
        edge.metric_reaches(series, written + 2.0).await;
    }
}

async fn sessions(edge: &Edge) -> Vec<Value> {
    let answer = edge.admin("/v1/sessions").send().await.whole(200);
    serde_json::from_slice(&answer.body).unwrap()
}

/// Asserts that a session's estimate is what its player has said, in kbit/s.
#[track_caller]
fn assert_estimated(session: &Value, kbps: u64) {
    let estimate = session["estimate"]["bits_per_second"].as_u64();
    let off = estimate.unwrap_or(0).abs_diff(kbps * 1000);
    assert!(off <= kbps, "{kbps} kbit/s were said: {session}");
}

#[tokio::test]
async fn players_are_heard_in_fields_as_in_the_query() {
    let origin = origin().await;
    let edge = builder(&origin).run().await;
    let query = "?CMCD=bl%3D7000%2Cbr%3D1300%2Cmtp%3D3000%2Cot%3Dv";
    let fields = [
        ("cmcd-object", "br=1300,ot=v"),
        ("cmcd-request", "bl=7000,mtp=3000"),
    ];
    for (count, (query, fields)) in [(query, &[][..]), ("", &fields[..])]
        .into_iter()
        .enumerate()
    {
        let own = session(&get_as(&edge, PLAYER, "/t/master.m3u8").await.text());
        let mut request = edge.request("GET", &format!("/{own}/t/1.m4s{query}"));
        for (name, value) in fields {
            request = request.header(name, value);
        }
        assert_same(&request.send().await.whole(200).body, &bytes(1, 3000));
        let rows = sessions(&edge).await;
        assert_eq!(rows.len(), count + 1, "{rows:?}");
        let row = &rows[0];
        assert_estimated(row, SAID);
        assert_eq!(row["rung_bits_per_second"], 1_300_000, "{row}");
        assert_eq!(row["buffer_millis"], 7000, "{row}");
    }
}

#[tokio::test]
async fn an_expired_id_plays_on_and_counts_for_nobody() {
    let origin = origin().await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    let edge = builder(&origin).set("session.secret_file", secret.display().to_string());
    let edge = edge.run().await;
    let id = |minted: UnixMillis| {
        let key = Key::new(SECRET.as_bytes());
        SessionId::mint(&key, "default", 7, Arm::Hinted, minted).spell()
    };
    let now = clock::now();
    let (fresh, expired) = (id(now), id(now.before(ID_LIFE + Duration::from_secs(120))));
    for (id, is_read) in [(&fresh, true), (&expired, false)] {
        let refused = edge.metric("weir_session_ids_refused_total", &[]).await;
        let target = format!("/~{id}/t/1.m4s?CMCD=mtp%3D{SAID}%2Cot%3Dv");
        let answer = get_as(&edge, PLAYER, &target).await;
        assert_same(&answer.body, &bytes(1, 3000));
        let after = edge.metric("weir_session_ids_refused_total", &[]).await;
        assert_eq!(after == refused, is_read, "{id}");
        let text = get_as(&edge, PLAYER, &format!("/~{id}/t/master.m3u8"))
            .await
            .text();
        let given = text.lines().find(|line| line.starts_with("/~"));
        let goes_on = given.is_none_or(|line| line.starts_with(&format!("/~{id}/")));
        assert_eq!(goes_on, is_read, "{text}");
    }
}

#[tokio::test]
async fn a_client_that_showed_more_starts_higher_in_its_next_session() {
    let origin = origin().await;
    // Or the first segment of one rung were known to be smaller than that of the other.
    let edge = builder(&origin).set("site.adapt.prefetch_segments", 0);
    let edge = edge.run().await;
    plays(&edge).await;
    let next = get_as(&edge, PLAYER, "/t/master.m3u8").await;
    assert_eq!(listed(&next.text()), [1_300_000, 1_000_000, 9_000_000]);
    let told = next.header("cmsd-dynamic");
    assert!(told.contains(";etp=") && told.contains(";mb="), "{told}");
    let mpd = get_as(&edge, PLAYER, "/t/manifest.mpd").await.text();
    assert_eq!(attribute(&mpd, "target"), Some("1300000"), "{mpd}");
    let given = [("result", "given")];
    assert_eq!(edge.metric("weir_hints_total", &given).await, 2.0);
    let off = get_as(&edge, PLAYER, "/t/master.m3u8?mode=off").await;
    assert_same(&off.body, master().as_bytes());
    let single = get_as(&edge, PLAYER, "/t/master.m3u8?mode=single").await;
    assert_eq!(listed(&single.text()), [1_300_000]);
    let stranger = get_as(&edge, "stranger", "/t/master.m3u8").await;
    assert_eq!(listed(&stranger.text()), [1_000_000, 1_300_000, 9_000_000]);
    assert_eq!(stranger.header("cmsd-dynamic"), "");
}

#[tokio::test]
async fn sessions_of_the_holdout_are_told_nothing() {
    let origin = origin().await;
    let edge = builder(&origin).set("site.adapt.holdout_percent", 100);
    let edge = edge.run().await;
    plays(&edge).await;
    let next = get_as(&edge, PLAYER, "/t/master.m3u8").await;
    assert_eq!(listed(&next.text()), [1_000_000, 1_300_000, 9_000_000]);
    assert_eq!(next.header("cmsd-dynamic"), "");
    let held_out = [("result", "holdout")];
    assert!(edge.metric("weir_hints_total", &held_out).await >= 1.0);
}

#[tokio::test]
async fn a_client_known_to_one_node_starts_higher_at_another() {
    let (redis, origin) = (redis::start().await, origin().await);
    let [a, b] = nodes(&origin, &redis).await;
    let own = plays(&a).await;
    shared(&a, &own).await;

    let playlist = recalling(&b, PLAYER, "/t/master.m3u8").await;
    assert_eq!(listed(&playlist.text()), [1_300_000, 1_000_000, 9_000_000]);
    let told = playlist.header("cmsd-dynamic");
    assert!(
        told.starts_with("\"b\"") && told.contains(";etp="),
        "{told}"
    );
    let text = get_as(&b, PLAYER, "/t/manifest.mpd").await.text();
    assert_eq!(attribute(&text, "target"), Some("1300000"), "{text}");

    let playlist = get_as(&b, "stranger", "/t/master.m3u8").await;
    assert_eq!(listed(&playlist.text()), [1_000_000, 1_300_000, 9_000_000]);
    assert_eq!(playlist.header("cmsd-dynamic"), "");
    let text = get_as(&b, "stranger", "/t/manifest.mpd").await.text();
    assert!(!text.contains("OperatingBandwidth"), "{text}");
    let hints = b.metric("weir_hints_total", &[("result", "given")]).await;
    assert_eq!(hints, 2.0, "to the client that is known");
}

#[tokio::test]
async fn a_session_whose_node_dies_goes_on_at_another_as_fast() {
    let (redis, origin) = (redis::start().await, origin().await);
    let [a, b] = nodes(&origin, &redis).await;
    let own = plays(&a).await;
    shared(&a, &own).await;
    let before = sessions(&a).await;
    assert_eq!(before.len(), 1, "{before:?}");
    drop(a);

    // Another user agent: what is known is known of the session.
    let target = format!("/{own}/t/master.m3u8?mode=single");
    let text = recalling(&b, "moved", &target).await.text();
    assert_eq!(listed(&text), [1_300_000], "{text}");
    let uris: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(uris, ["middle.m3u8"], "they stay below the session: {text}");
    let after = sessions(&b).await;
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!(after[0]["session"], before[0]["session"]);
    assert_estimated(&after[0], SAID);
    let list = get_as(&b, "moved", &format!("/{own}/t/middle.m3u8")).await;
    assert_same(&list.body, self::list().as_bytes());
    let segment = get_as(&b, "moved", &format!("/{own}/t/3.m4s")).await;
    assert_same(&segment.body, &bytes(3, 3000));
}

#[tokio::test]
async fn what_players_say_to_steering_is_what_their_sessions_get() {
    let origin = origin().await;
    let edge = builder(&origin)
        .set("site.adapt.steering.url", "https://edge.example")
        .set("site.adapt.steering.pathway", "here")
        .run()
        .await;
    let begin = async || session(&edge.get("/t/master.m3u8").await.whole(200).text());
    let elsewhere = format!(
        "/{}/.weir/steering/hls?_HLS_pathway=there&_HLS_throughput=9000000",
        begin().await
    );
    edge.get(&elsewhere).await.whole(200);
    assert_eq!(
        sessions(&edge).await,
        Vec::<Value>::new(),
        "what another PoP gives says nothing of this one"
    );
    for (count, (query, kbps)) in [
        ("hls?_HLS_throughput=3000000", 3000),
        ("hls?_HLS_pathway=.&_HLS_throughput=2000000", 2000),
        ("hls?_HLS_pathway=here&_HLS_throughput=1000000", 1000),
        ("dash?_DASH_throughput=4000000", 4000),
        (
            "dash?_DASH_pathway=%22there,here%22&_DASH_throughput=7000,5000000",
            5000,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{}/.weir/steering/{query}", begin().await);
        edge.get(&target).await.whole(200);
        let rows = sessions(&edge).await;
        assert_eq!(rows.len(), count + 1, "{query}: {rows:?}");
        assert_estimated(&rows[0], kbps);
    }
}
