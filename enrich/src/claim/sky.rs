//! The weather of a claim, and what the road was like by it.

use ingest::Fix;
use serde::{Deserialize, Serialize};

use super::{Around, Certainty, FORECAST, Found, Place};
use crate::road::{Condition, Inputs, Road};
use crate::weather::{Cell, HOUR_MS, Joined};

/// The weather there and then, at the height of the place where that is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sky {
    pub weather: Joined,
    /// What the road is judged by.
    pub road: Inputs,
}

impl Sky {
    /// As it is known now, or was when the claim was answered: rows go because of their age before the
    /// claim is looked at for the last time.
    pub(super) fn of(around: &Around<'_>, there: &Place) -> Option<Self> {
        let Around { claim, world, before, now_ms, .. } = *around;
        let (fix, time_ms, rows) = (&there.fix, claim.time_ms, &world.weather);
        let weather = rows.as_of(fix, time_ms, now_ms);
        let road = Inputs::as_of(rows, fix, time_ms, now_ms);
        let known = weather.zip(road).map(|(weather, road)| Self { weather, road });
        let observed = |sky: &Self| sky.weather.row.observed;
        // Some of the hours before may be gone, but what was observed is more than a forecast.
        let before = before.filter(|before| {
            before.is_of(fix, time_ms)
                && known.as_ref().is_none_or(|known| observed(before) || !observed(known))
        });
        Some(before.cloned().or(known)?.at_altitude(there.altitude_m))
    }

    fn is_of(&self, fix: &Fix, time_ms: i64) -> bool {
        // What was observed in the hour before may stand in.
        let hours = 0..2 * HOUR_MS;
        let row = &self.weather.row;
        row.cell == Cell::of(fix.lat(), fix.lon()) && hours.contains(&(time_ms - row.valid_ms))
    }

    fn at_altitude(self, altitude_m: Option<f64>) -> Self {
        match altitude_m {
            Some(to_m) if self.weather.altitude_correction_c.is_none() => Self {
                weather: self.weather.at_altitude(to_m),
                road: self.road.at_altitude(altitude_m),
            },
            _ => self,
        }
    }
}

pub(super) fn weather(sky: Option<&Sky>) -> Found<Joined> {
    let Some(Sky { weather, .. }) = sky else { return Found::unknown("weather_missing") };
    let found = match weather.row.observed {
        true => Found::certain("observed", weather.clone()),
        false => Found::likely(FORECAST, weather.clone()),
    };
    match weather.altitude_correction_c {
        Some(_) => found,
        None => found.at_most(Certainty::Likely, "height_unknown"),
    }
}

pub(super) fn road(sky: Option<&Sky>, weather: &Found<Joined>) -> Found<Road> {
    let road = sky.map_or(Road::UNKNOWN, |sky| Road::assess(&sky.road));
    if road.condition == Condition::Unknown {
        return Found::unknown("weather_missing");
    }
    if road.surface_estimated {
        return Found::likely("derived_from_air_temperature", road);
    }
    Found::certain("derived_from_weather", road).at_most(weather.certainty, weather.reason)
}
