//! What else there is to say of a place: for rules that fire and people who ask, not for each
//! reading.

use ingest::Fix;
use serde::Serialize;

use super::regions::{self, Region};
use super::towns::{TOWNS, Town};
use super::{ASSUMED_ACCURACY_M, Atlas};
use crate::Country;

/// Where there are several time zones, as many of the nearest towns are asked for one that lies in
/// the same region. Zones mostly follow regions; farther away a town says nothing.
const TOWNS_ASKED: usize = 12;

/// Region, nearest town and time zone of a place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Details {
    /// `None` where the country has none, and on the high seas.
    pub region: Option<Region>,
    pub town: Option<NearTown>,
    /// An IANA name, as in `Europe/Amsterdam`; `None` on the high seas.
    pub time_zone: Option<&'static str>,
}

/// The nearest town with at least 5,000 inhabitants, in Europe 2,000.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NearTown {
    pub name: &'static str,
    pub country: Country,
    /// To its middle.
    pub distance_m: f64,
}

impl Atlas {
    /// Takes some microseconds; without [`warm`](super::warm) the first time also about 300 ms, and
    /// 25 MB.
    #[must_use]
    pub fn details(&self, fix: &Fix) -> Details {
        let (lat, lon) = (fix.lat(), fix.lon());
        let country = self
            .locate(&Fix::new(lat, lon, Some(ASSUMED_ACCURACY_M as f32)).unwrap_or(*fix))
            .country;
        let region = country.and_then(|country| regions::find(country, lat, lon));
        let nearest = TOWNS.from(lat, lon).next();
        let town = nearest.and_then(|town| {
            let distance_m = town.distance_m(fix)?.round();
            Some(NearTown { name: town.name, country: town.country, distance_m })
        });
        let time_zone = country.and_then(|country| match TOWNS.zones_of(country) {
            // Vatican City and the like have no town: next door it is the same time.
            [] => nearest.map(|town| town.zone),
            [zone] => Some(zone),
            _ => zone(country, region, lat, lon),
        });
        Details { region, town, time_zone }
    }
}

fn zone(country: Country, region: Option<Region>, lat: f64, lon: f64) -> Option<&'static str> {
    let towns = || TOWNS.from(lat, lon).filter(|town| town.country == country).take(TOWNS_ASKED);
    let in_region = |town: &&Town| regions::find(country, town.lat, town.lon) == region;
    towns().find(in_region).or_else(|| towns().next()).map(|town| town.zone)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::{Atlas, Details};
    use ingest::Fix;

    static ATLAS: LazyLock<Atlas> = LazyLock::new(Atlas::load);

    fn details(lat: f64, lon: f64) -> Details {
        ATLAS.details(&Fix::new(lat, lon, None).unwrap())
    }

    #[test]
    fn the_nearest_town_is_named_with_its_distance() {
        let town = details(52.0907, 5.1214).town.unwrap();
        assert_eq!((town.name, town.country.code()), ("Utrecht", "NL"));
        assert!(town.distance_m < 1_500.0);
        let fiji = details(-16.8, 180.0).town.unwrap();
        assert_eq!(fiji.country.code(), "FJ", "across the date line");
    }

    #[test]
    fn the_time_zone_is_the_countrys_or_that_of_its_towns_near() {
        for (lat, lon, zone) in [
            (52.09, 5.12, "Europe/Amsterdam"),
            (41.9029, 12.4534, "Europe/Rome"), // Vatican City: no town of its own
            (28.1, -15.43, "Atlantic/Canary"),
            (40.42, -3.70, "Europe/Madrid"),
            (54.71, 20.51, "Europe/Kaliningrad"),
            (37.77, -122.42, "America/Los_Angeles"),
            (40.71, -74.00, "America/New_York"),
            (35.2, -111.65, "America/Phoenix"),
            (33.3, -116.0, "America/Los_Angeles"),
        ] {
            assert_eq!(details(lat, lon).time_zone, Some(zone), "{lat},{lon}");
        }
    }

    #[test]
    fn the_high_sea_has_neither_region_nor_zone() {
        let sea = details(45.0, -30.0);
        assert_eq!((sea.region, sea.time_zone), (None, None));
    }
}
