//! Kosovo has no time zone of its own: its outline in geo-maps divides Serbia's zone.

use std::collections::HashSet;

use anyhow::{Context, Result};

use crate::geobuf::{Point, Ring};
use crate::land::Outline;
use crate::zones::inside;

/// How far the outlines of one border may be apart in data of 2017 and of today: 5 km, for the
/// border with Montenegro was drawn anew in 2018.
const SLIVER: f64 = 45_000.0;

pub struct Kosovo {
    kosovo: Vec<Ring>,
    serbia: Vec<Ring>,
    /// Its border with Serbia, from Montenegro to North Macedonia. Where the two outlines differ
    /// (up to 2 km in the north, in the data of 2017) Kosovo's own is taken.
    line: Ring,
    /// The rest of its outline.
    rest: Ring,
}

impl Kosovo {
    pub fn new(outlines: &[Outline]) -> Result<Self> {
        let rings = |code| {
            let outline = outlines.iter().find(|outline| outline.code == code);
            let outline = outline.with_context(|| format!("geo-maps has no {code}"))?;
            anyhow::Ok(&outline.rings)
        };
        let corners = |code| {
            let points = |rings: &[Ring]| rings.iter().flatten().copied().collect::<HashSet<_>>();
            anyhow::Ok(&points(rings("SRB")?) & &points(rings(code)?))
        };
        let (montenegro, macedonia) = (corners("MNE")?, corners("MKD")?);
        let kosovo = rings("XKX")?.clone();
        let outline =
            kosovo.iter().max_by_key(|ring| ring.len()).context("Kosovo has no outline")?;
        let corner = |corners: &HashSet<Point>| outline.iter().position(|p| corners.contains(p));
        let start = corner(&montenegro).context("Kosovo does not meet Serbia and Montenegro")?;
        let end = corner(&macedonia).context("Kosovo does not meet Serbia and North Macedonia")?;
        // The outline runs clockwise, its first point somewhere in the west.
        let line = outline.get(start..=end).context("Kosovo's outline runs the other way")?;
        let rest = [&outline[end..], &outline[..=start]].concat();
        Ok(Self { line: line.to_vec(), rest, serbia: rings("SRB")?.clone(), kosovo })
    }

    /// The outline, edge by edge: a border where Serbia's zone goes on beyond it.
    pub fn edges(&self) -> impl Iterator<Item = (Point, Point)> {
        let pairs = self.kosovo.iter().flat_map(|ring| ring.windows(2));
        pairs.map(|pair| (pair[0], pair[1]))
    }

    /// For a point of Serbia's time zone. The zone's edge and the outlines' are metres apart:
    /// what lies outside both is Kosovo's where its other borders are nearest, but not beyond the
    /// corners where its border with Serbia begins (in the north) and ends (in the east).
    pub fn has(&self, x: f64, y: f64) -> bool {
        // Kosovo with room around it, in millionths of a degree.
        if !(41.7e6..43.4e6).contains(&y) || !(19.9e6..21.9e6).contains(&x) {
            return false;
        }
        if inside(&self.kosovo, x, y) {
            return true;
        }
        let [[_, north], .., [east, _]] = self.line[..] else { return false };
        let beyond = y > f64::from(north) || x > f64::from(east);
        let to_rest = distance(&self.rest, x, y);
        !beyond
            && to_rest < SLIVER
            && to_rest < distance(&self.line, x, y)
            && !inside(&self.serbia, x, y)
    }
}

/// From a point to the nearest edge, in millionths of a degree of latitude.
fn distance(line: &[Point], x: f64, y: f64) -> f64 {
    let squeeze = (y / 1e6).to_radians().cos();
    line.windows(2)
        .map(|pair| {
            let local = |[px, py]: Point| [(f64::from(px) - x) * squeeze, f64::from(py) - y];
            let ([ax, ay], [bx, by]) = (local(pair[0]), local(pair[1]));
            let (dx, dy) = (bx - ax, by - ay);
            let length = dx * dx + dy * dy;
            let along = -(ax * dx + ay * dy);
            let part = if length > 0.0 { (along / length).clamp(0.0, 1.0) } else { 0.0 };
            (ax + dx * part).powi(2) + (ay + dy * part).powi(2)
        })
        .fold(f64::INFINITY, f64::min)
        .sqrt()
}
