//! A client between sessions: keyed hashes that change daily, never an address. Pure.

use std::net::IpAddr;

use crate::clock::UnixMillis;
use crate::session::secret::{Domain, Key};
use crate::subnet::{Subnet, octets};

/// Of a longer user agent the beginning counts.
const USER_AGENT_BYTES: usize = 512;

const DAY: u64 = 24 * 3_600_000;

/// What a client is known by. Hashes of today and of yesterday, so that midnight forgets nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Client {
    /// Address and user agent.
    pub own: [[u8; 16]; 2],
    /// The /24 or /48 it is in.
    pub network: [[u8; 16]; 2],
}

impl Client {
    /// Hashes an address and a user agent; without an address there is nobody to know.
    #[must_use]
    pub fn new(key: &Key, address: Option<IpAddr>, user_agent: &[u8], now: UnixMillis) -> Self {
        let Some(address) = address.map(|address| address.to_canonical()) else {
            return Self::default();
        };
        let user_agent = user_agent.get(..USER_AGENT_BYTES).unwrap_or(user_agent);
        let today = now.0 / DAY;
        let days = [today, today.saturating_sub(1)].map(u64::to_be_bytes);
        let network = Subnet::of(address).shared();
        let address = octets(address);
        Self {
            own: days.map(|day| key.short(Domain::Client, &[&day, &address, user_agent])),
            network: days.map(|day| key.short(Domain::Network, &[&day, &network])),
        }
    }

    /// Whether there was an address to tell it by.
    #[must_use]
    pub fn is_known(&self) -> bool {
        *self != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixMillis = UnixMillis(20_000 * DAY + DAY / 2);

    fn client(address: &str, user_agent: &[u8], now: UnixMillis) -> Client {
        let address = address.parse().unwrap();
        Client::new(&Key::new(b"secret"), Some(address), user_agent, now)
    }

    #[test]
    fn todays_hash_is_tomorrows_hash_of_yesterday() {
        let today = client("192.0.2.1", b"player", NOON);
        let tomorrow = client("192.0.2.1", b"player", UnixMillis(NOON.0 + DAY));
        assert_eq!(today.own[0], tomorrow.own[1]);
        assert_eq!(today.network[0], tomorrow.network[1]);
        assert!(!tomorrow.own.contains(&today.own[1]));
        assert_ne!(today.own[0], tomorrow.own[0]);
    }

    #[test]
    fn neighbours_share_a_network_and_nothing_else() {
        let cases = [
            ("192.0.2.1", "192.0.2.200", true),
            ("192.0.2.1", "192.0.3.1", false),
            ("2001:db8:1:2::1", "2001:db8:1:3::9", true),
            ("2001:db8:1:2::1", "2001:db8:2:2::1", false),
        ];
        for (one, other, neighbours) in cases {
            let (a, b) = (client(one, b"player", NOON), client(other, b"player", NOON));
            assert_ne!(a.own[0], b.own[0]);
            assert_eq!(a.network == b.network, neighbours, "{one} {other}");
        }
        let mapped = client("::ffff:192.0.2.1", b"player", NOON);
        assert_eq!(mapped, client("192.0.2.1", b"player", NOON));
    }

    #[test]
    fn user_agents_tell_clients_of_one_address_apart() {
        let (a, b) = (
            client("192.0.2.1", b"a", NOON),
            client("192.0.2.1", b"b", NOON),
        );
        assert_ne!(a.own, b.own);
        assert_eq!(a.network, b.network);
        let long = [b'x'; 2 * USER_AGENT_BYTES];
        assert_eq!(
            client("192.0.2.1", &long, NOON),
            client("192.0.2.1", &long[..USER_AGENT_BYTES], NOON)
        );
    }

    #[test]
    fn nobody_is_known_without_an_address() {
        let nobody = Client::new(&Key::new(b"secret"), None, b"player", NOON);
        assert!(!nobody.is_known());
        assert!(client("192.0.2.1", b"", NOON).is_known());
    }
}
