//! Booked trips: insurers report them before a run, and are to be told of each two days before it
//! begins.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::truth::{Expect, Truth, What};
use crate::weather::HOUR_MS;

const DAY_MS: i64 = 24 * HOUR_MS;
/// As documented: at nine in the morning two days before the day it begins. The customers of a
/// scenario's registry live by UTC.
const TOLD_MS: i64 = 9 * HOUR_MS;
const AHEAD_MS: i64 = 2 * DAY_MS;
const BEGINS_MS: i64 = 12 * HOUR_MS;
const LASTS_MS: i64 = 7 * DAY_MS;
/// Where all of them go: Innsbruck.
const THERE: (f64, f64) = (47.2692, 11.4041);

/// How many people book a trip.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TripSpec {
    /// Of the owners of cars and trackers.
    pub share: f64,
}

/// A trip that somebody booked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trip {
    device: String,
    id: String,
    from_ms: i64,
    told_ms: i64,
}

impl TripSpec {
    /// The trips of these devices' owners that are told of in a run which begins at `start_ms` and
    /// lasts so long, by its own clock: spread over its mornings.
    pub(crate) fn planned(
        self,
        devices: impl Iterator<Item = String>,
        start_ms: i64,
        lasts: Duration,
    ) -> Vec<Trip> {
        let first_ms = (start_ms - TOLD_MS).div_euclid(DAY_MS) * DAY_MS + DAY_MS + TOLD_MS;
        let left_ms = start_ms + lasts.as_millis() as i64 - first_ms;
        if left_ms <= 0 || self.share <= 0.0 {
            return Vec::new();
        }
        let mornings = (left_ms - 1) / DAY_MS + 1;
        let every = (1.0 / self.share).round().max(1.0) as usize;
        let trip = |(number, device): (usize, String)| {
            let told_ms = first_ms + number as i64 % mornings * DAY_MS;
            let from_ms = told_ms - TOLD_MS + AHEAD_MS + BEGINS_MS;
            Trip { id: format!("{device}-trip"), device, from_ms, told_ms }
        };
        devices.step_by(every).enumerate().map(trip).collect()
    }
}

impl Trip {
    /// The message with which an insurer reports it, as a line that can be replayed.
    pub(crate) fn line(&self, insurer: &str) -> Value {
        let (lat, lon) = THERE;
        let payload = json!({
            "id": self.id, "customer": format!("{}-owner", self.device), "lat": lat, "lon": lon,
            "from": moment(self.from_ms), "to": moment(self.from_ms + LASTS_MS),
            "activities": ["skiing"],
        });
        json!({"topic": format!("trips/{insurer}"), "payload": payload})
    }

    /// What is to be told of it.
    pub(crate) fn truth(&self) -> Truth {
        Truth {
            device: self.device.as_str().into(),
            at: moment(self.from_ms),
            lat: Some(THERE.0),
            lon: Some(THERE.1),
            what: What::TripAhead { id: self.id.clone(), due: moment(self.told_ms) },
            expect: Expect::Trigger,
            reports_every_ms: 0,
            unseen_ms: 0,
            published_from: moment(self.told_ms),
            clock_off_ms: 0,
        }
    }
}

fn moment(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DAY_MS, HOUR_MS, TripSpec};

    /// 2026-01-12T00:00:00Z
    const MONDAY_MS: i64 = 1_768_176_000_000;

    fn planned(start_ms: i64, hours: u64) -> Vec<(String, String)> {
        let devices = (0..40).map(|number| format!("car-{number}"));
        let lasts = Duration::from_secs(hours * 3_600);
        let trips = TripSpec { share: 0.1 }.planned(devices, start_ms, lasts);
        let said = |trip: &super::Trip| {
            let truth = serde_json::to_value(trip.truth()).unwrap();
            (
                truth["due"].as_str().unwrap().into(),
                trip.line("alpina")["payload"]["from"].as_str().unwrap().into(),
            )
        };
        trips.iter().map(said).collect()
    }

    #[test]
    fn one_in_ten_is_told_of_a_trip_at_nine_two_days_before_it_begins() {
        let trips = planned(MONDAY_MS, 48);
        assert_eq!(trips.len(), 4);
        assert_eq!(trips[0], ("2026-01-12T09:00:00Z".into(), "2026-01-14T12:00:00Z".into()));
        assert_eq!(trips[1].0, "2026-01-13T09:00:00Z");
        assert_eq!(trips[2].0, trips[0].0);
    }

    #[test]
    fn nothing_is_planned_that_the_run_does_not_see() {
        assert_eq!(planned(MONDAY_MS + 10 * HOUR_MS, 12), []);
        assert_eq!(planned(MONDAY_MS, 9), []);
        let later = planned(MONDAY_MS + DAY_MS / 2, 22);
        assert!(later.iter().all(|(due, _)| due == "2026-01-13T09:00:00Z"), "{later:?}");
    }
}
