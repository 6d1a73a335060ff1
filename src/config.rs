//! The configuration: defaults, then the file, then the flags. docs/configuration.md explains it.

mod broker_url;
mod collect;
mod error;
mod influx;
mod retention;
#[cfg(test)]
mod tests;
mod tls;
mod validate;
mod weather;
mod webhook;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ingest::source::Source;
use jiff::civil::Time;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde::de::{self, Deserialize, Deserializer};

pub(crate) use collect::{Collector, summary as collecting};
pub(crate) use error::ConfigError;
pub(crate) use influx::{Influx, summary as writing_to_influx};
pub(crate) use retention::Retention;
pub(crate) use tls::TlsTable;
pub(crate) use weather::{Feed as WeatherFeed, Feeds, Weather};
pub(crate) use webhook::Webhook;

use crate::cli::ServeArgs;

/// Everything an operator can set. `Config::default()` is the demo: one process, loopback only.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) mqtt: Mqtt,
    /// Other brokers to collect from.
    pub(crate) collector: Vec<Collector>,
    /// Empty: [`Source::defaults`].
    pub(crate) source: Vec<Source>,
    /// Where insurers want their triggers posted.
    pub(crate) webhook: Vec<Webhook>,
    pub(crate) http: Http,
    /// What the ports for TLS show.
    pub(crate) tls: Option<TlsTable>,
    pub(crate) data: Data,
    pub(crate) sim: Sim,
    pub(crate) clock: ClockStart,
    pub(crate) places: Places,
    pub(crate) weather: Weather,
    pub(crate) rules: Rules,
    pub(crate) relevance: Relevance,
    pub(crate) journal: Journal,
    /// How long everything is kept.
    pub(crate) retention: Retention,
    /// An InfluxDB that readings go on to.
    pub(crate) influx: Option<Influx>,
}

/// The embedded broker.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mqtt {
    /// Off, devices and insurers are on the broker of the first collector.
    pub(crate) embedded: bool,
    #[serde(deserialize_with = "address")]
    listen: SocketAddr,
    /// Takes the place of the port in `listen`.
    port: Option<Port>,
    /// A port for TLS beside it.
    #[serde(deserialize_with = "some_address")]
    pub(crate) tls_listen: Option<SocketAddr>,
    /// Whether clients of the plain port may come without a token; on a loopback address only.
    pub(crate) anonymous: bool,
    /// `None`: as many as the limit on open files allows.
    #[serde(deserialize_with = "some_count")]
    pub(crate) max_clients: Option<NonZeroUsize>,
}

impl Mqtt {
    pub(crate) fn addr(&self) -> SocketAddr {
        match self.port {
            Some(Port::Number(port)) => SocketAddr::new(self.listen.ip(), port),
            Some(Port::Auto) | None => self.listen,
        }
    }

    /// Whether to go on to the next free port when the one of [`Self::addr`] is taken.
    pub(crate) fn port_auto(&self) -> bool {
        self.port == Some(Port::Auto)
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 1883));
        Self {
            embedded: true,
            listen,
            port: None,
            tls_listen: None,
            anonymous: true,
            max_clients: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Auto,
    /// 0: the system chooses.
    Number(u16),
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(port) => Ok(Self::Number(port)),
            Err(_) => Err("give a number up to 65535, or auto".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct PortVisitor;

        impl de::Visitor<'_> for PortVisitor {
            type Value = Port;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a port number or \"auto\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Port, E> {
                let port = u16::try_from(number);
                port.map(Port::Number)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Port, E> {
                match text {
                    "auto" => Ok(Port::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }

        input.deserialize_any(PortVisitor)
    }
}

/// The page and the HTTP API.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    #[serde(deserialize_with = "address")]
    pub(crate) listen: SocketAddr,
    /// A port for TLS beside it.
    #[serde(deserialize_with = "some_address")]
    pub(crate) tls_listen: Option<SocketAddr>,
    /// Needed where others than this machine can reach it.
    pub(crate) operator: Vec<Operator>,
}

/// Who may look, or change things as well.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operator {
    pub(crate) name: String,
    /// As `datanaut token` prints it.
    pub(crate) token_sha256: String,
    pub(crate) role: dashboards::Role,
}

