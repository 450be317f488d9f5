//! Who a client is, and how fast: what requests have shown, kept where the next one finds it.
//!
//! The pure parts: [`id`] and [`who`] (signed session ids, names), [`secret`] (what they are made
//! with), [`client`] (keyed hashes of addresses), [`cmcd`] and [`cmsd`] (what players and edges
//! tell each other), [`sample`] and [`estimator`] (throughput), [`start`] (the start rung),
//! [`playback`] and [`holdout`] (whether hints help), [`steering`] (which `PoP` players should go
//! to). What is known lies in [`knowledge`], bounded [`table`]s: the sessions ([`roster`]) and
//! what leads to them ([`aliases`]), a [`belief`] of a client ([`known`]), a [`population`] of a
//! network. [`tcp_info`] reads the kernel, [`pathways`] asks other `PoP`s how they are.
//! [`Sessions`] is the whole; [`share`] shares it by Redis, in [`record`]s, out of an [`outbox`];
//! [`sites`] counts how sessions have played.
//!
//! Invariants: no address is stored, only keyed hashes of one. Losing or forging an id costs
//! knowledge, never playback. Every table is bounded, and so is every wait for Redis.

pub mod aliases;
pub mod belief;
pub mod client;
pub mod cmcd;
pub mod cmsd;
pub mod estimator;
pub mod holdout;
pub mod id;
pub mod knowledge;
pub mod known;
pub mod outbox;
pub mod pathways;
pub mod playback;
pub mod population;
pub mod record;
pub mod roster;
pub mod sample;
pub mod secret;
pub mod share;
pub mod sites;
pub mod start;
pub mod steering;
pub mod table;
pub mod tcp_info;
pub mod who;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock::UnixMillis;
use crate::config::Config;
use crate::config::adapt::{self, Network};
use crate::limits;
use crate::metrics::METRICS;
use crate::redis::Redis;
use belief::Belief;
use client::Client;
use cmcd::Report;
use estimator::Estimate;
use holdout::Arm;
use id::SessionId;
use knowledge::Knowledge;
use outbox::Outbox;
use sample::Sample;
use secret::{Domain, Keyring, SECRET_BYTES};
use sites::Sites;
use who::Who;

/// The tables of sessions and clients.
pub struct Sessions {
    keys: RwLock<Keyring>,
    knowledge: Mutex<Knowledge>,
    config: adapt::Session,
    sites: Mutex<Sites>,
    redis: Option<Arc<Redis>>,
    recalls: Arc<Semaphore>,
}

/// A session as operators see it.
#[derive(Debug, Clone)]
pub struct Live {
    /// A short name: the beginning of the hash of its id.
    pub name: String,
    /// Site.
    pub site: Arc<str>,
    /// What is known of its throughput.
    pub estimate: Option<Estimate>,
    /// The rung that plays, in bit/s (CMCD `br`).
    pub bitrate: Option<u64>,
    /// The buffer (CMCD `bl`).
    pub buffer: Option<Duration>,
    /// Its arm.
    pub arm: Arm,
    /// When it was seen last.
    pub seen: UnixMillis,
}

impl Sessions {
    /// Sets the tables up; shares nothing until [`Sessions::run`] runs.
    #[must_use]
    pub fn new(config: &Config, redis: Option<Arc<Redis>>) -> Arc<Self> {
        let keys = match &config.session.secret {
            Some(secret) => Keyring::new(secret.0.as_bytes()),
            None => Keyring::new(&drawn()),
        };
        let sites = config.sites.iter();
        let holdouts = sites
            .clone()
            .map(|site| (site.name.clone(), site.adapt.holdout_percent));
        let names = sites.map(|site| site.name.as_str());
        let outbox = redis
            .as_ref()
            .map(|_| Outbox::new(limits::SESSION_SHARES_MAX));
        Arc::new(Self {
            keys: RwLock::new(keys),
            knowledge: Mutex::new(Knowledge::new(names, outbox)),
            config: config.session.clone(),
            sites: Mutex::new(Sites::new(holdouts)),
            redis,
            recalls: Arc::new(Semaphore::new(limits::SESSION_RECALLS_MAX)),
        })
    }

    /// Makes the id of a new session of `site`.
    #[must_use]
    pub fn mint(&self, site: &str, arm: Arm, now: UnixMillis) -> SessionId {
        let ring = self.ring();
        SessionId::mint(ring.current(), site, fastrand::u64(..), arm, now)
    }

    /// Reads an id back; `None` when it is forged, foreign or too old.
    #[must_use]
    pub fn read(&self, site: &str, text: &str, now: UnixMillis) -> Option<SessionId> {
        let id = SessionId::read(&self.ring(), site, text, now);
        if id.is_none() {
            METRICS.session_ids_refused.inc();
        }
        id
    }

    /// Who a player says that it is (CMCD `sid`).
    #[must_use]
    pub fn named(&self, site: &str, sid: &str) -> Who {
        self.who(site, sid.as_bytes())
    }

    /// Who a player at `client` says that it is: a session of ours where an MPD told it the id, or
    /// where its paths told whose `sid` it is, else as [`Sessions::named`]. Most players make their
    /// `sid` up, which is no forgery.
    #[must_use]
    pub fn told(&self, site: &str, sid: &str, client: &Client, now: UnixMillis) -> Who {
        self.own(site, sid, now).unwrap_or_else(|| {
            let named = self.named(site, sid);
            self.knowledge().known_by(named, client).unwrap_or(named)
        })
    }

    /// What a `sid` would name if it were all that there is; `None` where it is an id of ours,
    /// which means nobody else.
    #[must_use]
    pub fn made_up(&self, site: &str, sid: &str, now: UnixMillis) -> Option<Who> {
        let own = self.own(site, sid, now);
        own.is_none().then(|| self.named(site, sid))
    }

