//! Scenarios: what a run is made of, as a TOML file that anybody can read and change.

mod check;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::claims::ClaimRates;
use crate::faults::Faults;
use crate::fleet::{Fleet, Group, Timing};
use crate::format::Format;
use crate::options::{CONNECT_RATE, Mix, MixError, Options, Protocol, Qos};
use crate::people::{UNHEATED, venues};
use crate::reading::Kind;
use crate::schedule::{Load, Phase};
use crate::trips::{Trip, TripSpec};

/// A scenario. All that is not said has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is for, in a sentence.
    pub about: String,
    #[serde(default = "one")]
    pub seed: u64,
    /// How long it publishes.
    pub seconds: f64,
    /// What happens before so many seconds counts in no latency.
    #[serde(default)]
    pub warm_up_s: f64,
    /// How long the rest may take.
    #[serde(default = "thirty")]
    pub drain_s: f64,
    /// How long the connections may take to come up, after the time that `connect_rate` takes.
    #[serde(default = "thirty")]
    pub settle_s: f64,
    #[serde(default)]
    pub clock: ClockSpec,
    /// 5, 3.1.1, or a mix.
    #[serde(default = "v5")]
    pub mqtt: String,
    /// 0, 1, 2, or a mix.
    #[serde(default = "qos1")]
    pub qos: String,
    /// Unacknowledged messages of a connection.
    #[serde(default = "window")]
    pub window: u16,
    /// At most so many; without it, one for each device.
    pub connections: Option<usize>,
    /// New connections a second while they come up, over all processes.
    #[serde(default = "connect_rate")]
    pub connect_rate: f64,
    /// The demo fleet is part of it.
    #[serde(default)]
    pub demo: bool,
    /// Listen to the triggers and compare them with what really happened.
    #[serde(default)]
    pub verify: bool,
    #[serde(default)]
    pub group: Vec<GroupSpec>,
    #[serde(default)]
    pub faults: Faults,
    /// The accidents that cars have.
    pub claims: Option<ClaimRates>,
    /// The trips that people book.
    pub trips: Option<TripSpec>,
    /// The server goes by the simulated weather, so that what it makes of it can be judged.
    #[serde(default)]
    pub weather_is_told: bool,
    /// The server knows the areas of risk that `device-sim areas` prints.
    #[serde(default)]
    pub areas_are_told: bool,
    /// The server has the venues that `device-sim registry` prints for this scenario.
    #[serde(default)]
    pub venues_are_told: bool,
    #[serde(default)]
    pub limits: LimitSpec,
}

/// How the devices' clock goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockSpec {
    /// As the one on the wall.
    #[default]
    Wall,
    /// As the server's, which may have started at another time and run faster. Needs `--http`.
    Server,
}

/// Devices of one kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSpec {
    /// thermostat, car, tracker or product.
    pub kind: Kind,
    pub count: usize,
    /// Their ids are this and a number of five digits.
    pub prefix: String,
    /// json, cbor or owntracks, or a mix.
    #[serde(default = "json")]
    pub format: String,
    /// Readings in a message.
    #[serde(default = "one_reading")]
    pub batch: u32,
    /// Each reports a reading every so many seconds of its clock ...
    pub every_s: Option<f64>,
    /// ... or all together report at this load, one part after the other.
    #[serde(default)]
    pub load: Vec<PhaseSpec>,
    /// After hard braking, an accident or a border, a car takes a reading a second for a minute.
    #[serde(default)]
    pub bursts: bool,
    /// The share of thermostats whose houses nobody heats; one in fifty, if left out.
    pub unheated: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseSpec {
    pub seconds: f64,
    pub from_per_s: f64,
    /// The same as `from_per_s`, if left out.
    pub to_per_s: Option<f64>,
}

/// What must hold for the run to pass; what is left out is not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSpec {
    pub puback_p99_ms: Option<f64>,
    pub trigger_p99_ms: Option<f64>,
    /// Share of the offered that is acknowledged in the end.
    pub acknowledged: Option<f64>,
    pub lost_connections: Option<u64>,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
}

