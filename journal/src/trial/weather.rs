//! Weather that comes after what needed it, on trial.

use enrich::trigger::{CloudEvent, TriggerData, Weather};
use enrich::weather::{Cell, Feed, HOUR_MS, Hour, Reach, Rows, Series, Values};
use ingest::{Arrival, Fix, Measure, Reading, Value};

use super::report::{claim, insured, message};
use super::{NETHERLANDS, NOW_MS, Trial};
use crate::{Archive, Change, Retention, WeatherAnswer};

const DAY_MS: i64 = 24 * HOUR_MS;

/// When [`claim`]s happened.
const THEN_MS: i64 = NOW_MS - 600_000;

/// Where [`Trial::books`] goes to.
const INNSBRUCK: (f64, f64) = (47.27, 11.39);

impl Trial {
    /// From now on weather comes from a feed that answers when it is asked, and not before.
    fn has_slow_feed(&mut self) {
        let reach = Reach { source: "slow".into(), past_ms: 3 * DAY_MS, ahead_ms: 4 * DAY_MS };
        self.writer_mut().core.world.weather = Feed::Rows(Rows::new(vec![reach]));
    }

    /// The feed answers about a place, from an hour on for two days.
    fn brings(&mut self, place: (f64, f64), from_ms: i64, temperature_c: f64) {
        self.tells(place, from_ms, temperature_c, from_ms < NOW_MS);
    }

    fn tells(&mut self, place: (f64, f64), from_ms: i64, temperature_c: f64, observed: bool) {
        self.is_answered(place, from_ms, temperature_c, observed);
        self.passes();
    }

    fn is_answered(
        &mut self,
        (lat, lon): (f64, f64),
        from_ms: i64,
        temperature_c: f64,
        observed: bool,
    ) {
        let hour = |hour: i64| Hour {
            valid_ms: from_ms.div_euclid(HOUR_MS) * HOUR_MS + hour * HOUR_MS,
            observed,
            values: Values {
                temperature_c: Some(temperature_c),
                dew_point_c: Some(temperature_c - 10.0),
                precipitation_mm: Some(0.0),
                ..Values::default()
            },
        };
        let series = Series {
            cell: Cell::of(lat, lon),
            source: "slow".into(),
            lat,
            lon,
            elevation_m: None,
            issued_ms: from_ms,
            hours: (-24..48).map(hour).collect(),
        };
        let answer = WeatherAnswer {
            feed: "slow".into(),
            series: vec![series],
            ledger: Vec::new(),
            whole: None,
        };
        self.writer_mut().answers.push(answer);
    }

    fn passes(&mut self) {
        for _ in 0..3 {
            assert!(self.try_commit(&[]));
        }
    }

    /// For which cells feeds are asked.
    fn asked(&self) -> Vec<Cell> {
        self.writer().live.weather_wanted().borrow().iter().map(|(cell, _)| *cell).collect()
    }

    fn told_of(&self, product: &str) -> Vec<(u32, TriggerData)> {
        let rows = self.reader().triggers_after("alpina", product, 0, 100).unwrap();
        let told = |event: CloudEvent<_>| Some((event.revision, privacy(&event)?));
        rows.into_iter().filter_map(|row| told(row.body)).collect()
    }
}

fn privacy(event: &CloudEvent<enrich::privacy::Content>) -> Option<TriggerData> {
    event.data.trigger().cloned()
}

fn was_there(seconds: i64) -> Reading {
    let fix = Fix::new(NETHERLANDS.0, NETHERLANDS.1, Some(5.0));
    Reading { time_ms: THEN_MS + seconds * 1_000, seq: None, fix, measures: Vec::new() }
}

fn temperature_c(told: &TriggerData) -> Option<f64> {
    match told.evidence.weather {
        Weather::Known { temperature_c, .. } => temperature_c,
        Weather::Missing => None,
    }
}

