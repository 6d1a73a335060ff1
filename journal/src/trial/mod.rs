//! The writer on trial: driven step by step, without its thread, and held against what must be
//! true after every step.

mod areas;
mod check;
mod claims;
mod crash;
mod damage;
mod feedback;
mod follow;
mod full;
mod order;
mod quarantine;
mod rehearsal;
mod report;
mod retention;
mod rights;
mod said;
mod subject;
mod trips;
mod weather;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use enrich::World;
use enrich::places::{Areas, Atlas, risk_areas};
use enrich::registry::RegistryFile;
use enrich::rules::RuleSet;
use enrich::weather::{Feed, Synthetic};
use ingest::source::Sources;
use ingest::{Arrival, Clock, Decoded, DeviceKind, Fix, Message, Reading, Sender};
use tempfile::TempDir;

use crate::handle::Options;
use crate::log::Followers;
use crate::store::Store;
use crate::writer::Writer;
use crate::{Change, Counts, Reader, Retention};

pub(crate) const NOW_MS: i64 = 1_768_478_400_000;

/// Cars of Anna, of Bram who sold his to Anna, and of Carl, who stopped his travel consent.
const REGISTRY: &str = r#"
    [[insurer]]
    id = "alpina"
    name = "Alpina"
    [[insurer]]
    id = "boreal"
    name = "Boreal"
    [[customer]]
    id = "anna"
    name = "Anna"
    [[customer]]
    id = "bram"
    name = "Bram"
    [[customer]]
    id = "carl"
    name = "Carl"
    [[device]]
    id = "car-a"
    kind = "car"
    owner = [{ customer = "anna", from = "2020-01-01T00:00:00Z" }]
    [[device]]
    id = "car-b"
    kind = "car"
    owner = [
        { customer = "bram", from = "2020-01-01T00:00:00Z", to = "2026-01-15T11:55:00Z" },
        { customer = "anna", from = "2026-01-15T11:55:00Z" },
    ]
    [[device]]
    id = "car-c"
    kind = "car"
    owner = [{ customer = "carl", from = "2020-01-01T00:00:00Z" }]
    [[policy]]
    id = "P-a"
    insurer = "alpina"
    customer = "anna"
    product = "travel"
    from = "2020-01-01T00:00:00Z"
    home = "NL"
    [[policy]]
    id = "P-b"
    insurer = "boreal"
    customer = "bram"
    product = "travel"
    from = "2020-01-01T00:00:00Z"
    home = "DE"
    [[policy]]
    id = "P-c"
    insurer = "alpina"
    customer = "carl"
    product = "travel"
    from = "2020-01-01T00:00:00Z"
    home = "NL"
    [[consent]]
    customer = "anna"
    insurer = "alpina"
    purpose = "travel"
    given = "2020-01-01T00:00:00Z"
    wording = "travel-1"
    [[consent]]
    customer = "bram"
    insurer = "boreal"
    purpose = "travel"
    given = "2020-01-01T00:00:00Z"
    wording = "travel-1"
    [[consent]]
    customer = "carl"
    insurer = "alpina"
    purpose = "travel"
    given = "2020-01-01T00:00:00Z"
    withdrawn = "2026-01-15T12:10:00Z"
    wording = "travel-1"
    [[consent]]
    customer = "carl"
    insurer = "boreal"
    purpose = "home"
    given = "2020-01-01T00:00:00Z"
    wording = "home-1"
    [[geofence]]
    customer = "anna"
    name = "home"
    kind = "home"
    circle = { lat = 50.690, lon = 5.950, radius_m = 300 }
    [[geofence]]
    customer = "carl"
    name = "carls own"
    kind = "home"
    circle = { lat = 50.690, lon = 5.950, radius_m = 200 }
"#;

/// Around the homes.
const RISK: &str = r#"{"type": "FeatureCollection", "features": [{"type": "Feature",
    "properties": {"name": "quarry", "premium_factor": 1.5},
    "geometry": {"type": "Polygon", "coordinates": [[[5.94, 50.68], [5.96, 50.68], [5.96, 50.70], [5.94, 50.70]]]}}]}"#;

/// Loading the borders takes longer than most trials: worlds are used again.
static WORLDS: Mutex<Vec<World>> = Mutex::new(Vec::new());

fn borrow_world() -> World {
    let world = WORLDS.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let weather = Feed::Synthetic(Synthetic::new(1));
    match world {
        Some(world) => World { weather, ..world },
        None => {
            let mut atlas = Atlas::load();
            atlas.set_areas(Areas::new(risk_areas(RISK).unwrap()));
            World { atlas, weather }
        }
    }
}

fn give_back(writer: Writer) {
    WORLDS.lock().unwrap_or_else(PoisonError::into_inner).push(writer.core.world);
}

/// A journal that does nothing unless it is told to, at a time it is told.
pub(crate) struct Trial {
    dir: TempDir,
    writer: Option<Writer>,
    log_readings: u64,
    horizon_ms: i64,
    pub(crate) retention: Retention,
    now_ms: i64,
    /// What was sent and acknowledged: device and reading.
    sent: Vec<(&'static str, Reading)>,
    pub(crate) followers: Followers,
    far_end: follow::FarEnd,
}

impl Trial {
    pub(crate) fn new(log_readings: u64) -> Self {
        Self::following(log_readings, Followers::default())
    }

    pub(crate) fn following(log_readings: u64, followers: Followers) -> Self {
        Self::start(log_readings, 72 * 3_600_000, followers)
    }

    pub(crate) fn with_horizon(log_readings: u64, horizon_ms: i64) -> Self {
        Self::start(log_readings, horizon_ms, Followers::default())
    }

