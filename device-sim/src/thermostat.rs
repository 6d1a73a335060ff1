//! Thermostats: a house that loses heat, a schedule, people who open windows.

use fastrand::Rng;

use crate::frost::{Frost, House};
use crate::geo::Position;
use crate::noise::{between, normal};
use crate::reading::{Fix, Reading, TimeFormat, Value};
use crate::truth::Found;
use crate::weather::{local_hour, outdoor_c};

/// A simulated thermostat and the house it is in.
#[derive(Clone, Debug)]
pub(crate) struct Thermostat {
    home: Position,
    altitude_m: f64,
    /// Heating is on. Off for a holiday home that nobody looks after.
    heated: bool,
    /// Without heating, the house nears the outdoor temperature with this time constant.
    time_constant_s: f64,
    /// How much warmer than outdoors the heating at full power keeps the house in the end.
    heating_gain_c: f64,
    full_power_w: f64,
    comfort_c: f64,
    setback_c: f64,
    indoor_c: f64,
    humidity_pct: f64,
    demand: f64,
    energy_wh: f64,
    window_shuts_ms: Option<i64>,
    /// The boiler is out until somebody repairs it.
    repaired_ms: Option<i64>,
    /// On average it fails this often.
    fails_every_s: f64,
    battery_pct: f64,
    now_ms: Option<i64>,
    seq: u64,
    frost: Frost,
    found: Vec<Found>,
}

const HOUR_S: f64 = 3_600.0;
/// With a window open a room cools this fast.
const WINDOW_TIME_CONSTANT_S: f64 = 2.5 * HOUR_S;
/// The heating runs at full power when the room is this much too cold.
const CONTROL_BAND_C: f64 = 1.2;
const BATTERY_LASTS_S: f64 = 400.0 * 86_400.0;
/// One winter in four without a service.
const BOILER_LASTS_S: f64 = 365.0 * 86_400.0;
/// One window in so many is forgotten.
const FORGOTTEN_ONE_IN: u8 = 40;
/// A gap longer than this (a laptop asleep) counts as this long.
const LONGEST_STEP_S: f64 = 6.0 * HOUR_S;

impl Thermostat {
    pub(crate) fn new(home: Position, altitude_m: f64, heated: bool, rng: &mut Rng) -> Self {
        let comfort_c = between(rng, 19.5, 22.0);
        let time_constant_s = between(rng, 25.0, 90.0) * HOUR_S;
        Self {
            home,
            altitude_m,
            heated,
            time_constant_s,
            heating_gain_c: between(rng, 38.0, 50.0),
            // A house that loses heat faster needs a bigger boiler.
            full_power_w: 12_000.0 * (30.0 * HOUR_S / time_constant_s).sqrt(),
            comfort_c: (comfort_c * 2.0).round() / 2.0,
            setback_c: between(rng, 16.0, 18.0).round(),
            indoor_c: if heated { comfort_c - between(rng, 0.2, 1.0) } else { 7.0 },
            humidity_pct: between(rng, 35.0, 60.0),
            demand: 0.0,
            energy_wh: between(rng, 1e6, 4e7),
            window_shuts_ms: None,
            repaired_ms: None,
            fails_every_s: BOILER_LASTS_S,
            battery_pct: between(rng, 30.0, 100.0),
            now_ms: None,
            seq: 0,
            frost: Frost::default(),
            found: Vec::new(),
        }
    }

    /// What has become certain since the last call; all that is left, when nobody looks any longer.
    pub(crate) fn found(&mut self, finished: bool) -> Vec<Found> {
        if finished {
            self.found.extend(self.frost.finish());
        }
        std::mem::take(&mut self.found)
    }

