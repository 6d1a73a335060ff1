//! Cars: drivers of different temper, traffic, tyres, fuel.

use std::sync::Arc;

use fastrand::Rng;

use crate::advice::{Advice, Seen};
use crate::areas::Areas;
use crate::borders::Borders;
use crate::claims::{Accidents, ClaimRates};
use crate::geo::{Path, Position};
use crate::motion::{Motion, Pace};
use crate::noise::{GpsError, between, normal};
use crate::places::{Country, PLACES};
use crate::reading::{Fix, Reading, TimeFormat, Value};
use crate::roads::{Network, PlaceIndex};
use crate::surface::{Road, Surface, cell};
use crate::truth::{Expect, Found, What};
use crate::weather::{HOUR_MS, local_hour, outdoor_c};

/// Where the car drives to next when it has arrived.
#[derive(Clone, Debug)]
enum Plan {
    /// There and back on one way.
    Shuttle,
    /// Anywhere; it is now at, or on the way to, this place.
    Wander { network: Arc<Network>, to: PlaceIndex, everyday: bool },
}

/// Something that makes the car slower for a while.
#[derive(Clone, Copy, Debug)]
struct Traffic {
    hurry: f64,
    brake_mps2: f64,
    until_ms: i64,
}

/// A simulated car.
#[derive(Clone, Debug)]
pub(crate) struct Car {
    motion: Motion,
    plan: Plan,
    pace: Pace,
    traffic: Option<Traffic>,
    /// Parked until then; `None` while driving.
    parked_until_ms: Option<i64>,
    now_ms: Option<i64>,
    gps: GpsError,
    gps_sigma_m: f64,
    odometer_m: f64,
    tyre: &'static str,
    tread_mm: f64,
    fuel_pct: f64,
    surface: Surface,
    /// The road, with the hour and the cell that it was looked at for.
    road: Option<(Road, (i64, Position))>,
    seq: u64,
    borders: Borders,
    areas: Areas,
    advice: Advice,
    accidents: Option<Accidents>,
    /// Of this trip: when it began, and the odometer then.
    set_off: Option<(i64, f64)>,
    /// Metres on each surface.
    driven_m: [f64; 4],
    found: Vec<Found>,
    country: Option<Country>,
    /// Something has happened since anybody asked.
    alarm: bool,
}

/// A tank lasts this far.
const RANGE_M: f64 = 900_000.0;
/// A new tyre has 8 mm and lasts about 40,000 km, to 2 mm.
const WEAR_MM_PER_M: f64 = 6.0 / 4.0e7;
/// Braked as hard as this, on a dry road the wheels are about to slip.
const EMERGENCY_MPS2: f64 = 7.0;
/// After a longer gap than this (a laptop asleep) the car was parked, not driving on.
const LONGEST_STEP_MS: i64 = 600_000;

impl Car {
    /// A car that goes there and back on `path`, now `along_m` metres into it and at speed.
    pub(crate) fn shuttle(path: Path, along_m: f64, rng: &mut Rng) -> Self {
        let mut car = Self::new(path, Plan::Shuttle, rng);
        let speed_mps = car.motion.path().speed_mps(along_m, car.pace.temper, car.pace.brake_mps2);
        car.motion = Motion::new(car.motion.path().clone(), along_m, speed_mps);
        car
    }

    /// A car that drives anywhere on the network, now somewhere on its way.
    ///
    /// `everyday`: it parks for hours between ways, and at night; otherwise only for minutes.
    pub(crate) fn wanderer(network: Arc<Network>, everyday: bool, rng: &mut Rng) -> Self {
        let towns: Vec<_> =
            (0..PLACES.len()).filter(|&i| PLACES[i].country != Country::Border).collect();
        let (path, to) = next_way(&network, towns[rng.usize(..towns.len())], rng);
        let along_m = path.length_m() * between(rng, 0.0, 0.9);
        let mut car = Self::new(path, Plan::Wander { network, to, everyday }, rng);
        car.motion = Motion::new(car.motion.path().clone(), along_m, 0.0);
        car
    }

