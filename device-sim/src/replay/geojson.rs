//! GeoJSON tracks: LineStrings and MultiLineStrings whose times stand in
//! `properties.coordinateProperties.times`, one for each coordinate. Points are places, not fixes.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;
use super::recording::{Body, Fix, Message, Recording};

/// A Feature, or a FeatureCollection of them.
#[derive(Deserialize)]
struct Feature {
    #[serde(default)]
    features: Vec<Feature>,
    geometry: Option<Geometry>,
    properties: Option<Properties>,
}

#[derive(Deserialize)]
struct Geometry {
    #[serde(rename = "type")]
    kind: String,
    /// How deeply nested depends on the kind.
    coordinates: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "coordinateProperties")]
    coordinate_properties: Option<CoordinateProperties>,
}

#[derive(Deserialize)]
struct CoordinateProperties {
    /// Nested as the coordinates are, less one.
    times: Option<Box<RawValue>>,
}

/// Longitude, latitude, maybe altitude.
type Position = Vec<f64>;
type Line = Vec<Position>;
type Times = Vec<Option<Box<RawValue>>>;

pub(crate) fn read(text: &str, topic: &str, accuracy_m: f64) -> Result<Recording> {
    let document: Feature = serde_json::from_str(text).context("not GeoJSON")?;
    let mut recording = Recording::default();
    let mut seq = 0;
    for feature in std::iter::once(&document).chain(&document.features) {
        for (line, times) in feature.lines()? {
            let mut times = times.into_iter();
            for position in line {
                seq += 1;
                let time = times.next().flatten();
                match message(&position, time.as_deref(), seq, topic, accuracy_m) {
                    Ok(message) => recording.push(message, format_args!("point {seq}")),
                    Err(why) => recording.unusable.add(format!("point {seq}: {why}")),
                }
            }
        }
    }
    Ok(recording)
}

impl Feature {
    fn lines(&self) -> Result<Vec<(Line, Times)>> {
        let Some(Geometry { kind, coordinates: Some(coordinates) }) = &self.geometry else {
            return Ok(Vec::new());
        };
        let properties =
            self.properties.as_ref().and_then(|all| all.coordinate_properties.as_ref());
        let times = properties.and_then(|all| all.times.as_ref()).map_or("[]", |times| times.get());
        let (lines, times): (Vec<Line>, Vec<Times>) = match kind.as_str() {
            "LineString" => (vec![parse(coordinates.get())?], vec![parse(times)?]),
            "MultiLineString" => (parse(coordinates.get())?, parse(times)?),
            _ => return Ok(Vec::new()),
        };
        let times = times.into_iter().chain(std::iter::repeat_with(Times::new));
        Ok(lines.into_iter().zip(times).collect())
    }
}

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).context("coordinates or times of a line are not GeoJSON")
}

fn message(
    position: &Position,
    time: Option<&RawValue>,
    seq: u64,
    topic: &str,
    accuracy_m: f64,
) -> Result<Message, String> {
    let [lon, lat, rest @ ..] = position.as_slice() else {
        return Err("no valid lat and lon".to_owned());
    };
    let altitude_m = rest.first().copied();
    let fix = Fix { seq, lat: *lat, lon: *lon, accuracy_m, altitude_m, speed_mps: None };
    if !fix.is_valid() {
        return Err("no valid lat and lon".to_owned());
    }
    let time = time.ok_or("no time")?.get();
    let at_ms = json::value_ms(time).ok_or_else(|| format!("{time} is no time"))?;
    Ok(Message { topic: topic.to_owned(), at_ms, body: Body::Fix(fix) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(recording: &Recording) -> Vec<i64> {
        recording.messages.iter().map(|message| message.at_ms).collect()
    }

    #[test]
    fn a_line_with_times_is_a_track_and_a_point_is_not() {
        let text = r#"{"type":"FeatureCollection","features":[
            {"type":"Feature","properties":{"name":"a","coordinateProperties":{"times":["1970-01-01T00:00:01Z","1970-01-01T00:00:02.5Z"]}},
             "geometry":{"type":"LineString","coordinates":[[16.95,51.11,124.1],[16.96,51.12]]}},
            {"type":"Feature","properties":null,"geometry":{"type":"Point","coordinates":[16.95,51.11]}}]}"#;
        let recording = read(text, "t", 5.0).unwrap();
        assert_eq!(times(&recording), [1_000, 2_500]);
        let Body::Fix(first) = &recording.messages[0].body else { panic!("not a fix") };
        let altitude_m = Some(124.1);
        let expect =
            Fix { seq: 1, lat: 51.11, lon: 16.95, accuracy_m: 5.0, altitude_m, speed_mps: None };
        assert_eq!(*first, expect);
    }

    #[test]
    fn a_single_feature_of_several_lines_is_read() {
        let text = r#"{"type":"Feature","properties":{"coordinateProperties":{"times":[["1970-01-01T00:00:01Z"],["1970-01-01T00:00:09Z"]]}},
            "geometry":{"type":"MultiLineString","coordinates":[[[1,2]],[[3,4]]]}}"#;
        assert_eq!(times(&read(text, "t", 5.0).unwrap()), [1_000, 9_000]);
    }

    #[test]
    fn points_that_cannot_be_used_are_noted() {
        let text = r#"{"type":"Feature","properties":{"coordinateProperties":{"times":[null,"noon","1970-01-01T00:00:01Z"]}},
            "geometry":{"type":"LineString","coordinates":[[1,2],[1,2],[1],[1,2]]}}"#;
        let recording = read(text, "t", 5.0).unwrap();
        assert_eq!(
            recording.unusable.first,
            [
                "point 1: no time",
                "point 2: \"noon\" is no time",
                "point 3: no valid lat and lon",
                "point 4: no time",
            ]
        );
    }

    #[test]
    fn what_is_no_geojson_is_refused() {
        assert!(read("<gpx/>", "t", 5.0).is_err());
        assert!(read(r#"{"geometry":{"type":"LineString","coordinates":[1]}}"#, "t", 5.0).is_err());
    }
}
