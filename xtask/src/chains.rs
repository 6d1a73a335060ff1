//! Edges joined into chains between junctions, and chains thinned to what the tolerance needs.

use std::collections::HashMap;

use crate::edges::Edge;
use crate::geobuf::Point;
use crate::zones::Owners;

pub struct Chain {
    pub points: Vec<Point>,
    pub left: Owners,
    pub right: Owners,
}

const METRES_A_MILLIONTH: f64 = 0.111_195;

/// Where a tile's edge cuts a line, the two halves may end a millionth of a degree or two apart:
/// moves such loose ends onto each other.
pub fn mended(mut edges: Vec<Edge>) -> Vec<Edge> {
    const APART: i32 = 3;
    let mut count: HashMap<Point, usize> = HashMap::new();
    for point in edges.iter().flat_map(|edge| [edge.from, edge.to]) {
        *count.entry(point).or_default() += 1;
    }
    let near = |[x, y]: Point| {
        (-APART..=APART).flat_map(move |dy| (-APART..=APART).map(move |dx| [x + dx, y + dy]))
    };
    for edge in &mut edges {
        for front in [true, false] {
            let (end, other) = if front { (edge.from, edge.to) } else { (edge.to, edge.from) };
            if count[&end] != 1 {
                continue;
            }
            let mate = near(end).find(|&point| {
                point != end && point != other && count.get(&point).is_some_and(|&count| count > 0)
            });
            if let Some(mate) = mate {
                count.insert(end, 0);
                *count.entry(mate).or_default() += 1;
                *(if front { &mut edge.from } else { &mut edge.to }) = mate;
            }
        }
    }
    edges.retain(|edge| edge.from != edge.to);
    edges
}

/// Joins edges end to end. A chain ends where more than two edges meet, where an owner changes,
/// and where nothing follows.
pub fn join(edges: &[Edge]) -> Vec<Chain> {
    let mut at: HashMap<Point, Vec<usize>> = HashMap::new();
    for (index, edge) in edges.iter().enumerate() {
        at.entry(edge.from).or_default().push(index);
        at.entry(edge.to).or_default().push(index);
    }
    let mut used = vec![false; edges.len()];
    let is_end = |point: &Point| match at[point][..] {
        [a, b] => !continues(&edges[a], &edges[b], *point),
        _ => true,
    };
    let mut chains = Vec::new();
    let starts = edges.iter().enumerate().flat_map(|(i, e)| [(i, e.from), (i, e.to)]);
    // First the chains with ends, then what is left: closed rings.
    for closed in [false, true] {
        for (first, start) in starts.clone() {
            if !used[first] && (closed || is_end(&start)) {
                chains.push(walk(edges, &at, &mut used, first, start, is_end));
            }
        }
    }
    chains
}

fn walk(
    edges: &[Edge],
    at: &HashMap<Point, Vec<usize>>,
    used: &mut [bool],
    first: usize,
    start: Point,
    is_end: impl Fn(&Point) -> bool,
) -> Chain {
    let (left, right) = sides(&edges[first], start);
    let mut chain = Chain { points: vec![start], left, right };
    let (mut edge, mut point) = (first, start);
    loop {
        used[edge] = true;
        point = if edges[edge].from == point { edges[edge].to } else { edges[edge].from };
        chain.points.push(point);
        match at[&point].iter().find(|&&next| !used[next]) {
            Some(&next) if !is_end(&point) => edge = next,
            _ => return chain,
        }
    }
}

/// Owners left and right of an edge when it is walked from `start`.
fn sides(edge: &Edge, start: Point) -> (Owners, Owners) {
    if edge.from == start { (edge.left, edge.right) } else { (edge.right, edge.left) }
}

fn continues(a: &Edge, b: &Edge, point: Point) -> bool {
    let (left, right) = sides(a, point);
    sides(b, point) == (right, left)
}

/// Leads the loose ends of chains between `pair` to the nearest point of another chain, so that
/// the border between two countries taken from another source meets that of a third.
pub fn tie(chains: &mut [Chain], pair: [Owners; 2], within_m: f64) {
    let mut count: HashMap<Point, usize> = HashMap::new();
    for chain in chains.iter() {
        for end in [chain.points[0], chain.points[chain.points.len() - 1]] {
            *count.entry(end).or_default() += 1;
        }
    }
    let ours = |chain: &Chain| pair.contains(&chain.left) && pair.contains(&chain.right);
    let others: Vec<Point> =
        chains.iter().filter(|chain| !ours(chain)).flat_map(|chain| chain.points.clone()).collect();
    for chain in
        chains.iter_mut().filter(|chain| pair.contains(&chain.left) && pair.contains(&chain.right))
    {
        for front in [true, false] {
            let end = if front { chain.points[0] } else { chain.points[chain.points.len() - 1] };
            let nearest =
                others.iter().min_by(|a, b| metres(end, **a).total_cmp(&metres(end, **b)));
            if let Some(&nearest) = nearest
                && count[&end] == 1
                && metres(end, nearest) < within_m
            {
                let index = if front { 0 } else { chain.points.len() };
                chain.points.insert(index, nearest);
            }
        }
    }
}

/// Drops the points that lie within `tolerance_m` of the line without them (Douglas–Peucker).
pub fn thin(points: &[Point], tolerance_m: f64) -> Vec<Point> {
    let mut keep = vec![false; points.len()];
    let last = points.len() - 1;
    keep[0] = true;
    keep[last] = true;
    let mut spans = vec![(0, last)];
    while let Some((from, to)) = spans.pop() {
        let farthest = (from + 1..to)
            .map(|index| (index, distance(points[index], points[from], points[to])))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((index, off)) = farthest
            && off > tolerance_m
        {
            keep[index] = true;
            spans.extend([(from, index), (index, to)]);
        }
    }
    points.iter().zip(keep).filter(|(_, keep)| *keep).map(|(point, _)| *point).collect()
}

/// From a point to the piece of line between `a` and `b`, in metres.
fn distance(point: Point, a: Point, b: Point) -> f64 {
    let local = |p: Point| offset(point, p);
    let ([ax, ay], [bx, by]) = (local(a), local(b));
    let (dx, dy) = (bx - ax, by - ay);
    let length = dx * dx + dy * dy;
    let part = if length > 0.0 { (-(ax * dx + ay * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (ax + dx * part).hypot(ay + dy * part)
}

pub fn metres(a: Point, b: Point) -> f64 {
    let [x, y] = offset(a, b);
    x.hypot(y)
}

fn offset(from: Point, to: Point) -> [f64; 2] {
    let squeeze = (f64::from(from[1]) / 1e6).to_radians().cos();
    let difference = |axis: usize| f64::from(to[axis]) - f64::from(from[axis]);
    [difference(0) * squeeze * METRES_A_MILLIONTH, difference(1) * METRES_A_MILLIONTH]
}
