//! Weather as it comes in: what a feed says about one cell, hour by hour.
//!
//! A [`Series`] is to the weather what a reading is to a device. It is joined with readings where
//! it is used, never here. Feature `weather` has what asks for it: a thread a feed ([`FeedThread`])
//! asks what its [`Ledger`] allows; `http` makes the request; `open_meteo`, `met_norway`, `metar`,
//! `openweather` and [`file`] read what comes, each purely.

mod cell;
#[cfg(feature = "weather")]
mod fault;
#[cfg(feature = "weather")]
mod feed;
#[cfg(feature = "weather")]
pub mod file;
#[cfg(feature = "weather")]
mod http;
#[cfg(feature = "weather")]
mod ledger;
#[cfg(feature = "weather")]
pub mod met_norway;
#[cfg(feature = "weather")]
pub mod metar;
#[cfg(feature = "weather")]
pub mod open_meteo;
#[cfg(feature = "weather")]
pub mod openweather;
mod values;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use cell::Cell;
#[cfg(feature = "weather")]
pub use fault::Fault;
#[cfg(feature = "weather")]
pub use feed::{Brought, Desk, FeedOptions, FeedStatus, FeedStatuses, FeedThread, Kind};
#[cfg(feature = "weather")]
pub use ledger::{Cost, Freshness, Ledger, Limits, Needs, Next};
pub use values::{Dropped, Values};

pub const HOUR_MS: i64 = 3_600_000;

/// What one source gave out at one time about one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub cell: Cell,
    /// The feed's name in the configuration.
    pub source: Arc<str>,
    /// Where the values hold, in degrees: the middle of the source's own grid cell, or a station.
    pub lat: f64,
    pub lon: f64,
    /// How high above the sea the source takes that place to be.
    pub elevation_m: Option<f64>,
    /// When the source gave it out; of an observation, when it was made.
    pub issued_ms: i64,
    /// By time.
    pub hours: Vec<Hour>,
}

/// One hour of a [`Series`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hour {
    /// The start of the hour. Sums (precipitation, snowfall) and gusts are of the hour that starts
    /// here, all else is as at its start.
    pub valid_ms: i64,
    /// Whether it had been by the time it was given out: measured, or computed from what was.
    pub observed: bool,
    #[serde(flatten)]
    pub values: Values,
}

/// What a payload says.
#[cfg(feature = "weather")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    pub series: Vec<Series>,
    pub dropped: Dropped,
}

/// A recorded answer that is not in the repository; `None` where it is not at hand, which it must be
/// in CI.
#[cfg(all(test, feature = "weather"))]
fn recorded(path: &str) -> Option<Vec<u8>> {
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let Ok(shared) = std::env::var("DATANAUT_SHARED") else {
        assert!(!in_ci, "DATANAUT_SHARED is not set");
        return None;
    };
    let file = format!("{shared}/data/{path}");
    Some(std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}")))
}

/// The dew point of air with a relative humidity in per cent: the Magnus formula with the figures of
/// the World Meteorological Organization (WMO-No. 8), good to 0.1 K.
#[cfg(feature = "weather")]
fn dew_point_c(temperature_c: f64, humidity: f64) -> Option<f64> {
    let log = (humidity / 100.0).ln() + 17.62 * temperature_c / (243.12 + temperature_c);
    (humidity > 0.0 && humidity <= 100.0).then(|| 243.12 * log / (17.62 - log))
}
