//! Regions of the world: the provinces of Natural Earth, as lines with a region left and right.
//! docs/places.md describes the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Row, RowAccessor};
use parquet::schema::types::Type;

use crate::chains::{self, Chain};
use crate::edges::Edge;
use crate::geobuf::{Point, Ring};
use crate::write::{step, text, varint};
use crate::zones::{NOBODY, Owners};

/// How far a line may be from the one it was thinned from: between two regions of a country, where
/// Natural Earth itself is off by up to 2 km, and where a country ends, which the exact borders know.
const TOLERANCE_M: f64 = 200.0;
const TOLERANCE_OUTSIDE_M: f64 = 1_000.0;

/// Points are kept in ten-thousandths of a degree.
const UNIT: i32 = 100;

const COLUMNS: [&str; 4] = ["iso_3166_2", "iso_a2", "name", "geometry"];

struct Region {
    country: [u8; 2],
    /// What follows the country in its ISO 3166-2 code; empty where it has none.
    code: String,
    name: String,
    polygons: Vec<Vec<Ring>>,
}

/// `package` is the unpacked PyPI package giso.
pub fn file(package: &Path) -> Result<Vec<u8>> {
    let regions = read(&package.join("giso/data/ne_10m_admin_1_states_provinces.parquet"))?;
    let chains = chains::join(&edges(&regions));
    let mut bytes = b"DNREGN01".to_vec();
    varint(&mut bytes, regions.len() as u64);
    for region in &regions {
        bytes.extend(region.country);
        text(&mut bytes, &region.code);
        text(&mut bytes, &region.name);
    }
    let names = bytes.len();
    varint(&mut bytes, chains.len() as u64);
    let (mut at, mut points) = ([0, 0], 0);
    for chain in &chains {
        let line = line(chain, &regions);
        for owners in [chain.left, chain.right] {
            varint(&mut bytes, owners[0].map_or(0, |number| u16::from_be_bytes(number).into()));
        }
        varint(&mut bytes, line.len() as u64);
        points += line.len();
        line.into_iter().for_each(|point| step(&mut bytes, &mut at, point));
    }
    eprintln!(
        "{} regions in {names} bytes, {} lines of {points} points",
        regions.len(),
        chains.len()
    );
    Ok(bytes)
}

fn line(chain: &Chain, regions: &[Region]) -> Vec<Point> {
    let country = |owners: Owners| {
        let number = usize::from(u16::from_be_bytes(owners[0]?));
        Some(regions[number - 1].country)
    };
    let inner = country(chain.left) == country(chain.right);
    let tolerance_m = if inner { TOLERANCE_M } else { TOLERANCE_OUTSIDE_M };
    let thinned = crate::thin(&chain.points, tolerance_m);
    let units = |[x, y]: Point| [(x + UNIT / 2).div_euclid(UNIT), (y + UNIT / 2).div_euclid(UNIT)];
    let mut line: Vec<_> = thinned.into_iter().map(units).collect();
    line.dedup();
    line
}

fn read(path: &Path) -> Result<Vec<Region>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema();
    let fields = schema.get_fields().iter().filter(|field| COLUMNS.contains(&field.name()));
    let wanted =
        Type::group_type_builder(schema.name()).with_fields(fields.cloned().collect()).build()?;
    let mut regions = Vec::new();
    for row in reader.get_row_iter(Some(wanted))? {
        regions.extend(region(&row?)?);
    }
    regions.sort_by(|a, b| (a.country, &a.code, &a.name).cmp(&(b.country, &b.code, &b.name)));
    ensure!(regions.len() < usize::from(u16::MAX), "too many regions for their numbers");
    Ok(regions)
}

