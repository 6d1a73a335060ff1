//! Notices that a car's tyres do not fit the road or the law where it is, and odometers that cannot be.
//!
//! A car says which tyres it has and how much tread is left; the country is the one it is certainly
//! in. It is looked at once an hour while it drives, and at once when tyres or country change: by the
//! weather as it was known then, now and [`AHEAD_HOURS`] ahead. docs/winter-tyres.md says it for people.

use std::collections::BTreeMap;

use ingest::{Fix, Measure, Reading, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Detector;
use crate::event::{Cause, Happened};
use crate::fact::{Fact, Field, Type};
use crate::law::{Demand, Duty};
use crate::road::{Condition, Reason};
use crate::weather::HOUR_MS;
use crate::{Country, EnrichedReading, Event, Happening, World};

/// How far ahead the road is looked at: about the drive that has begun. Our own choice.
const AHEAD_HOURS: i64 = 3;

/// Below this a winter tyre is none on snow: what Austria and Czechia ask for (docs/tyres.md).
const WINTER_TREAD_MM: f64 = 4.0;

/// The same finding is news again after this long.
const NEWS_AGAIN_MS: i64 = 24 * HOUR_MS;

/// No car on a road moves faster (a record car on a public road made 125 m/s).
const FASTEST_MPS: f64 = 130.0;

/// An odometer may lose this much when a workshop swaps an instrument or it is read anew: its
/// resolution in cars that report kilometres.
const ODOMETER_STEP_M: f64 = 1_000.0;

/// What is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tyre {
    Summer,
    Winter,
    AllSeason,
}

/// Why tyres do not fit, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// Winter tyres are asked for there, now.
    Law,
    /// Too little tread for the law there.
    Tread,
    /// Summer tyres on snow or ice.
    Road,
    /// Winter tyres that are worn too far for snow or ice.
    Worn,
}

/// A car's tyres do not fit where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TyresUnfit {
    pub why: Unfit,
    pub tyre: Tyre,
    pub tread_mm: Option<f64>,
    pub country: Country,
    pub road: Condition,
    pub road_reason: Reason,
    /// When the road is so: the hour it was seen in, or one ahead.
    pub road_ms: i64,
    pub demand: Demand,
    pub least_tread_mm: f64,
    pub lat: f64,
    pub lon: f64,
}

/// An odometer went backwards, or faster than a car can.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OdometerDoubted {
    pub from_m: f64,
    pub to_m: f64,
    pub since_ms: i64,
}

/// What the detector remembers of a car.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    tyre: Option<Tyre>,
    tread_mm: Option<f64>,
    country: Option<Country>,
    /// The hour it was last looked at in.
    looked: Option<i64>,
    /// What was last found, and when.
    found: Option<(Unfit, Tyre, Country, i64)>,
    odometer: Option<(f64, i64)>,
}

impl Tyre {
    /// As the measure `tyre` lists them.
    #[must_use]
    pub fn of(reading: &Reading) -> Option<Self> {
        match reading.measure(Measure::Tyre)? {
            Value::Choice(0) => Some(Self::Summer),
            Value::Choice(1) => Some(Self::Winter),
            Value::Choice(2) => Some(Self::AllSeason),
            _ => None,
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Summer => "summer",
            Self::Winter => "winter",
            Self::AllSeason => "all_season",
        }
    }

    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Summer => ("summer tyres", "zomerbanden"),
            Self::Winter => ("winter tyres", "winterbanden"),
            Self::AllSeason => ("all-season tyres", "vierseizoenenbanden"),
        }
    }
}

impl Unfit {
    fn name(self) -> &'static str {
        match self {
            Self::Law => "law",
            Self::Tread => "tread",
            Self::Road => "road",
            Self::Worn => "worn",
        }
    }
}

/// Whether tyres fit a road and the law there; `None` where they do.
#[must_use]
pub fn unfit(tyre: Tyre, tread_mm: Option<f64>, road: Condition, duty: &Duty) -> Option<Unfit> {
    let less_than = |least_mm: f64| tread_mm.is_some_and(|tread_mm| tread_mm < least_mm);
    let wintry = road.wintry() == Some(true);
    match tyre {
        Tyre::Summer if duty.demand == Demand::Required => Some(Unfit::Law),
        _ if less_than(duty.least_tread_mm) => Some(Unfit::Tread),
        Tyre::Summer if wintry => Some(Unfit::Road),
        Tyre::Winter | Tyre::AllSeason if wintry && less_than(WINTER_TREAD_MM) => Some(Unfit::Worn),
        _ => None,
    }
}

