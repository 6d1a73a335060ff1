use std::sync::LazyLock;

use ingest::{Fix, Reading};
use proptest::prelude::*;

use super::Memory;
use crate::detect::Detector;
use crate::places::Atlas;
use crate::weather::Feed;
use crate::{BorderCrossed, EnrichedReading, Happening, World};

pub(super) static WORLD: LazyLock<World> =
    LazyLock::new(|| World { atlas: Atlas::load(), weather: Feed::None });

/// Seconds, latitude, longitude, accuracy in metres.
pub(super) type Seen = (i64, f64, f64, f32);

fn crossings(track: &[Seen]) -> Vec<BorderCrossed> {
    let (mut memory, mut events) = (Memory::default(), Vec::new());
    for (second, lat, lon, accuracy_m) in track {
        let time_ms = second * 1_000;
        let fix = Fix::new(*lat, *lon, Some(*accuracy_m));
        let reading = Reading { time_ms, seq: None, fix, measures: Vec::new() };
        while let Some(due_ms) = memory.due_ms().filter(|due_ms| *due_ms <= time_ms) {
            memory.wait(due_ms, &WORLD, &mut events);
        }
        memory.read(&EnrichedReading::join(&reading, 1, &WORLD), &WORLD, &mut events);
    }
    let crossed = |event: crate::Event| {
        let Happening::BorderCrossed(crossed) = event.happening else { panic!() };
        assert!(crossed.after_ms <= event.time_ms && event.time_ms <= crossed.before_ms);
        crossed
    };
    events.into_iter().map(crossed).collect()
}

#[track_caller]
pub(super) fn check(track: &[Seen], expect: &[(&str, &str)]) -> Vec<BorderCrossed> {
    let found = crossings(track);
    let ways: Vec<_> = found.iter().map(|c| (c.from.code(), c.to.code())).collect();
    assert_eq!(ways, expect);
    found
}

const VENLO: (f64, f64) = (51.370, 6.170);
const STRAELEN: (f64, f64) = (51.440, 6.265);

pub(super) fn at(second: i64, (lat, lon): (f64, f64)) -> Seen {
    (second, lat, lon, 8.0)
}

/// A drive from Venlo (NL) to Straelen (DE), a fix every ten seconds.
fn drive(from_second: i64) -> Vec<Seen> {
    (0..=40)
        .map(|step| {
            let share = f64::from(step) / 40.0;
            let lat = VENLO.0 + (STRAELEN.0 - VENLO.0) * share;
            let lon = VENLO.1 + (STRAELEN.1 - VENLO.1) * share;
            (from_second + i64::from(step) * 10, lat, lon, 8.0)
        })
        .collect()
}

#[test]
fn a_drive_over_the_border_crosses_once_and_says_where() {
    let found = check(&drive(0), &[("NL", "DE")]);
    let crossing = &found[0];
    let beyond = WORLD.atlas.country(crossing.lat, crossing.lon).map(|c| c.to_string());
    assert_eq!(beyond.as_deref(), Some("DE"));
    let before = WORLD.atlas.locate(&Fix::new(crossing.lat, crossing.lon, Some(0.1)).unwrap());
    assert!(!before.certain, "the point lies on the border");
    // At 25 m/s; 100 m beyond it was certain, and twenty seconds later known.
    assert!(!crossing.arrived && crossing.certainty == 0.98, "{crossing:?}");
    assert!((250.0..700.0).contains(&crossing.past_border_m.unwrap()), "{crossing:?}");
}

#[test]
fn one_wild_fix_is_no_crossing() {
    check(&[at(0, VENLO), at(600, STRAELEN), at(1_200, VENLO), at(1_800, VENLO)], &[]);
}

#[test]
fn two_fixes_an_hour_apart_are_one() {
    check(&[at(0, VENLO), at(600, STRAELEN), at(4_200, STRAELEN)], &[("NL", "DE")]);
}

#[test]
fn a_dwell_that_is_broken_off_is_no_crossing() {
    // Over the border by 300 m for eighteen seconds, and back.
    let border = crossings(&drive(0))[0].clone();
    let metres = 1.0 / 111_195.0;
    let (home, away) = (-300.0 * metres, 300.0 * metres);
    let off = |second, by: f64| at(second, (border.lat + by, border.lon + by));
    check(&[off(0, home), off(30, away), off(40, away), off(48, home), off(60, home)], &[]);
}

#[test]
fn jitter_on_the_border_is_no_crossing() {
    // A car park on the border near Venlo, 8 m of accuracy, jumping 30 m either way.
    let border = crossings(&drive(0))[0].clone();
    let jitter: Vec<Seen> = (0..200)
        .map(|step| {
            let away = f64::from(step * 7 % 13 - 6) * 5.0 / 111_195.0;
            (10_000 + i64::from(step), border.lat + away, border.lon - away, 8.0)
        })
        .collect();
    let mut track = vec![at(0, VENLO)];
    track.extend(jitter);
    track.push(at(11_000, VENLO));
    check(&track, &[]);
}

