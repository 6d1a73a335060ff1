//! Odometers that cannot be.

use std::collections::BTreeMap;

use ingest::{Fix, Measure, Reading};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::event::{Cause, Happened};
use crate::fact::{Fact, Field, Type};
use crate::{Event, Happening};

/// No car on a road moves faster (a record car on a public road made 125 m/s).
const FASTEST_MPS: f64 = 130.0;

/// An odometer may lose this much when a workshop swaps an instrument or it is read anew: its
/// resolution in cars that report kilometres.
const ODOMETER_STEP_M: f64 = 1_000.0;

/// An odometer went backwards, or faster than a car can.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OdometerDoubted {
    pub from_m: f64,
    pub to_m: f64,
    pub since_ms: i64,
}

/// What an odometer said last, in metres, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Odometer(Option<(f64, i64)>);

impl Odometer {
    /// Believes what it says next, whatever it said before.
    pub(super) fn read(&mut self, reading: &Reading, events: &mut Vec<Event>) {
        let Some(to_m) = reading.number(Measure::OdometerM) else {
            return;
        };
        let before = self.0.replace((to_m, reading.time_ms));
        let Some((from_m, since_ms)) = before else { return };
        if possible(from_m, to_m, reading.time_ms - since_ms) {
            return;
        }
        let doubted = OdometerDoubted { from_m, to_m, since_ms };
        events.push(Event {
            time_ms: reading.time_ms,
            known_ms: reading.time_ms,
            cause: Cause::of(reading),
            happening: Happening::OdometerDoubted(doubted),
        });
    }
}

/// Whether a car can have come from one reading of its odometer to the next.
#[must_use]
pub fn possible(from_m: f64, to_m: f64, passed_ms: i64) -> bool {
    let farthest_m = FASTEST_MPS * passed_ms.max(0) as f64 / 1_000.0 + ODOMETER_STEP_M;
    (-ODOMETER_STEP_M..=farthest_m).contains(&(to_m - from_m))
}

impl Happened for OdometerDoubted {
    const FIELDS: &'static [Field] = &[("from_m", Type::Number), ("to_m", Type::Number)];

    fn fact(&self, name: &str) -> Option<Fact<'_>> {
        match name {
            "from_m" => Some(Fact::Number(self.from_m)),
            "to_m" => Some(Fact::Number(self.to_m)),
            _ => None,
        }
    }

    fn place(&self) -> Option<Fix> {
        None
    }

    fn told(&self) -> BTreeMap<String, serde_json::Value> {
        BTreeMap::from([("odometer_m".to_owned(), json!([self.from_m, self.to_m]))])
    }

    fn same_thing(&self, other: &Self) -> bool {
        (self.from_m, self.to_m) == (other.from_m, other.to_m)
    }
}

#[cfg(test)]
mod tests {
    use ingest::{Measure, Reading, Value};

    use super::{Odometer, possible};
    use crate::Happening;

    #[test]
    fn an_odometer_that_cannot_be_is_named() {
        let at = |second: i64, odometer_m: f64| {
            let measures = vec![(Measure::OdometerM, Value::Number(odometer_m))];
            Reading { time_ms: second * 1_000, seq: None, fix: None, measures }
        };
        let drive = [at(0, 5e6), at(60, 5.002e6), at(120, 1e6), at(180, 1.002e6)];
        let (mut odometer, mut events) = (Odometer::default(), Vec::new());
        drive.iter().for_each(|reading| odometer.read(reading, &mut events));
        let [event] = events.as_slice() else { panic!("{events:?}") };
        let Happening::OdometerDoubted(doubted) = &event.happening else { panic!("{event:?}") };
        assert_eq!((doubted.from_m, doubted.to_m), (5.002e6, 1e6));
        assert!(possible(5e6, 5e6 - 500.0, 1_000), "a kilometre's rounding");
        assert!(!possible(5e6, 5.1e6, 60_000), "100 km in a minute");
    }
}
