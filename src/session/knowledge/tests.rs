//! What is learnt of sessions, who is told of it, and what is forgotten.

use std::time::Duration;

use super::*;
use crate::session::sample::Bound;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const SITE: &str = "films";

fn knowledge() -> Knowledge {
    Knowledge::new([SITE, "live"].into_iter(), Some(Outbox::new(1000)))
}

fn who(index: u8) -> Who {
    Who::signed([index; 16], Arm::Hinted)
}

/// Client number `index` of a network.
fn client(index: u8, network: u8) -> Client {
    Client {
        own: [[index; 16], [index ^ 0x80; 16]],
        network: [[network; 16], [network ^ 0x80; 16]],
    }
}

fn sample(mbps: u64, now: UnixMillis) -> Sample {
    Sample {
        bytes: mbps * 125_000,
        busy: Duration::from_secs(1),
        began: now.before(Duration::from_secs(1)),
        bound: Bound::Path,
        rtt: Duration::from_millis(40),
        rtt_min: Duration::from_millis(38),
    }
}

/// A session of ten samples that ends at `now`.
fn session(known: &mut Knowledge, index: u8, client: &Client, mbps: u64, now: UnixMillis) {
    for second in (0..10).rev() {
        let at = now.before(Duration::from_secs(second));
        known.sampled(SITE, who(index), client, &sample(mbps, at));
    }
}

fn megabits(belief: Option<Belief>) -> Option<f64> {
    belief.map(|belief| (belief.ln_mean.exp() / 1e5).round() / 10.0)
}

fn prior(known: &Knowledge, client: &Client, now: UnixMillis) -> Option<Belief> {
    known.prior(SITE, client, None, now)
}

/// Ends every session that was met until `now`; gives back the moment at which they had.
fn ended(known: &mut Knowledge, now: UnixMillis) -> UnixMillis {
    let later = now.after(limits::SESSION_SILENCE_MAX + Duration::from_secs(1));
    known.tidy(1000, later);
    later
}

#[test]
fn what_one_session_shows_the_next_one_of_that_client_begins_with() {
    let mut known = knowledge();
    session(&mut known, 1, &client(1, 1), 5, NOW);
    let estimate = known.estimate(who(1), NOW).unwrap();
    assert_eq!(estimate.bitrate / 100_000, 50);
    let belief = prior(&known, &client(1, 1), NOW).unwrap();
    assert_eq!(megabits(Some(belief)), Some(5.0));
    assert!(
        belief.variance < 0.1 && belief.rtt_millis == Some(40.0),
        "{belief:?}"
    );
    assert_eq!(known.estimate(who(2), NOW), None);
    assert_eq!(prior(&known, &client(2, 2), NOW), None, "a stranger");
    assert_eq!(
        prior(&known, &client(2, 1), NOW),
        None,
        "one client is no network"
    );
    assert_eq!(prior(&known, &Client::default(), NOW), None, "nobody");
}

#[test]
fn the_link_that_changed_in_a_session_is_the_one_the_next_begins_with() {
    let mut known = knowledge();
    session(&mut known, 1, &client(1, 1), 8, NOW);
    let later = NOW.after(Duration::from_secs(30));
    session(&mut known, 1, &client(1, 1), 1, later);
    let belief = prior(&known, &client(1, 1), later);
    assert!(megabits(belief) <= Some(1.2), "{belief:?}");
}

#[test]
fn knowledge_fades_and_ends_after_a_day() {
    let mut known = knowledge();
    session(&mut known, 1, &client(1, 1), 5, NOW);
    let variance = |hours: u64| {
        let now = NOW.after(Duration::from_secs(3600 * hours));
        prior(&known, &client(1, 1), now).map(|belief| belief.variance)
    };
    assert!(variance(1) > variance(0));
    assert!(variance(20) > variance(1));
    assert_eq!(variance(25), None);
    let tomorrow = Client {
        own: [[9; 16], [1; 16]],
        network: [[9; 16], [1; 16]],
    };
    assert_eq!(
        megabits(prior(&known, &tomorrow, NOW)),
        Some(5.0),
        "past midnight"
    );
    session(
        &mut known,
        2,
        &tomorrow,
        8,
        NOW.after(Duration::from_secs(60)),
    );
    let now = NOW.after(Duration::from_secs(60));
    let belief = known.clients.peek(&[9; 16]).unwrap().belief();
    let alone = Belief::of_estimate(&known.estimate(who(2), now).unwrap());
    assert_ne!(belief, alone, "yesterday's counts on");
}

