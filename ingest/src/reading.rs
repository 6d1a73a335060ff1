//! What a device said about one instant.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::measure::{Measure, Value};

/// The kinds of connected things Datanaut understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    Thermostat,
    Car,
    Tracker,
    Product,
}

impl DeviceKind {
    pub const ALL: [Self; 4] = [Self::Thermostat, Self::Car, Self::Tracker, Self::Product];

    /// The name used in topics, the registry and the page.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Thermostat => "thermostat",
            Self::Car => "car",
            Self::Tracker => "tracker",
            Self::Product => "product",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A position, kept in ten-millionths of a degree (11 mm) so that it is stored exactly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    pub lat_e7: i32,
    pub lon_e7: i32,
    /// Radius of the circle the device believes itself in; absent when it did not say.
    pub accuracy_m: Option<f32>,
}

impl Fix {
    /// `None` unless the latitude is within ±90 and the longitude within ±180 degrees.
    #[must_use]
    pub fn new(lat: f64, lon: f64, accuracy_m: Option<f32>) -> Option<Self> {
        let on_earth = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
        on_earth.then(|| Self {
            lat_e7: (lat * 1e7).round() as i32,
            lon_e7: (lon * 1e7).round() as i32,
            accuracy_m,
        })
    }

    #[must_use]
    pub fn lat(&self) -> f64 {
        f64::from(self.lat_e7) / 1e7
    }

    #[must_use]
    pub fn lon(&self) -> f64 {
        f64::from(self.lon_e7) / 1e7
    }
}

/// One device, one instant, its measures and maybe its position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// When the device measured it (event time), milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// The device's own sequence number, where it has one.
    pub seq: Option<u64>,
    pub fix: Option<Fix>,
    /// Sorted by measure, each at most once: equal content is equal bytes.
    pub measures: Vec<(Measure, Value)>,
}

impl Reading {
    #[must_use]
    pub fn number(&self, measure: Measure) -> Option<f64> {
        match self.measure(measure) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    #[must_use]
    pub fn measure(&self, measure: Measure) -> Option<&Value> {
        let at = self.measures.binary_search_by_key(&measure, |(name, _)| *name).ok()?;
        self.measures.get(at).map(|(_, value)| value)
    }

    /// The order of a device's history: time, then sequence number, then content, so that any
    /// order of arrival ends in the same history. `Equal` means the same reading: a duplicate.
    #[must_use]
    pub fn history_order(&self, other: &Self) -> Ordering {
        (self.time_ms, self.seq)
            .cmp(&(other.time_ms, other.seq))
            .then_with(|| self.content_order(other))
    }

    fn content_order(&self, other: &Self) -> Ordering {
        let place = |reading: &Self| {
            reading.fix.map(|fix| (fix.lat_e7, fix.lon_e7, fix.accuracy_m.map(f32::to_bits)))
        };
        place(self).cmp(&place(other)).then_with(|| {
            let ours = self.measures.iter().map(|(name, value)| (*name, value.sort_key()));
            ours.cmp(other.measures.iter().map(|(name, value)| (*name, value.sort_key())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Fix, Measure, Reading, Value};
    use std::cmp::Ordering;

    fn reading(time_ms: i64, speed: f64) -> Reading {
        Reading {
            time_ms,
            seq: None,
            fix: Fix::new(52.0, 5.0, Some(4.0)),
            measures: vec![(Measure::SpeedMps, Value::Number(speed))],
        }
    }

    #[test]
    fn the_same_time_with_other_content_is_another_reading() {
        assert_eq!(reading(1, 2.0).history_order(&reading(1, 2.0)), Ordering::Equal);
        assert_eq!(reading(1, 2.0).history_order(&reading(1, 3.0)), Ordering::Less);
        assert_eq!(reading(2, 2.0).history_order(&reading(1, 3.0)), Ordering::Greater);
    }

    #[test]
    fn a_fix_off_the_earth_is_none() {
        assert!(Fix::new(90.1, 0.0, None).is_none());
        assert!(Fix::new(0.0, f64::NAN, None).is_none());
        assert_eq!(Fix::new(-90.0, 180.0, None).map(|fix| fix.lon_e7), Some(1_800_000_000));
    }
}
