use std::sync::LazyLock;

use ingest::report::Claim;
use ingest::{Fix, Measure, Reading, Value};

use super::{Around, Car, Certainty, Context, HarshKind};
use crate::World;
use crate::detect::tyres::Tyre;
use crate::law::Demand;
use crate::places::Atlas;
use crate::road::Condition;
use crate::weather::{Feed, Synthetic};

static WORLD: LazyLock<World> =
    LazyLock::new(|| World { atlas: Atlas::load(), weather: Feed::Synthetic(Synthetic::new(1)) });

/// In Ljubljana, where winter tyres are asked for from 15 November to 15 March.
const THERE: (f64, f64) = (46.05, 14.51);
/// 2025-12-01T10:00:00Z
const THEN_MS: i64 = 1_764_583_200_000;

fn claim(fix: Option<(f64, f64)>) -> Claim {
    Claim {
        id: "C-1".into(),
        policy: Some("P-1".into()),
        device: None,
        time_ms: THEN_MS,
        fix: fix.and_then(|(lat, lon)| Fix::new(lat, lon, None)),
        place: None,
        kind: "collision".into(),
    }
}

/// `seconds` after the claim.
fn reading(seconds: i64, measures: &[(Measure, Value)]) -> Reading {
    Reading {
        time_ms: THEN_MS + seconds * 1_000,
        seq: None,
        fix: Fix::new(THERE.0, THERE.1, Some(5.0)),
        measures: measures.to_vec(),
    }
}

fn speed(mps: f64) -> (Measure, Value) {
    (Measure::SpeedMps, Value::Number(mps))
}

fn look(claim: &Claim, car: Car, readings: &[Reading]) -> Context {
    look_in(&WORLD, claim, car, readings)
}

fn look_in(world: &World, claim: &Claim, car: Car, readings: &[Reading]) -> Context {
    let around = Around {
        claim,
        car,
        readings,
        fitted_before: (None, None),
        before: None,
        world,
        now_ms: THEN_MS + 3_600_000,
    };
    Context::of(&around)
}

#[test]
fn a_car_that_reports_every_second_leaves_nothing_open() {
    let tyre = [(Measure::Tyre, Value::Choice(0)), (Measure::TreadMm, Value::Number(5.5))];
    let mut drive: Vec<Reading> = (-120..=5)
        .map(|second| {
            // Full braking in the last three seconds.
            let mps = if second < -3 { 25.0 } else { (25.0 - 6.0 * (second + 4) as f64).max(0.0) };
            let mut measures = vec![speed(mps)];
            if second == -120 {
                measures.extend(tyre.clone());
            }
            reading(second, &measures)
        })
        .collect();
    drive[117].measures.push((Measure::AbsActive, Value::Flag(true)));
    let context = look(&claim(None), Car::Known, &drive);
    let place = context.place.value.as_ref().unwrap();
    assert_eq!((context.place.certainty, place.apart_ms), (Certainty::Certain, Some(0)));
    assert_eq!(place.country.unwrap().code(), "SI");
    let fitted = context.tyres.value.unwrap();
    assert_eq!((context.tyres.certainty, fitted.tyre), (Certainty::Certain, Tyre::Summer));
    assert_eq!((context.speed.certainty, context.speed.value), (Certainty::Certain, Some(1.0)));
    let harsh = context.harsh.value.as_ref().unwrap();
    assert_eq!(context.harsh.certainty, Certainty::Certain);
    let kinds: Vec<_> = harsh.iter().map(|event| (event.kind, event.before_ms)).collect();
    assert_eq!(kinds, [(HarshKind::Braking, 3_000), (HarshKind::Abs, 3_000)]);
    assert_eq!(harsh[0].mps2, Some(-6.0), "once, and at its hardest");
    let law = context.law.value.unwrap();
    assert_eq!((law.demand, law.met), (Demand::Required, Some(false)));
    let told = serde_json::to_string(&context.told()).unwrap();
    assert!(!told.contains("46.05") && !told.contains("14.51"), "the town, not the spot: {told}");
    let words = super::words::explain(&context);
    assert!(words.en.contains("summer tyres") && words.en.contains("it drove 4 km/h"), "{words:?}");
}

