//! A journal with triggers in its outbox, and a sender.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use enrich::World;
use enrich::places::Atlas;
use enrich::registry::RegistryFile;
use enrich::rules::RuleSet;
use enrich::weather::Feed;
use ingest::{Arrival, Clock, Decoded, DeviceKind, Fix, Message, Reading, Sender};
use journal::{Followers, Journal, LOG_READINGS, Options, Started};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::peer::DEADLINE;

pub(crate) const NOW_MS: i64 = 1_768_478_400_000;

const REGISTRY: &str = r#"
    [[insurer]]
    id = "alpina"
    name = "Alpina"

    [[fleet]]
    prefix = "car-"
    kind = "car"
    count = 400
    digits = 3
    insurer = "alpina"
    products = ["travel"]
    since = "2020-01-01T00:00:00Z"
    home = "NL"
    wording = "travel-1"
"#;

pub(crate) struct Bench {
    pub(crate) journal: Journal,
    pub(crate) listener: TcpListener,
    arrivals: mpsc::Sender<Arrival>,
    resend: watch::Sender<Option<deliver::Resend>>,
    resent: watch::Receiver<Option<deliver::Resend>>,
    stop: watch::Sender<bool>,
}

impl Bench {
    pub(crate) async fn start(dir: &Path) -> Self {
        let Started { journal, arrivals } = Journal::start(Options {
            dir: dir.to_owned(),
            seed: RegistryFile::parse(REGISTRY).unwrap(),
            world: World { atlas: Atlas::load(), weather: Feed::None },
            weather: "none".to_owned(),
            weather_wait_ms: 5_000,
            rules: RuleSet::shipped().unwrap(),
            clock: Clock::scaled(NOW_MS, 0.0),
            horizon_ms: 72 * 3_600_000,
            retention: journal::Retention::default(),
            claim_wait_ms: 3_600_000,
            max_batch: 5_000,
            log_readings: LOG_READINGS,
            followers: Followers::default(),
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ((resend, resent), stop) = (watch::channel(None), watch::Sender::new(false));
        Self { journal, listener, arrivals, resend, resent, stop }
    }

    pub(crate) fn sender(&self) -> JoinHandle<()> {
        let options = deliver::Options {
            host: "127.0.0.1".to_owned(),
            port: self.listener.local_addr().unwrap().port(),
            user: "datanaut".to_owned(),
            password: "secret".to_owned(),
        };
        let (journal, resent) = (self.journal.clone(), self.resent.clone());
        tokio::spawn(deliver::run(options, journal, resent, self.stop.subscribe()))
    }

    pub(crate) fn resend(&self, position: i64) {
        self.resend.send_replace(Some(position));
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// One car after the other crosses a border, so long ago: a trigger each.
    pub(crate) async fn cross(&self, cars: std::ops::Range<usize>, ago: Duration) {
        let end_ms = NOW_MS - ago.as_millis() as i64;
        let mut acknowledged = Vec::new();
        for car in cars {
            let reading = |seconds: i64, lon: f64| Reading {
                time_ms: end_ms - 1_000_000 + seconds * 1_000,
                seq: None,
                fix: Fix::new(51.37, lon, Some(5.0)),
                measures: Vec::new(),
            };
            let track = vec![reading(0, 6.17), reading(900, 6.30), reading(1_000, 6.30)];
            acknowledged.push(self.send(&format!("car-{car:03}"), track).await);
        }
        for done in acknowledged {
            done.await.unwrap();
        }
    }

    pub(crate) async fn send(&self, device: &str, readings: Vec<Reading>) -> oneshot::Receiver<()> {
        let (acknowledge, done) = oneshot::channel();
        let arrival = Arrival {
            broker: "embedded".into(),
            topic: format!("telemetry/car/{device}").into(),
            sender: Sender::Anonymous,
            payload: Bytes::new(),
            decoded: Message::Device(Ok(Decoded {
                device: device.into(),
                kind: DeviceKind::Car,
                readings: readings.into_iter().map(Ok).collect(),
                unknown_names: 0,
            })),
            retry_of: None,
            received_ms: NOW_MS,
            received: Instant::now(),
            acknowledge,
        };
        self.arrivals.send(arrival).await.unwrap();
        done
    }

    /// All ids in the outbox, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let rows = self.journal.reader().released_after(0, 100_000).unwrap();
        rows.into_iter().map(|row| row.body.id).collect()
    }

    pub(crate) async fn cursor_reaches(&self, position: i64) {
        let since = Instant::now();
        while self.cursor() != position {
            assert!(since.elapsed() < DEADLINE, "the cursor stays at {}", self.cursor());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn cursor(&self) -> i64 {
        self.journal.reader().cursor("mqtt").unwrap()
    }
}
