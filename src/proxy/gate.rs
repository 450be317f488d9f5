//! How many client connections there may be, in all and from one address.
//!
//! Invariant: the counters equal the number of [`Ticket`]s alive; a ticket counts from before the
//! TLS handshake until the connection's last reference drops.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pingora::listeners::ConnectionFilter;
use prometheus::IntGauge;

use crate::config;
use crate::limits;
use crate::metrics::{Closed, METRICS};

/// Counts connections and refuses those above the caps.
#[derive(Debug)]
pub struct Gate {
    connections_max: usize,
    per_address_max: usize,
    /// Where the connections show; only those of clients do.
    gauge: Option<IntGauge>,
    // A std lock: it is held for a map operation, never across an await.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Gate {
    /// Makes a gate with the caps of the configuration.
    #[must_use]
    pub fn new(server: &config::Server) -> Arc<Self> {
        Arc::new(Self {
            connections_max: server.connections_max,
            per_address_max: server.connections_per_address_max,
            gauge: Some(METRICS.connections.clone()),
            open: Mutex::default(),
        })
    }

    /// Makes the gate of the admin listener: operators and scrapers, from one address or many.
    #[must_use]
    pub fn of_admin() -> Arc<Self> {
        Arc::new(Self {
            connections_max: limits::ADMIN_CONNECTIONS_MAX,
            per_address_max: limits::ADMIN_CONNECTIONS_MAX,
            gauge: None,
            open: Mutex::default(),
        })
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().total
    }

    /// Most connections that may be open.
    #[must_use]
    pub fn most(&self) -> usize {
        self.connections_max
    }

    /// Counts a connection in. Connections without an address (none today) share one count.
    ///
    /// # Errors
    /// Which cap is reached.
    pub fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Ticket, Closed> {
        let client = client_of(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        let mut open = self.lock();
        self.room(&open, client)?;
        open.total += 1;
        *open.by_address.entry(client).or_default() += 1;
        if let Some(gauge) = &self.gauge {
            gauge.inc();
        }
        Ok(Ticket {
            gate: Arc::clone(self),
            client,
        })
    }

    fn room(&self, open: &Open, client: IpAddr) -> Result<(), Closed> {
        if open.total >= self.connections_max {
            return Err(Closed::Connections);
        }
        if open.by_address.get(&client).copied().unwrap_or(0) >= self.per_address_max {
            return Err(Closed::Address);
        }
        Ok(())
    }

    fn leave(&self, client: IpAddr) {
        if let Some(gauge) = &self.gauge {
            gauge.dec();
        }
        let mut open = self.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(count) = open.by_address.get_mut(&client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_address.remove(&client);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses at accept, before a TLS handshake is paid for; [`Gate::enter`] does the counting.
#[async_trait]
impl ConnectionFilter for Gate {
    async fn should_accept(&self, address: Option<&std::net::SocketAddr>) -> bool {
        let Some(address) = address else {
            return true;
        };
        let refused = self.room(&self.lock(), client_of(address.ip())).err();
        if let Some(reason) = refused {
            METRICS.connections_closed.of(reason).inc();
        }
        refused.is_none()
    }
}

/// A counted connection; dropping it counts the connection out.
#[derive(Debug)]
pub struct Ticket {
    gate: Arc<Gate>,
    client: IpAddr,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.leave(self.client);
    }
}

/// Whom a cap counts: one IPv4 address, or the /64 that a single IPv6 host is given.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::proxy) fn ticket() -> Ticket {
        gate(1, 1).enter(None).unwrap()
    }

    fn gate(connections_max: usize, per_address_max: usize) -> Arc<Gate> {
        Arc::new(Gate {
            connections_max,
            per_address_max,
            gauge: None,
            open: Mutex::default(),
        })
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_dropped_ticket_makes_room_again() {
        let gate = gate(1, 1);
        let ticket = gate.enter(address("192.0.2.1")).unwrap();
        assert_eq!(
            gate.enter(address("192.0.2.2")).unwrap_err(),
            Closed::Connections
        );
        drop(ticket);
        assert_eq!(gate.open(), 0);
        assert!(
            gate.lock().by_address.is_empty(),
            "no address is remembered"
        );
        assert!(gate.enter(address("192.0.2.2")).is_ok());
    }

    #[test]
    fn one_client_cannot_take_every_place() {
        let cases = [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ];
        for (first, second, refused) in cases {
            let gate = gate(10, 1);
            let _ticket = gate.enter(address(first)).unwrap();
            let result = gate.enter(address(second));
            assert_eq!(result.is_err(), refused, "{first} then {second}");
        }
    }
}
