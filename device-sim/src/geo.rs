//! Positions, and paths of straight stretches between them.

use crate::places::{Country, Road};

const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A position in degrees (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Position {
    pub(crate) lat: f64,
    pub(crate) lon: f64,
}

impl Position {
    #[must_use]
    pub(crate) const fn new(lat: f64, lon: f64) -> Self {
        Self { lat, lon }
    }

    /// Metres east and north from here to `other`. Flat: good to 0.1 % within 50 km in Europe.
    fn offset_to(self, other: Self) -> (f64, f64) {
        let mid_lat = f64::midpoint(self.lat, other.lat).to_radians();
        let east = (other.lon - self.lon).to_radians() * mid_lat.cos() * EARTH_RADIUS_M;
        let north = (other.lat - self.lat).to_radians() * EARTH_RADIUS_M;
        (east, north)
    }

    /// The distance to `other` in metres.
    #[must_use]
    pub(crate) fn distance_m(self, other: Self) -> f64 {
        let (east, north) = self.offset_to(other);
        east.hypot(north)
    }

    /// The course to `other` in degrees from north, 0..360.
    #[must_use]
    pub(crate) fn course_deg(self, other: Self) -> f64 {
        let (east, north) = self.offset_to(other);
        east.atan2(north).to_degrees().rem_euclid(360.0)
    }

    /// The position so many metres east and north of here.
    #[must_use]
    pub(crate) fn moved(self, east_m: f64, north_m: f64) -> Self {
        let lat = self.lat + (north_m / EARTH_RADIUS_M).to_degrees();
        let lon = self.lon + (east_m / (EARTH_RADIUS_M * self.lat.to_radians().cos())).to_degrees();
        Self { lat, lon }
    }

    pub(crate) fn between(self, other: Self, share: f64) -> Self {
        Self {
            lat: self.lat + (other.lat - self.lat) * share,
            lon: self.lon + (other.lon - self.lon) * share,
        }
    }
}

/// A corner of a path.
#[derive(Clone, Copy, Debug)]
struct Corner {
    at: Position,
    altitude_m: f64,
    /// Metres from the start of the path.
    along_m: f64,
    /// The speed driven on the stretch that begins here.
    speed_mps: f64,
    /// The speed that the bend here allows.
    bend_mps: f64,
    /// Where the stretch that begins here lies; `None` where it does not matter.
    country: Option<Country>,
    /// The stretch that begins here is a tunnel.
    covered: bool,
}

/// A way to go: straight stretches, each with the speed that it is driven at.
#[derive(Clone, Debug)]
pub(crate) struct Path(Vec<Corner>);

impl Path {
    /// A path over `points` (position and altitude) whose stretch after the n-th point is driven
    /// at the n-th of `speeds_mps`; the last speed holds for the rest.
    ///
    /// At least one point is needed; with only one, the path is a place to stand at.
    #[must_use]
    pub(crate) fn new(points: &[(Position, f64)], speeds_mps: &[f64]) -> Self {
        let mut corners: Vec<Corner> = Vec::with_capacity(points.len());
        let mut along_m = 0.0;
        for (index, &(at, altitude_m)) in points.iter().enumerate() {
            if index > 0 {
                along_m += points[index - 1].0.distance_m(at);
            }
            let bend_mps = match (index.checked_sub(1), points.get(index + 1)) {
                (Some(before), Some(&(after, _))) => bend_mps(points[before].0, at, after),
                _ => f64::INFINITY,
            };
            let speed = speeds_mps.get(index).or(speeds_mps.last()).copied();
            let speed_mps = speed.unwrap_or(Road::Town.speed_mps());
            corners.push(Corner {
                at,
                altitude_m,
                along_m,
                speed_mps,
                bend_mps,
                country: None,
                covered: false,
            });
        }
        Self(corners)
    }

    /// The same path, whose n-th stretch lies in the n-th of `countries`.
    #[must_use]
    pub(crate) fn through(mut self, countries: &[Country]) -> Self {
        for (corner, country) in self.0.iter_mut().zip(countries) {
            corner.country = Some(*country);
        }
        self
    }

    /// The same path, whose n-th stretch is a tunnel or not.
    #[must_use]
    pub(crate) fn under(mut self, tunnels: &[bool]) -> Self {
        for (corner, covered) in self.0.iter_mut().zip(tunnels) {
            corner.covered = *covered;
        }
        self
    }

    /// Whether a tunnel covers the point `along_m` metres from the start.
    #[must_use]
    pub(crate) fn covered(&self, along_m: f64) -> bool {
        self.0.get(self.stretch(along_m)).is_some_and(|corner| corner.covered)
    }

    /// The country at `along_m`, if the path says so.
    #[must_use]
    pub(crate) fn country(&self, along_m: f64) -> Option<Country> {
        self.0.get(self.stretch(along_m)).and_then(|corner| corner.country)
    }

    /// The border on this path that is nearest to `along_m`: where, and how far along the path.
    #[must_use]
    pub(crate) fn border(&self, along_m: f64) -> Option<(Position, f64)> {
        let stretches = &self.0[..self.0.len().saturating_sub(1)];
        let borders = stretches.windows(2).filter(|pair| pair[0].country != pair[1].country);
        let metres = borders.map(|pair| (pair[1].at, (pair[1].along_m - along_m).abs()));
        metres.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    #[must_use]
    pub(crate) fn length_m(&self) -> f64 {
        self.0.last().map_or(0.0, |corner| corner.along_m)
    }

    /// Index of the stretch that holds the point `along_m` metres from the start.
    fn stretch(&self, along_m: f64) -> usize {
        let after = self.0.partition_point(|corner| corner.along_m <= along_m);
        after.saturating_sub(1).min(self.0.len().saturating_sub(2))
    }

    /// Position, altitude and course at `along_m` metres from the start.
    #[must_use]
    pub(crate) fn at(&self, along_m: f64) -> (Position, f64, f64) {
        let from = self.0[self.stretch(along_m)];
        let Some(to) = self.0.get(self.stretch(along_m) + 1) else {
            return (from.at, from.altitude_m, 0.0);
        };
        let length_m = (to.along_m - from.along_m).max(f64::MIN_POSITIVE);
        let share = ((along_m - from.along_m) / length_m).clamp(0.0, 1.0);
        let altitude_m = from.altitude_m + (to.altitude_m - from.altitude_m) * share;
        (from.at.between(to.at, share), altitude_m, from.at.course_deg(to.at))
    }

    /// The speed to drive at `along_m`: `temper` times what the stretch says, braking at
    /// `brake_mps2` for what comes: slower stretches, bends and the end of the path.
    #[must_use]
    pub(crate) fn speed_mps(&self, along_m: f64, temper: f64, brake_mps2: f64) -> f64 {
        let here = self.stretch(along_m);
        let mut allowed = self.0[here].speed_mps * temper;
        // Further ahead than this nobody brakes: 45 m/s to a stop at 1.5 m/s² takes 675 m.
        let horizon_m = along_m + 700.0;
        for (index, corner) in self.0.iter().enumerate().skip(here + 1) {
            if corner.along_m > horizon_m {
                break;
            }
            let at_end = index + 1 == self.0.len();
            let there = if at_end { 0.0 } else { (corner.speed_mps * temper).min(corner.bend_mps) };
            let ahead_m = (corner.along_m - along_m).max(0.0);
            allowed = allowed.min((there * there + 2.0 * brake_mps2 * ahead_m).sqrt());
        }
        allowed
    }

    /// The same way in the other direction.
    #[must_use]
    pub(crate) fn reversed(&self) -> Self {
        let points: Vec<_> = self.0.iter().rev().map(|c| (c.at, c.altitude_m)).collect();
        let mut speeds: Vec<_> = self.0.iter().rev().skip(1).map(|c| c.speed_mps).collect();
        if speeds.is_empty() {
            speeds.extend(self.0.iter().map(|c| c.speed_mps));
        }
        let countries: Vec<_> = self.0.iter().rev().skip(1).filter_map(|c| c.country).collect();
        let tunnels: Vec<_> = self.0.iter().rev().skip(1).map(|c| c.covered).collect();
        Self::new(&points, &speeds).through(&countries).under(&tunnels)
    }
}

/// The speed at which people take the bend at `at`: motorways bend gently, junctions do not.
fn bend_mps(before: Position, at: Position, after: Position) -> f64 {
    let turn = (at.course_deg(after) - before.course_deg(at) + 540.0).rem_euclid(360.0) - 180.0;
    match turn.abs() {
        ..25.0 => f64::INFINITY,
        25.0..60.0 => 22.0,
        60.0..100.0 => 11.0,
        _ => 5.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Path, Position};

    const VENLO: Position = Position::new(51.3704, 6.1724);

    #[test]
    fn moving_and_measuring_agree() {
        let there = VENLO.moved(3_000.0, 4_000.0);
        assert!((VENLO.distance_m(there) - 5_000.0).abs() < 5.0);
        assert!((VENLO.course_deg(there) - 36.87).abs() < 0.1);
        assert!((VENLO.course_deg(VENLO.moved(-100.0, 0.0)) - 270.0).abs() < 0.1);
    }

    #[test]
    fn a_path_slows_for_its_end_and_runs_both_ways() {
        let far = VENLO.moved(0.0, 10_000.0);
        let path = Path::new(&[(VENLO, 0.0), (far, 100.0)], &[30.0]);
        assert!((path.length_m() - 10_000.0).abs() < 1.0);
        assert_eq!(path.speed_mps(0.0, 1.0, 2.0), 30.0);
        assert!(path.speed_mps(9_990.0, 1.0, 2.0) < 7.0);
        assert_eq!(path.at(1e9).0, far);
        let (position, altitude_m, course) = path.reversed().at(5_000.0);
        assert!((altitude_m - 50.0).abs() < 0.1 && (course - 180.0).abs() < 0.1);
        assert!(position.distance_m(VENLO.moved(0.0, 5_000.0)) < 1.0);
    }

    #[test]
    fn a_path_of_one_point_is_a_place_to_stand_at() {
        let path = Path::new(&[(VENLO, 7.0)], &[]);
        assert_eq!(path.at(3.0), (VENLO, 7.0, 0.0));
        assert_eq!(path.length_m(), 0.0);
        assert_eq!(path.reversed().at(0.0).0, VENLO);
    }
}
