//! What the estimator makes of samples: links that stay, change, jitter and rest.

use proptest::prelude::*;

use super::*;

const START: UnixMillis = UnixMillis(1_700_000_000_000);

/// A sample of `millis` at `kbps`, `at` milliseconds after the start.
fn sample(at: u64, kbps: u64, millis: u64) -> Sample {
    Sample {
        bytes: kbps * millis / 8,
        busy: Duration::from_millis(millis),
        began: START.after(Duration::from_millis(at)),
        bound: Bound::Path,
        rtt: Duration::from_millis(40),
        rtt_min: Duration::from_millis(38),
    }
}

fn after(secs: u64) -> UnixMillis {
    START.after(Duration::from_secs(secs))
}

/// Segments of two seconds, each `millis` long at the rate that `kbps` says for its second.
fn player(estimator: &mut Estimator, secs: std::ops::Range<u64>, kbps: u64, millis: u64) {
    for second in secs.step_by(2) {
        estimator.sampled(&sample(second * 1000, kbps, millis));
    }
}

/// The estimate in kbit/s and its standard deviation.
fn known(estimator: &Estimator, secs: u64) -> Option<(u64, f64)> {
    let estimate = estimator.estimate(after(secs))?;
    Some((estimate.bitrate / 1000, estimate.variance.sqrt()))
}

fn off(got: u64, expected: u64) -> f64 {
    (number(got) / number(expected) - 1.0).abs()
}

#[test]
fn a_steady_link_is_known_from_the_first_sample_on_and_ever_better() {
    let mut estimator = Estimator::default();
    assert_eq!(estimator.estimate(START), None);
    estimator.sampled(&sample(0, 5_000, 300));
    let (first, unsure) = known(&estimator, 1).unwrap();
    assert!(off(first, 5_000) < 0.001, "{first}");
    player(&mut estimator, 2..20, 5_000, 300);
    let (later, sure) = known(&estimator, 20).unwrap();
    assert!(off(later, 5_000) < 0.001, "{later}");
    assert!(
        sure < unsure && sure < 0.15 && unsure > 0.2,
        "{sure} {unsure}"
    );
    let estimate = estimator.estimate(after(20)).unwrap();
    assert_eq!(
        (estimate.samples, estimate.rtt),
        (10, Some(Duration::from_millis(40)))
    );
}

#[test]
fn ten_seconds_after_a_change_nothing_is_left_of_what_came_before() {
    for (before, then, busy) in [
        (5_000, 1_000, (1_200, 1_500)),
        (1_000, 5_000, (1_500, 300)),
        (2_200, 1_500, (900, 900)),
        (20_000, 800, (400, 2_000)),
    ] {
        let mut estimator = Estimator::default();
        player(&mut estimator, 0..30, before, busy.0);
        player(&mut estimator, 30..40, then, busy.1);
        let (rate, deviation) = known(&estimator, 40).unwrap();
        assert!(off(rate, then) < 0.05, "{before} to {then}: {rate}");
        assert!(deviation < 0.2, "{before} to {then}: {deviation}");
        // Nor does it come back when it leaves the time line.
        player(&mut estimator, 40..60, then, busy.1);
        let (rate, _) = known(&estimator, 60).unwrap();
        assert!(off(rate, then) < 0.05, "{before} to {then}, later: {rate}");
    }
}

#[test]
fn a_change_there_and_back_is_followed() {
    let mut estimator = Estimator::default();
    player(&mut estimator, 0..10, 5_000, 1_000);
    player(&mut estimator, 10..20, 1_000, 1_900);
    assert!(off(known(&estimator, 20).unwrap().0, 1_000) < 0.1);
    player(&mut estimator, 20..30, 5_000, 300);
    assert!(off(known(&estimator, 30).unwrap().0, 5_000) < 0.1);
}

