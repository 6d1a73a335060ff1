//! What the fleets publish: the same for the same seed, physically possible, and in the
//! documented names.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::HashMap;

use device_sim::{Expect, Fleet, Kind, Message, Rate, Scenario, What};
use proptest::prelude::*;
use serde_json::Value;

/// 2026-01-20T00:00:00Z, deep winter.
const START_MS: i64 = 1_768_867_200_000;
const SECOND_US: i64 = 1_000_000;

/// The measures of docs/formats.md, with their ranges where they are numbers.
const NUMBERS: &[(&str, f64, f64)] = &[
    ("speed_mps", 0.0, 340.0),
    ("course_deg", 0.0, 360.0),
    ("altitude_m", -500.0, 20_000.0),
    ("battery_pct", 0.0, 100.0),
    ("odometer_m", 0.0, 5e9),
    ("acceleration_mps2", -200.0, 200.0),
    ("tread_mm", 0.0, 25.0),
    ("ambient_c", -90.0, 70.0),
    ("fuel_pct", 0.0, 100.0),
    ("steps", 0.0, 1e9),
    ("heart_rate_bpm", 20.0, 260.0),
    ("indoor_c", -60.0, 90.0),
    ("setpoint_c", -60.0, 90.0),
    ("humidity_pct", 0.0, 100.0),
    ("heating_demand_pct", 0.0, 100.0),
    ("power_w", -1e6, 1e6),
    ("energy_wh", 0.0, 1e12),
    ("session_s", 0.0, 1e8),
    ("cycles", 0.0, 1e9),
    ("consumable_pct", 0.0, 100.0),
];
const FLAGS: &[&str] = &["ignition", "abs_active", "window_open", "running"];
const CHOICES: &[(&str, &[&str])] = &[
    ("tyre", &["summer", "winter", "all_season"]),
    ("activity", &["still", "walking", "running", "cycling", "driving"]),
    ("mode", &["auto", "off"]),
];
const TEXTS: &[&str] = &["program", "fault"];

/// All that `fleet` publishes in its first `seconds`.
fn messages(mut fleet: Fleet, seconds: i64) -> Vec<Message> {
    fleet.start(START_MS);
    let mut messages = Vec::new();
    while fleet.due_us().is_some_and(|due_us| due_us < seconds * SECOND_US) {
        messages.push(fleet.next(0).unwrap());
    }
    messages
}

