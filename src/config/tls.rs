//! `[tls]`: certificates for the ports that speak TLS.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use ingest::tls::{Tls, TlsFiles};

use super::Config;
use super::validate::{Wrong, wrong};

/// Files in PEM, read again when they change.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsTable {
    certificate: PathBuf,
    key: PathBuf,
    /// Whoever signs devices' certificates; without it devices log in with tokens only.
    #[serde(default)]
    device_ca: Option<PathBuf>,
}

/// For each port that speaks TLS, what it shows.
#[derive(Debug, Default)]
pub(crate) struct TlsPorts {
    pub(crate) mqtt: Option<(SocketAddr, Tls)>,
    pub(crate) http: Option<(SocketAddr, Tls)>,
}

impl TlsPorts {
    /// All that is to be read again when files change.
    pub(crate) fn shown(&self) -> Vec<Tls> {
        [&self.mqtt, &self.http].into_iter().flatten().map(|(_, tls)| tls.clone()).collect()
    }
}

impl Config {
    /// Reads the certificates.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(crate) fn tls_ports(&self) -> Result<TlsPorts> {
        let Some(table) = &self.tls else { return Ok(TlsPorts::default()) };
        let load = |client_ca| {
            let (certificate, key) = (table.certificate.clone(), table.key.clone());
            Tls::load(TlsFiles { certificate, key, client_ca })
        };
        let mqtt = self.mqtt.tls_listen.filter(|_| self.mqtt.embedded);
        // Browsers are not asked for certificates.
        let http = self.http.tls_listen;
        Ok(TlsPorts {
            mqtt: mqtt
                .map(|addr| anyhow::Ok((addr, load(table.device_ca.clone())?)))
                .transpose()?,
            http: http.map(|addr| anyhow::Ok((addr, load(None)?))).transpose()?,
        })
    }

    pub(super) fn validate_tls(&self) -> Result<(), Wrong> {
        let ports =
            [("mqtt.tls_listen", self.mqtt.tls_listen), ("http.tls_listen", self.http.tls_listen)];
        for (key, port) in ports {
            if port.is_some() && self.tls.is_none() {
                return wrong(
                    key,
                    "needs a certificate: add a [tls] table with certificate and key",
                );
            }
            if port.is_some_and(|addr| addr.port() == 0) {
                return wrong(key, "port 0 would be another port at each start: give a fixed one");
            }
        }
        if self.tls.is_some() && ports.iter().all(|(_, port)| port.is_none()) {
            return wrong(
                "tls.certificate",
                "is shown nowhere: set mqtt.tls_listen or http.tls_listen",
            );
        }
        if self.mqtt.tls_listen.is_some() && !self.mqtt.embedded {
            return wrong(
                "mqtt.tls_listen",
                "is the embedded broker's, and mqtt.embedded is false",
            );
        }
        let plain = [self.mqtt.embedded.then(|| self.mqtt.addr()), Some(self.http.listen)];
        let mut all: Vec<SocketAddr> = plain.into_iter().flatten().collect();
        for (key, port) in ports {
            let Some(addr) = port else { continue };
            if all.contains(&addr) {
                return wrong(key, format!("{addr} is another port's address too: give another"));
            }
            all.push(addr);
        }
        Ok(())
    }
}
