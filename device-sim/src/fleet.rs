//! A fleet: devices, and when each of them reports.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use fastrand::Rng;

use crate::car::Car;
use crate::product::{Model, Product};
use crate::reading::{Kind, Reading};
use crate::roads::Network;
use crate::thermostat::Thermostat;
use crate::tracker::{Life, Tracker};
use crate::truth::{Crossing, Truth};

/// How often the devices of a load test report, all together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    PerSecond(f64),
    /// As soon as the broker has acknowledged enough.
    Max,
}

/// What a device is.
#[derive(Clone, Debug)]
pub(crate) enum Thing {
    Car(Car),
    Tracker(Tracker),
    Thermostat(Thermostat),
    Product(Product),
}

impl Thing {
    fn kind(&self) -> Kind {
        match self {
            Self::Car(_) => Kind::Car,
            Self::Tracker(_) => Kind::Tracker,
            Self::Thermostat(_) => Kind::Thermostat,
            Self::Product(_) => Kind::Product,
        }
    }

    fn next(&mut self, now_ms: i64, rng: &mut Rng) -> Reading {
        match self {
            Self::Car(car) => car.next(now_ms, rng),
            Self::Tracker(tracker) => tracker.next(now_ms, rng),
            Self::Thermostat(thermostat) => thermostat.next(now_ms, rng),
            Self::Product(product) => product.next(now_ms, rng),
        }
    }

    fn crossings(&mut self, finished: bool) -> Vec<Crossing> {
        let borders = match self {
            Self::Car(car) => &mut car.borders,
            Self::Tracker(tracker) => &mut tracker.borders,
            Self::Thermostat(_) | Self::Product(_) => return Vec::new(),
        };
        if finished { borders.finish() } else { borders.take() }
    }
}

/// A device with its id, its own randomness and its interval.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    id: Arc<str>,
    topic: Arc<str>,
    thing: Thing,
    rng: Rng,
    /// Microseconds between reports, so that odd rates do not drift.
    interval_us: i64,
}

impl Device {
    pub(crate) fn new(id: String, thing: Thing, interval_us: i64, rng: Rng) -> Self {
        let topic = format!("telemetry/{}/{id}", thing.kind().name()).into();
        Self { id: id.into(), topic, thing, rng, interval_us }
    }
}

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Message {
    pub device: Arc<str>,
    pub topic: Arc<str>,
    pub ts_ms: i64,
    pub seq: u64,
    pub payload: Vec<u8>,
    /// When it was due, in microseconds since the start; negative for what a device had kept
    /// while it was offline.
    pub due_us: i64,
}

/// Devices and their schedule. The same fleet, started at the same instant, gives the same bytes.
#[derive(Clone, Debug)]
pub struct Fleet {
    devices: Vec<Device>,
    /// Next report of each device: microseconds since the start, index in `devices`.
    due: BinaryHeap<Reverse<(i64, usize)>>,
    /// Devices report as soon as they may; then `due` only takes turns.
    unpaced: bool,
    start_ms: i64,
    truths: Vec<Truth>,
}

impl Fleet {
    pub(crate) fn new(devices: Vec<(Device, i64)>, unpaced: bool) -> Self {
        let due = devices.iter().enumerate().map(|(i, (_, due_us))| Reverse((*due_us, i)));
        let due = due.collect();
        let devices = devices.into_iter().map(|(device, _)| device).collect();
        Self { devices, due, unpaced, start_ms: 0, truths: Vec::new() }
    }

    /// `count` devices of one kind, `{prefix}00000` and so on, for a load test. Their reports are
    /// spread evenly over time.
    #[must_use]
    pub fn load(kind: Kind, count: usize, prefix: &str, rate: Rate, seed: u64) -> Self {
        let network = Arc::new(Network::new());
        let (interval_us, unpaced) = match rate {
            // Slower than one report in 30 years is never; faster than 1/µs does not exist.
            Rate::PerSecond(rate) => ((count as f64 / rate * 1e6).clamp(1.0, 1e15), false),
            Rate::Max => (1.0, true),
        };
        let devices = (0..count).map(|index| {
            let mut rng = device_rng(seed, index);
            let thing = anything(kind, &network, &mut rng);
            let first_us = if unpaced { 0.0 } else { interval_us / count as f64 * index as f64 };
            let id = format!("{prefix}{index:05}");
            (Device::new(id, thing, interval_us.round() as i64, rng), first_us as i64)
        });
        Self::new(devices.collect(), unpaced)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// The ids of all devices.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().map(|device| &*device.id)
    }

