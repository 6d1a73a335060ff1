//! Feedback, and what somebody hears after it, on trial.

use enrich::trigger::TriggerData;
use ingest::Reason;

use super::report::{insured, message};
use super::rights::crossing;
use super::{NOW_MS, Trial};
use crate::{Change, TriggerRow};

impl Trial {
    /// Anna's car goes over the border: the first time once, then back and over it again.
    fn cross(&mut self, journey: i64) {
        self.at(NOW_MS + journey * 900_000);
        self.send("car-a", &crossing(journey * 900));
    }

    fn told(&self) -> Vec<TriggerRow> {
        let mut told = self.reader().newest_triggers(100).unwrap();
        told.reverse();
        told
    }

    /// Outcome and reason of the last so many.
    fn last(&self, many: usize) -> Vec<(String, Option<String>)> {
        let told = self.told();
        let last = &told[told.len() - many..];
        last.iter().map(|row| (row.outcome.clone(), row.reason.clone())).collect()
    }

    /// The content of what was said under a rule.
    fn by_rule(&self, rule: &str) -> Vec<TriggerData> {
        let told = self.told();
        let data = told.iter().filter_map(|row| row.body.data.trigger());
        data.filter(|data| data.rule.id == rule).cloned().collect()
    }

    fn feed_back(&mut self, trigger: &str, what: &str, after_ms: i64) {
        let time_ms = NOW_MS + after_ms;
        let payload = format!(r#"{{"trigger":"{trigger}",{what},"time":{time_ms}}}"#);
        self.report(message("alpina", "feedback/alpina", &payload));
    }
}

fn said() -> (String, Option<String>) {
    ("released".to_owned(), None)
}

fn held() -> (String, Option<String>) {
    ("suppressed".to_owned(), Some("feedback".to_owned()))
}

#[test]
fn who_is_dissatisfied_is_called_and_made_no_offers() {
    let mut trial = insured();
    trial.cross(0);
    let id = trial.told()[0].body.id.clone();
    trial.feed_back(&id, r#""mark":6"#, 1);
    trial.feed_back(&id, r#""mark":2"#, 2);
    let [task] = &trial.by_rule("feedback-task")[..] else { panic!("{:?}", trial.told()) };
    assert_eq!((&*task.product, &*task.offer.kind), ("travel", "task"));
    assert_eq!((&task.told["trigger"], &task.told["mark"]), (&id.into(), &6.into()));
    trial.cross(1);
    assert_eq!(trial.last(2), [held(), held()]);
    trial.restart();
    trial.cross(2);
    assert_eq!(trial.last(2), [held(), held()], "also over a restart");
    assert_eq!(trial.counts().triggers_suppressed["feedback"], 4);
    let id = trial.told()[0].body.id.clone();
    trial.feed_back(&id, r#""mark":7"#, 3);
    trial.cross(3);
    assert_eq!(trial.last(2), [said(), said()], "a better mark");
    trial.check_outbox();
}

#[test]
fn who_is_dissatisfied_still_hears_what_is_no_offer() {
    let day_ms = 86_400_000;
    let (from_ms, to_ms) = (NOW_MS + 5 * day_ms, NOW_MS + 9 * day_ms);
    let trip = format!(
        r#"{{"id":"T-1","customer":"anna","lat":47.27,"lon":11.39,"from":{from_ms},"to":{to_ms},"activities":["skiing"]}}"#
    );
    for (mark, kind, said) in [(3, "trip_weather", "°C"), (9, "winter_sports_cover", "skiing")] {
        let mut trial = insured();
        trial.cross(0);
        let id = trial.told()[0].body.id.clone();
        trial.feed_back(&id, &format!(r#""mark":{mark}"#), 1);
        trial.report(message("alpina", "trips/alpina", &trip));
        trial.at(from_ms - 2 * day_ms);
        (0..2).for_each(|_| assert!(trial.try_commit(&[])));
        let [told] = &trial.by_rule("travel-trip")[..] else { panic!("{:?}", trial.told()) };
        assert_eq!(told.offer.kind, kind, "mark {mark}");
        assert!(told.explanation.en.contains(said), "{told:?}");
        assert_eq!(told.explanation.en.contains("skiing"), mark == 9);
        trial.check_outbox();
    }
}

#[test]
fn who_is_glad_is_offered_membership_once() {
    let mut trial = insured();
    trial.cross(0);
    trial.cross(1);
    let told = trial.told();
    trial.feed_back(&told[0].body.id, r#""mark":5"#, 3);
    // An older mark that comes later changes nothing.
    trial.feed_back(&told[1].body.id, r#""mark":10"#, 2);
    assert_eq!(trial.by_rule("feedback-membership"), []);
    trial.feed_back(&told[1].body.id, r#""mark":8"#, 4);
    trial.restart();
    trial.feed_back(&told[2].body.id, r#""mark":10"#, 5);
    let [offer] = &trial.by_rule("feedback-membership")[..] else { panic!("{:?}", trial.told()) };
    assert_eq!(offer.told["mark"], 8);
    assert_eq!(trial.by_rule("feedback-task").len(), 1);
    trial.check_outbox();
}

#[test]
fn what_is_ignored_in_a_row_is_said_less_often_until_it_is_noticed() {
    let mut trial = insured();
    trial.cross(0);
    trial.cross(1);
    let told = trial.told();
    for (at, row) in told.iter().enumerate() {
        assert_eq!(row.outcome, "released");
        trial.feed_back(&row.body.id, r#""reaction":"ignored""#, at as i64);
    }
    trial.cross(2);
    assert_eq!(trial.last(2), [held(), held()]);
    trial.feed_back(&told[0].body.id, r#""reaction":"opened""#, 10);
    trial.cross(3);
    assert_eq!(trial.last(2), [said(), said()]);
}

#[test]
fn feedback_goes_with_the_customer_and_with_the_consent() {
    let mut trial = insured();
    trial.cross(0);
    let id = trial.told()[0].body.id.clone();
    trial.feed_back(&id, r#""mark":3"#, 1);
    let (customer, insurer) = ("anna".into(), "alpina".into());
    let purpose = enrich::registry::Product::Travel;
    assert!(trial.change(Change::Withdraw { customer, insurer, purpose }));
    trial.purge_all();
    assert_eq!(trial.by_rule("feedback-task"), [], "it took her consent");
    trial.feed_back(&id, r#""mark":9"#, 2);
    assert_eq!(trial.counts().refused, [(Reason::UnknownTrigger, 1)].into());
    assert!(trial.change(Change::Erase { customer: "anna".into() }));
    trial.purge_all();
    for file in std::fs::read_dir(trial.dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let named = br#""report":"feedback""#;
        assert!(!bytes.windows(named.len()).any(|window| window == named));
    }
}
