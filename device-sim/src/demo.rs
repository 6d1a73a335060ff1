//! The fleet that is shown to visitors: forty devices, and a border crossed every few seconds.

use std::sync::Arc;

use crate::car::Car;
use crate::device::{Device, Thing};
use crate::fleet::{Fleet, device_rng};
use crate::geo::{Path, Position};
use crate::places::PLACES;
use crate::product::{Model, Product};
use crate::roads::{Network, countries, place};
use crate::thermostat::Thermostat;
use crate::tracker::{Life, Tracker};

const SECOND_US: i64 = 1_000_000;

/// Where a demo car shuttles across a border, and where in its round it starts.
struct Shuttle {
    border: &'static str,
    /// From the first neighbour in the table of roads to the second.
    forth: bool,
    start: Start,
}

enum Start {
    /// Reaches the border after about so many seconds.
    Reaches { after_s: f64 },
    /// Drove across while its modem changed networks, and now delivers the fixes it kept: two
    /// minutes of them, from 1.2 km ahead of the border to 3 km past it.
    Kept,
}

const fn shuttle(border: &'static str, forth: bool, start: Start) -> Shuttle {
    Shuttle { border, forth, start }
}

use Start::{Kept, Reaches};

/// Chosen so that the road crosses the border at a right angle and leads deep into the country
/// behind it. Each crosses every two minutes or so, and so one of the twelve every 10 s.
const SHUTTLES: [Shuttle; 12] = [
    shuttle("Venlo border", true, Kept),
    shuttle("Bentheim border", false, Kept),
    shuttle("Görlitz border", true, Reaches { after_s: 6.0 }),
    shuttle("Walserberg border", false, Reaches { after_s: 14.0 }),
    shuttle("Kehl border", true, Reaches { after_s: 22.0 }),
    shuttle("Brenner border", true, Reaches { after_s: 30.0 }),
    shuttle("Rozvadov border", true, Reaches { after_s: 38.0 }),
    shuttle("Rekkem border", false, Reaches { after_s: 46.0 }),
    shuttle("Goldene Bremm border", false, Reaches { after_s: 57.0 }),
    shuttle("Padborg border", true, Reaches { after_s: 68.0 }),
    shuttle("Hazeldonk border", true, Reaches { after_s: 76.0 }),
    shuttle("Świecko border", false, Reaches { after_s: 95.0 }),
];

/// How far a car goes on each side of the border before it turns.
const TURN_M: f64 = 1_600.0;
/// The cars that kept their fixes are further past it already.
const KEPT_TURN_M: f64 = 4_400.0;
const KEPT_US: i64 = 125 * SECOND_US;
const KEPT_BEFORE_M: f64 = 1_200.0;

/// Homes of people with trackers and of the first six.
const HOMES: [&str; 8] =
    ["Utrecht", "Antwerpen", "Köln", "Salzburg", "München", "Liège", "Strasbourg", "Traunstein A8"];

/// Trains across a border: stations and the border point between them.
const LINES: [[&str; 4]; 2] = [
    ["Strasbourg", "Kehl border", "Kehl B28", "Offenburg"],
    ["Traunstein A8", "Piding A8", "Walserberg border", "Salzburg"],
];
/// Fast between stations, and never faster than a plausible fix.
const TRAIN_MPS: f64 = 42.0;

/// Where the houses with thermostats are; the last is the holiday home that nobody heats.
const HOUSES: [&str; 10] = [
    "Utrecht",
    "Eindhoven",
    "Antwerpen",
    "Köln",
    "Metz",
    "Freiburg",
    "München",
    "Zürich",
    "Praha",
    "Steinach A13",
];

