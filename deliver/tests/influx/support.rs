//! A journal that takes readings in, and an output that follows it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use deliver::influx::{Influx, InfluxOptions, InfluxReport, InfluxState, OUTPUT};
use enrich::World;
use enrich::places::Atlas;
use enrich::registry::RegistryFile;
use enrich::rules::RuleSet;
use enrich::weather::Feed;
use ingest::{Arrival, Clock, Decoded, DeviceKind, Measure, Message, Reading, Sender, Value};
use journal::{Followers, Journal, Options, QuarantineFilter, QuarantineRow, Started};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::protocol::Field;
use crate::server::Server;

pub(crate) const NOW_MS: i64 = 1_768_478_400_000;
pub(crate) const KEPT_MS: i64 = 31 * 86_400_000;

/// The machine may be busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How long an answer is waited for, unless a test says otherwise.
const TIMEOUT: Duration = Duration::from_millis(500);

const REGISTRY: &str = r#"
    [[insurer]]
    id = "alpina"
    name = "Alpina"

    [[fleet]]
    prefix = "car-"
    kind = "car"
    count = 10
    insurer = "alpina"
    products = ["travel"]
    since = "2020-01-01T00:00:00Z"
    home = "NL"
    wording = "travel-1"

    [[customer]]
    id = "carl"
    name = "Carl"

    [[device]]
    id = "carl-car"
    kind = "car"
    owner = [{ customer = "carl", from = "2020-01-01T00:00:00Z" }]

    [[consent]]
    customer = "carl"
    insurer = "alpina"
    purpose = "travel"
    given = "2020-01-01T00:00:00Z"
    withdrawn = "2026-01-15T13:00:00Z"
    wording = "travel-1"
"#;

pub(crate) struct Bench {
    pub(crate) journal: Journal,
    pub(crate) server: Server,
    pub(crate) report: watch::Receiver<InfluxReport>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) running: JoinHandle<()>,
    dir: PathBuf,
    timeout: Duration,
    arrivals: mpsc::Sender<Arrival>,
    /// Device, time and speed of all that was acknowledged.
    sent: Vec<(&'static str, i64, f64)>,
}

