//! Along one car's history: how far it drove on which road, how fast, and what happened.

use std::collections::HashMap;

use ingest::{Fix, Measure, Reading};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Group, Study, Tally};
use crate::claim::HarshWatch;
use crate::detect::tyres::{Tyre, possible};
use crate::places::distance_m;
use crate::road::{Condition, Inputs, Road};
use crate::weather::{Cell, HOUR_MS};
use crate::{Country, World};

/// Over a longer gap nobody knows on what road the way was: it is not counted. Our own choice.
const ODOMETER_GAP_MS: i64 = HOUR_MS;

/// Between positions further apart the straight line is too short. Our own choice.
const POSITIONS_GAP_MS: i64 = 5 * 60_000;

/// Positions vaguer than this make way where there is none.
const VAGUE_M: f32 = 100.0;

/// Between speeds further apart nobody knows how fast it went.
const SPEED_GAP_MS: i64 = 60_000;

/// A claim is of the road where its car was heard of this long before.
const HEARD_MS: i64 = HOUR_MS;

/// Where an insurer says it happened and where the car was are equally high up to here. Our own
/// choice.
const SAME_HEIGHT_M: f64 = 2_000.0;

/// What roads are judged by, remembered by cell and hour: a car's week; when it is full it starts over.
const ROADS: usize = 10_000;

/// A claim, as far as the study goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accident {
    pub time_ms: i64,
    /// Where the insurer says it was.
    pub fix: Option<Fix>,
}

/// One car's way through its history. Give it the readings in history order, then let it
/// [`finish`](Self::finish).
#[derive(Debug)]
pub struct Walk<'a> {
    world: &'a World,
    study: &'a mut Study,
    /// Those to come, the next one last.
    accidents: Vec<Accident>,
    /// From when to when is counted; readings before tell which tyres it has.
    span_ms: (i64, i64),
    tyre: Option<Tyre>,
    odometer: Option<(f64, i64)>,
    fix: Option<(Fix, i64)>,
    /// With that fix.
    altitude_m: Option<f64>,
    speed: Option<(f64, i64)>,
    country: Option<Country>,
    harsh: HarshWatch,
    roads: HashMap<(Cell, i64), Option<Inputs>>,
}

impl<'a> Walk<'a> {
    #[must_use]
    pub fn new(
        world: &'a World,
        study: &'a mut Study,
        mut accidents: Vec<Accident>,
        span_ms: (i64, i64),
    ) -> Self {
        accidents.retain(|accident| (span_ms.0..span_ms.1).contains(&accident.time_ms));
        accidents.sort_by_key(|accident| std::cmp::Reverse(accident.time_ms));
        Self {
            world,
            study,
            accidents,
            span_ms,
            tyre: None,
            odometer: None,
            fix: None,
            altitude_m: None,
            speed: None,
            country: None,
            harsh: HarshWatch::default(),
            roads: HashMap::new(),
        }
    }

    pub fn read(&mut self, reading: &Reading) {
        self.accidents_until(reading.time_ms);
        self.tyre = Tyre::of(reading).or(self.tyre);
        let metres = self.way(reading);
        let (hours, km_at_speed) = self.driven(reading);
        let harsh = self.harsh.read(reading).filter(|harsh| harsh.begins).count() as u64;
        if let Some(fix) = reading.fix {
            self.fix = Some((fix, reading.time_ms));
            self.altitude_m = reading.number(Measure::AltitudeM);
            let here = self.world.atlas.locate(&fix);
            self.country = here.country.filter(|_| !here.at_sea);
        }
        let counted = (self.span_ms.0..self.span_ms.1).contains(&reading.time_ms);
        if counted && (metres > 0.0 || hours > 0.0 || harsh > 0) {
            let group = self.group(reading.time_ms, None);
            let km = metres / 1_000.0;
            self.study.add(group, &Tally { km, claims: 0, hours, km_at_speed, harsh });
        }
    }

    /// The car is somebody else's now: what it had said holds no more.
    pub fn forget(&mut self) {
        (self.tyre, self.odometer, self.speed) = (None, None, None);
        (self.fix, self.altitude_m, self.country) = (None, None, None);
        self.harsh = HarshWatch::default();
    }

    /// Its history has ended.
    pub fn finish(mut self) {
        self.accidents_until(i64::MAX);
    }

