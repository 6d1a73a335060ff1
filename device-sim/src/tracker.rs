//! Trackers that people carry: strolls, runs, the way to work, a train across the border.

use fastrand::Rng;

use crate::geo::{Path, Position};
use crate::motion::{Motion, Pace};
use crate::noise::{GpsError, between, normal};
use crate::reading::{Fix, Reading, TimeFormat, Value};
use crate::truth::Borders;
use crate::weather::local_hour;

/// How its person lives.
#[derive(Clone, Debug)]
pub(crate) enum Life {
    /// Walks or runs rounds of some hundred metres about home.
    Strolls { runs: bool },
    /// Goes to work and back by bicycle or car.
    Commutes { work: Position, drives: bool },
    /// Rides a train there and back.
    Rides { line: Path },
}

/// A simulated tracker.
#[derive(Clone, Debug)]
pub(crate) struct Tracker {
    home: Position,
    life: Life,
    motion: Motion,
    pace: Pace,
    resting_until_ms: Option<i64>,
    /// Rests are this long, in seconds, from and to.
    rest_s: (f64, f64),
    now_ms: Option<i64>,
    gps: GpsError,
    /// What the surroundings do to reception, in metres of deviation.
    gps_sigma_m: f64,
    steps: f64,
    step_day: i64,
    heart_bpm: f64,
    resting_bpm: f64,
    battery_pct: f64,
    charging: bool,
    seq: u64,
    pub(crate) borders: Borders,
}

/// After a longer gap than this the person was resting, not walking on.
const LONGEST_STEP_MS: i64 = 600_000;
const BATTERY_LASTS_S: f64 = 36.0 * 3_600.0;
const CHARGING_TAKES_S: f64 = 2.0 * 3_600.0;

impl Tracker {
    /// A tracker whose person starts out right away and rests between ways for so many seconds.
    pub(crate) fn new(home: Position, life: Life, rest_s: (f64, f64), rng: &mut Rng) -> Self {
        let pace = match &life {
            Life::Rides { .. } => Pace { temper: 1.0, accelerate_mps2: 0.5, brake_mps2: 0.6 },
            Life::Commutes { drives: true, .. } => {
                Pace { temper: 1.0, accelerate_mps2: 1.8, brake_mps2: 2.0 }
            }
            Life::Strolls { .. } | Life::Commutes { .. } => {
                Pace { temper: between(rng, 0.9, 1.1), accelerate_mps2: 0.8, brake_mps2: 1.0 }
            }
        };
        let mut tracker = Self {
            home,
            life,
            motion: Motion::new(Path::new(&[(home, 0.0)], &[]), 0.0, 0.0),
            pace,
            resting_until_ms: None,
            rest_s,
            now_ms: None,
            gps: GpsError::default(),
            gps_sigma_m: between(rng, 3.0, 6.0),
            steps: between(rng, 0.0, 6_000.0).round(),
            step_day: 0,
            heart_bpm: 70.0,
            resting_bpm: between(rng, 54.0, 68.0),
            battery_pct: between(rng, 40.0, 100.0),
            charging: false,
            seq: 0,
            borders: Borders::default(),
        };
        tracker.set_off(rng);
        tracker
    }

    /// The same tracker, already `along_m` metres on its first way.
    #[must_use]
    pub(crate) fn under_way(mut self, along_m: f64) -> Self {
        let path = self.motion.path().clone();
        let speed_mps = path.speed_mps(along_m, self.pace.temper, self.pace.brake_mps2);
        self.motion = Motion::new(path, along_m, speed_mps);
        self
    }

