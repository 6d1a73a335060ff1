//! Weather as it was known: rows by cell and hour, joined as of a moment.

mod ahead;
mod rows;
mod synthetic;

use std::sync::Arc;

use ingest::Fix;
pub use ingest::weather::{Cell, HOUR_MS, Hour, Series, Values};
use serde::{Deserialize, Serialize};

pub use ahead::Ahead;
pub use rows::{Reach, Rows};
pub use synthetic::Synthetic;

/// Where something on the ground can be, in metres above the sea: from the Dead Sea to the highest
/// roads. What says that it is higher flies, and weather on the ground is not its weather.
const GROUND_M: std::ops::RangeInclusive<f64> = -450.0..=6_000.0;

/// How much colder it gets with height: the standard atmosphere's 6.5 K a kilometre (ISO 2533).
const LAPSE_C_PER_M: f64 = 0.0065;

/// How much the dew point falls with height as air rises and keeps its moisture: 1.8 K a kilometre
/// (Stull, Practical Meteorology). Left as it is, every road some hundred metres above its
/// weather would seem to be below its dew point in a clear night.
const DEW_POINT_LAPSE_C_PER_M: f64 = 0.0018;

/// The weather of one cell in one hour, as one source gave it at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub cell: Cell,
    /// The start of the hour it is valid for, and when the source gave it out or observed it.
    pub valid_ms: i64,
    pub issued_ms: i64,
    /// Whether the hour had been by then.
    pub observed: bool,
    pub source: Arc<str>,
    /// Where the source's values hold, in degrees.
    pub lat: f64,
    pub lon: f64,
    pub elevation_m: Option<f64>,
    #[serde(flatten)]
    pub values: Values,
}

/// A row that answers for a place and a time, with how well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    pub row: Row,
    /// How old the row was at the moment it was used for.
    pub age_ms: i64,
    /// From the fix to where the row's values hold.
    pub distance_m: f64,
    /// What was added to the row's temperatures for the height of the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altitude_correction_c: Option<f64>,
}

impl Joined {
    /// The same for a place at another height than the source took it to be: 6.5 K colder for each
    /// kilometre up. Unchanged where the source did not say its height.
    #[must_use]
    pub fn at_altitude(mut self, altitude_m: f64) -> Self {
        let Some(higher) = Higher::than(self.row.elevation_m, altitude_m) else { return self };
        let Values { temperature_c, surface_temperature_c, dew_point_c, .. } = &mut self.row.values;
        higher.correct(temperature_c, surface_temperature_c, dew_point_c);
        self.altitude_correction_c = Some(higher.correction_c());
        self
    }
}

/// How much higher a place on the ground is than where temperatures were told for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Higher(f64);

impl Higher {
    /// `None` where the height of what was told is not known, or the place is not on the ground.
    pub(crate) fn than(elevation_m: Option<f64>, altitude_m: f64) -> Option<Self> {
        let elevation_m = elevation_m.filter(|_| GROUND_M.contains(&altitude_m))?;
        Some(Self(altitude_m - elevation_m))
    }

    fn correction_c(self) -> f64 {
        tenth(-self.0 * LAPSE_C_PER_M)
    }

    /// Of the air, the ground and the dew point.
    pub(crate) fn correct(
        self,
        temperature_c: &mut Option<f64>,
        surface_temperature_c: &mut Option<f64>,
        dew_point_c: &mut Option<f64>,
    ) {
        for temperature in [&mut *temperature_c, surface_temperature_c] {
            *temperature = temperature.map(|celsius| tenth(celsius + self.correction_c()));
        }
        *dew_point_c = dew_point_c.map(|celsius| {
            let moved_c = tenth(celsius - self.0 * DEW_POINT_LAPSE_C_PER_M);
            // Air that cooled to its dew point has that temperature as its dew point.
            temperature_c.map_or(moved_c, |air_c| moved_c.min(air_c))
        });
    }
}

/// Where rows come from.
#[derive(Clone, Debug)]
pub enum Feed {
    /// Made up, but the same for the same seed: for demonstrations and tests.
    Synthetic(Synthetic),
    /// What feeds gave.
    Rows(Rows),
    /// No weather at all: every join is missing.
    None,
}

impl Feed {
    /// The weather at `fix` and `time_ms` as it was known at `now_ms`: for the past the
    /// observation of that cell and hour, for what lies ahead the newest forecast issued before
    /// now. `None` is a value: the weather is missing.
    #[must_use]
    pub fn as_of(&self, fix: &Fix, time_ms: i64, now_ms: i64) -> Option<Joined> {
        let cell = Cell::of(fix.lat(), fix.lon());
        let row = match self {
            Self::Synthetic(feed) => feed.row(cell, time_ms, now_ms),
            Self::Rows(rows) => rows.row(cell, time_ms, now_ms)?,
            Self::None => return None,
        };
        let place = Fix::new(row.lat, row.lon, None)?;
        Some(Joined {
            age_ms: (time_ms - row.issued_ms).max(0),
            distance_m: crate::places::distance_m(fix, &place).round(),
            row,
            altitude_correction_c: None,
        })
    }

