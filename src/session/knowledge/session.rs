//! One session: what it has shown, and what its player has told. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixMillis;
use crate::limits;
use crate::session::client::Client;
use crate::session::cmcd::Report;
use crate::session::estimator::{ESTIMATE_AGE_MAX, Estimate, Estimator};
use crate::session::knowledge::Ended;
use crate::session::playback::Playback;
use crate::session::who::Who;

/// What is known of a session.
pub(super) struct Session {
    pub(super) who: Who,
    pub(super) site: Arc<str>,
    /// The client that it was fed by last.
    pub(super) client: Option<Client>,
    /// Today's hash of the client that it began at: who knows no more than its `sid` cannot change
    /// that.
    beginner: Option<[u8; 16]>,
    /// Whether another client had a part in it.
    is_shared: bool,
    pub(super) estimator: Estimator,
    /// What another node has estimated.
    pub(super) recalled: Option<Estimate>,
    pub(super) playback: Playback,
    pub(super) bitrate: Option<u64>,
    pub(super) buffer: Option<Duration>,
    /// Whether its end was counted, and it has not been met since.
    pub(super) ended: bool,
}

impl Session {
    /// Begins one of which nothing is known.
    pub(super) fn new(who: Who, site: Arc<str>) -> Self {
        Self {
            who,
            site,
            client: None,
            beginner: None,
            is_shared: false,
            estimator: Estimator::default(),
            recalled: None,
            playback: Playback::default(),
            bitrate: None,
            buffer: None,
            ended: false,
        }
    }

    /// Notes that a client has a part in it: the first one that can be told began it.
    pub(super) fn begins_at(&mut self, client: &Client) {
        let [today, _] = client.own;
        let known = Some(today).filter(|_| client.is_known());
        self.beginner = self.beginner.or(known);
        self.is_shared |= !self.began_at(client);
    }

    /// Whether it began at this client, which can be told.
    pub(super) fn began_at(&self, client: &Client) -> bool {
        let beginner = self.beginner.as_ref();
        client.is_known() && beginner.is_some_and(|beginner| client.own.contains(beginner))
    }

    /// Goes on with what was known by a `sid` alone, unless somebody else may have told of that.
    pub(super) fn goes_on_from(&mut self, before: Self) {
        if !before.is_shared {
            let (who, site) = (self.who, Arc::clone(&self.site));
            *self = Self {
                who,
                site,
                ended: false,
                ..before
            };
        }
    }

    /// Takes in how it plays, and nothing of its throughput.
    pub(super) fn plays(&mut self, report: &Report, now: UnixMillis) {
        self.playback.reported(report, now);
        if report.is_picture() {
            self.bitrate = report.bitrate.or(self.bitrate);
        }
        self.buffer = report.buffer.or(self.buffer);
    }

    /// Takes in what its player thinks of its throughput; `false` where it says nothing of it.
    pub(super) fn gets(&mut self, report: &Report, now: UnixMillis) -> bool {
        // Sound is small and often shares the link: what a player gets of it says little.
        let is_telling = report.is_picture() || self.bitrate.is_none();
        let throughput = report.throughput.filter(|_| is_telling);
        if let Some(bitrate) = throughput {
            self.estimator.reported(bitrate, now);
        }
        throughput.is_some()
    }

    /// What is known here, unless another node knows more: it has heard of the session later, or
    /// of late and here too little was heard.
    pub(super) fn estimate(&self, now: UnixMillis) -> Option<Estimate> {
        let age = |estimate: &Estimate| now.since(estimate.at);
        let recalled = self.recalled.filter(|it| age(it) < ESTIMATE_AGE_MAX);
        let (own, recalled) = match (self.estimator.estimate(now), recalled) {
            (Some(own), Some(recalled)) => (own, recalled),
            (own, recalled) => return own.or(recalled),
        };
        let few = own.samples < limits::HINT_SAMPLES_MIN;
        let late = age(&recalled) <= limits::SESSION_SILENCE_MAX;
        match recalled.at > own.at || (few && late) {
            true => Some(recalled),
            false => Some(own),
        }
    }

    /// How it has played, where enough was told.
    pub(super) fn over(&self) -> Option<Ended> {
        let quality = self.playback.quality()?;
        Some(Ended {
            site: Arc::clone(&self.site),
            arm: self.who.arm(),
            quality,
        })
    }
}
