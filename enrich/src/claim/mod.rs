//! What is known around a claim: where, in what weather, on what road, on which tyres, how driven,
//! and what the law asked for; each with how certain that is, and why.
//!
//! Computed from the car's readings around the moment. docs/claims.md gives the thresholds.

mod drive;
mod picture;
mod sky;
mod words;

use std::collections::BTreeMap;

use ingest::report::Claim;
use ingest::{Fix, Measure, Reading};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::detect::tyres::Tyre;
use crate::law::Demand;
use crate::places::{Named, NamedTown, distance_m};
use crate::registry::Product;
use crate::road::{Condition, Road};
use crate::trigger::{self, Evidence, OfferData, RuleRef, TriggerData, sha256_hex};
use crate::weather::Joined;
use crate::{Country, World};

pub use drive::{Felt, Harsh, HarshKind, HarshWatch};
pub use picture::confirms;
pub use sky::Sky;
use sky::{road, weather};

/// What names these messages, in the place of a rule's id.
pub const RULE: &str = "claim-context";

/// Why an insurer may be told: it asks about a contract of its own.
pub const LEGAL_BASIS: &str = "contract";

/// How far around a claim readings are looked at. Our own choice: where a car was a quarter of an
/// hour before says nothing of where it was.
pub const AROUND_MS: i64 = 15 * 60_000;

/// A fix or a speed this close in time is as good as one of the moment itself, at a car's usual
/// rate of reporting. Our own choice.
const CLOSE_MS: i64 = 60_000;

/// Where the car was and where the insurer says it happened are the same place up to here: towns
/// apart they are not, and addresses are geocoded to streets. Our own choice.
const SAME_PLACE_M: f64 = 2_000.0;

/// A place that is named after a town may be so far from its middle. Our own choice.
const OF_TOWN_M: f64 = 20_000.0;

/// Why weather is not certain that nobody had observed yet.
const FORECAST: &str = "forecast";

/// How certain something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    Unknown,
    Likely,
    Certain,
}

/// Something that was looked for, how certain it is, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found<T> {
    pub certainty: Certainty,
    pub reason: &'static str,
    /// Absent where it is unknown.
    pub value: Option<T>,
}

impl<T> Found<T> {
    fn certain(reason: &'static str, value: T) -> Self {
        Self { certainty: Certainty::Certain, reason, value: Some(value) }
    }

    fn likely(reason: &'static str, value: T) -> Self {
        Self { certainty: Certainty::Likely, reason, value: Some(value) }
    }

    fn unknown(reason: &'static str) -> Self {
        Self { certainty: Certainty::Unknown, reason, value: None }
    }

    /// No more certain than what it follows from.
    fn at_most(mut self, certainty: Certainty, reason: &'static str) -> Self {
        if self.certainty > certainty {
            (self.certainty, self.reason) = (certainty, reason);
        }
        self
    }

    fn told(&self, value: impl Fn(&T) -> Value) -> Value {
        let mut told = self.value.as_ref().map_or_else(|| json!({}), value);
        if let Value::Object(told) = &mut told {
            told.insert("certainty".to_owned(), json!(self.certainty));
            told.insert("reason".to_owned(), json!(self.reason));
        }
        told
    }
}

/// Which car it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Car {
    Known,
    /// The customer had none then that reports here.
    None,
    /// The customer had several, and the claim does not say which.
    Several,
}

/// What a claim is looked at with.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub claim: &'a Claim,
    pub car: Car,
    /// The car's, while it was the claimant's, in history order: from [`AROUND_MS`] before the claim
    /// to as long after it, and maybe more on either side.
    pub readings: &'a [Reading],
    /// The tyres and tread that it had said before the first of these.
    pub fitted_before: (Option<Tyre>, Option<f64>),
    /// What it was answered with before, where rows of that may be gone.
    pub before: Option<&'a Sky>,
    pub world: &'a World,
    pub now_ms: i64,
}

