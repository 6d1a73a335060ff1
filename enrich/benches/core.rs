//! What one reading costs before it is written: decode, place, detect.

#![allow(clippy::expect_used, reason = "a benchmark may stop where it cannot go on")]

use bytes::Bytes;
use divan::{Bencher, black_box};
use enrich::places::Atlas;
use enrich::weather::{Cell, Feed, HOUR_MS, Hour, Reach, Rows, Series, Synthetic};
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
fn weather_as_of_synthetic(bencher: Bencher) {
    let world = world();
    let fix = ingest::Fix::new(52.1, 5.0, None).expect("on earth");
    bencher.bench_local(|| black_box(world.weather.as_of(&fix, NOW_MS, NOW_MS)));
}

/// The join over a thousand cells with six days of rows from two feeds.
#[divan::bench]
fn weather_as_of_rows(bencher: Bencher) {
    let feed = Feed::Rows(rows());
    let fixes: Vec<_> = (0..1_000)
        .filter_map(|at| {
            ingest::Fix::new(50.0 + f64::from(at % 32) * 0.1, f64::from(at / 32) * 0.1, None)
        })
        .collect();
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 1) % fixes.len();
        black_box(feed.as_of(&fixes[at], NOW_MS - 5 * HOUR_MS, NOW_MS))
    });
}

fn rows() -> Rows {
    let made_up = Synthetic::new(1);
    let reach = |source: &str| Reach { source: source.into(), past_ms: 0, ahead_ms: 0 };
    let mut rows = Rows::new(vec![reach("a"), reach("b")]);
    for at in 0..1_000 {
        let cell = Cell::of(50.05 + f64::from(at % 32) * 0.1, 0.05 + f64::from(at / 32) * 0.1);
        let (lat, lon) = cell.centre();
        let hour = |hour: i64| {
            let row = made_up.row(cell, NOW_MS + hour * HOUR_MS, NOW_MS);
            Hour { valid_ms: row.valid_ms, observed: row.observed, values: row.values }
        };
        for source in ["a", "b"] {
            rows.learn(
                &Series {
                    cell,
                    source: source.into(),
                    lat,
                    lon,
                    elevation_m: Some(4.0),
                    issued_ms: NOW_MS,
                    hours: (-72..72).map(hour).collect(),
                },
                NOW_MS,
            );
        }
    }
    rows
}
