//! Regions: the first level of division below a country.
//!
//! The lines are Natural Earth's, off by up to 2 km. A country is known exactly from elsewhere, so
//! only lines with a region of that country on a side count, and the nearest of them decides by the
//! side the point is on; where that side is no ground of the country (the sea, or a border that is
//! drawn elsewhere), by the other one.

use std::sync::LazyLock;

use rstar::{AABB, PointDistance, RTree, RTreeObject};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::exact::data::Reader;
use crate::Country;

static REGIONS: LazyLock<Regions> = LazyLock::new(Regions::load);

/// How far to look for the nearest line, in degrees: beyond the widest territorial sea, 22 km, and
/// the widest region without a line near. What is farther has no region.
const FARTHEST: f32 = 12.0;

const UNITS_A_DEGREE: f32 = 1e4;

/// A region of a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    country: Country,
    /// What follows the country in [`Region::iso`].
    suffix: &'static str,
    /// As it is called there, in Latin letters.
    pub name: &'static str,
}

impl Region {
    /// The ISO 3166-2 code, as in `DE-BY`; `None` where Natural Earth has none.
    #[must_use]
    pub fn iso(&self) -> Option<String> {
        (!self.suffix.is_empty()).then(|| format!("{}-{}", self.country, self.suffix))
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Region", 2)?;
        fields.serialize_field("code", &self.iso())?;
        fields.serialize_field("name", self.name)?;
        fields.end()
    }
}

pub(super) fn warm() {
    LazyLock::force(&REGIONS);
}

/// The region of a point of `country`.
pub(super) fn find(country: Country, lat: f64, lon: f64) -> Option<Region> {
    REGIONS.find(country, [lon as f32, lat as f32])
}

struct Regions {
    regions: Vec<Region>,
    /// The corners of all lines, in degrees east and north, line after line.
    corners: Vec<[f32; 2]>,
    pieces: RTree<Piece>,
}

/// A part of a line, small enough that its box says where it is. What lies to its sides are regions
/// numbered from 1, or 0, none.
struct Piece {
    envelope: AABB<[f32; 2]>,
    /// Its first corner, and how many segments there are from it on.
    first: u32,
    segments: u16,
    left: u16,
    right: u16,
}

/// Fewer need more boxes, more need longer to look at.
const SEGMENTS_A_PIECE: usize = 16;

impl RTreeObject for Piece {
    type Envelope = AABB<[f32; 2]>;

    fn envelope(&self) -> Self::Envelope {
        self.envelope
    }
}

impl PointDistance for Piece {
    /// Of its box, in degrees, not metres: whatever the measure, no line lies between a point and the
    /// nearest.
    fn distance_2(&self, point: &[f32; 2]) -> f32 {
        self.envelope.distance_2(point)
    }
}

impl Piece {
    fn of(corners: &[[f32; 2]], first: usize, left: u16, right: u16) -> Option<Self> {
        Some(Self {
            envelope: AABB::from_points(corners),
            first: u32::try_from(first).ok()?,
            segments: u16::try_from(corners.len()).ok()?.checked_sub(1)?,
            left,
            right,
        })
    }
}

#[derive(Clone, Copy)]
struct Segment {
    from: [f32; 2],
    to: [f32; 2],
}

impl Segment {
    fn nearest(&self, point: [f32; 2]) -> [f32; 2] {
        let by = [0, 1].map(|axis| self.to[axis] - self.from[axis]);
        let off = [0, 1].map(|axis| point[axis] - self.from[axis]);
        let length = by[0] * by[0] + by[1] * by[1];
        let along = by[0] * off[0] + by[1] * off[1];
        // The ends themselves, not computed: both segments of a corner must find the same distance.
        match along / length {
            part if part <= 0.0 => self.from,
            part if part >= 1.0 => self.to,
            part => [0, 1].map(|axis| self.from[axis] + by[axis] * part),
        }
    }

    fn distance_2(&self, point: [f32; 2]) -> f32 {
        let nearest = self.nearest(point);
        (nearest[0] - point[0]).powi(2) + (nearest[1] - point[1]).powi(2)
    }

    /// How squarely the point faces it; positive on its left.
    fn facing(&self, point: [f32; 2]) -> f32 {
        let by = [0, 1].map(|axis| self.to[axis] - self.from[axis]);
        let off = [0, 1].map(|axis| point[axis] - self.from[axis]);
        (by[0] * off[1] - by[1] * off[0]) / by[0].hypot(by[1])
    }
}

impl Regions {
    #[expect(clippy::expect_used, reason = "the bytes are part of the program; a test reads them")]
    fn load() -> Self {
        Self::read(include_bytes!("../../data/regions.bin")).expect("the region data is whole")
    }

