use ingest::weather::{Hour, Series};
use ingest::{Fix, Measure, Reading, Value};
use proptest::prelude::*;

use super::{FrostRisk, Heating, Memory, Stage};
use crate::places::Atlas;
use crate::weather::{Cell, Feed, HOUR_MS, Reach, Rows, Values};
use crate::{DeviceState, EnrichedReading, Event, Happening, World};

const MINUTE_MS: i64 = 60_000;
const START_MS: i64 = 1_768_867_200_000;
const HOME: (f64, f64) = (47.04, 11.49);

/// As cold as that outdoors, for ten days.
fn world(outdoor_c: f64) -> World {
    let hour = |hour: i64| Hour {
        valid_ms: START_MS + hour * HOUR_MS,
        observed: false,
        values: Values { temperature_c: Some(outdoor_c), ..Values::default() },
    };
    let series = Series {
        cell: Cell::of(HOME.0, HOME.1),
        source: "test".into(),
        lat: HOME.0,
        lon: HOME.1,
        elevation_m: None,
        issued_ms: START_MS - HOUR_MS,
        hours: (-1..240).map(hour).collect(),
    };
    let mut rows = Rows::new(vec![Reach { source: "test".into(), past_ms: 0, ahead_ms: 0 }]);
    rows.learn(&series, START_MS - HOUR_MS);
    World { atlas: Atlas::load(), weather: Feed::Rows(rows) }
}

fn says(minute: i64, indoor_c: f64, setpoint_c: Option<f64>) -> Reading {
    let mut measures = vec![(Measure::IndoorC, Value::Number(indoor_c))];
    measures.extend(setpoint_c.map(|setpoint_c| (Measure::SetpointC, Value::Number(setpoint_c))));
    let fix = Fix::new(HOME.0, HOME.1, Some(1_000.0));
    Reading { time_ms: START_MS + minute * MINUTE_MS, seq: None, fix, measures }
}

/// A house at 20 °C that is not heated from the start on, every ten minutes.
fn cooling(
    outdoor_c: f64,
    time_constant_h: f64,
    setpoint_c: Option<f64>,
    hours: i64,
) -> Vec<Reading> {
    let at = |minute: i64| {
        let passed_h = minute as f64 / 60.0;
        let indoor_c = outdoor_c + (20.0 - outdoor_c) * (-passed_h / time_constant_h).exp();
        says(minute, indoor_c, setpoint_c)
    };
    (0..hours * 6).map(|step| at(step * 10)).collect()
}

fn run(world: &World, readings: &[Reading]) -> Vec<(Event, FrostRisk)> {
    let (mut state, mut events) = (DeviceState::default(), Vec::new());
    for reading in readings {
        state.read(&EnrichedReading::join(reading, 1, world), world, &mut events);
    }
    let risks = events.into_iter().filter_map(|event| match &event.happening {
        Happening::FrostRisk(risk) => Some((event.clone(), risk.clone())),
        _ => None,
    });
    risks.collect()
}

