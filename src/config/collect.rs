//! Where readings come from: collectors of other brokers, and what their topics mean.

use std::num::NonZeroU16;
use std::path::PathBuf;

use anyhow::{Context, Result};
use ingest::collector::{self, CollectorOptions, Protocol};
use ingest::source::{EMBEDDED, Source, SourceError, Sources};

use super::broker_url::BrokerUrl;
use super::validate::{Wrong, wrong};
use super::{Config, from_text};

/// Datanaut's own clients connect under these names.
const OWN: [&str; 2] = ["datanaut-deliver", "datanaut-requests"];

/// One `[[collector]]` table: a broker to collect from.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collector {
    #[serde(deserialize_with = "from_text")]
    pub(crate) url: BrokerUrl,
    /// The name of the session at the broker.
    #[serde(default = "default_client_id")]
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) username: Option<String>,
    #[serde(default)]
    pub(crate) password_file: Option<PathBuf>,
    /// Of a `$share` group.
    #[serde(default)]
    pub(crate) share: Option<String>,
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// Messages the broker may send ahead of their acknowledgements.
    #[serde(default = "default_receive_maximum")]
    pub(crate) receive_maximum: NonZeroU16,
}

fn default_client_id() -> String {
    "datanaut".to_owned()
}

fn default_receive_maximum() -> NonZeroU16 {
    collector::RECEIVE_MAXIMUM
}

impl Config {
    /// The sources of the embedded broker.
    pub(crate) fn embedded_sources(&self) -> Result<Sources> {
        self.sources_of(EMBEDDED).map_err(|(_, error)| error.into())
    }

    /// By the name of each broker that messages come through: what its topics mean.
    pub(crate) fn all_sources(&self) -> Result<Vec<(String, Sources)>> {
        let collectors = self.collector.iter().map(|collector| collector.client_id.as_str());
        let brokers = collectors.chain(self.mqtt.embedded.then_some(EMBEDDED));
        let sources = brokers.map(|broker| {
            let sources = self.sources_of(broker).map_err(|(_, error)| error)?;
            Ok((broker.to_owned(), sources))
        });
        sources.collect()
    }

    /// What to collect from where.
    ///
    /// # Errors
    /// When a password cannot be read.
    pub(crate) fn collectors(&self) -> Result<Vec<CollectorOptions>> {
        self.collector.iter().map(|collector| self.options(collector)).collect()
    }

    fn options(&self, collector: &Collector) -> Result<CollectorOptions> {
        let password = match &collector.password_file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the password in {}", file.display()))?,
            None => String::new(),
        };
        let password = password.lines().next().unwrap_or_default().to_owned();
        Ok(CollectorOptions {
            host: collector.url.host.clone(),
            port: collector.url.port,
            client_id: collector.client_id.as_str().into(),
            login: collector.username.clone().map(|username| (username, password)),
            share: collector.share.clone(),
            protocol: collector.protocol,
            receive_maximum: collector.receive_maximum,
            sources: self.sources_of(&collector.client_id).map_err(|(_, error)| error)?,
        })
    }

    /// The broker that triggers go out on, and that insurers report on.
    fn home(&self) -> &str {
        match self.collector.first() {
            Some(first) if !self.mqtt.embedded => &first.client_id,
            _ => EMBEDDED,
        }
    }

    fn sources_of(&self, broker: &str) -> Result<Sources, (usize, SourceError)> {
        let sources = match self.source.as_slice() {
            [] => Sources::default(),
            sources => Sources::of(broker, sources)?,
        };
        Ok(if broker == self.home() { sources.with_insurers() } else { sources })
    }

    pub(super) fn validate_collecting(&self) -> Result<(), Wrong> {
        if !self.mqtt.embedded {
            if self.collector.is_empty() {
                return wrong(
                    "mqtt.embedded",
                    "false leaves nobody to publish to: name a broker in a [[collector]] table",
                );
            }
            if self.sim.enabled {
                return wrong(
                    "mqtt.embedded",
                    "false would let the simulated fleet publish on your own broker: set \
                     sim.enabled = false; device-sim publishes on any broker",
                );
            }
        }
        for (at, collector) in self.collector.iter().enumerate() {
            self.validate_collector(at, collector)?;
        }
        self.validate_sources()
    }

    fn validate_collector(&self, at: usize, collector: &Collector) -> Result<(), Wrong> {
        let key = |name: &str| format!("collector[{at}].{name}");
        let Collector { url, client_id, username, password_file, share, .. } = collector;
        if client_id.is_empty() || client_id == EMBEDDED || OWN.contains(&client_id.as_str()) {
            return wrong(
                key("client_id"),
                format!("`{client_id}` cannot be used: give a name of its own"),
            );
        }
        let same = |other: &Collector| other.url == *url && other.client_id == *client_id;
        if self.collector.iter().take(at).any(same) {
            return wrong(
                key("client_id"),
                format!("`{client_id}` collects from {url} already, and would put it off the line"),
            );
        }
        if password_file.is_some() && username.is_none() {
            return wrong(key("password_file"), "is of no use without username");
        }
        if let Some(group) = share
            && (group.is_empty() || group.contains(['/', '+', '#']))
        {
            return wrong(
                key("share"),
                format!("`{group}` has /, + or #, or nothing: give a name"),
            );
        }
        Ok(())
    }

    fn validate_sources(&self) -> Result<(), Wrong> {
        let mut brokers: Vec<&str> =
            self.collector.iter().map(|collector| collector.client_id.as_str()).collect();
        if self.mqtt.embedded {
            brokers.push(EMBEDDED);
        }
        for (at, source) in self.source.iter().enumerate() {
            let unknown = source.from.iter().find(|from| !brokers.contains(&from.as_str()));
            if let Some(unknown) = unknown {
                return wrong(
                    format!("source[{at}].from"),
                    format!("`{unknown}` is none of {}", brokers.join(", ")),
                );
            }
        }
        for broker in brokers {
            let sources = self.sources_of(broker).or_else(|(at, error)| {
                let key = match error {
                    SourceError::Devices(_) => "devices",
                    SourceError::TwoKinds(_) => "kind",
                    _ => "topic",
                };
                wrong(format!("source[{at}].{key}"), error.to_string())
            })?;
            if sources.is_empty() {
                return wrong("source[0].from", format!("no source holds for {broker}: add one"));
            }
        }
        Ok(())
    }
}

/// What `datanaut check` says.
pub(crate) fn summary(config: &Config) -> Vec<String> {
    let shared = |collector: &Collector| {
        collector.share.as_ref().map_or(String::new(), |group| format!(", shared by {group}"))
    };
    let collectors = config.collector.iter().map(|collector| {
        format!("collect  from {} as {}{}", collector.url, collector.client_id, shared(collector))
    });
    let source = |source: &Source| format!("source   {} is {:?}", source.topic, source.format);
    collectors.chain(config.source.iter().map(source)).collect()
}
