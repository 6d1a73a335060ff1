//! The edges: every piece of outline with different owners left and right of it.

use std::collections::HashMap;

use crate::geobuf::Point;
use crate::kosovo::Kosovo;
use crate::land::Mask;
use crate::zones::{NOBODY, Owners, Tile, Zones};

#[derive(Clone, Copy)]
pub struct Edge {
    pub from: Point,
    pub to: Point,
    /// Seen going from `from` to `to`.
    pub left: Owners,
    pub right: Owners,
}

/// How far beside an edge to ask who owns the ground, in millionths of a degree: close by where
/// two outlines share the edge, farther where rounding may have left a sliver between them.
const BESIDE_SHARED: f64 = 0.3;
const BESIDE_SINGLE: f64 = 4.0;

pub struct Ground<'a> {
    pub zones: &'a Zones,
    pub kosovo: &'a Kosovo,
    /// Land and a few kilometres of water around it: what is beyond is off shore.
    pub near_land: &'a Mask,
    /// Land with no coast near: only there is ground that belongs to nobody worth a border.
    pub inland: &'a Mask,
}

impl Ground<'_> {
    pub fn at(&self, x: f64, y: f64) -> Owners {
        self.told_apart(self.zones.at(x / 1e6, y / 1e6), x, y)
    }

    /// Two countries share the time zone of another: Kosovo that of Serbia, the north of Vietnam that
    /// of Thailand.
    fn told_apart(&self, owners: Owners, x: f64, y: f64) -> Owners {
        owners.map(|owner| match owner {
            Some([b'R', b'S']) if self.kosovo.has(x, y) => Some(*b"XK"),
            Some([b'T', b'H']) if is_vietnam(x, y) => Some(*b"VN"),
            other => other,
        })
    }

    /// In an order that depends on nothing but the data.
    pub fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        self.zones.each_tile(|tile| self.edges_of(tile, &mut edges));
        edges.extend(self.kosovo.edges().filter_map(|(from, to)| {
            let ask = |x, y| self.at(x, y);
            self.edge(from, to, BESIDE_SINGLE, ask)
        }));
        edges.sort_unstable_by_key(|edge| (edge.from, edge.to, edge.left, edge.right));
        edges
    }

    fn edges_of(&self, tile: &Tile, edges: &mut Vec<Edge>) {
        let mut seen: HashMap<(Point, Point), Vec<usize>> = HashMap::new();
        for (outline, (_, rings)) in tile.outlines.iter().enumerate() {
            for ring in rings {
                let closing = ring.last().into_iter().zip(ring.first());
                let pairs = ring.iter().zip(ring.iter().skip(1)).chain(closing);
                for (&a, &b) in pairs.filter(|(a, b)| a != b && !tile.is_cut(**a, **b)) {
                    seen.entry((a.min(b), a.max(b))).or_default().push(outline);
                }
            }
        }
        let country = |outline: usize| tile.outlines[outline].0;
        for ((from, to), outlines) in seen {
            if outlines.len() > 1 && outlines.iter().all(|&o| country(o) == country(outlines[0])) {
                continue;
            }
            let beside = if outlines.len() > 1 { BESIDE_SHARED } else { BESIDE_SINGLE };
            let ask = |x, y| self.told_apart(tile.at(x, y), x, y);
            edges.extend(self.edge(from, to, beside, ask));
        }
    }

    fn edge(
        &self,
        from: Point,
        to: Point,
        beside: f64,
        owners: impl Fn(f64, f64) -> Owners,
    ) -> Option<Edge> {
        let (dx, dy) =
            (f64::from(to[0]) - f64::from(from[0]), f64::from(to[1]) - f64::from(from[1]));
        let (x, y) = (f64::from(from[0]) + dx / 2.0, f64::from(from[1]) + dy / 2.0);
        // Antarctica's claims are frozen: it is one place.
        if y < -60e6 {
            return None;
        }
        let length = dx.hypot(dy);
        let (aside_x, aside_y) = (-dy / length * beside, dx / length * beside);
        let left = owners(x + aside_x, y + aside_y);
        let right = owners(x - aside_x, y - aside_y);
        (left != right).then_some(Edge { from, to, left, right })
    }

    /// Whether the edge is a border: not merely where the territorial sea ends.
    pub fn is_border(&self, edge: &Edge) -> bool {
        let owned = edge.left != NOBODY && edge.right != NOBODY;
        owned || self.inland.at(edge.from)
    }
}

/// For a point of Thailand's time zone, in millionths of a degree: all of Laos lies between.
fn is_vietnam(x: f64, y: f64) -> bool {
    (x > 105e6 && y > 16.5e6) || (x > 101.8e6 && y > 18.5e6)
}
