//! What an address shares with its neighbours: as much of one as is shown and counted. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
    #[must_use]
    pub fn shared(self) -> Vec<u8> {
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

/// The bytes of an address.
#[must_use]
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
