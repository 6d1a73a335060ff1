//! Weather as it comes in: what a feed says about one cell, hour by hour.
//!
//! A [`Series`] is to the weather what a reading is to a device. It is joined with readings where
//! it is used, never here.

mod cell;
mod values;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use cell::Cell;
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
