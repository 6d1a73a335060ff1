//! Areas that mean something to somebody: the geofences of customers, and areas of risk.

mod geojson;
mod shape;

use std::collections::HashMap;
use std::sync::Arc;

use ingest::Fix;
use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::registry::Span;

pub use geojson::{RiskAreaError, risk_areas};
pub use shape::{BadShape, Shape};

/// An area with what it means, to whom, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    /// By the registry's number; `None`: to everybody.
    pub customer: Option<u32>,
    pub name: Arc<str>,
    pub meaning: Meaning,
    pub shape: Shape,
    pub span: Span,
}

/// What an area is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Meaning {
    Home,
    Work,
    Venue,
    /// What a premium is multiplied by for the time spent in it.
    Risk {
        premium_factor: f64,
    },
}

impl Meaning {
    /// The name used in rules and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Work => "work",
            Self::Venue => "venue",
            Self::Risk { .. } => "risk",
        }
    }
}

impl Area {
    /// What a device's memory knows it by: the same as long as owner, kind and name stay.
    #[must_use]
    pub fn key(&self) -> u64 {
        let owner = self.customer.map_or(String::new(), |number| number.to_string());
        let text = format!("{owner}/{}/{}", self.meaning.name(), self.name);
        let digest = Sha256::digest(text.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first)
    }

    fn concerns(&self, customer: u32, time_ms: i64) -> bool {
        self.customer.is_none_or(|owner| owner == customer) && self.span.holds(time_ms)
    }
}

/// All areas, found by place and by key.
#[derive(Debug, Default)]
pub struct Areas {
    areas: Vec<Area>,
    /// Boxes in degrees east and north, a little too large rather than too small.
    boxes: RTree<GeomWithData<Rectangle<[f32; 2]>, u32>>,
    by_key: HashMap<u64, u32>,
}

impl Areas {
    /// Of two areas with the same key the later one counts.
    #[must_use]
    pub fn new(areas: Vec<Area>) -> Self {
        let by_key: HashMap<u64, u32> = areas.iter().map(Area::key).zip(0..).collect();
        let boxes = (0..)
            .zip(&areas)
            .filter(|(number, area)| by_key.get(&area.key()) == Some(number))
            .map(|(number, area)| {
                let [low, high] = area.shape.bounds();
                GeomWithData::new(Rectangle::from_corners(low, high), number)
            })
            .collect();
        Self { areas, boxes: RTree::bulk_load(boxes), by_key }
    }

    /// The areas of risk, and these.
    #[must_use]
    pub(super) fn with_geofences(self, geofences: impl IntoIterator<Item = Area>) -> Self {
        let mut areas = self.areas;
        areas.retain(|area| matches!(area.meaning, Meaning::Risk { .. }));
        areas.extend(geofences);
        Self::new(areas)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.areas.is_empty()
    }

    /// An area as long as it concerns the customer.
    pub(crate) fn known(&self, key: u64, customer: u32, time_ms: i64) -> Option<&Area> {
        let area = self.areas.get(*self.by_key.get(&key)? as usize)?;
        area.concerns(customer, time_ms).then_some(area)
    }

    /// The areas of a customer that the fix lies in, taken at its word.
    pub fn at(&self, fix: &Fix, customer: u32, time_ms: i64) -> impl Iterator<Item = &Area> {
        self.around(fix)
            .filter(move |area| area.concerns(customer, time_ms))
            .filter(|area| area.shape.margin_m(fix) >= 0.0)
    }

    /// The areas of risk that a place lies in, those that cost most first.
    #[must_use]
    pub fn risks(&self, fix: &Fix, time_ms: i64) -> Vec<(&Area, f64)> {
        let mut risks: Vec<_> = self
            .around(fix)
            .filter(|area| area.span.holds(time_ms) && area.shape.margin_m(fix) >= 0.0)
            .filter_map(|area| match area.meaning {
                Meaning::Risk { premium_factor } => Some((area, premium_factor)),
                Meaning::Home | Meaning::Work | Meaning::Venue => None,
            })
            .collect();
        risks.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.name.cmp(&b.0.name)));
        risks
    }

    fn around(&self, fix: &Fix) -> impl Iterator<Item = &Area> {
        let point = AABB::from_point([fix.lon() as f32, fix.lat() as f32]);
        let boxes = self.boxes.locate_in_envelope_intersecting(point);
        boxes.filter_map(|found| self.areas.get(found.data as usize))
    }
}

#[cfg(test)]
mod tests {
    use ingest::Fix;

    use super::{Area, Areas, Meaning, Shape};
    use crate::registry::Span;

    fn area(customer: Option<u32>, name: &str, meaning: Meaning, lat: f64) -> Area {
        let span = Span { from_ms: 0, to_ms: Some(1_000) };
        let shape = Shape::circle(lat, 5.0, 500.0).unwrap();
        Area { customer, name: name.into(), meaning, shape, span }
    }

    #[test]
    fn areas_are_found_by_place_owner_and_time() {
        let areas = Areas::new(vec![
            area(Some(1), "home", Meaning::Home, 52.0),
            area(Some(2), "home", Meaning::Home, 52.0),
            area(None, "museum", Meaning::Venue, 52.001),
            area(Some(1), "work", Meaning::Work, 52.1),
        ]);
        let names = |lat, customer, time_ms| {
            let fix = Fix::new(lat, 5.0, None).unwrap();
            let mut names: Vec<_> =
                areas.at(&fix, customer, time_ms).map(|area| area.name.to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(names(52.0, 1, 500), ["home", "museum"]);
        assert_eq!(names(52.0, 3, 500), ["museum"]);
        assert_eq!(names(52.1, 1, 999), ["work"]);
        assert!(names(52.1, 1, 1_000).is_empty(), "no longer valid");
        assert!(names(52.05, 1, 500).is_empty());
    }

    #[test]
    fn geofences_are_drawn_in_the_place_of_those_before_and_risks_stay() {
        let risk = area(None, "harbour", Meaning::Risk { premium_factor: 2.0 }, 52.0);
        let areas = Areas::new(vec![area(Some(1), "home", Meaning::Home, 52.0), risk]);
        let areas = areas.with_geofences([area(Some(1), "home", Meaning::Home, 53.0)]);
        let found = |lat| areas.at(&Fix::new(lat, 5.0, None).unwrap(), 1, 0).count();
        assert_eq!((found(52.0), found(53.0)), (1, 1));
    }
}
