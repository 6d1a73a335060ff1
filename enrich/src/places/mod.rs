//! Which country a fix lies in, and whether that is certain; region, nearest town and time zone.

mod areas;
mod details;
mod exact;
mod folded;
mod named;
mod regions;
mod towns;

use ingest::Fix;
use serde::Serialize;

use crate::Country;
use exact::Borders;

pub use areas::{Area, Areas, BadShape, Meaning, RiskAreaError, Shape, risk_areas};
pub use details::{Details, NearTown};
pub use named::{Named, NamedTown};
pub use regions::Region;

/// What a device's accuracy is taken for when it does not say: the usual claim of a phone or a
/// vehicle tracker under open sky.
pub const ASSUMED_ACCURACY_M: f64 = 10.0;

/// A fix this vague says nothing about a border.
pub const VAGUEST_M: f64 = 2_000.0;

/// Accuracy is commonly a 68 % radius: three of them leave about one fix in a thousand outside.
const ACCURACIES: f64 = 3.0;

/// How far the border lines themselves may be off: what simplifying them cost, and what surveys and
/// mappers disagree by.
pub(crate) const BORDER_ERROR_M: f64 = 20.0;

/// Where a fix lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The most likely country, territorial waters included; `None` on the high seas.
    pub country: Option<Country>,
    /// Whether the fix, with all its inaccuracy, lies there.
    pub certain: bool,
    /// Kilometres from any land. A ship passes through a country's waters without arriving in it.
    pub at_sea: bool,
}

/// The countries of the world, and the areas that customers and insurers have drawn in it.
#[derive(Debug)]
pub struct Atlas {
    borders: Borders,
    areas: Areas,
}

impl Atlas {
    /// Takes about 60 ms and 25 MB.
    #[must_use]
    pub fn load() -> Self {
        Self { borders: Borders::load(), areas: Areas::default() }
    }

    /// The country of a point on land or close to it, without any word on certainty.
    #[must_use]
    pub fn country(&self, lat: f64, lon: f64) -> Option<Country> {
        let here = self.borders.locate(lat, lon, 0.0);
        here.country.filter(|_| !here.offshore).and_then(Country::from_code)
    }

    /// Certain when the whole circle the device may be in lies in one country.
    #[must_use]
    pub fn locate(&self, fix: &Fix) -> Whereabouts {
        let accuracy_m = fix.accuracy_m.map_or(ASSUMED_ACCURACY_M, f64::from);
        let vague = accuracy_m > VAGUEST_M;
        let search_m = if vague { 0.0 } else { ACCURACIES * accuracy_m + BORDER_ERROR_M };
        let here = self.borders.locate(fix.lat(), fix.lon(), search_m);
        Whereabouts {
            country: here.country.and_then(Country::from_code),
            certain: !vague && here.border.is_none(),
            at_sea: here.offshore,
        }
    }
}

/// Reads what [`Atlas::details`] needs, which takes some hundred milliseconds, so that the first
/// event does not wait for it.
pub fn warm() {
    std::sync::LazyLock::force(&towns::TOWNS);
    regions::warm();
}

/// The border between two countries that is nearest to a place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NearestBorder {
    pub distance_m: f64,
    /// The country beyond it; `None` where that ground belongs to nobody.
    pub with: Option<Country>,
    /// The ground itself is shared by both, or both claim it.
    pub shared: bool,
}

impl Atlas {
    pub fn set_areas(&mut self, areas: Areas) {
        self.areas = areas;
    }

    #[must_use]
    pub fn areas(&self) -> &Areas {
        &self.areas
    }

    /// Draws these geofences in the place of those there are.
    pub fn set_geofences(&mut self, geofences: impl IntoIterator<Item = Area>) {
        self.areas = std::mem::take(&mut self.areas).with_geofences(geofences);
    }

    /// The nearest border, however vague the fix is, if there is one within `within_m`.
    #[must_use]
    pub fn border(&self, fix: &Fix, within_m: f64) -> Option<NearestBorder> {
        let here = self.borders.locate(fix.lat(), fix.lon(), within_m);
        here.border.map(|border| NearestBorder {
            distance_m: border.distance_m.round(),
            with: border.other.and_then(Country::from_code),
            shared: here.shared_with.is_some(),
        })
    }
}

/// Distance over the ground between two points, in metres (haversine on a sphere).
#[must_use]
pub fn distance_m(from: &Fix, to: &Fix) -> f64 {
    let (lat_a, lat_b) = (from.lat().to_radians(), to.lat().to_radians());
    let half_lat = (lat_b - lat_a) / 2.0;
    let half_lon = (to.lon() - from.lon()).to_radians() / 2.0;
    let chord = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
    2.0 * 6_371_008.8 * chord.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::{Atlas, Country, distance_m};
    use ingest::Fix;

    static ATLAS: LazyLock<Atlas> = LazyLock::new(Atlas::load);

    fn locate(lat: f64, lon: f64, accuracy_m: f32) -> (Option<String>, bool) {
        let here = ATLAS.locate(&Fix::new(lat, lon, Some(accuracy_m)).unwrap());
        (here.country.map(|country: Country| country.to_string()), here.certain)
    }

    #[test]
    fn a_town_is_certain_and_a_bridge_over_the_border_is_not() {
        assert_eq!(locate(52.09, 5.12, 10.0), (Some("NL".into()), true));
        assert!(!locate(48.5735, 7.8017, 10.0).1, "the middle of the Rhine at Strasbourg");
        assert_eq!(locate(55.0, 4.0, 10.0), (None, true), "the North Sea is no country");
    }

    #[test]
    fn a_ship_in_territorial_waters_has_not_arrived() {
        let at_sea = |lat, lon| ATLAS.locate(&Fix::new(lat, lon, None).unwrap()).at_sea;
        assert!(at_sea(51.05, 1.55), "in the Strait of Dover");
        assert!(!at_sea(51.127, 1.335), "in the port of Dover");
        assert!(!at_sea(55.574, 12.819), "on the bridge over the Sound");
    }

    #[test]
    fn a_vague_fix_decides_nothing() {
        assert!(!locate(52.09, 5.12, 5_000.0).1);
        assert!(!locate(50.776, 6.036, 900.0).1, "Aachen, two kilometres from the border");
        assert!(locate(50.776, 6.036, 100.0).1);
    }

    #[test]
    fn what_two_countries_share_is_certain_for_neither() {
        // Across the Moselle at Wormeldange, from Luxembourg to Germany.
        let across: Vec<_> =
            (0..400).map(|step| locate(49.6115, 6.4 + f64::from(step) * 5e-5, 5.0)).collect();
        let mut sure: Vec<_> = across.into_iter().filter(|(_, sure)| *sure).collect();
        sure.dedup();
        assert_eq!(sure, [(Some("LU".into()), true), (Some("DE".into()), true)]);
    }

    #[test]
    fn around_the_date_line_and_the_poles_nothing_breaks() {
        assert_eq!(locate(-17.0, 179.999, 10.0).0, locate(-17.0, -179.999, 10.0).0);
        assert_eq!(locate(90.0, 0.0, 10.0).0, None);
    }

    #[test]
    fn distances_are_those_of_the_earth() {
        let amsterdam = Fix::new(52.3676, 4.9041, None).unwrap();
        let paris = Fix::new(48.8566, 2.3522, None).unwrap();
        assert!((distance_m(&amsterdam, &paris) - 430_000.0).abs() < 2_000.0);
    }
}