/// A claim is made about Anna's car, and no feed has told the weather of then.
fn claimed() -> Trial {
    let mut trial = insured();
    trial.has_slow_feed();
    trial.at(NOW_MS);
    trial.send("car-a", &[was_there(-5), was_there(5)]);
    trial.report(claim("alpina", "C-1", r#""device":"car-a""#));
    trial.passes();
    trial
}

#[test]
fn a_claim_is_answered_without_its_weather_and_again_when_that_comes() {
    let cell = Cell::of(NETHERLANDS.0, NETHERLANDS.1);
    let mut trial = claimed();
    assert_eq!(
        (trial.asked(), trial.told_of("winter_tyres")),
        (vec![cell], vec![]),
        "asked at once"
    );
    trial.at(NOW_MS + 10_000);
    trial.passes();
    let answers = trial.told_of("winter_tyres");
    assert_eq!(
        (answers.len(), &answers[0].1.told["weather"]["reason"]),
        (1, &"weather_missing".into())
    );
    // It goes on asking, also after a restart.
    trial.restart();
    trial.has_slow_feed();
    assert_eq!(trial.asked(), [cell]);
    trial.at(NOW_MS + HOUR_MS);
    trial.brings(INNSBRUCK, THEN_MS, 9.0);
    assert_eq!(trial.told_of("winter_tyres").len(), 1, "that was of elsewhere");
    trial.brings(NETHERLANDS, THEN_MS, -3.0);
    let answers = trial.told_of("winter_tyres");
    let [_, (1, revised)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(
        (temperature_c(revised), &revised.told["weather"]["reason"]),
        (Some(-3.0), &"height_unknown".into())
    );
    assert_ne!(revised.told["road"]["reason"], "weather_missing");
    assert_eq!(trial.asked(), []);
    trial.brings(NETHERLANDS, THEN_MS + HOUR_MS, -4.0);
    assert_eq!(trial.told_of("winter_tyres").len(), 2, "what it has is not taken back");
}

/// A claim that was answered with a forecast of 4 °C.
fn answered_by_a_forecast() -> Trial {
    let mut trial = insured();
    trial.has_slow_feed();
    trial.at(NOW_MS);
    trial.tells(NETHERLANDS, THEN_MS - HOUR_MS, 4.0, false);
    trial.send("car-a", &[was_there(-5), was_there(5)]);
    trial.report(claim("alpina", "C-1", r#""device":"car-a""#));
    trial.passes();
    let answers = trial.told_of("winter_tyres");
    let [(0, answer)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(
        (&answer.told["weather"]["reason"], temperature_c(answer)),
        (&"forecast".into(), Some(4.0))
    );
    trial
}

#[test]
fn an_answer_by_a_forecast_is_revised_by_what_was_observed_unless_that_confirms_it() {
    let cell = Cell::of(NETHERLANDS.0, NETHERLANDS.1);
    // Where it is not as cold as that, nobody needs to hear of it; nor of another forecast.
    let mut trial = answered_by_a_forecast();
    assert_eq!(trial.asked(), [cell]);
    trial.at(NOW_MS + HOUR_MS);
    trial.tells(NETHERLANDS, THEN_MS, -2.0, false);
    assert_eq!((trial.told_of("winter_tyres").len(), trial.asked()), (1, vec![cell]));
    trial.tells(NETHERLANDS, THEN_MS + 1, 5.5, true);
    trial.send("car-a", &[was_there(7)]);
    trial.passes();
    assert_eq!((trial.told_of("winter_tyres").len(), trial.asked()), (1, vec![]));

    // Where it froze they do, also after a restart, once.
    let mut trial = answered_by_a_forecast();
    trial.restart();
    trial.has_slow_feed();
    trial.tells(NETHERLANDS, THEN_MS - HOUR_MS, 4.0, false);
    assert_eq!((trial.told_of("winter_tyres").len(), trial.asked()), (1, vec![cell]));
    trial.at(NOW_MS + HOUR_MS);
    trial.tells(NETHERLANDS, THEN_MS, -2.0, true);
    trial.tells(NETHERLANDS, THEN_MS + 1, -3.0, true);
    let answers = trial.told_of("winter_tyres");
    let [_, (1, revised)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(temperature_c(revised), Some(-2.0));
    assert_ne!(revised.told["weather"]["reason"], "forecast");
    assert_eq!(trial.asked(), []);
}

#[test]
fn a_claim_that_is_corrected_is_answered_anew_where_the_forecast_is_the_same() {
    let mut trial = answered_by_a_forecast();
    trial.send("car-a", &[was_there(-65), was_there(-55)]);
    trial.passes();
    let minute_before_ms = THEN_MS - 60_000;
    let corrected =
        format!(r#"{{"id":"C-1","device":"car-a","time":{minute_before_ms},"kind":"collision"}}"#);
    trial.report(message("alpina", "claims/alpina", &corrected));
    trial.passes();
    let answers = trial.told_of("winter_tyres");
    let [_, (1, revised)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(revised.happened_at.as_millisecond(), minute_before_ms);
}

#[test]
fn a_late_reading_takes_no_weather_away_that_a_claim_was_answered_with() {
    let mut trial = insured();
    // Nothing is heard meanwhile, and the clock is believed.
    trial.keep(Retention { clock_jump_ms: 365 * DAY_MS, ..Retention::default() });
    trial.has_slow_feed();
    trial.at(NOW_MS);
    trial.brings(NETHERLANDS, THEN_MS - HOUR_MS, -3.0);
    trial.send("car-a", &[was_there(-5), was_there(5)]);
    trial.report(claim("alpina", "C-1", r#""device":"car-a""#));
    trial.passes();
    // Out of the workshop again, with what it had not sent, when the rows are gone.
    trial.at(NOW_MS + 10 * DAY_MS);
    trial.passes();
    let Feed::Rows(rows) = &trial.writer().core.world.weather else { unreachable!() };
    assert_eq!(rows.kept(), (0, 0));
    let winter = (Measure::Tyre, Value::Choice(2));
    trial.send("car-a", &[Reading { measures: vec![winter], ..was_there(-7) }]);
    trial.passes();
    let answers = trial.told_of("winter_tyres");
    let [(0, answer), (1, revised)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_ne!(revised.told["tyres"], answer.told["tyres"]);
    assert_eq!(temperature_c(revised), Some(-3.0));
    for same in ["weather", "road"] {
        assert_eq!(revised.told[same], answer.told[same], "{same}");
    }
}

#[test]
fn many_claims_are_looked_at_in_several_transactions_when_their_weather_comes() {
    let mut trial = answered_by_a_forecast();
    for number in 2..=100 {
        trial.report(claim("alpina", &format!("C-{number}"), r#""device":"car-a""#));
    }
    trial.passes();
    let answers = |trial: &Trial| {
        let rows = trial.reader().triggers_after("alpina", "winter_tyres", 0, 1_000).unwrap();
        rows.into_iter().filter(|row| row.body.revision == 1).count()
    };
    trial.at(NOW_MS + HOUR_MS);
    trial.is_answered(NETHERLANDS, THEN_MS, -2.0, true);
    let told: Vec<usize> = std::iter::repeat_with(|| {
        assert!(trial.try_commit(&[]));
        answers(&trial)
    })
    .take(4)
    .collect();
    assert_eq!(told, [0, 64, 100, 100]);
    assert!(!trial.writer().has_weather_work());
}

#[test]
fn what_was_observed_is_waited_for_a_day() {
    let mut trial = answered_by_a_forecast();
    trial.at(NOW_MS + DAY_MS);
    trial.passes();
    assert_eq!(trial.asked(), []);
    trial.tells(NETHERLANDS, THEN_MS, -2.0, true);
    assert_eq!(trial.told_of("winter_tyres").len(), 1);
}

#[test]
fn an_answer_keeps_its_weather_when_that_is_not_kept_any_more() {
    let mut trial = insured();
    trial.has_slow_feed();
    trial.at(NOW_MS);
    trial.tells(NETHERLANDS, THEN_MS, -2.0, true);
    trial.send("car-a", &[was_there(-300), was_there(300)]);
    trial.report(claim("alpina", "C-1", r#""device":"car-a""#));
    trial.passes();
    for day in 1..=9 {
        trial.at(NOW_MS + day * DAY_MS);
        trial.send("car-a", &[was_there(day * DAY_MS / 1_000)]);
        trial.passes();
    }
    let Feed::Rows(rows) = &trial.writer().core.world.weather else { panic!() };
    assert_eq!(rows.kept(), (0, 0));
    trial.send("car-a", &[was_there(-2)]);
    trial.passes();
    let answers = trial.told_of("winter_tyres");
    let [(0, _), (1, nearer)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((&nearer.told["place"]["apart_s"], temperature_c(nearer)), (&2.into(), Some(-2.0)));
    // Who says that it was elsewhere is answered with what is left.
    let corrected = claim("alpina", "C-1", r#""device":"car-a","place":"Venlo""#);
    trial.report(Arrival { received_ms: trial.now_ms, ..corrected });
    trial.passes();
    let answers = trial.told_of("winter_tyres");
    let [.., (2, revised)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(temperature_c(revised), None);
}

#[test]
fn no_feed_is_asked_for_the_weather_of_who_was_erased() {
    let mut trial = claimed();
    assert_eq!(trial.asked().len(), 1);
    assert!(trial.change(Change::Erase { customer: "anna".into() }));
    assert_eq!(trial.asked(), []);
}

#[test]
fn weather_that_comes_while_a_claim_waits_ends_the_wait() {
    let mut trial = claimed();
    trial.at(NOW_MS + 2_000);
    trial.brings(NETHERLANDS, THEN_MS, -3.0);
    let answers = trial.told_of("winter_tyres");
    assert_eq!(
        answers.iter().map(|(_, told)| temperature_c(told)).collect::<Vec<_>>(),
        [Some(-3.0)]
    );
}

#[test]
fn a_trip_is_said_without_its_weather_and_again_when_that_comes() {
    let begins_ms = NOW_MS + 5 * DAY_MS;
    let due_ms = begins_ms - 2 * DAY_MS - 3 * HOUR_MS;
    let mut trial = insured();
    trial.has_slow_feed();
    let to_ms = begins_ms + DAY_MS;
    let trip = |id: &str, place: &str| {
        format!(
            r#"{{"id":"{id}","customer":"anna","place":"{place}","from":{begins_ms},"to":{to_ms}}}"#
        )
    };
    trial.report(message("alpina", "trips/alpina", &trip("T-1", "Innsbruck, AT")));
    trial.report(message("alpina", "trips/alpina", &trip("T-2", "Valencia")));
    trial.at(due_ms);
    trial.passes();
    let wanted = trial.asked();
    assert_eq!(wanted.len(), 1, "of several places of one name none is asked for");
    trial.at(due_ms + 10_000);
    trial.passes();
    let told = trial.told_of("travel");
    let of = |id: &str| told.iter().find(|(_, told)| told.told["trip"]["id"] == id).unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(of("T-1").1.told["trip"]["place_named"], "one");
    assert_eq!(of("T-2").1.told["trip"]["place_named"], "several");
    assert!(told.iter().all(|(_, told)| told.offer.kind == "trip_ahead"), "{told:?}");
    trial.at(due_ms + HOUR_MS);
    assert_eq!(trial.asked(), wanted);
    let (lat, lon) = wanted[0].centre();
    trial.brings((lat, lon), begins_ms, -7.0);
    let told = trial.told_of("travel");
    let [.., (1, revised)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((told.len(), temperature_c(revised)), (3, Some(-7.0)));
    assert_eq!(revised.offer.kind, "trip_weather");
    assert_eq!(trial.asked(), []);
    // Once it has begun, nobody asks any more.
    trial.at(begins_ms);
    trial.passes();
    assert_eq!((trial.told_of("travel").len(), trial.writer().next_trip_ms), (3, None));
}

#[test]
fn a_backtest_of_a_trip_goes_by_the_forecast_of_then() {
    let begins_ms = NOW_MS + 5 * DAY_MS;
    let due_ms = begins_ms - 2 * DAY_MS - 3 * HOUR_MS;
    let mut trial = insured();
    trial.has_slow_feed();
    let (lat, lon) = INNSBRUCK;
    let trip = format!(
        r#"{{"id":"T-1","customer":"anna","lat":{lat},"lon":{lon},"from":{begins_ms},"to":{}}}"#,
        begins_ms + DAY_MS
    );
    trial.report(message("alpina", "trips/alpina", &trip));
    trial.at(due_ms);
    trial.passes();
    trial.at(due_ms + 2_000);
    trial.tells(INNSBRUCK, begins_ms, -7.0, false);
    trial.at(due_ms + DAY_MS);
    trial.tells(INNSBRUCK, begins_ms + 1, 9.0, false);
    let told = trial.told_of("travel");
    let [(0, told)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(temperature_c(told), Some(-7.0));
    // As the configuration has it.
    trial.has_slow_feed();
    let rules = trial.writer().core.rules.clone();
    let archive = Archive::open(trial.dir.path()).unwrap();
    let world = &mut trial.writer_mut().core.world;
    let rehearsed = archive.rehearse(&rules, "travel-trip", NOW_MS, world).unwrap();
    let said: Vec<&str> = rehearsed.said().map(|said| said.explanation.en.as_str()).collect();
    assert_eq!(said, [told.explanation.en.as_str()]);
}
