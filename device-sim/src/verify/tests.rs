use jiff::Timestamp;
use serde_json::json;

use super::{Verdict, judge};
use crate::clock::Clock;
use crate::limits::Limits;
use crate::trigger::Recorded;
use crate::truth::{Expect, Truth, What};

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_768_867_200 + second).unwrap()
}

fn truth(device: &str, at: i64, expect: Expect) -> Truth {
    Truth {
        device: device.into(),
        at: second(at),
        lat: Some(51.4),
        lon: Some(6.2),
        what: What::BorderCrossed { from: "NL".into(), to: "DE".into() },
        expect,
        reports_every_ms: 1_000,
        unseen_ms: 0,
        published_from: second(0),
        clock_off_ms: 0,
    }
}

/// A trigger of customer `subject`, who entered the country at `at` and was told at `received`.
fn told(id: &str, subject: &str, at: i64, received: i64) -> Recorded {
    message(id, subject, at, received, 0, "fired")
}

fn message(id: &str, who: &str, at: i64, received: i64, revision: u64, kind: &str) -> Recorded {
    let message = json!({
        "specversion": "1.0", "id": id, "type": format!("io.datanaut.trigger.{kind}"),
        "sequence": format!("{:020}", received * 10 + revision as i64), "revision": revision,
        "data": {
            "event": "border_crossed", "happened_at": second(at),
            "between": [second(at - 1), second(at + 1)],
            "place": {"from": {"country": "NL"}, "to": {"country": "DE"}},
        },
    });
    Recorded {
        topic: format!("triggers/alpina/travel/{who}"),
        received_at: second(received),
        message: serde_json::from_value(message).unwrap(),
    }
}

fn judged(truths: &[Truth], recorded: &[Recorded]) -> Verdict {
    judge(truths, recorded, &Limits::default(), Clock::WALL)
}

#[test]
fn each_happening_told_once_and_in_time_passes() {
    let truths = [
        truth("a", 100, Expect::Trigger),
        truth("b", 103, Expect::Trigger),
        truth("c", 400, Expect::Either),
    ];
    let verdict = judged(&truths, &[told("1", "x", 101, 122), told("2", "y", 103, 125)]);
    let travel = &verdict.products["travel"];
    assert!(verdict.passed, "{verdict}");
    assert_eq!((travel.expected, travel.found, travel.missed), (2, 2, 0));
    // Entered at 102 and 104, and 20 s later known: told at once, and after a second.
    assert!(travel.latency.unwrap().max_ms >= 1_000.0 && travel.late == 0);
}

