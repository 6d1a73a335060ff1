//! What a run was made of, as far as its figures depend on it: two runs compare only where it is the
//! same.

use serde::{Deserialize, Serialize};

use crate::faults::Faults;
use crate::options::Options;
use crate::scenario::{GroupSpec, Scenario};
use crate::server::Identity;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Whether the messages went to the server's own broker or to another one.
    pub broker: String,
    /// The server's version, if it was asked.
    pub server: Option<String>,
    pub seconds: f64,
    pub processes: usize,
    /// Kinds, formats with their shares, and rates.
    pub groups: Vec<String>,
    pub mqtt: String,
    pub qos: String,
    pub window: u16,
    pub faults: Faults,
}

impl Setup {
    pub(crate) fn of(
        scenario: &Scenario,
        options: &Options,
        processes: usize,
        server: Option<&Identity>,
    ) -> Self {
        let demo = scenario.demo.then(|| "the demo fleet".to_owned());
        let broker = match server {
            None => "no server was asked about it",
            Some(server) if server.mqtt.port() == options.broker.port => "the server's own",
            Some(_) => "another than the server's",
        };
        Self {
            broker: broker.into(),
            server: server.map(|server| server.version.clone()),
            seconds: options.duration.map_or(scenario.seconds, |duration| duration.as_secs_f64()),
            processes,
            groups: demo.into_iter().chain(scenario.group.iter().map(described)).collect(),
            mqtt: options.protocol.to_string(),
            qos: options.qos.to_string(),
            window: options.window,
            faults: options.faults.clone(),
        }
    }

    /// In what another run differed, as `what: A this, B that`.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let rows = |setup: &Self| {
            let asked = setup.server.clone().unwrap_or_else(|| "not asked".into());
            [
                ("broker", setup.broker.clone()),
                ("server", asked),
                ("seconds", setup.seconds.to_string()),
                ("processes", setup.processes.to_string()),
                ("devices", setup.groups.join("; ")),
                ("MQTT", setup.mqtt.clone()),
                ("QoS", setup.qos.clone()),
                ("window", setup.window.to_string()),
                ("faults", faults(&setup.faults)),
            ]
        };
        let both = rows(self).into_iter().zip(rows(other));
        let differ = both.filter(|((_, a), (_, b))| a != b);
        differ.map(|((what, a), (_, b))| format!("{what}: A {a}, B {b}")).collect()
    }
}

fn described(group: &GroupSpec) -> String {
    let GroupSpec { kind, count, format, batch, .. } = group;
    let pace = match group.every_s {
        Some(every_s) => format!("a reading every {every_s} s"),
        None => {
            let phase = |phase: &crate::scenario::PhaseSpec| {
                let to_per_s = phase.to_per_s.unwrap_or(phase.from_per_s);
                format!("{} to {to_per_s} a second in {} s", phase.from_per_s, phase.seconds)
            };
            group.load.iter().map(phase).collect::<Vec<_>>().join(", ")
        }
    };
    let several = if *batch > 1 { format!(", {batch} in a message") } else { String::new() };
    let bursts = if group.bursts { ", bursts" } else { "" };
    format!("{count} {}: {format}, {pace}{several}{bursts}", kind.name())
}

/// Those that are on, by the names of a scenario's file.
fn faults(faults: &Faults) -> String {
    let Ok(serde_json::Value::Object(all)) = serde_json::to_value(faults) else {
        return "unknown".into();
    };
    let on = all.into_iter().filter(|(_, value)| value.as_f64() != Some(0.0) && *value != false);
    let list: Vec<_> = on.map(|(name, value)| format!("{name} {value}")).collect();
    if list.is_empty() { "none".into() } else { list.join(", ") }
}
