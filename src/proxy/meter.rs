//! What one connection carries, for whom: readings of the kernel in, samples out. Pure.
//!
//! A sample is attributed to whom its bytes were sent, which is not who asks next: readings come
//! when a request arrives, before it is known whose it is. Invariant: bytes that two bearers may
//! share count for neither.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Site;
use crate::session::client::Client;
use crate::session::sample::{Bound, Reading, Sample};
use crate::session::who::Who;

/// How long a reading can be the earlier one of two. What was carried since, too little for a
/// sample, is dropped then, since nothing tells when it was.
const READING_AGE_MAX: Duration = Duration::from_secs(30);

/// Whom a connection carries bytes for.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    /// The site asked.
    pub(crate) site: Arc<Site>,
    /// The session.
    pub(crate) who: Who,
    /// What its player calls it beside the id in its paths.
    pub(crate) sid: Option<Who>,
    /// The client behind it.
    pub(crate) client: Client,
}

impl Bearer {
    fn is_other_than(&self, other: &Self) -> bool {
        self.who != other.who || !Arc::ptr_eq(&self.site, &other.site)
    }
}

/// What was carried for somebody.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// For whom.
    pub(crate) bearer: Bearer,
    /// How much, how fast.
    pub(crate) sample: Sample,
}

/// The meter of one connection.
#[derive(Debug, Default)]
pub(super) struct Meter {
    bearer: Option<Bearer>,
    /// By what its requests were told to be the bearer's.
    mark: u64,
    /// The earlier reading of the next sample.
    earlier: Option<Reading>,
    last: Option<Reading>,
    /// How often sending began anew since the earlier reading.
    bursts: u32,
    measured: Option<Measured>,
}

impl Meter {
    /// Whom the last request was for, where one with this mark is for the same.
    pub(super) fn bearer(&self, mark: u64) -> Option<Bearer> {
        self.bearer.clone().filter(|_| self.mark == mark)
    }

    /// Notes whom the next bytes are for; `mark` is the same for requests that say the same of it.
    pub(super) fn carries_for(&mut self, mark: u64, bearer: Bearer) {
        self.mark = mark;
        let changed = self
            .bearer
            .as_ref()
            .is_none_or(|b| b.is_other_than(&bearer));
        self.bearer = Some(bearer);
        if changed {
            self.earlier = self.last;
            // The answer that this is told of.
            self.bursts = 1;
        }
    }

    /// Notes that an answer begins while none is under way.
    pub(super) fn burst(&mut self) {
        self.bursts = self.bursts.saturating_add(1);
    }

    /// Takes a reading in.
    pub(super) fn read(&mut self, reading: Reading) {
        self.last = Some(reading);
        let (Some(bearer), Some(earlier)) = (&self.bearer, &self.earlier) else {
            self.earlier = self.bearer.is_some().then_some(reading);
            return;
        };
        if let Some(sample) = Sample::between(earlier, &reading, self.bursts) {
            let before = self.measured.take();
            let sample = match before.filter(|before| !before.bearer.is_other_than(bearer)) {
                Some(before) => joined(&before.sample, sample),
                None => sample,
            };
            let bearer = bearer.clone();
            self.measured = Some(Measured { bearer, sample });
        } else if reading.at.since(earlier.at) < READING_AGE_MAX {
            return;
        }
        self.earlier = Some(reading);
        self.bursts = 0;
    }

    /// The smoothed round trip of the last reading; `None` before one, and while the kernel has
    /// measured none itself.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        let micros = self.last.as_ref()?.info.rtt;
        (micros > 0).then(|| Duration::from_micros(u64::from(micros)))
    }

    /// What was carried since it was asked last.
    pub(super) fn take(&mut self) -> Option<Measured> {
        self.measured.take()
    }
}