#[test]
fn a_jittery_link_is_its_mean_and_says_so() {
    let mut estimator = Estimator::default();
    for (at, kbps) in [3_000, 6_000, 2_000, 5_000, 3_500, 7_000, 2_500, 4_000]
        .into_iter()
        .enumerate()
    {
        estimator.sampled(&sample(u64::try_from(at).unwrap() * 1_000, kbps, 900));
    }
    let (rate, deviation) = known(&estimator, 8).unwrap();
    assert!((3_000..5_500).contains(&rate), "{rate}");
    assert!(deviation > 0.3, "{deviation}");
}

#[test]
fn connections_that_share_a_link_add_up_over_the_same_time() {
    let mut estimator = Estimator::default();
    for second in 0..10 {
        for connection in 0..4 {
            // Nearly the same time each: 1.25 Mbit/s of 5.
            estimator.sampled(&sample(second * 1_000 + connection, 1_250, 800));
        }
    }
    let (rate, _) = known(&estimator, 10).unwrap();
    assert!(off(rate, 5_000) < 0.05, "{rate}");
}

#[test]
fn connections_that_follow_each_other_do_not_add_up() {
    let mut estimator = Estimator::default();
    for step in 0..20 {
        estimator.sampled(&sample(step * 500, 5_000, 400));
    }
    assert!(off(known(&estimator, 10).unwrap().0, 5_000) < 0.02);
}

#[test]
fn a_lower_bound_raises_and_never_lowers() {
    let lower = |at, kbps| Sample {
        bound: Bound::Lower,
        ..sample(at, kbps, 1_000)
    };
    let mut estimator = Estimator::default();
    player(&mut estimator, 0..10, 4_000, 500);
    estimator.sampled(&lower(10_000, 500));
    assert!(off(known(&estimator, 11).unwrap().0, 4_000) < 0.01);
    for second in 11..15 {
        estimator.sampled(&lower(second * 1_000, 9_000));
    }
    assert!(known(&estimator, 15).unwrap().0 > 6_000);
    assert_eq!(estimator.estimate(after(15)).unwrap().samples, 5);
}

#[test]
fn rest_makes_less_certain_and_then_unknown_but_moves_nothing() {
    let mut estimator = Estimator::default();
    player(&mut estimator, 0..10, 4_000, 500);
    let (rate, sure) = known(&estimator, 10).unwrap();
    let (later, unsure) = known(&estimator, 250).unwrap();
    assert_eq!(rate, later);
    assert!(unsure > 2.0 * sure, "{sure} {unsure}");
    assert_eq!(known(&estimator, 310), None);
    // What was long ago counts little once there is news.
    player(&mut estimator, 400..404, 1_000, 1_000);
    assert!(off(known(&estimator, 404).unwrap().0, 1_000) < 0.1);
}

#[test]
fn a_players_word_counts_alone_and_yields_to_what_is_measured() {
    let mut estimator = Estimator::default();
    estimator.reported(3_000_000, after(0));
    let (_, once) = known(&estimator, 0).unwrap();
    assert!(once > 0.35, "one word is little: {once}");
    for second in 1..6 {
        estimator.reported(3_000_000, after(second));
    }
    let (alone, deviation) = known(&estimator, 6).unwrap();
    assert!(off(alone, 3_000) < 0.001, "{alone}");
    assert!((0.25..0.3).contains(&deviation), "{deviation}");
    player(&mut estimator, 6..26, 5_000, 500);
    let (both, _) = known(&estimator, 26).unwrap();
    assert!(off(both, 5_000) < 0.04, "{both}");
    estimator.reported(0, after(26));
    assert_eq!(known(&estimator, 26).unwrap().0, both);
}

#[test]
fn a_clock_that_is_set_back_does_not_silence_it() {
    let mut estimator = Estimator::default();
    player(&mut estimator, 10_000..10_010, 8_000, 500);
    player(&mut estimator, 0..10, 2_000, 500);
    assert!(off(known(&estimator, 10).unwrap().0, 2_000) < 0.01);
}

