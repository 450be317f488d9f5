//! A client between sessions: keyed hashes that change daily, never an address. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::clock::UnixMillis;
use crate::session::secret::{Domain, Key};

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

/// What an address shares with its neighbours: 24 bits of it, or 48. Shown as `203.0.113.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    first: IpAddr,
}

/// Bits of an IPv4 address, and of an IPv6 address, that neighbours share. A host of its own has
/// at least a /64 of IPv6; a /48 is what a provider gives a site.
const SHARED_BITS: (u32, u32) = (24, 48);

impl Subnet {
    /// The one that an address is in.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let (v4, v6) = SHARED_BITS;
        let first = match address.to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX << (u32::BITS - v4);
                IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX << (u128::BITS - v6);
                IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
            }
        };
        Self { first }
    }

    fn bits(self) -> u32 {
        match self.first {
            IpAddr::V4(_) => SHARED_BITS.0,
            IpAddr::V6(_) => SHARED_BITS.1,
        }
    }

    /// The bytes that all addresses in it begin with.
    fn shared(self) -> Vec<u8> {
        let mut bytes = octets(self.first);
        bytes.truncate(usize::try_from(self.bits() / u8::BITS).unwrap_or(bytes.len()));
        bytes
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits())
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
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
    fn a_subnet_is_spelt_by_its_first_address_and_shared_bits() {
        let cases = [
            ("203.0.113.77", "203.0.113.0/24", vec![203, 0, 113]),
            ("::ffff:203.0.113.77", "203.0.113.0/24", vec![203, 0, 113]),
            (
                "2001:db8:7:8::9",
                "2001:db8:7::/48",
                vec![0x20, 1, 0x0d, 0xb8, 0, 7],
            ),
        ];
        for (address, spelt, shared) in cases {
            let subnet = Subnet::of(address.parse().unwrap());
            assert_eq!(subnet.to_string(), spelt);
            assert_eq!(subnet.shared(), shared, "{address}");
        }
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
