//! The simulated road network: which place is next to which, and ways through it.

use fastrand::Rng;

use crate::geo::{Path, Position};
use crate::places::{Country, PLACES, Place, ROADS, Road};

impl Place {
    #[must_use]
    pub(crate) fn position(&self) -> Position {
        Position::new(self.lat, self.lon)
    }
}

/// A place of [`PLACES`], by its index.
pub(crate) type PlaceIndex = usize;

/// The place of that name.
#[must_use]
pub(crate) fn place(name: &str) -> Option<PlaceIndex> {
    PLACES.iter().position(|place| place.name == name)
}

/// The roads as a graph. Built once per fleet; a few kilobytes.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    next: Vec<Vec<(PlaceIndex, Road)>>,
}

impl Network {
    #[must_use]
    pub(crate) fn new() -> Self {
        let mut next = vec![Vec::new(); PLACES.len()];
        for &(from, to, road) in ROADS {
            // Names in the table that are no place are found by a test.
            if let (Some(from), Some(to)) = (place(from), place(to)) {
                next[from].push((to, road));
                next[to].push((from, road));
            }
        }
        Self { next }
    }

    fn road(&self, from: PlaceIndex, to: PlaceIndex) -> Road {
        let road = self.next[from].iter().find(|&&(place, _)| place == to);
        road.map_or(Road::Rural, |&(_, road)| road)
    }

    /// The way over these places, each a neighbour of the one before.
    #[must_use]
    pub(crate) fn path(&self, places: &[PlaceIndex]) -> Path {
        let points: Vec<_> = places.iter().map(|&index| point(index)).collect();
        let speeds: Vec<_> =
            places.windows(2).map(|pair| self.road(pair[0], pair[1]).speed_mps()).collect();
        let tunnels: Vec<_> =
            places.windows(2).map(|pair| self.road(pair[0], pair[1]) == Road::Tunnel).collect();
        Path::new(&points, &speeds).through(&countries(places)).under(&tunnels)
    }

    /// A way of up to `legs` stretches from `from`, turning back only where a road ends, and
    /// ending at a town or waypoint, never on a border.
    pub(crate) fn wander(&self, from: PlaceIndex, legs: usize, rng: &mut Rng) -> Vec<PlaceIndex> {
        let mut way = vec![from];
        let (mut here, mut before) = (from, from);
        while way.len() <= legs || PLACES[here].country == Country::Border {
            let onward: Vec<_> = self.next[here].iter().filter(|&&(to, _)| to != before).collect();
            let to = match onward.len() {
                0 => break,
                several => onward[rng.usize(..several)].0,
            };
            (before, here) = (here, to);
            way.push(to);
        }
        // A dead end right at the start: back to where the road came from.
        if way.len() == 1 {
            way.extend(self.next[from].first().map(|&(to, _)| to));
        }
        way
    }

    /// The way across a border: from `before_m` ahead of the border point, over it, to `after_m`
    /// past it, coming from the first neighbour in [`ROADS`] or, if not `forth`, from the second.
    #[must_use]
    pub(crate) fn across(
        &self,
        border: PlaceIndex,
        before_m: f64,
        after_m: f64,
        forth: bool,
    ) -> Path {
        let (middle, altitude_m) = point(border);
        let towards = |to: PlaceIndex, metres: f64| {
            let end = self.path(&[border, to]);
            let (position, altitude_m, _) = end.at(metres.min(end.length_m()));
            (position, altitude_m)
        };
        let [first, second] = match self.next[border][..] {
            [(first, _), (second, _), ..] => [first, second],
            // Every border point has two neighbours; a test says so.
            _ => [border, border],
        };
        let (from, to) = if forth { (first, second) } else { (second, first) };
        let speeds = [self.road(border, from).speed_mps(), self.road(border, to).speed_mps()];
        Path::new(&[towards(from, before_m), (middle, altitude_m), towards(to, after_m)], &speeds)
            .through(&countries(&[from, border, to]))
    }
}

/// The country of each stretch over these places: that of the end that is not on the border.
pub(crate) fn countries(places: &[PlaceIndex]) -> Vec<Country> {
    let stretches = places.windows(2).map(|pair| match PLACES[pair[0]].country {
        Country::Border => PLACES[pair[1]].country,
        country => country,
    });
    stretches.collect()
}

fn point(index: PlaceIndex) -> (Position, f64) {
    (PLACES[index].position(), PLACES[index].altitude_m)
}

#[cfg(test)]
mod tests {
    use super::{Network, place};
    use crate::places::{Country, PLACES, ROADS};

    #[test]
    fn the_network_is_whole() {
        let network = Network::new();
        for (from, to, _) in ROADS {
            assert!(place(from).is_some() && place(to).is_some(), "{from} or {to} is no place");
        }
        for (index, here) in PLACES.iter().enumerate() {
            assert_eq!(place(here.name), Some(index), "{} is there twice", here.name);
            assert!(!network.next[index].is_empty(), "no road leads to {}", here.name);
            for &(to, _) in &network.next[index] {
                let there = &PLACES[to];
                let km = here.position().distance_m(there.position()) / 1e3;
                assert!((1.0..350.0).contains(&km) || here.name.starts_with("Vaals"), "{km} km");
                let border = here.country == Country::Border || there.country == Country::Border;
                assert!(border || here.country == there.country, "{} {}", here.name, there.name);
            }
        }
    }

    #[test]
    fn a_border_point_lies_between_two_countries() {
        let network = Network::new();
        for (index, here) in PLACES.iter().enumerate() {
            if here.country != Country::Border {
                continue;
            }
            let [(one, _), (other, _)] = network.next[index][..] else {
                panic!("{} needs exactly two roads", here.name)
            };
            assert_ne!(PLACES[one].country, PLACES[other].country, "{}", here.name);
            assert_ne!(PLACES[one].country, Country::Border);
            assert_ne!(PLACES[other].country, Country::Border);
        }
    }

    #[test]
    fn wandering_never_ends_on_a_border_nor_jumps() {
        let network = Network::new();
        let mut rng = fastrand::Rng::with_seed(3);
        for round in 0..2_000 {
            let from = round % PLACES.len();
            let way = network.wander(from, 5, &mut rng);
            assert!(way.len() >= 2 && way.len() <= 8);
            assert_eq!(way[0], from);
            for pair in way.windows(2) {
                assert!(network.next[pair[0]].iter().any(|&(to, _)| to == pair[1]));
            }
            assert_ne!(PLACES[*way.last().unwrap()].country, Country::Border);
        }
    }
}