    fn new(path: Path, plan: Plan, rng: &mut Rng) -> Self {
        let temper = between(rng, 0.95, 1.12);
        Self {
            motion: Motion::new(path, 0.0, 0.0),
            plan,
            pace: Pace {
                temper,
                accelerate_mps2: between(rng, 1.4, 2.6),
                brake_mps2: between(rng, 1.6, 2.6) * temper,
            },
            traffic: None,
            parked_until_ms: None,
            now_ms: None,
            gps: GpsError::default(),
            gps_sigma_m: between(rng, 2.0, 3.5),
            odometer_m: between(rng, 2.0e6, 1.8e8),
            tyre: ["summer", "winter", "winter", "all_season"][rng.usize(..4)],
            tread_mm: between(rng, 2.2, 8.0),
            fuel_pct: between(rng, 50.0, 100.0),
            surface: Surface::Dry,
            road: None,
            seq: 0,
            borders: Borders::default(),
            areas: Areas::default(),
            advice: Advice::default(),
            accidents: None,
            set_off: None,
            driven_m: [0.0; 4],
            found: Vec::new(),
            country: None,
            alarm: false,
        }
    }

    /// The same car, which has accidents.
    pub(crate) fn with_accidents(mut self, rates: Arc<ClaimRates>, rng: Rng) -> Self {
        self.accidents = Some(Accidents::new(rates, rng));
        self
    }

    /// What has become certain since the last call; all that is left, when nobody looks any longer.
    pub(crate) fn found(&mut self, finished: bool) -> Vec<Found> {
        let mut found = std::mem::take(&mut self.found);
        found.extend(if finished { self.borders.finish() } else { self.borders.take() });
        if finished {
            found.extend(self.areas.finish());
        }
        let driven_m = self.driven_m.iter().sum::<f64>();
        if finished && driven_m > 0.0 {
            let [dry_km, wet_km, snow_km, ice_km] = self.driven_m.map(km);
            let tyre = self.tyre.to_owned();
            let driven = What::Driven { tyre, dry_km, wet_km, snow_km, ice_km };
            found.push(Found::noticed(self.now_ms.unwrap_or_default(), None, driven));
        }
        found
    }

    /// It has braked as hard as it can, had an accident or come to another country since the last call.
    pub(crate) fn alarmed(&mut self) -> bool {
        std::mem::take(&mut self.alarm)
    }

    /// What the car reports at `now_ms`.
    pub(crate) fn next(&mut self, now_ms: i64, rng: &mut Rng) -> Reading {
        let gap_ms = self.now_ms.map_or(0, |before| now_ms - before);
        self.now_ms = Some(now_ms);
        self.drive(now_ms, gap_ms.clamp(0, LONGEST_STEP_MS), rng);
        self.look_for_borders();
        let (truth, altitude_m, course_deg) = self.motion.at();
        // A tunnel takes the satellites, and what is known from them; the wheels go on counting.
        let sees_the_sky = !self.motion.path().covered(self.motion.along_m());
        let fix = sees_the_sky.then(|| {
            self.borders.report(now_ms, &self.motion);
            self.found.extend(self.areas.report(now_ms, truth));
            self.consider_tyres(now_ms, truth, altitude_m);
            let (position, accuracy_m) = self.gps.fix(truth, now_ms, self.gps_sigma_m, rng);
            Fix { position, accuracy_m, decimals: 7 }
        });
        let acceleration_mps2 = self.motion.acceleration_mps2();
        let mut measures = vec![("speed_mps", Value::Number(self.motion.speed_mps(), 2))];
        if fix.is_some() {
            measures.push(("course_deg", Value::Number(course_deg, 1)));
            measures.push(("altitude_m", Value::Number(altitude_m, 0)));
        }
        measures.extend([
            ("acceleration_mps2", Value::Number(acceleration_mps2, 2)),
            ("odometer_m", Value::Number(self.odometer_m, 1)),
            ("ambient_c", Value::Number(outdoor_c(truth, altitude_m, now_ms), 1)),
            ("ignition", Value::Flag(self.parked_until_ms.is_none())),
            ("tyre", Value::Word(self.tyre)),
            ("tread_mm", Value::Number(self.tread_mm, 1)),
            ("fuel_pct", Value::Number(self.fuel_pct, 1)),
        ]);
        if acceleration_mps2 < -self.grip_mps2() {
            measures.push(("abs_active", Value::Flag(true)));
        }
        self.seq += 1;
        Reading {
            ts_ms: now_ms,
            time_format: TimeFormat::EpochMs,
            seq: self.seq - 1,
            fix,
            measures,
        }
    }