#[test]
fn two_clients_that_look_alike_make_a_wide_belief_and_keep_their_own_estimates() {
    let mut known = knowledge();
    let both = client(1, 1);
    for second in 0..30 {
        let now = NOW.after(Duration::from_secs(second));
        known.sampled(SITE, who(1), &both, &sample(2, now));
        known.sampled(SITE, who(2), &both, &sample(10, now));
    }
    let now = NOW.after(Duration::from_secs(30));
    let megabits = |index| known.estimate(who(index), now).unwrap().bitrate / 1_000_000;
    assert_eq!((megabits(1), megabits(2)), (2, 10));
    let belief = prior(&known, &both, now).unwrap();
    assert!(belief.variance > 0.3, "{belief:?}");
    let range = 2e6_f64.ln()..10e6_f64.ln();
    assert!(range.contains(&belief.ln_mean), "{belief:?}");
}

#[test]
fn a_network_speaks_for_strangers_once_five_clients_stand_behind_it() {
    let mut known = knowledge();
    let mut now = NOW;
    for round in 0..3_u8 {
        for index in 1..5 {
            session(&mut known, 10 * round + index, &client(index, 1), 4, now);
        }
        now = ended(&mut known, now);
        assert_eq!(
            prior(&known, &client(99, 1), now),
            None,
            "the same four again"
        );
    }
    session(&mut known, 90, &client(5, 1), 4, now);
    assert_eq!(prior(&known, &client(99, 1), now), None, "it has not ended");
    now = ended(&mut known, now);
    let belief = prior(&known, &client(99, 1), now);
    assert_eq!(megabits(belief), Some(4.0));
    assert!(belief.unwrap().variance >= 0.25);
    assert_eq!(prior(&known, &client(99, 2), now), None, "another network");
    assert_eq!(known.networks.peek(&[1; 16]).unwrap().clients.len(), 5);
}

#[test]
fn sources_are_asked_from_the_narrow_to_the_wide() {
    let mut known = knowledge();
    let mut now = NOW;
    for index in 0..25 {
        session(&mut known, index, &client(index + 100, index + 100), 3, now);
    }
    now = ended(&mut known, now);
    let stranger = client(1, 1);
    assert_eq!(
        megabits(prior(&known, &stranger, now)),
        Some(2.9),
        "the site's, in bins"
    );
    assert_eq!(
        known.prior("live", &stranger, None, now),
        None,
        "another site"
    );
    let configured = Some(Belief::configured(20_000_000, now));
    let told = known.prior(SITE, &stranger, configured, now);
    assert_eq!(megabits(told), Some(20.0));
    session(&mut known, 200, &stranger, 6, now);
    let own = known.prior(SITE, &stranger, configured, now).unwrap();
    let between = 6e6_f64.ln()..8e6_f64.ln();
    assert!(between.contains(&own.ln_mean), "{own:?}");
    assert!(own.variance < 0.1);
}

#[test]
fn what_players_only_say_is_nobody_elses_prior() {
    let mut known = knowledge();
    let said = Report {
        throughput: Some(100_000),
        ..Report::default()
    };
    for index in 0..25 {
        let claims = client(index + 100, 1);
        known.reported(SITE, sid(u32::from(index)), &claims, &said, NOW);
    }
    let now = ended(&mut known, NOW);
    assert_eq!(prior(&known, &client(1, 1), now), None);
}

#[test]
fn what_a_player_gets_of_sound_counts_only_where_there_is_no_picture() {
    let report = |kind: &str, kbps: u64| Report {
        bitrate: Some(kbps),
        throughput: Some(1000 * kbps),
        object_type: Some(kind.to_owned()),
        ..Report::default()
    };
    let mut known = knowledge();
    for (index, kinds) in [(1, &["v", "a", "a", "a"][..]), (2, &["a", "a"])] {
        for kind in kinds {
            let said = report(kind, if *kind == "v" { 5000 } else { 500 });
            known.reported(SITE, who(index), &client(index, 1), &said, NOW);
        }
    }
    assert_eq!(megabits(prior(&known, &client(1, 1), NOW)), Some(5.0));
    assert_eq!(megabits(prior(&known, &client(2, 1), NOW)), Some(0.5));
}

