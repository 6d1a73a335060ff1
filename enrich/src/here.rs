//! All there is to say of a place and time: the explanation that somebody who asks needs.

use std::sync::Arc;

use ingest::Fix;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::law::{self, Duty};
use crate::places::{ASSUMED_ACCURACY_M, Details, NearestBorder, VAGUEST_M};
use crate::road::{Flags, Inputs, Road};
use crate::weather::Joined;
use crate::{Country, World};

/// How far to look for a border, in metres.
const BORDER_WITHIN_M: f64 = 200_000.0;

/// Place, weather, road and law, as they were known at some moment.
#[derive(Clone, Debug, Serialize)]
pub struct Here {
    pub lat: f64,
    pub lon: f64,
    pub accuracy_m: f64,
    pub time: Timestamp,
    /// On the clocks there; UTC on the high seas.
    pub local_time: DateTime,
    /// The most likely country; `None` on the high seas.
    pub country: Option<Country>,
    pub certainty: Certainty,
    /// Kilometres from any land, where a ship passes without arriving.
    pub at_sea: bool,
    /// Within 200 km.
    pub border: Option<NearestBorder>,
    #[serde(flatten)]
    pub details: Details,
    /// The areas of risk it lies in, those that cost most first.
    pub risks: Vec<Risk>,
    /// `None`: missing.
    pub weather: Option<Joined>,
    pub road: Road,
    #[serde(flatten)]
    pub flags: Flags,
    /// What winter-tyre law asks of a car here on this day, on this road.
    pub tyres: Option<Duty>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Risk {
    pub name: Arc<str>,
    pub premium_factor: f64,
}

/// Whether the country is the one the fix lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    Certain,
    /// With its inaccuracy the fix may lie beyond the border.
    NearBorder,
    /// The fix is too vague to decide anything.
    TooVague,
}

impl Here {
    #[must_use]
    pub fn look(
        world: &World,
        fix: &Fix,
        altitude_m: Option<f64>,
        time_ms: i64,
        now_ms: i64,
    ) -> Self {
        let place = world.atlas.locate(fix);
        let details = world.atlas.details(fix);
        let zone = details.time_zone.and_then(|name| TimeZone::get(name).ok());
        let time = Timestamp::from_millisecond(time_ms).unwrap_or_default();
        let local_time = time.to_zoned(zone.unwrap_or(TimeZone::UTC)).datetime();
        let risks = world.atlas.areas().risks(fix, time_ms);
        let weather = world.weather.as_of_at(fix, altitude_m, time_ms, now_ms);
        let inputs = Inputs::as_of(&world.weather, fix, time_ms, now_ms);
        let inputs = inputs.map(|inputs| inputs.at_altitude(altitude_m));
        let road = inputs.map_or(Road::UNKNOWN, |inputs| Road::assess(&inputs));
        let values = weather.as_ref().map(|joined| &joined.row.values);
        let accuracy_m = fix.accuracy_m.map_or(ASSUMED_ACCURACY_M, f64::from);
        Self {
            lat: fix.lat(),
            lon: fix.lon(),
            accuracy_m,
            time,
            local_time,
            country: place.country,
            certainty: match place.certain {
                true => Certainty::Certain,
                false if accuracy_m > VAGUEST_M => Certainty::TooVague,
                false => Certainty::NearBorder,
            },
            at_sea: place.at_sea,
            border: world.atlas.border(fix, BORDER_WITHIN_M),
            risks: risks
                .into_iter()
                .map(|(area, premium_factor)| Risk { name: area.name.clone(), premium_factor })
                .collect(),
            weather: weather.clone(),
            road,
            flags: Flags::of(
                &inputs.unwrap_or_default(),
                values.and_then(|values| values.wind_mps),
                values.and_then(|values| values.gust_mps),
            ),
            tyres: place.country.map(|country| {
                let region = details.region.and_then(|region| region.iso());
                law::duty(country, region.as_deref(), local_time.date(), road.condition)
            }),
            details,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use ingest::Fix;

    use super::{Certainty, Here};
    use crate::World;
    use crate::law::Demand;
    use crate::places::Atlas;
    use crate::weather::{Feed, Synthetic};

    static WORLD: LazyLock<World> = LazyLock::new(|| World {
        atlas: Atlas::load(),
        weather: Feed::Synthetic(Synthetic::new(1)),
    });

    fn look(lat: f64, lon: f64, accuracy_m: f32, time: &str) -> Here {
        let time_ms = time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let fix = Fix::new(lat, lon, Some(accuracy_m)).unwrap();
        Here::look(&WORLD, &fix, None, time_ms, time_ms)
    }

    #[test]
    fn a_place_on_a_mountain_is_colder_than_its_cell() {
        let fix = Fix::new(45.9237, 6.8694, None).unwrap();
        let time_ms = 1_768_478_400_000;
        let temperature_c = |altitude_m| {
            let joined = Here::look(&WORLD, &fix, altitude_m, time_ms, time_ms).weather.unwrap();
            (joined.row.values.temperature_c.unwrap(), joined.row.elevation_m.unwrap())
        };
        let (cell_c, elevation_m) = temperature_c(None);
        let (summit_c, _) = temperature_c(Some(elevation_m + 1_000.0));
        assert!((summit_c - cell_c + 6.5).abs() < 0.11, "{cell_c} {summit_c}");
    }

    #[test]
    fn a_place_is_explained() {
        let here = look(45.9237, 6.8694, 10.0, "2026-01-15T12:00:00Z");
        assert_eq!(here.country.unwrap().code(), "FR");
        assert_eq!(here.certainty, Certainty::Certain);
        assert_eq!(here.details.region.unwrap().iso().unwrap(), "FR-74");
        assert_eq!(here.details.town.unwrap().name, "Chamonix-Mont-Blanc");
        assert_eq!(here.local_time.hour(), 13);
        let border = here.border.unwrap();
        assert_eq!(border.with.unwrap().code(), "IT");
        assert!((5_000.0..15_000.0).contains(&border.distance_m), "{border:?}");
        assert_eq!(here.tyres.unwrap().demand, Demand::DependsOnSigns, "a mountain department");
        assert_eq!(here.weather.unwrap().row.source.as_ref(), "synthetic");
    }

    #[test]
    fn the_law_is_that_of_the_day_there() {
        // In Tallinn it is 1 December already, in Riga too; by UTC it is not.
        let demand = |time| look(59.437, 24.7536, 10.0, time).tyres.unwrap().demand;
        assert_eq!(demand("2025-11-30T21:59:00Z"), Demand::NotRequired);
        assert_eq!(demand("2025-11-30T22:00:00Z"), Demand::Required);
    }

    #[test]
    fn it_says_how_certain_it_is() {
        let certainty =
            |accuracy_m| look(50.776, 6.036, accuracy_m, "2026-01-15T12:00:00Z").certainty;
        assert_eq!(certainty(10.0), Certainty::Certain);
        assert_eq!(certainty(900.0), Certainty::NearBorder);
        assert_eq!(certainty(5_000.0), Certainty::TooVague);
        let sea = look(45.0, -30.0, 10.0, "2026-01-15T12:00:00Z");
        assert!(sea.country.is_none() && sea.tyres.is_none() && sea.at_sea);
    }
}
