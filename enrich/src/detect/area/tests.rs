use std::sync::LazyLock;

use ingest::{Fix, Reading};
use proptest::prelude::*;

use crate::places::{Area, Areas, Atlas, Meaning, Shape};
use crate::registry::Span;
use crate::weather::Feed;
use crate::{DeviceState, EnrichedReading, Event, Happening, World};

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let area = |customer, name: &str, meaning, lat, radius_m, from_s: i64| Area {
        customer,
        name: name.into(),
        meaning,
        shape: Shape::circle(lat, 5.0, radius_m).unwrap(),
        span: Span { from_ms: from_s * 1_000, to_ms: None },
    };
    let mut atlas = Atlas::load();
    atlas.set_areas(Areas::new(vec![
        area(Some(1), "home", Meaning::Home, 52.0, 150.0, 0),
        area(Some(2), "home", Meaning::Home, 52.01, 150.0, 0),
        area(None, "harbour", Meaning::Risk { premium_factor: 1.5 }, 52.02, 500.0, 0),
        area(Some(1), "later", Meaning::Work, 52.03, 150.0, 5_000),
    ]));
    World { atlas, weather: Feed::None }
});

const METRE: f64 = 1.0 / 111_195.0;

/// Seconds, metres north of the middle of the home, accuracy in metres.
type Seen = (i64, f64, f32);

fn events(track: &[Seen]) -> Vec<Event> {
    let (mut state, mut events) = (DeviceState::default(), Vec::new());
    for (second, north_m, accuracy_m) in track {
        let fix = Fix::new(52.0 + north_m * METRE, 5.0, Some(*accuracy_m));
        let reading = Reading { time_ms: second * 1_000, seq: None, fix, measures: Vec::new() };
        state.read(&EnrichedReading::join(&reading, 1, &WORLD), &WORLD, &mut events);
    }
    state.wait_until(i64::MAX, &WORLD, &mut events);
    events
}

#[track_caller]
fn check(track: &[Seen], expect: &[(&str, i64)]) {
    let found = events(track);
    let names: Vec<_> =
        found.iter().map(|event| (event.happening.name(), event.time_ms / 1_000)).collect();
    assert_eq!(names, expect, "{found:?}");
}

/// The middle of the area of risk, and of the one that begins later.
const HARBOUR_M: f64 = 0.02 / METRE;
const LATER_M: f64 = 0.03 / METRE;

#[test]
fn coming_home_and_leaving_are_told_with_their_first_certain_moment() {
    let track = [
        (0, 900.0, 8.0),
        (30, 145.0, 8.0), // on the edge
        (60, 20.0, 8.0),
        (90, 0.0, 8.0),
        (600, 10.0, 8.0),
        (4_000, 300.0, 8.0),
        (4_030, 900.0, 8.0),
    ];
    check(&track, &[("geofence_entered", 60), ("geofence_left", 4_000)]);
    let Happening::GeofenceLeft(left) = &events(&track)[1].happening else { panic!() };
    assert_eq!((left.0.after_ms, left.0.before_ms), (600_000, 4_000_000));
}

#[test]
fn a_drive_past_or_one_wild_fix_is_no_arrival() {
    check(&[(0, 900.0, 8.0), (30, 0.0, 8.0), (50, 10.0, 8.0), (70, -900.0, 8.0)], &[]);
    check(&[(0, 900.0, 8.0), (30, 0.0, 8.0), (600, 900.0, 8.0), (1_200, 900.0, 8.0)], &[]);
}

#[test]
fn jitter_on_the_edge_and_vague_fixes_decide_nothing() {
    let jitter = (1..200).map(|second| (second, 150.0 + f64::from(second as i32 % 13 - 6), 8.0));
    let mut track = vec![(0, 900.0, 8.0)];
    track.extend(jitter);
    check(&track, &[]);
    let vague = (1..50).map(|minute| (minute * 60, 0.0, 200.0));
    check(&[vec![(0, 900.0, 8.0)], vague.collect()].concat(), &[]);
}

#[test]
fn who_was_there_from_the_start_has_not_arrived_but_leaves() {
    let track = [(0, 0.0, 8.0), (600, 0.0, 8.0), (900, 900.0, 8.0), (930, 900.0, 8.0)];
    check(&track, &[("geofence_left", 900)]);
    let already = [(4_000, LATER_M, 8.0), (6_000, LATER_M, 8.0), (7_000, LATER_M, 8.0)];
    check(&already, &[]);
}

#[test]
fn anothers_home_is_no_area_and_a_risk_is_everybodys() {
    let anothers = 0.01 / METRE;
    check(&[(0, 900.0, 8.0), (60, anothers, 8.0), (600, anothers, 8.0)], &[]);
    let track = [(0, 900.0, 8.0), (60, HARBOUR_M, 8.0), (600, HARBOUR_M, 8.0)];
    check(&track, &[("risk_area_entered", 60)]);
    let Happening::RiskAreaEntered(entered) = &events(&track)[0].happening else { panic!() };
    assert_eq!(entered.0.meaning, Meaning::Risk { premium_factor: 1.5 });
}

proptest! {
    /// Whatever a receiver says, entering and leaving take turns, and each lasts the dwell.
    #[test]
    fn entering_and_leaving_take_turns(track in proptest::collection::vec(
        (0..300_i64, -400.0..400.0_f64, 1.0..120.0_f32), 0..80,
    )) {
        let mut second = 0;
        let mut seen = vec![(0, 5_000.0, 8.0)];
        seen.extend(track.into_iter().map(|(step, north_m, accuracy_m)| {
            second += step;
            (second, north_m, accuracy_m)
        }));
        let found = events(&seen);
        for (number, event) in found.iter().enumerate() {
            let expect = ["geofence_entered", "geofence_left"][number % 2];
            prop_assert_eq!(event.happening.name(), expect);
            prop_assert!(event.known_ms >= event.time_ms + super::DWELL_MS);
        }
        for pair in found.windows(2) {
            prop_assert!(pair[0].time_ms < pair[1].time_ms);
        }
    }
}
