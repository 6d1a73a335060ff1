//! The simulated weather. Rough climate of Europe with fronts that pass, a pure function of place
//! and time: what devices feel is what a server is told.

use crate::geo::Position;
use crate::places::PLACES;

pub(crate) const HOUR_MS: i64 = 3_600_000;
const DAY_MS: f64 = 86_400_000.0;

/// The weather of an hour at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Weather {
    pub(crate) air_c: f64,
    pub(crate) dew_point_c: f64,
    pub(crate) ground_c: f64,
    /// In the hour, as water.
    pub(crate) precipitation_mm: f64,
    /// Fresh in the hour.
    pub(crate) snowfall_cm: f64,
    pub(crate) snow_depth_m: f64,
    pub(crate) wind_mps: f64,
    pub(crate) gust_mps: f64,
    pub(crate) visibility_m: f64,
    /// By WMO table 4677, as far as Open-Meteo uses it.
    pub(crate) code: u8,
}

/// Below this, what falls is snow.
const SNOW_BELOW_C: f64 = 0.7;

/// Outdoor temperature in °C: season, latitude, altitude, hour, and weeks that are warmer or
/// colder than usual.
#[must_use]
pub(crate) fn outdoor_c(at: Position, altitude_m: f64, now_ms: i64) -> f64 {
    use std::f64::consts::TAU;
    let days = now_ms as f64 / DAY_MS;
    let mean_c = 10.5 - (at.lat - 50.0) * 0.6 - altitude_m * 0.0065;
    // Coldest around 20 January, and in the day around 4 h.
    let season_c = -(9.0 + (at.lon - 8.0) * 0.15) * ((days - 19.0) / 365.25 * TAU).cos();
    let day_c = -3.5 * ((local_hour(at, now_ms) - 4.0) / 24.0 * TAU).cos();
    // Periods that share no multiple, and a phase that travels east as weather does.
    let spell_c = 2.5 * (days / 6.3 * TAU - at.lon * 0.12).sin()
        + 1.5 * (days / 17.1 * TAU - at.lon * 0.05).sin();
    mean_c + season_c + day_c + spell_c
}

/// The hour of the day by the sun, 0..24.
#[must_use]
pub(crate) fn local_hour(at: Position, now_ms: i64) -> f64 {
    (now_ms as f64 / DAY_MS * 24.0 + at.lon / 15.0).rem_euclid(24.0)
}

/// How far into a front it is: above 0 something falls. Fronts pass every two to four days.
fn front(at: Position, now_ms: i64) -> f64 {
    use std::f64::consts::TAU;
    let days = now_ms as f64 / DAY_MS;
    (days / 3.1 * TAU - at.lon * 0.25).sin() + 0.6 * (days / 1.3 * TAU - at.lat * 0.3).sin() - 0.75
}

/// Water that falls in the hour, in mm: more in the mountains.
fn precipitation_mm(at: Position, altitude_m: f64, now_ms: i64) -> f64 {
    front(at, now_ms).max(0.0) * 2.5 * (1.0 + altitude_m / 1_500.0)
}

/// The weather of the hour that begins at or before `now_ms`.
#[must_use]
pub(crate) fn weather(at: Position, altitude_m: f64, now_ms: i64) -> Weather {
    let now_ms = now_ms.div_euclid(HOUR_MS) * HOUR_MS;
    let air_c = outdoor_c(at, altitude_m, now_ms);
    let precipitation_mm = precipitation_mm(at, altitude_m, now_ms);
    let wet = front(at, now_ms);
    let snowing = precipitation_mm > 0.0 && air_c < SNOW_BELOW_C;
    // A millimetre of water is about a centimetre of snow.
    let snowfall_cm = if snowing { precipitation_mm } else { 0.0 };
    let wind_mps = 3.0 + 3.0 * (wet + 0.75).max(0.0);
    let falls = precipitation_mm > 0.05;
    let code = match (falls, snowing) {
        (true, true) if precipitation_mm > 2.0 => 75,
        (true, true) => 71,
        (true, false) if precipitation_mm > 2.0 => 63,
        (true, false) => 61,
        (false, _) if wet > -0.5 => 3,
        (false, _) => 0,
    };
    Weather {
        air_c,
        dew_point_c: air_c - if falls { 0.5 } else { 4.0 },
        // Clear nights cool the ground below the air.
        ground_c: air_c - if falls || wet > -0.5 { 0.3 } else { 1.8 },
        precipitation_mm,
        snowfall_cm,
        snow_depth_m: snow_depth_m(at, altitude_m, now_ms),
        wind_mps,
        gust_mps: wind_mps * 1.6,
        visibility_m: match (falls, snowing) {
            (true, true) => 1_500.0,
            (true, false) => 8_000.0,
            (false, _) => 24_000.0,
        },
        code,
    }
}

