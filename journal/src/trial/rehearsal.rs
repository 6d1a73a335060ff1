//! What a rehearsal says would have been told, held against what was.

use std::collections::BTreeMap;

use enrich::relevance::Relevance;
use enrich::rules::RuleSet;
use ingest::Arrival;

use super::report::{insured, message};
use super::{BELGIUM, GERMANY, HOME, NETHERLANDS, NOW_MS, Trial, reading};
use crate::{Archive, Retention};

const TRAVEL: &str = include_str!("../../../enrich/rules/travel-offer.toml");

/// How often each rule was said, or why not.
type Fates = BTreeMap<(String, String), i64>;

fn rules(relevance: Relevance) -> RuleSet {
    let own = TRAVEL
        .replace("quiet_hours = \"ignore\"", "cooldown = \"2h\"\nquiet_hours = \"wait\"")
        .replace("priority = 60", "priority = 30");
    let urgent = TRAVEL
        .replace("travel-offer", "urgent")
        .replace("quiet_hours = \"ignore\"", "quiet_hours = \"wait\"\nwhen = \"event.to == 'DE'\"");
    let files = [("a.toml".to_owned(), own), ("b.toml".to_owned(), urgent)];
    let mut rules = RuleSet::with(&files).unwrap();
    rules.relevance = relevance;
    rules
}

/// A day and a night of Anna's and Bram's cars, live: as it comes, and all timers in time.
fn lived(relevance: Relevance, log_readings: u64) -> Trial {
    let mut trial = Trial::new(log_readings);
    trial.writer_mut().core.rules = rules(relevance);
    let stops = [NETHERLANDS, GERMANY, HOME, NETHERLANDS, BELGIUM, GERMANY, HOME, BELGIUM];
    for (car, every_s, shift) in [("car-a", 2_400, 0), ("car-b", 4_100, 3)] {
        for stop in 0..86_400 / every_s {
            let place = stops[(stop as usize * 3 + shift) % stops.len()];
            for second in [0, 15, 30, 45, 80] {
                let at_s = stop * every_s + second + shift as i64;
                let reading = reading(at_s, place);
                trial.at(reading.time_ms.max(NOW_MS));
                trial.send(car, &[reading]);
            }
        }
        // The night's are asked in the morning, before the other car begins.
        trial.at(NOW_MS + 86_400_000);
    }
    trial.rest();
    trial
}

