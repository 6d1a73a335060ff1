//! How a car was driven right before: its speed, and what was harsh.

use ingest::{Measure, Reading, Value};
use serde::{Deserialize, Serialize};

use super::{Around, CLOSE_MS, Found, no_readings};

/// Braking from here on is harsh: 0.45 g (Digital Matter's default; telematics vendors use 0.25 to
/// 0.85 g, and labelled aggressive braking peaks at 2.9 to 4.9 m/s²).
pub(super) const HARSH_BRAKING_MPS2: f64 = 4.4;

/// So is accelerating: 0.25 g (Teltonika's and Positrace's). Cars accelerate less hard than they
/// brake: labelled aggressive acceleration peaks at 1.3 to 2.9 m/s².
pub(super) const HARSH_ACCELERATION_MPS2: f64 = 2.5;

/// From speeds further apart no acceleration is reckoned: a short one would vanish in the mean.
const SPEEDS_APART_MS: i64 = 3_000;

/// How far back is looked for harsh events.
const BEFORE_MS: i64 = 60_000;

/// A speed this recent is that of the moment.
const MOMENT_MS: i64 = 10_000;

/// With readings in at least this many seconds of the minute nothing harsh can have been missed but
/// within a second or two.
const DENSE: usize = 20;

/// Positions further apart give no speed.
const POSITIONS_APART_MS: i64 = 30_000;

/// Something harsh that happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Harsh {
    pub kind: HarshKind,
    /// How long before the moment that is looked at.
    pub before_ms: i64,
    /// How hard, where that was measured; braking is negative.
    pub mps2: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HarshKind {
    Braking,
    Acceleration,
    Abs,
    Esc,
}

pub(super) fn speed(around: &Around<'_>) -> Found<f64> {
    let time_ms = around.claim.time_ms;
    let before = around.readings.iter().rev().filter(|reading| reading.time_ms <= time_ms);
    let measured = before
        .clone()
        .find_map(|reading| Some((reading.number(Measure::SpeedMps)?, time_ms - reading.time_ms)));
    match measured.filter(|(_, apart_ms)| *apart_ms <= CLOSE_MS) {
        Some((speed_mps, apart_ms)) if apart_ms <= MOMENT_MS => {
            Found::certain("said_by_the_car", speed_mps)
        }
        Some((speed_mps, _)) => Found::likely("said_within_the_minute_before", speed_mps),
        None => {
            let mut fixes = before.filter_map(|reading| Some((reading.time_ms, reading.fix?)));
            let (last, first) = (fixes.next(), fixes.next());
            let reckoned = last.zip(first).and_then(|((to_ms, to), (from_ms, from))| {
                let passed_ms = to_ms - from_ms;
                let usable =
                    (1..=POSITIONS_APART_MS).contains(&passed_ms) && time_ms - to_ms <= CLOSE_MS;
                let speed_mps =
                    crate::places::distance_m(&from, &to) / (passed_ms as f64 / 1_000.0);
                usable.then_some(speed_mps)
            });
            match reckoned {
                Some(speed_mps) => Found::likely("from_positions", speed_mps),
                None => Found::unknown(no_readings(around, "no_speed_in_the_minute_before")),
            }
        }
    }
}

pub(super) fn harsh(around: &Around<'_>) -> Found<Vec<Harsh>> {
    let time_ms = around.claim.time_ms;
    let from = around.readings.partition_point(|r| r.time_ms < time_ms - BEFORE_MS);
    let to = around.readings.partition_point(|r| r.time_ms <= time_ms);
    let minute = &around.readings[from..to];
    let tells = |reading: &Reading| {
        let measures = [Measure::SpeedMps, Measure::AccelerationMps2];
        measures.iter().any(|measure| reading.number(*measure).is_some())
    };
    let mut seconds: Vec<i64> =
        minute.iter().filter(|reading| tells(reading)).map(|r| r.time_ms / 1_000).collect();
    seconds.dedup();
    let events = harsh_between(minute, time_ms);
    match seconds.len() {
        0 if events.is_empty() => {
            Found::unknown(no_readings(around, "nothing_said_in_the_minute_before"))
        }
        many if many >= DENSE => Found::certain("said_by_the_car", events),
        _ => Found::likely("few_readings_in_the_minute_before", events),
    }
}

/// What was harsh in readings of one car, in history order; once for as long as it lasts.
fn harsh_between(readings: &[Reading], until_ms: i64) -> Vec<Harsh> {
    let mut watch = HarshWatch::default();
    let mut events: Vec<Harsh> = Vec::new();
    for reading in readings {
        for Felt { kind, begins, mps2 } in watch.read(reading) {
            let lasting = events.iter_mut().rev().find(|event| event.kind == kind && !begins);
            match lasting {
                None => {
                    let before_ms = until_ms - reading.time_ms;
                    events.push(Harsh { kind, before_ms, mps2 });
                }
                // At its hardest.
                Some(event) if mps2.map(f64::abs) > event.mps2.map(f64::abs) => event.mps2 = mps2,
                Some(_) => {}
            }
        }
    }
    events
}

/// Notices what is harsh, reading by reading.
#[derive(Clone, Copy, Debug, Default)]
pub struct HarshWatch {
    last_speed: Option<(f64, i64)>,
    lasting: [bool; 4],
}

/// Something harsh in a reading, and whether it begins there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Felt {
    pub kind: HarshKind,
    pub begins: bool,
    pub mps2: Option<f64>,
}

impl HarshWatch {
    pub fn read(&mut self, reading: &Reading) -> impl Iterator<Item = Felt> + use<> {
        let flag = |measure| reading.measure(measure) == Some(&Value::Flag(true));
        let speed = reading.number(Measure::SpeedMps).map(|speed| (speed, reading.time_ms));
        let reckoned = speed.zip(self.last_speed).and_then(|((to, to_ms), (from, from_ms))| {
            let passed_ms = to_ms - from_ms;
            let close = (1..=SPEEDS_APART_MS).contains(&passed_ms);
            close.then(|| (to - from) / (passed_ms as f64 / 1_000.0))
        });
        self.last_speed = speed.or(self.last_speed);
        let mps2 = reading.number(Measure::AccelerationMps2).or(reckoned);
        let braking = mps2.filter(|mps2| *mps2 <= -HARSH_BRAKING_MPS2);
        let accelerating = mps2.filter(|mps2| *mps2 >= HARSH_ACCELERATION_MPS2);
        let found = [
            (HarshKind::Braking, braking.is_some(), braking),
            (HarshKind::Acceleration, accelerating.is_some(), accelerating),
            (HarshKind::Abs, flag(Measure::AbsActive), None),
            (HarshKind::Esc, flag(Measure::EscActive), None),
        ];
        let before = std::mem::replace(&mut self.lasting, found.map(|(_, now, _)| now));
        let found = found.into_iter().zip(before);
        found.filter(|((_, now, _), _)| *now).map(|((kind, _, mps2), lasted)| Felt {
            kind,
            begins: !lasted,
            mps2,
        })
    }
}
