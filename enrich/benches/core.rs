//! What one reading costs before it is written: decode, place, detect.

#![allow(clippy::expect_used, reason = "a benchmark may stop where it cannot go on")]

use bytes::Bytes;
use divan::{Bencher, black_box};
use enrich::places::Atlas;
use enrich::weather::{Feed, Synthetic};
use enrich::{DeviceState, EnrichedReading, World};
use ingest::Reading;

fn main() {
    divan::main();
}

const NOW_MS: i64 = 1_768_478_400_000;

fn world() -> World {
    World { atlas: Atlas::load(), weather: Feed::Synthetic(Synthetic::new(1)) }
}

/// A thousand JSON messages of a car driving east from `lat`, `lon`.
fn drive(lat: f64, lon: f64) -> Vec<Bytes> {
    (0..1_000)
        .map(|second| {
            let lon = lon + f64::from(second) * 4e-4;
            let ts = NOW_MS - 1_000_000 + i64::from(second) * 1_000;
            format!(
                r#"{{"ts":{ts},"seq":{second},"lat":{lat},"lon":{lon:.6},"accuracy_m":5,"speed_mps":28.4,"odometer_m":1823045,"tyre":"winter","ambient_c":-2.5}}"#
            )
            .into()
        })
        .collect()
}

fn decode(payload: &Bytes) -> Reading {
    let decoded = ingest::formats::decode("telemetry/car/car-1", payload, NOW_MS);
    let mut decoded = decoded.expect("a payload of ours");
    decoded.readings.remove(0).expect("a reading of ours")
}

/// From the payload to the detectors' new state: in the middle of a country, and along a border.
#[divan::bench(args = [("inland", 52.1, 5.0), ("along the Rhine border", 48.6, 7.6)])]
fn decode_enrich_detect(bencher: Bencher, (_, lat, lon): (&str, f64, f64)) {
    let (world, drive) = (world(), drive(lat, lon));
    bencher.counter(drive.len()).bench_local(|| {
        let mut state = DeviceState::default();
        let mut events = Vec::new();
        for payload in &drive {
            let reading = decode(payload);
            state.read(&EnrichedReading::join(&reading, 1, &world), &world, &mut events);
        }
        black_box((state, events))
    });
}

#[divan::bench]
fn decode_only(bencher: Bencher) {
    let drive = drive(52.1, 5.0);
    bencher.counter(drive.len()).bench_local(|| {
        drive.iter().for_each(|payload| {
            black_box(decode(payload));
        });
    });
}

#[divan::bench]
fn weather_as_of(bencher: Bencher) {
    let world = world();
    let fix = ingest::Fix::new(52.1, 5.0, None).expect("on earth");
    bencher.bench_local(|| black_box(world.weather.as_of(&fix, NOW_MS, NOW_MS)));
}
