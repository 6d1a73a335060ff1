//! A journal to try things on, and readings to try with.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use enrich::World;
use enrich::places::Atlas;
use enrich::registry::RegistryFile;
use enrich::rules::RuleSet;
use enrich::weather::{Feed, Synthetic};
use ingest::{
    Arrival, Clock, Decoded, DeviceKind, Fix, Measure, Message, Reading, Rejected, Sender, Value,
};
use journal::{Followers, Journal, Options, Started};
use tokio::sync::{mpsc, oneshot};

pub(crate) const NOW_MS: i64 = 1_768_478_400_000;

const REGISTRY: &str = r#"
    [[insurer]]
    id = "alpina"
    name = "Alpina"

    [[fleet]]
    prefix = "car-"
    kind = "car"
    count = 20
    insurer = "alpina"
    products = ["travel"]
    since = "2020-01-01T00:00:00Z"
    home = "NL"
    wording = "travel-1"
"#;

pub(crate) struct Bench {
    pub(crate) journal: Journal,
    arrivals: Option<mpsc::Sender<Arrival>>,
}

/// A clock that stands still, so that no timer runs by itself.
pub(crate) fn frozen() -> Clock {
    Clock::scaled(NOW_MS, 0.0)
}

pub(crate) fn options(dir: &Path, clock: Clock, log_readings: u64) -> Options {
    Options {
        dir: dir.to_owned(),
        seed: RegistryFile::parse(REGISTRY).unwrap(),
        world: World { atlas: Atlas::load(), weather: Feed::Synthetic(Synthetic::new(1)) },
        weather: "synthetic 1".to_owned(),
        weather_wait_ms: 5_000,
        rules: RuleSet::shipped().unwrap(),
        clock,
        horizon_ms: 72 * 3_600_000,
        retention: journal::Retention::default(),
        claim_wait_ms: 3_600_000,
        max_batch: 5_000,
        log_readings,
        followers: Followers::default(),
    }
}

impl Bench {
    pub(crate) fn start(dir: &Path, clock: Clock, log_readings: u64) -> Self {
        Self::open(options(dir, clock, log_readings))
    }

    pub(crate) fn open(options: Options) -> Self {
        let Started { journal, arrivals } = Journal::start(options).unwrap();
        Self { journal, arrivals: Some(arrivals) }
    }

    /// Sends messages one after the other without waiting in between, then waits for all
    /// acknowledgements.
    pub(crate) async fn deliver(&self, messages: Vec<Vec<Result<Reading, Rejected>>>) {
        let mut acknowledged = Vec::new();
        for readings in messages {
            let (acknowledge, receiver) = oneshot::channel();
            self.send(arrival("car-00", readings, acknowledge)).await;
            acknowledged.push(receiver);
        }
        for receiver in acknowledged {
            receiver.await.unwrap();
        }
    }

    pub(crate) async fn readings(&self, readings: &[Reading]) {
        self.deliver(vec![readings.iter().cloned().map(Ok).collect()]).await;
    }

    pub(crate) async fn send(&self, arrival: Arrival) {
        self.arrivals.as_ref().unwrap().send(arrival).await.unwrap();
    }

    pub(crate) fn history(&self) -> Vec<Reading> {
        self.journal.reader().history(self.number(), i64::MIN, i64::MAX, usize::MAX).unwrap()
    }

    pub(crate) fn number(&self) -> u32 {
        self.journal.registry().read().device("car-00").unwrap().number
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.arrivals = None;
        self.journal.join();
    }
}

pub(crate) fn arrival(
    device: &str,
    readings: Vec<Result<Reading, Rejected>>,
    acknowledge: oneshot::Sender<()>,
) -> Arrival {
    Arrival {
        broker: "embedded".into(),
        topic: format!("telemetry/car/{device}").into(),
        sender: Sender::Anonymous,
        payload: Bytes::new(),
        decoded: Message::Device(Ok(Decoded {
            device: device.into(),
            kind: DeviceKind::Car,
            readings,
            unknown_names: 0,
        })),
        retry_of: None,
        received_ms: NOW_MS,
        received: Instant::now(),
        acknowledge,
    }
}

/// A fix on the road from Venlo (NL) to the east (DE): the border lies about 3.5 km along.
pub(crate) fn reading(time_ms: i64, east_m: f64) -> Reading {
    Reading {
        time_ms,
        seq: None,
        fix: Fix::new(51.37, 6.17 + east_m / 69_500.0, Some(5.0)),
        measures: vec![(Measure::SpeedMps, Value::Number(30.0))],
    }
}

/// There and back again, a fix every ten seconds at 30 m/s, ending half an hour before now.
pub(crate) fn there_and_back() -> Vec<Reading> {
    let out = (0..40).map(|step| f64::from(step) * 300.0);
    let back = (0..40).map(|step| 12_000.0 - f64::from(step) * 300.0);
    let start_ms = NOW_MS - 30 * 60_000 - 800_000;
    out.chain(back)
        .enumerate()
        .map(|(step, east_m)| reading(start_ms + step as i64 * 10_000, east_m))
        .collect()
}