/// What fell as snow in the last two days and has not melted.
fn snow_depth_m(at: Position, altitude_m: f64, now_ms: i64) -> f64 {
    const STEP_H: i64 = 6;
    let mut depth_m: f64 = 0.0;
    for step in (0..48 / STEP_H).rev() {
        let then_ms = now_ms - step * STEP_H * HOUR_MS;
        let air_c = outdoor_c(at, altitude_m, then_ms);
        if air_c < SNOW_BELOW_C {
            depth_m += precipitation_mm(at, altitude_m, then_ms) / 100.0 * STEP_H as f64;
        } else {
            // Three millimetres an hour for each degree.
            depth_m -= air_c * 0.003 * STEP_H as f64;
        }
        depth_m = depth_m.max(0.0);
    }
    depth_m
}

/// The altitude of the nearest place that the simulator knows, if one is near; else that of the
/// plains.
#[must_use]
pub(crate) fn altitude_m(at: Position) -> f64 {
    const NEAR_M: f64 = 40_000.0;
    const PLAINS_M: f64 = 100.0;
    let nearest = PLACES.iter().map(|place| (place.position().distance_m(at), place.altitude_m));
    let nearest = nearest.min_by(|a, b| a.0.total_cmp(&b.0));
    nearest.filter(|(metres, _)| *metres < NEAR_M).map_or(PLAINS_M, |(_, altitude_m)| altitude_m)
}

#[cfg(test)]
mod tests {
    use super::{outdoor_c, weather};
    use crate::geo::Position;

    const KEHL: Position = Position::new(48.57, 7.8);
    const JANUARY_MS: i64 = 1_768_867_200_000;
    const JULY_MS: i64 = 1_784_505_600_000;
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn winters_are_cold_summers_warm_and_passes_colder_than_valleys() {
        let mean = |altitude_m: f64, from_ms: i64| {
            let hours =
                (0..24 * 14).map(|hour| outdoor_c(KEHL, altitude_m, from_ms + hour * HOUR_MS));
            hours.sum::<f64>() / (24.0 * 14.0)
        };
        assert!((-4.0..6.0).contains(&mean(140.0, JANUARY_MS)), "{}", mean(140.0, JANUARY_MS));
        assert!((16.0..25.0).contains(&mean(140.0, JULY_MS)), "{}", mean(140.0, JULY_MS));
        assert!(mean(1_374.0, JANUARY_MS) < mean(140.0, JANUARY_MS) - 7.0);
    }

    #[test]
    fn weather_is_possible_and_the_same_all_hour() {
        for hour in 0..24 * 365 {
            let now_ms = JANUARY_MS + hour * HOUR_MS;
            let now = weather(KEHL, 140.0, now_ms);
            assert_eq!(now, weather(KEHL, 140.0, now_ms + HOUR_MS - 1));
            assert!(now.dew_point_c <= now.air_c && now.gust_mps >= now.wind_mps);
            assert!((0.0..30.0).contains(&now.precipitation_mm) && now.snow_depth_m < 3.0);
            assert!(now.snowfall_cm == 0.0 || now.air_c < 1.0);
        }
    }
}
