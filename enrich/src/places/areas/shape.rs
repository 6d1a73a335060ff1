//! Circles and polygons, and how far a place is from their edge.

use ingest::Fix;
use serde::{Deserialize, Serialize};

use crate::places::distance_m;

/// The most corners of a shape: one fix is compared with all of them.
const MOST_CORNERS: usize = 10_000;

/// A metre is lost in measuring; nothing smaller can be entered.
const LEAST_RADIUS_M: f64 = 10.0;
const MOST_RADIUS_M: f64 = 200_000.0;

/// On a meridian (the mean radius of the earth).
const METRES_A_DEGREE: f64 = 111_195.08;

/// Boxes are kept in single precision, which is good to a metre: they are grown by ten.
const GROWN_DEGREES: f32 = 1e-4;

/// The ground an area covers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    Circle {
        lat: f64,
        lon: f64,
        radius_m: f64,
    },
    /// Rings of corners, each east and north in degrees, the last not repeating the first. What is
    /// inside an odd number of rings is inside.
    Polygon(Vec<Vec<[f64; 2]>>),
}

/// Why something is no shape.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadShape {
    #[error("{lat}, {lon} is no place: give degrees north (-90 to 90) and east (-180 to 180)")]
    NoPlace { lat: f64, lon: f64 },
    #[error("a radius of {0} m is not from {LEAST_RADIUS_M} to {MOST_RADIUS_M}")]
    Radius(f64),
    #[error("a ring of {0} corners encloses nothing: give three or more")]
    Corners(usize),
    #[error("it has {0} corners: simplify it to at most {MOST_CORNERS}")]
    TooMany(usize),
    #[error("it is {0} degrees wide: cut it at the 180th meridian")]
    TooWide(f64),
}

impl Shape {
    pub fn circle(lat: f64, lon: f64, radius_m: f64) -> Result<Self, BadShape> {
        place(lat, lon)?;
        match (LEAST_RADIUS_M..=MOST_RADIUS_M).contains(&radius_m) {
            true => Ok(Self::Circle { lat, lon, radius_m }),
            false => Err(BadShape::Radius(radius_m)),
        }
    }

    /// Rings of corners, each east and north in degrees; the last may repeat the first.
    pub fn polygon(mut rings: Vec<Vec<[f64; 2]>>) -> Result<Self, BadShape> {
        let corners = rings.iter().map(Vec::len).sum();
        if corners > MOST_CORNERS {
            return Err(BadShape::TooMany(corners));
        }
        for ring in &mut rings {
            if ring.len() > 1 && ring.first() == ring.last() {
                ring.pop();
            }
            if ring.len() < 3 {
                return Err(BadShape::Corners(ring.len()));
            }
            ring.iter().try_for_each(|[lon, lat]| place(*lat, *lon))?;
        }
        if rings.is_empty() {
            return Err(BadShape::Corners(0));
        }
        let [west, east] = extent(&rings, 0);
        match east - west > 180.0 {
            true => Err(BadShape::TooWide(east - west)),
            false => Ok(Self::Polygon(rings)),
        }
    }

    /// From the edge, in metres: positive inside. Good to 1 % within 50 km.
    #[must_use]
    pub fn margin_m(&self, fix: &Fix) -> f64 {
        match self {
            Self::Circle { lat, lon, radius_m } => match Fix::new(*lat, *lon, None) {
                Some(middle) => radius_m - distance_m(fix, &middle),
                None => f64::NEG_INFINITY,
            },
            Self::Polygon(rings) => polygon_margin_m(rings, fix),
        }
    }

    /// Its south-west and north-east corner, in degrees east and north.
    pub(super) fn bounds(&self) -> [[f32; 2]; 2] {
        let ([west, east], [south, north]) = match self {
            Self::Circle { lat, lon, radius_m } => {
                let up = radius_m / METRES_A_DEGREE;
                // Wide enough also at the end of the circle that is nearest to a pole.
                let across = up / (lat.abs() + up).min(89.9).to_radians().cos();
                ([lon - across, lon + across], [lat - up, lat + up])
            }
            Self::Polygon(rings) => (extent(rings, 0), extent(rings, 1)),
        };
        [
            [west as f32 - GROWN_DEGREES, south as f32 - GROWN_DEGREES],
            [east as f32 + GROWN_DEGREES, north as f32 + GROWN_DEGREES],
        ]
    }
}

fn place(lat: f64, lon: f64) -> Result<(), BadShape> {
    match lat.abs() <= 90.0 && lon.abs() <= 180.0 {
        true => Ok(()),
        false => Err(BadShape::NoPlace { lat, lon }),
    }
}

fn extent(rings: &[Vec<[f64; 2]>], axis: usize) -> [f64; 2] {
    let values = || rings.iter().flatten().map(|corner| corner[axis]);
    [values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max)]
}