impl Detector for Memory {
    fn read(&mut self, seen: &EnrichedReading<'_>, world: &World, events: &mut Vec<Event>) {
        let reading = seen.reading;
        self.odometer(reading, events);
        let tyre = Tyre::of(reading).or(self.tyre);
        let tread_mm = reading.number(Measure::TreadMm).or(self.tread_mm);
        let certain = seen.place.filter(|(_, here)| here.certain && !here.at_sea);
        let country = certain.and_then(|(_, here)| here.country).or(self.country);
        let changed = (tyre, country) != (self.tyre, self.country);
        (self.tyre, self.tread_mm, self.country) = (tyre, tread_mm, country);
        let (Some(tyre), Some(country), Some((fix, _))) = (tyre, country, seen.place) else {
            return;
        };
        let hour = reading.time_ms.div_euclid(HOUR_MS);
        if !changed && (self.looked == Some(hour) || !drives(reading)) {
            return;
        }
        self.looked = Some(hour);
        self.look(reading, fix, (tyre, country), world, events);
    }
}

/// Unless it says that it stands.
fn drives(reading: &Reading) -> bool {
    reading.number(Measure::SpeedMps).is_none_or(|speed_mps| speed_mps > 0.0)
}

impl Memory {
    pub(super) fn fitted(&self) -> (Option<Tyre>, Option<f64>) {
        (self.tyre, self.tread_mm)
    }

    fn look(
        &mut self,
        reading: &Reading,
        fix: Fix,
        (tyre, country): (Tyre, Country),
        world: &World,
        events: &mut Vec<Event>,
    ) {
        let (time_ms, altitude_m) = (reading.time_ms, reading.number(Measure::AltitudeM));
        let ahead = (0..=AHEAD_HOURS).map(|hours| {
            let at_ms = time_ms + hours * HOUR_MS;
            (world.road(&fix, altitude_m, at_ms, time_ms), at_ms)
        });
        // Of equally bad hours the first.
        let worst = ahead.reduce(
            |worst, next| {
                if next.0.condition > worst.0.condition { next } else { worst }
            },
        );
        let Some((road, road_ms)) = worst else { return };
        let duty = world.tyre_duty(&fix, country, time_ms, road.condition);
        let Some(why) = unfit(tyre, self.tread_mm, road.condition, &duty) else {
            return;
        };
        let known = self.found.is_some_and(|(was, on, there, at_ms)| {
            (was, on, there) == (why, tyre, country) && time_ms - at_ms < NEWS_AGAIN_MS
        });
        if known {
            return;
        }
        self.found = Some((why, tyre, country, time_ms));
        events.push(Event {
            time_ms,
            known_ms: time_ms,
            cause: Cause::of(reading),
            happening: Happening::TyresUnfit(TyresUnfit {
                why,
                tyre,
                tread_mm: self.tread_mm,
                country,
                road: road.condition,
                road_reason: road.reason,
                road_ms,
                demand: duty.demand,
                least_tread_mm: duty.least_tread_mm,
                lat: fix.lat(),
                lon: fix.lon(),
            }),
        });
    }

    /// Believes what it says next, whatever it said before.
    fn odometer(&mut self, reading: &Reading, events: &mut Vec<Event>) {
        let Some(to_m) = reading.number(Measure::OdometerM) else {
            return;
        };
        let before = self.odometer.replace((to_m, reading.time_ms));
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

impl Happened for TyresUnfit {
    const FIELDS: &'static [Field] = &[
        ("why", Type::Text),
        ("tyre", Type::Text),
        ("tyres", Type::Text),
        ("tread_mm", Type::Number),
        ("country", Type::Text),
        ("road", Type::Text),
        ("road_reason", Type::Text),
        ("demand", Type::Text),
        ("least_tread_mm", Type::Number),
    ];

    fn fact(&self, name: &str) -> Option<Fact<'_>> {
        match name {
            "why" => Some(Fact::Text(self.why.name().into())),
            "tyre" => Some(Fact::Text(self.tyre.name().into())),
            "tyres" => {
                let (en, nl) = self.tyre.words();
                Some(Fact::Words { en, nl })
            }
            "tread_mm" => self.tread_mm.map(Fact::Number),
            "country" => Some(Fact::Country(self.country)),
            "road" => Some(Fact::Text(self.road.name().into())),
            "road_reason" => Some(Fact::Words {
                en: self.road_reason.text("en"),
                nl: self.road_reason.text("nl"),
            }),
            "demand" => Some(Fact::Text(self.demand.name().into())),
            "least_tread_mm" => Some(Fact::Number(self.least_tread_mm)),
            _ => None,
        }
    }

