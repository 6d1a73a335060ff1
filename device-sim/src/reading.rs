//! What a device reports, and its bytes on the wire.

use clap::ValueEnum;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::geo::Position;

/// The kinds of devices. The name is the second level of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Thermostat,
    Car,
    Tracker,
    Product,
}

impl Kind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Thermostat => "thermostat",
            Self::Car => "car",
            Self::Tracker => "tracker",
            Self::Product => "product",
        }
    }
}

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number, with the decimals that the device shows.
    Number(f64, u8),
    Flag(bool),
    Word(&'static str),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Number(number, 0) => serializer.serialize_i64(number.round() as i64),
            Self::Number(number, decimals) => serializer.serialize_f64(rounded(number, decimals)),
            Self::Flag(flag) => serializer.serialize_bool(flag),
            Self::Word(word) => serializer.serialize_str(word),
        }
    }
}

/// `number` with so many decimals; a negative zero becomes a plain one.
fn rounded(number: f64, decimals: u8) -> f64 {
    let scale = 10f64.powi(i32::from(decimals));
    (number * scale).round() / scale + 0.0
}

/// How the device writes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    EpochMs,
    Rfc3339,
}

/// Where the device says it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fix {
    pub(crate) position: Position,
    pub(crate) accuracy_m: f64,
    /// Of latitude and longitude.
    pub(crate) decimals: u8,
}

/// One report of one device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) ts_ms: i64,
    pub(crate) time_format: TimeFormat,
    pub(crate) seq: u64,
    pub(crate) fix: Option<Fix>,
    /// By their documented names.
    pub(crate) measures: Vec<(&'static str, Value)>,
}

impl Serialize for Reading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.time_format {
            TimeFormat::EpochMs => map.serialize_entry("ts", &self.ts_ms)?,
            TimeFormat::Rfc3339 => map.serialize_entry(
                "ts",
                &jiff::Timestamp::from_millisecond(self.ts_ms).unwrap_or_default(),
            )?,
        }
        map.serialize_entry("seq", &self.seq)?;
        if let Some(fix) = &self.fix {
            map.serialize_entry("lat", &rounded(fix.position.lat, fix.decimals))?;
            map.serialize_entry("lon", &rounded(fix.position.lon, fix.decimals))?;
            map.serialize_entry("accuracy_m", &rounded(fix.accuracy_m, 1))?;
        }
        for (name, value) in &self.measures {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::{Fix, Reading, TimeFormat, Value};
    use crate::geo::Position;

    #[test]
    fn a_reading_is_one_flat_json_object() {
        let mut reading = Reading {
            ts_ms: 1_768_867_200_250,
            time_format: TimeFormat::EpochMs,
            seq: 7,
            fix: Some(Fix {
                position: Position::new(51.370_41, 6.172_4),
                accuracy_m: 4.56,
                decimals: 7,
            }),
            measures: vec![
                ("speed_mps", Value::Number(-0.001, 2)),
                ("steps", Value::Number(12.0, 0)),
                ("ignition", Value::Flag(true)),
                ("tyre", Value::Word("winter")),
            ],
        };
        let text = |reading: &Reading| serde_json::to_string(reading).unwrap();
        assert_eq!(
            text(&reading),
            r#"{"ts":1768867200250,"seq":7,"lat":51.37041,"lon":6.1724,"accuracy_m":4.6,"speed_mps":0.0,"steps":12,"ignition":true,"tyre":"winter"}"#
        );
        reading.time_format = TimeFormat::Rfc3339;
        reading.fix = None;
        reading.measures.clear();
        assert_eq!(text(&reading), r#"{"ts":"2026-01-20T00:00:00.25Z","seq":7}"#);
    }
}