#[test]
fn a_session_ends_once_and_tells_how_it_played() {
    let mut known = knowledge();
    let report = Report {
        bitrate: Some(2_000_000),
        duration: Some(Duration::from_secs(6)),
        throughput: Some(5_000_000),
        buffer: Some(Duration::from_secs(9)),
        object_type: Some("v".to_owned()),
        ..Report::default()
    };
    for second in [0, 6] {
        let now = NOW.after(Duration::from_secs(second));
        known.reported(SITE, who(1), &client(1, 1), &report, now);
    }
    let live = known.live(10, NOW.after(Duration::from_secs(6)));
    let [one] = live.as_slice() else {
        panic!("{live:?}");
    };
    assert_eq!(&*one.site, SITE);
    assert_eq!(one.bitrate, Some(2_000_000));
    assert_eq!(one.buffer, Some(Duration::from_secs(9)));
    assert_eq!(megabits(prior(&known, &client(1, 1), NOW)), Some(5.0));
    let later = ended(&mut known, NOW.after(Duration::from_secs(6)));
    assert!(known.live(10, later).is_empty(), "silent");
    let ends = known.take_ended();
    assert_eq!(ends.len(), 1);
    assert_eq!((&*ends[0].site, ends[0].arm), (SITE, Arm::Hinted));
    known.tidy(1000, later);
    assert!(known.take_ended().is_empty());
    assert_eq!(known.sessions(), 1, "it is remembered for a while");
    known.tidy(1000, later.after(limits::SESSION_LIFE));
    assert_eq!(known.sessions(), 0);
}

#[test]
fn tables_stay_within_their_bounds() {
    let mut known = Knowledge {
        sessions: Roster::new(8, 2),
        clients: Table::new(8),
        networks: Table::new(8),
        asked: Table::new(8),
        outbox: Some(Outbox::new(8)),
        ..knowledge()
    };
    let evictions = METRICS.session_evictions.get();
    for index in 0..200 {
        let now = NOW.after(Duration::from_secs(u64::from(index)));
        known.sampled(SITE, who(index), &client(index, index), &sample(3, now));
        known.unknown(Some(who(index)), &client(index, index), now);
        known.tidy(1000, now);
        let sizes = [
            known.sessions.len(),
            known.clients.len(),
            known.networks.len(),
        ];
        assert!(sizes.iter().all(|size| *size <= 8), "{sizes:?}");
        assert!(known.asked.len() <= 8);
    }
    assert!(METRICS.session_evictions.get() > evictions);
    let waiting = known
        .outbox
        .as_mut()
        .map(|outbox| std::iter::from_fn(|| outbox.pop()).count());
    assert_eq!(waiting, Some(8));
    assert_eq!(known.estimate(who(0), NOW), None, "forgotten");
}

#[test]
fn a_site_that_is_none_is_not_counted() {
    let mut known = knowledge();
    known.sampled("nowhere", who(1), &client(1, 1), &sample(3, NOW));
    known.reported("nowhere", who(1), &client(1, 1), &Report::default(), NOW);
    assert_eq!(known.sessions(), 0);
}

/// Everything that one node would write, read by another.
fn told(from: &mut Knowledge, to: &mut Knowledge, now: UnixMillis) -> usize {
    let records = from.to_share(1000, now);
    let count = records.len();
    for (place, record) in records {
        let read = Record::read(place.kind, &record.to_bytes(), now).unwrap();
        assert_eq!(read, record);
        to.recalled(place, read, now);
    }
    count
}

#[test]
fn another_node_answers_with_the_same_knowledge() {
    let (mut a, mut b) = (knowledge(), knowledge());
    session(&mut a, 1, &client(1, 1), 5, NOW);
    assert_eq!(told(&mut a, &mut b, NOW), 2);
    assert_eq!(told(&mut a, &mut b, NOW), 0, "nothing has changed since");
    assert_eq!(b.estimate(who(1), NOW), a.estimate(who(1), NOW));
    assert_eq!(prior(&b, &client(1, 1), NOW), prior(&a, &client(1, 1), NOW));
    let now = ended(&mut a, NOW);
    assert_eq!(told(&mut a, &mut b, now), 1);
    assert_eq!(b.networks.peek(&[1; 16]), a.networks.peek(&[1; 16]));
}