/// `None` for bases, reefs and the like that have no country of their own, and for Antarctica.
fn region(row: &Row) -> Result<Option<Region>> {
    let text = |wanted: &str| {
        let at = row.get_column_iter().position(|(name, _)| name == wanted);
        at.and_then(|at| row.get_string(at).ok()).map(String::as_str).unwrap_or_default()
    };
    let (iso, country) = (text("iso_3166_2"), text("iso_a2"));
    let [prefix, code] = match iso.split_once('-') {
        // Natural Earth marks codes of its own making with a tilde.
        Some((prefix, code)) if !code.contains('~') => [prefix, code],
        _ => [country, ""],
    };
    // Crimea is Ukraine's in the borders, and so are its codes.
    let Ok(country) = <[u8; 2]>::try_from(prefix.as_bytes()) else { return Ok(None) };
    if !country.iter().all(u8::is_ascii_uppercase) || country == *b"AQ" {
        return Ok(None);
    }
    let at = row.get_column_iter().position(|(name, _)| name == "geometry");
    let geometry = row.get_bytes(at.context("no geometry")?)?;
    let polygons = polygons(&mut geometry.data())?;
    Ok(Some(Region { country, code: code.to_owned(), name: text("name").to_owned(), polygons }))
}

/// Well-known binary, little-endian, in two dimensions.
fn polygons(bytes: &mut &[u8]) -> Result<Vec<Vec<Ring>>> {
    let order = take::<1>(bytes)?;
    ensure!(order == [1], "the geometry is not little-endian");
    match u32::from_le_bytes(take(bytes)?) {
        3 => {
            let rings = u32::from_le_bytes(take(bytes)?);
            Ok(vec![(0..rings).map(|_| ring(bytes)).collect::<Result<_>>()?])
        }
        6 => {
            let parts = u32::from_le_bytes(take(bytes)?);
            let parts: Vec<_> = (0..parts).map(|_| polygons(bytes)).collect::<Result<_>>()?;
            Ok(parts.into_iter().flatten().collect())
        }
        kind => anyhow::bail!("geometry of kind {kind}: expected polygons"),
    }
}

fn ring(bytes: &mut &[u8]) -> Result<Ring> {
    let points = u32::from_le_bytes(take(bytes)?);
    let mut millionths = || anyhow::Ok((f64::from_le_bytes(take(bytes)?) * 1e6).round() as i32);
    (0..points).map(|_| Ok([millionths()?, millionths()?])).collect()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk().context("the geometry is cut")?;
    *bytes = rest;
    Ok(*first)
}

/// Every piece of outline with different regions left and right, once.
fn edges(regions: &[Region]) -> Vec<Edge> {
    let mut sides: BTreeMap<(Point, Point), [Owners; 2]> = BTreeMap::new();
    for (number, region) in (1u16..).zip(regions) {
        for polygon in &region.polygons {
            for (index, ring) in polygon.iter().enumerate() {
                let hole = index > 0;
                let inside_left = (area(ring) > 0.0) != hole;
                for pair in ring.windows(2).filter(|pair| pair[0] != pair[1]) {
                    let forward = pair[0] < pair[1];
                    let key = (pair[0].min(pair[1]), pair[0].max(pair[1]));
                    let side = usize::from(forward != inside_left);
                    let both = sides.entry(key).or_insert([NOBODY; 2]);
                    if both[side] == NOBODY {
                        both[side] = [Some(number.to_be_bytes()), None];
                    }
                }
            }
        }
    }
    let edges = sides.into_iter().map(|((from, to), [left, right])| Edge { from, to, left, right });
    edges.filter(|edge| edge.left != edge.right).collect()
}

/// Positive when the ring runs anticlockwise.
fn area(ring: &[Point]) -> f64 {
    let [x0, y0] = ring.first().copied().unwrap_or_default();
    let local = |[x, y]: Point| [f64::from(x) - f64::from(x0), f64::from(y) - f64::from(y0)];
    ring.windows(2)
        .map(|pair| {
            let ([ax, ay], [bx, by]) = (local(pair[0]), local(pair[1]));
            ax * by - bx * ay
        })
        .sum()
}
