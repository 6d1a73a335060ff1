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
mod tests {
    use ingest::weather::{Hour, Series};
    use ingest::{Fix, Measure, Reading, Value};
    use proptest::prelude::*;

    use super::{FrostRisk, Heating, Memory, Stage};
    use crate::places::Atlas;
    use crate::weather::{Cell, Feed, HOUR_MS, Reach, Rows, Values};
    use crate::{DeviceState, EnrichedReading, Event, Happening, World};

    const MINUTE_MS: i64 = 60_000;
    const START_MS: i64 = 1_768_867_200_000;
    const HOME: (f64, f64) = (47.04, 11.49);

    /// As cold as that outdoors, for ten days.
    fn world(outdoor_c: f64) -> World {
        let hour = |hour: i64| Hour {
            valid_ms: START_MS + hour * HOUR_MS,
            observed: false,
            values: Values { temperature_c: Some(outdoor_c), ..Values::default() },
        };
        let series = Series {
            cell: Cell::of(HOME.0, HOME.1),
            source: "test".into(),
            lat: HOME.0,
            lon: HOME.1,
            elevation_m: None,
            issued_ms: START_MS - HOUR_MS,
            hours: (-1..240).map(hour).collect(),
        };
        let mut rows = Rows::new(vec![Reach { source: "test".into(), past_ms: 0, ahead_ms: 0 }]);
        rows.learn(&series, START_MS - HOUR_MS);
        World { atlas: Atlas::load(), weather: Feed::Rows(rows) }
    }

    fn says(minute: i64, indoor_c: f64, setpoint_c: Option<f64>) -> Reading {
        let mut measures = vec![(Measure::IndoorC, Value::Number(indoor_c))];
        measures
            .extend(setpoint_c.map(|setpoint_c| (Measure::SetpointC, Value::Number(setpoint_c))));
        let fix = Fix::new(HOME.0, HOME.1, Some(1_000.0));
        Reading { time_ms: START_MS + minute * MINUTE_MS, seq: None, fix, measures }
    }

    /// A house at 20 °C that is not heated from the start on, every ten minutes.
    fn cooling(
        outdoor_c: f64,
        time_constant_h: f64,
        setpoint_c: Option<f64>,
        hours: i64,
    ) -> Vec<Reading> {
        let at = |minute: i64| {
            let passed_h = minute as f64 / 60.0;
            let indoor_c = outdoor_c + (20.0 - outdoor_c) * (-passed_h / time_constant_h).exp();
            says(minute, indoor_c, setpoint_c)
        };
        (0..hours * 6).map(|step| at(step * 10)).collect()
    }

    fn run(world: &World, readings: &[Reading]) -> Vec<(Event, FrostRisk)> {
        let (mut state, mut events) = (DeviceState::default(), Vec::new());
        for reading in readings {
            state.read(&EnrichedReading::join(reading, 1, world), world, &mut events);
        }
        let risks = events.into_iter().filter_map(|event| match &event.happening {
            Happening::FrostRisk(risk) => Some((event.clone(), risk.clone())),
            _ => None,
        });
        risks.collect()
    }

