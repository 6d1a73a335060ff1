//! Each kind of trigger can be missed, false and late, and each fails the verification.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{JUDGEABLE, judge};
use crate::clock::Clock;
use crate::limits::Limits;
use crate::score::Score;
use crate::trigger::Recorded;
use crate::truth::{Expect, Truth, What};

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_768_867_200 + second).unwrap()
}

/// Something that happens, and what its trigger says of it.
fn kind(event: &str) -> (What, Value) {
    let area = "Museum of Utrecht".to_owned();
    let place = json!({"place": {"area": area, "kind": "venue"}});
    match event {
        "border_crossed" => (
            What::BorderCrossed { from: "NL".into(), to: "DE".into() },
            json!({"place": {"from": {"country": "NL"}, "to": {"country": "DE"}}}),
        ),
        "risk_area_entered" => (What::RiskAreaEntered { area }, place),
        "risk_area_left" => (What::RiskAreaLeft { area }, place),
        "geofence_entered" => (What::GeofenceEntered { area }, place),
        "trip_ahead" => (
            What::TripAhead { id: "car-1-trip".into(), due: second(3_595) },
            json!({"trip": {"id": "car-1-trip"}}),
        ),
        "tyres_unfit" => (
            What::TyresUnfit { fitted: "summer".into(), tread_mm: 5.0 },
            json!({"tyres": {"fitted": "summer", "tread_mm": 5.0}}),
        ),
        "claim_reported" => (
            What::ClaimReported {
                id: "car-1".into(),
                tyre: "summer".into(),
                road: "ice".into(),
                or_road: None,
                speed_mps: 9.0,
            },
            json!({"claim": {"id": "car-1"}, "tyres": {"fitted": "summer"}, "road": {"condition": "ice"}}),
        ),
        "frost_risk" => (
            What::FrostRisk {
                stage: "near".into(),
                indoor_c: 5.5,
                outdoor_c: -8.0,
                boiler_failed: true,
            },
            json!({"stage": "near"}),
        ),
        other => panic!("add {other} here"),
    }
}

/// Told of something that happened at `at`, an hour after the epoch of the test, in seconds.
fn told(product: &str, event: &str, at: i64, received: i64) -> Recorded {
    let mut data = kind(event).1;
    data["event"] = json!(event);
    data["happened_at"] = json!(second(at));
    let message = json!({
        "specversion": "1.0", "id": format!("{event}-{at}"), "type": "io.datanaut.trigger.fired",
        "sequence": format!("{at:020}"), "revision": 0, "data": data,
    });
    Recorded {
        topic: format!("triggers/alpina/{product}/x"),
        received_at: second(received),
        message: serde_json::from_value(message).unwrap(),
    }
}

fn judged(product: &str, event: &str, happened: bool, recorded: &[Recorded]) -> (bool, Score) {
    let truth = Truth {
        device: "device-1".into(),
        at: second(3_600),
        lat: None,
        lon: None,
        what: kind(event).0,
        expect: Expect::Trigger,
        reports_every_ms: 1_000,
        unseen_ms: 0,
        published_from: second(0),
        clock_off_ms: 0,
    };
    let truths = if happened { vec![truth] } else { Vec::new() };
    let limits = Limits { events: vec![event.into()], ..Limits::default() };
    let verdict = judge(&truths, recorded, &limits, Clock::WALL);
    let score = verdict.products.get(product).cloned().unwrap_or_default();
    (verdict.passed, score)
}

#[test]
fn what_is_right_passes_and_what_is_missed_false_or_late_does_not() {
    for (product, event) in JUDGEABLE {
        // A crossing, a stay or a danger has to last before anybody can know of it: at most ten minutes.
        let right = told(product, event, 3_600, 3_601);
        let (passed, score) = judged(product, event, true, &[right]);
        assert!(passed && score.found == 1 && score.late == 0, "{event}: {score:?}");

        let (passed, score) = judged(product, event, true, &[]);
        assert!(!passed && score.missed == 1 && score.recall == 0.0, "{event}: {score:?}");

        let wrong = told(product, event, 3_600, 3_601);
        let (passed, score) = judged(product, event, false, &[wrong]);
        assert!(!passed && score.r#false == 1, "{event}: {score:?}");
        // Of a claim the id says which, and not the time.
        if event != "claim_reported" {
            let another = told(product, event, 9_000, 9_001);
            let (passed, score) = judged(product, event, true, &[another]);
            assert!(!passed && (score.missed, score.r#false) == (1, 1), "{event}: {score:?}");
        }

        // When a claim is reported is not in the ledger, so its answer is never late.
        let (passed, score) = judged(product, event, true, &[told(product, event, 3_600, 5_000)]);
        let late = u64::from(event != "claim_reported");
        assert_eq!((passed, score.late), (late == 0, late), "{event}: {score:?}");
    }
}
