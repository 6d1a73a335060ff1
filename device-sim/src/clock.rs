//! How a fleet's clock goes, against the one on the wall.

use serde::{Deserialize, Serialize};

/// How the fleet's clock goes: it showed `start_ms` when the clock on the wall showed
/// `wall_start_ms`, and runs `speed` times as fast.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    pub start_ms: i64,
    pub wall_start_ms: i64,
    pub speed: f64,
}

impl Clock {
    /// The clock on the wall.
    pub const WALL: Self = Self { start_ms: 0, wall_start_ms: 0, speed: 1.0 };

    /// Milliseconds on the wall from `moment_ms` of the fleet's clock to `wall_ms` on the wall.
    pub(crate) fn elapsed_ms(self, moment_ms: i64, wall_ms: i64) -> f64 {
        let since_ms = (moment_ms - self.start_ms) as f64 / self.speed;
        (wall_ms - self.wall_start_ms) as f64 - since_ms
    }
}
