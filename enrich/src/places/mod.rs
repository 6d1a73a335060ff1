//! Which country a fix lies in, and whether that is certain.

use country_boundaries::{BOUNDARIES_ODBL_360X180, CountryBoundaries, LatLon};
use ingest::Fix;

use crate::Country;

/// What a device's accuracy is taken for when it does not say: the usual claim of a phone or a
/// vehicle tracker under open sky.
pub const ASSUMED_ACCURACY_M: f64 = 10.0;

/// A fix this vague says nothing about a border.
const VAGUEST_M: f64 = 2_000.0;

/// Accuracy is commonly a 68 % radius: three of them leave about one fix in a thousand outside.
const ACCURACIES: f64 = 3.0;

/// How far the outlines of country-boundaries may be off; a fix nearer to its border than this
/// decides nothing. Measured against full-resolution borders: 300 m at the median, 1 km at 90 %.
const OUTLINE_ERROR_M: f64 = 600.0;

const METRES_A_DEGREE: f64 = 111_195.0;

/// Where a fix lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The most likely country; `None` at sea.
    pub country: Option<Country>,
    /// Whether the fix, with all its inaccuracy, lies there.
    pub certain: bool,
}

/// The countries of the world.
#[derive(Debug)]
pub struct Atlas {
    boundaries: CountryBoundaries,
}

/// The outlines that ship with the program cannot be read: a broken build.
#[derive(Debug, thiserror::Error)]
#[error("the country outlines in the program are damaged, build it again: {0}")]
pub struct AtlasError(String);

impl Atlas {
    pub fn load() -> Result<Self, AtlasError> {
        CountryBoundaries::from_reader(BOUNDARIES_ODBL_360X180)
            .map(|boundaries| Self { boundaries })
            .map_err(|error| AtlasError(error.to_string()))
    }

    /// The country of a point, without any word on certainty; `None` at sea.
    #[must_use]
    pub fn country(&self, lat: f64, lon: f64) -> Option<Country> {
        let point = LatLon::new(lat, lon).ok()?;
        // Smallest area first: subdivisions ("ES-CE") and the customs area "EA" are no countries.
        self.boundaries.ids(point).into_iter().filter(|id| *id != "EA").find_map(Country::new)
    }

    /// Certain when the whole circle the device may be in lies in one country.
    #[must_use]
    pub fn locate(&self, fix: &Fix) -> Whereabouts {
        let (lat, lon) = (fix.lat(), fix.lon());
        let country = self.country(lat, lon);
        let accuracy_m = fix.accuracy_m.map_or(ASSUMED_ACCURACY_M, f64::from);
        if accuracy_m > VAGUEST_M {
            return Whereabouts { country, certain: false };
        }
        let radius_m = ACCURACIES * accuracy_m + OUTLINE_ERROR_M;
        let certain =
            around(lat, lon, radius_m).all(|(lat, lon)| self.country(lat, lon) == country);
        Whereabouts { country, certain }
    }
}

/// Eight points on the circle of `radius_m` around a point.
fn around(lat: f64, lon: f64, radius_m: f64) -> impl Iterator<Item = (f64, f64)> {
    const DIAGONAL: f64 = std::f64::consts::FRAC_1_SQRT_2;
    let north = radius_m / METRES_A_DEGREE;
    // Near the poles a degree of longitude is nothing; no border is near them.
    let east = north / lat.to_radians().cos().max(0.01);
    [
        (1.0, 0.0),
        (DIAGONAL, DIAGONAL),
        (0.0, 1.0),
        (-DIAGONAL, DIAGONAL),
        (-1.0, 0.0),
        (-DIAGONAL, -DIAGONAL),
        (0.0, -1.0),
        (DIAGONAL, -DIAGONAL),
    ]
    .into_iter()
    .map(move |(up, right)| {
        let lon = lon + east * right;
        ((lat + north * up).clamp(-90.0, 90.0), (lon + 540.0).rem_euclid(360.0) - 180.0)
    })
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
    use super::{Atlas, Country, distance_m};
    use ingest::Fix;

    fn locate(lat: f64, lon: f64, accuracy_m: f32) -> (Option<String>, bool) {
        let atlas = Atlas::load().unwrap();
        let here = atlas.locate(&Fix::new(lat, lon, Some(accuracy_m)).unwrap());
        (here.country.map(|country: Country| country.to_string()), here.certain)
    }

    #[test]
    fn a_town_is_certain_and_a_bridge_over_the_border_is_not() {
        assert_eq!(locate(52.09, 5.12, 10.0), (Some("NL".into()), true));
        assert_eq!(locate(48.573, 7.801, 10.0).1, false, "the middle of the Rhine at Strasbourg");
        assert_eq!(locate(55.0, 4.0, 10.0), (None, true), "the North Sea is no country");
    }

    #[test]
    fn a_vague_fix_decides_nothing() {
        assert_eq!(locate(52.09, 5.12, 5_000.0).1, false);
        assert_eq!(locate(50.78, 6.05, 900.0).1, false, "Aachen, two kilometres from the border");
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
