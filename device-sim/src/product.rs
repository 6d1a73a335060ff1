//! Products in the house: washing machines and coffee machines, with programmes, faults and
//! what they use up.

use fastrand::Rng;

use crate::noise::between;
use crate::reading::{Reading, TimeFormat, Value};
use crate::truth::{Found, What};

/// A programme: what it draws, phase by phase.
#[derive(Debug)]
struct Programme {
    name: &'static str,
    /// Seconds and watts.
    phases: &'static [(f64, f64)],
    /// How much of the consumable one run takes, in percent.
    uses_pct: f64,
}

/// A model of product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    WashingMachine,
    CoffeeMachine,
}

const WASHING: &[Programme] = &[
    Programme {
        name: "Quick 30",
        phases: &[(300.0, 2_000.0), (700.0, 180.0), (400.0, 120.0), (400.0, 450.0)],
        uses_pct: 2.5,
    },
    Programme {
        name: "Cotton 60",
        phases: &[(1_500.0, 2_050.0), (2_400.0, 200.0), (1_500.0, 130.0), (700.0, 500.0)],
        uses_pct: 5.0,
    },
    Programme {
        name: "Eco 40-60",
        phases: &[(900.0, 2_000.0), (8_100.0, 150.0), (2_400.0, 110.0), (900.0, 450.0)],
        uses_pct: 4.0,
    },
];

const COFFEE: &[Programme] = &[
    Programme { name: "Espresso", phases: &[(14.0, 1_350.0), (26.0, 75.0)], uses_pct: 1.6 },
    Programme { name: "Lungo", phases: &[(14.0, 1_350.0), (48.0, 75.0)], uses_pct: 1.9 },
    Programme {
        name: "Cappuccino",
        phases: &[(14.0, 1_350.0), (26.0, 75.0), (35.0, 1_250.0)],
        uses_pct: 1.6,
    },
];

impl Model {
    fn programmes(self) -> &'static [Programme] {
        match self {
            Self::WashingMachine => WASHING,
            Self::CoffeeMachine => COFFEE,
        }
    }

    fn faults(self) -> &'static [&'static str] {
        match self {
            Self::WashingMachine => &["E18 drain blocked", "E17 no water"],
            Self::CoffeeMachine => &["F3 water tank empty", "F7 grounds container full"],
        }
    }

    fn standby_w(self) -> f64 {
        match self {
            Self::WashingMachine => 0.5,
            Self::CoffeeMachine => 2.0,
        }
    }
}

/// What it does.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Idle {
        until_ms: i64,
    },
    Running {
        programme: &'static Programme,
        since_ms: i64,
        fails_after_s: Option<f64>,
    },
    /// Waits for somebody to help.
    Faulty {
        fault: &'static str,
        until_ms: i64,
    },
}

/// A simulated product.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    model: Model,
    doing: Option<Doing>,
    /// Idle for so many seconds between sessions, from and to.
    idle_s: (f64, f64),
    cycles: u64,
    consumable_pct: f64,
    energy_wh: f64,
    now_ms: Option<i64>,
    seq: u64,
    found: Vec<Found>,
}

/// Time to buy more of what it uses up.
const LOW_PCT: f64 = 15.0;
/// One session in so many ends in a fault.
const FAULT_EVERY: usize = 12;

impl Product {
    pub(crate) fn new(model: Model, idle_s: (f64, f64), rng: &mut Rng) -> Self {
        Self {
            model,
            doing: None,
            idle_s,
            cycles: rng.u64(20..1_500),
            consumable_pct: between(rng, 10.0, 100.0),
            energy_wh: between(rng, 5e3, 8e5).round(),
            now_ms: None,
            seq: 0,
            found: Vec::new(),
        }
    }

