//! `[site.adapt]` and `[session]`: manifests for one client, and what is known of it.

use std::net::IpAddr;
use std::time::Duration;

use super::Secret;

/// How manifests are made for a client.
#[derive(Debug, Clone)]
pub struct Adapt {
    /// What is done to them where a request does not choose.
    pub mode: Mode,
    /// Whether a request may choose by `?mode=`.
    pub client_mode: bool,
    /// How later requests are known to belong to a session.
    pub session: Carrier,
    /// What no client is shown, whatever it asks for.
    pub filter: Filter,
    /// Sessions in a hundred that play without hints, to compare with.
    pub holdout_percent: u32,
    /// Sessions in a hundred whose DASH player is asked for CMCD.
    pub cmcd_percent: u32,
    /// Segments fetched ahead of a session.
    pub prefetch_segments: usize,
    /// The steering service; `None` for none.
    pub steering: Option<Steering>,
}

/// What is done to the manifest of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The ladder stays; the best start rung is hinted at, where enough is known.
    Hint,
    /// As `Hint`, and rungs above what the client has shown to sustain are left out.
    Cap,
    /// One rung, chosen by the estimate.
    Single,
    /// One media playlist whose segments this node picks rung by rung.
    Server,
    /// Nothing: the kill switch.
    Off,
}

impl Mode {
    /// The mode of this name, as configurations and queries spell it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "hint" => Some(Self::Hint),
            "cap" => Some(Self::Cap),
            "single" => Some(Self::Single),
            "server" => Some(Self::Server),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    /// The name of this mode.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Cap => "cap",
            Self::Single => "single",
            Self::Server => "server",
            Self::Off => "off",
        }
    }
}

/// How later requests are known to belong to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// By a signed id at the beginning of each path of the manifest.
    Path,
    /// By the connection, address and user agent.
    Connection,
    /// They are not.
    Off,
}

/// Which renditions a manifest may name. Empty lists and `None` exclude nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Least bit/s of a variant, its audio included.
    pub bitrate_min: Option<u64>,
    /// Most bit/s of a variant, its audio included.
    pub bitrate_max: Option<u64>,
    /// Most lines of a picture.
    pub height_max: Option<u32>,
    /// Families of video codecs by their RFC 6381 prefix in lower case (`avc1`, `hvc1`, `av01`).
    pub codecs: Vec<String>,
    /// Which dynamic range.
    pub range: Option<DynamicRange>,
    /// Languages of audio and subtitles, as RFC 5646 tags in lower case; `en` matches `en-us`.
    pub languages: Vec<String>,
}

/// Dynamic range of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynamicRange {
    /// Standard.
    Sdr,
    /// PQ or HLG.
    Hdr,
}

impl DynamicRange {
    /// The range of this name, as configurations and queries spell it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "sdr" => Some(Self::Sdr),
            "hdr" => Some(Self::Hdr),
            _ => None,
        }
    }
}

/// The Content Steering service of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steering {
    /// Where players reach it: `https://host`, without path. Never taken from a request.
    pub url: String,
    /// Name of this `PoP`'s pathway.
    pub pathway: String,
    /// How long players keep an answer while all is well.
    pub ttl: Duration,
    /// The pathways of other `PoP`s, best first.
    pub pathways: Vec<Pathway>,
}

/// The way to another `PoP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pathway {
    /// Name in manifests and steering answers.
    pub name: String,
    /// Its edge as `https://host`.
    pub url: String,
    /// URL whose answer below 500 is health; `None` where only the operator knows.
    pub health: Option<String>,
}

/// How clients are told apart, and how their throughput is known.
#[derive(Debug, Clone)]
pub struct Session {
    /// What ids are signed and addresses are hashed with; `None` for a secret that the nodes share
    /// by Redis, or of this process.
    pub secret: Option<Secret>,
    /// Whether the kernel's TCP figures are read, and connections tell whose requests are: not
    /// behind a balancer that ends connections.
    pub tcp_info: bool,
    /// Whether what an earlier session has shown is used for the next one of the same client.
    pub priors: bool,
    /// Networks of known throughput.
    pub networks: Vec<Network>,
}

/// A network whose throughput the operator knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// Bits of the prefix.
    pub prefix: u8,
    /// Typical throughput of a client in it, in bit/s.
    pub bitrate: u64,
}