#[test]
fn older_knowledge_does_not_displace_newer() {
    let (mut a, mut b) = (knowledge(), knowledge());
    session(&mut a, 1, &client(1, 1), 5, NOW);
    let later = NOW.after(Duration::from_secs(20));
    session(&mut b, 1, &client(1, 1), 2, later);
    told(&mut a, &mut b, later);
    let megabits_of = |known: &Knowledge| known.estimate(who(1), later).unwrap().bitrate / 100_000;
    assert_eq!(megabits_of(&b), 20);
    assert_eq!(megabits(prior(&b, &client(1, 1), later)), Some(2.0));
    assert_eq!(megabits_of(&a), 50);
    b.changed(Kind::Session, who(1).0);
    b.changed(Kind::Client, [1; 16]);
    told(&mut b, &mut a, later);
    assert_eq!(megabits_of(&a), 20, "what is newer counts");
    assert_eq!(megabits(prior(&a, &client(1, 1), later)), Some(2.0));
    let returned = later.after(Duration::from_secs(10));
    session(&mut a, 1, &client(1, 1), 4, returned);
    let own = a.estimate(who(1), returned).unwrap().bitrate;
    assert!(
        (3_500_000..=4_700_000).contains(&own),
        "its own again: {own}"
    );
}

#[test]
fn others_are_asked_of_the_unknown_and_not_over_and_over() {
    let mut known = knowledge();
    let asked = |known: &mut Knowledge, index: Option<u8>, client: &Client, now: UnixMillis| {
        known.unknown(index.map(who), client, now).len()
    };
    assert_eq!(asked(&mut known, Some(1), &client(1, 1), NOW), 5);
    assert_eq!(
        asked(&mut known, Some(1), &client(1, 1), NOW),
        0,
        "just now"
    );
    assert_eq!(
        asked(&mut known, Some(1), &client(2, 1), NOW),
        2,
        "another of that network"
    );
    assert_eq!(asked(&mut known, None, &Client::default(), NOW), 0);
    let later = NOW.after(limits::SESSION_RECALL_AGAIN + Duration::from_millis(1));
    known.sampled(SITE, who(1), &client(1, 1), &sample(5, later));
    assert_eq!(
        asked(&mut known, Some(1), &client(1, 1), later),
        4,
        "its session plays here"
    );
}

fn sid(index: u32) -> Who {
    let mut hash = [0x5a; 16];
    hash[..4].copy_from_slice(&index.to_be_bytes());
    Who::claimed(hash, Arm::Hinted)
}

fn buffered(seconds: u64) -> Report {
    Report {
        buffer: Some(Duration::from_secs(seconds)),
        throughput: Some(1_000_000),
        ..Report::default()
    }
}

/// Names and buffers of the sessions that play.
fn playing(known: &Knowledge, now: UnixMillis) -> Vec<(String, Option<u64>)> {
    let live = known.live(10, now).into_iter();
    live.map(|live| (live.name, live.buffer.map(|buffer| buffer.as_secs())))
        .collect()
}

/// Twelve seconds of media, asked for by a client that is known by a `sid` alone.
fn begins(known: &mut Knowledge, sid: Who, client: &Client) {
    for _ in 0..2 {
        let report = Report {
            bitrate: Some(2_000_000),
            duration: Some(Duration::from_secs(6)),
            ..buffered(0)
        };
        known.reported(SITE, sid, client, &report, NOW);
    }
}

#[test]
fn what_a_sid_began_and_what_it_shows_later_is_the_sessions_that_came_with_it() {
    let mut known = knowledge();
    let own = client(1, 1);
    begins(&mut known, sid(7), &own);
    assert_eq!(playing(&known, NOW), [(sid(7).short(), Some(0))]);
    let estimate = known.estimate(sid(7), NOW);
    assert!(estimate.is_some());
    known.also_known(SITE, who(1), sid(7), &own, NOW);
    assert_eq!(known.known_by(sid(7), &own), Some(who(1)));
    let one = [(who(1).short(), Some(0))];
    assert_eq!(playing(&known, NOW), one, "it goes on");
    assert_eq!(known.estimate(who(1), NOW), estimate);
    assert_eq!(known.live(10, NOW)[0].bitrate, Some(2_000_000));
    assert!(known.take_ended().is_empty(), "nothing has ended");
    // A connection that was told of the sid before goes on.
    known.reported(SITE, sid(7), &own, &buffered(9), NOW);
    known.sampled(SITE, sid(7), &own, &sample(3, NOW));
    assert_eq!(playing(&known, NOW), [(who(1).short(), Some(9))]);
    assert_ne!(known.estimate(who(1), NOW), estimate);
    assert!(!known.is_met(sid(7)));
    ended(&mut known, NOW);
    let ends = known.take_ended();
    assert_eq!(ends.len(), 1, "one session, with what its sid has told");
    assert_eq!(ends[0].arm, who(1).arm());
}

