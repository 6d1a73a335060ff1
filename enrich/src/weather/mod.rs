//! Weather as it was known: rows by cell and hour, joined as of a moment.

mod synthetic;

use ingest::Fix;
use serde::{Deserialize, Serialize};

pub use synthetic::Synthetic;

pub(crate) const HOUR_MS: i64 = 3_600_000;

/// A tenth of a degree each way: 11 km, about the grid of the public feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// Tenths of a degree of the cell's south-west corner.
    pub south: i16,
    pub west: i16,
}

impl Cell {
    #[must_use]
    pub fn of(lat: f64, lon: f64) -> Self {
        Self { south: (lat * 10.0).floor() as i16, west: (lon * 10.0).floor() as i16 }
    }

    /// The middle of the cell: latitude and longitude in degrees.
    #[must_use]
    pub fn centre(&self) -> (f64, f64) {
        ((f64::from(self.south) + 0.5) / 10.0, (f64::from(self.west) + 0.5) / 10.0)
    }
}

/// The weather of one cell in one hour, as one source gave it at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub cell: Cell,
    /// The start of the hour it is valid for, and when the source gave it out.
    pub valid_ms: i64,
    pub issued_ms: i64,
    pub source: String,
    pub temperature_c: f64,
    pub dew_point_c: f64,
    /// Over the hour, as water.
    pub precipitation_mm: f64,
    pub snowfall_cm: f64,
    pub wind_mps: f64,
    pub gust_mps: f64,
    pub visibility_m: f64,
    /// WMO code 4677 as Open-Meteo uses it.
    pub code: u8,
}

/// A row that answers for a place and a time, with how well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    pub row: Row,
    /// How old the row was at the moment it was used for.
    pub age_ms: i64,
    /// From the fix to the middle of the row's cell.
    pub distance_m: f64,
}

/// Where rows come from.
#[derive(Debug)]
pub enum Feed {
    /// Made up, but the same for the same seed: for demonstrations and tests.
    Synthetic(Synthetic),
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
            Self::None => return None,
        };
        let (lat, lon) = cell.centre();
        let centre = Fix::new(lat, lon, None)?;
        Some(Joined {
            age_ms: (time_ms - row.issued_ms).max(0),
            distance_m: crate::places::distance_m(fix, &centre).round(),
            row,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Feed, HOUR_MS, Synthetic};
    use ingest::Fix;

    #[test]
    fn a_cell_holds_its_points_also_south_and_west_of_zero() {
        assert_eq!(Cell::of(-0.05, -0.05), Cell { south: -1, west: -1 });
        assert_eq!(Cell::of(52.09, 5.12), Cell { south: 520, west: 51 });
    }

    #[test]
    fn the_past_is_observed_and_the_future_forecast_before_now() {
        let feed = Feed::Synthetic(Synthetic::new(1));
        let fix = Fix::new(52.09, 5.12, None).unwrap();
        let now_ms = 1_700_000_000_000;
        let past = feed.as_of(&fix, now_ms - 5 * HOUR_MS, now_ms).unwrap();
        assert!(past.row.issued_ms >= past.row.valid_ms && past.age_ms < HOUR_MS);
        let ahead = feed.as_of(&fix, now_ms + 40 * HOUR_MS, now_ms).unwrap();
        assert!(ahead.row.issued_ms <= now_ms && ahead.age_ms >= 40 * HOUR_MS);
        assert!(ahead.distance_m < 8_000.0);
        assert_eq!(Feed::None.as_of(&fix, now_ms, now_ms), None);
    }
}