/// Two samples that follow each other as one: nobody asked in between.
fn joined(earlier: &Sample, later: Sample) -> Sample {
    let bound = match earlier.bound {
        Bound::Lower => Bound::Lower,
        Bound::Path => later.bound,
    };
    Sample {
        bytes: earlier.bytes.saturating_add(later.bytes),
        busy: earlier.busy.saturating_add(later.busy),
        began: earlier.began,
        bound,
        ..later
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::UnixMillis;
    use crate::config::Config;
    use crate::session::tcp_info::TcpInfo;

    pub(crate) fn bearer(site: &Arc<Site>, who: u8) -> Bearer {
        Bearer {
            site: Arc::clone(site),
            who: Who([who; 16]),
            sid: None,
            client: Client::default(),
        }
    }

    pub(crate) fn site() -> Arc<Site> {
        let text = "[[site]]\nhosts = [\"a.example\"]\norigin = \"https://origin.example\"";
        let mut config = Config::parse(text, std::path::Path::new("/")).unwrap();
        config.sites.remove(0)
    }

    fn reading(at: u64, bytes_acked: u64, busy_millis: u64) -> Reading {
        Reading {
            at: UnixMillis(at),
            info: TcpInfo {
                bytes_acked,
                busy: busy_millis * 1000,
                pacing_max: u64::MAX,
                rtt_min: 40_000,
                ..TcpInfo::default()
            },
        }
    }

    fn carried(meter: &mut Meter) -> Option<(u8, u64, u64)> {
        let Measured { bearer, sample } = meter.take()?;
        let busy = u64::try_from(sample.busy.as_millis()).unwrap();
        Some((bearer.who.0[0], sample.bytes, busy))
    }

    #[test]
    fn a_sample_lies_between_two_requests_and_counts_its_wait_once() {
        let site = site();
        let mut meter = Meter::default();
        meter.carries_for(0, bearer(&site, 1));
        meter.read(reading(0, 3_000, 8));
        assert_eq!(carried(&mut meter), None);
        meter.read(reading(500, 203_000, 448));
        assert_eq!(carried(&mut meter), Some((1, 200_000, 400)));
        // Within an answer nothing waits for a first acknowledgement.
        meter.read(reading(900, 403_000, 848));
        assert_eq!(carried(&mut meter), Some((1, 200_000, 400)));
        assert_eq!(carried(&mut meter), None);
    }

    #[test]
    fn the_round_trip_is_that_of_the_last_reading_where_the_kernel_knows_one() {
        let mut meter = Meter::default();
        assert_eq!(meter.round_trip(), None);
        for (rtt, expected) in [
            (0, None),
            (45_000, Some(Duration::from_millis(45))),
            (38_000, Some(Duration::from_millis(38))),
        ] {
            let mut reading = reading(0, 0, 0);
            reading.info.rtt = rtt;
            meter.read(reading);
            assert_eq!(meter.round_trip(), expected);
        }
    }

    #[test]
    fn small_answers_add_up_to_a_sample_unless_they_are_old() {
        let site = site();
        let mut meter = Meter::default();
        meter.carries_for(0, bearer(&site, 1));
        meter.read(reading(0, 0, 0));
        meter.read(reading(2_000, 40_000, 120));
        assert_eq!(carried(&mut meter), None);
        meter.burst();
        meter.read(reading(4_000, 80_000, 240));
        assert_eq!(carried(&mut meter), Some((1, 80_000, 160)));
        meter.read(reading(5_000, 120_000, 360));
        meter.read(reading(40_000, 140_000, 420));
        meter.read(reading(42_000, 180_000, 540));
        assert_eq!(carried(&mut meter), None);
    }

    #[test]
    fn bytes_count_for_whom_they_were_sent_and_between_two_for_nobody() {
        let site = site();
        let mut meter = Meter::default();
        meter.carries_for(0, bearer(&site, 1));
        meter.read(reading(0, 0, 0));
        meter.read(reading(1_000, 100_000, 500));
        meter.carries_for(0, bearer(&site, 2));
        assert_eq!(carried(&mut meter), Some((1, 100_000, 460)));
        meter.read(reading(2_000, 160_000, 900));
        meter.carries_for(0, bearer(&site, 1));
        meter.read(reading(3_000, 220_000, 1_300));
        assert_eq!(carried(&mut meter), None);
    }

    #[test]
    fn what_a_session_is_called_anew_is_kept_and_cuts_no_sample() {
        let site = site();
        let mut meter = Meter::default();
        meter.carries_for(1, bearer(&site, 1));
        meter.read(reading(0, 0, 0));
        let sid = Some(Who([4; 16]));
        let named = Bearer {
            sid,
            ..bearer(&site, 1)
        };
        meter.carries_for(2, named);
        assert!(meter.bearer(1).is_none());
        assert_eq!(meter.bearer(2).map(|bearer| bearer.sid), Some(sid));
        meter.read(reading(1_000, 100_000, 500));
        assert!(meter.take().is_some());
    }

    #[test]
    fn samples_that_nobody_asked_for_are_joined() {
        let site = site();
        let mut meter = Meter::default();
        meter.carries_for(0, bearer(&site, 1));
        for step in 0..10 {
            meter.read(reading(step * 400, step * 100_000, step * 400));
        }
        assert_eq!(carried(&mut meter), Some((1, 900_000, 3_560)));
    }
}
