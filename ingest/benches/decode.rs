//! What one message costs from bytes to validated readings: `cargo bench -p ingest`.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should say so")]

use bytes::Bytes;
use divan::Bencher;
use ingest::formats::decode;

const NOW: i64 = 1_790_000_100_000;
const CAR: &str = "telemetry/car/car-01";

/// 150 bytes, as a car with a position sends once a second.
const READING: &str = r#"{"ts":1790000000123,"seq":4711,"lat":50.7753455,"lon":6.0838868,"accuracy_m":4.2,"speed_mps":27.83,"course_deg":271.5,"odometer_m":48211537,"ambient_c":3}"#;

const WITH_CALENDAR_TIME: &str = r#"{"ts":"2026-09-21T14:13:20.123Z","seq":4711,"lat":50.7753455,"lon":6.0838868,"accuracy_m":4.2,"speed_mps":27.83,"course_deg":271.5,"ambient_c":3.5}"#;

const OWNTRACKS: &str = r#"{"bs":1,"p":100.28,"batt":94,"_type":"location","tid":"RO","alt":36,"lon":13.333,"t":"p","vel":5,"conn":"w","vac":3,"cog":98,"acc":9,"tst":1789999990,"lat":52.226,"m":1,"inrids":["5f1d1b"],"inregions":["home"]}"#;

fn main() {
    divan::main();
}

fn run(bencher: Bencher, topic: &str, payload: &Bytes, readings: usize) {
    let decoded = decode(topic, payload, NOW).expect("the benchmark's own payload is good");
    assert_eq!(decoded.readings.iter().flatten().count(), readings);
    bencher
        .counter(divan::counter::ItemsCount::new(readings))
        .bench(|| decode(divan::black_box(topic), divan::black_box(payload), NOW));
}

#[divan::bench]
fn json(bencher: Bencher) {
    run(bencher, CAR, &Bytes::from_static(READING.as_bytes()), 1);
}

#[divan::bench]
fn json_calendar_time(bencher: Bencher) {
    run(bencher, CAR, &Bytes::from_static(WITH_CALENDAR_TIME.as_bytes()), 1);
}

#[divan::bench]
fn json_array_of_100(bencher: Bencher) {
    run(bencher, CAR, &Bytes::from(format!("[{}]", vec![READING; 100].join(","))), 100);
}

#[divan::bench]
fn cbor(bencher: Bencher) {
    let reading: serde_json::Value = serde_json::from_str(READING).expect("is JSON");
    let mut payload = Vec::new();
    ciborium::into_writer(&reading, &mut payload).expect("a vector takes everything");
    run(bencher, CAR, &payload.into(), 1);
}

#[divan::bench]
fn owntracks_location(bencher: Bencher) {
    run(bencher, "owntracks/jane/phone", &Bytes::from_static(OWNTRACKS.as_bytes()), 1);
}