    fn look_for_borders(&mut self) {
        if let Some(country) = self.motion.path().country(self.motion.along_m()) {
            let before = self.country.replace(country);
            self.alarm |= before.is_some_and(|before| before != country);
        }
    }

    fn consider_tyres(&mut self, now_ms: i64, at: Position, altitude_m: f64) {
        let seen = Seen {
            at,
            altitude_m,
            country: self.motion.path().country(self.motion.along_m()),
            drives: self.motion.speed_mps() >= 0.005,
            tyre: self.tyre,
            tread_mm: (self.tread_mm * 10.0).round() / 10.0,
        };
        self.found.extend(self.advice.report(now_ms, seen));
    }

    /// Braking harder than this makes the wheels slip.
    fn grip_mps2(&self) -> f64 {
        let unfit = self.tyre == "summer" || self.tread_mm < 4.0;
        match (self.surface, unfit) {
            (Surface::Dry, _) => 6.0,
            (Surface::Wet, _) => 4.5,
            (Surface::Snow | Surface::Ice, false) => 2.8,
            (Surface::Snow | Surface::Ice, true) => 1.6,
        }
    }

    /// How much slower the road is driven than in good weather: less than it should be by those
    /// with unfit tyres.
    fn caution(&self) -> f64 {
        match self.surface {
            Surface::Dry => 1.0,
            Surface::Wet => 0.94,
            Surface::Snow => 0.75,
            Surface::Ice => 0.68,
        }
    }

    /// The road changes with the hour, the place and its height.
    fn look_at_the_road(&mut self, now_ms: i64) {
        let (at, altitude_m, _) = self.motion.at();
        let here = (now_ms.div_euclid(HOUR_MS), cell(at));
        let known = self.road.filter(|(_, looked)| *looked == here);
        let (road, _) = *self.road.insert(known.unwrap_or_else(|| (Road::of(at, now_ms), here)));
        self.surface = road.surface(altitude_m);
    }

    fn drive(&mut self, now_ms: i64, gap_ms: i64, rng: &mut Rng) {
        if let Some(until_ms) = self.parked_until_ms {
            if now_ms < until_ms {
                self.motion.advance(0.0, self.pace, 1.0, 0.0);
                return;
            }
            self.parked_until_ms = None;
            self.set_off(rng);
        }
        let seconds = gap_ms as f64 / 1e3;
        self.meet_traffic(now_ms, seconds, rng);
        let (hurry, brake_mps2) = self.traffic.map_or((1.0, 0.0), |t| (t.hurry, t.brake_mps2));
        // Shuttles keep to their timetable: visitors of the demo are promised a crossing.
        let shuttles = matches!(self.plan, Plan::Shuttle);
        let hurry = if shuttles { hurry } else { hurry * self.caution() };
        let metres = self.motion.advance(seconds, self.pace, hurry, brake_mps2);
        if metres > 0.0 {
            self.set_off.get_or_insert((now_ms - gap_ms, self.odometer_m));
        }
        self.odometer_m += metres;
        self.look_at_the_road(now_ms);
        self.driven_m[self.surface as usize] += metres;
        self.may_crash(now_ms, metres);
        self.tread_mm = (self.tread_mm - metres * WEAR_MM_PER_M).max(1.6);
        self.fuel_pct = (self.fuel_pct - metres / RANGE_M * 100.0).max(0.0);
        if self.motion.arrived() {
            let pause_s = match self.plan {
                Plan::Shuttle => between(rng, 4.0, 12.0),
                Plan::Wander { everyday: false, .. } => between(rng, 30.0, 300.0),
                Plan::Wander { everyday: true, .. } => {
                    let hour = local_hour(self.motion.at().0, now_ms);
                    let until_morning_h = (between(rng, 6.0, 9.0) - hour).rem_euclid(24.0);
                    let hours = between(rng, 0.5, 5.0);
                    let night = !(6.0..20.0).contains(&hour);
                    if night { until_morning_h * 3_600.0 } else { hours * 3_600.0 }
                }
            };
            self.parked_until_ms = Some(now_ms + (pause_s * 1e3) as i64);
            self.end_trip(now_ms);
        }
    }

