//! The wire formats that devices write.

use std::str::FromStr;

use serde_json::json;

use crate::options::MixError;
use crate::reading::{Reading, Value};

/// What a device's messages look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The native format as JSON.
    Json,
    /// The native format as CBOR.
    Cbor,
    /// What the OwnTracks apps send; only trackers do.
    OwnTracks,
}

impl FromStr for Format {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        match text {
            "json" => Ok(Self::Json),
            "cbor" => Ok(Self::Cbor),
            "owntracks" => Ok(Self::OwnTracks),
            _ => Err(MixError(text.into(), "json, cbor or owntracks")),
        }
    }
}

impl Format {
    /// The payload of a message with these readings: one as an object, several as an array.
    #[must_use]
    pub(crate) fn encode(self, readings: &[Reading]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(320 * readings.len());
        // Writing to memory does not fail, every key is a string and every number finite; were it
        // otherwise, an empty payload would be noticed.
        let written = match (self, readings) {
            (Self::Json, [reading]) => serde_json::to_writer(&mut bytes, reading).is_ok(),
            (Self::Json, _) => serde_json::to_writer(&mut bytes, readings).is_ok(),
            (Self::Cbor, [reading]) => ciborium::into_writer(reading, &mut bytes).is_ok(),
            (Self::Cbor, _) => ciborium::into_writer(readings, &mut bytes).is_ok(),
            (Self::OwnTracks, _) => match readings.last() {
                Some(reading) => serde_json::to_writer(&mut bytes, &location(reading)).is_ok(),
                None => false,
            },
        };
        if !written {
            bytes.clear();
        }
        bytes
    }
}

/// A reading as the OwnTracks app for Android would send it: whole seconds, metres and km/h.
fn location(reading: &Reading) -> serde_json::Value {
    let mut location = json!({
        "_type": "location",
        "tst": reading.ts_ms.div_euclid(1_000),
        "tid": "ds",
        "t": "p",
    });
    if let Some(fix) = &reading.fix {
        location["lat"] = json!(fix.position.lat);
        location["lon"] = json!(fix.position.lon);
        location["acc"] = json!(fix.accuracy_m.ceil() as i64);
    }
    for (name, value) in &reading.measures {
        match (*name, value) {
            ("speed_mps", Value::Number(mps, _)) => location["vel"] = json!((mps * 3.6).round()),
            ("course_deg", Value::Number(deg, _)) => location["cog"] = json!(deg.round()),
            ("battery_pct", Value::Number(pct, _)) => location["batt"] = json!(pct.round()),
            ("activity", Value::Word(activity)) => {
                let activity = match *activity {
                    "still" => "stationary",
                    "driving" => "automotive",
                    other => other,
                };
                location["motionactivities"] = json!([activity]);
            }
            _ => {}
        }
    }
    location
}

#[cfg(test)]
mod tests {
    use super::Format;
    use crate::geo::Position;
    use crate::reading::{Fix, Reading, TimeFormat, Value};

    fn reading(seq: u64) -> Reading {
        let position = Position::new(51.370_41, 6.172_4);
        Reading {
            ts_ms: 1_768_867_200_250,
            time_format: TimeFormat::EpochMs,
            seq,
            fix: Some(Fix { position, accuracy_m: 4.56, decimals: 7 }),
            measures: vec![
                ("speed_mps", Value::Number(10.0, 2)),
                ("activity", Value::Word("driving")),
            ],
        }
    }

    #[test]
    fn json_and_cbor_mean_the_same_alone_and_in_arrays() {
        for readings in [vec![reading(7)], vec![reading(7), reading(8)]] {
            let json: serde_json::Value =
                serde_json::from_slice(&Format::Json.encode(&readings)).unwrap();
            let cbor: serde_json::Value =
                ciborium::from_reader(&Format::Cbor.encode(&readings)[..]).unwrap();
            assert_eq!(json, cbor);
            assert_eq!(json.is_array(), readings.len() > 1);
        }
    }

    #[test]
    fn owntracks_counts_in_seconds_and_km_per_hour() {
        let bytes = Format::OwnTracks.encode(&[reading(7)]);
        let location: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(location["_type"], "location");
        assert_eq!(location["tst"], 1_768_867_200);
        assert_eq!((&location["vel"], &location["acc"]), (&36.0.into(), &5.into()));
        assert_eq!(location["motionactivities"][0], "automotive");
    }
}