fn one() -> u64 {
    1
}
fn one_reading() -> u32 {
    1
}
fn thirty() -> f64 {
    30.0
}
fn window() -> u16 {
    50
}
fn connect_rate() -> f64 {
    CONNECT_RATE
}
fn v5() -> String {
    "5".into()
}
fn qos1() -> String {
    "1".into()
}
fn json() -> String {
    "json".into()
}

/// The scenarios that ship.
const SHIPPED: [(&str, &str); 7] = [
    ("smoke", include_str!("../scenarios/smoke.toml")),
    ("morning-rush", include_str!("../scenarios/morning-rush.toml")),
    ("winter-week", include_str!("../scenarios/winter-week.toml")),
    ("reconnect-storm", include_str!("../scenarios/reconnect-storm.toml")),
    ("soak", include_str!("../scenarios/soak.toml")),
    ("open-day", include_str!("../scenarios/open-day.toml")),
    ("crowd", include_str!("../scenarios/crowd.toml")),
];

/// Why there is no such scenario, or none that can be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("{name} is neither a scenario ({}) nor a file that can be read: {error}", names().join(", "))]
    Unknown { name: String, error: std::io::Error },
    #[error("{name}: {error}")]
    Unreadable { name: String, error: Box<toml::de::Error> },
    #[error("{0}")]
    Mix(#[from] MixError),
    #[error("{0}")]
    Invalid(String),
}

/// The names of the scenarios that ship.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

impl Scenario {
    /// A scenario that ships, or one from a file.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be understood.
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
        let text = match shipped {
            Some((_, text)) => (*text).to_owned(),
            None => std::fs::read_to_string(Path::new(name))
                .map_err(|error| ScenarioError::Unknown { name: name.into(), error })?,
        };
        let scenario: Self = toml::from_str(&text).map_err(|error| ScenarioError::Unreadable {
            name: name.into(),
            error: Box::new(error),
        })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The devices of the scenario, `scale` times as many, at `scale` times the load.
    ///
    /// # Errors
    /// When a format is unknown.
    pub fn fleet(&self, scale: f64, seed: u64) -> Result<Fleet, ScenarioError> {
        let groups = Fleet::of(&self.groups(scale)?, seed);
        Ok(if self.demo { Fleet::demo(seed).and(groups) } else { groups })
    }

    fn groups(&self, scale: f64) -> Result<Vec<Group>, ScenarioError> {
        let claims = self.claims.clone().map(Arc::new);
        let groups = self.group.iter().map(|spec| {
            let timing = match spec.every_s {
                Some(every_s) => {
                    let interval_us = (every_s * f64::from(spec.batch) * 1e6) as i64;
                    Timing::Every { interval_us }
                }
                None => Timing::Load(Load::new(
                    spec.load.iter().map(|phase| phase.scaled(scale)).collect(),
                )),
            };
            Ok(Group {
                kind: spec.kind,
                count: spec.scaled(scale),
                prefix: spec.prefix.clone(),
                format: spec.format.parse::<Mix<Format>>()?,
                batch: spec.batch,
                timing,
                claims: claims.clone(),
                bursts: spec.bursts,
                unheated: spec.unheated.unwrap_or(UNHEATED),
                everyday: spec.every_s.is_some_and(|every_s| every_s >= 30.0),
            })
        });
        groups.collect()
    }

    /// Fills in what the scenario says about how to publish.
    ///
    /// # Errors
    /// When a mix cannot be understood.
    pub fn apply(&self, options: &mut Options) -> Result<(), ScenarioError> {
        let (protocol, qos) = self.options()?;
        options.protocol = protocol;
        options.qos = qos;
        options.window = self.window;
        options.connections = self.connections.unwrap_or(usize::MAX);
        options.connect_rate = self.connect_rate;
        options.duration = Some(Duration::from_secs_f64(self.seconds));
        options.warm_up = Duration::from_secs_f64(self.warm_up_s);
        options.drain = Duration::from_secs_f64(self.drain_s);
        options.settle = Duration::from_secs_f64(self.settle_s);
        options.faults = self.faults.clone();
        Ok(())
    }