/// What is known around a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    pub place: Found<Place>,
    /// What stands behind the place that the claim has in words, where that was looked up.
    pub named: Option<Named>,
    /// What weather and road follow from.
    pub sky: Option<Sky>,
    pub weather: Found<Joined>,
    pub road: Found<Road>,
    pub tyres: Found<Fitted>,
    /// Metres a second.
    pub speed: Found<f64>,
    /// In the minute before.
    pub harsh: Found<Vec<Harsh>>,
    pub law: Found<Law>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub fix: Fix,
    /// How high above the sea, where the car said so near there.
    pub altitude_m: Option<f64>,
    pub country: Option<Country>,
    /// Whether the country is certain.
    pub certain: bool,
    pub town: Option<&'static str>,
    /// How far in time the nearest fix of the car was; `None`: the place is the claim's.
    pub apart_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    pub tyre: Tyre,
    pub tread_mm: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    pub demand: Demand,
    pub least_tread_mm: f64,
    /// Whether the tyres met it; `None` where that is not known.
    pub met: Option<bool>,
}

impl Context {
    #[must_use]
    pub fn of(around: &Around<'_>) -> Self {
        let Around { claim, world, .. } = *around;
        let time_ms = claim.time_ms;
        let named = around.named();
        let place = place(around, named);
        let tyres = tyres(around);
        let sky = place.value.as_ref().and_then(|there| Sky::of(around, there));
        let (weather, road, law) = match &place.value {
            None => {
                let missing = "place_unknown";
                (Found::unknown(missing), Found::unknown(missing), Found::unknown(missing))
            }
            Some(there) => {
                let weather = weather(sky.as_ref());
                let road = road(sky.as_ref(), &weather);
                let law = law(world, there, time_ms, &road, &tyres);
                let of_place = |certainty: Certainty| certainty.min(place.certainty);
                (
                    weather.at_most(of_place(Certainty::Certain), "place_uncertain"),
                    road.at_most(of_place(Certainty::Certain), "place_uncertain"),
                    law.at_most(of_place(Certainty::Certain), "place_uncertain"),
                )
            }
        };
        let speed = drive::speed(around);
        let harsh = drive::harsh(around);
        Self { place, named, sky, weather, road, tyres, speed, harsh, law }
    }