impl Default for Http {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        Self { listen, tls_listen: None, operator: Vec::new() }
    }
}

/// Where things are kept. Relative paths start at the working directory.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Data {
    pub(crate) dir: PathBuf,
    /// Seeds an empty journal; `None`: the demo's registry.
    pub(crate) registry: Option<PathBuf>,
}

impl Default for Data {
    fn default() -> Self {
        Self { dir: PathBuf::from("datanaut-data"), registry: None }
    }
}

/// The simulated fleet.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sim {
    pub(crate) enabled: bool,
    pub(crate) seed: u64,
}

impl Default for Sim {
    fn default() -> Self {
        Self { enabled: true, seed: 1 }
    }
}

/// What the one clock shows at the start, and how fast it runs.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClockStart {
    /// `None`: the system's time.
    #[serde(deserialize_with = "timestamp")]
    pub(crate) start: Option<Timestamp>,
    /// Times real time.
    pub(crate) speed: f64,
}

impl Default for ClockStart {
    fn default() -> Self {
        Self { start: None, speed: 1.0 }
    }
}

/// What is drawn on the map.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Places {
    /// A GeoJSON file with areas of risk.
    pub(crate) risk_areas: Option<PathBuf>,
}

/// The rules that decide who is told what.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rules {
    /// An operator's own; `None`: only those that ship.
    pub(crate) dir: Option<PathBuf>,
}

/// How much anybody hears from us.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Relevance {
    /// Most triggers for a customer in a window, over all products; `None`: no cap.
    pub(crate) cap: Option<u32>,
    #[serde(deserialize_with = "duration_text")]
    pub(crate) cap_window: Duration,
    /// `"22:00-07:00"`, or `""` for none.
    pub(crate) quiet_hours: String,
}

impl Default for Relevance {
    fn default() -> Self {
        Self {
            cap: None,
            cap_window: Duration::from_hours(24),
            quiet_hours: "22:00-07:00".to_owned(),
        }
    }
}

impl Relevance {
    /// A line for `datanaut check`.
    pub(crate) fn summary(&self) -> String {
        let window = SignedDuration::try_from(self.cap_window).unwrap_or(SignedDuration::MAX);
        let cap = self.cap.map_or("no cap".to_owned(), |cap| {
            format!("at most {cap} triggers a customer in {window:#}")
        });
        match self.quiet_hours.as_str() {
            "" => format!("relevant {cap}, no quiet hours"),
            hours => format!("relevant {cap}, quiet hours {hours}"),
        }
    }

    /// As the core takes it.
    ///
    /// # Errors
    /// When the quiet hours are none.
    pub(crate) fn parsed(&self) -> Result<enrich::relevance::Relevance, validate::Wrong> {
        let quiet_hours = match self.quiet_hours.as_str() {
            "" => None,
            text => {
                let times = text.split_once('-').and_then(|(from, to)| {
                    Some((from.trim().parse::<Time>().ok()?, to.trim().parse::<Time>().ok()?))
                });
                let Some((from, to)) = times.filter(|(from, to)| from != to) else {
                    return validate::wrong(
                        "relevance.quiet_hours",
                        format!(
                            "`{text}` is no span of hours: write \"22:00-07:00\", or \"\" for none"
                        ),
                    );
                };
                Some((from, to))
            }
        };
        let cap_window_ms = i64::try_from(self.cap_window.as_millis()).unwrap_or(i64::MAX);
        Ok(enrich::relevance::Relevance { cap: self.cap, cap_window_ms, quiet_hours })
    }
}

