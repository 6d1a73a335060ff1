//! What the road is like, by the weather: dry, wet, snow or ice, each with its reason.
//!
//! No feed tells the state of a road, and no norm says how to derive it from what they tell: this is
//! our own rule, and docs/road.md gives the thresholds with their sources. It is a list of findings,
//! each of which needs at most so much warmth and at least so much moisture; the worst one counts.
//! So colder is never less icy, and more moisture never less slippery.

mod flags;
mod phenomena;

use ingest::Fix;
use serde::{Deserialize, Serialize};

use crate::weather::{Feed, HOUR_MS, Higher, Row, Values};

pub(crate) use flags::GROUND_FROST_AIR_C;
pub use flags::{Flags, Frost, Storm, beaufort};
pub use phenomena::Phenomena;

/// What falls in an hour to wet a road: the lowest that a rain gauge tells.
const WET_MM: f64 = 0.1;

/// What has fallen of late and still wets it. Our own choice.
const STILL_WET_MM: f64 = 0.2;

/// How long a road takes to dry, in hours: one to three without sun. Our own choice.
pub const DRYING_HOURS: i64 = 3;

/// Snow in an hour that covers a road, in cm: Open-Meteo's threshold between slight and moderate.
const SNOW_CM: f64 = 0.2;

/// Snow of late that still lies if it never thawed; of ploughs and salt we know nothing.
const LYING_CM: f64 = 1.0;

/// How long fallen snow is looked back for, in hours. Our own choice: a night.
pub const LYING_HOURS: i64 = 12;

/// Snow stays on a road up to here.
const SNOW_MAX_C: f64 = 1.0;

/// A feed that speaks of freezing rain or ice pellets is believed up to here: it speaks for a cell of
/// kilometres and an hour, and cars too warn of ice from 3 °C on.
const ICE_CODE_MAX_C: f64 = 3.0;

/// Hail stays on a road up to here. Our own choice.
const HAIL_MAX_C: f64 = 5.0;

/// How far below the dew point a road must be for hoar frost where its own temperature is not known
/// and the air's, 2 m above it, is taken: at night a road is at least so much colder.
const HOAR_SPREAD_K: f64 = 0.5;

/// What one cm of new snow makes as water, in mm: 10 mm for 7 cm, as Open-Meteo reckons.
const WATER_MM_A_CM: f64 = 10.0 / 7.0;

/// The state of a road, from the best to the worst for a tyre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The weather is not known well enough to say.
    Unknown,
    Dry,
    Wet,
    Snow,
    Ice,
}

/// Why a road is taken for what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    FreezingRain,
    IcePellets,
    RainOnFrozenRoad,
    WetRoadFroze,
    FreezingFog,
    HoarFrost,
    Hail,
    Snowfall,
    SnowLies,
    Rain,
    MeltingSnow,
    NotYetDry,
    NothingFell,
    TemperatureMissing,
    PrecipitationMissing,
    WeatherMissing,
}

/// The state of a road with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Road {
    pub condition: Condition,
    pub reason: Reason,
    /// The road's own temperature is not known: the air's was taken.
    pub surface_estimated: bool,
}

/// What the state of a road follows from; `None` is what nobody told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Of the air, 2 m above the ground.
    pub temperature_c: Option<f64>,
    pub dew_point_c: Option<f64>,
    pub surface_temperature_c: Option<f64>,
    /// Fallen as water in this hour, and in the [`DRYING_HOURS`] before it.
    pub rain_mm: Option<f64>,
    pub recent_rain_mm: Option<f64>,
    /// New snow in this hour, and in the [`LYING_HOURS`] before it.
    pub snowfall_cm: Option<f64>,
    pub recent_snowfall_cm: Option<f64>,
    pub phenomena: Option<Phenomena>,
    /// The height above the sea that the temperatures hold for.
    pub elevation_m: Option<f64>,
}

impl Inputs {
    /// From the weather at a place and time and in the hours before, as it was known at `now_ms`;
    /// at the height that it was told for.
    #[must_use]
    pub fn as_of(weather: &Feed, fix: &Fix, time_ms: i64, now_ms: i64) -> Option<Self> {
        let row = |back: i64| {
            let at_ms = time_ms - back * HOUR_MS;
            weather.as_of(fix, at_ms, now_ms).map(|joined| joined.row)
        };
        let before: Vec<_> = (1..=LYING_HOURS).filter_map(row).collect();
        Some(Self::of(&row(0)?, &before))
    }