#[test]
fn what_is_not_known_says_why() {
    let told = |car, fix| look(&claim(fix), car, &[]);
    let nothing = told(Car::Known, None);
    assert_eq!(nothing.place.reason, "no_readings_around_then");
    assert_eq!(nothing.road.reason, "place_unknown");
    assert_eq!((nothing.tyres.reason, nothing.speed.value), ("no_readings_around_then", None));
    assert_eq!(told(Car::Several, None).tyres.reason, "several_cars");
    assert_eq!(told(Car::None, None).harsh.reason, "no_car");
    // The insurer's word for the place is enough for weather, road and law.
    let said = told(Car::None, Some(THERE));
    assert_eq!(
        (said.place.certainty, said.place.reason),
        (Certainty::Likely, "said_by_the_insurer")
    );
    assert!(said.weather.value.is_some() && said.road.value.is_some());
    assert_eq!(said.law.value.unwrap().met, None);
    assert!(said.law.certainty <= Certainty::Likely, "no more certain than the place");
    let words = super::words::explain(&said);
    assert!(words.en.contains("probably happened near"), "{words:?}");
    assert!(words.nl.contains("Welke banden de auto had is niet bekend"), "{words:?}");
}

#[test]
fn the_place_lies_between_two_fixes_and_says_how_far_in_time() {
    let at = |seconds: i64, lat: f64| Reading {
        fix: Fix::new(lat, 14.51, Some(5.0)),
        ..reading(seconds, &[])
    };
    let context = look(&claim(None), Car::Known, &[at(-30, 46.00), at(90, 46.04)]);
    let place = context.place.value.unwrap();
    assert!((place.fix.lat() - 46.01).abs() < 1e-6, "{place:?}");
    assert_eq!((context.place.certainty, place.apart_ms), (Certainty::Certain, Some(30_000)));
    let later = look(&claim(None), Car::Known, &[at(600, 46.04)]);
    assert_eq!(later.place.certainty, Certainty::Likely);
    assert_eq!(later.place.value.unwrap().apart_ms, Some(600_000));
    let elsewhere = look(&claim(Some((46.3, 14.3))), Car::Known, &[at(0, 46.0)]);
    assert_eq!(elsewhere.place.reason, "the_car_was_elsewhere");
}

#[test]
fn tyres_hold_until_a_car_says_otherwise() {
    let says = |seconds, choice| reading(seconds, &[(Measure::Tyre, Value::Choice(choice))]);
    let fitted = |readings: &[Reading], before| {
        let claim = claim(None);
        let around = Around {
            claim: &claim,
            car: Car::Known,
            readings,
            fitted_before: before,
            before: None,
            world: &WORLD,
            now_ms: THEN_MS,
        };
        let tyres = Context::of(&around).tyres;
        (tyres.value.map(|fitted| fitted.tyre), tyres.reason)
    };
    let winter = (Some(Tyre::Winter), Some(6.0));
    assert_eq!(fitted(&[], winter), (Some(Tyre::Winter), "said_at_another_time"));
    assert_eq!(fitted(&[says(-60, 0)], winter), (Some(Tyre::Summer), "said_by_the_car"));
    assert_eq!(fitted(&[says(60, 0)], winter), (Some(Tyre::Winter), "said_otherwise_soon_after"));
    assert_eq!(fitted(&[says(60, 0)], (None, None)), (Some(Tyre::Summer), "said_at_another_time"));
    assert_eq!(fitted(&[reading(0, &[])], (None, None)), (None, "never_said"));
}

