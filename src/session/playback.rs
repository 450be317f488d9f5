//! How one session has played, as its player's reports tell. Pure.
//!
//! Version 1 of CMCD tells that a buffer ran dry and not for how long: such a stall counts as a
//! second, unless the player says more.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::session::cmcd::{Report, State};

/// What a stall of untold length counts as.
const STALL: Duration = Duration::from_secs(1);

/// Weight of the share of time that was stalled against Mbit/s: what a top rung of 4.3 Mbit/s
/// brings, as the literature on adaptive streaming has it (Pensieve, section 5.1).
const STALL_WEIGHT: f64 = 4.3;

/// Media that a session must have asked for to say anything.
const MEDIA_MIN: Duration = Duration::from_secs(10);

/// Longest start-up that is one: a tab that was left open is not.
const STARTUP_MAX: Duration = Duration::from_secs(120);

/// Figures of one playback.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// From the first request for media to the first picture, where it was told.
    pub startup: Option<Duration>,
    /// Stalled share of the time, 0 to 1.
    pub stalled_share: f64,
    /// Bit/s, weighed by time.
    pub bitrate: f64,
    /// Mean buffer, where it was told.
    pub buffer: Option<Duration>,
    /// Mbit/s - 4.3 x stalled share - mean change of Mbit/s from segment to segment.
    pub score: f64,
}

/// What is summed of a session.
#[derive(Debug, Clone, Default)]
pub struct Playback {
    asked: Option<UnixMillis>,
    gathering: bool,
    startup: Option<Duration>,
    picture: Track,
    sound: Track,
    stalls: u32,
    stalled: Duration,
    dry_since: Option<UnixMillis>,
    buffers: u32,
    buffered: Duration,
}

/// Segments of one kind.
#[derive(Debug, Clone, Default)]
struct Track {
    segments: u32,
    media: Duration,
    /// Mbit/s x seconds.
    megabits: f64,
    /// Sum of changes in Mbit/s.
    changes: f64,
    last: Option<f64>,
}

impl Playback {
    /// Takes in a report.
    pub fn reported(&mut self, report: &Report, now: UnixMillis) {
        if report.is_media() {
            self.asked.get_or_insert(now);
            self.start(report, now);
        }
        if let Some(state) = report.state {
            self.entered(state, now);
        }
        if self.startup.is_some() {
            self.stalls = self.stalls.saturating_add(u32::from(report.starved));
            self.stalled += report.stalled.unwrap_or_default();
        }
        if let Some(buffer) = report.buffer {
            self.buffers = self.buffers.saturating_add(1);
            self.buffered += buffer;
        }
        match report.is_picture() {
            true => self.picture.segment(report),
            false if report.is_media() => self.sound.segment(report),
            false => {}
        }
    }

    /// The first picture is there with what the player says so, with the state that it tells, or
    /// with the first request that is not made in haste.
    fn start(&mut self, report: &Report, now: UnixMillis) {
        if let Some(delay) = report.start_delay {
            self.started(delay);
        } else if report.startup {
            self.gathering = true;
        } else if self.gathering {
            self.started(now.since(self.asked.unwrap_or(now)));
        }
    }

    fn started(&mut self, after: Duration) {
        self.startup.get_or_insert(after);
    }

    fn entered(&mut self, state: State, now: UnixMillis) {
        if let Some(since) = self.dry_since.take() {
            self.stalled += now.since(since);
        }
        match state {
            State::Playing => {
                let asked = self.asked;
                if let Some(asked) = asked {
                    self.started(now.since(asked));
                }
            }
            State::Rebuffering if self.startup.is_some() => self.dry_since = Some(now),
            State::Rebuffering | State::Starting | State::Seeking | State::Paused | State::Over => {
            }
        }
    }

    /// How it has played; `None` where too little was told to say.
    #[must_use]
    pub fn quality(&self) -> Option<Quality> {
        let track = match self.picture.segments {
            0 => &self.sound,
            _ => &self.picture,
        };
        if track.media < MEDIA_MIN {
            return None;
        }
        let stalled = self.stalled.max(STALL.saturating_mul(self.told_only()));
        let media = track.media.as_secs_f64();
        let share = stalled.as_secs_f64() / (media + stalled.as_secs_f64());
        let mean = track.megabits / media;
        let change = track.changes / f64::from(track.segments.max(1));
        let buffer = self.buffered.checked_div(self.buffers);
        Some(Quality {
            startup: self.startup.filter(|startup| *startup <= STARTUP_MAX),
            stalled_share: share,
            bitrate: mean * 1e6,
            buffer,
            score: mean - STALL_WEIGHT * share - change,
        })
    }

