//! What one session has shown is of use to the next: on another node, by steering, on a connection.
//!
//! Everything goes by what players say. The kernel's figures are switched off, since over loopback
//! they would tell of gigabits; where connections are to be the clients' own, which is the same
//! switch, too little is sent for them.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use weir::clock::{self, UnixMillis};
use weir::session::holdout::Arm;
use weir::session::id::SessionId;
use weir::session::secret::Key;

use crate::harness::client::{Answer, Protocol};
use crate::harness::edge::{Builder, Edge};
use crate::harness::redis::Redis;
use crate::harness::web::Web;
use crate::harness::{assert_same, bytes, edge, redis, web};

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
        .set("site.adapt.holdout_percent", 0)
}

/// A node to which connections are the clients' own. By none of them a test may have so much sent
/// that the kernel's figures make a sample: 64 kB.
fn direct<'a>(origin: &Web) -> Builder<'a> {
    let builder = builder(origin).set("session.tcp_info", true);
    builder.set("site.adapt.session", "connection")
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

/// The session that an MPD tells its player.
fn told(mpd: &str) -> String {
    let told = attribute(mpd, "sessionID");
    told.unwrap_or_else(|| panic!("no session in\n{mpd}"))
        .to_owned()
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

#[tokio::test]
async fn sessions_known_by_connection_play_what_the_origin_wrote_and_are_one_by_client() {
    let origin = origin().await;
    let edge = builder(&origin)
        .set("site.adapt.session", "connection")
        .run()
        .await;
    let client = edge.over(Protocol::Http1);
    let mut connection = client.connect().await.unwrap();
    let mut read = async |target: &str| connection.get(target).await.unwrap().whole(200);
    assert_same(&read("/t/master.m3u8").await.body, master().as_bytes());
    for (name, _) in LADDER {
        assert_same(
            &read(&format!("/t/{name}.m3u8")).await.body,
            list().as_bytes(),
        );
    }
    for number in 1..4 {
        let target = format!("/t/{number}.m4s?CMCD=mtp%3D{SAID}%2Cot%3Dv");
        assert_same(&read(&target).await.body, &bytes(number, 3000));
    }
    let rows = sessions(&edge).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_estimated(&rows[0], SAID);
    assert_eq!(rows[0]["estimate"]["samples"], 3, "all of them: {rows:?}");

    let again = read("/t/master.m3u8").await.text();
    assert_eq!(listed(&again), [1_300_000, 1_000_000, 9_000_000]);
    assert!(!again.contains('~'), "{again}");
    let adaptive = read("/adaptive_stream/t").await.text();
    assert!(adaptive.contains("/t/middle.m3u8") && !adaptive.contains('~'));

    let report = "/t/1.m4s?CMCD=mtp%3D9000%2Cot%3Dv";
    get_as(&edge, "another", report).await;
    let rows = sessions(&edge).await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_estimated(&rows[0], 9000);
    assert_estimated(&rows[1], SAID);
}

#[tokio::test]
async fn a_live_mpd_asked_for_again_by_a_connection_goes_on_with_its_session() {
    let origin = origin().await;
    origin.put("/other/manifest.mpd", live().into());
    let edge = direct(&origin).run().await;
    for number in 1..4 {
        let target = format!("/t/{number}.m4s?CMCD=mtp%3D{SAID}%2Cot%3Dv");
        edge.get(&target).await.whole(200);
    }
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut connection = edge.over(protocol).connect().await.unwrap();
        let mut read = async |target: &str| {
            let answer = connection.get(target).await.unwrap().whole(200);
            (answer.text(), answer.header("cmsd-dynamic").to_owned())
        };
        let (first, said) = read("/live/manifest.mpd").await;
        assert_eq!(attribute(&first, "target"), Some("1300000"), "{first}");
        assert!(said.contains(";etp="), "{said}");
        let own = told(&first);
        for _ in 0..3 {
            let (again, said) = read("/live/manifest.mpd").await;
            assert_eq!(told(&again), own);
            assert!(!again.contains("OperatingBandwidth"), "{again}");
            assert_eq!(said, "", "who plays knows better");
            let segment = format!("/live/1.m4s?CMCD=mtp%3D{SAID}%2Cot%3Dv%2Csid%3D%22{own}%22");
            read(&segment).await;
        }
        let vod = told(&read("/t/manifest.mpd").await.0);
        let again = told(&read("/t/manifest.mpd").await.0);
        assert_ne!(again, vod, "who asks for this again begins again");
        assert_ne!(again, own);
        let other = read("/other/manifest.mpd").await.0;
        assert_ne!(told(&other), own);
        let elsewhere = edge.over(protocol).get("/live/manifest.mpd").await;
        let elsewhere = told(&elsewhere.whole(200).text());
        assert_ne!(elsewhere, own);

        let goes_on = told(&read("/live/manifest.mpd").await.0);
        let forged = read("/~forged/live/manifest.mpd").await.0;
        assert_eq!(told(&forged), goes_on, "what names nothing changes nothing");
        let named = format!("/~{elsewhere}/live/manifest.mpd");
        assert_eq!(told(&read(&named).await.0), elsewhere, "what names does");
    }
    let rows = sessions(&edge).await;
    assert_eq!(
        rows.len(),
        3,
        "the client, and each that was told one: {rows:?}"
    );
}

#[tokio::test]
async fn viewers_whose_balancer_has_one_connection_for_them_get_a_session_each() {
    let origin = origin().await;
    let edge = builder(&origin)
        .set("site.adapt.session", "connection")
        .run()
        .await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut connection = edge.over(protocol).connect().await.unwrap();
        let mut ids = HashSet::new();
        for viewer in 1..4 {
            let answer = connection.get("/live/manifest.mpd").await.unwrap();
            ids.insert(told(&answer.whole(200).text()));
            assert_eq!(ids.len(), viewer, "{ids:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_another_user_agent_asked_by_tells_of_no_session_any_more() {
    let origin = origin().await;
    let edge = direct(&origin).run().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = edge.over(protocol);
        let mut connection = client.connect().await.unwrap();
        let mut ids = HashSet::new();
        for (agent, known) in [("one", 1), ("one", 1), ("two", 2), ("one", 3), ("one", 4)] {
            let request = client.request("GET", "/live/manifest.mpd");
            let answer = connection.send(request.header("user-agent", agent)).await;
            ids.insert(told(&answer.unwrap().whole(200).text()));
            assert_eq!(ids.len(), known, "{agent} asks: {ids:?}");
        }
    }
}