    /// What the tracker reports at `now_ms`.
    pub(crate) fn next(&mut self, now_ms: i64, rng: &mut Rng) -> Reading {
        let gap_ms = self.now_ms.map_or(0, |before| now_ms - before).clamp(0, LONGEST_STEP_MS);
        self.now_ms = Some(now_ms);
        self.go(now_ms, gap_ms as f64 / 1e3, rng);
        let activity = self.activity();
        self.live(activity, gap_ms as f64 / 1e3, now_ms, rng);
        self.borders.report(now_ms, &self.motion);
        let (truth, _, course_deg) = self.motion.at();
        let (position, accuracy_m) = self.gps.fix(truth, now_ms, self.gps_sigma_m, rng);
        let mut measures = vec![
            ("speed_mps", Value::Number(self.motion.speed_mps(), 2)),
            ("activity", Value::Word(activity)),
            ("steps", Value::Number(self.steps.floor(), 0)),
            ("heart_rate_bpm", Value::Number(self.heart_bpm, 0)),
            ("battery_pct", Value::Number(self.battery_pct, 0)),
        ];
        if self.motion.speed_mps() > 0.5 {
            measures.insert(1, ("course_deg", Value::Number(course_deg, 0)));
        }
        self.seq += 1;
        Reading {
            ts_ms: now_ms,
            time_format: TimeFormat::Rfc3339,
            seq: self.seq - 1,
            fix: Some(Fix { position, accuracy_m, decimals: 7 }),
            measures,
        }
    }

    fn go(&mut self, now_ms: i64, seconds: f64, rng: &mut Rng) {
        if let Some(until_ms) = self.resting_until_ms {
            if now_ms < until_ms {
                return;
            }
            self.resting_until_ms = None;
            self.set_off(rng);
        }
        self.motion.advance(seconds, self.pace, 1.0, 0.0);
        if self.motion.arrived() {
            let rest_s = between(rng, self.rest_s.0, self.rest_s.1);
            self.resting_until_ms = Some(now_ms + (rest_s * 1e3) as i64);
        }
        // Between houses reception is worse than on the square; it changes every minute or two.
        if rng.f64() < seconds / 90.0 {
            self.gps_sigma_m =
                if rng.f64() < 0.25 { between(rng, 9.0, 16.0) } else { between(rng, 3.0, 6.0) };
        }
    }

    fn set_off(&mut self, rng: &mut Rng) {
        let path = match &self.life {
            Life::Strolls { runs } => round(
                self.home,
                if *runs { 3.0 } else { 1.4 },
                if *runs { 700.0 } else { 350.0 },
                rng,
            ),
            Life::Commutes { work, drives } => {
                let speed_mps = if *drives { 12.0 } else { 5.5 };
                let way = Path::new(&[(self.home, 0.0), (*work, 0.0)], &[speed_mps]);
                let at_work = self.motion.path().length_m() > 0.0
                    && self.motion.at().0.distance_m(*work) < 1.0;
                if at_work { way.reversed() } else { way }
            }
            Life::Rides { line } => {
                let at_end = self.motion.path().length_m() > 0.0
                    && self.motion.at().0.distance_m(line.at(line.length_m()).0) < 1.0;
                if at_end { line.reversed() } else { line.clone() }
            }
        };
        self.motion = Motion::new(path, 0.0, 0.0);
    }

    fn activity(&self) -> &'static str {
        match (&self.life, self.resting_until_ms) {
            (_, Some(_)) => "still",
            (Life::Strolls { runs: true }, _) => "running",
            (Life::Strolls { .. }, _) => "walking",
            (Life::Commutes { drives: false, .. }, _) => "cycling",
            // The list of activities knows no train.
            (Life::Commutes { .. } | Life::Rides { .. }, _) => "driving",
        }
    }

    /// Steps, heart and battery for `seconds` of `activity`.
    fn live(&mut self, activity: &str, seconds: f64, now_ms: i64, rng: &mut Rng) {
        // The counter starts again at local midnight, as on the wrist.
        let hour = local_hour(self.home, now_ms);
        let day = (now_ms - (hour * 3_600_000.0) as i64 + 43_200_000).div_euclid(86_400_000);
        if self.step_day != 0 && day != self.step_day {
            self.steps = 0.0;
        }
        self.step_day = day;
        let (stride_m, effort_bpm) = match activity {
            "walking" => (Some(0.75), 32.0),
            "running" => (Some(1.1), 85.0),
            "cycling" => (None, 55.0),
            _ => (None, 6.0),
        };
        if let Some(stride_m) = stride_m {
            self.steps += self.motion.speed_mps() * seconds / stride_m;
        }
        let wanted_bpm = self.resting_bpm + effort_bpm;
        self.heart_bpm += (wanted_bpm - self.heart_bpm) * (seconds / 40.0).min(1.0);
        self.heart_bpm += 0.6 * normal(rng) * seconds.min(1.0);
        self.heart_bpm = self.heart_bpm.clamp(45.0, 190.0);
        self.charging =
            if self.charging { self.battery_pct < 99.0 } else { self.battery_pct < 8.0 };
        let lasts_s = if self.charging { -CHARGING_TAKES_S } else { BATTERY_LASTS_S };
        self.battery_pct = (self.battery_pct - seconds / lasts_s * 100.0).clamp(1.0, 100.0);
    }
}