    /// What has happened since the last call.
    pub(crate) fn found(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.found)
    }

    /// What the product reports at `now_ms`.
    pub(crate) fn next(&mut self, now_ms: i64, rng: &mut Rng) -> Reading {
        let gap_s = self.now_ms.map_or(0.0, |before| (now_ms - before).max(0) as f64 / 1e3);
        self.now_ms = Some(now_ms);
        let doing = match self.doing {
            None => self.found_running(now_ms, rng),
            Some(doing) => self.go_on(doing, now_ms, rng),
        };
        self.doing = Some(doing);
        let power_w = self.power_w(doing, now_ms);
        // Longer gaps than a minute were not at this power throughout.
        self.energy_wh += power_w * gap_s.min(60.0) / 3_600.0;
        let mut measures = vec![
            ("running", Value::Flag(matches!(doing, Doing::Running { .. }))),
            ("power_w", Value::Number(power_w, 1)),
            ("energy_wh", Value::Number(self.energy_wh, 1)),
            ("cycles", Value::Number(self.cycles as f64, 0)),
            ("consumable_pct", Value::Number(self.consumable_pct, 1)),
        ];
        match doing {
            Doing::Idle { .. } => {}
            Doing::Running { programme, since_ms, .. } => {
                measures.push(("program", Value::Word(programme.name)));
                measures.push(("session_s", Value::Number((now_ms - since_ms) as f64 / 1e3, 0)));
            }
            Doing::Faulty { fault, .. } => measures.push(("fault", Value::Word(fault))),
        }
        self.seq += 1;
        Reading {
            ts_ms: now_ms,
            time_format: TimeFormat::EpochMs,
            seq: self.seq - 1,
            fix: None,
            measures,
        }
    }

    /// At the first look it is anywhere within a session.
    fn found_running(&self, now_ms: i64, rng: &mut Rng) -> Doing {
        let programme = self.choose(rng);
        let ran_ms = (duration_s(programme) * 1e3 * between(rng, 0.0, 0.95)) as i64;
        Doing::Running { programme, since_ms: now_ms - ran_ms, fails_after_s: None }
    }

    fn go_on(&mut self, doing: Doing, now_ms: i64, rng: &mut Rng) -> Doing {
        match doing {
            Doing::Idle { until_ms } | Doing::Faulty { until_ms, .. } if now_ms < until_ms => doing,
            Doing::Idle { .. } => {
                let programme = self.choose(rng);
                let fails = rng.usize(..FAULT_EVERY) == 0;
                let fails_after_s = fails.then(|| duration_s(programme) * rng.f64());
                if self.consumable_pct < 5.0 {
                    self.consumable_pct = 100.0;
                }
                Doing::Running { programme, since_ms: now_ms, fails_after_s }
            }
            Doing::Faulty { .. } => self.rest(now_ms, rng),
            Doing::Running { programme, since_ms, fails_after_s } => {
                let ran_s = (now_ms - since_ms) as f64 / 1e3;
                if fails_after_s.is_some_and(|fails_after_s| ran_s >= fails_after_s) {
                    let faults = self.model.faults();
                    let until_ms = now_ms + (between(rng, 60.0, 300.0) * 1e3) as i64;
                    let fault = faults[rng.usize(..faults.len())];
                    let what = What::Faulted { fault: fault.to_owned() };
                    self.found.push(Found::noticed(now_ms, None, what));
                    return Doing::Faulty { fault, until_ms };
                }
                if ran_s < duration_s(programme) {
                    return doing;
                }
                self.cycles += 1;
                self.use_up(now_ms, programme.uses_pct);
                self.rest(now_ms, rng)
            }
        }
    }

    fn use_up(&mut self, now_ms: i64, uses_pct: f64) {
        let before_pct = self.consumable_pct;
        self.consumable_pct = (before_pct - uses_pct).max(0.0);
        if before_pct >= LOW_PCT && self.consumable_pct < LOW_PCT {
            let consumable_pct = (self.consumable_pct * 10.0).round() / 10.0;
            self.found.push(Found::noticed(now_ms, None, What::RunsLow { consumable_pct }));
        }
    }

    fn rest(&self, now_ms: i64, rng: &mut Rng) -> Doing {
        let idle_s = between(rng, self.idle_s.0, self.idle_s.1);
        Doing::Idle { until_ms: now_ms + (idle_s * 1e3) as i64 }
    }

    /// Everybody has a favourite: the first programme is chosen half of the time.
    fn choose(&self, rng: &mut Rng) -> &'static Programme {
        let programmes = self.model.programmes();
        let index = if rng.bool() { 0 } else { rng.usize(..programmes.len()) };
        &programmes[index]
    }

    fn power_w(&self, doing: Doing, now_ms: i64) -> f64 {
        let Doing::Running { programme, since_ms, .. } = doing else {
            return self.model.standby_w();
        };
        let mut left_s = (now_ms - since_ms) as f64 / 1e3;
        for &(seconds, watts) in programme.phases {
            if left_s < seconds {
                return watts;
            }
            left_s -= seconds;
        }
        self.model.standby_w()
    }
}

fn duration_s(programme: &Programme) -> f64 {
    programme.phases.iter().map(|(seconds, _)| seconds).sum()
}

#[cfg(test)]
mod tests {
    use super::{Model, Product};
    use crate::reading::{Reading, Value};
    use crate::truth::What;

    fn value(reading: &Reading, name: &str) -> Option<Value> {
        reading.measures.iter().find(|(measure, _)| *measure == name).map(|&(_, value)| value)
    }

    fn number(reading: &Reading, name: &str) -> f64 {
        match value(reading, name) {
            Some(Value::Number(number, _)) => number,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn products_are_used_count_their_cycles_and_fail_now_and_then() {
        for model in [Model::WashingMachine, Model::CoffeeMachine] {
            let mut rng = fastrand::Rng::with_seed(2);
            let mut product = Product::new(model, (60.0, 1_800.0), &mut rng);
            let mut before: Option<Reading> = None;
            let (mut ended, mut faults) = (0.0, 0);
            for round in 0..14 * 17_280 {
                let now = product.next(1_768_867_200_000 + round * 5_000, &mut rng);
                let running = value(&now, "running") == Some(Value::Flag(true));
                assert_eq!(value(&now, "program").is_some(), running);
                assert!((0.0..=100.0).contains(&number(&now, "consumable_pct")));
                assert!((0.0..2_500.0).contains(&number(&now, "power_w")));
                if let Some(before) = &before {
                    assert!(number(&now, "energy_wh") >= number(before, "energy_wh"));
                    ended += number(&now, "cycles") - number(before, "cycles");
                    let fails = value(&now, "fault").is_some();
                    faults += i32::from(fails && value(before, "fault").is_none());
                }
                before = Some(now);
            }
            assert!(ended > 50.0, "{model:?} ended {ended} sessions");
            assert!(faults > 3, "{model:?} failed {faults} times");
            let found = product.found();
            let (low, faulted): (Vec<_>, Vec<_>) =
                found.iter().partition(|found| matches!(found.what, What::RunsLow { .. }));
            assert_eq!(faulted.len(), faults as usize);
            assert!(low.len() > 2);
        }
    }
}
