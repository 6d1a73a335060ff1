//! Made-up tracks along real borders and over them, seen by receivers whose word on their own
//! inaccuracy is true: what they say crosses as often as the device did.

use ingest::Fix;
use proptest::prelude::*;

use super::tests::{Seen, WORLD, check};
use crate::Country;

const METRES_A_DEGREE: f64 = 111_195.0;

/// How much of a circle an accuracy is: 68 % of a normal distribution in two dimensions lie within
/// 1.51 standard deviations of one.
const DEVIATIONS: f64 = 1.51;

/// What a receiver adds to the truth: normally distributed, and drifting for half a minute or so.
struct Receiver {
    seed: u64,
    accuracy_m: f64,
    off_m: [f64; 2],
}

impl Receiver {
    fn new(seed: u64, accuracy_m: f64) -> Self {
        Self { seed: seed | 1, accuracy_m, off_m: [0.0; 2] }
    }

    fn uniform(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (a, b) = (self.uniform().max(1e-300), self.uniform());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    fn sees(&mut self, second: i64, (lat, lon): (f64, f64)) -> Seen {
        const STAYS: f64 = 0.95;
        let deviation_m = self.accuracy_m / DEVIATIONS;
        for axis in 0..2 {
            let fresh = self.normal() * deviation_m * (1.0 - STAYS * STAYS).sqrt();
            self.off_m[axis] = STAYS * self.off_m[axis] + fresh;
        }
        let (lat, lon) = moved((lat, lon), self.off_m);
        (second, lat, lon, self.accuracy_m as f32)
    }
}

fn moved((lat, lon): (f64, f64), [north_m, east_m]: [f64; 2]) -> (f64, f64) {
    let east = east_m / METRES_A_DEGREE / lat.to_radians().cos();
    (lat + north_m / METRES_A_DEGREE, lon + east)
}

/// How far inside `home` a place is: negative beyond its border.
fn inside_m(place: (f64, f64), home: Country) -> f64 {
    let fix = Fix::new(place.0, place.1, None).unwrap();
    let border = WORLD.atlas.border(&fix, 20_000.0);
    let distance_m = border.map_or(20_000.0, |border| border.distance_m);
    match WORLD.atlas.country(place.0, place.1) == Some(home) {
        true => distance_m,
        false => -distance_m,
    }
}

/// The way that leads away from the border, one metre long.
fn inwards(place: (f64, f64), home: Country) -> [f64; 2] {
    const STEP_M: f64 = 25.0;
    let slope = |step: [f64; 2]| {
        let back = step.map(|metres| -metres);
        inside_m(moved(place, step), home) - inside_m(moved(place, back), home)
    };
    let (north, east) = (slope([STEP_M, 0.0]), slope([0.0, STEP_M]));
    let length = north.hypot(east).max(1e-9);
    [north / length, east / length]
}

/// Follows the border of `home` from `start`, `off_m` inside it, `count` steps of `step_m` metres:
/// only places that are truly so far inside, give or take 15 m.
fn along(
    start: (f64, f64),
    home: Country,
    off_m: f64,
    step_m: f64,
    count: usize,
) -> Vec<(f64, f64)> {
    let mut place = start;
    let mut places = Vec::with_capacity(count);
    for _ in 0..4 * count {
        let [north, east] = inwards(place, home);
        let short_m = (off_m - inside_m(place, home)).clamp(-step_m, step_m);
        place = moved(place, [east * step_m + north * short_m, -north * step_m + east * short_m]);
        if (inside_m(place, home) - off_m).abs() < 15.0 {
            places.push(place);
        }
        if places.len() == count {
            break;
        }
    }
    places
}

/// Borders on land, rivers and mountains, each with a place near it and the country it is in.
const BORDERS: &[(&str, f64, f64)] = &[
    ("PL", 52.700, 23.900), // the forest of Białowieża, to Belarus
    ("PL", 51.560, 23.560), // the Bug, to Belarus and Ukraine
    ("LU", 49.612, 6.395),  // the Moselle, to Germany
    ("DE", 49.610, 6.425),  // and from there to Luxembourg
    ("NL", 51.385, 6.200),  // Venlo, to Germany
    ("NL", 51.440, 4.925),  // around the enclaves of Baarle
    ("BE", 50.760, 5.990),  // Vaals, where three meet
    ("ES", 42.460, 1.975),  // Llívia
    ("CH", 47.690, 8.670),  // around Büsingen
    ("AT", 47.260, 9.620),  // the Rhine, to Switzerland and Liechtenstein
    ("FR", 46.220, 6.030),  // Geneva
    ("DE", 48.570, 7.810),  // the Rhine, to Strasbourg
    ("CZ", 50.690, 15.730), // the Giant Mountains, to Poland
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cycling along a border, 30 to 80 m inside, is no crossing, however long and in whatever bends.
    #[test]
    fn along_a_border_nothing_is_crossed(
        border in 0..BORDERS.len(), seed in any::<u64>(), off_m in 30.0..80.0_f64,
        accuracy_m in 2.0..60.0_f64, pace_s in prop_oneof![Just(1_i64), Just(5), Just(30)],
    ) {
        let (home, lat, lon) = BORDERS[border];
        let home = Country::new(home).unwrap();
        let mut receiver = Receiver::new(seed, accuracy_m);
        let way = along((lat, lon), home, off_m, 6.0, 3_000);
        prop_assert!(way.len() > 1_000, "{home}: {} places", way.len());
        let seconds = (0..).zip(way).step_by(pace_s as usize);
        let track: Vec<Seen> = seconds.map(|(second, place)| receiver.sees(second, place)).collect();
        check(&track, &[]);
    }

    /// Over the border and back, some way into either country, whatever the receiver and its pace:
    /// two crossings, of which each is where the border is.
    #[test]
    fn over_a_border_and_back_is_crossed_twice(
        border in 0..BORDERS.len(), seed in any::<u64>(), accuracy_m in 2.0..60.0_f64,
        far_m in 500.0..1_500.0_f64, speed_mps in 3.0..40.0_f64,
        pace_s in prop_oneof![Just(1_i64), Just(5), Just(30)],
    ) {
        let (code, lat, lon) = BORDERS[border];
        let home = Country::new(code).unwrap();
        let way = straight((lat, lon), home, far_m);
        let Some((way, other)) = way else { return Ok(()) };
        let mut receiver = Receiver::new(seed, accuracy_m);
        let mut track = Vec::new();
        let mut second = 0;
        for (from, to) in [(way.0, way.0), (way.0, way.1), (way.1, way.1), (way.1, way.0), (way.0, way.0)] {
            let metres = distance(from, to);
            let count = (metres / speed_mps / pace_s as f64).ceil().max(90.0 / pace_s as f64) as i64;
            for step in 1..=count {
                let share = step as f64 / count as f64;
                let place = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
                track.push(receiver.sees(second, place));
                second += pace_s;
            }
        }
        for crossing in check(&track, &[(code, other.code()), (other.code(), code)]) {
            let off_m = inside_m((crossing.lat, crossing.lon), home).abs();
            prop_assert!(off_m < 3.0 * accuracy_m + 60.0, "{off_m} m off the border: {crossing:?}");
            prop_assert!(!crossing.arrived && crossing.past_border_m.unwrap() < 2.0 * far_m + 2_500.0);
            prop_assert!((0.7..=0.98).contains(&crossing.certainty));
        }
    }
}

type Line = ((f64, f64), (f64, f64));

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    let fix = |(lat, lon)| Fix::new(lat, lon, None).unwrap();
    crate::places::distance_m(&fix(a), &fix(b))
}