#[test]
fn a_session_costs_less_than_a_kilobyte() {
    assert!(size_of::<Estimator>() <= 1024, "{}", size_of::<Estimator>());
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let times = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    (times, any::<bool>()).prop_map(|((bytes, micros, began, rtt), path)| Sample {
        bytes,
        busy: Duration::from_micros(micros),
        began: UnixMillis(began),
        bound: if path { Bound::Path } else { Bound::Lower },
        rtt: Duration::from_micros(u64::from(rtt)),
        rtt_min: Duration::ZERO,
    })
}

/// Samples as a player's connections would leave them.
fn session() -> impl Strategy<Value = Vec<Sample>> {
    let one = (0_u64..30_000, 200_u64..20_000, 40_u64..4_000);
    let one = one.prop_map(|(at, kbps, millis)| sample(at, kbps, millis));
    proptest::collection::vec(one, 1..40)
}

fn fed(samples: &[Sample]) -> Estimator {
    let mut estimator = Estimator::default();
    for sample in samples {
        estimator.sampled(sample);
    }
    estimator
}

proptest! {
    #[test]
    fn nothing_makes_an_estimate_that_is_no_number(
        samples in proptest::collection::vec(any_sample(), 0..20),
        reports in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..5),
        now in any::<u64>(),
    ) {
        let mut estimator = fed(&samples);
        for (bitrate, at) in reports {
            estimator.reported(bitrate, UnixMillis(at));
        }
        for now in [now, estimator.at.0] {
            if let Some(estimate) = estimator.estimate(UnixMillis(now)) {
                prop_assert!(estimate.variance.is_finite() && estimate.variance > 0.0);
            }
        }
    }

    #[test]
    fn one_connection_is_estimated_within_its_slowest_and_fastest_sample(
        rates in proptest::collection::vec(200_u64..20_000, 1..40),
    ) {
        let mut estimator = Estimator::default();
        for (second, &kbps) in (0_u64..).zip(&rates) {
            estimator.sampled(&sample(second * 1_024, kbps, 512));
        }
        let (rate, _) = known(&estimator, 41).unwrap();
        let (least, most) = (rates.iter().min().unwrap(), rates.iter().max().unwrap());
        prop_assert!(rate + rate / 50 + 1 >= *least && rate <= most + most / 50, "{rate}");
    }

    #[test]
    fn more_bytes_in_the_same_time_are_never_a_lower_rate(
        samples in session(), factor in 2_u64..10,
    ) {
        let more: Vec<_> = samples
            .iter()
            .map(|sample| Sample { bytes: sample.bytes * factor, ..*sample })
            .collect();
        let (less, more) = (fed(&samples), fed(&more));
        let now = less.at;
        let (less, more) = (less.estimate(now).unwrap(), more.estimate(now).unwrap());
        prop_assert!(more.bitrate >= less.bitrate);
    }

    #[test]
    fn a_steady_link_is_known_alike_in_any_order_of_arrival(
        ats in proptest::collection::vec(0_u64..24, 2..24), kbps in 200_u64..50_000,
        seed in any::<u64>(),
    ) {
        let mut samples: Vec<_> = ats.iter().map(|at| sample(at * 500, kbps, 400)).collect();
        samples.sort_by_key(|sample| sample.began);
        samples.dedup_by_key(|sample| sample.began);
        let in_order = fed(&samples);
        fastrand::Rng::with_seed(seed).shuffle(&mut samples);
        let shuffled = fed(&samples);
        let now = in_order.at;
        let (one, other) = (in_order.estimate(now).unwrap(), shuffled.estimate(now).unwrap());
        prop_assert!(off(one.bitrate, kbps * 1000) < 0.03, "{one:?}");
        prop_assert!(off(other.bitrate, kbps * 1000) < 0.03, "{other:?}");
    }
}
