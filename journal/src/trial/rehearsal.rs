//! What a rehearsal says would have been told, held against what was.

use std::collections::BTreeMap;

use enrich::relevance::Relevance;
use enrich::rules::RuleSet;

use super::{BELGIUM, GERMANY, HOME, NETHERLANDS, NOW_MS, Trial, reading};
use crate::Archive;

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

fn rehearsed(trial: &Trial, rules: &RuleSet) -> Fates {
    let archive = Archive::open(trial.dir.path()).unwrap();
    let mut fates = Fates::new();
    for rule in rules.rules() {
        let all = archive.rehearse(rules, &rule.id, 0, &trial.writer().core.world).unwrap();
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
        let trial = lived(relevance, log_readings);
        let live = told(&trial);
        let reasons: Vec<&str> = live.keys().map(|(_, reason)| reason.as_str()).collect();
        assert!(reasons.contains(&"cooldown") && reasons.contains(&"released"), "{live:?}");
        assert_eq!(reasons.contains(&"cap"), cap.is_some(), "{live:?}");
        assert_eq!(rehearsed(&trial, &rules(relevance)), live);
    }
}