fn parsed(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

fn position(reading: &Value) -> Option<(f64, f64)> {
    Some((reading.get("lat")?.as_f64()?, reading.get("lon")?.as_f64()?))
}

/// Great-circle distance by the haversine formula.
fn distance_m(from: (f64, f64), to: (f64, f64)) -> f64 {
    let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let cosines = from.0.to_radians().cos() * to.0.to_radians().cos();
    let a = half(from.0, to.0) + cosines * half(from.1, to.1);
    2.0 * 6_371_008.8 * a.sqrt().asin()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bytes = |seed| {
        let all = messages(Fleet::demo(seed), 120).into_iter();
        all.map(|message| (message.due_us, message.topic, message.payload)).collect::<Vec<_>>()
    };
    assert_eq!(bytes(5), bytes(5));
    assert_ne!(bytes(5), bytes(6));
    let load = |seed| {
        let fleet = Fleet::load(Kind::Car, 20, "sim-car-", Rate::PerSecond(40.0), seed);
        messages(fleet, 60).into_iter().map(|message| message.payload).collect::<Vec<_>>()
    };
    assert_eq!(load(5), load(5));
    assert_ne!(load(5), load(6));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_truths_in_every_scenario() {
    for name in device_sim::names() {
        let scenario = Scenario::load(name).unwrap();
        let run = |seed| {
            let mut fleet = scenario.fleet(0.005, seed).unwrap();
            fleet.start(START_MS);
            let mut payloads = Vec::new();
            while fleet.due_us().is_some_and(|due_us| due_us < 7_200 * SECOND_US)
                && payloads.len() < 5_000
            {
                payloads.push(fleet.next(0).unwrap().payload);
            }
            (payloads, fleet.finish())
        };
        assert_eq!(run(5), run(5), "{name}");
        assert_ne!(run(5).0, run(6).0, "{name}");
    }
}

#[test]
fn every_payload_is_json_with_a_time_and_documented_measures_in_range() {
    let mut fleets = vec![Fleet::demo(3)];
    for kind in [Kind::Car, Kind::Tracker, Kind::Thermostat, Kind::Product] {
        fleets.push(Fleet::load(kind, 40, "x-", Rate::PerSecond(8.0), 3));
    }
    for message in fleets.into_iter().flat_map(|fleet| messages(fleet, 900)) {
        let reading = parsed(&message);
        let kind = message.topic.strip_prefix("telemetry/").unwrap();
        let (kind, device) = kind.split_once('/').unwrap();
        assert!(["car", "tracker", "thermostat", "product"].contains(&kind));
        assert_eq!(device, &*message.device);
        let ts_ms = match &reading["ts"] {
            Value::String(text) => text.parse::<jiff::Timestamp>().unwrap().as_millisecond(),
            number => number.as_i64().unwrap(),
        };
        assert_eq!(ts_ms, message.ts_ms);
        assert_eq!(reading["seq"].as_u64(), Some(message.seq));
        for (name, value) in reading.as_object().unwrap() {
            check_member(name, value);
        }
    }
}

fn check_member(name: &str, value: &Value) {
    if let Some((_, min, max)) = NUMBERS.iter().find(|(measure, ..)| *measure == name) {
        let number = value.as_f64().unwrap_or_else(|| panic!("{name} is {value}"));
        assert!((*min..=*max).contains(&number), "{name} is {number}");
    } else if let Some((_, words)) = CHOICES.iter().find(|(measure, _)| *measure == name) {
        assert!(words.contains(&value.as_str().unwrap()), "{name} is {value}");
    } else if FLAGS.contains(&name) {
        assert!(value.is_boolean(), "{name} is {value}");
    } else if TEXTS.contains(&name) {
        assert!((1..=64).contains(&value.as_str().unwrap().len()), "{name} is {value}");
    } else {
        match name {
            "ts" | "seq" => {}
            "lat" => assert!((43.0..58.0).contains(&value.as_f64().unwrap())),
            "lon" => assert!((2.0..20.0).contains(&value.as_f64().unwrap())),
            "accuracy_m" => assert!((1.0..=1_000.0).contains(&value.as_f64().unwrap())),
            _ => panic!("{name} is not a documented name"),
        }
    }
}

#[test]
fn nothing_in_the_demo_moves_faster_than_is_plausible_and_odometers_only_rise() {
    for seed in 0..5 {
        let mut last: HashMap<String, (Message, Value)> = HashMap::new();
        for message in messages(Fleet::demo(seed), 1_800) {
            let reading = parsed(&message);
            if let Some((before, earlier)) = last.get(&*message.device) {
                let seconds = (message.ts_ms - before.ts_ms) as f64 / 1e3;
                assert!(seconds > 0.0 && message.seq == before.seq + 1);
                if let (Some(from), Some(to)) = (position(earlier), position(&reading)) {
                    let speed = distance_m(from, to) / seconds;
                    assert!(speed <= 70.0, "{} at {speed} m/s", message.device);
                }
                for rising in ["odometer_m", "energy_wh", "cycles"] {
                    assert!(
                        reading[rising].as_f64() >= earlier[rising].as_f64(),
                        "{} {rising}",
                        message.device
                    );
                }
            }
            last.insert(message.device.to_string(), (message, reading));
        }
        assert_eq!(last.len(), 40);
    }
}

/// Where a demo car crosses a border. Next to it, the border is taken as the line at a right angle
/// to the road.
struct Crossing {
    device: &'static str,
    /// On the border, where the road crosses it.
    border: (f64, f64),
    /// A point deep in the country that the car comes from.
    from: (f64, f64),
}

const CROSSINGS: [Crossing; 12] = [
    // Venlo to Straelen, NL to DE.
    Crossing { device: "car-01", border: (51.4059, 6.2070), from: (51.385, 6.150) },
    // Bad Bentheim to De Lutte, DE to NL.
    Crossing { device: "car-02", border: (52.3069, 7.0386), from: (52.310, 7.130) },
    // Görlitz to Zgorzelec, DE to PL.
    Crossing { device: "car-03", border: (51.1922, 15.0080), from: (51.190, 14.920) },
    // Salzburg to Piding, AT to DE.
    Crossing { device: "car-04", border: (47.8027, 12.9665), from: (47.805, 13.030) },
    // Strasbourg to Kehl, FR to DE.
    Crossing { device: "car-05", border: (48.5680, 7.8039), from: (48.5734, 7.7521) },
    // Gries to Brennerbad, AT to IT.
    Crossing { device: "car-06", border: (47.0109, 11.4827), from: (47.040, 11.490) },
    // Waidhaus to Rozvadov, DE to CZ.
    Crossing { device: "car-07", border: (49.6432, 12.5190), from: (49.630, 12.440) },
    // Lille to Kortrijk, FR to BE.
    Crossing { device: "car-08", border: (50.7680, 3.1647), from: (50.6292, 3.0573) },
    // Saarbrücken to Forbach, DE to FR.
    Crossing { device: "car-09", border: (49.2089, 6.9500), from: (49.2402, 6.9900) },
    // Flensburg to Padborg, DE to DK.
    Crossing { device: "car-10", border: (54.8030, 9.3346), from: (54.780, 9.330) },
    // Breda to Hoogstraten, NL to BE.
    Crossing { device: "car-11", border: (51.4867, 4.7377), from: (51.540, 4.745) },
    // Rzepin to Frankfurt (Oder), PL to DE.
    Crossing { device: "car-12", border: (52.3102, 14.5816), from: (52.320, 14.680) },
];

impl Crossing {
    /// How far beyond the border `at` is, counted along the road; negative on this side of it.
    fn beyond_m(&self, at: (f64, f64)) -> f64 {
        let scale = self.border.0.to_radians().cos();
        let east = |to: (f64, f64)| (to.1 - self.border.1) * scale * 111_195.0;
        let north = |to: (f64, f64)| (to.0 - self.border.0) * 111_195.0;
        let (x, y) = (-east(self.from), -north(self.from));
        (east(at) * x + north(at) * y) / x.hypot(y)
    }
}

/// Per demo car: seconds since the start and metres beyond its border, fix by fix.
fn drives(seed: u64, seconds: i64) -> HashMap<&'static str, Vec<(f64, f64)>> {
    let mut drives: HashMap<_, Vec<_>> = HashMap::new();
    for message in messages(Fleet::demo(seed), seconds) {
        let crossing = CROSSINGS.iter().find(|crossing| crossing.device == &*message.device);
        if let Some(crossing) = crossing {
            let at = position(&parsed(&message)).unwrap();
            let point = (message.due_us as f64 / 1e6, crossing.beyond_m(at));
            drives.entry(crossing.device).or_default().push(point);
        }
    }
    drives
}

#[test]
fn the_demo_has_a_car_well_past_a_border_within_fifteen_seconds() {
    for seed in 0..20 {
        let drives = drives(seed, 40);
        for kept in ["car-01", "car-02"] {
            let drive = &drives[kept];
            assert!(drive[0].0 <= -100.0, "{kept} kept nothing");
            // Certainly on this side, at first for more than 20 s.
            assert!(drive[0].1 < -1_000.0, "{kept} starts {:?}", drive[0]);
            let dwell = drive.iter().filter(|(_, beyond_m)| *beyond_m > 1_500.0);
            assert!(dwell.filter(|(at, _)| *at < 15.0).count() > 20, "{kept}, seed {seed}");
            let furthest = drive.iter().filter(|(at, _)| *at < 15.0).map(|point| point.1);
            let furthest = furthest.fold(f64::MIN, f64::max);
            assert!(furthest >= 3_000.0, "{kept}, seed {seed}: {furthest} m");
            assert!(drive.last().unwrap().1 > 1_500.0, "{kept} came back too soon");
        }
        let live = &drives["car-03"];
        assert!(live[0].0 >= 0.0 && live[0].1 < 0.0);
        let crossed = live.iter().find(|(_, beyond_m)| *beyond_m > 0.0).unwrap();
        assert!(crossed.0 < 10.0, "{crossed:?}");
    }
}

#[test]
fn somewhere_a_border_is_crossed_every_few_seconds() {
    for seed in 0..10 {
        let mut times = Vec::new();
        for (car, drive) in drives(seed, 1_800) {
            // Counted when a car that was 500 m on one side has come 500 m on the other.
            let mut side = drive[0].1 > 0.0;
            for &(at, beyond_m) in &drive {
                if beyond_m.abs() > 500.0 && (beyond_m > 0.0) != side {
                    side = !side;
                    times.push((at, car));
                }
            }
            assert!(drive.iter().map(|point| point.1).fold(f64::MIN, f64::max) > 1_300.0);
        }
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mean_s = 1_800.0 / times.len() as f64;
        assert!((5.0..12.0).contains(&mean_s), "seed {seed}: every {mean_s} s");
        let early: Vec<f64> =
            times.iter().map(|time| time.0.max(0.0)).filter(|at| *at < 120.0).collect();
        let longest_s = early.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        // A visitor is promised a trigger within half a minute.
        assert!(longest_s < 29.0, "seed {seed}: a visitor waits {longest_s} s: {times:?}");
    }
}

/// The readings of each device, one after the other: seconds and reading.
fn readings_of(all: &[Message]) -> HashMap<&str, Vec<(f64, Value)>> {
    let mut devices: HashMap<_, Vec<_>> = HashMap::new();
    for message in all {
        let sent = match parsed(message) {
            Value::Array(readings) => readings,
            reading => vec![reading],
        };
        assert_eq!(sent.len(), message.readings as usize);
        for reading in sent {
            let at_s = match &reading["ts"] {
                Value::String(text) => text.parse::<jiff::Timestamp>().unwrap().as_millisecond(),
                number => number.as_i64().unwrap(),
            } as f64
                / 1e3;
            devices.entry(&*message.device).or_default().push((at_s, reading));
        }
    }
    devices
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the seed: no car and nobody on foot is faster than they can be, gets faster or slower
    /// than they can, or is suddenly elsewhere; what counts up never counts down.
    #[test]
    fn nothing_moves_as_nothing_can(seed in any::<u64>(), cars in any::<bool>()) {
        let all = if cars {
            messages(Scenario::load("winter-week").unwrap().fleet(0.006, seed).unwrap(), 24 * 3_600)
        } else {
            messages(Fleet::load(Kind::Tracker, 6, "t-", Rate::PerSecond(1.0), seed), 8 * 3_600)
        };
        for (device, readings) in readings_of(&all) {
            for pair in readings.windows(2) {
                let ((then_s, before), (now_s, now)) = (&pair[0], &pair[1]);
                let seconds = now_s - then_s;
                prop_assert!(seconds > 0.0 && before["seq"].as_u64() < now["seq"].as_u64());
                let speeds = (before["speed_mps"].as_f64(), now["speed_mps"].as_f64());
                if let (Some(was_mps), Some(is_mps)) = speeds {
                    prop_assert!((0.0..45.0).contains(&is_mps), "{} {}", device, now);
                    let harder_mps2 = (is_mps - was_mps) / seconds;
                    prop_assert!((-9.0..3.5).contains(&harder_mps2), "{} {}", device, now);
                }
                if let (Some(there), Some(here)) = (position(before), position(now)) {
                    // The receivers may be off, and a reflection by more than they know.
                    let doubt_m = before["accuracy_m"].as_f64().unwrap()
                        + now["accuracy_m"].as_f64().unwrap();
                    let most_m = 45.0 * seconds + 5.0 * doubt_m + 80.0;
                    prop_assert!(distance_m(there, here) < most_m, "{} {} {}", device, before, now);
                }
                let odometers = (before["odometer_m"].as_f64(), now["odometer_m"].as_f64());
                if let (Some(was_m), Some(is_m)) = odometers {
                    prop_assert!((0.0..45.0 * seconds + 0.2).contains(&(is_m - was_m)));
                }
            }
        }
    }
}

#[test]
fn a_car_looks_closer_for_a_minute_after_something_has_happened() {
    let fleet = Scenario::load("winter-week").unwrap().fleet(0.02, 1).unwrap();
    let all = messages(fleet, 24 * 3_600);
    assert!(all.iter().all(|message| message.payload.len() < 64 * 1024));
    let (mut bursts, mut rare) = (0, 0);
    for readings in readings_of(&all).into_values() {
        let apart_s: Vec<_> = readings.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(apart_s.iter().all(|apart_s| (1.0..=60.0).contains(apart_s)), "{apart_s:?}");
        let in_bursts = apart_s.iter().filter(|&&apart_s| apart_s == 1.0).count();
        rare += apart_s.len() - in_bursts;
        bursts += in_bursts / 60;
    }
    // Borders, accidents, and the hardest braking.
    assert!(bursts > 50 && rare > 20 * 1_000, "{bursts} bursts, {rare} readings besides");
}

#[test]
fn guests_come_to_venues_and_are_to_be_greeted_once() {
    let scenario = Scenario::load("open-day").unwrap();
    let mut fleet = scenario.fleet(0.1, 1).unwrap();
    fleet.start(START_MS + 9 * 3_600_000);
    let mut greetings: HashMap<String, Vec<Expect>> = HashMap::new();
    while fleet.due_us().is_some_and(|due_us| due_us < 7_200 * SECOND_US) {
        fleet.next(0).unwrap();
        for truth in fleet.take_truths() {
            if let What::GeofenceEntered { area } = &truth.what {
                assert!(scenario.registry(0.1).contains(area), "{area} is in no registry");
                greetings.entry(truth.device.to_string()).or_default().push(truth.expect);
            }
        }
    }
    assert!(greetings.len() > 3, "{greetings:?}");
    assert!(greetings.values().all(|expect| expect == &[Expect::Trigger]), "{greetings:?}");
}
