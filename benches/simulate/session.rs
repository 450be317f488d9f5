//! One session: a player, a link and a policy, second by second.

use weir::session::belief::Belief;

use crate::knowledge::Knowledge;
use crate::link::Link;
use crate::movie::{Movie, Rung};
use crate::player::{Load, Player, View};

/// Seconds of media that a session is for, and seconds within which they must have played.
pub(crate) const MEDIA: f64 = 60.0;
pub(crate) const LIMIT: f64 = 90.0;

/// What a session is given.
pub(crate) struct Setting<'a> {
    pub(crate) movie: &'a Movie,
    /// Index of its first segment in the movie.
    pub(crate) first: usize,
    /// What the player sees.
    pub(crate) rungs: Vec<Rung>,
    /// The level it starts with.
    pub(crate) start: usize,
    /// Who chooses: the player, or the edge for a player that sees one level.
    pub(crate) served: Option<Vec<Rung>>,
    /// Whether media answers say `etp`.
    pub(crate) tells: bool,
    /// What is known before.
    pub(crate) knowledge: Knowledge,
}

/// How a session went.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Mbit/s of what played.
    pub(crate) bitrate: f64,
    /// The same of the first 30 seconds of media.
    pub(crate) early: f64,
    /// Seconds stalled or not played, a second of media.
    pub(crate) stalled: f64,
    /// Seconds until the first picture.
    pub(crate) startup: f64,
    /// Seconds until the first picture, and seconds stalled.
    pub(crate) waits: f64,
    /// Switches.
    pub(crate) switches: f64,
    /// Mbit/s - 4.3 x stalled - Mbit/s switched, a second of media.
    pub(crate) qoe: f64,
}

/// A session as it runs.
struct Run<'a, 'b> {
    setting: &'a Setting<'b>,
    link: Link<'b>,
    knowledge: Knowledge,
    /// Rungs of the movie that are loaded, by segment.
    loaded: Vec<Rung>,
    played: f64,
    stalled: f64,
    startup: Option<f64>,
    level: usize,
}

/// Plays; gives what is believed afterwards as well.
pub(crate) fn play(
    setting: &Setting<'_>,
    link: Link<'_>,
    player: &mut dyn Player,
) -> (Outcome, Option<Belief>) {
    let mut run = Run {
        setting,
        link,
        knowledge: setting.knowledge.clone(),
        loaded: Vec::new(),
        played: 0.0,
        stalled: 0.0,
        startup: None,
        level: setting.start,
    };
    // The manifest, and the playlist or the initialisation segment.
    for _ in 0..2 {
        let waits = run.link.round_trip();
        run.pass(waits);
    }
    let segments = (MEDIA / run.setting.movie.plays()).round() as usize;
    while run.loaded.len() < segments && run.link.spent() < LIMIT {
        run.wait(player);
        if setting.tells {
            let known = run.knowledge.estimate(run.link.now());
            let good = known.filter(|known| known.samples >= 3);
            player.told(good.map(|known| known.bitrate as f64));
        }
        if !run.loaded.is_empty() {
            let level = player.next(&run.view()).min(setting.rungs.len() - 1);
            run.replace(player, level);
            run.level = level;
        }
        run.load(player);
    }
    (run.outcome(segments), run.knowledge.after(run.link.now()))
}

impl Run<'_, '_> {
    fn view(&self) -> View<'_> {
        View {
            rungs: &self.setting.rungs,
            level: self.level,
            buffer: self.buffer(),
            now: self.link.spent(),
            plays: self.setting.movie.plays(),
            plays_now: self.startup.is_some(),
            stalls: self.startup.is_some() && self.buffer() <= 0.0,
        }
    }

    fn buffer(&self) -> f64 {
        (self.loaded.len() as f64 * self.setting.movie.plays() - self.played).max(0.0)
    }

    /// Lets time pass on the link and in the player.
    fn pass(&mut self, seconds: f64) {
        self.link.pass(seconds);
        self.drain(seconds);
    }

    fn drain(&mut self, seconds: f64) {
        if self.startup.is_some() {
            let plays = seconds.min(self.buffer());
            self.played += plays;
            self.stalled += seconds - plays;
        }
    }

    /// Waits until there is room for a segment.
    fn wait(&mut self, player: &dyn Player) {
        let over = self.buffer() - player.fills_to(&self.view());
        if over > 0.0 {
            self.pass(over);
        }
    }

    /// Drops buffered segments of lower levels from one and a half segments ahead.
    fn replace(&mut self, player: &dyn Player, level: usize) {
        let plays = self.setting.movie.plays();
        let keep = ((self.played + 1.5 * plays) / plays).ceil() as usize;
        let rung = self.setting.rungs[level].average;
        let lower = |at: &Rung| at.average < rung;
        if player.replaces() && level > self.level && self.loaded.get(keep).is_some_and(lower) {
            self.loaded.truncate(keep);
        }
    }

    /// Loads the next segment; less of it when it is given up or time is over.
    fn load(&mut self, player: &mut dyn Player) {
        let number = self.setting.first + self.loaded.len();
        let rung = match &self.setting.served {
            Some(served) => served[self.serves(served, number)],
            None => self.setting.rungs[self.level],
        };
        let waits = self.link.round_trip();
        self.pass(waits);
        let mut load = Load {
            bits: 0.0,
            total: self.setting.movie.bits(number, rung.index),
            seconds: waits,
            first_byte: waits,
        };
        while load.bits < load.total {
            let (bits, seconds) = self.link.carry(load.total - load.bits);
            load.bits += bits;
            load.seconds += seconds;
            self.drain(seconds);
            if self.link.spent() >= LIMIT {
                return;
            }
            if load.bits < load.total
                && let Some(level) = player.gives_up(&self.view(), &load)
            {
                self.level = level;
                return self.load(player);
            }
        }
        self.loaded.push(rung);
        self.startup.get_or_insert(self.link.spent());
        self.knowledge.feed(&load, &self.link);
        player.loaded(&self.view(), &load);
    }

    fn serves(&self, rungs: &[Rung], number: usize) -> usize {
        let movie = self.setting.movie;
        self.knowledge.serves(rungs, number, movie, self.link.now())
    }

    fn outcome(&self, segments: usize) -> Outcome {
        let plays = self.setting.movie.plays();
        let rates: Vec<f64> = self.loaded.iter().map(|rung| rung.average / 1e6).collect();
        let steps = || rates.windows(2).map(|pair| (pair[0] - pair[1]).abs());
        let media = segments as f64 * plays;
        let missing = (segments - rates.len()) as f64 * plays;
        let sum: f64 = rates.iter().sum::<f64>() * plays;
        let early = &rates[..rates.len().min((30.0 / plays).round() as usize)];
        let stalled = (self.stalled + missing) / media;
        let startup = self.startup.unwrap_or(LIMIT);
        Outcome {
            bitrate: sum / plays / (rates.len().max(1) as f64),
            early: early.iter().sum::<f64>() / (early.len().max(1) as f64),
            stalled,
            startup,
            waits: startup + stalled * media,
            switches: steps().filter(|step| *step > 0.0).count() as f64,
            qoe: sum / media - 4.3 * stalled - steps().sum::<f64>() / media,
        }
    }
}