    /// What the insurer is told of it, by name. The town, not the spot.
    #[must_use]
    pub fn told(&self) -> BTreeMap<String, Value> {
        let mut place = self.place.told(|place| {
            json!({
                "country": place.country.as_ref().map(Country::code),
                "name": place.country.as_ref().map(|country| country.name("en")),
                "town": place.town,
                "apart_s": place.apart_ms.map(|apart_ms| apart_ms / 1_000),
            })
        });
        if let (Some(named), Value::Object(place)) = (self.named, &mut place) {
            place.insert("named".to_owned(), json!(named.name()));
        }
        let road = self
            .road
            .told(|road| json!({ "condition": road.condition.name(), "because": road.reason }));
        let tyres = self
            .tyres
            .told(|fitted| json!({ "fitted": fitted.tyre.name(), "tread_mm": fitted.tread_mm }));
        let speed = self.speed.told(|speed_mps| json!({ "speed_mps": tenth(*speed_mps) }));
        let harsh = self.harsh.told(|events| {
            let event = |event: &Harsh| {
                json!({
                    "kind": event.kind,
                    "seconds_before": event.before_ms / 1_000,
                    "mps2": event.mps2.map(tenth),
                })
            };
            json!({ "events": events.iter().map(event).collect::<Vec<_>>() })
        });
        let law = self.law.told(|law| {
            json!({
                "demand": law.demand.name(),
                "least_tread_mm": law.least_tread_mm,
                "met": law.met,
            })
        });
        // The weather itself is among the evidence.
        let weather = self.weather.told(|_| json!({}));
        [
            ("weather", weather),
            ("place", place),
            ("road", road),
            ("tyres", tyres),
            ("speed", speed),
            ("harsh", harsh),
            ("law", law),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The content of the message about a claim, which is of use until then.
    #[must_use]
    pub fn data(&self, claim: &Claim, valid_until_ms: i64, evidence: &str) -> TriggerData {
        let mut told = self.told();
        told.insert("claim".to_owned(), json!({ "id": claim.id, "kind": claim.kind }));
        told.insert("legal_basis".to_owned(), json!(LEGAL_BASIS));
        TriggerData {
            product: Product::WinterTyres.name().to_owned(),
            rule: RuleRef { id: RULE.to_owned(), version: 1 },
            event: "claim_reported".to_owned(),
            happened_at: trigger::at(claim.time_ms),
            told,
            offer: OfferData {
                kind: RULE.to_owned(),
                also: Vec::new(),
                valid_until: trigger::at(valid_until_ms),
            },
            facts: BTreeMap::new(),
            explanation: words::explain(self),
            value: None,
            evidence: Evidence {
                weather: trigger::shown(self.weather.value.as_ref()),
                hash: sha256_hex(evidence.as_bytes()),
            },
        }
    }
}

impl Around<'_> {
    /// Coordinates say more than words.
    fn named(&self) -> Option<Named> {
        let words = self.claim.place.as_deref().filter(|_| self.claim.fix.is_none());
        words.map(Named::look_up)
    }
}

fn place(around: &Around<'_>, named: Option<Named>) -> Found<Place> {
    let claim = around.claim;
    let car = seen(around.readings.iter(), claim.time_ms);
    let there = |fix: Fix, apart_ms| {
        let (here, details) = (around.world.atlas.locate(&fix), around.world.atlas.details(&fix));
        let town = details.town.map(|town| town.name);
        let altitude_m = altitude_m(around, &fix);
        Place { fix, altitude_m, country: here.country, certain: here.certain, town, apart_ms }
    };
    // Its country is known by its name, also where its middle lies near a border.
    let in_town = |NamedTown { name, country, fix }| {
        let (country, town) = (Some(country), Some(name));
        let altitude_m = altitude_m(around, &fix);
        Place { fix, altitude_m, country, certain: true, town, apart_ms: None }
    };
    if let Some(Named::One(town)) = named {
        let away = |car: &Seen| distance_m(&town.fix, &car.fix) > OF_TOWN_M;
        match car.as_ref().map(away) {
            None => return Found::likely("looked_up_by_name", in_town(town)),
            Some(true) => return Found::likely("the_car_was_elsewhere", in_town(town)),
            Some(false) => {}
        }
    }
    match (claim.fix, car) {
        (Some(said), Some(car)) if far_apart(&said, &car.fix) => {
            Found::likely("the_car_was_elsewhere", there(said, None))
        }
        (Some(said), Some(_)) => Found::certain("said_and_the_car_was_there", there(said, None)),
        (Some(said), None) => Found::likely("said_by_the_insurer", there(said, None)),
        (None, Some(Seen { fix, apart_ms, .. })) if apart_ms <= CLOSE_MS => {
            Found::certain("the_car_was_there", there(fix, Some(apart_ms)))
        }
        (None, Some(Seen { fix, apart_ms, .. })) => {
            Found::likely("the_car_was_there_at_another_time", there(fix, Some(apart_ms)))
        }
        (None, None) => match named {
            Some(Named::Several) => Found::unknown("several_places_of_that_name"),
            Some(Named::None) => Found::unknown("no_place_of_that_name"),
            Some(Named::One(_)) | None => {
                Found::unknown(no_readings(around, "no_position_around_then"))
            }
        },
    }
}

fn far_apart(a: &Fix, b: &Fix) -> bool {
    distance_m(a, b) > SAME_PLACE_M
}

/// Where the car was seen, how high, and how far in time that was.
struct Seen {
    fix: Fix,
    altitude_m: Option<f64>,
    apart_ms: i64,
}

/// Between the fixes before and after, or at the nearest.
fn seen<'a>(readings: impl Iterator<Item = &'a Reading>, time_ms: i64) -> Option<Seen> {
    let near = readings.filter(|reading| (reading.time_ms - time_ms).abs() <= AROUND_MS);
    let fixes = near.filter_map(|reading| {
        let (fix, altitude_m) = (reading.fix?, reading.number(Measure::AltitudeM));
        Some((reading.time_ms, fix, altitude_m))
    });
    let (before, after): (Vec<_>, Vec<_>) = fixes.partition(|(at_ms, ..)| *at_ms <= time_ms);
    match (before.last(), after.first()) {
        (Some((from_ms, from, from_m)), Some((to_ms, to, to_m))) => {
            let share = (time_ms - from_ms) as f64 / (to_ms - from_ms) as f64;
            let between = |a: f64, b: f64| a + (b - a) * share;
            let accuracy_m = from.accuracy_m.zip(to.accuracy_m).map(|(a, b)| a.max(b));
            let lat = between(from.lat(), to.lat());
            // Across the date line the nearest is better than the other side of the Earth.
            let lon = match (from.lon() - to.lon()).abs() < 180.0 {
                true => between(from.lon(), to.lon()),
                false => from.lon(),
            };
            let fix = Fix::new(lat, lon, accuracy_m)?;
            let altitude_m = from_m.zip(*to_m).map(|(from_m, to_m)| between(from_m, to_m));
            Some(Seen { fix, altitude_m, apart_ms: (time_ms - from_ms).min(to_ms - time_ms) })
        }
        (Some((at_ms, fix, altitude_m)), None) | (None, Some((at_ms, fix, altitude_m))) => {
            let (fix, altitude_m) = (*fix, *altitude_m);
            Some(Seen { fix, altitude_m, apart_ms: (at_ms - time_ms).abs() })
        }
        (None, None) => None,
    }
}