    fn place(&self) -> Option<Fix> {
        Fix::new(self.lat, self.lon, None)
    }

    fn told(&self) -> BTreeMap<String, serde_json::Value> {
        let country = json!({ "country": self.country.code(), "name": self.country.name("en") });
        let tyres = json!({ "fitted": self.tyre.name(), "tread_mm": self.tread_mm });
        let road = json!({ "condition": self.road.name(), "reason": self.road_reason });
        let law = json!({ "demand": self.demand.name(), "least_tread_mm": self.least_tread_mm });
        [
            ("why", json!(self.why.name())),
            ("place", country),
            ("tyres", tyres),
            ("road", road),
            ("law", law),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn same_thing(&self, other: &Self) -> bool {
        (self.why, self.tyre, self.country) == (other.why, other.tyre, other.country)
    }
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
    use std::sync::LazyLock;

    use ingest::weather::{Hour, Series};
    use ingest::{Fix, Measure, Reading, Value};

    use super::{Tyre, TyresUnfit, Unfit, possible};
    use crate::places::Atlas;
    use crate::weather::{Cell, Feed, HOUR_MS, Synthetic, Values};
    use crate::{DeviceState, EnrichedReading, Event, Happening, World};

    static WORLD: LazyLock<World> = LazyLock::new(|| World {
        atlas: Atlas::load(),
        weather: Feed::Synthetic(Synthetic::new(1)),
    });

    const MUNICH: (f64, f64) = (48.137, 11.575);
    const SALZBURG: (f64, f64) = (47.80, 13.04);
    const LJUBLJANA: (f64, f64) = (46.05, 14.51);

    fn ms(time: &str) -> i64 {
        time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn car(time_ms: i64, at: (f64, f64), tyre: Option<u8>, tread_mm: f64) -> Reading {
        let mut measures = vec![(Measure::SpeedMps, Value::Number(20.0))];
        if let Some(tyre) = tyre {
            measures.push((Measure::Tyre, Value::Choice(tyre)));
        }
        measures.push((Measure::TreadMm, Value::Number(tread_mm)));
        Reading { time_ms, seq: None, fix: Fix::new(at.0, at.1, Some(5.0)), measures }
    }

    fn run(world: &World, readings: &[Reading]) -> Vec<Event> {
        let (mut state, mut events) = (DeviceState::default(), Vec::new());
        for reading in readings {
            state.read(&EnrichedReading::join(reading, 1, world), world, &mut events);
        }
        events
    }

    fn advice(world: &World, readings: &[Reading]) -> Vec<TyresUnfit> {
        let found = run(world, readings).into_iter().filter_map(|event| match event.happening {
            Happening::TyresUnfit(unfit) => Some(unfit),
            _ => None,
        });
        found.collect()
    }

    #[test]
    fn summer_tyres_where_and_when_the_law_asks_for_winter_tyres() {
        // Slovenia asks for them from 15 November to 15 March, whatever the road.
        let on = |time: &str| advice(&WORLD, &[car(ms(time), LJUBLJANA, Some(0), 6.0)]);
        let found = on("2025-11-15T10:00:00Z");
        assert_eq!((found.len(), found[0].why, found[0].tyre), (1, Unfit::Law, Tyre::Summer));
        assert_eq!(found[0].country.code(), "SI");
        assert_eq!(on("2025-07-01T10:00:00Z"), []);
        // The day begins in Ljubljana, where it is one in the morning.
        assert_eq!(on("2025-11-14T23:30:00Z").len(), 1);
        assert_eq!(on("2025-11-14T22:30:00Z").len(), 0);
        // With winter tyres there is nothing to say, but for their tread: at least 3 mm there.
        let winter =
            |tread| advice(&WORLD, &[car(ms("2025-11-20T10:00:00Z"), LJUBLJANA, Some(1), tread)]);
        assert_eq!(winter(6.0), []);
        assert_eq!(winter(2.5)[0].why, Unfit::Tread);
    }

    #[test]
    fn nobody_is_told_the_same_again_and_again() {
        let start_ms = ms("2025-12-01T06:00:00Z");
        let drive: Vec<Reading> = (0..600)
            .map(|minute| car(start_ms + minute * 60_000, LJUBLJANA, Some(0), 6.0))
            .collect();
        assert_eq!(advice(&WORLD, &drive).len(), 1);
        let next_day = car(start_ms + 25 * HOUR_MS, LJUBLJANA, Some(0), 6.0);
        assert_eq!(advice(&WORLD, &[drive, vec![next_day]].concat()).len(), 2);
    }

    #[test]
    fn crossing_a_border_is_looked_at_at_once() {
        let start_ms = ms("2026-02-01T10:10:00Z");
        let drive = [
            car(start_ms, SALZBURG, Some(0), 6.0),
            car(start_ms + 60_000, LJUBLJANA, Some(0), 6.0),
        ];
        let found = advice(&WORLD, &drive);
        assert_eq!(found.last().unwrap().country.code(), "SI", "{found:?}");
    }

    #[test]
    fn who_says_nothing_of_tyres_is_told_nothing() {
        let reading = car(ms("2025-12-01T10:00:00Z"), LJUBLJANA, None, 6.0);
        assert_eq!(advice(&WORLD, &[reading]), []);
    }

    /// Snow in Munich, from two hours after `start_ms` on.
    fn snowy(start_ms: i64) -> World {
        let cell = Cell::of(MUNICH.0, MUNICH.1);
        let hours = (-12..=6).map(|hour| {
            let snows = hour >= 2;
            Hour {
                valid_ms: start_ms + hour * HOUR_MS,
                observed: false,
                values: Values {
                    temperature_c: Some(-1.0),
                    dew_point_c: Some(-8.0),
                    precipitation_mm: Some(if snows { 1.0 } else { 0.0 }),
                    snowfall_cm: Some(if snows { 1.0 } else { 0.0 }),
                    ..Values::default()
                },
            }
        });
        let series = Series {
            cell,
            source: "test".into(),
            lat: MUNICH.0,
            lon: MUNICH.1,
            elevation_m: None,
            issued_ms: start_ms - 13 * HOUR_MS,
            hours: hours.collect(),
        };
        let mut rows = crate::weather::Rows::new(vec![crate::weather::Reach {
            source: "test".into(),
            past_ms: 0,
            ahead_ms: 0,
        }]);
        rows.learn(&series, start_ms - 13 * HOUR_MS);
        World { atlas: Atlas::load(), weather: Feed::Rows(rows) }
    }

    #[test]
    fn snow_ahead_is_told_before_it_falls() {
        let start_ms = ms("2026-01-10T08:00:00Z");
        let world = snowy(start_ms);
        let found = advice(&world, &[car(start_ms, MUNICH, Some(0), 6.0)]);
        // Germany asks for winter tyres on such a road.
        assert_eq!((found[0].why, found[0].road_ms), (Unfit::Law, start_ms + 2 * HOUR_MS));
        let worn = advice(&world, &[car(start_ms, MUNICH, Some(1), 3.0)]);
        assert_eq!(worn[0].why, Unfit::Worn);
        assert_eq!(advice(&world, &[car(start_ms, MUNICH, Some(1), 6.0)]), []);
    }

    #[test]
    fn a_car_takes_little_memory() {
        assert!(size_of::<super::Memory>() <= 160, "{}", size_of::<super::Memory>());
        assert!(size_of::<DeviceState>() <= 1_024, "{}", size_of::<DeviceState>());
    }

    #[test]
    fn an_odometer_that_cannot_be_is_named() {
        let at = |second: i64, odometer_m: f64| {
            let measures = vec![(Measure::OdometerM, Value::Number(odometer_m))];
            Reading { time_ms: second * 1_000, seq: None, fix: None, measures }
        };
        let drive = [at(0, 5e6), at(60, 5.002e6), at(120, 1e6), at(180, 1.002e6)];
        let events = run(&WORLD, &drive);
        let [event] = events.as_slice() else { panic!("{events:?}") };
        let Happening::OdometerDoubted(doubted) = &event.happening else { panic!("{event:?}") };
        assert_eq!((doubted.from_m, doubted.to_m), (5.002e6, 1e6));
        assert!(possible(5e6, 5e6 - 500.0, 1_000), "a kilometre's rounding");
        assert!(!possible(5e6, 5.1e6, 60_000), "100 km in a minute");
    }
}
