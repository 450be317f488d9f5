//! `[listen]` and `[tls]`: where to listen, and with which certificates.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::super::file;
use super::super::given::Given;
use super::super::{Certificate, Listen};
use super::{Check, quoted};

/// Loopback, so that a node that was not told otherwise serves nobody by accident.
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Loopback, where no token is needed; 91xx is where Prometheus' exporters live.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);

impl Check<'_> {
    pub(super) fn listen(&mut self, shape: file::Listen) -> Listen {
        let http = self
            .addresses("listen.http", shape.http)
            .unwrap_or_else(|| vec![HTTP]);
        let https = self
            .addresses("listen.https", shape.https)
            .unwrap_or_default();
        let admin = self.value("listen.admin", shape.admin).unwrap_or(ADMIN);
        // Prior knowledge is for balancers; in the open it only opens another parser to strangers.
        let h2c = self.value("listen.h2c", shape.h2c).unwrap_or(false);
        if http.is_empty() && https.is_empty() {
            self.refuse(
                "listen.http",
                "[]",
                "at least one address in listen.http or listen.https",
            );
        }
        self.distinct(&http, &https, admin);
        Listen {
            http,
            https,
            admin,
            h2c,
        }
    }

    pub(super) fn certificates(&mut self, shape: file::Tls, listen: &Listen) -> Vec<Certificate> {
        if shape.certificates.is_empty() && !listen.https.is_empty() {
            self.miss(
                "tls.certificates",
                "at least one { cert, key } for listen.https",
            );
        }
        let mut certificates = Vec::new();
        for (index, pair) in shape.certificates.into_iter().enumerate() {
            let cert = self.pem(&format!("tls.certificates[{index}].cert"), pair.cert);
            let key = self.pem(&format!("tls.certificates[{index}].key"), pair.key);
            if let (Some(cert), Some(key)) = (cert, key) {
                certificates.push(Certificate { cert, key });
            }
        }
        certificates
    }

    fn pem(&mut self, key: &str, given: Option<Given<String>>) -> Option<std::path::PathBuf> {
        if given.is_none() {
            self.miss(key, "the path of a PEM file");
        }
        self.file(key, given)
    }

    /// Returns a list of addresses, `None` when it is absent or any of them is wrong.
    fn addresses(
        &mut self,
        key: &str,
        given: Option<Vec<Given<SocketAddr>>>,
    ) -> Option<Vec<SocketAddr>> {
        let addresses: Vec<Option<SocketAddr>> = given?
            .into_iter()
            .enumerate()
            .map(|(index, address)| self.value(&format!("{key}[{index}]"), Some(address)))
            .collect();
        addresses.into_iter().collect()
    }

    /// Refuses an address that is listened on twice. Port 0 is a fresh port each time.
    fn distinct(&mut self, http: &[SocketAddr], https: &[SocketAddr], admin: SocketAddr) {
        let mut seen: Vec<SocketAddr> = Vec::new();
        let admin = [admin];
        for (key, addresses) in [("http", http), ("https", https), ("admin", &admin[..])] {
            for address in addresses {
                if address.port() != 0 && seen.contains(address) {
                    let written = quoted(&address.to_string());
                    let expected = "an address that no other listener has";
                    self.refuse(&format!("listen.{key}"), &written, expected);
                }
                seen.push(*address);
            }
        }
    }
}
