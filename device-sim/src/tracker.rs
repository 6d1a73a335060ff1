//! Trackers that people carry: strolls, runs, the way to work, a train across the border.

use fastrand::Rng;

use crate::borders::Borders;
use crate::geo::{Path, Position};
use crate::motion::{Motion, Pace};
use crate::noise::{GpsError, between, normal};
use crate::places::Country;
use crate::reading::{Fix, Reading, TimeFormat, Value};
use crate::truth::{Found, What};
use crate::venues::{Arrivals, Venue};
use crate::weather::local_hour;

/// How its person lives.
#[derive(Clone, Debug)]
pub(crate) enum Life {
    /// Walks or runs rounds of some hundred metres about home.
    Strolls { runs: bool },
    /// Goes to work, or wherever it is, and back by bicycle or car.
    Commutes { work: Position, drives: bool },
    /// Rides a train there and back.
    Rides { line: Path },
    /// Flies from one airport to another and back.
    Flies { line: Path },
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
    borders: Borders,
    /// Of somebody who visits a venue.
    arrivals: Option<Arrivals>,
    arrived: Vec<Found>,
    /// A reflection that the receiver takes for the way from the satellite.
    jump: Option<Jump>,
    goals: Goals,
}

#[derive(Clone, Copy, Debug)]
struct Jump {
    until_ms: i64,
    east_m: f64,
    north_m: f64,
    /// The receiver knows that something is wrong.
    told: bool,
}