    /// `None` when the bytes are not whole region data.
    fn read(bytes: &'static [u8]) -> Option<Self> {
        let mut reader = Reader(bytes.strip_prefix(b"DNREGN01")?);
        let regions: Option<Vec<_>> = (0..reader.count()?)
            .map(|_| {
                let country = Country::from_code(reader.code()?)?;
                Some(Region { country, suffix: reader.text()?, name: reader.text()? })
            })
            .collect();
        let regions = regions?;
        let (mut corners, mut pieces) = (Vec::new(), Vec::new());
        let mut at = [0i32; 2];
        for _ in 0..reader.count()? {
            let mut side = || {
                let number = usize::try_from(reader.number()?).ok()?;
                (number <= regions.len()).then_some(number as u16)
            };
            let (left, right) = (side()?, side()?);
            let begin = corners.len();
            for _ in 0..reader.count()? {
                at = [at[0].checked_add(reader.step()?)?, at[1].checked_add(reader.step()?)?];
                corners.push(at.map(|units| units as f32 / UNITS_A_DEGREE));
            }
            for first in (begin..corners.len().saturating_sub(1)).step_by(SEGMENTS_A_PIECE) {
                let last = corners.len().min(first + SEGMENTS_A_PIECE + 1);
                pieces.push(Piece::of(&corners[first..last], first, left, right)?);
            }
        }
        corners.shrink_to_fit();
        let pieces = RTree::bulk_load(pieces);
        reader.0.is_empty().then_some(Self { regions, corners, pieces })
    }

    fn find(&self, country: Country, point: [f32; 2]) -> Option<Region> {
        let of_country = |number: u16| {
            let region = self.regions.get(usize::from(number).checked_sub(1)?)?;
            (region.country == country).then_some(*region)
        };
        let mut found: Option<(f32, Segment, &Piece)> = None;
        for (piece, at_least) in self.pieces.nearest_neighbor_iter_with_distance_2(point) {
            let nearest = found.map_or(FARTHEST * FARTHEST, |(nearest, ..)| nearest);
            if at_least > nearest {
                break;
            }
            if of_country(piece.left).is_none() && of_country(piece.right).is_none() {
                continue;
            }
            for segment in self.segments(piece) {
                let squared = segment.distance_2(point);
                // Of the two lines of a corner, which are equally near, the one that is faced more
                // squarely.
                let better = match &found {
                    None => squared <= FARTHEST * FARTHEST,
                    Some((nearest, ..)) if squared < *nearest => true,
                    Some((nearest, other, _)) => {
                        squared == *nearest
                            && segment.facing(point).abs() > other.facing(point).abs()
                    }
                };
                if better {
                    found = Some((squared, segment, piece));
                }
            }
        }
        let (_, line, piece) = found?;
        let (this, beyond) = match line.facing(point) > 0.0 {
            true => (piece.left, piece.right),
            false => (piece.right, piece.left),
        };
        of_country(this).or_else(|| of_country(beyond))
    }

    fn segments(&self, piece: &Piece) -> impl Iterator<Item = Segment> {
        let first = piece.first as usize;
        let corners = self.corners.get(first..=first + usize::from(piece.segments));
        corners.unwrap_or_default().windows(2).map(|ends| Segment { from: ends[0], to: ends[1] })
    }
}

#[cfg(test)]
mod tests {
    use super::{Regions, find};
    use crate::Country;

    #[test]
    fn places_are_in_their_region() {
        for (lat, lon, country, iso, name) in [
            (52.09, 5.12, "NL", "NL-UT", "Utrecht"),
            (50.85, 5.69, "NL", "NL-LI", "Limburg"),
            (48.14, 11.58, "DE", "DE-BY", "Bayern"),
            (53.55, 9.99, "DE", "DE-HH", "Hamburg"),
            (45.92, 6.87, "FR", "FR-74", "Haute-Savoie"),
            (42.15, 9.10, "FR", "FR-2B", "Haute-Corse"),
            (45.74, 7.32, "IT", "IT-AO", "Aoste"),
            (67.28, 14.40, "NO", "NO-18", "Nordland"),
            (59.91, 10.75, "NO", "NO-03", "Oslo"),
            (47.27, 11.39, "AT", "AT-7", "Tirol"),
            (44.95, 34.10, "UA", "UA-43", "Crimea"),
            (40.71, -74.00, "US", "US-NY", "New York"),
            (39.00, -116.0, "US", "US-NV", "Nevada"),
            (62.0, 100.0, "RU", "RU-KYA", "Krasnoyarsk"),
        ] {
            let region = find(Country::new(country).unwrap(), lat, lon).unwrap();
            assert_eq!((region.iso().as_deref(), region.name), (Some(iso), name));
        }
    }

    #[test]
    fn a_point_is_in_a_region_of_its_country_also_where_the_lines_say_otherwise() {
        let netherlands = Country::new("NL").unwrap();
        // Baarle-Nassau, the middle of the Rhine at Lobith, and the sea off Zandvoort.
        for (lat, lon, iso) in
            [(51.4436, 4.9303, "NL-NB"), (51.862, 6.118, "NL-GE"), (52.38, 4.45, "NL-NH")]
        {
            assert_eq!(find(netherlands, lat, lon).unwrap().iso().unwrap(), iso);
        }
        assert_eq!(find(netherlands, 10.0, 150.0), None);
    }

    #[test]
    fn damaged_data_is_noticed_and_never_panics() {
        let whole: &[u8] = include_bytes!("../../data/regions.bin");
        for end in [0, 8, 9, 500, 1 << 20, whole.len() - 1] {
            assert!(Regions::read(&whole[..end]).is_none(), "cut at {end}");
        }
        assert!(Regions::read(&whole[1..]).is_none(), "no header");
    }
}