#[test]
fn missed_false_doubled_and_late_are_told_apart() {
    let truths: Vec<_> = (1..=4).map(|n| truth("a", n * 1_000, Expect::Trigger)).collect();
    let recorded = [
        told("1", "x", 1_000, 1_021),
        told("2", "x", 1_001, 1_021),
        told("3", "x", 2_000, 2_100),
        told("4", "z", 9_000, 9_021),
    ];
    let verdict = judged(&truths, &recorded);
    let travel = &verdict.products["travel"];
    assert!(!verdict.passed);
    assert_eq!((travel.found, travel.missed, travel.late), (2, 2, 1));
    assert_eq!((travel.r#false, travel.doubled), (1, 1));
    assert_eq!(travel.first_missed.len(), 2);
    let [wrong] = &travel.first_false[..] else { panic!("{verdict}") };
    assert_eq!((&*wrong.id, wrong.happened_at), ("4", second(9_000)));
}

#[test]
fn what_was_taken_back_was_not_told_and_a_repeat_is_none() {
    let truths = [truth("a", 100, Expect::Trigger)];
    let recorded = [
        told("1", "x", 100, 121),
        told("1", "x", 100, 121),
        told("2", "x", 700, 721),
        message("2", "x", 700, 730, 1, "withdrawn"),
    ];
    let verdict = judged(&truths, &recorded);
    assert!(verdict.passed, "{verdict}");
    assert_eq!((verdict.repeated, verdict.contradictory), (1, 0));
    let otherwise = judged(&truths, &[told("1", "x", 100, 121), told("1", "x", 105, 121)]);
    assert_eq!(otherwise.contradictory, 1);
}

#[test]
fn what_the_ledger_does_not_speak_of_is_not_judged() {
    let mut other = told("1", "x", 100, 121);
    other.topic = "triggers/alpina/winter_tyres/x".into();
    let verdict = judged(&[], &[other]);
    assert!(verdict.passed && verdict.unjudged == 1, "{verdict}");
}

#[test]
fn what_is_not_as_documented_fails() {
    let mut wrong = told("1", "x", 100, 121);
    wrong.topic = "triggers/alpina".into();
    assert!(!judged(&[], &[wrong]).passed);
    let nothing = judged(&[truth("a", 100, Expect::Trigger)], &[]);
    assert!(!nothing.passed && nothing.products["travel"].recall == 0.0);
}

#[test]
fn a_fast_clock_makes_short_latencies() {
    let truths = [truth("a", 100, Expect::Trigger)];
    let start_ms = second(0).as_millisecond();
    let clock = Clock { start_ms, wall_start_ms: start_ms, speed: 10.0 };
    // Known at 121 of the fleet's clock, 12.1 s after the start on the wall.
    let verdict = judge(&truths, &[told("1", "x", 100, 13)], &Limits::default(), clock);
    let latency = verdict.products["travel"].latency.unwrap();
    assert!((890.0..910.0).contains(&latency.max_ms), "{latency:?}");
}

/// Advice about tyres with so much tread.
fn advised(tread_mm: f64, at: i64) -> Recorded {
    let message = json!({
        "specversion": "1.0", "id": format!("advice-{at}"), "type": "io.datanaut.trigger.fired",
        "sequence": format!("{at:020}"), "revision": 0,
        "data": {
            "event": "tyres_unfit", "happened_at": second(at), "place": {"country": "AT"},
            "tyres": {"fitted": "summer", "tread_mm": tread_mm},
        },
    });
    Recorded {
        topic: "triggers/alpina/winter_tyres/x".into(),
        received_at: second(at + 1),
        message: serde_json::from_value(message).unwrap(),
    }
}

#[test]
fn advice_is_told_apart_by_the_tyres_and_judged_only_where_asked_for() {
    let what = What::TyresUnfit { fitted: "summer".into(), tread_mm: 4.1 };
    let truths = [Truth { what, ..truth("a", 100, Expect::Trigger) }];
    let recorded = [advised(4.1, 100), advised(5.2, 101)];
    let verdict = judged(&truths, &recorded);
    assert!(verdict.passed && verdict.unjudged == 2, "{verdict}");
    assert_eq!(verdict.without_trigger["tyres_unfit"], 1);
    let limits = Limits { events: vec!["tyres_unfit".into()], ..Limits::default() };
    let verdict = judge(&truths, &recorded, &limits, Clock::WALL);
    let score = &verdict.products["winter_tyres"];
    assert_eq!((score.found, score.missed, score.r#false), (1, 0, 1), "{verdict}");
    assert!(!verdict.passed && score.latency.unwrap().max_ms <= 1_001.0);
}

#[test]
fn what_is_said_of_claims_and_tests_is_understood_and_not_judged() {
    let said = |kind: &str, data| {
        let message = json!({
            "specversion": "1.0", "id": kind, "type": format!("io.datanaut.trigger.{kind}"),
            "sequence": format!("{:020}", 1), "revision": 0, "data": data,
        });
        Recorded {
            topic: "triggers/alpina/winter_tyres/x".into(),
            received_at: second(1),
            message: serde_json::from_value(message).unwrap(),
        }
    };
    let claim = json!({
        "event": "claim_reported", "happened_at": second(0), "place": {"country": "AT"},
        "tyres": {"fitted": null, "certainty": "unknown", "reason": "never_said"},
    });
    let test = json!({"test": true, "product": "winter_tyres"});
    let verdict = judged(&[], &[said("fired", claim), said("test", test)]);
    assert!(verdict.passed && verdict.unjudged == 1, "{verdict}");
    assert!(!judged(&[], &[said("fired", json!({"event": "border_crossed"}))]).passed);
}

#[test]
fn what_no_trigger_is_about_is_listed() {
    let what = What::TripEnded { lasted_s: 600.0, km: 9.5 };
    let trip = Truth { what, ..truth("a", 100, Expect::Notice) };
    let verdict = judged(&[trip.clone(), trip], &[]);
    assert!(verdict.passed && verdict.without_trigger["trip_ended"] == 2);
    assert!(verdict.to_string().contains("trip_ended 2"), "{verdict}");
}

#[test]
fn a_crossing_that_nobody_could_see_may_be_told_of_at_any_moment_of_it() {
    let truths = [Truth { unseen_ms: 3_600_000, ..truth("a", 4_000, Expect::Trigger) }];
    assert!(judged(&truths, &[told("1", "x", 2_000, 5_000)]).products["travel"].missed == 0);
    let truths = [truth("a", 4_000, Expect::Trigger)];
    assert!(judged(&truths, &[told("1", "x", 2_000, 5_000)]).products["travel"].missed == 1);
}

#[test]
fn as_many_are_paired_as_can_be() {
    // The nearest of each are the same two; only one way pairs all three.
    let truths = [
        truth("a", 100, Expect::Trigger),
        truth("b", 118, Expect::Trigger),
        truth("c", 160, Expect::Either),
    ];
    let recorded = [told("1", "x", 75, 121), told("2", "y", 105, 125), told("3", "z", 140, 165)];
    let verdict = judged(&truths, &recorded);
    let travel = &verdict.products["travel"];
    assert_eq!((travel.found, travel.missed, travel.optional, travel.r#false), (2, 0, 1, 0));
    // What must be told comes before what may be, also where that is nearer.
    let truths = [truth("a", 100, Expect::Trigger), truth("b", 121, Expect::Either)];
    let verdict = judged(&truths, &[told("1", "x", 120, 145)]);
    assert_eq!((verdict.products["travel"].found, verdict.products["travel"].optional), (1, 0));
}

/// An answer to a claim.
fn answered(id: &str, claim: &str, tyre: &str, road: &str) -> Recorded {
    let message = json!({
        "specversion": "1.0", "id": id, "type": "io.datanaut.trigger.fired",
        "sequence": format!("{:020}", id.len()), "revision": 0,
        "data": {
            "event": "claim_reported", "happened_at": second(100), "claim": {"id": claim, "kind": "collision"},
            "tyres": {"fitted": tyre, "tread_mm": 5.0, "certainty": "certain", "reason": "said_by_the_car"},
            "road": {"condition": road, "because": "rain", "certainty": "likely", "reason": "derived_from_weather"},
        },
    });
    Recorded {
        topic: "triggers/alpina/winter_tyres/x".into(),
        received_at: second(900),
        message: serde_json::from_value(message).unwrap(),
    }
}

#[test]
fn a_claim_is_answered_once_with_the_tyres_and_the_road_it_happened_on() {
    let what = |id: &str| What::ClaimReported {
        id: id.into(),
        tyre: "summer".into(),
        road: "ice".into(),
        or_road: Some("snow".into()),
        speed_mps: 12.0,
    };
    let claim = |id: &str| Truth { what: what(id), ..truth("a", 100, Expect::Trigger) };
    let limits = Limits { events: vec!["claim_reported".into()], ..Limits::default() };
    let score = |truths: &[Truth], recorded: &[Recorded]| {
        judge(truths, recorded, &limits, Clock::WALL).products["winter_tyres"].clone()
    };
    let good = score(&[claim("a-1")], &[answered("1", "a-1", "summer", "ice")]);
    assert_eq!((good.found, good.r#false, good.doubled, good.late), (1, 0, 0, 0));
    assert!(good.latency.is_none(), "when it was reported is not in the ledger");
    let also = score(&[claim("a-1")], &[answered("1", "a-1", "summer", "snow")]);
    assert_eq!((also.found, also.r#false), (1, 0), "at a threshold");
    let twice = [answered("1", "a-1", "summer", "ice"), answered("22", "a-1", "summer", "ice")];
    assert_eq!(score(&[claim("a-1")], &twice).doubled, 1);
    for (tyre, road) in [("winter", "ice"), ("summer", "wet")] {
        let wrong = score(&[claim("a-1")], &[answered("1", "a-1", tyre, road)]);
        assert_eq!((wrong.missed, wrong.r#false), (1, 1), "{tyre} {road}");
    }
    let other = score(&[claim("a-1")], &[answered("1", "a-2", "summer", "ice")]);
    assert_eq!((other.missed, other.r#false), (1, 1));
}
