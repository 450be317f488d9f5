//! What lies in Redis of sessions, clients and networks. Pure.
//!
//! ```text
//! {prefix}:1:session:<name>   an estimate, by the name of its session
//! {prefix}:1:client:<name>    a belief, by the hash of the client and the day
//! {prefix}:1:network:<name>   an aggregate, by the hash of the network and the day
//! {prefix}:1:told:<name>      what a playlist was composed of, by session and title
//! {prefix}:1:session-secret   the secret that ids are signed with
//!
//! form "2"   moment          figures
//! 1 byte     15 digits       big-endian
//! ```
//!
//! The moment stands in digits, so that a script in Redis can tell the older record from the newer.
//! What has another form, another length, or figures that no link has, is no record.

use std::time::Duration;

use bytes::{Buf, BufMut};

use crate::clock::UnixMillis;
use crate::limits;
use crate::session::belief::Belief;
use crate::session::estimator::Estimate;
use crate::session::population::Network;
use crate::session::who::Who;

/// The form described above.
const FORM: u8 = b'2';
const MOMENT_DIGITS: usize = 15;

/// How far ahead another node's clock may be; what lies further ahead is damaged.
pub(super) const CLOCKS_APART: Duration = Duration::from_secs(60);

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A session's estimate.
    Session,
    /// A client's belief.
    Client,
    /// A network's aggregate.
    Network,
    /// What a session was told of a title whose rungs the edge picks.
    Told,
}

impl Kind {
    /// How long a record is of use.
    #[must_use]
    pub fn life(self) -> Duration {
        match self {
            Self::Session | Self::Told => limits::SESSION_LIFE,
            Self::Client | Self::Network => limits::BELIEF_LIFE,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Client => "client",
            Self::Network => "network",
            Self::Told => "told",
        }
    }
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// What it is about.
    pub kind: Kind,
    /// Whom.
    pub name: [u8; 16],
}

impl Place {
    /// The name in Redis.
    #[must_use]
    pub fn key(&self, prefix: &str) -> String {
        let name = u128::from_be_bytes(self.name);
        format!("{prefix}:1:{}:{name:032x}", self.kind.as_str())
    }
}

/// Where the nodes' secret lies.
#[must_use]
pub fn secret_key(prefix: &str) -> String {
    format!("{prefix}:1:session-secret")
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The site of a session, and its estimate.
    Session(String, Estimate),
    /// What is thought of a client, and the session heard of last.
    Client(Belief, Who),
    /// Of a network.
    Network(Network),
    /// Text of at most [`limits::TOLD_BYTES_MAX`], and when it was right.
    Told(String, UnixMillis),
}

impl Record {
    /// When it was right.
    #[must_use]
    pub fn at(&self) -> UnixMillis {
        match self {
            Self::Session(_, estimate) => estimate.at,
            Self::Client(belief, _) => belief.at,
            Self::Network(network) => network.at,
            Self::Told(_, at) => *at,
        }
    }

    /// Writes the record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        bytes.put_slice(format!("{:0width$}", self.at().0, width = MOMENT_DIGITS).as_bytes());
        match self {
            Self::Session(site, estimate) => {
                bytes.put_u64(estimate.bitrate);
                bytes.put_f64(estimate.variance);
                bytes.put_u32(estimate.samples);
                put_rtt(
                    &mut bytes,
                    estimate.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
                );
                bytes.put_slice(site.as_bytes());
            }
            Self::Client(belief, by) => {
                put_belief(&mut bytes, belief);
                bytes.put_slice(&by.0);
            }
            Self::Network(network) => {
                bytes.put_f64(network.ln_mean);
                bytes.put_f64(network.spread);
                bytes.put_u32(network.sessions);
                for client in &network.clients {
                    bytes.put_slice(client);
                }
            }
            Self::Told(text, _) => bytes.put_slice(text.as_bytes()),
        }
        bytes
    }

    /// Reads a record of `kind`; `None` when it is damaged or of another form.
    #[must_use]
    pub fn read(kind: Kind, bytes: &[u8], now: UnixMillis) -> Option<Self> {
        let (form, rest) = bytes.split_first()?;
        let (moment, mut rest) = rest.split_at_checked(MOMENT_DIGITS)?;
        let digits = moment.iter().all(u8::is_ascii_digit);
        let moment = std::str::from_utf8(moment).ok().filter(|_| digits)?;
        let at = UnixMillis(moment.parse().ok()?);
        if *form != FORM || at > now.after(CLOCKS_APART) {
            return None;
        }
        let record = match kind {
            Kind::Session => session(&mut rest, at),
            Kind::Client => client(&mut rest, at),
            Kind::Network => network(&mut rest, at),
            Kind::Told => told(&mut rest, at),
        };
        record.filter(|_| rest.is_empty())
    }
}

