//! Notices that a house is about to freeze its pipes.
//!
//! A house that is not heated nears the outdoor temperature exponentially, with a time constant of its
//! own (in winter mostly 15 to 55 h: John and others, on 10,000 homes). It is reckoned from how the house
//! has cooled within the last hours, and tells when its pipes are in danger. docs/frost.md says it for
//! people.

use std::collections::BTreeMap;

use ingest::{Fix, Measure, Reading, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Detector;
use crate::event::{Cause, Happened};
use crate::fact::{Fact, Field, Type};
use crate::weather::HOUR_MS;
use crate::{EnrichedReading, Event, Happening, World};

/// As warm as this indoors, and pipes do not freeze: 55 °F (IBHS).
const KEEP_C: f64 = 12.8;

/// Pipes in outer walls are some degrees colder than the room: at this, in frost, they are in danger.
/// Our own choice, about where thermostats' frost guards heat.
const NEAR_C: f64 = 6.0;

/// Above these the danger, and the warning of it, are over.
const OVER_C: f64 = 8.0;
const WARM_C: f64 = KEEP_C + 1.0;

/// One wild reading is no danger.
const DWELL_MS: i64 = 10 * 60_000;

/// How far ahead is warned: time for somebody to go there. Our own choice.
const AHEAD_H: f64 = 24.0;

/// The hours ahead whose forecasts are looked at.
const FORECAST_H: [i64; 4] = [6, 12, 18, 24];

/// Cooling is reckoned from at least so much of it, and from what is at most two spans ago.
const LEAST_MS: i64 = HOUR_MS;
const LEAST_C: f64 = 0.5;
const SPAN_MS: i64 = 3 * HOUR_MS;

/// A room that gets warmer by more than a thermometer's noise does not cool.
const RISES_C: f64 = 0.3;

/// Longer without a word, and what was in between is not known.
const GAP_MS: i64 = 6 * HOUR_MS;

/// A thermostat that lets the room fall so far below what it is set to does not heat.
const SHORT_C: f64 = 2.0;

/// No house is so much colder than outdoors, however the weather turned: that is what broken
/// thermometers say. Our own choice.
const BROKEN_C: f64 = 15.0;

/// How near it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// As the house cools now, it will be near within a day.
    Ahead,
    Near,
}

/// Why it is not kept warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heating {
    /// It is off, or set so low that it guards nothing.
    Off,
    /// It is set to keep the house warm, and does not.
    Failing,
    /// The thermostat never said what it is set to.
    Unknown,
}

/// A house's pipes may freeze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrostRisk {
    pub stage: Stage,
    pub indoor_c: f64,
    pub outdoor_c: f64,
    pub heating: Heating,
    /// In how many hours, as it cools now, it is 6 °C indoors, and 0 °C; `None`: not known, or never.
    #[serde(default)]
    pub near_in_h: Option<f64>,
    #[serde(default)]
    pub freezes_in_h: Option<f64>,
    /// In which the difference to outdoors falls to 37 %.
    #[serde(default)]
    pub time_constant_h: Option<f64>,
    pub lat: f64,
    pub lon: f64,
}

/// What the detector remembers of a thermostat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    setpoint_c: Option<f64>,
    off: bool,
    cooling: Option<Cooling>,
    /// By which reading, and since when, it has been near.
    near: Option<(Cause, i64)>,
    told: Option<Stage>,
}

/// A room that cools: how warm it was one to two spans ago, and less than one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Cooling {
    older: (i64, f64),
    newer: (i64, f64),
    last_ms: i64,
    lowest_c: f64,
}

/// A house at one moment.
struct House {
    indoor_c: f64,
    outdoor_c: f64,
    /// Over the next day, as far as it is forecast.
    mean_c: f64,
    lowest_c: f64,
    /// `None`: it is kept warm.
    heating: Option<Heating>,
    time_constant_h: Option<f64>,
}