    /// The same for a road at that height, where it is known. What fell there is taken to be what
    /// fell in the cell, as rain or as snow: only temperatures are corrected.
    #[must_use]
    pub fn at_altitude(mut self, altitude_m: Option<f64>) -> Self {
        let higher = altitude_m.and_then(|to_m| Higher::than(self.elevation_m, to_m));
        if let (Some(higher), Some(to_m)) = (higher, altitude_m) {
            let Self { temperature_c, surface_temperature_c, dew_point_c, .. } = &mut self;
            higher.correct(temperature_c, surface_temperature_c, dew_point_c);
            self.elevation_m = Some(to_m);
        }
        self
    }

    /// From the row of the hour and those of the hours before it at the same place, in any order.
    /// What is not there counts as nothing fallen.
    #[must_use]
    pub fn of<'a>(row: &Row, before: impl IntoIterator<Item = &'a Row>) -> Self {
        let [rain_mm, snowfall_cm] = fallen(row);
        let mut inputs = Self {
            temperature_c: row.values.temperature_c,
            dew_point_c: row.values.dew_point_c,
            surface_temperature_c: row.values.surface_temperature_c,
            rain_mm,
            recent_rain_mm: None,
            snowfall_cm,
            recent_snowfall_cm: None,
            phenomena: phenomena_of(row),
            elevation_m: row.elevation_m,
        };
        for earlier in before {
            let hours = (row.valid_ms - earlier.valid_ms) / HOUR_MS;
            let [rain_mm, snowfall_cm] = fallen(earlier);
            if (1..=DRYING_HOURS).contains(&hours) {
                add(&mut inputs.recent_rain_mm, rain_mm);
            }
            if (1..=LYING_HOURS).contains(&hours) {
                add(&mut inputs.recent_snowfall_cm, snowfall_cm);
            }
        }
        inputs
    }
}

impl Road {
    /// What is said where there is no weather at all.
    pub const UNKNOWN: Self = Self {
        condition: Condition::Unknown,
        reason: Reason::WeatherMissing,
        surface_estimated: false,
    };

    #[must_use]
    pub fn assess(inputs: &Inputs) -> Self {
        let measured = inputs.surface_temperature_c;
        let surface_c = measured.or(inputs.temperature_c);
        let seen = inputs.phenomena.unwrap_or_default();
        let at_most = |limit_c: f64| surface_c.is_some_and(|surface_c| surface_c <= limit_c);
        let frozen = at_most(0.0);
        // Where nobody tells a temperature, the code that speaks of ice is all there is.
        let near_ice = surface_c.is_none() || at_most(ICE_CODE_MAX_C);
        let least = |amount: Option<f64>, least: f64| amount.is_some_and(|amount| amount >= least);

        let raining = least(inputs.rain_mm, WET_MM) || seen.rain || seen.freezing_rain;
        let snowing = least(inputs.snowfall_cm, SNOW_CM) || seen.snow;
        let was_wet = least(inputs.recent_rain_mm, STILL_WET_MM);
        let spread_k = if measured.is_some() { 0.0 } else { HOAR_SPREAD_K };
        let hoar = inputs
            .dew_point_c
            .zip(surface_c)
            .is_some_and(|(dew_point_c, surface_c)| dew_point_c >= surface_c - spread_k);
        let findings = [
            (seen.freezing_rain && near_ice, Condition::Ice, Reason::FreezingRain),
            (seen.ice_pellets && near_ice, Condition::Ice, Reason::IcePellets),
            (raining && frozen, Condition::Ice, Reason::RainOnFrozenRoad),
            (was_wet && frozen, Condition::Ice, Reason::WetRoadFroze),
            (seen.freezing_fog && near_ice, Condition::Ice, Reason::FreezingFog),
            (seen.fog && frozen, Condition::Ice, Reason::FreezingFog),
            (hoar && frozen, Condition::Ice, Reason::HoarFrost),
            (seen.hail && at_most(HAIL_MAX_C), Condition::Ice, Reason::Hail),
            (snowing && at_most(SNOW_MAX_C), Condition::Snow, Reason::Snowfall),
            (
                least(inputs.recent_snowfall_cm, LYING_CM) && at_most(SNOW_MAX_C),
                Condition::Snow,
                Reason::SnowLies,
            ),
            (raining && surface_c.is_some(), Condition::Wet, Reason::Rain),
            ((seen.hail || seen.ice_pellets) && surface_c.is_some(), Condition::Wet, Reason::Hail),
            (snowing && surface_c.is_some(), Condition::Wet, Reason::MeltingSnow),
            (was_wet && surface_c.is_some(), Condition::Wet, Reason::NotYetDry),
        ];
        let found = findings.into_iter().find(|(holds, ..)| *holds);
        let (condition, reason) = match found {
            Some((_, condition, reason)) => (condition, reason),
            None => nothing_found(inputs, surface_c),
        };
        Self { condition, reason, surface_estimated: measured.is_none() && surface_c.is_some() }
    }