#[test]
fn a_failed_boiler_is_told_hours_before_and_when_it_is_near() {
    let found = run(&world(-10.0), &cooling(-10.0, 40.0, Some(20.0), 60));
    let [(warned, ahead), (near_at, near)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((ahead.stage, ahead.heating), (Stage::Ahead, Heating::Failing));
    assert!((38.0..42.0).contains(&ahead.time_constant_h.unwrap()), "{ahead:?}");
    // It was told how long that would take, and took so long.
    let took_h = (near_at.time_ms - warned.time_ms) as f64 / HOUR_MS as f64;
    assert!((took_h - ahead.near_in_h.unwrap()).abs() < 0.5, "{took_h} {ahead:?}");
    assert!(took_h > 6.0);
    assert_eq!((near.stage, near.outdoor_c), (Stage::Near, -10.0));
    assert!((5.5..=6.0).contains(&near.indoor_c), "{near:?}");
    assert!(near.freezes_in_h.unwrap() > 10.0, "{near:?}");
    assert_eq!(near_at.known_ms - near_at.time_ms, 10 * MINUTE_MS);
}

#[test]
fn a_house_that_is_kept_warm_or_where_it_does_not_freeze_is_nobodys_worry() {
    let quiet = |outdoor_c, setpoint_c, hours| {
        run(&world(outdoor_c), &cooling(outdoor_c, 40.0, setpoint_c, hours)).is_empty()
    };
    assert!(quiet(2.0, Some(20.0), 200), "no frost");
    assert!(quiet(-10.0, Some(12.0), 13), "down to what the thermostat is set to");
    assert!(!quiet(-10.0, Some(5.0), 20), "set to guard nothing");
    assert!(!quiet(-10.0, None, 20), "who says nothing of it may be away");
    // At night the heating lets it fall, and nobody is woken.
    let night: Vec<Reading> =
        (0..48).map(|step| says(step * 10, 20.0 - step as f64 / 12.0, Some(16.0))).collect();
    assert_eq!(run(&world(-15.0), &night), []);
}

#[test]
fn it_is_near_again_only_after_it_was_over() {
    let world = world(-5.0);
    let wavers = |minute: i64, indoor_c: f64| says(minute, indoor_c, Some(5.0));
    let readings: Vec<Reading> =
        (0..600).map(|minute| wavers(minute, if minute % 7 < 5 { 5.9 } else { 6.2 })).collect();
    assert_eq!(run(&world, &readings).len(), 1);
    let warm = (600..660).map(|minute| wavers(minute, 9.0));
    let again = (660..700).map(|minute| wavers(minute, 5.0));
    let readings: Vec<Reading> = readings.into_iter().chain(warm).chain(again).collect();
    let stages: Vec<Stage> = run(&world, &readings).iter().map(|(_, risk)| risk.stage).collect();
    assert_eq!(stages, [Stage::Near, Stage::Near]);
    // One wild reading is nothing.
    let wild = [wavers(0, 14.0), wavers(5, 1.0), wavers(30, 14.0)];
    assert_eq!(run(&world, &wild), []);
}

#[test]
fn one_wild_reading_neither_warns_nor_doubles_what_was_told() {
    // At home in the evening: 10 °C, once.
    let world = world(-10.0);
    let home = |minute| says(minute, 20.0, Some(20.0));
    let mut readings: Vec<Reading> = (0..60).map(|step| home(step * 5)).collect();
    readings.push(says(300, 10.0, Some(20.0)));
    readings.extend((61..80).map(|step| home(step * 5)));
    assert_eq!(run(&world, &readings), []);
    // A cold house, and a thermometer that once says nonsense.
    let cold = |minute: i64| says(minute, if minute == 50 { 85.0 } else { 5.0 }, Some(5.0));
    let readings: Vec<Reading> = (0..20).map(|step| cold(step * 5)).collect();
    assert_eq!(run(&world, &readings).len(), 1);
    // One that is broken says nonsense for hours.
    let broken: Vec<Reading> = (0..60).map(|step| says(step * 5, -40.0, Some(20.0))).collect();
    assert_eq!(run(&world, &broken), []);
}

#[test]
fn heating_that_was_turned_on_a_moment_ago_has_not_failed() {
    let world = world(-10.0);
    let mut readings = cooling(-10.0, 40.0, Some(12.0), 11);
    let turned_on = |readings: &mut Vec<Reading>| {
        let [.., last] = readings.as_mut_slice() else { panic!("no reading") };
        last.measures[1] = (Measure::SetpointC, Value::Number(21.0));
    };
    assert_eq!(run(&world, &readings), []);
    turned_on(&mut readings);
    assert_eq!(run(&world, &readings), []);
    // If it does not get warmer then, it has.
    let all = cooling(-10.0, 40.0, Some(12.0), 13);
    let on = all.into_iter().enumerate().map(|(step, mut reading)| {
        if step >= 65 {
            reading.measures[1] = (Measure::SetpointC, Value::Number(21.0));
        }
        reading
    });
    let found = run(&world, &on.collect::<Vec<_>>());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].1.stage, found[0].1.heating), (Stage::Ahead, Heating::Failing));
}

#[test]
fn after_days_without_a_word_what_is_told_is_of_now() {
    let late = 13 * 60;
    let says = |minute| says(minute, 5.5, Some(20.0));
    let found = run(&world(-10.0), &[says(0), says(late), says(late + 5), says(late + 12)]);
    let [(event, risk)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(risk.stage, Stage::Near);
    assert_eq!(event.time_ms, START_MS + late * MINUTE_MS);
}

#[test]
fn an_open_window_says_nothing_of_the_house() {
    let mut readings = cooling(-10.0, 2.5, Some(20.0), 1);
    for reading in &mut readings {
        reading.measures.push((Measure::WindowOpen, Value::Flag(true)));
    }
    assert_eq!(run(&world(-10.0), &readings), []);
}

#[test]
fn a_thermostat_takes_little_memory() {
    assert!(size_of::<Memory>() <= 176, "{}", size_of::<Memory>());
    assert!(size_of::<DeviceState>() <= 1_024, "{}", size_of::<DeviceState>());
}

proptest! {
    /// Whatever thermometers say: it is told at most twice an episode, and never that it is near
    /// where it is warm indoors or does not freeze.
    #[test]
    fn what_is_told_holds(
        steps in proptest::collection::vec((1..90_i64, -10.0..20.0_f64), 1..80),
        outdoor_c in -20.0..5.0_f64,
    ) {
        let mut minute = 0;
        let readings: Vec<Reading> = steps.iter().map(|(gap, indoor_c)| {
            minute += gap;
            says(minute, *indoor_c, None)
        }).collect();
        let found = run(&world(outdoor_c), &readings);
        for (_, risk) in &found {
            prop_assert!(risk.stage == Stage::Ahead || risk.indoor_c <= 6.1 && risk.outdoor_c <= 0.0);
            prop_assert!(risk.near_in_h.is_none_or(|hours| (0.0..=24.0).contains(&hours)));
        }
        let twice = found.windows(2).any(|pair| (pair[0].1.stage, pair[1].1.stage) == (Stage::Ahead, Stage::Ahead)
            && steps.iter().all(|(_, indoor_c)| *indoor_c < 13.8));
        prop_assert!(!twice);
    }
}
