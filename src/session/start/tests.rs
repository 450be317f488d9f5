//! Tables of starts: who is hinted, where to, and who is left alone.

use std::time::Duration;

use super::{Candidate, Outlook, Player, RULE, etp_least, next, own, reached, rung, sustained};
use crate::clock::UnixMillis;
use crate::session::belief::Belief;
use crate::session::estimator::Estimate;

const PLAYERS: [Player; 3] = [Player::FirstListed, Player::Dash, Player::Shaka];

/// Rungs of `rates` kbit/s, each with a first segment of `seconds` at its rate.
fn ladder(rates: &[u64], seconds: u64) -> Vec<Candidate> {
    let of = |rate: &u64| Candidate {
        rated: rate * 1000,
        bitrate: rate * 1000,
        first_bytes: rate * 1000 * seconds / 8,
        plays: Duration::from_secs(seconds),
    };
    rates.iter().map(of).collect()
}

fn belief(kbps: f64, variance: f64) -> Belief {
    Belief {
        ln_mean: (kbps * 1000.0).ln(),
        variance,
        rtt_millis: Some(40.0),
        at: UnixMillis::default(),
    }
}

const RATES: [u64; 6] = [300, 600, 900, 1600, 2800, 4800];

#[test]
fn players_start_by_themselves_as_their_sources_say() {
    // Player, rates in the manifest's order, index.
    let table: [(Player, &[u64], usize); 12] = [
        (Player::FirstListed, &[300, 600, 900], 0),
        (Player::FirstListed, &[300, 450, 900], 1),
        (Player::FirstListed, &[900, 300, 600], 0),
        (Player::FirstListed, &[9000, 300, 4000], 2),
        (Player::FirstListed, &[9000, 7000], 1),
        (Player::FirstListed, &[0, 0], 0),
        (Player::Dash, &[300, 1000, 1001], 1),
        (Player::Dash, &[2000, 1500], 1),
        (Player::Shaka, &[300, 950, 960], 1),
        (Player::Shaka, &[2000, 1500], 1),
        (Player::Dash, &[], 0),
        (Player::FirstListed, &[], 0),
    ];
    for (player, rates, expected) in table {
        let rungs = ladder(rates, 4);
        assert_eq!(own(player, &rungs), expected, "{player:?} {rates:?}");
    }
}

#[test]
fn listing_first_reaches_what_is_within_the_band_of_hls_js() {
    let rungs = ladder(&[200, 400, 900, 4000, 6000, 9000], 4);
    for (named, expected) in [(0, 1), (1, 1), (2, 2), (3, 3), (4, 3), (5, 3), (9, 1)] {
        assert_eq!(reached(Player::FirstListed, &rungs, named), expected);
    }
    for named in 0..rungs.len() {
        assert_eq!(reached(Player::Dash, &rungs, named), named);
        assert_eq!(reached(Player::Shaka, &rungs, named), named);
    }
}

#[test]
fn the_etp_of_a_rung_makes_shaka_find_that_it_fits() {
    for rated in [100_000_u64, 950_000, 1_600_000, 4_800_000] {
        let estimate = (1_000_000 + etp_least(rated) * 1000) / 2;
        assert!(estimate * 95 / 100 >= rated, "{rated}");
    }
    assert!(etp_least(u64::MAX) > 0);
}

#[test]
fn a_well_known_fast_client_starts_higher_and_a_slow_one_lower() {
    // Player, order of the manifest, kbit/s, rate started with.
    let table: [(Player, [u64; 6], f64, Option<u64>); 6] = [
        (Player::FirstListed, RATES, 30_000.0, Some(4800)),
        (Player::Dash, RATES, 30_000.0, Some(4800)),
        (Player::Shaka, RATES, 30_000.0, Some(4800)),
        (
            Player::FirstListed,
            [4800, 2800, 1600, 900, 600, 300],
            1100.0,
            Some(900),
        ),
        (Player::Dash, RATES, 500.0, Some(300)),
        (Player::Shaka, RATES, 500.0, Some(300)),
    ];
    for (player, rates, kbps, expected) in table {
        let rungs = ladder(&rates, 2);
        let named = rung(&belief(kbps, 0.02), None, &rungs, player);
        let rate = named.map(|named| rungs[named].rated / 1000);
        assert_eq!(rate, expected, "{player:?} {rates:?} at {kbps}");
    }
}