impl Fleet {
    /// Twelve cars, eight trackers, ten thermostats and ten products, in eight countries.
    ///
    /// Two cars begin with fixes that they kept while offline, dated when they were taken, so
    /// that a crossing is certain at once; another car drives over a border 6 s after the start.
    #[must_use]
    pub fn demo(seed: u64) -> Self {
        let network = Arc::new(Network::new());
        let mut devices = Vec::with_capacity(40);
        let mut add =
            |id: String, first_us: i64, interval_us: i64, make: &dyn Fn(&mut _) -> Thing| {
                let index = devices.len();
                let mut rng = device_rng(seed, index);
                let thing = make(&mut rng);
                // Not all in the same millisecond.
                let offset_us = (index as i64 * 67_000) % interval_us.min(SECOND_US);
                devices.push((Device::new(id, thing, interval_us, rng), first_us + offset_us));
            };
        for (index, shuttle) in SHUTTLES.iter().enumerate() {
            let first_us = if matches!(shuttle.start, Kept) { -KEPT_US } else { 0 };
            add(format!("car-{:02}", index + 1), first_us, SECOND_US, &|rng| {
                let (path, along_m) = shuttle.way(&network);
                Thing::Car(Car::shuttle(path, along_m, rng))
            });
        }
        for (index, home) in HOMES.iter().enumerate() {
            let interval_us = if index < 6 { 5 * SECOND_US } else { 2 * SECOND_US };
            add(format!("tracker-{:02}", index + 1), 0, interval_us, &|rng| {
                Thing::Tracker(tracker(index, position(home).0, &network, rng))
            });
        }
        for (index, house) in HOUSES.iter().enumerate() {
            let heated = index + 1 < HOUSES.len();
            let (home, altitude_m) = position(house);
            add(format!("thermostat-{:02}", index + 1), 0, 10 * SECOND_US, &|rng| {
                Thing::Thermostat(Thermostat::new(home, altitude_m, heated, rng))
            });
        }
        for index in 0..10 {
            let (model, idle_s) = match index % 2 {
                0 => (Model::WashingMachine, (60.0, 600.0)),
                _ => (Model::CoffeeMachine, (20.0, 180.0)),
            };
            add(format!("product-{:02}", index + 1), 0, 5 * SECOND_US, &|rng| {
                Thing::Product(Product::new(model, idle_s, rng))
            });
        }
        Self::new(devices)
    }
}

impl Shuttle {
    /// The way there and back, and how far along it the car is at its first report.
    fn way(&self, network: &Network) -> (Path, f64) {
        let border = place(self.border).unwrap_or_default();
        match self.start {
            Kept => {
                let path = network.across(border, TURN_M, KEPT_TURN_M, self.forth);
                (path, TURN_M - KEPT_BEFORE_M)
            }
            Reaches { after_s } => {
                let near = network.across(border, TURN_M, TURN_M, self.forth);
                let to_go_m = after_s * near.speed_mps(TURN_M / 2.0, 1.03, 2.0);
                // Who has far to go turns as far ahead of the border, too.
                let ahead_m = to_go_m.max(TURN_M);
                (network.across(border, ahead_m, TURN_M, self.forth), ahead_m - to_go_m)
            }
        }
    }
}

fn tracker(index: usize, home: Position, network: &Network, rng: &mut fastrand::Rng) -> Tracker {
    let rest_s = (30.0, 120.0);
    let life = match index {
        0 | 1 => Life::Strolls { runs: false },
        2 => Life::Strolls { runs: true },
        3 => Life::Commutes { work: home.moved(1_800.0, 1_200.0), drives: false },
        4 => Life::Commutes { work: home.moved(-2_500.0, 3_000.0), drives: false },
        5 => Life::Commutes { work: home.moved(2_500.0, 4_000.0), drives: true },
        _ => {
            let stops: Vec<_> = LINES[index % 2].iter().filter_map(|name| place(name)).collect();
            let points: Vec<_> = stops
                .iter()
                .map(|&stop| (PLACES[stop].position(), PLACES[stop].altitude_m))
                .collect();
            let line = Path::new(&points, &[TRAIN_MPS]).through(&countries(&stops));
            // Ahead of the border, each a different way.
            let before_m = network.path(&stops[..=border_stop(&stops)]).length_m()
                - (index - 5) as f64 * 1_100.0;
            let rider = Tracker::new(home, Life::Rides { line }, rest_s, rng);
            return rider.under_way(before_m.max(0.0));
        }
    };
    Tracker::new(home, life, rest_s, rng)
}

fn border_stop(stops: &[usize]) -> usize {
    let border = |&stop: &usize| PLACES[stop].country == crate::places::Country::Border;
    stops.iter().position(border).unwrap_or_default()
}

/// Position and altitude of a place; a test checks that every name above is one.
fn position(name: &str) -> (Position, f64) {
    let place = &PLACES[place(name).unwrap_or_default()];
    (place.position(), place.altitude_m)
}

#[cfg(test)]
mod tests {
    use super::{HOMES, HOUSES, LINES, SHUTTLES};
    use crate::fleet::Fleet;
    use crate::roads::place;

    #[test]
    fn every_named_place_exists() {
        let names = SHUTTLES.iter().map(|shuttle| shuttle.border);
        let names = names.chain(HOMES).chain(HOUSES).chain(LINES.into_iter().flatten());
        for name in names {
            assert!(place(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_demo_has_exactly_its_forty_devices() {
        let mut expected = Vec::new();
        for (kind, count) in [("car", 12), ("tracker", 8), ("thermostat", 10), ("product", 10)] {
            expected.extend((1..=count).map(|number| format!("{kind}-{number:02}")));
        }
        assert_eq!(Fleet::demo(1).ids().collect::<Vec<_>>(), expected);
    }
}
