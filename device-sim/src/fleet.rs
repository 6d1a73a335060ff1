//! A fleet: devices, and when each of them reports.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use fastrand::Rng;

use crate::car::Car;
use crate::faults::{ClockFault, Faults};
use crate::format::Format;
use crate::options::{Mix, Part};
use crate::places::PLACES;
use crate::product::{Model, Product};
use crate::reading::{Kind, Reading};
use crate::roads::{Network, place};
use crate::schedule::{Load, Schedule};
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

/// A device with its id, its own randomness and its schedule.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    id: Arc<str>,
    topic: Arc<str>,
    format: Format,
    thing: Thing,
    rng: Rng,
    schedule: Schedule,
    /// Readings in a message, evenly spread over the time since the one before.
    batch: u32,
    clock: Option<ClockFault>,
}

impl Device {
    /// A device that reports one reading in JSON every so many microseconds.
    pub(crate) fn new(id: String, thing: Thing, interval_us: i64, rng: Rng) -> Self {
        let schedule = Schedule::Every { interval_us };
        Self::in_format(id, thing, Format::Json, schedule, 1, rng)
    }

    fn in_format(
        id: String,
        thing: Thing,
        format: Format,
        schedule: Schedule,
        batch: u32,
        rng: Rng,
    ) -> Self {
        // The apps send one location a message, and only trackers speak OwnTracks.
        let (format, batch) = match (format, &thing) {
            (Format::OwnTracks, Thing::Tracker(_)) => (format, 1),
            (Format::OwnTracks, _) => (Format::Json, batch),
            _ => (format, batch),
        };
        let topic = match (format, id.split_once('-')) {
            (Format::OwnTracks, Some((user, device))) => format!("owntracks/{user}/{device}"),
            _ => format!("telemetry/{}/{id}", thing.kind().name()),
        };
        Self {
            id: id.into(),
            topic: topic.into(),
            format,
            thing,
            rng,
            schedule,
            batch,
            clock: None,
        }
    }
}

impl Device {
    /// What a server can know of a crossing: nothing, if none of the device's times can be used.
    fn truth(&self, crossing: Crossing, published_ms: i64) -> Option<Truth> {
        let every_us = self.schedule.interval_us() / i64::from(self.batch);
        let off_ms = match self.clock {
            None => 0,
            Some(ClockFault::Skewed(by_ms)) => by_ms,
            Some(ClockFault::Ahead | ClockFault::Unset | ClockFault::GpsRollover) => return None,
        };
        Some(crossing.truth(&self.id, every_us / 1_000, published_ms, off_ms))
    }
}

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Message {
    pub device: Arc<str>,
    pub topic: Arc<str>,
    /// Time and sequence number of its last reading.
    pub ts_ms: i64,
    pub seq: u64,
    pub readings: u32,
    /// The device's clock shows times that nobody can believe.
    pub wrong_time: bool,
    pub payload: Vec<u8>,
    /// When it was due, in microseconds since the start; negative for what a device had kept
    /// while it was offline.
    pub due_us: i64,
}