impl Detector for Memory {
    fn read(&mut self, seen: &EnrichedReading<'_>, world: &World, events: &mut Vec<Event>) {
        let reading = seen.reading;
        self.listen(reading);
        let Some(indoor_c) = reading.number(Measure::IndoorC) else { return };
        let before = self.cooling;
        self.cool(reading, indoor_c);
        if indoor_c > OVER_C {
            self.near = None;
        }
        // One wild reading ends nothing either.
        let warm_c = before.map_or(indoor_c, |before| before.lowest_c.min(indoor_c));
        if warm_c > OVER_C {
            self.told = self.told.map(|_| Stage::Ahead).filter(|_| warm_c <= WARM_C);
        }
        let Some((fix, _)) = seen.place.filter(|_| indoor_c <= KEEP_C) else { return };
        let Some(house) = self.house(reading, indoor_c, &fix, world) else { return };
        if indoor_c < house.outdoor_c - BROKEN_C {
            return;
        }
        let (stage, cause, since_ms) = match self.near(reading, &house) {
            Some((cause, since_ms)) if self.told != Some(Stage::Near) => {
                (Stage::Near, cause, since_ms)
            }
            None if self.told.is_none()
                && house.cools_into_danger()
                && before.is_some_and(|before| house.before(&before).cools_into_danger()) =>
            {
                (Stage::Ahead, Cause::of(reading), reading.time_ms)
            }
            _ => return,
        };
        self.told = Some(stage);
        let happening = Happening::FrostRisk(house.risk(stage, &fix));
        events.push(Event { time_ms: since_ms, known_ms: reading.time_ms, cause, happening });
    }
}

impl Memory {
    fn listen(&mut self, reading: &Reading) {
        let asked_c = self.asked_c();
        self.setpoint_c = reading.number(Measure::SetpointC).or(self.setpoint_c);
        if let Some(Value::Choice(mode)) = reading.measure(Measure::Mode) {
            // As the measure `mode` lists them.
            self.off = *mode == 0;
        }
        // Whether it heats now, what was before cannot say.
        if self.asked_c() > asked_c {
            self.cooling = None;
        }
    }

    /// How warm the heating is to keep it; `None`: it is off, or that was never said.
    fn asked_c(&self) -> Option<f64> {
        self.setpoint_c.filter(|_| !self.off)
    }

    fn cool(&mut self, reading: &Reading, indoor_c: f64) {
        let now = (reading.time_ms, indoor_c);
        let aired = reading.measure(Measure::WindowOpen) == Some(&Value::Flag(true));
        let goes_on = self.cooling.filter(|cooling| {
            let gap_ms = reading.time_ms - cooling.last_ms;
            !aired && gap_ms <= GAP_MS && indoor_c <= cooling.lowest_c + RISES_C
        });
        let fresh = Cooling { older: now, newer: now, last_ms: now.0, lowest_c: indoor_c };
        let mut cooling = goes_on.unwrap_or(fresh);
        if now.0 - cooling.newer.0 >= SPAN_MS {
            (cooling.older, cooling.newer) = (cooling.newer, now);
        }
        (cooling.last_ms, cooling.lowest_c) = (now.0, cooling.lowest_c.min(indoor_c));
        self.cooling = Some(cooling);
    }

    /// `None`: how cold it is outdoors is not known.
    fn house(&self, reading: &Reading, indoor_c: f64, fix: &Fix, world: &World) -> Option<House> {
        let (time_ms, altitude_m) = (reading.time_ms, reading.number(Measure::AltitudeM));
        let outdoor_c = |hours: i64| {
            let at_ms = time_ms + hours * HOUR_MS;
            let joined = world.weather.as_of_at(fix, altitude_m, at_ms, time_ms)?;
            joined.row.values.temperature_c
        };
        let now_c = outdoor_c(0)?;
        let day: Vec<f64> =
            std::iter::once(now_c).chain(FORECAST_H.into_iter().filter_map(outdoor_c)).collect();
        let time_constant_h =
            self.cooling.and_then(|cooling| cooling.time_constant_h((time_ms, indoor_c), now_c));
        Some(House {
            indoor_c,
            outdoor_c: now_c,
            mean_c: day.iter().sum::<f64>() / day.len() as f64,
            lowest_c: day.iter().copied().fold(now_c, f64::min),
            heating: self.heating(indoor_c),
            time_constant_h,
        })
    }

    fn heating(&self, indoor_c: f64) -> Option<Heating> {
        match self.setpoint_c {
            _ if self.off => Some(Heating::Off),
            Some(setpoint_c) if setpoint_c <= OVER_C => Some(Heating::Off),
            Some(setpoint_c) => (indoor_c < setpoint_c - SHORT_C).then_some(Heating::Failing),
            None => Some(Heating::Unknown),
        }
    }

    /// By which reading and since when it has been near, once that has lasted.
    fn near(&mut self, reading: &Reading, house: &House) -> Option<(Cause, i64)> {
        if house.outdoor_c > 0.0 {
            self.near = None;
            return None;
        }
        if house.indoor_c > NEAR_C {
            return None;
        }
        // What was before a gap is too long ago to be of use to anybody, and may have been over.
        self.near = self.near.filter(|(_, since_ms)| reading.time_ms - since_ms <= GAP_MS);
        let near = *self.near.get_or_insert_with(|| (Cause::of(reading), reading.time_ms));
        (reading.time_ms - near.1 >= DWELL_MS).then_some(near)
    }
}

