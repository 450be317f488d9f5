//! What players say of themselves (CMCD), and whose it is: by paths, by names they make up, by
//! events that they post.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::client::{Answer, Protocol};
use crate::harness::edge::Edge;
use crate::harness::web::Web;
use crate::harness::{bytes, edge, web};

const MASTER: &str = "#EXTM3U\n\
    #EXT-X-STREAM-INF:BANDWIDTH=800000,CODECS=\"avc1.4d401e\"\nlow.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1600000,CODECS=\"avc1.4d401e\"\nhigh.m3u8\n";

const LIVE: &str = "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"dynamic\" \
    availabilityStartTime=\"2026-01-01T00:00:00Z\" minimumUpdatePeriod=\"PT2S\" \
    minBufferTime=\"PT2S\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\"><Period id=\"1\">\
    <AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate media=\"$Number$.m4s\" duration=\"2\"/>\
    <Representation id=\"a\" bandwidth=\"800000\"/></AdaptationSet></Period></MPD>";

async fn origin() -> Web {
    let origin = web::start().await;
    origin.put("/t/master.m3u8", MASTER.into());
    origin.put("/t/1.m4s", bytes(1, 3000));
    origin.put("/t/live.mpd", LIVE.into());
    origin
}

/// Asks as a player does that says `cmcd` of itself.
async fn ask(edge: &Edge, path: &str, cmcd: &str) -> Answer {
    ask_as(edge, "player", path, cmcd).await
}

async fn ask_as(edge: &Edge, agent: &str, path: &str, cmcd: &str) -> Answer {
    let request = edge.request("GET", &telling(path, cmcd));
    let request = request.header("user-agent", agent);
    request.send().await.whole(200)
}

fn telling(path: &str, cmcd: &str) -> String {
    let encoded: String = cmcd.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("{path}?CMCD={encoded}")
}

async fn post(edge: &Edge, target: &str, events: &str) {
    let post = edge.request("POST", target);
    let post = post.header("content-type", "application/cmcd");
    let body = Bytes::from(events.to_owned());
    post.body(body).send().await.whole(204);
}

/// Begins a session whose player calls it `sid`; the prefix of its paths.
async fn begin(edge: &Edge, agent: &str, sid: &str) -> String {
    let told = format!("ot=m,bl=0,sid=\"{sid}\"");
    let answer = ask_as(edge, agent, "/t/master.m3u8", &told).await;
    let text = answer.text();
    let uri = text.lines().find(|line| line.starts_with("/~"));
    let uri = uri.unwrap_or_else(|| panic!("no session in\n{text}"));
    format!("/{}", uri.split('/').nth(1).unwrap())
}

/// Rung and buffer of each session that plays, in bit/s and milliseconds.
async fn playing(edge: &Edge) -> Vec<Value> {
    let answer = edge.admin("/v1/sessions").send().await.whole(200);
    let rows: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
    let figures = |row: &Value| json!([row["rung_bits_per_second"], row["buffer_millis"]]);
    rows.iter().map(figures).collect()
}

async fn events(edge: &Edge, result: &str) -> f64 {
    let labels = [("result", result)];
    edge.metric("weir_reported_events_total", &labels).await
}

/// Whether an MPD asks its player for reports, and where it is asked for again.
async fn asked(edge: &Edge, target: &str) -> (bool, String) {
    let mpd = edge.get(target).await.whole(200).text();
    let location = mpd
        .split("<Location>")
        .nth(1)
        .and_then(|rest| rest.split('<').next());
    let location = location.unwrap_or_else(|| panic!("no location in\n{mpd}"));
    (mpd.contains("<CMCDParameters "), location.to_owned())
}

#[tokio::test]
async fn a_share_of_the_sessions_is_asked_for_reports_from_their_beginning_to_their_end() {
    let origin = origin().await;
    let edge = edge::new().origin(&origin);
    let edge = edge.set("site.adapt.cmcd_percent", 50).run().await;
    let mut reporting = 0;
    for _ in 0..64 {
        let (is_asked, again) = asked(&edge, "/t/live.mpd").await;
        assert_eq!(asked(&edge, &again).await, (is_asked, again));
        reporting += u32::from(is_asked);
    }
    assert!((8..56).contains(&reporting), "{reporting} of 64");
}

#[tokio::test]
async fn events_of_a_made_up_sid_are_those_of_the_session_in_the_path() {
    let origin = origin().await;
    let edge = edge::new().origin(&origin).run().await;
    let session = begin(&edge, "player", "made-up").await;
    assert_eq!(playing(&edge).await, [json!([null, 0])]);
    let segment = format!("{session}/t/1.m4s");
    ask(&edge, &segment, "ot=i,sid=\"made-up\"").await;
    assert_eq!(playing(&edge).await, [json!([null, 0])], "it goes on");
    ask(&edge, &segment, "bl=2000,br=800,ot=v,sid=\"made-up\"").await;
    assert_eq!(
        playing(&edge).await,
        [json!([800_000, 2000])],
        "one, not two"
    );
    let event = "e=ps,sid=\"made-up\",sta=p,bl=(7000;v),br=(1600;v),v=2,ts=1\n";
    post(&edge, "/.weir/cmcd", event).await;
    assert_eq!(playing(&edge).await, [json!([1_600_000, 7000])]);
    // A manifest that is asked for again at its own path begins no other one by its sid.
    ask(&edge, "/t/master.m3u8", "ot=m,bl=8000,sid=\"made-up\"").await;
    assert_eq!(playing(&edge).await, [json!([1_600_000, 8000])]);
    let below = format!("{session}/.weir/cmcd");
    post(&edge, &below, "e=t,bl=9000,sid=\"another\"\ne=t,br=800\n").await;
    assert_eq!(playing(&edge).await, [json!([800_000, 9000])]);
    // A post tells by its body alone: its query gives the session no name.
    let posted = format!("{below}?CMCD=sid%3D%22posted%22");
    post(&edge, &posted, "e=t,bl=9500\n").await;
    post(&edge, "/.weir/cmcd", "e=t,sid=\"posted\",bl=1\n").await;
    assert_eq!(playing(&edge).await, [json!([800_000, 9500])]);
    assert_eq!(events(&edge, "taken").await, 4.0);
    assert_eq!(events(&edge, "unknown").await, 1.0);
}

