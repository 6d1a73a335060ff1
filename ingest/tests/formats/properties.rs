//! What must hold for any reading, and for any bytes.

use bytes::Bytes;
use ingest::formats::decode;
use ingest::measure::Shape;
use ingest::{DeviceKind, Fix, Measure, Reading, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::{CAR, NOW, PHONE};

fn value(measure: Measure) -> BoxedStrategy<Value> {
    match measure.shape() {
        // Minus zero is normalised, and cannot be equal here.
        Shape::Number { min, max } => {
            (min..=max).prop_map(|number| Value::Number(number + 0.0)).boxed()
        }
        Shape::Flag => any::<bool>().prop_map(Value::Flag).boxed(),
        Shape::Choice(words) => (0..words.len() as u8).prop_map(Value::Choice).boxed(),
        Shape::Text { .. } => {
            "[a-zé\"\\\\\n]{1,20}".prop_map(|text| Value::Text(text.into())).boxed()
        }
    }
}

fn measures() -> impl Strategy<Value = Vec<(Measure, Value)>> {
    let one =
        prop::sample::select(Measure::ALL).prop_flat_map(|measure| (Just(measure), value(measure)));
    vec(one, 1..12).prop_map(|measures| {
        let unique: std::collections::BTreeMap<_, _> = measures.into_iter().collect();
        unique.into_iter().collect()
    })
}

fn reading() -> impl Strategy<Value = Reading> {
    let place = (-900_000_000..=900_000_000, 1..=1_800_000_000, any::<bool>(), 0.1f32..5e3);
    let fix = place.prop_map(|(lat_e7, lon_e7, accurate, accuracy)| Fix {
        lat_e7,
        lon_e7,
        accuracy_m: accurate.then_some(accuracy),
    });
    let time = NOW - 10 * 365 * 86_400_000..NOW;
    (time, any::<Option<u64>>(), proptest::option::of(fix), measures())
        .prop_map(|(time_ms, seq, fix, measures)| Reading { time_ms, seq, fix, measures })
}

fn written(reading: &Reading) -> serde_json::Value {
    let mut object = json!({"ts": reading.time_ms, "seq": reading.seq});
    if let Some(fix) = reading.fix {
        object["lat"] = json!(fix.lat());
        object["lon"] = json!(fix.lon());
        object["accuracy_m"] = json!(fix.accuracy_m);
    }
    for (measure, value) in &reading.measures {
        object[measure.name()] = match (value, measure.shape()) {
            (Value::Choice(place), Shape::Choice(words)) => json!(words[usize::from(*place)]),
            (Value::Number(number), _) => json!(number),
            (Value::Flag(flag), _) => json!(flag),
            (Value::Text(text), _) => json!(text),
            (Value::Choice(_), shape) => panic!("a choice for {shape:?}"),
        };
    }
    object
}

fn cbor(value: &serde_json::Value) -> Bytes {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes.into()
}

fn readings(payload: &Bytes) -> Vec<Reading> {
    let decoded = decode(CAR, payload, NOW).expect("is well formed");
    decoded.readings.into_iter().map(|one| one.expect("is valid")).collect()
}

/// Whatever the outcome, it accounts for the message and keeps the bytes of what was refused.
fn check_any(payload: &Bytes) {
    let native = DeviceKind::ALL.map(|kind| format!("telemetry/{}/d", kind.name()));
    for topic in native.iter().map(String::as_str).chain([PHONE, "owntracks/a/b/event", "x"]) {
        match decode(topic, payload, NOW) {
            Ok(decoded) => {
                for rejected in decoded.readings.iter().filter_map(|one| one.as_ref().err()) {
                    assert!(!rejected.raw.is_empty() && rejected.raw.len() <= payload.len());
                }
            }
            Err((_, rejected)) => assert_eq!(rejected.raw, payload),
        }
    }
}

proptest! {
    #[test]
    fn json_and_cbor_carry_a_reading_exactly(reading in reading()) {
        let object = written(&reading);
        prop_assert_eq!(readings(&object.to_string().into()), vec![reading.clone()]);
        prop_assert_eq!(readings(&cbor(&object)), vec![reading]);
    }

    #[test]
    fn arrays_keep_the_order(sent in vec(reading(), 1..8)) {
        let array = serde_json::Value::Array(sent.iter().map(written).collect());
        prop_assert_eq!(readings(&array.to_string().into()), sent.clone());
        prop_assert_eq!(readings(&cbor(&array)), sent);
    }

    #[test]
    fn no_bytes_cause_a_panic(payload in vec(any::<u8>(), 0..300)) {
        check_any(&payload.into());
    }

    #[test]
    fn damaged_messages_cause_no_panic(
        sent in vec(reading(), 1..3),
        damage in vec(any::<(prop::sample::Index, u8)>(), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let array = serde_json::Value::Array(sent.iter().map(written).collect());
        for payload in [Bytes::from(array.to_string()), cbor(&array)] {
            let mut damaged = payload.to_vec();
            for (at, byte) in &damage {
                let at = at.index(damaged.len());
                damaged[at] = *byte;
            }
            check_any(&damaged.into());
            check_any(&payload.slice(..cut.index(payload.len())));
        }
    }

    #[test]
    fn no_topic_causes_a_panic(topic in "(telemetry|owntracks|x)?(/[a-zé ./]{0,70}){0,6}") {
        if let Ok(decoded) = decode(&topic, &Bytes::from_static(b"{}"), NOW) {
            prop_assert!((1..=64).contains(&decoded.device.len()));
        }
    }
}