    /// The same for somebody at that height, where it is known: [`Joined::at_altitude`].
    #[must_use]
    pub fn as_of_at(
        &self,
        fix: &Fix,
        altitude_m: Option<f64>,
        time_ms: i64,
        now_ms: i64,
    ) -> Option<Joined> {
        let joined = self.as_of(fix, time_ms, now_ms)?;
        Some(match altitude_m {
            Some(altitude_m) => joined.at_altitude(altitude_m),
            None => joined,
        })
    }

    /// Whether a row for that time may still come from a feed that answers when asked.
    #[must_use]
    pub fn may_come(&self, time_ms: i64, now_ms: i64) -> bool {
        match self {
            Self::Rows(rows) => rows.may_come(time_ms, now_ms),
            Self::Synthetic(_) | Self::None => false,
        }
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Where it rains at 4 °C all day, told for a valley at 700 m: in the cell of 46.51, 8.45.
#[cfg(test)]
pub(crate) fn rain_in_a_valley(time_ms: i64) -> crate::World {
    let hour = |hours: i64| Hour {
        valid_ms: (time_ms.div_euclid(HOUR_MS) + hours) * HOUR_MS,
        observed: true,
        values: Values {
            temperature_c: Some(4.0),
            surface_temperature_c: Some(4.0),
            dew_point_c: Some(3.5),
            precipitation_mm: Some(1.0),
            snowfall_cm: Some(0.0),
            code: Some(61),
            ..Values::default()
        },
    };
    let mut rows = Rows::new(vec![Reach { source: "valley".into(), past_ms: 0, ahead_ms: 0 }]);
    let series = Series {
        cell: Cell::of(46.51, 8.45),
        source: "valley".into(),
        lat: 46.5,
        lon: 8.4,
        elevation_m: Some(700.0),
        issued_ms: time_ms,
        hours: (-12..=12).map(hour).collect(),
    };
    rows.learn(&series, i64::MIN);
    crate::World { atlas: crate::places::Atlas::load(), weather: Feed::Rows(rows) }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Feed, HOUR_MS, Joined, Row, Synthetic, Values};
    use ingest::Fix;

    #[test]
    fn the_past_is_observed_and_the_future_forecast_before_now() {
        let feed = Feed::Synthetic(Synthetic::new(1));
        let fix = Fix::new(52.09, 5.12, None).unwrap();
        let now_ms = 1_700_000_000_000;
        let past = feed.as_of(&fix, now_ms - 5 * HOUR_MS, now_ms).unwrap();
        assert!(past.row.issued_ms >= past.row.valid_ms && past.age_ms < HOUR_MS);
        assert!(past.row.observed);
        let ahead = feed.as_of(&fix, now_ms + 40 * HOUR_MS, now_ms).unwrap();
        assert!(ahead.row.issued_ms <= now_ms && ahead.age_ms >= 40 * HOUR_MS);
        assert!(ahead.distance_m < 8_000.0 && !ahead.row.observed);
        assert_eq!(Feed::None.as_of(&fix, now_ms, now_ms), None);
    }

    #[test]
    fn a_pass_is_colder_than_the_valley_its_cell_was_given_for() {
        let row = Row {
            cell: Cell::of(46.95, 10.5),
            valid_ms: 0,
            issued_ms: 0,
            observed: true,
            source: "valley".into(),
            lat: 46.9,
            lon: 10.5,
            elevation_m: Some(1_000.0),
            values: Values {
                temperature_c: Some(4.0),
                dew_point_c: Some(2.0),
                ..Values::default()
            },
        };
        let joined = Joined { row, age_ms: 0, distance_m: 0.0, altitude_correction_c: None };
        let pass = joined.clone().at_altitude(2_000.0);
        assert_eq!(pass.row.values.temperature_c, Some(-2.5));
        assert_eq!(pass.row.values.dew_point_c, Some(-2.5), "never above the air's temperature");
        assert_eq!(pass.altitude_correction_c, Some(-6.5));
        let hill = joined.clone().at_altitude(1_400.0);
        assert_eq!(hill.row.values.temperature_c, Some(1.4));
        assert_eq!(hill.row.values.dew_point_c, Some(1.3), "falls slower than the temperature");
        let mut flat = joined.clone();
        flat.row.elevation_m = None;
        assert_eq!(flat.clone().at_altitude(2_000.0), flat, "no height, no correction");
        let high = joined.clone().at_altitude(11_000.0);
        assert_eq!(high, joined, "an aeroplane is not on the ground");
    }
}
