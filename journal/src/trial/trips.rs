//! Booked trips, and what is said before them, on trial.

use enrich::trigger::{TriggerData, Weather};

use super::report::{insured, message};
use super::{NOW_MS, Trial};
use crate::{Change, Retention};

const DAY_MS: i64 = 86_400_000;

/// Five days from now, at noon by Anna's clock, which is UTC.
const BEGINS_MS: i64 = NOW_MS + 5 * DAY_MS;

/// Nine in the morning, two days before.
const DUE_MS: i64 = BEGINS_MS - 2 * DAY_MS - 3 * 3_600_000;

impl Trial {
    fn books(&mut self, from_ms: i64, more: &str) {
        let to_ms = from_ms + 7 * DAY_MS;
        let payload = format!(
            r#"{{"id":"T-1","customer":"anna","lat":47.27,"lon":11.39,"from":{from_ms},"to":{to_ms}{more}}}"#
        );
        self.report(message("alpina", "trips/alpina", &payload));
    }

    /// Lets what is due by then be looked at.
    fn wait_until(&mut self, now_ms: i64) {
        self.at(now_ms);
        for _ in 0..2 {
            assert!(self.try_commit(&[]));
        }
    }

    /// What alpina was told of trips: the kind of message, and its content.
    fn of_trips(&self) -> Vec<(String, TriggerData)> {
        let rows = self.reader().triggers_after("alpina", "travel", 0, 100).unwrap();
        let told = rows.into_iter().filter_map(|row| {
            let data = row.body.data.trigger()?.clone();
            Some((row.body.kind.replace("io.datanaut.trigger.", ""), data))
        });
        told.collect()
    }
}

#[test]
fn a_trip_is_said_two_days_before_it_and_once() {
    let mut trial = insured();
    trial.books(BEGINS_MS, r#","activities":["museum","Skiing"]"#);
    trial.wait_until(DUE_MS - 1);
    assert_eq!(trial.of_trips(), []);
    assert_eq!(trial.writer().next_trip_ms, Some(DUE_MS), "when the writer wakes");
    trial.restart();
    assert_eq!(trial.writer().next_trip_ms, Some(DUE_MS));
    trial.wait_until(DUE_MS);
    trial.wait_until(DUE_MS + DAY_MS);
    let [(kind, told)] = &trial.of_trips()[..] else { panic!("{:?}", trial.of_trips()) };
    assert_eq!((&**kind, &*told.offer.kind), ("fired", "winter_sports_cover"));
    assert_eq!(
        (&told.told["trip"]["id"], &told.told["trip"]["activity"]),
        (&"T-1".into(), &"Skiing".into())
    );
    assert!(matches!(told.evidence.weather, Weather::Known { .. }), "{told:?}");
    assert!(told.explanation.en.contains("°C is expected there"), "{told:?}");
    assert_eq!((&*told.offer.also[0], &told.facts["ahead.hours"]), ("first_days", &48.0.into()));
    assert!(told.explanation.en.contains("In the first two days it is between"), "{told:?}");
    // Nobody learns more than the insurer said itself.
    let all = serde_json::to_string(told).unwrap();
    assert!(!all.contains("anna") && !all.contains("47.27"), "{all}");
}

#[test]
fn a_trip_that_changes_is_revised_and_one_that_is_cancelled_withdrawn() {
    let mut trial = insured();
    trial.books(BEGINS_MS, "");
    trial.wait_until(DUE_MS);
    trial.books(BEGINS_MS + 3_600_000, r#","activities":["diving"]"#);
    trial.wait_until(DUE_MS + 1);
    trial.restart();
    trial.books(BEGINS_MS, r#","cancelled":true"#);
    trial.wait_until(DUE_MS + 2);
    let told = trial.of_trips();
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| &**kind).collect();
    assert_eq!(kinds, ["fired", "revised", "withdrawn"]);
    assert_eq!(
        (&*told[0].1.offer.kind, &*told[1].1.offer.kind),
        ("trip_weather", "activity_cover")
    );
    // Cancelled before anything was said, or after it began: nothing is.
    let mut trial = insured();
    trial.books(BEGINS_MS, "");
    trial.books(BEGINS_MS, r#","cancelled":true"#);
    trial.wait_until(DUE_MS);
    assert_eq!((trial.of_trips(), trial.writer().next_trip_ms), (Vec::new(), None));
}

#[test]
fn what_is_booked_at_the_last_moment_waits_for_the_morning() {
    let mut trial = insured();
    let night_ms = NOW_MS + 11 * 3_600_000;
    trial.at(night_ms);
    trial.books(night_ms + 20 * 3_600_000, "");
    trial.wait_until(night_ms);
    assert_eq!(trial.of_trips(), []);
    trial.wait_until(night_ms + 8 * 3_600_000);
    assert_eq!(trial.of_trips().len(), 1);
    // One that has begun is nobody's business any more.
    let mut trial = insured();
    trial.books(NOW_MS - 1, "");
    trial.wait_until(NOW_MS);
    assert_eq!((trial.of_trips(), trial.writer().next_trip_ms), (Vec::new(), None));
}

#[test]
fn without_consent_nothing_is_said_of_a_trip_and_an_erasure_forgets_it() {
    let withdrawal = || Change::Withdraw {
        customer: "anna".into(),
        insurer: "alpina".into(),
        purpose: enrich::registry::Product::Travel,
    };
    let mut trial = insured();
    trial.books(BEGINS_MS, "");
    assert!(trial.change(withdrawal()));
    trial.wait_until(DUE_MS);
    assert_eq!(trial.of_trips(), []);
    let mut trial = insured();
    trial.books(BEGINS_MS, "");
    assert!(trial.change(Change::Erase { customer: "anna".into() }));
    trial.purge_all();
    trial.wait_until(DUE_MS);
    assert_eq!((trial.of_trips(), trial.writer().next_trip_ms), (Vec::new(), None));
}

#[test]
fn a_journey_is_known_to_be_booked_until_it_ends_whatever_its_age() {
    let mut trial = insured();
    // Nothing is heard meanwhile, and the clock is believed.
    let clock_jump_ms = 365 * DAY_MS;
    let reports_ms = Some(31 * DAY_MS);
    trial.keep(Retention { reports_ms, clock_jump_ms, ..Retention::default() });
    let from_ms = NOW_MS + 40 * DAY_MS;
    trial.books(from_ms, "");
    let anna = trial.writer().core.registry.read().customer_number("anna").unwrap();
    let booked = |trial: &Trial| {
        super::super::trips::booked(&trial.writer().store.connection, anna).unwrap().len()
    };
    for day in [39, 41, 46] {
        trial.wait_until(NOW_MS + day * DAY_MS);
        trial.sweep_all();
        assert_eq!(booked(&trial), 1, "day {day}");
    }
    trial.wait_until(from_ms + 7 * DAY_MS + 31 * DAY_MS + 1);
    trial.sweep_all();
    assert_eq!((booked(&trial), trial.counts().aged.reports), (0, 1));
}