    /// Says when the fleet's time 0 is, in milliseconds since the epoch.
    pub fn start(&mut self, start_ms: i64) {
        self.start_ms = start_ms;
    }

    /// Shifts the devices' clocks by `ms` (the computer slept, or its clock was set).
    pub(crate) fn shift(&mut self, ms: i64) {
        self.start_ms += ms;
    }

    pub(crate) fn start_ms(&self) -> i64 {
        self.start_ms
    }

    pub(crate) fn is_unpaced(&self) -> bool {
        self.unpaced
    }

    /// When the next message is due, in microseconds since the start; `None` without devices.
    #[must_use]
    pub fn due_us(&self) -> Option<i64> {
        let Reverse((due_us, _)) = self.due.peek()?;
        Some(if self.unpaced { 0 } else { *due_us })
    }

    /// The next message. `now_us` is the time since the start; it matters only to a fleet that
    /// reports as fast as it may: the others report for when they were due.
    pub fn next(&mut self, now_us: i64) -> Option<Message> {
        let Reverse((turn_us, index)) = self.due.pop()?;
        let device = &mut self.devices[index];
        self.due.push(Reverse((turn_us + device.interval_us, index)));
        let due_us = if self.unpaced { now_us } else { turn_us };
        let ts_ms = self.start_ms + due_us.div_euclid(1_000);
        let reading = device.thing.next(ts_ms, &mut device.rng);
        for crossing in device.thing.crossings(false) {
            let every_ms = device.interval_us / 1_000;
            self.truths.push(crossing.truth(&device.id, every_ms, self.start_ms));
        }
        Some(Message {
            device: Arc::clone(&device.id),
            topic: Arc::clone(&device.topic),
            ts_ms,
            seq: reading.seq,
            payload: reading.json(),
            due_us,
        })
    }

    /// What happened in the messages since the last call and ought to be noticed.
    pub fn take_truths(&mut self) -> Vec<Truth> {
        std::mem::take(&mut self.truths)
    }

    /// What was happening when the last message was made, and may be noticed or not.
    pub fn finish(&mut self) -> Vec<Truth> {
        for device in &mut self.devices {
            for crossing in device.thing.crossings(true) {
                let every_ms = device.interval_us / 1_000;
                self.truths.push(crossing.truth(&device.id, every_ms, self.start_ms));
            }
        }
        self.take_truths()
    }

    /// How many messages are due before `end_us`.
    pub(crate) fn due_before(&self, end_us: i64) -> u64 {
        let due = self.due.iter().map(|&Reverse((due_us, index))| {
            let left_us = (end_us - due_us).max(0) as u64;
            left_us.div_ceil(self.devices[index].interval_us.max(1) as u64)
        });
        due.sum()
    }

    /// Passes over the messages that were due before `us`, and says how many.
    pub(crate) fn skip_before(&mut self, us: i64) -> u64 {
        let mut skipped = 0;
        while let Some(mut first) = self.due.peek_mut()
            && first.0.0 < us
        {
            let interval_us = self.devices[first.0.1].interval_us.max(1);
            let missed = (us - first.0.0 + interval_us - 1) / interval_us;
            first.0.0 += missed * interval_us;
            skipped += missed as u64;
        }
        skipped
    }

    /// Deals the devices out to `shards` fleets (at least one, at most one a device).
    pub(crate) fn split(self, shards: usize) -> Vec<Self> {
        let shards = shards.clamp(1, self.devices.len().max(1));
        let mut due_us = vec![0; self.devices.len()];
        for Reverse((due, index)) in self.due {
            due_us[index] = due;
        }
        let mut dealt: Vec<Vec<_>> = (0..shards).map(|_| Vec::new()).collect();
        for (index, device) in self.devices.into_iter().enumerate() {
            dealt[index % shards].push((device, due_us[index]));
        }
        let unpaced = self.unpaced;
        dealt.into_iter().map(|devices| Self::new(devices, unpaced)).collect()
    }
}

