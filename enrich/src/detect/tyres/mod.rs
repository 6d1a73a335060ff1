//! Notices that a car's tyres do not fit the road or the law where it is, and odometers that cannot be.
//!
//! A car says which tyres it has and how much tread is left; the country is the one it is certainly
//! in. It is looked at once an hour while it drives, and at once when tyres or country change: by the
//! weather as it was known then, now and [`AHEAD_HOURS`] ahead. docs/winter-tyres.md says it for people.

mod odometer;
#[cfg(test)]
mod tests;

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

use self::odometer::Odometer;
pub use self::odometer::{OdometerDoubted, possible};

/// How far ahead the road is looked at: about the drive that has begun. Our own choice.
const AHEAD_HOURS: i64 = 3;

/// Below this a winter tyre is none on snow: what Austria and Czechia ask for (docs/tyres.md).
const WINTER_TREAD_MM: f64 = 4.0;

/// The same finding is news again after this long.
const NEWS_AGAIN_MS: i64 = 24 * HOUR_MS;

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
    odometer: Odometer,
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
        self.odometer.read(reading, events);
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
