//! Readings as JSON, under the names they came with.

use ingest::measure::{Measure, Shape, Value};
use ingest::{DeviceKind, Reading};
use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A reading as its device could have sent it: decoding it gives the same reading again.
pub(crate) struct Wire<'a>(pub(crate) &'a Reading);

/// A reading and whose it is.
pub(crate) struct OfDevice<'a> {
    pub(crate) device: &'a str,
    pub(crate) kind: DeviceKind,
    pub(crate) reading: &'a Reading,
}

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        fields(&mut map, self.0)?;
        map.end()
    }
}

impl Serialize for OfDevice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("device", self.device)?;
        map.serialize_entry("kind", self.kind.name())?;
        fields(&mut map, self.reading)?;
        map.end()
    }
}

fn fields<M: SerializeMap>(map: &mut M, reading: &Reading) -> Result<(), M::Error> {
    map.serialize_entry("ts", &moment(reading.time_ms))?;
    if let Some(seq) = reading.seq {
        map.serialize_entry("seq", &seq)?;
    }
    if let Some(fix) = reading.fix {
        map.serialize_entry("lat", &fix.lat())?;
        map.serialize_entry("lon", &fix.lon())?;
        if let Some(accuracy_m) = fix.accuracy_m {
            map.serialize_entry("accuracy_m", &accuracy_m)?;
        }
    }
    for (measure, value) in &reading.measures {
        entry(map, *measure, value)?;
    }
    Ok(())
}

fn entry<M: SerializeMap>(map: &mut M, measure: Measure, value: &Value) -> Result<(), M::Error> {
    let name = measure.name();
    match value {
        Value::Number(number) => map.serialize_entry(name, number),
        Value::Flag(flag) => map.serialize_entry(name, flag),
        Value::Text(text) => map.serialize_entry(name, text),
        Value::Choice(choice) => {
            let word = match measure.shape() {
                Shape::Choice(words) => words.get(usize::from(*choice)),
                Shape::Number { .. } | Shape::Flag | Shape::Text { .. } => None,
            };
            map.serialize_entry(name, &word)
        }
    }
}

/// A moment in RFC 3339. Stored times have passed the check of their range.
pub(crate) fn moment(time_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::{OfDevice, Wire};
    use bytes::Bytes;
    use ingest::formats::decode;
    use ingest::{DeviceKind, Reading};

    const NOW_MS: i64 = 1_790_000_000_000;
    const TOPIC: &str = "telemetry/car/car-1";

    fn decoded(json: &str) -> Reading {
        let mut decoded = decode(TOPIC, &Bytes::from(json.to_owned()), NOW_MS).unwrap();
        decoded.readings.remove(0).unwrap()
    }

    #[test]
    fn what_is_shown_is_what_a_device_would_send() {
        let sent = r#"{"ts":"2026-09-21T14:13:20.5Z","seq":7,"lat":50.7753001,"lon":-6.0839,"accuracy_m":4.2,"speed_mps":27.81,"tyre":"winter","abs_active":false,"fault":"E \"7\"\n"}"#;
        let reading = decoded(sent);
        let shown = serde_json::to_string(&Wire(&reading)).unwrap();
        assert_eq!(shown, sent);
        assert_eq!(decoded(&shown), reading);
    }

    #[test]
    fn a_reading_in_the_fleet_says_whose_it_is() {
        let reading = decoded(r#"{"ts":1789999999,"indoor_c":20.5}"#);
        let shown = OfDevice { device: "home-1", kind: DeviceKind::Thermostat, reading: &reading };
        assert_eq!(
            serde_json::to_string(&shown).unwrap(),
            r#"{"device":"home-1","kind":"thermostat","ts":"2026-09-21T14:13:19Z","indoor_c":20.5}"#
        );
    }
}