/// Stands for a round trip that was not measured.
const NO_RTT: f64 = -1.0;

fn put_rtt(bytes: &mut Vec<u8>, millis: Option<f64>) {
    bytes.put_f64(millis.unwrap_or(NO_RTT));
}

fn put_belief(bytes: &mut Vec<u8>, belief: &Belief) {
    bytes.put_f64(belief.ln_mean);
    bytes.put_f64(belief.variance);
    put_rtt(bytes, belief.rtt_millis);
}

fn rtt(rest: &mut &[u8]) -> Option<Option<f64>> {
    let millis = rest.try_get_f64().ok()?;
    match millis {
        _ if millis.to_bits() == NO_RTT.to_bits() => Some(None),
        _ => (0.0..=60_000.0).contains(&millis).then_some(Some(millis)),
    }
}

fn session(rest: &mut &[u8], at: UnixMillis) -> Option<Record> {
    let bitrate = rest.try_get_u64().ok()?;
    let variance = rest.try_get_f64().ok()?;
    let samples = rest.try_get_u32().ok()?;
    let rtt = rtt(rest)?.map(|millis| Duration::from_secs_f64(millis / 1000.0));
    let site = std::str::from_utf8(rest).ok()?.to_owned();
    *rest = &[];
    let estimate = Estimate {
        bitrate,
        variance,
        samples,
        rtt,
        at,
    };
    let sane = bitrate <= BITRATE_MAX && (0.0..=VARIANCE_MAX).contains(&variance);
    sane.then_some(Record::Session(site, estimate))
}

fn told(rest: &mut &[u8], at: UnixMillis) -> Option<Record> {
    let text = std::str::from_utf8(std::mem::take(rest)).ok()?;
    let is_short = text.len() <= limits::TOLD_BYTES_MAX;
    is_short.then(|| Record::Told(text.to_owned(), at))
}

fn client(rest: &mut &[u8], at: UnixMillis) -> Option<Record> {
    let belief = belief(rest, at)?;
    let (by, end) = rest.split_first_chunk::<16>()?;
    *rest = end;
    Some(Record::Client(belief, Who(*by)))
}

fn belief(rest: &mut &[u8], at: UnixMillis) -> Option<Belief> {
    let belief = Belief {
        ln_mean: rest.try_get_f64().ok()?,
        variance: rest.try_get_f64().ok()?,
        rtt_millis: rtt(rest)?,
        at,
    };
    belief.is_sane().then_some(belief)
}

fn network(rest: &mut &[u8], at: UnixMillis) -> Option<Record> {
    let ln_mean = rest.try_get_f64().ok()?;
    let spread = rest.try_get_f64().ok()?;
    let sessions = rest.try_get_u32().ok()?;
    let mut clients = Vec::new();
    while let Some((client, end)) = rest.split_first_chunk::<16>() {
        if clients.len() < limits::NETWORK_CLIENTS_MIN && !clients.contains(client) {
            clients.push(*client);
        }
        *rest = end;
    }
    let belief = Belief {
        ln_mean,
        variance: spread,
        rtt_millis: None,
        at,
    };
    belief.is_sane().then_some(Record::Network(Network {
        ln_mean,
        spread,
        sessions,
        clients,
        at,
    }))
}