    /// The claims of before the next reading.
    fn accidents_until(&mut self, time_ms: i64) {
        while let Some(accident) = self.accidents.pop_if(|next| next.time_ms < time_ms) {
            let heard_ms = self.fix.map(|(_, heard_ms)| heard_ms);
            if heard_ms.is_none_or(|heard_ms| accident.time_ms - heard_ms > HEARD_MS) {
                self.study.left_out.claims_without_readings += 1;
                continue;
            }
            let group = self.group(accident.time_ms, accident.fix);
            self.study.add(group, &Tally { claims: 1, ..Tally::default() });
        }
    }

    /// Metres since the last reading: by the odometer, or else along the positions.
    fn way(&mut self, reading: &Reading) -> f64 {
        let time_ms = reading.time_ms;
        if let Some(to_m) = reading.number(Measure::OdometerM) {
            // The way since the last position is in it.
            let before = self.odometer.replace((to_m, time_ms));
            let Some((from_m, since_ms)) = before else { return 0.0 };
            if !possible(from_m, to_m, time_ms - since_ms) {
                self.study.left_out.odometers_doubted += 1;
                return 0.0;
            }
            let near = time_ms - since_ms <= ODOMETER_GAP_MS;
            return if near { (to_m - from_m).max(0.0) } else { 0.0 };
        }
        // A car with an odometer says it again soon: its way is not counted twice.
        if self.odometer.is_some_and(|(_, since_ms)| time_ms - since_ms <= ODOMETER_GAP_MS) {
            return 0.0;
        }
        let (Some(to), Some((from, since_ms))) = (reading.fix, self.fix) else { return 0.0 };
        let vague = |fix: &Fix| fix.accuracy_m.is_some_and(|metres| metres > VAGUE_M);
        let stands = reading.number(Measure::SpeedMps) == Some(0.0);
        let metres = distance_m(&from, &to);
        let passed_ms = time_ms - since_ms;
        let usable = passed_ms <= POSITIONS_GAP_MS && !vague(&from) && !vague(&to) && !stands;
        if usable && possible(0.0, metres, passed_ms) { metres } else { 0.0 }
    }

    /// Hours that it moved since the last speed, and kilometres at the mean of the two.
    fn driven(&mut self, reading: &Reading) -> (f64, f64) {
        let Some(to_mps) = reading.number(Measure::SpeedMps) else { return (0.0, 0.0) };
        let before = self.speed.replace((to_mps, reading.time_ms));
        let Some((from_mps, since_ms)) = before else { return (0.0, 0.0) };
        let (passed_ms, mean_mps) = (reading.time_ms - since_ms, f64::midpoint(from_mps, to_mps));
        if !(1..=SPEED_GAP_MS).contains(&passed_ms) || mean_mps <= 0.0 {
            return (0.0, 0.0);
        }
        let seconds = passed_ms as f64 / 1_000.0;
        (seconds / 3_600.0, mean_mps * seconds / 1_000.0)
    }

    fn group(&mut self, time_ms: i64, elsewhere: Option<Fix>) -> Group {
        let car = self.fix.map(|(fix, _)| fix);
        let fix = elsewhere.or(car);
        let road = fix.map_or(Condition::Unknown, |fix| {
            let near = car.is_some_and(|car| distance_m(&car, &fix) <= SAME_HEIGHT_M);
            let altitude_m = self.altitude_m.filter(|_| near);
            self.road(&fix, altitude_m, time_ms)
        });
        let country = match elsewhere {
            Some(fix) => self.world.atlas.locate(&fix).country,
            None => self.country,
        };
        let time = Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let date = time.to_zoned(TimeZone::UTC).date();
        Group { tyre: self.tyre, road, country, month: (date.year(), date.month()) }
    }

    /// As it is known now: a study looks back.
    fn road(&mut self, fix: &Fix, altitude_m: Option<f64>, time_ms: i64) -> Condition {
        if self.roads.len() >= ROADS {
            self.roads.clear();
        }
        let key = (Cell::of(fix.lat(), fix.lon()), time_ms.div_euclid(HOUR_MS));
        let look = || Inputs::as_of(&self.world.weather, fix, time_ms, i64::MAX / 2);
        let inputs = *self.roads.entry(key).or_insert_with(look);
        inputs.map_or(Condition::Unknown, |inputs| {
            Road::assess(&inputs.at_altitude(altitude_m)).condition
        })
    }
}
