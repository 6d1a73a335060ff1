use std::sync::LazyLock;

use ingest::{Fix, Measure, Reading, Value};

use super::{Accident, Group, Rate, Study, Tally, Walk};
use crate::World;
use crate::detect::tyres::Tyre;
use crate::places::Atlas;
use crate::road::Condition;
use crate::weather::{Feed, Synthetic};

/// Numbers that are as good as random, and the same at every run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A Poisson count: how many steps of an exponential fit in.
    fn count(&mut self, expected: f64) -> u64 {
        let (mut sum, mut count) = (0.0, 0);
        loop {
            sum -= (1.0 - self.share()).ln();
            if sum > expected {
                return count;
            }
            count += 1;
        }
    }
}

/// A winter in which winter tyres are driven where it is slippery, and their drivers have `planted`
/// times the claims of summer tyres on the same road.
fn winter(seed: u64, planted: f64) -> Study {
    let mut dice = Dice(seed);
    let mut study = Study::default();
    // Million kilometres on summer and on winter tyres; claims per million kilometres on summer tyres.
    let roads = [
        (Condition::Dry, 40.0, 30.0, 2.0),
        (Condition::Wet, 15.0, 15.0, 4.0),
        (Condition::Snow, 2.0, 10.0, 10.0),
        (Condition::Ice, 0.5, 3.0, 25.0),
    ];
    for (road, summer, winter, rate) in roads {
        for (tyre, million_km, rate) in
            [(Tyre::Summer, summer, rate), (Tyre::Winter, winter, rate * planted)]
        {
            let group = Group { tyre: Some(tyre), road, country: None, month: (2026, 1) };
            let claims = dice.count(million_km * rate);
            study.add(group, &Tally { km: million_km * 1e6, claims, ..Tally::default() });
        }
    }
    study
}

#[test]
fn a_planted_ratio_is_found_and_none_is_not() {
    let ratios =
        |planted| (0..100).map(move |seed| winter(seed, planted).winter_to_summer().unwrap());
    let covering = ratios(1.5).filter(|ratio| ratio.covers(1.5)).count();
    let excluding = ratios(1.5).filter(|ratio| !ratio.covers(1.0)).count();
    assert!(covering >= 93, "{covering} of 100 intervals cover 1.5");
    assert!(excluding >= 80, "{excluding} of 100 intervals exclude 1");
    let wrong = ratios(1.0).filter(|ratio| !ratio.covers(1.0)).count();
    assert!(wrong <= 7, "{wrong} of 100 intervals exclude 1 where it is true");
}

/// Not looking at the road would find winter tyres dangerous, since they are driven where it is.
#[test]
fn equal_roads_are_compared() {
    let study = winter(1, 1.0);
    let crude = |tyre: Tyre| {
        let sums = study.by_tyre_and_road();
        let of = sums.iter().filter(|((on, _), _)| *on == Some(tyre));
        let (claims, km) = of.fold((0, 0.0), |(n, km), (_, t)| (n + t.claims, km + t.km));
        Rate::of(claims, km).rate.unwrap()
    };
    assert!(crude(Tyre::Winter) / crude(Tyre::Summer) > 1.4);
    assert!(study.winter_to_summer().unwrap().covers(1.0));
}

/// From Rothman and Greenland's formulas, reckoned by hand for two strata.
#[test]
fn the_ratio_is_that_of_the_formula() {
    let stratum = |exposed, exposed_time, unexposed, unexposed_time| super::Stratum {
        exposed,
        exposed_time,
        unexposed,
        unexposed_time,
    };
    let strata = [stratum(10, 100.0, 5, 100.0), stratum(30, 100.0, 20, 300.0)];
    let found = super::ratio(&strata).unwrap();
    // (10·100/200 + 30·300/400) / (5·100/200 + 20·100/400) = 27.5 / 7.5
    assert!((found.ratio - 27.5 / 7.5).abs() < 1e-12, "{found:?}");
    // Variance of the logarithm: (15·10000/40000 + 50·30000/160000) / (27.5·7.5) = 13.125 / 206.25
    let error = (13.125_f64 / 206.25).sqrt();
    assert!((found.high / found.ratio - (1.959_964 * error).exp()).abs() < 1e-5, "{found:?}");
    assert_eq!(super::ratio(&[stratum(3, 0.0, 5, 100.0)]), None, "nothing to compare");
    assert_eq!(super::ratio(&[]), None);
}

static WORLD: LazyLock<World> =
    LazyLock::new(|| World { atlas: Atlas::load(), weather: Feed::Synthetic(Synthetic::new(1)) });

/// 2025-12-01T10:00:00Z
const THEN_MS: i64 = 1_764_583_200_000;

