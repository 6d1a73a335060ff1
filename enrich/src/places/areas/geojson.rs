//! Areas of risk from a GeoJSON file (RFC 7946); docs/places.md describes the properties.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Area, BadShape, Meaning, Shape};
use crate::registry::Span;

/// What a premium may be multiplied by.
const FACTORS: std::ops::RangeInclusive<f64> = 0.1..=100.0;

/// The file cannot be used; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum RiskAreaError {
    #[error("it is no GeoJSON feature collection: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("feature {number} is not as expected: {why}")]
    Feature { number: usize, why: serde_json::Error },
    #[error("feature {number} has no name: give it one of 1 to 64 characters in its properties")]
    NoName { number: usize },
    #[error("area \"{name}\" is there twice: give each its own name")]
    Twice { name: String },
    #[error("area \"{name}\" has a premium_factor of {factor}: give one from 0.1 to 100")]
    Factor { name: String, factor: f64 },
    #[error("area \"{name}\" is never valid: let valid_to come after valid_from")]
    NeverValid { name: String },
    #[error("area \"{name}\": {why}")]
    Shape { name: String, why: BadShape },
}

#[derive(Deserialize)]
struct Collection {
    #[serde(rename = "type")]
    _kind: CollectionKind,
    features: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
enum CollectionKind {
    FeatureCollection,
}

#[derive(Deserialize)]
struct Feature {
    properties: Properties,
    geometry: Geometry,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(default)]
    name: String,
    premium_factor: f64,
    valid_from: Option<Timestamp>,
    valid_to: Option<Timestamp>,
}

/// Heights, which a position may have, mean nothing here.
#[derive(Deserialize)]
#[serde(tag = "type", content = "coordinates")]
enum Geometry {
    Polygon(Vec<Vec<Position>>),
    MultiPolygon(Vec<Vec<Vec<Position>>>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Position {
    Flat([f64; 2]),
    High([f64; 3]),
}

/// Reads a feature collection of polygons with `name`, `premium_factor` and, if they are not valid
/// for ever, `valid_from` and `valid_to`.
pub fn risk_areas(text: &str) -> Result<Vec<Area>, RiskAreaError> {
    let collection: Collection = serde_json::from_str(text)?;
    let mut areas: Vec<Area> = Vec::new();
    for (number, feature) in (1..).zip(collection.features) {
        let feature = serde_json::from_value(feature)
            .map_err(|why| RiskAreaError::Feature { number, why })?;
        let area = area(number, feature)?;
        if areas.iter().any(|other| other.name == area.name) {
            return Err(RiskAreaError::Twice { name: area.name.to_string() });
        }
        areas.push(area);
    }
    Ok(areas)
}

fn area(number: usize, feature: Feature) -> Result<Area, RiskAreaError> {
    let Feature { properties, geometry } = feature;
    let Properties { name, premium_factor, valid_from, valid_to } = properties;
    if !(1..=64).contains(&name.chars().count()) {
        return Err(RiskAreaError::NoName { number });
    }
    if !FACTORS.contains(&premium_factor) {
        return Err(RiskAreaError::Factor { name, factor: premium_factor });
    }
    if valid_from.zip(valid_to).is_some_and(|(from, to)| to <= from) {
        return Err(RiskAreaError::NeverValid { name });
    }
    let rings = match geometry {
        Geometry::Polygon(rings) => rings,
        Geometry::MultiPolygon(polygons) => polygons.into_iter().flatten().collect(),
    };
    let flat = |position: Position| match position {
        Position::Flat(at) | Position::High([at @ .., _]) => at,
    };
    let rings = rings.into_iter().map(|ring| ring.into_iter().map(flat).collect()).collect();
    let shape =
        Shape::polygon(rings).map_err(|why| RiskAreaError::Shape { name: name.clone(), why })?;
    Ok(Area {
        customer: None,
        name: name.into(),
        meaning: Meaning::Risk { premium_factor },
        shape,
        span: Span {
            from_ms: valid_from.map_or(i64::MIN, Timestamp::as_millisecond),
            to_ms: valid_to.map(Timestamp::as_millisecond),
        },
    })
}

#[cfg(test)]
mod tests {
    use ingest::Fix;

    use super::risk_areas;
    use crate::places::Areas;

    const FILE: &str = r#"{"type": "FeatureCollection", "features": [
        {"type": "Feature",
         "properties": {"name": "old town", "premium_factor": 1.5, "valid_to": "2026-07-01T00:00:00Z"},
         "geometry": {"type": "Polygon", "coordinates":
            [[[5.0, 52.0], [5.1, 52.0], [5.1, 52.1], [5.0, 52.1], [5.0, 52.0]]]}},
        {"type": "Feature",
         "properties": {"name": "station", "premium_factor": 2.0},
         "geometry": {"type": "MultiPolygon", "coordinates":
            [[[[5.04, 52.04, 3.0], [5.06, 52.04, 3.0], [5.06, 52.06, 3.0]]]]}}
    ]}"#;

    #[test]
    fn the_risk_of_a_place_is_found_by_place_and_time() {
        let areas = Areas::new(risk_areas(FILE).unwrap());
        let risks = |lon, lat, time: &str| -> Vec<(String, f64)> {
            let time_ms = time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            let fix = Fix::new(lat, lon, None).unwrap();
            let found = areas.risks(&fix, time_ms);
            found.into_iter().map(|(area, factor)| (area.name.to_string(), factor)).collect()
        };
        let (station, old_town) = (("station".to_owned(), 2.0), ("old town".to_owned(), 1.5));
        assert_eq!(risks(5.055, 52.045, "2026-06-01T00:00:00Z"), [station.clone(), old_town]);
        assert_eq!(risks(5.055, 52.045, "2026-07-01T00:00:00Z"), [station]);
        assert_eq!(risks(6.0, 52.045, "2026-06-01T00:00:00Z"), []);
    }

    #[test]
    fn a_bad_feature_is_refused_by_name() {
        let refused =
            |from: &str, to: &str| risk_areas(&FILE.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(refused("r\": 2.0", "r\": -1").contains("\"station\" has a premium_factor of -1"));
        assert!(refused("52.1]", "152.1]").contains("\"old town\": 152.1"));
        assert!(refused("\"station\"", "\"old town\"").contains("twice"));
        assert!(refused("\"name\": \"station\"", "\"note\": 1").contains("feature 2 has no name"));
        assert!(refused("\"Polygon\"", "\"Point\"").contains("feature 1"));
        assert!(refused("FeatureCollection", "Feature").contains("feature collection"));
        assert!(refused(", [5.06, 52.06, 3.0]", "").contains("2 corners"));
    }
}
