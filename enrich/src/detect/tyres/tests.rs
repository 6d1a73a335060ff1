use std::sync::LazyLock;

use ingest::weather::{Hour, Series};
use ingest::{Fix, Measure, Reading, Value};

use super::{Tyre, TyresUnfit, Unfit};
use crate::places::Atlas;
use crate::weather::{Cell, Feed, HOUR_MS, Synthetic, Values};
use crate::{DeviceState, EnrichedReading, Event, Happening, World};

static WORLD: LazyLock<World> =
    LazyLock::new(|| World { atlas: Atlas::load(), weather: Feed::Synthetic(Synthetic::new(1)) });

const MUNICH: (f64, f64) = (48.137, 11.575);
const SALZBURG: (f64, f64) = (47.80, 13.04);
const LJUBLJANA: (f64, f64) = (46.05, 14.51);

fn ms(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn car(time_ms: i64, at: (f64, f64), tyre: Option<u8>, tread_mm: f64) -> Reading {
    let mut measures = vec![(Measure::SpeedMps, Value::Number(20.0))];
    if let Some(tyre) = tyre {
        measures.push((Measure::Tyre, Value::Choice(tyre)));
    }
    measures.push((Measure::TreadMm, Value::Number(tread_mm)));
    Reading { time_ms, seq: None, fix: Fix::new(at.0, at.1, Some(5.0)), measures }
}

fn run(world: &World, readings: &[Reading]) -> Vec<Event> {
    let (mut state, mut events) = (DeviceState::default(), Vec::new());
    for reading in readings {
        state.read(&EnrichedReading::join(reading, 1, world), world, &mut events);
    }
    events
}

fn advice(world: &World, readings: &[Reading]) -> Vec<TyresUnfit> {
    let found = run(world, readings).into_iter().filter_map(|event| match event.happening {
        Happening::TyresUnfit(unfit) => Some(unfit),
        _ => None,
    });
    found.collect()
}

#[test]
fn summer_tyres_where_and_when_the_law_asks_for_winter_tyres() {
    // Slovenia asks for them from 15 November to 15 March, whatever the road.
    let on = |time: &str| advice(&WORLD, &[car(ms(time), LJUBLJANA, Some(0), 6.0)]);
    let found = on("2025-11-15T10:00:00Z");
    assert_eq!((found.len(), found[0].why, found[0].tyre), (1, Unfit::Law, Tyre::Summer));
    assert_eq!(found[0].country.code(), "SI");
    assert_eq!(on("2025-07-01T10:00:00Z"), []);
    // The day begins in Ljubljana, where it is one in the morning.
    assert_eq!(on("2025-11-14T23:30:00Z").len(), 1);
    assert_eq!(on("2025-11-14T22:30:00Z").len(), 0);
    // With winter tyres there is nothing to say, but for their tread: at least 3 mm there.
    let winter =
        |tread| advice(&WORLD, &[car(ms("2025-11-20T10:00:00Z"), LJUBLJANA, Some(1), tread)]);
    assert_eq!(winter(6.0), []);
    assert_eq!(winter(2.5)[0].why, Unfit::Tread);
}

#[test]
fn nobody_is_told_the_same_again_and_again() {
    let start_ms = ms("2025-12-01T06:00:00Z");
    let drive: Vec<Reading> =
        (0..600).map(|minute| car(start_ms + minute * 60_000, LJUBLJANA, Some(0), 6.0)).collect();
    assert_eq!(advice(&WORLD, &drive).len(), 1);
    let next_day = car(start_ms + 25 * HOUR_MS, LJUBLJANA, Some(0), 6.0);
    assert_eq!(advice(&WORLD, &[drive, vec![next_day]].concat()).len(), 2);
}

#[test]
fn crossing_a_border_is_looked_at_at_once() {
    let start_ms = ms("2026-02-01T10:10:00Z");
    let drive =
        [car(start_ms, SALZBURG, Some(0), 6.0), car(start_ms + 60_000, LJUBLJANA, Some(0), 6.0)];
    let found = advice(&WORLD, &drive);
    assert_eq!(found.last().unwrap().country.code(), "SI", "{found:?}");
}

#[test]
fn who_says_nothing_of_tyres_is_told_nothing() {
    let reading = car(ms("2025-12-01T10:00:00Z"), LJUBLJANA, None, 6.0);
    assert_eq!(advice(&WORLD, &[reading]), []);
}

/// Snow in Munich, from two hours after `start_ms` on.
fn snowy(start_ms: i64) -> World {
    let cell = Cell::of(MUNICH.0, MUNICH.1);
    let hours = (-12..=6).map(|hour| {
        let snows = hour >= 2;
        Hour {
            valid_ms: start_ms + hour * HOUR_MS,
            observed: false,
            values: Values {
                temperature_c: Some(-1.0),
                dew_point_c: Some(-8.0),
                precipitation_mm: Some(if snows { 1.0 } else { 0.0 }),
                snowfall_cm: Some(if snows { 1.0 } else { 0.0 }),
                ..Values::default()
            },
        }
    });
    let series = Series {
        cell,
        source: "test".into(),
        lat: MUNICH.0,
        lon: MUNICH.1,
        elevation_m: None,
        issued_ms: start_ms - 13 * HOUR_MS,
        hours: hours.collect(),
    };
    let mut rows = crate::weather::Rows::new(vec![crate::weather::Reach {
        source: "test".into(),
        past_ms: 0,
        ahead_ms: 0,
    }]);
    rows.learn(&series, start_ms - 13 * HOUR_MS);
    World { atlas: Atlas::load(), weather: Feed::Rows(rows) }
}

#[test]
fn snow_ahead_is_told_before_it_falls() {
    let start_ms = ms("2026-01-10T08:00:00Z");
    let world = snowy(start_ms);
    let found = advice(&world, &[car(start_ms, MUNICH, Some(0), 6.0)]);
    // Germany asks for winter tyres on such a road.
    assert_eq!((found[0].why, found[0].road_ms), (Unfit::Law, start_ms + 2 * HOUR_MS));
    let worn = advice(&world, &[car(start_ms, MUNICH, Some(1), 3.0)]);
    assert_eq!(worn[0].why, Unfit::Worn);
    assert_eq!(advice(&world, &[car(start_ms, MUNICH, Some(1), 6.0)]), []);
}

#[test]
fn a_car_takes_little_memory() {
    assert!(size_of::<super::Memory>() <= 160, "{}", size_of::<super::Memory>());
    assert!(size_of::<DeviceState>() <= 1_024, "{}", size_of::<DeviceState>());
}
