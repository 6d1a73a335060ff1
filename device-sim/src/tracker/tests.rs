use super::{Life, Tracker, flight};
use crate::geo::Position;
use crate::places::Country;
use crate::reading::{Reading, Value};
use crate::truth::What;

const HOME: Position = Position::new(51.37, 6.17);

fn number(reading: &Reading, name: &str) -> Option<f64> {
    reading.measures.iter().find_map(|&(measure, value)| match value {
        Value::Number(number, _) if measure == name => Some(number),
        _ => None,
    })
}

fn lives() -> [Life; 4] {
    let work = HOME.moved(-3_000.0, 2_500.0);
    [
        Life::Strolls { runs: false },
        Life::Strolls { runs: true },
        Life::Commutes { work, drives: false },
        Life::Commutes { work, drives: true },
    ]
}

#[test]
fn people_move_as_people_do() {
    for (seed, life) in lives().into_iter().enumerate() {
        let mut rng = fastrand::Rng::with_seed(seed as u64);
        let mut tracker = Tracker::new(HOME, life, (60.0, 600.0), &mut rng);
        let mut before: Option<Reading> = None;
        let (mut steps, mut rests) = (0.0, 0);
        for round in 0..17_280 {
            let now = tracker.next(1_768_867_200_000 + round * 5_000, &mut rng);
            assert!(now.fix.unwrap().position.distance_m(HOME) < 6_000.0);
            assert!((45.0..=190.0).contains(&number(&now, "heart_rate_bpm").unwrap()));
            rests += i32::from(now.measures.contains(&("activity", Value::Word("still"))));
            if let Some(before) = &before {
                let on = |r: &Reading| r.fix.unwrap().position;
                // Walking, and the wildest reflection there and back.
                assert!(on(before).distance_m(on(&now)) < 5.0 * 20.0 + 160.0);
                steps +=
                    (number(&now, "steps").unwrap() - number(before, "steps").unwrap()).max(0.0);
            }
            before = Some(now);
        }
        assert!(rests > 100 && rests < 17_000, "life {seed}: {rests} rests");
        assert_eq!(steps > 5_000.0, seed < 2, "life {seed}: {steps} steps");
    }
}

#[test]
fn a_flight_has_fixes_on_the_ground_only_and_ends_in_another_country() {
    let (munich, amsterdam) = (Position::new(48.3538, 11.7861), Position::new(52.3086, 4.7639));
    let line = flight(munich, amsterdam, [Country::De, Country::Nl]);
    let mut rng = fastrand::Rng::with_seed(1);
    let life = Life::Flies { line };
    let mut tracker = Tracker::new(munich, life, (1_800.0, 1_800.0), &mut rng);
    let readings: Vec<_> =
        (0..900).map(|n| tracker.next(1_768_867_200_000 + n * 5_000, &mut rng)).collect();
    let dark: Vec<_> = readings.iter().filter(|reading| reading.fix.is_none()).collect();
    // 670 km.
    assert!((550..720).contains(&dark.len()), "{} readings aloft", dark.len());
    assert!(dark.iter().all(|reading| number(reading, "speed_mps").is_none()));
    let fastest = readings.iter().filter_map(|r| number(r, "speed_mps")).fold(0.0, f64::max);
    assert!(fastest < 90.0, "{fastest} m/s with a fix");
    assert!(readings.last().unwrap().fix.unwrap().position.distance_m(amsterdam) < 100.0);
    let found = tracker.found(false);
    let crossed = What::BorderCrossed { from: "DE".into(), to: "NL".into() };
    assert_eq!(found.iter().map(|found| &found.what).collect::<Vec<_>>(), [&crossed]);
    assert!(found[0].unseen_ms > 2_500_000);
}

#[test]
fn goals_are_reached_once_a_day_and_once_a_week() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut tracker = Tracker::new(HOME, Life::Strolls { runs: false }, (60.0, 300.0), &mut rng);
    for minute in 0..14 * 1_440 {
        tracker.next(1_768_867_200_000 + minute * 60_000, &mut rng);
    }
    let found = tracker.found(true);
    let count = |wanted: &str| {
        let goals = found.iter().filter(
            |found| matches!(&found.what, What::GoalReached { goal, .. } if goal == wanted),
        );
        goals.count()
    };
    assert!((13..=15).contains(&count("steps_in_a_day")));
    // Two weeks that begin on a Tuesday are three on the calendar.
    assert_eq!(count("active_minutes_in_a_week"), 3);
}

#[test]
fn the_step_counter_starts_again_once_a_day() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut tracker = Tracker::new(HOME, Life::Strolls { runs: false }, (60.0, 300.0), &mut rng);
    let mut before = f64::INFINITY;
    let mut resets = 0;
    for minute in 0..3 * 1_440 {
        let now = tracker.next(1_768_867_200_000 + minute * 60_000, &mut rng);
        let steps = number(&now, "steps").unwrap();
        resets += i32::from(steps < before && minute > 0);
        before = steps;
    }
    assert_eq!(resets, 3);
}