/// 1 Tbit/s: more is no throughput.
const BITRATE_MAX: u64 = 1_000_000_000_000;
const VARIANCE_MAX: f64 = 100.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::session::holdout::Arm;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    /// Bytes that a record of every kind has at least.
    const FORM_AND_FIGURES: usize = 36;

    fn belief(ln_mean: f64, at: UnixMillis) -> Belief {
        Belief {
            ln_mean,
            variance: 0.1,
            rtt_millis: Some(20.5),
            at,
        }
    }

    fn records() -> Vec<(Kind, Record)> {
        let estimate = Estimate {
            bitrate: 2_500_000,
            variance: 0.05,
            samples: 7,
            rtt: Some(Duration::from_millis(40)),
            at: NOW,
        };
        let by = Who::signed([9; 16], Arm::Holdout);
        let network = Network {
            ln_mean: 15.0,
            spread: 0.4,
            sessions: 3,
            clients: vec![[1; 16], [2; 16]],
            at: NOW,
        };
        let unmeasured = Estimate {
            rtt: None,
            ..estimate
        };
        vec![
            (Kind::Session, Record::Session("films".to_owned(), estimate)),
            (Kind::Session, Record::Session(String::new(), unmeasured)),
            (Kind::Client, Record::Client(belief(14.5, NOW), by)),
            (Kind::Network, Record::Network(network)),
            (
                Kind::Network,
                Record::Network(Network {
                    at: NOW,
                    ..Network::default()
                }),
            ),
        ]
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        for (kind, record) in records() {
            let bytes = record.to_bytes();
            assert_eq!(Record::read(kind, &bytes, NOW), Some(record));
        }
    }

    #[test]
    fn what_is_damaged_or_of_another_form_is_no_record() {
        for (kind, record) in records() {
            let bytes = record.to_bytes();
            let mut other = bytes.clone();
            other[0] = b'3';
            assert_eq!(Record::read(kind, &other, NOW), None);
            let early = NOW.before(2 * CLOCKS_APART);
            assert_eq!(Record::read(kind, &bytes, early), None, "from the future");
            for length in 0..FORM_AND_FIGURES.min(bytes.len()) {
                assert_eq!(Record::read(kind, &bytes[..length], NOW), None, "{length}");
            }
            let mut wild = bytes.clone();
            wild[16..32].fill(0xff);
            assert_eq!(Record::read(kind, &wild, NOW), None, "not a number");
        }
        assert_eq!(Record::read(Kind::Client, b"garbage", NOW), None);
    }

    #[test]
    fn what_was_told_comes_back_unless_it_is_too_long() {
        let told = |length| Record::Told("x".repeat(length), NOW);
        for length in [0, 7, limits::TOLD_BYTES_MAX] {
            let bytes = told(length).to_bytes();
            assert_eq!(Record::read(Kind::Told, &bytes, NOW), Some(told(length)));
        }
        let bytes = told(limits::TOLD_BYTES_MAX + 1).to_bytes();
        assert_eq!(Record::read(Kind::Told, &bytes, NOW), None);
    }

    #[test]
    fn places_of_kinds_and_names_differ() {
        let place = |kind, name| Place { kind, name }.key("pop");
        let expected = format!("pop:1:session:{}", "01".repeat(16));
        assert_eq!(place(Kind::Session, [1; 16]), expected);
        assert_ne!(place(Kind::Client, [1; 16]), place(Kind::Network, [1; 16]));
    }

    proptest! {
        #[test]
        fn nothing_in_redis_panics(bytes in any::<Vec<u8>>(), at in any::<u64>()) {
            let mut named = b"2001800000000000".to_vec();
            named.extend_from_slice(&bytes);
            for kind in [Kind::Session, Kind::Client, Kind::Network, Kind::Told] {
                drop(Record::read(kind, &bytes, UnixMillis(at)));
                drop(Record::read(kind, &named, NOW));
            }
        }
    }
}
