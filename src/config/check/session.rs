//! `[session]`: how clients are told apart, and how their throughput is known.

use std::net::IpAddr;

use super::super::adapt::{Network, Session};
use super::super::file;
use super::{Check, quoted};

/// Fewest characters of a secret: what can be guessed signs nothing.
const SECRET_CHARS_MIN: usize = 16;

impl Check<'_> {
    pub(super) fn session(&mut self, shape: file::Session) -> Session {
        let secret = self.secret("session.secret", shape.secret_file, shape.secret_env);
        if secret
            .as_ref()
            .is_some_and(|secret| secret.0.chars().count() < SECRET_CHARS_MIN)
        {
            let expected = format!("a secret of at least {SECRET_CHARS_MIN} characters");
            self.refuse("session.secret", "(not shown)", expected);
        }
        let networks = shape.networks.into_iter().enumerate();
        let networks: Vec<_> = networks
            .map(|(index, network)| self.network(&format!("session.networks[{index}]"), network))
            .collect();
        let tcp_info = self
            .value("session.tcp_info", shape.tcp_info)
            .unwrap_or(true);
        Session {
            secret,
            tcp_info,
            // Behind a balancer all who use one browser look like one client.
            priors: self
                .value("session.priors", shape.priors)
                .unwrap_or(tcp_info),
            networks: networks.into_iter().flatten().collect(),
        }
    }

    fn network(&mut self, at: &str, shape: file::Network) -> Option<Network> {
        let expected = "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\"";
        let (prefix, kbps) = (format!("{at}.prefix"), format!("{at}.kbps"));
        if shape.prefix.is_none() {
            self.miss(&prefix, expected);
        }
        if shape.kbps.is_none() {
            self.miss(&kbps, "the typical throughput of a client in kbit/s");
        }
        let bitrate = self.number(&kbps, shape.kbps, 1..=100_000_000, 1);
        let text = self.value(&prefix, shape.prefix)?;
        let Some((address, bits)) = parse(&text) else {
            self.refuse(&prefix, &quoted(&text), expected);
            return None;
        };
        Some(Network {
            address,
            prefix: bits,
            bitrate: u64::from(bitrate) * 1000,
        })
    }
}

/// Reads `address/bits`.
fn parse(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    (bits <= width).then_some((address, bits))
}