/// How high the place is: as high as the car was there, by the readings that say how high.
fn altitude_m(around: &Around<'_>, fix: &Fix) -> Option<f64> {
    let telling = around.readings.iter().filter(|r| r.number(Measure::AltitudeM).is_some());
    let car = seen(telling, around.claim.time_ms).filter(|car| !far_apart(&car.fix, fix))?;
    car.altitude_m
}

fn tyres(around: &Around<'_>) -> Found<Fitted> {
    let time_ms = around.claim.time_ms;
    let (mut tyre, mut tread_mm) = around.fitted_before;
    let mut said = false;
    let mut changed_after = false;
    for reading in around.readings {
        let says = Tyre::of(reading);
        if reading.time_ms > time_ms {
            changed_after |= says.is_some() && tyre.is_some() && says != tyre;
            // Nothing was heard before: what is said right after was fitted then as well.
            if tyre.is_none() {
                tyre = says;
                tread_mm = tread_mm.or(reading.number(Measure::TreadMm));
            }
            continue;
        }
        said |= says.is_some() && reading.time_ms >= time_ms - AROUND_MS;
        tyre = says.or(tyre);
        tread_mm = reading.number(Measure::TreadMm).or(tread_mm);
    }
    let Some(tyre) = tyre else { return Found::unknown(no_readings(around, "never_said")) };
    let fitted = Fitted { tyre, tread_mm };
    match (said, changed_after) {
        (_, true) => Found::likely("said_otherwise_soon_after", fitted),
        (true, false) => Found::certain("said_by_the_car", fitted),
        (false, false) => Found::likely("said_at_another_time", fitted),
    }
}

fn law(
    world: &World,
    there: &Place,
    time_ms: i64,
    road: &Found<Road>,
    tyres: &Found<Fitted>,
) -> Found<Law> {
    let Some(country) = there.country else { return Found::unknown("no_country") };
    let condition = road.value.map_or(Condition::Unknown, |road| road.condition);
    let duty = world.tyre_duty(&there.fix, country, time_ms, condition);
    let demand = duty.demand;
    let met = tyres.value.and_then(|fitted| {
        let deep = fitted.tread_mm.is_none_or(|tread_mm| tread_mm >= duty.least_tread_mm);
        match demand {
            Demand::Required => Some(fitted.tyre != Tyre::Summer && deep),
            Demand::NotRequired => Some(deep),
            _ => None,
        }
    });
    let law = Law { demand, least_tread_mm: duty.least_tread_mm, met };
    let found = match demand {
        Demand::Required | Demand::NotRequired if !duty.not_verified.is_empty() => {
            Found::likely("law_not_verified", law)
        }
        Demand::Required | Demand::NotRequired => Found::certain("law_of_the_day_there", law),
        Demand::DependsOnRoad => Found { value: Some(law), ..Found::unknown("road_unknown") },
        Demand::DependsOnSigns => Found { value: Some(law), ..Found::unknown("depends_on_signs") },
        Demand::DependsOnRegion => Found { value: Some(law), ..Found::unknown("region_unknown") },
        Demand::Unknown => Found { value: Some(law), ..Found::unknown("law_unknown") },
    };
    let by_road = world.tyre_duty(&there.fix, country, time_ms, Condition::Unknown);
    let found = match by_road.demand {
        Demand::DependsOnRoad if found.certainty != Certainty::Unknown => {
            found.at_most(road.certainty, road.reason)
        }
        _ => found,
    };
    match there.certain {
        true => found,
        false => found.at_most(Certainty::Likely, "near_a_border"),
    }
}

/// Why there is nothing of the car, or else `otherwise`.
fn no_readings(around: &Around<'_>, otherwise: &'static str) -> &'static str {
    let near = |reading: &Reading| (reading.time_ms - around.claim.time_ms).abs() <= AROUND_MS;
    match around.car {
        Car::None => "no_car",
        Car::Several => "several_cars",
        Car::Known if around.readings.iter().any(near) => otherwise,
        Car::Known => "no_readings_around_then",
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests;