impl Cooling {
    /// From θ(t) = outdoor + (θ₀ − outdoor)·exp(−t/τ).
    fn time_constant_h(&self, (time_ms, indoor_c): (i64, f64), outdoor_c: f64) -> Option<f64> {
        let (since_ms, from_c) = self.older;
        let passed_h = (time_ms - since_ms) as f64 / HOUR_MS as f64;
        if time_ms - since_ms < LEAST_MS || from_c - indoor_c < LEAST_C || indoor_c <= outdoor_c {
            return None;
        }
        Some(passed_h / ((from_c - outdoor_c) / (indoor_c - outdoor_c)).ln())
    }
}

impl House {
    /// As it was by the reading before, so that no single one makes a danger.
    fn before(&self, cooling: &Cooling) -> Self {
        let before = (cooling.last_ms, cooling.lowest_c);
        let time_constant_h = cooling.time_constant_h(before, self.outdoor_c);
        Self { indoor_c: cooling.lowest_c, time_constant_h, ..*self }
    }

    fn cools_into_danger(&self) -> bool {
        let soon = || self.hours_to(NEAR_C).is_some_and(|hours| hours <= AHEAD_H);
        self.indoor_c > NEAR_C && self.lowest_c <= 0.0 && self.heating.is_some() && soon()
    }

    /// Until it is that cold indoors, as it cools now and is forecast to be outdoors.
    fn hours_to(&self, limit_c: f64) -> Option<f64> {
        if self.indoor_c <= limit_c {
            return Some(0.0);
        }
        let (above_c, limit_above_c) = (self.indoor_c - self.mean_c, limit_c - self.mean_c);
        (limit_above_c > 0.0).then_some(self.time_constant_h? * (above_c / limit_above_c).ln())
    }

    fn risk(&self, stage: Stage, fix: &Fix) -> FrostRisk {
        let tenth = |value: f64| (value * 10.0).round() / 10.0;
        FrostRisk {
            stage,
            indoor_c: tenth(self.indoor_c),
            outdoor_c: tenth(self.outdoor_c),
            heating: self.heating.unwrap_or(Heating::Unknown),
            near_in_h: self.hours_to(NEAR_C).map(tenth),
            freezes_in_h: self.hours_to(0.0).map(tenth),
            time_constant_h: self.time_constant_h.map(tenth),
            lat: fix.lat(),
            lon: fix.lon(),
        }
    }
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::Near => "near",
        }
    }
}

impl Heating {
    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Failing => "failing",
            Self::Unknown => "unknown",
        }
    }
}

impl Happened for FrostRisk {
    const FIELDS: &'static [Field] = &[
        ("stage", Type::Text),
        ("indoor_c", Type::Number),
        ("outdoor_c", Type::Number),
        ("heating", Type::Text),
        ("near_in_h", Type::Number),
        ("freezes_in_h", Type::Number),
        ("time_constant_h", Type::Number),
    ];

    fn fact(&self, name: &str) -> Option<Fact<'_>> {
        match name {
            "stage" => Some(Fact::Text(self.stage.name().into())),
            "indoor_c" => Some(Fact::Number(self.indoor_c)),
            "outdoor_c" => Some(Fact::Number(self.outdoor_c)),
            "heating" => Some(Fact::Text(self.heating.name().into())),
            "near_in_h" => self.near_in_h.map(Fact::Number),
            "freezes_in_h" => self.freezes_in_h.map(Fact::Number),
            "time_constant_h" => self.time_constant_h.map(Fact::Number),
            _ => None,
        }
    }

    fn place(&self) -> Option<Fix> {
        Fix::new(self.lat, self.lon, None)
    }

    /// All but where the house is, which its insurer knows.
    fn told(&self) -> BTreeMap<String, serde_json::Value> {
        [
            ("stage", json!(self.stage)),
            ("indoor_c", json!(self.indoor_c)),
            ("outdoor_c", json!(self.outdoor_c)),
            ("heating", json!(self.heating)),
            ("near_in_h", json!(self.near_in_h)),
            ("freezes_in_h", json!(self.freezes_in_h)),
            ("time_constant_h", json!(self.time_constant_h)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn same_thing(&self, other: &Self) -> bool {
        self.stage == other.stage
    }
}

#[cfg(test)]
mod tests;
