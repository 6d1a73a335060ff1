//! What insurers are told, in cases that were once wrong.

use super::{GERMANY, NETHERLANDS, NOW_MS, Trial, reading};
use crate::TriggerRow;

fn told(trial: &Trial) -> Vec<TriggerRow> {
    trial.reader().released_after(0, 1_000).unwrap()
}

/// Two fixes abroad after one at home: a crossing.
fn cross(trial: &mut Trial, device: &'static str) {
    trial.send(device, &[reading(0, NETHERLANDS), reading(300, GERMANY), reading(350, GERMANY)]);
}

#[test]
fn an_insurer_without_consent_does_not_even_hear_that_it_was_wrong() {
    let mut trial = Trial::new(u64::MAX);
    cross(&mut trial, "car-c");
    assert_eq!(told(&trial).len(), 1);
    // Ten minutes later Carl has withdrawn his consent; another one justifies the reading.
    trial.at(NOW_MS + 660_000);
    trial.send("car-c", &[reading(325, NETHERLANDS)]);
    assert_eq!(trial.counts().stored, 4);
    assert_eq!(told(&trial).len(), 1);
}

#[test]
fn a_crossing_found_before_one_that_stands_gets_an_id_of_its_own() {
    let mut trial = Trial::new(u64::MAX);
    cross(&mut trial, "car-a");
    let first = told(&trial).remove(0);
    trial.send(
        "car-a",
        &[
            reading(60, GERMANY),
            reading(90, GERMANY),
            reading(150, NETHERLANDS),
            reading(180, NETHERLANDS),
            reading(210, NETHERLANDS),
        ],
    );
    trial.rest();
    trial.check();
    trial.check_events();
    let said = told(&trial);
    let ids: std::collections::BTreeSet<_> = said.iter().map(|row| &row.body.id).collect();
    assert_eq!(ids.len(), 3);
    let last = said.iter().rfind(|row| row.body.id == first.body.id).unwrap();
    let start = jiff::Timestamp::from_millisecond(reading(0, GERMANY).time_ms).unwrap();
    let between = [210, 300].map(|second| start + jiff::SignedDuration::from_secs(second));
    assert_eq!(
        last.body.data.trigger().unwrap().told["between"],
        serde_json::json!(between),
        "it is still about the crossing it was about"
    );
}

#[test]
fn a_timer_that_late_data_took_back_leaves_no_gap_in_history() {
    let mut trial = Trial::new(3);
    trial.at(NOW_MS - 600_000 + 110_000);
    trial.send("car-a", &[reading(0, NETHERLANDS), reading(100, GERMANY), reading(105, GERMANY)]);
    // The dwell ends by the clock at 120, and the stretch is sealed up to there.
    trial.at(NOW_MS - 600_000 + 200_000);
    for _ in 0..3 {
        assert!(trial.try_send(&[]));
    }
    trial.check();
    trial.send("car-a", &[reading(107, NETHERLANDS)]);
    trial.check();
    for seconds in [110, 115, 119, 120, 121] {
        trial.send("car-a", &[reading(seconds, NETHERLANDS)]);
        trial.send("car-a", &[reading(seconds, NETHERLANDS)]);
        trial.check();
    }
    assert_eq!(trial.counts().duplicate, 5);
    trial.rest();
    trial.check_events();
}

#[test]
fn readings_beyond_the_horizon_change_no_events_sealed_or_open() {
    for log_readings in [u64::MAX, 1] {
        let mut trial = Trial::with_horizon(log_readings, 60_000);
        cross(&mut trial, "car-a");
        assert!(trial.try_send(&[]));
        assert!(trial.try_send(&[]));
        trial.send("car-a", &[reading(60, GERMANY), reading(90, GERMANY)]);
        trial.check();
        assert_eq!((told(&trial).len(), trial.counts().beyond_horizon), (1, 2));
    }
}

#[test]
fn a_crossing_whose_moment_had_passed_is_recorded_as_it_turns_out() {
    let mut trial = Trial::new(u64::MAX);
    trial.at(NOW_MS + 86_400_000);
    cross(&mut trial, "car-a");
    trial.send("car-a", &[reading(200, NETHERLANDS), reading(250, NETHERLANDS)]);
    trial.check();
    assert_eq!((told(&trial).len(), trial.counts().triggers_expired), (0, 1));
    trial.send("car-a", &[reading(325, NETHERLANDS)]);
    trial.check();
    assert_eq!(told(&trial).len(), 0);
}
