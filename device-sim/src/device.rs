//! A device: what it is, how it writes, and when it reports.

use std::sync::Arc;

use fastrand::Rng;

use crate::car::Car;
use crate::faults::ClockFault;
use crate::format::Format;
use crate::product::Product;
use crate::reading::{Kind, Reading};
use crate::schedule::Schedule;
use crate::thermostat::Thermostat;
use crate::tracker::Tracker;
use crate::truth::{Found, Truth};

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

    /// Something has just happened that is worth a closer look.
    fn alarmed(&mut self) -> bool {
        match self {
            Self::Car(car) => car.alarmed(),
            Self::Tracker(_) | Self::Thermostat(_) | Self::Product(_) => false,
        }
    }

    /// What has become certain since the last call; all that is left, when `finished`.
    fn found(&mut self, finished: bool) -> Vec<Found> {
        match self {
            Self::Car(car) => car.found(finished),
            Self::Tracker(tracker) => tracker.found(finished),
            Self::Thermostat(thermostat) => thermostat.found(finished),
            Self::Product(product) => product.found(),
        }
    }
}

/// A device with its id, its own randomness and its schedule.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) id: Arc<str>,
    topic: Arc<str>,
    format: Format,
    thing: Thing,
    rng: Rng,
    pub(crate) schedule: Schedule,
    /// Readings in a message, evenly spread over the time since the one before.
    batch: u32,
    clock: Option<ClockFault>,
    /// After an alarm it takes a reading a second for a while, and sends them with the next message.
    bursts: bool,
    burst_until_ms: i64,
    last_ms: Option<i64>,
}

/// So long a device looks closer.
const BURST_MS: i64 = 60_000;
const BURST_EVERY_MS: i64 = 1_000;
/// No burst makes a message longer: a reading of a car takes some 350 bytes, and brokers and servers
/// refuse what is larger than 64 KiB.
const MOST_READINGS: usize = 160;

impl Device {
    /// A device that reports one reading in JSON every so many microseconds.
    pub(crate) fn new(id: String, thing: Thing, interval_us: i64, rng: Rng) -> Self {
        let schedule = Schedule::Every { interval_us };
        Self::in_format(id, thing, Format::Json, schedule, 1, rng)
    }

    pub(crate) fn in_format(
        id: String,
        thing: Thing,
        format: Format,
        schedule: Schedule,
        batch: u32,
        rng: Rng,
    ) -> Self {
        // The apps send one location a message, and nothing without one; only trackers speak
        // OwnTracks.
        let (format, batch) = match (format, &thing) {
            (Format::OwnTracks, Thing::Tracker(tracker)) if !tracker.flies() => (format, 1),
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
            bursts: false,
            burst_until_ms: 0,
            last_ms: None,
        }
    }

    /// The same device, which looks closer after an alarm, if so.
    pub(crate) fn with_bursts(mut self, bursts: bool) -> Self {
        self.bursts = bursts;
        self
    }
    /// Its clock shows something else from now on.
    pub(crate) fn afflict(&mut self, clock: Option<ClockFault>) {
        self.clock = clock;
    }

    /// The message that was due `due_us` after `start_ms`, and what happened up to then.
    pub(crate) fn report(&mut self, start_ms: i64, due_us: i64) -> Option<(Message, Vec<Truth>)> {
        let every_us = self.schedule.interval_us() / i64::from(self.batch);
        let mut readings = Vec::with_capacity(self.batch as usize);
        for behind in (0..i64::from(self.batch)).rev() {
            let ts_ms = start_ms + (due_us - behind * every_us).div_euclid(1_000);
            while let Some(between_ms) = self.burst_before(ts_ms)
                && readings.len() < MOST_READINGS
            {
                readings.push(self.read(between_ms, start_ms));
            }
            readings.push(self.read(ts_ms, start_ms));
        }
        // Several readings in a message go out with the last of them.
        let published_us = if self.batch > 1 { due_us.max(0) } else { 0 };
        let truths = self.truths(false, start_ms + published_us / 1_000);
        let message = Message {
            device: Arc::clone(&self.id),
            topic: Arc::clone(&self.topic),
            ts_ms: readings.last()?.ts_ms,
            seq: readings.last()?.seq,
            readings: readings.len() as u32,
            wrong_time: !matches!(self.clock, None | Some(ClockFault::Skewed(_))),
            payload: self.format.encode(&readings),
            due_us,
        };
        Some((message, truths))
    }

    /// When the next reading of a burst is to be taken, if that is before `ts_ms`.
    fn burst_before(&self, ts_ms: i64) -> Option<i64> {
        let next_ms = self.last_ms? + BURST_EVERY_MS;
        (next_ms < ts_ms && next_ms <= self.burst_until_ms).then_some(next_ms)
    }

    fn read(&mut self, ts_ms: i64, start_ms: i64) -> Reading {
        let mut reading = self.thing.next(ts_ms, &mut self.rng);
        self.last_ms = Some(ts_ms);
        if self.bursts && self.thing.alarmed() {
            self.burst_until_ms = ts_ms + BURST_MS;
        }
        if let Some(clock) = self.clock {
            reading.ts_ms = clock.shown_ms(ts_ms, start_ms);
        }
        reading
    }

    /// What a server can know of what has become certain: nothing, if none of the device's times can
    /// be used.
    pub(crate) fn truths(&mut self, finished: bool, published_ms: i64) -> Vec<Truth> {
        let found = self.thing.found(finished);
        let every_us = self.schedule.interval_us() / i64::from(self.batch);
        let off_ms = match self.clock {
            None => 0,
            Some(ClockFault::Skewed(by_ms)) => by_ms,
            Some(ClockFault::Ahead(_) | ClockFault::Unset | ClockFault::GpsRollover) => {
                return Vec::new();
            }
        };
        let truth = |found: Found| found.truth(&self.id, every_us / 1_000, published_ms, off_ms);
        found.into_iter().map(truth).collect()
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