#[test]
fn what_a_sid_showed_is_dropped_where_its_session_has_begun_or_others_had_a_part_in_it() {
    let (own, other) = (client(1, 1), client(2, 2));
    for has_begun in [true, false] {
        let mut known = knowledge();
        begins(&mut known, sid(7), &own);
        match has_begun {
            true => known.reported(SITE, who(1), &own, &Report::default(), NOW),
            false => known.reported(SITE, sid(7), &other, &buffered(0), NOW),
        }
        known.also_known(SITE, who(1), sid(7), &own, NOW);
        assert_eq!(known.known_by(sid(7), &own), Some(who(1)));
        assert_eq!(playing(&known, NOW), [(who(1).short(), None)]);
        assert_eq!(known.estimate(who(1), NOW), None, "{has_begun}");
        ended(&mut known, NOW);
        assert!(known.take_ended().is_empty(), "it is not counted");
    }
}

#[test]
fn the_last_session_of_a_client_has_the_sid_that_its_player_keeps() {
    let mut known = knowledge();
    let own = client(1, 1);
    for index in [4, 8, 4] {
        known.also_known(SITE, who(index), sid(7), &own, NOW);
        assert_eq!(known.known_by(sid(7), &own), Some(who(index)));
        assert_eq!(known.aliases.len(), 1);
    }
}

#[test]
fn nobody_takes_over_what_another_client_is_known_by() {
    let mut known = knowledge();
    let (own, other) = (client(1, 1), client(2, 2));
    known.also_known(SITE, who(1), sid(7), &own, NOW);
    known.also_known(SITE, who(2), sid(7), &other, NOW);
    assert_eq!(known.known_by(sid(7), &own), Some(who(1)));
    known.reported(SITE, sid(8), &own, &buffered(5), NOW);
    known.reported(SITE, sid(8), &other, &buffered(6), NOW);
    known.also_known(SITE, who(2), sid(8), &other, NOW);
    assert_eq!(known.known_by(sid(8), &other), None, "it plays elsewhere");
    assert!(known.is_met(sid(8)));
    known.also_known(SITE, sid(9), sid(10), &own, NOW);
    known.also_known(SITE, who(1), who(2), &own, NOW);
    assert_eq!(known.known_by(sid(10), &own), None, "nothing vouches");
    assert_eq!(known.known_by(who(2), &own), None, "it has an id");
}

#[test]
fn a_sid_from_elsewhere_tells_how_a_session_plays_and_not_how_fast_its_link_is() {
    let mut known = knowledge();
    let (own, other) = (client(1, 1), client(2, 2));
    session(&mut known, 1, &own, 5, NOW);
    known.also_known(SITE, who(1), sid(7), &own, NOW);
    let beliefs = |known: &Knowledge| (known.estimate(who(1), NOW), prior(known, &own, NOW));
    let before = beliefs(&known);
    assert!(before.0.is_some() && before.1.is_some());
    let lie = Report {
        throughput: Some(100_000_000),
        ..buffered(3)
    };
    for liar in [&other, &Client::default(), &own] {
        assert!(known.heard(SITE, sid(7), liar, &lie, NOW), "it is taken in");
        assert_eq!(beliefs(&known), before, "{liar:?}");
        assert_eq!(playing(&known, NOW), [(who(1).short(), Some(3))]);
    }
    assert_eq!(prior(&known, &other, NOW), None, "nothing of the sender");
    known.reported(SITE, sid(7), &other, &lie, NOW);
    known.sampled(SITE, sid(7), &other, &sample(100, NOW));
    assert_eq!(beliefs(&known), before);
    assert_eq!(known.sessions(), 2, "a session of its own");
    // The signed id behind it is told all.
    assert!(known.heard(SITE, who(1), &own, &lie, NOW));
    assert_ne!(beliefs(&known), before);
}

#[test]
fn only_signed_ids_begin_sessions_by_an_event() {
    let mut known = knowledge();
    let own = client(1, 1);
    assert!(!known.heard(SITE, sid(7), &own, &buffered(1), NOW));
    assert_eq!(known.sessions(), 0);
    assert!(known.heard(SITE, who(1), &own, &buffered(2), NOW));
    assert_eq!(playing(&known, NOW), [(who(1).short(), Some(2))]);
    known.reported(SITE, sid(7), &own, &Report::default(), NOW);
    assert!(known.heard(SITE, sid(7), &own, &buffered(3), NOW), "met");
    assert_eq!(known.sessions(), 2);
}