    /// Stalls, where nothing was said of their length.
    fn told_only(&self) -> u32 {
        match self.stalled.is_zero() {
            true => self.stalls,
            false => 0,
        }
    }
}

impl Track {
    fn segment(&mut self, report: &Report) {
        let (Some(bitrate), Some(duration)) = (report.bitrate, report.duration) else {
            return;
        };
        let megabits = megabits(bitrate);
        self.segments = self.segments.saturating_add(1);
        self.media += duration;
        self.megabits += megabits * duration.as_secs_f64();
        let last = self.last.replace(megabits).unwrap_or(megabits);
        self.changes += (megabits - last).abs();
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a bit rate is not known to 16 digits"
)]
fn megabits(bitrate: u64) -> f64 {
    bitrate as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis(1_000_000 + seconds * 1000)
    }

    fn segment(kbps: u64) -> Report {
        Report {
            bitrate: Some(kbps * 1000),
            duration: Some(Duration::from_secs(4)),
            object_type: Some("v".to_owned()),
            ..Report::default()
        }
    }

    fn played(reports: &[(u64, Report)]) -> Option<Quality> {
        let mut playback = Playback::default();
        for (second, report) in reports {
            playback.reported(report, at(*second));
        }
        playback.quality()
    }

    fn near(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-9, "{got} is not {expected}");
    }

    #[test]
    fn a_steady_session_scores_its_bit_rate() {
        let hasty = Report {
            startup: true,
            buffer: Some(Duration::from_secs(2)),
            ..segment(1000)
        };
        let calm = Report {
            buffer: Some(Duration::from_secs(10)),
            ..segment(1000)
        };
        let quality = played(&[(0, hasty), (2, calm.clone()), (6, calm)]).unwrap();
        assert_eq!(quality.startup, Some(Duration::from_secs(2)));
        near(quality.bitrate, 1e6);
        near(quality.score, 1.0);
        near(quality.stalled_share, 0.0);
        assert_eq!(quality.buffer, Some(Duration::from_secs(22) / 3));
    }

    #[test]
    fn stalls_and_switches_cost() {
        let hasty = Report {
            startup: true,
            ..segment(1000)
        };
        let dry = Report {
            starved: true,
            ..segment(2000)
        };
        let quality = played(&[(0, hasty), (1, segment(1000)), (9, dry)]).unwrap();
        near(quality.stalled_share, 1.0 / 13.0);
        near(quality.bitrate, 4e6 / 3.0);
        near(quality.score, 4.0 / 3.0 - 4.3 / 13.0 - 1.0 / 3.0);
    }

    #[test]
    fn players_that_tell_lengths_are_believed() {
        let told = |report: Report| played(&[(0, segment(900)), (4, segment(900)), (8, report)]);
        let stall = Report {
            start_delay: Some(Duration::from_millis(700)),
            stalled: Some(Duration::from_secs(3)),
            starved: true,
            ..segment(900)
        };
        let quality = told(stall).unwrap();
        assert_eq!(quality.startup, Some(Duration::from_millis(700)));
        near(quality.stalled_share, 3.0 / 15.0);
        let state = |state| Report {
            state: Some(state),
            object_type: Some("o".to_owned()),
            ..Report::default()
        };
        let quality = played(&[
            (0, segment(900)),
            (1, state(State::Playing)),
            (5, state(State::Rebuffering)),
            (7, state(State::Playing)),
            (8, segment(900)),
            (9, segment(900)),
        ]);
        let quality = quality.unwrap();
        assert_eq!(quality.startup, Some(Duration::from_secs(1)));
        near(quality.stalled_share, 2.0 / 14.0);
    }

    #[test]
    fn sound_counts_where_there_is_no_picture() {
        let sound = |report: Report| Report {
            object_type: Some("a".to_owned()),
            ..report
        };
        let alone: Vec<_> = (0..3).map(|n| (n, sound(segment(128)))).collect();
        near(played(&alone).unwrap().bitrate, 128_000.0);
        let beside: Vec<_> = (0..6)
            .map(|n| match n % 2 {
                0 => (n, sound(segment(128))),
                _ => (n, segment(3000)),
            })
            .collect();
        near(played(&beside).unwrap().bitrate, 3e6);
    }

    #[test]
    fn a_glance_says_nothing() {
        assert_eq!(played(&[(0, segment(900)), (4, segment(900))]), None);
        assert_eq!(played(&[]), None);
        let buffer = Report {
            buffer: Some(Duration::from_secs(3)),
            ..Report::default()
        };
        assert_eq!(played(&[(0, buffer)]), None);
    }
}