/// A device's own randomness: neighbours must not resemble each other, and adding a device must
/// not change the others.
pub(crate) fn device_rng(seed: u64, index: usize) -> Rng {
    let mut rng = Rng::with_seed(seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    Rng::with_seed(rng.u64(..))
}

fn anything(kind: Kind, network: &Arc<Network>, rng: &mut Rng) -> Thing {
    let towns = crate::places::PLACES;
    let town = towns[rng.usize(..towns.len())];
    let home = town.position().moved(rng.f64() * 4e3 - 2e3, rng.f64() * 4e3 - 2e3);
    match kind {
        Kind::Car => Thing::Car(Car::wanderer(Arc::clone(network), rng)),
        Kind::Tracker => {
            let life = match rng.u8(..3) {
                0 => Life::Strolls { runs: rng.bool() },
                _ => Life::Commutes { work: home.moved(2_500.0, 3_000.0), drives: rng.bool() },
            };
            Thing::Tracker(Tracker::new(home, life, (120.0, 3_600.0), rng))
        }
        Kind::Thermostat => {
            Thing::Thermostat(Thermostat::new(home, town.altitude_m, rng.u8(..50) > 0, rng))
        }
        Kind::Product => {
            let model = if rng.bool() { Model::WashingMachine } else { Model::CoffeeMachine };
            Thing::Product(Product::new(model, (600.0, 20_000.0), rng))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fleet, Rate};
    use crate::reading::Kind;

    fn drain(fleet: &mut Fleet, until_us: i64) -> Vec<(i64, String, Vec<u8>)> {
        let mut messages = Vec::new();
        while fleet.due_us().is_some_and(|due_us| due_us < until_us) {
            let message = fleet.next(0).unwrap();
            messages.push((message.due_us, message.topic.to_string(), message.payload));
        }
        messages
    }

    #[test]
    fn a_load_fleet_reports_at_its_rate_evenly_and_in_order() {
        let mut fleet = Fleet::load(Kind::Car, 30, "sim-car-", Rate::PerSecond(700.0), 1);
        let messages = drain(&mut fleet, 10_000_000);
        assert!((6_990..=7_010).contains(&messages.len()), "{}", messages.len());
        assert!(messages.is_sorted_by_key(|message| message.0));
        let gaps = messages.windows(2).map(|pair| pair[1].0 - pair[0].0);
        assert!(gaps.max().unwrap() < 5_000);
        assert_eq!(messages[3].1, "telemetry/car/sim-car-00003");
    }

    #[test]
    fn splitting_changes_nothing_but_who_publishes() {
        let whole = Fleet::load(Kind::Tracker, 10, "t-", Rate::PerSecond(50.0), 5);
        let mut parts: Vec<_> = Vec::new();
        for mut part in whole.clone().split(3) {
            parts.extend(drain(&mut part, 5_000_000));
        }
        let mut whole = whole;
        let mut all = drain(&mut whole, 5_000_000);
        parts.sort();
        all.sort();
        assert_eq!(parts, all);
    }

    #[test]
    fn messages_can_be_counted_ahead_and_passed_over() {
        let mut fleet = Fleet::load(Kind::Product, 7, "p-", Rate::PerSecond(90.0), 5);
        let planned = fleet.due_before(10_000_000);
        let skipped = fleet.skip_before(4_000_000);
        assert!(fleet.due_us() >= Some(4_000_000));
        let rest = drain(&mut fleet, 10_000_000).len() as u64;
        assert_eq!(planned, skipped + rest);
        assert_eq!(planned, 900);
    }

    #[test]
    fn an_unpaced_fleet_takes_turns() {
        let mut fleet = Fleet::load(Kind::Product, 3, "p-", Rate::Max, 5);
        let turns: Vec<_> = (0..6).map(|n| fleet.next(n * 10).unwrap()).collect();
        let ids: Vec<_> = turns.iter().map(|message| &*message.device).collect();
        assert_eq!(ids, ["p-00000", "p-00001", "p-00002", "p-00000", "p-00001", "p-00002"]);
        let seqs: Vec<_> = turns.iter().map(|message| message.seq).collect();
        assert_eq!(seqs, [0, 0, 0, 1, 1, 1]);
    }
}