    #[test]
    fn a_failed_boiler_is_told_hours_before_and_when_it_is_near() {
        let found = run(&world(-10.0), &cooling(-10.0, 40.0, Some(20.0), 60));
        let [(warned, ahead), (near_at, near)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((ahead.stage, ahead.heating), (Stage::Ahead, Heating::Failing));
        assert!((38.0..42.0).contains(&ahead.time_constant_h.unwrap()), "{ahead:?}");
        // It was told how long that would take, and took so long.
        let took_h = (near_at.time_ms - warned.time_ms) as f64 / HOUR_MS as f64;
        assert!((took_h - ahead.near_in_h.unwrap()).abs() < 0.5, "{took_h} {ahead:?}");
        assert!(took_h > 6.0);
        assert_eq!((near.stage, near.outdoor_c), (Stage::Near, -10.0));
        assert!((5.5..=6.0).contains(&near.indoor_c), "{near:?}");
        assert!(near.freezes_in_h.unwrap() > 10.0, "{near:?}");
        assert_eq!(near_at.known_ms - near_at.time_ms, 10 * MINUTE_MS);
    }

    #[test]
    fn a_house_that_is_kept_warm_or_where_it_does_not_freeze_is_nobodys_worry() {
        let quiet = |outdoor_c, setpoint_c, hours| {
            run(&world(outdoor_c), &cooling(outdoor_c, 40.0, setpoint_c, hours)).is_empty()
        };
        assert!(quiet(2.0, Some(20.0), 200), "no frost");
        assert!(quiet(-10.0, Some(12.0), 13), "down to what the thermostat is set to");
        assert!(!quiet(-10.0, Some(5.0), 20), "set to guard nothing");
        assert!(!quiet(-10.0, None, 20), "who says nothing of it may be away");
        // At night the heating lets it fall, and nobody is woken.
        let night: Vec<Reading> =
            (0..48).map(|step| says(step * 10, 20.0 - step as f64 / 12.0, Some(16.0))).collect();
        assert_eq!(run(&world(-15.0), &night), []);
    }

    #[test]
    fn it_is_near_again_only_after_it_was_over() {
        let world = world(-5.0);
        let wavers = |minute: i64, indoor_c: f64| says(minute, indoor_c, Some(5.0));
        let readings: Vec<Reading> =
            (0..600).map(|minute| wavers(minute, if minute % 7 < 5 { 5.9 } else { 6.2 })).collect();
        assert_eq!(run(&world, &readings).len(), 1);
        let warm = (600..660).map(|minute| wavers(minute, 9.0));
        let again = (660..700).map(|minute| wavers(minute, 5.0));
        let readings: Vec<Reading> = readings.into_iter().chain(warm).chain(again).collect();
        let stages: Vec<Stage> =
            run(&world, &readings).iter().map(|(_, risk)| risk.stage).collect();
        assert_eq!(stages, [Stage::Near, Stage::Near]);
        // One wild reading is nothing.
        let wild = [wavers(0, 14.0), wavers(5, 1.0), wavers(30, 14.0)];
        assert_eq!(run(&world, &wild), []);
    }

    #[test]
    fn one_wild_reading_neither_warns_nor_doubles_what_was_told() {
        // At home in the evening: 10 °C, once.
        let world = world(-10.0);
        let home = |minute| says(minute, 20.0, Some(20.0));
        let mut readings: Vec<Reading> = (0..60).map(|step| home(step * 5)).collect();
        readings.push(says(300, 10.0, Some(20.0)));
        readings.extend((61..80).map(|step| home(step * 5)));
        assert_eq!(run(&world, &readings), []);
        // A cold house, and a thermometer that once says nonsense.
        let cold = |minute: i64| says(minute, if minute == 50 { 85.0 } else { 5.0 }, Some(5.0));
        let readings: Vec<Reading> = (0..20).map(|step| cold(step * 5)).collect();
        assert_eq!(run(&world, &readings).len(), 1);
        // One that is broken says nonsense for hours.
        let broken: Vec<Reading> = (0..60).map(|step| says(step * 5, -40.0, Some(20.0))).collect();
        assert_eq!(run(&world, &broken), []);
    }

    #[test]
    fn heating_that_was_turned_on_a_moment_ago_has_not_failed() {
        let world = world(-10.0);
        let mut readings = cooling(-10.0, 40.0, Some(12.0), 11);
        let turned_on = |readings: &mut Vec<Reading>| {
            let [.., last] = readings.as_mut_slice() else { panic!("no reading") };
            last.measures[1] = (Measure::SetpointC, Value::Number(21.0));
        };
        assert_eq!(run(&world, &readings), []);
        turned_on(&mut readings);
        assert_eq!(run(&world, &readings), []);
        // If it does not get warmer then, it has.
        let all = cooling(-10.0, 40.0, Some(12.0), 13);
        let on = all.into_iter().enumerate().map(|(step, mut reading)| {
            if step >= 65 {
                reading.measures[1] = (Measure::SetpointC, Value::Number(21.0));
            }
            reading
        });
        let found = run(&world, &on.collect::<Vec<_>>());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].1.stage, found[0].1.heating), (Stage::Ahead, Heating::Failing));
    }

    #[test]
    fn after_days_without_a_word_what_is_told_is_of_now() {
        let late = 13 * 60;
        let says = |minute| says(minute, 5.5, Some(20.0));
        let found = run(&world(-10.0), &[says(0), says(late), says(late + 5), says(late + 12)]);
        let [(event, risk)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(risk.stage, Stage::Near);
        assert_eq!(event.time_ms, START_MS + late * MINUTE_MS);
    }

    #[test]
    fn an_open_window_says_nothing_of_the_house() {
        let mut readings = cooling(-10.0, 2.5, Some(20.0), 1);
        for reading in &mut readings {
            reading.measures.push((Measure::WindowOpen, Value::Flag(true)));
        }
        assert_eq!(run(&world(-10.0), &readings), []);
    }

    #[test]
    fn a_thermostat_takes_little_memory() {
        assert!(size_of::<Memory>() <= 176, "{}", size_of::<Memory>());
        assert!(size_of::<DeviceState>() <= 1_024, "{}", size_of::<DeviceState>());
    }

    proptest! {
        /// Whatever thermometers say: it is told at most twice an episode, and never that it is near
        /// where it is warm indoors or does not freeze.
        #[test]
        fn what_is_told_holds(
            steps in proptest::collection::vec((1..90_i64, -10.0..20.0_f64), 1..80),
            outdoor_c in -20.0..5.0_f64,
        ) {
            let mut minute = 0;
            let readings: Vec<Reading> = steps.iter().map(|(gap, indoor_c)| {
                minute += gap;
                says(minute, *indoor_c, None)
            }).collect();
            let found = run(&world(outdoor_c), &readings);
            for (_, risk) in &found {
                prop_assert!(risk.stage == Stage::Ahead || risk.indoor_c <= 6.1 && risk.outdoor_c <= 0.0);
                prop_assert!(risk.near_in_h.is_none_or(|hours| (0.0..=24.0).contains(&hours)));
            }
            let twice = found.windows(2).any(|pair| (pair[0].1.stage, pair[1].1.stage) == (Stage::Ahead, Stage::Ahead)
                && steps.iter().all(|(_, indoor_c)| *indoor_c < 13.8));
            prop_assert!(!twice);
        }
    }
}