/// A round about `home` over a few corners.
fn round(home: Position, speed_mps: f64, radius_m: f64, rng: &mut Rng) -> Path {
    let mut points = vec![(home, 0.0)];
    let turn = between(rng, 0.0, std::f64::consts::TAU);
    for corner in 0..5 {
        let angle = turn + f64::from(corner) * 0.9;
        let metres = radius_m * between(rng, 0.5, 1.0);
        points.push((home.moved(metres * angle.cos(), metres * angle.sin()), 0.0));
    }
    points.push((home, 0.0));
    Path::new(&points, &[speed_mps])
}

#[cfg(test)]
mod tests {
    use super::{Life, Tracker};
    use crate::geo::Position;
    use crate::reading::{Reading, Value};

    const HOME: Position = Position::new(51.37, 6.17);

    fn number(reading: &Reading, name: &str) -> Option<f64> {
        reading.measures.iter().find_map(|&(measure, value)| match value {
            Value::Number(number, _) if measure == name => Some(number),
            _ => None,
        })
    }

    fn lives() -> [Life; 4] {
        let work = HOME.moved(-3_000.0, 2_500.0);
        [
            Life::Strolls { runs: false },
            Life::Strolls { runs: true },
            Life::Commutes { work, drives: false },
            Life::Commutes { work, drives: true },
        ]
    }

    #[test]
    fn people_move_as_people_do() {
        for (seed, life) in lives().into_iter().enumerate() {
            let mut rng = fastrand::Rng::with_seed(seed as u64);
            let mut tracker = Tracker::new(HOME, life, (60.0, 600.0), &mut rng);
            let mut before: Option<Reading> = None;
            let (mut steps, mut rests) = (0.0, 0);
            for round in 0..17_280 {
                let now = tracker.next(1_768_867_200_000 + round * 5_000, &mut rng);
                assert!(now.fix.unwrap().position.distance_m(HOME) < 6_000.0);
                assert!((45.0..=190.0).contains(&number(&now, "heart_rate_bpm").unwrap()));
                rests += i32::from(now.measures.contains(&("activity", Value::Word("still"))));
                if let Some(before) = &before {
                    let on = |r: &Reading| r.fix.unwrap().position;
                    assert!(on(before).distance_m(on(&now)) < 5.0 * 20.0);
                    steps += (number(&now, "steps").unwrap() - number(before, "steps").unwrap())
                        .max(0.0);
                }
                before = Some(now);
            }
            assert!(rests > 100 && rests < 17_000, "life {seed}: {rests} rests");
            assert_eq!(steps > 5_000.0, seed < 2, "life {seed}: {steps} steps");
        }
    }

    #[test]
    fn the_step_counter_starts_again_once_a_day() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut tracker =
            Tracker::new(HOME, Life::Strolls { runs: false }, (60.0, 300.0), &mut rng);
        let mut before = f64::INFINITY;
        let mut resets = 0;
        for minute in 0..3 * 1_440 {
            let now = tracker.next(1_768_867_200_000 + minute * 60_000, &mut rng);
            let steps = number(&now, "steps").unwrap();
            resets += i32::from(steps < before && minute > 0);
            before = steps;
        }
        assert_eq!(resets, 3);
    }
}