#[test]
fn a_wide_belief_hints_nothing() {
    let rungs = ladder(&RATES, 2);
    for player in PLAYERS {
        let narrow = belief(8000.0, RULE.variance_max);
        let wide = belief(8000.0, RULE.variance_max + 1e-9);
        assert!(rung(&narrow, None, &rungs, player).is_some());
        assert_eq!(rung(&wide, None, &rungs, player), None);
    }
}

#[test]
fn what_the_player_would_choose_is_not_hinted() {
    for (player, kbps) in [
        (Player::FirstListed, 500.0),
        (Player::Dash, 1200.0),
        (Player::Shaka, 1200.0),
    ] {
        let rungs = ladder(&RATES, 4);
        assert_eq!(rung(&belief(kbps, 0.01), None, &rungs, player), None);
    }
}

#[test]
fn the_first_picture_is_half_a_second_later_at_most() {
    // From 900 kbit/s up: of 2 s at 4 Mbit/s, 2800 takes 1.4 s and 900 takes 0.45 s.
    let rungs = ladder(&RATES, 2);
    let named = rung(
        &belief(4000.0, 0.0),
        Some(Duration::ZERO),
        &rungs,
        Player::Dash,
    );
    assert_eq!(named, Some(3));
    // A short first segment costs nothing, and does not stand in the way.
    let mut short = rungs.clone();
    short[4].first_bytes = short[2].first_bytes;
    let named = rung(
        &belief(4000.0, 0.0),
        Some(Duration::ZERO),
        &short,
        Player::Dash,
    );
    assert_eq!(named, Some(4));
}

#[test]
fn a_long_round_trip_delays_big_starts_more() {
    let rungs = ladder(&RATES, 2);
    let fast = belief(20_000.0, 0.0);
    let near = rung(&fast, Some(Duration::from_millis(5)), &rungs, Player::Dash);
    let far = rung(
        &fast,
        Some(Duration::from_millis(600)),
        &rungs,
        Player::Dash,
    );
    assert_eq!(near, Some(5));
    assert!(far < near, "{far:?}");
}

#[test]
fn the_sustained_rung_falls_with_doubt() {
    let rungs = ladder(&RATES, 4);
    let at = |kbps: f64, variance: f64| sustained(Outlook::from(&belief(kbps, variance)), &rungs);
    assert_eq!(at(4000.0, 0.0), 4);
    assert!(at(4000.0, 0.3) < 4);
    assert_eq!(at(100.0, 0.0), 0);
    assert_eq!(at(100_000.0, 0.0), 5);
    let estimate = Estimate {
        bitrate: 4_000_000,
        variance: 0.0,
        samples: 9,
        rtt: None,
        at: UnixMillis::default(),
    };
    assert_eq!(sustained(Outlook::from(&estimate), &rungs), 4);
    // What is corrected soon needs less room, and no certainty.
    let doubtful = belief(3200.0, 0.3);
    assert_eq!(next(Outlook::from(&doubtful), &rungs), 4);
    assert!(sustained(Outlook::from(&doubtful), &rungs) < 4);
}

#[test]
fn odd_ladders_and_odd_beliefs_neither_panic_nor_lead_out_of_the_ladder() {
    let odd = [0.0, -1.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let mut zero = ladder(&RATES, 4);
    for rung in &mut zero {
        rung.first_bytes = u64::MAX;
        rung.plays = Duration::ZERO;
    }
    let ladders = [
        ladder(&[], 4),
        ladder(&[900], 4),
        ladder(&[0, 0, 0], 0),
        ladder(&[700, 700], 4),
        zero,
    ];
    for rungs in &ladders {
        for player in PLAYERS {
            for ln_mean in odd {
                for variance in odd {
                    let belief = Belief {
                        ln_mean,
                        variance,
                        rtt_millis: Some(variance),
                        at: UnixMillis::default(),
                    };
                    let named = rung(&belief, Some(Duration::MAX), rungs, player);
                    assert!(named.is_none_or(|named| named < rungs.len()));
                    assert!(named.is_none() || rungs.len() > 1);
                    let kept = sustained(Outlook::from(&belief), rungs);
                    assert!(kept < rungs.len().max(1));
                }
            }
        }
    }
}