/// The durable log.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Journal {
    /// How late a reading may come and still change what follows from it.
    #[serde(deserialize_with = "duration_text")]
    pub(crate) horizon: Duration,
    /// How long a claim waits for readings of its time.
    #[serde(deserialize_with = "duration_text")]
    pub(crate) claim_wait: Duration,
    /// Most messages in one commit.
    pub(crate) max_batch: usize,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            horizon: Duration::from_hours(72),
            claim_wait: Duration::from_hours(1),
            max_batch: 5_000,
        }
    }
}

impl Config {
    /// Reads and validates a configuration file.
    ///
    /// # Errors
    /// When the file cannot be read, or says something that makes no sense: with the place.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, &ServeArgs::default())
    }

    fn load_with(path: &Path, flags: &ServeArgs) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text, flags)
    }

    /// What serving goes by: the file when one is given, the flags over it.
    ///
    /// # Errors
    /// As [`Self::load`], and when the flags make no sense together with the file.
    pub(crate) fn for_serving(flags: &ServeArgs) -> Result<Self, ConfigError> {
        let mut config = match &flags.config {
            Some(path) => Self::load_with(path, flags)?,
            None => Self::default(),
        };
        config.override_with(flags);
        config.validate().map_err(ConfigError::Flags)?;
        Ok(config)
    }

    /// The file alone, but for the fleet that a flag switches off: not every file goes with it.
    fn parse(path: &Path, text: &str, flags: &ServeArgs) -> Result<Self, ConfigError> {
        let mut config: Self =
            toml::from_str(text).map_err(|error| ConfigError::from_toml(path, text, &error))?;
        config.sim.enabled &= !flags.no_sim;
        match config.validate().and_then(|()| config.validate_ports()) {
            Ok(()) => Ok(config),
            Err(wrong) => Err(ConfigError::from_wrong(path, text, &wrong)),
        }
    }

    fn override_with(&mut self, flags: &ServeArgs) {
        self.sim.enabled &= !flags.no_sim;
        self.mqtt.port = flags.port.or(self.mqtt.port);
        self.http.listen = flags.http.unwrap_or(self.http.listen);
        if let Some(dir) = &flags.data {
            self.data.dir.clone_from(dir);
        }
        if let Some(file) = &flags.registry {
            self.data.registry = Some(file.clone());
        }
        self.clock.start = flags.clock_start.or(self.clock.start);
        self.clock.speed = flags.clock_speed.unwrap_or(self.clock.speed);
    }
}

/// Reads `72h`, `7d`, `1h 30m` or ISO 8601 (`PT72H`); a day is 24 hours.
///
/// # Errors
/// When it is no such duration, or below zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let advice = || format!("`{text}` is no duration: give for example 90s, 15m, 72h or 7d");
    let span: Span = text.parse().map_err(|_| advice())?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| advice())?;
    Duration::try_from(signed).map_err(|_| advice())
}

fn duration_text<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    duration(&String::deserialize(input)?).map_err(de::Error::custom)
}

fn some_duration<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    duration_text(input).map(Some)
}

fn address<'de, D: Deserializer<'de>>(input: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(input)?;
    let advice = || format!("`{text}`: give an IP address and a port, as in 127.0.0.1:1883");
    text.parse().map_err(|_| de::Error::custom(advice()))
}

fn some_address<'de, D: Deserializer<'de>>(input: D) -> Result<Option<SocketAddr>, D::Error> {
    address(input).map(Some)
}

fn some_count<'de, D: Deserializer<'de>>(input: D) -> Result<Option<NonZeroUsize>, D::Error> {
    let advice = || de::Error::custom("give 1 or more, or leave it out");
    NonZeroUsize::new(usize::deserialize(input)?).ok_or_else(advice).map(Some)
}

fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(
    input: D,
) -> Result<T, D::Error> {
    String::deserialize(input)?.parse().map_err(de::Error::custom)
}

fn timestamp<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
    // With quotes as in a registry, or without, as TOML has times.
    let time = match toml::Value::deserialize(input)? {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    let advice = || format!("`{time}` needs date, time and offset: 2022-05-28T06:53:52Z");
    time.parse().map(Some).map_err(|_| de::Error::custom(advice()))
}