/// North through the Netherlands at 20 m/s.
fn drive(second: i64, tyre: Option<u8>, odometer_m: Option<f64>) -> Reading {
    let mut measures = vec![(Measure::SpeedMps, Value::Number(20.0))];
    measures.extend(odometer_m.map(|metres| (Measure::OdometerM, Value::Number(metres))));
    measures.extend(tyre.map(|tyre| (Measure::Tyre, Value::Choice(tyre))));
    measures.sort_by_key(|(measure, _)| *measure);
    let fix = Fix::new(52.0 + second as f64 * 20.0 / 111_195.0, 5.1, Some(5.0));
    Reading { time_ms: THEN_MS + second * 1_000, seq: None, fix, measures }
}

fn walked(readings: &[Reading], accidents: &[Accident]) -> Study {
    let mut study = Study::default();
    let mut walk = Walk::new(&WORLD, &mut study, accidents.to_vec(), (0, i64::MAX));
    readings.iter().for_each(|reading| walk.read(reading));
    walk.finish();
    study
}

fn sum(study: &Study) -> Tally {
    let mut sum = Tally::default();
    study.groups().for_each(|(_, tally)| sum.add(tally));
    sum
}

#[test]
fn way_speed_and_claims_go_to_the_tyres_and_the_country_of_the_moment() {
    let readings: Vec<_> = (0..=600).map(|n| drive(n, (n == 0).then_some(1), None)).collect();
    let at = |second: i64| Accident { time_ms: THEN_MS + second * 1_000, fix: None };
    let study = walked(&readings, &[at(300), at(700), at(600 + 3_601)]);
    let all = sum(&study);
    assert!((all.km - 12.0).abs() < 0.05 && (all.km_at_speed - 12.0).abs() < 1e-6, "{all:?}");
    assert!((all.hours - 600.0 / 3_600.0).abs() < 1e-9);
    assert_eq!((all.claims, study.left_out.claims_without_readings), (2, 1));
    for (group, _) in study.groups() {
        assert_eq!((group.tyre, group.month), (Some(Tyre::Winter), (2025, 12)));
        assert_eq!(group.country.unwrap().code(), "NL");
        assert_ne!(group.road, Condition::Unknown);
    }
}

#[test]
fn an_odometer_is_believed_before_positions_and_doubted_when_it_cannot_be() {
    let with = |n: i64, metres: f64| drive(n, None, Some(metres));
    let winding =
        [with(0, 1e6), drive(10, None, None), with(20, 1e6 + 600.0), with(30, 1e6 + 900.0)];
    let study = walked(&winding, &[]);
    assert!(
        (sum(&study).km - 0.9).abs() < 1e-9,
        "600 m of bends in 400 m of line: {:?}",
        sum(&study)
    );
    let swapped = [with(0, 1e6), with(10, 2e5), with(20, 2e5 + 200.0)];
    let study = walked(&swapped, &[]);
    assert_eq!(study.left_out.odometers_doubted, 1);
    assert!((sum(&study).km - 0.2).abs() < 1e-9);
    assert!(study.groups().all(|(group, _)| group.tyre.is_none()), "unknown tyres are named so");
}

#[test]
fn what_nobody_saw_is_not_counted() {
    let gap = [drive(0, Some(0), None), drive(400, None, None)];
    assert!(sum(&walked(&gap, &[])).km == 0.0, "over a gap of more than five minutes");
    let mut jump = [drive(0, Some(0), None), drive(10, None, None)];
    jump[1].fix = Fix::new(53.0, 5.1, Some(5.0));
    assert!(sum(&walked(&jump, &[])).km == 0.0, "111 km in ten seconds");
}

/// Over a pass: the road there is not the one of the valley that its weather is told for.
#[test]
fn a_road_is_judged_at_its_own_height() {
    let world = crate::weather::rain_in_a_valley(THEN_MS);
    let roads = |altitude_m: Option<f64>| {
        let at = |n: i64| {
            let mut reading = drive(n, Some(1), None);
            reading.fix = Fix::new(46.51 + n as f64 * 20.0 / 111_195.0, 8.45, Some(5.0));
            reading.measures.extend(altitude_m.map(|m| (Measure::AltitudeM, Value::Number(m))));
            reading.measures.sort_by_key(|(measure, _)| *measure);
            reading
        };
        let readings: Vec<Reading> = (0..60).map(at).collect();
        let mut study = Study::default();
        let there = Fix::new(46.51, 8.45, None);
        let accidents = [None, there].map(|fix| Accident { time_ms: THEN_MS + 30_000, fix });
        let mut walk = Walk::new(&world, &mut study, accidents.to_vec(), (0, i64::MAX));
        readings.iter().for_each(|reading| walk.read(reading));
        walk.finish();
        assert_eq!(sum(&study).claims, 2);
        study.groups().map(|(group, _)| group.road).collect::<Vec<_>>()
    };
    assert_eq!(roads(None), [Condition::Wet]);
    assert_eq!(roads(Some(700.0)), [Condition::Wet]);
    assert_eq!(roads(Some(1_900.0)), [Condition::Ice], "way and claims alike");
}