/// After a longer gap than this the person was resting, not walking on.
const LONGEST_STEP_MS: i64 = 600_000;
/// From here to the end of the runway, and from its beginning, phones are on.
const RUNWAY_M: f64 = 3_000.0;
/// On average so often, between houses.
const JUMPS_EVERY_S: f64 = 240.0;
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
            Life::Flies { .. } => Pace { temper: 1.0, accelerate_mps2: 1.8, brake_mps2: 3.5 },
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
            arrivals: None,
            arrived: Vec::new(),
            jump: None,
            goals: Goals::default(),
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

    /// A tracker of somebody who visits a venue and goes home again.
    pub(crate) fn guest(
        home: Position,
        venue: Venue,
        drives: bool,
        rest_s: (f64, f64),
        rng: &mut Rng,
    ) -> Self {
        let there = Life::Commutes { work: venue.at, drives };
        Self { arrivals: Some(Arrivals::at(venue)), ..Self::new(home, there, rest_s, rng) }
    }

    /// What the tracker reports at `now_ms`.
    pub(crate) fn next(&mut self, now_ms: i64, rng: &mut Rng) -> Reading {
        let gap_ms = self.now_ms.map_or(0, |before| now_ms - before).clamp(0, LONGEST_STEP_MS);
        self.now_ms = Some(now_ms);
        self.go(now_ms, gap_ms as f64 / 1e3, rng);
        let activity = self.activity();
        self.live(activity, gap_ms as f64 / 1e3, now_ms, rng);
        // In a cabin there is no fix, and no speed without one.
        let fix = (!self.aloft()).then(|| self.fix(now_ms, gap_ms as f64 / 1e3, activity, rng));
        let mut measures = Vec::with_capacity(6);
        if fix.is_some() {
            measures.push(("speed_mps", Value::Number(self.motion.speed_mps(), 2)));
            if self.motion.speed_mps() > 0.5 {
                measures.push(("course_deg", Value::Number(self.motion.at().2, 0)));
            }
        }
        measures.extend([
            ("activity", Value::Word(activity)),
            ("steps", Value::Number(self.steps.floor(), 0)),
            ("heart_rate_bpm", Value::Number(self.heart_bpm, 0)),
            ("battery_pct", Value::Number(self.battery_pct, 0)),
        ]);
        self.seq += 1;
        Reading {
            ts_ms: now_ms,
            time_format: TimeFormat::Rfc3339,
            seq: self.seq - 1,
            fix,
            measures,
        }
    }

    /// What has become certain since the last call; all that is left, when nobody looks any longer.
    pub(crate) fn found(&mut self, finished: bool) -> Vec<Found> {
        let mut found = if finished { self.borders.finish() } else { self.borders.take() };
        found.append(&mut self.goals.found);
        found.append(&mut self.arrived);
        if finished {
            found.extend(self.arrivals.as_mut().and_then(Arrivals::finish));
        }
        found
    }

    /// It is without a fix now and then.
    pub(crate) fn flies(&self) -> bool {
        matches!(self.life, Life::Flies { .. })
    }

    fn aloft(&self) -> bool {
        let along_m = self.motion.along_m();
        let to_go_m = self.motion.path().length_m() - along_m;
        self.flies() && along_m.min(to_go_m) > RUNWAY_M
    }

    fn fix(&mut self, now_ms: i64, gap_s: f64, activity: &str, rng: &mut Rng) -> Fix {
        self.borders.report(now_ms, &self.motion);
        let truth = self.motion.at().0;
        let arrived = self.arrivals.as_mut().and_then(|arrivals| arrivals.report(now_ms, truth));
        self.arrived.extend(arrived);
        let (position, accuracy_m) = self.gps.fix(truth, now_ms, self.gps_sigma_m, rng);
        if self.jump.is_some_and(|jump| now_ms >= jump.until_ms) {
            self.jump = None;
        }
        // Between houses, and mostly to those on foot: who drives is out of the shadow at once.
        let between_houses = self.gps_sigma_m > 9.0 && activity != "driving";
        if self.jump.is_none() && between_houses && rng.f64() < gap_s / JUMPS_EVERY_S {
            let (metres, turn) =
                (between(rng, 30.0, 80.0), between(rng, 0.0, std::f64::consts::TAU));
            self.jump = Some(Jump {
                until_ms: now_ms + (between(rng, 5.0, 30.0) * 1e3) as i64,
                east_m: metres * turn.cos(),
                north_m: metres * turn.sin(),
                told: rng.u8(..3) > 0,
            });
        }
        match self.jump {
            None => Fix { position, accuracy_m, decimals: 7 },
            Some(Jump { east_m, north_m, told, .. }) => {
                let position = position.moved(east_m, north_m);
                let known_m = if told { east_m.hypot(north_m) } else { 0.0 };
                Fix { position, accuracy_m: accuracy_m + known_m, decimals: 7 }
            }
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
            Life::Rides { line } | Life::Flies { line } => {
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
            (Life::Flies { .. }, _) if self.aloft() => "still",
            (Life::Commutes { .. } | Life::Rides { .. } | Life::Flies { .. }, _) => "driving",
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
        self.goals.day(day);
        let (stride_m, effort_bpm) = match activity {
            "walking" => (Some(0.75), 32.0),
            "running" => (Some(1.1), 85.0),
            "cycling" => (None, 55.0),
            _ => (None, 6.0),
        };
        if let Some(stride_m) = stride_m {
            self.steps += self.motion.speed_mps() * seconds / stride_m;
        }
        let at = self.motion.at().0;
        self.goals.reached(
            now_ms,
            at,
            self.steps,
            stride_m.is_some() || effort_bpm > 50.0,
            seconds,
        );
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

/// Steps of a day.
const STEPS_GOAL: f64 = 8_000.0;
/// Minutes of a week that the WHO's guideline of 2020 asks adults for at least.
const ACTIVE_GOAL_S: f64 = 150.0 * 60.0;

/// What a person has reached, by the days where they live.
#[derive(Clone, Debug, Default)]
struct Goals {
    day: i64,
    week: i64,
    active_s: f64,
    stepped: bool,
    found: Vec<Found>,
}

impl Goals {
    fn day(&mut self, day: i64) {
        if self.day != day {
            self.day = day;
            self.stepped = false;
        }
        // 1 January 1970 was a Thursday; weeks begin on Mondays.
        let week = (day + 3).div_euclid(7);
        if self.week != week {
            self.week = week;
            self.active_s = 0.0;
        }
    }

    /// `steps` so far today, and `seconds` more of activity or not.
    fn reached(&mut self, now_ms: i64, at: Position, steps: f64, active: bool, seconds: f64) {
        let mut reached = |goal: &str, amount: f64| {
            let what = What::GoalReached { goal: goal.to_owned(), amount: amount as u32 };
            self.found.push(Found::noticed(now_ms, Some(at), what));
        };
        if steps >= STEPS_GOAL && !self.stepped {
            self.stepped = true;
            reached("steps_in_a_day", STEPS_GOAL);
        }
        let before_s = self.active_s;
        self.active_s += if active { seconds } else { 0.0 };
        if before_s < ACTIVE_GOAL_S && self.active_s >= ACTIVE_GOAL_S {
            reached("active_minutes_in_a_week", ACTIVE_GOAL_S / 60.0);
        }
    }
}

/// A way through the air: rolling, rising, cruising, and down again.
pub(crate) fn flight(from: Position, to: Position, countries: [Country; 2]) -> Path {
    let (middle, whole_m) = (from.between(to, 0.5), from.distance_m(to));
    let near = |metres: f64| from.between(to, metres / whole_m);
    let points = [from, near(RUNWAY_M), middle, near(whole_m - 10_000.0), to].map(|at| (at, 0.0));
    let [here, there] = countries;
    Path::new(&points, &[80.0, 230.0, 230.0, 60.0]).through(&[here, here, there, there])
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
mod tests;
