//! Exact borders: which country a point lies in and how far the nearest border is.
//!
//! A quadtree over the world says for each cell who owns it, or that border lines run through it.
//! In a cell with lines the nearest line decides, by the side of it the point is on. The data and
//! what it says about disputed and shared ground: docs/borders.md.

pub(crate) mod data;
mod nearest;

use data::Node;

/// The borders of the world, as they ship with the program.
#[derive(Debug)]
pub(crate) struct Borders {
    owners: Vec<Owners>,
    points: Vec<Units>,
    pieces: Vec<Piece>,
    nodes: Vec<Node>,
    /// Which pieces run through the cells with lines, cell by cell.
    in_cell: Vec<u32>,
}

/// Where a point lies and the border next to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Located {
    /// ISO 3166-1 alpha-2; `None` beyond the territorial seas (12 nautical miles at most).
    pub(crate) country: Option<[u8; 2]>,
    /// The second country where two share the ground (the Moselle between DE and LU) or where the
    /// map gives it to both. `country` is then the first by alphabet and the border 0 m away.
    pub(crate) shared_with: Option<[u8; 2]>,
    /// On the sea, surely 4 km and mostly 9 km from any land: there a ship may pass through the territorial
    /// sea of a country without arriving in it.
    pub(crate) offshore: bool,
    /// The nearest border between two countries within the distance asked for.
    pub(crate) border: Option<NearBorder>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NearBorder {
    pub(crate) distance_m: f64,
    /// The country on the other side; `None` where that ground belongs to nobody.
    pub(crate) other: Option<[u8; 2]>,
}

/// Who a place belongs to: nobody, one country, or two that share or both claim it.
type Owners = [Option<[u8; 2]>; 2];

/// East and north of 180° W, 90° S; 2²⁶ make 360°, so that one is 0.6 m of a meridian.
type Units = [i32; 2];

const BITS: u32 = 26;
const UNITS_A_DEGREE: f64 = (1u32 << BITS) as f64 / 360.0;

/// Up to [`SEGMENTS`] consecutive segments of one line.
#[derive(Debug)]
struct Piece {
    low: Units,
    high: Units,
    first_point: u32,
    segments: u8,
    /// Numbers of owners, seen walking along the line.
    left: u16,
    right: u16,
}

/// Few enough to skip most of a line by its box, many enough that the boxes stay small data.
const SEGMENTS: usize = 12;

impl Borders {
    /// Takes about 60 ms and 25 MB.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the bytes are part of the program; a test reads them")]
    pub(crate) fn load() -> Self {
        Self::read(include_bytes!("../../../data/borders.bin")).expect("the border data is whole")
    }

    /// `search_m`: how far to look for a border; what is farther costs nothing. Points outside the
    /// world lie in no country.
    #[must_use]
    pub(crate) fn locate(&self, lat: f64, lon: f64, search_m: f64) -> Located {
        if !(lat.abs() <= 90.0 && lon.abs() <= 180.0) {
            return Located { country: None, shared_with: None, offshore: false, border: None };
        }
        let at = [(lon + 180.0) * UNITS_A_DEGREE, (lat + 90.0) * UNITS_A_DEGREE];
        let metres = metres_a_unit(lat);
        let (here, offshore, nearest) = match self.cell(at) {
            // However far: the nearest line decides who owns the ground.
            Node::Lines { offshore, .. } => {
                let nearest = self.nearest(at, metres, f64::INFINITY);
                (nearest.as_ref().map_or([None; 2], |nearest| nearest.this), offshore, nearest)
            }
            Node::Area { owners, offshore } => {
                (self.owners[usize::from(owners)], offshore, self.nearest(at, metres, search_m))
            }
            Node::Split(_) => ([None; 2], false, None),
        };
        let [country, shared_with] = here;
        let border = match nearest {
            _ if shared_with.is_some() => Some(NearBorder { distance_m: 0.0, other: shared_with }),
            Some(nearest) if nearest.distance_m <= search_m => Some(NearBorder {
                distance_m: nearest.distance_m,
                other: nearest.other_than(country),
            }),
            _ => None,
        };
        Located { country, shared_with, offshore, border }
    }

    /// The cell of the quadtree the point lies in: never a split one.
    fn cell(&self, at: [f64; 2]) -> Node {
        let [x, y] = at.map(|value| (value as i32).clamp(0, (1 << BITS) - 1));
        let mut node = self.nodes[0];
        let mut bit = BITS;
        while let Node::Split(children) = node {
            bit -= 1;
            let quadrant = (x >> bit & 1) | (y >> bit & 1) << 1;
            node = self.nodes[children as usize + quadrant as usize];
        }
        node
    }
}

/// Metres in a unit of longitude and of latitude there, on the WGS 84 ellipsoid.
fn metres_a_unit(lat: f64) -> [f64; 2] {
    const EQUATOR_M: f64 = 6_378_137.0;
    const ECCENTRICITY_SQUARED: f64 = 0.006_694_379_990_141_3;
    let (sin, cos) = lat.to_radians().sin_cos();
    let squeeze = 1.0 - ECCENTRICITY_SQUARED * sin * sin;
    let across = EQUATOR_M / squeeze.sqrt();
    let along = across * (1.0 - ECCENTRICITY_SQUARED) / squeeze;
    let radians = (1.0 / UNITS_A_DEGREE).to_radians();
    [across * cos * radians, along * radians]
}

#[cfg(test)]
mod tests;