    /// Of a trip that was under way at the first look, what was seen of it counts.
    fn end_trip(&mut self, now_ms: i64) {
        if let Some((since_ms, odometer_m)) = self.set_off.take() {
            let lasted_s = (now_ms - since_ms) as f64 / 1e3;
            let what = What::TripEnded { lasted_s, km: km(self.odometer_m - odometer_m) };
            self.found.push(Found::noticed(now_ms, Some(self.motion.at().0), what));
        }
    }

    fn may_crash(&mut self, now_ms: i64, metres: f64) {
        let Some(accidents) = &mut self.accidents else { return };
        let speed_mps = self.motion.speed_mps();
        let (at, altitude_m, _) = self.motion.at();
        let or = self.road.and_then(|(road, _)| road.or(altitude_m));
        let claim = accidents.on(metres, (self.surface, or), self.tyre, speed_mps);
        self.alarm |= claim.is_some();
        self.found.extend(claim.map(|what| Found {
            expect: Expect::Trigger,
            ..Found::noticed(now_ms, Some(at), what)
        }));
    }

    /// Slow lorries ahead every few minutes; somebody cutting in now and then.
    fn meet_traffic(&mut self, now_ms: i64, seconds: f64, rng: &mut Rng) {
        if self.traffic.is_some_and(|traffic| now_ms >= traffic.until_ms) {
            self.traffic = None;
        }
        if self.traffic.is_some() || self.motion.speed_mps() < 8.0 {
            return;
        }
        if rng.f64() < seconds / 900.0 {
            let brake_mps2 = between(rng, 4.0, 7.5);
            let until_ms = now_ms + 4_000;
            self.alarm |= brake_mps2 >= EMERGENCY_MPS2;
            self.traffic = Some(Traffic { hurry: 0.6, brake_mps2, until_ms });
            let what = What::HarshBraking { mps2: (brake_mps2 * 100.0).round() / 100.0 };
            self.found.push(Found::noticed(now_ms, Some(self.motion.at().0), what));
        } else if rng.f64() < seconds / 300.0 {
            let hurry = (0.85 + 0.04 * normal(rng)).clamp(0.7, 1.0);
            let until_ms = now_ms + (between(rng, 15.0, 60.0) * 1e3) as i64;
            self.traffic = Some(Traffic { hurry, brake_mps2: 0.0, until_ms });
        }
    }

    fn set_off(&mut self, rng: &mut Rng) {
        let path = match &mut self.plan {
            Plan::Shuttle => self.motion.path().reversed(),
            Plan::Wander { network, to, .. } => {
                let (path, end) = next_way(network, *to, rng);
                *to = end;
                path
            }
        };
        self.motion = Motion::new(path, 0.0, 0.0);
        // Those who go far fill up before; shuttles when they must.
        let low_pct = if matches!(self.plan, Plan::Shuttle) { 20.0 } else { 85.0 };
        if self.fuel_pct < low_pct {
            self.fuel_pct = 100.0;
        }
    }
}

fn km(metres: f64) -> f64 {
    metres.round() / 1e3
}

fn next_way(network: &Network, from: PlaceIndex, rng: &mut Rng) -> (Path, PlaceIndex) {
    let legs = rng.usize(2..5);
    let way = network.wander(from, legs, rng);
    (network.path(&way), way.last().copied().unwrap_or(from))
}

#[cfg(test)]
mod tests;
