//! The border line nearest to a point, and the side of it the point is on.

use super::data::Node;
use super::{BITS, Borders, Owners, Piece, Units};

/// The nearest piece of border.
pub(super) struct Nearest {
    pub(super) distance_m: f64,
    /// Owners on the point's side of it, and beyond it.
    pub(super) this: Owners,
    other: Owners,
}

impl Nearest {
    /// The country to name as the other side to somebody in `country`.
    pub(super) fn other_than(&self, country: Option<[u8; 2]>) -> Option<[u8; 2]> {
        // Beyond first: at the end of a line in the sea neither side may be the point's own.
        self.other.into_iter().chain(self.this).flatten().find(|&owner| Some(owner) != country)
    }
}

/// A search in metres east and north of the point: good to 1 m in a kilometre at 10 km.
struct Search<'a> {
    borders: &'a Borders,
    at: [f64; 2],
    metres: [f64; 2],
    best: Best,
}

struct Best {
    squared: f64,
    /// Twice the area between point and segment, by the segment's length: how squarely the point
    /// faces it. Decides between the two segments of a corner, which are equally near: the one
    /// that is faced more squarely has the point on its true side.
    facing: f64,
    piece: Option<usize>,
}

impl Borders {
    pub(super) fn nearest(&self, at: [f64; 2], metres: [f64; 2], within_m: f64) -> Option<Nearest> {
        let best = Best { squared: within_m * within_m, facing: 0.0, piece: None };
        let mut search = Search { borders: self, at, metres, best };
        search.cell(0, [0, 0], BITS);
        let Best { squared, facing, piece } = search.best;
        let piece = &self.pieces[piece?];
        let left = self.owners[usize::from(piece.left)];
        let right = self.owners[usize::from(piece.right)];
        let (this, other) = if facing > 0.0 { (left, right) } else { (right, left) };
        Some(Nearest { distance_m: squared.sqrt(), this, other })
    }
}

impl Search<'_> {
    fn cell(&mut self, node: u32, low: Units, bit: u32) {
        match self.borders.nodes[node as usize] {
            Node::Area { .. } => {}
            Node::Lines { first, count, .. } => {
                let first = first as usize;
                for &piece in &self.borders.in_cell[first..first + usize::from(count)] {
                    self.piece(piece as usize);
                }
            }
            Node::Split(children) => {
                let half = 1 << (bit - 1);
                let is_high = |axis: usize| self.at[axis] >= f64::from(low[axis] + half);
                let nearest = u32::from(is_high(0)) | u32::from(is_high(1)) << 1;
                // The quarter the point is in or next to, then those beside it, then the opposite.
                for quadrant in [nearest, nearest ^ 1, nearest ^ 2, nearest ^ 3] {
                    let [x, y] = [quadrant & 1, quadrant >> 1].map(|high| high as i32 * half);
                    let low = [low[0] + x, low[1] + y];
                    if self.squared_to_box(low, [low[0] + half, low[1] + half]) <= self.best.squared
                    {
                        self.cell(children + quadrant, low, bit - 1);
                    }
                }
            }
        }
    }

    fn piece(&mut self, number: usize) {
        let Piece { low, high, first_point, segments, .. } = self.borders.pieces[number];
        if self.squared_to_box(low, high) > self.best.squared {
            return;
        }
        let first = first_point as usize;
        let points = &self.borders.points[first..=first + usize::from(segments)];
        let mut a = self.local(points[0]);
        for &point in &points[1..] {
            let b = self.local(point);
            let (squared, facing) = squared_to_segment(a, b);
            let best = &self.best;
            if squared < best.squared
                || (squared == best.squared && facing.abs() > best.facing.abs())
            {
                self.best = Best { squared, facing, piece: Some(number) };
            }
            a = b;
        }
    }

    fn local(&self, point: Units) -> [f64; 2] {
        [0, 1].map(|axis| (f64::from(point[axis]) - self.at[axis]) * self.metres[axis])
    }

    fn squared_to_box(&self, low: Units, high: Units) -> f64 {
        let off = [0, 1].map(|axis| {
            let (below, above) =
                (f64::from(low[axis]) - self.at[axis], self.at[axis] - f64::from(high[axis]));
            below.max(above).max(0.0) * self.metres[axis]
        });
        off[0] * off[0] + off[1] * off[1]
    }
}

/// From the origin to the segment from `a` to `b`, and how squarely the origin faces it: positive
/// on its left.
fn squared_to_segment(a: [f64; 2], b: [f64; 2]) -> (f64, f64) {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length = dx * dx + dy * dy;
    let along = -(a[0] * dx + a[1] * dy);
    // The ends themselves, not computed: both segments of a corner must find the same distance.
    let [x, y] = if along <= 0.0 {
        a
    } else if along >= length {
        b
    } else {
        let part = along / length;
        [a[0] + dx * part, a[1] + dy * part]
    };
    (x * x + y * y, (a[0] * dy - a[1] * dx) / length.sqrt())
}
