//! The grid that weather is kept on.

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::Cell;

    #[test]
    fn a_cell_holds_its_points_also_south_and_west_of_zero() {
        assert_eq!(Cell::of(-0.05, -0.05), Cell { south: -1, west: -1 });
        assert_eq!(Cell::of(52.09, 5.12), Cell { south: 520, west: 51 });
    }
}
