//! Claims and their answers, on trial.

use enrich::privacy::Content;
use enrich::trigger::{CloudEvent, TriggerData};
use ingest::{Fix, Measure, Reading, Value};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::report::{claim, insured, insured_with};
use super::{NETHERLANDS, NOW_MS, Trial};
use crate::{Change, Retention};

/// When [`claim`]s happened.
const THEN_MS: i64 = NOW_MS - 600_000;
const HOUR_MS: i64 = 3_600_000;

/// Seconds after the claim, on tyres as the measure lists them.
fn drives(seconds: i64, tyre: Option<u8>) -> Reading {
    let mut measures = vec![(Measure::SpeedMps, Value::Number(20.0))];
    measures.extend(tyre.map(|tyre| (Measure::Tyre, Value::Choice(tyre))));
    let fix = Fix::new(NETHERLANDS.0, NETHERLANDS.1, Some(5.0));
    Reading { time_ms: THEN_MS + seconds * 1_000, seq: None, fix, measures }
}

impl Trial {
    fn told_of_claims(&self) -> Vec<CloudEvent<Content>> {
        let rows = self.reader().triggers_after("alpina", "winter_tyres", 0, 100).unwrap();
        rows.into_iter().map(|row| row.body).collect()
    }

    fn answers(&self) -> Vec<TriggerData> {
        let events = self.told_of_claims();
        events.iter().filter_map(|event| event.data.trigger().cloned()).collect()
    }

    /// What is due is looked at.
    fn settle(&mut self) {
        for _ in 0..3 {
            assert!(self.try_commit(&[]));
        }
    }
}

fn of<'a>(data: &'a TriggerData, finding: &str) -> (&'a str, &'a str) {
    let found = &data.told[finding];
    (found["certainty"].as_str().unwrap(), found["reason"].as_str().unwrap())
}

#[test]
fn a_claim_is_answered_once_and_revised_when_the_picture_changes() {
    let mut trial = insured();
    trial.at(NOW_MS);
    trial.send("car-a", &[drives(-40, None), drives(-5, None), drives(5, None)]);
    trial.report(claim("alpina", "C-1", r#""device":"car-a""#));
    trial.settle();
    trial.settle();
    let [answer] = &trial.answers()[..] else { panic!("{:?}", trial.answers()) };
    assert_eq!(answer.told["claim"]["id"], "C-1");
    assert_eq!(answer.told["legal_basis"], "contract");
    assert_eq!(answer.told["place"]["country"], "NL");
    assert_eq!(of(answer, "speed"), ("certain", "said_by_the_car"));
    assert_eq!(of(answer, "tyres"), ("unknown", "never_said"));
    // Late: which tyres it had. What says nothing new is not said again.
    trial.send("car-a", &[drives(-30, Some(1))]);
    trial.settle();
    trial.send("car-a", &[drives(-20, Some(1))]);
    trial.settle();
    trial.restart();
    trial.settle();
    let events = trial.told_of_claims();
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0].id, events[0].revision), (&events[1].id, 0));
    assert_eq!((events[1].revision, &*events[1].kind), (1, "io.datanaut.trigger.revised"));
    assert_eq!(trial.answers()[1].told["tyres"]["fitted"], "winter");
    let told = serde_json::to_string(&events).unwrap();
    assert!(!told.contains("car-a") && !told.contains("anna") && !told.contains("50.7"), "{told}");
}

