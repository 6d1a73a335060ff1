//! The time zones of geo-tz: a quadtree of tiles, each with the zones' outlines cut to it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::geobuf::{self, Point, Ring};

/// ISO 3166-1 alpha-2.
pub type Country = [u8; 2];

/// Who a place belongs to: nobody, one country, or two that both claim or share it (sorted).
pub type Owners = [Option<Country>; 2];

pub const NOBODY: Owners = [None, None];

/// geo-tz leaves out the last ten-thousandth of a degree at the edges of the map.
const WORLD: [f64; 4] = [-179.9999, -89.9999, 179.9999, 89.9999];

pub struct Zones {
    root: Node,
}

enum Node {
    Split(Box<[Node; 4]>),
    Uniform(Owners),
    Tile(Tile),
}

pub struct Tile {
    /// In degrees: west, south, east, north.
    bounds: [f64; 4],
    pub outlines: Vec<(Country, Vec<Ring>)>,
}

impl Zones {
    /// `package` is the folder of the npm package geo-tz.
    pub fn read(package: &Path, table: &str) -> Result<Self> {
        let countries = countries(table)?;
        let index = package.join("data/timezones.geojson.index.json");
        let index = fs::read(&index).with_context(|| format!("read {}", index.display()))?;
        let index: Value = serde_json::from_slice(&index)?;
        let outlines = package.join("data/timezones.geojson.geo.dat");
        let outlines =
            fs::read(&outlines).with_context(|| format!("read {}", outlines.display()))?;
        let names = index["timezones"].as_array().context("the index names no time zones")?;
        let names = names.iter().filter_map(Value::as_str).collect();
        let reader = Reader { countries, names, outlines };
        Ok(Self { root: reader.node(&index["lookup"], WORLD)? })
    }

    /// Owners of a point, in degrees.
    pub fn at(&self, lon: f64, lat: f64) -> Owners {
        let [west, south, east, north] = WORLD;
        let (lon, lat) = (lon.clamp(west, east), lat.clamp(south, north));
        let mut node = &self.root;
        let mut bounds = WORLD;
        loop {
            match node {
                Node::Uniform(owners) => return *owners,
                Node::Tile(tile) => return tile.at(lon * 1e6, lat * 1e6),
                Node::Split(children) => {
                    let (middle_lon, middle_lat) = middle(bounds);
                    let quadrant = match (lat >= middle_lat, lon >= middle_lon) {
                        (true, true) => 0,
                        (true, false) => 1,
                        (false, false) => 2,
                        (false, true) => 3,
                    };
                    bounds = quadrants(bounds)[quadrant];
                    node = &children[quadrant];
                }
            }
        }
    }

    pub fn each_tile(&self, mut visit: impl FnMut(&Tile)) {
        let mut stack = vec![&self.root];
        while let Some(node) = stack.pop() {
            match node {
                Node::Split(children) => stack.extend(children.iter()),
                Node::Tile(tile) => visit(tile),
                Node::Uniform(_) => {}
            }
        }
    }
}

impl Tile {
    /// Owners of a point, in millionths of a degree.
    pub fn at(&self, x: f64, y: f64) -> Owners {
        let mut owners = self
            .outlines
            .iter()
            .filter(|(_, rings)| inside(rings, x, y))
            .map(|(country, _)| *country)
            .collect::<Vec<_>>();
        owners.sort_unstable();
        owners.dedup();
        to_owners(&owners)
    }

    /// Whether both points lie on one edge of the tile: such a line was cut, not drawn.
    pub fn is_cut(&self, a: Point, b: Point) -> bool {
        let on = |bound: f64, value: i32| (bound * 1e6 - f64::from(value)).abs() < 1.01;
        let [west, south, east, north] = self.bounds;
        let along = |axis: usize, bound| on(bound, a[axis]) && on(bound, b[axis]);
        along(0, west) || along(0, east) || along(1, south) || along(1, north)
    }
}

/// The edge at a point counts once: half-open in latitude.
pub fn inside(rings: &[Ring], x: f64, y: f64) -> bool {
    let mut inside = false;
    for ring in rings {
        let Some(mut a) = ring.last() else { continue };
        for b in ring {
            let (ay, by) = (f64::from(a[1]), f64::from(b[1]));
            if (ay > y) != (by > y) {
                let (ax, bx) = (f64::from(a[0]), f64::from(b[0]));
                inside ^= x < (bx - ax) * (y - ay) / (by - ay) + ax;
            }
            a = b;
        }
    }
    inside
}

/// Places where the zones are not what the world at large says; docs/borders.md gives reasons.
fn to_owners(countries: &[Country]) -> Owners {
    match countries {
        // Abkhazia keeps Moscow's time.
        [[b'G', b'E'], [b'R', b'U']] => [Some(*b"GE"), None],
        [] => NOBODY,
        [one] => [Some(*one), None],
        [one, two, ..] => [Some(*one), Some(*two)],
    }
}

fn countries(table: &str) -> Result<HashMap<String, Country>> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (zone, country) = line.split_once('\t').context("zone, tab, country")?;
            Ok((zone.to_owned(), country.as_bytes().try_into()?))
        })
        .collect()
}

fn middle([west, south, east, north]: [f64; 4]) -> (f64, f64) {
    ((west + east) / 2.0, (south + north) / 2.0)
}

/// In geo-tz's order: a north-east, b north-west, c south-west, d south-east.
fn quadrants(bounds: [f64; 4]) -> [[f64; 4]; 4] {
    let (lon, lat) = middle(bounds);
    let [west, south, east, north] = bounds;
    [
        [lon, lat, east, north],
        [west, lat, lon, north],
        [west, south, lon, lat],
        [lon, south, east, lat],
    ]
}

struct Reader<'a> {
    countries: HashMap<String, Country>,
    names: Vec<&'a str>,
    outlines: Vec<u8>,
}

impl Reader<'_> {
    fn node(&self, value: &Value, bounds: [f64; 4]) -> Result<Node> {
        if let Some(zones) = value.as_array() {
            let names = zones.iter().filter_map(|zone| self.names.get(zone.as_u64()? as usize));
            let mut owners: Vec<_> =
                names.filter_map(|&name| self.countries.get(name).copied()).collect();
            owners.sort_unstable();
            owners.dedup();
            return Ok(Node::Uniform(to_owners(&owners)));
        }
        if let (Some(start), Some(length)) = (value["pos"].as_u64(), value["len"].as_u64()) {
            return self.tile(start as usize, length as usize, bounds);
        }
        if value.is_null() {
            return Ok(Node::Uniform(NOBODY));
        }
        if !value.is_object() {
            bail!("unexpected entry in the index: {value}");
        }
        let [a, b, c, d] = quadrants(bounds);
        Ok(Node::Split(Box::new([
            self.node(&value["a"], a)?,
            self.node(&value["b"], b)?,
            self.node(&value["c"], c)?,
            self.node(&value["d"], d)?,
        ])))
    }

    fn tile(&self, start: usize, length: usize, bounds: [f64; 4]) -> Result<Node> {
        let bytes = self.outlines.get(start..start + length).context("a tile is cut")?;
        let mut outlines = Vec::new();
        for feature in geobuf::features(bytes)? {
            match self.countries.get(&feature.name) {
                Some(country) => outlines.push((*country, feature.rings)),
                // The high sea and what belongs to nobody.
                None if feature.name.starts_with("Etc/") => {}
                None => bail!("{} has no country: add it to zones.tsv", feature.name),
            }
        }
        Ok(Node::Tile(Tile { bounds, outlines }))
    }
}
