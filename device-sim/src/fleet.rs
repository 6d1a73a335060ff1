//! A fleet: devices, and when each of them reports.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use fastrand::Rng;

use crate::claims::ClaimRates;
use crate::device::{Device, Message, Thing};
use crate::faults::Faults;
use crate::format::Format;
use crate::options::{Mix, Part};
use crate::people::{UNHEATED, anything};
use crate::reading::Kind;
use crate::roads::Network;
use crate::schedule::{Load, Schedule};
use crate::truth::Truth;

/// How often the devices of a load test report, all together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    PerSecond(f64),
    /// As soon as the broker has acknowledged enough.
    Max,
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
    /// The accidents that its cars have.
    pub(crate) claims: Option<Arc<ClaimRates>>,
    /// Its cars look closer when something happens.
    pub(crate) bursts: bool,
    /// The share of its houses that nobody heats.
    pub(crate) unheated: f64,
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
        let group = Group {
            kind,
            count,
            prefix: prefix.to_owned(),
            format: Mix::all(Format::Json),
            batch: 1,
            timing,
            everyday: false,
            claims: None,
            bursts: false,
            unheated: UNHEATED,
        };
        Self::of(&[group], seed)
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
                let thing =
                    anything(group.kind, group.everyday, group.unheated, &network, &mut rng);
                let thing = match (thing, &group.claims) {
                    (Thing::Car(car), Some(rates)) => {
                        let accidents = device_rng(seed.rotate_left(16), devices.len());
                        Thing::Car(car.with_accidents(Arc::clone(rates), accidents))
                    }
                    (thing, _) => thing,
                };
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
                devices.push((device.with_bursts(group.bursts), first_us));
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

    /// Gives some of the devices a clock that is wrong, in a fleet whose time goes so fast.
    pub(crate) fn afflict(&mut self, faults: &Faults, speed: f64, seed: u64) {
        for (index, device) in self.devices.iter_mut().enumerate() {
            // Of its own, so that the devices do the same with faults as without.
            device.afflict(faults.of_clock(speed, &mut device_rng(!seed, index)));
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
        let (message, truths) = device.report(self.start_ms, due_us)?;
        self.truths.extend(truths);
        self.due.push(Reverse((device.schedule.next_us(turn_us), index)));
        Some(message)
    }

    /// What happened in the messages since the last call and ought to be noticed.
    pub fn take_truths(&mut self) -> Vec<Truth> {
        std::mem::take(&mut self.truths)
    }

    /// What was happening when the last message was made, and may be noticed or not.
    pub fn finish(&mut self) -> Vec<Truth> {
        for device in &mut self.devices {
            self.truths.extend(device.truths(true, self.start_ms));
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