    fn start(log_readings: u64, horizon_ms: i64, followers: Followers) -> Self {
        let mut trial = Self {
            dir: tempfile::tempdir().unwrap(),
            writer: None,
            log_readings,
            horizon_ms,
            retention: Retention::default(),
            now_ms: NOW_MS,
            sent: Vec::new(),
            followers,
            far_end: follow::FarEnd::default(),
        };
        trial.restart();
        trial
    }

    fn options(&self, dir: &Path) -> Options {
        Options {
            dir: dir.to_owned(),
            seed: RegistryFile::parse(REGISTRY).unwrap(),
            world: borrow_world(),
            weather: "synthetic 1".to_owned(),
            weather_wait_ms: 5_000,
            rules: RuleSet::shipped().unwrap(),
            clock: Clock::scaled(self.now_ms, 0.0),
            horizon_ms: self.horizon_ms,
            retention: self.retention.clone(),
            claim_wait_ms: 3_600_000,
            max_batch: 5_000,
            log_readings: self.log_readings,
            followers: self.followers.clone(),
        }
    }

    pub(crate) fn writer(&self) -> &Writer {
        self.writer.as_ref().unwrap()
    }

    pub(crate) fn writer_mut(&mut self) -> &mut Writer {
        self.writer.as_mut().unwrap()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.writer().counts
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(self.dir.path(), self.writer().live.clone())
    }

    pub(crate) fn number(&self, device: &str) -> u32 {
        self.writer().core.registry.read().device(device).unwrap().number
    }

    /// Sets the clock; timers that are due run with the next batch.
    pub(crate) fn at(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        self.writer_mut().clock = Clock::scaled(now_ms, 0.0);
    }

    /// Commits one batch, a message for each device named; returns whether it was committed.
    pub(crate) fn try_send(&mut self, messages: &[(&'static str, Vec<Reading>)]) -> bool {
        let arrivals: Vec<Arrival> =
            messages.iter().map(|(device, readings)| arrival(device, readings)).collect();
        if !self.try_commit(&arrivals) {
            return false;
        }
        for (device, readings) in messages {
            self.sent.extend(readings.iter().map(|reading| (*device, reading.clone())));
        }
        true
    }

    pub(crate) fn try_commit(&mut self, arrivals: &[Arrival]) -> bool {
        let writer = self.writer_mut();
        let due = writer.timers.due(writer.clock.now_ms());
        let Ok(done) = writer.commit(arrivals, &due) else { return false };
        writer.apply(done);
        true
    }

    pub(crate) fn send(&mut self, device: &'static str, readings: &[Reading]) {
        assert!(self.try_send(&[(device, readings.to_vec())]));
    }

    /// Changes the registry; returns whether it was changed.
    pub(crate) fn change(&mut self, change: Change) -> bool {
        self.writer_mut().change(change).is_ok()
    }

    /// One slice of what is to be deleted.
    pub(crate) fn purge(&mut self) -> bool {
        self.writer_mut().purge().unwrap()
    }

    /// Lets an hour pass, in which all timers run.
    pub(crate) fn rest(&mut self) {
        self.at(self.now_ms + 3_600_000);
        for _ in 0..3 {
            assert!(self.try_send(&[]));
        }
    }

    /// Ends the process without a word and starts it again.
    pub(crate) fn restart(&mut self) {
        if let Some(writer) = self.writer.take() {
            give_back(writer);
        }
        self.writer = Some(open(self.options(self.dir.path())).unwrap());
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            give_back(writer);
        }
    }
}

fn open(options: Options) -> rusqlite::Result<Writer> {
    let store = Store::open(&options.dir).unwrap();
    // A trial asks what a transaction holds, not whether the disk keeps it.
    store.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    Writer::recover(store, options)
}

fn arrival(device: &str, readings: &[Reading]) -> Arrival {
    Arrival {
        broker: "embedded".into(),
        topic: format!("telemetry/car/{device}").into(),
        sender: Sender::Anonymous,
        payload: Bytes::new(),
        decoded: Message::Device(Ok(Decoded {
            device: device.into(),
            kind: DeviceKind::Car,
            readings: readings.iter().cloned().map(Ok).collect(),
            unknown_names: 0,
        })),
        retry_of: None,
        received_ms: NOW_MS,
        received: Instant::now(),
        acknowledge: tokio::sync::oneshot::channel().0,
    }
}

/// A message that nobody can use.
fn undecodable(device: &str) -> Arrival {
    let topic = format!("telemetry/car/{device}");
    let payload = Bytes::from_static(b"{");
    let decoded = Sources::default().read(&topic, &payload, NOW_MS);
    Arrival { topic: topic.into(), payload, decoded, ..arrival(device, &[]) }
}

/// Around the point where three countries meet, a few kilometres from each other.
pub(crate) const NETHERLANDS: (f64, f64) = (50.780, 5.985);
pub(crate) const GERMANY: (f64, f64) = (50.776, 6.083);
pub(crate) const BELGIUM: (f64, f64) = (50.715, 6.000);
/// In Belgium too, and in Anna's home and an area of risk.
pub(crate) const HOME: (f64, f64) = (50.690, 5.950);

/// `seconds` from ten minutes before now.
pub(crate) fn reading(seconds: i64, place: (f64, f64)) -> Reading {
    Reading {
        time_ms: NOW_MS - 600_000 + seconds * 1_000,
        seq: None,
        fix: Fix::new(place.0, place.1, Some(5.0)),
        measures: Vec::new(),
    }
}

/// How many cases a property is tried with.
fn cases() -> u32 {
    std::env::var("CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60)
}