#[test]
fn an_answer_stands_when_what_it_was_computed_from_goes() {
    let mut trial = insured();
    trial.keep(Retention { readings_ms: Some(HOUR_MS), ..Retention::default() });
    trial.send("car-a", &[drives(-40, None), drives(-5, None), drives(5, None)]);
    trial.report(claim("alpina", "C-1", r#""device":"car-a""#));
    trial.settle();
    assert_eq!(trial.answers().len(), 1);
    trial.at(THEN_MS + HOUR_MS + 60_000);
    trial.send("car-a", &[drives(300, None)]);
    trial.sweep_all();
    trial.send("car-a", &[drives(120, None)]);
    trial.settle();
    trial.restart();
    trial.settle();
    assert_eq!(trial.answers().len(), 1, "{:?}", trial.answers());
}

#[test]
fn a_claim_waits_for_its_time_and_then_says_what_is_missing() {
    let mut trial = insured();
    trial.at(NOW_MS);
    trial.send("car-a", &[drives(-3_000, Some(0))]);
    trial.report(claim("alpina", "C-1", r#""device":"car-a""#));
    trial.settle();
    assert_eq!(trial.answers(), [], "it waits");
    trial.restart();
    trial.at(NOW_MS + HOUR_MS - 1);
    trial.settle();
    assert_eq!(trial.answers(), [], "also over a restart");
    trial.at(NOW_MS + HOUR_MS);
    trial.settle();
    let [answer] = &trial.answers()[..] else { panic!("{:?}", trial.answers()) };
    assert_eq!(of(answer, "place"), ("unknown", "no_readings_around_then"));
    assert_eq!(of(answer, "tyres"), ("likely", "said_at_another_time"));
    // What it waited for comes after all.
    trial.send("car-a", &[drives(-2, None), drives(2, None)]);
    trial.settle();
    let answers = trial.answers();
    assert_eq!((answers.len(), of(&answers[1], "place").0), (2, "certain"));
}

#[test]
fn what_comes_while_it_waits_ends_the_wait() {
    let mut trial = insured();
    trial.at(NOW_MS);
    trial.report(claim("alpina", "C-1", r#""device":"car-a""#));
    trial.settle();
    trial.send("car-a", &[drives(-1, Some(0)), drives(1, None)]);
    trial.settle();
    let answers = trial.answers();
    assert_eq!((answers.len(), &answers[0].told["tyres"]["fitted"]), (1, &Json::from("summer")));
}

#[test]
fn who_has_several_cars_is_asked_which() {
    let mut trial = insured();
    trial.at(NOW_MS);
    // Anna bought a second one five minutes after it happened.
    trial.report(claim("alpina", "C-1", r#""policy":"W-a""#));
    trial.send("car-a", &[drives(0, Some(1))]);
    trial.settle();
    assert_eq!(trial.answers()[0].told["tyres"]["fitted"], "winter");
    let later = r#""policy":"W-a","lat":50.78,"lon":5.985"#;
    let mut message = claim("alpina", "C-2", later);
    let payload = String::from_utf8(message.payload.to_vec()).unwrap();
    let payload = payload.replace(&THEN_MS.to_string(), &NOW_MS.to_string());
    message = super::report::message("alpina", "claims/alpina", &payload);
    trial.report(message);
    trial.settle();
    let answers = trial.answers();
    assert_eq!(of(answers.last().unwrap(), "tyres"), ("unknown", "several_cars"));
    assert_eq!(of(answers.last().unwrap(), "place"), ("likely", "said_by_the_insurer"));
}

#[test]
fn a_correction_revises_and_a_withdrawal_takes_nothing_back() {
    let mut trial = insured();
    trial.at(NOW_MS);
    trial.send("car-a", &[drives(-5, Some(1)), drives(5, None)]);
    trial.report(claim("alpina", "C-1", r#""device":"car-a""#));
    trial.settle();
    trial.report(claim("alpina", "C-1", r#""device":"car-a","lat":52.0,"lon":5.1"#));
    trial.settle();
    assert_eq!(trial.answers().len(), 2);
    assert_eq!(of(&trial.answers()[1], "place"), ("likely", "the_car_was_elsewhere"));
    let (customer, insurer) = ("anna".into(), "alpina".into());
    for purpose in [enrich::registry::Product::Travel, enrich::registry::Product::WinterTyres] {
        let change = Change::Withdraw {
            customer: std::sync::Arc::clone(&customer),
            insurer: std::sync::Arc::clone(&insurer),
            purpose,
        };
        trial.change(change);
    }
    trial.purge_all();
    trial.settle();
    assert_eq!(trial.answers().len(), 2, "they rest on the contract");
    // Its readings are gone, and a new claim says so.
    trial.report(claim("alpina", "C-2", r#""device":"car-a""#));
    trial.at(NOW_MS + HOUR_MS);
    trial.settle();
    let answers = trial.answers();
    assert_eq!(of(answers.last().unwrap(), "tyres"), ("unknown", "no_readings_around_then"));
    assert!(trial.change(Change::Erase { customer }));
    trial.purge_all();
    trial.settle();
    assert_eq!(trial.answers(), [], "an erasure does");
}

/// Carl has a policy about tyres as well, from and to then.
fn carl_insured(then: &str) -> Trial {
    let policy =
        "[[policy]]\nid = 'W-c'\ninsurer = 'alpina'\ncustomer = 'carl'\nproduct = 'winter_tyres'";
    super::report::insured_also(u64::MAX, &format!("{policy}\n{then}\n"))
}

#[test]
fn a_claim_from_before_the_policy_or_from_the_future_is_none() {
    let mut trial = carl_insured("from = '2026-01-15T11:55:00Z'\nto = '2026-01-15T11:58:00Z'");
    let mut claims = |after_s: i64, about: &str| {
        let time = NOW_MS + after_s * 1_000;
        let payload = format!(r#"{{"id":"C{after_s}","time":{time},"kind":"collision",{about}}}"#);
        trial.report(super::report::message("alpina", "claims/alpina", &payload));
        let counts = trial.counts();
        let refused: u64 = counts.refused.values().sum();
        (counts.stored, refused, counts.quarantined.values().sum::<u64>())
    };
    let before = claims(-600, r#""policy":"W-c""#);
    assert_eq!(before, (0, 1, 0), "five minutes before it began");
    assert_eq!(claims(-300, r#""policy":"W-c""#), (1, 1, 0), "its first moment");
    assert_eq!(claims(-60, r#""policy":"W-c""#), (1, 2, 0), "over");
    assert_eq!(claims(-299, r#""policy":"W-c","device":"car-a""#), (1, 3, 0), "another's car");
    assert_eq!(claims(-298, r#""policy":"W-c","device":"car-c""#), (2, 3, 0));
    assert_eq!(claims(600, r#""policy":"W-a""#), (2, 3, 1), "in ten minutes");
}

#[test]
fn a_correction_that_names_somebody_else_takes_the_answer_back() {
    let mut trial = carl_insured("from = '2020-01-01T00:00:00Z'");
    trial.at(NOW_MS);
    trial.send("car-a", &[drives(-5, Some(1)), drives(5, None)]);
    trial.send("car-c", &[drives(-5, Some(0)), drives(5, None)]);
    let kinds = |trial: &Trial| -> Vec<String> {
        let kind = |event: &CloudEvent<Content>| event.kind.replace("io.datanaut.trigger.", "");
        trial.told_of_claims().iter().map(kind).collect()
    };
    trial.report(claim("alpina", "C-1", r#""device":"car-a""#));
    trial.settle();
    trial.report(claim("alpina", "C-1", r#""device":"car-c""#));
    trial.settle();
    assert_eq!(kinds(&trial), ["fired", "withdrawn", "fired"]);
    let events = trial.told_of_claims();
    assert_eq!((&events[0].id, &events[0].subject), (&events[1].id, &events[1].subject));
    assert!(events[0].id != events[2].id && events[0].subject != events[2].subject);
    assert_eq!(trial.answers()[2].told["tyres"]["fitted"], "summer");
    // It was hers after all.
    trial.report(claim("alpina", "C-1", r#""device":"car-a","lat":50.78,"lon":5.985"#));
    trial.settle();
    assert_eq!(kinds(&trial)[3..], ["withdrawn", "revised"]);
    assert_eq!(trial.told_of_claims()[4].revision, 2);
}

#[test]
fn a_place_in_words_is_looked_up_and_never_guessed() {
    let mut trial = insured();
    trial.at(NOW_MS + HOUR_MS);
    let mut asked = |id: &str, place: &str| {
        trial.report(claim("alpina", id, &format!(r#""policy":"W-a","place":"{place}""#)));
        trial.settle();
        trial.answers().pop().unwrap()
    };
    let answer = asked("C-1", "Vaals");
    assert_eq!(of(&answer, "place"), ("likely", "looked_up_by_name"));
    let place = &answer.told["place"];
    assert_eq!(
        (&place["country"], &place["town"], &place["named"]),
        (&"NL".into(), &"Vaals".into(), &"one".into())
    );
    assert_eq!(of(&answer, "weather").0, "likely", "no more certain than the place");
    let answer = asked("C-2", "Valencia");
    assert_eq!(of(&answer, "place"), ("unknown", "several_places_of_that_name"));
    assert!(answer.explanation.en.contains("several places are called"), "{answer:?}");
    assert_eq!(answer.evidence.weather, enrich::trigger::Weather::Missing);
    assert_eq!(of(&asked("C-3", "Nergenshuizen"), "place"), ("unknown", "no_place_of_that_name"));
}

#[test]
fn a_new_owner_is_not_told_of_the_old_ones_tyres() {
    let mut trial = insured_with(4);
    trial.at(NOW_MS);
    // Bram's, until five minutes before now, and sealed by what follows.
    for second in -120..-60 {
        trial.send("car-b", &[drives(second, Some(1))]);
    }
    let payload =
        format!(r#"{{"id":"C-1","device":"car-b","time":{},"kind":"collision"}}"#, NOW_MS - 60_000);
    trial.send("car-b", &[drives(535, None), drives(545, None)]);
    trial.report(super::report::message("alpina", "claims/alpina", &payload));
    trial.settle();
    let [answer] = &trial.answers()[..] else { panic!("{:?}", trial.answers()) };
    assert_eq!(of(answer, "tyres"), ("unknown", "never_said"));
    assert_eq!(of(answer, "speed").0, "certain");
    // He is told of his own.
    trial.report(claim("boreal", "C-1", r#""device":"car-b""#));
    trial.settle();
    let rows = trial.reader().triggers_after("boreal", "winter_tyres", 0, 10).unwrap();
    let told = rows[0].body.data.trigger().unwrap();
    assert_eq!(told.told["tyres"]["fitted"], "winter");
}

/// What a car says around a claim, some of it far before.
fn said() -> Vec<Reading> {
    let mut said = vec![drives(-5_000, Some(0)), drives(-1_200, Some(1)), drives(-300, None)];
    said.extend((-6..6).map(|step| drives(step * 7, None)));
    said.push(drives(400, Some(0)));
    said[5].measures = vec![(Measure::AccelerationMps2, Value::Number(-5.0))];
    said[7].fix = Fix::new(50.9, 5.9, Some(20.0));
    said
}

/// What was said last, but for the proof of its evidence; after a while in which all of it came.
fn last_word(trial: &mut Trial) -> TriggerData {
    trial.settle();
    trial.at(NOW_MS + HOUR_MS);
    trial.settle();
    let mut last = trial.answers().pop().unwrap();
    last.evidence.hash = String::new();
    last
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: super::cases() / 3, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Whatever comes first, and whenever the process ends in between.
    #[test]
    fn the_last_word_is_the_same_in_any_order(
        order in Just((0..said().len()).collect::<Vec<_>>()).prop_shuffle(),
        reported in 0..said().len(),
        restarts in proptest::collection::vec(any::<bool>(), said().len()),
        log_readings in prop_oneof![Just(u64::MAX), 1..8_u64],
    ) {
        let asked = || claim("alpina", "C-1", r#""device":"car-a""#);
        let mut in_order = insured();
        in_order.at(NOW_MS);
        in_order.send("car-a", &said());
        in_order.report(asked());
        let expected = last_word(&mut in_order);

        let mut trial = insured_with(log_readings);
        trial.at(NOW_MS);
        for (step, at) in order.into_iter().enumerate() {
            if step == reported {
                trial.report(asked());
            }
            trial.send("car-a", &[said()[at].clone()]);
            if restarts[step] {
                trial.restart();
            }
        }
        prop_assert_eq!(last_word(&mut trial), expected);
        let revisions: Vec<u32> = trial.told_of_claims().iter().map(|event| event.revision).collect();
        prop_assert_eq!(revisions.clone(), (0..revisions.len() as u32).collect::<Vec<_>>());
    }
}