#[test]
fn clients_that_cannot_be_told_are_not_one() {
    let mut known = knowledge();
    let nobody = Client::default();
    known.reported(SITE, sid(7), &nobody, &buffered(1), NOW);
    known.also_known(SITE, who(1), sid(7), &nobody, NOW);
    assert!(known.is_met(sid(7)), "it may be anybody's");
    known.also_known(SITE, who(1), sid(8), &nobody, NOW);
    known.also_known(SITE, who(2), sid(8), &nobody, NOW);
    assert_eq!(known.aliases.of(sid(8)), Some(who(1)));
    assert_eq!(known.known_by(sid(8), &nobody), None);
    // Who comes with an address later begins it.
    known.reported(SITE, who(1), &client(1, 1), &buffered(1), NOW);
    assert_eq!(known.known_by(sid(8), &client(1, 1)), Some(who(1)));
    assert_eq!(known.known_by(sid(8), &nobody), None);
}

#[test]
fn sids_are_bounded_by_session_and_go_with_it() {
    let mut known = knowledge();
    let bound = u32::try_from(limits::SESSION_SIDS_MAX).unwrap();
    for index in 0..100 {
        known.also_known(SITE, who(1), sid(index), &client(1, 1), NOW);
        assert!(known.aliases.len() <= limits::SESSION_SIDS_MAX);
    }
    known.also_known(SITE, who(1), sid(0), &client(1, 1), NOW);
    assert_eq!(known.aliases.of(sid(0)), Some(who(1)), "it is noted again");
    for index in 100 - bound..100 {
        known.also_known(SITE, who(1), sid(index), &client(1, 1), NOW);
    }
    known.also_known(SITE, who(2), sid(200), &client(2, 2), NOW);
    let last = (100 - bound..100).map(sid);
    assert!(
        last.clone()
            .all(|sid| known.aliases.of(sid) == Some(who(1)))
    );
    assert_eq!(known.aliases.len(), limits::SESSION_SIDS_MAX + 1);
    let later = NOW.after(limits::SESSION_LIFE);
    known.sampled(SITE, who(2), &client(2, 2), &sample(3, later));
    known.tidy(1000, later.after(Duration::from_secs(1)));
    assert_eq!(known.aliases.of(sid(99)), None, "its session is over");
    assert_eq!(
        known.aliases.of(sid(200)),
        Some(who(2)),
        "its session plays"
    );
    known.sessions = Roster::new(2, 1);
    known.aliases = Aliases::default();
    for index in 1..=9 {
        let own = sid(u32::from(index));
        known.also_known(SITE, who(4 * index), own, &client(index, index), later);
        assert_eq!(known.aliases.len(), 1, "the one before was pushed out");
    }
}

#[test]
fn a_flood_of_made_up_sids_leaves_what_is_known_of_signed_sessions() {
    let mut known = knowledge();
    let signed = [4, 8, 12];
    for index in signed {
        session(&mut known, index, &client(index, 1), 5, NOW);
        known.also_known(
            SITE,
            who(index),
            sid(u32::from(index)),
            &client(index, 1),
            NOW,
        );
    }
    let estimates = |known: &Knowledge| signed.map(|index| known.estimate(who(index), NOW));
    let before = estimates(&known);
    assert!(before.iter().all(Option::is_some));
    let evictions = METRICS.session_evictions.get();
    let flood = u32::try_from(2 * limits::SESSIONS_MAX).unwrap();
    for index in 0..flood {
        known.reported(SITE, sid(1000 + index), &client(99, 9), &buffered(1), NOW);
    }
    assert_eq!(
        known.sessions(),
        limits::SESSIONS_MAX,
        "the flood filled it"
    );
    assert!(METRICS.session_evictions.get() >= evictions + u64::from(flood) / 2);
    assert_eq!(estimates(&known), before);
    assert_eq!(known.aliases.of(sid(8)), Some(who(8)));
    session(&mut known, 16, &client(16, 1), 5, NOW);
    assert!(known.estimate(who(16), NOW).is_some(), "another begins");
    assert_eq!(known.sessions(), limits::SESSIONS_MAX);
}
