//! The ground of the map: which country each cell of a grid over Europe lies in.
//!
//! Made from the borders in the program, so that the page needs nothing from elsewhere.

use axum::http::StatusCode;
use bytes::Bytes;
use enrich::Country;
use enrich::places::Atlas;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::problem::Problem;

const WEST: f64 = -12.0;
const EAST: f64 = 35.0;
const SOUTH: f64 = 34.0;
const NORTH: f64 = 71.5;

/// Degrees; twice as wide as high, as a degree of longitude is about half one of latitude there.
const CELL_LON: f64 = 0.1;
const CELL_LAT: f64 = 0.05;

const ATTRIBUTION: &str = "© OpenStreetMap contributors (ODbL)";

/// Made when first asked for, then kept.
#[derive(Default)]
pub(crate) struct Basemap(OnceCell<Bytes>);

/// The grid as it is sent: rows from north to south, cells from west to east.
#[derive(Serialize)]
struct Grid {
    west: f64,
    north: f64,
    cell_lon: f64,
    cell_lat: f64,
    columns: usize,
    /// What the numbers in `rows` stand for, from 1; 0 is the sea.
    countries: Vec<Country>,
    /// Each row as pairs: a country's number, and how many cells in a row it fills.
    rows: Vec<Vec<u16>>,
    attribution: &'static str,
}

impl Basemap {
    pub(crate) async fn json(&self) -> Result<Bytes, Problem> {
        self.0.get_or_try_init(make).await.cloned()
    }
}

async fn make() -> Result<Bytes, Problem> {
    let made = tokio::task::spawn_blocking(|| {
        let atlas = Atlas::load();
        let grid = Grid::sample(|lat, lon| atlas.country(lat, lon));
        serde_json::to_vec(&grid).map_err(|error| error.to_string())
    });
    match made.await {
        Ok(Ok(json)) => Ok(json.into()),
        Ok(Err(error)) => Err(missing(error)),
        Err(error) => Err(missing(error.to_string())),
    }
}

fn missing(error: String) -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        error,
        "build datanaut again; all but the map's ground works without it",
    )
}

impl Grid {
    fn sample(country: impl Fn(f64, f64) -> Option<Country>) -> Self {
        let columns = ((EAST - WEST) / CELL_LON).round() as usize;
        let lines = ((NORTH - SOUTH) / CELL_LAT).round() as usize;
        let mut countries: Vec<Country> = Vec::new();
        let mut number = |country: Option<Country>| {
            let Some(country) = country else { return 0 };
            let at = countries.iter().position(|known| *known == country).unwrap_or_else(|| {
                countries.push(country);
                countries.len() - 1
            });
            at as u16 + 1
        };
        let rows = (0..lines)
            .map(|line| {
                let lat = NORTH - (line as f64 + 0.5) * CELL_LAT;
                let cells = (0..columns)
                    .map(|column| country(lat, WEST + (column as f64 + 0.5) * CELL_LON));
                runs(cells.map(&mut number))
            })
            .collect();
        Self {
            west: WEST,
            north: NORTH,
            cell_lon: CELL_LON,
            cell_lat: CELL_LAT,
            columns,
            countries,
            rows,
            attribution: ATTRIBUTION,
        }
    }
}

fn runs(cells: impl Iterator<Item = u16>) -> Vec<u16> {
    let mut runs: Vec<u16> = Vec::new();
    for cell in cells {
        match runs.as_mut_slice() {
            [.., value, length] if *value == cell => *length += 1,
            _ => runs.extend([cell, 1]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(grid: &Grid, lat: f64, lon: f64) -> Option<String> {
        let line = ((NORTH - lat) / CELL_LAT) as usize;
        let mut left = ((lon - WEST) / CELL_LON) as u16;
        let run = grid.rows[line].chunks(2).find(|run| {
            let here = left < run[1];
            left = left.saturating_sub(run[1]);
            here
        });
        let number = run.unwrap()[0] as usize;
        number.checked_sub(1).map(|at| grid.countries[at].to_string())
    }

    #[test]
    fn the_grid_knows_europe() {
        let atlas = Atlas::load();
        let grid = Grid::sample(|lat, lon| atlas.country(lat, lon));
        let country = |lat, lon| at(&grid, lat, lon);
        assert_eq!(country(52.09, 5.12).as_deref(), Some("NL"));
        assert_eq!(country(50.08, 14.43).as_deref(), Some("CZ"));
        assert_eq!(country(56.0, 3.5), None, "the North Sea");
        for row in &grid.rows {
            let cells: usize = row.chunks(2).map(|run| usize::from(run[1])).sum();
            assert_eq!(cells, grid.columns, "every row is whole");
        }
        let size = serde_json::to_vec(&grid).unwrap().len();
        assert!(size < 400_000, "small enough to send at once: {size} bytes");
    }
}