#[test]
fn a_few_readings_make_it_likely_at_most() {
    let few = [reading(-40, &[speed(20.0)]), reading(-5, &[speed(8.0)])];
    let context = look(&claim(None), Car::Known, &few);
    assert_eq!(context.harsh.certainty, Certainty::Likely);
    assert_eq!(context.harsh.value, Some(vec![]), "12 m/s less in 35 s is no braking");
    assert_eq!((context.speed.certainty, context.speed.value), (Certainty::Certain, Some(8.0)));
    let mut fixes = [reading(-20, &[]), reading(-10, &[])];
    fixes[0].fix = Fix::new(THERE.0 - 0.001, THERE.1, None);
    let reckoned = look(&claim(None), Car::Known, &fixes).speed;
    assert_eq!(reckoned.reason, "from_positions");
    assert!((reckoned.value.unwrap() - 11.1).abs() < 0.2, "{reckoned:?}");
}

#[test]
fn the_road_is_no_more_certain_than_its_weather() {
    let context = look(&claim(None), Car::Known, &[reading(0, &[speed(1.0)])]);
    let road = context.road.value.unwrap();
    assert_ne!(road.condition, Condition::Unknown);
    assert!(!road.surface_estimated || context.road.certainty == Certainty::Likely);
}

#[test]
fn a_law_that_goes_by_the_road_is_no_more_certain_than_the_road() {
    let in_innsbruck = |measures: &[(Measure, Value)]| {
        let mut reading = reading(0, measures);
        reading.fix = Fix::new(47.27, 11.39, Some(5.0));
        look(&claim(None), Car::Known, &[reading])
    };
    let context = in_innsbruck(&[]);
    assert_eq!(context.place.certainty, Certainty::Certain);
    assert_eq!(
        (context.road.certainty, context.road.reason),
        (Certainty::Likely, "height_unknown")
    );
    assert_eq!((context.law.certainty, context.law.reason), (Certainty::Likely, "height_unknown"));
    let high = in_innsbruck(&[(Measure::AltitudeM, Value::Number(574.0))]);
    assert_eq!((high.road.certainty, high.law.certainty), (Certainty::Certain, Certainty::Certain));
    // In Slovenia it goes by the date.
    let by_date = look(&claim(None), Car::Known, &[reading(0, &[])]);
    assert_eq!(
        (by_date.road.certainty, by_date.law.certainty),
        (Certainty::Likely, Certainty::Certain)
    );
}

#[test]
fn on_a_pass_the_road_is_that_of_the_pass_and_where_the_height_is_not_known_it_says_so() {
    let world = crate::weather::rain_in_a_valley(THEN_MS);
    let pass = Some((46.51, 8.45));
    let at = |seconds: i64, lat: f64, altitude_m: Option<f64>| Reading {
        time_ms: THEN_MS + seconds * 1_000,
        seq: None,
        fix: Fix::new(lat, 8.45, Some(5.0)),
        measures: altitude_m.map(|m| (Measure::AltitudeM, Value::Number(m))).into_iter().collect(),
    };
    let found = |claimed, readings: &[Reading]| {
        let context = look_in(&world, &claim(claimed), Car::Known, readings);
        let correction_c = context.weather.value.as_ref().unwrap().altitude_correction_c;
        let (weather, road) = (context.weather.reason, context.road.value.unwrap().condition);
        (road, weather, context.road.certainty, correction_c)
    };
    let (certain, likely) = (Certainty::Certain, Certainty::Likely);
    // 1,200 m above the valley that the weather was told for, between two fixes.
    let drive = [at(-30, 46.509, Some(1_880.0)), at(30, 46.511, Some(1_920.0))];
    let there = (Condition::Ice, "observed", certain, Some(-7.8));
    assert_eq!(found(None, &drive), there);
    assert_eq!(found(pass, &drive), there);
    // The height was said a little before, near there; not where it was far away.
    let before = [at(-300, 46.505, Some(1_900.0)), at(-10, 46.51, None)];
    assert_eq!(found(None, &before), there);
    let valley = [at(-800, 46.45, Some(700.0)), at(-10, 46.51, None)];
    let uncorrected = (Condition::Wet, "height_unknown", likely, None);
    assert_eq!(found(None, &valley), uncorrected);
    let rest: Vec<Reading> = Vec::new();
    assert_eq!(found(pass, &rest), uncorrected, "the place alone has no height");
}
