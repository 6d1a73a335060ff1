//! Whether what was observed later changes the picture that a forecast gave.

use serde_json::Value;

use super::FORECAST;
use crate::road::GROUND_FROST_AIR_C;
use crate::trigger::{TriggerData, Weather};

/// Up to here water freezes on a road, and up to here cars warn of ice: as in the rule for roads.
const TEMPERATURES_C: [f64; 2] = [0.0, GROUND_FROST_AIR_C];

/// Where rain begins (the lowest that a gauge tells), and in an hour where it is moderate and heavy
/// (American Meteorological Society, Glossary of Meteorology, "rain").
const PRECIPITATION_MM: [f64; 3] = [0.1, 2.5, 7.6];

/// Whether an answer says nothing new to who had one by a forecast: it is about the same claim, the road
/// is in the same state, temperature and precipitation are of the same class, and all that the weather
/// has no part in is the same.
#[must_use]
pub fn confirms(before: &TriggerData, now: &TriggerData) -> bool {
    before.told.get("weather").and_then(|weather| weather.get("reason"))
        == Some(&Value::from(FORECAST))
        && (before.happened_at, &before.offer) == (now.happened_at, &now.offer)
        && classes(&before.evidence.weather)
            .is_some_and(|was| Some(was) == classes(&now.evidence.weather))
        && condition(before) == condition(now)
        && beside_weather(before) == beside_weather(now)
}

/// `None`: there is no weather.
fn classes(weather: &Weather) -> Option<[Option<usize>; 2]> {
    let Weather::Known { temperature_c, precipitation_mm, .. } = weather else { return None };
    let warmth =
        temperature_c.map(|celsius| TEMPERATURES_C.partition_point(|up_to_c| *up_to_c < celsius));
    let amount =
        precipitation_mm.map(|mm| PRECIPITATION_MM.partition_point(|from_mm| *from_mm <= mm));
    Some([warmth, amount])
}

fn condition(data: &TriggerData) -> Option<&Value> {
    data.told.get("road")?.get("condition")
}

fn beside_weather(data: &TriggerData) -> Vec<(&String, &Value)> {
    data.told.iter().filter(|(name, _)| !matches!(name.as_str(), "weather" | "road")).collect()
}
