//! Weather that never was, but could have been: a pure function of seed, place and hour.
//!
//! Temperature is a yearly and a daily swing around a mean that falls with latitude and height, plus
//! fronts: smooth noise that drifts eastward at 36 km/h. The figures are ours, fitted by eye to
//! western Europe: 10 °C on the yearly mean at 52° N, 7.5 °C of yearly and up to 7 °C of daily
//! swing. Heights are those of a few smooth mountains about where Europe has them.

use std::sync::Arc;

use super::{Cell, HOUR_MS, LAPSE_C_PER_M, Row, Values, tenth};

const DAY_MS: f64 = 86_400_000.0;
const YEAR_MS: f64 = 365.2425 * DAY_MS;

/// How far ahead of now a forecast reaches out of one run, and how often a run is made.
const RUN_MS: i64 = 6 * HOUR_MS;

/// The made-up feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Synthetic {
    seed: u64,
    source: Arc<str>,
}

/// Middle (latitude and longitude), how far it reaches north and east in degrees, and height in
/// metres: the mountains of the made-up weather.
const MOUNTAINS: [(f64, f64, f64, f64, f64); 10] = [
    (46.5, 9.8, 1.0, 2.2, 1_900.0),  // Alps, middle
    (47.2, 13.0, 0.7, 1.8, 1_400.0), // Alps, east
    (45.2, 6.8, 1.0, 0.7, 1_900.0),  // Alps, west
    (42.7, 0.8, 0.4, 1.4, 1_500.0),  // Pyrenees
    (61.5, 8.5, 2.0, 1.2, 1_200.0),  // Scandinavia, south
    (66.5, 16.0, 2.5, 1.2, 700.0),   // Scandinavia, north
    (49.2, 20.0, 0.4, 0.8, 1_200.0), // Tatra
    (45.5, 25.0, 0.7, 1.5, 1_100.0), // Carpathians
    (48.0, 8.1, 0.6, 0.4, 700.0),    // Black Forest
    (40.4, -4.0, 1.5, 2.5, 700.0),   // Castile
];

