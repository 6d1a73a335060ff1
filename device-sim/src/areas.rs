//! Areas of risk that cars come through, and which of them a device really enters and leaves.

use serde_json::{Value, json};

use crate::geo::Position;
use crate::places::PLACES;
use crate::roads::place;
use crate::truth::{Expect, Found, What};

/// Towns far from any border, and by how much the premium changes about them.
const AREAS: [(&str, f64); 8] = [
    ("Osnabrück", 1.2),
    ("Nürnberg", 1.3),
    ("Kaiserslautern", 1.1),
    ("Augsburg", 1.25),
    ("Poznań", 1.5),
    ("Praha", 1.4),
    ("Innsbruck", 0.9),
    ("Eindhoven", 1.15),
];
const RADIUS_M: f64 = 5_000.0;
/// A polygon with so many corners is nowhere off its circle by more than 6 m.
const CORNERS: u32 = 64;
/// So far from the edge no receiver can doubt on which side it is.
const SURE_M: f64 = 100.0;
/// The documented dwell.
pub(crate) const DWELL_MS: i64 = 60_000;

/// The areas as a GeoJSON file that a server can be told.
#[must_use]
pub fn risk_areas() -> Value {
    let features = AREAS.iter().filter_map(|&(name, premium_factor)| {
        let centre = PLACES[place(name)?].position();
        let corner = |index: u32| {
            let angle = f64::from(index % CORNERS) / f64::from(CORNERS) * std::f64::consts::TAU;
            let at = centre.moved(RADIUS_M * angle.cos(), RADIUS_M * angle.sin());
            [(at.lon * 1e6).round() / 1e6, (at.lat * 1e6).round() / 1e6]
        };
        let ring: Vec<_> = (0..=CORNERS).map(corner).collect();
        Some(json!({
            "type": "Feature",
            "properties": {"name": name, "premium_factor": premium_factor},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }))
    });
    json!({"type": "FeatureCollection", "features": features.collect::<Vec<_>>()})
}

/// In one of [`AREAS`], or in none.
type Inside = Option<usize>;

/// Follows one device, report by report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Areas {
    /// Where it has stayed long enough; nothing before its first certain report.
    stayed: Option<Inside>,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    inside: Inside,
    since_ms: i64,
    place: Position,
}

impl Areas {
    /// The device reports at `now_ms` from `here`; what has become certain by that.
    pub(crate) fn report(&mut self, now_ms: i64, here: Position) -> Vec<Found> {
        let Some(inside) = surely_inside(here) else { return Vec::new() };
        let Some(stayed) = self.stayed else {
            self.stayed = Some(inside);
            return Vec::new();
        };
        match self.pending {
            Some(pending) if pending.inside == inside => {
                if now_ms - pending.since_ms < DWELL_MS {
                    return Vec::new();
                }
                self.pending = None;
                self.stayed = Some(inside);
                passages(stayed, pending, Expect::Trigger)
            }
            brief => {
                let place = here;
                let next = Pending { inside, since_ms: now_ms, place };
                self.pending = (inside != stayed).then_some(next);
                // It did not stay; a server may have seen it longer at the edge.
                brief.map_or(Vec::new(), |brief| passages(stayed, brief, Expect::Either))
            }
        }
    }

    /// What is left when nobody looks any longer.
    pub(crate) fn finish(&mut self) -> Vec<Found> {
        let left = self.pending.take().zip(self.stayed);
        left.map_or(Vec::new(), |(pending, stayed)| passages(stayed, pending, Expect::Either))
    }
}

/// Nothing at an edge.
fn surely_inside(here: Position) -> Option<Inside> {
    for (index, (name, _)) in AREAS.iter().enumerate() {
        let metres = place(name).map(|place| PLACES[place].position().distance_m(here));
        match metres {
            Some(metres) if metres < RADIUS_M - SURE_M => return Some(Some(index)),
            Some(metres) if metres < RADIUS_M + SURE_M => return None,
            _ => {}
        }
    }
    Some(None)
}

fn passages(
    from: Inside,
    Pending { inside, since_ms, place }: Pending,
    expect: Expect,
) -> Vec<Found> {
    let area = |index: usize| AREAS[index].0.to_owned();
    let left = from.map(|index| What::RiskAreaLeft { area: area(index) });
    let entered = inside.map(|index| What::RiskAreaEntered { area: area(index) });
    let found = |what| Found { at_ms: since_ms, place: Some(place), what, expect, unseen_ms: 0 };
    left.into_iter().chain(entered).map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::{AREAS, Areas, RADIUS_M, risk_areas};
    use crate::geo::Position;
    use crate::places::{Country, PLACES};
    use crate::roads::place;
    use crate::truth::{Expect, What};

    fn centre() -> Position {
        PLACES[place("Nürnberg").unwrap()].position()
    }

    /// Past the area at so many metres from its middle, at 30 m/s with a report every ten seconds.
    fn drive_by(metres: f64) -> Vec<(What, Expect)> {
        let mut areas = Areas::default();
        let mut found = Vec::new();
        for report in 0..60 {
            let here = centre().moved(f64::from(report) * 300.0 - 9_000.0, metres);
            found.extend(areas.report(i64::from(report) * 10_000, here));
        }
        found.into_iter().map(|found| (found.what, found.expect)).collect()
    }

    #[test]
    fn who_drives_through_enters_and_leaves() {
        let area = "Nürnberg".to_owned();
        let entered = (What::RiskAreaEntered { area: area.clone() }, Expect::Trigger);
        assert_eq!(drive_by(0.0), [entered, (What::RiskAreaLeft { area }, Expect::Trigger)]);
    }

    #[test]
    fn who_only_grazes_it_may_be_noticed_or_not() {
        assert_eq!(drive_by(RADIUS_M + 200.0), []);
        assert!(drive_by(4_850.0).iter().all(|(_, expect)| *expect == Expect::Either));
    }

    #[test]
    fn who_is_there_at_first_has_not_entered() {
        let mut areas = Areas::default();
        let found: Vec<_> = (0..30).flat_map(|n| areas.report(n * 10_000, centre())).collect();
        assert_eq!(found, []);
    }

    #[test]
    fn areas_are_towns_apart_from_each_other_and_from_borders() {
        assert_eq!(risk_areas()["features"].as_array().unwrap().len(), AREAS.len());
        for (name, factor) in AREAS {
            let town = &PLACES[place(name).unwrap()];
            assert!((0.1..100.0).contains(&factor));
            for other in PLACES.iter().filter(|other| other.name != name) {
                let metres = town.position().distance_m(other.position());
                let border = other.country == Country::Border;
                assert!(!border || metres > 2.0 * RADIUS_M, "{name} {}", other.name);
                let area = AREAS.iter().any(|(area, _)| *area == other.name);
                assert!(!area || metres > 3.0 * RADIUS_M, "{name} {}", other.name);
            }
        }
    }
}
