//! What devices send, literally, and what becomes of it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod documentation;
mod native;
mod owntracks;
mod properties;
mod reasons;

use bytes::Bytes;
use ingest::measure::Shape;
use ingest::{Decoded, Measure, Reading, Rejected, Value, formats};

/// 2026-09-21T14:15:00Z
const NOW: i64 = 1_790_000_100_000;

const CAR: &str = "telemetry/car/car-01";
const PHONE: &str = "owntracks/Jane/iPhone 12 Pro";

/// Decodes `payload` at [`NOW`] and compares with `expected`: one line for each reading.
#[track_caller]
fn check(topic: &str, payload: impl AsRef<[u8]>, expected: &[&str]) {
    let payload = Bytes::copy_from_slice(payload.as_ref());
    assert_eq!(shown(topic, &payload), expected, "{topic}: {payload:?}");
}

fn shown(topic: &str, payload: &Bytes) -> Vec<String> {
    match formats::decode(topic, payload, NOW) {
        Ok(Decoded { readings, .. }) => readings
            .iter()
            .map(|reading| reading.as_ref().map_or_else(rejected_line, reading_line))
            .collect(),
        Err((_, rejected)) => vec![format!("all: {}", rejected_line(&rejected))],
    }
}

fn rejected_line(rejected: &Rejected) -> String {
    format!("{}: {}", rejected.reason.name(), rejected.detail)
}

/// Time, `#` sequence number, position with `±` accuracy, measures.
fn reading_line(reading: &Reading) -> String {
    let mut words = vec![jiff::Timestamp::from_millisecond(reading.time_ms).unwrap().to_string()];
    words.extend(reading.seq.map(|seq| format!("#{seq}")));
    words.extend(reading.fix.map(|fix| {
        let accuracy = fix.accuracy_m.map(|metres| format!("±{metres}")).unwrap_or_default();
        format!("{},{}{accuracy}", fix.lat(), fix.lon())
    }));
    words.extend(
        reading
            .measures
            .iter()
            .map(|(measure, value)| format!("{}={}", measure.name(), shown_value(*measure, value))),
    );
    words.join(" ")
}

fn shown_value(measure: Measure, value: &Value) -> String {
    match (value, measure.shape()) {
        (Value::Choice(place), Shape::Choice(words)) => words[usize::from(*place)].into(),
        (Value::Number(number), _) => number.to_string(),
        (Value::Flag(flag), _) => flag.to_string(),
        (Value::Text(text), _) => format!("{text:?}"),
        (Value::Choice(_), shape) => panic!("a choice for {shape:?}"),
    }
}
