//! Addresses of endpoints: asynchronous look-ups, remembered for a few seconds.
//!
//! Pingora resolves names synchronously and panics where that fails, so it is only ever given
//! addresses. A failing look-up falls back on the last answer.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an answer is used: short, since stores move their addresses within a minute.
const LIFE: Duration = Duration::from_secs(5);
/// Names remembered; endpoints come from the configuration, so there are few.
const NAMES_MAX: usize = 256;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// A small cache over the system's resolver.
#[derive(Default)]
pub struct Resolver {
    known: Mutex<HashMap<(String, u16), Known>>,
}

#[derive(Clone)]
struct Known {
    since: Instant,
    addresses: Vec<SocketAddr>,
}

impl Resolver {
    /// Returns the addresses of `host`, at least one, in the system's order of preference.
    ///
    /// The caller sets the deadline.
    ///
    /// # Errors
    /// Where the name has no address and never had.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let key = (host.to_owned(), port);
        if let Some(known) = self.recall(&key)
            && known.since.elapsed() < LIFE
        {
            return Ok(known.addresses);
        }
        match tokio::net::lookup_host((host, port)).await {
            Ok(found) => {
                let addresses: Vec<_> = found.take(ADDRESSES_MAX).collect();
                if addresses.is_empty() {
                    return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
                }
                self.remember(key, addresses.clone());
                Ok(addresses)
            }
            Err(error) => self.recall(&key).map(|known| known.addresses).ok_or(error),
        }
    }

    fn recall(&self, key: &(String, u16)) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).cloned()
    }

    fn remember(&self, key: (String, u16), addresses: Vec<SocketAddr>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES_MAX && !known.contains_key(&key) {
            known.clear();
        }
        let since = Instant::now();
        known.insert(key, Known { since, addresses });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let resolver = Resolver::default();
        let found = resolver.resolve("::1", 80).await.unwrap();
        assert_eq!(found, ["[::1]:80".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_and_then_remembered() {
        let resolver = Resolver::default();
        let first = resolver.resolve("localhost", 80).await.unwrap();
        assert!(first.iter().all(|address| address.ip().is_loopback()));
        assert!(resolver.recall(&("localhost".into(), 80)).is_some());
    }
}