/// From well inside `home` straight over its border to well inside one other country, if there is
/// such a way near a place: no third country, no way back, nothing shared.
fn straight(place: (f64, f64), home: Country, far_m: f64) -> Option<(Line, Country)> {
    let [north, east] = inwards(place, home);
    let off_m = inside_m(place, home);
    let at = |metres: f64| moved(place, [north * (metres - off_m), east * (metres - off_m)]);
    let country = |metres: f64| {
        let (lat, lon) = at(metres);
        let fix = Fix::new(lat, lon, None).unwrap();
        let shared = WORLD.atlas.border(&fix, 1.0).is_some_and(|border| border.shared);
        WORLD.atlas.country(lat, lon).filter(|_| !shared)
    };
    let steps = |from_m: f64, to_m: f64| {
        (0..=50).map(move |step| from_m + (to_m - from_m) * f64::from(step) / 50.0)
    };
    let other = country(-far_m)?;
    let clean = steps(150.0, far_m).all(|metres| country(metres) == Some(home))
        && steps(-far_m, -150.0).all(|metres| country(metres) == Some(other));
    let deep = inside_m(at(far_m), home) > 260.0 && inside_m(at(-far_m), other) > 260.0;
    (clean && deep && other != home).then(|| ((at(far_m), at(-far_m)), other))
}