#[tokio::test]
async fn events_of_sessions_that_nobody_plays_begin_none_and_are_counted() {
    let origin = origin().await;
    let edge = edge::new().origin(&origin).run().await;
    let event = "e=ps,sid=\"unheard\",sta=p,bl=7000\n";
    for target in [
        "/.weir/cmcd",
        "/~AAAAAAAAAAAAAAAAAAAAAAAAAAAA/.weir/cmcd",
        "/.weir/cmcd?CMCD=sid%3D%22unheard%22%2Cbl%3D1",
    ] {
        post(&edge, target, event).await;
        assert_eq!(playing(&edge).await, [] as [Value; 0], "{target}");
    }
    post(&edge, "/.weir/cmcd", "e=ps,sta=p\n").await;
    assert_eq!(events(&edge, "unknown").await, 4.0);
    assert_eq!(events(&edge, "taken").await, 0.0);
    // A session that nothing but its sid names is heard of once it plays.
    ask(&edge, "/t/1.m4s", "bl=1000,sid=\"unheard\"").await;
    post(&edge, "/.weir/cmcd", event).await;
    assert_eq!(playing(&edge).await, [json!([null, 7000])]);
    assert_eq!(events(&edge, "taken").await, 1.0);
}

#[tokio::test]
async fn a_sid_that_was_displaced_leads_again_with_the_next_request() {
    let origin = origin().await;
    let edge = edge::new().origin(&origin).run().await;
    let segment = format!("{}/t/1.m4s", begin(&edge, "", "kept").await);
    let mut connection = edge.over(Protocol::Http1).connect().await.unwrap();
    let target = telling(&segment, "ot=v,sid=\"kept\"");
    connection.get(&target).await.unwrap().whole(200);
    for sid in ["second", "third"] {
        ask(&edge, &segment, &format!("ot=v,sid=\"{sid}\"")).await;
    }
    let event = "e=t,sid=\"kept\",bl=5000\n";
    post(&edge, "/.weir/cmcd", event).await;
    assert_eq!(events(&edge, "unknown").await, 1.0);
    connection.get(&target).await.unwrap().whole(200);
    post(&edge, "/.weir/cmcd", event).await;
    assert_eq!(events(&edge, "taken").await, 1.0);
    assert_eq!(playing(&edge).await, [json!([null, 5000])]);
}

/// Two titles, whose players say the same `sid`: rungs and buffers once both have played and an
/// event came by that `sid` alone, and then another one below the title `below`.
async fn two_titles(agents: [&str; 2], below: usize) -> [Vec<Value>; 2] {
    let origin = origin().await;
    let edge = edge::new().origin(&origin).run().await;
    let mut sessions = Vec::new();
    for (agent, rung) in agents.into_iter().zip([800, 1600]) {
        let session = begin(&edge, agent, "mine").await;
        let cmcd = format!("bl=1000,ot=v,br={rung},sid=\"mine\"");
        ask_as(&edge, agent, &format!("{session}/t/1.m4s"), &cmcd).await;
        sessions.push(session);
    }
    post(&edge, "/.weir/cmcd", "e=t,sid=\"mine\",bl=5000\n").await;
    let first = playing(&edge).await;
    let below = format!("{}/.weir/cmcd", sessions[below]);
    post(&edge, &below, "e=t,sid=\"mine\",bl=7000\n").await;
    let mut both = [first, playing(&edge).await];
    for rows in &mut both {
        rows.sort_by_key(|row| row[0].as_u64());
    }
    both
}

#[tokio::test]
async fn nobody_takes_over_the_sid_of_another_session() {
    let [first, then] = two_titles(["player", "another"], 1).await;
    // What the other one asks by the sid alone is nobody's but its own.
    let rows = |buffer| {
        [
            json!([null, 0]),
            json!([800_000, 5000]),
            json!([1_600_000, buffer]),
        ]
    };
    assert_eq!(first, rows(1000));
    assert_eq!(then, rows(7000), "the path counts");
}

#[tokio::test]
async fn the_last_title_of_a_player_has_the_sid_that_it_keeps() {
    let [first, then] = two_titles(["player", "player"], 0).await;
    let rows = |buffer| [json!([800_000, buffer]), json!([1_600_000, 5000])];
    assert_eq!(first, rows(0), "which its next manifest told of");
    assert_eq!(then, rows(7000), "the path counts");
}