#[test]
fn vague_fixes_decide_nothing() {
    let vague = |second| (second, STRAELEN.0, STRAELEN.1, 5_000.0);
    check(&[at(0, VENLO), vague(600), vague(1_200), vague(1_800)], &[]);
}

#[test]
fn a_jump_over_half_a_continent_is_no_journey() {
    let madrid = (40.4, -3.7);
    check(&[at(0, VENLO), at(1, madrid), at(2, VENLO), at(3, VENLO)], &[]);
    let stays = |seconds: i64| -> Vec<Seen> {
        let home = (0..60).map(|second| at(second, VENLO));
        home.chain((60..60 + seconds).map(|second| at(second, madrid))).collect()
    };
    check(&stays(1_800), &[]);
    // One that stays an hour has been put right, or was deceived: somebody is there.
    let found = check(&stays(3_700), &[("NL", "ES")]);
    assert!(found[0].arrived && found[0].past_border_m.is_none());
    // One fix against many: it never was in Venlo.
    check(&stays(7_200)[59..], &[]);
}

#[test]
fn a_crossing_near_the_border_is_less_certain_than_one_far_beyond_it() {
    let border = crossings(&drive(0))[0].clone();
    let metres = 1.0 / 111_195.0;
    let off = |second, by: f64| (second, border.lat + by * metres, border.lon + by * metres, 8.0);
    let near = check(&[off(0, -90.0), off(60, 90.0), off(120, 90.0)], &[("NL", "DE")]);
    let far = check(&[off(0, -900.0), off(60, 900.0), off(120, 900.0)], &[("NL", "DE")]);
    assert!(near[0].certainty < far[0].certainty && far[0].certainty == 0.98);
    assert!(near[0].certainty > 0.7, "{near:?}");
}

#[test]
fn who_stands_still_drives_no_further() {
    let stands = (0..30)
        .map(|step| at(2_000 + step * 30, STRAELEN))
        .map(|(second, lat, lon, m)| (second, lat + (second % 7 - 3) as f64 * 1e-5, lon, m));
    let mut track = vec![at(0, VENLO), (1_000, 51.4120, 6.2270, 900.0)];
    track.extend((0..100).map(|step| (1_010 + step * 10, 51.4120, 6.2270, 900.0)));
    track.extend(stands);
    let found = check(&track, &[("NL", "DE")]);
    assert!(found[0].past_border_m.unwrap() < 8_000.0, "{found:?}");
}

#[test]
fn a_ferry_crosses_once() {
    let (calais, dover) = ((50.957, 1.850), (51.127, 1.335));
    let track: Vec<Seen> = (0..=90)
        .map(|minute| {
            let share = f64::from(minute) / 90.0;
            let lat = calais.0 + (dover.0 - calais.0) * share;
            let lon = calais.1 + (dover.1 - calais.1) * share;
            (i64::from(minute) * 60, lat, lon, 8.0)
        })
        .collect();
    check(&track, &[("FR", "GB")]);
}

#[test]
fn weeks_offline_end_in_one_arrival_with_its_interval() {
    let (lisbon, fortnight) = ((38.72, -9.14), 14 * 86_400);
    let track = [at(0, VENLO), at(fortnight, lisbon), at(fortnight + 60, lisbon)];
    let found = check(&track, &[("NL", "PT")]);
    let crossing = &found[0];
    assert_eq!((crossing.after_ms, crossing.before_ms), (0, fortnight * 1_000));
    assert!(crossing.arrived && crossing.past_border_m.is_none(), "nobody knows the way");
    let beyond = WORLD.atlas.country(crossing.lat, crossing.lon).map(|c| c.to_string());
    assert_eq!(beyond.as_deref(), Some("PT"), "where it was first seen");
}

#[test]
fn an_enclave_is_another_country() {
    // From Baarle-Nassau (NL) into Baarle-Hertog's Sint-Remigius (BE) and back.
    let (nassau, hertog) = ((51.4436, 4.9303), (51.4409, 4.9327));
    let track: Vec<Seen> = [nassau, hertog, hertog, nassau, nassau]
        .into_iter()
        .enumerate()
        .map(|(step, (lat, lon))| (step as i64 * 300, lat, lon, 3.0))
        .collect();
    check(&track, &[("NL", "BE"), ("BE", "NL")]);
}

proptest! {
    /// Whatever a receiver says, crossings chain: each begins where the last one ended.
    #[test]
    fn crossings_chain(track in proptest::collection::vec(
        (0..900_i64, 50.6..50.9_f64, 5.7..6.3_f64, 1.0..300.0_f32), 0..60,
    )) {
        let mut second = 0;
        let track: Vec<Seen> = track
            .into_iter()
            .map(|(step, lat, lon, accuracy_m)| {
                second += step;
                (second, lat, lon, accuracy_m)
            })
            .collect();
        let found = crossings(&track);
        for pair in found.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
        }
        for crossing in found {
            prop_assert_ne!(crossing.from, crossing.to);
        }
    }
}