fn told(trial: &Trial) -> Fates {
    let connection = &trial.writer().store.connection;
    let mut select = connection
        .prepare(
            "SELECT rule, iif(outcome = 'suppressed', reason, outcome), count(*) FROM trigger_out
             WHERE status = 'fired' GROUP BY 1, 2",
        )
        .unwrap();
    let rows = select.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn rehearsed(trial: &mut Trial, rules: &RuleSet) -> Fates {
    let archive = Archive::open(trial.dir.path()).unwrap();
    let mut fates = Fates::new();
    for rule in rules.rules() {
        let world = &mut trial.writer_mut().core.world;
        let all = archive.rehearse(rules, &rule.id, 0, world).unwrap();
        let said = all.said().count() as i64;
        let fate = |(reason, count): (&str, i64)| ((rule.id.clone(), reason.to_owned()), count);
        fates.extend((said > 0).then(|| fate(("released", said))));
        fates.extend(all.not_said().into_iter().map(|(why, count)| fate((why, count as i64))));
    }
    fates
}

#[test]
fn what_was_told_live_is_what_a_rehearsal_says() {
    for (cap, log_readings) in [(None, u64::MAX), (Some(3), 40)] {
        let relevance = Relevance { cap, ..Relevance::default() };
        let mut trial = lived(relevance, log_readings);
        let live = told(&trial);
        let reasons: Vec<&str> = live.keys().map(|(_, reason)| reason.as_str()).collect();
        assert!(reasons.contains(&"cooldown") && reasons.contains(&"released"), "{live:?}");
        assert_eq!(reasons.contains(&"cap"), cap.is_some(), "{live:?}");
        assert_eq!(rehearsed(&mut trial, &rules(relevance)), live);
    }
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

impl Trial {
    fn books_for_anna(&mut self, id: &str, from_ms: i64, more: &str) {
        let to_ms = from_ms + 7 * DAY_MS;
        let payload = format!(
            r#"{{"id":"{id}","customer":"anna","lat":47.27,"lon":11.39,"from":{from_ms},"to":{to_ms}{more}}}"#
        );
        let received_ms = self.writer().clock.now_ms();
        self.report(Arrival { received_ms, ..message("alpina", "trips/alpina", &payload) });
    }

    /// So many hours go by, and what is due in each is dealt with.
    fn hours_go_by(&mut self, from: i64, to: i64) {
        for hour in from..=to {
            self.at(NOW_MS + hour * HOUR_MS);
            for _ in 0..2 {
                assert!(self.try_commit(&[]));
            }
        }
    }
}

/// A week and a half of bookings: changed before and after they are told, cancelled, put off to the
/// morning, begun, and two that are not told yet.
fn booked(relevance: Relevance) -> Trial {
    let mut trial = insured();
    trial.writer_mut().core.rules.relevance = relevance;
    let at = |day: i64, hour: i64| NOW_MS + day * DAY_MS + hour * HOUR_MS;
    let ski = r#","activities":["skiing"]"#;
    trial.books_for_anna("T-1", at(5, 0), "");
    trial.books_for_anna("T-2", at(5, 0), ski);
    trial.books_for_anna("T-3", at(6, 0), "");
    trial.books_for_anna("T-4", at(6, 1), "");
    trial.books_for_anna("T-5", NOW_MS - 1, ski);
    trial.books_for_anna("T-6", at(9, 0), ski);
    trial.hours_go_by(0, 11);
    // At night; and one before it is told.
    trial.books_for_anna("T-7", at(1, 12), "");
    trial.books_for_anna("T-1", at(7, 0), ski);
    trial.books_for_anna("T-4", at(6, 1), r#","cancelled":true"#);
    trial.hours_go_by(12, 4 * 24);
    // After it was told, or held back.
    trial.books_for_anna("T-2", at(5, 0), "");
    trial.books_for_anna("T-3", at(6, 0), ski);
    trial.hours_go_by(4 * 24, 6 * 24);
    trial.books_for_anna("T-1", at(7, 0), r#","cancelled":true"#);
    trial.books_for_anna("T-8", at(30, 0), ski);
    trial.hours_go_by(6 * 24, 7 * 24 - 4);
    trial
}

#[test]
fn booked_trips_are_rehearsed_as_they_were_told_live() {
    for cap in [None, Some(1), Some(2)] {
        let relevance = Relevance { cap, cap_window_ms: 3 * DAY_MS, ..Relevance::default() };
        let mut trial = booked(relevance);
        let live = told(&trial);
        let said = ("travel-trip".to_owned(), "released".to_owned());
        assert!(live[&said] >= 2, "{live:?}");
        assert_eq!(live.keys().any(|(_, reason)| reason == "cap"), cap.is_some(), "{live:?}");
        let rules = trial.writer().core.rules.clone();
        assert_eq!(rehearsed(&mut trial, &rules), live, "cap {cap:?}");
    }
}

#[test]
fn a_trip_that_was_held_back_and_put_off_at_night_is_rehearsed_when_it_is_due() {
    let relevance = Relevance { cap: Some(1), cap_window_ms: 3 * DAY_MS, ..Relevance::default() };
    let mut trial = insured();
    trial.writer_mut().core.rules.relevance = relevance;
    let at = |day: i64| NOW_MS + day * DAY_MS;
    trial.books_for_anna("T-1", at(5), "");
    trial.books_for_anna("T-2", at(5), "");
    // An hour before midnight, when one is told and the other was too much.
    let night = 3 * 24 + 11;
    trial.hours_go_by(0, night);
    let rules = trial.writer().core.rules.clone();
    let of = |reason: &str, count| (("travel-trip".to_owned(), reason.to_owned()), count);
    assert_eq!(told(&trial), Fates::from([of("released", 1), of("cap", 1)]));
    trial.books_for_anna("T-2", at(9), "");
    trial.hours_go_by(night, 6 * 24);
    assert_eq!(told(&trial), rehearsed(&mut trial, &rules), "not due yet");
    trial.hours_go_by(6 * 24, 8 * 24);
    assert_eq!(told(&trial), Fates::from([of("released", 2)]));
    assert_eq!(rehearsed(&mut trial, &rules), told(&trial));
}

#[test]
fn trips_that_are_not_kept_any_more_are_counted() {
    let mut trial = booked(Relevance::default());
    let rules = trial.writer().core.rules.clone();
    let trips = |trial: &mut Trial| {
        let archive = Archive::open(trial.dir.path()).unwrap();
        let world = &mut trial.writer_mut().core.world;
        let all = archive.rehearse(&rules, "travel-trip", NOW_MS, world).unwrap();
        (all.said().count(), all.trips_gone)
    };
    trial.hours_go_by(7 * 24 - 3, 7 * 24);
    let (said, gone) = trips(&mut trial);
    assert_eq!((said > 2, gone), (true, 0));
    // Nothing is heard meanwhile, and the clock is believed.
    let (reports_ms, clock_jump_ms) = (Some(31 * DAY_MS), 365 * DAY_MS);
    trial.keep(Retention { reports_ms, clock_jump_ms, ..Retention::default() });
    trial.at(NOW_MS + 45 * DAY_MS);
    trial.sweep_all();
    let (left, gone) = trips(&mut trial);
    assert!(left > 0 && gone > 0 && left as u64 + gone == said as u64, "{said}: {left} and {gone}");
}