    /// The trips that are told of in a run which begins at `start_ms` and lasts so long.
    pub(crate) fn trips(&self, scale: f64, start_ms: i64, lasts: Duration) -> Vec<Trip> {
        let travels = |group: &&GroupSpec| matches!(group.kind, Kind::Car | Kind::Tracker);
        let devices = self.group.iter().filter(travels).flat_map(|group| {
            let count = group.scaled(scale);
            (0..count).map(|index| format!("{}{index:05}", group.prefix))
        });
        self.trips.map_or(Vec::new(), |spec| spec.planned(devices, start_ms, lasts))
    }

    /// What the server can tell as the ledger does.
    pub(crate) fn judged_events(&self) -> Vec<String> {
        let events = [
            ("border_crossed", true),
            ("tyres_unfit", self.weather_is_told),
            ("frost_risk", self.weather_is_told),
            ("risk_area_entered", self.areas_are_told),
            ("risk_area_left", self.areas_are_told),
            ("geofence_entered", self.venues_are_told),
            ("trip_ahead", self.trips.is_some()),
            ("claim_reported", self.weather_is_told && self.claims.is_some()),
        ];
        let judged = events.into_iter().filter(|(_, judged)| *judged);
        judged.map(|(event, _)| event.to_owned()).collect()
    }

    fn options(&self) -> Result<(Mix<Protocol>, Mix<Qos>), MixError> {
        Ok((self.mqtt.parse()?, self.qos.parse()?))
    }

    /// A registry for Datanaut in which each device of the scenario has an owner who is insured
    /// and has consented.
    #[must_use]
    pub fn registry(&self, scale: f64) -> String {
        let insurer = self.insurer();
        let mut text = format!(
            "# Made by `device-sim registry`: who owns the devices of a scenario.\n\n\
             [[insurer]]\nid = \"{insurer}\"\nname = \"{insurer}\"\n",
        );
        if self.demo {
            for kind in [Kind::Car, Kind::Tracker, Kind::Thermostat, Kind::Product] {
                let count = Fleet::demo(1).ids().filter(|id| id.starts_with(kind.name())).count();
                text += &self.fleet_table(&format!("{}-", kind.name()), kind, (1, count, 2));
            }
        }
        for group in &self.group {
            let count = group.scaled(scale);
            text += &self.fleet_table(&group.prefix, group.kind, (0, count, 5));
        }
        if self.venues_are_told {
            text.extend(venues().map(|venue| venue.geofence()));
        }
        text
    }

    pub(crate) fn insurer(&self) -> &str {
        self.claims.as_ref().map_or("alpina", |rates| &rates.insurer)
    }

    /// Numbered from `first` on, with so many digits.
    fn fleet_table(
        &self,
        prefix: &str,
        kind: Kind,
        (first, count, digits): (u32, usize, u32),
    ) -> String {
        let insurer = self.insurer();
        let products = match kind {
            Kind::Car => r#""travel", "winter_tyres", "pay_as_you_drive""#,
            Kind::Tracker if self.venues_are_told => r#""travel", "healthy_living", "venue""#,
            Kind::Tracker => r#""travel", "healthy_living""#,
            Kind::Thermostat => r#""home""#,
            Kind::Product => r#""product_usage""#,
        };
        format!(
            "\n[[fleet]]\nprefix = \"{prefix}\"\nkind = \"{}\"\nfirst = {first}\ncount = {count}\n\
         digits = {digits}\ninsurer = \"{insurer}\"\nproducts = [{products}]\n\
         since = \"2010-01-01T00:00:00Z\"\nhome = \"DE\"\ncovers = [\"AT\", \"NL\"]\n\
         wording = \"sim-1\"\n",
            kind.name(),
        )
    }
}

impl GroupSpec {
    fn scaled(&self, scale: f64) -> usize {
        ((self.count as f64 * scale) as usize).max(1)
    }
}

impl PhaseSpec {
    fn scaled(&self, scale: f64) -> Phase {
        let to_per_s = self.to_per_s.unwrap_or(self.from_per_s);
        Phase {
            seconds: self.seconds,
            from_per_s: self.from_per_s * scale,
            to_per_s: to_per_s * scale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Scenario, names};

    #[test]
    fn every_scenario_that_ships_can_be_run() {
        for name in names() {
            let scenario = Scenario::load(name).unwrap_or_else(|error| panic!("{error}"));
            let fleet = scenario.fleet(0.01, scenario.seed).unwrap();
            assert!(!fleet.is_empty(), "{name}");
        }
    }
}
