//! Who has the devices: where they live, and how.

use std::sync::Arc;

use fastrand::Rng;

use crate::car::Car;
use crate::device::Thing;
use crate::geo::Position;
use crate::places::{Country, PLACES};
use crate::product::{Model, Product};
use crate::reading::Kind;
use crate::roads::{Network, place};
use crate::thermostat::Thermostat;
use crate::tracker::{Life, Tracker, flight};
use crate::venues::Venue;

/// Towns so far from any border that nobody gets there on foot or on the way to work.
const INLAND: [&str; 20] = [
    "Utrecht",
    "Eindhoven",
    "Antwerpen",
    "Gent",
    "Köln",
    "Duisburg",
    "Osnabrück",
    "Metz",
    "Karlsruhe",
    "Zürich",
    "Augsburg",
    "München",
    "Innsbruck",
    "Nürnberg",
    "Praha",
    "Wrocław",
    "Berlin",
    "Poznań",
    "Hamburg",
    "Kolding",
];

/// Where the planes go: real airports, one a country.
const AIRPORTS: [(Country, f64, f64); 10] = [
    (Country::Nl, 52.3086, 4.7639),
    (Country::De, 48.3538, 11.7861),
    (Country::Ch, 47.4647, 8.5492),
    (Country::Fr, 49.0097, 2.5479),
    (Country::Cz, 50.1008, 14.2600),
    (Country::Dk, 55.6180, 12.6560),
    (Country::Be, 50.9014, 4.4844),
    (Country::At, 48.1103, 16.5697),
    (Country::It, 45.6306, 8.7281),
    (Country::De, 50.0333, 8.5706),
];

/// The share of houses that nobody heats.
pub(crate) const UNHEATED: f64 = 0.02;

/// A device of that kind, somewhere, whose people live as people do.
/// `unheated` is the share of houses.
pub(crate) fn anything(
    kind: Kind,
    everyday: bool,
    unheated: f64,
    network: &Arc<Network>,
    rng: &mut Rng,
) -> Thing {
    let town = &PLACES[place(INLAND[rng.usize(..INLAND.len())]).unwrap_or_default()];
    let home = town.position().moved(rng.f64() * 4e3 - 2e3, rng.f64() * 4e3 - 2e3);
    match kind {
        Kind::Car => Thing::Car(Car::wanderer(Arc::clone(network), everyday, rng)),
        Kind::Tracker => {
            let rest_s = (120.0, 3_600.0);
            let life = match rng.u8(..12) {
                0..4 => Life::Strolls { runs: rng.bool() },
                4 if everyday => return Thing::Tracker(flyer(rng)),
                5 | 6 => {
                    let guest = Tracker::guest(home, Venue::of(town), rng.bool(), rest_s, rng);
                    return Thing::Tracker(guest);
                }
                _ => Life::Commutes { work: home.moved(2_500.0, 3_000.0), drives: rng.bool() },
            };
            Thing::Tracker(Tracker::new(home, life, rest_s, rng))
        }
        Kind::Thermostat => {
            Thing::Thermostat(Thermostat::new(home, town.altitude_m, rng.f64() >= unheated, rng))
        }
        Kind::Product => {
            let model = if rng.bool() { Model::WashingMachine } else { Model::CoffeeMachine };
            Thing::Product(Product::new(model, (600.0, 20_000.0), rng))
        }
    }
}

/// The venues that guests come to, one a town.
pub(crate) fn venues() -> impl Iterator<Item = Venue> {
    INLAND.iter().filter_map(|name| Some(Venue::of(&PLACES[place(name)?])))
}

/// Somebody who flies to another country and back, with hours or days between.
fn flyer(rng: &mut Rng) -> Tracker {
    let from = rng.usize(..AIRPORTS.len());
    let (here, lat, lon) = AIRPORTS[from];
    let others: Vec<_> = AIRPORTS.iter().filter(|(country, ..)| *country != here).collect();
    let &(there, to_lat, to_lon) = others[rng.usize(..others.len())];
    let home = Position::new(lat, lon);
    let line = flight(home, Position::new(to_lat, to_lon), [here, there]);
    Tracker::new(home, Life::Flies { line }, (4.0 * 3_600.0, 48.0 * 3_600.0), rng)
}

#[cfg(test)]
mod tests {
    use super::{INLAND, venues};
    use crate::places::PLACES;
    use crate::roads::place;

    #[test]
    fn every_town_that_people_live_in_exists() {
        assert!(INLAND.iter().all(|name| place(name).is_some()));
    }

    #[test]
    fn nobody_comes_by_a_venue_but_its_guests() {
        for venue in venues() {
            for name in INLAND {
                let metres = PLACES[place(name).unwrap()].position().distance_m(venue.at);
                assert!(metres > 6_000.0, "{name} is {metres:.0} m from the {}", venue.name);
            }
        }
    }
}