impl Bench {
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::with_batches(dir, 100).await
    }

    /// With requests of at most so many readings.
    pub(crate) async fn with_batches(dir: &Path, batch_readings: usize) -> Self {
        Self::open(dir, Server::start().await, (batch_readings, TIMEOUT), NOW_MS).settled().await
    }

    /// With a server that may take so long to answer.
    pub(crate) async fn with_timeout(dir: &Path, timeout: Duration) -> Self {
        Self::open(dir, Server::start().await, (100, timeout), NOW_MS).settled().await
    }

    /// What is too old is asked for at a start: it must not meet what a test has in store for others.
    async fn settled(self) -> Self {
        let all = || self.server.shelf().aged >= DeviceKind::ALL.len();
        wait_for("what is too old to go", all).await;
        self
    }

    fn open(
        dir: &Path,
        server: Server,
        (batch_readings, timeout): (usize, Duration),
        now_ms: i64,
    ) -> Self {
        let clock = Clock::scaled(now_ms, 0.0);
        let Started { journal, arrivals } = Journal::start(Options {
            dir: dir.to_owned(),
            seed: RegistryFile::parse(REGISTRY).unwrap(),
            world: World { atlas: Atlas::load(), weather: Feed::None },
            weather: "none".to_owned(),
            rules: RuleSet::shipped().unwrap(),
            clock: clock.clone(),
            horizon_ms: 72 * 3_600_000,
            retention: journal::Retention {
                readings_ms: Some(KEPT_MS),
                ..journal::Retention::default()
            },
            claim_wait_ms: 3_600_000,
            weather_wait_ms: 5_000,
            max_batch: 5_000,
            // So few that what waits is sealed meanwhile.
            log_readings: 20,
            followers: Followers { outputs: vec![OUTPUT], most_bytes: 1 << 20, delete: true },
        })
        .unwrap();
        let options = InfluxOptions {
            url: format!("http://{}", server.addr).parse().unwrap(),
            org: "plant".to_owned(),
            bucket: "cars and more".to_owned(),
            token: "secret".to_owned(),
            batch_readings,
            batch_age: Duration::from_millis(20),
            timeout,
            delete: true,
        };
        let influx = Influx::new(&options, journal.clone(), clock).unwrap();
        let (report, stop) = (influx.report(), watch::Sender::new(false));
        let running = tokio::spawn(influx.run(stop.subscribe()));
        let dir = dir.to_owned();
        let sent = Vec::new();
        Self { journal, server, report, stop, running, dir, timeout, arrivals, sent }
    }

    /// Ends the output without a word, and starts journal and output again at another time.
    pub(crate) async fn restart(self, now_ms: i64) -> Self {
        let Self { journal, server, running, dir, timeout, arrivals, sent, .. } = self;
        running.abort();
        drop(arrivals);
        drop(running.await);
        tokio::task::spawn_blocking(move || journal.join()).await.unwrap();
        Self { sent, ..Self::open(&dir, server, (10, timeout), now_ms) }
    }

    /// Stores readings of a car, one batch, and waits for their acknowledgement.
    pub(crate) async fn send(&mut self, device: &'static str, times: std::ops::Range<i64>) {
        let (acknowledge, done) = oneshot::channel();
        let readings = times.clone().map(|seconds| Ok(reading(seconds))).collect();
        let arrival = Arrival {
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
        };
        self.arrivals.send(arrival).await.unwrap();
        tokio::time::timeout(DEADLINE, done).await.expect("ingest is delayed").unwrap();
        self.sent.extend(times.map(|seconds| (device, time_ms(seconds), seconds as f64 / 10.0)));
    }

    /// Waits until the server has just what was sent, but `missing` of it.
    pub(crate) async fn all_arrive_but(&self, missing: usize) {
        let wanted = self.sent.len() - missing;
        wait_for("the points", || self.server.shelf().points.len() == wanted).await;
        wait_for("the cursor", || self.cursor() == *self.journal.live().logged().borrow()).await;
        let shelf = self.server.shelf();
        assert!(shelf.complaints.is_empty(), "{:?}", shelf.complaints);
        assert_eq!(shelf.points.len(), wanted, "too much arrived");
        for ((measurement, tags, time_ms), fields) in &shelf.points {
            let device = tags["device"].as_str();
            assert_eq!((measurement.as_str(), tags.len()), ("car", 1));
            let sent = self.sent.iter().find(|sent| (sent.0, sent.1) == (device, *time_ms));
            let speed = sent.expect("something else arrived").2;
            assert_eq!(fields["speed_mps"], Field::Float(speed));
            assert_eq!(fields.len(), 1);
        }
        let counts = self.journal.live().counts();
        assert!(counts.balance() && counts.quarantined.is_empty(), "{counts:?}");
        assert_eq!((counts.stored, counts.passed_over), (self.sent.len() as u64, 0));
    }

    pub(crate) async fn all_arrive(&self) {
        self.all_arrive_but(0).await;
    }

    pub(crate) async fn state_becomes(&self, is: impl Fn(&InfluxState) -> bool) -> InfluxState {
        let mut report = self.report.clone();
        let state = report.wait_for(|report| is(&report.state));
        tokio::time::timeout(DEADLINE, state).await.expect("the state").unwrap().state.clone()
    }

    pub(crate) fn put_away(&self) -> Vec<QuarantineRow> {
        self.journal.reader().quarantine(QuarantineFilter::default(), 10_000).unwrap()
    }

    pub(crate) fn cursor(&self) -> i64 {
        self.journal.reader().cursor(OUTPUT).unwrap()
    }
}

pub(crate) fn away(state: &InfluxState) -> bool {
    matches!(state, InfluxState::Away { .. })
}

pub(crate) fn time_ms(seconds: i64) -> i64 {
    NOW_MS - 600_000 + seconds * 1_000
}

/// Driven a tenth of a metre a second faster with each second.
fn reading(seconds: i64) -> Reading {
    let speed = Value::Number(seconds as f64 / 10.0);
    let measures = vec![(Measure::SpeedMps, speed)];
    Reading { time_ms: time_ms(seconds), seq: None, fix: None, measures }
}

pub(crate) async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < DEADLINE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
