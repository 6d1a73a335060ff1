//! Reads the border data; docs/borders.md describes the layout.

use super::{BITS, Borders, Owners, Piece, SEGMENTS, Units};

/// One cell of the quadtree.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    /// Where its south-west, south-east, north-west and north-east quarters begin.
    Split(u32),
    /// The same owners everywhere, by number.
    Area { owners: u16, offshore: bool },
    /// Border lines run through it: a range of [`Borders::in_cell`].
    Lines { first: u32, count: u16, offshore: bool },
}

/// What a cell is until it has been read.
const EMPTY: Node = Node::Area { owners: 0, offshore: true };

impl Borders {
    /// `None` when the bytes are not whole border data.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes.strip_prefix(b"DNBORD01")?);
        let mut borders = Self {
            owners: reader.owners()?,
            points: Vec::new(),
            pieces: Vec::new(),
            nodes: vec![EMPTY],
            in_cell: Vec::new(),
        };
        reader.lines(&mut borders)?;
        reader.node(&mut borders, 0, 0)?;
        borders.sort_into_cells()?;
        reader.0.is_empty().then_some(borders)
    }

    /// Tells each cell with lines which pieces may run through it, judged by their boxes.
    fn sort_into_cells(&mut self) -> Option<()> {
        let mut pairs = Vec::new();
        for (number, piece) in (0..).zip(&self.pieces) {
            self.cells_of(piece, 0, [0, 0], BITS, &mut |cell| pairs.push((cell, number)));
        }
        pairs.sort_unstable();
        self.in_cell = pairs.iter().map(|&(_, piece)| piece).collect();
        let mut first = 0;
        for cell in pairs.chunk_by(|a, b| a.0 == b.0) {
            let node = &mut self.nodes[cell[0].0 as usize];
            if let Node::Lines { first: cell_first, count, .. } = node {
                *cell_first = first;
                *count = u16::try_from(cell.len()).ok()?;
                first += u32::from(*count);
            }
        }
        Some(())
    }

    fn cells_of(
        &self,
        piece: &Piece,
        node: u32,
        low: Units,
        bit: u32,
        found: &mut impl FnMut(u32),
    ) {
        match self.nodes[node as usize] {
            Node::Area { .. } => {}
            Node::Lines { .. } => found(node),
            Node::Split(children) => {
                let half = 1 << (bit - 1);
                for quadrant in 0..4 {
                    let low = [low[0] + (quadrant & 1) * half, low[1] + (quadrant >> 1) * half];
                    let meets = (0..2).all(|axis| {
                        piece.high[axis] >= low[axis] && piece.low[axis] <= low[axis] + half
                    });
                    if meets {
                        self.cells_of(piece, children + quadrant as u32, low, bit - 1, found);
                    }
                }
            }
        }
    }
}

/// Reads what the generators write: numbers as LEB128, steps as zigzag numbers.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    fn owners(&mut self) -> Option<Vec<Owners>> {
        let code = |&code: &[u8; 2]| (code != [0, 0]).then_some(code);
        (0..self.count()?)
            .map(|_| {
                let (codes, rest) = self.0.split_first_chunk::<4>()?;
                self.0 = rest;
                Some([code(codes.first_chunk()?), code(codes.last_chunk()?)])
            })
            .collect()
    }

    /// Each line: owners left and right, how many points, each as the step from the one before.
    fn lines(&mut self, borders: &mut Borders) -> Option<()> {
        let mut at = [0i32; 2];
        for _ in 0..self.count()? {
            let (left, right) = (self.owner(borders)?, self.owner(borders)?);
            let first = borders.points.len();
            for _ in 0..self.count()? {
                at = [at[0].checked_add(self.step()?)?, at[1].checked_add(self.step()?)?];
                borders.points.push(at);
            }
            let line = &borders.points[first..];
            let segments = line.len().saturating_sub(1);
            for start in (0..segments).step_by(SEGMENTS) {
                let count = SEGMENTS.min(segments - start);
                let points = &line[start..=start + count];
                let by = |axis: usize| points.iter().map(move |point| point[axis]);
                borders.pieces.push(Piece {
                    low: [by(0).min()?, by(1).min()?],
                    high: [by(0).max()?, by(1).max()?],
                    first_point: u32::try_from(first + start).ok()?,
                    segments: count as u8,
                    left,
                    right,
                });
            }
        }
        Some(())
    }

    /// A cell: 0 is split and its quarters follow, 1 has lines, 2 too but off shore, and from 3 on
    /// twice the number of its owners, one more off shore.
    fn node(&mut self, borders: &mut Borders, node: usize, depth: u32) -> Option<()> {
        borders.nodes[node] = match self.number()? {
            0 if depth == BITS => return None,
            0 => {
                let children = borders.nodes.len();
                borders.nodes.extend([EMPTY; 4]);
                for child in children..children + 4 {
                    self.node(borders, child, depth + 1)?;
                }
                Node::Split(u32::try_from(children).ok()?)
            }
            kind @ (1 | 2) => Node::Lines { first: 0, count: 0, offshore: kind == 2 },
            kind => {
                let owners = checked_owner((kind - 3) / 2, borders)?;
                Node::Area { owners, offshore: kind % 2 == 0 }
            }
        };
        Some(())
    }

    fn owner(&mut self, borders: &Borders) -> Option<u16> {
        checked_owner(self.number()?, borders)
    }

    pub(crate) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// Zigzag: 0, -1, 1, -2, …
    pub(crate) fn step(&mut self) -> Option<i32> {
        let number = self.number()?;
        Some((number >> 1) as i32 ^ -((number & 1) as i32))
    }

    /// Seven bits a byte, the low ones first; the high bit says that more follow.
    pub(crate) fn number(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in (0..32).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

fn checked_owner(number: u32, borders: &Borders) -> Option<u16> {
    ((number as usize) < borders.owners.len()).then_some(number as u16)
}
