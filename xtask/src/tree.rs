//! A quadtree over the world that says who owns each part, and where the border lines are.

use crate::edges::Ground;
use crate::land::{ACROSS, Mask};
use crate::zones::{NOBODY, Owners};

/// The world is a square of 2²⁶ units a side, its south-west corner at 180° W, 90° S; a unit is
/// 0.6 m of a meridian. The upper half is empty.
pub const BITS: u32 = 26;

pub type Units = [i32; 2];

/// No finer than this (2⁻¹³ of the way round the earth: 4.9 km) for where the territorial sea ends
/// and where off shore begins, which are no borders.
const SEA_DEPTH: u32 = 13;

/// Cells with lines are at most this large (4.9 km) …
const LINES_DEPTH: u32 = 13;

/// … and become smaller, down to 600 m, while they hold more segments than take a microsecond.
const FINEST_DEPTH: u32 = 16;
const MANY_SEGMENTS: usize = 40;

#[derive(PartialEq, Eq)]
pub enum Node {
    /// South-west, south-east, north-west, north-east.
    Split(Box<[Node; 4]>),
    Area {
        owners: Owners,
        offshore: bool,
    },
    Lines {
        offshore: bool,
    },
}

#[derive(Clone, Copy)]
struct Cell {
    depth: u32,
    x: i32,
    y: i32,
}

impl Cell {
    fn size(self) -> i32 {
        1 << (BITS - self.depth)
    }

    fn children(self) -> [Self; 4] {
        let half = self.size() / 2;
        let child = |x, y| Self { depth: self.depth + 1, x, y };
        [
            child(self.x, self.y),
            child(self.x + half, self.y),
            child(self.x, self.y + half),
            child(self.x + half, self.y + half),
        ]
    }

    fn meets(self, a: Units, b: Units) -> bool {
        let (west, south) = (i64::from(self.x), i64::from(self.y));
        let (east, north) = (west + i64::from(self.size()), south + i64::from(self.size()));
        let ([ax, ay], [bx, by]) = (a.map(i64::from), b.map(i64::from));
        if ax.max(bx) < west || ax.min(bx) > east || ay.max(by) < south || ay.min(by) > north {
            return false;
        }
        let side = |x: i64, y: i64| (bx - ax) * (y - ay) - (by - ay) * (x - ax);
        let corners = [side(west, south), side(east, south), side(west, north), side(east, north)];
        !(corners.iter().all(|&s| s > 0) || corners.iter().all(|&s| s < 0))
    }
}

pub struct Builder<'a> {
    ground: &'a Ground<'a>,
    segments: &'a [(Units, Units)],
    /// Where the territorial seas end.
    sea: &'a [(Units, Units)],
    land: Pyramid,
}

impl<'a> Builder<'a> {
    pub fn new(
        ground: &'a Ground<'a>,
        segments: &'a [(Units, Units)],
        sea: &'a [(Units, Units)],
    ) -> Self {
        Self { ground, segments, sea, land: Pyramid::new(ground.near_land) }
    }

    pub fn build(&self) -> Node {
        let all = |segments: &[_]| (0..segments.len() as u32).collect();
        self.node(Cell { depth: 0, x: 0, y: 0 }, all(self.segments), all(self.sea))
    }

    fn node(&self, cell: Cell, mut segments: Vec<u32>, mut sea: Vec<u32>) -> Node {
        let meets = |(a, b)| cell.meets(a, b);
        segments.retain(|&index| meets(self.segments[index as usize]));
        sea.retain(|&index| meets(self.sea[index as usize]));
        let land = self.land.at(cell);
        let split = if segments.is_empty() {
            (land == Land::Some || !sea.is_empty()) && cell.depth < SEA_DEPTH
        } else {
            let crowded = segments.len() > MANY_SEGMENTS && cell.depth < FINEST_DEPTH;
            cell.depth < LINES_DEPTH || crowded
        };
        let offshore = land == Land::None;
        if !split && segments.is_empty() {
            return Node::Area { owners: self.owners(cell, offshore), offshore };
        }
        if !split {
            return Node::Lines { offshore };
        }
        let [a, b, c, d] =
            cell.children().map(|child| self.node(child, segments.clone(), sea.clone()));
        if matches!(a, Node::Area { .. }) && a == b && a == c && a == d {
            return a;
        }
        Node::Split(Box::new([a, b, c, d]))
    }

    /// Of the middle; where that is open water off a coast, of the first owned place in the cell.
    fn owners(&self, cell: Cell, offshore: bool) -> Owners {
        const PLACES: [f64; 5] = [0.5, 0.3, 0.7, 0.1, 0.9];
        let [x, y, size] = [cell.x, cell.y, cell.size()].map(f64::from);
        let at = |right: f64, up: f64| {
            let lat = to_millionths(y + up * size, 90.0);
            match (lat < ANTARCTIC, offshore) {
                (true, true) => NOBODY,
                (true, false) => ANTARCTICA,
                (false, _) => self.ground.at(to_millionths(x + right * size, 180.0), lat),
            }
        };
        if offshore {
            return at(0.5, 0.5);
        }
        let mut places = PLACES.iter().flat_map(|right| PLACES.map(|up| at(*right, up)));
        places.find(|owners| *owners != NOBODY).unwrap_or(NOBODY)
    }
}

/// The Antarctic Treaty's area begins at 60° S.
const ANTARCTIC: f64 = -60e6;
const ANTARCTICA: Owners = [Some(*b"AQ"), None];

fn to_millionths(units: f64, origin: f64) -> f64 {
    (units * 360.0 / f64::from(1 << BITS) - origin) * 1e6
}

pub fn to_units([lon, lat]: [i32; 2]) -> Units {
    let units = |value: i32, origin: f64| {
        ((f64::from(value) / 1e6 + origin) / 360.0 * f64::from(1 << BITS)).round() as i32
    };
    [units(lon, 180.0), units(lat, 90.0)]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Land {
    None,
    Some,
    All,
}

/// How much land each cell of the quadtree has, level by level, finest last.
struct Pyramid {
    levels: Vec<Vec<Land>>,
}

impl Pyramid {
    fn new(mask: &Mask) -> Self {
        let finest = ACROSS.ilog2();
        let cell = |index: usize| mask.get(index % ACROSS, index / ACROSS);
        let land = |index| if cell(index) { Land::All } else { Land::None };
        let mut levels = vec![(0..ACROSS * ACROSS).map(land).collect::<Vec<_>>()];
        for depth in (0..finest).rev() {
            let (across, below) = (1 << depth, &levels[levels.len() - 1]);
            let merge = |index: usize| {
                let first = index / across * 4 * across + index % across * 2;
                let four = [first, first + 1, first + 2 * across, first + 2 * across + 1];
                let first = below[first];
                if four.iter().all(|&i| below[i] == first) { first } else { Land::Some }
            };
            let level = (0..across * across).map(merge).collect();
            levels.push(level);
        }
        levels.reverse();
        Self { levels }
    }

    fn at(&self, cell: Cell) -> Land {
        let depth = cell.depth.min(self.levels.len() as u32 - 1);
        let shift = BITS - depth;
        let (x, y) = ((cell.x >> shift) as usize, (cell.y >> shift) as usize);
        self.levels[depth as usize][(y << depth) + x]
    }
}