/// Devices of one kind that report at a load all together, or each at an interval.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) count: usize,
    pub(crate) prefix: String,
    pub(crate) format: Mix<Format>,
    pub(crate) batch: u32,
    pub(crate) timing: Timing,
    /// They live through days: they park for hours and stay at home at night.
    pub(crate) everyday: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Timing {
    Every { interval_us: i64 },
    Load(Load),
    Unpaced,
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
    pub(crate) fn new(devices: Vec<(Device, i64)>) -> Self {
        let due = devices.iter().enumerate().map(|(i, (_, due_us))| Reverse((*due_us, i)));
        let due = due.collect();
        let unpaced = |(device, _): &(Device, i64)| matches!(device.schedule, Schedule::Unpaced);
        let unpaced = devices.first().is_some_and(unpaced);
        let devices = devices.into_iter().map(|(device, _)| device).collect();
        Self { devices, due, unpaced, start_ms: 0, truths: Vec::new() }
    }

    /// `count` devices of one kind, `{prefix}00000` and so on, for a load test. Their reports are
    /// spread evenly over time.
    #[must_use]
    pub fn load(kind: Kind, count: usize, prefix: &str, rate: Rate, seed: u64) -> Self {
        let timing = match rate {
            Rate::PerSecond(per_s) => Timing::Load(Load::steady(per_s)),
            Rate::Max => Timing::Unpaced,
        };
        let (prefix, format) = (prefix.to_owned(), Mix::all(Format::Json));
        Self::of(&[Group { kind, count, prefix, format, batch: 1, timing, everyday: false }], seed)
    }

    /// All devices of `groups`.
    pub(crate) fn of(groups: &[Group], seed: u64) -> Self {
        let network = Arc::new(Network::new());
        let mut devices = Vec::with_capacity(groups.iter().map(|group| group.count).sum());
        for group in groups {
            let load = match &group.timing {
                Timing::Load(load) => Some(Arc::new(load.clone())),
                Timing::Every { .. } | Timing::Unpaced => None,
            };
            for index in 0..group.count {
                let mut rng = device_rng(seed, devices.len());
                let thing = anything(group.kind, group.everyday, &network, &mut rng);
                let (schedule, offset_us) = match (&group.timing, &load) {
                    (Timing::Every { interval_us }, _) => {
                        let offset = *interval_us as f64 / group.count as f64 * index as f64;
                        (Schedule::Every { interval_us: *interval_us }, offset as i64)
                    }
                    (Timing::Load(_), Some(load)) => {
                        let (load, turns) = (Arc::clone(load), group.count as u64);
                        (Schedule::Turn { load, number: index as u64, turns }, 0)
                    }
                    (Timing::Load(_) | Timing::Unpaced, _) => (Schedule::Unpaced, 0),
                };
                let first_us = schedule.first_us(offset_us);
                let id = format!("{}{index:05}", group.prefix);
                let format = group.format.pick(&mut rng);
                let device = Device::in_format(id, thing, format, schedule, group.batch, rng);
                devices.push((device, first_us));
            }
        }
        Self::new(devices)
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

    /// This fleet and another one.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        let [mut all, others] = [self, other].map(|fleet| {
            let mut due_us = vec![0; fleet.devices.len()];
            fleet.due.into_iter().for_each(|Reverse((due, index))| due_us[index] = due);
            fleet.devices.into_iter().zip(due_us).collect::<Vec<_>>()
        });
        all.extend(others);
        Self::new(all)
    }

    /// One of so many parts of the fleet: every device is in one of them.
    #[must_use]
    pub fn part(self, part: Part) -> Self {
        let shards = self.split(part.of);
        shards.into_iter().nth(part.index).unwrap_or_else(|| Self::new(Vec::new()))
    }

    /// Gives some of the devices a clock that is wrong.
    pub(crate) fn afflict(&mut self, faults: &Faults, seed: u64) {
        for (index, device) in self.devices.iter_mut().enumerate() {
            // Of its own, so that the devices do the same with faults as without.
            device.clock = faults.of_clock(&mut device_rng(!seed, index));
        }
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
        let due_us = if self.unpaced { now_us } else { turn_us };
        let every_us = device.schedule.interval_us() / i64::from(device.batch);
        let mut readings = Vec::with_capacity(device.batch as usize);
        for behind in (0..i64::from(device.batch)).rev() {
            let ts_ms = self.start_ms + (due_us - behind * every_us).div_euclid(1_000);
            let mut reading = device.thing.next(ts_ms, &mut device.rng);
            if let Some(clock) = device.clock {
                reading.ts_ms = clock.shown_ms(ts_ms, self.start_ms);
            }
            readings.push(reading);
        }
        let crossings = device.thing.crossings(false);
        // Several readings in a message go out with the last of them.
        let published_us = if device.batch > 1 { due_us.max(0) } else { 0 };
        let published_ms = self.start_ms + published_us / 1_000;
        let truths = crossings.into_iter().filter_map(|c| device.truth(c, published_ms));
        self.truths.extend(truths);
        self.due.push(Reverse((device.schedule.next_us(turn_us), index)));
        Some(Message {
            device: Arc::clone(&device.id),
            topic: Arc::clone(&device.topic),
            ts_ms: readings.last()?.ts_ms,
            seq: readings.last()?.seq,
            readings: device.batch,
            wrong_time: !matches!(device.clock, None | Some(ClockFault::Skewed(_))),
            payload: device.format.encode(&readings),
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
            let crossings = device.thing.crossings(true);
            let truths = crossings.into_iter().filter_map(|c| device.truth(c, self.start_ms));
            self.truths.extend(truths);
        }
        self.take_truths()
    }

    /// How many messages are due before `end_us`.
    pub(crate) fn due_before(&self, end_us: i64) -> u64 {
        let due = self.due.iter().map(|&Reverse((due_us, index))| {
            self.devices[index].schedule.due_before(due_us, end_us)
        });
        due.sum()
    }

    /// Passes over the messages that were due before `us`, and says how many.
    pub(crate) fn skip_before(&mut self, us: i64) -> u64 {
        let mut skipped = 0;
        while let Some(mut first) = self.due.peek_mut()
            && first.0.0 < us
        {
            let (due_us, index) = first.0;
            first.0.0 = self.devices[index].schedule.next_us(due_us);
            skipped += 1;
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
        dealt.into_iter().map(Self::new).collect()
    }
}

/// A device's own randomness: neighbours must not resemble each other, and adding a device must
/// not change the others.
pub(crate) fn device_rng(seed: u64, index: usize) -> Rng {
    let mut rng = Rng::with_seed(seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    Rng::with_seed(rng.u64(..))
}

/// Towns so far from any border that nobody gets there on foot or on the way to work.
const INLAND: [&str; 20] = [
    "Utrecht",
    "Eindhoven",
    "Antwerpen",
    "Gent",
    "Köln",
    "Duisburg",
    "Osnabrück",
    "Metz",
    "Karlsruhe",
    "Zürich",
    "Augsburg",
    "München",
    "Innsbruck",
    "Nürnberg",
    "Praha",
    "Wrocław",
    "Berlin",
    "Poznań",
    "Hamburg",
    "Kolding",
];

fn anything(kind: Kind, everyday: bool, network: &Arc<Network>, rng: &mut Rng) -> Thing {
    let town = &PLACES[place(INLAND[rng.usize(..INLAND.len())]).unwrap_or_default()];
    let home = town.position().moved(rng.f64() * 4e3 - 2e3, rng.f64() * 4e3 - 2e3);
    match kind {
        Kind::Car => Thing::Car(Car::wanderer(Arc::clone(network), everyday, rng)),
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
    fn every_town_that_people_live_in_exists() {
        assert!(super::INLAND.iter().all(|name| super::place(name).is_some()));
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