impl Synthetic {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, source: "synthetic".into() }
    }

    /// The row for a cell and the hour of `time_ms`, as known at `now_ms`.
    #[must_use]
    pub fn row(&self, cell: Cell, time_ms: i64, now_ms: i64) -> Row {
        let valid_ms = time_ms.div_euclid(HOUR_MS) * HOUR_MS;
        let (lat, lon) = cell.centre();
        let elevation_m = elevation_m(lat, lon);
        let hours = valid_ms as f64 / HOUR_MS as f64;
        // Fronts move east: the noise is sampled upwind.
        let (east, north, slow) = (lon / 6.0 - hours * 36.0 / 420.0, lat / 4.0, hours / 72.0);
        let front = self.noise(1, east, north, slow);
        let wet = self.noise(2, east * 1.7, north * 1.7, slow * 2.0);

        let season = (std::f64::consts::TAU * (valid_ms as f64 / YEAR_MS - 0.55)).cos();
        let season = if lat >= 0.0 { season } else { -season };
        let local_hour = (hours + lon / 15.0).rem_euclid(24.0);
        let daily = ((local_hour - 15.0) / 24.0 * std::f64::consts::TAU).cos();
        // Clouds keep days cool and nights warm.
        let clear = 1.0 - wet;
        let mean_c = 27.0 - 0.0063 * lat * lat - LAPSE_C_PER_M * elevation_m;
        let swing_c = 0.15 * lat.abs() * season + (3.5 + 1.5 * season) * daily * (0.5 + clear);
        let temperature_c = tenth(mean_c + swing_c + 12.0 * (front - 0.5));

        let precipitation_mm = tenth(((wet - 0.62) * 14.0).max(0.0));
        let snow = temperature_c <= 0.5 && precipitation_mm > 0.0;
        let wind_mps = tenth(2.0 + 16.0 * (front - 0.5).abs() + 3.0 * wet);
        let dew_point_c = tenth(temperature_c - 10.0 * clear.powi(2) - 0.2);
        let fog = precipitation_mm == 0.0 && wind_mps < 3.0 && temperature_c - dew_point_c < 0.6;
        // Under a clear sky the ground is warmer than the air by day, and colder by night.
        let ground_c = if daily > 0.0 { 6.0 } else { 4.0 } * daily * clear;
        Row {
            cell,
            valid_ms,
            issued_ms: issued_ms(valid_ms, time_ms, now_ms),
            observed: time_ms <= now_ms,
            source: self.source.clone(),
            lat,
            lon,
            elevation_m: Some(elevation_m),
            values: Values {
                temperature_c: Some(temperature_c),
                dew_point_c: Some(dew_point_c),
                surface_temperature_c: Some(tenth(temperature_c + ground_c)),
                precipitation_mm: Some(precipitation_mm),
                // Ten millimetres of water make about seven centimetres of snow (Open-Meteo).
                snowfall_cm: Some(if snow { tenth(precipitation_mm * 0.7) } else { 0.0 }),
                snow_depth_m: None,
                wind_mps: Some(wind_mps),
                gust_mps: Some(tenth(wind_mps * 1.5)),
                visibility_m: Some(if fog { 400.0 } else { 20_000.0 - 1_500.0 * precipitation_mm }),
                code: Some(code(temperature_c, precipitation_mm, snow, fog, wet)),
                present: None,
            },
        }
    }

    /// Smooth noise between 0 and 1: values on the corners of a unit grid, blended.
    fn noise(&self, layer: u64, x: f64, y: f64, z: f64) -> f64 {
        let [x, y, z] = [x, y, z].map(|at| {
            let floor = at.floor();
            let share = at - floor;
            let blend = share * share * (3.0 - 2.0 * share);
            [(floor as i64, 1.0 - blend), (floor as i64 + 1, blend)]
        });
        let mut sum = 0.0;
        for (z, of_z) in z {
            for (y, of_y) in y {
                for (x, of_x) in x {
                    sum += self.corner(layer, [x, y, z]) * of_x * of_y * of_z;
                }
            }
        }
        sum
    }

    /// A number between 0 and 1 for a corner of the grid (the finaliser of SplitMix64).
    fn corner(&self, layer: u64, at: [i64; 3]) -> f64 {
        let mut hash = self.seed ^ layer.rotate_left(48);
        for part in at {
            hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_add(part as u64);
            hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            hash ^= hash >> 31;
        }
        (hash >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The past is given out at the end of its hour or, where that is still running, now; the future
/// by the last run before now.
fn issued_ms(valid_ms: i64, time_ms: i64, now_ms: i64) -> i64 {
    if time_ms <= now_ms { valid_ms } else { now_ms.div_euclid(RUN_MS) * RUN_MS }
}

fn code(temperature_c: f64, precipitation_mm: f64, snow: bool, fog: bool, wet: f64) -> u8 {
    match () {
        () if fog => {
            if temperature_c <= 0.0 {
                48
            } else {
                45
            }
        }
        () if precipitation_mm == 0.0 => ((wet * 5.0) as u8).min(3),
        () if snow => {
            if precipitation_mm < 1.0 {
                71
            } else if precipitation_mm < 2.5 {
                73
            } else {
                75
            }
        }
        () if precipitation_mm < 1.3 => {
            if temperature_c <= 1.0 {
                56
            } else {
                51
            }
        }
        () if temperature_c <= 1.0 => 66,
        () => {
            if precipitation_mm < 2.5 {
                61
            } else if precipitation_mm < 7.6 {
                63
            } else {
                65
            }
        }
    }
}

/// Round hills: each falls off as the square of a cosine does.
fn elevation_m(lat: f64, lon: f64) -> f64 {
    let height_m = |&(north, east, lats, lons, height_m): &(f64, f64, f64, f64, f64)| {
        let squared = ((lat - north) / lats).powi(2) + ((lon - east) / lons).powi(2);
        if squared >= 4.0 {
            return 0.0;
        }
        height_m * (squared.sqrt() * std::f64::consts::FRAC_PI_4).cos().powi(2)
    };
    MOUNTAINS.iter().map(height_m).sum::<f64>().round()
}

#[cfg(test)]
mod tests {
    use super::{Cell, HOUR_MS, Synthetic};

    /// Noon UTC on 2026-01-15 and 2026-07-15.
    const WINTER_MS: i64 = 1_768_478_400_000;
    const SUMMER_MS: i64 = 1_784_116_800_000;

    fn temperature_c(feed: &Synthetic, cell: Cell, time_ms: i64) -> f64 {
        feed.row(cell, time_ms, i64::MAX).values.temperature_c.unwrap()
    }

    fn mean_c(lat: f64, lon: f64, start_ms: i64) -> f64 {
        let feed = Synthetic::new(7);
        let hours = 24 * 21;
        let sum: f64 = (0..hours)
            .map(|hour| {
                let time_ms = start_ms + (hour - hours / 2) * HOUR_MS;
                temperature_c(&feed, Cell::of(lat, lon), time_ms)
            })
            .sum();
        sum / hours as f64
    }

    #[test]
    fn winters_are_colder_and_so_are_the_north_and_the_mountains() {
        assert!(mean_c(52.0, 5.0, SUMMER_MS) > mean_c(52.0, 5.0, WINTER_MS) + 8.0);
        assert!(mean_c(40.0, 5.0, WINTER_MS) > mean_c(60.0, 5.0, WINTER_MS) + 5.0);
        assert!(
            mean_c(-35.0, 5.0, SUMMER_MS) < mean_c(-35.0, 5.0, WINTER_MS),
            "the south's winter"
        );
        assert!(mean_c(46.5, 9.8, WINTER_MS) < mean_c(46.5, 3.0, WINTER_MS) - 8.0, "the Alps");
    }

    #[test]
    fn afternoons_are_warmer_than_nights() {
        let feed = Synthetic::new(7);
        let cell = Cell::of(50.0, 0.05);
        let warmer = (0..60).filter(|day| {
            let noon_ms = SUMMER_MS + day * 24 * HOUR_MS;
            let afternoon = temperature_c(&feed, cell, noon_ms + 3 * HOUR_MS);
            afternoon > temperature_c(&feed, cell, noon_ms - 9 * HOUR_MS)
        });
        assert!(warmer.count() > 50, "but for fronts");
    }

    #[test]
    fn fronts_move_east() {
        // What is here now was 6 hours ago 216 km to the west, more than it was here.
        let feed = Synthetic::new(7);
        let rain = |lon: f64, time_ms: i64| {
            feed.row(Cell::of(50.0, lon), time_ms, i64::MAX).values.precipitation_mm.unwrap()
        };
        let (mut moved, mut stayed) = (0.0, 0.0);
        for hour in 0..2_000 {
            let now_ms = WINTER_MS + hour * HOUR_MS;
            let here = rain(10.0, now_ms);
            moved += (here - rain(7.0, now_ms - 6 * HOUR_MS)).abs();
            stayed += (here - rain(10.0, now_ms - 6 * HOUR_MS)).abs();
        }
        assert!(moved < stayed * 0.9, "{moved} {stayed}");
    }

    #[test]
    fn rows_are_physically_possible_and_the_same_every_time() {
        let feed = Synthetic::new(3);
        for step in 0..5_000_i64 {
            let cell = Cell { south: 360 + (step % 300) as i16, west: (step % 290) as i16 - 90 };
            let row = feed.row(cell, WINTER_MS + step * HOUR_MS, i64::MAX);
            let values = &row.values;
            let dropped = &mut Default::default();
            assert_eq!(&values.clone().checked(dropped), values, "{dropped:?}");
            assert!(values.dew_point_c <= values.temperature_c);
            assert!(
                values.temperature_c > Some(-60.0) && values.temperature_c < Some(50.0),
                "{row:?}"
            );
            assert!(values.gust_mps >= values.wind_mps && values.visibility_m > Some(0.0));
            assert_eq!(values.snowfall_cm > Some(0.0), matches!(values.code, Some(71 | 73 | 75)));
            assert_eq!(row, feed.row(cell, WINTER_MS + step * HOUR_MS, i64::MAX));
        }
    }

    #[test]
    fn neighbours_have_like_weather() {
        let feed = Synthetic::new(3);
        for step in 0..500 {
            let time_ms = WINTER_MS + step * HOUR_MS;
            let here = temperature_c(&feed, Cell::of(50.0, 8.0), time_ms);
            let near = temperature_c(&feed, Cell::of(50.1, 8.1), time_ms);
            assert!((here - near).abs() < 3.0, "{here} {near}");
        }
    }
}