    /// What the thermostat reports at `now_ms`.
    pub(crate) fn next(&mut self, now_ms: i64, rng: &mut Rng) -> Reading {
        let gap_s = self.now_ms.map_or(0.0, |before| (now_ms - before) as f64 / 1e3);
        self.now_ms = Some(now_ms);
        self.air(now_ms, gap_s, rng);
        self.wear(now_ms, gap_s, rng);
        let mut left_s = gap_s.clamp(0.0, LONGEST_STEP_S);
        while left_s > 0.0 {
            let step_s = left_s.min(60.0);
            self.step(now_ms, step_s);
            left_s -= step_s;
        }
        let drift = 0.02 * normal(rng) * gap_s.clamp(0.0, 60.0).sqrt();
        self.humidity_pct = (self.humidity_pct + drift).clamp(20.0, 80.0);
        self.battery_pct = (self.battery_pct - gap_s.max(0.0) / BATTERY_LASTS_S * 100.0).max(2.0);
        self.seq += 1;
        let indoor_c = ((self.indoor_c + 0.03 * normal(rng)) * 100.0).round() / 100.0;
        let house = House {
            home: self.home,
            indoor_c,
            setpoint_c: self.setpoint_c(now_ms),
            boiler_failed: self.repaired_ms.is_some(),
        };
        self.found.extend(self.frost.report(now_ms, house));
        Reading {
            ts_ms: now_ms,
            time_format: TimeFormat::Rfc3339,
            seq: self.seq - 1,
            // Told once at installation; two decimals are enough for the weather and give away
            // only the neighbourhood.
            fix: Some(Fix { position: self.home, accuracy_m: 1_000.0, decimals: 2 }),
            measures: vec![
                ("indoor_c", Value::Number(indoor_c, 2)),
                ("setpoint_c", Value::Number(self.setpoint_c(now_ms), 1)),
                ("humidity_pct", Value::Number(self.humidity_pct, 1)),
                ("heating_demand_pct", Value::Number(self.demand * 100.0, 0)),
                ("window_open", Value::Flag(self.window_shuts_ms.is_some())),
                ("mode", Value::Word(if self.heated { "auto" } else { "off" })),
                ("power_w", Value::Number(self.power_w(), 0)),
                ("energy_wh", Value::Number(self.energy_wh, 0)),
                ("battery_pct", Value::Number(self.battery_pct, 0)),
            ],
        }
    }

    fn setpoint_c(&self, now_ms: i64) -> f64 {
        match local_hour(self.home, now_ms) {
            _ if !self.heated => 5.0,
            6.5..8.5 | 16.5..22.5 => self.comfort_c,
            _ => self.setback_c,
        }
    }

    /// Somebody opens a window for some minutes, a few times a day.
    fn air(&mut self, now_ms: i64, gap_s: f64, rng: &mut Rng) {
        if self.window_shuts_ms.is_some_and(|shuts_ms| now_ms >= shuts_ms) {
            self.window_shuts_ms = None;
        }
        let awake = (7.0..22.0).contains(&local_hour(self.home, now_ms));
        // Nobody airs a room that is cold already.
        let warm = self.indoor_c > 17.0;
        if warm && awake && rng.f64() < gap_s / (5.0 * HOUR_S) {
            let forgotten = rng.u8(..FORGOTTEN_ONE_IN) == 0;
            let (from_s, to_s) = if forgotten { (2_400.0, 4_800.0) } else { (300.0, 900.0) };
            self.window_shuts_ms = Some(now_ms + (between(rng, from_s, to_s) * 1e3) as i64);
        }
    }

    /// Boilers fail, and are repaired within hours or days.
    fn wear(&mut self, now_ms: i64, gap_s: f64, rng: &mut Rng) {
        if self.repaired_ms.is_some_and(|repaired_ms| now_ms >= repaired_ms) {
            self.repaired_ms = None;
        }
        if self.heated && self.repaired_ms.is_none() && rng.f64() < gap_s / self.fails_every_s {
            self.repaired_ms = Some(now_ms + (between(rng, 6.0, 96.0) * HOUR_S * 1e3) as i64);
        }
    }

    /// What the boiler gives, of what is demanded of it.
    fn power_w(&self) -> f64 {
        if self.repaired_ms.is_some() { 0.0 } else { self.demand * self.full_power_w }
    }

