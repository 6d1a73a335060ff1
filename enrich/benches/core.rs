//! What one reading costs before it is written: decode, place, detect.

#![allow(clippy::expect_used, reason = "a benchmark may stop where it cannot go on")]

use bytes::Bytes;
use divan::{Bencher, black_box};
use enrich::places::{Area, Areas, Atlas, Meaning, Shape};
use enrich::registry::{Registry, RegistryFile, Span};
use enrich::rules::{Occasion, RuleSet};
use enrich::weather::{Cell, Feed, HOUR_MS, Hour, Reach, Rows, Series, Synthetic};
use enrich::{
    BorderCrossed, Cause, Country, DeviceState, EnrichedReading, Event, Happening, World,
};
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

/// Somebody who crossed a border, asked by sets of rules: ten, and a thousand of which a hundred are
/// on that event. One in ten of those on it says something.
#[divan::bench(args = [(10, 10), (1_000, 100)])]
fn rules_on_an_event(bencher: Bencher, (all, on_it): (usize, usize)) {
    let (world, registry, event) = (world(), registry(), crossing());
    let rules = rules(all, on_it);
    bencher.bench_local(|| {
        black_box(rules.answer(&occasion(&event, &registry, &world)).firings.len())
    });
}

/// The same as a share of all that a reading costs, when one reading in a thousand is an event.
#[divan::bench(args = [(10, 10), (1_000, 100)])]
fn a_thousand_readings_and_an_event(bencher: Bencher, (all, on_it): (usize, usize)) {
    let (world, registry, event) = (world(), registry(), crossing());
    let (rules, drive) = (rules(all, on_it), drive(52.1, 5.0));
    bencher.counter(drive.len()).bench_local(|| {
        let (mut state, mut events) = (DeviceState::default(), Vec::new());
        for payload in &drive {
            let reading = decode(payload);
            state.read(&EnrichedReading::join(&reading, 1, &world), &world, &mut events);
        }
        black_box(rules.answer(&occasion(&event, &registry, &world)).firings.len())
    });
}

/// The shipped rule for travel many times over, each with a condition of its own.
fn rules(all: usize, on_it: usize) -> RuleSet {
    let texts: Vec<String> = (0..all)
        .map(|number| {
            let (shipped, id, place) = match number < on_it {
                true => (include_str!("../rules/travel-offer.toml"), "travel-offer", "event.to"),
                false => {
                    (include_str!("../rules/winter-tyres.toml"), "winter-tyres", "event.country")
                }
            };
            let when = match number % 10 {
                0 => format!("{place} != \"NL\" && weather.temperature_c < 60"),
                _ => format!("{place} in [\"AT\", \"CH\"] && weather.wind_mps > 20"),
            };
            shipped.replace(&format!("id = \"{id}\""), &format!("id = \"{id}-{number}\"")).replacen(
                "product =",
                &format!("when = '{when}'\nproduct ="),
                1,
            )
        })
        .collect();
    RuleSet::of_texts(&texts).expect("rules of ours")
}

fn registry() -> Registry {
    let text = r#"
        [[insurer]]
        id = "alpina"
        name = "Alpina"
        [[fleet]]
        prefix = "car-"
        kind = "car"
        count = 1
        insurer = "alpina"
        products = ["travel", "winter_tyres"]
        since = "2020-01-01T00:00:00Z"
        home = "NL"
        covers = ["DE"]
        wording = "1"
    "#;
    let mut registry = Registry::default();
    let entries = RegistryFile::parse(text).expect("a registry of ours");
    entries.into_iter().for_each(|entry| registry.apply(entry));
    registry
}

fn crossing() -> Event {
    Event {
        time_ms: NOW_MS,
        known_ms: NOW_MS,
        cause: Cause { time_ms: NOW_MS, seq: None, content: 0 },
        happening: Happening::BorderCrossed(BorderCrossed {
            from: Country::new("DE").expect("a code"),
            to: Country::new("PL").expect("a code"),
            after_ms: NOW_MS,
            before_ms: NOW_MS,
            lat: 51.3,
            lon: 15.0,
            past_border_m: Some(600.0),
            arrived: false,
            certainty: 0.98,
        }),
    }
}

fn occasion<'a>(event: &'a Event, registry: &'a Registry, world: &'a World) -> Occasion<'a> {
    Occasion {
        event,
        reading: None,
        device: None,
        booked: &[],
        marked_low: &[],
        customer: 0,
        registry,
        world,
        now_ms: NOW_MS,
    }
}

/// Fixes within 40 km around a place.
fn around(lat: f64, lon: f64) -> Vec<ingest::Fix> {
    (0..1_000)
        .map(|step| {
            let (north, east) = (f64::from(step * 37 % 701), f64::from(step * 53 % 709));
            let (lat, lon) = (lat + (north - 350.0) / 1_000.0, lon + (east - 350.0) / 700.0);
            ingest::Fix::new(lat, lon, Some(8.0)).expect("on earth")
        })
        .collect()
}

/// Which country, and whether that is certain: in the middle of one, and where three meet.
#[divan::bench(args = [("inland", 47.0, 2.5), ("around Vaals", 50.75, 6.0)])]
fn locate(bencher: Bencher, (_, lat, lon): (&str, f64, f64)) {
    let (atlas, fixes) = (Atlas::load(), around(lat, lon));
    bencher.counter(fixes.len()).bench_local(|| {
        fixes.iter().for_each(|fix| {
            black_box(atlas.locate(fix));
        });
    });
}

/// Region, town and time zone.
#[divan::bench]
fn details(bencher: Bencher) {
    let (atlas, fixes) = (Atlas::load(), around(50.75, 6.0));
    black_box(atlas.details(&fixes[0]));
    bencher.counter(fixes.len()).bench_local(|| {
        fixes.iter().for_each(|fix| {
            black_box(atlas.details(fix));
        });
    });
}

/// The areas a fix lies in, of 100,000: homes of 150 m in a region of 80 km, a hundred customers
/// to a street.
#[divan::bench]
fn areas_of_100_000(bencher: Bencher) {
    let home = |number: u32| {
        let street = f64::from(number / 100);
        let (lat, lon) = (51.4 + street % 32.0 / 45.0, 4.5 + (street / 32.0).floor() / 28.0);
        Area {
            customer: Some(number),
            name: "home".into(),
            meaning: Meaning::Home,
            shape: Shape::circle(lat, lon, 150.0).expect("a circle"),
            span: Span { from_ms: 0, to_ms: None },
        }
    };
    let areas = Areas::new((0..100_000).map(home).collect());
    let fixes = around(51.75, 5.0);
    bencher.counter(fixes.len()).bench_local(|| {
        fixes.iter().zip(0..).for_each(|(fix, customer)| {
            black_box(areas.at(fix, customer * 100, NOW_MS).count());
        });
    });
}