    /// Notes that the player of `who` at `client`, whose id its path carried, calls its session by
    /// a `sid` that is [`Sessions::made_up`].
    pub fn calls(&self, site: &str, who: Who, sid: Who, client: &Client, now: UnixMillis) {
        self.knowledge().also_known(site, who, sid, client, now);
    }

    /// Takes in an event that `client` posted below the session `under`, which may be unsaid, or
    /// nobody's. It is of the id of ours that its `sid` is, else of that of the path, else of what
    /// its `sid` is known to mean. `false` where it is of no session that is known: an id that is
    /// signed begins one, since another node may have met it, and nothing else does.
    pub fn heard(
        &self,
        site: &str,
        under: Option<&str>,
        client: &Client,
        event: &Report,
        now: UnixMillis,
    ) -> bool {
        let own = |text| self.own(site, text, now);
        let sid = event.session.as_deref();
        let signed = sid.and_then(own).or_else(|| under.and_then(own));
        let who = signed.or_else(|| sid.map(|sid| self.named(site, sid)));
        who.is_some_and(|who| self.knowledge().heard(site, who, client, event, now))
    }

    fn own(&self, site: &str, text: &str, now: UnixMillis) -> Option<Who> {
        let id = SessionId::read(&self.ring(), site, text, now);
        id.map(|id| id.who)
    }

    /// Who a client is where nothing better is known of its session.
    #[must_use]
    pub fn unnamed(&self, site: &str, client: &Client) -> Who {
        let [today, _] = client.own;
        self.who(site, &today)
    }

    fn who(&self, site: &str, name: &[u8]) -> Who {
        let ring = self.ring();
        let hash = ring.current().short(Domain::Name, &[site.as_bytes(), name]);
        let [a, b, c, d, e, f, g, h, ..] = hash;
        let percent = self.sites().holdout_percent(site);
        Who::claimed(
            hash,
            holdout::draw(u64::from_be_bytes([a, b, c, d, e, f, g, h]), percent),
        )
    }

    /// The name of what `who` is told of a title: of its `ladder`, by name and by shape.
    #[must_use]
    pub fn title(&self, who: Who, ladder: &str, shape: &[u8]) -> [u8; 16] {
        let parts = [who.0.as_slice(), ladder.as_bytes(), shape];
        self.ring().current().short(Domain::Title, &parts)
    }

    /// The keyed hashes of a client's address and user agent.
    #[must_use]
    pub fn client(&self, address: Option<IpAddr>, user_agent: &[u8], now: UnixMillis) -> Client {
        Client::new(self.ring().current(), address, user_agent, now)
    }

    /// Takes in what a connection of `who` has carried.
    pub fn sampled(&self, site: &str, who: Who, client: &Client, sample: &Sample) {
        self.knowledge().sampled(site, who, client, sample);
    }

    /// Takes in what a player reports.
    pub fn reported(
        &self,
        site: &str,
        who: Who,
        client: &Client,
        report: &Report,
        now: UnixMillis,
    ) {
        self.knowledge().reported(site, who, client, report, now);
    }

    /// What is known here of the throughput of `who`.
    #[must_use]
    pub fn estimate(&self, who: Who, now: UnixMillis) -> Option<Estimate> {
        self.knowledge().estimate(who, now)
    }

    /// What is thought of the throughput of a client that begins a session at `site`. `address` is
    /// looked up in the configured networks and dropped.
    #[must_use]
    pub fn prior(
        &self,
        site: &str,
        client: &Client,
        address: Option<IpAddr>,
        now: UnixMillis,
    ) -> Option<Belief> {
        if !self.config.priors {
            return None;
        }
        let configured = address.and_then(|address| self.configured(address));
        let configured = configured.map(|bitrate| Belief::configured(bitrate, now));
        self.knowledge().prior(site, client, configured, now)
    }

    /// Typical throughput of the narrowest configured network that `address` is in.
    fn configured(&self, address: IpAddr) -> Option<u64> {
        let address = address.to_canonical();
        let networks = self.config.networks.iter();
        let holding = networks.filter(|network| holds(network, address));
        let narrowest = holding.max_by_key(|network| network.prefix);
        narrowest.map(|network| network.bitrate)
    }

    /// Whether hints are given to the sessions of `site`, as far as the holdout can tell.
    #[must_use]
    pub fn hints_allowed(&self, site: &str, now: UnixMillis) -> bool {
        self.sites().allows(site, now)
    }

    /// Sessions seen of late, `most` at most, latest first.
    #[must_use]
    pub fn live(&self, most: usize, now: UnixMillis) -> Vec<Live> {
        self.knowledge().live(most, now)
    }

    fn ring(&self) -> RwLockReadGuard<'_, Keyring> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn sites(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knowledge(&self) -> MutexGuard<'_, Knowledge> {
        self.knowledge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn holds(network: &Network, address: IpAddr) -> bool {
    let shared = |one: u128, other: u128, bits: u32| (one ^ other).leading_zeros() >= bits;
    let prefix = u32::from(network.prefix);
    match (network.address, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let (one, other) = (u32::from(one), u32::from(other));
            shared(u128::from(one), u128::from(other), 96 + prefix)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => shared(one.into(), other.into(), prefix),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Draws a secret. Should the system have no chance to give, a process has at least one of its own.
fn drawn() -> [u8; SECRET_BYTES] {
    let mut secret = [0; SECRET_BYTES];
    let system = rustls::crypto::ring::default_provider().secure_random;
    if system.fill(&mut secret).is_err() {
        fastrand::Rng::new().fill(&mut secret);
    }
    secret
}

#[cfg(test)]
mod tests;