    /// Whether it is what laws call wintry: snow, slush, ice, frost on the road. `None`: unknown.
    #[must_use]
    pub fn wintry(&self) -> Option<bool> {
        self.condition.wintry()
    }
}

impl Condition {
    /// See [`Road::wintry`].
    #[must_use]
    pub fn wintry(self) -> Option<bool> {
        (self != Self::Unknown).then_some(self >= Self::Snow)
    }

    /// The name used in rules and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Dry => "dry",
            Self::Wet => "wet",
            Self::Snow => "snow",
            Self::Ice => "ice",
        }
    }
}

impl Reason {
    /// In words, in `language` (`nl`, otherwise English).
    #[must_use]
    pub fn text(self, language: &str) -> &'static str {
        let (english, dutch) = match self {
            Self::FreezingRain => {
                ("rain that freezes on the ground", "regen die op de grond bevriest")
            }
            Self::IcePellets => ("ice pellets", "ijsregen"),
            Self::RainOnFrozenRoad => {
                ("rain on a road at or below 0 °C", "regen op een weg van 0 °C of kouder")
            }
            Self::WetRoadFroze => ("it was wet and has frozen", "de weg was nat en is bevroren"),
            Self::FreezingFog => {
                ("fog at or below 0 °C leaves rime", "mist bij 0 °C of kouder geeft rijp")
            }
            Self::HoarFrost => (
                "moist air over a frozen road leaves hoar frost",
                "vochtige lucht boven een bevroren weg geeft rijp",
            ),
            Self::Hail => ("hail", "hagel"),
            Self::Snowfall => ("snow falls and stays", "er valt sneeuw die blijft liggen"),
            Self::SnowLies => (
                "snow of the last hours that has not thawed",
                "sneeuw van de laatste uren die niet is gesmolten",
            ),
            Self::Rain => ("rain or drizzle", "regen of motregen"),
            Self::MeltingSnow => ("snow that melts on the road", "sneeuw die op de weg smelt"),
            Self::NotYetDry => ("rain of the last hours", "regen van de laatste uren"),
            Self::NothingFell => ("nothing fell", "er is niets gevallen"),
            Self::TemperatureMissing => {
                ("no temperature is known", "er is geen temperatuur bekend")
            }
            Self::PrecipitationMissing => (
                "it is not known whether anything fell",
                "het is niet bekend of er iets is gevallen",
            ),
            Self::WeatherMissing => ("no weather is known", "er is geen weer bekend"),
        };
        if language == "nl" { dutch } else { english }
    }
}

fn nothing_found(inputs: &Inputs, surface_c: Option<f64>) -> (Condition, Reason) {
    let told_of_fall = inputs.rain_mm.is_some() || inputs.phenomena.is_some();
    match (surface_c, told_of_fall) {
        (Some(_), true) => (Condition::Dry, Reason::NothingFell),
        (Some(_), false) => (Condition::Unknown, Reason::PrecipitationMissing),
        (None, true) => (Condition::Unknown, Reason::TemperatureMissing),
        (None, false) => (Condition::Unknown, Reason::WeatherMissing),
    }
}

fn phenomena_of(row: &Row) -> Option<Phenomena> {
    // What was seen says more than a code made from it.
    let seen = row.values.present.as_deref().map(Phenomena::from_metar);
    seen.or_else(|| row.values.code.map(Phenomena::from_wmo))
}

/// What fell in the hour of a row: water in mm and snow in cm.
fn fallen(row: &Row) -> [Option<f64>; 2] {
    let Values { precipitation_mm, snowfall_cm, .. } = row.values;
    let seen = phenomena_of(row).unwrap_or_default();
    match (precipitation_mm, snowfall_cm) {
        // A feed that does not tell snow apart by amount does so by its code.
        (Some(all_mm), None) if seen.snow && !seen.rain => {
            [Some(0.0), Some(all_mm / WATER_MM_A_CM)]
        }
        (Some(all_mm), Some(snow_cm)) => {
            let rain_mm = all_mm - snow_cm * WATER_MM_A_CM;
            // Both were rounded to tenths: less than that is nothing.
            [Some(if rain_mm < WET_MM { 0.0 } else { rain_mm }), Some(snow_cm)]
        }
        (rain_mm, snow_cm) => [rain_mm, snow_cm],
    }
}

fn add(sum: &mut Option<f64>, amount: Option<f64>) {
    if let Some(amount) = amount {
        *sum = Some(sum.unwrap_or(0.0) + amount);
    }
}

#[cfg(test)]
mod tests;