fn polygon_margin_m(rings: &[Vec<[f64; 2]>], fix: &Fix) -> f64 {
    let metres = [METRES_A_DEGREE * fix.lat().to_radians().cos(), METRES_A_DEGREE];
    let local =
        |[lon, lat]: [f64; 2]| [(lon - fix.lon()) * metres[0], (lat - fix.lat()) * metres[1]];
    let (mut inside, mut nearest) = (false, f64::INFINITY);
    for ring in rings {
        let Some(last) = ring.last() else { continue };
        let mut from = local(*last);
        for corner in ring {
            let to = local(*corner);
            if (from[1] > 0.0) != (to[1] > 0.0) {
                inside ^= from[0] + (to[0] - from[0]) * (-from[1]) / (to[1] - from[1]) > 0.0;
            }
            nearest = nearest.min(squared_to_segment(from, to));
            from = to;
        }
    }
    if inside { nearest.sqrt() } else { -nearest.sqrt() }
}

/// From the origin.
fn squared_to_segment(from: [f64; 2], to: [f64; 2]) -> f64 {
    let by = [to[0] - from[0], to[1] - from[1]];
    let length = by[0] * by[0] + by[1] * by[1];
    let along = -(from[0] * by[0] + from[1] * by[1]);
    let part = if length > 0.0 { (along / length).clamp(0.0, 1.0) } else { 0.0 };
    (from[0] + by[0] * part).powi(2) + (from[1] + by[1] * part).powi(2)
}

#[cfg(test)]
mod tests {
    use ingest::Fix;
    use proptest::prelude::*;

    use super::{BadShape, Shape};

    #[test]
    fn the_margin_is_that_over_the_ground() {
        let metre = 1.0 / 111_195.0;
        let at = |lat: f64| Fix::new(lat, 5.0, None).unwrap();
        let circle = Shape::circle(52.0, 5.0, 200.0).unwrap();
        assert!((circle.margin_m(&at(52.0 + 150.0 * metre)) - 50.0).abs() < 1.0);
        assert!((circle.margin_m(&at(52.0 + 350.0 * metre)) + 150.0).abs() < 1.0);
        // A square of 2 km with a yard in its middle.
        let ring = |off: f64| {
            vec![
                [5.0 - off, 52.0 - off],
                [5.0 + off, 52.0 - off],
                [5.0 + off, 52.0 + off],
                [5.0 - off, 52.0 + off],
            ]
        };
        let square = Shape::polygon(vec![ring(1_000.0 * metre), ring(100.0 * metre)]).unwrap();
        assert!((square.margin_m(&at(52.0 + 900.0 * metre)) - 100.0).abs() < 2.0);
        assert!(square.margin_m(&at(52.0)) < 0.0, "in the yard");
        assert!(square.margin_m(&at(53.0)) < -100_000.0);
    }

    #[test]
    fn what_is_no_shape_is_refused_by_name() {
        assert_eq!(Shape::circle(52.0, 5.0, 1.0), Err(BadShape::Radius(1.0)));
        assert!(matches!(Shape::circle(f64::NAN, 5.0, 100.0), Err(BadShape::NoPlace { .. })));
        assert_eq!(Shape::polygon(vec![vec![[5.0, 52.0]; 3]]), Err(BadShape::Corners(2)));
        assert_eq!(Shape::polygon(Vec::new()), Err(BadShape::Corners(0)));
        let wide = vec![[-179.0, 0.0], [179.0, 0.0], [179.0, 1.0]];
        assert_eq!(Shape::polygon(vec![wide]), Err(BadShape::TooWide(358.0)));
        let many = vec![vec![[5.0, 52.0]; 10_001]];
        assert_eq!(Shape::polygon(many), Err(BadShape::TooMany(10_001)));
    }

    proptest! {
        /// What lies inside lies in the box that it is looked up by.
        #[test]
        fn the_box_holds_the_shape(
            lat in -85.0..85.0_f64, lon in -179.0..179.0_f64, radius_m in 10.0..20_000.0_f64,
            off in [-0.3..0.3_f64, -0.3..0.3_f64],
        ) {
            let circle = Shape::circle(lat, lon, radius_m).unwrap();
            let (at_lat, at_lon) = (lat + off[0], lon + off[1]);
            prop_assume!(at_lon.abs() <= 180.0);
            let fix = Fix::new(at_lat, at_lon, None).unwrap();
            let [low, high] = circle.bounds();
            let point = [at_lon as f32, at_lat as f32];
            let within = (0..2).all(|axis| low[axis] <= point[axis] && point[axis] <= high[axis]);
            prop_assert!(within || circle.margin_m(&fix) < 0.0);
        }
    }
}
