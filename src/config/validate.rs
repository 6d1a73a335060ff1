//! What is well-formed and still makes no sense.

use std::borrow::Cow;
use std::time::Duration;

use super::{Config, Http, Influx, Port};

/// A key whose value cannot be used, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub(crate) struct Wrong {
    /// `section.key` or `section[place].key`
    pub(super) key: Cow<'static, str>,
    pub(super) what: String,
}

/// Below this, the five minutes that a device's clock may be ahead would already be too late.
const SHORTEST_HORIZON: Duration = Duration::from_mins(5);
/// States of all devices are kept for the horizon, and a late reading computes it again.
const LONGEST_HORIZON: Duration = Duration::from_hours(30 * 24);
/// A batch waits in memory and its senders wait for their acknowledgement.
const LARGEST_BATCH: usize = 100_000;
/// At this, one real second is more than a day: time-outs in the server's time stop to make sense.
const FASTEST_CLOCK: f64 = 100_000.0;

impl Config {
    pub(super) fn validate(&self) -> Result<(), Wrong> {
        let mqtt = self.mqtt.addr();
        if self.mqtt.embedded && self.mqtt.anonymous && !mqtt.ip().to_canonical().is_loopback() {
            return wrong(
                "mqtt.listen",
                format!(
                    "{mqtt} is reachable from other machines, and anyone could publish as any device: \
                 set mqtt.anonymous = false and give the devices tokens, or listen on 127.0.0.1"
                ),
            );
        }
        if self.mqtt.embedded && mqtt == self.http.listen && mqtt.port() != 0 {
            return wrong(
                "http.listen",
                format!("{mqtt} is the broker's address too: give another port"),
            );
        }
        self.validate_operators()?;
        self.validate_tls()?;
        if self.data.dir.as_os_str().is_empty() {
            return wrong("data.dir", "is empty: name a folder for the journal");
        }
        let speed = self.clock.speed;
        if !(speed > 0.0 && speed <= FASTEST_CLOCK) {
            return wrong(
                "clock.speed",
                format!("{speed} is not above 0 and at most {FASTEST_CLOCK}"),
            );
        }
        self.validate_weather()?;
        self.relevance.parsed()?;
        if self.relevance.cap == Some(0) {
            return wrong("relevance.cap", "must be at least 1; without one there is no cap");
        }
        if self.relevance.cap_window.is_zero() {
            return wrong("relevance.cap_window", "must be longer than nothing, as 24h is");
        }
        self.validate_collecting()?;
        self.validate_webhooks()?;
        self.validate_journal()?;
        self.retention.validate()?;
        self.influx.as_ref().map_or(Ok(()), Influx::validate)
    }

    fn validate_operators(&self) -> Result<(), Wrong> {
        let Http { listen, tls_listen, operator } = &self.http;
        let ports = [("http.listen", Some(listen)), ("http.tls_listen", tls_listen.as_ref())];
        let reachable =
            |(_, addr): &(_, Option<&std::net::SocketAddr>)| addr.is_some_and(is_reachable);
        if let Some((key, Some(listen))) = ports.into_iter().find(reachable)
            && operator.is_empty()
        {
            let what = format!(
                "{listen} is reachable from other machines, and anyone could see and change \
                 everything: add an [[http.operator]] with a token (datanaut token), or listen on \
                 127.0.0.1"
            );
            return wrong(key, what);
        }
        let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        match operator.iter().find(|operator| !is_hash(&operator.token_sha256)) {
            None => Ok(()),
            Some(odd) => wrong(
                "http.operator",
                format!(
                    "token_sha256 of {} is not the 64 digits that `datanaut token` prints",
                    odd.name
                ),
            ),
        }
    }

    fn validate_journal(&self) -> Result<(), Wrong> {
        let journal = &self.journal;
        if !(SHORTEST_HORIZON..=LONGEST_HORIZON).contains(&journal.horizon) {
            return wrong("journal.horizon", "must be from 5m to 30d");
        }
        if journal.claim_wait > LONGEST_HORIZON {
            return wrong("journal.claim_wait", "must be at most 30d");
        }
        if !(1..=LARGEST_BATCH).contains(&journal.max_batch) {
            return wrong("journal.max_batch", format!("must be from 1 to {LARGEST_BATCH}"));
        }
        Ok(())
    }

    /// Port 0 is for tests, by flag: a file describes a server that its clients can find again.
    pub(super) fn validate_ports(&self) -> Result<(), Wrong> {
        const ADVICE: &str = "port 0 would be another port at each start: give a fixed one";
        if self.mqtt.port == Some(Port::Number(0)) {
            return wrong("mqtt.port", format!("{ADVICE}, or \"auto\" for the next free one"));
        }
        if self.mqtt.addr().port() == 0 {
            return wrong("mqtt.listen", ADVICE);
        }
        if self.http.listen.port() == 0 {
            return wrong("http.listen", ADVICE);
        }
        Ok(())
    }

    /// What works but deserves a second look.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mqtt = self.mqtt.embedded.then(|| self.mqtt.addr());
        for (section, listen) in [("mqtt", mqtt), ("http", Some(self.http.listen))] {
            if let Some(listen) = listen.filter(is_reachable) {
                warnings.push(format!(
                    "{section}.listen: {listen} is reachable from other machines, and tokens and \
                     positions go there in the clear: leave it on 127.0.0.1 and set \
                     {section}.tls_listen, or let nobody but a proxy with TLS reach it"
                ));
            }
        }
        if self.sim.enabled && self.data.registry.is_some() {
            warnings.push(
                "sim.enabled: the simulated devices are refused unless data.registry knows them"
                    .to_owned(),
            );
        }
        warnings
    }
}

fn is_reachable(addr: &std::net::SocketAddr) -> bool {
    !addr.ip().to_canonical().is_loopback()
}

pub(super) fn wrong<T>(
    key: impl Into<Cow<'static, str>>,
    what: impl Into<String>,
) -> Result<T, Wrong> {
    Err(Wrong { key: key.into(), what: what.into() })
}