    fn step(&mut self, now_ms: i64, step_s: f64) {
        let outdoor_c = outdoor_c(self.home, self.altitude_m, now_ms);
        let short_c = self.setpoint_c(now_ms) - self.indoor_c;
        let demand = (short_c / CONTROL_BAND_C + 0.3).clamp(0.0, 1.0);
        self.demand = if self.heated { demand } else { 0.0 };
        self.energy_wh += self.power_w() * step_s / HOUR_S;
        let end_c = outdoor_c + self.power_w() / self.full_power_w * self.heating_gain_c;
        self.indoor_c = end_c + (self.indoor_c - end_c) * (-step_s / self.time_constant_s).exp();
        if self.window_shuts_ms.is_some() {
            let kept = (-step_s / WINDOW_TIME_CONSTANT_S).exp();
            self.indoor_c = outdoor_c + (self.indoor_c - outdoor_c) * kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Thermostat;
    use crate::geo::Position;
    use crate::reading::{Reading, Value};
    use crate::truth::{Found, What};

    const WINTER_MS: i64 = 1_768_867_200_000;

    fn number(reading: &Reading, name: &str) -> f64 {
        match reading.measures.iter().find(|(measure, _)| *measure == name) {
            Some((_, Value::Number(number, _))) => *number,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn a_heated_house_keeps_its_people_warm_through_a_winter_week() {
        for seed in 0..10 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut device = Thermostat::new(Position::new(48.1, 11.6), 519.0, true, &mut rng);
            device.fails_every_s = f64::INFINITY;
            let (mut aired, mut energy_wh, mut cold) = (false, 0.0, 0);
            for minute in 0..7 * 1_440 {
                let now = device.next(WINTER_MS + minute * 60_000, &mut rng);
                assert!((5.0..25.0).contains(&number(&now, "indoor_c")), "{now:?}");
                assert!((0.0..=100.0).contains(&number(&now, "heating_demand_pct")));
                assert!(number(&now, "energy_wh") >= energy_wh);
                energy_wh = number(&now, "energy_wh");
                cold += i32::from(number(&now, "indoor_c") < 14.0);
                aired |= now.measures.contains(&("window_open", Value::Flag(true)));
            }
            assert!(aired && cold < 1_500, "{cold} minutes too cold: more than a forgotten window");
        }
    }

    #[test]
    fn a_failed_boiler_lets_the_house_cool_until_it_is_repaired() {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut device = Thermostat::new(Position::new(47.04, 11.49), 1_250.0, true, &mut rng);
        device.fails_every_s = 1.0;
        device.time_constant_s = 25.0 * super::HOUR_S;
        let mut minutes = (0..).map(|minute| WINTER_MS + minute * 60_000);
        let mut next = |device: &mut Thermostat| device.next(minutes.next().unwrap(), &mut rng);
        next(&mut device);
        next(&mut device);
        device.fails_every_s = f64::INFINITY;
        device.repaired_ms = Some(WINTER_MS + 72 * 3_600_000);
        let out: Vec<_> = (2..72 * 60).map(|_| next(&mut device)).collect();
        assert!(out.iter().all(|reading| number(reading, "power_w") == 0.0));
        assert_eq!(number(out.last().unwrap(), "heating_demand_pct"), 100.0);
        assert!(number(out.last().unwrap(), "indoor_c") < 6.0);
        let near =
            |found: &Found| matches!(&found.what, What::FrostRisk { stage, .. } if stage == "near");
        let near: Vec<_> = device.found(true).into_iter().filter(near).collect();
        assert_eq!(near.len(), 1, "{near:?}");
        assert!(matches!(near[0].what, What::FrostRisk { boiler_failed: true, .. }));
        let back: Vec<_> = (0..24 * 60).map(|_| next(&mut device)).collect();
        assert!(number(back.last().unwrap(), "indoor_c") > 10.0);
    }

    #[test]
    fn an_unheated_house_in_the_alps_freezes() {
        let mut rng = fastrand::Rng::with_seed(4);
        let mut device = Thermostat::new(Position::new(47.04, 11.49), 1_250.0, false, &mut rng);
        let last = (0..14 * 1_440)
            .map(|minute| device.next(WINTER_MS + minute * 60_000, &mut rng))
            .last()
            .unwrap();
        assert!(number(&last, "indoor_c") < 3.0, "{last:?}");
        assert!(last.measures.contains(&("mode", Value::Word("off"))));
    }
}
